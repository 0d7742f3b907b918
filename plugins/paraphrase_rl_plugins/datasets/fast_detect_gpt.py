"""The texts published with Fast-DetectGPT (Bao et al. 2024): openings of human texts, continued by a model."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from itertools import takewhile
from typing import Literal

from pydantic import Field

from paraphrase_rl.plugin import (
    Context,
    DataError,
    DatasetSpec,
    Document,
    FilesOptions,
    PublishedFiles,
    decoded,
    hookimpl,
    opening,
    sentence_ends,
)


class FastDetectGptOptions(FilesOptions):
    """Options of ``fast-detect-gpt``."""

    files: tuple[str, ...] = Field(
        ("*.raw_data.json",), min_length=1, description="patterns of the names of the files to read"
    )
    openings: Literal["keep", "cut"] = Field(
        "keep",
        description="cut: leave out the words that a pair shares, and the rest of the sentence they end in, so that an "
        "AI text has no human words",
    )


@hookimpl
def register_datasets() -> Iterable[DatasetSpec]:
    return [
        DatasetSpec(
            name="fast-detect-gpt",
            summary="Fast-DetectGPT's own data: news, stories, medical answers, continued by five models",
            factory=FastDetectGpt,
            options=FastDetectGptOptions,
            paper="arXiv:2310.05130",
            licence="MIT (repository); human texts of XSum, WritingPrompts, PubMedQA, SQuAD",
        )
    ]


class FastDetectGpt:
    """Reader of files ``DOMAIN_MODEL.raw_data.json`` with ``original`` and ``sampled``, paired by position.

    The same human documents recur in the file of every model, cut to other lengths: a pair is therefore named
    by the opening of its human text, not by its position.
    """

    def __init__(self, options: FastDetectGptOptions, context: Context) -> None:  # noqa: ARG002
        self._options = options
        self._files = PublishedFiles(
            "fast-detect-gpt", options.path, ["*.raw_data.json"], "github baoguangsheng/fast-detect-gpt"
        )

    def documents(self) -> Iterator[Document]:
        for file in self._files.files():
            if not any(file.match(pattern) for pattern in self._options.files):
                continue
            domain = file.name.partition("_")[0]
            for number, (human, ai) in enumerate(_pairs(decoded(file.read_bytes(), str(file)), str(file))):
                pair = f"{domain}-{opening(human)[:16]}"
                name = f"{file.name}:{number}"
                if self._options.openings == "cut":
                    shared = sum(
                        1 for _ in takewhile(lambda both: both[0] == both[1], zip(human, ai, strict=False))
                    )
                    human, ai = _after(human, shared), _after(ai, shared)
                    if not (human and ai):
                        continue
                yield Document(id=f"{name}-human", text=human, label="human", domain=domain, pair=pair)
                yield Document(id=f"{name}-ai", text=ai, label="ai", domain=domain, pair=pair)

    def provenance(self) -> Mapping[str, str]:
        return self._files.provenance()

    def description(self) -> str:
        return (
            "Data of Fast-DetectGPT (Bao et al. 2024, arXiv:2310.05130; github baoguangsheng/fast-detect-gpt), MIT; "
            "the AI text continues the human text's first 30 tokens, so that a pair shares its opening."
        )


def _after(text: str, shared: int) -> str:
    """The whole sentences behind the first ``shared`` characters."""
    start = next((end for end in sentence_ends(text) if end >= shared), len(text))
    return text[start:].strip()


def _pairs(text: str, where: str) -> list[tuple[str, str]]:
    try:
        read = json.loads(text)
        original, sampled = read["original"], read["sampled"]
        return list(zip(map(str, original), map(str, sampled), strict=True))
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(
            f"{where}: original and sampled must be lists of equal length: {error}",
            "the file may be incomplete: download it again",
        ) from error
