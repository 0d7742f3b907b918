"""MAGE (Li et al. 2024): human texts of ten domains and those of 27 language models.

In its files label 0 means machine and label 1 human, the opposite of most data sets.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from paraphrase_rl.plugin import (
    Context,
    DataError,
    DatasetSpec,
    Document,
    HubOptions,
    Label,
    PublishedFiles,
    hookimpl,
)

_LABELS: Mapping[str, Label] = {"0": "ai", "1": "human"}


@hookimpl
def register_datasets() -> Iterable[DatasetSpec]:
    return [
        DatasetSpec(
            name="mage",
            summary="MAGE: ten domains, 27 language models (hub, or its CSV files)",
            factory=Mage,
            options=HubOptions,
            paper="arXiv:2305.13242",
            licence="Apache-2.0 (hub card), texts CC BY 4.0 (repository)",
        )
    ]


class Mage:
    """Reader of columns ``text``, ``label`` and ``src``, which has the domain and ``human`` or the language model."""

    def __init__(self, options: HubOptions, context: Context) -> None:  # noqa: ARG002
        self._files = PublishedFiles(
            "mage", options.path, ["train.csv", "*.csv"], "yaful/MAGE", "train.csv", options.revision
        )

    def documents(self) -> Iterator[Document]:
        for where, row in self._files.rows("text", "label", "src"):
            text, label, source = (str(row[column]) for column in ("text", "label", "src"))
            if not text.strip():
                continue
            if label not in _LABELS or (label == "1") != source.endswith("human"):
                raise DataError(
                    f"mage, {where}: label {label} and src {source!r} do not agree",
                    "in MAGE 0 is machine and 1 is human: use the file as published",
                )
            domain = source.partition("_machine")[0].removesuffix("_human")
            yield Document(id=where, text=text, label=_LABELS[label], domain=domain)

    def provenance(self) -> Mapping[str, str]:
        return self._files.provenance()

    def description(self) -> str:
        return (
            "MAGE (Li et al. 2024, arXiv:2305.13242; hub yaful/MAGE), Apache-2.0 by its hub card, CC BY 4.0 by its "
            "repository; the human texts come from ten older sets. Its rows do not say which human text a machine "
            "text continues: no pairs."
        )
