"""Essays of Liang et al. (2023), who showed that detectors flag second-language writers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from paraphrase_rl.plugin import (
    Context,
    DataError,
    DatasetSpec,
    Document,
    FilesOptions,
    Label,
    PublishedFiles,
    file_rows,
    hookimpl,
)


class _Part(NamedTuple):
    label: Label
    domain: str
    group: str | None = None
    pair: str | None = None


_PARTS: Mapping[str, _Part] = {
    "TOEFL_real_91": _Part("human", "toefl", "non-native", "toefl"),
    "TOEFL_gpt4polished_91": _Part("ai", "toefl", "non-native", "toefl"),
    "HewlettStudentEssay_real_88": _Part("human", "8th-grade", "native", "8th-grade"),
    "HewlettStudentEssay_GPTsimplify_88": _Part("ai", "8th-grade", "native", "8th-grade"),
    "CS224N_real_145": _Part("human", "cs224n", None, "cs224n"),
    "CS224N_gpt3_145": _Part("ai", "cs224n", None, "cs224n"),
    "CS224N_gpt3PromptEng_145": _Part("ai", "cs224n", None, "cs224n"),
    "CollegeEssay_real_70": _Part("human", "college"),
    "CollegeEssay_gpt3_31": _Part("ai", "college", None, "college-gpt3"),
    "CollegeEssay_gpt3PromptEng_31": _Part("ai", "college", None, "college-gpt3"),
}
"""Folders; rows with the same number in folders with the same ``pair`` belong together (a text and its edits).

The group is that of the writer: an essay that GPT-4 polished has the group of its author. Of applicants and students at
Stanford it is not known.
"""


@hookimpl
def register_datasets() -> Iterable[DatasetSpec]:
    return [
        DatasetSpec(
            name="liang",
            summary="TOEFL, 8th-grade, college and CS224n texts of Liang et al., with the writers' group",
            factory=Liang,
            options=FilesOptions,
            paper="arXiv:2304.02819",
            licence="MIT badge on the repository, which cannot cover the essays: evaluate, do not redistribute",
        )
    ]


class Liang:
    """Reader of ``Human_Data`` and ``GPT_Data``: folders with a ``data.json`` each, an array of ``document``."""

    def __init__(self, options: FilesOptions, context: Context) -> None:  # noqa: ARG002
        self._files = PublishedFiles(
            "liang", options.path, ["data.json"], "github Weixin-Liang/ChatGPT-Detector-Bias"
        )

    def documents(self) -> Iterator[Document]:
        for file in self._parts():
            part = _PARTS[file.parent.name]
            for number, row in file_rows(file):
                text = row.get("document")
                if not isinstance(text, str) or not text.strip():
                    raise DataError(
                        f"liang, {file}:{number}: the row has no document", "use the file as published"
                    )
                yield Document(
                    id=f"{file.parent.name}-{number}",
                    text=text.strip(),
                    label=part.label,
                    group=part.group,
                    domain=part.domain,
                    pair=f"{part.pair}-{number}" if part.pair else None,
                )

    def provenance(self) -> Mapping[str, str]:
        known = {str(file) for file in self._parts()}
        return {name: digest for name, digest in self._files.provenance().items() if name in known}

    def description(self) -> str:
        return (
            "Essays of Liang et al. (2023, arXiv:2304.02819; github Weixin-Liang/ChatGPT-Detector-Bias): TOEFL essays "
            "by second-language writers and essays by US 8th-graders, each paired with its edit by a language model; "
            "project abstracts paired with generated ones; college essays, human and generated, unpaired. The "
            "repository's MIT badge cannot cover the essays themselves: for evaluation here, not for redistribution."
        )

    def _parts(self) -> list[Path]:
        found = [file for file in self._files.files() if file.parent.name in _PARTS]
        if not found:
            raise DataError(
                "liang: none of the folders of this data set was found",
                f"give the folder that contains {next(iter(_PARTS))}/data.json",
            )
        return found
