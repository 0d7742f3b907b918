"""Held-out texts without those that a detector was trained on."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from paraphrase_rl.detection.scoring import texts_at_once
from paraphrase_rl.detection.training_record import Training
from paraphrase_rl.errors import CalibrationError
from paraphrase_rl.stored import at
from paraphrase_rl.types import Document


def leave_out_seen(
    documents: Sequence[Document], trainings: Iterable[Training | None]
) -> tuple[Sequence[Document], dict[str, int]]:
    """Leave out documents that a detector was trained on, and near duplicates of these.

    Returns:
        The other documents, in order; and the number of documents that each detector was trained on, if any.
    """
    records = {t.detector: t.texts for t in trainings if t is not None and t.texts is not None}
    if not records:
        return documents, {}
    seen = np.empty((0, len(records)), dtype=bool)
    for texts in texts_at_once(documents):
        held = np.array([record.holds(texts) for record in records.values()], dtype=bool)
        seen = np.concatenate([seen, held.T])
    counts = {name: int(seen[:, i].sum()) for i, name in enumerate(records)}
    return at(documents, np.flatnonzero(~seen.any(axis=1))), {name: n for name, n in counts.items() if n}


def require_unseen(
    unseen: Sequence[Document],
    documents: Sequence[Document],
    trained_on: Mapping[str, int],
    target_fpr: float,
    source: str,
) -> None:
    """Refuse calibration texts of which too few are left where a detector was trained on the others.

    Args:
        unseen: the texts that are left.
        documents: all texts.
        trained_on: number of texts that each detector was trained on.
        target_fpr: target false positive rate; the texts that are left must show it, if all of them could.
        source: name of the data set.

    Raises:
        CalibrationError: too few are left.
    """
    if len(unseen) == len(documents):
        return
    for label, least in (("human", max(2, math.ceil(1 / target_fpr - 1e-9))), ("AI", 1)):
        left, there = (sum(d.label == label.lower() for d in some) for some in (unseen, documents))
        if left < least <= there:
            raise CalibrationError(
                f"{source}: {', '.join(trained_on)} was trained on {there - left} of {there} {label} calibration texts "
                f"(or near duplicates of them); the other {left} are too few for a false positive rate of "
                f"{target_fpr:g}",
                "train the detector again on the train split of these data with the same settings "
                "(`prl fit`), or calibrate on other texts",
            )
