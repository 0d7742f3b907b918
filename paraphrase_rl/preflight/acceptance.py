"""Acceptance: whether the criteria of the recipe can be measured, and can fail."""

from __future__ import annotations

from collections.abc import Iterator

from paraphrase_rl.preflight.case import Case
from paraphrase_rl.preflight.findings import Finding, Rule

CRITERIA = Rule(
    "PRL110",
    "ok",
    "acceptance",
    "What the trained rewriter must reach. The attack success rate counts among the texts that were flagged "
    "before the rewrite: 1 - TPR is above 60 % for many detectors before any attack. Similarity is a plain "
    "cosine, not (cos + 1) / 2, which makes 0.90 of 0.80. The two KLs have a bound each.",
)
NO_GROUPS = Rule(
    "PRL111",
    "note",
    "acceptance",
    "The gap in false positive rate between groups of writers cannot be measured: it needs human test texts of "
    'both groups. Acceptance will say "not measured", which does not pass.',
    "give the human texts a column group, or name the groups in acceptance.fairness_group and "
    "acceptance.reference_group",
)
KL_CONFUSED = Rule(
    "PRL112",
    "warning",
    "acceptance",
    "Two different KLs are under one threshold in the published recipe. kl_sample_train is the mismatch between "
    "sampler and trainer, healthy below 0.01. kl_reference is the distance from the base model: a policy that "
    "evades 60 % of detections sits at 0.02 to 1 nats a token.",
    "set acceptance.kl_sample_train to 0.01 and acceptance.kl_reference to 0.5",
)
CANNOT_FAIL = Rule(
    "PRL113",
    "warning",
    "acceptance",
    "A criterion has a bound that every run meets.",
    "raise or lower the bound, so that it can fail",
)


def check(case: Case) -> Iterator[Finding]:
    """Check the bounds, and whether the texts have the groups that are compared."""
    wanted = case.recipe.acceptance
    yield CRITERIA.found(
        f"attack success {wanted.attack_success_rate:.0%} of the texts flagged before, meaning {wanted.meaning:g}, "
        f"fairness gap {wanted.fairness_gap:g}, kl_sample_train {wanted.kl_sample_train:g}, "
        f"kl_reference {wanted.kl_reference:g}, reward_std {wanted.reward_std:g}",
        key="acceptance",
    )
    if wanted.kl_reference <= 0.02:
        said = f"acceptance.kl_reference {wanted.kl_reference:g}: an evading policy is further from the base model"
        yield KL_CONFUSED.found(said, key="acceptance.kl_reference")
    if wanted.kl_sample_train > 0.05:
        said = f"acceptance.kl_sample_train {wanted.kl_sample_train:g}: importance ratios would be wrong"
        yield KL_CONFUSED.found(said, key="acceptance.kl_sample_train")
    for key, trivial in (
        ("attack_success_rate", 0.0),
        ("meaning", 0.0),
        ("fairness_gap", 1.0),
        ("reward_std", 0.0),
    ):
        if getattr(wanted, key) == trivial:
            yield CANNOT_FAIL.found(f"every run meets acceptance.{key} {trivial:g}", key=f"acceptance.{key}")
    if case.corpus is not None:
        groups = {document.group for document in case.corpus.select(split="test", label="human")}
        lacking = [group for group in (wanted.fairness_group, wanted.reference_group) if group not in groups]
        if lacking:
            yield NO_GROUPS.found(
                f"no human test text is of group {' or '.join(lacking)}", key="acceptance.fairness_group"
            )
