"""Warm-up: its texts, the rollouts that make the pairs, its steps, and keys that its method leaves without effect."""

from __future__ import annotations

from collections.abc import Iterator

from paraphrase_rl.preflight.case import Case
from paraphrase_rl.preflight.findings import Finding, Rule
from paraphrase_rl.recipe.arithmetic import warmup_steps

PLAN = Rule(
    "PRL160",
    "ok",
    "warm-up",
    "The work of the warm-up before the first step: how many texts make pairs, and how many steps they are trained.",
)
NOT_CARRIED_OUT = Rule(
    "PRL161",
    "error",
    "warm-up",
    "The recipe has a warm-up, and the backend carries out none.",
    "set warmup.method: null, or choose a backend that carries it out",
)
NO_PAIRS = Rule(
    "PRL162",
    "error",
    "warm-up",
    "There is no text that the warm-up could make a pair of. Human texts of the calibration and test split are never "
    "used.",
    "add human texts to the train split, or lower warmup.min_words; with method pairs, see that the file has rows",
)
FEW_PAIRS = Rule(
    "PRL163",
    "note",
    "warm-up",
    "The warm-up has few texts: a few hundred pairs are what a policy of 135M parameters took its style from.",
    "add human texts to the train split",
)
DEAD_KEYS = Rule(
    "PRL164",
    "warning",
    "dead key",
    "The recipe sets keys of the warm-up that its method has no use for: given pairs pass no filter, and best-of-n "
    "rewrites the training texts as they are, at sampling.temperature.",
    "remove these keys, or choose another warmup.method; filter given pairs before they are given",
)
_OF_EXCERPTS = ("min_words", "max_words", "temperature")
UNUSED = {
    "pairs": (
        *_OF_EXCERPTS,
        "candidates",
        "min_meaning",
        "min_rewards",
        "min_length_ratio",
        "max_length_ratio",
    ),
    "best-of-n": _OF_EXCERPTS,
}
"""Keys that a method has no use for."""
FEW = 200
"""Number of texts below which a warm-up has few."""


def check(case: Case) -> Iterator[Finding]:
    """Check the warm-up of a recipe that has one."""
    settings = case.recipe.warmup
    if settings.method is None:
        return
    spec = case.backend_spec
    if spec is not None and not spec.warmup:
        yield NOT_CARRIED_OUT.found(f"backend {spec.name} carries out no warm-up", key="warmup.method")
    dead = [key for key in UNUSED.get(settings.method, ()) if case.deviates(f"warmup.{key}")]
    if dead:
        said = f"without effect with warmup.method {settings.method}: {', '.join(dead)}"
        yield DEAD_KEYS.found(said, key="warmup")
    if case.corpus is None:
        return
    texts = len(case.warmup_texts)
    if not texts:
        yield NO_PAIRS.found("the warm-up has no text to make a pair of", key="warmup")
        return
    steps = warmup_steps(texts, settings.batch_size, settings.epochs)
    rollouts = case.warmup_rollouts
    made = f" x {settings.candidates} candidates = {rollouts:,} rollouts" if rollouts else ""
    what = {"inverse-paraphrase": "human excerpts", "best-of-n": "AI texts", "pairs": "given pairs"}
    yield PLAN.found(
        f"{settings.method}: {texts:,} {what[settings.method]}{made}; at most {steps:,} steps of {settings.batch_size} "
        f"pairs, {settings.epochs} epochs",
        key="warmup",
    )
    if texts < FEW:
        yield FEW_PAIRS.found(f"{texts} texts make pairs for the warm-up", key="warmup")
