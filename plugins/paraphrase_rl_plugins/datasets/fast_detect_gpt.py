"""The texts published with Fast-DetectGPT (Bao et al. 2024): openings of human texts, continued by a model."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping

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
)


@hookimpl
def register_datasets() -> Iterable[DatasetSpec]:
    return [
        DatasetSpec(
            name="fast-detect-gpt",
            summary="Fast-DetectGPT's own data: news, stories, medical answers, continued by five models",
            factory=FastDetectGpt,
            options=FilesOptions,
            paper="arXiv:2310.05130",
            licence="MIT (repository); human texts of XSum, WritingPrompts, PubMedQA, SQuAD",
        )
    ]


class FastDetectGpt:
    """Reader of files ``DOMAIN_MODEL.raw_data.json`` with ``original`` and ``sampled``, paired by position.

    The same human documents recur in the file of every model, cut to other lengths: a pair is therefore named
    by the opening of its human text, not by its position.
    """

    def __init__(self, options: FilesOptions, context: Context) -> None:  # noqa: ARG002
        self._files = PublishedFiles(
            "fast-detect-gpt", options.path, ["*.raw_data.json"], "github baoguangsheng/fast-detect-gpt"
        )

    def documents(self) -> Iterator[Document]:
        for file in self._files.files():
            domain = file.name.partition("_")[0]
            for number, (human, ai) in enumerate(_pairs(decoded(file.read_bytes(), str(file)), str(file))):
                pair = f"{domain}-{opening(human)[:16]}"
                name = f"{file.name}:{number}"
                yield Document(id=f"{name}-human", text=human, label="human", domain=domain, pair=pair)
                yield Document(id=f"{name}-ai", text=ai, label="ai", domain=domain, pair=pair)

    def provenance(self) -> Mapping[str, str]:
        return self._files.provenance()

    def description(self) -> str:
        return (
            "Data of Fast-DetectGPT (Bao et al. 2024, arXiv:2310.05130; github baoguangsheng/fast-detect-gpt), MIT; "
            "the AI text continues the human text's first 30 tokens, so that a pair shares its opening."
        )


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
