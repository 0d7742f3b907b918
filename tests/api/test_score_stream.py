"""Rows as they come: memory does not grow, other processes give the same bits, and nothing is lost without a word."""

from __future__ import annotations

import json
import os
import signal
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import paraphrase_rl as prl
from paraphrase_rl.api import text_scoring
from paraphrase_rl.data.file_texts import FileTexts
from paraphrase_rl.data.reading import open_texts
from paraphrase_rl.errors import DataError, PluginError, RunError, UsageError
from paraphrase_rl.plugin.registry import Registry
from paraphrase_rl.progress import Progress
from tests.cli.conftest import capitals
from tests.tiny_model import save_tiny_model


@pytest.fixture
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(text_scoring.AT_ONCE, "fast", 4)


def test_texts_are_read_a_chunk_ahead_of_the_rows(registry: Registry, small_chunks: None) -> None:
    read = given = 0

    def texts() -> Iterator[str]:
        nonlocal read
        for i in range(50):
            read += 1
            yield capitals(i)

    ahead = []
    with prl.score_stream(texts(), detectors=["shout", "whisper"], registry=registry) as rows:
        assert read == 0
        for row in rows:
            given += row.detector == "whisper"
            ahead.append(read - given)
    assert (read, given, max(ahead)) == (50, 50, 4)
    assert rows.summary.n_texts == 50


def test_the_rows_are_those_of_score(registry: Registry, small_chunks: None) -> None:
    texts = [capitals(i) for i in range(11)] + ["123"]
    calibration = prl.calibrate(["shout", "whisper"], data="essays", registry=registry)
    found = prl.score(texts, calibration=calibration, registry=registry)
    stream = prl.score_stream(texts, calibration=calibration, registry=registry)
    assert tuple(stream) == found.rows
    done = stream.summary
    assert (done.notes, done.explanation, done.target_fpr) == (
        found.notes,
        found.explanation,
        found.target_fpr,
    )
    assert [(c.detector, c.n_texts, c.n_failed) for c in done] == [
        ("shout", 12, 1),
        ("whisper", 12, 1),
        ("ensemble", 12, 1),
    ]


def test_blocks_of_rows_and_of_wide_rows(registry: Registry, small_chunks: None) -> None:
    frame = {"id": 7, "text": "Aa", "id_": 1, "shout_score": "mine"}
    Path("t.jsonl").write_text(json.dumps(frame) + "\n")
    stream = prl.score_stream(Path("t.jsonl"), detectors=["shout"], registry=registry)
    (block,) = stream.blocks(wide=True)
    assert block[0]["id"] == "7"
    assert (block[0]["shout_score"], block[0]["input_shout_score"], block[0]["id_"]) == (0.5, "mine", 1)
    assert list(block[0]) == stream.columns(wide=True)
    stream = prl.score_stream(["Aa"] * 6, detectors=["shout", "whisper"], registry=registry)
    assert [len(block) for block in stream.blocks()] == [8, 4]


def test_bad_rows_of_an_iterator_are_met_as_they_come(registry: Registry, small_chunks: None) -> None:
    texts = ["Aa", "AA", "aa", "aA", "", "Aa", None]
    rows: list[Any] = []
    with (
        pytest.raises(DataError, match=r"text-5: the text is empty"),
        prl.score_stream(iter(texts), detectors="shout", registry=registry) as stream,  # type: ignore[arg-type]
    ):
        rows.extend(stream)
    with prl.score_stream(
        iter(texts),  # type: ignore[arg-type]
        detectors="shout",
        bad_rows="skip",
        registry=registry,
    ) as stream:
        assert [row.id for row in stream] == ["text-1", "text-2", "text-3", "text-4", "text-6"]
    assert stream.summary.left_out == 2
    assert "2 of 7 rows are left out" in stream.summary.notes[0]


def test_few_texts_left_over_that_all_crash_are_not_the_detectors_fault(
    registry: Registry, small_chunks: None
) -> None:
    texts = [*map(capitals, range(4)), "CRASH one", "CRASH two"]
    rows = list(prl.score_stream(texts, detectors="shout", registry=registry))
    assert [row.failure for row in rows[:4]] == [None] * 4
    assert all("boom" in str(row.failure) for row in rows[4:])
    with pytest.raises(PluginError, match=r"crashes on each of 2 items"):
        list(prl.score_stream(texts[4:], detectors="shout", registry=registry))


def test_progress_counts_and_says_the_pace(registry: Registry, small_chunks: None) -> None:
    seen: list[Progress] = []
    list(
        prl.score_stream(
            list(map(capitals, range(10))), detectors="shout", progress=seen.append, registry=registry
        )
    )
    counted = [(p.done, p.total) for p in seen if p.done is not None]
    assert counted == [(4, 10), (8, 10), (10, 10)]
    assert "a second, 0m00s left" in seen[-1].message


def test_a_registry_of_ones_own_cannot_go_to_other_processes(registry: Registry) -> None:
    with pytest.raises(UsageError, match=r"installed plug-ins"):
        prl.score_stream(["Aa"], detectors="shout", workers=2, registry=registry)
    with pytest.raises(UsageError, match=r"workers is 0"):
        prl.score_stream(["Aa"], detectors="shout", workers=0, registry=registry)
    with pytest.raises(UsageError, match=r"engine cannot be 'spark'"):
        prl.score_stream(["Aa"], detectors="shout", engine="spark", registry=registry)  # type: ignore[arg-type]


ROWS, LETTERS = 4000, 3000


@pytest.fixture(scope="module")
def tables(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Tables of 12 MB in every form."""
    import pyarrow
    from pyarrow import ipc, parquet

    folder = tmp_path_factory.mktemp("tables")
    rows = [{"id": str(i), "text": f"{i} " + "word " * (LETTERS // 5)} for i in range(ROWS)]
    (folder / "t.csv").write_text("id,text\n" + "".join(f"{r['id']},{r['text']}\n" for r in rows))
    (folder / "t.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "t.json").write_text(json.dumps(rows))
    table = pyarrow.Table.from_pylist(rows)
    parquet.write_table(table, folder / "t.parquet", row_group_size=500, compression="none")
    with ipc.new_file(folder / "t.arrow", table.schema) as writer:
        writer.write_table(table, max_chunksize=500)
    return folder


@pytest.mark.parametrize("form", ["csv", "jsonl", "json", "parquet", "arrow"])
def test_a_file_does_not_come_into_memory(tables: Path, form: str) -> None:
    path = tables / f"t.{form}"
    first = tables / "first.csv"
    first.write_bytes(b"text\nAa\n")
    list(FileTexts(str(first)))  # what is imported on first use
    tracemalloc.start()
    count = sum(1 for _ in open_texts(path))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert count == ROWS
    assert peak < 8e6 < path.stat().st_size, f"{peak / 1e6:.1f} MB at once"


def test_standard_input_is_held_in_a_file(tables: Path) -> None:
    with (tables / "t.csv").open("rb") as stream:
        tracemalloc.start()
        source = open_texts(stream)
        count = sum(1 for _ in source)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert (count, source.n) == (ROWS, ROWS)
    assert peak < 8e6
    with pytest.raises(UsageError, match=r"open as text"), (tables / "t.csv").open() as text:
        open_texts(text)  # type: ignore[arg-type]


def test_a_json_array_with_values_across_what_is_read_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    import io

    from paraphrase_rl.data import rows

    monkeypatch.setattr(rows, "_START", 1)
    values = [{"text": "a\u2028b", "n": [1, {"x": None}]}, {"text": "é" * 40}, 12345, {}, "]", 1.5e10]
    for text in (json.dumps(values), json.dumps(values, indent=2, ensure_ascii=False) + "\n \n", "[ ]"):
        assert list(rows._array(io.StringIO(text), "t.json")) == json.loads(text)
    for wrong in ("[1,]", "[1 2]", "[1", "[", "[1]]", '[{"a": }]', "[1] x", '{"a": 1', "", "nul"):
        with pytest.raises(DataError, match=r"t.json: not JSON"):
            list(rows._array(io.StringIO(wrong), "t.json"))


@pytest.fixture
def installed(
    fitted_home: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> dict[str, dict[str, object]]:
    """Detectors that other processes can build: a language model and one that is trained."""
    monkeypatch.setenv("PRL_HOME", str(fitted_home))
    return {
        "tfidf": {},
        "log-likelihood": {"model": str(save_tiny_model(tmp_path / "model")), "max_tokens": 64},
    }


def test_other_processes_give_the_same_bits(installed: dict[str, dict[str, object]]) -> None:
    texts = [f"The council voted {i} times on the bridge, {capitals(i)}" for i in range(70)] + ["word " * 300]
    expected = list(prl.score_stream(texts, detectors=installed))
    with prl.score_stream(texts, detectors=installed, workers=2) as rows:
        assert [row.score for row in rows] == [row.score for row in expected]


def test_a_worker_that_is_killed_ends_the_work(installed: dict[str, dict[str, object]]) -> None:
    with prl.score_stream(
        (f"The council voted {i}." for i in range(10**9)), detectors="tfidf", workers=2
    ) as rows:
        next(rows)
        pool = rows._engine._pool  # type: ignore[attr-defined]
        os.kill(next(iter(pool._processes)), signal.SIGKILL)
        with pytest.raises(RunError, match=r"a worker process ended without a result"):
            list(rows)


def test_workers_end_with_the_process_that_started_them(
    installed: dict[str, dict[str, object]], tmp_path: Path
) -> None:
    import subprocess
    import sys
    import time

    import psutil

    script = tmp_path / "script.py"
    script.write_text(
        "import sys, time\nimport paraphrase_rl as prl\n"
        "if __name__ == '__main__':\n"
        "    rows = prl.score_stream((f'The council voted {i}.' for i in range(10**9)), detectors='tfidf', workers=2)\n"
        "    next(rows); print('begun', flush=True)\n"
        "    for _ in rows: time.sleep(1)\n"
    )
    parent = subprocess.Popen([sys.executable, str(script)], stdout=subprocess.PIPE)
    assert parent.stdout is not None
    assert parent.stdout.readline() == b"begun\n"
    workers = psutil.Process(parent.pid).children(recursive=True)
    assert len(workers) >= 2
    parent.kill()
    parent.wait()
    parent.stdout.close()
    until = time.monotonic() + 20
    while any(w.is_running() and w.status() != psutil.STATUS_ZOMBIE for w in workers):
        assert time.monotonic() < until, "workers outlive their parent"
        time.sleep(0.1)


def test_what_a_detector_cut_off_is_said(installed: dict[str, dict[str, object]]) -> None:
    long, short = "a " * 300, "A short text about the harbour."
    found = prl.score([long, short], detectors=installed)
    by = {(row.id, row.detector): row for row in found}
    assert by["text-1", "tfidf"].truncated == "200 of 300 words"
    assert (by["text-1", "tfidf"].n_read, by["text-1", "tfidf"].n_total) == (200, 300)
    characters = len(long.strip())  # the tiny model has a token a character
    assert by["text-1", "log-likelihood"].truncated == f"64 of {characters:,} tokens"
    assert [by["text-2", name].truncated for name in installed] == [None, None]
    assert found.truncated == ("text-1",)
    assert any("1 of 2 texts are longer than tfidf reads" in note for note in found.notes)
    assert found.to_pandas()["n_total"].tolist()[:2] == [300, characters]
    endless = prl.score("x" * 1_000_000, detectors={"log-likelihood": installed["log-likelihood"]})
    assert endless.rows[0].truncated == "the first 64 tokens"
    assert (endless.rows[0].n_read, endless.rows[0].n_total) == (64, None)
