"""Contradictions of the published recipe, each with the findings of a check in which it shows."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Contradiction:
    """A statement of the published recipe, what holds instead, and codes of the findings in which it shows."""

    says: str
    holds: str
    codes: tuple[str, ...]


CONTRADICTIONS = (
    Contradiction(
        "final KL below 0.01, for a policy that evades 60 % of detections",
        "two KLs: kl_sample_train stays below 0.01, kl_reference of such a policy is 0.02 to 1 nats a token",
        ("PRL112", "PRL110"),
    ),
    Contradiction(
        "a learning rate by a formula, and a run that collapsed because its trainer multiplied it by 10 again",
        "the rate is applied as written; the formula was fitted on supervised runs",
        ("PRL020", "PRL021", "PRL022"),
    ),
    Contradiction(
        "attack success rate = 1 - TPR, above 60 %",
        "1 - TPR was 0.66 without an attack: counted among the texts that were flagged before the rewrite",
        ("PRL110", "PRL127"),
    ),
    Contradiction(
        "advantages are clipped at 10 (5 before)",
        "at group size 8 no advantage exceeds 2.47",
        ("PRL026",),
    ),
    Contradiction(
        "top_p 0.95 with a KL penalty and importance ratios",
        "samples are of a truncated distribution, log-probabilities of the full one",
        ("PRL025", "PRL028"),
    ),
    Contradiction(
        "no credit below a similarity of 0.90, acceptance above 0.88; cosine as (cos + 1) / 2",
        "a plain cosine everywhere, and a reward that pays where acceptance looks",
        ("PRL045", "PRL046", "PRL110"),
    ),
    Contradiction(
        "rewards as running z-scores, -1 for an output that cannot be parsed, -3 for a bad score",
        "every term in [0, 1], and nothing invalid earns more than anything valid",
        ("PRL035", "PRL038"),
    ),
    Contradiction(
        "similarity 0.90 means that the meaning is kept",
        "perplexity grew 5.6-fold and quality fell from 3.8 to 2.5 of 5 at that similarity",
        ("PRL047", "PRL039"),
    ),
    Contradiction(
        "40 % of the texts are by second-language writers",
        "3.1 % were",
        ("PRL057", "PRL111"),
    ),
    Contradiction(
        "2 to 3 hours for 3,468 steps",
        "logged steps took 30 to 250 seconds: 29 to 241 hours",
        ("PRL101", "PRL125"),
    ),
    Contradiction(
        "checkpoints are .pt files that stay",
        "Tinker keeps references that expire, and all of them; a run's ledger says what exists",
        ("PRL069", "PRL075"),
    ),
    Contradiction(
        "Qwen3-4B-Instruct-2507, at Tinker",
        "retired there since June 2026; hybrid models think unless told not to",
        ("PRL014", "PRL016", "PRL018", "PRL019"),
    ),
    Contradiction(
        "the lower P(AI), the better",
        "below the threshold nothing is flagged any more, and the deepest escapes write worst",
        ("PRL048",),
    ),
    Contradiction(
        "the mean over an ensemble is the signal",
        "detectors without power make it flat, and hide the one that has some",
        ("PRL127", "PRL128"),
    ),
    Contradiction(
        "group size 4 in the YAML, 8 in the prose, the table and the arithmetic",
        "8",
        ("PRL032", "PRL067"),
    ),
    Contradiction(
        "hidden size 3584",
        "2560, which is what the formula of the learning rate takes",
        ("PRL020",),
    ),
)
