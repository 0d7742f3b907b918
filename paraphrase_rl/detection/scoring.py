"""Scores of documents that are read as they are scored, so that their number does not matter for memory."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from paraphrase_rl.plugin.protocols import Detector
from paraphrase_rl.types import Document, Scores, join_scores

AT_ONCE = 1024
"""Most texts in a call of a detector."""


def texts_at_once(documents: Sequence[Document]) -> Iterator[list[str]]:
    """Yield the texts of documents in lists of about one length: few texts in the last would judge a detector alone."""
    parts = math.ceil(len(documents) / AT_ONCE)
    ends = [len(documents) * (part + 1) // parts for part in range(parts)]
    held: list[str] = []
    for number, document in enumerate(documents, start=1):
        held.append(document.text)
        if number == ends[0]:
            yield held
            held, ends = [], ends[1:]


def score_documents(detectors: Mapping[str, Detector], documents: Sequence[Document]) -> dict[str, Scores]:
    """Score documents with each detector, shape (N,); about a thousand texts are in memory at once."""
    parts = {name: [Scores(np.empty(0))] for name in detectors}
    for texts in texts_at_once(documents):
        for name, detector in detectors.items():
            parts[name].append(detector.score(texts))
    return {name: join_scores(found) for name, found in parts.items()}
