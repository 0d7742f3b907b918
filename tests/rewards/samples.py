"""Texts, batches, and components whose answers are known."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from paraphrase_rl.plugin.protocols import Judgement
from paraphrase_rl.types import Document, Failure, RewardBatch, Scores

INSTRUCTION = "Paraphrase the following text. Keep its meaning, and make it read naturally."
SOURCE = (
    "The harbour office in Port Merrow counted 214 boats in June, nine more than a year before. Most of them were "
    "fishing boats from the two villages across the bay, and the harbour master said that the old stone pier could "
    "not take many more of them before the winter storms arrived."
)
PARAPHRASE = (
    "In June there were 214 vessels at Port Merrow, according to its harbour office: an increase of nine over last "
    "year. The majority fish for a living and come from a pair of villages on the far shore, and the man in charge "
    "of the port warned that its ageing pier has little room left ahead of the storms of winter."
)
UNRELATED = (
    "A choir of forty children opened the new library in the capital with songs from six countries, while their "
    "teachers handed out paper lanterns, lemonade and slices of a cake that was baked in the shape of an open book."
)


def make_batch(
    rewrites: Sequence[str],
    source: str = SOURCE,
    *,
    finished: bool = True,
    groups: Sequence[str | None] | None = None,
    instruction: str = INSTRUCTION,
) -> RewardBatch:
    """Rewrites of one source."""
    of_writer = groups or [None] * len(rewrites)
    return RewardBatch(
        sources=[Document(id=f"d{i}", text=source, group=group) for i, group in enumerate(of_writer)],
        rewrites=list(rewrites),
        finished=[finished] * len(rewrites),
        instruction=instruction,
    )


class TableEnsemble:
    """P(AI) of each text from a table; a text that is not there fails.

    Two detectors, the second half of the first and without a vote.
    """

    names: Sequence[str] = ("first", "second-one")

    def __init__(self, table: Mapping[str, float]) -> None:
        self.table = table
        self.asked: list[str] = []

    def probabilities(self, texts: Sequence[str]) -> tuple[Mapping[str, Scores], Scores]:
        self.asked += texts
        values = np.array([self.table.get(text, np.nan) for text in texts], dtype=np.float64)
        failures = tuple(
            Failure(index=i, owner="ensemble", kind="too-short", message="too few tokens")
            for i in np.flatnonzero(np.isnan(values)).tolist()
        )
        combined = Scores(values, failures)
        return {"first": combined, "second-one": Scores(values / 2, failures)}, combined

    def judge(self, texts: Sequence[str]) -> Judgement:
        probabilities, combined = self.probabilities(texts)
        return Judgement(
            probabilities=probabilities,
            combined=combined,
            below={"first": 0.5 - combined.values},
            weights={"first": 1.0},
            powers={"first": 0.5},
            combine="mean",
        )
