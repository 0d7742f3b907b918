"""The verbs that write files of a run: report, export."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from paraphrase_rl.api.common import mapping_of, registry_or_default
from paraphrase_rl.errors import PluginError, RunError

if TYPE_CHECKING:
    from paraphrase_rl.api.common import AnyPath, RunOrPath
    from paraphrase_rl.plugin.registry import Registry
    from paraphrase_rl.progress import OnProgress
    from paraphrase_rl.recipe.schema import Recipe


def report(run: RunOrPath, *, evaluation: AnyPath | None = None, out: AnyPath | None = None) -> Path:
    """Write a run, or an evaluation alone, as one HTML page that needs no network.

    Nothing is measured again: a missing measurement is listed on the page, with the command that makes it.

    Args:
        run: a run, its directory, or the folder of an evaluation.
        evaluation: folder of an evaluation of the run; by default the folder ``evaluation`` in the run, if there is
            one.
        out: file of the page; by default ``report.html`` in the run.

    Returns:
        The path of the page.

    Raises:
        RunError: neither a run nor an evaluation, a damaged table, or the page cannot be written.
        EvaluationError: the evaluation asked for is missing or damaged.

    Example:
        >>> prl.report("runs/a").name
        'report.html'
    """
    from paraphrase_rl.files import write_text
    from paraphrase_rl.reporting.inputs import read_inputs
    from paraphrase_rl.reporting.page import render_page
    from paraphrase_rl.runs.run import Run

    folder = Run(run).folder
    page = Path(out) if out is not None else folder / "report.html"
    write_text(page, render_page(read_inputs(folder, None if evaluation is None else Path(evaluation))))
    return page


def export(
    run: RunOrPath,
    out: AnyPath | None = None,
    *,
    checkpoint: int | Literal["last", "final"] = "last",
    merged: bool = False,
    push: str | None = None,
    backend_options: Mapping[str, Any] | None = None,
    progress: OnProgress | None = None,
    registry: Registry | None = None,
) -> Path:
    """Write the adapter of a run to a folder in PEFT's format, with a model card; or the model with it merged.

    Downloads the adapter if the run was trained at a service; copies it if the run was trained on this machine. Nothing
    in the folder refers to this machine: the adapter names its model as the hub does.

    Args:
        run: the run, or its directory.
        out: new folder; by default ``adapter-STEP`` or ``merged-STEP`` in the run.
        checkpoint: a step; ``final`` = the final checkpoint; ``last`` = the newest.
        merged: write the complete model, its weights with the adapter added, instead of the adapter.
        push: a repository ``ORG/NAME`` of the Hugging Face hub to upload the folder to; a new one is made private.
            ``None`` = nothing leaves this machine.
        backend_options: options of the backend; each replaces the run's own value.
        progress: called with each progress report.
        registry: where the backend comes from.

    Returns:
        The path of the folder.

    Raises:
        RunError: no run, no such checkpoint, the folder exists, or the hub refused the upload.
        UsageError: the upload cannot be made: no token, no such name, or the hub is switched off.
        ModelError: the model cannot be loaded, or the adapter not merged into it.
        PluginError: the backend of the run is not installed.

    Example:
        >>> adapter = prl.export("runs/a", "adapters/a")
        >>> sorted(file.name for file in adapter.iterdir())[:3]
        ['README.md', 'adapter_config.json', 'adapter_model.safetensors']
    """
    from paraphrase_rl.files import new_folder
    from paraphrase_rl.models.adapters import make_portable, merge_adapter
    from paraphrase_rl.models.hub import check_push
    from paraphrase_rl.models.hub import push as push_folder
    from paraphrase_rl.progress import reporter
    from paraphrase_rl.reporting.card import Exported, model_card
    from paraphrase_rl.runs.backend import backend_of_run
    from paraphrase_rl.runs.reader import checkpoint_row, recipe_of_run
    from paraphrase_rl.runs.run import Run

    folder, report_line = Run(run).folder, reporter(progress)
    on = backend_of_run(folder, mapping_of(backend_options, "backend_options"))
    recipe, row = recipe_of_run(folder), checkpoint_row(folder, checkpoint)
    stem = "merged" if merged else "adapter"
    written = Path(out) if out is not None else folder / f"{stem}-{row['step']}"
    if os.path.lexists(written):
        raise RunError(f"{written} already exists", "choose another --out")
    if push is not None:
        check_push(push)
    registry = registry_or_default(registry)
    report_line(f"exporting step {row['step']} of {folder}")
    with new_folder(written) as unfinished:
        adapter = unfinished.with_name(f"{unfinished.name}.adapter")
        registry.build("backends", on.name, on.options).export(folder, row, adapter)
        make_portable(adapter, recipe.model)
        if merged:
            report_line(f"merging into {recipe.model}")
            merge_adapter(recipe.model, adapter, unfinished)
        else:
            adapter.rename(unfinished)
        card = Exported(
            run=folder, step=row["step"], merged=merged, data_licence=_data_licence(registry, recipe)
        )
        (unfinished / "README.md").write_text(model_card(card), encoding="utf-8")
    if push is not None:
        report_line(f"pushed to {push_folder(written, push)}, private if it is new")
    return written


def _data_licence(registry: Registry, recipe: Recipe) -> str:
    """Licence of the texts of a recipe; an empty string if its data set gives none or is not installed here."""
    with suppress(PluginError):
        return str(registry.spec("datasets", recipe.data.source.name).licence)
    return ""
