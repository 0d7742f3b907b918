"""Whatever bytes a file holds and whatever its name: texts, or one clear error; never a traceback, never silence."""

from __future__ import annotations

import gzip
from types import SimpleNamespace

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from paraphrase_rl.data.file_texts import FileTexts, Held
from paraphrase_rl.data.forms import FORMS
from paraphrase_rl.errors import DataError

ENDS = ("", ".txt", ".csv", ".tsv", ".json", ".jsonl", ".parquet", ".arrow", ".html", ".csv.gz", ".gz")
SIGNS = (
    b"text",
    b",",
    b";",
    b"\t",
    b'"',
    b"\n",
    b"\r",
    b"{",
    b"}",
    b"[",
    b"]",
    b":",
    b"1",
    b"null",
    b" ",
    b"\0",
)
MARKS = (
    b"\xff\xfe",
    b"\xfe\xff",
    b"\xef\xbb\xbf",
    b"\xe9",
    b"\x1f\x8b",
    b"PAR1",
    b"ARROW1",
    b"\\ud800",
    b"<html",
)
PARTS = (*SIGNS, *MARKS)
CONTENT = st.one_of(st.binary(max_size=80), st.lists(st.sampled_from(PARTS), max_size=25).map(b"".join))


@pytest.fixture(scope="module")
def held(tmp_path_factory: pytest.TempPathFactory) -> Held:
    """A file that holds what each example is; its name says nothing."""
    return SimpleNamespace(path=tmp_path_factory.mktemp("held") / "content")


@settings(max_examples=400)
@given(st.sampled_from(ENDS), CONTENT, st.sampled_from((None, *FORMS)), st.sampled_from((None, "text", "no")))
@example(".csv", gzip.compress(b"text\na\n")[:-9], None, None)
@example("", b"\x1f\x8b", None, None)
@example(".jsonl", b'{"text": ' + b"[" * 100_000, None, None)
@example(".jsonl", b'{"text": ' + b"9" * 10_000 + b"}", None, None)
@example(".json", b"[" + b"9" * 10_000 + b"]", None, None)
@example(".csv", b"text\n\xff\xfe", None, None)
@example(".csv", b"\xff\xfet\0e\0x\0t\0\n\0a\0\n", None, None)
@example(".csv", b"\xff\xfet\0e\0x\0t\0\n\0\xd8", None, None)
def test_texts_or_one_clear_error(held: Held, end: str, content: bytes, form, column) -> None:
    held.path.write_bytes(content)
    try:
        items = list(FileTexts(f"file{end}", held, form, column))
    except DataError as found:
        error = found
    else:
        error = None
    if error is not None:
        assert len(error.message.splitlines()) == 1
        return
    assert items
    for item in items:
        assert bool(item.text) != bool(item.problem)
        assert item.text == item.text.strip()
