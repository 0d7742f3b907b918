"""Direction in which the parts of a text move a detector's verdict, from the shares that the detector reports."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from paraphrase_rl.detection.decision import Decision
from paraphrase_rl.types import Explanation, Failure, Share

RANK_CLASSES = (10, 100, 1000)
"""Largest ranks of the classes of tokens: 10, 100, 1000, and a last one of all rarer tokens.

Gehrmann et al. 2019 (GLTR), https://arxiv.org/abs/1906.04043.
"""


@dataclass(frozen=True, slots=True)
class Part:
    """Part of a text, and what it does to the verdict.

    Attributes:
        share: what the detector reports of it.
        push: share without the part's own fraction of a neutral score; positive = towards AI. All pushes add up to
            score - threshold for a mean, to score - base else. Without a threshold, the text's own mean is neutral.
    """

    share: Share
    push: float


@dataclass(frozen=True, slots=True)
class ExplainedScore:
    """One detector's score of a text, with the parts it comes from.

    Attributes:
        decision: score, threshold and verdict.
        explanation: what the detector reports; a Failure if it has no score.
        parts: parts in the detector's order: tokens in that of the text.
    """

    decision: Decision
    explanation: Explanation | Failure
    parts: tuple[Part, ...] = ()

    def strongest(self, n: int, *, towards_ai: bool) -> list[Part]:
        """List at most ``n`` parts that push most in one direction, the strongest first."""
        sign = 1.0 if towards_ai else -1.0
        pushing = [part for part in self.parts if sign * part.push > 0]
        return sorted(pushing, key=lambda part: (-sign * part.push, part.share.spans))[:n]

    def tokens(self) -> tuple[tuple[int, int], ...]:
        """Return the places of the parts if these are tokens of a language model, in order; else nothing."""
        if not self.parts or any("rank" not in part.share.details for part in self.parts):
            return ()
        return tuple(part.share.spans[0] for part in self.parts)


def explained(decision: Decision, explanation: Explanation | Failure) -> ExplainedScore:
    """Add the push of each part to an explanation.

    Args:
        decision: the detector's decision on the text.
        explanation: what the detector reports of it.
    """
    if isinstance(explanation, Failure):
        return ExplainedScore(decision, explanation)
    neutral = 0.0
    if explanation.is_mean and explanation.shares:
        at = explanation.score if decision.threshold is None else decision.threshold
        neutral = (at - explanation.base) / len(explanation.shares)
    parts = tuple(Part(share, share.value - neutral) for share in explanation.shares)
    return ExplainedScore(decision, explanation, parts)


def rank_class(rank: float) -> int:
    """Return the class of a token's rank, 0 to 3: within the first 10, 100, 1000, or beyond."""
    return sum(rank > largest for largest in RANK_CLASSES)


def token_views(scores: Sequence[ExplainedScore]) -> list[list[ExplainedScore]]:
    """Group the scores that rest on tokens by the tokens: detectors of one model share theirs."""
    groups: dict[tuple[tuple[int, int], ...], list[ExplainedScore]] = {}
    for score in scores:
        if tokens := score.tokens():
            groups.setdefault(tokens, []).append(score)
    return list(groups.values())
