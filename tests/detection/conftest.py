"""Small detectors whose scores are known."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from paraphrase_rl.types import Failure, Scores


class Numbers:
    """A text that is a number scores ``sign`` times it; others fail, and ``crash`` crashes."""

    def __init__(self, sign: float = 1.0, revision: str = "r1") -> None:
        self.sign = sign
        self.revision = revision

    def score(self, texts: Sequence[str]) -> Scores:
        values = np.full(len(texts), np.nan)
        failures = []
        for i, text in enumerate(texts):
            if text == "crash":
                raise RuntimeError("out of\nluck")
            try:
                values[i] = self.sign * float(text)
            except ValueError:
                failures.append(
                    Failure(index=i, owner="numbers", kind="not-a-number", message=f"{text} is not")
                )
        return Scores(values, tuple(failures))

    def provenance(self) -> dict[str, str]:
        return {"numbers": self.revision}


@pytest.fixture(scope="session")
def numbers() -> type[Numbers]:
    return Numbers
