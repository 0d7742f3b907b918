"""Rewriter: of several candidates, the one with the lowest P(AI) by the detectors."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np
from pydantic import Field

from paraphrase_rl.plugin import (
    DEFAULT_ENCODER,
    CalibrationError,
    Component,
    Context,
    Document,
    Failure,
    Options,
    RewardBatch,
    Rewrite,
    RewriterSpec,
    Rewrites,
    hookimpl,
)
from paraphrase_rl_plugins.metrics.names import names_kept
from paraphrase_rl_plugins.metrics.negations import negations_kept
from paraphrase_rl_plugins.metrics.numbers import numbers_kept
from paraphrase_rl_plugins.rewards.output_format import FormatOptions
from paraphrase_rl_plugins.rewards.output_format import build as build_format
from paraphrase_rl_plugins.rewards.semantic_similarity import SimilarityOptions
from paraphrase_rl_plugins.rewards.semantic_similarity import build as build_similarity
from paraphrase_rl_plugins.rewriters._nested import WHICH, Nested, by_text, derived_seed

if TYPE_CHECKING:
    from paraphrase_rl.plugin import ProbabilityModel, Reward

NAME = "best-of-n"
_FACTS = (numbers_kept, names_kept, negations_kept)


class BestOfNOptions(Options):
    """Options of ``best-of-n``."""

    rewriter: Component | None = Field(None, description=WHICH)
    candidates: int = Field(4, ge=2, description="number of rewrites from which one is chosen")
    min_similarity: float = Field(
        0.88,
        ge=0,
        le=1,
        description="least cosine to the source; where no candidate has it, the one that lacks least is chosen",
    )
    min_facts_kept: float = Field(
        0.0,
        ge=0,
        le=1,
        description="least share kept of the source's numbers, names and negations, mean of the kinds that it has; "
        "English text",
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
            cost="one rewrite and one ensemble score per candidate",
        )
    ]


def build(options: BestOfNOptions, context: Context) -> BestOfN:
    """Build the rewriter.

    Raises:
        CalibrationError: there is no ensemble to choose by.
    """
    if context.ensemble is None:
        raise CalibrationError(
            "best-of-n needs a calibrated ensemble, and there is none",
            "give a run (--run RUN) or a calibration (--calibration FILE, written by `prl calibrate`)",
        )
    return BestOfN(
        Nested(options.rewriter, context),
        context.ensemble,
        build_format(FormatOptions(), context),
        build_similarity(SimilarityOptions(model=options.encoder), context),
        options.candidates,
        options.min_similarity,
        options.min_facts_kept,
    )


class BestOfN:
    """Chooses each rewrite as the best of ``candidates`` new ones.

    Candidates that pass the checks of the reward ``format``, at its default options, are preferred, then those that
    lack least of ``min_similarity`` and ``min_facts_kept``, what they lack of both added up, then the lowest combined
    P(AI); among equals the first. A detector that cannot score a candidate counts as if it were certain, so that it is
    no gain to be unreadable. A candidate that failed, or that no detector can score, is never chosen; if that is so for
    all candidates, the text fails, with the last reason.

    Args:
        gate: 1 for a complete rewrite and nothing else, 0 for another.
        similarity: cosine of source and rewrite in [0, 1].
    """

    def __init__(
        self,
        inner: Nested,
        ensemble: ProbabilityModel,
        gate: Reward,
        similarity: Reward,
        candidates: int,
        min_similarity: float,
        min_facts_kept: float = 0.0,
    ) -> None:
        self.inner, self.ensemble, self.gate, self.similarity = inner, ensemble, gate, similarity
        self.candidates, self.min_similarity, self.min_facts_kept = candidates, min_similarity, min_facts_kept

    def rewrite(self, texts: Sequence[str], n: int, seed: int) -> list[Rewrites]:
        """Rewrite each text ``n`` times; a text without rewrites has a Failure."""
        return by_text([self._best(texts, seed, sample) for sample in range(n)])

    def _best(self, texts: Sequence[str], seed: int, sample: int) -> list[Rewrite | Failure]:
        """Choose the candidate of each text."""
        # one by one, not n * candidates at once: a candidate that fails costs itself alone
        drawn = [
            self.inner.rewrite(texts, 1, derived_seed(seed, sample, candidate))
            for candidate in range(self.candidates)
        ]
        reasons = {one.index: one for found in drawn for one in found if isinstance(one, Failure)}
        written = [
            (i, one[0]) for found in drawn for i, one in enumerate(found) if not isinstance(one, Failure)
        ]
        if not written:
            return [reasons[i] for i in range(len(texts))]
        judged = self.ensemble.judge([one.text for _, one in written])
        batch = RewardBatch(
            sources=[Document(id=str(i), text=texts[i]) for i, _ in written],
            rewrites=[one.text for _, one in written],
            finished=[one.finished for _, one in written],
            instruction="",
        )
        complete = self.gate(batch).values > 0
        missing = np.maximum(self.min_similarity - self.similarity(batch).values, 0)
        missing[np.isnan(missing)] = np.inf
        missing += [max(self.min_facts_kept - facts_kept(texts[i], one.text), 0) for i, one in written]
        reasons |= {written[failure.index][0]: failure for failure in judged.combined.failures}
        best: dict[int, tuple[tuple[bool, float, float], Rewrite]] = {}
        for row, ((i, one), p_ai) in enumerate(zip(written, judged.highest.tolist(), strict=True)):
            rank = (not complete[row], float(missing[row]), p_ai)
            if np.isfinite(p_ai) and (i not in best or rank < best[i][0]):
                best[i] = (rank, one)
        return [best[i][1] if i in best else reasons[i] for i in range(len(texts))]


def facts_kept(source: str, rewrite: str) -> float:
    """Compute the share kept of the source's numbers, names and negations, mean of the kinds that it has; 1 if none."""
    shares = [share for measure in _FACTS if not np.isnan(share := measure(source, rewrite))]
    return sum(shares) / len(shares) if shares else 1.0
