"""One result, four formats."""

from __future__ import annotations

import csv
import io
import json
import math
import os
import subprocess
import sys
from pathlib import Path

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
        (123456.0, "123456"),
        (1.5e16, "1.5e+16"),
        (0.00001234, "1.234e-05"),
        (np.float64(0.5), "0.5"),
        (np.int64(7), "7"),
        (True, "yes"),
        ([], "-"),
        ("a\x1b[31m\x00b\u009bc", "a\\x1b[31m\\x00b\\x9bc"),
        ("x" * 121, "x" * 119 + "…"),
        ("x" * 120, "x" * 120),
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


AWKWARD = ["a\rb", "a\r\nb", "a\nb", '"', "a,b;c\td", " ", "=1+1", "\u2028", "\U0001f642", "\\ud800"]


def test_what_we_write_as_csv_we_read(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """A lone carriage return was not quoted, and our own reader refused the file."""
    from paraphrase_rl.data.rows import file_rows

    emit([{"text": text, "n": i} for i, text in enumerate(AWKWARD)], format_="csv", schema="prl.test")
    (tmp_path / "t.csv").write_bytes(capsys.readouterr().out.encode())
    assert [row["text"] for _, row in file_rows(tmp_path / "t.csv")] == AWKWARD


@pytest.mark.parametrize("format_", ["json", "jsonl", "csv"])
@pytest.mark.parametrize("encoding", ["latin-1", "ascii", "cp1252"])
def test_payload_is_utf8_whatever_the_locale(tmp_path: Path, format_: str, encoding: str) -> None:
    (tmp_path / "t.csv").write_text("id,text,note\n1,one,caf\u00e9 \U0001f642\n", encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "paraphrase_rl", "rewrite", "none", "t.csv", "--format", format_],
        capture_output=True,
        cwd=tmp_path,
        env={**os.environ, "PYTHONIOENCODING": encoding, "PRL_HOME": str(tmp_path)},
        timeout=120,
        check=True,
    )
    assert "caf\u00e9 \U0001f642" in done.stdout.decode("utf-8")
