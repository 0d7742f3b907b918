"""Tests for plug-in authors: contract classes to inherit from, and a fixture. Imported on use.

::

    from paraphrase_rl.testing import DetectorContract

    class TestVowels(DetectorContract):
        pairs = [("an AI-like text ...", "a human-like text ...")]

        def make(self):
            return Vowels(NoOptions(), Context())
"""

from importlib import import_module

_PUBLIC = {
    "BackendContract": "paraphrase_rl.testing.backends",
    "DatasetContract": "paraphrase_rl.testing.datasets",
    "DetectorContract": "paraphrase_rl.testing.detectors",
    "FakeDetector": "paraphrase_rl.testing.fakes",
    "FakeRewriter": "paraphrase_rl.testing.fakes",
    "MetricContract": "paraphrase_rl.testing.metrics",
    "RewardContract": "paraphrase_rl.testing.rewards",
    "RewriterContract": "paraphrase_rl.testing.rewriters",
}

__all__ = list(_PUBLIC)


def __getattr__(name: str) -> object:
    if name in _PUBLIC:
        return getattr(import_module(_PUBLIC[name]), name)
    raise AttributeError(f"module 'paraphrase_rl.testing' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
