"""A detector and rewards that need no model, and faults on demand.

``ACME_SIGNAL=NAME:N`` sends this process a signal (or several: ``NAME,NAME:N``) in the N-th call of the reward
``consonants``: in the middle of a step or of an evaluation, of which the one before the first step is call 1.
``ACME_WARMUP_SIGNAL`` sends such signals once, before step N of a warm-up is recorded.
"""

import os
import signal

import numpy as np

from paraphrase_rl.plugin import DetectorSpec, RewardSpec, Scores, Terms, hookimpl


def share(text, letters):
    return sum(character in letters for character in text.lower()) / max(1, len(text))


class Vowels:
    def __init__(self, options, context):
        pass

    def score(self, texts):
        return Scores(np.array([share(text, "aeiou") for text in texts], dtype=np.float64))

    def provenance(self):
        return {}


class Consonants:
    def __init__(self, options, context):
        names, _, call = os.environ.get("ACME_SIGNAL", "").partition(":")
        self.names, self.call = names.split(","), int(call or 0)
        self.calls = 0

    def __call__(self, batch):
        self.calls += 1
        if self.calls == self.call:
            for name in self.names:
                os.kill(os.getpid(), signal.Signals[name])
        return Terms(np.array([share(text, "bcdfghjklmnpqrstvwxyz") for text in batch.rewrites]))


def signal_in_warmup(names, at):
    from paraphrase_rl.training.warmup import WarmupSession

    record, left = WarmupSession.end_step, [int(at)]

    def end_step(self, step, *arguments):
        if step in left:
            left.clear()
            for name in names.split(","):
                os.kill(os.getpid(), signal.Signals[name])
        record(self, step, *arguments)

    WarmupSession.end_step = end_step


if "ACME_WARMUP_SIGNAL" in os.environ:
    signal_in_warmup(*os.environ["ACME_WARMUP_SIGNAL"].split(":"))


@hookimpl
def register_detectors():
    return [DetectorSpec(name="vowels", summary="Share of vowels", family="toy", factory=Vowels)]


@hookimpl
def register_rewards():
    return [RewardSpec(name="consonants", summary="Share of consonants", factory=Consonants)]
