"""Components for tests that need some component, whichever it is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from paraphrase_rl.files import sha256_text
from paraphrase_rl.types import Failure, Rewrite, Scores


class FakeDetector:
    """Scores a text by its digest: uniform in [0, 1), the same in every process; an empty text fails."""

    def score(self, texts: Sequence[str]) -> Scores:
        values = np.array(
            [int(sha256_text(text)[:8], 16) / 2**32 if text.strip() else np.nan for text in texts]
        )
        return Scores(
            values.astype(np.float64),
            tuple(
                Failure(index=int(i), owner="fake", kind="too-short", message="the text is empty")
                for i in np.flatnonzero(np.isnan(values))
            ),
        )

    def provenance(self) -> Mapping[str, str]:
        return {}


class FakeRewriter:
    """Puts the words of a text in an order that the seed, the text and the sample decide; an empty text fails."""

    def rewrite(self, texts: Sequence[str], n: int, seed: int) -> list[list[Rewrite] | Failure]:
        return [
            [self._shuffled(text, sample, seed) for sample in range(n)]
            if text.strip()
            else Failure(index=i, owner="fake", kind="too-short", message="the text is empty")
            for i, text in enumerate(texts)
        ]

    def _shuffled(self, text: str, sample: int, seed: int) -> Rewrite:
        order = sorted(
            enumerate(text.split()), key=lambda item: sha256_text(f"{seed} {sample} {text} {item[0]}")
        )
        return Rewrite(text=" ".join(word for _, word in order))
