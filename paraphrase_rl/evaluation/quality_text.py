"""Metrics of a source and its rewrite that need the two texts alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from paraphrase_rl.errors import MissingDependencyError

if TYPE_CHECKING:
    from sacrebleu.metrics.chrf import CHRF

GRAM = 4
"""Words of the n-grams whose repetition counts."""


def length_ratio(source: str, rewrite: str) -> float:
    """Words of the rewrite over words of the source; a word is what white space separates.

    Raises:
        ValueError: the source has no words.
    """
    return len(rewrite.split()) / _words(source)


def repetition(source: str, rewrite: str) -> float:  # noqa: ARG001 - about the rewrite alone
    """Share of the rewrite's word 4-grams that occurred before in it, in [0, 1); 0 with fewer than four words."""
    words = rewrite.casefold().split()
    grams = list(zip(*(words[i:] for i in range(GRAM)), strict=False))
    return 1.0 - len(set(grams)) / len(grams) if grams else 0.0


def edit_rate() -> Callable[[str, str], float]:
    """Levenshtein distance in words over the words of the source: 0 = unchanged; over 1 where much was added.

    A substitution, an insertion and a deletion cost 1 each. Case and punctuation count, spacing does not.

    Raises:
        MissingDependencyError: without rapidfuzz.
    """
    try:
        from rapidfuzz.distance import Levenshtein
    except ImportError as error:
        raise _missing("rapidfuzz") from error

    def measure(source: str, rewrite: str) -> float:
        return Levenshtein.distance(source.split(), rewrite.split()) / _words(source)

    return measure


def chrf() -> Callable[[str, str], float]:
    """chrF2 of the rewrite against the source (Popović 2015), in [0, 1]: sacreBLEU's sentence score over 100.

    Its defaults: character n-grams of 1 to 6, white space ignored, recall twice as important as precision.

    Raises:
        MissingDependencyError: without sacrebleu.
    """
    try:
        from sacrebleu.metrics.chrf import CHRF
    except ImportError as error:
        raise _missing("sacrebleu") from error
    scorer: CHRF = CHRF()

    def measure(source: str, rewrite: str) -> float:
        return float(scorer.sentence_score(rewrite, [source]).score) / 100.0

    return measure


def _words(source: str) -> int:
    words = len(source.split())
    if not words:
        raise ValueError("the source has no words")
    return words


def _missing(package: str) -> MissingDependencyError:
    return MissingDependencyError(f"{package} is not installed", "pip install 'paraphrase-rl[evaluate]'")
