"""TF-IDF of texts that are read again and again instead of held; scikit-learn's ``TfidfVectorizer``, but for rounding.

The vocabulary is the most frequent n-grams. Counts of more than a million different n-grams are pruned by lossy
counting (Manku and Motwani 2002): the rarest are forgotten, so that memory is bounded, and the count of an n-gram is
too low by at most the sum of the counts forgotten at once, of which there are few.
"""

from __future__ import annotations

import tempfile
from array import array
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from paraphrase_rl_plugins.detectors._ngrams import (
    NGRAMS,
    Ngrams,
    character_ngrams,
    characters_of,
    word_ngrams,
)

MOST_TERMS = 1_000_000
_AT_ONCE = 1000
_FloatArray = NDArray[np.float64]


class Features:
    """TF-IDF of N texts, on disk.

    Args:
        texts: N texts in lower case; iterated over three times.
        limits: number of n-grams used, by kind: ``word`` and ``char``.

    Attributes:
        terms: n-grams of each kind, in alphabetical order.
        idf: inverse document frequency of each.
        matrix: sparse, shape (N, F), the columns of the kinds side by side; a row of each kind has length 1. It lies in
            temporary files, of which the system holds in memory what there is room for.

    Raises:
        ValueError: the texts have no n-grams of a kind.
    """

    def __init__(self, texts: Iterable[str], limits: Mapping[str, int]) -> None:
        self.terms = {kind: most_frequent(texts, kind, limit) for kind, limit in limits.items()}
        counters = [NGRAMS[kind](terms, [], []) for kind, terms in self.terms.items()]
        n, frequencies = 0, [np.zeros(len(terms)) for terms in self.terms.values()]
        for some in _batches(texts):
            n += len(some)
            for counter, frequency in zip(counters, frequencies, strict=True):
                frequency += np.bincount(counter.counts(some).indices, minlength=frequency.size)
        idf = [np.log(np.full_like(f, n + 1.0) / (f + 1.0)) + 1.0 for f in frequencies]
        self.idf: dict[str, _FloatArray] = dict(zip(self.terms, idf, strict=True))
        self.matrix = _on_disk(
            (_rows(counters, idf, some) for some in _batches(texts)), sum(map(len, self.terms.values()))
        )


def most_frequent(texts: Iterable[str], kind: str, limit: int) -> list[str]:
    """Return the most frequent n-grams of texts, in alphabetical order.

    Raises:
        ValueError: there are none.
    """
    counts: Counter[str] = Counter()
    if kind == "word":
        for text in texts:
            counts.update(word_ngrams(text))
            _prune(counts)
    else:
        words: Counter[str] = Counter()
        for text in texts:
            words.update(characters_of(text))
            _prune(words)
        for word, count in words.items():
            for gram in character_ngrams(word):
                counts[gram] += count
            _prune(counts)
    if not counts:
        raise ValueError("there are no words in them")
    terms = sorted(counts)
    if len(terms) <= limit:
        return terms
    found = np.array([counts[term] for term in terms], dtype=np.int64)
    # scikit-learn's own expression, so that ties fall as they do there
    return [terms[i] for i in np.sort((-found).argsort()[:limit]).tolist()]


def _prune(counts: Counter[str]) -> None:
    """Forget the rarest until half of the room is free."""
    least = 1
    while len(counts) > (MOST_TERMS if least == 1 else MOST_TERMS // 2):
        for term in [term for term, count in counts.items() if count <= least]:
            del counts[term]
        least *= 2


def _batches(texts: Iterable[str]) -> Iterator[list[str]]:
    remaining = iter(texts)
    while some := list(islice(remaining, _AT_ONCE)):
        yield some


def _rows(counters: Sequence[Ngrams], idf: Sequence[_FloatArray], texts: Sequence[str]) -> Any:
    """TF-IDF of some texts, sparse."""
    from scipy.sparse import hstack
    from sklearn.preprocessing import normalize

    parts = []
    for counter, weights in zip(counters, idf, strict=True):
        part = counter.counts(texts)
        part.sort_indices()
        part.data = (np.log(part.data) + 1.0) * weights[part.indices]
        parts.append(normalize(part, copy=False))
    return hstack(parts, format="csr")


def _on_disk(parts: Iterable[Any], width: int) -> Any:
    """Sparse matrix of the rows of several, in temporary files."""
    from scipy.sparse import csr_matrix

    ends, total = array("q", [0]), 0
    with tempfile.TemporaryFile() as values, tempfile.TemporaryFile() as columns:
        for part in parts:
            values.write(part.data.astype(np.float64).tobytes())
            columns.write(part.indices.astype(np.int32).tobytes())
            ends.extend((total + part.indptr[1:].astype(np.int64)).tolist())
            total += part.nnz
        small = total < np.iinfo(np.int32).max
        pointers = np.frombuffer(ends, dtype=np.int64).astype(np.int32 if small else np.int64)
        mapped = _mapped(values, np.float64), _mapped(columns, np.int32)  # the mapping holds the files
    return csr_matrix((*mapped, pointers), shape=(len(ends) - 1, width))


def _mapped(file: IO[bytes], dtype: Any) -> Any:
    file.flush()
    return np.memmap(file, dtype=dtype, mode="r") if file.tell() else np.empty(0, dtype=dtype)
