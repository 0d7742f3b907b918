"""Pairs of a warm-up, made chunk by chunk: what a kill leaves of a chunk is made again, and comes out the same."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from paraphrase_rl.errors import RunError
from paraphrase_rl.files import sha256_text, sha256_texts, write_jsonl
from paraphrase_rl.plugin.protocols import Policy
from paraphrase_rl.progress import Report
from paraphrase_rl.recipe.schema import Recipe, Sampling
from paraphrase_rl.runs.directory import RunDirectory
from paraphrase_rl.runs.metrics_files import WARMUP_PAIRS
from paraphrase_rl.text.length import count_words
from paraphrase_rl.training.held_out import token_counts
from paraphrase_rl.training.reward import ComposedReward, WeightedReward
from paraphrase_rl.types import Document, FloatArray, RewardBatch, Rollout

ROLLOUTS_AT_ONCE = 32
"""Number of rollouts sampled for one chunk; each chunk is written when it is complete."""
WARMUP_KEY = 2
"""Integer in noise keys that makes the noise of a warm-up differ from that of training steps and evaluations."""
PAIRS_MADE = "warmup-pairs"
"""Kind of the event that all pairs are made."""

Pair = tuple[str, str]
"""A source and the text that it should become."""


@dataclass(frozen=True, kw_only=True)
class PairMaker:
    """Makes the pairs of a run's warm-up.

    Attributes:
        texts: human excerpts (``inverse-paraphrase``) or AI training texts (``best-of-n``).
        given: the pairs of method ``pairs``, read only where none are in the run yet.
    """

    recipe: Recipe
    directory: RunDirectory
    texts: Sequence[Document]
    given: Callable[[], Sequence[Pair]]
    reward: ComposedReward
    report: Report
    stop_requested: Callable[[], bool]

    def make(self, policy: Policy) -> list[Pair] | None:
        """Make the pairs that are not in the run yet; return all that pass the filters, or ``None`` if stopped.

        Raises:
            RunError: no pair passes the filters, or the texts have changed since the first pairs were made.
        """
        rows = self._rows()
        chunks = self._chunks()
        done = max((row["chunk"] for row in rows), default=-1) + 1
        for number, chunk in enumerate(chunks[done:], start=done):
            made = chunk(policy)
            for row in made:
                self.directory.append(WARMUP_PAIRS, {**row, "chunk": number, "of": len(made)})
            rows += [{**row, "chunk": number, "of": len(made)} for row in made]
            kept = sum(not row["why"] for row in rows)
            self.report(f"warm-up: {kept} pairs of {len(rows)} texts ({number + 1} of {len(chunks)} chunks)")
            if number + 1 < len(chunks) and self.stop_requested():
                return None
        pairs = [(row["source"], row["target"]) for row in rows if not row["why"]]
        reasons = Counter(row["why"].split(" ")[0] for row in rows if row["why"])
        lost = ", ".join(f"{count} by {why}" for why, count in reasons.most_common()) or "none"
        if not pairs and self.recipe.warmup.method == "pairs":
            raise RunError(
                f"the warm-up has no pair: {self.recipe.warmup.path} has none without a held-out text",
                "give pairs of other texts than those of the calibration and test split",
            )
        if not pairs:
            raise RunError(
                f"the warm-up has no pair: of {len(rows)} texts left out were {lost}",
                "lower warmup.min_meaning or warmup.min_rewards, or give more texts",
            )
        if all(row.get("event") != PAIRS_MADE for row in self.directory.rows("events.jsonl")):
            digest = sha256_texts(f"{source}\t{target}" for source, target in pairs)
            self.directory.event(PAIRS_MADE, texts=len(rows), pairs=len(pairs), left_out=lost, sha256=digest)
        self.report(f"warm-up: {len(pairs)} pairs; left out: {lost}")
        return pairs

    def _rows(self) -> list[dict[str, Any]]:
        """The rows of whole chunks; what a kill left of another is removed."""
        keys = ("index", "chunk", "of", "sha256", "source", "target", "why")
        rows = self.directory.rows(WARMUP_PAIRS, keys)
        counts = Counter(row["chunk"] for row in rows)
        whole = [row for row in rows if counts[row["chunk"]] == row["of"]]
        if self.directory.writes and (self.directory.folder / WARMUP_PAIRS).exists():
            write_jsonl(self.directory.folder / WARMUP_PAIRS, whole)  # also where a line is torn
        if self.recipe.warmup.method == "pairs":
            return whole
        for row in whole:
            if row["index"] >= len(self.texts) or row["sha256"] != sha256_text(self.texts[row["index"]].text):
                raise RunError(
                    f"the texts of the warm-up of {self.directory.folder} have changed since its pairs were made",
                    "restore the same texts, or start a new run",
                )
        return whole

    def _chunks(self) -> list[Callable[[Policy], list[dict[str, Any]]]]:
        if self.recipe.warmup.method == "pairs":
            return [lambda _: self._as_given()]
        size = max(1, ROLLOUTS_AT_ONCE // self.recipe.warmup.candidates)
        work = self._best if self.recipe.warmup.method == "best-of-n" else self._inverse

        def part(indices: Sequence[int]) -> Callable[[Policy], list[dict[str, Any]]]:
            return lambda policy: work(policy, indices)

        return [part(range(at, min(at + size, len(self.texts)))) for at in range(0, len(self.texts), size)]

    # ---- one chunk by each method

    def _as_given(self) -> list[dict[str, Any]]:
        return [
            _row(i, target, source, target) | token_counts(())
            for i, (source, target) in enumerate(self.given())
        ]

    def _inverse(self, policy: Policy, indices: Sequence[int]) -> list[dict[str, Any]]:
        """From the policy's paraphrase of a human text to that text: of several, the one that means most the same."""
        sampling = self.recipe.sampling.model_copy(update={"temperature": self.recipe.warmup.temperature})
        texts, rollouts = self._drawn(policy, indices, sampling)
        terms, batch = self._filters(), self._batch(texts, rollouts)
        rated = {term.name: term.reward(batch).values for term in terms}
        meanings = [rated[term.name] for term in terms if not term.gate]
        score = np.nan_to_num(np.mean(meanings, axis=0), nan=-1.0) if meanings else np.zeros(len(texts))
        rows = [
            _row(
                index,
                text.text,
                rollout.text.strip(),
                text.text,
                values=(values := {name: float(found[at]) for name, found in rated.items()}),
                why=self._why_not(terms, values) or self._length(rollout.text, text.text),
            )
            for at, (index, text, rollout) in enumerate(
                zip(np.repeat(indices, self._many).tolist(), texts, rollouts, strict=True)
            )
        ]
        return self._chosen(rows, rollouts, score)

    def _best(self, policy: Policy, indices: Sequence[int]) -> list[dict[str, Any]]:
        """From an AI text to the best of several rewrites by the whole reward."""
        texts, rollouts = self._drawn(policy, indices, self.recipe.sampling)
        outcome = self.reward(self._batch(texts, rollouts))
        terms = [term for term in self._filters() if not term.gate]
        rows = []
        for at, (text, rollout) in enumerate(zip(texts, rollouts, strict=True)):
            values = {name: float(found[at]) for name, found in outcome.terms.items()}
            why = "" if outcome.valid[at] else "validity"
            why = why or self._why_not(terms, values) or self._length(text.text, rollout.text)
            values["total"] = float(outcome.total[at])
            index = indices[at // self._many]
            rows.append(_row(index, text.text, text.text, rollout.text.strip(), why=why, values=values))
        return self._chosen(rows, rollouts, np.nan_to_num(outcome.total, nan=-1.0))

    @property
    def _many(self) -> int:
        return self.recipe.warmup.candidates

    def _drawn(
        self, policy: Policy, indices: Sequence[int], sampling: Sampling
    ) -> tuple[list[Document], list[Rollout]]:
        """Sample the candidates of each text; both lists have one entry for each."""
        # 0 in the place of the step, which counts from 1; + 1, since trailing zeros do not change a seed
        keys = [(self.recipe.training.seed, 0, WARMUP_KEY, index + 1) for index in indices]
        prompts = [self.recipe.prompt.messages(self.texts[index].text) for index in indices]
        groups = policy.sample(prompts, n=self._many, keys=keys, sampling=sampling)
        texts = [self.texts[index] for index in indices for _ in range(self._many)]
        return texts, [rollout for group in groups for rollout in group]

    def _chosen(
        self, rows: Sequence[dict[str, Any]], rollouts: Sequence[Rollout], score: FloatArray
    ) -> list[dict[str, Any]]:
        """The best candidate of each text, one that passes the filters if any does; among equals the first.

        Its row counts the tokens of all candidates of the text: each was sampled, and is charged.
        """
        found = []
        for start in range(0, len(rows), self._many):
            of_text = range(start, start + self._many)
            best = min(of_text, key=lambda at: (bool(rows[at]["why"]), -score[at]))
            found.append(rows[best] | token_counts([rollouts[at] for at in of_text]))
        return found

    def _batch(self, texts: Sequence[Document], rollouts: Sequence[Rollout]) -> RewardBatch:
        return RewardBatch(
            sources=texts,
            rewrites=[rollout.text for rollout in rollouts],
            finished=[rollout.finished for rollout in rollouts],
            instruction=f"{self.recipe.prompt.system}\n{self.recipe.prompt.instruction}",
        )

    # ---- filters

    def _filters(self) -> list[WeightedReward]:
        """The gates, the first reward of role meaning, and those with a least value."""
        named = self.recipe.warmup.min_rewards
        meaning = next((t for t in self.reward.terms if t.role == "meaning"), None)
        return [t for t in self.reward.terms if t.gate or t is meaning or t.name in named]

    def _why_not(self, terms: Iterable[WeightedReward], values: dict[str, float]) -> str:
        named = self.recipe.warmup.min_rewards
        for term in terms:
            value, least = values[term.name], named.get(term.name, self.recipe.warmup.min_meaning)
            passes = value > 0.0 if term.gate and term.name not in named else value >= least
            if not passes:  # so does a value that could not be computed (NaN)
                return f"{term.name} {value:.3g}"
        return ""

    def _length(self, source: str, target: str) -> str:
        ratio = count_words(source) / max(1, count_words(target))
        settings = self.recipe.warmup
        return (
            "" if settings.min_length_ratio <= ratio <= settings.max_length_ratio else f"length {ratio:.2g}"
        )


def _row(
    index: int,
    text: str,
    source: str,
    target: str,
    *,
    why: str = "",
    values: dict[str, float] | None = None,
) -> dict[str, Any]:
    """A row of the file of pairs: ``why`` it is left out, and the values that decided."""
    return {
        "index": index,
        "sha256": sha256_text(text),
        "source": source,
        "target": target,
        "why": why,
        "values": values or {},
    }
