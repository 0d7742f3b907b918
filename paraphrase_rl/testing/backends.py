"""The contract of a backend, as tests."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pytest

from paraphrase_rl.plugin.protocols import TrainingResult
from paraphrase_rl.testing.base import Contract
from paraphrase_rl.types import Document, RewardBatch, Rollout, Terms

if TYPE_CHECKING:
    from paraphrase_rl.plugin.protocols import Backend, Policy
    from paraphrase_rl.recipe.schema import Sampling
    from paraphrase_rl.training.session import TrainingSession

TEXTS: Sequence[str] = (
    "The ferry was late again this morning.",
    "Nobody told us that the second bridge was closed.",
    "We walked back, wet to the knees.",
    "He swore that the pike had bitten him.",
    "Then the rain stopped, and that was our holiday.",
    "Old Marten had brought his accordion.",
)


def share_of_vowels(batch: RewardBatch) -> Terms:
    """A reward that needs no model."""
    shares = [sum(c in "aeiou" for c in text.lower()) / max(1, len(text)) for text in batch.rewrites]
    return Terms(np.array(shares, dtype=np.float64))


@dataclass
class Trained:
    """A run that a backend has trained: its result, and the reports that the session got."""

    result: TrainingResult
    folder: Path
    steps: list[int] = field(default_factory=list)
    metrics: list[dict[str, Any]] = field(default_factory=list)
    checkpoints: list[dict[str, Any]] = field(default_factory=list)
    complete: bool = False


class BackendContract(Contract):
    """Base of the tests of a backend: inherit, and define :meth:`make` and :attr:`model`.

    It trains runs of four steps of 2 prompts x 3 rollouts, which a small model on a CPU does in seconds.

    Attributes:
        model: a reference of the policy that the backend can load; the smaller, the faster.
        settings: sections of the recipe that the backend needs changed, such as ``{"lora": {"rank": 4}}``.
        repeats: whether a resumed run has the same numbers as an uninterrupted one; False for a service that cannot
            promise it.
    """

    model: ClassVar[str] = ""
    settings: ClassVar[dict[str, Any]] = {}
    repeats: ClassVar[bool] = True
    steps: ClassVar[int] = 4
    _runs: ClassVar[dict[str, Trained]] = {}

    def backend(self) -> Backend:
        """The backend under test."""
        backend: Backend = self.component()
        return backend

    def recipe(self) -> Any:
        """Recipe of the training."""
        from paraphrase_rl.recipe.schema import Recipe

        return Recipe.model_validate(
            {
                "model": self.model,
                "training": {
                    "batch_size": 2,
                    "group_size": 3,
                    "epochs": 2,
                    "max_steps": self.steps,
                    "seed": 5,
                },
                "sampling": {"max_tokens": 8},
                "prompt": {"system": "Rewrite.", "instruction": "In other words:"},
                "evaluation": {"every": 1000, "prompts": 2},
                "checkpoints": {"every": 2, "keep": 2},
                **self.settings,
            }
        )

    def session(
        self, folder: Path, *, stop_after: int | None = None, monitors: Mapping[str, Any] | None = None
    ) -> TrainingSession:
        """Open the session of a new run, or of the rest of the run that is in the folder.

        Args:
            stop_after: number of steps after which a stop is asked for.
            monitors: rules of the recipe, as its key ``monitors`` takes them.
        """
        from paraphrase_rl.progress import reporter
        from paraphrase_rl.runs.directory import RunDirectory
        from paraphrase_rl.training.reward import ComposedReward, WeightedReward
        from paraphrase_rl.training.session import TrainingSession

        begun = folder.exists()
        directory = RunDirectory.resume(folder) if begun else RunDirectory.create(folder)
        checkpoint = directory.checkpoints.last() if begun else None
        if begun:
            directory.rewind(checkpoint[0] if checkpoint else -1)
        else:
            directory.begin("model: contract\n", {})
        recipe = self.recipe()
        if monitors:
            recipe = type(recipe).model_validate({**recipe.model_dump(), "monitors": monitors})
        documents = [Document(id=f"t{i}", text=text, label="ai") for i, text in enumerate(TEXTS)]
        steps: list[int] = []
        return TrainingSession(
            recipe=recipe,
            directory=directory,
            train=documents[:4],
            test=documents[4:],
            reward=ComposedReward([WeightedReward(name="vowels", reward=share_of_vowels, weight=1.0)]),
            report=reporter(None),
            observe=lambda _folder, record: steps.append(record.step),
            stop_requested=lambda: stop_after is not None and len(steps) >= stop_after,
            resume_from=checkpoint,
        )

    def trained(
        self, folder: Path, *, stop_after: int | None = None, monitors: Mapping[str, Any] | None = None
    ) -> Trained:
        """Train a run, or the rest of it, to its end or until a stop is asked for."""
        session = self.session(folder, stop_after=stop_after, monitors=monitors)
        try:
            result = self.backend().train(session)
            assert isinstance(result, TrainingResult), f"train() returned {type(result).__name__}"
            rows = session.directory.rows("metrics.jsonl")
            ledger = session.directory.rows("checkpoints.jsonl")
            return Trained(
                result,
                folder,
                [r["step"] for r in rows],
                [r["metrics"] for r in rows],
                ledger,
                session.is_complete,
            )
        finally:
            session.directory.close()

    @pytest.fixture
    def unbroken(self, tmp_path_factory: pytest.TempPathFactory) -> Trained:
        """A run trained to its end, once per test class."""
        return self._once("unbroken", tmp_path_factory, None)

    @pytest.fixture
    def stopped(self, tmp_path_factory: pytest.TempPathFactory) -> Trained:
        """A run that is asked to stop during its first step, trained once per test class."""
        return self._once("stopped", tmp_path_factory, 1)

    def _once(self, name: str, folders: pytest.TempPathFactory, stop_after: int | None) -> Trained:
        kind = type(self)
        if "_runs" not in vars(kind):
            kind._runs = {}
        if name not in kind._runs:
            kind._runs[name] = self.trained(folders.mktemp("contract") / name, stop_after=stop_after)
        return kind._runs[name]

    def policy(self) -> Policy:
        """The model, untrained."""
        return self.backend().policy(self.model, None)

    def sample(
        self, policy: Policy, texts: Sequence[str], *, n: int = 2, **changes: Any
    ) -> list[list[Rollout]]:
        """Sample rollouts for texts; the noise key of each is made from its text."""
        sampling: Sampling = self.recipe().sampling.model_copy(update=changes)
        conversations = [[{"role": "user", "content": text}] for text in texts]
        keys = [(7, len(text)) for text in texts]
        return policy.sample(conversations, n=n, keys=keys, sampling=sampling)

    def test_a_run_is_trained_to_its_end(self, unbroken: Trained) -> None:
        assert unbroken.result == TrainingResult(status="completed", step=self.steps)
        assert unbroken.complete, 'add_checkpoint(step, where, "final") lists the trained adapter'

    def test_each_step_is_ended_once_in_order(self, unbroken: Trained) -> None:
        assert unbroken.steps == list(range(1, self.steps + 1))
        for metrics in unbroken.metrics:
            assert np.isfinite(metrics["reward_mean"])
            assert metrics["completion_tokens"] > 0
            assert metrics["seconds_total"] > 0

    def test_checkpoints_are_entered(self, unbroken: Trained) -> None:
        assert [row["step"] for row in unbroken.checkpoints if row["kind"] == "final"] == [self.steps]
        assert any(row["kind"] == "periodic" for row in unbroken.checkpoints), (
            "every `checkpoints.every` steps"
        )
        for row in unbroken.checkpoints:
            assert "reference" in row or (unbroken.folder / row["path"]).is_dir(), f"{row} is not there"

    def test_a_stop_ends_the_step_and_leaves_a_checkpoint(self, stopped: Trained) -> None:
        assert stopped.result == TrainingResult(status="interrupted", step=1)
        assert stopped.steps == [1]
        assert [row["step"] for row in stopped.checkpoints] == [1]
        assert not stopped.complete

    def test_what_monitors_decide_is_done(self, tmp_path: Path) -> None:
        """The rate is halved after step 1, the coefficient raised after step 3, step 2 restored after step 4."""
        always = {"metric": "reward_mean", "low": 2, "limit": 1}
        run = self.trained(
            tmp_path / "run",
            monitors={
                "slower": {**always, "action": "lower-rate"},
                "firmer": {**always, "patience": 3, "action": "raise-kl", "factor": 10},
                "back": {"metric": "kl_penalty_coef", "high": 0.05, "action": "roll-back", "limit": 1},
            },
        )
        first, *later = [metrics["learning_rate"] for metrics in run.metrics]
        assert later == [first / 2] * 3, "Session.learning_rate gives the rate of each update"
        weights = {}
        for name, row in (
            ("step 2", next(row for row in run.checkpoints if row["step"] == 2)),
            ("final", next(row for row in run.checkpoints if row["kind"] == "final")),
        ):
            self.backend().export(run.folder, row, tmp_path / name)
            weights[name] = (tmp_path / name / "adapter_model.safetensors").read_bytes()
        assert weights["final"] == weights["step 2"], "Session.take_roll_back gives the checkpoint to restore"

    def test_a_stop_of_a_monitor_ends_the_step_and_leaves_a_checkpoint(self, tmp_path: Path) -> None:
        stop = {"metric": "reward_mean", "low": 2, "action": "stop"}
        stopped = self.trained(tmp_path / "run", monitors={"enough": stop})
        self.test_a_stop_ends_the_step_and_leaves_a_checkpoint(stopped)

    def test_a_run_goes_on_from_its_checkpoint(self, stopped: Trained, unbroken: Trained) -> None:
        rest = self.trained(stopped.folder)
        assert rest.result == TrainingResult(status="completed", step=self.steps)
        assert rest.steps == list(range(1, self.steps + 1)), "resume_from says which steps are done"
        if self.repeats:
            for name in ("reward_mean", "kl_reference"):
                resumed, whole = (np.array([m[name] for m in run.metrics]) for run in (rest, unbroken))
                self.agree(resumed, whole, f"{name} of a resumed run")

    def test_n_rollouts_for_each_conversation(self) -> None:
        groups = self.sample(self.policy(), TEXTS[:3])
        assert [len(group) for group in groups] == [2, 2, 2]
        for rollout in _all(groups):
            assert isinstance(rollout, Rollout), f"a rollout is a {type(rollout).__name__}"
            assert 0 < len(rollout.completion_ids) <= self.recipe().sampling.max_tokens
            assert len(rollout.prompt_ids) > 0
            assert np.isfinite(rollout.logprobs).all()
            assert (np.asarray(rollout.logprobs) <= 1e-6).all(), "a log-probability is at most 0"

    def test_a_key_fixes_the_rollouts(self) -> None:
        policy = self.policy()
        together = _ids(self.sample(policy, TEXTS[:3]))
        assert _ids(self.sample(policy, TEXTS[:3])) == together, "the same call again"
        assert _ids(self.sample(policy, TEXTS[:3][::-1])) == together[::-1], "conversations in reverse"
        assert [_ids(self.sample(policy, [text]))[0] for text in TEXTS[:3]] == together, "each alone"
        assert together[0][0] != together[0][1], "the rollouts of one conversation differ"

    def test_log_probabilities_are_of_the_full_softmax(self) -> None:
        """Sample with a tiny ``top_p``: every token is the likeliest; renormalised, each would have probability 1."""
        groups = self.sample(self.policy(), TEXTS[:2], top_p=1e-6)
        assert all(group[0].completion_ids == group[1].completion_ids for group in groups)
        assert min(float(np.min(rollout.logprobs)) for rollout in _all(groups)) < -1e-4

    def test_an_adapter_is_exported_in_the_format_of_peft(self, unbroken: Trained, tmp_path: Path) -> None:
        final = next(row for row in unbroken.checkpoints if row["kind"] == "final")
        self.backend().export(unbroken.folder, final, tmp_path / "exported")
        config = json.loads((tmp_path / "exported" / "adapter_config.json").read_text(encoding="utf-8"))
        assert config["peft_type"] == "LORA"
        assert (tmp_path / "exported" / "adapter_model.safetensors").stat().st_size > 0


def _all(groups: Sequence[Sequence[Rollout]]) -> Iterator[Rollout]:
    return (rollout for group in groups for rollout in group)


def _ids(groups: Sequence[Sequence[Rollout]]) -> list[list[list[int]]]:
    return [[list(rollout.completion_ids) for rollout in group] for group in groups]
