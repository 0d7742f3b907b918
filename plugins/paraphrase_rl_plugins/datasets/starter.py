"""The starter data set: human news stories, and stories of the same kind by a language model. No network."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Iterable, Sequence
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

_AI_STORIES = Path(__file__).with_name("starter_ai.jsonl")
_HUMAN_FILES = {
    "lee_background.cor": "5d78d6dafd953bbf65797bef09a9ffb9ec430583381be705f8fd460000f370fb",
    "lee.cor": "a878f9a58f6743c32985c56c2f2f75988386216b38a4023a01fd3bcf7884d93e",
}
_RETOLD = {72: 59, 107: 98, 191: 182, 241: 232}
"""Stories of ``lee_background.cor`` that tell an earlier one again, slightly edited."""
_PAIRED_SPLITS: tuple[Split, ...] = ("calibration", "train", "test")
_UNPAIRED_SPLITS: tuple[Split, ...] = ("calibration", "calibration", "test")
_INSTALL = "pip install --no-deps gensim"


@hookimpl
def register_datasets() -> Iterable[DatasetSpec]:
    return [
        DatasetSpec(
            name="starter",
            summary="343 human news stories (Lee corpus, from gensim) and 150 written by a language model",
            factory=Starter,
            licence="gensim: LGPL-2.1; Lee corpus: ABC news; AI stories: MIT",
            cost="none; needs the gensim wheel, which is read and never imported",
        )
    ]


class Starter:
    """Human and AI news stories, split by story; see :meth:`description`."""

    def __init__(self, options: NoOptions, context: Context) -> None:
        pass

    def documents(self) -> list[Document]:
        """Return the documents, in which AI stories share a pair with their human counterparts; splits are fixed."""
        background = _stories("lee_background.cor")
        more = _stories("lee.cor")
        ai = [json.loads(line) for line in _AI_STORIES.read_text(encoding="ascii").splitlines()]
        domains = {f"story-{row['pair']}": f"news/{row['domain']}" for row in ai}

        human: list[tuple[str, str, str]] = []
        seen: set[str] = set()
        for i, text in enumerate(background):
            if text not in seen:
                human.append((f"lee-background-{i}", f"story-{_RETOLD.get(i, i)}", text))
            seen.add(text)
        human += [(f"lee-{i}", f"story-lee-{i}", text) for i, text in enumerate(more)]

        splits = _splits(domains, [pair for _, pair, _ in human])
        return [
            Document(
                id=id,
                text=text,
                label="human",
                domain=domains.get(pair, "news"),
                pair=pair,
                split=splits[pair],
            )
            for id, pair, text in human
        ] + [
            Document(
                id=f"ai-{row['pair']}",
                text=row["text"],
                label="ai",
                domain=f"news/{row['domain']}",
                pair=f"story-{row['pair']}",
                split=splits[f"story-{row['pair']}"],
            )
            for row in ai
        ]

    def description(self) -> str:
        return (
            "Human texts: the stories of the Lee corpus (news of the Australian Broadcasting Corporation, "
            "2001-2002), read by index from lee_background.cor and lee.cor inside the installed gensim "
            "wheel (gensim: LGPL-2.1; the corpus: ABC news, not redistributed here); 7 exact duplicates are "
            "dropped, 4 retold stories share the pair of the first telling. AI texts: 150 stories "
            "written by a language model (Claude) for this project after the kind and length of 150 of the "
            "human ones, in the plain voice of an assistant, without names (MIT, with the project). The "
            "150 pairs are split by story, 50 each for calibration, train and test, even over domains; of "
            "the human stories without a counterpart two thirds are for calibration and one third for test, "
            "because more human texts resolve a finer false positive rate. One genre, one country, one writing model: "
            "results on it do not carry over to other texts."
        )


def _splits(domains: dict[str, str], pairs: Sequence[str]) -> dict[str, Split]:
    """Deal the stories in an order fixed by hash; those with a counterpart domain by domain."""
    paired = sorted(domains, key=lambda pair: (domains[pair], sha256_text(pair)))
    unpaired = sorted({pair for pair in pairs if pair not in domains}, key=sha256_text)
    return {pair: _PAIRED_SPLITS[i % 3] for i, pair in enumerate(paired)} | {
        pair: _UNPAIRED_SPLITS[i % 3] for i, pair in enumerate(unpaired)
    }


def _stories(name: str) -> list[str]:
    """One story a line. The files are Latin-1 (a pound sign, a few accents)."""
    found = importlib.util.find_spec("gensim")
    if found is None or found.origin is None:
        raise MissingDependencyError("the starter data set needs the package gensim", _INSTALL)
    path = Path(found.origin).parent / "test" / "test_data" / name
    if not path.is_file():
        raise MissingDependencyError(
            f"the installed gensim has no file {path}", f"{_INSTALL} --force-reinstall"
        )
    if sha256_file(path) != _HUMAN_FILES[name]:
        raise DataError(
            f"{path} is not the file the starter data set was made from", f"{_INSTALL} --force-reinstall"
        )
    return [" ".join(line.split()) for line in path.read_text(encoding="latin-1").split("\n") if line.strip()]
