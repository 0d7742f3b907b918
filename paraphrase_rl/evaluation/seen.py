"""Texts of an evaluation that a detector was trained on: they are left out, so that no detector is tested on them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from paraphrase_rl.detection.calibration import CalibrationSet
from paraphrase_rl.detection.training_record import Training, training_of
from paraphrase_rl.detection.unseen import leave_out_seen, require_unseen
from paraphrase_rl.errors import CalibrationError, PrlError
from paraphrase_rl.evaluation.plan import Plan
from paraphrase_rl.plugin.registry import Registry
from paraphrase_rl.types import Document, Failure, Scores


def without_seen(plan: Plan, registry: Registry) -> tuple[Plan, list[str]]:
    """Leave out calibration and test texts that a detector of the recipe was trained on, or near duplicates of these.

    Test texts that the thresholds of another data set were set on are left out too.

    Returns:
        The plan with the other texts, and a note for each detector that was trained on some.

    Raises:
        CalibrationError: too few calibration texts are left.
    """
    trainings = _trainings(plan, registry)
    plan, notes = _without_calibrated(plan)
    corpus = plan.corpus
    held_out = [d for d in corpus.documents if d.split in ("calibration", "test")]
    unseen, counts = leave_out_seen(held_out, trainings)
    for name, count in counts.items():
        notes.append(
            f"{name} was trained on {count} of {len(held_out)} calibration and test texts or on near duplicates of "
            "them: they are left out"
        )
    if not counts:
        return plan, notes
    for_thresholds, there = ([d for d in some if d.split == "calibration"] for some in (unseen, held_out))
    target = plan.recipe.calibration.target_fpr
    require_unseen(for_thresholds, there, counts, target, corpus.source)
    kept = {d.id for d in unseen}
    documents = tuple(d for d in corpus.documents if d.split == "train" or d.id in kept)
    return replace(plan, corpus=replace(corpus, documents=documents)), notes


def _without_calibrated(plan: Plan) -> tuple[Plan, list[str]]:
    """Leave out test texts that the calibration of other texts has seen."""
    if plan.deployed is None or (seen := CalibrationSet.read(plan.deployed).seen) is None:
        return plan, []
    tested = [d for d in plan.corpus.documents if d.split == "test"]
    known = {d.id for d, held in zip(tested, seen.holds([d.text for d in tested]), strict=True) if held}
    if not known:
        return plan, []
    documents = tuple(d for d in plan.corpus.documents if d.id not in known)
    note = f"{len(known)} of {len(tested)} test texts are left out: the calibration was fitted on them"
    return replace(plan, corpus=replace(plan.corpus, documents=documents)), [note]


def _trainings(plan: Plan, registry: Registry) -> list[Training | None]:
    """The training of each detector of the recipe, of the run's own copy if there is one."""
    saved = None
    if plan.calibrated is not None:
        try:
            saved = CalibrationSet.read(plan.calibrated)
        except CalibrationError:  # the panel says so
            return []
    found = []
    for entry in plan.recipe.detectors:
        try:
            options = entry.options if saved is None else saved.of(entry.name).built_with
            found.append(training_of(registry, entry.name, options))
        except PrlError:  # the panel has a column that says so
            continue
    return found


def mark_seen(
    scores: Mapping[str, Scores],
    rows: Sequence[int],
    documents: Sequence[Document],
    trainings: Mapping[str, Training],
) -> dict[str, Scores]:
    """Replace each score of a text that its detector was trained on by a Failure of kind ``seen``.

    Args:
        scores: scores of shape (R,) by detector.
        rows: position of each row's document, shape (R,).
        documents: the documents.
        trainings: what is known of the training of the detectors that are trained.
    """
    found = dict(scores)
    texts = [document.text for document in documents]
    for name, training in trainings.items():
        if name not in scores or training.texts is None:
            continue
        held = training.texts.holds(texts)
        failures = {failure.index: failure for failure in scores[name].failures}
        values = scores[name].values.copy()
        for i, document in enumerate(rows):
            if held[document]:
                failures[i] = Failure(index=i, owner=name, kind="seen", message=TRAINED_ON)
                values[i] = float("nan")
        found[name] = Scores(values, tuple(failures[i] for i in sorted(failures)), scores[name].truncated)
    return found


TRAINED_ON = "the detector was trained on this text, or on a near duplicate of it"
