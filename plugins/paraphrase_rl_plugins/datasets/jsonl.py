"""Texts from JSON lines and CSV files."""

from __future__ import annotations

from collections.abc import Iterable

from pydantic import Field

from paraphrase_rl.plugin import Context, DatasetSpec, TableFiles, TableOptions, hookimpl


class JsonlOptions(TableOptions):
    """Options of ``jsonl``."""

    path: str | list[str] = Field(description="a file, a pattern such as essays/*.jsonl, or a list of them")


@hookimpl
def register_datasets() -> Iterable[DatasetSpec]:
    return [
        DatasetSpec(
            name="jsonl",
            summary="JSON lines and CSV files with columns text, label, group, domain, pair, split",
            factory=_build,
            options=JsonlOptions,
        )
    ]


def _build(options: JsonlOptions, context: Context) -> TableFiles:  # noqa: ARG001
    return TableFiles([options.path] if isinstance(options.path, str) else options.path, options)
