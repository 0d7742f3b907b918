"""Protocols of components. Plug-ins need not inherit; `paraphrase_rl.testing` checks that they conform."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol, runtime_checkable

import numpy as np

from paraphrase_rl.types import (
    Document,
    Explanation,
    Failure,
    FloatArray,
    Measurements,
    RewardBatch,
    Rewrite,
    Rollout,
    Scores,
    Terms,
)

if TYPE_CHECKING:
    from pathlib import Path

    from paraphrase_rl.models.chat import Chat
    from paraphrase_rl.plugin.rated import RatedRollouts, SupervisedExample, TokenAdvantages
    from paraphrase_rl.recipe.schema import Recipe, Sampling
    from paraphrase_rl.types import Kind


class Components(Protocol):
    """Registry as a component sees it: :class:`paraphrase_rl.plugin.registry.Registry`."""

    def spec(self, kind: Kind, name: str) -> Any:
        """Return the spec of a component."""
        ...

    def options(self, kind: Kind, name: str, options: Mapping[str, object] = ...) -> Any:
        """Return the validated options of a component."""
        ...

    def build(self, kind: Kind, name: str, options: Mapping[str, object] = ..., context: Any = ...) -> Any:
        """Build a component."""
        ...


class Detector(Protocol):
    """Scores texts; higher = more likely AI."""

    def score(self, texts: Sequence[str]) -> Scores:
        """Return scores of shape (N,) in the order of ``texts``, with a Failure for each text that cannot be scored.

        A text's score does not depend on the other texts of the call (to 1e-4), nor on batch size or order. A detector
        that reads only the beginning of a long text says so with a Truncation.
        """
        ...

    def provenance(self) -> Mapping[str, str]:
        """Return revisions or digests of the models that the score depends on, by model reference; else empty."""
        ...


@runtime_checkable
class ExplainingDetector(Detector, Protocol):
    """Detector that says which parts of a text its score comes from."""

    def explain(self, text: str) -> Explanation | Failure:
        """Split the score of one text into the shares of its parts, or say why it has no score."""
        ...


@runtime_checkable
class MeasuringDetector(Detector, Protocol):
    """Detector that describes each text by numbers, by which a calibration knows the texts that it holds for."""

    def measures(self, texts: Sequence[str]) -> Mapping[str, FloatArray]:
        """Return numbers by name, each of shape (N,), NaN for a text without one; names in the same order always.

        A number of a text does not depend on the other texts. Names are short phrases, which are shown to users where
        the number sets a text apart: ``likelihood of tokens``.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """Verdicts of the calibrated detectors of an ensemble on N texts. Members without a vote have only their P(AI).

    Attributes:
        probabilities: P(AI) by detector name, each of shape (N,).
        combined: P(AI) combined over the members with a vote.
        below: member with a vote -> how far its score lies below its threshold, in standard deviations of its scores of
            the calibration texts; shape (N,), positive = not flagged, NaN if it failed.
        weights: member with a vote -> its weight in the mean.
        powers: member with a vote -> 2 AUROC - 1 on the calibration texts, in (0, 1].
        combine: ``mean`` or ``worst-case``.
    """

    probabilities: Mapping[str, Scores]
    combined: Scores
    below: Mapping[str, FloatArray]
    weights: Mapping[str, float]
    powers: Mapping[str, float]
    combine: str

    @property
    def highest(self) -> FloatArray:
        """Combined P(AI) of shape (N,), where a member that failed counts as 1; NaN where all failed.

        To choose texts by: ``combined`` leaves such members out, so that a text could gain by being unreadable.
        """
        evasions = {name: 1.0 - self.probabilities[name].values for name in self.weights}
        return 1.0 - self.evasion(evasions, self.weights)

    def evasion(self, evasions: Mapping[str, FloatArray], weights: Mapping[str, float]) -> FloatArray:
        """Combine evasions of the members with a vote, each in [0, 1] and of shape (N,), into shape (N,).

        That of a member that failed (NaN) counts as 0, the least that it could have been; NaN where all failed.

        Args:
            evasions: member -> its evasion of each text.
            weights: member -> its weight in the mean; unused for ``worst-case``.
        """
        known = [np.nan_to_num(evasions[name], nan=0.0) for name in self.weights]
        if self.combine == "worst-case":
            values: FloatArray = np.min(known, axis=0)
        else:
            values = np.average(known, axis=0, weights=[weights[name] for name in self.weights])
        values[[failure.index for failure in self.combined.failures]] = np.nan
        return values


class ProbabilityModel(Protocol):
    """The calibrated ensemble of a recipe."""

    names: Sequence[str]

    @property
    def detectors(self) -> Mapping[str, Detector]:
        """Detectors of the ensemble by name, in the recipe's order."""
        ...

    def probabilities(self, texts: Sequence[str]) -> tuple[Mapping[str, Scores], Scores]:
        """Return P(AI) in [0, 1] by detector name, and combined over the ensemble; each of shape (N,)."""
        ...

    def judge(self, texts: Sequence[str]) -> Judgement:
        """Return P(AI), and how each member with a vote arrives at its verdict."""
        ...


class Reward(Protocol):
    """Rates rewrites. No running state: a value depends on its own item alone."""

    def __call__(self, batch: RewardBatch) -> Terms:
        """Values of shape (N,) in [0, 1], higher is better."""
        ...


class Metric(Protocol):
    """Measures a rewrite against its source. No running state: a value depends on its own item alone (to 1e-4)."""

    def __call__(self, batch: RewardBatch) -> Measurements:
        """For each rewrite a value, NaN where the metric does not apply, or NaN and a Failure."""
        ...


class Rewriter(Protocol):
    """Rewrites texts."""

    def rewrite(self, texts: Sequence[str], n: int, seed: int) -> list[list[Rewrite] | Failure]:
        """Rewrite each text ``n`` times, or return a Failure for it. The same seed gives the same rewrites."""
        ...


class DatasetSource(Protocol):
    """Source of documents."""

    def documents(self) -> Iterable[Document]:
        """Yield all documents, in a stable order. The core gives a split to documents that have none."""
        ...

    def description(self) -> str:
        """Return one paragraph: what the texts are, where they come from, and their licence."""
        ...


class Policy(Protocol):
    """A model that rewrites, with log-probabilities."""

    def sample(
        self,
        conversations: Sequence[Sequence[Mapping[str, str]]],
        *,
        n: int,
        keys: Sequence[Sequence[int]],
        sampling: Sampling,
    ) -> list[list[Rollout]]:
        """Sample ``n`` rollouts for each conversation; its integers in ``keys`` fix the randomness."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingResult:
    """Result of a training.

    Attributes:
        status: ``completed``, or ``interrupted`` with a checkpoint to resume from.
        step: the last step done.
    """

    status: Literal["completed", "interrupted"]
    step: int


class Warmup(Protocol):
    """Warm-up of a training, as its backend sees it: :class:`paraphrase_rl.training.warmup.WarmupSession`.

    A backend calls :meth:`prepare` with the policy that the run starts from, then trains the steps after that of
    :attr:`resume_from` by cross-entropy with Adam, a constant rate and no weight decay, and starts the first step of
    the training with a fresh optimizer.
    """

    @property
    def steps(self) -> int:
        """Steps of the whole warm-up, once it is prepared."""
        ...

    @property
    def learning_rate(self) -> float:
        """Learning rate of every step."""
        ...

    @property
    def resume_from(self) -> tuple[int, Path | str] | None:
        """Step of the warm-up's checkpoint to continue from, and its folder or reference; ``None`` = from the start."""
        ...

    @property
    def reference(self) -> Path | str | None:
        """The adapter after the complete warm-up: its folder, or sampler weights at a service; ``None`` before.

        ``RatedRollouts.warmup_logprobs`` are its log-probabilities.
        """
        ...

    def prepare(self, policy: Policy, chat: Chat) -> bool:
        """Make the pairs, or the rest of them; return False if the user asked to stop before they were complete."""
        ...

    def batch(self, step: int) -> list[SupervisedExample]:
        """Return the examples of a step (counted from 1)."""
        ...

    def end_step(
        self, step: int, logprobs: Sequence[FloatArray], measured: Mapping[str, float], seconds: float
    ) -> None:
        """Record a step; ``logprobs`` are those of the completions before the update, one array for each example."""
        ...

    def checkpoint_due(self, step: int) -> bool:
        """Return whether to write a checkpoint after this step: also after the last, and when asked to stop."""
        ...

    def rescue(self, step: int, save: Callable[[], None]) -> None:
        """Have the weights of ``step`` saved by ``save`` when the warm-up fails, before the error is passed on."""
        ...

    def add_checkpoint(self, step: int, where: Path | str, **details: str | None) -> None:
        """List a complete checkpoint of the warm-up."""
        ...


class Session(Protocol):
    """One training, as its backend sees it: :class:`paraphrase_rl.training.session.TrainingSession`."""

    @property
    def recipe(self) -> Recipe:
        """Recipe of the run."""
        ...

    @property
    def train(self) -> Sequence[Document]:
        """Documents that the policy is trained to rewrite."""
        ...

    @property
    def test(self) -> Sequence[Document]:
        """Held-out documents that each evaluation rewrites."""
        ...

    @property
    def order(self) -> list[list[int]]:
        """Indices in ``train`` of the prompts of each step."""
        ...

    @property
    def warmup(self) -> Warmup | None:
        """Warm-up before the first step, complete where ``resume_from`` is set; ``None`` if the recipe has none."""
        ...

    @property
    def report(self) -> Callable[[str], None]:
        """Function that shows one line of progress to the user."""
        ...

    @property
    def stop_requested(self) -> Callable[[], bool]:
        """Function that returns True if the user, or a monitor, asked to stop after the current step."""
        ...

    @property
    def resume_from(self) -> tuple[int, Path | str] | None:
        """Step of the checkpoint to continue from, and its folder or reference; ``None`` at a fresh start."""
        ...

    @property
    def start_from(self) -> Path | str | None:
        """Adapter of another run to begin with: its folder, or a service's reference; ``None`` = a new one."""
        ...

    @property
    def folder(self) -> Path:
        """The run directory."""
        ...

    @property
    def unfinished(self) -> Path:
        """Folder in which a checkpoint is written until it is complete and listed."""
        ...

    @property
    def steps(self) -> int:
        """Steps of the whole run."""
        ...

    @property
    def is_complete(self) -> bool:
        """True if the final checkpoint is listed."""
        ...

    def conversation(self, document: Document) -> list[dict[str, str]]:
        """Return the chat messages that ask for a rewrite of a document."""
        ...

    def noise_key(self, step: int, index: int) -> tuple[int, int, int]:
        """Return integers that fix the randomness of one prompt's rollouts at one step (counted from 1)."""
        ...

    def rate(self, indices: Sequence[int], rollouts: Sequence[Rollout]) -> RatedRollouts:
        """Compute the rewards of rollouts; ``indices`` gives the position in ``train`` of each rollout's document."""
        ...

    def advantages(self, rated: RatedRollouts) -> TokenAdvantages:
        """Compute the advantages of the tokens of a whole batch, whose ``base_logprobs`` the backend has set."""
        ...

    def end_step(
        self, step: int, rated: RatedRollouts, measured: Mapping[str, float], seconds: Mapping[str, float]
    ) -> None:
        """Record a step; ``seconds`` are wall seconds by part of the step, including ``total``."""
        ...

    @property
    def stopped_by(self) -> str | None:
        """Name of the monitor that asked, in :meth:`end_step`, to stop after this step; ``None`` if none did."""
        ...

    def learning_rate(self, rate: float) -> float:
        """Return the learning rate of the next update, given the recipe's. Call it before every update."""
        ...

    def take_roll_back(self) -> tuple[int, Path | str] | None:
        """Return the checkpoint to restore now, its step and its folder or reference; ``None`` = go on.

        Call it after :meth:`end_step`. Weights and optimizer are restored from it, and a checkpoint of the step that
        has ended is added; the steps go on from there.
        """
        ...

    def event(self, kind: str, **details: object) -> None:
        """Record an event, such as a request that was sent again."""
        ...

    def checkpoint_due(self, step: int) -> bool:
        """Return whether a checkpoint must be written after this step."""
        ...

    def rescue(self, step: int, save: Callable[[], None]) -> None:
        """Have the weights of ``step`` saved by ``save`` when training fails; call it before the error is passed on."""
        ...

    def add_checkpoint(self, step: int, where: Path | str, kind: str, **details: str | None) -> None:
        """List a complete checkpoint: its folder in the run directory, or a service's reference to it."""
        ...

    def evaluation_due(self, step: int) -> bool:
        """Return whether the held-out texts must be rewritten after this step."""
        ...

    def evaluate(self, policy: Policy, step: int) -> None:
        """Have the policy rewrite the held-out texts, and record the reward terms."""
        ...


class Backend(Protocol):
    """Samples, computes log-probabilities and updates weights; nothing else."""

    def train(self, session: Session) -> TrainingResult:
        """Train to the end of the run or to the first interrupt; continue from ``session.resume_from``."""
        ...

    def policy(self, model: str, adapter: Path | str | None, *, thinking: bool = False) -> Policy:
        """Load a model, with a trained adapter (a folder, or the backend's own reference) or without.

        Args:
            thinking: whether it thinks before it answers, see the recipe's ``prompt.thinking``.
        """
        ...

    def export(self, run: Path, checkpoint: Mapping[str, Any], out: Path) -> None:
        """Write the adapter of one checkpoint, a row of ``checkpoints.jsonl``, to a new folder in PEFT's format."""
        ...


__all__ = [
    "Backend",
    "Components",
    "DatasetSource",
    "Detector",
    "FloatArray",
    "Judgement",
    "MeasuringDetector",
    "Metric",
    "Policy",
    "ProbabilityModel",
    "Reward",
    "Rewriter",
    "Session",
    "TrainingResult",
    "Warmup",
]
