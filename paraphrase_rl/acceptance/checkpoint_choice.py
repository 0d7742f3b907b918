"""Choice of a checkpoint on the Pareto front of evasion and meaning."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from pydantic import Field

from paraphrase_rl.detection.ensemble import COMBINED
from paraphrase_rl.evaluation.results import Results
from paraphrase_rl.runs.reader import History
from paraphrase_rl.runs.terms import first_of
from paraphrase_rl.statistics.records import Estimate, Record

EVALUATION = "evaluation: attack success rate"


class Candidate(Record):
    """A checkpoint with its evasion and similarity; for both higher = better, ``None`` = not measured."""

    step: int
    evasion: float | None = Field(description="attack success rate, or mean 1 - P(AI), see source")
    evasion_low: float | None = Field(None, description="lower end of its 95 % interval, if of an evaluation")
    evasion_high: float | None = None
    similarity: float | None = Field(description="mean cosine to the source")
    similarity_low: float | None = Field(
        None, description="lower end of its 95 % interval, if of an evaluation"
    )
    similarity_high: float | None = None
    source: str = Field(description="source of the figures, or the command that measures them")
    on_front: bool = False
    chosen: bool = False

    def shown_row(self) -> dict[str, object]:
        """Return the row for display: an evaluation's figures with their intervals, or those during training."""
        return {
            "step": self.step,
            "evasion": self._shown(self.evasion, self.evasion_low, self.evasion_high),
            "similarity": self._shown(self.similarity, self.similarity_low, self.similarity_high),
            "front": self.on_front,
            "chosen": self.chosen,
            "source": self.source,
        }

    def _shown(self, value: float | None, low: float | None, high: float | None) -> float | str | None:
        if value is None or self.source != EVALUATION:
            return value
        return Estimate(value=value, low=low, high=high, n=0).shown()


def front(points: Sequence[tuple[float, float]]) -> list[bool]:
    """Find the points that no other point dominates: that is, is at least as good in both values and better in one.

    Args:
        points: (evasion, similarity), higher = better. Equal points stay together; one with NaN is never on the front.
    """
    known = [point for point in points if not any(map(math.isnan, point))]
    return [
        not any(map(math.isnan, point))
        and not any(other[0] >= point[0] and other[1] >= point[1] and other != point for other in known)
        for point in points
    ]


def choose(points: Mapping[int, tuple[float, float]], least_similarity: float) -> int | None:
    """Choose the step whose checkpoint evades most among those on the front that reach the similarity.

    If none reaches it, choose that with the highest similarity. Of equal points the earliest is chosen, which is the
    nearest to the base model.

    Args:
        points: step -> (evasion, similarity), higher = better.
        least_similarity: cosine in [0, 1].

    Returns:
        The step; ``None`` if nothing was measured.
    """
    steps = sorted(points)
    on_front = [step for step, is_on in zip(steps, front([points[s] for s in steps]), strict=True) if is_on]
    reach = [step for step in on_front if points[step][1] >= least_similarity]
    if reach:
        return max(reach, key=lambda step: points[step][0])
    return max(on_front, key=lambda step: points[step][1], default=None)


def candidates(
    history: History,
    results: Results | None,
    labels: Mapping[int, str],
    least_similarity: float,
    command: str,
) -> tuple[Candidate, ...]:
    """List the usable checkpoints of a run with their evasion and similarity, the front and the choice marked.

    The values are those of the evaluation, or those of the evaluations during training, whichever covers more
    checkpoints (the evaluation if both cover as many): an attack success rate and a mean 1 - P(AI) are never
    compared.

    Args:
        history: history of the run.
        results: results of the run's evaluation; ``None`` if there is none.
        labels: step -> the rewriter's label in the evaluation.
        least_similarity: cosine in [0, 1] that :func:`choose` asks for.
        command: command that measures missing values.
    """
    steps = sorted({checkpoint.step for checkpoint in history.checkpoints if checkpoint.damage is None})
    estimates = {step: _evaluated(results, labels.get(step), history) for step in steps}
    evaluated = {step: (_value(success), _value(alike)) for step, (success, alike) in estimates.items()}
    evasion, meaning = (
        term.metric if (term := first_of(history.terms, role)) else "" for role in ("evasion", "meaning")
    )
    trained = {
        step: (metrics.get(evasion, math.nan), metrics.get(meaning, math.nan))
        for step in steps
        for metrics in [history.evaluations.get(step, {})]
    }
    from_evaluation = results is not None and _measured(evaluated) >= _measured(trained)
    points = evaluated if from_evaluation else trained
    source = (
        EVALUATION if from_evaluation else "evaluations during training: reward terms of evasion and meaning"
    )
    on_front = dict(zip(steps, front([points[step] for step in steps]), strict=True))
    chosen = choose(points, least_similarity)
    return tuple(
        Candidate(
            step=step,
            evasion=_known(points[step][0]),
            similarity=_known(points[step][1]),
            **(_bounds(*estimates[step]) if from_evaluation else {}),
            source=f"not measured: {command}" if any(map(math.isnan, points[step])) else source,
            on_front=on_front[step],
            chosen=step == chosen,
        )
        for step in steps
    )


def _evaluated(
    results: Results | None, label: str | None, history: History
) -> tuple[Estimate | None, Estimate | None]:
    if results is None or label is None:
        return None, None
    point = results.point(label, COMBINED, history.recipe.calibration.target_fpr)
    quality = results.meaning(label)
    return point.attack_success_rate if point else None, quality.estimate if quality else None


def _bounds(evasion: Estimate | None, similarity: Estimate | None) -> dict[str, float | None]:
    return {
        f"{name}_{end}": bound
        for name, estimate in (("evasion", evasion), ("similarity", similarity))
        if estimate is not None
        for end, bound in zip(("low", "high"), estimate.interval, strict=True)
    }


def _value(estimate: Estimate | None) -> float:
    return math.nan if estimate is None or estimate.value is None else estimate.value


def _measured(points: Mapping[int, tuple[float, float]]) -> int:
    return sum(not any(map(math.isnan, point)) for point in points.values())


def _known(value: float) -> float | None:
    return None if math.isnan(value) else value
