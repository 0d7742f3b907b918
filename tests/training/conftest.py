"""Real processes of ``prl`` for tests of runs: forked from one that has the heavy libraries imported already."""

from __future__ import annotations

import multiprocessing
from pathlib import Path

import pytest

from tests.tiny_model import save_tiny_model
from tests.training.cases import Case, Ended, Prl, prl_process, write_recipe, write_texts

PRELOADED = [
    "paraphrase_rl.cli.train",
    "paraphrase_rl_plugins.backends._trainer",
    "paraphrase_rl_plugins.backends.trl_backend",
    "transformers.models.llama.modeling_llama",
]


@pytest.fixture(scope="session")
def launch() -> Prl:
    """Runs ``prl ARGUMENTS`` in ``cwd`` to its end."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOADED)

    def run(
        *arguments: object,
        cwd: Path,
        environment: dict[str, str] | None = None,
        largest_file: int | None = None,
        code: int | None = 0,
        shell: str = "",
    ) -> Ended:
        (cwd / "streams").mkdir(exist_ok=True)
        command = [str(argument) for argument in arguments]
        given = (command, cwd, environment or {}, largest_file, shell)
        process = context.Process(target=prl_process, args=given)
        process.start()
        process.join(120)
        if process.is_alive():
            process.kill()
            pytest.fail(f"prl {command} hangs")
        stdout, stderr = (
            (cwd / "streams" / name).read_text(encoding="utf-8") for name in ("stdout", "stderr")
        )
        assert "--debug" in command or "Traceback" not in stderr, stderr
        assert "internal error" not in stderr, stderr
        if code is not None:
            assert process.exitcode == code, stderr
        return Ended(process.exitcode or 0, stdout, stderr)

    return run


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_model(tmp_path_factory.mktemp("tiny-llama"))


@pytest.fixture(scope="session")
def case(tmp_path_factory: pytest.TempPathFactory, tiny_model: Path) -> Case:
    """A recipe that every test may run, each into a directory of its own."""
    folder = tmp_path_factory.mktemp("case")
    data = write_texts(folder / "texts.jsonl")
    return Case(folder, write_recipe(folder, tiny_model, data), data)


@pytest.fixture(scope="session")
def unbroken(launch: Prl, case: Case, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of a run that nothing disturbed. Read it only."""
    folder = tmp_path_factory.mktemp("unbroken")
    launch("train", "--config", case.recipe, "--out", "run", cwd=folder)
    return folder / "run"


@pytest.fixture(scope="session")
def killed(launch: Prl, case: Case, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of a run killed in step 7, after the checkpoint at 6. Copy it before use."""
    folder = tmp_path_factory.mktemp("killed")
    faults = {"ACME_SIGNAL": "SIGKILL:10"}
    launch("train", "--config", case.recipe, "--out", "run", cwd=folder, environment=faults, code=-9)
    return folder / "run"
