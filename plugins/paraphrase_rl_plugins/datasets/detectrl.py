"""DetectRL (Wu et al. 2024): abstracts, news, stories and reviews by people and by four language models."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping

from paraphrase_rl.plugin import (
    Context,
    DataError,
    DatasetSpec,
    Document,
    FilesOptions,
    Label,
    PublishedFiles,
    hookimpl,
)

_LABELS: Mapping[object, Label] = {"human": "human", "llm": "ai"}
_FILE = re.compile(r"multi_domains_(.+)_(?:train|test)\.json:")


@hookimpl
def register_datasets() -> Iterable[DatasetSpec]:
    return [
        DatasetSpec(
            name="detectrl",
            summary="DetectRL, task 1 by domain: arXiv, XSum, stories, reviews (from a clone of its repository)",
            factory=DetectRl,
            options=FilesOptions,
            paper="arXiv:2410.23746",
            licence="see its repository, NLP2CT/DetectRL",
        )
    ]


class DetectRl:
    """Reader of files that are arrays of ``text``, ``label`` (``human``, ``llm``), ``data_type``, ``llm_type``."""

    def __init__(self, options: FilesOptions, context: Context) -> None:  # noqa: ARG002
        self._files = PublishedFiles(
            "detectrl", options.path, ["multi_domains_*.json"], "github NLP2CT/DetectRL"
        )

    def documents(self) -> Iterator[Document]:
        for where, row in self._files.rows("text", "label"):
            text, label = str(row["text"]), row["label"]
            if label not in _LABELS:
                raise DataError(
                    f"detectrl, {where}: unknown label {label!r}",
                    "use the file as the set publishes it, with the labels human and llm",
                )
            named = _FILE.search(where)
            if text.strip():
                yield Document(
                    id=where, text=text, label=_LABELS[label], domain=named.group(1) if named else None
                )

    def provenance(self) -> Mapping[str, str]:
        return self._files.provenance()

    def description(self) -> str:
        return (
            "DetectRL (Wu et al. 2024, arXiv:2410.23746; github NLP2CT/DetectRL), Benchmark/Tasks/Task1. Its rows do "
            "not say which human text a model's text belongs to: no pairs. Most human texts lack spaces between words "
            "where a newline was deleted."
        )
