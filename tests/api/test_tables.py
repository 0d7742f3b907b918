"""Results: typed rows that print, convert to pandas, and fit a terminal."""

from __future__ import annotations

import sys
from dataclasses import FrozenInstanceError, dataclass
from typing import ClassVar

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from paraphrase_rl.errors import MissingDependencyError
from paraphrase_rl.tables import WIDTH, Table, cell, text_table


@dataclass(frozen=True, kw_only=True)
class Line:
    id: str
    score: float | None
    flagged: bool | None = None


class Record(BaseModel):
    name: str
    counts: dict[str, int]


@dataclass(frozen=True, repr=False)
class Lines(Table[Line]):
    source: str = ""

    columns: ClassVar[tuple[str, ...]] = ("id", "score")


TWO = Lines((Line(id="a", score=1.5, flagged=True), Line(id="b<i>", score=None)), ("mind\nthis",), "here")


def test_a_table_is_a_frozen_sequence_of_its_rows() -> None:
    assert (len(TWO), list(TWO), TWO[1].id, TWO.source) == (2, list(TWO.rows), "b<i>", "here")
    with pytest.raises(FrozenInstanceError):
        TWO.rows = ()  # type: ignore[misc]


def test_repr_is_title_table_and_notes() -> None:
    assert repr(TWO).splitlines() == [
        "Lines: 2 rows",
        "id    score",
        "----  -----",
        "a       1.5",
        "b<i>      -",
        "note: mind this",
    ]


def test_repr_of_no_rows() -> None:
    assert repr(Lines(())).splitlines()[:2] == ["Lines: 0 rows", "id  score"]
    assert repr(Table(())) == "Table: 0 rows"


def test_repr_shows_the_first_rows_and_counts_the_rest() -> None:
    many = Lines(tuple(Line(id=str(i), score=i / 7) for i in range(100)))
    assert len(repr(many).splitlines()) == 24
    assert repr(many).splitlines()[-1] == "… 80 more"


def test_html_is_escaped() -> None:
    shown = Lines((Line(id="<script>", score=1.0),), ("a < b",))._repr_html_()
    assert "<script>" not in shown
    assert "&lt;script&gt;" in shown
    assert "note: a &lt; b" in shown


def test_to_pandas_has_every_field_of_every_row() -> None:
    frame = TWO.to_pandas()
    assert list(frame.columns) == ["id", "score", "flagged"]
    assert frame["score"][0] == 1.5
    assert pd.isna(frame["score"][1])
    records = Table((Record(name="x", counts={"a": 1}),)).to_pandas()
    assert records.to_dict("records") == [{"name": "x", "counts": {"a": 1}}]
    assert list(Lines(()).to_pandas().columns) == ["id", "score"]


def test_without_pandas_one_clear_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(MissingDependencyError, match="to_pandas needs pandas") as raised:
        TWO.to_pandas()
    assert raised.value.hint == "pip install pandas"


@given(
    st.lists(
        st.dictionaries(
            st.sampled_from([f"column_number_{i}" for i in range(12)]),
            st.one_of(st.none(), st.floats(), st.integers(), st.text("ab \n世", max_size=300)),
        ),
        max_size=5,
    )
)
def test_a_table_fits_its_width_and_names_what_it_leaves_out(rows: list[dict[str, object]]) -> None:
    columns = [f"column_number_{i}" for i in range(12)]
    table = text_table(rows, columns, WIDTH)
    assert max(map(len, table.splitlines())) <= WIDTH
    assert table.count("column_") == 12


def test_a_wide_table_is_not_cut_without_a_width() -> None:
    row = {f"k{i}": "x" * 60 for i in range(6)}
    assert "x" * 60 in text_table([row], list(row))
    assert cell("x" * 121) == "x" * 119 + "…"


def test_a_long_cell_goes_on_in_the_next_line_and_nothing_of_it_is_lost() -> None:
    words = "one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen"
    table = text_table(
        [{"n": 1, "text": words, "path": "%" * 40}, {"n": 2, "text": "b"}], ["n", "text", "path"], 64
    )
    assert max(map(len, table.splitlines())) <= 64
    assert "also" not in table
    assert all(word in table for word in words.split())
    assert table.count("%") == 40


def test_a_column_without_a_value_is_left_out_before_others() -> None:
    row: dict[str, object] = {"first_number": 1.5, "empty_column": None, "last_number": 2.5}
    table = text_table([row], list(row), 20)
    assert "2.5" in table
    assert table.endswith("also: empty_column\n")


def test_an_interval_goes_below_its_number_where_the_table_is_too_wide() -> None:
    rows = [{f"k{i}": "0.50 [0.14, 0.78]" for i in range(4)} | {"other": "0.5 of [all]"}]
    rows.append(dict.fromkeys(rows[0], "0.75 (n too small)"))
    assert "0.50 [0.14, 0.78]" in text_table(rows, list(rows[0]))
    lines = text_table(rows, list(rows[0]), WIDTH).splitlines()
    assert lines[2].startswith("0.50           0.50 ")
    assert lines[2].endswith("0.5 of [all]")
    assert lines[3].startswith("[0.14, 0.78]   [0.14, 0.78] ")
    assert lines[5].startswith("(n too small)  (n too small) ")


def test_a_line_break_in_a_header_is_one_in_a_wide_table_too() -> None:
    assert text_table([{"one\ntwo": "x", "b": "y"}], ["one\ntwo", "b"]) == "one\ntwo  b\n---  -\nx    y\n"
