"""What a run costs on a service that charges by the token, before it starts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from pydantic import Field, ValidationError

from paraphrase_rl.errors import RecipeError
from paraphrase_rl.recipe.arithmetic import Workload
from paraphrase_rl.recipe.schema import Recipe, Section
from paraphrase_rl.types import Document

TOKENS_PER_WORD = 1.4
"""Of English prose with a vocabulary of 50,000 or more, rounded up."""
TEMPLATE_TOKENS = 20
"""Of a chat template around two messages, rounded up."""


class Price(Section):
    """Of one model, for a million tokens."""

    prefill: float = Field(ge=0)
    sample: float = Field(ge=0)
    train: float = Field(ge=0)
    date: date
    source: str
    note: str = ""


class Passes(Section):
    """How often each rollout is gone through beside being sampled."""

    prefill: float = Field(ge=0)
    train: float = Field(ge=0)


class Prices(Section):
    """A price table: ``models`` by the name that the recipe's key ``model`` has."""

    currency: str
    passes: Passes
    assumptions: str
    models: dict[str, Price]


def read_prices(file: Path) -> Prices:
    """Read a price table.

    Raises:
        RecipeError: it cannot be read, or a price lacks a figure, its date or its source.
    """
    import yaml

    hint = "for the form see plugins/paraphrase_rl_plugins/backends/tinker_prices.yaml, which this replaces"
    try:
        return Prices.model_validate(yaml.safe_load(file.read_text(encoding="utf-8")))
    except OSError as error:
        raise RecipeError(f"cannot read the prices in {file}: {error.strerror or error}") from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise RecipeError(f"prices in {file}: {where}: {first['msg']}", hint) from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise RecipeError(f"prices in {file}: not YAML: {str(error).splitlines()[0]}", hint) from error


@dataclass(frozen=True)
class Tokens:
    """Tokens by what is charged for them."""

    prefill: float
    sample: float
    train: float

    def cost(self, price: Price) -> float:
        """In the currency of the table."""
        charged = self.prefill * price.prefill + self.sample * price.sample + self.train * price.train
        return charged / 1e6


@dataclass(frozen=True)
class Bill:
    """Tokens of a run: as expected when a rewrite is as long as its source, and when all run to the limit."""

    expected: Tokens
    most: Tokens


def bill(
    recipe: Recipe,
    work: Workload,
    passes: Passes,
    train: Sequence[Document],
    test: Sequence[Document],
) -> Bill:
    """Count the tokens of training on ``train`` and evaluating on the first prompts of ``test``."""
    limit = recipe.sampling.max_tokens
    instructions = _tokens(recipe.prompt.system) + _tokens(recipe.prompt.instruction) + TEMPLATE_TOKENS
    evaluated = test[: recipe.evaluation.prompts]

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
            completion = limit if to_the_limit else sum(min(s, limit) for s in sources) / len(sources)
            prefill += rollouts * prompt
            sample += rollouts * completion
            through += rollouts * (prompt + completion) if trained else 0.0
        return Tokens(prefill + passes.prefill * through, sample, passes.train * through)

    return Bill(tokens(to_the_limit=False), tokens(to_the_limit=True))


def _tokens(text: str) -> float:
    return len(text.split()) * TOKENS_PER_WORD
