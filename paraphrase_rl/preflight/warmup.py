"""Warm-up: its texts, the rollouts that make the pairs, and its steps."""

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
    if case.corpus is None:
        return
    texts = len(case.warmup_texts)
    if not texts:
        yield NO_PAIRS.found("the warm-up has no text to make a pair of", key="warmup")
        return
    steps = warmup_steps(texts, settings.batch_size, settings.epochs)
    made = (
        ""
        if settings.method == "pairs"
        else f" x {settings.candidates} candidates = {texts * settings.candidates:,} rollouts"
    )
    what = {"inverse-paraphrase": "human excerpts", "best-of-n": "AI texts", "pairs": "given pairs"}
    yield PLAN.found(
        f"{settings.method}: {texts:,} {what[settings.method]}{made}; at most {steps:,} steps of {settings.batch_size} "
        f"pairs, {settings.epochs} epochs",
        key="warmup",
    )
    if texts < FEW:
        yield FEW_PAIRS.found(f"{texts} texts make pairs for the warm-up", key="warmup")
