"""Components that go wrong: a backend by its option ``fault``, a detector from a call on, observers on demand.

``ACME_OBSERVER=HOOK`` makes that observer exit the process. From call ``after`` on the detector ``fragile`` crashes, or
with ``silent`` scores no text any more.
"""

import os
import sys

import numpy as np

from paraphrase_rl.plugin import BackendSpec, DetectorSpec, Failure, RewardSpec, Scores, hookimpl
from paraphrase_rl.plugin.specs import Options


class BackendOptions(Options):
    fault: str


class Odd:
    def __init__(self, options, context):
        self.fault = options.fault

    def train(self, session):
        if self.fault == "raises":
            raise ZeroDivisionError("no steps")
        if self.fault == "exits":
            sys.exit(3)
        if self.fault == "asks for a text that is not there":
            session.rate([10**6], [])
        if self.fault == "returns a text":
            return "completed"
        return None

    def policy(self, model, adapter, *, thinking=False):
        raise NotImplementedError

    def export(self, run, checkpoint, out):
        sys.exit(3)


class FragileOptions(Options):
    after: int
    silent: bool = False


class Fragile:
    def __init__(self, options, context):
        self.after, self.silent, self.calls = options.after, options.silent, 0

    def score(self, texts):
        self.calls += 1
        if self.calls >= self.after and self.silent:
            failures = [
                Failure(index=i, owner="fragile", kind="expired", message="no") for i in range(len(texts))
            ]
            return Scores(np.full(len(texts), np.nan), tuple(failures))
        if self.calls >= self.after:
            raise RuntimeError("the licence has expired")
        return Scores(np.array([text.count("a") / len(text) for text in texts], dtype=np.float64))

    def provenance(self):
        return {}


class Exits:
    def __init__(self, options, context):
        pass

    def __call__(self, batch):
        sys.exit(3)


@hookimpl
def register_backends():
    return [BackendSpec(name="odd", summary="Goes wrong", factory=Odd, options=BackendOptions)]


@hookimpl
def register_detectors():
    spec = {"summary": "Goes wrong", "family": "toy", "factory": Fragile, "options": FragileOptions}
    return [DetectorSpec(name="fragile", **spec)]


@hookimpl
def register_rewards():
    return [RewardSpec(name="exits", summary="Goes wrong", factory=Exits)]


def _watch(hook):
    if os.environ.get("ACME_OBSERVER") == hook:
        sys.exit(3)


@hookimpl
def on_run_start():
    _watch("on_run_start")


@hookimpl
def on_step_end():
    _watch("on_step_end")


@hookimpl
def on_run_end():
    _watch("on_run_end")
