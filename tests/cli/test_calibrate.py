"""`prl calibrate` and `prl fit` through the real command line."""

import json

import pytest
from click.testing import CliRunner
from scipy import stats

from paraphrase_rl.cli.main import cli


def test_calibrate_shows_what_stands_in_the_file(payload, tmp_path):
    shown = payload(
        "calibrate", "--data", "essays", "--detector", "shout", "--target-fpr", "0.1", "--out", "c.json"
    )
    (row,) = shown["rows"]
    # humans 0.00 to 0.19: floor(0.1 * 21) - 1 = 1 of twenty may lie above 0.18; AI 0.15 to 0.34: sixteen do
    assert row["threshold"] == pytest.approx(0.18)
    assert (row["n_human"], row["n_ai"], row["achieved_fpr"], row["smallest_fpr"]) == (20, 20, 0.05, 1 / 21)
    assert row["tpr_in_sample"] == 16 / 20
    exact = stats.binomtest(1, 20).proportion_ci(0.95, "exact")
    assert (row["fpr_low"], row["fpr_high"]) == pytest.approx((exact.low, exact.high), abs=1e-9)
    # of 400 pairs, AI is below in 4+3+2+1 and equal in 5
    assert row["auroc_test"] == pytest.approx(1 - (10 + 2.5) / 400)
    assert row["auroc_low"] < row["auroc_test"] < row["auroc_high"] < 1.0
    kept = json.loads((tmp_path / "c.json").read_text())
    assert kept["calibrations"][0]["points"][0]["threshold"] == row["threshold"]
    assert [p["target_fpr"] for p in kept["calibrations"][0]["points"]] == [0.1, 0.01, 0.05]
    assert kept["calibrations"][0]["texts"]["source"] == "essays"
    assert kept["calibrations"][0]["provenance"] == {"shout": "r1"}


def test_the_table_shows_every_figure_with_its_interval_in_80_columns(prl):
    result = prl("calibrate", "--data", "essays", "--detector", "shout", "--detector", "whisper")
    assert result.exit_code == 0, result.stderr
    lines = result.stdout.splitlines()
    assert max(map(len, lines)) <= 80
    header = next(line for line in lines if line.startswith("detector"))
    assert {"FPR", "TPR", "AUROC"} <= set(header.split())
    first = next(i for i, line in enumerate(lines) if line.startswith("shout"))
    assert lines[first + 1].count("[") == 3


def test_each_population_has_its_threshold_and_the_deployed_one_counted(prl, tmp_path):
    rows = [
        {"text": "A" * (i + more) + "a" * 30, "label": label, "split": "calibration"}
        for more, label, n in ((0, "human", 30), (20, "ai", 20))
        for i in range(n)
    ]
    for name, some in (("a", rows), ("b", [{**row, "text": row["text"][5:]} for row in rows])):
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in some))
    result = prl("calibrate", "--data", "a.jsonl", "--data", "b.jsonl", "--detector", "shout")
    assert result.exit_code == 0, result.stderr
    lines = result.stdout.splitlines()
    assert max(map(len, lines)) <= 80
    assert sum(line.startswith("shout") for line in lines) == 3, "the deployed threshold, and two alone"
    assert all(
        " of 30" in line
        for line in lines[lines.index("Threshold that each population would have alone") + 4 :]
    )


def test_several_detectors_are_calibrated_together_and_apart(payload, tmp_path):
    shown = payload("calibrate", "--data", "essays", "--detector", "shout", "--detector", "whisper")
    assert [row["detector"] for row in shown["rows"]] == ["shout", "whisper", "ensemble"]
    assert shown["path"] == str(tmp_path / "home" / "calibrations" / "default.json")
    shout, whisper, _ = shown["rows"]
    assert whisper["threshold"] == pytest.approx(2 * shout["threshold"])


def test_a_recipe_gives_detectors_with_their_options(prl, payload, tmp_path):
    (tmp_path / "r.yaml").write_text(
        "detectors:\n- name: shout\n  options: {sign: 3.0}\n- name: whisper\n"
        "calibration: {target_fpr: 0.2}\ndata: {source: {name: essays}}\n"
    )
    rows = payload("calibrate", "--config", "r.yaml")["rows"]
    assert rows[0]["threshold"] == pytest.approx(3 * 0.16)
    alone = payload("calibrate", "--config", "r.yaml", "--detector", "shout")["rows"]
    assert [row["threshold"] for row in alone] == [rows[0]["threshold"]]
    changed = payload("calibrate", "--config", "r.yaml", "--set", "detectors.shout.options.sign=1.0")["rows"]
    assert changed[0]["threshold"] == pytest.approx(0.16)


def test_a_detector_without_power_is_calibrated_with_a_note(prl):
    result = prl(
        "calibrate", "--data", "essays", "--detector", "shout", "--set", "detectors.shout.options.sign=0.0"
    )
    assert result.exit_code == 0
    assert "note: shout: AI texts do not score above human texts here (AUROC 0.500)" in result.stderr


def test_labels_that_look_swapped_overwrite_nothing(prl, tmp_path):
    right, wrong = "{0: human, 1: ai}", "{0: ai, 1: human}"
    lines = [f"{'A' * i + 'a' * (40 - i)},{int(i >= 20)},calibration" for i in range(40)]
    (tmp_path / "t.csv").write_text("\n".join(["text,label,split", *lines]))

    def calibrate(meaning: str, *more: str):
        return prl(
            "calibrate", "--data", "t.csv", "-o", f"label_values={meaning}", "--detector", "shout", *more
        )

    assert calibrate(right).exit_code == 0
    path = tmp_path / "home" / "calibrations" / "default.json"
    before = path.read_bytes()
    refused = calibrate(wrong)
    assert (refused.exit_code, refused.stdout) == (2, "")
    assert (
        "the labels look swapped: texts labelled AI score below those labelled human (AUROC 0.000"
        in refused.stderr
    )
    assert "label_values" in refused.stderr
    assert path.read_bytes() == before
    both = calibrate(wrong, "--detector", "whisper")
    assert (both.exit_code, "0.000 of whisper" in both.stderr) == (2, True)


def test_human_texts_alone_give_thresholds(prl, payload, tmp_path):
    (tmp_path / "h.jsonl").write_text(
        "".join(
            json.dumps({"text": "A" * i + "a" * (30 - i), "label": "human", "split": "calibration"}) + "\n"
            for i in range(20)
        )
    )
    (row,) = payload("calibrate", "--data", "files", "-o", "path=h.jsonl", "--detector", "shout")["rows"]
    assert (row["n_ai"], row["tpr_in_sample"], row["auroc_test"]) == (0, None, None)
    (scored,) = payload("score", "--text", "A" * 30)["rows"]
    assert (scored["p_ai"], scored["verdict"]) == (None, "flagged")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--target-fpr", "0"], "target_fpr"),
        (["--target-fpr", "5"], "target_fpr"),
        (["--target-fpr", "x"], "not a valid float"),
        (["--detector", "shuot"], "no detector is called 'shuot'"),
        (["--data", "esays"], "no data set is called 'esays'"),
        (["--config", "none.yaml"], "none.yaml"),
        (["--detector", "missing"], "no model at /nowhere"),
        (["--out", "/dev/null/c.json"], "cannot write"),
    ],
)
def test_wrong_use_is_one_line_and_a_hint(prl, arguments, message):
    result = prl("calibrate", "--data", "essays", "--detector", "shout", *arguments)
    assert result.exit_code == 2
    assert message in result.stderr
    assert result.stdout == ""


def test_fit_trains_on_the_train_split_alone(payload, tmp_path):
    (row,) = payload("fit", "shout", "--data", "essays", "--out", "here")["rows"]
    assert row == {"detector": "shout", "folder": "here", "n_human": 20, "n_ai": 20}
    assert json.loads((tmp_path / "here" / "fitted.json").read_text()) == {"splits": ["train"], "n": 40}


def test_fit_writes_where_the_detector_loads_from(payload, tmp_path):
    (row,) = payload("fit", "shout", "--data", "essays")["rows"]
    assert row["folder"] == str(tmp_path / "home" / "detectors" / "shout")
    (row,) = payload(
        "fit", "shout", "--data", "essays", "--set", f"detectors.shout.options.folder={tmp_path}/mine"
    )["rows"]
    assert row["folder"] == f"{tmp_path}/mine"
    assert (tmp_path / "mine" / "fitted.json").exists()


@pytest.mark.parametrize(
    ("arguments", "message", "hint"),
    [
        (["whisper", "--data", "essays"], "needs no training", "trainable detectors: shout"),
        (["shuot", "--data", "essays"], "no detector is called 'shuot'", "shout"),
        (
            ["shout", "--data", "essays", "--set", "detectors.shout.options.x=1"],
            "unknown option 'x'",
            "options:",
        ),
        (["shout", "--data", "essays", "--out", "/dev/null/x"], "/dev/null/x", ""),
    ],
)
def test_wrong_use_of_fit(prl, arguments, message, hint):
    result = prl("fit", *arguments)
    assert result.exit_code == 2
    assert message in result.stderr
    assert hint in result.stderr


def test_from_the_starter_texts_to_a_verdict_with_what_is_installed(monkeypatch, tmp_path):
    """Human texts against those of a language model: tf-idf tells them apart on texts not seen."""
    monkeypatch.setenv("PRL_HOME", str(tmp_path))

    def prl(*arguments):
        result = CliRunner().invoke(cli, [*arguments, "--format", "json"])
        assert result.exit_code == 0, result.output
        return json.loads(result.stdout)["rows"]

    (fitted,) = prl("fit", "tfidf", "--data", "starter")
    assert fitted["folder"] == str(tmp_path / "detectors" / "tfidf")
    (row,) = prl("calibrate", "--detector", "tfidf")
    assert row["auroc_test"] > 0.9
    assert 0.5 < row["auroc_low"] < row["auroc_test"] <= row["auroc_high"]
    assert row["achieved_fpr"] <= 0.05
    repeated = "The council voted on the new bridge. " * 20
    assert prl("score", "--text", repeated)[0]["no_verdict"] == (
        "outside: repeated words unlike that of the calibration's texts"
    )
    (scored,) = prl("score", "--force", "--text", repeated)
    assert scored["detector"] == "tfidf"
    assert scored["verdict"] in ("flagged", "not flagged")
    prl("fit", "tfidf", "--data", "starter", "--set", "detectors.tfidf.options.word_features=500")
    stale = CliRunner().invoke(cli, ["score", "--text", "The council voted."])
    assert stale.exit_code == 2
    assert "tfidf was calibrated with another tfidf" in stale.stderr


def test_a_check_says_what_a_calibration_of_the_recipe_found(prl, tmp_path):
    (tmp_path / "r.yaml").write_text("detectors: [{name: shout}]\ndata: {source: {name: essays}}\n")
    before = prl("check", "--config", "r.yaml")
    assert "PRL131" in before.stdout
    assert "PRL127" not in before.stdout
    assert prl("calibrate", "--config", "r.yaml").exit_code == 0
    after = prl("check", "--config", "r.yaml")
    # humans 0.00 to 0.19, none of whom may be flagged at 5 %; AI 0.15 to 0.34: fifteen of twenty are
    assert "shout 75.0 % [50.9, 91.3]" in " ".join(after.stdout.split())
    assert "PRL131" not in after.stdout
