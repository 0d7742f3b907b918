"""Training of a detector on texts with their rewrites, and comparison with the same detector trained without.

Two detectors are compared, both trained on the same texts of the train split: one without rewrites (before), one with
them (after). Each has thresholds of its own, set on the same calibration humans, which are never rewritten. Both are
tested on test texts: the originals, rewritten in ways seen in training, and in ways not seen.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from paraphrase_rl.data.splits import units
from paraphrase_rl.data.spread import spread
from paraphrase_rl.detection.calibration_texts import CalibrationTexts
from paraphrase_rl.detection.ensemble import CalibratedEnsemble
from paraphrase_rl.detection.fitting import build_detector, calibrate_combined, calibrate_detector
from paraphrase_rl.detection.labels import check_labels
from paraphrase_rl.detection.outside import profile_of
from paraphrase_rl.detection.seen import SeenTexts
from paraphrase_rl.detection.trainable import train_detector, trainer_of
from paraphrase_rl.errors import EvaluationError
from paraphrase_rl.evaluation.cache import FOLDER, Cache, claimed
from paraphrase_rl.evaluation.plan import Plan, label_of, rewriter_info, versions
from paraphrase_rl.evaluation.results import ORIGINAL, RewriterInfo
from paraphrase_rl.evaluation.rewrites import Rewriting
from paraphrase_rl.evaluation.score_table import ScoreTable
from paraphrase_rl.files import LOCK, left_behind
from paraphrase_rl.hardening.attacks import Attacks
from paraphrase_rl.hardening.compare import Side, Tables, Text
from paraphrase_rl.hardening.records import Defence, Hardening, OnHumans, TrainedOn
from paraphrase_rl.plugin.registry import Registry
from paraphrase_rl.plugin.specs import Context
from paraphrase_rl.progress import Report
from paraphrase_rl.recipe.schema import Attack
from paraphrase_rl.types import Document, Failure

BEFORE, AFTER = "before", "detector"
"""Folders of the two detectors."""


def harden(plan: Plan, registry: Registry, detector: str, attacks: Attacks, report: Report) -> Hardening:
    """Train, recalibrate and compare. An interrupted hardening continues with the rewrites in its folder.

    AI texts of the train split are rewritten for training, those of the test split for the comparison, and human test
    texts to see whether the traces of a rewriter alone are flagged. Rewriters that use detectors use the detector
    before hardening.

    Args:
        plan: the data, the detector's options, the folder. ``plan.texts`` limits the texts of each kind that are
            rewritten, which are from all over their split.
        registry: where components come from.
        detector: a trainable detector.
        attacks: the rewriters.
        report: function that shows one line of progress.

    Raises:
        UsageError: the detector cannot be trained; see also :meth:`Attacks.check`.
        EvaluationError: too few texts, no rewrites to train on, or the folder holds something else.
        PrlError: a component raised it. A rewriter that fails in the comparison is a row with the reason.
    """
    started = time.monotonic()
    trainer_of(registry, detector)
    attacks.check(registry)
    plan.check(registry)
    _check_folder(plan.out)
    with claimed(plan.out) as cache:
        originals, left_out = training_texts(plan.corpus.documents)
        if {d.label for d in originals} != {"human", "ai"}:
            raise EvaluationError(
                f"{plan.corpus.source} lacks texts of both labels in its train split",
                "use data with human and AI texts in its train split",
            )
        before = _trained(plan, registry, detector, BEFORE, originals, cache, report)
        rewriter = _Rewriter(plan, registry, before.ensemble, cache, report)
        sources = spread([d for d in originals if d.label == "ai"], plan.texts)
        taught, trained_on = with_rewrites(
            originals,
            sources,
            {label_of(a): rewriter.for_training(a, sources) for a in attacks.seen},
            left_out,
        )
        after = _trained(plan, registry, detector, AFTER, taught, cache, report)
        after.ensemble.to_file(plan.out / "calibration.json")
        defence, (humans_before, humans_after) = _compared(plan, attacks, rewriter, before, after)
        found = Hardening(
            detector=detector,
            options=_options(plan, detector),
            rewriters=tuple(rewriter.infos.values()),
            run=str(plan.run) if plan.run else None,
            source=plan.corpus.source,
            digest=plan.corpus.digest,
            excerpt_words=plan.recipe.data.excerpt_words,
            seed=plan.seed,
            resamples=plan.resamples,
            target_fpr=plan.recipe.calibration.target_fpr,
            calibration_texts=min(side.member.calibration.n_human for side in (before, after)),
            trained_on=trained_on,
            provenance_before=dict(before.member.calibration.provenance),
            provenance_after=dict(after.member.calibration.provenance),
            defence=tuple(defence),
            humans_before=humans_before,
            humans_after=humans_after,
            about_texts=(*after.table.truncation_notes, *plan.corpus.notes),
            seconds=time.monotonic() - started,
            versions=dict(versions()),
        )
        found.write(plan.out)
    return found


def training_texts(documents: Sequence[Document]) -> tuple[list[Document], int]:
    """Return the labelled texts of the train split, and the number of its texts that are left out.

    A text is left out if a text of another split is in the same pair, or a duplicate or near duplicate of it: splits
    given by the data may divide such texts, and the detector would be tested on texts it was trained on.
    """
    mixed = {
        i
        for unit in units(documents)
        if {documents[i].split for i in unit} != {"train"}
        for i in unit
        if documents[i].split == "train"
    }
    others = SeenTexts.of(d.text for d in documents if d.split != "train")
    train = [i for i, d in enumerate(documents) if d.split == "train"]
    near = others.holds([documents[i].text for i in train])
    mixed |= {i for i, held in zip(train, near, strict=True) if held}
    return [documents[i] for i in train if documents[i].label and i not in mixed], len(mixed)


def with_rewrites(
    originals: Sequence[Document],
    sources: Sequence[Document],
    rewrites: Mapping[str, Sequence[Text]],
    left_out: int,
) -> tuple[list[Document], TrainedOn]:
    """Join the training texts with their rewrites, and describe the result.

    AI texts then outnumber human ones. The score of a classifier shifts by that, and thresholds and P(AI), which are
    fitted again, shift with it; for tfidf, human texts repeated to even the numbers made no better detector.

    Args:
        originals: labelled texts.
        sources: the AI texts among them that were rewritten.
        rewrites: rewrites of each source, in order, by label of the rewriter.
        left_out: number of texts of the train split that are not in ``originals``.
    """
    added = [
        replace(source, id=f"{source.id} {label}", text=text)
        for label, texts in rewrites.items()
        for source, text in zip(sources, texts, strict=True)
        if isinstance(text, str)
    ]
    made = {label: sum(isinstance(t, str) for t in texts) for label, texts in rewrites.items()}
    return [*originals, *added], TrainedOn(
        human=sum(d.label == "human" for d in originals),
        ai=sum(d.label == "ai" for d in originals),
        rewrites=made,
        failed={label: len(sources) - n for label, n in made.items()},
        left_out=left_out,
    )


class _Rewriter:
    """Rewrites of any documents, remembered in the folder of the hardening.

    Attributes:
        infos: what was run, by label.
    """

    def __init__(
        self, plan: Plan, registry: Registry, before: CalibratedEnsemble, cache: Cache, report: Report
    ) -> None:
        self._rewriting = Rewriting(
            context=Context(
                device=plan.device,
                run=plan.run,
                ensemble=before if before.voting else None,
                registry=registry,
            ),
            depends_on=(plan.run_digest, before.members[0].calibration.provenance),
            seed=plan.seed,
            cache=cache,
            report=report,
        )
        self.infos: dict[str, RewriterInfo] = {}

    def texts(self, attack: Attack, documents: Sequence[Document], what: str) -> list[Text]:
        """The rewrite of each document, or why there is none."""
        report = self._rewriting.report

        def of_these(message: str, done: int | None = None, total: int | None = None) -> None:
            report(f"{what} texts, {message}", done, total)

        rewriting = replace(self._rewriting, report=of_these)
        info, (made,) = rewriting.rewrite_with(
            rewriter_info(attack, rewriting.context.components()), (documents, 1)
        )
        if info.label not in self.infos or info.failure:
            self.infos[info.label] = info
        return [r if isinstance(r, Failure) else r[0].text for r in made]

    def for_training(self, attack: Attack, documents: Sequence[Document]) -> list[Text]:
        """Likewise; an empty rewrite is none.

        Raises:
            EvaluationError: there is not one.
        """
        texts = self.texts(attack, documents, "train")
        why = self.infos[label_of(attack)].failure
        if why is not None:
            raise EvaluationError(
                f"no text could be rewritten with {label_of(attack)}: {why}", "train on other rewriters"
            )
        nothing = Failure(index=0, owner=attack.name, kind="empty", message="the rewrite is empty")
        return [replace(nothing, index=i) if t == "" else t for i, t in enumerate(texts)]


def _compared(
    plan: Plan, attacks: Attacks, rewriter: _Rewriter, before: Side, after: Side
) -> tuple[list[Defence], tuple[OnHumans, OnHumans]]:
    """The shares that the two detectors flag, of AI and human texts, the originals and by rewriter."""
    tables = Tables(plan, before, after)
    defence = [tables.defence(ORIGINAL, "original", [d.text for d in plan.ai])]
    humans: dict[str, list[Text]] = {ORIGINAL: [d.text for d in plan.human]}
    rewritten = [plan.human[i] for i in tables.rewritten_humans]
    for attack, met in attacks:
        label = label_of(attack)
        defence.append(tables.defence(label, met, rewriter.texts(attack, plan.ai, "test")))
        humans[label] = rewriter.texts(attack, rewritten, "human test")
    return defence, tables.on_humans(humans)


def _trained(
    plan: Plan,
    registry: Registry,
    detector: str,
    folder: str,
    texts: Sequence[Document],
    cache: Cache,
    report: Report,
) -> Side:
    """The detector trained on ``texts`` and calibrated on the calibration split."""
    placed = {**_options(plan, detector), "folder": str((plan.out / folder).resolve())}
    report(f"training {detector} on {len(texts)} texts: {plan.out / folder}")
    train_detector(
        registry, detector, registry.options("detectors", detector, placed), texts, plan.out / folder
    )
    built = build_detector(registry, Context(device=plan.device), detector, placed)
    label = "after" if folder == AFTER else "before"
    table = ScoreTable([built], cache, report)
    documents = plan.corpus.select(split="calibration")
    human, ai = (
        table.score([d.text for d in documents if d.label == of], f"calibrate {label}: {of} texts")[detector]
        for of in ("human", "ai")
    )
    described = CalibrationTexts.of(
        documents, source=plan.corpus.source, excerpt_words=plan.recipe.data.excerpt_words
    )
    kinds = [[d.text for d in documents if d.label == of] for of in ("human", "ai")]
    profile = profile_of(built.detector, kinds)
    member = calibrate_detector(built, human, ai, plan.target_fprs, described, profile=profile)
    check_labels([member])
    seen = SeenTexts.of(d.text for d in documents if d.label is not None)
    ensemble = calibrate_combined([member], {detector: human}, {detector: ai}, seen=seen)
    return Side(label=label, ensemble=ensemble, table=table)


def _options(plan: Plan, detector: str) -> dict[str, Any]:
    """The recipe's options of the detector, but where it is."""
    listed = next((d.options for d in plan.recipe.detectors if d.name == detector), {})
    return {key: value for key, value in listed.items() if key != "folder"}


def _check_folder(out: Path) -> None:
    """Refuse a folder that holds a whole hardening, or something else.

    Raises:
        EvaluationError: it does.
    """
    if (out / "results.json").exists():
        raise EvaluationError(f"{out} already holds results", "choose another --out")
    there = {entry.name for entry in out.iterdir()} if out.is_dir() else set()
    known = {BEFORE, AFTER, FOLDER, LOCK, "calibration.json"}
    foreign = [n for n in there - known if left_behind(out / n) not in ("calibration.json", "results.json")]
    # an evaluation or hardening claims its folder before it writes: without a lock what is there is somebody's
    if foreign or (there and not (out / LOCK).is_file()):
        raise EvaluationError(f"{out} is not empty and not the folder of a hardening", "choose another --out")
