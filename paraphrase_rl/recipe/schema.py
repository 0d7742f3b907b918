"""Schema of a recipe; ``docs/recipe.md`` is generated from it.

Defaults are those of the published recipe; the components it takes by default are named in ``configs/defaults.yaml``.
Unknown keys are refused everywhere.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from paraphrase_rl.recipe.defaults import default
from paraphrase_rl.recipe.monitors import Monitor, completed, published
from paraphrase_rl.recipe.prompt import Prompt
from paraphrase_rl.recipe.section import Section
from paraphrase_rl.types import Kind


def _has_infinity(value: Any) -> bool:
    if isinstance(value, (dict, list)):
        return any(map(_has_infinity, value.values() if isinstance(value, dict) else value))
    return isinstance(value, float) and not math.isfinite(value)


class Component(Section):
    """A component by name, with its options."""

    name: str = Field(description="name of the component, or distribution/name")
    options: dict[str, Any] = Field(default_factory=dict, description="the component's own options")

    @field_validator("options")
    @classmethod
    def _finite(cls, options: dict[str, Any]) -> dict[str, Any]:
        if _has_infinity(options):
            raise ValueError("every number must be finite")
        return options


class Weighted(Component):
    """A component with a weight."""

    weight: float | None = Field(None, ge=0, description="weight in the mean; null = the component's default")


class RewardTermSettings(Weighted):
    """A reward with its weight, and the range of its values that counts."""

    floor: float = Field(
        0.0, ge=-1, lt=1, description="value from which on the reward counts; below it, it counts 0"
    )
    saturation: float = Field(
        1.0, gt=0, le=1, description="value at which the reward counts 1; more of it pays nothing more"
    )

    @model_validator(mode="after")
    def _some_range(self) -> Self:
        if self.floor >= self.saturation:
            raise ValueError(f"floor {self.floor:g} must be below saturation {self.saturation:g}")
        return self


class Lora(Section):
    """LoRA adapter of the policy."""

    rank: int = Field(32, ge=1, description="rank of every adapted layer")
    alpha: float = Field(32, gt=0, description="scale; the adapter's output is multiplied by alpha / rank")
    target_modules: list[str] | None = Field(
        None,
        description="layers to adapt; null = every linear layer, including the MLP, without the unembedding",
    )


class Training(Section):
    """Training loop."""

    learning_rate: float | Literal["auto"] = Field(
        2.8e-4, description="applied exactly as written; auto = the published formula for LoRA"
    )
    batch_size: int = Field(4, ge=1, description="prompts per step")
    group_size: int = Field(8, ge=2, description="rollouts per prompt")
    ratio_cap: float | None = Field(
        2.0,
        gt=1,
        description="largest weight of a token by its importance ratio, where what samples has a copy of the policy "
        "(vLLM) or an older one (Tinker, max_steps_off_policy); null = none",
    )
    epochs: int = Field(3, ge=1, description="passes over the training prompts")
    max_steps: int | None = Field(None, ge=1, description="stop after so many steps; null = all epochs")
    seed: int = Field(0, ge=0, description="seed of data order, adapter and sampling")

    @model_validator(mode="after")
    def _positive_rate(self) -> Self:
        if self.learning_rate != "auto" and not 0 < float(self.learning_rate) < 1:
            raise ValueError("learning_rate must be between 0 and 1, or auto")
        return self


class Sampling(Section):
    """Sampling of rollouts."""

    temperature: float = Field(1.0, gt=0, description="constant over the run")
    top_p: float = Field(
        0.95, gt=0, le=1, description="nucleus sampling; log-probabilities stay those of the full softmax"
    )
    max_tokens: int = Field(
        512, ge=1, description="token limit of a completion; one that is cut there fails the format gate"
    )


class Warmup(Section):
    """Supervised training of the policy before the first step, on pairs of a source and the text it should become."""

    method: Literal["inverse-paraphrase", "pairs", "best-of-n"] | None = Field(
        None,
        description="inverse-paraphrase: from the policy's own paraphrases of human training texts back to them; "
        "pairs: given ones; best-of-n: from AI training texts to the policy's best rewrite by the reward; null = none",
    )
    path: str | None = Field(
        None,
        description="pairs: a file of rows (JSONL, CSV …) with the columns `source` and `target`, such as the "
        "warmup_pairs.jsonl of another run",
    )
    texts: int | None = Field(
        None, ge=1, description="so many texts at most, from all over the data; null = all"
    )
    min_words: int = Field(20, ge=1, description="inverse-paraphrase: shortest excerpt of a human text")
    max_words: int | None = Field(
        None,
        ge=10,
        description="inverse-paraphrase: human texts are cut into excerpts of whole sentences, at most so many words; "
        "null = data.excerpt_words; without either, whole texts",
    )
    temperature: float = Field(
        0.8, gt=0, description="inverse-paraphrase: sampling temperature of the paraphrases"
    )
    candidates: int = Field(
        4,
        ge=1,
        description="so many rewrites of each text to choose from: by meaning for inverse-paraphrase, by the reward "
        "for best-of-n; those that pass the filters first",
    )
    min_meaning: float = Field(
        0.6,
        ge=0,
        le=1,
        description="least value of the first reward of role meaning between source and target; this filter and the "
        "next three are not for given pairs",
    )
    min_rewards: dict[str, float] = Field(
        default_factory=dict, description="least values of further rewards of the recipe, by name"
    )
    min_length_ratio: float = Field(
        0.5, gt=0, description="fewest words of the source for each word of the target"
    )
    max_length_ratio: float = Field(
        2.0, gt=0, description="most words of the source for each word of the target"
    )
    learning_rate: float = Field(5e-4, gt=0, lt=1, description="constant; Adam without weight decay")
    batch_size: int = Field(16, ge=1, description="pairs per step")
    epochs: int = Field(2, ge=1, description="passes over the pairs")
    checkpoint_every: int = Field(
        20,
        ge=1,
        description="steps between checkpoints of the warm-up, as `checkpoints.every` is for the training",
    )

    @model_validator(mode="after")
    def _fits_its_method(self) -> Self:
        if (self.method == "pairs") != (self.path is not None):
            raise ValueError("path and method: pairs go together")
        if self.min_length_ratio > self.max_length_ratio:
            raise ValueError("min_length_ratio must not be above max_length_ratio")
        return self


class Kl(Section):
    """KL penalty: distance from the frozen base model, or from the warmed-up one."""

    penalty_coef: float = Field(
        0.01,
        ge=0,
        description="weight of the KL penalty in the advantages, constant unless a monitor raises it",
    )
    reference: Literal["base", "warmup"] = Field(
        "base",
        description="the model whose distance is penalised: the base model, or the policy after the warm-up",
    )


class Grpo(Section):
    """Advantages of the rollouts of a group."""

    normalize_advantages: bool = Field(True, description="divide by the group's standard deviation (n - 1)")
    advantage_clip: float = Field(10.0, gt=0, description="bound of |A|; cannot bind at group size 8")


class Ensemble(Section):
    """Combination of the detectors' P(AI)."""

    combine: Literal["mean", "worst-case"] = Field(
        "mean", description="weighted mean, or the largest P(AI) of the ensemble"
    )


class CalibrationSettings(Section):
    """Thresholds and P(AI), fitted on the calibration split before training."""

    target_fpr: float = Field(
        0.05, gt=0, lt=1, description="false positive rate aimed at on held-out human texts"
    )


class Data(Section):
    """Data set and its splits."""

    source: Component = Field(
        default_factory=lambda: Component(**default("data_source")), description="a data set plug-in"
    )
    test_fraction: float = Field(
        0.2, gt=0, lt=1, description="share of pairs for test, when the data has no splits"
    )
    calibration_fraction: float = Field(
        0.2, gt=0, lt=1, description="share of pairs for calibration, when the data has no splits"
    )
    split_seed: int = Field(42, ge=0, description="seed of the split by pair, when the data has no splits")
    excerpt_words: int | None = Field(
        None,
        ge=10,
        description="cut every text to an excerpt: its first sentences, at most so many words; null = whole texts; "
        "the longer, the more detectors know: little at 50 words, enough for zero-shot ones from about 100",
    )

    @model_validator(mode="after")
    def _at_most_all(self) -> Self:
        if self.test_fraction + self.calibration_fraction > 1 + 1e-9:
            raise ValueError("test_fraction and calibration_fraction add up to more than 1")
        return self


class Evaluation(Section):
    """Evaluation of the policy on held-out prompts, before, during and after training."""

    every: int = Field(
        100, ge=1, description="steps between evaluations; there is always one before and one after training"
    )
    prompts: int = Field(64, ge=1, description="number of test prompts, from all over the split")
    samples: int = Field(1, ge=1, description="rewrites per prompt, with the same seeds at every evaluation")


class CheckpointSettings(Section):
    """Checkpoints on disk."""

    every: int = Field(500, ge=1, description="steps between checkpoints")
    minutes: float | None = Field(
        30.0,
        gt=0,
        description="most minutes between checkpoints, also of a warm-up, where `every` is further apart; "
        "null = `every` alone",
    )
    keep: int = Field(
        5, ge=1, description="number of periodic checkpoints to keep; the final one is always kept"
    )


class Attack(Component):
    """A rewriter with its name in the tables."""

    label: str | None = Field(None, min_length=1, description="name in the tables; null = the rewriter's own")


class Acceptance(Section):
    """Criteria that a trained rewriter must meet; only `prl validate` reads them."""

    attack_success_rate: float = Field(
        0.6,
        ge=0,
        le=1,
        description="at least: share of the texts flagged by the ensemble before rewriting that are not flagged after",
    )
    meaning: float = Field(
        0.88,
        ge=0,
        le=1,
        description="at least: mean similarity to the source, by the first metric of role meaning",
    )
    fairness_gap: float = Field(
        0.07,
        ge=0,
        le=1,
        description="at most: false positive rate of the group minus that of the reference group",
    )
    fairness_group: str = Field(
        "non-native", description="group of writers whose false positive rate must not be higher"
    )
    reference_group: str = Field("native", description="group that it is compared with")
    kl_sample_train: float = Field(
        0.01, gt=0, description="at most, at the end: difference between sampler and trainer, nats per token"
    )
    kl_reference: float = Field(
        0.5,
        gt=0,
        description="at most, at the end: distance from the base model, or with kl.reference: warmup from the policy "
        "after the warm-up, nats per token",
    )
    reward_std: float = Field(0.1, ge=0, description="at least, throughout the run")
    frac_unrewarded: float = Field(
        0.05, ge=0, lt=1, description="at most: mean share of the rollouts that no reward could be given"
    )
    reward_drop: float = Field(
        0.2, gt=0, description="at most: fall of the mean reward (over 5 steps) below its best so far"
    )


class Recipe(Section):
    """Recipe: everything that a run depends on."""

    model: str = Field("Qwen/Qwen3-4B-Instruct-2507", description="model reference of the policy")
    precision: Literal["auto", "fp32", "bf16"] = Field(
        "auto",
        description="precision of the products of the policy and the scoring models; auto = bf16 where a short "
        "measurement finds this processor at least 1.5 times as fast with it, or on a GPU (fp16 on one without bf16); "
        "the run's manifest has what was decided",
    )
    loss: Literal["importance_sampling"] = Field(
        "importance_sampling", description="one update per batch; no ratio clipping"
    )
    lora: Lora = Lora()
    training: Training = Training()
    sampling: Sampling = Sampling()
    warmup: Warmup = Warmup()
    kl: Kl = Kl()
    grpo: Grpo = Grpo()
    rewards: list[RewardTermSettings] = Field(
        default_factory=lambda: [RewardTermSettings(**reward) for reward in default("rewards")],
        min_length=1,
        description="terms of the total reward; `floor` and `saturation` of a term bound the values that count",
    )
    rewards_combine: Literal["mean", "conditional"] = Field(
        "mean",
        description="weighted mean; or conditional: validity x (meaning, and evasion in proportion to meaning)",
    )
    detectors: list[Weighted] = Field(
        default_factory=lambda: [Weighted(**detector) for detector in default("detectors")],
        min_length=1,
        description="the ensemble",
    )
    ensemble: Ensemble = Ensemble()
    calibration: CalibrationSettings = CalibrationSettings()
    data: Data = Field(default_factory=Data)
    evaluation: Evaluation = Evaluation()
    checkpoints: CheckpointSettings = CheckpointSettings()
    prompt: Prompt = Prompt()
    rewriters: list[Attack] = Field(
        default_factory=lambda: [Attack(**attack) for attack in default("rewriters")],
        description="rewriters that `prl evaluate` compares; the policy of a run is left out where there is none",
    )
    held_out: list[Component] | None = Field(
        None, description="detectors to evaluate besides the ensemble; null = all others that are installed"
    )
    metrics: list[Component] = Field(
        default_factory=list,
        description="options of quality metrics; one that needs some (a judge, an NLI model) is measured only where it "
        "is listed here, all others that are installed always",
    )
    monitors: dict[str, Monitor | None] = Field(
        default_factory=published,
        description="rules over the metrics by name; what is given for a published rule changes that key of it alone,"
        " null switches it off",
    )
    acceptance: Acceptance = Acceptance()

    @field_validator("monitors", mode="before")
    @classmethod
    def _with_the_published(cls, given: Any) -> Any:
        return completed(given)

    def components(self) -> Iterator[tuple[Kind, Component]]:
        """Detectors, rewards and the data set, each with its kind."""
        yield from (("detectors", component) for component in self.detectors)
        yield from (("rewards", component) for component in self.rewards)
        yield "datasets", self.data.source

    @model_validator(mode="after")
    def _warmup_fits(self) -> Self:
        if self.kl.reference == "warmup" and self.warmup.method is None:
            raise ValueError("kl.reference: warmup needs a warm-up: set warmup.method")
        if self.warmup.method is not None and self.prompt.thinking:
            raise ValueError("warmup: its pairs have no thoughts; set prompt.thinking: false")
        listed = {entry.name for entry in self.rewards}
        if unknown := sorted(set(self.warmup.min_rewards) - listed):
            raise ValueError(f"warmup.min_rewards: {', '.join(unknown)} is not among the rewards")
        return self

    @model_validator(mode="after")
    def _no_name_twice(self) -> Self:
        for key in ("rewards", "detectors", "metrics"):
            names = [component.name for component in getattr(self, key)]
            twice = sorted({name for name in names if names.count(name) > 1})
            if twice:
                raise ValueError(f"{key}: {', '.join(twice)} listed twice")
        for name, rule in self.monitors.items():
            if rule is not None and rule.action == "raise-kl" and self.kl.penalty_coef == 0:
                raise ValueError(
                    f"monitors.{name}: raise-kl multiplies kl.penalty_coef, which is 0; choose another action"
                )
        labels = [attack.label or attack.name for attack in self.rewriters]
        if twice := sorted({label for label in labels if labels.count(label) > 1}):
            raise ValueError(f"rewriters: {', '.join(twice)} listed twice; give each rewriter its own label")
        return self
