"""One policy for rows that cannot be used: refused all at once, or left out and counted."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from paraphrase_rl.errors import DataError, UsageError
from paraphrase_rl.text.canonical import canonical

BadRows = Literal["refuse", "skip"]
_LISTED = 10
_BLANK = frozenset("\u115f\u1160\u2800\u3164\uffa0")
"""Fillers and the blank of Braille: letters by their category, and nothing to see."""
_SURROGATE = re.compile("[\ud800-\udfff]")
_SKIP = "skip such rows with --bad-rows skip (in Python: bad_rows='skip')"


@dataclass(frozen=True)
class BadRow:
    """A row that cannot be used.

    Attributes:
        where: file and line, or another name of the row.
        problem: what is wrong with it.
        hint: what to do about it; may be an empty string.
    """

    where: str
    problem: str
    hint: str = ""

    def __str__(self) -> str:
        return self.problem if self.problem.startswith(self.where) else f"{self.where}: {self.problem}"


def unusable(text: object) -> str:
    """Say why a value is not a text that can be used; return an empty string if it is one."""
    if _is_missing(text):
        return "the text is missing"
    if not isinstance(text, str):
        return f"the text is {text!r:.80}, not a string"
    if not canonical(text):
        return "the text is empty"
    if "\0" in text:
        return "the text has NUL characters"
    if _SURROGATE.search(text):
        return "the text is not valid Unicode: it contains half a surrogate pair"
    if not any(c.isprintable() and not c.isspace() and c not in _BLANK for c in text):
        return "the text has only invisible characters"
    return ""


def _is_missing(value: object) -> bool:
    """Tell whether a value stands for a missing text: None, NaN, pandas.NA."""
    return value is None or (isinstance(value, float) and math.isnan(value)) or repr(value) in ("<NA>", "NaT")


class BadRowList:
    """The first rows that cannot be used, and how many there are; ``add`` rows in order."""

    def __init__(self, rows: Iterable[BadRow] = ()) -> None:
        self.first: list[BadRow] = []
        self.n = 0
        for row in rows:
            self.add(row)

    def add(self, row: BadRow) -> None:
        """Count a row, and list it if it is among the first."""
        self.n += 1
        if len(self.first) < _LISTED:
            self.first.append(row)

    def extend(self, more: BadRowList) -> None:
        """Add the rows of another list behind these."""
        self.n += more.n
        self.first += more.first[: _LISTED - len(self.first)]


def leave_out(bad: BadRowList, total: int, policy: BadRows | None = None) -> list[str]:
    """Apply the policy for bad rows: raise an error, or return notes on the rows left out.

    Args:
        bad: rows that cannot be used.
        total: number of rows, good and bad.
        policy: ``refuse`` or ``skip``; ``None`` = refuse, if the user has no choice.

    Raises:
        DataError: there are bad rows, and the policy is to refuse; the first ten are notes of the error.
        UsageError: there is no such policy.
    """
    if policy not in ("refuse", "skip", None):
        raise UsageError(f"bad_rows cannot be {policy!r:.60}", "give 'refuse' or 'skip'")
    if not bad.n:
        return []
    if policy == "skip":
        kinds = f"{bad.n} of {total} rows {'is' if bad.n == 1 else 'are'} left out"
        return [f"{kinds}: {'; '.join(map(str, bad.first[:3]))}{'; …' if bad.n > 3 else ''}"]
    first = bad.first[0]
    hint = first.hint or "add the text or remove the row"
    if policy is not None:
        hint += f"; or {_SKIP}"
    if bad.n == 1:
        raise DataError(str(first), hint)
    error = DataError(f"{bad.n} of {total} rows cannot be used, the first: {first}", hint)
    for row in bad.first:
        error.add_note(str(row))
    if bad.n > len(bad.first):
        error.add_note(f"… and {bad.n - len(bad.first)} more")
    raise error
