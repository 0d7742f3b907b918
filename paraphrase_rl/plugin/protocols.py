"""What a component does. Plug-ins need not inherit; `paraphrase_rl.testing` checks that they conform."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol

from paraphrase_rl.types import (
    Document,
    Failure,
    FloatArray,
    RewardBatch,
    Rewrite,
    Rollout,
    Scores,
    Terms,
)

if TYPE_CHECKING:
    from pathlib import Path

    from paraphrase_rl.training.session import TrainingRun


class Detector(Protocol):
    """Scores texts; higher = more likely AI."""

    def score(self, texts: Sequence[str]) -> Scores:
        """Scores of shape (N,) in the order of ``texts``, a Failure for each that cannot be scored.

        A text's score does not depend on the other texts of the call (to 1e-4), nor on batch size or order.
        """
        ...

    def provenance(self) -> Mapping[str, str]:
        """What the score depends on: model reference -> revision or content digest. Empty when nothing."""
        ...


class ProbabilityModel(Protocol):
    """The calibrated ensemble of a recipe."""

    names: Sequence[str]

    def probabilities(self, texts: Sequence[str]) -> tuple[Mapping[str, Scores], Scores]:
        """P(AI) in [0, 1] by detector name, and combined over the ensemble; each of shape (N,)."""
        ...


class Reward(Protocol):
    """Judges rewrites. No running state: a value depends on its own item alone."""

    def __call__(self, batch: RewardBatch) -> Terms:
        """Values of shape (N,) in [0, 1], higher is better."""
        ...


class Rewriter(Protocol):
    """Rewrites texts."""

    def rewrite(self, texts: Sequence[str], n: int, seed: int) -> list[list[Rewrite] | Failure]:
        """For each text ``n`` rewrites, or why there are none. The same seed gives the same rewrites."""
        ...


class DatasetSource(Protocol):
    """Where documents come from."""

    def documents(self) -> Iterable[Document]:
        """All documents, in a stable order. Those without a split are split by the core."""
        ...

    def description(self) -> str:
        """One paragraph: what the texts are, where they come from, and their licence."""
        ...


class Policy(Protocol):
    """A model that rewrites, with log-probabilities."""

    def sample(
        self,
        conversations: Sequence[Sequence[Mapping[str, str]]],
        *,
        n: int,
        keys: Sequence[Sequence[int]],
        temperature: float,
        top_p: float,
        max_tokens: int,
    ) -> list[list[Rollout]]:
        """``n`` rollouts for each conversation; the integers of its key fix its randomness."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingResult:
    """How a training ended.

    Attributes:
        status: ``completed``, or ``interrupted`` with a checkpoint to resume from.
        step: the last step done.
    """

    status: Literal["completed", "interrupted"]
    step: int


class Backend(Protocol):
    """Samples, computes log-probabilities and updates weights; nothing else."""

    def train(self, run: TrainingRun) -> TrainingResult:
        """Train to the end of the run or to the first interrupt; continue from ``run.resume_from``."""
        ...

    def policy(self, model: str, adapter: Path | str | None) -> Policy:
        """The model of a reference, with a trained adapter (a folder, or the backend's own reference) or without."""
        ...

    def export(self, run: Path, checkpoint: Mapping[str, Any], out: Path) -> None:
        """Write the adapter of a row of a run's ``checkpoints.jsonl`` to a new folder, in PEFT's format."""
        ...


__all__ = [
    "Backend",
    "DatasetSource",
    "Detector",
    "FloatArray",
    "Policy",
    "ProbabilityModel",
    "Reward",
    "Rewriter",
    "TrainingResult",
]
