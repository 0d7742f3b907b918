"""JSON lines and CSV."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from paraphrase_rl.errors import DataError, RecipeError
from paraphrase_rl.plugin.registry import default_registry
from paraphrase_rl.types import Document


def read(path: Path | list[Path], **options: Any) -> list[Document]:
    given = [str(p) for p in path] if isinstance(path, list) else str(path)
    return list(default_registry().build("datasets", "files", {"path": given, **options}).documents())


def error(path: Path, **options: Any) -> DataError:
    with pytest.raises(DataError) as raised:
        read(path, **options)
    assert raised.value.hint
    return raised.value


def jsonl(path: Path, *rows: object) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


FULL = {"text": "one\u2028two", "label": "ai", "group": "g", "domain": "d", "pair": "p", "split": "test"}


def test_all_columns(tmp_path: Path) -> None:
    file = jsonl(
        tmp_path / "a.jsonl", FULL, {"text": "b", "id": "mine", "more": 1}, {"text": "c", "label": None}
    )
    assert read(file) == [
        Document(
            id="a.jsonl:1", text="one\u2028two", label="ai", group="g", domain="d", pair="p", split="test"
        ),
        Document(id="mine", text="b"),
        Document(id="a.jsonl:3", text="c"),
    ]


def test_csv_and_jsonl_read_the_same(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(
        b'\xef\xbb\xbftext,label,pair\r\n"one, ""two""\r\nthree",Human,7\r\n\r\n\xc3\xa9t\xc3\xa9,AI,\r\n'
    )
    assert read(tmp_path / "a.csv") == [
        Document(id="a.csv:2", text='one, "two"\nthree', label="human", pair="7"),
        Document(id="a.csv:5", text="été", label="ai"),
    ]


def test_names_and_meanings_are_mapped(tmp_path: Path) -> None:
    file = jsonl(
        tmp_path / "a.jsonl", {"essay": "x", "generated": 1, "lang": "L2"}, {"essay": "y", "generated": 0}
    )
    columns = {"text": "essay", "label": "generated", "group": "lang"}
    assert read(file, columns=columns, label_values={"0": "human", "1": "ai"}) == [
        Document(id="a.jsonl:1", text="x", label="ai", group="L2"),
        Document(id="a.jsonl:2", text="y", label="human"),
    ]


def test_zero_and_one_need_to_be_told(tmp_path: Path) -> None:
    found = error(jsonl(tmp_path / "a.jsonl", {"text": "x", "label": 0}))
    assert found.message.endswith("a.jsonl:1: unknown label '0', in 1 row")
    assert "label_values: {0: ...}" in found.hint, "which of the two it means is not for us to guess"


def test_validation_is_calibration(tmp_path: Path) -> None:
    file = jsonl(tmp_path / "a.jsonl", {"text": "x", "split": "validation"})
    assert read(file)[0].split == "calibration"
    assert (
        "unknown split 'eval'" in error(jsonl(tmp_path / "b.jsonl", {"text": "x", "split": "eval"})).message
    )


def test_several_files_and_patterns(tmp_path: Path) -> None:
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        jsonl(tmp_path / folder / "x.jsonl", {"text": folder})
    both = read(tmp_path / "*" / "x.jsonl")
    assert [d.text for d in both] == ["a", "b"]
    assert len({d.id for d in both}) == 2
    assert [d.text for d in read([tmp_path / "b/x.jsonl", tmp_path / "a/x.jsonl"])] == ["b", "a"]


def test_a_text_of_a_megabyte(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("text\n" + "x" * 1_000_000 + "\n")
    assert len(read(tmp_path / "a.csv")[0].text) == 1_000_000


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.jsonl", b'{"text": "x"}\n\n{"text": \n', "a.jsonl:3: not JSON"),
        ("a.jsonl", b'{"text": "x"}\n[1]\n', "a.jsonl:2: not an object but '[1]'"),
        ("a.jsonl", b'{"text": "x"}\n{"text": ""}\n', "a.jsonl:2: the text is empty"),
        ("a.jsonl", b'{"text": "x"}\n{"txt": "y"}\n', "a.jsonl:2: the text is missing"),
        ("a.jsonl", b'{"text": "x"}\n{"text": null}\n', "a.jsonl:2: the text is missing"),
        ("a.jsonl", b'{"text": 12}\n', "a.jsonl:1: the text is 12, not a string"),
        ("a.jsonl", b'{"text": "x"}\n{"text": "\xff"}\n', "a.jsonl:2: not UTF-8: byte 0xff at offset 24"),
        ("a.csv", b"text,label\nx,ai\ny,human,z\n", "a.csv:3: 3 fields, the header has 2"),
        ("a.csv", b'text\nx\n"y\n', "a.csv:3: not CSV"),
        ("a.csv", b"text\nx\n \n", "a.csv:3: the text is empty"),
    ],
)
def test_bad_rows_are_named(tmp_path: Path, name: str, content: bytes, said: str) -> None:
    (tmp_path / name).write_bytes(content)
    assert said in error(tmp_path / name).message


def test_a_missing_column_lists_those_there_are(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("essay,label\nx,ai\n")
    found = error(tmp_path / "a.csv")
    assert "there is no column 'text'" in found.message
    assert "essay, label" in found.hint
    named = error(tmp_path / "a.csv", columns={"text": "essay", "group": "lang"})
    assert "there is no column 'lang' (for group)" in named.message


def test_bad_paths(tmp_path: Path) -> None:
    assert "no file at" in error(tmp_path / "none.jsonl").message
    assert "is a folder" in error(tmp_path).message
    (tmp_path / "a.txt").write_text("x")
    assert "a.txt is one text, not a table" in error(tmp_path / "a.txt").message


def test_unknown_options_are_refused(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="colums"):
        read(tmp_path / "a.jsonl", colums={})
