"""Kills of real runs, at random moments and at every file operation: all must resume to the numbers of an unbroken run.

    python -m tests.kills [--backend trl --backend tinker] [--moments 200] [--every 1] [--seed 0] [--log FILE]

Each process is the real ``prl train`` on a tiny model, killed by SIGKILL. A moment is a time, drawn up to the length of
the unbroken run; a run is killed up to ``KILLS_A_RUN`` times before it may end. A file operation is any in the run
directory: files opened for writing, moved, removed, folders made and removed by Python, found by an audit hook; files
written natively (PyTorch, safetensors, tokenizers), found by wrapping what writes them. The process kills itself before
the N-th, which is also after the one before it, or with half of a file written, for every N of an unbroken run and of a
resumed one. A file of the run that no operation wrote is an error. ``--log`` names a file that gets a row for each
killed run; those that survived in it are not tried again.
"""

from __future__ import annotations

import argparse
import builtins
import gc
import io
import itertools
import json
import multiprocessing
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

from paraphrase_rl.files import append_jsonl, read_jsonl
from tests.training.cases import numbers, prl_process, write_recipe, write_texts

ROOT = Path(__file__).resolve().parents[1]
KILLS_A_RUN = 5
SETTINGS = {"batch_size": 2, "group_size": 3, "epochs": 3, "max_steps": 4, "learning_rate": 0.01}
WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT
PRELOADED = [
    "paraphrase_rl.cli.train",
    "paraphrase_rl.api.training",
    "paraphrase_rl.training.start",
    "paraphrase_rl_plugins.backends._callback",
    "paraphrase_rl_plugins.backends._tinker_trainer",
    "paraphrase_rl_plugins.backends._trainer",
    "paraphrase_rl_plugins.backends.trl_backend",
    "transformers.models.llama.modeling_llama",
    "tests.kills",
    *(entry.value for entry in entry_points(group="paraphrase_rl")),
]


class Operations:
    """The file operations in a folder; before the one numbered ``kill_at`` the process kills itself.

    With ``torn`` it does so once half of what is written to that file is written.

    Attributes:
        done: what each operation was, and on which file.
        written: names of the files that they wrote.
    """

    def __init__(self, folder: Path, kill_at: int, torn: bool, tally: Path) -> None:
        self.folder, self.kill_at, self.torn, self.tally = folder, kill_at, torn, tally
        self.done: list[str] = []
        self.written: set[str] = set()
        self.tear = False

    def install(self) -> None:
        import safetensors.torch
        import torch
        from transformers import PreTrainedTokenizerFast as Tokenizer

        torch.save = self._native(torch.save, lambda obj, f, **_: f)
        safetensors.torch.serialize_file = self._native(
            safetensors.torch.serialize_file, lambda tensors, filename, **_: filename
        )
        Tokenizer._save_pretrained = self._native(
            Tokenizer._save_pretrained,
            lambda tokenizer, save_directory, **_: Path(save_directory, "tokenizer.json"),
        )
        builtins.open = io.open = self._opened(io.open)
        sys.addaudithook(self._hook)

    def unseen(self) -> list[str]:
        """Files that no operation wrote, for which nothing was killed."""
        return sorted(
            path.name for path in self.folder.rglob("*") if path.is_file() and path.name not in self.written
        )

    def _native(self, write: Callable[..., Any], to: Callable[..., Any]) -> Callable[..., Any]:
        """A function that writes a file natively, where Python sees nothing; ``to``: the file, by its arguments."""

        def wrapped(*given: Any, **named: Any) -> Any:
            file = to(*given, **named)
            if not isinstance(file, (str, os.PathLike)):
                return write(*given, **named)
            path = Path.cwd() / file
            if path.is_relative_to(self.folder):
                self._next("native", path, tears=True)
            result = write(*given, **named)
            if self.tear:
                os.truncate(path, path.stat().st_size // 2)
                os.kill(os.getpid(), signal.SIGKILL)
            return result

        return wrapped

    def _opened(self, whole: Callable[..., Any]) -> Callable[..., Any]:
        def opened(*given: Any, **named: Any) -> Any:
            stream = whole(*given, **named)
            if not self.tear:
                return stream
            write = stream.write

            class Torn:
                def __enter__(self) -> Any:
                    return self

                def __exit__(self, *_: Any) -> None:
                    stream.close()

                def write(self, data: Any) -> None:
                    write(data[: len(data) // 2])
                    stream.flush()
                    os.kill(os.getpid(), signal.SIGKILL)

            self.tear = False
            return Torn()

        return opened

    def _hook(self, event: str, given: tuple[Any, ...]) -> None:
        if event == "open":
            path, mode, flags = given
            if not isinstance(path, (str, bytes, os.PathLike)) or not flags & WRITES:
                return
            where = Path.cwd() / os.fsdecode(path)
        elif event in ("os.rename", "os.remove", "os.mkdir", "os.rmdir"):
            folder = given[-1] if event != "os.rename" else given[2]
            base = Path(f"/proc/self/fd/{folder}").readlink() if folder != -1 else Path.cwd()
            where, mode = base / os.fsdecode(given[0]), None
        else:
            return
        if where.is_relative_to(self.folder):
            if event == "os.rename":
                self.written.add(Path(os.fsdecode(given[1])).name)
            self._next(event, where, tears=mode is not None)  # os.open has no mode: it makes an empty file

    def _next(self, what: str, path: Path, *, tears: bool) -> None:
        self.done.append(f"{what} {path.name}")
        self.written.add(path.name)
        if len(self.done) != self.kill_at:
            return
        if not self.torn:
            self.tally.write_text(json.dumps({"tears": tears}))
            os.kill(os.getpid(), signal.SIGKILL)
        self.tear = tears


def process(arguments: list[str], cwd: Path, environment: dict[str, str], kill_at: int, torn: bool) -> None:
    """``prl`` in a process of its own, with its file operations told in ``cwd/tally``."""
    gc.freeze()  # else a collection copies every page that is shared with the fork server
    operations = Operations(cwd / "run", kill_at, torn, cwd / "tally")
    operations.install()
    try:
        prl_process(arguments, cwd, environment, None, "")
    finally:
        told = {"operations": operations.done, "unseen": operations.unseen()}
        operations.tally.write_text(json.dumps(told))


@dataclass
class Tried:
    """Kills of one kind: how many were tried, and what is wrong with the runs that did not survive.

    Attributes:
        log: file with a row for each run, those of an earlier process among them.
    """

    what: str
    log: Path
    kills: int = 0
    runs: int = 0
    wrong: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        rows = read_jsonl(self.log) if self.log.exists() else []
        self.before = {
            row["run"]: row["kills"] for row in rows if row["what"] == self.what and not row["wrong"]
        }

    def survived_before(self, run: str) -> int | None:
        """Count and return the kills that a run survived in an earlier process; ``None`` if it is to be tried."""
        kills = self.before.get(run)
        if kills is not None:
            self.kills += kills
            self.runs += 1
        return kills

    def ended(self, run: str, kills: int, wrong: str | None) -> None:
        """Count a run that was killed and resumed; ``wrong``: what is wrong with it."""
        self.kills += kills
        self.runs += 1
        if wrong:
            self.wrong.append(f"{run}: {wrong}")
        append_jsonl(self.log, {"what": self.what, "run": run, "kills": kills, "wrong": wrong})

    def __str__(self) -> str:
        survived = self.kills - len(self.wrong)
        return f"{self.what}: {survived} of {self.kills} kills survived, in {self.runs} runs" + "".join(
            f"\n  {why}" for why in self.wrong
        )


class Killer:
    """Runs of one recipe on one backend, each in a folder of its own.

    Args:
        begin: arguments of ``prl train`` that begin a run, but for ``--out``.
        log: file that gets a row for each killed run.
    """

    def __init__(
        self, folder: Path, begin: list[str], environment: dict[str, str], backend: str, log: Path
    ) -> None:
        self.folder, self.begin, self.environment, self.backend = folder, begin, environment, backend
        self.log = log
        self.context = multiprocessing.get_context("forkserver")
        self.context.set_forkserver_preload(PRELOADED)
        self.number = itertools.count()
        self.finish(self.new())  # what is loaded once is loaded, and the second run can be timed
        started = time.monotonic()
        self.whole = self.new()
        self.finish(self.whole)
        self.seconds = time.monotonic() - started
        told = self.tally(self.whole)
        assert not told["unseen"], f"written by no operation that is counted: {', '.join(told['unseen'])}"
        self.operations: list[str] = told["operations"]
        self.expected = self.found(self.whole)

    def new(self) -> Path:
        folder = self.folder / f"{next(self.number):04}"
        (folder / "streams").mkdir(parents=True)
        return folder

    def start(self, cwd: Path, kill_at: int = 0, torn: bool = False) -> Any:
        """Begin the run, or go on with what is left of it."""
        begun = (cwd / "run" / "recipe.yaml").exists()
        arguments = ["train", *(["--resume", "run"] if begun else [*self.begin, "--out", "run"])]
        running = self.context.Process(target=process, args=(arguments, cwd, self.environment, kill_at, torn))
        running.start()
        return running

    def finish(self, cwd: Path) -> None:
        running = self.start(cwd)
        running.join(600)
        self.ended(running, cwd)

    def ended(self, running: Any, cwd: Path) -> None:
        assert running.exitcode == 0, (
            f"exit code {running.exitcode}: {(cwd / 'streams' / 'stderr').read_text()}"
        )

    def tally(self, cwd: Path) -> dict[str, Any]:
        told: dict[str, Any] = json.loads((cwd / "tally").read_text())
        return told

    def found(self, cwd: Path) -> dict[str, Any]:
        """What must be as in the unbroken run: all numbers, and which files there are."""
        run = cwd / "run"
        if self.backend == "trl":
            said = numbers(run)
        else:
            said = {
                name: [
                    {
                        key: value
                        for key, value in (row | row.get("metrics", {})).items()
                        if key not in ("metrics", "seconds", "tokens_per_second") and "seconds_" not in key
                    }
                    for row in read_jsonl(run / f"{name}.jsonl")
                ]
                for name in ("metrics", "evaluations", "samples")
            }
            said["checkpoints"] = [
                (row["step"], row["kind"]) for row in read_jsonl(run / "checkpoints.jsonl")
            ]
        return {**said, "files": sorted(str(path.relative_to(run)) for path in run.rglob("*"))}

    def wrong_with(self, cwd: Path) -> str | None:
        """Let a killed run end, and compare it: what is wrong with it."""
        try:
            self.finish(cwd)
            found = self.found(cwd)
            different = [key for key, value in self.expected.items() if found[key] != value]
            if different:
                return f"other {', '.join(different)} in {cwd}"
            shutil.rmtree(cwd)
            return None
        except Exception as error:
            return f"{error} in {cwd}"

    def at_moments(self, kills: int, seed: int) -> Tried:
        """Kill runs at random moments."""
        tried = Tried(f"{self.backend}, random moments", self.log)
        for number in itertools.count():
            if tried.kills >= kills:
                return tried
            name = f"run {number} of seed {seed}"
            if tried.survived_before(name) is not None:
                continue
            draw, cwd, moments = random.Random(f"{seed} {number}"), self.new(), []
            for _ in range(min(draw.randint(1, KILLS_A_RUN), kills - tried.kills)):
                running, moment = self.start(cwd), draw.uniform(0, self.seconds)
                running.join(moment)
                if running.exitcode is not None:  # it had ended: the machine is faster now than it was
                    self.seconds = min(self.seconds, 0.9 * moment)
                    break
                os.kill(running.pid, signal.SIGKILL)
                running.join()
                moments.append(f"{moment:.3f}")
            wrong = self.wrong_with(cwd)
            tried.ended(name, len(moments), wrong and f"after {', '.join(moments)} s: {wrong}")
        raise AssertionError("unreachable")

    def at_operations(
        self, chosen: Callable[[int], bool], begun: Callable[[Path], object] | None = None
    ) -> Tried:
        """Kill a run before each file operation, and while it writes; ``begun`` prepares a folder to resume from."""
        what = "of a run" if begun is None else "of a resumed run"
        tried = Tried(f"{self.backend}, file operations {what}", self.log)
        for number in itertools.count(1):
            if not chosen(number):
                if number > 5 * len(self.operations):
                    return tried
                continue
            before, torn = f"before operation {number}", f"halfway through operation {number}"
            if tried.survived_before(before) is None:
                cwd = self.killed_at(number, begun)
                if cwd is None:  # there are fewer
                    return tried
                tears = self.tally(cwd)["tears"]
                tried.ended(before, 1, self.wrong_with(cwd))
                if not tears:
                    continue
            if tried.survived_before(torn) is None:
                cwd = self.killed_at(number, begun, torn=True)
                if cwd is not None:
                    tried.ended(torn, 1, self.wrong_with(cwd))
        raise AssertionError("unreachable")

    def killed_at(
        self, number: int, begun: Callable[[Path], object] | None, *, torn: bool = False
    ) -> Path | None:
        """Return the folder of a run killed at that file operation; ``None`` if it ended without it."""
        cwd = self.new()
        if begun is not None:
            begun(cwd)
        running = self.start(cwd, number, torn)
        running.join(600)
        if running.exitcode == -signal.SIGKILL:
            return cwd
        self.ended(running, cwd)
        shutil.rmtree(cwd)
        return None

    def killed_in_step(self, cwd: Path) -> None:
        """Leave a run killed in its fourth step, after a checkpoint."""
        self.environment["ACME_SIGNAL"] = f"SIGKILL:{6 if self.backend == 'trl' else 10}"
        self.start(cwd).join(600)
        del self.environment["ACME_SIGNAL"]
        assert (cwd / "run" / "checkpoints.jsonl").exists()


@contextmanager
def service(model: Path, folder: Path) -> Iterator[str]:
    """A compact training service in a process of its own; its address."""
    command = [sys.executable, "-W", "ignore", "-m", "tests.servers.tinker_server", str(model), "--port", "0"]
    started = subprocess.Popen(
        [*command, "--folder", str(folder)], stdout=subprocess.PIPE, text=True, cwd=ROOT
    )
    try:
        assert started.stdout is not None
        yield started.stdout.readline().split()[1]
    finally:
        started.kill()
        started.wait()


@contextmanager
def killer(backend: str, folder: Path, log: Path | None = None) -> Iterator[Killer]:
    """A killer of runs on a backend, on a tiny model."""
    from tests.tiny_model import save_tiny_model

    log = log or folder / "kills.jsonl"

    model = save_tiny_model(folder / "model", qwen=backend == "tinker", tied=backend != "tinker")
    recipe = write_recipe(
        folder,
        model,
        write_texts(folder / "texts.jsonl"),
        training=SETTINGS,
        evaluation={"every": 2, "prompts": 3},
    )
    begin = ["--config", str(recipe)]
    if backend == "trl":
        yield Killer(folder / "runs", begin, {}, backend, log)
        return
    with service(model, folder / "state") as url:
        begin += ["--backend", "tinker", "--option", f"base_url={url}"]
        yield Killer(folder / "runs", begin, {"TINKER_API_KEY": "tml-kills"}, backend, log)


def main() -> None:
    """Kill, and print how many kills were survived."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--backend", action="append", choices=("trl", "tinker"))
    parser.add_argument("--moments", type=int, default=200)
    parser.add_argument("--every", type=int, default=1, help="every so many file operations; 0 = none")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--log", type=Path, help="file with a row for each killed run, to go on from")
    given = parser.parse_args()
    wrong = 0
    for backend in given.backend or ("trl", "tinker"):
        with (
            tempfile.TemporaryDirectory(prefix="kills-") as folder,
            killer(backend, Path(folder), given.log) as runs,
        ):
            native = sum(operation.startswith("native ") for operation in runs.operations)
            print(
                f"{backend}: {len(runs.operations)} file operations, {native} of them native, {runs.seconds:.1f} s",
                flush=True,
            )

            def chosen(number: int) -> bool:
                return given.every > 0 and number % given.every == 0

            for tried in (
                lambda: runs.at_operations(chosen),
                lambda: runs.at_operations(chosen, runs.killed_in_step),
                lambda: runs.at_moments(given.moments, given.seed),
            ):
                done = tried()
                wrong += len(done.wrong)
                print(done, flush=True)
    sys.exit(wrong > 0)


if __name__ == "__main__":
    main()
