"""What a rewrite costs: one table of metrics, each computed on its own, none replaced by another.

NaN beside a Failure: it could not be computed. NaN without one: it does not apply (a source without numbers keeps
none), and a mean is over the rewrites it applies to.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from paraphrase_rl.detection.zero_shot import ZeroShotOptions
from paraphrase_rl.errors import PrlError
from paraphrase_rl.evaluation import quality_facts as facts
from paraphrase_rl.evaluation import quality_text as text
from paraphrase_rl.evaluation.quality_judge import Judge, JudgeSettings
from paraphrase_rl.evaluation.quality_nli import Entailment
from paraphrase_rl.evaluation.quality_parts import (
    Finished,
    Gates,
    Pairwise,
    Part,
    Perplexity,
    Similarity,
    Unavailable,
    contained,
)
from paraphrase_rl.models.embeddings import DEFAULT_ENCODER
from paraphrase_rl.models.language_model import shared_language_model
from paraphrase_rl.models.references import load_encoder, resolve
from paraphrase_rl.plugin.registry import Registry, default_registry
from paraphrase_rl.plugin.specs import Context, Options
from paraphrase_rl.recipe.schema import Recipe
from paraphrase_rl.types import Document, Failure, FloatArray, RewardBatch, Rewrite

INF = float("inf")


@dataclass(frozen=True, slots=True)
class Metric:
    """What a metric is.

    Attributes:
        name: of the values and their failures.
        summary: one line.
        better: ``higher`` or ``lower``; ``None`` where neither is (a rewrite may be longer, and must differ).
        range: smallest and largest value.
        needs: what it is computed with beside the texts; empty = nothing.
    """

    name: str
    summary: str
    better: Literal["higher", "lower"] | None
    range: tuple[float, float]
    needs: str = ""


METRICS: Mapping[str, Metric] = {
    metric.name: metric
    for metric in (
        Metric(
            "semantic_similarity",
            "cosine of the sentence embeddings of source and rewrite",
            "higher",
            (-1.0, 1.0),
            "the encoder of the recipe's similarity reward",
        ),
        Metric("numbers_kept", "share of the source's numbers that the rewrite has", "higher", (0.0, 1.0)),
        Metric("numbers_added", "numbers of the rewrite that the source does not have", "lower", (0.0, INF)),
        Metric("names_kept", "share of the source's names that the rewrite has", "higher", (0.0, 1.0)),
        Metric("names_added", "names of the rewrite that the source does not have", "lower", (0.0, INF)),
        Metric(
            "negations_kept", "the rewrite's negations over the source's, at most 1", "higher", (0.0, 1.0)
        ),
        Metric("negations_added", "negations of the rewrite beyond the source's", "lower", (0.0, INF)),
        Metric("length_ratio", "words of the rewrite over words of the source", None, (0.0, INF)),
        Metric(
            "edit_rate",
            "Levenshtein distance in words over words of the source",
            None,
            (0.0, INF),
            "rapidfuzz",
        ),
        Metric(
            "chrf",
            "chrF2 of the rewrite against the source: character n-grams in common",
            None,
            (0.0, 1.0),
            "sacrebleu",
        ),
        Metric(
            "perplexity_ratio",
            "perplexity of the rewrite over that of the source",
            None,
            (0.0, INF),
            "the language model of the recipe's fluency reward",
        ),
        Metric(
            "repetition",
            "share of the rewrite's word 4-grams that occurred before in it",
            "lower",
            (0.0, 1.0),
        ),
        Metric(
            "format",
            "1 where the recipe's gates let the rewrite pass, else 0",
            "higher",
            (0.0, 1.0),
            "a gate among the recipe's rewards",
        ),
        Metric(
            "finished", "1 where the rewriter ended the text itself, 0 where it was cut", "higher", (0.0, 1.0)
        ),
        Metric(
            "nli_forward",
            "mean P(the source entails it) over the rewrite's sentences",
            "higher",
            (0.0, 1.0),
            "an NLI model",
        ),
        Metric(
            "nli_backward",
            "mean P(the rewrite entails it) over the source's sentences",
            "higher",
            (0.0, 1.0),
            "an NLI model",
        ),
        Metric("judge_meaning", "the judge's mark for meaning kept", "higher", (1.0, 5.0), "a judge"),
        Metric(
            "judge_quality", "the judge's mark for the rewrite as a text", "higher", (1.0, 5.0), "a judge"
        ),
    )
}


class QualityMeasures:
    """All metrics that can be computed here.

    Attributes:
        names: of the metrics, in the order of :data:`METRICS`.
        provenance: what they depend on: role -> model and revision.
    """

    def __init__(self, parts: Sequence[Part]) -> None:
        self._parts = tuple(parts)
        known = {name for part in parts for name in part.names}
        self.names = tuple(name for name in METRICS if name in known)
        self.provenance = {role: model for part in parts for role, model in part.provenance.items()}

    def __call__(
        self, sources: Sequence[Document], rewrites: Sequence[Rewrite], instruction: str
    ) -> tuple[dict[str, FloatArray], list[Failure]]:
        """Measure N rewrites.

        Args:
            sources: shape (N,), the document each rewrite was made from.
            rewrites: shape (N,).
            instruction: what the rewriter was told; empty where it was told nothing.

        Returns:
            Values of shape (N,) by metric, and a Failure (owner = the metric) for each that could not be computed. A
            value does not depend on the other rewrites of the call (to 1e-4).
        """
        batch = RewardBatch(
            sources=sources,
            rewrites=[rewrite.text for rewrite in rewrites],
            finished=[rewrite.finished for rewrite in rewrites],
            instruction=instruction,
        )
        values: dict[str, FloatArray] = {}
        failures: list[Failure] = []
        for part in self._parts:
            measured, failed = contained(part, batch)
            values |= measured
            failures += failed
        return {name: values[name] for name in self.names}, failures


def build_quality(
    recipe: Recipe, context: Context, *, nli: str | None = None, judge: JudgeSettings | None = None
) -> QualityMeasures:
    """The metrics of a recipe, with its encoder, its language model and its gates.

    A metric that cannot be computed here (a missing package or model) has a Failure for each rewrite; ``format`` is
    left out where the recipe has no gate. What was asked for by ``nli`` and ``judge`` must work.

    Args:
        recipe: its rewards say which models judge.
        context: of the gates; its device is for all models.
        nli: model reference of an NLI model.
        judge: where and how to ask a judge.

    Raises:
        PrlError: the NLI model cannot be loaded or has no label "entailment", or the judge's key is not set.
    """
    registry = default_registry()
    parts: list[Part] = [Finished()]
    parts += [Pairwise(name, measure) for name, measure in _BY_RULE.items()]
    parts.append(_made(("edit_rate",), lambda: Pairwise("edit_rate", text.edit_rate())))
    parts.append(_made(("chrf",), lambda: Pairwise("chrf", text.chrf())))
    parts.append(_made(Similarity.names, lambda: _similarity(recipe, registry, context)))
    parts.append(_made(Perplexity.names, lambda: _perplexity(recipe, registry, context)))
    if any(registry.spec("rewards", entry.name).gate for entry in recipe.rewards):
        parts.append(_made(Gates.names, lambda: _gates(recipe, registry, context)))
    if nli is not None:
        parts.append(Entailment(nli, context.device))
    if judge is not None:
        parts.append(Judge(judge))
    return QualityMeasures(parts)


_BY_RULE: Mapping[str, Callable[[str, str], float]] = {
    "numbers_kept": facts.numbers_kept,
    "numbers_added": facts.numbers_added,
    "names_kept": facts.names_kept,
    "names_added": facts.names_added,
    "negations_kept": facts.negations_kept,
    "negations_added": facts.negations_added,
    "length_ratio": text.length_ratio,
    "repetition": text.repetition,
}


def _made(names: tuple[str, ...], make: Callable[[], Part]) -> Part:
    try:
        return make()
    except PrlError as error:
        return Unavailable(names, error.one_line)


def _similarity(recipe: Recipe, registry: Registry, context: Context) -> Similarity:
    options = _reward_options(recipe, registry, "semantic")
    model = getattr(options, "model", DEFAULT_ENCODER)
    return Similarity(load_encoder(model, context.device), f"{model}@{resolve(model).revision}")


def _perplexity(recipe: Recipe, registry: Registry, context: Context) -> Perplexity:
    """With the reward's own model and token limit, so that what it computed before is remembered."""
    options = _reward_options(recipe, registry, "fluency")
    default = ZeroShotOptions()
    limit = getattr(options, "max_tokens", default.max_tokens)
    model = shared_language_model(getattr(options, "model", default.model), context.device, limit)
    return Perplexity(model, f"{model.reference}@{model.revision}, {model.max_tokens} tokens")


def _gates(recipe: Recipe, registry: Registry, context: Context) -> Gates:
    return Gates(
        {
            entry.name: registry.build("rewards", entry.name, entry.options, context)
            for entry in recipe.rewards
            if registry.spec("rewards", entry.name).gate
        }
    )


def _reward_options(recipe: Recipe, registry: Registry, stem: str) -> Options | None:
    """Options of the recipe's reward that is logged as ``STEM_reward``."""
    for entry in recipe.rewards:
        spec = registry.spec("rewards", entry.name)
        if (spec.metric or spec.name.replace("-", "_")) == stem:
            return registry.options("rewards", entry.name, entry.options)
    return None
