"""``prl monitor``: the monitors of a run, replayed on what is recorded, or while it trains."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from paraphrase_rl.cli.output import emit, format_option, show, terminal_width
from paraphrase_rl.cli.settings import hourly_option, price_option
from paraphrase_rl.errors import EXIT_NO, EXIT_OK, UsageError
from paraphrase_rl.tables import record

if TYPE_CHECKING:
    from paraphrase_rl.reporting.live import Line
    from paraphrase_rl.training.replay import Monitoring

SECONDS = 2.0
STYLES = {"head": "bold", "alarm": "red", "aside": "dim", "plain": ""}


@click.command("monitor")
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--follow", is_flag=True, help="Go on until the run ends.")
@click.option(
    "--set",
    "changes",
    multiple=True,
    metavar="KEY=VALUE",
    help="Change a monitor for this replay: monitors.far-from-base.high=0.3. Repeatable.",
)
@price_option
@hourly_option(
    "what the run has cost so far: the seconds of its recorded steps, those of its warm-up included. Loading, "
    "evaluations and the making of warm-up pairs are not counted. Not with --prices."
)
@format_option
@click.pass_context
def command(
    ctx: click.Context,
    run: Path,
    follow: bool,
    changes: tuple[str, ...],
    price_file: Path | None,
    hourly: float | None,
    format_: str,
) -> None:
    """Replay the monitors of a run: curves, bands, alarms, last rewrites, time left and cost so far.

    RUN is a run directory, of a run that trains or of one that has ended. Nothing in it changes. The exit code is 1
    if a rule is out of its band after the last step.

    \b
    Examples:
      prl monitor runs/first
      prl monitor runs/first --follow
      prl monitor runs/first --follow --hourly 2.5
      prl monitor runs/first --set monitors.far-from-base.high=0.3
    """
    from paraphrase_rl.api.monitoring import monitor

    def watch() -> Monitoring:
        return monitor(run, set=changes, prices=price_file, hourly=hourly)

    if follow and format_ != "table":
        raise UsageError(f"--follow and --format {format_} cannot be used together", "leave out one of them")
    if follow and sys.stdout.isatty():
        watched = _drawn(watch)
    elif follow:
        watched = _told(watch)
    else:
        watched = watch()
        _show(watched, format_)
    ctx.exit(EXIT_OK if watched.ok else EXIT_NO)


def _show(watched: Monitoring, format_: str) -> None:
    if format_ == "table":
        show("\n".join(line.text for line in _lines(watched)))
        return
    rows = [record(row) for row in watched]
    fields = ("run", "status", "step", "steps", "seconds_left", "curves", "samples")
    meta = {name: getattr(watched, name) for name in fields} | {
        "run": str(watched.run),
        "ok": watched.ok,
        "alarms": [record(alarm) for alarm in watched.alarms],
        "spent": None if watched.spent is None else record(watched.spent),
    }
    emit(rows, format_=format_, schema="prl.monitor", meta=meta)


def _lines(watched: Monitoring, height: int | None = None) -> list[Line]:
    from paraphrase_rl.reporting.live import ASCII_LEVELS, LEVELS, view

    encoding = (sys.stdout.encoding or "ascii").lower().replace("-", "")
    levels = LEVELS if encoding.startswith("utf") else ASCII_LEVELS
    return view(watched, width=terminal_width(), height=height, levels=levels)


def _drawn(watch: Callable[[], Monitoring]) -> Monitoring:
    """Draw the run on the terminal, again and again, until it ends. Colours are left out with NO_COLOR."""
    from rich.console import Console
    from rich.live import Live
    from rich.text import Text

    console = Console()

    def picture(watched: Monitoring) -> Text:
        # a row is left for the cursor, below which the shell goes on
        lines = _lines(watched, console.size.height - 1)
        return Text("\n", no_wrap=True).join(Text(line.text, STYLES[line.kind]) for line in lines)

    watched = watch()
    with Live(picture(watched), console=console, auto_refresh=False, vertical_overflow="crop") as live:
        while watched.status == "running":
            time.sleep(SECONDS)
            watched = watch()
            live.update(picture(watched), refresh=True)
    return watched


def _told(watch: Callable[[], Monitoring]) -> Monitoring:
    """Print a line for each step and each alarm as they come, until the run ends."""
    from paraphrase_rl.reporting.live import told

    step, watched = 0, watch()
    while True:
        for line in told(watched, step):
            show(line)
        sys.stdout.flush()
        if watched.status != "running":
            return watched
        step = watched.step
        time.sleep(SECONDS)
        watched = watch()
