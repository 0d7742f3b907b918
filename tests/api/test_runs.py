"""The verbs about runs, on a tiny model: what they return, what they write, and how they say no."""

from __future__ import annotations

import json
import pickle
import shutil
import signal
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from paraphrase_rl_plugins.backends import trl_backend
from paraphrase_rl_plugins.datasets import files
from paraphrase_rl_plugins.detectors import tfidf
from paraphrase_rl_plugins.rewards import detector_evasion
from paraphrase_rl_plugins.rewriters import homoglyph, policy, whitespace

import paraphrase_rl as prl
from paraphrase_rl.errors import (
    CostError,
    EvaluationError,
    PluginError,
    PrlError,
    RecipeError,
    RunError,
    UsageError,
)
from paraphrase_rl.files import read_jsonl, write_jsonl
from paraphrase_rl.plugin.discovery import Plugins
from paraphrase_rl.plugin.registry import Registry
from paraphrase_rl.progress import Progress
from paraphrase_rl.recipe.loading import load_recipe
from tests.tiny_model import save_tiny_model
from tests.training.cases import numbers, write_recipe, write_texts
from tests.training.third_party import acme_training

SHORT: Mapping[str, Any] = {"training.max_steps": 2, "evaluation.every": 1000, "checkpoints.every": 1}
STEPS: Mapping[str, Any] = {"training.max_steps": 3, "evaluation.every": 1000, "checkpoints.every": 1}


@pytest.fixture(scope="module")
def registry() -> Registry:
    modules = (trl_backend, files, tfidf, detector_evasion, homoglyph, policy, whitespace)
    named = {module.__name__.rpartition(".")[2]: module for module in modules}
    return Registry(Plugins.of(acme=acme_training, **named))


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("case")
    model = save_tiny_model(tmp_path_factory.mktemp("tiny-llama"))
    data = write_texts(folder / "texts.jsonl")
    rewriters = [{"name": "policy"}, {"name": "homoglyph"}, {"name": "whitespace"}]
    return write_recipe(folder, model, data, rewriters=rewriters, held_out=[])


@pytest.fixture(scope="module")
def trained(recipe: Path, registry: Registry, tmp_path_factory: pytest.TempPathFactory) -> prl.Run:
    """A run of two steps. Read it only."""
    out = tmp_path_factory.mktemp("runs") / "a"
    return prl.train(recipe, out=out, set=SHORT, device="cpu", registry=registry)


@pytest.fixture(autouse=True)
def elsewhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No verb reaches the default registry, or the real cache."""

    def no_default() -> Registry:
        raise AssertionError("the verb asked for the default registry though one was given")

    monkeypatch.setattr("paraphrase_rl.plugin.registry.default_registry", no_default)
    monkeypatch.setenv("PRL_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)


def said(lines: list[Progress]) -> str:
    return "\n".join(line.message for line in lines)


def test_a_run_that_was_returned_is_the_run_in_its_folder(trained: prl.Run) -> None:
    again = prl.Run(str(trained.folder))
    assert again == trained == prl.Run(trained)
    assert hash(again) == hash(trained)
    assert pickle.loads(pickle.dumps(trained)) == trained
    assert repr(again) == repr(trained)
    assert again.status == "completed"
    assert again.recipe == trained.recipe
    assert again.recipe.training.max_steps == 2


def test_a_run_says_what_its_files_say(trained: prl.Run) -> None:
    rows = read_jsonl(trained.folder / "metrics.jsonl")
    assert [dict(row) for row in trained.metrics] == [{"step": row["step"], **row["metrics"]} for row in rows]
    frame = trained.metrics.to_pandas()
    assert list(frame["step"]) == [1, 2]
    assert frame["reward_mean"].tolist() == [row["metrics"]["reward_mean"] for row in rows]
    assert [row["step"] for row in trained.evaluations] == [0, 2]
    samples = read_jsonl(trained.folder / "samples.jsonl")
    assert [sample.rewrite for sample in trained.samples] == [row["rewrite"] for row in samples]
    assert {sample.kind for sample in trained.samples} == {"training", "evaluation"}
    assert [(row.step, row.final) for row in trained.checkpoints] == [(1, False), (2, False), (2, True)]
    assert trained.summary.last_step == 2
    assert {row.term for row in trained.summary} >= {"reward_mean", "consonants_reward"}
    shown = repr(trained)
    assert "completed, step 2 of 2" in shown
    assert "reward_mean" in shown
    assert max(map(len, shown.splitlines())) <= 120
    assert "<table>" in trained._repr_html_()


def test_a_folder_without_a_run_is_said(tmp_path: Path) -> None:
    run = prl.Run(tmp_path / "typo")
    assert "typo is not a run" in repr(run)
    assert "typo is not a run" in run._repr_html_()
    for read in ("status", "recipe", "metrics", "samples", "checkpoints", "summary"):
        with pytest.raises(RunError):
            getattr(run, read)


def test_a_stop_after_the_first_step_resumes_to_the_same_numbers(
    recipe: Path, registry: Registry, tmp_path: Path
) -> None:
    unbroken = prl.train(recipe, out="whole", set=STEPS, device="cpu", registry=registry)
    asked: list[int] = []

    def stop() -> bool:
        asked.append(1)
        return True

    run = prl.train(recipe, out="run", set=STEPS, device="cpu", registry=registry, stop_requested=stop)
    assert asked
    assert run.status == "interrupted"
    assert [row["step"] for row in run.metrics] == [1]
    resumed = prl.train(resume=run, device="cpu", registry=registry)
    assert resumed == run
    assert run.status == "completed"
    assert numbers(tmp_path / "run") == numbers(unbroken.folder)
    before = (tmp_path / "run" / "events.jsonl").read_bytes()
    lines: list[Progress] = []
    assert prl.train(resume="run", registry=registry, progress=lines.append).status == "completed"
    assert "is already complete" in said(lines)
    assert (tmp_path / "run" / "events.jsonl").read_bytes() == before


def test_evaluations_are_of_texts_of_every_kind(
    registry: Registry, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """The data lists all stories before all news; a resumed run keeps the texts of its first evaluation."""
    given = [json.loads(line) for line in write_texts(tmp_path / "texts.jsonl").open()]
    rows = [
        row | {"id": f"{kind}{i}", "text": f"{row['text']} {kind}", "pair": f"{kind}-{row['pair']}"}
        for kind in ("story", "news")
        for i, row in enumerate(given)
    ]
    data = tmp_path / "kinds.jsonl"
    data.write_text("".join(json.dumps(row) + "\n" for row in rows))
    recipe = write_recipe(
        tmp_path,
        save_tiny_model(tmp_path_factory.mktemp("tiny-llama")),
        data,
        evaluation={"every": 1000, "prompts": 2},
    )

    run = prl.train(recipe, out="a", set=STEPS, stop_requested=lambda: True, device="cpu", registry=registry)
    evaluations = read_jsonl(run.folder / "evaluations.jsonl")
    assert sorted(id.rstrip("0123456789") for id in evaluations[0]["prompts"]) == ["news", "story"]
    # as an earlier version, which took the first texts, began the run
    first = [row["id"] for row in rows if (row["split"], row["label"]) == ("test", "ai")][:2]
    earlier = [row | {"prompts": dict.fromkeys(first, 0.5)} for row in evaluations]
    write_jsonl(run.folder / "evaluations.jsonl", earlier)
    prl.train(resume=run, device="cpu", registry=registry)
    assert [(row["step"], set(row["prompts"])) for row in read_jsonl(run.folder / "evaluations.jsonl")] == [
        (0, set(first)),
        (3, set(first)),
    ]


def test_nothing_is_printed_and_progress_counts_the_steps(
    recipe: Path, registry: Registry, capfd: pytest.CaptureFixture[str]
) -> None:
    lines: list[Progress] = []
    handler = signal.getsignal(signal.SIGINT)
    run = prl.train(recipe, out="run", set=SHORT, device="cpu", registry=registry, progress=lines.append)
    assert signal.getsignal(signal.SIGINT) is handler
    assert [(line.done, line.total) for line in lines if line.done is not None] == [(1, 2), (2, 2)]
    assert said(lines).startswith("calibrating vowels on held-out texts of")
    prl.validate(run)
    prl.report(run)
    prl.export(run, registry=registry)
    streams = capfd.readouterr()
    assert (streams.out, streams.err) == ("", "")


def test_a_run_killed_after_its_final_adapter_is_complete_once_resumed(
    trained: prl.Run, registry: Registry
) -> None:
    run = prl.Run(shutil.copytree(trained.folder, "run"))
    events = run.folder / "events.jsonl"
    rows = events.read_text().splitlines(keepends=True)
    events.write_text("".join(rows[:-1]))
    assert run.status == "killed"
    assert prl.train(resume=run, device="cpu", registry=registry).status == "completed"


def explode(line: Progress | None = None) -> bool:
    if line is None or line.done == 1:
        raise ZeroDivisionError("mine")
    return False


@pytest.mark.parametrize("callback", ["progress", "stop_requested"])
def test_an_exception_of_the_callers_is_no_fault_of_the_backend(
    recipe: Path, registry: Registry, callback: str
) -> None:
    with pytest.raises(ZeroDivisionError, match="mine"):
        prl.train(recipe, out="run", set=SHORT, device="cpu", registry=registry, **{callback: explode})  # type: ignore[arg-type]
    run = prl.Run("run")
    assert run.status == "failed"
    assert prl.train(resume=run, device="cpu", registry=registry).status == "completed"


def test_a_recipe_is_a_path_a_loaded_recipe_or_a_recipe(
    recipe: Path, registry: Registry, trained: prl.Run
) -> None:
    loaded = load_recipe(recipe, SHORT)
    for i, given in enumerate((loaded, loaded.recipe)):
        run = prl.train(given, out=f"run{i}", device="cpu", registry=registry)
        assert run.recipe == trained.recipe
        assert numbers(run.folder)["metrics"] == numbers(trained.folder)["metrics"]


def test_check_finds_what_train_refuses(recipe: Path, registry: Registry) -> None:
    findings = prl.check(recipe, set=SHORT, registry=registry)
    assert findings.ok
    assert next(row.evidence for row in findings if row.name == "rollouts") == "6 per step, 12 in all"
    assert findings.to_pandas()["severity"].isin(["ok", "note", "warning"]).all()
    wrong = {"training.batch_size": 7, "rewards": [{"name": "consonants", "weight": 0.0}]}
    found = prl.check(recipe, set=wrong, registry=registry)
    assert not found.ok
    assert f"on trl: {found.counts}" in " ".join(repr(found).split())
    severities = [row.severity for row in found]
    assert severities == sorted(severities, key=["error", "warning", "note", "ok"].index), "the worst first"
    with pytest.raises(RecipeError, match="2 things keep this run from starting") as caught:
        prl.train(recipe, out="run", set=wrong, registry=registry)
    told = [f"- {row.one_line}" for row in found if row.severity == "error"]
    assert caught.value.__notes__ == told
    assert not Path("run").exists()


Call = Callable[[Path, Registry, prl.Run], object]
REFUSED: dict[str, tuple[Call, type[PrlError], str]] = {
    "nothing": (lambda recipe, registry, run: prl.train(registry=registry), UsageError, "nothing to train"),
    "both": (
        lambda recipe, registry, run: prl.train(recipe, resume=run, registry=registry),
        UsageError,
        "keeps its recipe, backend and directory",
    ),
    "set with resume": (
        lambda recipe, registry, run: prl.train(resume=run, set={"training.seed": 1}, registry=registry),
        UsageError,
        "training.seed cannot change in a run that has begun",
    ),
    "no run to resume": (
        lambda recipe, registry, run: prl.train(resume="nowhere", registry=registry),
        RunError,
        "nowhere is not a run",
    ),
    "taken": (
        lambda recipe, registry, run: prl.train(recipe, out=run.folder, registry=registry),
        RunError,
        "already holds a run",
    ),
    "no recipe": (
        lambda recipe, registry, run: prl.train("quickstrat", registry=registry),
        RecipeError,
        "no recipe at quickstrat",
    ),
    "unknown key": (
        lambda recipe, registry, run: prl.train(recipe, set={"training.epoch": 1}, registry=registry),
        RecipeError,
        "epoch",
    ),
    "no backend": (
        lambda recipe, registry, run: prl.train(recipe, backend="tlr", registry=registry),
        PluginError,
        "tlr",
    ),
    "no device": (
        lambda recipe, registry, run: prl.train(recipe, device="cuda:99", registry=registry),
        UsageError,
        "cuda:99",
    ),
    "cost unknown": (
        lambda recipe, registry, run: prl.train(recipe, max_cost=1.0, registry=registry),
        CostError,
        "the cost limit of 1",
    ),
    "options": (
        lambda recipe, registry, run: prl.train(recipe, backend_options=["a"], registry=registry),  # type: ignore[arg-type]
        UsageError,
        "backend_options",
    ),
    "evaluation without a folder": (
        lambda recipe, registry, run: prl.evaluate(recipe, registry=registry),
        UsageError,
        "no folder is given for the results",
    ),
    "too few texts": (
        lambda recipe, registry, run: prl.evaluate(run, texts=1, registry=registry),
        PrlError,
        "texts",
    ),
    "no such rewriter": (
        lambda recipe, registry, run: prl.evaluate(run, rewriters=["homoglyf"], registry=registry),
        PluginError,
        "homoglyf",
    ),
    "what was trained": (
        lambda recipe, registry, run: prl.evaluate(run, set={"training.seed": 3}, registry=registry),
        UsageError,
        "training.seed cannot be set",
    ),
    "checkpoints of a recipe": (
        lambda recipe, registry, run: prl.evaluate(recipe, out="o", every_checkpoint=True, registry=registry),
        UsageError,
        "every_checkpoint evaluates the checkpoints of a run",
    ),
    "no bound": (
        lambda recipe, registry, run: prl.validate(run, set={"training.seed": 3}),
        UsageError,
        "training.seed cannot be set",
    ),
    "no checkpoint": (
        lambda recipe, registry, run: prl.validate(run, checkpoint=99),
        RunError,
        "no checkpoint of step 99",
    ),
    "not trainable": (
        lambda recipe, registry, run: prl.harden("vowels", on="homoglyph", recipe=recipe, registry=registry),
        UsageError,
        "vowels",
    ),
    "nothing to harden on": (
        lambda recipe, registry, run: prl.harden("tfidf", on=[], recipe=recipe, registry=registry),
        UsageError,
        "needs a rewriter",
    ),
    "policy of no run": (
        lambda recipe, registry, run: prl.harden("tfidf", on="policy", recipe=recipe, registry=registry),
        UsageError,
        "is trained by a run, and no run is given",
    ),
    "report on nothing": (lambda recipe, registry, run: prl.report("nowhere"), RunError, "neither a run"),
    "export of nothing": (
        lambda recipe, registry, run: prl.export(run, checkpoint=99, registry=registry),
        RunError,
        "no checkpoint of step 99",
    ),
    "export over something": (
        lambda recipe, registry, run: prl.export(run, run.folder, registry=registry),
        RunError,
        "already exists",
    ),
}


@pytest.mark.parametrize(("call", "error", "message"), REFUSED.values(), ids=REFUSED)
def test_wrong_use_is_one_exception_tree(
    call: Call, error: type[PrlError], message: str, recipe: Path, registry: Registry, trained: prl.Run
) -> None:
    with pytest.raises(error) as caught:
        call(recipe, registry, trained)
    assert message in caught.value.message
    assert "\n" not in caught.value.one_line


def test_export_and_report_say_where_they_wrote(trained: prl.Run, registry: Registry, tmp_path: Path) -> None:
    written = prl.export(trained, "adapters/one", checkpoint=1, registry=registry)
    assert written == Path("adapters/one")
    assert {file.name for file in written.iterdir()} >= {"adapter_config.json", "adapter_model.safetensors"}
    page = prl.report(trained, out=tmp_path / "page.html")
    assert page.read_text(encoding="utf-8").lstrip().startswith("<!doctype html>")
    assert prl.report(shutil.copytree(trained.folder, "copy")) == Path("copy/report.html")


class Evaluated:
    """A run, evaluated once as a run and once as a path."""

    def __init__(self, run: prl.Run, registry: Registry) -> None:
        asked: dict[str, Any] = {"rewriters": ["policy", "homoglyph"], "device": "cpu", "registry": registry}
        self.run = run
        self.lines: list[Progress] = []
        self.of_run = prl.evaluate(run, **asked, out="as-run", progress=self.lines.append)
        self.of_path = prl.evaluate(str(run.folder), **asked, out="as-path")


@pytest.fixture
def evaluated(trained: prl.Run, registry: Registry) -> Evaluated:
    return Evaluated(trained, registry)


def test_a_run_and_its_path_evaluate_to_the_same(evaluated: Evaluated, trained: prl.Run) -> None:
    first, second = evaluated.of_run, evaluated.of_path
    assert first.cells == second.cells
    assert first.false_positives == second.false_positives
    assert [r.label for r in first.rewriters] == ["none", "policy", "homoglyph"]
    assert "evaluating policy, homoglyph on 3 AI and 3 human test texts" in said(evaluated.lines)
    found = first.attack_success("policy")
    low, high = found.interval
    assert found.value is not None
    assert low is None or 0 <= low <= found.value <= (high or 1)
    assert found == first.attack_success("policy", "ensemble", first.about.target_fpr)
    assert found == first.cell("policy", "ensemble").points[0].attack_success_rate  # type: ignore[union-attr]
    with pytest.raises(EvaluationError, match="no rewriter 'homoglyf'"):
        first.attack_success("homoglyf")
    with pytest.raises(EvaluationError, match="no detector 'vowel'"):
        first.attack_success("policy", "vowel")
    with pytest.raises(EvaluationError, match=r"rate of 0\.3"):
        first.attack_success("policy", target_fpr=0.3)
    frame = first.to_pandas()
    at = frame[(frame.rewriter == "policy") & (frame.detector == "ensemble")]
    assert at.attack_success_rate.tolist()[0] == found.value
    shown = repr(first)
    assert "policy" in shown
    assert max(map(len, shown.splitlines()[1:5])) <= 80
    assert "<table>" in first._repr_html_()
    assert pickle.loads(pickle.dumps(first)) == first
    assert not (trained.folder / "evaluation").exists()


def test_options_of_a_rewriter_can_be_given(trained: prl.Run, registry: Registry) -> None:
    results = prl.evaluate(
        trained, rewriters={"homoglyph": {"rate": 1.0}}, out="o", device="cpu", registry=registry
    )
    assert [(r.label, r.options) for r in results.rewriters[1:]] == [("homoglyph", {"rate": 1.0})]


def test_validate_saves_what_it_returns(trained: prl.Run, registry: Registry) -> None:
    run = prl.Run(shutil.copytree(trained.folder, "run"))
    prl.evaluate(run, rewriters="policy", device="cpu", registry=registry)
    verdict = prl.validate(run, set={"acceptance.attack_success_rate": 0.0})
    assert prl.Verdict.read(run.folder) == verdict
    assert verdict.evaluation == str(run.folder / "evaluation")
    line = next(line for line in verdict.lines if line.criterion == "attack_success_rate")
    assert (line.bound, line.verdict) == (">= 0", "pass")
    assert list(verdict.to_pandas()["criterion"]) == [line.criterion for line in verdict.lines]
    assert verdict.conclusion in " ".join(repr(verdict).split())
    assert prl.validate("run", checkpoint=1).checkpoint == 1


def test_harden_returns_what_it_wrote(recipe: Path, registry: Registry) -> None:
    rows = [json.loads(line) for line in (recipe.parent / "texts.jsonl").read_text().splitlines()]
    assert rows
    found = prl.harden(
        "tfidf", on="homoglyph", against=["whitespace"], recipe=recipe, out="hard", registry=registry
    )
    assert prl.Hardening.read(Path("hard")) == found
    assert [(row.rewriter, row.met) for row in found.defence] == [
        ("none", "original"), ("homoglyph", "seen"), ("whitespace", "unseen"),
    ]  # fmt: skip
    assert list(found.to_pandas()["texts"])[:3] == ["AI, none", "AI, homoglyph", "AI, whitespace"]
    assert "Hardening of tfidf" in repr(found)
    assert Path("hard/calibration.json").is_file()
