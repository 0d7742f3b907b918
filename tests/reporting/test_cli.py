"""The command itself: where the page goes, what is printed, what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from paraphrase_rl.cli.main import cli
from tests.reporting import cases


@pytest.fixture
def run(tmp_path: Path) -> Path:
    folder = cases.write_run(tmp_path / "run")
    cases.write_evaluation(folder / "evaluation")
    return folder


def prl(*arguments: object) -> Result:
    return CliRunner().invoke(cli, ["report", *map(str, arguments)])


def test_the_page_goes_into_the_run(run: Path) -> None:
    result = prl(run)
    assert result.exit_code == 0, result.stderr
    assert result.stdout == f"{run / 'report.html'}\n"
    assert (run / "report.html").read_text(encoding="utf-8").startswith("<!doctype html>")
    assert (run / "report.html").stat().st_size < 2_000_000


def test_an_evaluation_alone_and_another_place(run: Path, tmp_path: Path) -> None:
    out = tmp_path / "there" / "page.html"
    result = prl(run / "evaluation", "--out", out)
    assert (result.exit_code, result.stdout) == (0, f"{out}\n")
    assert out.is_file()
    assert not (run / "evaluation" / "report.html").exists()


def test_markdown_is_printed_and_nothing_written(run: Path) -> None:
    result = prl(run, "--markdown")
    assert result.exit_code == 0
    assert result.stdout.startswith("## ")
    assert not (run / "report.html").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--markdown", "--out", "x.html"], "leave out --out"),
        (["--evaluation", "nowhere"], "holds no evaluation"),
    ],
)
def test_what_is_refused(run: Path, arguments: list[str], message: str) -> None:
    result = prl(run, *arguments)
    assert result.exit_code == 2
    assert message in result.stderr


def test_no_run(tmp_path: Path) -> None:
    result = prl(tmp_path)
    assert result.exit_code == 2
    assert "neither a run nor an evaluation" in result.stderr


@pytest.mark.parametrize(
    ("table", "line", "message"),
    [
        ("metrics.jsonl", "[1]", "not a JSON object"),
        ("metrics.jsonl", '{"step": 1}', "lacks metrics"),
        ("samples.jsonl", '{"step": 1}', "lacks id, source, rewrite, details, total"),
        ("evaluation/documents.jsonl", '{"text": "x"}', "lacks id"),
        ("evaluation/rewrites.jsonl", "{}", "lacks id, rewriter"),
        ("evaluation/scores.jsonl", "{}", "lacks id, rewriter, detector"),
    ],
)
def test_a_damaged_table_is_named(run: Path, table: str, line: str, message: str) -> None:
    (run / table).write_text(f"{line}\n", encoding="utf-8")
    result = prl(run)
    assert result.exit_code == 2
    assert f"{run / table}, line 1: {message}" in result.stderr
    assert "internal error" not in result.stderr
