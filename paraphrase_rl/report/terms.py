"""What the page says in plain words beside the names of the field."""

from __future__ import annotations

from collections.abc import Mapping

CRITERIA: Mapping[str, str] = {
    "attack_success_rate": "of the AI texts flagged before, the share no longer flagged",
    "semantic_similarity": "how much of the meaning is kept; 1 = all",
    "fairness_gap": "false accusations of one group of writers beyond those of another",
    "kl_sample_train": "texts are sampled from the very model that is trained; 0 = yes",
    "kl_reference": "how far training moved the model from where it began",
    "reward_drop": "training did not lose what it had won",
    "reward_std": "rewards still differ; 0 = the model writes one text only",
    "checkpoints": "weights saved, and whole",
}
"""Each criterion of the verdict."""

TERMS: Mapping[str, str] = {
    "Detector": "a program that gives a text a score: higher is more like AI.",
    "Threshold": "the score above which a text is flagged as AI. It is fixed beforehand on human texts, so that a "
    "small share of them, the false positive rate aimed at, is flagged.",
    "Ensemble": "the detectors that the run was trained against, taken together.",
    "Held out": "a detector that training never saw. Only it tells whether an attack works beyond what was trained on.",
    "Rewriter": "what changes a text: an attack, or a defence such as sanitise. The policy is the model the run "
    "trained; none is the text as it was.",
    "Attack success (rate)": "of the AI texts that were flagged before the rewrite, the share that is not flagged "
    "after it. Texts that were never flagged do not count.",
    "TPR (true positive rate)": "the share of AI texts that is flagged.",
    "AUROC": "how well scores tell AI from human texts whatever the threshold: 0.5 is chance, 1 is perfect.",
    "P(AI)": "a score as a probability that the text is from a machine.",
    "KL": "how far two models' predictions lie apart, in nats for each token; 0 is the same.",
    "95% interval": "how far the figure is uncertain because only so many texts were measured: such intervals hold the "
    "true figure about 95 times in 100. A wide one means too few texts.",
}
"""Words of the page that a reader from outside the field may not know."""
