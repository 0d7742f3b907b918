"""``prl data``."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from paraphrase_rl.cli.main import cli


def prl(capsys: pytest.CaptureFixture[str], *args: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as exit_:
        cli.main(["data", *args])
    out, err = capsys.readouterr()
    return int(exit_.value.code or 0), out, err


def test_the_starter_data_is_shown(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    code, out, err = prl(capsys)
    assert code == 0
    assert len(out.splitlines()) == 2 + 12
    assert "182" in out
    assert "LGPL" in err
    assert "note: 3 pairs of texts are near duplicates" in err


def test_json_carries_counts_warnings_and_digest(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = prl(capsys, "--format", "json")
    payload = json.loads(out)
    assert code == 0
    assert sum(row["documents"] for row in payload["rows"]) == 1044
    assert len(payload["digest"]) == 64
    assert payload["warnings"] == []
    assert any("counterpart" in warning for warning in payload["notes"])


def test_options_and_settings_reach_the_data(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(
        "essay\nOne two. Three four five six seven eight nine ten eleven twelve.\n"
    )
    args = ["files", "-o", f"path={tmp_path}/a.csv", "-o", "columns={text: essay}", "--sample", "2"]
    code, out, _ = prl(capsys, *args, "--set", "data.excerpt_words=10", "--format", "jsonl")
    assert code == 0
    assert [json.loads(line)["text"] for line in out.splitlines()] == ["One two."]


def test_a_sample_is_from_all_over_the_data(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("text\n" + "a story\n" * 10 + "news\n" * 10)
    code, out, _ = prl(capsys, f"{tmp_path}/a.csv", "--sample", "12", "--format", "jsonl")
    assert code == 0
    texts = [json.loads(line)["text"] for line in out.splitlines()]
    assert texts == ["a story"] * 6 + ["news"] * 6


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["startr"], "did you mean starter"),
        (["files"], "path"),
        (["files", "-o", "path=/nowhere.jsonl"], "no file at /nowhere.jsonl"),
        (["starter", "--set", "data.excerp_words=9"], "data.excerpt_words"),
    ],
)
def test_wrong_use_is_told_on_one_line(
    capsys: pytest.CaptureFixture[str], args: list[str], said: str
) -> None:
    code, out, err = prl(capsys, *args)
    assert (code, out) == (2, "")
    assert said in err
    assert "Traceback" not in err
