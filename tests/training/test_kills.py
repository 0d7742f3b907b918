"""A few of the kills of ``make kills``: each resumes to the numbers of an unbroken run."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

from tests.kills import killer

CHECKPOINT = [
    "adapter_model.safetensors",
    "tokenizer.json",
    "optimizer.pt",
    "scheduler.pt",
    "rng_state.pth",
]


@pytest.mark.parametrize("backend", ["trl", pytest.param("tinker", marks=pytest.mark.service)])
def test_a_killed_run_goes_on_to_the_same_numbers(tmp_path: Path, backend: str) -> None:
    with killer(backend, tmp_path) as runs:
        operations = len(runs.operations)
        assert operations > 40, "else the operations are not seen"
        native = [number for number, done in enumerate(runs.operations, 1) if done.startswith("native ")]
        written = [runs.operations[number - 1].removeprefix("native ") for number in native]
        # two checkpoints and the final adapter, which has no optimizer
        assert written == ([*CHECKPOINT, *CHECKPOINT, *CHECKPOINT[:2]] if backend == "trl" else [])

        if native:
            torn = runs.killed_at(native[7], None, torn=True)
            assert torn is not None
            [optimizer] = torn.rglob(f".unfinished/**/{written[7]}")
            assert optimizer.stat().st_size
            assert not zipfile.is_zipfile(optimizer), "as torch.save writes them"
            assert runs.wrong_with(torn) is None

        for tried in (
            runs.at_operations(lambda number: number in (operations // 2, operations - 5)),
            runs.at_moments(2, seed=0),
        ):
            assert tried.kills >= 2
            assert not tried.wrong, str(tried)
