"""Text of an input, with its id and the other columns of its row; or the reason why there is no text."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from paraphrase_rl.data.bad_rows import unusable
from paraphrase_rl.errors import DataError
from paraphrase_rl.names import suggestion
from paraphrase_rl.text.canonical import canonical


@dataclass(frozen=True, kw_only=True)
class Item:
    """A text with its id, or the reason why there is no text (``problem``).

    Attributes:
        id: id of the text in results.
        text: the text in canonical form, see :mod:`paraphrase_rl.text.canonical`.
        problem: why there is no text.
        hint: what to do about it.
        where: file and line that the text comes from; an empty string if that is the ``id``.
        columns: all other columns of the text's row.
    """

    id: str
    text: str = ""
    problem: str = ""
    hint: str = ""
    where: str = ""
    columns: Mapping[str, object] = field(default_factory=dict)


def item_of(
    id: str, value: object, where: str = "", columns: Mapping[str, object] | None = None, problem: str = ""
) -> Item:
    """Make an item of a value that should be a text; ``problem`` is what is known to be wrong with it."""
    problem = problem or unusable(value)
    text = "" if problem else canonical(str(value))
    return Item(id=id, text=text, problem=problem, where=where, columns={} if columns is None else columns)


def check_column(where: str, columns: Iterable[object], column: str) -> None:
    """Refuse a table without the column of the texts.

    Raises:
        DataError: says which column may have been meant.
    """
    known = [str(name) for name in columns]
    if column not in known:
        raise DataError(
            f"{where} has no column {column!r}", f"give the column of the texts; {suggestion(column, known)}"
        )
