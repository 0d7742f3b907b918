"""Plain words for the terms of the field, shown on the page of a report."""

from __future__ import annotations

from collections.abc import Mapping

CRITERIA: Mapping[str, str] = {
    "attack_success_rate": "of the AI texts flagged before, the share no longer flagged",
    "meaning": "how much of the meaning is preserved; 1 = all",
    "fairness_gap": "false positive rate of one group of writers minus that of another",
    "kl_sample_train": "difference between the model that samples and the model that is trained; 0 = none",
    "kl_reference": "how far training moved the model from where it began",
    "reward_drop": "fall of the mean reward below its best so far",
    "reward_std": "rewards still differ; 0 = the model writes the same text every time",
    "frac_unrewarded": "share of the rewrites that could not be given a reward",
    "checkpoints": "weights saved, with no file missing or damaged",
}
"""Meaning of each criterion of the verdict."""

TERMS: Mapping[str, str] = {
    "Detector": "a program that gives a text a score: higher is more like AI.",
    "Threshold": "the score above which a text is flagged as AI. It is fixed beforehand on human texts, so that a "
    "small share of them, the target false positive rate, is flagged.",
    "Ensemble": "the detectors that the run was trained against, taken together.",
    "Held out": "a detector that training never saw. Only such detectors show "
    "whether an attack works beyond those it was trained against.",
    "Rewriter": "what changes a text: an attack, or a defence that cleans texts. The policy is the model the run "
    "trained; none leaves the text as it is.",
    "Attack success (rate)": "of the AI texts that were flagged before the rewrite, the share that is not flagged "
    "after it. Texts that were never flagged do not count.",
    "TPR (true positive rate)": "the share of AI texts that is flagged.",
    "AUROC": "how well scores tell AI from human texts whatever the threshold: 0.5 is chance, 1 is perfect.",
    "P(AI)": "a score as a probability that the text is from a machine.",
    "KL": "how far the predictions of two models differ, in nats per token; 0 means they are equal.",
    "95% interval": "the uncertainty of a figure measured on a limited number of texts: such intervals contain the "
    "true figure about 95 times in 100. A wide interval means too few texts.",
}
"""Words of the page that a reader from outside the field may not know."""
