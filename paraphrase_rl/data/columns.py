"""Columns of a table: from a row to a document."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Literal

from pydantic import Field

from paraphrase_rl.errors import DataError
from paraphrase_rl.names import suggestion
from paraphrase_rl.plugin.specs import Options
from paraphrase_rl.types import Document, Label, Split

Column = Literal["id", "text", "label", "group", "domain", "pair", "split"]
COLUMNS: tuple[Column, ...] = ("id", "text", "label", "group", "domain", "pair", "split")
SPLITS: Mapping[str, Split] = {
    "calibration": "calibration",
    "validation": "calibration",
    "dev": "calibration",
    "train": "train",
    "test": "test",
}
"""Names of splits in data sets; a validation split is used for calibration."""


class TableOptions(Options):
    """Options of data sets that are tables."""

    columns: dict[Column, str] = Field(
        default_factory=dict,
        description="names of columns not called id, text, label, group, domain, pair or split, such as {text: essay}",
    )
    label_values: dict[str, Label] = Field(
        default_factory=dict,
        description="meaning of the values in the label column, such as {0: human, 1: ai}; human and ai are known",
    )

    def check_columns(self, present: Iterable[str], where: str) -> None:
        """Refuse a table without a column that is needed or was named.

        Raises:
            DataError: lists the columns there are.
        """
        there = list(present)
        for column in COLUMNS:
            name = self.columns.get(column, column)
            if name not in there and (column == "text" or column in self.columns):
                raise DataError(
                    f"{where}: there is no column {name!r} (for {column})",
                    f"{suggestion(name, there)}; give its name with the option columns: {{{column}: NAME}}",
                )

    def document(
        self, row: Mapping[str, object], *, where: str, id: str, split: Split | None = None
    ) -> Document:
        """Build the document of a row.

        Args:
            where: name of the row in errors, such as ``essays.jsonl:12``.
            id: when the row has none.
            split: when the row has none.

        Raises:
            DataError: the text is missing, empty or not a string; the label or split is unknown.
        """
        text = row.get(self.columns.get("text", "text"))
        if not isinstance(text, str) or not text.strip():
            what = (
                "empty"
                if isinstance(text, str)
                else "missing"
                if text is None
                else f"{text!r:.80}, not a string"
            )
            raise DataError(f"{where}: the text is {what}", "add the text or remove the row")
        given = self._cell(row, "split")
        if given is not None and given not in SPLITS:
            raise DataError(f"{where}: unknown split {given!r}", f"a split is one of: {', '.join(SPLITS)}")
        return Document(
            id=self._cell(row, "id") or id,
            text=text,
            label=self._label(row, where),
            group=self._cell(row, "group"),
            domain=self._cell(row, "domain"),
            pair=self._cell(row, "pair"),
            split=SPLITS[given] if given is not None else split,
        )

    def _cell(self, row: Mapping[str, object], column: Column) -> str | None:
        value = row.get(self.columns.get(column, column))
        return None if value is None or value == "" else str(value)

    def _label(self, row: Mapping[str, object], where: str) -> Label | None:
        value = self._cell(row, "label")
        if value is None:
            return None
        known: dict[str, Label] = {"human": "human", "ai": "ai", **self.label_values}
        for spelling in (value, value.lower()):
            if spelling in known:
                return known[spelling]
        raise DataError(
            f"{where}: unknown label {value!r}",
            f"labels are human and ai; map other values with the option label_values: {{{value}: human}}",
        )
