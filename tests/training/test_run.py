"""The run directory: what is written stays, what was torn is dropped, the ledger lists what is there."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from filelock import lock_descriptor

from paraphrase_rl.errors import RunError
from paraphrase_rl.files import is_locked, read_jsonl
from paraphrase_rl.recipe.arithmetic import kept_checkpoints
from paraphrase_rl.recipe.schema import CheckpointSettings
from paraphrase_rl.runs.directory import RunDirectory


def begun(folder: Path) -> RunDirectory:
    """A run that has measured something."""
    run = RunDirectory.create(folder)
    run.begin("model: tiny\n", {"seeds": {"training": 0}})
    run.append("evaluations.jsonl", {"step": 0})
    return run


def checkpoint(
    run: RunDirectory, step: int, kind: str = "periodic", *, every: int = 10, keep: int = 2
) -> None:
    path = run.folder / ("adapter" if kind == "final" else f"checkpoints/checkpoint-{step}")
    path.mkdir(parents=True)
    run.add_checkpoint(step, path, kind, every=every, keep=keep)


def ledger(run: RunDirectory) -> list[tuple[int, str]]:
    return [(row["step"], row["kind"]) for row in run.rows("checkpoints.jsonl")]


def test_a_run_is_described_before_anything_else(tmp_path: Path) -> None:
    run = begun(tmp_path / "new" / "run")
    assert (run.folder / "recipe.yaml").read_text() == "model: tiny\n"
    assert json.loads((run.folder / "manifest.json").read_text()) == {"seeds": {"training": 0}}
    run.close()
    with pytest.raises(RunError, match="already holds a run") as caught:
        RunDirectory.create(run.folder)
    assert f"--resume {run.folder}" in caught.value.hint


@pytest.mark.parametrize("existed", [True, False])
def test_a_start_that_fails_leaves_nothing(tmp_path: Path, existed: bool) -> None:
    folder = tmp_path / "run"
    if existed:
        folder.mkdir()
    run = RunDirectory.create(folder)
    run.begin("model: tiny\n", {})
    run.event("start")
    (folder / "checkpoints").mkdir()
    run.close()
    assert folder.exists() == existed
    assert not existed or not list(folder.iterdir())


def test_two_processes_do_not_work_in_one_directory(tmp_path: Path) -> None:
    begun(tmp_path / "run").close()
    code = (
        "import sys, pathlib; from paraphrase_rl.runs.directory import RunDirectory\n"
        "run = RunDirectory.resume(pathlib.Path(sys.argv[1])); print('mine', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path / "run")], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"mine\n"
        with pytest.raises(RunError, match="another run is training in"):
            RunDirectory.resume(tmp_path / "run")
        other.kill()  # a lock does not outlive its process, however that ends
    RunDirectory.resume(tmp_path / "run").close()


def test_asking_whether_a_run_works_changes_nothing_and_stops_no_start(tmp_path: Path) -> None:
    assert not is_locked(tmp_path)
    assert not list(tmp_path.iterdir())
    run = RunDirectory.create(tmp_path)
    assert is_locked(tmp_path)
    run.close()
    lock = tmp_path / ".lock"
    lock.touch(0o444)
    assert not is_locked(tmp_path)
    lock.chmod(0o644)
    held = os.open(lock, os.O_RDONLY)
    assert lock_descriptor(held, blocking=False)  # as one that asks holds it, for a moment
    threading.Timer(0.02, os.close, (held,)).start()
    RunDirectory.create(tmp_path).close()


def test_a_file_system_without_locks_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def without(descriptor: int, *, blocking: bool) -> bool:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr("filelock.lock_descriptor", without)
    with pytest.raises(RunError, match=f"cannot lock {tmp_path}: No locks available") as refused:
        RunDirectory.create(tmp_path)
    assert "--out" in refused.value.hint
    assert not is_locked(tmp_path)


def test_notes_of_a_start_go_when_there_is_something_to_resume(tmp_path: Path) -> None:
    for name, measure in (
        ("row", lambda run: run.append("evaluations.jsonl", {"step": 0, "metrics": {}})),
        ("checkpoint", lambda run: run.add_checkpoint(1, "tinker://r/1", "periodic", every=1, keep=1)),
        ("killed and resumed", lambda run: [os.close(run._lock), RunDirectory.resume(run.folder).rewind(-1)]),
    ):
        run = RunDirectory.create(tmp_path / name)
        run.begin("model: tiny\n", {})
        assert (tmp_path / name / ".start.jsonl").is_file()
        measure(run)
        assert not (tmp_path / name / ".start.jsonl").exists()


@pytest.mark.parametrize("writes", [True, False], ids=["first process", "another process"])
def test_a_good_checkpoint_in_the_place_of_a_damaged_one_is_found(tmp_path: Path, writes: bool) -> None:
    """A resumed run that passed over a damaged checkpoint writes the same one again, and may roll back to it."""

    def written(run: RunDirectory, step: int) -> None:
        folder = run.unfinished / f"checkpoint-{step}"
        folder.mkdir(parents=True)
        (folder / "weights").write_bytes(b"good")
        run.add_checkpoint(step, folder, "periodic", every=2, keep=2)

    first = begun(tmp_path / "run")
    written(first, 2)
    written(first, 4)
    first.close()
    (tmp_path / "run" / "checkpoints" / "checkpoint-4" / "weights").write_bytes(b"bad!")
    resumed = RunDirectory.resume(tmp_path / "run")
    other = RunDirectory.resume(tmp_path / "run", writes=False)
    for process in (resumed, other):
        assert process.checkpoints.last() == (2, tmp_path / "run" / "checkpoints" / "checkpoint-2")
        [passed_over] = process.checkpoints.passed_over
        assert passed_over.endswith("checkpoint-4: weights has changed since it was written")
    resumed.rewind(2)
    written(resumed, 4)
    other.add_checkpoint(4, resumed.folder / "checkpoints" / "checkpoint-4", "periodic", every=2, keep=2)
    asked = resumed if writes else other
    assert asked.checkpoints.before(6, lambda step: False) == (
        4,
        resumed.folder / "checkpoints" / "checkpoint-4",
    )
    resumed.close()


def test_helper_processes_write_nothing(tmp_path: Path) -> None:
    run = RunDirectory.create(tmp_path / "run", writes=False)
    run.begin("model: tiny\n", {})
    run.event("start")
    run.rewind(0)
    run.add_checkpoint(1, tmp_path, "periodic", every=1, keep=1)
    run.close()
    assert not (tmp_path / "run").exists()


def test_rows_hold_any_text(tmp_path: Path) -> None:
    texts = ["a\u2028b", "c\x85d", "e\x0bf\x1cg", "line\nfeed\r\n", "\ufeff🙂 漢字 \x00", ""]
    run = begun(tmp_path / "run")
    for text in texts:
        run.append("samples.jsonl", {"step": 1, "rewrite": text, "total": float("nan")})
    assert [row["rewrite"] for row in run.rows("samples.jsonl")] == texts
    assert {row["total"] for row in run.rows("samples.jsonl")} == {None}


def test_a_torn_last_line_is_dropped_and_a_damaged_file_refused(tmp_path: Path) -> None:
    run = begun(tmp_path / "run")
    run.append("metrics.jsonl", {"step": 1})
    whole = (run.folder / "metrics.jsonl").read_bytes()
    for torn in (b'{"st', b'{"text": "\xc3', b"\xff"):
        (run.folder / "metrics.jsonl").write_bytes(whole + torn)
        assert run.rows("metrics.jsonl") == [{"step": 1}]
    (run.folder / "metrics.jsonl").write_bytes(b'{"st\n' + whole)
    with pytest.raises(RunError, match="line 1: not JSON"):
        run.rows("metrics.jsonl")


def test_rewind_forgets_what_came_after_the_checkpoint(tmp_path: Path) -> None:
    run = begun(tmp_path / "run")
    run.event("start", steps=9)
    for step in range(1, 6):
        run.append("metrics.jsonl", {"step": step})
        run.append("samples.jsonl", {"step": step})
        run.event("monitor", step=step)
    checkpoint(run, 2, every=2)
    checkpoint(run, 4, every=2)
    (run.unfinished / "checkpoint-6").mkdir(parents=True)
    with (run.folder / "events.jsonl").open("a") as stream:
        stream.write('{"event": "moni')
    assert run.checkpoints.last() == (4, run.folder / "checkpoints" / "checkpoint-4")
    run.rewind(4)
    run.event("start", resumed_after=4)
    assert [row["step"] for row in run.rows("metrics.jsonl")] == [1, 2, 3, 4]
    assert [row["step"] for row in run.rows("samples.jsonl")] == [1, 2, 3, 4]
    assert [row.get("step") for row in run.rows("events.jsonl")] == [None, 1, 2, 3, 4, None]
    assert sorted(path.name for path in (run.folder / "checkpoints").iterdir()) == [
        "checkpoint-2",
        "checkpoint-4",
    ]
    run.rewind(-1)
    assert run.rows("metrics.jsonl") == run.rows("evaluations.jsonl") == run.rows("checkpoints.jsonl") == []


def test_a_checkpoint_that_somebody_removed_is_not_resumed_from(tmp_path: Path) -> None:
    run = begun(tmp_path / "run")
    checkpoint(run, 10)
    checkpoint(run, 20)
    (run.folder / "checkpoints" / "checkpoint-20").rmdir()
    assert run.checkpoints.last() == (10, run.folder / "checkpoints" / "checkpoint-10")
    run.rewind(10)
    assert ledger(run) == [(10, "periodic")]


def test_retention_keeps_what_the_preflight_promises(tmp_path: Path) -> None:
    """The recipe's: 1000, 1500, 2000, 2500, 3000 and the final one, of 3,468 steps."""
    run = begun(tmp_path / "run")
    for step in range(500, 3468, 500):
        checkpoint(run, step, every=500, keep=5)
        assert {path.name for path in (run.folder / "checkpoints").iterdir()} == {
            f"checkpoint-{at}" for at, _ in ledger(run)
        }
    assert not run.finished
    checkpoint(run, 3468, "final", every=500, keep=5)
    assert run.finished
    assert [at for at, kind in ledger(run) if kind == "periodic"] == [1000, 1500, 2000, 2500, 3000]
    assert kept_checkpoints(3468, CheckpointSettings(every=500, keep=5)) == [1000, 1500, 2000, 2500, 3000]
    assert (run.folder / "adapter").is_dir()


def test_a_checkpoint_of_an_interrupt_takes_no_place(tmp_path: Path) -> None:
    run = begun(tmp_path / "run")
    for step, expected in [
        (10, [10]),
        (20, [10, 20]),
        (23, [10, 20, 23]),
        (27, [10, 20, 27]),
        (30, [20, 30]),
    ]:
        checkpoint(run, step)
        assert [at for at, _ in ledger(run)] == expected
    assert run.checkpoints.last() == (30, run.folder / "checkpoints" / "checkpoint-30")


def test_entering_a_checkpoint_again_changes_nothing(tmp_path: Path) -> None:
    run = begun(tmp_path / "run")
    checkpoint(run, 10)
    run.add_checkpoint(10, run.folder / "checkpoints" / "checkpoint-10", "periodic", every=10, keep=2)
    assert read_jsonl(run.folder / "checkpoints.jsonl") == [
        {"step": 10, "kind": "periodic", "path": "checkpoints/checkpoint-10", "sha256": {}}
    ]


def test_what_a_service_holds_stays_in_the_ledger_until_its_step_is_dropped(tmp_path: Path) -> None:
    """Retention and files are the service's own affair; a local checkpoint beside them keeps to the rules."""
    run = begun(tmp_path / "run")
    for step in (10, 20, 30):
        checkpoint(run, step, keep=1)
        expires = "2020-01-01T00:00:00+00:00" if step == 30 else None
        run.add_checkpoint(step, f"tinker://r/weights/{step}", "periodic", every=10, keep=1, expires=expires)
    assert [(row["step"], "path" in row) for row in run.rows("checkpoints.jsonl")] == [
        (10, False),
        (20, False),
        (30, True),
        (30, False),
    ]
    assert [path.name for path in (run.folder / "checkpoints").iterdir()] == ["checkpoint-30"]
    run.rewind(20)
    assert run.rows("checkpoints.jsonl") == [
        {"step": step, "kind": "periodic", "reference": f"tinker://r/weights/{step}", "expires": None}
        for step in (10, 20)
    ]
    assert run.checkpoints.last() == (20, "tinker://r/weights/20")
    assert not run.finished
    run.add_checkpoint(40, "tinker://r/weights/final", "final", every=10, keep=1, expires=None)
    assert run.finished


def test_resume_needs_a_run(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="is not a run"):
        RunDirectory.resume(tmp_path)
