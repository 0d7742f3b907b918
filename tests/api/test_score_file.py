"""Scores in a file: killed at every write and continued, and the file is what one call would have written."""

from __future__ import annotations

import csv
import json
import os
import resource
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import paraphrase_rl as prl
from paraphrase_rl.api import resumable_file, text_scoring
from paraphrase_rl.errors import DataError, RunError, UsageError
from paraphrase_rl.plugin.registry import Registry
from tests.cli import conftest as toys
from tests.cli.conftest import capitals

TEXTS = [capitals(i % 37) + f" x{i}" for i in range(25)] + ["12345", capitals(3), capitals(3), "¿1?"]
Rows = list[dict[str, Any]]


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(text_scoring.AT_ONCE, "fast", 4)


@pytest.fixture
def scored(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Every text that a detector was given."""
    seen: list[str] = []
    honest = toys.Shout.score

    def watched(self: toys.Shout, texts: list[str]) -> Any:
        seen.extend(texts)
        return honest(self, texts)

    monkeypatch.setattr(toys.Shout, "score", watched)
    return seen


def write(registry: Registry, texts: Any = None, out: str = "o.jsonl", **more: Any) -> prl.ScoreSummary:
    given = {"detectors": ["shout", "whisper"], "registry": registry, **more}
    return prl.score_file(TEXTS if texts is None else texts, out, **given)


def fresh(registry: Registry, texts: Any = None, **more: Any) -> bytes:
    """What one call writes."""
    name = f"fresh{len(list(Path().glob('fresh*')))}.{more.pop('form', 'jsonl')}"
    write(registry, texts, name, **more)
    return Path(name).read_bytes()


def rows_of(path: str = "o.jsonl") -> Rows:
    return [json.loads(line) for line in Path(path).read_text().splitlines()]


def test_the_rows_are_those_of_score(registry: Registry) -> None:
    calibration = prl.calibrate(["shout", "whisper"], data="essays", registry=registry)
    done = write(registry, detectors=None, calibration=calibration)
    found = prl.score(TEXTS, calibration=calibration, registry=registry)
    rows = rows_of()
    assert [row["detector"] for row in rows[:3]] == ["shout", "whisper", "ensemble"]
    assert [(row["id"], row["score"], row["p_ai"], row["verdict"], row["failure"]) for row in rows] == [
        (row.id, row.score, row.p_ai, row.verdict, row.failure) for row in found
    ]
    assert (done.n_texts, done.n_before, done.n_failed) == (len(TEXTS), 0, 2)
    by_name = {row.detector: row for row in done}
    assert by_name["shout"].n_flagged == sum(
        row.verdict == "flagged" for row in found if row.detector == "shout"
    )
    assert by_name["shout"].n_failed == 2
    assert done.notes == found.notes


def killed(act: Callable[[], object]) -> int:
    """Run in a child process; returns the signal that ended it, or 0."""
    child = os.fork()
    if not child:
        code = 1
        try:
            act()
            code = 0
        finally:
            os._exit(code)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status) or os.WEXITSTATUS(status) == 0
    return os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0


@pytest.mark.parametrize("form", ["jsonl", "csv"])
@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_killed_at_every_write_and_continued(
    registry: Registry, monkeypatch: pytest.MonkeyPatch, form: str, share: float
) -> None:
    """Each child is killed at its k-th write, of which a share is written; none loses what those before it wrote."""
    expected = fresh(registry, form=form)
    honest = resumable_file._write
    out = f"o.{form}"

    def until(k: int) -> None:
        count = 0

        def written(stream: Any, content: bytes) -> None:
            nonlocal count
            count += 1
            if count == k:
                honest(stream, content[: int(share * len(content))])
                os.kill(os.getpid(), signal.SIGKILL)
            honest(stream, content)

        resumable_file._write = written
        write(registry, out=out)

    deaths = 0
    for k in (1, 2, 3, 4, 5, 6, 7, 8, 9, 5, 6, 4, 7, 10, 99):
        deaths += killed(lambda k=k: until(k)) == signal.SIGKILL
    assert deaths >= 6
    assert Path(out).read_bytes() == expected
    assert write(registry, out=out).n_before == len(TEXTS)
    assert Path(out).read_bytes() == expected


def test_a_second_call_scores_nothing(registry: Registry, scored: list[str]) -> None:
    assert write(registry).n_before == 0
    scored.clear()
    again = write(registry)
    assert (again.n_before, again.n_failed, scored) == (len(TEXTS), 2, [])
    assert again.rows == write(registry, out="p.jsonl").rows


CHANGES: dict[str, Callable[[list[str]], list[str]]] = {
    "appended": lambda t: [*t, "Aa new", "AA newer"],
    "inserted": lambda t: [*t[:6], "Aa new", *t[6:]],
    "edited": lambda t: [*t[:9], "Aa edited", *t[10:]],
    "removed": lambda t: t[:5] + t[8:],
    "shorter": lambda t: t[:11],
    "shorter by whole chunks": lambda t: t[:8],
    "reversed": lambda t: t[::-1],
    "doubled": lambda t: t + t,
}


@pytest.mark.parametrize("change", CHANGES)
def test_an_input_that_has_changed(registry: Registry, scored: list[str], change: str) -> None:
    write(registry)
    texts = CHANGES[change](TEXTS)
    expected = fresh(registry, texts)
    scored.clear()
    done = write(registry, texts)
    assert Path("o.jsonl").read_bytes() == expected
    new = [text for text in texts if text not in TEXTS]
    assert sorted(set(scored) - set(TEXTS)) == sorted(new)
    allowed = len(TEXTS) if change == "doubled" else 0  # those appended; nothing was cut off to look up
    assert len(scored) <= 2 * (len(new) + allowed)
    assert done.n_before >= len(texts) - len(new) - allowed
    scored.clear()
    assert (write(registry, texts).n_before, scored) == (len(texts), [])


def test_ids_and_other_columns_are_those_of_the_input_now(registry: Registry, scored: list[str]) -> None:
    table = Path("t.csv")
    lines = ["text,group"] + [f"Aa {i},{'ab'[i % 2]}" for i in range(10)]
    table.write_text("\n".join(lines) + "\n")
    write(registry, table)
    table.write_text("\n".join(lines).replace("Aa 7,b", "Aa 7,c") + "\n")
    scored.clear()
    write(registry, table)
    assert scored == []
    assert [row["group"] for row in rows_of()[::2]] == ["a", "b", "a", "b", "a", "b", "a", "c", "a", "b"]
    assert Path("o.jsonl").read_bytes() == fresh(registry, table)


def test_killed_while_a_changed_input_is_written_again(registry: Registry, scored: list[str]) -> None:
    write(registry)
    texts = [*TEXTS[:5], "Aa new", *TEXTS[5:]]
    expected = fresh(registry, texts)
    honest = resumable_file._write

    def until(k: int) -> None:
        left = iter(range(k))

        def written(stream: Any, content: bytes) -> None:
            if next(left, None) is None:
                honest(stream, content[: len(content) // 2])
                os.kill(os.getpid(), signal.SIGKILL)
            honest(stream, content)

        resumable_file._write = written
        write(registry, texts)

    assert [killed(lambda k=k: until(k)) for k in (1, 3, 5)] == [signal.SIGKILL] * 3
    scored.clear()
    write(registry, texts)
    assert scored in ([], ["Aa new"], ["Aa new"] * 2), "the results of rows that were cut off were lost"
    assert Path("o.jsonl").read_bytes() == expected


def test_a_full_disk_is_said_and_continued(registry: Registry) -> None:
    expected = fresh(registry)

    def on_a_full_disk() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1500, 1500))
        with pytest.raises(RunError, match=r"cannot write o.jsonl.*: File too large") as raised:
            write(registry)
        assert "free some disk space" in raised.value.hint

    assert killed(on_a_full_disk) == 0
    assert 0 < Path("o.jsonl").stat().st_size <= 1500
    write(registry)
    assert Path("o.jsonl").read_bytes() == expected


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"detectors": ["shout"]}, 'detectors was ["shout", "whisper"] and is ["shout"]'),
        ({"detectors": {"shout": {"sign": 2.0}, "whisper": {}}}, "options was"),
        ({"wide": True}, "wide was false and is true"),
        ({"format": "csv"}, 'format was "jsonl" and is "csv"'),
    ],
)
def test_other_settings_are_refused(registry: Registry, change: dict[str, Any], said: str) -> None:
    write(registry)
    before = Path("o.jsonl").read_bytes()
    with pytest.raises(UsageError, match=r"o.jsonl was begun with other settings: ") as raised:
        write(registry, **change)
    assert said in raised.value.message
    assert "choose another --out" in raised.value.hint
    assert Path("o.jsonl").read_bytes() == before


def test_another_calibration_or_rate_is_refused(registry: Registry) -> None:
    one, other = (
        prl.calibrate(["shout", "whisper"], data="essays", target_fpr=rate, registry=registry)
        for rate in (0.1, 0.2)
    )
    write(registry, detectors=None, calibration=one)
    with pytest.raises(UsageError, match=r"calibration was .* and is "):
        write(registry, detectors=None, calibration=other)
    with pytest.raises(UsageError, match=r"target_fpr was null and is 0.01"):
        write(registry, detectors=None, calibration=one, fpr=0.01)


def test_what_this_command_did_not_write_is_left_alone(registry: Registry) -> None:
    Path("mine.csv").write_text("precious\n")
    with pytest.raises(UsageError, match=r"mine.csv exists already"):
        write(registry, out="mine.csv")
    assert Path("mine.csv").read_text() == "precious\n"
    assert not Path("mine.csv.resume").exists()
    Path("o.jsonl.resume").write_text("precious\n")
    with pytest.raises(UsageError, match=r"o.jsonl.resume is damaged"):
        write(registry)
    Path("o.jsonl.resume").write_text('{"a": 1}\n')
    with pytest.raises(UsageError, match=r"was not written by this command"):
        write(registry)
    assert Path("o.jsonl.resume").read_text() == '{"a": 1}\n'


@pytest.mark.parametrize("change", [lambda b: b.replace(b"0.0", b"0.9", 1), lambda b: b + b"my note\n"])
def test_a_file_that_was_edited_is_not_overwritten(
    registry: Registry, change: Callable[[bytes], bytes]
) -> None:
    write(registry)
    edited = change(Path("o.jsonl").read_bytes())
    Path("o.jsonl").write_bytes(edited)
    with pytest.raises(UsageError, match=r"o.jsonl was changed since its rows were written"):
        write(registry)
    assert Path("o.jsonl").read_bytes() == edited


@pytest.mark.parametrize("size", [0, 1, 700])
def test_a_file_that_lost_its_end_is_written_again(registry: Registry, scored: list[str], size: int) -> None:
    write(registry)
    whole = Path("o.jsonl").read_bytes()
    os.truncate("o.jsonl", size)
    scored.clear()
    write(registry)
    assert (Path("o.jsonl").read_bytes(), scored) == (whole, [])
    Path("o.jsonl").unlink()
    write(registry)
    assert (Path("o.jsonl").read_bytes(), scored) == (whole, [])


def test_two_processes_do_not_write_one_file(registry: Registry) -> None:
    write(registry)
    with Path("o.jsonl.resume").open("rb") as held:
        assert resumable_file.try_lock(held.fileno())

        def other() -> None:
            with pytest.raises(RunError, match=r"another process writes o.jsonl"):
                write(registry)

        assert killed(other) == 0


def test_wide_csv_with_columns_of_the_input(registry: Registry) -> None:
    table = Path("t.jsonl")
    table.write_text('{"id": "p", "text": "Aa", "n": 1}\n{"id": "q", "text": "12", "tags": ["x"]}\n')
    write(registry, table, "o.csv", wide=True)
    with Path("o.csv").open(newline="") as stream:
        first, second = csv.DictReader(stream)
    assert (first["id"], first["shout_score"], first["whisper_score"], first["n"]) == ("p", "0.5", "1.0", "1")
    assert second["shout_failure"] == "no-letters: the text has no letters"
    assert (second["tags"], second["n"], second["shout_score"]) == ('["x"]', "", "")


def test_the_format_is_that_of_the_name_or_as_said(registry: Registry) -> None:
    with pytest.raises(UsageError, match=r"o.txt: scores cannot be written to a file as 'txt'"):
        write(registry, out="o.txt")
    write(registry, out="o.txt", format="csv")
    assert Path("o.txt").read_text().startswith("id,detector,score")


def test_an_iterator_is_written_too(registry: Registry) -> None:
    def texts() -> Iterator[str]:
        yield from TEXTS

    write(registry, texts())
    assert Path("o.jsonl").read_bytes() == fresh(registry)
    with pytest.raises(DataError, match=r"text-2: the text is empty"):
        write(registry, iter(["Aa", ""]), "p.jsonl")
