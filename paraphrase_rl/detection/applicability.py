"""Texts that a calibration says nothing about: those it was fitted on, and those outside of its limits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from paraphrase_rl.detection.ensemble import COMBINED, CalibratedEnsemble

_CALIBRATED = "seen: calibrated on this text, or on a near duplicate of it"
_TRAINED = "seen: trained on this text, or on a near duplicate of it"
_MEANINGS = {
    "seen": "were seen in calibration or training, themselves or as near duplicates",
    "length": "are shorter or longer than the calibration holds for",
    "language": "are not English prose, and the calibration holds for nothing else",
}

Reasons = Sequence[str | None]


def reasons_without_verdict(ensemble: CalibratedEnsemble, texts: Sequence[str]) -> dict[str, Reasons]:
    """Say why texts get a score and no verdict, ``KIND: MESSAGE``; ``None`` for a text that gets one.

    Args:
        ensemble: calibrated detectors.
        texts: N texts.

    Returns:
        N reasons by detector, and those of the ensemble: the first of a detector that counts in it.
    """
    calibrated = ensemble.seen.holds(texts) if ensemble.seen is not None else [False] * len(texts)
    found: dict[str, Reasons] = {}
    for member in ensemble.members:
        limits, training = member.calibration.texts.limits, member.training
        outside = [limits.outside(text) if limits is not None else None for text in texts]
        trained: Sequence[bool] = [False] * len(texts)
        if training is not None and training.texts is not None:
            trained = training.texts.holds(texts)
        found[member.name] = [
            _TRAINED if trained[i] else _CALIBRATED if calibrated[i] else outside[i]
            for i in range(len(texts))
        ]
    voting = [found[member.name] for member in ensemble.voting]
    found[COMBINED] = [next((why for why in of_text if why), None) for of_text in zip(*voting, strict=True)]
    return found


def without_verdict_notes(counts: Mapping[str, int], total: int) -> list[str]:
    """Write notes on the number of texts without a verdict.

    Args:
        counts: number of texts by kind of reason.
        total: number of texts.
    """
    return [
        f"{count} of {total} texts {_MEANINGS[kind]}: no verdict on them (column `no_verdict`)"
        for kind, count in counts.items()
        if count
    ]
