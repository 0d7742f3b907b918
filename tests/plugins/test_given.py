"""Components without packaging: a Python file, a function in a file, a function in Python."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import paraphrase_rl as prl
from paraphrase_rl.errors import PluginError
from paraphrase_rl.plugin.given import VARIABLE, file_plugin, given_plugins, is_file_reference, kebab
from paraphrase_rl.plugin.registry import Registry, default_registry
from paraphrase_rl.plugin.specs import NAME

FUNCTIONS = """
def shouting(texts):
    "Share of capitals."
    return [sum(c.isupper() for c in t) / len(t) for t in texts]

def odd_ones(texts):
    return [None if "?" in t else float("nan") if "!" in t else 1.0 for t in texts]

def short(texts):
    return [1.0]

def words(texts):
    return ["one" for _ in texts]

def crash(texts):
    raise RuntimeError("boom")

NOT_A_FUNCTION = 3
"""
REWRITER = """
from paraphrase_rl.plugin import Rewrite, RewriterSpec, hookimpl

class Up:
    def __init__(self, options, context):
        pass

    def rewrite(self, texts, n, seed):
        return [[Rewrite(text=text.upper(), finished=True)] * n for text in texts]

@hookimpl
def register_rewriters():
    return [RewriterSpec(name="up", summary="Upper case", factory=Up)]
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    (tmp_path / "mine.py").write_text(FUNCTIONS, encoding="utf-8")
    (tmp_path / "up.py").write_text(REWRITER, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv(VARIABLE, raising=False)
    yield tmp_path
    default_registry.cache_clear()


def command(*arguments: str, code: int = 0) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [sys.executable, "-m", "paraphrase_rl", *arguments],
        capture_output=True,
        text=True,
        env={**os.environ},
    )
    assert done.returncode == code, done.stderr
    return done


def scored(registry: Registry, name: str, *texts: str) -> list[float]:
    return registry.build("detectors", name).score(list(texts)).values.tolist()


def essays() -> list[prl.Document]:
    """Calibration texts; the AI ones have more capitals."""
    return [
        prl.Document(
            id=f"{label}-{i}",
            text="word " * 9 + "X" * (i % 7 + 8 * ai),
            label=label,  # type: ignore[arg-type]
            split="calibration",
        )
        for ai, label in enumerate(("human", "ai"))
        for i in range(30)
    ]


def test_a_function_of_a_file_is_a_detector(folder: Path) -> None:
    registry = prl.load_registry("mine.py:shouting")
    assert scored(registry, "shouting", "Ab", "abcd") == [0.5, 0.0]
    spec = registry.spec("detectors", "shouting")
    assert (spec.summary, spec.family) == ("Share of capitals.", "function")


def test_a_file_is_a_plugin_with_any_component(folder: Path) -> None:
    rewriter = prl.load_registry(folder / "up.py").build("rewriters", "up")
    ((rewrite,),) = rewriter.rewrite(["low"], 1, 0)  # type: ignore[misc]
    assert rewrite.text == "LOW"


def test_the_command_takes_functions_and_files(folder: Path) -> None:
    rows = json.loads(
        command("score", "--text", "Ab", "--detector", "mine.py:odd_ones", "--format", "json").stdout
    )
    assert [(row["detector"], row["score"]) for row in rows["rows"]] == [("odd-ones", 1.0)]
    up = command("rewrite", "up", "--text", "low", "--plugin", "up.py", "--format", "json")
    assert json.loads(up.stdout)["rows"][0]["rewrite"] == "LOW"
    assert "up.py" not in os.environ.get(VARIABLE, "")
    listed = command("plugins", "rewriters", "--plugin", "up.py", "--format", "jsonl").stdout
    assert "up" in [json.loads(line)["name"] for line in listed.splitlines()]


def test_a_function_has_a_score_or_a_failure_for_each_text(folder: Path) -> None:
    scores = prl.load_registry("mine.py:odd_ones").build("detectors", "odd-ones").score(["a", "b?", "c!"])
    assert scores.values[0] == 1.0
    assert [failure.index for failure in scores.failures] == [1, 2]


@pytest.mark.parametrize("function", ["short", "words"])
def test_what_is_not_a_number_a_text_is_the_fault_of_the_function(folder: Path, function: str) -> None:
    with pytest.raises(PluginError, match=function):
        scored(prl.load_registry(f"mine.py:{function}"), function, "a", "b")


def test_a_function_that_crashes_is_named(folder: Path) -> None:
    shown = command("score", "--text", "a", "--detector", "mine.py:crash", "--format", "json", code=1).stdout
    assert "boom" in json.loads(shown)["rows"][0]["failure"]


@pytest.mark.parametrize(
    ("reference", "said"),
    [
        ("nowhere.py", "cannot read the plug-in nowhere.py"),
        ("mine.py:nothing", "no function 'nothing'"),
        ("mine.py:NOT_A_FUNCTION", "no function 'NOT_A_FUNCTION'"),
        ("mine.py", "implements no hook"),
        ("mine.txt", "is not a Python file"),
        ("broken.py", "SyntaxError"),
    ],
)
def test_a_file_that_cannot_be_used_is_an_error_that_names_it(
    folder: Path, reference: str, said: str
) -> None:
    Path("broken.py").write_text("def", encoding="utf-8")
    with pytest.raises(PluginError, match=reference) as raised:
        prl.load_registry(reference)
    assert said in str(raised.value)


def test_a_calibration_is_refused_when_the_function_has_changed(folder: Path) -> None:
    registry = prl.load_registry("mine.py:shouting")
    found = prl.calibrate("shouting", data=essays(), registry=registry, out="c.json")
    assert prl.score("WORDS", calibration=found, registry=registry, force=True).rows[0].verdict == "flagged"
    Path("mine.py").write_text(FUNCTIONS.replace("len(t)", "(1 + len(t))"), encoding="utf-8")
    with pytest.raises(prl.PrlError, match="shouting"):
        prl.score("WORDS", calibration="c.json", registry=prl.load_registry("mine.py:shouting"))


def test_a_calibration_loads_no_file(folder: Path) -> None:
    """A file of somebody else must not run code."""
    prl.calibrate("shouting", data=essays(), registry=prl.load_registry("mine.py:shouting"), out="c.json")
    assert (
        "no detector is called 'shouting'"
        in command("score", "--text", "a", "--calibration", "c.json", code=2).stderr
    )
    command("score", "--text", "a b c", "--calibration", "c.json", "--detector", "mine.py:shouting")


def test_a_function_in_python_is_a_detector_of_a_verb() -> None:
    length = prl.detector(lambda texts: [len(text) for text in texts], name="length")
    assert [row.score for row in prl.score(["ab", "abc"], detectors=[length])] == [2.0, 3.0]
    fewest = prl.detector(len_of, direction="lower")
    assert [(row.detector, row.score) for row in prl.score(["ab"], detectors=fewest)] == [("len-of", -2.0)]


def len_of(texts: list[str]) -> np.ndarray:
    return np.array([len(text) for text in texts])


@pytest.mark.parametrize(
    ("function", "name", "said"),
    [
        (3, None, "not a function"),
        (len, "Not Kebab", "kebab-case"),
        (lambda texts: texts, None, "kebab-case|lambda"),
    ],
)
def test_what_cannot_be_a_detector_is_refused(function: object, name: str | None, said: str) -> None:
    if name is None and callable(function):
        assert prl.detector(function).name == "lambda"  # a name, if a poor one
        return
    with pytest.raises(PluginError, match=said):
        prl.detector(function, name=name)  # type: ignore[arg-type]


def test_the_name_of_another_detector_is_refused() -> None:
    with pytest.raises(PluginError, match="there is a detector 'tfidf' already"):
        prl.score("a", detectors=prl.detector(len, name="tfidf"))


def test_files_named_in_the_environment_are_loaded_once_each() -> None:
    Path_ = Path(__file__)
    found = given_plugins({VARIABLE: f" {Path_} ,,{Path_}"})
    assert [(plugin.name, plugin.is_file, plugin.bundled) for plugin in found] == [
        ("test_given", True, False)
    ]
    assert given_plugins({}) == []


def test_the_version_of_a_file_is_its_digest(folder: Path) -> None:
    before = file_plugin("mine.py").version
    Path("mine.py").write_text(FUNCTIONS + "\n", encoding="utf-8")
    assert file_plugin("mine.py").version != before


@pytest.mark.parametrize(
    ("reference", "is_file"),
    [
        ("mine.py", True),
        ("a folder/mine.py:score_it", True),
        (".py", False),
        ("mine.pyc", False),
        ("log-likelihood", False),
        ("other/log-likelihood", False),
        ("mine.py:", False),
        ("mine:score", False),
    ],
)
def test_what_is_a_file_reference(reference: str, is_file: bool) -> None:
    assert is_file_reference(reference) is is_file


@given(st.text(max_size=20))
def test_a_component_name_is_kebab_case(text: str) -> None:
    assert kebab(text) == kebab(kebab(text))
    assert not kebab(text) or NAME.fullmatch(kebab(text))
