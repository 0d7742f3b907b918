"""Texts of a warm-up: human excerpts of the train split, which nothing that is held out shares; or given pairs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from paraphrase_rl.data.documents import Corpus
from paraphrase_rl.data.rows import file_rows
from paraphrase_rl.data.splits import opening
from paraphrase_rl.detection.seen import SeenTexts
from paraphrase_rl.errors import DataError
from paraphrase_rl.recipe.schema import Recipe
from paraphrase_rl.text.canonical import canonical
from paraphrase_rl.text.duplicates import normalised
from paraphrase_rl.text.length import count_words
from paraphrase_rl.text.sentences import each_sentence_end
from paraphrase_rl.types import Document

COLUMNS = ("source", "target")
"""Columns of a file of given pairs."""


def excerpts(text: str, min_words: int, max_words: int | None) -> Iterator[str]:
    """Yield consecutive excerpts of whole sentences of a text, each of ``min_words`` to ``max_words`` words.

    A sentence longer than ``max_words`` is left out; ``None`` = the whole text is one excerpt.
    """
    if max_words is None:
        if count_words(text) >= min_words:
            yield text.strip()
        return
    start = end = 0
    for stop in each_sentence_end(text):
        if count_words(text[start:stop]) > max_words:
            if count_words(text[start:end]) >= min_words:
                yield text[start:end].strip()
            start = end
            if count_words(text[start:stop]) > max_words:
                start = stop
        end = stop
    if count_words(text[start:end]) >= min_words:
        yield text[start:end].strip()


def human_excerpts(corpus: Corpus, recipe: Recipe) -> list[Document]:
    """List the excerpts of human texts that the policy may learn from, in an order drawn by ``data.split_seed``.

    They are of the train split alone. A text that begins like one of the calibration or test split, and an excerpt that
    is in one of theirs, or nearly so, is left out: splits that came with the data may repeat a text.
    """
    settings = recipe.warmup
    longest = settings.max_words or recipe.data.excerpt_words
    documents = corpus.whole or corpus.documents
    held_out = [d.text for d in documents if d.split != "train"]
    openings = {opening(text) for text in held_out}
    known = {normalised(part) for text in held_out for part in excerpts(text, 1, longest)}
    found = []
    for document in documents:
        if document.split != "train" or document.label != "human" or opening(document.text) in openings:
            continue
        for number, part in enumerate(excerpts(document.text, settings.min_words, longest)):
            if (key := normalised(part)) not in known:
                known.add(key)
                found.append(Document(id=f"{document.id}#{number}", text=part, label="human", split="train"))
    seen = SeenTexts.of(held_out).holds([document.text for document in found])
    unseen = [document for document, there in zip(found, seen, strict=True) if not there]
    order = np.random.default_rng(recipe.data.split_seed).permutation(len(unseen)).tolist()
    return [unseen[i] for i in order[: settings.texts]]


def given_pairs(path: Path, held_out: Sequence[Document], limit: int | None) -> list[tuple[str, str]]:
    """Read given pairs of a source and a target, leaving out those with a text of the calibration or test split.

    The ``warmup_pairs.jsonl`` of a run can be given: its rows with a reason ``why`` they were left out stay left out.

    Raises:
        DataError: the file cannot be read, or a row lacks a text.
    """
    held = SeenTexts.of(document.text for document in held_out)
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
    return pairs[:limit]
