"""The contract of a backend passes what keeps it, a toy and the trl backend, and catches what breaks it."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from paraphrase_rl.errors import ModelError
from paraphrase_rl.plugin import Context, Rollout, Sampling, Session, TrainingResult
from paraphrase_rl.testing import BackendContract
from tests.tiny_model import save_tiny_model

LETTERS = "aeioubcdf."


class Toy:
    """Writes letters that do not depend on one another; its weights are their logits."""

    def __init__(self, logits: np.ndarray) -> None:
        self.logits = logits

    def sample(
        self,
        conversations: Sequence[Sequence[Mapping[str, str]]],
        *,
        n: int,
        keys: Sequence[Sequence[int]],
        sampling: Sampling,
    ) -> list[list[Rollout]]:
        return [
            [self._one(group, tuple(key), i, sampling) for i in range(n)] for group, key in enumerate(keys)
        ]

    def _one(self, group: int, key: Sequence[int], number: int, sampling: Sampling) -> Rollout:
        rng = np.random.default_rng([*key, number])
        logp = log_softmax(self.logits / sampling.temperature)
        order = np.argsort(-logp)
        before = np.cumsum(np.exp(logp[order])) - np.exp(logp[order])
        allowed = order[before <= sampling.top_p]
        p = np.exp(logp[allowed]) / np.exp(logp[allowed]).sum()
        ids: list[int] = []
        while len(ids) < sampling.max_tokens and LETTERS[ids[-1] if ids else 0] != ".":
            ids.append(int(rng.choice(allowed, p=p)))
        text = "".join(LETTERS[i] for i in ids)
        return Rollout(
            group=group,
            prompt_ids=[0],
            completion_ids=ids,
            logprobs=logp[ids],
            text=text,
            finished=text[-1] == ".",
        )


def log_softmax(logits: np.ndarray) -> np.ndarray:
    return np.asarray(logits - np.log(np.exp(logits).sum()), dtype=np.float64)


class ToyBackend:
    """Follows the gradient of the expected advantage."""

    ends_steps = 1
    listens = True
    resumes = True
    slows = True
    restores = True

    def __init__(self) -> None:
        self.base = np.linspace(0.0, 1.0, len(LETTERS))

    def policy(self, model: str, adapter: Path | str | None, *, thinking: bool = False) -> Toy:
        if model != "toy":
            raise ModelError(f"{model} is no toy", "name toy")
        return Toy(self.base if adapter is None else np.load(Path(adapter) / "logits.npy"))

    def train(self, session: Session) -> TrainingResult:
        start = session.resume_from if self.resumes else None
        policy = self.policy("toy", start[1] if start else None)
        size = session.recipe.training.group_size
        for step in range(start[0] + 1 if start else 1, session.steps + 1):
            began = time.perf_counter()
            indices = session.order[step - 1]
            groups = policy.sample(
                [session.conversation(session.train[i]) for i in indices],
                n=size,
                keys=[session.noise_key(step, i) for i in indices],
                sampling=session.recipe.sampling,
            )
            rated = session.rate([i for i in indices for _ in range(size)], [r for g in groups for r in g])
            rated.base_logprobs = [log_softmax(self.base)[list(r.completion_ids)] for r in rated.rollouts]
            gradient = np.zeros_like(self.base)
            for rollout, values in zip(rated.rollouts, session.advantages(rated).values, strict=True):
                np.add.at(gradient, list(rollout.completion_ids), values)
            rate = session.learning_rate(0.1)
            policy = Toy(policy.logits + (rate if self.slows else 0.1) * gradient)
            for _ in range(self.ends_steps):
                measured = {"learning_rate": rate if self.slows else 0.1}
                session.end_step(step, rated, measured, {"total": time.perf_counter() - began})
            back = session.take_roll_back()
            if back is not None and self.restores:
                policy = self.policy("toy", back[1])
            stop = self.listens and session.stop_requested() and step < session.steps
            if stop or back is not None or step % session.recipe.checkpoints.every == 0:
                self._save(session, policy, step, "periodic")
            if stop:
                return TrainingResult(status="interrupted", step=step)
        self._save(session, policy, session.steps, "final")
        return TrainingResult(status="completed", step=session.steps)

    def _save(self, session: Session, policy: Toy, step: int, kind: str) -> None:
        folder = session.unfinished / ("adapter" if kind == "final" else f"checkpoint-{step}")
        folder.mkdir(parents=True)
        np.save(folder / "logits.npy", policy.logits)
        session.add_checkpoint(step, folder, kind)

    def export(self, run: Path, checkpoint: Mapping[str, Any], out: Path) -> None:
        from safetensors.numpy import save_file

        out.mkdir()
        save_file(
            {"logits": np.load(run / checkpoint["path"] / "logits.npy")}, out / "adapter_model.safetensors"
        )
        (out / "adapter_config.json").write_text(json.dumps({"peft_type": "LORA", "r": 1}))


class TestToy(BackendContract):
    model = "toy"

    def make(self) -> Any:
        return ToyBackend()


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_model(tmp_path_factory.mktemp("tiny"))


@pytest.mark.slow
class TestTrl(BackendContract):
    settings = {"lora": {"rank": 4, "alpha": 8}}  # noqa: RUF012

    @pytest.fixture(autouse=True)
    def _tiny(self, tiny: Path) -> None:
        type(self).model = str(tiny)

    def make(self) -> Any:
        from paraphrase_rl_plugins.backends.trl_backend import TrlBackend, TrlOptions

        return TrlBackend(TrlOptions(), Context())


class Renormalised(ToyBackend):
    """Gives the log-probabilities of the tokens that top_p allows."""

    def policy(self, model: str, adapter: Path | str | None, *, thinking: bool = False) -> Toy:
        class Sampler(Toy):
            def _one(self, group: int, key: Sequence[int], number: int, sampling: Sampling) -> Rollout:
                right = super()._one(group, key, number, sampling)
                logprobs = right.logprobs if sampling.top_p > 0.5 else np.zeros(len(right.logprobs))
                return Rollout(
                    group=group,
                    prompt_ids=[0],
                    completion_ids=right.completion_ids,
                    logprobs=logprobs,
                    text=right.text,
                    finished=right.finished,
                )

        return Sampler(super().policy(model, adapter).logits)


class ByPosition(ToyBackend):
    """Draws by a conversation's position in the call."""

    def policy(self, model: str, adapter: Path | str | None, *, thinking: bool = False) -> Toy:
        class Sampler(Toy):
            def _one(self, group: int, key: Sequence[int], number: int, sampling: Sampling) -> Rollout:
                return super()._one(group, [group], number, sampling)

        return Sampler(super().policy(model, adapter).logits)


class Twice(ToyBackend):
    ends_steps = 2


class Deaf(ToyBackend):
    listens = False


class Anew(ToyBackend):
    resumes = False


class Steady(ToyBackend):
    slows = False


class Forward(ToyBackend):
    restores = False


class Silent(ToyBackend):
    def train(self, session: Session) -> Any:
        super().train(session)


@pytest.mark.parametrize(
    ("backend", "test"),
    [
        (Renormalised, "test_log_probabilities_are_of_the_full_softmax"),
        (ByPosition, "test_a_key_fixes_the_rollouts"),
    ],
)
def test_the_contract_catches_a_wrong_policy(backend: type[ToyBackend], test: str) -> None:
    class Contract(TestToy):
        def make(self) -> Any:
            return backend()

    with pytest.raises(AssertionError):
        getattr(Contract(), test)()


@pytest.mark.parametrize(
    ("backend", "test", "stop_after"),
    [
        (Twice, "test_each_step_is_ended_once_in_order", None),
        (Deaf, "test_a_stop_ends_the_step_and_leaves_a_checkpoint", 1),
        (Silent, "test_a_run_is_trained_to_its_end", None),
    ],
)
def test_the_contract_catches_a_wrong_training(
    backend: type[ToyBackend], test: str, stop_after: int | None, tmp_path: Path
) -> None:
    class Contract(TestToy):
        def make(self) -> Any:
            return backend()

    contract = Contract()
    with pytest.raises(AssertionError):
        getattr(contract, test)(contract.trained(tmp_path / "run", stop_after=stop_after))


def test_the_contract_catches_a_run_that_begins_anew(tmp_path: Path) -> None:
    class Contract(TestToy):
        def make(self) -> Any:
            return Anew()

    contract = Contract()
    unbroken = contract.trained(tmp_path / "unbroken")
    stopped = contract.trained(tmp_path / "stopped", stop_after=1)
    with pytest.raises(AssertionError, match="resume_from says which steps are done"):
        contract.test_a_run_goes_on_from_its_checkpoint(stopped, unbroken)


@pytest.mark.parametrize(
    ("backend", "message"),
    [
        (Steady, r"Session\.learning_rate gives the rate"),
        (Forward, r"Session\.take_roll_back gives the checkpoint"),
    ],
)
def test_the_contract_catches_a_backend_that_monitors_cannot_move(
    backend: type[ToyBackend], message: str, tmp_path: Path
) -> None:
    class Contract(TestToy):
        def make(self) -> Any:
            return backend()

    with pytest.raises(AssertionError, match=message):
        Contract().test_what_monitors_decide_is_done(tmp_path)
