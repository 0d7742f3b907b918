"""The data set of a command: a name or a path, its columns, and its options."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import click

from paraphrase_rl.cli.completion import ComponentName, RecipeName
from paraphrase_rl.cli.settings import component_option, option_values, options_model, set_option
from paraphrase_rl.cli.texts import bad_rows_option

if TYPE_CHECKING:
    from paraphrase_rl.data.bad_rows import BadRows
    from paraphrase_rl.recipe.schema import Recipe

_Function = TypeVar("_Function", bound=Callable[..., Any])


class DataChoice(NamedTuple):
    """Data set as a command was told of it.

    Attributes:
        source: name of a data set, or a path; ``None`` = the recipe's.
        options: of the data set, ``KEY=VALUE``.
        text: name of the column of the texts, where it is another than ``text``; so for label and group.
        bad_rows: what is done about rows without a usable text.
        input_format: of the files; ``None`` = by their names and contents.
    """

    source: str | None
    options: Sequence[str] = ()
    text: str | None = None
    label: str | None = None
    group: str | None = None
    bad_rows: BadRows = "refuse"
    input_format: str | None = None


def data_options(function: _Function) -> _Function:
    """Options of a data set; :func:`choice_of` makes a :class:`DataChoice` of them and of its name."""
    for option in (
        bad_rows_option,
        click.option(
            "--input-format",
            type=click.Choice(("csv", "jsonl", "json", "parquet", "arrow")),
            help="Format of the files.  [default: by their names and contents]",
        ),
        component_option("the data set, such as 'label_values={0: human, 1: ai}'", "data_options"),
        *(
            click.option(
                f"--{column}-column", metavar="NAME", help=f"Column of the {said}, if not {column!r}."
            )
            for column, said in (("group", "writers' group"), ("label", "label"), ("text", "text"))
        ),
    ):
        function = option(function)
    return function


def data_changes(data: DataChoice, config: str | None = None) -> list[tuple[str, object]]:
    """Changes to a recipe that give it the data set.

    A name that no data set has, but a file, is a path: the data set for files of ``defaults.yaml`` reads it.

    Raises:
        UsageError, RecipeError: an option without a value, or one that is not YAML.
    """
    from paraphrase_rl.recipe.defaults import default
    from paraphrase_rl.recipe.loading import load_recipe

    options: dict[str, Any] = {}
    name = data.source
    if name is not None and _is_path(name):
        options["path"], name = name, str(default("data_files"))
    used = name or load_recipe(config).recipe.data.source.name
    options |= option_values(data.options, "path=essays.csv", options_model("datasets", used))
    named = {"text": data.text, "label": data.label, "group": data.group}
    if columns := {column: called for column, called in named.items() if called is not None}:
        options["columns"] = {**options.get("columns", {}), **columns}
    if data.bad_rows != "refuse":
        options["bad_rows"] = data.bad_rows
    if data.input_format is not None:
        options["input_format"] = data.input_format
    changes: list[tuple[str, object]] = [] if name is None else [("data.source", {"name": name})]
    return changes + [(f"data.source.options.{key}", value) for key, value in options.items()]


def _is_path(name: str) -> bool:
    from paraphrase_rl.data.forms import BY_SUFFIX, suffix
    from paraphrase_rl.files import is_file_or_folder

    if options_model("datasets", name) is not None:
        return False
    return is_file_or_folder(name) or suffix(name) in BY_SUFFIX or any(mark in name for mark in "*?[~")


def recipe_options(function: _Function, several: bool = False) -> _Function:
    """Options ``--config``, ``--data`` and those of the data set, and ``--set``; :func:`recipe_of` reads them.

    Args:
        function: of the command.
        several: whether ``--data`` may be repeated.
    """
    function = set_option(data_options(function))
    more = " May be repeated: one human population each." if several else ""
    for option in (
        click.option(
            "--data",
            type=ComponentName("datasets", or_file=True),
            multiple=several,
            metavar="NAME|FILE",
            help=f"Data set, or a table of labelled texts.{more}  [default: the recipe's]",
        ),
        click.option("--config", type=RecipeName(), help="Recipe: packaged name or YAML file."),
    ):
        function = option(function)
    return function


def choice_of(source: str | None, given: dict[str, Any]) -> DataChoice:
    """Take the options of :func:`data_options` out of a command's arguments."""
    columns = {column: given.pop(f"{column}_column") for column in ("text", "label", "group")}
    others = {name: given.pop(name) for name in ("bad_rows", "input_format")}
    return DataChoice(source, given.pop("data_options"), **columns, **others)


def recipe_of(
    config: str | None, data: DataChoice, overrides: Sequence[str], detectors: Sequence[str] = ()
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
    return load_recipe(config, [*changes, *data_changes(data, config), *overrides]).recipe
