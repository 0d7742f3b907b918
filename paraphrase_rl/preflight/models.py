"""Models: whether the policy's, the detectors' and the rewards' models are on this machine."""

from __future__ import annotations

from collections.abc import Iterator

from paraphrase_rl.preflight.case import Case
from paraphrase_rl.preflight.findings import Finding, Rule
from paraphrase_rl.recipe.model_info import find_model

MISSING = Rule(
    "PRL010",
    "error",
    "model",
    "A model that the run loads is not on this machine and cannot be downloaded, or is not a usable model.",
    "download the model to this machine, or name another one",
)
TO_DOWNLOAD = Rule(
    "PRL011",
    "note",
    "model",
    "A model is not on this machine yet. It is downloaded from the hub when it is first used, which may take "
    "long.",
)
PRESENT = Rule(
    "PRL012",
    "ok",
    "model",
    "A model that the run loads is on this machine, in this revision.",
)
_RULES = {"error": MISSING, "note": TO_DOWNLOAD, "ok": PRESENT}


def check(case: Case) -> Iterator[Finding]:
    """Look for every model that the run loads; of a remote policy only the tokenizer is needed here."""
    users: dict[str, list[str]] = {case.recipe.model: ["policy"]}
    for model, names in case.model_users.items():
        users.setdefault(model, []).extend(names)
    for reference, who in users.items():
        found = find_model(reference, weights=not case.remote or who != ["policy"])
        key = "model" if reference == case.recipe.model else ""
        yield _RULES[found.level].found(
            f"{reference} ({', '.join(who)}): {found.message}", key=key, remedy=found.hint
        )
