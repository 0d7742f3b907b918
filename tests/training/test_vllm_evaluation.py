"""Evaluation of a trained policy with vLLM, by the double of its interface: whether it holds the saved adapter."""

from __future__ import annotations

import logging
import math
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from paraphrase_rl_plugins.backends import _vllm_policy, trl_backend
from paraphrase_rl_plugins.datasets import files
from paraphrase_rl_plugins.rewards import detector_evasion
from paraphrase_rl_plugins.rewriters import policy as policy_rewriter
from paraphrase_rl_plugins.rewriters import prompted

import paraphrase_rl as prl
from paraphrase_rl.errors import RecipeError, RunError, UsageError
from paraphrase_rl.plugin.discovery import Plugins
from paraphrase_rl.plugin.registry import Registry
from paraphrase_rl.recipe.schema import Sampling
from tests.training import vllm_double as double
from tests.training.cases import Case, contents
from tests.training.runs import backend, recipe, training_run
from tests.training.third_party import acme_training

TALK = [[{"role": "system", "content": "s"}, {"role": "user", "content": f"i{i}"}] for i in range(3)]
KEYS = [(5, 1, i) for i in range(3)]


@pytest.fixture(autouse=True)
def _no_engine_of_another_test() -> Iterator[None]:
    _vllm_policy._running = None
    yield
    _vllm_policy._running = None


@pytest.fixture(scope="module")
def run(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A short run whose checkpoints differ."""
    session = training_run(tmp_path_factory.mktemp("saved") / "run", recipe(tiny_model))
    backend().train(session)
    session.directory.close()
    return session.folder


def sample(policy: Any, **sampling: Any) -> list[list[Any]]:
    groups: list[list[Any]] = policy.sample(
        TALK, n=2, keys=KEYS, sampling=Sampling(**{"max_tokens": 8, **sampling})
    )
    return groups


def test_the_saved_adapter_is_sampled_and_nothing_of_the_run_changes(run: Path, tiny_model: Path) -> None:
    before = contents(run)
    with double.installed():
        fast = backend(sampler="vllm").policy(str(tiny_model), run / "adapter")
        groups = sample(fast)
    [engine] = double.LLM.made
    [adapter] = engine.adapters.values()
    assert adapter.peft_config["default"].r == 4
    assert engine.asked["max_lora_rank"] == 32
    assert engine.asked["seed"] == 0
    own = backend(sampler="own").policy(str(tiny_model), run / "adapter")
    for group, conversation in zip(groups, TALK, strict=True):
        for rollout in group:
            assert list(rollout.prompt_ids) == own.chat.prompt(conversation)
            known = adapter_logprobs(own, rollout)
            assert rollout.logprobs == pytest.approx(known, abs=1e-4), "of the adapter, not of the base model"
    assert contents(run) == before


def adapter_logprobs(own: Any, rollout: Any) -> Any:
    from paraphrase_rl_plugins.backends._sampler_check import trainer_logprobs

    return trainer_logprobs(own.sampler.model, list(rollout.prompt_ids), list(rollout.completion_ids))


def test_one_engine_serves_the_base_model_and_every_checkpoint(run: Path, tiny_model: Path) -> None:
    adapters = [None, run / "adapter", run / "checkpoints" / "checkpoint-6", run / "adapter", None]
    with double.installed():
        made = backend(sampler="vllm")
        texts = [
            [one.text for group in sample(made.policy(str(tiny_model), adapter)) for one in group]
            for adapter in adapters
        ]
    assert len(double.LLM.made) == 1
    assert texts[0] == texts[4]
    assert texts[1] == texts[3]
    assert len({*map(tuple, texts)}) == 3, "and each is another policy"


def test_a_longer_text_starts_it_again_with_more_room(
    run: Path, tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_vllm_policy, "ROOM", 20)
    with double.installed():
        policy = backend(sampler="vllm").policy(str(tiny_model), run / "adapter")
        first = sample(policy)
        policy.sample(
            [[TALK[0][0], {"role": "user", "content": "a" * 90}]],
            n=1,
            keys=[(1,)],
            sampling=Sampling(max_tokens=8),
        )
        again = sample(policy)
    assert len(double.LLM.made) == 3, "at its start, with the prompts, and with the longer one"
    assert [made.longest for made in double.LLM.made] == sorted(made.longest for made in double.LLM.made)
    assert [[one.text for one in group] for group in first] == [
        [one.text for one in group] for group in again
    ]


@pytest.mark.parametrize("engine", [double.NeverSynchronised, double.AnotherModel])
def test_one_that_does_not_hold_the_adapter_is_refused(
    run: Path, tiny_model: Path, engine: type[double.LLM]
) -> None:
    with (
        double.installed(engine),
        pytest.raises(RunError, match="vLLM does not sample with the adapter") as no,
    ):
        sample(backend(sampler="vllm").policy(str(tiny_model), run / "adapter"))
    assert "\n" not in no.value.one_line
    assert "sampler=own" in no.value.hint


def test_half_precision_is_no_false_alarm(run: Path, tiny_model: Path) -> None:
    with double.installed(double.HalfPrecision):
        assert sample(backend(sampler="vllm").policy(str(tiny_model), run / "adapter"))


def test_at_another_temperature_the_log_probabilities_are_not_known(run: Path, tiny_model: Path) -> None:
    with double.installed():
        groups = sample(backend(sampler="vllm").policy(str(tiny_model), run / "adapter"), temperature=0.7)
    assert all(math.isnan(value) for group in groups for one in group for value in one.logprobs)


def test_a_training_after_it_has_the_card_to_itself(run: Path, tiny_model: Path, tmp_path: Path) -> None:
    """As in prl check --try: a group of the base policy, then a step."""
    with double.installed():
        made = backend(sampler="vllm")
        sample(made.policy(str(tiny_model), None))
        held = weakref.ref(double.LLM.made.pop())
        made.trainer(training_run(tmp_path / "run", recipe(tiny_model)))
        assert held() is None
        assert len(double.LLM.made) == 1


@pytest.mark.parametrize("adapter", ["adapter", None])
def test_what_fails_once_is_asked_for_again(
    run: Path, tiny_model: Path, adapter: str | None, caplog: pytest.LogCaptureFixture
) -> None:
    texts = []
    for engine in (double.LLM, double.Failing):
        _vllm_policy._running = None
        with double.installed(engine), caplog.at_level(logging.WARNING, "paraphrase_rl"):
            policy = backend(sampler="vllm").policy(str(tiny_model), adapter and run / adapter)
            texts.append([[one.text for one in group] for group in sample(policy)])
            assert len(caplog.records) == (double.LLM.made[0].calls // 2 if engine is double.Failing else 0)
    assert texts[0] == texts[1]
    assert all("asked again: vLLM failed while sampling" in record.getMessage() for record in caplog.records)


def test_an_engine_that_failed_twice_answers_only_what_is_asked_next(run: Path, tiny_model: Path) -> None:
    class FailedTwice(double.Failing):
        at = (1, 2)

    texts = []
    for engine in (double.LLM, FailedTwice):
        _vllm_policy._running = None
        with double.installed(engine):
            policy = backend(sampler="vllm").policy(str(tiny_model), run / "adapter")
            if engine is FailedTwice:
                with pytest.raises(RunError, match="vLLM failed while sampling"):
                    policy.sample(TALK[::-1], n=2, keys=KEYS, sampling=Sampling(max_tokens=5))
            texts.append([[one.text for one in group] for group in sample(policy)])
    assert texts[0] == texts[1]


# ---- which sampler


@pytest.mark.parametrize(
    ("choice", "engine", "on_gpu", "used"),
    [
        ("auto", double.LLM, True, True),
        ("auto", double.LLM, False, False),
        ("own", double.LLM, True, False),
        ("auto", double.NoRoom, True, False),
    ],
)
def test_the_choice(
    run: Path,
    tiny_model: Path,
    choice: str,
    engine: type[double.LLM],
    on_gpu: bool,
    used: bool,
    caplog: pytest.LogCaptureFixture,
) -> None:
    with double.installed(engine, on_gpu=on_gpu), caplog.at_level(logging.WARNING, "paraphrase_rl"):
        policy = backend(sampler=choice).policy(str(tiny_model), run / "adapter")
        assert sample(policy)
    assert (policy.sampler.exact is False) is used
    said = [record.getMessage() for record in caplog.records]
    assert any("vLLM could not be started" in line for line in said) is (engine is double.NoRoom)


@pytest.mark.parametrize(
    ("engine", "on_gpu", "said"),
    [(double.LLM, False, "needs an NVIDIA GPU"), (double.NoRoom, True, "could not be started")],
)
def test_vllm_that_cannot_be_is_refused_in_one_line(
    run: Path, tiny_model: Path, engine: type[double.LLM], on_gpu: bool, said: str
) -> None:
    with double.installed(engine, on_gpu=on_gpu), pytest.raises((RecipeError, RunError), match=said) as no:
        backend(sampler="vllm").policy(str(tiny_model), run / "adapter")
    assert "\n" not in no.value.one_line
    assert "sampler=own" in no.value.hint


# ---- prl evaluate


@pytest.fixture(scope="module")
def registry() -> Registry:
    return Registry(
        Plugins.of(
            acme=acme_training,
            evasion=detector_evasion,
            files=files,
            trl=trl_backend,
            policy=policy_rewriter,
            prompted=prompted,
        )
    )


def test_an_evaluation_samples_with_it(unbroken: Path, registry: Registry, tmp_path: Path) -> None:
    asked: dict[str, Any] = {"texts": 3, "device": "cpu", "registry": registry, "detectors": ["vowels"]}
    with double.installed():
        found = prl.evaluate(
            unbroken,
            rewriters=["policy", "prompted"],
            out=tmp_path / "fast",
            backend_options={"sampler": "vllm"},
            **asked,
        )
    [engine] = double.LLM.made
    assert len(engine.adapters) == 1, "the policy's; the base model has none"
    assert len(engine.seeds) > 6
    options = {info.name: info.options for info in found.rewriters}
    assert options["policy"] == {"backend_options": {"sampler": "vllm"}}
    assert options["prompted"] == {"backend_options": {"sampler": "vllm"}}
    assert [info.failure for info in found.rewriters if info.name == "policy"] == [None]


def test_options_that_the_backend_does_not_know_are_refused(
    unbroken: Path, registry: Registry, tmp_path: Path, case: Case
) -> None:
    with pytest.raises(RecipeError, match="samplr"):
        prl.evaluate(unbroken, out=tmp_path / "o", backend_options={"samplr": "vllm"}, registry=registry)
    with pytest.raises(UsageError, match="no run is given"):
        prl.evaluate(case.recipe, out=tmp_path / "o", backend_options={"sampler": "own"}, registry=registry)
    assert not (tmp_path / "o").exists()
