"""Rewriter: several candidates, of which the detectors choose the one they find least AI-like."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np
from pydantic import Field

from paraphrase_rl import hookimpl
from paraphrase_rl.errors import CalibrationError
from paraphrase_rl.evaluation.contain import Rewritten
from paraphrase_rl.recipe.schema import Component
from paraphrase_rl.specs import Context, Options, RewriterSpec
from paraphrase_rl.text_embedding import DEFAULT_ENCODER
from paraphrase_rl.types import Document, Failure, FloatArray, RewardBatch, Rewrite
from paraphrase_rl_plugins.rewards.semantic_similarity import SimilarityOptions
from paraphrase_rl_plugins.rewards.semantic_similarity import build as build_similarity
from paraphrase_rl_plugins.rewriters._nested import WHICH, Nested
from paraphrase_rl_plugins.rewriters._texts import at

if TYPE_CHECKING:
    from paraphrase_rl.protocols import ProbabilityModel, Reward

NAME = "best-of-n"


class BestOfNOptions(Options):
    """Options of ``best-of-n``."""

    rewriter: Component | None = Field(None, description=WHICH)
    candidates: int = Field(4, ge=2, description="rewrites from which one is chosen")
    min_similarity: float = Field(
        0.88, ge=0, le=1, description="cosine to the source; a candidate below it loses to every one above"
    )
    encoder: str = Field(DEFAULT_ENCODER, description="model reference of the sentence encoder")


@hookimpl
def register_rewriters() -> Iterable[RewriterSpec]:
    return [
        RewriterSpec(
            name=NAME,
            summary="of several rewrites the one with the lowest P(AI) of the ensemble",
            factory=build,
            options=BestOfNOptions,
            extra="trl",
            modules=("torch", "transformers"),
            models=(DEFAULT_ENCODER,),
            cost="as many rewrites and ensemble scores as there are candidates",
        )
    ]


def build(options: BestOfNOptions, context: Context) -> BestOfN:
    """The factory.

    Raises:
        CalibrationError: there is no ensemble to choose by.
    """
    if context.ensemble is None:
        raise CalibrationError(
            "best-of-n chooses by a calibrated ensemble, and there is none",
            "name a run (--run RUN) or a calibration (--calibration FILE; `prl calibrate` makes one)",
        )
    return BestOfN(
        Nested(options.rewriter, context),
        context.ensemble,
        build_similarity(SimilarityOptions(model=options.encoder), context),
        options.candidates,
        options.min_similarity,
    )


class BestOfN:
    """Each rewrite is the best of ``candidates`` fresh ones.

    Those at or above ``min_similarity`` come first, then the lowest combined P(AI) counts; of equals the first.
    A candidate that no detector can score is never chosen; where that is so of all of them, the text fails.

    Args:
        similarity: cosine of source and rewrite in [0, 1].
    """

    def __init__(
        self,
        inner: Nested,
        ensemble: ProbabilityModel,
        similarity: Reward,
        candidates: int,
        min_similarity: float,
    ) -> None:
        self.inner, self.ensemble, self.similarity = inner, ensemble, similarity
        self.candidates, self.min_similarity = candidates, min_similarity

    def rewrite(self, texts: Sequence[str], n: int, seed: int) -> list[Rewritten]:
        """``n`` rewrites of each text, or why there are none."""
        found = self.inner.rewrite(texts, n * self.candidates, seed)
        drawn = [
            (text, one)
            for text, result in zip(texts, found, strict=True)
            if isinstance(result, list)
            for one in result
        ]
        if not drawn:
            return found
        alike = self._similarity(drawn)
        _, combined = self.ensemble.probabilities([one.text for _, one in drawn])
        reasons = {failure.index: failure for failure in combined.failures}
        results: list[Rewritten] = []
        start = 0
        for i, result in enumerate(found):
            if isinstance(result, Failure):
                results.append(result)
                continue
            picked = [
                self._best(range(first, first + self.candidates), combined.values, alike)
                for first in range(start, start + len(result), self.candidates)
            ]
            lost = [start + rank * self.candidates for rank, best in enumerate(picked) if best is None]
            results.append(
                at(i, reasons[lost[0]]) if lost else [drawn[best][1] for best in picked if best is not None]
            )
            start += len(result)
        return results

    def _best(self, candidates: range, p_ai: FloatArray, alike: FloatArray) -> int | None:
        """The chosen candidate; ``None`` where no detector could score any."""
        scored = [c for c in candidates if np.isfinite(p_ai[c])]
        # a similarity that is not known (NaN) does not reach the bound
        return min(scored, key=lambda c: (not alike[c] >= self.min_similarity, p_ai[c]), default=None)

    def _similarity(self, drawn: Sequence[tuple[str, Rewrite]]) -> FloatArray:
        """Shape (N,): cosine of each candidate to its source, NaN where there is none."""
        return self.similarity(
            RewardBatch(
                sources=[Document(id=str(i), text=text) for i, (text, _) in enumerate(drawn)],
                rewrites=[one.text for _, one in drawn],
                finished=[one.finished for _, one in drawn],
                instruction="",
            )
        ).values
