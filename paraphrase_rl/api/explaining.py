"""The verb explain."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, ClassVar

from paraphrase_rl.api.common import registry_or_default
from paraphrase_rl.api.detector_choice import choose_detectors
from paraphrase_rl.data.bad_rows import BadRows, leave_out
from paraphrase_rl.data.reading import TextSource, open_texts
from paraphrase_rl.detection.explaining import ExplainedScore, explained
from paraphrase_rl.detection.scorer import Scorer
from paraphrase_rl.errors import PluginError, UsageError
from paraphrase_rl.progress import OnProgress, reporter
from paraphrase_rl.tables import Table
from paraphrase_rl.text.canonical import canonical
from paraphrase_rl.types import Failure

if TYPE_CHECKING:
    from paraphrase_rl.api.common import Detectors
    from paraphrase_rl.api.saved_calibration import SavedCalibration
    from paraphrase_rl.data.forms import Form
    from paraphrase_rl.data.reading import Texts
    from paraphrase_rl.plugin.registry import Registry


@dataclass(frozen=True, kw_only=True)
class PartRow:
    """One part of the text and its share in the score of one detector.

    Attributes:
        detector: name of the detector.
        part: the token or n-gram; blanks belong to it.
        start: first place of it in the text, in characters; ``None`` if it is not known.
        end: end of this place.
        places: number of its places in the text.
        share: what it adds to the score, in the detector's unit; base and shares add up to the score.
        push: share less that of a token of a text at the threshold; positive = towards AI, negative = towards human.
        rank: rank of the token among all of the model's vocabulary, 1 = the likeliest; ``None`` for n-grams.
        logprob: log-probability of the token, in nats.
        entropy: entropy of the model's distribution before the token, in nats.
    """

    detector: str
    part: str
    start: int | None
    end: int | None
    places: int
    share: float
    push: float
    rank: int | None = None
    logprob: float | None = None
    entropy: float | None = None


@dataclass(frozen=True, repr=False, kw_only=True)
class ExplainResult(Table[PartRow]):
    """Parts of one text and what each adds to each detector's score; tokens follow the order of the text.

    Attributes:
        text: the text that was scored, as the detectors get it.
        scores: the score of each detector, with its parts.
    """

    columns: ClassVar[tuple[str, ...]] = ("detector", "part", "push", "rank", "logprob")

    text: str
    scores: tuple[ExplainedScore, ...]

    @property
    def title(self) -> str:
        """First line of ``repr``."""
        return "; ".join(verdict_line(score) for score in self.scores)

    def html(self) -> str:
        """Write the explanation as one HTML page that needs no network."""
        from paraphrase_rl.reporting.explanation import explanation_page

        return explanation_page(self.text, self.scores, self.remarks)

    def _repr_html_(self) -> str:
        from paraphrase_rl.reporting.explanation import explanation_fragment

        return explanation_fragment(self.text, self.scores, self.remarks)


def explain(
    text: Texts,
    *,
    id: str | None = None,
    detectors: Detectors | None = None,
    calibration: SavedCalibration | None = None,
    fpr: float | None = None,
    column: str | None = None,
    input_format: Form | None = None,
    bad_rows: BadRows = "refuse",
    device: str | None = None,
    progress: OnProgress | None = None,
    registry: Registry | None = None,
) -> ExplainResult:
    """Explain the scores of one text: which of its parts they come from, and in which direction each pushes.

    The shares of the parts add up to the score exactly, as each bundled score is a sum over tokens or n-grams. A share
    says what a detector used, not why a text was written as it was, and it is no evidence about its author.

    Args:
        text: one text, or texts of which ``id`` names one, in any form that :func:`score` takes.
        id: id of the text, as :func:`score` gives it; ``None`` = there is only one.
        detectors: names, names with options, or what :func:`detector` returned; ``None`` = those of the calibration,
            else those of the default recipe. Those that cannot explain their scores are left out if ``None``.
        calibration: what :func:`calibrate` returned or saved; as for :func:`score`. The text is cut as those of the
            calibration were.
        fpr: false positive rate of the thresholds; ``None`` = the target rate.
        column: name of the text column of a table; ``None`` = ``text``.
        input_format: format of the files, see :func:`score`; ``None`` = by their names and contents.
        bad_rows: ``refuse`` or ``skip`` rows without a usable text: empty, not a string, not valid Unicode.
        device: torch device.
        progress: called with each progress report.
        registry: components to choose from.

    Returns:
        One row for each part and detector. ``scores`` has score, threshold and verdict of each detector; ``html()`` is
        a page, which a notebook shows.

    Raises:
        UsageError, DataError: not one usable text, or none with the id.
        PluginError: a detector that was asked for cannot explain its scores.
        CalibrationError: there is no such calibration or rate, or a detector has changed since.
        RecipeError, MissingDependencyError, ModelError: a detector cannot be built.

    Example:
        >>> found = prl.explain("The council voted on the new bridge.", detectors="tfidf")
        >>> score = found.scores[0].explanation
        >>> abs(score.base + sum(row.share for row in found) - score.score) < 1e-6
        True
    """
    registry = registry_or_default(registry)
    report = reporter(progress)
    if isinstance(text, Iterator):
        text = list(text)
    chosen, notes = _one_text(open_texts(text, column, input_format, report), id, bad_rows)
    choice = choose_detectors(detectors, calibration, fpr, device, registry)
    scorer = Scorer(choice.settings, choice.registry)
    whole = canonical(choice.cut(chosen))
    cut = [*choice.notes, *([choice.cut_note] if choice.excerpt_words is not None else [])]
    built = scorer.detectors
    report(f"explaining the scores of {', '.join(built)}")
    scores, silent = [], []
    for decision in scorer.decide([whole])[0]:
        if decision.detector not in built:
            continue
        try:
            explanation = built[decision.detector].explain(whole)  # type: ignore[attr-defined]
        except PluginError:
            if detectors is not None:
                raise
            silent.append(decision.detector)
            continue
        scores.append(explained(decision, explanation))
    if not scores:
        raise PluginError(
            f"none of the detectors can explain its scores: {', '.join(silent)}",
            "choose others, such as the zero-shot ones: prl plugins detectors",
        )
    if silent:
        notes.append(f"left out, as they cannot explain their scores: {', '.join(silent)}")
    notes += [*cut, *(note for score in scores for note in _notes(score, whole))]
    return ExplainResult(
        rows=tuple(row for score in scores for row in _rows(score)),
        notes=tuple(notes),
        text=whole,
        scores=tuple(scores),
    )


def _one_text(source: TextSource, id: str | None, bad_rows: BadRows) -> tuple[str, list[str]]:
    """The text to explain, and notes on rows left out."""
    notes = leave_out(source.bad, source.n or 0, bad_rows)
    texts = (item for item in source if not item.problem and id in (None, item.id))
    found = list(islice(texts, 2))
    if not found and id is None:
        raise UsageError("no texts given", "give one text")
    if not found:
        raise UsageError(f"no text has the id {id!r}", "ids are those that `prl score` shows")
    if len(found) > 1:
        raise UsageError(
            "several texts are given, and one is explained at a time", "name it: --id ID (id=ID)"
        )
    return found[0].text, notes


def verdict_line(score: ExplainedScore) -> str:
    """Say in one line what a detector found."""
    decision, explanation = score.decision, score.explanation
    if isinstance(explanation, Failure):
        return f"{decision.detector}: no score: {explanation.message}"
    line = f"{decision.detector}: score {explanation.score:.4g}"
    if decision.threshold is not None:
        line += f", threshold {decision.threshold:.4g}"
    if decision.flagged is not None:
        line += ", flagged" if decision.flagged else ", not flagged"
    if decision.no_verdict is not None:
        line += f", no verdict ({decision.no_verdict})"
    return line


def _notes(score: ExplainedScore, text: str) -> list[str]:
    found = score.explanation
    if isinstance(found, Failure) or found.read >= len(text):
        return []
    return [
        f"{score.decision.detector} read the first {found.read} of {len(text)} characters; the rest has no influence"
    ]


def _rows(score: ExplainedScore) -> list[PartRow]:
    rows = []
    for part in score.parts:
        details: Mapping[str, float] = part.share.details
        first = part.share.spans[0] if part.share.spans else (None, None)
        rows.append(
            PartRow(
                detector=score.decision.detector,
                part=part.share.text,
                start=first[0],
                end=first[1],
                places=len(part.share.spans),
                share=part.share.value,
                push=part.push,
                rank=int(details["rank"]) if "rank" in details else None,
                logprob=details.get("logprob"),
                entropy=details.get("entropy"),
            )
        )
    return rows
