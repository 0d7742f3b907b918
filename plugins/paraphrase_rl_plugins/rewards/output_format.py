"""Reward and gate: the output is a complete rewrite of the source and nothing else.

Every check detects a behaviour that other rewards would reward: copying (a copy has similarity 1), chatting,
stopping half-way, repeating. Checks compare with the source: the rewrite may contain anything that the source contains.
All checks take time linear in the length of the texts.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Self

import numpy as np
from pydantic import Field, model_validator

from paraphrase_rl.plugin import Context, Options, RewardBatch, RewardSpec, Terms, hookimpl
from paraphrase_rl_plugins.rewards import _format_patterns as patterns
from paraphrase_rl_plugins.rewards import _reasoning_patterns as reasoning

NAME = "format"
COPY_WORDS = 3
"""Shortest run of words that counts as copied."""
LOOP_WORDS = 4
"""Length of the word n-grams, and of the shortest sentence, whose repetition counts."""
ECHO_WORDS = 5
"""Number of words of the instruction in a row that may not appear; a shorter sentence of it may not appear whole."""
HEAD, TAIL = 400, 600
"""Number of characters at the beginning and end in which a preamble and a closing note are looked for."""

Words = list[str]


class FormatOptions(Options):
    """Options of ``format``."""

    min_length: float = Field(0.5, ge=0, description="words of the rewrite / words of the source, at least")
    max_length: float = Field(2.0, gt=0, description="words of the rewrite / words of the source, at most")
    max_copied: float = Field(
        0.8,
        gt=0,
        le=1,
        description="share of words in runs of three or more that the other text has too, at most",
    )
    max_repetition: float = Field(
        0.2, ge=0, le=1, description="share of repeated word 4-grams beyond the source's own, at most"
    )

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.min_length > self.max_length:
            raise ValueError("min_length must not be larger than max_length")
        return self


@hookimpl
def register_rewards() -> Iterable[RewardSpec]:
    return [
        RewardSpec(
            name=NAME,
            summary="1 when the output is a complete rewrite, nothing else and not a copy; else 0, and the total is 0",
            factory=build,
            options=FormatOptions,
            default_weight=0.5,
            role="validity",
            cost="negligible",
        )
    ]


def build(options: FormatOptions, context: Context) -> OutputFormat:  # noqa: ARG001 - the factory's signature
    """Build the reward."""
    return OutputFormat(options)


class OutputFormat:
    """Reward of 1 if every check of :meth:`checks` passes, else 0.

    ``details`` hold one array of 0 and 1 for each check, so that logs show why outputs fail.
    """

    def __init__(self, options: FormatOptions) -> None:
        self.options = options

    def __call__(self, batch: RewardBatch) -> Terms:
        rows = [
            self.checks(source.text, rewrite, finished, batch.instruction)
            for source, rewrite, finished in zip(batch.sources, batch.rewrites, batch.finished, strict=True)
        ]
        names = list(self.checks("", "", True, ""))
        table = np.array([[row[name] for name in names] for row in rows], dtype=np.float64)
        table = table.reshape(len(rows), len(names))
        return Terms(table.min(axis=1), details={name: table[:, i] for i, name in enumerate(names)})

    def checks(self, source: str, rewrite: str, finished: bool, instruction: str) -> Mapping[str, bool]:
        """Apply all checks to one rewrite; ``True`` = passed.

        - ``not_empty``: the rewrite has a word.
        - ``finished``: the policy ended it by itself.
        - ``length``: 0.5 to 2 times the source's words.
        - ``no_preamble``, ``no_note``: it does not address the reader before or after the text.
        - ``no_reasoning``: it does not think aloud, with or without the marks of a thought.
        - ``no_instruction``: it does not repeat the instruction of the prompt.
        - ``no_copy``: it is not the source, lightly edited, cut, reordered or continued.
        - ``no_loop``: it does not repeat itself more than the source does.
        - ``no_markup``: no chat markup, role names, Markdown or lists that the source does not have.
        - ``plain_characters``: no control or replacement characters, half code points, letters that are
          hidden or swapped for look-alikes of another script.
        """
        ours, theirs = words(rewrite), words(source)
        head, source_head = (_plain(text[:HEAD]).lstrip(patterns.DECORATION) for text in (rewrite, source))
        visible, visible_source = (patterns.INVISIBLE.sub("", text) for text in (rewrite, source))
        plain_source = _plain(source)
        return {
            "not_empty": bool(ours),
            "finished": bool(finished),
            "length": self.options.min_length * len(theirs)
            <= len(ours)
            <= self.options.max_length * len(theirs),
            "no_preamble": not _new(patterns.PREAMBLE, head, source_head, re.Pattern.match),
            "no_note": not _new(patterns.NOTE, _plain(rewrite[-TAIL:]), plain_source),
            "no_reasoning": not (
                _new(reasoning.MARKS, visible, visible_source)
                or _new(reasoning.PREFACES, head, source_head, re.Pattern.match)
                or _new(reasoning.ASIDES, _plain(rewrite), plain_source)
            ),
            "no_instruction": not _echoes(ours, theirs, instruction),
            "no_copy": copied_share(ours, theirs) <= self.options.max_copied,
            "no_loop": self._no_loop(rewrite, source, ours, theirs),
            "no_markup": not _new(patterns.MARKUP, rewrite, source),
            "plain_characters": not _new(patterns.CHARACTERS, rewrite, source),
        }

    def _no_loop(self, rewrite: str, source: str, ours: Words, theirs: Words) -> bool:
        if repetition(ours) > repetition(theirs) + self.options.max_repetition:
            return False
        if _repeated_sentences(rewrite) - _repeated_sentences(source):
            return False
        return not _new([patterns.STUTTER], rewrite, source)


def words(text: str) -> Words:
    """Split a text into words for comparison: case, punctuation and invisible characters do not count.

    In scripts written without spaces each character is a word.
    """
    return patterns.WORD.findall(patterns.INVISIBLE.sub("", text).casefold().replace("’", "'"))


def copied_share(ours: Words, theirs: Words) -> float:
    """Compute the share of one text that is in the other word by word, in [0, 1]; the larger of both directions.

    The share of words that lie in a run of three or more which the other text has too, in any order.
    Substituting k of n words leaves at least 1 - (3 k + 2) / n, so editing 5 % of 50 words leaves a copy
    above 0.8, wherever the edits are. The other direction finds a source that is repeated and then continued.
    """
    if not ours or not theirs:
        return 0.0
    size = min(COPY_WORDS, len(ours), len(theirs))
    ours_grams, theirs_grams = _ngrams(ours, size), _ngrams(theirs, size)
    return max(_covered(ours_grams, set(theirs_grams), size), _covered(theirs_grams, set(ours_grams), size))


def _ngrams(sequence: Words, size: int) -> list[tuple[str, ...]]:
    return list(zip(*(sequence[i:] for i in range(size)), strict=False))


def _covered(grams: Sequence[tuple[str, ...]], known: set[tuple[str, ...]], size: int) -> float:
    found = np.array([gram in known for gram in grams])
    covered = np.convolve(found, np.ones(size)) > 0
    return float(covered.mean())


def repetition(sequence: Words) -> float:
    """Compute the share of word 4-grams that occur before in the text, in [0, 1)."""
    grams = _ngrams(sequence, LOOP_WORDS)
    return 1.0 - len(set(grams)) / len(grams) if grams else 0.0


def _repeated_sentences(text: str) -> set[tuple[str, ...]]:
    sentences = Counter(tuple(words(sentence)) for sentence in patterns.SENTENCE_END.split(text))
    return {sentence for sentence, n in sentences.items() if n > 1 and len(sentence) >= LOOP_WORDS}


def _echoes(ours: Words, theirs: Words, instruction: str) -> bool:
    told: dict[int, set[tuple[str, ...]]] = {}
    for sentence in patterns.SENTENCE_END.split(instruction):
        told_words = words(sentence)
        size = min(ECHO_WORDS, len(told_words))
        if size >= COPY_WORDS:
            told.setdefault(size, set()).update(_ngrams(told_words, size))
    return any(
        (grams & set(_ngrams(ours, size))) - set(_ngrams(theirs, size)) for size, grams in told.items()
    )


def _plain(text: str) -> str:
    return patterns.INVISIBLE.sub("", text).casefold().replace("’", "'")


def _new(
    found_by: Iterable[re.Pattern[str]],
    rewrite: str,
    source: str,
    how: Callable[[re.Pattern[str], str], object] = re.Pattern.search,
) -> bool:
    """Return whether a pattern occurs in the rewrite and not in the source."""
    return any(how(pattern, rewrite) and not how(pattern, source) for pattern in found_by)
