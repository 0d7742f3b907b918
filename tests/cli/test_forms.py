"""What a file is read as: by name and content, said, and refused where it fits nothing."""

from __future__ import annotations

import csv
import gzip
import io
import json
from collections.abc import Callable
from pathlib import Path

import pytest

ROWS = [{"id": "p", "text": "Aa", "by": "me"}, {"id": "q", "text": "AA", "by": "you"}]
ARRAY = json.dumps(ROWS, indent=1)
LINES = "".join(json.dumps(row) + "\n" for row in ROWS)
HTML = "<!DOCTYPE html>\n<html><body><p>Text.</p></body></html>\n"


def table(delimiter: str) -> str:
    stream = io.StringIO(newline="")
    writer = csv.DictWriter(stream, ["id", "text", "by"], delimiter=delimiter)
    writer.writeheader()
    writer.writerows(ROWS)
    return stream.getvalue()


def parquet(path: Path) -> None:
    arrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    parquet.write_table(arrow.Table.from_pylist(ROWS), path)


def arrow_file(path: Path) -> None:
    arrow = pytest.importorskip("pyarrow")
    made = arrow.Table.from_pylist(ROWS)
    with arrow.ipc.new_file(path, made.schema) as writer:
        writer.write_table(made)


READ = {
    "a.json": (ARRAY.encode(), "a JSON array"),
    "lines.json": (LINES.encode(), "JSON lines"),
    "array.jsonl": (ARRAY.encode(), "a JSON array"),
    "a.jsonl": (LINES.encode(), "JSON lines"),
    "A.NDJSON": (LINES.encode(), "JSON lines"),
    "a.csv": (table(",").encode(), "CSV"),
    "a;.csv": (table(";").encode(), "CSV with semicolons"),
    "a|.csv": (table("|").encode(), "CSV with bars"),
    "a.tsv": (table("\t").encode(), "CSV with tabs"),
    "tabs.csv": (table("\t").encode(), "CSV with tabs"),
    "excel.csv": (table("\t").encode("utf-16"), "CSV with tabs, UTF-16"),
    "excel8.csv": (table(";").encode("utf-8-sig"), "CSV with semicolons"),
    "big.csv": (b"\xfe\xff" + table(",").encode("utf-16-be"), "CSV, UTF-16"),
    "a32.jsonl": (LINES.encode("utf-32"), "JSON lines, UTF-32"),
    "none": (LINES.encode(), "JSON lines"),
}


@pytest.mark.parametrize("packed", [False, True], ids=["plain", "gz"])
@pytest.mark.parametrize("name", READ)
def test_rows_in_every_form(prl, payload, tmp_path: Path, name: str, packed: bool) -> None:
    content, said = READ[name]
    file = name + ".gz" * packed
    (tmp_path / file).write_bytes(gzip.compress(content) if packed else content)
    shown = payload("score", file, "--detector", "shout")
    assert [(row["id"], row["score"], row["by"]) for row in shown["rows"]] == [
        ("p", 0.5, "me"),
        ("q", 1.0, "you"),
    ]
    assert f"{file} is read as {said}" in prl("score", file, "--detector", "shout").stderr


@pytest.mark.parametrize(("name", "write"), [("a.parquet", parquet), ("a.arrow", arrow_file)])
def test_rows_of_columnar_files(payload, tmp_path: Path, name: str, write: Callable[[Path], None]) -> None:
    write(tmp_path / name)
    shown = payload("score", name, "--detector", "shout")
    assert [(row["id"], row["score"], row["by"]) for row in shown["rows"]] == [
        ("p", 0.5, "me"),
        ("q", 1.0, "you"),
    ]
    (tmp_path / "nameless").write_bytes((tmp_path / name).read_bytes())
    assert payload("score", "nameless", "--detector", "shout")["rows"] == shown["rows"]


@pytest.mark.parametrize(
    "content", [ARRAY, LINES, LINES.splitlines()[0], table(","), table(";"), table("\t")]
)
def test_standard_input_by_its_content(payload, content: str) -> None:
    shown = payload("score", "--detector", "shout", stdin=content.encode())
    assert (shown["rows"][0]["id"], shown["rows"][0]["score"]) == ("p", 0.5)


def test_a_rewrite_is_piped_into_score(prl, payload, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = '{"id": "1", "rewrite": "Aa"}\n{"id": "1", "rewrite": "AA"}\n'
    shown = payload("score", "--column", "rewrite", "--detector", "shout", stdin=lines.encode())
    found = [(row["id"], row["input_id"], row["score"]) for row in shown["rows"]]
    assert found == [("-:1", "1", 0.5), ("-:2", "1", 1.0)], "two rewrites share the id of their text"
    shown = payload("score", "--column", "rewrite", "--detector", "shout", stdin=b"rewrite\nAa\n")
    assert [row["score"] for row in shown["rows"]] == [0.5]


PROSE = {
    "a.txt": "One, two; three.\nFour, five; six.",
    "b.md": "# Title\n\n[a link](x) and {braces}",
    "README": "text, more text\nand a line",
    "c.txt": "[1] A note in brackets.",
    "d.txt": "{not json}",
}


@pytest.mark.parametrize("name", PROSE)
def test_prose_stays_prose(payload, tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text(PROSE[name])
    shown = payload("score", name, "--detector", "shout")
    assert [row["id"] for row in shown["rows"]] == [name]


REFUSED = {
    "a.jsonl.txt": (LINES, "is named like one text and holds JSON lines", "--input-format jsonl"),
    "a.txt": (ARRAY, "is named like one text and holds a JSON array", "--input-format json"),
    "t.md": (table(","), "is named like one text and holds CSV", "--input-format csv"),
    "h.txt": (HTML, "holds markup", "--input-format text"),
    "a.csv": (LINES, "is named like CSV and holds JSON lines", "--input-format jsonl"),
    "a.html": (HTML, "this kind of file cannot be read", ".csv"),
    "a.docx": ("PK\3\4", "this kind of file cannot be read", "--input-format text"),
    "a.tex": ("Some prose.", "this kind of file cannot be read", "--input-format text"),
    "page": (HTML, "this kind of file cannot be read", "--input-format text"),
    "o.json": ('[{"te', "not JSON", "may be incomplete"),
    "n.json": ("7", "not an array of objects", '{"text"'),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_fits_nothing_is_refused(prl, tmp_path: Path, name: str) -> None:
    content, message, hint = REFUSED[name]
    (tmp_path / name).write_text(content)
    result = prl("score", name, "--detector", "shout")
    assert (result.exit_code, result.stdout) == (2, "")
    assert message in result.stderr
    assert hint in result.stderr


def test_input_format_decides_otherwise(payload, tmp_path: Path) -> None:
    (tmp_path / "a.jsonl.txt").write_text(LINES)
    rows = payload("score", "a.jsonl.txt", "--input-format", "jsonl", "--detector", "shout")["rows"]
    assert [row["score"] for row in rows] == [0.5, 1.0]
    rows = payload("score", "a.jsonl.txt", "--input-format", "text", "--detector", "shout")["rows"]
    assert [row["id"] for row in rows] == ["a.jsonl.txt"]


@pytest.mark.parametrize(
    ("arguments", "stdin"),
    [
        (["a.txt", "--column", "rewrite"], None),
        (["-", "--column", "rewrite"], b"Just prose."),
        (["--column", "rewrite"], b"Just prose."),
        (["--text", "x", "--column", "rewrite"], None),
        (["t.csv", "--column", "rewrite"], None),
        (["t.csv", "--column", "text", "--input-format", "text"], None),
    ],
)
def test_a_column_that_was_asked_for_is_never_ignored(
    prl, tmp_path: Path, arguments: list[str], stdin
) -> None:
    (tmp_path / "a.txt").write_text("Prose.")
    (tmp_path / "t.csv").write_text(table(","))
    result = prl("score", *arguments, "--detector", "shout", stdin=stdin)
    assert (result.exit_code, result.stdout) == (2, "")
    assert "column" in result.stderr


def test_a_text_among_tables_needs_no_column(payload, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("AAAa")
    (tmp_path / "t.csv").write_text("essay\nAa\n")
    shown = payload("score", "a.txt", "t.csv", "--column", "essay", "--detector", "shout")
    assert [(row["id"], row["score"]) for row in shown["rows"]] == [("a.txt", 0.75), ("t.csv:2", 0.5)]


def test_ids_of_several_files_are_told_apart_and_a_file_named_twice_is_read_once(
    payload, tmp_path: Path
) -> None:
    (tmp_path / "a.csv").write_text("id,text\n0,Aa\n1,AA\n")
    (tmp_path / "b.csv").write_text("id,text\n0,aa\n7,AA\n")
    shown = payload("score", "a.csv", "b.csv", "a.csv", "--detector", "shout")
    assert [row["id"] for row in shown["rows"]] == ["a.csv:0", "1", "b.csv:0", "7"]


def test_columns_named_like_ours_come_back_beside_ours(payload, prl, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("id,text,score,domain\nx,Aa,9,news\n")
    (row,) = payload("score", "a.csv", "--detector", "shout")["rows"]
    assert (row["score"], row["input_score"], row["domain"]) == (0.5, "9", "news")
    header, line = prl("score", "a.csv", "--detector", "shout", "--format", "csv").stdout.splitlines()
    assert dict(zip(header.split(","), line.split(","), strict=True))["input_score"] == "9"


@pytest.mark.parametrize(
    ("text", "encoding", "reading"),
    [
        ("It\u2019s late \u2014 \u201cquoted\u201d.", "cp1252", "in cp1252 it reads 'It’s late — “quot"),
        ("Он сказал: нет.", "cp1251", "in cp1251 it reads 'Он сказал: нет."),
        ("plain text", "utf-16-le", "in utf-16-le it reads 'plain text'"),
        ("caf\u00e9", "cp1252", "in cp1252 it reads 'café'"),
    ],
)
def test_another_encoding_is_proposed_by_what_it_would_read(
    prl, tmp_path: Path, text: str, encoding: str, reading: str
) -> None:
    (tmp_path / "a.txt").write_bytes(text.encode(encoding))
    result = prl("score", "a.txt", "--detector", "shout")
    assert result.exit_code == 2
    assert reading in result.stderr
    assert "iconv -f" in result.stderr


def test_a_damaged_archive_is_one_line(prl, tmp_path: Path) -> None:
    (tmp_path / "a.csv.gz").write_bytes(gzip.compress(table(",").encode() * 500)[:60])
    result = prl("score", "a.csv.gz", "--detector", "shout")
    assert (result.exit_code, "damaged gzip file" in result.stderr) == (2, True)
