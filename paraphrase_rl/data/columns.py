"""Columns of a table: from a row to a document."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Literal, NamedTuple

from pydantic import Field, field_validator

from paraphrase_rl.data.bad_rows import BadRows, unusable
from paraphrase_rl.errors import DataError
from paraphrase_rl.names import suggestion
from paraphrase_rl.plugin.specs import Options
from paraphrase_rl.text.canonical import canonical
from paraphrase_rl.types import Document, Label, Split

Column = Literal["id", "text", "label", "group", "domain", "pair", "split"]
COLUMNS: tuple[Column, ...] = ("id", "text", "label", "group", "domain", "pair", "split")
SPLITS: Mapping[str, Split] = {
    "calibration": "calibration",
    "validation": "calibration",
    "valid": "calibration",
    "val": "calibration",
    "dev": "calibration",
    "train": "train",
    "training": "train",
    "test": "test",
}
"""Names of splits in data sets, in any case; a validation split is used for calibration."""
_LIKELY: Mapping[Column, tuple[str, ...]] = {
    "text": ("texts", "essay", "content", "document", "body", "answer", "generation", "abstract"),
    "label": (
        "labels",
        "generated",
        "is_ai",
        "ai",
        "is_generated",
        "class",
        "target",
        "y",
        "model",
        "source",
    ),
}
"""Names that other data sets have for a column; only ever named in a message, never used unasked."""


def _name(given: object) -> object:
    return str(given) if isinstance(given, (int, float)) else given


class UnknownValue(NamedTuple):
    """A label or split whose meaning is not known."""

    column: Column
    value: str


class TableOptions(Options):
    """Options of data sets that are tables."""

    columns: dict[Column, str | None] = Field(
        default_factory=dict,
        description="names of columns not called id, text, label, group, domain, pair or split, such as {text: essay}; "
        "null = a column of that name is something else and is not used",
    )
    label_values: dict[str, Label] = Field(
        default_factory=dict,
        description="meaning of the values in the label column, such as {0: human, 1: ai}; human and ai are known",
    )
    bad_rows: BadRows = Field(
        "refuse", description="rows without a usable text: refuse all of them, or skip (leave out and count)"
    )

    @field_validator("columns", "label_values", mode="before")
    @classmethod
    def _names(cls, given: object) -> object:
        """Take numbers as names; what YAML made of yes and no cannot be told any more."""
        if not isinstance(given, Mapping):
            return given
        if any(isinstance(part, bool) for pair in given.items() for part in pair):
            raise ValueError("yes, no, true and false are no names in YAML: write them in quotes")
        return {_name(key): _name(value) for key, value in given.items()}

    def column(self, column: Column) -> str | None:
        """Return the name that a column has in this table; ``None`` = it is not used."""
        return self.columns.get(column, column)

    def check_columns(self, present: Iterable[str], where: str) -> list[str]:
        """Refuse a table that lacks a required or named column; return notes on the columns that are not used.

        Raises:
            DataError: a column is missing; the message lists the columns of the table.
        """
        there = list(present)
        for column in COLUMNS:
            name = self.column(column)
            if name is not None and name not in there and (column == "text" or column in self.columns):
                likely = self._likely(column, there)
                meant = (
                    f"did you mean {likely!r}? columns: {', '.join(there)}"
                    if likely
                    else suggestion(name, there)
                )
                raise DataError(
                    f"{where}: there is no column {name!r} (for {column})",
                    f"{meant}; name the {column} column with the option columns: {{{column}: {likely or 'NAME'}}}",
                )
        notes = []
        if "label" not in self.columns and "label" not in there:
            likely = self._likely("label", there)
            meant = (
                f"; if {likely!r} holds the labels, say so with the option columns: {{label: {likely}}}"
                if likely
                else ""
            )
            notes.append(f"{where} has no column 'label'{meant}")
        used = {self.column(column) for column in COLUMNS}
        if unused := [name for name in there if name not in used]:
            notes.append(f"columns of {where} that are not used: {', '.join(map(repr, unused))}")
        return notes

    def _likely(self, column: Column, there: Iterable[str]) -> str | None:
        """The column that was probably meant: of the same name but for case and blanks, or of a usual one."""
        plain = {name.strip().lower(): name for name in there if name not in self.columns.values()}
        return next((plain[name] for name in (column, *_LIKELY.get(column, ())) if name in plain), None)

    def document(
        self, row: Mapping[str, object], *, id: str, split: Split | None = None
    ) -> Document | UnknownValue | str:
        """Build the document of a row.

        Args:
            row: values by the name of the column.
            id: id to use if the row has none.
            split: split to use if the row has none.

        Returns:
            The document; or the label or split whose meaning is not known; or a string that says why the text cannot
            be used.
        """
        text = row.get(str(self.column("text")))
        if problem := unusable(text):
            return problem
        given = self._cell(row, "split")
        if given is not None and given.strip().lower() not in SPLITS:
            return UnknownValue("split", given)
        label = self._label(row)
        if isinstance(label, UnknownValue):
            return label
        return Document(
            id=self.id_of(row) or id,
            text=canonical(str(text)),
            label=label,
            group=self._cell(row, "group"),
            domain=self._cell(row, "domain"),
            pair=self._cell(row, "pair"),
            split=SPLITS[given.strip().lower()] if given is not None else split,
        )

    def id_of(self, row: Mapping[str, object]) -> str | None:
        """Return the id of a row; ``None`` if it has none."""
        return self._cell(row, "id")

    def refusal(self, unknown: Mapping[UnknownValue, int], where: str) -> DataError:
        """Build the error about labels or splits whose meaning is not known.

        Args:
            unknown: number of rows that have each of them.
            where: name of the first of these rows.
        """
        column = next(iter(unknown)).column
        counts = {found.value: n for found, n in unknown.items() if found.column == column}
        n = sum(counts.values())
        plural = "s" if len(counts) > 1 else ""
        listed = ", ".join(map(repr, list(counts)[:10])) + (", …" if len(counts) > 10 else "")
        message = f"{where}: unknown {column}{plural} {listed}, in {n} row{'s' if n > 1 else ''}"
        if column == "split":
            usual = ", ".join(SPLITS)
            off = "if the column is something else, ignore it with the option columns: {split: null}"
            return DataError(message, f"a split is one of: {usual}; {off}")
        wanted = ", ".join(f"{value}: ..." for value in sorted(counts)[:4])
        return DataError(
            message,
            "labels are human and ai; say which of them each value means, as your data's own description has it: "
            f"label_values: {{{wanted}}}",
        )

    def _cell(self, row: Mapping[str, object], column: Column) -> str | None:
        name = self.column(column)
        value = row.get(name) if name is not None else None
        return None if value is None or value == "" else str(value)

    def _label(self, row: Mapping[str, object]) -> Label | UnknownValue | None:
        value = self._cell(row, "label")
        if value is None:
            return None
        value = value.strip()
        known: dict[str, Label] = {"human": "human", "ai": "ai", **self.label_values}
        for spelling in (value, value.lower(), value.capitalize(), value.removesuffix(".0"), f"{value}.0"):
            if spelling in known:
                return known[spelling]
        return UnknownValue("label", value)
