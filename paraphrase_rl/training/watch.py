"""Watch over a training: what its monitors decide after each step, and the checkpoint that a roll-back restores."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from paraphrase_rl.errors import PluginError
from paraphrase_rl.progress import Report
from paraphrase_rl.recipe.monitors import in_force
from paraphrase_rl.recipe.schema import Recipe
from paraphrase_rl.runs.directory import RunDirectory
from paraphrase_rl.runs.terms import RewardTerm
from paraphrase_rl.training.monitors import Alarm, Monitors, rules_for, unmeasured, without_checkpoint


class Watch:
    """Monitors of a recipe over its run.

    Args:
        done: last step of the run so far, whose rows and events are taken over.

    Attributes:
        stopped_by: name of the monitor that asked to stop; ``None`` if none did.
        due_roll_back: checkpoint to restore before the next step, its step and its folder or reference.
    """

    def __init__(
        self, recipe: Recipe, directory: RunDirectory, terms: Sequence[RewardTerm], report: Report, done: int
    ) -> None:
        self.recipe, self.directory, self.report = recipe, directory, report
        self.monitors = Monitors(rules_for(terms, in_force(recipe.monitors, recipe.kl.reference)), terms)
        rows = directory.rows("metrics.jsonl", ("step", "metrics"))
        self.monitors.restore(
            [(row["step"], row["metrics"]) for row in rows if row["step"] <= done],
            [row for row in directory.rows("events.jsonl") if row.get("step", 0) <= done],
        )
        self.due_roll_back: tuple[int, Path | str] | None = None
        self.stopped_by: str | None = None
        self._asked_rate = False

    @property
    def kl_coef(self) -> float:
        """Weight of the KL penalty at the next update: the recipe's, as monitors have changed it."""
        return self.recipe.kl.penalty_coef * self.monitors.kl_scale

    def learning_rate(self, rate: float) -> float:
        """Return the learning rate of the next update, given the recipe's."""
        self._asked_rate = True
        return rate * self.monitors.rate_scale

    def check_carried_out(self) -> None:
        """Check that the backend has done for a step what was decided before it.

        Raises:
            PluginError: it has not.
        """
        if self.due_roll_back is not None or (self.monitors.rate_scale != 1 and not self._asked_rate):
            raise PluginError(
                "the backend does not carry out what monitors decide (Session.learning_rate, take_roll_back)",
                "give the recipe's monitors other actions, such as warn or stop, or another backend",
            )
        self._asked_rate = False

    def unmeasured(self, metrics: Mapping[str, float]) -> list[str]:
        """Say which monitors look at nothing that a step measures; see :func:`.monitors.unmeasured`."""
        return unmeasured(self.recipe.monitors, self.monitors.rules, metrics)

    def look(self, step: int, metrics: Mapping[str, float]) -> None:
        """Look at a step that is recorded, and decide; every decision is an event, and all but notes are reported."""
        for found in self.monitors.look(step, metrics):
            back = self._good_checkpoint(found) if found.action == "roll-back" else None
            if found.action == "roll-back" and back is None:
                found = without_checkpoint(found)
            alarm = self.monitors.done(found, back[0] if back else None)
            if back and (self.due_roll_back is None or back[0] < self.due_roll_back[0]):
                self.due_roll_back = back
            if alarm.action == "stop":
                self.stopped_by = alarm.rule
            self.directory.event("monitor", **alarm.event())
            if self.directory.writes and alarm.action != "note":
                self.report(f"monitor {alarm.rule}: {alarm.message}")

    def take_roll_back(self) -> tuple[int, Path | str] | None:
        """Return the checkpoint that is due, once."""
        due, self.due_roll_back = self.due_roll_back, None
        return due

    def kept_since(self, step: int) -> int | None:
        """Return the step of the oldest checkpoint that a roll-back after a step may need; ``None`` = none can be."""
        patiences = [rule.patience for rule in self.monitors.rules if rule.action == "roll-back"]
        if not patiences:
            return None
        good = self._checkpoint_before(step - max(patiences))
        return good[0] if good else 0

    def _good_checkpoint(self, found: Alarm) -> tuple[int, Path | str] | None:
        """Find the newest checkpoint whose own rollouts came before the steps that a rule looked at."""
        patience = next(rule.patience for rule in self.monitors.rules if rule.name == found.rule)
        return self._checkpoint_before(found.step - patience)

    def _checkpoint_before(self, step: int) -> tuple[int, Path | str] | None:
        abandoned, every = self.monitors.abandoned, self.recipe.checkpoints.every
        return self.directory.checkpoints.before(
            step,
            # of an interrupt or by the clock there is one in this run, and none in the same run undisturbed
            lambda at: at % every > 0 or any(first < at < last for first, last in abandoned),
        )
