"""Texts that a calibration says nothing about: those it was fitted on, and those that are unlike its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from paraphrase_rl.detection.calibration import RECALIBRATE
from paraphrase_rl.detection.ensemble import COMBINED, CalibratedEnsemble, Member
from paraphrase_rl.detection.outside import measured
from paraphrase_rl.errors import CalibrationError

_CALIBRATED = "seen: calibrated on this text, or on a near duplicate of it"
_TRAINED = "seen: trained on this text, or on a near duplicate of it"
SEEN = "seen"
"""Kind of reason for a text that was met in calibration or training; all other kinds say that it is outside."""

Reasons = Sequence[str | None]


def reasons_without_verdict(
    ensemble: CalibratedEnsemble, texts: Sequence[str], flagged: Mapping[str, Sequence[bool | None]]
) -> dict[str, Reasons]:
    """Say why texts get a score and no verdict, ``KIND: MESSAGE``; ``None`` for a text that gets one.

    Args:
        ensemble: calibrated detectors.
        texts: N texts.
        flagged: by detector, and for the ensemble, whether each text would be flagged, which asks more of it.

    Returns:
        N reasons by detector, and those of the ensemble: the first of a detector that counts in it.
    """
    calibrated = ensemble.seen.holds(texts) if ensemble.seen is not None else [False] * len(texts)
    found: dict[str, Reasons] = {}
    together: list[Reasons] = []
    for member in ensemble.members:
        training = member.training
        trained: Sequence[bool] = [False] * len(texts)
        if training is not None and training.texts is not None:
            trained = training.texts.holds(texts)
        seen = [_TRAINED if trained[i] else _CALIBRATED if calibrated[i] else None for i in range(len(texts))]
        alone, combined = _outside(
            member, texts, [flagged.get(name) or [None] * len(texts) for name in (member.name, COMBINED)]
        )
        found[member.name] = [one or other for one, other in zip(seen, alone, strict=True)]
        if member in ensemble.voting:
            together.append([one or other for one, other in zip(seen, combined, strict=True)])
    found[COMBINED] = [next((why for why in of_text if why), None) for of_text in zip(*together, strict=True)]
    return found


def _outside(member: Member, texts: Sequence[str], flagged: Sequence[Sequence[bool | None]]) -> list[Reasons]:
    """Reasons for each of several ways to flag the texts."""
    limits, profile = member.calibration.texts.limits, member.calibration.profile
    found = [limits.outside(text) for text in texts]
    if profile is None:
        return [found] * len(flagged)
    names, values = measured(member.detector, texts)
    if unknown := [name for name in profile.measures if name not in names]:
        raise CalibrationError(
            f"{member.name} was calibrated with other measures of texts: {', '.join(unknown)}", RECALIBRATE
        )
    values = values[:, [names.index(name) for name in profile.measures]]
    return [
        [
            why or (None if name is None else f"outside: {name} unlike that of the calibration's texts")
            for why, name in zip(found, profile.outside(values, list(map(bool, flags))), strict=True)
        ]
        for flags in flagged
    ]


def without_verdict_notes(counts: Mapping[str, int], total: int, forced: bool = False) -> list[str]:
    """Write notes on the number of texts without a verdict, or with one that was forced.

    Args:
        counts: number of texts by kind of reason.
        total: number of texts.
        forced: whether texts that are outside got a verdict.
    """
    notes = []
    if seen := counts.get(SEEN, 0):
        notes.append(
            f"{seen} of {total} texts were seen in calibration or training, themselves or as near duplicates: no "
            "verdict on them (column `no_verdict`)"
        )
    if outside := {kind: count for kind, count in counts.items() if kind != SEEN and count}:
        kinds = ", ".join(f"{count} {_SHORT.get(kind, kind)}" for kind, count in outside.items())
        then = (
            "their verdicts were forced, and the rates do not hold for them"
            if forced
            else "no verdict on them (column `no_verdict`; --force or force=True gives one)"
        )
        notes.append(
            f"{sum(outside.values())} of {total} texts are unlike those of the calibration ({kinds}): {then}"
        )
    return notes


_SHORT = {"outside": "style or tokens"}
"""Kinds of reasons as notes call them, where that is another word."""
