"""Monitors of a recipe: rules over the metrics of a training, and what each does; those of the published recipe."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, Self

from pydantic import Field, model_validator

from paraphrase_rl.names import suggestion
from paraphrase_rl.recipe.section import Section

Action = Literal["note", "warn", "raise-kl", "lower-rate", "roll-back", "stop"]
FACTORS: Mapping[str, float] = {"raise-kl": 2.0, "lower-rate": 0.5}
"""Default of ``factor`` by action."""
SPOKEN = frozenset({"note", "warn"})
"""Actions that change nothing."""
ONE_SIDED_GAIN = "one_sided_gain"
"""Metric that monitors compute: see :func:`paraphrase_rl.training.monitors.one_sided_gain`."""
REWARD_GAIN = "reward_gain"
"""Metric that monitors compute: see :meth:`paraphrase_rl.training.monitors.Monitors.value`."""
COMPUTED = (ONE_SIDED_GAIN, REWARD_GAIN)
"""Metrics that monitors compute and no step records."""


def measures_time(metric: str) -> bool:
    """Return whether a metric measures time, which no two runs share."""
    return metric == "tokens_per_second" or metric.startswith("seconds_")


class Monitor(Section):
    """A rule over a metric: what is done when its mean over the last steps leaves a band."""

    metric: str = Field(
        min_length=1,
        description="name in `metrics.jsonl`, or `one_sided_gain`, `reward_gain`; `role:ROLE` = the reward terms of a"
        " role, `role:ROLE:DETAIL` = a detail of these terms",
    )
    low: float | None = Field(None, allow_inf_nan=False, description="lower end of the band; null = none")
    high: float | None = Field(None, allow_inf_nan=False, description="upper end of the band; null = none")
    patience: int = Field(
        1, ge=1, description="steps: the mean of the metric over the last so many must be outside the band"
    )
    action: Action = Field(
        "warn",
        description="`note` = record it; `warn` = and say it; `raise-kl` = and multiply the KL coefficient;"
        " `lower-rate` = and multiply the learning rate; `roll-back` = and restore the last good checkpoint;"
        " `stop` = and stop with a checkpoint",
    )
    factor: float | None = Field(
        None,
        gt=0,
        allow_inf_nan=False,
        description="what `raise-kl` (null = 2) or `lower-rate` (null = 0.5) multiplies by",
    )
    limit: int = Field(
        3,
        ge=1,
        description="how often `raise-kl`, `lower-rate` or `roll-back` is done; then the rule only warns",
    )
    advice: str = Field(
        "", description="what the message says to do; {name} and {stem} stand for those of the reward term"
    )

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if self.low is None and self.high is None:
            raise ValueError("give the band: low, high or both")
        if self.low is not None and self.high is not None and not self.low < self.high:
            raise ValueError(f"low {self.low:g} must be below high {self.high:g}")
        if self.factor is not None and self.action not in FACTORS:
            raise ValueError(f"factor is only for {' and '.join(FACTORS)}, not for {self.action}")
        if self.action == "raise-kl" and self.multiplier <= 1:
            raise ValueError("the factor of raise-kl must be above 1")
        if self.action == "lower-rate" and self.multiplier >= 1:
            raise ValueError("the factor of lower-rate must be below 1")
        if measures_time(self.metric) and self.action not in SPOKEN:
            raise ValueError(
                f"{self.metric} measures time: a resumed run could not repeat what {self.action} did;"
                " choose note or warn"
            )
        return self

    @property
    def multiplier(self) -> float:
        """The factor, or the default of the action; 1 for an action without one."""
        return self.factor if self.factor is not None else FACTORS.get(self.action, 1.0)


FAR = "far-from-base"
"""Rule about the distance from the base model, or from the policy after a warm-up: see :func:`in_force`."""

PUBLISHED: Mapping[str, Monitor] = {
    "mode-collapse": Monitor(
        metric="reward_std",
        low=0.05,
        patience=5,
        advice="lower the learning rate or raise exploration",
    ),
    "few-valid-outputs": Monitor(
        metric="role:validity",
        low=0.95,
        patience=20,
        advice="see the metrics {stem}_* for the check that fails",
    ),
    "meaning-lost": Monitor(metric="role:meaning", low=0.8, patience=20, advice="raise the weight of {name}"),
    "sampler-mismatch": Monitor(
        metric="kl_sample_train",
        low=-0.01,
        high=0.01,
        advice="sampler and trainer disagree: check precision",
    ),
    "step-too-large": Monitor(
        metric="kl_post_train", high=0.02, patience=5, advice="lower the learning rate"
    ),
    FAR: Monitor(metric="kl_reference", high=0.5, patience=5, advice="raise kl.penalty_coef to 0.02"),
    "no-signal": Monitor(
        metric="frac_constant_groups",
        high=0.5,
        patience=5,
        advice="rewards hardly differ within groups",
    ),
    "copying": Monitor(
        metric="role:validity:no_copy",
        low=0.9,
        patience=5,
        advice="the policy copies its source: is evasion rewarded enough?",
    ),
    "reasoning-leaks": Monitor(
        metric="role:validity:no_reasoning",
        low=0.95,
        patience=5,
        advice="the policy thinks aloud in its rewrites: choose a model that does not, or switch its thinking off",
    ),
    "one-sided-gain": Monitor(
        metric=ONE_SIDED_GAIN,
        high=0.15,
        patience=5,
        advice="one reward term rises at the expense of another: change their weights",
    ),
    # A tenth of the published rise, 0.5 to 0.7. One that slows down and is all but over after the 3,468 published
    # steps has twice as much over 500 steps; the start of 20 steps is known well enough to tell them apart.
    "plateau": Monitor(
        metric=REWARD_GAIN,
        low=0.02,
        patience=500,
        advice="the learning rate is too low, or the reward is badly designed",
    ),
}
"""Rules by name: those of the published recipe, those for sicknesses that its metrics do not show, and its plateau."""


def published() -> dict[str, Monitor | None]:
    """Return the published rules, as a recipe that says nothing about monitors has them."""
    return {**PUBLISHED}


def in_force(monitors: Mapping[str, Monitor | None], reference: str) -> Mapping[str, Monitor | None]:
    """Return monitors as they hold for a run: far is far from the policy that the KL penalty holds on to.

    After a warm-up the policy is far from the base model from the first step on, and means to stay there.

    Args:
        monitors: of the recipe.
        reference: its ``kl.reference``.
    """
    far = monitors.get(FAR)
    if far is None or reference != "warmup" or far.metric != PUBLISHED[FAR].metric:
        return monitors
    return {**monitors, FAR: far.model_copy(update={"metric": "kl_warmup"})}


def completed(given: Any) -> Any:
    """Complete the rules that a recipe gives: each is laid over the published rule of its name.

    Raises:
        ValueError: a new rule lacks its metric.
    """
    if not isinstance(given, Mapping):
        return given
    rules: dict[str, Any] = {name: rule.model_dump() for name, rule in PUBLISHED.items()}
    for name, rule in given.items():
        if isinstance(rule, Monitor):
            rules[name] = rule.model_dump()
        elif isinstance(rule, Mapping):
            if name not in PUBLISHED and "metric" not in rule:
                hint = suggestion(str(name), sorted(PUBLISHED))
                raise ValueError(f"{name} is a new rule, and needs a metric{f'; {hint}' if hint else ''}")
            rules[name] = {**rules.get(name, {}), **rule}
        else:
            rules[name] = rule
    return rules
