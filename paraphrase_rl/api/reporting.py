"""The verbs that write files of a run: report, export."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from paraphrase_rl.api.common import mapping_of, registry_or_default
from paraphrase_rl.errors import RunError

if TYPE_CHECKING:
    from paraphrase_rl.api.common import AnyPath, RunOrPath
    from paraphrase_rl.plugin.registry import Registry
    from paraphrase_rl.progress import OnProgress


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
    backend_options: Mapping[str, Any] | None = None,
    progress: OnProgress | None = None,
    registry: Registry | None = None,
) -> Path:
    """Write the adapter of a run to a folder in PEFT's format.

    Downloads the adapter if the run was trained at a service; copies it if the run was trained on this machine.

    Args:
        run: the run, or its directory.
        out: new folder; by default ``adapter-STEP`` in the run.
        checkpoint: a step; ``final`` = the final checkpoint; ``last`` = the newest.
        backend_options: options of the backend; each replaces the run's own value.
        progress: called with each progress report.
        registry: where the backend comes from.

    Returns:
        The path of the folder.

    Raises:
        RunError: no run, no such checkpoint, or the folder exists.
        PluginError: the backend of the run is not installed.

    Example:
        >>> adapter = prl.export("runs/a", "adapters/a")
        >>> (adapter / "adapter_model.safetensors").is_file()
        True
    """
    from paraphrase_rl.progress import reporter
    from paraphrase_rl.runs.backend import backend_of_run
    from paraphrase_rl.runs.reader import checkpoint_row
    from paraphrase_rl.runs.run import Run

    folder = Run(run).folder
    on = backend_of_run(folder, mapping_of(backend_options, "backend_options"))
    row = checkpoint_row(folder, checkpoint)
    written = Path(out) if out is not None else folder / f"adapter-{row['step']}"
    if os.path.lexists(written):
        raise RunError(f"{written} already exists", "choose another --out")
    written.parent.mkdir(parents=True, exist_ok=True)
    reporter(progress)(f"exporting step {row['step']} of {folder}")
    registry_or_default(registry).build("backends", on.name, on.options).export(folder, row, written)
    return written
