"""The cache of an evaluation: what it holds outlives kills, serves two processes, and is never read when damaged."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from paraphrase_rl.errors import RunError
from paraphrase_rl.evaluation.cache import Cache

WRITER = """
import sys
from pathlib import Path
from paraphrase_rl.evaluation.cache import Cache
cache, name = Cache(Path(sys.argv[1])), sys.argv[2]
for i in range(int(sys.argv[3])):
    cache.add(((name, i, k), i) for k in range(50))
    print(i, flush=True)
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "cache" / "values.sqlite"


def writer(path: Path, name: str, writes: int) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", WRITER, str(path), name, str(writes)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def test_values_come_back_as_they_were(path: Path) -> None:
    values = {"a": 0.1 + 0.2, "b": -1e-300, "c": [{"text": "é 😀", "finished": True}], "d": {"x": None}}
    Cache(path).add(((name, 1), value) for name, value in values.items())
    again = Cache(path)
    assert again.get([*((name, 1) for name in values), ("a", 2)]) == [*values.values(), None]
    again.add([(("a", 1), 1.0)])
    assert again.get([("a", 1)]) == [0.1 + 0.2], "a key that has a value keeps it"


def test_more_keys_than_one_query_takes(path: Path) -> None:
    cache = Cache(path)
    cache.add(((i,), i) for i in range(3000))
    assert cache.get([(i,) for i in range(3000)]) == list(range(3000))


def test_what_was_written_outlives_a_kill(path: Path) -> None:
    process = writer(path, "killed", 100_000)
    assert process.stdout is not None
    written = [process.stdout.readline() for _ in range(20)]
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    last = int(written[-1])
    cache = Cache(path)
    assert None not in cache.get([("killed", i, k) for i in range(last + 1) for k in range(50)])
    for i in range(last + 1, last + 100):
        found = cache.get([("killed", i, k) for k in range(50)])
        assert found in ([None] * 50, [i] * 50), "a write is whole or not at all"


def test_two_processes_write_at_once(path: Path) -> None:
    processes = [writer(path, name, 40) for name in ("one", "two")]
    assert [process.wait() for process in processes] == [0, 0]
    keys = [(name, i, k) for name in ("one", "two") for i in range(40) for k in range(50)]
    assert None not in Cache(path).get(keys)


@pytest.mark.parametrize("damage", ["text", "middle", "value"])
def test_a_damaged_file_is_refused_with_what_to_do(path: Path, damage: str) -> None:
    cache = Cache(path)
    cache.add(((i,), "x" * 500) for i in range(200))
    cache.close()
    if damage == "text":
        path.write_text('{"key": "a"}\n' * 99)
    elif damage == "middle":
        content = bytearray(path.read_bytes())
        content[len(content) // 2 :] = b"\x07" * (len(content) - len(content) // 2)
        path.write_bytes(content)
    else:
        with sqlite3.connect(path) as file:
            file.execute("UPDATE saved SET value = 'garbage'")
        file.close()
    with pytest.raises(RunError, match=r"values\.sqlite is damaged: ") as caught:
        Cache(path).get([(1,)])
    assert caught.value.hint == "delete this cache file: it will be rebuilt"
    path.unlink()
    assert Cache(path).get([(1,)]) == [None]


def test_a_folder_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "values.sqlite").mkdir()
    with pytest.raises(RunError, match=r"cannot use .*values\.sqlite"):
        Cache(tmp_path / "values.sqlite")
