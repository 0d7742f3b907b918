"""Texts of a warm-up: those of the train split that the policy makes pairs of, or given pairs."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from paraphrase_rl.data.documents import Corpus
from paraphrase_rl.data.human_excerpts import human_excerpts
from paraphrase_rl.data.rows import file_rows
from paraphrase_rl.data.spread import spread
from paraphrase_rl.detection.seen import SeenTexts
from paraphrase_rl.errors import DataError
from paraphrase_rl.recipe.schema import Recipe
from paraphrase_rl.text.canonical import canonical
from paraphrase_rl.types import Document

COLUMNS = ("source", "target")
"""Columns of a file of given pairs."""


def own_texts(corpus: Corpus, recipe: Recipe) -> list[Document]:
    """List the texts that the policy makes pairs of: human excerpts, or for ``best-of-n`` AI training texts."""
    if recipe.warmup.method == "inverse-paraphrase":
        return unseen_excerpts(corpus, recipe)
    return spread(corpus.select(split="train", label="ai"), recipe.warmup.texts)


def unseen_excerpts(corpus: Corpus, recipe: Recipe) -> list[Document]:
    """List the excerpts of human texts that the policy may learn from, in an order drawn by ``data.split_seed``.

    They are of the train split alone, and none is in a text of the calibration or test split, or nearly so; see
    :func:`paraphrase_rl.data.human_excerpts.human_excerpts`.
    """
    settings = recipe.warmup
    found = human_excerpts(corpus, settings.min_words, settings.max_words or recipe.data.excerpt_words)
    seen = _held_out(corpus).holds([document.text for document in found])
    unseen = [document for document, there in zip(found, seen, strict=True) if not there]
    order = np.random.default_rng(recipe.data.split_seed).permutation(len(unseen)).tolist()
    return [unseen[i] for i in order[: settings.texts]]


def given_pairs(path: Path, corpus: Corpus, limit: int | None) -> list[tuple[str, str]]:
    """Read given pairs of a source and a target, leaving out those with a text of the calibration or test split.

    A part of such a text beyond its excerpt is left out too. At most ``limit`` of the others, from all over the file;
    ``None`` = all. The ``warmup_pairs.jsonl`` of a run can be given: its rows with a reason ``why`` they were left out
    stay left out.

    Raises:
        DataError: the file cannot be read, or a row lacks a text.
    """
    held = _held_out(corpus)
    pairs = []
    for line, row in file_rows(path):
        if row.get("why"):
            continue
        texts = [row.get(column) for column in COLUMNS]
        if not all(isinstance(text, str) and text.strip() for text in texts):
            raise DataError(
                f"{path}:{line}: a pair needs a text in each of the columns {' and '.join(COLUMNS)}",
                "rename the columns, or fill in the text",
            )
        source, target = (canonical(str(text)) for text in texts)
        if not any(held.holds([source, target])):
            pairs.append((source, target))
    return spread(pairs, limit)


def _held_out(corpus: Corpus) -> SeenTexts:
    """Record the whole texts of the calibration and test split: other runs may have seen more than their excerpts."""
    return SeenTexts.of(d.text for d in corpus.whole or corpus.documents if d.split != "train")
