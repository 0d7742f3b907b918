"""The sample browser of a report: sources with their rewrites, changed words marked, scores before and after."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from paraphrase_rl.data.spread import spread
from paraphrase_rl.evaluation.results import ORIGINAL, Results
from paraphrase_rl.reporting.heat_map import detectors_in_order
from paraphrase_rl.reporting.inputs import ReportInputs, Row
from paraphrase_rl.reporting.score_distributions import thresholds
from paraphrase_rl.reporting.word_changes import changed_share, changes_as_html, visible, word_changes
from paraphrase_rl.runs.terms import first_of

MOST_DOCUMENTS = 40
MOST_CHARACTERS = 500_000
"""Largest number of characters of all texts shown, so that long documents do not make a file too large to open."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoreChange:
    """One detector's scores of a text before and after; ``None`` if it gave no score or has no threshold."""

    detector: str
    before: float | None
    after: float | None
    flagged_before: bool | None
    flagged_after: bool | None

    @property
    def change(self) -> str:
        """Change of the verdict: evaded, caught (newly flagged), flagged, missed (never flagged) or unknown."""
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
class SampleRewrite:
    """One rewriter's rewrite of a text, or why there is none."""

    rewriter: str
    text: Markup
    changed: float
    score_changes: Sequence[ScoreChange] = ()
    note: str = ""
    failure: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceWithRewrites:
    """One source with its rewrites."""

    id: str
    facts: str
    source: Markup
    start: str
    rewrites: Sequence[SampleRewrite]


@dataclass(frozen=True, slots=True, kw_only=True)
class SampleBrowser:
    """The samples shown, how many there are in all, and where they come from."""

    samples: Sequence[SourceWithRewrites]
    total: int
    origin: str
    rewriters: Sequence[str]
    detectors: Sequence[str]
    has_flags: bool

    @property
    def has_foreign(self) -> bool:
        """True if a rewrite has letters of a script that its source lacks."""
        return any('class="foreign"' in one.text for sample in self.samples for one in sample.rewrites)


def sample_browser(inputs: ReportInputs) -> SampleBrowser | None:
    """Choose samples of the evaluation, else of the run's held-out prompts; ``None`` if there are neither."""
    if inputs.results is not None and inputs.rewrites:
        return _evaluated(inputs, inputs.results)
    evasion = first_of(inputs.terms, "evasion")
    return _while_training(inputs.samples, evasion.probability_prefix if evasion else None)


def _evaluated(inputs: ReportInputs, results: Results) -> SampleBrowser | None:
    first: dict[tuple[str, str], Row] = {}
    for row in inputs.rewrites:
        first.setdefault((row["id"], row["rewriter"]), row)
    scores: dict[tuple[str, str, str], float | None] = {}
    for row in inputs.scores:
        scores.setdefault((row["id"], row["rewriter"], row["detector"]), row.get("score"))
    labels = [r.label for r in results.rewriters if r.label != ORIGINAL]
    rewritten = {key for key, _ in first}
    documents = [row for row in inputs.documents if row["id"] in rewritten and row.get("label") != "human"]
    detectors = [d.name for d in detectors_in_order(results)]
    at = thresholds(results)
    rows = [[first.get((document["id"], label)) for label in labels] for document in documents]
    characters = [
        sum(len(document["text"]) + len((row or {}).get("text") or "") for row in texts)
        for document, texts in zip(documents, rows, strict=True)
    ]
    most = MOST_DOCUMENTS
    while most > 1 and sum(spread(characters, most)) > MOST_CHARACTERS:
        most -= 1
    samples: list[SourceWithRewrites] = []
    for document, texts in spread(list(zip(documents, rows, strict=True)), most):
        rewrites = [
            _rewriting(document, label, row, detectors, scores, at)
            for label, row in zip(labels, texts, strict=True)
            if row is not None
        ]
        facts = ", ".join(str(document[key]) for key in ("domain", "group") if document.get(key))
        samples.append(_sample(document["id"], facts, document["text"], rewrites))
    if not samples:
        return None
    return SampleBrowser(
        samples=samples,
        total=len(documents),
        origin="evaluation",
        rewriters=labels,
        detectors=detectors,
        has_flags=bool(at),
    )


def _sample(name: str, facts: str, source: str, rewrites: Sequence[SampleRewrite]) -> SourceWithRewrites:
    return SourceWithRewrites(
        id=name,
        facts=facts,
        source=visible(source),
        start=" ".join(source.split())[:160],
        rewrites=rewrites,
    )


def _rewriting(
    document: Row,
    label: str,
    row: Row,
    detectors: Sequence[str],
    scores: Mapping[tuple[str, str, str], float | None],
    at: Mapping[str, float],
) -> SampleRewrite:
    if row.get("text") is None:
        return SampleRewrite(rewriter=label, text=Markup(""), changed=0.0, failure=_reason(row))
    score_changes = []
    for detector in detectors:
        before = scores.get((document["id"], ORIGINAL, detector))
        after = scores.get((document["id"], label, detector))
        if before is None and after is None:
            continue
        score_changes.append(
            ScoreChange(
                detector=detector,
                before=before,
                after=after,
                flagged_before=_flagged(before, at.get(detector)),
                flagged_after=_flagged(after, at.get(detector)),
            )
        )
    found = word_changes(document["text"], row["text"])
    note = "" if row.get("finished", True) else "cut at the token limit"
    return SampleRewrite(
        rewriter=label,
        text=changes_as_html(found),
        changed=changed_share(found),
        score_changes=score_changes,
        note=note,
    )


def _flagged(score: float | None, threshold: float | None) -> bool | None:
    return None if score is None or threshold is None else score > threshold


def _reason(row: Row) -> str:
    failure = row.get("failure")
    return str(failure.get("message", failure)) if isinstance(failure, dict) else str(failure or "no rewrite")


def _while_training(rows: Sequence[Row], p_prefix: str | None) -> SampleBrowser | None:
    """Held-out prompts as the policy rewrote them at the first and at the last evaluation.

    Args:
        rows: of ``samples.jsonl``.
        p_prefix: the beginning of the names of P(AI) by detector among the details; ``None`` = there are none.
    """
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
    for name in spread(names, MOST_DOCUMENTS):
        found = [first[name, step] for step in steps if (name, step) in first]
        if not found:
            continue
        rewrites = []
        for row in found:
            p_ai = {
                key.removeprefix(p_prefix): value
                for key, value in row["details"].items()
                if p_prefix is not None and key.startswith(p_prefix)
            }
            detectors |= dict.fromkeys(p_ai)
            changes = word_changes(row["source"], row["rewrite"])
            total = row["total"]
            rewrites.append(
                SampleRewrite(
                    rewriter=f"policy, step {row['step']}",
                    text=changes_as_html(changes),
                    changed=changed_share(changes),
                    score_changes=[
                        ScoreChange(
                            detector=name, before=None, after=value, flagged_before=None, flagged_after=None
                        )
                        for name, value in p_ai.items()
                    ],
                    note="" if total is None else f"total reward {total:.2f}",
                )
            )
        samples.append(_sample(name, "", found[0]["source"], rewrites))
    return SampleBrowser(
        samples=samples,
        total=len(names),
        origin="training",
        rewriters=[f"policy, step {step}" for step in steps],
        detectors=list(detectors),
        has_flags=False,
    )
