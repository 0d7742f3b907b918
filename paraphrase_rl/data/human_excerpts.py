"""Excerpts of the human texts of the train split: whole sentences, from all of a text and not its beginning alone."""

from __future__ import annotations

from collections.abc import Iterator

from paraphrase_rl.data.documents import Corpus
from paraphrase_rl.data.splits import opening
from paraphrase_rl.text.duplicates import normalised
from paraphrase_rl.text.length import count_words
from paraphrase_rl.text.sentences import each_sentence_end
from paraphrase_rl.types import Document


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


def human_excerpts(corpus: Corpus, min_words: int, max_words: int | None) -> list[Document]:
    """List excerpts of the human texts of the train split, in the order of the documents, each once.

    A text that begins like one of the calibration or test split, and an excerpt equal to one of theirs, is left out:
    splits that came with the data may repeat a text.
    """
    documents = corpus.whole or corpus.documents
    held_out = [d.text for d in documents if d.split != "train"]
    openings = {opening(text) for text in held_out}
    known = {normalised(part) for text in held_out for part in excerpts(text, 1, max_words)}
    found = []
    for document in documents:
        if document.split != "train" or document.label != "human" or opening(document.text) in openings:
            continue
        for number, part in enumerate(excerpts(document.text, min_words, max_words)):
            if (key := normalised(part)) not in known:
                known.add(key)
                found.append(Document(id=f"{document.id}#{number}", text=part, label="human", split="train"))
    return found
