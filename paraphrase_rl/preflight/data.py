"""Data: whether there is enough of it in each split, fit for what the recipe does with it."""

from __future__ import annotations

from collections.abc import Iterator

from paraphrase_rl.preflight.case import Case
from paraphrase_rl.preflight.findings import Finding, Rule
from paraphrase_rl.recipe.cost import TOKENS_PER_WORD
from paraphrase_rl.types import Label

LABELS: tuple[Label, Label] = ("human", "ai")

UNREADABLE = Rule(
    "PRL050",
    "error",
    "data",
    "The recipe's texts cannot be read. What depends on them is not checked.",
    "correct the path or the columns, or name another data set in data.source",
)
NOTHING_TO_EVALUATE = Rule(
    "PRL051",
    "error",
    "data",
    "The test split has no AI texts, which are what the policy rewrites in evaluations.",
    "give some AI texts the split test, or raise data.test_fraction",
)
FEW_TO_EVALUATE = Rule(
    "PRL052",
    "note",
    "data",
    "The test split has fewer AI texts than an evaluation asks for; all of them are taken.",
)
NO_CALIBRATION = Rule(
    "PRL053",
    "error",
    "data",
    "P(AI) and thresholds are fitted on the calibration split, which has too few texts for that.",
    "give more human and AI texts the split calibration, or raise data.calibration_fraction",
)
RATE_NOT_SHOWN = Rule(
    "PRL054",
    "warning",
    "data",
    "N human texts cannot show a false positive rate below 1/N: the threshold would be the largest human score "
    "or beyond.",
    "add human texts to the calibration split, or raise calibration.target_fpr",
)
TOO_LONG = Rule(
    "PRL055",
    "warning",
    "data",
    "Rewrites of texts that are longer than sampling.max_tokens are cut off there. They do not end by "
    "themselves, fail the gate and earn 0, whatever the policy does.",
    "raise sampling.max_tokens, or cut the texts with data.excerpt_words",
)
AUDIT_WARNING = Rule(
    "PRL056",
    "warning",
    "data",
    "The audit of the data found something that makes results wrong: leakage between splits, contradictory "
    "labels, or lengths that give the label away.",
    "correct the data; `prl data` shows the whole audit",
)
AUDIT_NOTE = Rule(
    "PRL057",
    "note",
    "data",
    "The audit of the data found something to keep in mind: duplicates, missing counterparts, shares of groups. "
    "The published data claimed 40 % second-language writers and had 3.1 %.",
)
SHORT_EXCERPTS = Rule(
    "PRL058",
    "warning",
    "data",
    "Detectors know little of very short texts: at 48 words the mean AUROC of the best score on nine sets was "
    ".75, at 200 tokens .87. Below 30 words there is hardly a signal to train against.",
    "raise data.excerpt_words to 100 or more",
)


def check(case: Case) -> Iterator[Finding]:
    """Check the splits, the lengths and the audit; nothing if the texts are not known."""
    corpus, recipe = case.corpus, case.recipe
    if corpus is None:
        return
    test = case.prompts("test")
    if not test:
        yield NOTHING_TO_EVALUATE.found("no AI texts in the test split: nothing to evaluate on", key="data")
    elif len(test) < recipe.evaluation.prompts:
        yield FEW_TO_EVALUATE.found(
            f"evaluation.prompts {recipe.evaluation.prompts}: the test split has only {len(test)} AI texts",
            key="evaluation.prompts",
        )
    human, ai = (len(corpus.select(split="calibration", label=label)) for label in LABELS)
    target = recipe.calibration.target_fpr
    if human < 2 or not ai:
        message = f"{human} human and {ai} AI texts in the calibration split: P(AI) needs at least 2 and 1"
        yield NO_CALIBRATION.found(message, key="data")
    elif human * target < 1:
        yield RATE_NOT_SHOWN.found(
            f"{human} human texts in the calibration split cannot show a false positive rate below 1/{human}; "
            f"calibration.target_fpr is {target:g}",
            key="calibration.target_fpr",
        )
    limit = recipe.sampling.max_tokens / TOKENS_PER_WORD
    train = case.prompts("train")
    if long := sum(len(document.text.split()) > limit for document in train):
        yield TOO_LONG.found(
            f"{long} of {len(train)} training texts are longer than sampling.max_tokens "
            f"{recipe.sampling.max_tokens} (at {TOKENS_PER_WORD} tokens per word): "
            "their rewrites will be cut and invalid",
            key="sampling.max_tokens",
        )
    words = recipe.data.excerpt_words
    if words is not None and words < 30:
        yield SHORT_EXCERPTS.found(f"texts are cut to {words} words", key="data.excerpt_words")
    yield from (AUDIT_WARNING.found(line, key="data") for line in corpus.audit.warnings)
    yield from (AUDIT_NOTE.found(line, key="data") for line in corpus.audit.notes)
