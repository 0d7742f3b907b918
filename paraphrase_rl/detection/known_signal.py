"""Signal of detectors that was measured before, kept so that a check tells it without scoring a text.

Calibrating scores every calibration text, which takes half a minute or more with a language model. Whatever calibrates
(`prl train`, `prl check --try`, `prl calibrate`) therefore keeps the few numbers that a check of the same recipe needs.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from paraphrase_rl import __version__
from paraphrase_rl.detection.ensemble import CalibratedEnsemble
from paraphrase_rl.detection.signal import MemberSignal, signals
from paraphrase_rl.detection.training_record import file_digests
from paraphrase_rl.errors import PrlError
from paraphrase_rl.files import dumps, fitted_folder, home, json_text, sha256_texts, write_text
from paraphrase_rl.models.references import resolve
from paraphrase_rl.plugin.registry import Registry
from paraphrase_rl.text.canonical import RULE

_GIVEN = "given"
"""Distribution of a detector that was given as a function."""
Listed = tuple[str, Mapping[str, Any], float | None]
"""A detector: its name, options and weight."""


def signal_key(registry: Registry, detectors: Iterable[Listed], texts: str, target_fpr: float) -> str | None:
    """Compute a digest of everything that the signal of detectors depends on.

    The device and the precision of the products are no part of it: they move a score in its last digits.

    Args:
        registry: where the detectors come from.
        detectors: those that are trained against, in order.
        texts: digest of the data set that they are calibrated on.
        target_fpr: false positive rate of the thresholds.

    Returns:
        The digest; ``None`` if it cannot be told: a detector or its model is not here, or the detector is a function or
        in a file of the user's, whose code may change from one call to the next.
    """
    parts: list[object] = [__version__, RULE, texts, target_fpr]
    try:
        for name, given, weight in detectors:
            entry = registry.get("detectors", name)
            if entry.plugin.is_file or entry.plugin.distribution == _GIVEN:
                return None
            options = registry.options("detectors", name, given).model_dump(mode="json")
            revisions = [
                resolve(model, fetch=False).revision for model in registry.models("detectors", name, given)
            ]
            voted = 1.0 if weight is None else weight
            parts.append([entry.full_name, entry.plugin.version, options, voted, revisions])
            if registry.spec("detectors", name).fit is not None:
                parts.append(file_digests(fitted_folder(name.rpartition("/")[2], options.get("folder"))))
        return sha256_texts(map(dumps, parts))[:24]
    except (PrlError, OSError):
        return None


def keep_signal(key: str | None, ensemble: CalibratedEnsemble) -> None:
    """Keep the signal of an ensemble that was calibrated; without a key nothing is kept."""
    if key is None:
        return
    with suppress(PrlError):  # a full or read-only disk: a check then says that the signal is not known
        write_text(_path(key), json_text([asdict(one) for one in signals(ensemble)]))


def known_signal(key: str | None) -> Sequence[MemberSignal]:
    """Return the signal that was kept under a key, the strongest detector first; empty if there is none."""
    if key is None:
        return []
    try:
        return [MemberSignal(**one) for one in json.loads(_path(key).read_text(encoding="utf-8"))]
    except (PrlError, OSError, ValueError, TypeError):
        return []


def _path(key: str) -> Path:
    return home() / "signals" / f"{key}.json"
