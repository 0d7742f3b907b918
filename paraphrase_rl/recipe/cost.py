"""Cost of a run on a service that charges by the token, estimated before it starts."""

from __future__ import annotations

import datetime
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError

from paraphrase_rl.errors import RecipeError
from paraphrase_rl.recipe.arithmetic import Workload
from paraphrase_rl.recipe.schema import Recipe
from paraphrase_rl.recipe.section import Section
from paraphrase_rl.types import Document

TOKENS_PER_WORD = 1.4
"""Tokens for each word of English prose, with a vocabulary of 50,000 or more, rounded up."""
TEMPLATE_TOKENS = 20
"""Tokens that a chat template adds to two messages, rounded up."""


class Price(Section):
    """Prices of one model for a million tokens."""

    prefill: float = Field(ge=0)
    sample: float = Field(ge=0)
    train: float = Field(ge=0)
    date: datetime.date
    source: str
    note: str = ""
    retired: datetime.date | None = None
    always_thinks: bool = False


class Passes(Section):
    """Number of times that a service reads each rollout in addition to sampling it.

    After an update it reads ``measured`` rollouts of each group once more, for the size of the step.
    """

    prefill: float = Field(ge=0)
    train: float = Field(ge=0)
    measured: int = Field(0, ge=0)

    def reads(self, *, warmed_up: bool) -> float:
        """Return how often a rollout of training is read; after a warm-up also by the policy that this made."""
        return self.prefill + warmed_up

    def trains(self, group_size: int) -> float:
        """Return how often a rollout is read at the price of training, on average over its group."""
        return self.train + min(self.measured, group_size) / group_size


class Prices(Section):
    """Price table: ``models`` by their name in the recipe's key ``model``.

    A model with a date in ``retired`` is no longer served; one that ``always_thinks`` cannot be told not to.
    """

    currency: str
    passes: Passes
    assumptions: str
    models: dict[str, Price]

    @property
    def date(self) -> datetime.date:
        """The newest date in the table."""
        return max(price.date for price in self.models.values())

    @property
    def served(self) -> list[str]:
        """Names of the models that are still served, in the order of the table."""
        return [name for name, price in self.models.items() if price.retired is None]


def read_prices(file: Path) -> Prices:
    """Read a price table.

    Raises:
        RecipeError: the file cannot be read, or a price lacks its amount, its date or its source.
    """
    from paraphrase_rl.recipe.yaml_positions import read_yaml

    hint = "write the prices in the format of plugins/paraphrase_rl_plugins/backends/tinker_prices.yaml"
    try:
        return Prices.model_validate(read_yaml(file.read_text(encoding="utf-8"), str(file)).value)
    except OSError as error:
        raise RecipeError(f"cannot read the prices in {file}: {error.strerror or error}") from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise RecipeError(f"prices in {file}: {where}: {first['msg']}", hint) from error
    except (RecipeError, UnicodeDecodeError) as error:
        raise RecipeError(f"prices in {file}: not YAML: {str(error).splitlines()[0]}", hint) from error


@dataclass(frozen=True)
class Tokens:
    """Token counts by kind of charge."""

    prefill: float
    sample: float
    train: float

    def cost(self, price: Price) -> float:
        """Compute the cost in the currency of the price table."""
        charged = self.prefill * price.prefill + self.sample * price.sample + self.train * price.train
        return charged / 1e6


@dataclass(frozen=True)
class Bill:
    """Tokens of a run: expected, if a rewrite is as long as its source; at most, if all reach the token limit.

    The length of thoughts is not known: with ``prompt.thinking`` every completion is expected to reach the limit.
    """

    expected: Tokens
    most: Tokens


def bill(
    recipe: Recipe,
    work: Workload,
    passes: Passes,
    train: Sequence[Document],
    evaluated: Sequence[Document],
    warmup: Sequence[str] = (),
) -> Bill:
    """Count the tokens of training on ``train`` and evaluating on ``evaluated``.

    Args:
        recipe: the recipe.
        work: rollouts of training and evaluations.
        passes: how often the service reads a rollout.
        train: AI texts of the train split.
        evaluated: held-out texts that each evaluation rewrites.
        warmup: texts of the warm-up: each makes one pair at most, and is rewritten ``warmup.candidates`` times unless
            pairs are given.
    """
    limit = recipe.sampling.max_tokens
    instructions = _tokens(recipe.prompt.system) + _tokens(recipe.prompt.instruction) + TEMPLATE_TOKENS

    def tokens(to_the_limit: bool) -> Tokens:
        prefill = sample = through = 0.0
        for documents, rollouts, trained in (
            (train, work.rollouts, True),
            (evaluated, work.evaluation_rollouts, False),
        ):
            if not documents:
                continue
            sources = [_tokens(d.text) for d in documents]
            prompt = instructions + sum(sources) / len(sources)
            cut = to_the_limit or recipe.prompt.thinking
            completion = limit if cut else sum(min(s, limit) for s in sources) / len(sources)
            prefill += rollouts * prompt
            sample += rollouts * completion
            through += rollouts * (prompt + completion) if trained else 0.0
        # a text and its other half, which the policy writes or is given: as long, or at the limit
        halves = (_tokens(text) + (limit if to_the_limit else _tokens(text)) for text in warmup)
        pairs = sum(instructions + half for half in halves) * recipe.warmup.epochs
        # A batch is read once more before a checkpoint, which minutes may make due after every step.
        pairs *= 2 if to_the_limit else 1 + 1 / recipe.warmup.checkpoint_every
        if recipe.warmup.method not in (None, "pairs"):
            many = recipe.warmup.candidates
            prefill += many * sum(instructions + _tokens(text) for text in warmup)
            sample += many * sum(limit if to_the_limit else min(_tokens(text), limit) for text in warmup)
        read = passes.reads(warmed_up=bool(warmup)) * through
        return Tokens(prefill + read, sample, passes.trains(recipe.training.group_size) * through + pairs)

    return Bill(tokens(to_the_limit=False), tokens(to_the_limit=True))


def spent(
    steps: Iterable[Mapping[str, Any]],
    sampled: Iterable[Mapping[str, Any]],
    supervised: Iterable[Mapping[str, Any]],
    price: Price,
    passes: Passes,
    *,
    group_size: int,
    warmed_up: bool,
) -> float | None:
    """Compute what a run has cost, from the tokens that its rows counted: ``prompt_tokens``, ``completion_tokens``.

    Args:
        steps: metrics of the training steps.
        sampled: rows about what was only sampled: evaluations, and candidates for the pairs of a warm-up.
        supervised: metrics of the steps of a warm-up.
        group_size: number of rollouts of a prompt in a training step.
        warmed_up: whether the training steps come after a warm-up.

    Returns:
        The cost in the currency of the prices; ``None`` if a row lacks its tokens.
    """
    trained, asked, taught = (_counted(rows) for rows in (steps, sampled, supervised))
    through = sum(trained)
    prefill = trained[0] + asked[0] + passes.reads(warmed_up=warmed_up) * through
    tokens = Tokens(prefill, trained[1] + asked[1], passes.trains(group_size) * through + sum(taught))
    total = tokens.cost(price)
    return None if math.isnan(total) else total


def _counted(rows: Iterable[Mapping[str, Any]]) -> tuple[float, float]:
    """Tokens of all prompts and of all completions; NaN if a row lacks them."""
    prompts = completions = 0.0
    for row in rows:
        prompt, completion = row.get("prompt_tokens"), row.get("completion_tokens")
        prompts += math.nan if prompt is None else prompt
        completions += math.nan if completion is None else completion
    return prompts, completions


def _tokens(text: str) -> float:
    return len(text.split()) * TOKENS_PER_WORD
