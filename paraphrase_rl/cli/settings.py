"""Options that several commands share: recipe, components, prices, device."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, get_args, get_origin

import click

from paraphrase_rl.errors import RecipeError, UsageError

if TYPE_CHECKING:
    from pydantic import BaseModel

    from paraphrase_rl.types import Kind

_Function = TypeVar("_Function", bound=Callable[..., Any])


set_option = click.option(
    "--set",
    "overrides",
    multiple=True,
    metavar="KEY=VALUE",
    help="Change a value of the recipe, such as training.epochs=1.",
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
        of: words for the component in the help, such as "the backend".
        name: name of the argument.
    """
    return click.option("--option", "-o", name, multiple=True, metavar="KEY=VALUE", help=f"Option of {of}.")


def option_values(
    options: Sequence[str], example: str, model: type[BaseModel] | None = None
) -> dict[str, Any]:
    """Read ``--option KEY=VALUE`` of a component: the value as YAML, or as a string if the option takes only strings.

    Args:
        example: example for the error about a malformed option, such as ``timeout_s=120``.
        model: class of the component's options; ``None`` = not known.

    Raises:
        UsageError: an option without a value.
        RecipeError: a value that is not YAML.
    """
    given: dict[str, Any] = {}
    for option in options:
        key, equals, text = option.partition("=")
        if not equals or not key.strip():
            raise UsageError(f"--option {option}: expected KEY=VALUE", f"for example --option {example}")
        first, *inner = key.strip().split(".")
        known = model.model_fields.get(first) if model is not None else None
        annotation: Any = known.annotation if known is not None else None
        for _ in inner:
            annotation = (get_args(annotation) or (None,))[-1] if get_origin(annotation) is dict else None
        value = _typed(text, option, annotation)
        place = given
        for name in (first, *inner)[:-1]:
            place = place.setdefault(name, {})
        place[(first, *inner)[-1]] = value
    return given


def options_model(kind: Kind, name: str) -> type[BaseModel] | None:
    """Return the class of a component's options; ``None`` if no component or several have this name."""
    from paraphrase_rl.plugin.registry import default_registry

    entries = [e for e in default_registry().entries(kind) if name in (e.spec.name, e.full_name)]
    return entries[0].spec.options if len(entries) == 1 else None


def _typed(text: str, option: str, annotation: Any) -> Any:
    """Value of an option: the first of YAML, YAML with all scalars as strings, and the text itself that it accepts."""
    from pydantic import TypeAdapter, ValidationError

    from paraphrase_rl.recipe.yaml_positions import parse_strings, parse_value

    def accepts(value: Any) -> bool:
        try:
            TypeAdapter(annotation).validate_python(value)
        except ValidationError:
            return False
        return True

    if annotation is None:
        return parse_value(text, option)
    try:
        value = parse_value(text, option)
        hidden = value is None and text.strip().lower() not in ("", "null", "~")  # a comment, such as #1.csv
        if accepts(value) and not hidden:
            return value
    except RecipeError:
        if not accepts(text):
            raise
        return text
    for other in (parse_strings(text), text):
        if accepts(other) and not (hidden and other is None):
            return other
    return value


price_option = click.option(
    "--prices",
    "price_file",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Price table to use instead of the backend's own.",
)


def hourly_option(use: str) -> Callable[[_Function], _Function]:
    """Option ``--hourly``; ``use`` ends the first sentence of its help."""
    return click.option(
        "--hourly", type=click.FloatRange(min=0), help=f"What an hour of the machine costs, to tell {use}"
    )


def cost_options(function: _Function) -> _Function:
    """Options ``--max-cost`` and ``--prices``; passed as max_cost, price_file."""
    limit = click.option(
        "--max-cost",
        type=click.FloatRange(min=0),
        metavar="AMOUNT",
        help="Refuse a run that could cost more, in the currency of the prices.",
    )
    return limit(price_option(function))
