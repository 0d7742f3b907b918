"""Counts of n-grams and their weighted sums, equal to scikit-learn's ``TfidfVectorizer`` and several times as fast.

The n-grams of characters do not cross words, so those of a word are looked up once and remembered. A text's sums depend
on that text alone, to the bit.
"""

from __future__ import annotations

import re
from array import array
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

WORD_RANGE, CHARACTER_RANGE = (1, 2), (2, 5)
"""Shortest and longest n-gram, of words and of characters."""
WORD = re.compile(r"(?u)\b\w\w+\b")
"""What scikit-learn takes for a word: two or more letters, digits or underscores."""
_REMEMBERED = 100_000


class Ngrams:
    """Known n-grams with their weights.

    Args:
        terms: F n-grams.
        idf: shape (F,), inverse document frequency.
        coefficients: shape (F,).
    """

    def __init__(self, terms: Sequence[str], idf: Sequence[float], coefficients: Sequence[float]) -> None:
        self._terms = terms
        self._index = {term: i for i, term in enumerate(terms)}
        self._idf = np.array(idf, dtype=np.float64)
        self._coefficients = np.array(coefficients, dtype=np.float64)

    def sums(self, texts: Sequence[str]) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """Compute the sum of coefficient times TF-IDF, and the number of known n-grams, each of shape (N,).

        TF-IDF is (1 + ln count) * idf, scaled to length 1 over the known n-grams of a text.

        Args:
            texts: N texts in lower case.
        """
        counts = self.counts(texts)
        # in the texts' own order: a sum does not depend on the others
        values = self._weights(counts)
        length = np.sqrt(_by_row(counts, values * values))
        total = _by_row(counts, values * self._coefficients[counts.indices])
        sums = np.divide(total, length, out=np.zeros(len(texts)), where=length > 0)
        return sums, np.diff(counts.indptr).astype(np.int64)

    def knows(self, term: str) -> bool:
        """Return whether an n-gram is known."""
        return term in self._index

    def shares(self, text: str) -> list[tuple[str, float, float]]:
        """Return each known n-gram of a text with its TF-IDF, and with that times its coefficient.

        Args:
            text: text in lower case.
        """
        counts = self.counts([text])
        values = self._weights(counts)
        values /= np.sqrt(np.sum(values * values)) or 1.0
        parts = values * self._coefficients[counts.indices]
        terms = [self._terms[i] for i in counts.indices]
        return list(zip(terms, values.tolist(), parts.tolist(), strict=True))

    def _weights(self, counts: Any) -> NDArray[np.float64]:
        weights: NDArray[np.float64] = (1.0 + np.log(counts.data)) * self._idf[counts.indices]
        return weights

    def counts(self, texts: Sequence[str]) -> Any:
        """Count the known n-grams of texts in lower case; a sparse matrix of shape (N, F)."""
        raise NotImplementedError


def word_ngrams(text: str) -> list[str]:
    """List the words and pairs of words of a text in lower case."""
    words = WORD.findall(text)
    return [*words, *map(" ".join, pairwise(words))]


def characters_of(text: str) -> list[str]:
    """List the runs of characters that character n-grams do not cross."""
    return text.split()


def character_ngrams(word: str) -> list[str]:
    """List the n-grams of one run of characters, with a blank on either side."""
    padded = f" {word} "
    found = []
    for n in range(CHARACTER_RANGE[0], CHARACTER_RANGE[1] + 1):
        found += [padded[i : i + n] for i in range(max(1, len(padded) - n + 1))]
        if n >= len(padded):  # a short word counts once
            break
    return found


class WordNgrams(Ngrams):
    """Words and pairs of words."""

    def counts(self, texts: Sequence[str]) -> Any:
        known = self._index.get
        found, ends = array("i"), [0]
        for text in texts:
            found.extend([i for i in map(known, word_ngrams(text)) if i is not None])
            ends.append(len(found))
        counts = _matrix(found, ends, len(self._index))
        counts.sum_duplicates()
        return counts


class CharacterNgrams(Ngrams):
    """Sequences of 2 to 5 characters inside a word with a blank on either side."""

    def __init__(self, terms: Sequence[str], idf: Sequence[float], coefficients: Sequence[float]) -> None:
        super().__init__(terms, idf, coefficients)
        self._of_word: dict[str, list[int]] = {}

    def counts(self, texts: Sequence[str]) -> Any:
        if len(self._of_word) > _REMEMBERED:
            self._of_word.clear()
        rows: dict[str, int] = {}
        found, ends = array("i"), [0]
        for text in texts:
            found.extend([rows.setdefault(word, len(rows)) for word in characters_of(text)])
            ends.append(len(found))
        words = _matrix(found, ends, max(1, len(rows)))
        grams, ends = array("i"), [0]
        for word in rows:
            known = self._of_word.get(word)
            if known is None:
                known = self._of_word[word] = self._grams(word)
            grams.extend(known)
            ends.append(len(grams))
        if not rows:
            ends.append(0)
        return words @ _matrix(grams, ends, len(self._index))

    def _grams(self, word: str) -> list[int]:
        return [i for i in map(self._index.get, character_ngrams(word)) if i is not None]


def _matrix(columns: array[int], ends: Sequence[int], width: int) -> Any:
    """Sparse matrix of ones; a column that a row has twice counts twice."""
    from scipy.sparse import csr_matrix

    found = np.frombuffer(columns, dtype=np.int32) if columns else np.empty(0, dtype=np.int32)
    shape = (len(ends) - 1, width)
    return csr_matrix((np.ones(len(found)), found.copy(), np.array(ends, dtype=np.int32)), shape=shape)


def _by_row(counts: Any, values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Sum values over each row of a sparse matrix, in their order, shape (N,)."""
    from scipy.sparse import csr_matrix

    summed = csr_matrix((values, counts.indices, counts.indptr), shape=counts.shape)
    total: NDArray[np.float64] = summed @ np.ones(counts.shape[1])
    return total


NGRAMS: Mapping[str, type[Ngrams]] = {"word": WordNgrams, "char": CharacterNgrams}
"""Kinds of n-grams by name."""


def ngrams(model: Mapping[str, Any], kind: str) -> Ngrams:
    """Read the n-grams of a trained model: ``word`` or ``char``."""
    part = model[kind]
    return NGRAMS[kind](part["terms"], part["idf"], part["coef"])
