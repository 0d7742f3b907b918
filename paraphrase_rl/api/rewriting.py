"""The verb rewrite."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from paraphrase_rl.api.common import (
    check_name,
    check_whole,
    device_or_default,
    mapping_of,
    path_of,
    registry_or_default,
)
from paraphrase_rl.api.saved_calibration import read_calibration
from paraphrase_rl.api.text_results import RewriteResult, RewriteRow
from paraphrase_rl.data.items import Item
from paraphrase_rl.data.reading import items_of, usable
from paraphrase_rl.errors import PrlError
from paraphrase_rl.progress import OnProgress, Report, reporter

if TYPE_CHECKING:
    from paraphrase_rl.api.common import RunOrPath
    from paraphrase_rl.api.saved_calibration import SavedCalibration
    from paraphrase_rl.data.bad_rows import BadRows
    from paraphrase_rl.data.forms import Form
    from paraphrase_rl.data.reading import Texts
    from paraphrase_rl.detection.ensemble import CalibratedEnsemble
    from paraphrase_rl.plugin.protocols import Rewriter
    from paraphrase_rl.plugin.registry import Registry
    from paraphrase_rl.types import Failure, Rewrite

AT_ONCE = 16
"""Number of texts between two progress reports; a backend samples them together."""


def rewrite(
    rewriter: str,
    texts: Texts,
    *,
    n: int = 1,
    seed: int = 0,
    options: Mapping[str, object] | None = None,
    run: RunOrPath | None = None,
    calibration: SavedCalibration | None = None,
    column: str | None = None,
    input_format: Form | None = None,
    bad_rows: BadRows = "refuse",
    device: str | None = None,
    progress: OnProgress | None = None,
    registry: Registry | None = None,
) -> RewriteResult:
    """Rewrite texts. The same seed gives the same rewrites.

    Args:
        rewriter: its name, such as ``homoglyph``.
        texts: N texts, in any form that :func:`score` takes.
        n: rewrites of each text, at least 1.
        seed: seed of the rewriting, at least 0.
        options: options of the rewriter.
        run: a :class:`Run` or its directory, whose policy, prompt, sampling and detectors are used.
        calibration: calibration of the detectors that the rewriter may use; ``None`` = the run's.
        column: name of the text column of a table; ``None`` = ``text``.
        input_format: format of the files, see :func:`score`.
        bad_rows: ``refuse`` or ``skip`` rows without a usable text: empty, not a string, not valid Unicode.
        device: torch device.
        progress: called with each progress report.
        registry: components to choose from.

    Returns:
        ``n`` rows for each text, or one row with ``failure`` for a text that could not be rewritten.

    Raises:
        UsageError, DataError: ``texts`` cannot be read as texts; ``n`` or ``seed`` is out of range.
        PluginError, RecipeError, MissingDependencyError, ModelError, RunError: the rewriter cannot be built.
        CalibrationError: there is no such calibration, or a detector has changed since.

    Example:
        >>> prl.rewrite("upper-lower", "The bridge opens in May.", options={"rate": 1.0}).texts
        ['the Bridge Opens In may.']
    """
    from paraphrase_rl.plugin.specs import Context

    registry = registry_or_default(registry)
    report = reporter(progress)
    check_name(rewriter, "rewriter")
    check_whole(n, "n", 1)
    check_whole(seed, "seed", 0)
    given = dict(mapping_of(options, "options"))
    folder = path_of(run, "run") if run is not None else None
    check_rewriter(rewriter, given, folder, registry)
    given_items = items_of(texts, column, report, input_format)
    items, notes = usable(given_items, bad_rows)
    spec = registry.spec("rewriters", rewriter)
    used = calibration if calibration is not None else _calibration_of(folder)
    device = device_or_default(device, bool(spec.extra) or used is not None)
    ensemble = _ensemble(registry, used, device, needed=calibration is not None, report=report)
    built = registry.build(
        "rewriters", rewriter, given, Context(device=device, ensemble=ensemble, run=folder)
    )
    if folder is not None:
        report(f"run: {folder}; options that are not given come from the recipe of the run")
    rows = list(_rewrite_rows(built, items, n, seed, report))
    if cut := sum(row.finished is False for row in rows):
        notes.append(f"{cut} of {len(rows)} rewrites were cut at the token limit: see the column `finished`")
    return RewriteResult(
        tuple(rows),
        tuple(notes),
        rewriter=rewriter,
        options=given,
        seed=seed,
        n_texts=len(items),
        left_out=len(given_items) - len(items),
        run=folder,
        calibration=read_calibration(used)[1] if ensemble is not None else None,
    )


def check_rewriter(
    rewriter: str, options: Mapping[str, object], run: Path | None, registry: Registry | None = None
) -> None:
    """Refuse an unknown rewriter, a missing package, a wrong option, and a folder that is not a run.

    Raises:
        PluginError, RecipeError, MissingDependencyError, RunError: the message says which of these it is.
    """
    from paraphrase_rl.runs.reader import recipe_file

    registry = registry_or_default(registry)
    registry.options("rewriters", rewriter, options)
    if run is not None:
        recipe_file(run)
    registry.require("rewriters", rewriter)


def _calibration_of(run: Path | None) -> Path | None:
    """The calibration of a run, where it has one."""
    path = run / "calibration.json" if run is not None else None
    return path if path is not None and path.is_file() else None


def _ensemble(
    registry: Registry, given: SavedCalibration | None, device: str, *, needed: bool, report: Report
) -> CalibratedEnsemble | None:
    """The calibrated detectors; a run's own that cannot be loaded are left out and said: few rewriters use them."""
    from paraphrase_rl.detection.ensemble import build_ensemble
    from paraphrase_rl.plugin.specs import Context

    if given is None:
        return None
    try:
        saved, path = read_calibration(given)
        assert saved is not None
        ensemble = build_ensemble(saved, registry, Context(device=device))
    except PrlError as error:
        if needed:
            raise
        report(f"note: the run's detectors are not used: {error.one_line}")
        return None
    report(f"detectors: {', '.join(ensemble.names)}, as calibrated{'' if path is None else f' in {path}'}")
    return ensemble


def _rewrite_rows(
    rewriter: Rewriter, items: Sequence[Item], n: int, seed: int, report: Report
) -> Iterator[RewriteRow]:
    """A row for each rewrite, or one for a text without any."""
    for start in range(0, len(items), AT_ONCE):
        some = items[start : start + AT_ONCE]
        results = rewriter.rewrite([item.text for item in some], n, seed)
        for item, result in zip(some, results, strict=True):
            yield from _of_one(item, result)
        if len(items) > AT_ONCE:
            done = start + len(some)
            report(f"{done} of {len(items)} texts", done, len(items))


def _of_one(item: Item, result: list[Rewrite] | Failure) -> Iterator[RewriteRow]:
    if not isinstance(result, list):
        yield RewriteRow(id=item.id, failure=f"{result.kind}: {result.message}", input=item.columns)
        return
    for sample, made in enumerate(result):
        yield RewriteRow(
            id=item.id, sample=sample, rewrite=made.text, finished=made.finished, input=item.columns
        )
