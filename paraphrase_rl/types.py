"""Types that components exchange: plain frozen records, no behaviour beyond validation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Label = Literal["human", "ai"]
Split = Literal["calibration", "train", "test"]
Kind = Literal["detectors", "rewards", "rewriters", "metrics", "datasets", "backends", "commands"]
"""Kind of a component."""
FloatArray = NDArray[np.float64]


class ContractError(ValueError):
    """A component returned what its contract forbids: a bug in the component, not in its input."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """One text with what is known about it.

    Attributes:
        id: unique in its data set; names the text in tables and files.
        text: the text itself, never empty.
        label: who wrote it, ``None`` when unknown.
        group: a population whose false positive rate is of interest, such as ``non-native``.
        domain: the kind of text, such as ``news``.
        pair: texts that share a pair (a human text and its AI counterpart) are never split apart.
        split: ``None`` until the data set is split.
    """

    id: str
    text: str
    label: Label | None = None
    group: str | None = None
    domain: str | None = None
    pair: str | None = None
    split: Split | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """Reason why one item has no result. It is returned with the results of the other items.

    Attributes:
        index: position of the item in the call.
        owner: the component that failed, such as ``fast-detectgpt``.
        kind: short and stable, for counting: ``too-short``, ``not-text``, ``crashed`` …
        message: one line for a person.
    """

    index: int
    owner: str
    kind: str
    message: str


def _check_failures(values: FloatArray, failures: Sequence[Failure], what: str) -> None:
    if values.ndim != 1 or values.dtype != np.float64:
        raise ContractError(
            f"{what} must be float64 of shape (N,), got {values.dtype} of shape {values.shape}"
        )
    failed = {f.index for f in failures}
    missing = set(np.flatnonzero(~np.isfinite(values)).tolist())
    if failed != missing:
        raise ContractError(
            f"{what}: a value must be NaN exactly where there is a Failure; "
            f"failures at {sorted(failed)}, non-finite values at {sorted(missing)}"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Truncation:
    """Part of a text that a detector did not read: its score rests on the beginning of the text alone.

    Attributes:
        index: position of the text in the call.
        read: number of units at the beginning of the text that were read.
        total: number of units of the whole text; ``None`` if they were not counted.
        unit: unit of the detector's limit, in the plural: ``tokens``, ``words``.
    """

    index: int
    read: int
    total: int | None
    unit: str

    def __str__(self) -> str:
        whole = "the first " if self.total is None else ""
        return f"{whole}{self.read:,}{'' if self.total is None else f' of {self.total:,}'} {self.unit}"


@dataclass(frozen=True, slots=True)
class Scores:
    """A detector's scores.

    Attributes:
        values: float64 of shape (N,), in the order of the texts and the detector's own unit; **higher = more
            likely AI**. NaN exactly for the texts with a Failure in ``failures``: the constructor refuses a NaN
            without a Failure, a number with one, and an infinity.
        failures: one for each text that could not be scored.
        truncated: one for each text of which the detector read only the beginning, as it is longer than its limit.
    """

    values: FloatArray
    failures: tuple[Failure, ...] = ()
    truncated: tuple[Truncation, ...] = ()

    def __post_init__(self) -> None:
        _check_failures(self.values, self.failures, "Scores.values")
        for cut in self.truncated:
            if not 0 <= cut.index < self.values.size or (cut.total is not None and cut.read >= cut.total):
                raise ContractError(f"Scores.truncated: {cut} of text {cut.index} leaves nothing out")

    @property
    def scored(self) -> NDArray[np.bool_]:
        """Boolean array of shape (N,): True for each text that has a score."""
        return np.isfinite(self.values)

    def take(self, rows: Sequence[int]) -> Scores:
        """Return the scores of the texts at the positions ``rows``, in that order."""
        failed = {failure.index: failure for failure in self.failures}
        cut = {truncation.index: truncation for truncation in self.truncated}
        return Scores(
            self.values[np.array(rows, dtype=np.int64)],
            tuple(replace(failed[row], index=i) for i, row in enumerate(rows) if row in failed),
            tuple(replace(cut[row], index=i) for i, row in enumerate(rows) if row in cut),
        )


def join_scores(parts: Sequence[Scores]) -> Scores:
    """Join the scores of consecutive texts, of which each part has some; at least one part."""
    starts = np.cumsum([0, *(part.values.size for part in parts)]).tolist()
    placed = list(zip(starts, parts, strict=False))
    return Scores(
        np.concatenate([part.values for part in parts]),
        tuple(replace(f, index=start + f.index) for start, part in placed for f in part.failures),
        tuple(replace(t, index=start + t.index) for start, part in placed for t in part.truncated),
    )


@dataclass(frozen=True, slots=True)
class Share:
    """Share of a part of a text in a detector's score.

    Attributes:
        text: the part: a token, an n-gram, or the name of a statistic of the whole text, which has no places.
        spans: its places in the text, as (start, end) in characters; an n-gram may have several, or none that is known.
        value: what it adds to the score, in the detector's unit; positive = towards AI.
        details: numbers that it follows from, by name: a token's ``rank``, the ``value`` of a statistic of the text.
    """

    text: str
    spans: tuple[tuple[int, int], ...]
    value: float
    details: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Explanation:
    """Shares of the parts of one text in its score: ``base`` and all shares add up to ``score`` (to 1e-6).

    Attributes:
        score: the score, as the detector gives it; higher = more likely AI.
        base: what the score is without any part, such as an intercept.
        shares: one for each part.
        read: number of characters that the detector read, from the beginning; the rest has no influence.
        is_mean: whether each part is one of the values that the score averages. Where it is a mean, a part is neutral
            if its share is that of a text at the threshold; else if its share is 0.
    """

    score: float
    base: float
    shares: tuple[Share, ...]
    read: int
    is_mean: bool


@dataclass(frozen=True, slots=True)
class Terms:
    """Values of one reward for a batch of rewrites.

    Attributes:
        values: float64 of shape (N,), each in [0, 1], higher is better; NaN exactly for the rewrites with a Failure
            in ``failures``.
        failures: one for each rewrite that could not be rated.
        details: further numbers by name, each of shape (N,), for logs only (never for the update).
    """

    values: FloatArray
    failures: tuple[Failure, ...] = ()
    details: Mapping[str, FloatArray] = field(default_factory=dict)

    def __post_init__(self) -> None:
        _check_failures(self.values, self.failures, "Terms.values")
        known = self.values[np.isfinite(self.values)]
        if known.size and (known.min() < 0.0 or known.max() > 1.0):
            raise ContractError(f"Terms.values must lie in [0, 1], got {known.min():g} to {known.max():g}")


@dataclass(frozen=True, slots=True)
class Measurements:
    """Values of one metric, or of several that are computed together, for N rewrites.

    Attributes:
        values: by the metric's name, float64 of shape (N,) in the metric's unit. NaN with a Failure: it could not be
            computed; NaN without one: it does not apply (a source without numbers has none to preserve).
        failures: one for each value that could not be computed; ``owner`` is the metric.
    """

    values: Mapping[str, FloatArray]
    failures: tuple[Failure, ...] = ()

    def __post_init__(self) -> None:
        for name, values in self.values.items():
            if values.ndim != 1 or values.dtype != np.float64:
                raise ContractError(
                    f"Measurements.values of {name} must be float64 of shape (N,), "
                    f"got {values.dtype} of shape {values.shape}"
                )
        for failure in self.failures:
            values = self.values.get(failure.owner, np.empty(0))
            if not (0 <= failure.index < len(values) and np.isnan(values[failure.index])):
                raise ContractError(
                    f"a Failure of {failure.owner!r} at {failure.index} belongs to no missing value (NaN)"
                )


@dataclass(frozen=True, slots=True, kw_only=True)
class RewardBatch:
    """Batch of N rewrites that a reward rates or a metric measures: aligned lists of length N.

    Attributes:
        sources: the document each rewrite was made from.
        rewrites: the texts as sampled, special tokens removed, otherwise unchanged.
        finished: whether the policy ended the text by itself (not cut at the token limit).
        instruction: what the policy was told to do, without the source; used to recognise a rewrite that repeats it.
    """

    sources: Sequence[Document]
    rewrites: Sequence[str]
    finished: Sequence[bool]
    instruction: str

    def __post_init__(self) -> None:
        if not len(self.sources) == len(self.rewrites) == len(self.finished):
            raise ValueError("sources, rewrites and finished must have the same length")

    def __len__(self) -> int:
        return len(self.rewrites)

    def subset(self, indices: Sequence[int]) -> RewardBatch:
        """Return the batch of the items at ``indices``, in that order."""
        return RewardBatch(
            sources=[self.sources[i] for i in indices],
            rewrites=[self.rewrites[i] for i in indices],
            finished=[self.finished[i] for i in indices],
            instruction=self.instruction,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Rewrite:
    """One rewritten text. ``finished`` is False when it was cut at the token limit."""

    text: str
    finished: bool = True


Rewrites = list[Rewrite] | Failure
"""Result for one text: its rewrites, or the Failure that says why there are none."""


def with_index(result: Rewrites, index: int) -> Rewrites:
    """Set the index of a Failure to the position of its text in the call; rewrites are returned unchanged."""
    return replace(result, index=index) if isinstance(result, Failure) else result


@dataclass(frozen=True, slots=True, kw_only=True)
class Rollout:
    """One sampled completion, as the sampler saw it.

    Attributes:
        group: position in the batch of the prompt that the rollout belongs to.
        prompt_ids: token ids of the prompt, without padding.
        completion_ids: token ids sampled, including the end token if there is one.
        logprobs: float64 of shape (T,): the sampler's own log-probability of each completion token under the
            full softmax at the sampling temperature.
        text: the answer: the completion decoded, special tokens and the thought removed.
        finished: whether the end token was sampled.
        thought: what the model thought before it answered, for logs only; empty if it did not.
    """

    group: int
    prompt_ids: Sequence[int]
    completion_ids: Sequence[int]
    logprobs: FloatArray
    text: str
    finished: bool
    thought: str = ""

    def __post_init__(self) -> None:
        if len(self.completion_ids) != len(self.logprobs):
            raise ValueError("one log-probability per completion token")


@dataclass(frozen=True, slots=True, kw_only=True)
class StepRecord:
    """One training step, one row of ``metrics.jsonl``. Names of metrics are the same on every backend."""

    step: int
    metrics: Mapping[str, float]
