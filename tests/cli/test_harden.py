"""`prl harden` through the real command line, with tf-idf and rewriters of characters on a small file."""

from __future__ import annotations

import json
import random

import pytest
from click.testing import CliRunner

from paraphrase_rl.cli.main import cli

HUMAN = [
    "mate",
    "reckon",
    "couldn't",
    "mum",
    "footy",
    "yesterday",
    "ground",
    "bus",
    "queue",
    "rain",
    "kids",
    "shop",
    "mud",
    "dog",
    "road",
    "match",
]
AI = [
    "moreover",
    "landscape",
    "underscores",
    "fostering",
    "innovation",
    "diverse",
    "communities",
    "initiative",
    "commitment",
    "broader",
]
SHARED = [
    "the",
    "a",
    "of",
    "and",
    "to",
    "in",
    "was",
    "for",
    "on",
    "with",
    "it",
    "at",
    "from",
    "by",
    "they",
    "as",
    "story",
    "town",
    "people",
    "week",
    "water",
]


@pytest.fixture(scope="module")
def essays(tmp_path_factory):
    """30 human and 15 AI texts a split, of words of their own and shared ones."""
    rng = random.Random(0)
    rows = [
        {
            "id": f"{split}-{label}-{i}",
            "text": " ".join(rng.choices([*SHARED, *words], k=40)),
            "label": label,
            "split": split,
            "group": rng.choice(["native", "non-native"]) if label == "human" else None,
        }
        for split in ("calibration", "train", "test")
        for label, words, n in (("human", HUMAN, 30), ("ai", AI, 15))
        for i in range(n)
    ]
    path = tmp_path_factory.mktemp("essays") / "essays.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.fixture
def harden(essays, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)

    def run(*arguments, code=0, data=("--data", "files", "-o", f"path={essays}")):
        result = CliRunner().invoke(cli, ["harden", *arguments, *data, "--set", "calibration.target_fpr=0.1"])
        assert result.exit_code == code, result.stderr
        assert "Traceback" not in result.output
        return result

    return run


def test_before_and_after_and_a_detector_that_scores(harden, tmp_path):
    shown = harden("tfidf", "--on", "homoglyph", "--against", "upper-lower", "--format", "json")
    payload = json.loads(shown.stdout)
    out = tmp_path / "hardened" / "tfidf"
    assert payload["path"] == str(out.relative_to(tmp_path) / "results.json")
    assert payload["trained_on"]["rewrites"] == {"homoglyph": 15}
    rows = {row["texts"]: row for row in payload["rows"]}
    assert [(name, row["met"]) for name, row in rows.items()][:3] == [
        ("AI, none", "original"),
        ("AI, homoglyph", "seen"),
        ("AI, upper-lower", "unseen"),
    ]
    assert rows["AI, homoglyph"]["auroc_after"] >= rows["AI, homoglyph"]["auroc_before"]
    assert {"human, none, all", "human, homoglyph, native", "gap, none, non-native - native"} <= set(rows)
    for name, row in rows.items():
        assert row["change"] == pytest.approx(row["after"] - row["before"])
        if name.startswith("human"):
            assert row["before_low"] <= row["before"] <= row["before_high"]
        if name.startswith("AI"):
            assert row["auroc_before_low"] <= row["auroc_before"] <= row["auroc_before_high"]
            assert row["auroc_change_low"] <= row["auroc_change"] <= row["auroc_change_high"]
    assert "trained on 30 human texts, 15 AI texts and rewrites of these: 15 with homoglyph" in shown.stderr
    assert sorted(p.name for p in out.iterdir() if p.name != ".lock") == [
        "before",
        "cache",
        "calibration.json",
        "detector",
        "results.json",
    ]
    scored = CliRunner().invoke(
        cli,
        # all texts in one are longer than any that the calibration knows
        [
            "score",
            "--text",
            " ".join(AI),
            "--calibration",
            str(out / "calibration.json"),
            "--format",
            "json",
            "--force",
        ],
    )
    assert scored.exit_code == 0, scored.stderr
    assert [(row["detector"], row["verdict"]) for row in json.loads(scored.stdout)["rows"]] == [
        ("tfidf", "flagged")
    ]
    again = harden("tfidf", "--on", "homoglyph", "--against", "upper-lower", code=2)
    assert "already holds results" in again.stderr


def test_the_recipes_other_rewriters_are_the_unseen_ones(harden, tmp_path):
    attacks = (
        "[{name: homoglyph}, {name: policy}, {name: upper-lower, label: capitals, options: {rate: 0.5}},"
        " {name: sanitise, options: {after: {name: homoglyph}}}]"
    )
    shown = harden(
        "tfidf", "--on", "homoglyph", "--texts", "4", "--out", "here", "--set", f"rewriters={attacks}"
    )
    kept = json.loads((tmp_path / "here" / "results.json").read_text())
    assert [(row["rewriter"], row["met"]) for row in kept["defence"]] == [
        ("none", "original"),
        ("homoglyph", "seen"),
        ("capitals", "unseen"),
    ]
    assert kept["trained_on"]["rewrites"] == {"homoglyph": 4}
    assert {row["texts"] for row in kept["defence"]} == {4}
    lines = shown.stdout.splitlines()
    assert max(map(len, lines)) <= 80
    assert "also:" not in shown.stdout
    assert sum(line.startswith("AI, capitals (unseen)") for line in lines) == 2, "share flagged, and AUROC"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["log-rank", "--on", "homoglyph"], "trainable detectors: tfidf"),
        (["tfidf"], "give one with --on: "),
        (["tfidf", "--on", "homoglyph", "--against", "homoglyph"], "cannot be both trained on and unseen"),
        (["tfidf", "--on", "homoglyf"], "did you mean homoglyph"),
        (["tfidf", "nowhere", "--on", "homoglyph"], "nowhere is not a run"),
        (["tfidf", "--on", "homoglyph", "--against", "policy"], "hint: give the run after the detector"),
    ],
)
def test_wrong_use_is_explained(harden, tmp_path, arguments, message):
    assert message in harden(*arguments, code=2).stderr
    assert not list(tmp_path.iterdir())
