"""One result, four formats."""

from __future__ import annotations

import csv
import io
import json
import math

import numpy as np
import pytest

from paraphrase_rl.cli.output import FORMATS, emit, emit_records, say
from paraphrase_rl.tables import cell

ROWS = [
    {"id": "a", "score": -1.234567, "n": 3, "ok": True, "tags": ["x", "y"]},
    {"id": "b\nc", "score": math.nan, "n": None, "ok": False, "note": 'späte, "Zeile"'},
]


def printed(capsys: pytest.CaptureFixture[str], format_: str, **more: object) -> str:
    emit(ROWS, format_=format_, schema="prl.test", **more)  # type: ignore[arg-type]
    captured = capsys.readouterr()
    assert captured.err == ""
    return captured.out


def test_table(capsys: pytest.CaptureFixture[str]) -> None:
    lines = printed(capsys, "table").splitlines()
    assert [line.split() for line in (lines[0], *lines[2:])] == [
        ["id", "score", "n", "ok", "tags", "note"],
        ["a", "-1.235", "3", "yes", "x,", "y", "-"],
        ["b", "c", "-", "-", "no", "-", "späte,", '"Zeile"'],
    ]


def test_table_shows_the_columns_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    assert printed(capsys, "table", columns=["n", "id"]).split()[:2] == ["n", "id"]


def test_json_has_a_schema_and_no_nan(capsys: pytest.CaptureFixture[str]) -> None:
    payload = json.loads(printed(capsys, "json", meta={"digest": "d"}), parse_constant=pytest.fail)
    assert (payload["schema"], payload["digest"]) == ("prl.test", "d")
    assert payload["rows"] == [ROWS[0], {**ROWS[1], "score": None}]


def test_jsonl_is_a_row_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    lines = printed(capsys, "jsonl").splitlines()
    assert [json.loads(line, parse_constant=pytest.fail) for line in lines] == [
        ROWS[0],
        {**ROWS[1], "score": None},
    ]


def test_csv_reads_back(capsys: pytest.CaptureFixture[str]) -> None:
    first, second = csv.DictReader(io.StringIO(printed(capsys, "csv"), newline=""))
    assert float(first["score"]) == ROWS[0]["score"]
    assert json.loads(first["tags"]) == ["x", "y"]
    assert second == {"id": "b\nc", "score": "", "n": "", "ok": "False", "tags": "", "note": 'späte, "Zeile"'}


@pytest.mark.parametrize("format_", FORMATS)
def test_no_rows(format_: str, capsys: pytest.CaptureFixture[str]) -> None:
    emit([], format_=format_, schema="prl.test", columns=["id"])
    out = capsys.readouterr().out
    assert out == "" if format_ == "jsonl" else out.startswith(("id", '{"schema": "prl.test", "rows": []}'))


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (None, "-"),
        ("", "-"),
        (math.nan, "-"),
        (np.float64("nan"), "-"),
        (0.0, "0"),
        (123456.0, "1.235e+05"),
        (np.float64(0.5), "0.5"),
        (np.int64(7), "7"),
        (True, "yes"),
        ([], "-"),
        ("a\x1b[31m\x00b\u009bc", "a\\x1b[31m\\x00b\\x9bc"),
        ("x" * 81, "x" * 79 + "…"),
        ("x" * 80, "x" * 80),
    ],
)
def test_cells(value: object, shown: str) -> None:
    assert cell(value) == shown


def test_records_are_blocks_and_nothing_is_cut(capsys: pytest.CaptureFixture[str]) -> None:
    rows = [
        {"name": "n", "lines": "first\n  second", "list": ["a", "b"], "long": "x" * 200, "none": ""},
        {"name": "m"},
    ]
    emit_records(rows, format_="table", schema="prl.test")
    assert capsys.readouterr().out == (
        f"name   n\nlines  first\n         second\nlist   a\n       b\nlong   {'x' * 200}\nnone   -\n\nname  m\n"
    )
    emit_records(rows, format_="json", schema="prl.test")
    assert json.loads(capsys.readouterr().out)["rows"] == rows


def test_messages_go_to_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    say("hello")
    assert capsys.readouterr() == ("", "hello\n")
