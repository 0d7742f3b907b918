"""Records on disk: what is missing or damaged is one clear error with the command that makes it anew."""

from __future__ import annotations

from pathlib import Path

import pytest

from paraphrase_rl.acceptance.verdict import Verdict
from paraphrase_rl.errors import EvaluationError
from paraphrase_rl.evaluation.results import Results
from paraphrase_rl.hardening.records import Hardening
from paraphrase_rl.statistics.records import Estimate

KINDS = [
    (Results, "results.json", "holds no evaluation", "prl evaluate RUN"),
    (Hardening, "results.json", "holds no hardening", "prl harden DETECTOR"),
    (Verdict, "verdict.json", "has no verdict", "prl validate "),
]


@pytest.mark.parametrize(("kind", "name", "missing", "command"), KINDS)
@pytest.mark.parametrize("content", [b"", b"{}", b'{"format": 2}', b"\xff\xfe"])
def test_a_damaged_record_is_named(kind, name, missing, command, content, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(EvaluationError, match=f"cannot read .*{name}") as caught:
        kind.read(tmp_path)
    assert caught.value.hint.startswith(f"run again: {command}")
    assert "\n" not in caught.value.message
    assert "http" not in caught.value.message


@pytest.mark.parametrize(("kind", "name", "missing", "command"), KINDS)
def test_a_missing_record_is_named(kind, name, missing, command, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for folder in (tmp_path, tmp_path / "nowhere", tmp_path / "file"):
        with pytest.raises(EvaluationError, match=missing) as caught:
            kind.read(folder)
        assert caught.value.hint.startswith(f"make one: {command}")


@pytest.mark.parametrize(
    ("estimate", "digits", "shown"),
    [
        (Estimate(value=0.5, low=0.25, high=0.75, n=9), 2, "0.50 [0.25, 0.75]"),
        (Estimate(value=0.9987, low=0.9911, high=0.9999, n=9), 3, "0.999 [0.991, 1.000]"),
        (Estimate(value=0.5, n=1), 2, "0.50 (n too small)"),
        (Estimate(value=None, n=0), 2, "-"),
    ],
)
def test_a_figure_is_shown_with_its_interval_or_why_it_has_none(estimate, digits, shown) -> None:
    assert estimate.shown(digits) == shown
