"""Served models: whether a service trains the policy's model now, asked from it, else from its dated price table."""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Collection, Iterator, Mapping

from paraphrase_rl.errors import PrlError
from paraphrase_rl.preflight.case import Case
from paraphrase_rl.preflight.findings import Finding, Rule
from paraphrase_rl.recipe.loading import load_recipe, packaged_recipes

SERVED = Rule(
    "PRL013",
    "ok",
    "served",
    "The service trains this model.",
)
NOT_SERVED = Rule(
    "PRL014",
    "error",
    "served",
    "The service does not train this model, or no longer: models retire there within a year. A run would fail "
    "when it asks for the model.",
    "name a model that is served",
)
UNLISTED = Rule(
    "PRL015",
    "warning",
    "served",
    "Whether the service trains this model is not known: it could not be asked, and its price table lacks the "
    "model.",
    "set the API key and check again, or name a model of the table",
)
_SIZE = re.compile(r"(?<![a-z\d.])(\d+(?:\.\d+)?)([bm])(?![a-z\d])", re.IGNORECASE)


def check(case: Case) -> Iterator[Finding]:
    """Ask the service, if there is one and it can be asked; else look into the price table."""
    spec, prices, model = case.backend_spec, case.prices, case.recipe.model
    if spec is None or spec.served is None:
        return
    live = case.live
    if isinstance(live, PrlError):
        if prices is not None:
            yield _by_the_table(case, f"by the price table of {prices.date} ({live.message})")
        return
    if live is None:
        return
    if model in live:
        room = f", with a context of {live[model]:,} tokens" if live[model] else ""
        yield SERVED.found(f"{model} is served by {spec.name}{room} (asked now)", key="model")
        return
    retired = prices.models[model].retired if prices is not None and model in prices.models else None
    since = f", retired on {retired}" if retired else ""
    said = f"{model} is not one of the {len(live)} models that {spec.name} trains (asked now){since}"
    yield NOT_SERVED.found(said, key="model", remedy=remedy(case, live))


def _by_the_table(case: Case, source: str) -> Finding:
    assert case.prices is not None
    model, still = case.recipe.model, case.prices.served
    price = case.prices.models.get(model)
    if price is None:
        return UNLISTED.found(
            f"{model} is not among the models {source}", key="model", remedy=remedy(case, still)
        )
    if price.retired is None:
        return SERVED.found(f"{model} is served, {source}", key="model")
    said = f"{model} is not served since {price.retired}, {source}"
    return NOT_SERVED.found(said, key="model", remedy=remedy(case, still))


def remedy(case: Case, served: Collection[str] | Mapping[str, object]) -> str:
    """Name a served model of the size of the recipe's, one that does not think where it must not."""
    models = case.prices.models if case.prices is not None else {}
    fit = [
        name
        for name in served
        if name != case.recipe.model
        and (case.recipe.prompt.thinking or name not in models or not models[name].always_thinks)
    ]
    if not fit:
        return "choose another backend: the service has no model for this recipe"
    chosen = nearest_of_size(case.recipe.model, fit)
    packaged = case.backend_spec.recipe if case.backend_spec is not None else ""
    config = f", or take --config {packaged}" if _model_of(packaged) == chosen else ""
    return f"set model to {chosen}, which is served and of about its size{config}"


def _model_of(packaged: str) -> str | None:
    """Model of a packaged recipe; ``None`` if there is no such recipe."""
    file = packaged_recipes().get(packaged)
    return load_recipe(file).recipe.model if file is not None else None


def nearest_of_size(model: str, names: Collection[str]) -> str:
    """Return the name of the model whose size is nearest, by the parameters in its name; of several the most alike."""
    size = size_of(model)

    def distance(name: str) -> tuple[float, float, str]:
        other = size_of(name)
        apart = abs(math.log(other / size)) if size and other else math.inf
        return round(apart, 1), -difflib.SequenceMatcher(None, model, name).ratio(), name

    return min(names, key=distance)


def size_of(model: str) -> float | None:
    """Return the number of parameters that a model's name tells, in billions: 4 for ``Qwen/Qwen3-4B-Instruct-2507``."""
    found = _SIZE.search(model)
    return None if found is None else float(found[1]) / (1000 if found[2].lower() == "m" else 1)
