"""``prl compare`` through the real command line."""

from __future__ import annotations

import csv
import io


def test_the_table_fits_and_ranks(prl):
    result = prl("compare", "essays", "--detector", "shout", "--detector", "whisper", "--fpr", "0.1")
    assert result.exit_code == 0, result.stderr
    lines = result.stdout.splitlines()
    assert max(map(len, lines)) <= 80
    assert "60 human and 60 AI texts of essays" in result.stdout
    assert any(line.startswith(("shout", "whisper")) and "best" in line for line in lines)
    assert "not distinguishable" in result.stderr


def test_all_figures_come_as_data(prl, payload):
    found = payload("compare", "essays", "--detector", "shout", "--folds", "3")
    (row,) = found["rows"]
    assert row["detector"] == "shout"
    assert {"tpr_at_5", "tpr_at_1_low", "auroc_high", "ece", "seconds_per_1000"} <= set(row)
    assert found["target_fpr"] == 0.05
    table = prl("compare", "essays", "--detector", "shout", "--folds", "3", "--format", "csv").stdout
    assert next(csv.DictReader(io.StringIO(table)))["detector"] == "shout"


def test_a_detector_that_cannot_be_built_is_left_out_unless_it_was_named(prl, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    shown = prl("compare", "essays").stdout
    assert "no model at /nowhere" in shown
    assert prl("compare", "essays", "--detector", "missing").exit_code == 2


def test_a_table_of_ones_own(prl, tmp_path):
    rows = ["essay,generated"] + [
        f"{'A' * (i % 5 + 3 * ai)}aaaa {i} text,{ai}" for ai in (0, 1) for i in range(30)
    ]
    (tmp_path / "mine.csv").write_text("\n".join(rows) + "\n")
    result = prl(
        *("compare", "mine.csv", "--text-column", "essay", "--label-column", "generated"),
        *("-o", "label_values={0: human, 1: ai}", "--detector", "shout"),
    )
    assert result.exit_code == 0, result.stderr
    assert "30 human and 30 AI texts" in result.stdout


def test_a_page_is_written(prl, tmp_path):
    result = prl("compare", "essays", "--detector", "shout", "--folds", "3", "--html", "page.html")
    assert "wrote page.html" in result.stderr
    assert "shout flags most" in (tmp_path / "page.html").read_text(encoding="utf-8")
