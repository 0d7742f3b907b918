"""The verbs load_data and load_recipe."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from paraphrase_rl.api.common import list_of, mapping_of, registry_or_default
from paraphrase_rl.data.documents import Corpus, load_documents, make_corpus
from paraphrase_rl.errors import DataError, PrlError, UsageError
from paraphrase_rl.files import is_file_or_folder
from paraphrase_rl.recipe.loading import Changes, LoadedRecipe
from paraphrase_rl.recipe.loading import load_recipe as _load_recipe
from paraphrase_rl.recipe.schema import Component, Data, Recipe
from paraphrase_rl.types import Document

if TYPE_CHECKING:
    from paraphrase_rl.data.columns import TableOptions
    from paraphrase_rl.data.forms import TableFormat
    from paraphrase_rl.data.reading import DataFrame, Dataset
    from paraphrase_rl.plugin.registry import Registry

    DataSource: TypeAlias = (
        str | Path | Component | Data | Corpus | Iterable[Document] | Iterable[Path] | DataFrame | Dataset
    )


def load_data(
    source: DataSource | None = None,
    *,
    options: Mapping[str, object] | None = None,
    input_format: TableFormat | None = None,
    test_fraction: float | None = None,
    calibration_fraction: float | None = None,
    split_seed: int | None = None,
    excerpt_words: int | None = None,
    registry: Registry | None = None,
) -> Corpus:
    """Read a data set, validate it, and split it into calibration, train and test; related texts stay together.

    Args:
        source: a data set by name, a :class:`pathlib.Path` (or several) of tables in files, Documents, a data frame,
            a ``datasets.Dataset``; ``None`` = the default recipe's. A column ``split`` is used.
        options: options of the data set if it is named; for a table, ``columns`` (such as ``{"text": "essay"}``) and
            ``label_values`` (such as ``{"0": "human", "1": "ai"}``), and ``bad_rows`` (``refuse`` or ``skip``).
        input_format: format of the files: ``csv``, ``jsonl``, ``json``, ``parquet`` or ``arrow``; ``None`` = by their
            names and contents.
        test_fraction: share of pairs for test, if the data has no splits; ``None`` = 0.2.
        calibration_fraction: share of pairs for calibration; ``None`` = 0.2.
        split_seed: seed of the split; ``None`` = 42.
        excerpt_words: cut every text to its first sentences, at most so many words (10 or more); ``None`` = whole
            texts.
        registry: components to choose from.

    Returns:
        The documents, with ``select``, ``audit`` (counts, duplicates, faults) and ``to_pandas``.

    Raises:
        UsageError: ``source`` is none of these.
        DataError: no documents, an empty text, an unknown label or split, an id used twice.
        PluginError, RecipeError, MissingDependencyError: the data set is unknown or cannot be loaded, or an option is
            wrong.

    Example:
        >>> corpus = prl.load_data("starter", excerpt_words=130)
        >>> len(corpus), len(corpus.select(split="test", label="ai"))
        (1044, 105)
        >>> human, ai = "Rain fell on the harbour.", "It is important to note the rain."
        >>> documents = [prl.Document(id=t[:2], text=t, label=l) for t, l in ((human, "human"), (ai, "ai"))]
        >>> prl.load_data(documents).source
        'documents'
    """
    changes = {
        "test_fraction": test_fraction,
        "calibration_fraction": calibration_fraction,
        "split_seed": split_seed,
        "excerpt_words": excerpt_words,
    }
    given = {f"data.{key}": value for key, value in changes.items() if value is not None}
    if isinstance(source, (Corpus, Data)) and (given or options):
        raise UsageError(
            f"settings cannot be given together with a {type(source).__name__}, which has its settings already",
            "leave out the settings, or give them to load_data with the source of the texts",
        )
    if isinstance(source, Corpus):
        return source
    settings = source if isinstance(source, Data) else _load_recipe(None, given).recipe.data
    options = mapping_of(options, "options")
    if source is not None and not isinstance(source, (str, Component, Data)):
        return _given_documents(source, options, input_format, settings)
    if input_format is not None:
        raise UsageError(
            "input_format is that of files, and no files are given",
            "give files as pathlib.Path, or the option input_format of a data set that reads files",
        )
    known = registry_or_default(registry)
    if isinstance(source, str):
        _check_name(source, known)
        named = Component(name=source)
    else:
        named = source if isinstance(source, Component) else settings.source
    # not by Component(...), which would raise pydantic's error: the data set's own options are checked when it is built
    component = named.model_copy(update={"options": {**named.options, **options}})
    return load_documents(component, settings, known)


def load_recipe(
    recipe: str | Path | Recipe | LoadedRecipe | None = None, *, set: Changes | None = None
) -> LoadedRecipe:
    """Read and validate a recipe: everything a run depends on.

    Args:
        recipe: name of a packaged recipe, a YAML file, a recipe to change; ``None`` = the defaults.
        set: changes, dotted keys with Python values; a component of a list is addressed by its name.

    Returns:
        The ``recipe``, and the origin of each key; its ``repr`` is YAML that says both.

    Raises:
        RecipeError: unreadable file, bad YAML, unknown, ill-typed or contradictory key; with file and line.

    Example:
        >>> loaded = prl.load_recipe("quickstart", set={"training.max_steps": 2, "rewards.fluency.weight": 0.5})
        >>> loaded.recipe.training.max_steps, loaded.origins["training.max_steps"]
        (2, 'set')
    """
    if recipe is not None and not isinstance(recipe, (str, Path, Recipe, LoadedRecipe)):
        raise UsageError(
            f"cannot read a recipe from {type(recipe).__name__}",
            "give the name of a packaged recipe, or a YAML file",
        )
    return _load_recipe(recipe, () if set is None else set)


def corpus_of(data: DataSource | None, registry: Registry) -> Corpus:
    """Convert ``data`` as :func:`load_data` does; a :class:`Corpus` is returned unchanged.

    Raises:
        PrlError: see :func:`load_data`.
    """
    return data if isinstance(data, Corpus) else load_data(data, registry=registry)


def _check_name(name: str, registry: Registry) -> None:
    """Refuse the name of a file, with a hint to use pathlib."""
    try:
        registry.get("datasets", name)
    except PrlError:
        if is_file_or_folder(name):
            raise UsageError(
                f"{name!r} is the name of a file, not of a data set",
                f"give the file as pathlib.Path({name!r})",
            ) from None
        raise


def _given_documents(
    source: Any, options: Mapping[str, object], input_format: TableFormat | None, settings: Data
) -> Corpus:
    """Documents, files, data frames and tables of `datasets`."""
    from paraphrase_rl.data import table_documents as tables

    columns = _table_options(options)
    notes: list[str] = []
    if isinstance(source, Path):
        source = [source]
    if hasattr(source, "columns") and hasattr(source, "to_dict"):
        read: Iterable[Document] = tables.frame_documents(source, columns, notes)
        about = "A data frame."
        return make_corpus(
            read, settings, source="data frame", description=lambda: about, notes=lambda: notes
        )
    if hasattr(source, "column_names"):
        read = tables.dataset_documents(tables.by_split(source), columns, "the data set", notes)
        about = "A table of `datasets`."
        return make_corpus(read, settings, source="dataset", description=lambda: about, notes=lambda: notes)
    listed = list_of(source)
    if listed is None:
        raise UsageError(
            f"cannot read documents from {type(source).__name__}",
            "give a data set by name, a pathlib.Path, Documents, a data frame or a datasets.Dataset",
        )
    if listed and all(isinstance(one, Path) for one in listed):
        files = tables.TableFiles(listed, columns, input_format)
        return make_corpus(
            files.documents(), settings, source=files.title, description=files.description, notes=files.notes
        )
    if options:
        raise UsageError(
            "options cannot be given together with Documents, which have their labels and splits already",
            "leave out the options",
        )
    if wrong := [one for one in listed if not isinstance(one, Document)]:
        raise DataError(
            f"a data set given as a list must hold Documents, and this list holds a {type(wrong[0]).__name__}",
            "make each with prl.Document(id=..., text=..., label=...), or give a data frame with these columns",
        )
    return make_corpus(listed, settings, source="documents", description=lambda: "Documents given in Python.")


def _table_options(options: Mapping[str, object]) -> TableOptions:
    from pydantic import ValidationError

    from paraphrase_rl.data.columns import TableOptions

    try:
        return TableOptions.model_validate(dict(options))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        known = ", ".join(TableOptions.model_fields)
        raise UsageError(f"option {where} of the table: {first['msg']}", f"options: {known}") from error
