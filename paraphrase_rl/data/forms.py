"""Form of a file (one text, or a kind of table), found by its name and its content. Other files are refused."""

from __future__ import annotations

import csv
import io
import itertools
import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Literal

from paraphrase_rl.data.encoding import beginning
from paraphrase_rl.errors import DataError

Form = Literal["text", "csv", "jsonl", "json", "parquet", "arrow"]
_Seen = Literal["csv", "jsonl", "json", "markup"]
TableFormat = Literal["csv", "jsonl", "json", "parquet", "arrow"]
FORMS: tuple[Form, ...] = ("text", "csv", "jsonl", "json", "parquet", "arrow")
BY_SUFFIX: Mapping[str, Form] = {
    ".txt": "text",
    ".text": "text",
    ".md": "text",
    ".markdown": "text",
    ".csv": "csv",
    ".tsv": "csv",
    ".tab": "csv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "json",
    ".parquet": "parquet",
    ".arrow": "arrow",
    ".feather": "arrow",
}
STDIN = "-"
TEXT_COLUMN = "text"
_SAID: Mapping[str, str] = {
    "text": "one text",
    "csv": "CSV",
    "jsonl": "JSON lines",
    "json": "a JSON array",
    "parquet": "Parquet",
    "arrow": "Arrow",
}
_MAGIC: Mapping[bytes, Form] = {b"PAR1": "parquet", b"ARROW1": "arrow"}
_MARKUP = re.compile(r"\s*(<!doctype|<html|<\?xml|\{\\rtf|%PDF)", re.IGNORECASE)
_ARRAY = re.compile(r"\s*\[\s*(\{|\])")
_LINE_END = re.compile(r"\r\n|\r|\n")
"""Not U+2028 or U+0085, which ``str.splitlines`` takes for one: they may stand inside a string of JSON."""
_LOOKED_AT, _ROWS_LOOKED_AT, _LONGEST_NAME = 100_000, 20, 40
_DELIMITERS = (",", "\t", ";", "|")
READ = ", ".join(BY_SUFFIX) + ", each also with .gz"


def suffix(name: str) -> str:
    """Return the extension of a file's name in lower case, leaving out ``.gz``; an empty string if there is none."""
    path = Path(name)
    if path.suffix.lower() == ".gz":
        path = path.with_suffix("")
    return path.suffix.lower()


def form_of(name: str, start: bytes, column: str | None = None) -> Form:
    """Find the form of a file, which must not be compressed.

    Args:
        name: name of the file; ``-`` = standard input, which has no name.
        start: first bytes of the file, enough for a few rows.
        column: name of the column of texts, if one was asked for; then a file that is not a table is refused.

    Raises:
        DataError: name and content say different forms, or neither says a form.
    """
    named = BY_SUFFIX.get(suffix(name))
    magic = next((form for mark, form in _MAGIC.items() if start.startswith(mark)), None)
    if magic is not None or named in ("parquet", "arrow"):
        return magic or named or "text"
    seen = _seen(beginning(start), column)
    if named in ("json", "jsonl"):
        return seen if seen == "json" or seen == "jsonl" else named
    if named is None:
        found = _unnamed(name, seen)
    elif seen not in (None, named):
        raise DataError(
            f"{name} is named like {_SAID[named]} and holds {_SAID.get(str(seen), 'markup, which cannot be read')}",
            f"rename the file, or say what it holds: --input-format {seen if seen in FORMS else 'text'}",
        )
    else:
        found = named
    if column is not None and named is None and found == "text":
        raise DataError(
            f"{name} is one text, and a text has no column {column!r}",
            "leave out --column, or say what the file is with --input-format, such as csv",
        )
    return found


def describe(name: str, form: Form, delimiter: str, encoding: str) -> str:
    """Write a line that says as which form a file is read."""
    called = {STDIN: "standard input"}.get(name, name)
    apart = {"\t": " with tabs", ";": " with semicolons", "|": " with bars"}.get(delimiter, "")
    written = "" if encoding.startswith("utf-8") else f", {encoding.upper()}"
    return f"{called} is read as {_SAID[form]}{apart}{written}"


def delimiter_of(text: str, column: str = TEXT_COLUMN) -> str:
    """Find the delimiter of a CSV by its header: that with the wanted column, else with most columns, else a comma."""

    def fit(delimiter: str) -> tuple[bool, int]:
        fields = _header(text, delimiter)
        return column in fields, len(fields)

    return max(_DELIMITERS, key=fit)


def _unnamed(name: str, seen: _Seen | None) -> Form:
    """Form of standard input, or of a file whose name says nothing."""
    if seen is not None and seen != "markup":
        return seen
    if seen is None and (name == STDIN or not suffix(name)):
        return "text"
    raise DataError(
        f"{name}: this kind of file cannot be read",
        f"files that can be read: {READ}; --input-format text reads any file as one text",
    )


def _seen(text: str, column: str | None) -> _Seen | None:
    """Form that the content itself shows; ``markup`` for what is neither a text nor a table here."""
    if _MARKUP.match(text):
        return "markup"
    if _ARRAY.match(text):
        return "json"
    line = next((line for line in _LINE_END.split(text) if line.strip()), "")
    if line.lstrip().startswith("{") and _is_object(line):
        return "jsonl"
    if text.lstrip().startswith("{") and _is_object(text):
        return "json"
    return "csv" if any(_is_table(text, delimiter, column) for delimiter in _DELIMITERS) else None


def _is_table(text: str, delimiter: str, column: str | None) -> bool:
    """Whether the first line is a header with the wanted column; unasked, further rows must have as many fields."""
    if column is not None:
        return column in _header(text, delimiter)
    rows = list(itertools.islice(_fields(text, delimiter), _ROWS_LOOKED_AT))
    if len(rows) < 2 or len(rows[0]) < 2 or TEXT_COLUMN not in rows[0]:
        return False
    return all(name and len(name) <= _LONGEST_NAME for name in rows[0]) and {*map(len, rows)} == {
        len(rows[0])
    }


def _is_object(text: str) -> bool:
    try:
        return isinstance(json.loads(text), dict)
    except (ValueError, RecursionError):
        return False


def _header(text: str, delimiter: str) -> list[str]:
    return next(_fields(text, delimiter), [])


def _fields(text: str, delimiter: str) -> Iterator[list[str]]:
    """Fields of the rows at the beginning of a text, as far as they can be read as CSV."""
    start = io.StringIO(text[:_LOOKED_AT], newline="")
    try:
        for row in csv.reader(start, delimiter=delimiter):
            if row:
                yield [field.strip() for field in row]
    except csv.Error:
        return
