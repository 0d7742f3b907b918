"""The browser of samples: sources beside their rewrites, changed words marked, each detector's word on both."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from paraphrase_rl.evaluation.results import CLEAN, Results
from paraphrase_rl.report.inputs import Material, Row
from paraphrase_rl.report.sections import ordered, thresholds
from paraphrase_rl.report.word_changes import changed_share, marked, marks, visible
from paraphrase_rl.runs.summary import P_AI

MOST_DOCUMENTS = 40
MOST_CHARACTERS = 500_000
"""Of all texts shown, so that long documents do not make a file nobody can open."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """One detector on one text before and after; ``None`` where it gave no score or has no threshold."""

    detector: str
    before: float | None
    after: float | None
    flagged_before: bool | None
    flagged_after: bool | None

    @property
    def change(self) -> str:
        """A word for the filter: evaded, caught, flagged, missed, or unknown."""
        if self.flagged_before is None or self.flagged_after is None:
            return "unknown"
        words = {
            (True, False): "evaded",
            (False, True): "caught",
            (True, True): "flagged",
            (False, False): "missed",
        }
        return words[self.flagged_before, self.flagged_after]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rewriting:
    """What one rewriter made of a text, or why it made nothing."""

    rewriter: str
    text: Markup
    changed: float
    judgements: Sequence[Judgement] = ()
    note: str = ""
    failure: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One source with its rewrites."""

    id: str
    facts: str
    source: Markup
    start: str
    rewritings: Sequence[Rewriting]


@dataclass(frozen=True, slots=True, kw_only=True)
class Browser:
    """The samples shown, how many there are in all, and where they come from."""

    samples: Sequence[Sample]
    total: int
    origin: str
    rewriters: Sequence[str]
    detectors: Sequence[str]
    has_flags: bool

    @property
    def has_foreign(self) -> bool:
        """Whether a rewrite has letters of a script that its source lacks."""
        return any('class="foreign"' in one.text for sample in self.samples for one in sample.rewritings)


def browser(material: Material) -> Browser | None:
    """Samples of the evaluation, else of the run's own held-out prompts; ``None`` where there are neither."""
    if material.results is not None and material.rewrites:
        return _evaluated(material, material.results)
    return _while_training(material.samples)


def spread(total: int, most: int) -> list[int]:
    """Positions of at most ``most`` of ``total`` items, evenly spaced: chosen by place, never by result."""
    if total <= most:
        return list(range(total))
    return [i * total // most for i in range(most)]


def _evaluated(material: Material, results: Results) -> Browser | None:
    first: dict[tuple[str, str], Row] = {}
    for row in material.rewrites:
        first.setdefault((row["id"], row["rewriter"]), row)
    scores: dict[tuple[str, str, str], float | None] = {}
    for row in material.scores:
        scores.setdefault((row["id"], row["rewriter"], row["detector"]), row.get("score"))
    labels = [r.label for r in results.rewriters if r.label != CLEAN]
    rewritten = {key for key, _ in first}
    documents = [row for row in material.documents if row["id"] in rewritten and row.get("label") != "human"]
    detectors = [d.name for d in ordered(results)]
    at = thresholds(results)
    samples: list[Sample] = []
    characters = 0
    for i in spread(len(documents), MOST_DOCUMENTS):
        document = documents[i]
        texts = [first.get((document["id"], label)) for label in labels]
        characters += sum(len(document["text"]) + len((row or {}).get("text") or "") for row in texts)
        if samples and characters > MOST_CHARACTERS:
            break
        rewritings = [
            _rewriting(document, label, row, detectors, scores, at)
            for label, row in zip(labels, texts, strict=True)
            if row is not None
        ]
        facts = ", ".join(str(document[key]) for key in ("domain", "group") if document.get(key))
        samples.append(_sample(document["id"], facts, document["text"], rewritings))
    if not samples:
        return None
    return Browser(
        samples=samples,
        total=len(documents),
        origin="evaluation",
        rewriters=labels,
        detectors=detectors,
        has_flags=bool(at),
    )


def _sample(name: str, facts: str, source: str, rewritings: Sequence[Rewriting]) -> Sample:
    return Sample(
        id=name,
        facts=facts,
        source=visible(source),
        start=" ".join(source.split())[:160],
        rewritings=rewritings,
    )


def _rewriting(
    document: Row,
    label: str,
    row: Row,
    detectors: Sequence[str],
    scores: Mapping[tuple[str, str, str], float | None],
    at: Mapping[str, float],
) -> Rewriting:
    if row.get("text") is None:
        return Rewriting(rewriter=label, text=Markup(""), changed=0.0, failure=_reason(row))
    judgements = []
    for detector in detectors:
        before = scores.get((document["id"], CLEAN, detector))
        after = scores.get((document["id"], label, detector))
        if before is None and after is None:
            continue
        judgements.append(
            Judgement(
                detector=detector,
                before=before,
                after=after,
                flagged_before=_flagged(before, at.get(detector)),
                flagged_after=_flagged(after, at.get(detector)),
            )
        )
    found = marks(document["text"], row["text"])
    note = "" if row.get("finished", True) else "cut at the token limit"
    return Rewriting(
        rewriter=label, text=marked(found), changed=changed_share(found), judgements=judgements, note=note
    )


def _flagged(score: float | None, threshold: float | None) -> bool | None:
    return None if score is None or threshold is None else score > threshold


def _reason(row: Row) -> str:
    failure = row.get("failure")
    return str(failure.get("message", failure)) if isinstance(failure, dict) else str(failure or "no rewrite")


def _while_training(rows: Sequence[Row]) -> Browser | None:
    """Held-out prompts as the policy rewrote them at the first and at the last evaluation."""
    held_out = [row for row in rows if row.get("kind") == "evaluation"]
    if not held_out:
        return None
    steps = sorted({row["step"] for row in held_out})
    steps = [steps[0], *steps[1:][-1:]]
    first: dict[tuple[str, int], Row] = {}
    for row in held_out:
        first.setdefault((row["id"], row["step"]), row)
    names = list(dict.fromkeys(row["id"] for row in held_out))
    detectors: dict[str, None] = {}
    samples = []
    for i in spread(len(names), MOST_DOCUMENTS):
        found = [first[names[i], step] for step in steps if (names[i], step) in first]
        if not found:
            continue
        rewritings = []
        for row in found:
            p_ai = {
                key.removeprefix(P_AI): value for key, value in row["details"].items() if key.startswith(P_AI)
            }
            detectors |= dict.fromkeys(p_ai)
            changes = marks(row["source"], row["rewrite"])
            total = row["total"]
            rewritings.append(
                Rewriting(
                    rewriter=f"policy, step {row['step']}",
                    text=marked(changes),
                    changed=changed_share(changes),
                    judgements=[
                        Judgement(
                            detector=name, before=None, after=value, flagged_before=None, flagged_after=None
                        )
                        for name, value in p_ai.items()
                    ],
                    note="" if total is None else f"total reward {total:.2f}",
                )
            )
        samples.append(_sample(names[i], "", found[0]["source"], rewritings))
    return Browser(
        samples=samples,
        total=len(names),
        origin="training",
        rewriters=[f"policy, step {step}" for step in steps],
        detectors=list(detectors),
        has_flags=False,
    )
