"""``prl harden``: train a detector on texts with their rewrites, and see what that changes, for whom."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from paraphrase_rl.cli.output import Row, emit, format_option, say, show_progress, this_command
from paraphrase_rl.cli.settings import device_option, recipe_of, recipe_options
from paraphrase_rl.errors import UsageError

if TYPE_CHECKING:
    from paraphrase_rl.hardening.records import Accused, Hardening
    from paraphrase_rl.hardening.train import Attacks
    from paraphrase_rl.plugin.registry import Registry
    from paraphrase_rl.recipe.schema import Attack, Recipe
    from paraphrase_rl.statistics.records import Estimate

COLUMNS = ("texts", "met", "n", "before", "after", "change", "low", "high", "auroc_before", "auroc_after")


@click.command("harden")
@click.argument("detector")
@click.argument("run", required=False, type=click.Path(path_type=Path))
@recipe_options
@click.option("--on", multiple=True, metavar="REWRITER", help="Train on its rewrites; may be repeated.")
@click.option(
    "--against",
    multiple=True,
    metavar="REWRITER",
    help="Compare on its rewrites, unseen in training; may be repeated.  [default: the recipe's others]",
)
@click.option(
    "--texts", type=click.IntRange(min=2), help="Texts of each kind to rewrite, at most.  [default: all]"
)
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder to write.  [default: hardened/DETECTOR, in the run where one is named]",
)
@device_option
@format_option
def command(
    detector: str,
    run: Path | None,
    config: str | None,
    data: str | None,
    data_options: tuple[str, ...],
    overrides: tuple[str, ...],
    on: tuple[str, ...],
    against: tuple[str, ...],
    texts: int | None,
    out: Path | None,
    device: str | None,
    format_: str,
) -> None:
    """Train DETECTOR on the train split's texts with rewrites of them, and recalibrate it.

    It is compared with the same detector trained without rewrites: the share flagged of AI test texts untouched,
    rewritten as in training (seen), and in other ways (unseen), and the share of human test texts, all at the
    recipe's false positive rate. RUN gives the recipe, and the policy that the rewriter `policy` is about.

    The hardened detector lands in the folder `detector`, its thresholds in `calibration.json`.

    \b
    Examples:
      prl harden tfidf --on homoglyph --on synonym --against whitespace --against misspelling
      prl harden tfidf runs/demo --on policy --against prompted --texts 32
      prl score essay.txt --calibration hardened/tfidf/calibration.json
    """
    from paraphrase_rl.data.documents import load_documents
    from paraphrase_rl.detection.trainable import trainer_of
    from paraphrase_rl.evaluation.plan import Plan
    from paraphrase_rl.hardening.train import Attacks, harden
    from paraphrase_rl.plugin.registry import default_registry
    from paraphrase_rl.progress import reporter
    from paraphrase_rl.runs.reader import recipe_file

    registry = default_registry()
    trainer_of(registry, detector)
    of_run = str(recipe_file(run)) if run is not None else None
    recipe = recipe_of(config or of_run, data, data_options, overrides, [detector])
    seen = [_attack(recipe, name) for name in on]
    attacks = Attacks(
        seen=seen,
        unseen=[_attack(recipe, name) for name in against] or _others(recipe, seen, run is not None),
    )
    attacks.check(registry)
    _refuse_policy_without_run(attacks, run)
    folder = out or Path(run or ".") / "hardened" / detector
    corpus = load_documents(recipe.data.source, recipe.data, registry)
    plan = Plan(
        recipe=recipe,
        corpus=corpus,
        out=folder,
        run=run,
        device=device or _device(registry, detector, attacks),
        texts=texts or len(corpus.documents),
    )
    try:
        found = harden(plan, registry, detector, attacks, reporter(show_progress))
    except KeyboardInterrupt:
        say(f"the rewrites made so far are kept; continue with: {this_command()}")
        raise
    _show(found, folder, format_)


def _show(found: Hardening, folder: Path, format_: str) -> None:
    """The comparison on stdout; on stderr what the detector was trained on, and how to use it."""
    _explain(found)
    emit(
        _rows(found),
        format_=format_,
        schema="prl.harden",
        columns=COLUMNS,
        meta={
            "path": str(folder / "results.json"),
            "calibration": str(folder / "calibration.json"),
            "detector": found.detector,
            "target_fpr": found.target_fpr,
            "trained_on": found.trained_on.model_dump(),
        },
    )
    use = shlex.quote(str(folder / "calibration.json"))
    say(f"wrote {folder}; use the detector with: prl score --calibration {use}")


def _attack(recipe: Recipe, name: str) -> Attack:
    """The recipe's rewriter of that label, with its options, else the rewriter of that name as it comes."""
    from paraphrase_rl.evaluation.plan import label_of
    from paraphrase_rl.recipe.schema import Attack

    return next((a for a in recipe.rewriters if label_of(a) == name), Attack(name=name))


def _refuse_policy_without_run(attacks: Attacks, run: Path | None) -> None:
    from paraphrase_rl.evaluation.plan import POLICY, lacks_run

    if any(lacks_run(attack, run) for attack, _ in attacks):
        raise UsageError(
            f"the rewriter {POLICY} is the trained one of a run", "name the run after the detector"
        )


def _others(recipe: Recipe, seen: Sequence[Attack], has_run: bool) -> list[Attack]:
    from paraphrase_rl.evaluation.plan import POLICY, rewriters_in

    met = {name for attack in seen for name in rewriters_in(attack)} | (set() if has_run else {POLICY})
    return [attack for attack in recipe.rewriters if not rewriters_in(attack) & met]


def _device(registry: Registry, detector: str, attacks: Attacks) -> str:
    from paraphrase_rl.models.devices import default_device

    return default_device(
        "torch" in registry.spec("detectors", detector).modules
        or any(registry.spec("rewriters", attack.name).extra for attack, _ in attacks)
    )


def _explain(found: Hardening) -> None:
    """What the detector was trained on, and what did not go well."""
    taught = found.trained_on
    made = ", ".join(f"{n} with {label}" for label, n in taught.rewrites.items())
    say(f"trained on {taught.human} human texts, {taught.ai} AI texts and rewrites of these: {made}")
    if taught.left_out:
        say(
            f"note: {taught.left_out} train texts belong to pairs with texts of other splits and are left out"
        )
    for label, n in taught.failed.items():
        if n:
            say(f"note: {n} train texts could not be rewritten with {label}")
    for row in found.defence:
        if row.failed:
            say(f"note: {row.failed} of {row.texts} test texts of {row.rewriter} are left out: {row.failure}")


def _rows(found: Hardening) -> list[Row]:
    """AI texts by rewriter, human texts by rewriter and group, gaps between groups; at the rate aimed at."""
    from paraphrase_rl.statistics.records import at_rate

    rows: list[Row] = []
    for row in found.defence:
        rows += [
            {
                **_row(f"AI, {row.rewriter}", row.met, point.before, point.after),
                "low": point.change.low,
                "high": point.change.high,
                "auroc_before": row.auroc_before.value,
                "auroc_after": row.auroc_after.value,
            }
            for point in at_rate(row.points, found.target_fpr)
        ]
    met = {row.rewriter: row.met for row in found.defence}
    before, after = (
        _accused(table, found.target_fpr) for table in (found.accused_before, found.accused_after)
    )
    rows += [
        _row(texts, met[rewriter], then, now)
        for (rewriter, texts, then), (_, _, now) in zip(before, after, strict=True)
    ]
    return rows


def _accused(table: Accused, target_fpr: float) -> list[tuple[str, str, Estimate]]:
    """False positive rates and gaps, each behind its rewriter and what the table calls it."""
    from paraphrase_rl.statistics.records import at_rate

    return [
        (r.rewriter, f"human, {r.rewriter}, {r.group}{_cut(r.words)}", r.rate)
        for r in at_rate(table.false_positives, target_fpr)
    ] + [
        (g.rewriter, f"gap, {g.rewriter}, {g.group} - {g.reference}{_cut(g.words)}", g.gap)
        for g in at_rate(table.fairness, target_fpr)
    ]


def _cut(words: int | None) -> str:
    return "" if words is None else f", {words} words"


def _row(texts: str, met: str, before: Estimate, after: Estimate) -> dict[str, object]:
    return {
        "texts": texts,
        "met": met,
        "n": before.n,
        "before": before.value,
        "after": after.value,
        "change": None if before.value is None or after.value is None else after.value - before.value,
        **dict.fromkeys(("low", "high", "auroc_before", "auroc_after")),
    }
