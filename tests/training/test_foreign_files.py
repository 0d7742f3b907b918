"""A run never deletes, writes over or reads what is not its own, whoever made the directory."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner

from paraphrase_rl.cli.main import cli
from paraphrase_rl.data.build.training_set import _write
from paraphrase_rl.errors import CalibrationError, DataError, EvaluationError, RunError
from paraphrase_rl.evaluation.cache import claimed
from paraphrase_rl.files import read_jsonl, sha256_text, write_json, write_jsonl
from paraphrase_rl.hardening.train import _check_folder
from paraphrase_rl.runs.directory import RunDirectory
from paraphrase_rl.runs.reader import adapter_of, checkpoint_row, read_history
from tests.training.cases import Case, Prl, contents
from tests.training.runs import recipe, training_run


def state(folder: Path) -> dict[str, object]:
    """Everything of a folder: what each file holds, where each link leads, which folders are empty, and when the
    files were written."""
    return {
        str(path.relative_to(folder)): str(path.readlink())
        if path.is_symlink()
        else (path.read_bytes(), path.stat().st_mtime_ns)
        if path.is_file()
        else "folder"
        for path in folder.rglob("*")
    }


def put(path: Path, text: str = "mine") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def begun(folder: Path) -> RunDirectory:
    """A run that has measured something."""
    run = RunDirectory.create(folder)
    run.begin("model: tiny\n", {})
    run.append("evaluations.jsonl", {"step": 0, "metrics": {}})
    return run


def trained(folder: Path, *steps: int) -> RunDirectory:
    """A run with checkpoints, closed and opened again."""
    run = begun(folder)
    for step in steps:
        put(run.unfinished / f"checkpoint-{step}" / "state", str(step))
        run.add_checkpoint(step, run.unfinished / f"checkpoint-{step}", "periodic", every=2, keep=5)
    run.close()
    return RunDirectory.resume(folder)


# ---- a new run in a folder that holds something

HELD: dict[str, Callable[[Path], object]] = {
    "one of each": lambda at: [
        put(at / name)
        for name in ("detectors/tfidf/model.json", "calibration.json", "manifest.json", "metrics.jsonl")
    ],
    "manifest.json": lambda at: put(at / "manifest.json"),
    "checkpoints": lambda at: put(at / "checkpoints" / "checkpoint-2" / "adapter_model.safetensors"),
    "half written": lambda at: put(at / "checkpoints" / ".unfinished" / "x"),
    "empty folder": lambda at: (at / "detectors").mkdir(),
    "link to a folder": lambda at: (at / "detectors").symlink_to(at.parent / "elsewhere"),
    "link to nowhere": lambda at: (at / "recipe.yaml").symlink_to("nowhere"),
    "lock with something in it": lambda at: put(at / ".lock", "pid 4711"),
    "lock of another program": lambda at: put(at / ".lock", '{"path": "x"}\n'),
    "notes of another program": lambda at: put(at / ".start.jsonl", '{"path": "x"}\n'),
    "notes that are a link": lambda at: (at / ".start.jsonl").symlink_to(at.parent / "elsewhere" / "notes"),
    "lock that is a link": lambda at: (at / ".lock").symlink_to(at.parent / "elsewhere" / "lock"),
    "thesis": lambda at: put(at / "thesis.tex"),
}


@pytest.mark.parametrize("held", HELD.values(), ids=HELD)
def test_a_folder_that_holds_anything_is_refused_as_it_is(
    tmp_path: Path, held: Callable[[Path], object]
) -> None:
    (tmp_path / "mine").mkdir()
    put(tmp_path / "elsewhere" / "model.json")
    held(tmp_path / "mine")
    before = state(tmp_path)
    with pytest.raises(RunError, match=r"is not empty and not a run|already holds a run") as refused:
        RunDirectory.create(tmp_path / "mine")
    assert "--out" in refused.value.hint
    assert state(tmp_path) == before


def test_a_place_that_is_no_folder_is_refused(tmp_path: Path) -> None:
    put(tmp_path / "thesis.tex")
    with pytest.raises(RunError, match=r"thesis\.tex is a file"):
        RunDirectory.create(tmp_path / "thesis.tex")
    with pytest.raises(RunError, match="cannot write"):
        RunDirectory.create(tmp_path / "thesis.tex" / "run")
    (tmp_path / "link").symlink_to("nowhere")
    with pytest.raises(RunError, match="cannot write"):
        RunDirectory.create(tmp_path / "link")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["link", "thesis.tex"]


def test_an_empty_lock_of_somebody_is_still_there_after_a_start_that_failed(tmp_path: Path) -> None:
    put(tmp_path / ".lock", "")
    RunDirectory.create(tmp_path).close()
    assert state(tmp_path).keys() == {".lock"}


@pytest.mark.parametrize("option", [["--set", "trainings.epochs=1"], ["--set", "training.batch_size=7"]])
def test_a_typo_costs_nobody_a_file(launch: Prl, case: Case, tmp_path: Path, option: list[str]) -> None:
    for name in ("detectors/tfidf/model.json", "calibration.json", "manifest.json"):
        put(tmp_path / "mine" / name)
    before = state(tmp_path / "mine")
    launch("train", "--config", case.recipe, *option, "--out", "mine", cwd=tmp_path, code=2)
    ended = launch("train", "--config", case.recipe, "--out", "mine", cwd=tmp_path, code=2)
    assert "mine is not empty and not a run" in ended.stderr
    assert state(tmp_path / "mine") == before


# ---- while a run is starting


@pytest.mark.parametrize("name", ["manifest.json", "recipe.yaml", "events.jsonl", "detectors"])
def test_what_is_put_there_meanwhile_is_neither_written_over_nor_deleted(tmp_path: Path, name: str) -> None:
    put(tmp_path / "trained" / "model.json")
    run = RunDirectory.create(tmp_path / "run")
    put(run.folder / name)

    def start() -> None:
        run.start.keep_folder(tmp_path / "trained", run.folder / "detectors" / "tfidf")
        run.begin("model: tiny\n", {})
        run.event("start")

    with pytest.raises(RunError, match=f"{name} appeared while the run was starting"):
        start()
    run.close()
    assert state(run.folder).keys() == {name}
    assert (run.folder / name).read_text() == "mine"


def test_what_somebody_changed_meanwhile_is_left(tmp_path: Path) -> None:
    put(tmp_path / "trained" / "deep" / "model.json")
    run = RunDirectory.create(tmp_path / "run")
    run.start.keep_folder(tmp_path / "trained", run.folder / "detectors" / "tfidf")
    run.begin("model: tiny\n", {})
    put(run.folder / "manifest.json", "edited")
    put(run.folder / "detectors" / "tfidf" / "notes.txt")
    put(run.folder / "checkpoints" / "best" / "state")
    run.close()
    assert {name for name, held in state(run.folder).items() if held != "folder"} == {
        "manifest.json",
        "detectors/tfidf/notes.txt",
        "checkpoints/best/state",
    }


KILLED = """
import os, signal, sys
from pathlib import Path
from paraphrase_rl import files
from paraphrase_rl.runs import start_files as module
from paraphrase_rl.runs.directory import RunDirectory

at, written = int(sys.argv[2]), 0
def dying(function):
    def call(*arguments):
        global written
        written += 1
        if written == at:
            os.kill(os.getpid(), signal.SIGKILL)
        return function(*arguments)
    return call
module.append_jsonl, module.write_text, module.copy_file = map(
    dying, (module.append_jsonl, module.write_text, module.copy_file)
)
run = RunDirectory.create(Path(sys.argv[1], "run"))
run.start.keep_folder(Path(sys.argv[1], "trained"), run.folder / "detectors" / "tfidf")
run.start.keep(run.folder / "calibration.json", "{}")
run.begin("model: tiny", {})
"""


def test_a_start_killed_at_any_moment_does_not_block_the_next(tmp_path: Path) -> None:
    put(tmp_path / "trained" / "deep" / "model.json")
    killed = 0
    while True:
        ended = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path), str(killed + 1)], check=False)
        if ended.returncode != -signal.SIGKILL:
            break
        killed += 1
        RunDirectory.create(tmp_path / "run").close()
        assert state(tmp_path / "run").keys() <= {".lock"}
    assert ended.returncode == 0
    assert killed == 11  # seven notes, four files
    assert (tmp_path / "run" / "recipe.yaml").is_file()


WRITING = """
import os, signal, sys
from pathlib import Path
from paraphrase_rl.runs.directory import RunDirectory

whole, at = os.fsync, sys.argv[2]
def fsync(stream):
    if f"/.{at}." in os.readlink(f"/proc/self/fd/{stream}"):
        os.kill(os.getpid(), signal.SIGKILL)
    whole(stream)
os.fsync = fsync
run = RunDirectory.create(Path(sys.argv[1], "run"))
run.start.keep_folder(Path(sys.argv[1], "trained"), run.folder / "detectors" / "tfidf")
run.start.keep(run.folder / "calibration.json", "{}")
run.begin("model: tiny", {})
"""


@pytest.mark.parametrize("at", ["model.json", "calibration.json", "manifest.json", "recipe.yaml"])
def test_a_start_killed_while_it_wrote_a_file_does_not_block_the_next(tmp_path: Path, at: str) -> None:
    put(tmp_path / "trained" / "model.json")
    ended = subprocess.run([sys.executable, "-c", WRITING, str(tmp_path), at], check=False)
    assert ended.returncode == -signal.SIGKILL
    assert list((tmp_path / "run").rglob(f".{at}.*"))
    RunDirectory.create(tmp_path / "run").close()
    assert state(tmp_path / "run").keys() <= {".lock"}


def dead_process() -> int:
    ended = subprocess.Popen(["true"])
    ended.wait()
    return ended.pid


@pytest.mark.parametrize("torn", ["", "{", '{"path": "calib', '{"path": "calibration.json", "sha256": "ab'])
def test_notes_torn_in_their_first_row_do_not_block_the_next_start(tmp_path: Path, torn: str) -> None:
    put(tmp_path / "run" / ".lock", "")
    put(tmp_path / "run" / ".start.jsonl", torn)
    RunDirectory.create(tmp_path / "run").close()
    assert state(tmp_path / "run").keys() <= {".lock"}


@pytest.mark.parametrize("text", ["mine", '{"paths"', '{"path": "a"}\n', '{"path": "x\n'])
def test_notes_that_are_not_torn_ones_of_ours_are_somebodys(tmp_path: Path, text: str) -> None:
    put(tmp_path / "run" / ".start.jsonl", text)
    with pytest.raises(RunError, match="is not empty and not a run"):
        RunDirectory.create(tmp_path / "run")
    assert (tmp_path / "run" / ".start.jsonl").read_text() == text


def test_only_what_a_dead_process_of_ours_was_writing_is_removed(tmp_path: Path) -> None:
    dead, mine = dead_process(), os.getpid()
    for name in (f".calibration.json.{dead}", f".recipe.yaml.{mine}"):
        put(tmp_path / "run" / name)
    RunDirectory.create(tmp_path / "run").close()
    assert state(tmp_path / "run").keys() == set()
    for name in (
        f".calibration.json.{os.getppid()}",
        ".manifest.json.1",
        f".thesis.tex.{dead}",
        f"calibration.json.{dead}",
        f".calibration.json.{dead}~",
        f".calibration.json.{10**40}",
        f"deep/.calibration.json.{dead}",
    ):
        put(tmp_path / name / name)
        before = state(tmp_path / name)
        with pytest.raises(RunError, match="is not empty"):
            RunDirectory.create(tmp_path / name)
        assert state(tmp_path / name) == before


def test_going_on_removes_what_the_killed_process_was_writing(tmp_path: Path) -> None:
    run = trained(tmp_path / "run", 2)
    put(run.folder / f".checkpoints.jsonl.{dead_process()}")
    put(run.folder / f".notes.txt.{dead_process()}")
    run.rewind(2)
    assert [path.name.split(".")[1] for path in run.folder.glob(".*.*")] == ["notes"]


def test_what_was_changed_after_a_killed_start_is_somebodys(tmp_path: Path) -> None:
    run = RunDirectory.create(tmp_path)
    run.start.keep(tmp_path / "calibration.json", "{}")
    os.close(run._lock)  # as when it is killed
    put(tmp_path / "calibration.json", "edited")
    before = state(tmp_path)
    with pytest.raises(RunError, match=r"contains calibration\.json"):
        RunDirectory.create(tmp_path)
    assert state(tmp_path) == before


def test_notes_that_name_files_elsewhere_deletes_none(tmp_path: Path) -> None:
    put(tmp_path / "mine")
    (tmp_path / "run").mkdir()
    rows = [{"path": path, "sha256": sha256_text("mine")} for path in ("../mine", str(tmp_path / "mine"))]
    write_jsonl(tmp_path / "run" / ".start.jsonl", rows)
    RunDirectory.create(tmp_path / "run").close()
    assert (tmp_path / "mine").read_text() == "mine"


# ---- a run from elsewhere

OUTSIDE = {
    "absolute": "{outside}",
    "above": "../outside",
    "above, by a detour": "checkpoints/../../outside",
    "the run itself": ".",
    "the run itself, by a detour": "checkpoints/..",
    "nothing": "",
    "through a link": "checkpoints/link",
    "holds a link": "checkpoints/holds",
    "no path at all": "a\0b",
    "a circle": "checkpoints/circle",
}


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    put(tmp_path / "outside" / "thesis.tex")
    return tmp_path / "outside"


@pytest.mark.parametrize("path", OUTSIDE.values(), ids=OUTSIDE)
@pytest.mark.parametrize("kind", ["periodic", "final"])
def test_a_ledger_that_leads_out_of_the_run_is_named_and_nothing_touched(
    tmp_path: Path, outside: Path, path: str, kind: str
) -> None:
    trained(tmp_path / "run", 2).close()
    checkpoints = tmp_path / "run" / "checkpoints"
    run = RunDirectory.resume(tmp_path / "run")
    (checkpoints / "holds").mkdir()
    (checkpoints / "holds" / "deep").symlink_to(outside)
    (checkpoints / "link").symlink_to(outside)
    (checkpoints / "circle").symlink_to("circle")
    rows = read_jsonl(run.folder / "checkpoints.jsonl")
    bad = {"step": 1, "kind": kind, "path": path.format(outside=outside)}
    write_jsonl(run.folder / "checkpoints.jsonl", [*rows, bad])
    put(run.folder / "manifest.json", '{"backend": "trl"}')
    put(run.unfinished / "checkpoint-4" / "state")
    before = state(tmp_path)
    new = run.unfinished / "checkpoint-4"
    for use in (
        run.checkpoints.last,
        lambda: run.rewind(-1),
        lambda: run.add_checkpoint(4, new, "periodic", every=2, keep=1),
        lambda: run.finished,
        lambda: checkpoint_row(run.folder),
        lambda: read_history(run.folder),
    ):
        with pytest.raises(RunError, match=r"checkpoints\.jsonl, row 2: ") as refused:
            use()
        assert refused.value.hint
    for use in (lambda: adapter_of(run.folder, bad), lambda: exported(run.folder, bad, tmp_path / "out")):
        with pytest.raises(RunError, match=r"checkpoints\.jsonl: "):
            use()
    ended = CliRunner().invoke(cli, ["export", str(run.folder), "--out", str(tmp_path / "out")])
    assert ended.exit_code == 2
    assert "row 2" in ended.stderr
    assert state(tmp_path) == before


def exported(run: Path, row: dict[str, object], out: Path) -> None:
    from tests.training.runs import backend

    backend().export(run, row, out)


def test_a_ledger_that_names_other_parts_of_the_run_deletes_none_of_them(tmp_path: Path) -> None:
    run = trained(tmp_path / "run", 2)
    put(run.folder / "evaluation" / "results.json")
    put(run.folder / "checkpoints" / "deep" / "er" / "state")
    paths = ("evaluation", "checkpoints", "checkpoints/../evaluation", "checkpoints/deep/er")
    rows = [{"step": 1, "kind": "periodic", "path": path} for path in paths]
    write_jsonl(run.folder / "checkpoints.jsonl", [*rows, *run.rows("checkpoints.jsonl")])
    run.rewind(0)
    assert (run.folder / "evaluation" / "results.json").is_file()
    assert (run.folder / "checkpoints" / "deep" / "er" / "state").is_file()
    assert not (run.folder / "checkpoints" / "checkpoint-2").exists()


@pytest.mark.parametrize(
    "name", [".lock", "metrics.jsonl", "events.jsonl", "checkpoints.jsonl", "checkpoints", "adapter"]
)
def test_a_run_whose_own_files_are_links_out_of_it_is_not_gone_on_with(
    tmp_path: Path, outside: Path, name: str
) -> None:
    trained(tmp_path / "run").close()
    path = tmp_path / "run" / name
    path.unlink(missing_ok=True)
    path.symlink_to(outside if "." not in name else outside / "thesis.tex")
    before = state(tmp_path)
    with pytest.raises(RunError, match=f"{name}' leads out of"):
        RunDirectory.resume(tmp_path / "run")
    assert state(tmp_path) == before


def test_what_is_removed_may_hold_links_but_not_what_they_lead_to(tmp_path: Path, outside: Path) -> None:
    run = trained(tmp_path / "run", 2)
    (run.unfinished / "checkpoint-4").mkdir(parents=True)
    (run.unfinished / "checkpoint-4" / "link").symlink_to(outside)
    (run.unfinished / "link").symlink_to(outside)
    run.rewind(2)
    assert not run.unfinished.exists()
    (run.unfinished).symlink_to(outside)
    run.rewind(2)
    assert (outside / "thesis.tex").is_file()


@pytest.mark.parametrize("fitted", ["../outside", "{outside}", "detectors/link", "."])
def test_a_calibration_of_a_run_keeps_its_detectors_in_the_run(
    tmp_path: Path, outside: Path, fitted: str
) -> None:
    from paraphrase_rl.detection.calibration import CalibrationSet

    begun(tmp_path / "run").close()
    (tmp_path / "run" / "detectors").mkdir()
    (tmp_path / "run" / "detectors" / "link").symlink_to(outside)
    write_json(tmp_path / "run" / "calibration.json", calibration(fitted.format(outside=outside)))
    with pytest.raises(CalibrationError, match=r"calibration\.json, detector tfidf: .* leads out of"):
        CalibrationSet.read(tmp_path / "run" / "calibration.json")


def calibration(fitted: str) -> dict[str, object]:
    point = {"target_fpr": 0.05, "threshold": 0, "n_human": 9, "allowed": 0, "above": 0, "tied": 1}
    point |= {"low": 0.0, "high": 0.1}
    limits = {"least_words": 1, "most_words": 9, "scripts": ["LATIN"], "language": None}
    texts = {"source": "here", "digest": "0", "median_words": 9, "excerpt_words": None, "limits": limits}
    one = {"detector": "tfidf", "texts": texts, "n_human": 9, "n_ai": 0, "points": [point], "fitted": fitted}
    return {
        "schema": "paraphrase-rl/calibration/2",
        "canonical_text": 1,
        "calibrations": [one],
        "weights": [1.0],
    }


# ---- checkpoints that the ledger does not list


@pytest.mark.parametrize("left", [0, 1], ids=["emptied", "cut short"])
def test_a_damaged_ledger_costs_no_checkpoint(tmp_path: Path, left: int) -> None:
    run = trained(tmp_path / "run", 2, 4)
    write_jsonl(run.folder / "checkpoints.jsonl", run.rows("checkpoints.jsonl")[:left])
    before = state(run.folder)
    with pytest.raises(RunError, match=r"checkpoint-\d exists, but checkpoints\.jsonl does not list it"):
        run.checkpoints.last()
    assert state(run.folder) == before
    run.rewind(-1)
    assert (run.folder / "checkpoints" / "checkpoint-4" / "state").read_text() == "4"


@pytest.mark.parametrize(("name", "kind"), [("checkpoints/checkpoint-6", "periodic"), ("adapter", "final")])
def test_a_folder_in_a_checkpoints_place_is_not_replaced(tmp_path: Path, name: str, kind: str) -> None:
    run = trained(tmp_path / "run", 2)
    put(run.folder / name / "state")
    with pytest.raises(RunError, match=f"{name} exists") as refused:
        run.checkpoints.last()
    assert f"move {name} away" in refused.value.hint
    new = run.unfinished / Path(name).name
    put(new / "state", "new")
    before = state(run.folder)
    with pytest.raises(RunError, match=f"{name} exists"):
        run.add_checkpoint(6, new, kind, every=2, keep=2)
    assert state(run.folder) == before


# ---- other folders that a command writes


def test_an_export_takes_no_place_that_is_taken(tmp_path: Path, outside: Path) -> None:
    run = trained(tmp_path / "run", 2)
    put(run.folder / "manifest.json", '{"backend": "trl"}')
    put(run.folder / "checkpoints" / "checkpoint-2" / "adapter_config.json", "{}")
    put(tmp_path / ".out.unfinished" / "thesis.tex")
    (tmp_path / "link").symlink_to("nowhere")
    before = state(tmp_path)
    for taken in (outside, tmp_path / "link", outside / "thesis.tex"):
        ended = CliRunner().invoke(cli, ["export", str(run.folder), "--out", str(taken)])
        assert ended.exit_code == 2
        assert f"{taken} already exists" in ended.stderr
    assert state(tmp_path) == before
    assert CliRunner().invoke(cli, ["export", str(run.folder), "--out", str(tmp_path / "out")]).exit_code == 0
    shutil.rmtree(tmp_path / "out")
    assert state(tmp_path) == before


@pytest.mark.parametrize("name", ["results.json", "calibration.json", "scores.jsonl", "cache", "recipe.yaml"])
def test_an_evaluation_writes_over_nothing_of_somebody_else(tmp_path: Path, name: str) -> None:
    put(tmp_path / name)
    before = state(tmp_path)

    def evaluate() -> None:
        with claimed(tmp_path):
            pytest.fail("claimed")

    with pytest.raises(EvaluationError, match=f"its {name} would be overwritten|is a run") as refused:
        evaluate()
    assert "--out" in refused.value.hint
    assert state(tmp_path) == before


def test_an_evaluation_goes_on_in_its_own_folder(tmp_path: Path) -> None:
    put(tmp_path / "notes.txt")
    for _ in range(2):
        with claimed(tmp_path):
            put(tmp_path / "results.json")


@pytest.mark.parametrize("name", ["calibration.json", "detector/model.json", "thesis.tex"])
def test_a_hardening_takes_no_folder_of_somebody_else(tmp_path: Path, name: str) -> None:
    put(tmp_path / name)
    before = state(tmp_path)
    with pytest.raises(EvaluationError, match="is not empty and not the folder of a hardening"):
        _check_folder(tmp_path)
    assert state(tmp_path) == before


def test_a_hardening_killed_while_it_wrote_goes_on(tmp_path: Path) -> None:
    with claimed(tmp_path):
        put(tmp_path / f".results.json.{dead_process()}")
    _check_folder(tmp_path)


@pytest.mark.parametrize("name", ["model.json", "manifest.json"])
@pytest.mark.parametrize("text", ["mine", '{"schema": "mine"}', "[" * 9999])
def test_a_detector_is_not_trained_over_files_of_somebody_else(tmp_path: Path, name: str, text: str) -> None:
    put(tmp_path / "mine" / name, text)
    before = state(tmp_path)
    arguments = ["fit", "tfidf", "--data", "starter", "--out", str(tmp_path / "mine")]
    ended = CliRunner().invoke(cli, arguments)
    assert ended.exit_code == 2
    assert f"{name} exists already, and is not the file of a trained tfidf" in ended.stderr
    assert state(tmp_path) == before


@pytest.mark.parametrize("text", ["mine", "[]", '{"made_by": "hand"}'])
def test_data_is_not_built_over_a_manifest_of_somebody_else(tmp_path: Path, text: str) -> None:
    put(tmp_path / "essays.manifest.json", text)
    before = state(tmp_path)
    with pytest.raises(DataError, match=r"essays\.manifest\.json already exists"):
        _write(tmp_path / "essays.jsonl", "x", {"made_by": "paraphrase-rl 0"})
    assert state(tmp_path) == before
    put(tmp_path / "essays.manifest.json", '{"made_by": "paraphrase-rl 0"}')
    _write(tmp_path / "essays.jsonl", "x", {"made_by": "paraphrase-rl 1"})


# ---- files that no run writes like that

METRIC = '{"step": 1, "metrics": {"reward_mean": 0.5, "kl": null}}'
DAMAGED = {
    "metrics.jsonl": [
        '{"step": "1", "metrics": {}}',
        '{"step": true, "metrics": {}}',
        '{"step": 1.5, "metrics": {}}',
        '{"step": 1, "metrics": []}',
        '{"step": 1, "metrics": {"reward_mean": "high"}}',
        '{"step": 1, "metrics": {"reward_mean": [1]}}',
        '{"step": 1}',
        "[1]",
        "[" * 99_999 + "\n{}",
    ],
    "evaluations.jsonl": ['{"step": null}', '{"metrics": {}}', '{"step": 1, "prompts": 3}'],
    "samples.jsonl": ['{"step": "x"}', '{"step": 1, "rewrite": 4}', '{"step": 1, "total": "4"}'],
    "events.jsonl": ['{"event": 3}', '{"event": "x", "step": "1"}', '{"event": "x", "time": 1}'],
    "checkpoints.jsonl": [
        '{"step": 1, "path": "adapter"}',
        '{"kind": "periodic", "path": "adapter"}',
        '{"step": "1", "kind": "periodic", "path": "adapter"}',
        '{"step": 1, "kind": ["final"], "path": "adapter"}',
        '{"step": 1, "kind": "periodic"}',
        '{"step": 1, "kind": "periodic", "path": 3}',
        '{"step": 1, "kind": "periodic", "path": null}',
        '{"step": 1, "kind": "periodic", "reference": 3}',
        '{"step": 1, "kind": "periodic", "reference": "s://", "expires": 3}',
        '{"step": 1, "kind": "periodic", "reference": "s://", "expires": "soon"}',
        '{"step": 1, "kind": "periodic", "reference": "s://", "sampler": {}}',
    ],
}


@pytest.mark.parametrize(("name", "row"), [(name, row) for name, rows in DAMAGED.items() for row in rows])
def test_a_row_that_no_run_writes_is_named_before_anything_is_changed(
    tmp_path: Path, name: str, row: str
) -> None:
    run = trained(tmp_path / "run", 2)
    path = run.folder / name
    good = path.read_text() if path.exists() else ""
    path.write_text(f"{good}{row}\n")
    run.close()
    before = contents(run.folder)
    with pytest.raises(RunError, match=rf"{name}, (row|line) {good.count(chr(10)) + 1}: ") as refused:
        training_run(run.folder, recipe(tmp_path), resume=True).evaluation_due(0)
    assert "\n" not in refused.value.message
    assert refused.value.hint
    assert contents(run.folder) == before


def test_what_a_run_writes_is_read(tmp_path: Path) -> None:
    run = trained(tmp_path / "run", 2)
    put(run.folder / "metrics.jsonl", METRIC + "\n")
    write_jsonl(run.folder / "samples.jsonl", [{"step": 1, "total": None, "terms": {"x": None, "y": 1}}])
    before = state(run.folder)
    assert len(run.rows("metrics.jsonl")) == len(run.rows("samples.jsonl")) == 1
    assert state(run.folder) == before


@pytest.mark.parametrize(
    "text",
    [
        "[]",
        "3",
        "null",
        "",
        "{}",
        "[" * 99_999,
        '{"backend": 3}',
        '{"backend": "trl", "backend_options": []}',
        '{"backend": "trl", "data": []}',
    ],
)
def test_a_manifest_that_no_run_writes_is_named(tmp_path: Path, text: str) -> None:
    run = trained(tmp_path / "run", 2)
    run.close()
    put(run.folder / "manifest.json", text)
    before = state(tmp_path)
    ended = CliRunner().invoke(cli, ["export", str(run.folder), "--out", str(tmp_path / "out")])
    assert ended.exit_code == 2
    assert f"cannot read {run.folder / 'manifest.json'}" in ended.stderr
    assert state(tmp_path) == before


def test_an_empty_ledger_of_a_run_at_a_service_does_not_begin_it_anew(tmp_path: Path) -> None:
    run = trained(tmp_path / "run")
    run.add_checkpoint(2, "tinker://r/2", "periodic", every=2, keep=2)
    put(run.folder / "checkpoints.jsonl", "")
    with pytest.raises(RunError, match=r"checkpoints\.jsonl is empty"):
        run.checkpoints.last()


def test_a_run_that_never_came_to_a_checkpoint_begins_anew(tmp_path: Path) -> None:
    run = trained(tmp_path / "run")
    run.rewind(-1)
    assert run.checkpoints.last() is None
    run.add_checkpoint(2, "tinker://r/2", "periodic", every=2, keep=2)
    run.rewind(-1)
    assert run.checkpoints.last() is None
