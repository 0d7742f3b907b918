"""A detector's crash costs the text it crashed on, nothing else."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from paraphrase_rl.errors import PluginError, PrlError
from paraphrase_rl.plugin.discovery import one_line
from paraphrase_rl.plugin.protocols import Detector
from paraphrase_rl.types import Failure, Scores


def score_contained(name: str, detector: Detector, texts: Sequence[str]) -> Scores:
    """Scores of a detector; where the call crashes, each text is scored alone and those that crash fail.

    A score does not depend on the other texts of a call, so scoring alone changes no number.

    Args:
        name: the detector's name, owner of the failures.
        detector: any detector.
        texts: N texts.

    Raises:
        PluginError: the detector returns something other than Scores of shape (N,).
        PrlError: what the detector itself has to say about the whole call.
    """
    if not texts:
        return Scores(np.empty(0))
    try:
        return _checked(name, detector.score(texts), len(texts))
    except PrlError:
        raise
    except Exception as error:
        if len(texts) == 1:
            return Scores(np.array([np.nan]), (_crash(name, 0, error),))
    return _one_by_one(name, detector, texts)


def _one_by_one(name: str, detector: Detector, texts: Sequence[str]) -> Scores:
    values = np.full(len(texts), np.nan)
    failures: list[Failure] = []
    for i, text in enumerate(texts):
        alone = score_contained(name, detector, [text])
        values[i] = alone.values[0]
        failures += [Failure(index=i, owner=f.owner, kind=f.kind, message=f.message) for f in alone.failures]
    return Scores(values, tuple(failures))


def _checked(name: str, scores: object, n: int) -> Scores:
    if not isinstance(scores, Scores) or scores.values.shape != (n,):
        found = f"shape {scores.values.shape}" if isinstance(scores, Scores) else type(scores).__name__
        raise PluginError(
            f"detector {name} returned {found} for {n} texts, not Scores of shape ({n},)",
            "this is a fault of the plug-in; paraphrase_rl.testing checks detectors for it",
        )
    return scores


def _crash(name: str, index: int, error: Exception) -> Failure:
    return Failure(index=index, owner=name, kind="crashed", message=one_line(error)[:300])
