"""HC3 (Guo et al. 2023): questions answered by people and by ChatGPT."""

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
    sha256_text,
)

_COLUMNS: tuple[tuple[str, Label], ...] = (("human_answers", "human"), ("chatgpt_answers", "ai"))


@hookimpl
def register_datasets() -> Iterable[DatasetSpec]:
    return [
        DatasetSpec(
            name="hc3",
            summary="HC3: questions answered by people and by ChatGPT (hub, or its JSONL files)",
            factory=Hc3,
            options=HubOptions,
            paper="arXiv:2301.07597",
            licence="CC BY-SA 4.0, stricter where its sources are",
        )
    ]


class Hc3:
    """Reader of rows that have a question with lists of answers; answers to one question are a pair.

    ``all.jsonl`` has the rows of all other files: if there is such a file, only this one is read.
    """

    def __init__(self, options: HubOptions, context: Context) -> None:  # noqa: ARG002
        self._files = PublishedFiles(
            "hc3",
            options.path,
            ["all.jsonl", "*.jsonl"],
            "Hello-SimpleAI/HC3",
            "all.jsonl",
            options.revision,
        )

    def documents(self) -> Iterator[Document]:
        for where, row in self._files.rows("question", *(column for column, _ in _COLUMNS)):
            pair = sha256_text(str(row["question"]))[:16]
            domain = row.get("source") or where.partition(".jsonl")[0]
            for column, label in _COLUMNS:
                answers = row[column]
                if not isinstance(answers, list):
                    raise DataError(
                        f"hc3, {where}: {column} is not a list", "use the file as the set publishes it"
                    )
                for number, answer in enumerate(answers):
                    if str(answer).strip():
                        yield Document(
                            id=f"{where}-{label}-{number}",
                            text=str(answer).strip(),
                            label=label,
                            domain=str(domain),
                            pair=pair,
                        )

    def provenance(self) -> Mapping[str, str]:
        return self._files.provenance()

    def description(self) -> str:
        return (
            "HC3 (Guo et al. 2023, arXiv:2301.07597; hub Hello-SimpleAI/HC3), CC BY-SA 4.0, stricter where its sources "
            "are; answers to one question are paired. Human answers are tokenised (a space before punctuation)."
        )
