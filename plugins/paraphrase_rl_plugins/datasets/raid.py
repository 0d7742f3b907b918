"""RAID (Dugan et al. 2024): human texts, and texts that eleven language models wrote from their titles.

Human rows are those whose model is ``human``; rows that an attack has changed are left out, human ones too.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from paraphrase_rl.plugin import (
    Context,
    DataError,
    DatasetSpec,
    Document,
    HubOptions,
    PublishedFiles,
    hookimpl,
)

_NOT_ENGLISH_PROSE = frozenset({"code", "czech", "german"})
"""Domains of its file ``extra.csv``."""


@hookimpl
def register_datasets() -> Iterable[DatasetSpec]:
    return [
        DatasetSpec(
            name="raid",
            summary="RAID without its attacks: eight domains, eleven models (hub: 12 GB, or its CSV file)",
            factory=Raid,
            options=HubOptions,
            paper="arXiv:2405.07940",
            licence="MIT (hub card)",
        )
    ]


class Raid:
    """Reader that pairs each AI text with the human text of the same ``source_id``, from whose title it was written."""

    def __init__(self, options: HubOptions, context: Context) -> None:  # noqa: ARG002
        self._files = PublishedFiles(
            "raid", options.path, ["train.csv", "*.csv"], "liamdugan/raid", "train.csv", options.revision
        )

    def documents(self) -> Iterator[Document]:
        for where, row in self._files.rows("source_id", "model", "attack", "domain", "generation"):
            text, model, domain = (str(row[column]) for column in ("generation", "model", "domain"))
            if not model:
                raise DataError(
                    f"raid, {where}: the row names no model",
                    "the public test set has no labels: use train.csv",
                )
            if row["attack"] != "none" or domain in _NOT_ENGLISH_PROSE or not text.strip():
                continue
            yield Document(
                id=where,
                text=text,
                label="human" if model == "human" else "ai",
                domain=domain,
                pair=str(row["source_id"]) or None,
            )

    def provenance(self) -> Mapping[str, str]:
        return self._files.provenance()

    def description(self) -> str:
        return (
            "RAID (Dugan et al. 2024, arXiv:2405.07940; hub liamdugan/raid), MIT, rows without an attack; paired by "
            "source_id. The human texts come from eight older sets with terms of their own."
        )
