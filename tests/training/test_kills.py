"""A few of the kills of ``make kills``: each resumes to the numbers of an unbroken run."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.kills import killer


@pytest.mark.parametrize("backend", ["trl", pytest.param("tinker", marks=pytest.mark.service)])
def test_a_killed_run_goes_on_to_the_same_numbers(tmp_path: Path, backend: str) -> None:
    with killer(backend, tmp_path) as runs:
        assert runs.operations > 40, "else the operations are not seen"
        for tried in (
            runs.at_operations(lambda number: number in (runs.operations // 2, runs.operations - 5)),
            runs.at_moments(2, seed=0),
        ):
            assert tried.kills >= 2
            assert not tried.wrong, str(tried)
