"""Choice of the rewriters that a detector is trained on, and of those used only in the comparison."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from paraphrase_rl.errors import UsageError
from paraphrase_rl.evaluation.plan import label_of, lacks_run, rewriters_in
from paraphrase_rl.evaluation.results import ORIGINAL
from paraphrase_rl.hardening.records import Met
from paraphrase_rl.plugin.registry import Registry
from paraphrase_rl.recipe.schema import Attack, Component, Recipe


@dataclass(frozen=True, kw_only=True)
class Attacks:
    """Rewriters that a detector is trained on (seen), and rewriters used only in the comparison (unseen)."""

    seen: Sequence[Attack]
    unseen: Sequence[Attack]

    def check(self, registry: Registry) -> None:
        """Refuse a choice of rewriters that would not show how well the detector flags rewrites of unseen kinds.

        A rewriter with other options is the same rewriter: if seen, it is not unseen when a little stronger or inside
            another.

        Raises:
            UsageError: no rewriter to train on, a rewriter is given twice, or it is both seen and unseen.
            PluginError: there is no such rewriter.
        """
        if not self.seen:
            known = ", ".join(sorted(e.spec.name for e in registry.entries("rewriters")))
            raise UsageError("hardening needs a rewriter to train on", f"give one with --on: {known}")
        trained_on, others = (
            {
                registry.get("rewriters", name).full_name: name
                for attack in side
                for name in rewriters_in(attack)
            }
            for side in (self.seen, self.unseen)
        )
        if both := sorted(trained_on[name] for name in trained_on.keys() & others.keys()):
            raise UsageError(
                f"{', '.join(both)} cannot be both trained on and unseen",
                "give a rewriter either with --on or with --against",
            )
        labels = [label_of(attack) for attack in (*self.seen, *self.unseen)]
        if twice := sorted({label for label in labels if labels.count(label) > 1 or label == ORIGINAL}):
            raise UsageError(f"rewriters: {', '.join(twice)} given twice", "give each rewriter its own label")

    def __iter__(self) -> Iterator[tuple[Attack, Met]]:
        yield from ((attack, "seen") for attack in self.seen)
        yield from ((attack, "unseen") for attack in self.unseen)


def choose_attacks(
    recipe: Recipe,
    on: Sequence[Component],
    against: Sequence[Component],
    run: Path | None,
    registry: Registry,
) -> Attacks:
    """Choose the rewriters asked for by label or name.

    Args:
        recipe: its rewriters keep their options; any other comes with its defaults.
        on: rewriters to train on.
        against: rewriters for the comparison; empty = the recipe's others that are unrelated to those in ``on``.
        run: run whose policy is used, if a run is named.
        registry: where rewriters come from.

    Raises:
        UsageError: see :meth:`Attacks.check`; or the policy is asked for, and no run is named.
        PluginError: there is no such rewriter.
    """
    seen = [_attack(recipe, component) for component in on]
    unseen = [_attack(recipe, component) for component in against] or _others(recipe, seen, run, registry)
    attacks = Attacks(seen=seen, unseen=unseen)
    attacks.check(registry)
    if absent := [attack.name for attack, _ in attacks if lacks_run(attack, run, registry)]:
        raise UsageError(
            f"the rewriter {absent[0]} is trained by a run, and no run is given",
            "give the run after the detector: prl harden DETECTOR RUN",
        )
    return attacks


def _attack(recipe: Recipe, named: Component) -> Attack:
    """The recipe's rewriter of that label, with its options, else the rewriter of that name as it was given."""
    if isinstance(named, Attack):
        return named
    given = Attack(name=named.name, options=named.options)
    if named.options:
        return given
    return next((a for a in recipe.rewriters if label_of(a) == named.name), given)


def _others(recipe: Recipe, seen: Sequence[Attack], run: Path | None, registry: Registry) -> list[Attack]:
    met = {name for attack in seen for name in rewriters_in(attack)}
    return [a for a in recipe.rewriters if not rewriters_in(a) & met and not _lacks_run(a, run, registry)]


def _lacks_run(attack: Attack, run: Path | None, registry: Registry) -> bool:
    """Say whether a rewriter, or one inside it, is the policy of a run, and there is none."""
    inner = (Attack(name=name) for name in rewriters_in(attack) - {attack.name})
    return any(lacks_run(one, run, registry) for one in (attack, *inner))
