"""The update: learning rate, advantages, sampling and KL."""

from __future__ import annotations

from collections.abc import Iterator

from paraphrase_rl.errors import PrlError
from paraphrase_rl.preflight.case import Case
from paraphrase_rl.preflight.findings import Finding, Rule
from paraphrase_rl.recipe.arithmetic import auto_learning_rate, largest_advantage

RATE = Rule(
    "PRL020",
    "ok",
    "learning rate",
    "The learning rate is applied exactly as written, and is not above the published formula for LoRA. That "
    "formula was fitted on supervised runs; reinforcement learning needs less.",
)
AUTO_RATE = Rule(
    "PRL021",
    "note",
    "learning rate",
    "The learning rate is computed by the published formula for LoRA, which was fitted on supervised runs; "
    "reinforcement learning needs less.",
    "write a lower rate if kl_post_train exceeds 0.02",
)
HIGH_RATE = Rule(
    "PRL022",
    "warning",
    "learning rate",
    "The learning rate is above the published formula for LoRA, which is high for reinforcement learning "
    "already. A published run of the recipe collapsed within 11 steps at ten times its rate.",
    "lower training.learning_rate",
)
UNKNOWN_RATE = Rule(
    "PRL023",
    "note",
    "learning rate",
    "The learning rate cannot be compared with the published formula for LoRA: it needs the model's hidden size "
    "and an exponent that was published for a few families of models only.",
)
NO_AUTO_RATE = Rule(
    "PRL024",
    "error",
    "learning rate",
    "The learning rate is to be computed by a formula that is not known for this family of models.",
    "write a number, such as 1e-4",
)
TOP_P = Rule(
    "PRL025",
    "note",
    "top_p",
    "With top_p below 1 the policy samples from a truncated distribution, while all log-probabilities are those "
    "of the full one: importance ratios and KL are biased by the difference, which is small at 0.95.",
)
DEAD_CLIP = Rule(
    "PRL026",
    "note",
    "advantage clip",
    "The advantages of a group are bounded by its size: (G - 1) / sqrt(G) with the group's own standard "
    "deviation. A clip above that bound has no effect. The published 10 has none at group size 8.",
)
CLIP = Rule(
    "PRL027",
    "ok",
    "advantage clip",
    "The clip bounds the largest advantages of a group.",
)
LOW_TOP_P = Rule(
    "PRL028",
    "warning",
    "top_p",
    "With top_p below 0.9 the policy samples from a distribution that is far from the one whose "
    "log-probabilities are used: importance ratios and KL are wrong by more than a step changes them.",
    "set sampling.top_p to 0.95 or 1.0",
)
TEMPERATURE = Rule(
    "PRL029",
    "note",
    "temperature",
    "Training at a temperature other than 1 optimises the policy at that temperature; the rewriter must then be "
    "used at it too. Colder samples copy more and differ less within a group.",
)
NO_KL = Rule(
    "PRL030",
    "warning",
    "KL penalty",
    "Nothing holds the policy near the base model: it is free to leave the language for whatever the detectors "
    "score low.",
    "set kl.penalty_coef to 0.01, or to 0.02 if kl_reference rises above 0.5",
)
STRONG_KL = Rule(
    "PRL031",
    "warning",
    "KL penalty",
    "The KL penalty is as large as the advantages, which are about 1: the policy is rewarded for staying the "
    "base model.",
    "set kl.penalty_coef to 0.01, or to 0.02 if kl_reference rises above 0.5",
)
GROUP = Rule(
    "PRL032",
    "note",
    "group size",
    "The mean and standard deviation of a group are estimated from its few rollouts. The published recipe says 4 "
    "in its YAML, 8 in its prose and its arithmetic, and means 8.",
    "set training.group_size to 8",
)
SCALE = Rule(
    "PRL033",
    "warning",
    "LoRA scale",
    "The adapter's output is multiplied by alpha / rank. The learning rates of the recipe are meant for a scale "
    "of 1: alpha is not scaled with the rank.",
    "set lora.alpha to the rank, and keep the learning rate",
)
LAYERS = Rule(
    "PRL034",
    "warning",
    "LoRA layers",
    "The adapter leaves out the MLP, or the list of layers is empty. An adapter of the attention alone clearly "
    "underperforms one of every linear layer.",
    "set lora.target_modules to null",
)
_MLP = ("mlp", "fc", "gate", "up_", "down_", "w1", "w2", "w3", "proj_in", "proj_out")


def check(case: Case) -> Iterator[Finding]:
    """Check the learning rate, the nucleus and the clip."""
    yield _learning_rate(case)
    recipe = case.recipe
    if recipe.sampling.top_p < 1:
        yield (TOP_P if recipe.sampling.top_p >= 0.9 else LOW_TOP_P).found(
            f"{recipe.sampling.top_p:g} samples from a truncated distribution, but log-probabilities are those of the "
            "full one; importance ratios and KL are biased by the difference, which is small at 0.95",
            key="sampling.top_p",
        )
    yield from _strengths(case)
    grpo, group = recipe.grpo, recipe.training.group_size
    bound = largest_advantage(group, grpo.normalize_advantages)
    if grpo.advantage_clip >= bound:
        said = (
            f"{grpo.advantage_clip:g} has no effect: at group size {group} no advantage exceeds {bound:.2f}"
        )
        yield DEAD_CLIP.found(said, key="grpo.advantage_clip")
    else:
        said = f"{grpo.advantage_clip:g} clips some advantages, which reach {bound:.2f}"
        yield CLIP.found(said, key="grpo.advantage_clip")


def _strengths(case: Case) -> Iterator[Finding]:
    """Temperature, KL penalty, group size and scale of the adapter."""
    recipe = case.recipe
    temperature, coefficient = recipe.sampling.temperature, recipe.kl.penalty_coef
    if temperature != 1.0:
        yield TEMPERATURE.found(f"{temperature:g} while training, not 1", key="sampling.temperature")
    if coefficient == 0.0:
        yield NO_KL.found("kl.penalty_coef is 0", key="kl.penalty_coef")
    elif coefficient > 0.1:
        said = f"kl.penalty_coef {coefficient:g} is {coefficient / 0.01:,.0f} times the recipe's 0.01"
        yield STRONG_KL.found(said, key="kl.penalty_coef")
    if (group := recipe.training.group_size) < 8:
        said = f"{group} rollouts a prompt, not 8"
        yield GROUP.found(said, key="training.group_size", severity="warning" if group < 4 else None)
    scale = recipe.lora.alpha / recipe.lora.rank
    if not 0.25 <= scale <= 4:
        said = f"alpha {recipe.lora.alpha:g} / rank {recipe.lora.rank} = {scale:.3g}"
        yield SCALE.found(said, key="lora.alpha")
    layers = recipe.lora.target_modules
    if layers is not None and not any(part in layer for layer in layers for part in _MLP):
        yield LAYERS.found(f"only {', '.join(layers) or 'an empty list'}", key="lora.target_modules")


def _learning_rate(case: Case) -> Finding:
    rate, model, key = case.recipe.training.learning_rate, case.model, "training.learning_rate"
    if model is None:
        said = f"{rate}; the formula needs the model's config.json, which is not on this machine"
        return UNKNOWN_RATE.found(said, key=key)
    of = f"hidden size {model.hidden_size}, {model.model_type}"
    try:
        formula = auto_learning_rate(model.hidden_size, model.model_type)
    except PrlError as error:
        rule = NO_AUTO_RATE if rate == "auto" else UNKNOWN_RATE
        return rule.found(f"{rate}; {error.message} ({of})", key=key, remedy=error.hint)
    basis = "a formula fitted on supervised runs; RL needs less"
    if rate == "auto":
        return AUTO_RATE.found(f"auto = {formula:.3g} ({of}) by {basis}", key=key)
    if float(rate) > formula:
        return HIGH_RATE.found(f"{rate:g} is above {formula:.3g} ({of}), which comes from {basis}", key=key)
    return RATE.found(
        f"{rate:g}, applied exactly as written; {formula:.3g} ({of}) comes from {basis}", key=key
    )
