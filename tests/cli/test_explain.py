"""``prl explain`` and ``prl.explain``: text, tables, page; no detector here needs a model."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result

import paraphrase_rl as prl
from paraphrase_rl.cli.main import cli
from paraphrase_rl.errors import DataError, PluginError, UsageError
from paraphrase_rl.plugin import Explanation, Failure, Scores, Share, hookimpl
from paraphrase_rl.plugin.discovery import Plugins
from paraphrase_rl.plugin.registry import Registry
from paraphrase_rl.plugin.specs import Context, DetectorSpec, NoOptions

READ = 60


class Words:
    """Mean of minus the length of words but the first; the rank of a word is 4 to the power of its length."""

    def __init__(self, options: NoOptions, context: Context) -> None:
        pass

    def explain(self, text: str) -> Explanation | Failure:
        words = list(re.finditer(r"\s*\S+", text[:READ]))[1:]
        if not words:
            return Failure(index=0, owner="words", kind="too-short", message="one word")
        shares = tuple(
            Share(w.group(), (w.span(),), -len(w.group().strip()) / len(words), details(w.group().strip()))
            for w in words
        )
        return Explanation(math.fsum(s.value for s in shares), 0.0, shares, words[-1].end(), is_mean=True)

    def score(self, texts: list[str]) -> Scores:
        found = [self.explain(text) for text in texts]
        values = np.array([np.nan if isinstance(f, Failure) else f.score for f in found])
        return Scores(
            values,
            tuple(
                Failure(index=i, owner="words", kind=f.kind, message=f.message)
                for i, f in enumerate(found)
                if isinstance(f, Failure)
            ),
        )

    def provenance(self) -> dict[str, str]:
        return {}


class Wrong(Words):
    """Shares that do not add up."""

    def explain(self, text: str) -> Explanation:
        return Explanation(1.0, 0.0, (), 0, is_mean=True)


class Outside(Words):
    def explain(self, text: str) -> Explanation:
        return Explanation(1.0, 0.0, (Share("x", ((0, 10**6),), 1.0),), 0, is_mean=True)


class Features(Words):
    """A trained detector whose parts are statistics of the whole text."""

    def explain(self, text: str) -> Explanation:
        shares = (Share("mean length", (), 0.75, {"value": 3.5}), Share("commas", (), -0.25, {"value": 0.0}))
        return Explanation(0.75, 0.25, shares, len(text), is_mean=False)

    def score(self, texts: list[str]) -> Scores:
        return Scores(np.full(len(texts), 0.75))


class Silent:
    def __init__(self, options: NoOptions, context: Context) -> None:
        pass

    def score(self, texts: list[str]) -> Scores:
        return Scores(np.zeros(len(texts)))

    def provenance(self) -> dict[str, str]:
        return {}


def details(word: str) -> dict[str, float]:
    return {"rank": 4 ** len(word), "logprob": -float(len(word)), "entropy": 2.0}


class Plugin:
    @staticmethod
    @hookimpl
    def register_detectors() -> list[DetectorSpec]:
        kinds: dict[str, Any] = {
            "words": Words,
            "more": Words,
            "wrong": Wrong,
            "outside": Outside,
            "silent": Silent,
            "features": Features,
        }
        return [DetectorSpec(name=n, summary=n, family="toy", factory=kind) for n, kind in kinds.items()]


@pytest.fixture
def registry(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Registry]:
    registry = Registry(Plugins.of(mine=Plugin))
    monkeypatch.setattr("paraphrase_rl.plugin.registry.default_registry", lambda: registry)
    monkeypatch.setenv("PRL_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    return registry


def run(*arguments: str, code: int = 0) -> Result:
    result = CliRunner().invoke(cli, ["explain", *arguments])
    assert result.exit_code == code, result.output
    return result


TEXT = "The a cat sits where"
"""Lengths 1, 3, 4, 5 behind the first word; ranks 4, 64, 256, 1024."""


def test_tokens_stand_in_brackets_by_their_rank(registry: Registry) -> None:
    shown = run("--text", TEXT, "--detector", "words").stdout
    assert "The a [cat] [[sits]] [[[where]]]" in shown
    assert "words: score -3.25" in shown
    assert re.search(r"^a +2\.25|^a +0\.5625", shown, re.MULTILINE), shown


def test_in_a_terminal_the_tokens_are_coloured(registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    from paraphrase_rl.cli import explanation

    found = prl.explain(TEXT, detectors="words", registry=registry)
    monkeypatch.setattr(explanation, "_colour", lambda: True)
    coloured = list(explanation._marked(TEXT, found.scores[0]))
    assert ("sits", "yellow") in coloured
    assert "".join(text for text, _ in coloured) == TEXT


def test_control_characters_of_a_text_do_not_reach_the_terminal(registry: Registry) -> None:
    shown = run("--text", "The \x1b[2Jcat \x07sits", "--detector", "words").stdout
    assert "\x1b" not in shown
    assert "\x07" not in shown


def test_all_parts_come_as_rows_and_add_up(registry: Registry) -> None:
    found = json.loads(run("--text", TEXT, "--detector", "words", "--format", "json").stdout)
    rows = found["rows"]
    assert [row["part"] for row in rows] == [" a", " cat", " sits", " where"]
    assert math.fsum(row["share"] for row in rows) == pytest.approx(found["scores"][0]["score"], abs=1e-9)
    assert [row["rank"] for row in rows] == [4, 64, 256, 1024]
    assert TEXT[rows[1]["start"] : rows[1]["end"]] == " cat"


def test_detectors_of_one_model_share_a_view_and_each_has_its_table(registry: Registry) -> None:
    shown = run("--text", TEXT, "--detector", "words", "--detector", "more").stdout
    assert shown.count("[[[where]]]") == 1
    assert "words, more see them" in shown
    assert shown.count("towards AI") == 2


def test_what_was_cut_off_is_said(registry: Registry) -> None:
    result = run("--text", "word " * 40, "--detector", "words")
    assert "words read the first 59 of 199 characters; the rest has no influence" in result.stderr
    assert " …" in result.stdout


def test_the_threshold_of_a_calibration_is_neutral(registry: Registry, tmp_path: Path) -> None:
    documents = [
        prl.Document(
            id=f"{label}{i}", text=f"Then {'c' * (9 - i % 4 - 4 * ai)} here", label=label, split="calibration"
        )  # type: ignore[arg-type]
        for ai, label in enumerate(("human", "ai"))
        for i in range(40)
    ]
    calibration = prl.calibrate("words", data=documents, registry=registry)
    found = prl.explain(TEXT, calibration=calibration, registry=registry)
    (score,) = found.scores
    assert score.decision.threshold is not None
    assert math.fsum(row.push for row in found) == pytest.approx(-3.25 - score.decision.threshold, abs=1e-9)
    assert "threshold" in found.title


def test_a_detector_that_cannot_explain_is_refused_by_name_or_left_out(registry: Registry) -> None:
    assert "detector silent" in run("--text", TEXT, "--detector", "silent", code=2).stderr
    documents = [
        prl.Document(
            id=f"{label}{i}", text=f"Then {'c' * (9 - i % 4 - 4 * ai)} here", label=label, split="calibration"
        )  # type: ignore[arg-type]
        for ai, label in enumerate(("human", "ai"))
        for i in range(40)
    ]
    calibration = prl.calibrate(["words", "silent"], data=documents, registry=registry)
    found = prl.explain(TEXT, calibration=calibration, registry=registry)
    assert [score.decision.detector for score in found.scores] == ["words"]
    assert any("silent" in note for note in found.notes)


@pytest.mark.parametrize(("name", "said"), [("wrong", "add up to"), ("outside", "outside of the text")])
def test_a_wrong_explanation_is_the_fault_of_the_plugin(registry: Registry, name: str, said: str) -> None:
    with pytest.raises(PluginError, match=said):
        prl.explain(TEXT, detectors=name, registry=registry)


def test_a_text_without_a_score_says_why(registry: Registry) -> None:
    assert "words: no score: one word" in run("--text", "One", "--detector", "words").stdout


def test_one_text_at_a_time(registry: Registry) -> None:
    with pytest.raises(UsageError, match="several texts"):
        prl.explain(["a", "b"], registry=registry)
    Path("a.txt").write_text("a b c", encoding="utf-8")
    assert "several texts" in run("a.txt", "--text", "b", code=2).stderr


def test_one_text_of_a_table_is_named_by_its_id_and_read_as_everywhere(registry: Registry) -> None:
    rows = ["nr;id;essay", "1;first;The a dog", "2;second;" + TEXT, "3;third;", ""]
    Path("essays.dat").write_text("\n".join(rows), encoding="utf-8")
    table = ("essays.dat", "--input-format", "csv", "--column", "essay", "--detector", "words")
    refused = run(*table, "--id", "second", code=2).stderr
    assert "essays.dat:4: the text is empty" in refused
    assert "--bad-rows skip" in refused
    found = run(*table, "--id", "second", "--bad-rows", "skip", "--format", "json")
    assert json.loads(found.stdout)["text"] == TEXT
    assert "1 of 3 rows is left out" in found.stderr
    assert "several texts" in run(*table, "--bad-rows", "skip", code=2).stderr
    assert "no text has the id 'fourth'" in run(*table, "--bad-rows", "skip", "--id", "fourth", code=2).stderr
    one = prl.explain(
        Path("essays.dat"),
        id="first",
        detectors="words",
        column="essay",
        input_format="csv",
        bad_rows="skip",
        registry=registry,
    )
    assert one.text == "The a dog"
    later = iter(["The a cat", ""])
    with pytest.raises(DataError, match="the text is empty"):
        prl.explain(later, id="text-1", registry=registry)


def test_the_page_holds_text_details_and_legend_and_nothing_of_the_text_is_markup(
    registry: Registry, tmp_path: Path
) -> None:
    page = tmp_path / "page.html"
    text = "The <script>alert(1)</script> cat & sits"
    assert "wrote" in run("--text", text, "--detector", "words", "--html", str(page)).stderr
    html = page.read_text(encoding="utf-8")
    assert "<script" not in html
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in html
    assert 'title="rank 64, log p -3.00, entropy 2.00, words' in html
    for mark in ("plain", "dotted", "dashed", "double"):
        assert f">{mark}</span>" in html
    assert "default-src &#39;none&#39;" in html


def test_features_of_a_whole_text_have_values_and_no_places(registry: Registry, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    ended = run("--text", TEXT, "--detector", "features", "--html", str(page))
    assert "mean length" in ended.stdout
    html = page.read_text(encoding="utf-8")
    assert "N-grams" not in html
    for said in ("mean length", "3.5", "+0.7500", "-0.2500", "value"):
        assert said in html


def test_the_page_and_a_notebook_show_what_was_cut_off(registry: Registry, tmp_path: Path) -> None:
    page, text = tmp_path / "page.html", " ".join(["word"] * 200) + " never read"
    run("--text", text, "--detector", "words", "--html", str(page))
    notebook = prl.explain(text, detectors="words", registry=registry)._repr_html_()
    for html in (page.read_text(encoding="utf-8"), notebook):
        assert 'class="unread"' in html
        assert "never read" in html


def test_a_notebook_shows_the_same_without_a_page(registry: Registry) -> None:
    shown = prl.explain(TEXT, detectors="words", registry=registry)._repr_html_()
    assert shown.startswith('<div class="prl-explain">')
    assert "<html" not in shown
