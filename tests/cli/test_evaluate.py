"""`prl evaluate` on toy plug-ins: what is printed, kept and refused."""

from __future__ import annotations

import csv
import io
import json

import numpy as np
import pytest

import paraphrase_rl.plugin.registry
from paraphrase_rl.evaluation.results import Results
from paraphrase_rl.plugin import hookimpl
from paraphrase_rl.plugin.discovery import Plugins
from paraphrase_rl.plugin.registry import Registry
from paraphrase_rl.plugin.specs import MetricSpec, RewriterSpec
from paraphrase_rl.recipe.loading import dump_recipe, load_recipe
from paraphrase_rl.testing import FakeRewriter
from paraphrase_rl.types import Measurements, Rewrite

RECIPE = """
detectors: [{name: shout}]
held_out: [{name: whisper}]
rewriters: [{name: lower}, {name: shuffle, label: another order of the words}]
data: {source: {name: essays}}
"""


class Lower:
    def rewrite(self, texts, n, seed):
        return [[Rewrite(text=text.lower())] * n for text in texts]


def measure(batch):
    return Measurements({"closeness": np.full(len(batch), 0.75)})


@hookimpl
def register_metrics():
    return [
        MetricSpec(
            name="closeness",
            summary="the same of all",
            factory=lambda options, context: measure,
            role="meaning",
            better="higher",
            range=(0.0, 1.0),
        )
    ]


@hookimpl
def register_rewriters():
    return [
        RewriterSpec(name="lower", summary="Small letters", factory=lambda o, c: Lower()),
        RewriterSpec(name="shuffle", summary="Another order", factory=lambda o, c: FakeRewriter()),
    ]


@pytest.fixture
def prl(prl, monkeypatch, tmp_path):
    """The toy command line with rewriters and a recipe in ``toy.yaml``."""
    hooks = {"register_rewriters": register_rewriters, "register_metrics": register_metrics}
    attacks = type("Attacks", (), {name: staticmethod(hook) for name, hook in hooks.items()})
    paraphrase_rl.plugin.registry.default_registry()._entries += Registry(
        Plugins.of(attacks=attacks)
    )._entries
    (tmp_path / "toy.yaml").write_text(RECIPE)
    return prl


@pytest.fixture
def run(prl, tmp_path):
    """A run directory: recipe and calibration."""
    folder = tmp_path / "a run"
    assert prl("calibrate", "--config", "toy.yaml", "--out", folder / "calibration.json").exit_code == 0
    (folder / "recipe.yaml").write_text(dump_recipe(load_recipe(tmp_path / "toy.yaml")))
    return folder


def test_the_table_is_readable_in_80_columns_and_every_figure_has_its_interval(prl):
    result = prl("evaluate", "--config", "toy.yaml", "--out", "out")
    assert result.exit_code == 0, result.stderr
    lines = result.stdout.splitlines()
    assert max(map(len, lines)) <= 80
    # test humans and calibration humans have 0..19 capitals: floor(0.05 * 21) - 1 = 0 of 20 may lie above, so 19;
    # AI texts have 15..34, so 15 of 20 are flagged
    [(before, below), (after, _)] = [
        (line, lines[i + 1])
        for rewriter in ("none ", "lower ")
        for i, line in enumerate(lines)
        if line.startswith(rewriter) and " shout " in line
    ]
    assert before.split()[2:5] == ["0.75", "-", "15"], "the original texts have no attack success rate"
    assert after.split()[2:5] == ["0.00", "1.00", "15"]
    assert below.split("  ")[-1].strip().startswith("[0."), "AUROC needs no threshold, and has an interval"
    assert below.count("(n too small)") == 1, "20 calibration humans are too few for an interval of the TPR"
    assert "AUROC" in next(line for line in lines if line.startswith("rewriter"))
    assert "n too small for 5 %: no intervals at this rate" in " ".join(result.stderr.split())
    assert any(line.startswith("another order of") and "…" in line for line in lines)
    assert any("0.75" in line for line in lines[lines.index("Quality (mean)") :])
    assert any(
        line.startswith("lower") and "toy" in line
        for line in lines[lines.index("Transfer (mean over detectors)") :]
    )
    assert "0 cached" in result.stderr
    assert "wrote out; next: prl report out" in result.stderr


def test_the_second_time_everything_is_cached(prl):
    first = prl("evaluate", "--config", "toy.yaml", "--out", "out")
    second = prl("evaluate", "--config", "toy.yaml", "--out", "out")
    assert second.stdout == first.stdout
    assert "lower: 20 texts, 20 cached" in second.stderr
    assert "score: lower: 20 texts x 2 detectors, 40 of 40 scores cached" in second.stderr


def test_json_is_the_results_and_csv_a_row_a_point(prl, payload, tmp_path):
    found = payload("evaluate", "--config", "toy.yaml", "--out", "out")
    assert found["schema"] == "prl.evaluate"
    kept = Results.read(tmp_path / "out")
    assert found["about"] == json.loads(kept.about.model_dump_json())
    assert len(found["rows"]) == 3 * 3 * 2
    row = next(
        r
        for r in found["rows"]
        if (r["rewriter"], r["detector"], r["target_fpr"]) == ("lower", "shout", 0.05)
    )
    area = kept.cell("lower", "shout").auroc_after
    assert area.low < area.value < area.high
    assert (row["auroc_after_low"], row["auroc_after_high"]) == (area.low, area.high)
    assert (row["tpr_after_high"], row["attack_success_rate_n"]) == (None, 15)
    text = prl("evaluate", "--config", "toy.yaml", "--out", "out", "--format", "csv").stdout
    assert len(list(csv.DictReader(io.StringIO(text)))) == 18


def test_a_run_is_evaluated_with_its_recipe_into_itself(prl, run):
    result = prl("evaluate", run, "--texts", "5", "--samples", "2", "-r", "lower")
    assert result.exit_code == 0, result.stderr
    results = Results.read(run / "evaluation")
    assert (results.about.ai_texts, results.about.samples, results.about.run) == (5, 2, str(run))
    assert [r.label for r in results.rewriters] == ["none", "lower"]
    assert f"next: prl report '{run}'" in result.stderr


def test_rewriters_and_detectors_can_be_named(prl, tmp_path):
    result = prl(
        "evaluate", "--config", "toy.yaml", "--out", "out", "-r", "shuffle", "-r", "lower", "-d", "whisper"
    )
    assert result.exit_code == 0, result.stderr
    results = Results.read(tmp_path / "out")
    assert [r.label for r in results.rewriters] == ["none", "shuffle", "lower"]
    assert [d.name for d in results.detectors] == ["shout", "whisper", "ensemble"]


def test_a_table_of_ones_own_is_evaluated_with_the_columns_that_are_named(prl, payload, tmp_path):
    rows = ["essay,generated,split,note"] + [
        f"{'A' * (i + 10 * ai)}{'a' * 20} {split} {i},{ai},{split},x"
        for split in ("calibration", "train", "test")
        for ai in (0, 1)
        for i in range(12)
    ]
    (tmp_path / "mine.csv").write_text("\n".join([*rows, ",1,test,x"]) + "\n")
    columns = (
        "--text-column",
        "essay",
        "--label-column",
        "generated",
        "-o",
        "label_values={0: human, 1: ai}",
    )
    asked = (
        "evaluate",
        "--config",
        "toy.yaml",
        "--data",
        "mine.csv",
        *columns,
        "--out",
        "out",
        "-r",
        "lower",
    )
    refused = prl(*asked)
    assert (refused.exit_code, "mine.csv:74: the text is empty" in refused.stderr) == (2, True)
    found = payload(*asked, "--bad-rows", "skip")
    assert (found["about"]["source"], found["about"]["ai_texts"]) == ("mine.csv", 12)
    notes = " ".join(found["about"]["notes"])
    assert "1 of 73 rows is left out: mine.csv:74: the text is empty" in notes
    assert "columns of mine.csv that are not used: 'note'" in notes


def test_the_texts_of_a_run_are_its_own(prl, run, tmp_path):
    (tmp_path / "mine.csv").write_text("text,label\nOne.,human\n")
    result = prl("evaluate", run, "--data", "mine.csv")
    assert result.exit_code == 2
    assert "data" in result.stderr


def test_a_cell_without_figures_is_exit_code_1_and_a_line_that_says_why(prl, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    result = prl("evaluate", "--config", "toy.yaml", "--out", "out", "-d", "missing")
    assert result.exit_code == 1
    assert "detector missing: no model at /nowhere; bring it" in result.stdout
    assert any("missing" in line and "20/20" in line for line in result.stdout.splitlines())


def test_ctrl_c_says_how_to_go_on(prl, monkeypatch):
    def interrupted(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr("paraphrase_rl.evaluation.start.evaluate_plan", interrupted)
    monkeypatch.setattr("sys.argv", ["prl", "evaluate", "--config", "toy.yaml", "--out", "my out"])
    result = prl("evaluate", "--config", "toy.yaml", "--out", "my out")
    assert result.exit_code == 130
    assert "continue with: prl evaluate --config toy.yaml --out 'my out'" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "give either a run or a recipe"),
        (["--config", "toy.yaml"], "give the folder to write to"),
        (["nowhere", "--config", "toy.yaml"], "give either a run or a recipe"),
        (["nowhere"], "nowhere is not a run"),
        (["--config", "toy.yaml", "--out", "o", "-r", "lowr"], "did you mean lower?"),
        (["--config", "toy.yaml", "--out", "o", "-d", "whispr"], "did you mean whisper?"),
        (
            ["--config", "toy.yaml", "--out", "o", "--checkpoints", "all"],
            "the checkpoints of a run, and no run is given",
        ),
        (["--config", "toy.yaml", "--out", "o", "--judge-model", "m"], "--judge-url and --judge-model"),
        (["--config", "toy.yaml", "--out", "o", "--set", "held_out=[{name: whispr}]"], ""),
    ],
)
def test_wrong_use_is_one_line_with_a_hint(prl, arguments, message):
    result = prl("evaluate", *arguments)
    if not message:  # a recipe's own unknown detector is a column that says so
        assert result.exit_code == 1
        assert "no detector is called 'whispr'" in result.stdout
        assert "did you mean whisper?" in " ".join(result.stdout.split()), "a reason is shown whole"
        assert max(map(len, result.stdout.splitlines())) <= 80
        return
    assert result.exit_code == 2
    assert message in result.stderr


def test_what_was_trained_cannot_be_changed(prl, run):
    result = prl("evaluate", run, "--set", "calibration.target_fpr=0.2")
    assert result.exit_code == 2
    assert (
        "the recipe of a run is fixed, except for rewriters, held_out, metrics, acceptance" in result.stderr
    )
    assert prl("evaluate", run, "--set", "rewriters=[{name: lower}]", "--set", "held_out=[]").exit_code == 0
    assert [d.name for d in Results.read(run / "evaluation").detectors] == ["shout", "ensemble"]


def test_checkpoints_of_a_run_that_has_none(prl, run):
    result = prl("evaluate", run, "--checkpoints", "all")
    assert result.exit_code == 2
    assert "has no checkpoints" in result.stderr


@pytest.mark.parametrize("device", ["foo", "cuda:99", "cuda:x"])
def test_a_device_that_is_not_there_is_refused_and_earlier_results_stand(prl, tmp_path, device):
    pytest.importorskip("torch")
    assert prl("evaluate", "--config", "toy.yaml", "--out", "out").exit_code == 0
    earlier = (tmp_path / "out" / "results.json").read_text()
    result = prl("evaluate", "--config", "toy.yaml", "--out", "out", "--device", device)
    assert result.exit_code == 2
    assert f"torch has no device '{device}' here" in result.stderr
    assert (tmp_path / "out" / "results.json").read_text() == earlier
