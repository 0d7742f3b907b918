"""Options that several commands share: recipe, components, prices, device."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from paraphrase_rl.errors import UsageError

if TYPE_CHECKING:
    from paraphrase_rl.recipe.schema import Recipe

_Function = TypeVar("_Function", bound=Callable[..., Any])


set_option = click.option(
    "--set",
    "overrides",
    multiple=True,
    metavar="KEY=VALUE",
    help="Change a key of the recipe, such as training.epochs=1.",
)


def _checked(_ctx: click.Context, _parameter: click.Parameter, device: str | None) -> str | None:
    from paraphrase_rl.models.devices import check_device

    if device is not None:
        check_device(device)
    return device


device_option = click.option(
    "--device", callback=_checked, help="Torch device.  [default: cuda if available, else cpu]"
)


def component_option(of: str, name: str = "options") -> Callable[[_Function], _Function]:
    """Option ``--option KEY=VALUE`` of a component; passed as ``name``.

    Args:
        of: the component, for the help, such as "the backend".
        name: of the argument.
    """
    return click.option("--option", "-o", name, multiple=True, metavar="KEY=VALUE", help=f"Option of {of}.")


def option_values(options: Sequence[str], example: str) -> dict[str, Any]:
    """Parse ``--option KEY=VALUE`` of a component, each value typed as YAML.

    Args:
        example: shown where one is malformed, such as ``timeout_s=120``.

    Raises:
        UsageError: an option without a value.
        RecipeError: a value that is not YAML.
    """
    from paraphrase_rl.recipe.yaml_positions import parse_value

    given: dict[str, Any] = {}
    for option in options:
        key, equals, value = option.partition("=")
        if not equals or not key.strip():
            raise UsageError(f"--option {option}: expected KEY=VALUE", f"for example --option {example}")
        given[key.strip()] = parse_value(value, option)
    return given


def recipe_options(function: _Function) -> _Function:
    """Options ``--config``, ``--data``, ``--option``, ``--set``; passed as config, data, data_options, overrides."""
    for option in (
        set_option,
        component_option("the data set, such as path=essays.jsonl", "data_options"),
        click.option("--data", metavar="SOURCE", help="Data set plug-in.  [default: the recipe's]"),
        click.option("--config", metavar="NAME|FILE", help="Recipe: packaged name or YAML file."),
    ):
        function = option(function)
    return function


def cost_options(function: _Function) -> _Function:
    """Options ``--max-cost`` and ``--prices``; passed as max_cost, price_file."""
    for option in (
        click.option(
            "--prices",
            "price_file",
            type=click.Path(path_type=Path, dir_okay=False),
            metavar="FILE",
            help="Price table to use instead of the backend's own.",
        ),
        click.option(
            "--max-cost",
            type=click.FloatRange(min=0),
            metavar="AMOUNT",
            help="Refuse a run that could cost more, in the currency of the prices.",
        ),
    ):
        function = option(function)
    return function


def recipe_of(
    config: str | None,
    data: str | None,
    data_options: Sequence[str],
    overrides: Sequence[str],
    detectors: Sequence[str] = (),
) -> Recipe:
    """Load the recipe of a command: file, then data set and detectors by name, then ``--set``.

    A detector that the recipe lists keeps its options and weight.

    Raises:
        RecipeError: see :func:`paraphrase_rl.recipe.loading.load_recipe`.
    """
    from paraphrase_rl.recipe.loading import load_recipe
    from paraphrase_rl.recipe.schema import Component

    changes: list[str | tuple[str, object]] = []
    if detectors:
        listed = {detector.name: detector for detector in load_recipe(config).recipe.detectors}
        changes.append(("detectors", [listed.get(n, Component(name=n)) for n in dict.fromkeys(detectors)]))
    if data is not None:
        changes.append(("data.source", {"name": data}))
    changes += [f"data.source.options.{option}" for option in data_options]
    return load_recipe(config, [*changes, *overrides]).recipe
