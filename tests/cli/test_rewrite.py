"""`prl rewrite` through the real command line: what goes in, what comes out, and bad input."""

from __future__ import annotations

import json

import pytest
from paraphrase_rl_plugins.rewriters import policy
from pydantic import Field

from paraphrase_rl.plugin import hookimpl
from paraphrase_rl.plugin.discovery import Plugins
from paraphrase_rl.plugin.registry import Registry
from paraphrase_rl.plugin.specs import BackendSpec, NoOptions, Options, RewriterSpec
from paraphrase_rl.types import Failure, Rewrite
from tests.cli import conftest as toys
from tests.rewriters.fakes import FakePolicy, write_run


class EchoOptions(Options):
    mark: str = "!"
    inside: dict[str, int] = Field(default_factory=dict)


class Echo:
    """Adds a mark, the seed and the sample; LONG is cut, FAIL fails, CRASH crashes."""

    def __init__(self, options, context):
        self.options, self.context = options, context

    def rewrite(self, texts, n, seed):
        if any("CRASH" in text for text in texts):
            raise RuntimeError("boom")
        return [
            Failure(index=i, owner="echo", kind="refused", message="no")
            if text == "FAIL"
            else [
                Rewrite(text=f"{text}{self.options.mark}{seed}{sample}", finished=text != "LONG")
                for sample in range(n)
            ]
            for i, text in enumerate(texts)
        ]


class Judge:
    """Says which detectors it was given."""

    def __init__(self, options, context):
        self.names = "nobody" if context.ensemble is None else ",".join(context.ensemble.names)

    def rewrite(self, texts, n, seed):
        return [[Rewrite(text=self.names)] * n for _ in texts]


class Nowhere:
    def __init__(self, options, context):
        pass

    def policy(self, model, adapter, *, thinking=False):
        return FakePolicy(model, adapter)

    def train(self, session):
        raise NotImplementedError


@hookimpl
def register_rewriters():
    return [
        RewriterSpec(name="echo", summary="Echo", factory=Echo, options=EchoOptions),
        RewriterSpec(name="judge", summary="Names", factory=Judge),
        RewriterSpec(
            name="absent", summary="Needs", factory=Judge, extra="models", modules=("no_such_module",)
        ),
    ]


@hookimpl
def register_backends():
    return [BackendSpec(name="nowhere", summary="pretends", factory=Nowhere, options=PlaceOptions)]


class PlaceOptions(NoOptions):
    place: str = ""


@pytest.fixture(autouse=True)
def _rewriters(prl, monkeypatch):
    """The toys of the other commands, and rewriters beside them."""
    hooks = ("register_detectors", "register_datasets")
    known = type("Toys", (), {name: staticmethod(getattr(toys, name)) for name in hooks})
    mine = type(
        "Mine",
        (),
        {
            "register_rewriters": staticmethod(register_rewriters),
            "register_backends": staticmethod(register_backends),
        },
    )
    registry = Registry(Plugins.of(toys=known, mine=mine, policy=policy))
    monkeypatch.setattr("paraphrase_rl.plugin.registry.default_registry", lambda: registry)


def test_texts_come_in_as_for_score_and_rows_go_out(payload, tmp_path):
    (tmp_path / "a.txt").write_text("From a file")
    shown = payload("rewrite", "echo", "a.txt", "--text", "Given", "-n", "2", "--seed", "7")
    rows = shown.pop("rows")
    assert [(row["id"], row["sample"], row["rewrite"]) for row in rows] == [
        ("text-1", 0, "Given!70"),
        ("text-1", 1, "Given!71"),
        ("a.txt", 0, "From a file!70"),
        ("a.txt", 1, "From a file!71"),
    ]
    assert all(row["finished"] is True and row["failure"] is None for row in rows)
    assert shown == {
        "schema": "prl.rewrite",
        "rewriter": "echo",
        "options": {},
        "seed": 7,
        "left_out": 0,
        "run": None,
        "calibration": None,
    }


def test_standard_input_jsonl_to_jsonl(prl):
    lines = b'{"body": "one"}\n{"body": "two"}\n'
    result = prl(
        "rewrite", "echo", "--input-format", "jsonl", "--column", "body", "--format", "jsonl", stdin=lines
    )
    rows = [json.loads(line) for line in result.stdout.splitlines()]
    assert [row["rewrite"] for row in rows] == ["one!00", "two!00"]


def test_options_are_yaml(payload):
    shown = payload("rewrite", "echo", "--text", "x", "-o", "mark=+", "-o", "inside={a: 1}")
    assert shown["rows"][0]["rewrite"] == "x+00"
    assert shown["options"] == {"mark": "+", "inside": {"a": 1}}


def test_what_fails_is_a_row_that_says_why_and_the_exit_code(prl, payload):
    texts = ["--text", "good", "--text", "FAIL", "--text", " ", "--text", "CRASH", "--text", "last"]
    assert prl("rewrite", "echo", *texts).exit_code == 2, (
        "an empty text is refused, whatever the rewriter would say"
    )
    rows = payload("rewrite", "echo", *texts, "--bad-rows", "skip", code=1)["rows"]
    assert [(row["id"], row["rewrite"]) for row in rows] == [
        ("text-1", "good!00"),
        ("text-2", None),
        ("text-4", None),
        ("text-5", "last!00"),
    ]
    assert [row["failure"] for row in rows[1:3]] == ["refused: no", "crashed: RuntimeError: boom"]
    assert [row["sample"] for row in rows] == [0, None, None, 0]
    said = prl("rewrite", "echo", *texts, "--bad-rows", "skip").stderr
    assert "2 of 4 texts could not be rewritten" in said
    assert "1 of 5 rows is left out: text-3: the text is empty" in said


def test_a_cut_rewrite_is_said(prl):
    result = prl("rewrite", "echo", "--text", "LONG", "--text", "short")
    assert result.exit_code == 0
    assert "1 of 2 rewrites were cut at the token limit" in result.stderr


def test_progress_is_said_on_stderr(prl):
    result = prl(
        "rewrite", "echo", *[part for i in range(20) for part in ("--text", f"t{i}")], "--format", "csv"
    )
    assert "16 of 20 texts" in result.stderr
    assert "20 of 20 texts" in result.stderr
    assert result.stdout.count("\n") == 21
    assert "of 20" not in result.stdout


def test_a_calibration_becomes_the_ensemble(calibrated, payload, tmp_path):
    path = tmp_path / "home" / "calibrations" / "default.json"
    assert payload("rewrite", "judge", "--text", "x")["rows"][0]["rewrite"] == "nobody"
    shown = payload("rewrite", "judge", "--text", "x", "--calibration", path)
    assert shown["rows"][0]["rewrite"] == "shout,whisper"
    assert shown["calibration"] == str(path)


@pytest.fixture
def run(tmp_path):
    return write_run(
        tmp_path / "run",
        backend="nowhere",
        checkpoints=[{"step": 3, "kind": "final", "path": "adapter"}],
    )


def test_a_run_brings_its_policy_and_its_detectors(calibrated, payload, prl, run, tmp_path):
    calibration = (tmp_path / "home" / "calibrations" / "default.json").read_text()
    (run / "calibration.json").write_text(calibration)
    shown = payload("rewrite", "judge", "--text", "x", "--run", run)
    assert (shown["rows"][0]["rewrite"], shown["run"]) == ("shout,whisper", str(run))
    assert payload("rewrite", "policy", "--text", "x", "--run", run)["rows"][0]["rewrite"].startswith("x|0|")
    result = prl("rewrite", "judge", "--text", "x", "--run", run)
    assert "detectors: shout, whisper, as calibrated in" in result.stderr
    assert "options that are not given come from the recipe of the run" in result.stderr


def test_detectors_of_a_run_that_changed_cost_only_those_who_need_them(
    calibrated, payload, prl, run, tmp_path
):
    path = tmp_path / "home" / "calibrations" / "default.json"
    (run / "calibration.json").write_text(path.read_text().replace('"shout": "r1"', '"shout": "r0"'))
    shown = payload("rewrite", "judge", "--text", "x", "--run", run)
    assert (shown["rows"][0]["rewrite"], shown["calibration"]) == ("nobody", None)
    assert (
        "the run's detectors are not used: shout was calibrated"
        in prl("rewrite", "judge", "--text", "x", "--run", run).stderr
    )
    named = prl("rewrite", "judge", "--text", "x", "--calibration", run / "calibration.json")
    assert named.exit_code == 2
    assert "shout was calibrated with another shout" in named.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["ecco", "--text", "x"], "no rewriter is called 'ecco'"),
        (["echo", "--text", "x", "-o", "marc=1"], "unknown option 'marc'"),
        (["echo", "--text", "x", "-o", "mark"], "--option mark: expected KEY=VALUE"),
        (["echo", "--text", "x", "-o", "inside={"], "inside={"),
        (["echo", "--text", "x", "-n", "0"], "-n"),
        (["echo", "nothing.txt"], "no file or folder at 'nothing.txt'"),
        (["echo", "--text", "x", "--run", "no-run"], "no-run is not a run"),
        (["judge", "--text", "x", "--calibration", "none.json"], "no calibration at none.json"),
        (["absent", "--text", "x"], "needs no_such_module, which is not installed"),
        (["policy", "--text", "x"], "the rewriter policy needs a run"),
    ],
)
def test_wrong_use_is_one_line(prl, arguments, message):
    result = prl("rewrite", *arguments)
    assert result.exit_code == 2
    assert message in result.stderr
    assert result.stdout == ""


def test_a_person_sees_the_whole_rewrite(prl):
    long = "word " * 100 + "end"
    result = prl("rewrite", "echo", "--text", long)
    assert result.exit_code == 0, result.stderr
    assert f"{long}!00" in result.stdout
