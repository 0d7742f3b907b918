"""Sampling with vLLM, by a double of its interface: what is measured, what is checked, what is never changed.

No test here has run on a card; tests/gpu does where vLLM is installed.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from paraphrase_rl_plugins.backends._adapter import base_digest
from paraphrase_rl_plugins.backends._sampler_check import LEAST, Probe, why_stale

from paraphrase_rl.errors import NumericalError, RecipeError, RunError
from paraphrase_rl.runs.metrics_files import rows_of
from tests.training import vllm_double as double
from tests.training.runs import backend, recipe, training_run

TRAINING = {"batch_size": 2, "group_size": 3, "max_steps": 3, "learning_rate": 0.02, "seed": 5}


def trained(
    model: Path,
    folder: Path,
    *,
    sampler: str = "vllm",
    steps: int = 3,
    say: Callable[[str], None] = lambda _: None,
    **changes: Any,
) -> Any:
    """Train a short run and return its session."""
    training = {**TRAINING, "max_steps": steps}
    settings = recipe(model, training=training, checkpoints={"every": 2, "keep": 2}, **changes)
    run = training_run(folder, settings, report=lambda line, *_: say(line))
    try:
        backend(sampler=sampler).train(run)
    finally:
        run.directory.close()
    return run


def rows(run: Any) -> list[dict[str, float]]:
    return [row["metrics"] for row in run.directory.rows("metrics.jsonl")]


@pytest.fixture(scope="module")
def healthy(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, double.LLM]:
    with double.installed():
        run = trained(
            tiny_model, tmp_path_factory.mktemp("healthy") / "run", evaluation={"every": 2, "prompts": 4}
        )
        return run, double.LLM.made[0]


@pytest.fixture(scope="module")
def own(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    with double.installed():
        return trained(tiny_model, tmp_path_factory.mktemp("own") / "run", sampler="own", steps=1)


def test_kl_sample_train_is_measured_with_a_nucleus(healthy: tuple[Any, double.LLM]) -> None:
    run, _ = healthy
    assert run.recipe.sampling.top_p < 1
    for row in rows(run):
        assert row["kl_sample_train"] == pytest.approx(0, abs=1e-5)
        assert row["kl_post_train"] != pytest.approx(0, abs=1e-5)
    # the first step's may agree to the bit: the adapter is still nothing
    assert all(row["kl_sample_train"] != 0.0 for row in rows(run)[1:]), "two computations, not one twice"
    assert rows(run)[-1]["kl_reference"] != pytest.approx(0, abs=1e-5)


def test_the_adapter_goes_over_and_the_model_is_never_merged(healthy: tuple[Any, double.LLM]) -> None:
    run, engine = healthy
    numbers = list(engine.adapters)
    assert numbers == sorted(numbers)
    assert len(numbers) >= 3 + 2, "a step each, and evaluations"
    first, last = (dict(engine.adapters[at].named_parameters()) for at in (numbers[0], numbers[-1]))
    assert all(weights.abs().max() == 0 for name, weights in first.items() if "lora_B" in name)
    assert any(weights.abs().max() > 0 for name, weights in last.items() if "lora_B" in name)
    [final] = [row for row in run.directory.rows("checkpoints.jsonl") if row["kind"] == "final"]
    assert final["base_weights"] == base_digest(engine.adapters[numbers[0]]), (
        "as the engine loaded them itself"
    )


def test_the_recipes_seed_and_the_share_of_memory_reach_vllm(healthy: tuple[Any, double.LLM]) -> None:
    _, engine = healthy
    assert engine.asked["seed"] == TRAINING["seed"]
    assert engine.asked["gpu_memory_utilization"] == 0.3
    assert engine.asked["max_lora_rank"] == 8, "room for rank 4"
    assert engine.asked["trust_remote_code"] is False


def test_the_noise_is_that_of_the_prompt_and_the_step(
    healthy: tuple[Any, double.LLM], tiny_model: Path, tmp_path: Path
) -> None:
    run, engine = healthy
    with double.installed():
        again = trained(tiny_model, tmp_path / "run", evaluation={"every": 2, "prompts": 4})
        assert double.LLM.made[0].seeds == engine.seeds
    sampled = [[row["rewrite"] for row in one.directory.rows("samples.jsonl")] for one in (run, again)]
    assert sampled[0] == sampled[1]
    drawn = [seed for seed in engine.seeds if seed is not None]
    assert len(set(drawn)) > 6


def test_a_resumed_run_goes_on_with_the_same_numbers(
    healthy: tuple[Any, double.LLM], tiny_model: Path, tmp_path: Path
) -> None:
    settings = healthy[0].recipe
    for resume, stop in ((False, lambda: True), (True, lambda: False)):
        with double.installed():
            run = training_run(tmp_path / "run", settings, resume=resume, stop_requested=stop)
            backend(sampler="vllm").train(run)
            run.directory.close()
    metrics = [[row["reward_mean"], row["kl_reference"], row["kl_post_train"]] for row in rows(run)]
    unbroken = [[row["reward_mean"], row["kl_reference"], row["kl_post_train"]] for row in rows(healthy[0])]
    assert np.array(metrics) == pytest.approx(np.array(unbroken), abs=1e-9)
    assert len(double.LLM.made[0].adapters) < len(healthy[1].adapters), "the rest of the run alone"


def test_evaluations_use_it_too(healthy: tuple[Any, double.LLM]) -> None:
    run, engine = healthy
    evaluated = {row["step"] for row in run.directory.rows("evaluations.jsonl")}
    assert evaluated == {0, 2, 3}
    # three steps, three evaluations; two checks after sampling and one at each of two checkpoints, two questions each
    assert engine.calls == 3 + 3 + 4 * 2


# ---- what fails


def numbers(run: Any) -> dict[str, Any]:
    """What a run measured and wrote, without times."""

    def timeless(metrics: dict[str, float]) -> dict[str, float]:
        return {name: value for name, value in metrics.items() if "second" not in name}

    files = {name: run.directory.rows(f"{name}.jsonl") for name in ("metrics", "evaluations", "samples")}
    return files | {
        name: [(row["step"], timeless(row["metrics"])) for row in files[name]]
        for name in ("metrics", "evaluations")
    }


def test_what_fails_once_is_asked_for_again_and_changes_no_number(
    healthy: tuple[Any, double.LLM], tiny_model: Path, tmp_path: Path
) -> None:
    """At every call: samples of training and of evaluations, and the checks of the sampler."""
    said: list[str] = []
    with double.installed(double.Failing):
        run = trained(tiny_model, tmp_path / "run", evaluation={"every": 2, "prompts": 4}, say=said.append)
        assert double.LLM.made[0].calls == 2 * healthy[1].calls
    assert numbers(run) == numbers(healthy[0])
    why = "vLLM failed while sampling: RuntimeError: CUDA error: an illegal memory access second line"
    retries = [row for row in run.directory.rows("events.jsonl") if row["event"] == "retry"]
    assert {(row["what"], row["reason"]) for row in retries} == {("sampling", why)}
    assert sorted({row["step"] for row in retries}) == [1, 2, 3, 4]
    assert said.count(f"asked again: {why}") == len(retries) == healthy[1].calls


@pytest.mark.parametrize(
    ("call", "saved"), [(1, []), (5, [1])], ids=["before the first step", "in the second"]
)
def test_what_fails_twice_ends_the_run_with_a_rescue_checkpoint(
    tiny_model: Path, tmp_path: Path, call: int, saved: list[int]
) -> None:
    class Broken(double.Failing):
        at = range(call, 100)

    said: list[str] = []
    with double.installed(Broken), pytest.raises(RunError, match="vLLM failed while sampling: Run") as caught:
        trained(tiny_model, tmp_path / "run", say=said.append)
    assert "\n" not in caught.value.one_line
    assert "--resume" in caught.value.hint
    assert "sampler=own" in caught.value.hint
    assert double.LLM.made[0].calls == call + 1
    assert [row["step"] for row in rows_of(tmp_path / "run", "checkpoints.jsonl")] == saved
    assert sum(line.startswith("asked again: vLLM failed") for line in said) == 1
    assert ("rescue checkpoint of step 1 written" in said) is bool(saved)


@pytest.mark.parametrize(
    ("engine", "step"),
    [
        (double.NeverSynchronised, 1),
        (double.FirstAdapterAlone, 1),
        (double.OneStepBehind, 1),
        (double.AnotherModel, 0),
    ],
)
def test_a_stale_sampler_stops_the_run(
    tiny_model: Path, tmp_path: Path, engine: type[double.LLM], step: int
) -> None:
    with (
        double.installed(engine),
        pytest.raises(RunError, match="the sampler does not hold the policy") as caught,
    ):
        trained(tiny_model, tmp_path / "run")
    assert f"after step {step}:" in caught.value.message
    assert "\n" not in caught.value.one_line
    assert "sampler=own" in caught.value.hint


def test_one_that_goes_stale_later_stops_it_at_the_next_checkpoint(tiny_model: Path, tmp_path: Path) -> None:
    class Later(double.LLM):
        def adapter(self, request: double.LoRARequest) -> Any:
            kept = sorted(self.adapters)[:3]
            return super().adapter(request if len(kept) < 3 else double.LoRARequest("kept", kept[-1]))

    with double.installed(Later), pytest.raises(RunError, match="after step 2: its log-probabilities"):
        trained(tiny_model, tmp_path / "run")
    assert not list(tmp_path.glob("run/checkpoints.jsonl")), "what was sampled since was not the policy"


def test_half_precision_is_no_false_alarm_and_is_measured(tiny_model: Path, tmp_path: Path) -> None:
    with double.installed(double.HalfPrecision):
        run = trained(tiny_model, tmp_path / "run")
    assert len(rows(run)) == 3
    assert all(row["kl_sample_train"] != pytest.approx(0, abs=1e-5) for row in rows(run))


def test_log_probabilities_that_are_no_numbers_stop_it(tiny_model: Path, tmp_path: Path) -> None:
    with (
        double.installed(double.Damaged),
        pytest.raises(NumericalError, match="not finite numbers") as caught,
    ):
        trained(tiny_model, tmp_path / "run")
    assert "sampler=own" in caught.value.hint


def test_what_is_not_measured_is_not_passed(tiny_model: Path, tmp_path: Path) -> None:
    """At another temperature the log-probabilities of vLLM are not those of what it samples."""
    from paraphrase_rl.acceptance.criteria import Case
    from paraphrase_rl.acceptance.run_criteria import kl_sample_train
    from paraphrase_rl.runs.reader import read_history

    with double.installed():
        run = trained(tiny_model, tmp_path / "run", steps=1, sampling={"max_tokens": 12, "temperature": 0.8})
    assert all(row["kl_sample_train"] is None for row in rows(run)), "null in the file"
    (run.folder / "recipe.yaml").write_text("model: org/model\n")
    history = read_history(run.folder)
    case = Case(
        history=history,
        acceptance=history.recipe.acceptance,
        step=1,
        whole=True,
        results=None,
        fairness=None,
        label=None,
        stale="",
        chosen_among=1,
        command="",
    )
    assert kl_sample_train(case).verdict == "not measured"


def test_the_base_weights_are_the_same_at_both_ends_with_either_sampler(
    tiny_model: Path, tmp_path: Path, healthy: tuple[Any, double.LLM], own: Any
) -> None:
    ledgers = [run.directory.rows("checkpoints.jsonl") for run in (healthy[0], own)]
    digests = [row["base_weights"] for ledger in ledgers for row in ledger if row["kind"] == "final"]
    trainer = backend().trainer(training_run(tmp_path / "third", recipe(tiny_model)))
    assert digests == [base_digest(trainer.model)] * 2


@pytest.mark.parametrize("sampler", ["own", "vllm"])
def test_a_base_weight_that_moves_is_no_adapter(
    tiny_model: Path, tmp_path: Path, sampler: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By as much as one rounding, as merging and subtracting again does."""
    from paraphrase_rl_plugins.backends._trainer import RecipeTrainer

    real = RecipeTrainer.step_metrics

    def drifting(self: Any) -> dict[str, float]:
        weight = self.model.get_input_embeddings().weight
        with torch.no_grad():
            weight[3, 3] = torch.nextafter(weight[3, 3], torch.tensor(9.0))
        return real(self)

    monkeypatch.setattr(RecipeTrainer, "step_metrics", drifting)
    with double.installed(), pytest.raises(RunError, match="weights of the base model have changed"):
        trained(tiny_model, tmp_path / "run", sampler=sampler, steps=1)
    assert not (tmp_path / "run" / "adapter").exists()


# ---- which sampler


@pytest.mark.parametrize(
    ("sampler", "engine", "changes", "used"),
    [
        ("auto", double.LLM, {}, True),
        ("own", double.LLM, {}, False),
        ("auto", double.NoRoom, {}, False),
        ("auto", double.LLM, {"sampling": {"max_tokens": 12, "temperature": 0.8}}, False),
        ("auto", double.LLM, {"lora": {"rank": 600, "alpha": 8}}, False),
    ],
)
def test_the_choice(
    tiny_model: Path,
    tmp_path: Path,
    sampler: str,
    engine: type[double.LLM],
    changes: dict[str, Any],
    used: bool,
) -> None:
    said: list[str] = []
    run = training_run(
        tmp_path / "run", recipe(tiny_model, **changes), report=lambda line, *_: said.append(line)
    )
    with double.installed(engine):
        trainer = backend(sampler=sampler).trainer(run)
    assert trainer.sampler.exact is not used
    assert any("vLLM samples" in line for line in said) is used
    assert any("could not be started" in line for line in said) is (engine is double.NoRoom)


def test_automatic_without_vllm_or_without_a_card_is_the_model_itself(
    tiny_model: Path, tmp_path: Path
) -> None:
    assert backend().trainer(training_run(tmp_path / "a", recipe(tiny_model))).sampler.exact
    with double.installed(on_gpu=False):
        assert backend().trainer(training_run(tmp_path / "b", recipe(tiny_model))).sampler.exact


@pytest.mark.parametrize("case", ["not installed", "no card", "rank", "processes", "no room"])
def test_vllm_that_cannot_be_is_refused_in_one_line(
    tiny_model: Path, tmp_path: Path, case: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    changes = {"lora": {"rank": 600, "alpha": 8}} if case == "rank" else {}
    run = training_run(tmp_path / "run", recipe(tiny_model, **changes))
    if case == "not installed":
        with pytest.raises(RecipeError, match="vLLM is not installed") as caught:
            backend(sampler="vllm").trainer(run)
    else:
        if case == "processes":
            monkeypatch.setattr(
                "paraphrase_rl_plugins.backends.trl_backend.TrlBackend._processes", lambda *_: 2
            )
        engine = double.NoRoom if case == "no room" else double.LLM
        said = {
            "no card": "needs an NVIDIA GPU",
            "rank": "rank 512 at most",
            "processes": "2 processes train together",
            "no room": "could not be started",
        }[case]
        with (
            double.installed(engine, on_gpu=case != "no card"),
            pytest.raises((RecipeError, RunError), match=said) as caught,
        ):
            backend(sampler="vllm").trainer(run)
    assert "\n" not in caught.value.one_line
    assert "sampler=own" in caught.value.hint


# ---- the check itself


def probe(base: float, noise: float, moved: float, lag: float = 0.0, seed: int = 0, n: int = 64) -> Probe:
    """A sampler that is off by ``noise``, and behind by the share ``lag`` of a policy that has moved."""
    rng = np.random.default_rng(seed)
    trainer_base = base + rng.normal(0, 1, n)
    step = rng.normal(0, moved, n)
    return Probe(
        sampler_base=trainer_base + rng.normal(0, noise, n),
        sampler=trainer_base + (1 - lag) * step + rng.normal(0, noise, n),
        trainer_base=trainer_base,
        trainer=trainer_base + step,
    )


@pytest.mark.parametrize("noise", [1e-6, 0.005, 0.02, 0.05])
@pytest.mark.parametrize("moved", [0.0, 0.02, 0.5])
def test_noise_is_no_staleness(noise: float, moved: float) -> None:
    alarms = [why_stale(probe(-2.0, noise, moved, seed=seed), None) for seed in range(200)]
    assert alarms == [None] * 200


@pytest.mark.parametrize("noise", [1e-6, 0.005, 0.02])
def test_what_has_moved_beyond_noise_is_found(noise: float) -> None:
    for seed in range(200):
        assert why_stale(probe(-2.0, noise, moved=max(3 * LEAST, 6 * noise), lag=1.0, seed=seed), None)


def test_an_answer_that_never_changes_is_found_below_the_noise() -> None:
    before, now = probe(-2.0, 0.02, 0.0, seed=1), probe(-2.0, 0.02, 0.004, seed=1)
    stuck = Probe(now.sampler_base, before.sampler, now.trainer_base, now.trainer)
    assert why_stale(stuck, None) is None
    assert "those of before" in str(why_stale(stuck, before))
    assert why_stale(before, before) is None, "the trainer has not moved either"


def test_another_model_and_nonsense_are_found() -> None:
    assert "another model" in str(why_stale(probe(-2.0, 0.5, 0.0), None))
    bad = probe(-2.0, 0.01, 0.0)
    bad.sampler[3] = math.nan
    assert "not finite" in str(why_stale(bad, None))


# ---- truncated importance ratios


def test_a_ratio_above_the_cap_weighs_no_more_than_it(tiny_model: Path, tmp_path: Path) -> None:
    """By hand: weight min(ratio, cap), gradient through the log-probability alone."""
    run = training_run(tmp_path / "run", recipe(tiny_model, training={**TRAINING, "ratio_cap": 1.5}))
    with double.installed():
        trainer = backend(sampler="vllm").trainer(run)
    logprobs = torch.tensor([[-1.0, -2.0, -3.0], [-0.5, -0.1, 0.0]], requires_grad=True)
    old = torch.tensor([[-1.0, -3.0, -2.0], [-1.5, -0.2, 0.0]])
    mask = torch.tensor([[1, 1, 1], [1, 1, 0]])
    weights = trainer._capped(torch.exp(logprobs - old), mask)
    expected = np.minimum(np.exp([[0.0, 1.0, -1.0], [1.0, 0.1, 0.0]]), 1.5)
    assert weights.detach().numpy() == pytest.approx(expected)
    (weights * mask).sum().backward()
    assert logprobs.grad.numpy() == pytest.approx(expected * mask.numpy()), (
        "a truncated token keeps its gradient"
    )
    assert trainer._truncated == [0, 1, 0, 1, 0]
    trainer.sampler = backend(sampler="own").trainer(training_run(tmp_path / "own", run.recipe)).sampler
    exact = torch.exp(logprobs - old)
    assert trainer._capped(exact, mask) is exact, "off where the model samples itself"


def test_truncation_is_logged_where_it_can_happen(
    healthy: tuple[Any, double.LLM], own: Any, tiny_model: Path, tmp_path: Path
) -> None:
    run, _ = healthy
    assert [row["ratio_truncated"] for row in rows(run)] == [0.0, 0.0, 0.0]
    assert all("ratio_truncated" not in row for row in rows(own))
    with double.installed():
        off = training_run(
            tmp_path / "off", recipe(tiny_model, training={**TRAINING, "max_steps": 1, "ratio_cap": None})
        )
        backend(sampler="vllm").train(off)
    assert all("ratio_truncated" not in row for row in rows(off))


def test_the_manifest_and_the_command_know_the_options(tiny_model: Path) -> None:
    from paraphrase_rl.plugin.registry import default_registry

    options = default_registry().options("backends", "trl", {"sampler": "own", "vllm_memory": 0.5})
    assert json.loads(options.model_dump_json()) == {"sampler": "own", "vllm_memory": 0.5}
