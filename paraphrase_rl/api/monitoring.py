"""The verb about a run on its way: monitor."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from paraphrase_rl.api.common import registry_or_default

if TYPE_CHECKING:
    from paraphrase_rl.api.common import AnyPath, RunOrPath
    from paraphrase_rl.plugin.registry import Registry
    from paraphrase_rl.recipe.loading import Changes
    from paraphrase_rl.training.replay import Monitoring


def monitor(
    run: RunOrPath,
    *,
    set: Changes = (),
    prices: AnyPath | None = None,
    hourly: float | None = None,
    registry: Registry | None = None,
) -> Monitoring:
    """Replay the monitors of a run on its recorded steps, while it runs or later.

    Nothing is measured again and nothing in the run changes. Call it again to see how a running run goes on.

    Args:
        run: the run, or its directory.
        set: recipe keys below ``monitors`` to change, such as ``{"monitors.far-from-base.high": 0.3}``: what would
            other rules have found?
        prices: a price table to use instead of the backend's own.
        hourly: what an hour of the machine costs, to tell what a run of one's own has cost so far, by the seconds of
            its recorded steps, those of its warm-up included; in place of a price table.
        registry: where the price table of the run's backend comes from.

    Returns:
        A row for each rule with its state after the last step. ``alarms`` are those of all steps with what was
        done, ``ok`` says whether no rule is out of its band now; ``curves``, ``samples``, ``seconds_left`` and
        ``spent`` say how the run goes.

    Raises:
        RunError: there is no run, or one of its files is damaged.
        UsageError: a change of another key, or ``prices`` and ``hourly`` together.
        RecipeError: the price table cannot be read.

    Example:
        >>> watched = prl.monitor("runs/a")
        >>> watched.ok, [row.rule for row in watched if row.state == "alarm"]
        (True, [])
    """
    from paraphrase_rl.errors import UsageError
    from paraphrase_rl.runs.run import Run
    from paraphrase_rl.training.replay import replay

    if prices is not None and hourly is not None:
        raise UsageError(
            "--prices and --hourly (prices= and hourly=) cannot be used together",
            "leave out one of them: a service charges by the token, a machine of one's own by the hour",
        )
    file = None if prices is None else Path(prices)
    return replay(Run(run).folder, registry_or_default(registry), set, file, hourly)
