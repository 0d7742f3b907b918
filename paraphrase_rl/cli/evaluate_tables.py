"""Tables of ``prl evaluate``: cells, quality, transfer, false positives, failures."""

from __future__ import annotations

import math
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

from paraphrase_rl.cli.output import emit, say, show, wrapped
from paraphrase_rl.tables import cell as table_cell

if TYPE_CHECKING:
    from paraphrase_rl.evaluation.results import Results


def show_results(results: Results, format_: str, folder: Path) -> None:
    """Print the results on stdout, and their folder on stderr."""
    if format_ == "table":
        _tables(results, format_)
    else:
        emit(
            results.flat_rows(),
            format_=format_,
            schema="prl.evaluate",
            meta=results.model_dump(mode="json", exclude={"cells", "format"}),
        )
    for note in results.about.notes:
        say(f"note: {note}")
    run = results.about.run
    is_default = run is not None and folder == Path(run) / "evaluation"
    say(f"wrote {folder}; next: prl report {shlex.quote(str(run if is_default else folder))}")


def _tables(results: Results, format_: str) -> None:
    from paraphrase_rl.evaluation.results import ORIGINAL
    from paraphrase_rl.evaluation.shown import failures, fairness_rows, quality_rows, transfer_rows

    about = results.about
    at = about.target_fpr
    show(
        wrapped(
            f"{about.ai_texts} AI and {about.human_texts} human test texts of {about.source}, {about.samples} "
            f"rewrite{'s' if about.samples > 1 else ''} per text."
        )
    )
    show(
        wrapped(
            f"Thresholds: {about.calibration_texts} calibration texts of humans, of which "
            f"{math.floor(at * about.calibration_texts + 1e-9)} may be flagged (a false positive rate of {at:.3g})."
        )
    )
    if results.cells:
        show(
            f"TPR and ASR are at these thresholds; {ORIGINAL} = texts before they are rewritten;\n"
            "ASR = share no longer flagged, of the n texts flagged before; [95 % interval].\n"
        )
        emit([cell.shown_at(at) for cell in results.cells], format_=format_, schema="")
    for title, rows in (
        ("Quality (mean)", list(quality_rows(results))),
        ("Transfer (mean over detectors)", list(transfer_rows(results))),
        ("False positive rate of human texts by group", list(fairness_rows(results))),
    ):
        if rows:
            show(f"\n{title}\n")
            emit(rows, format_=format_, schema="")
    reasons = dict.fromkeys(failures(results))
    if reasons:
        show("\nFailed\n")
        for reason in reasons:
            show(wrapped(table_cell(reason, None), "  ", "    "))
