"""The verb that trains a detector on rewritten texts: harden."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from paraphrase_rl.api.common import check_whole, components_of, device_or_default, registry_or_default

if TYPE_CHECKING:
    from paraphrase_rl.api.common import AnyPath, Components, RecipeSource, RunOrPath
    from paraphrase_rl.hardening.records import Hardening
    from paraphrase_rl.plugin.registry import Registry
    from paraphrase_rl.progress import OnProgress
    from paraphrase_rl.recipe.loading import Changes


def harden(
    detector: str,
    run: RunOrPath | None = None,
    *,
    on: Components,
    against: Components = (),
    recipe: RecipeSource | None = None,
    set: Changes = (),
    texts: int | None = None,
    out: AnyPath | None = None,
    device: str | None = None,
    progress: OnProgress | None = None,
    registry: Registry | None = None,
) -> Hardening:
    """Train a detector on texts with their rewrites, and compare it with the same detector trained without.

    The detector is saved in the folder ``detector``, its thresholds in ``calibration.json``, which :func:`score` takes.

    Args:
        detector: a trainable detector, such as ``tfidf``.
        run: a run that gives the recipe, and the policy that the rewriter ``policy`` is about.
        on: rewriters to train on, by label in the recipe, by name, or names with options.
        against: rewriters to compare on, unseen in training; by default the recipe's others.
        recipe: recipe with the data, the detector's options and the rewriters; by default the run's.
        set: recipe keys to change, such as ``{"data.source": {"name": "starter"}}``.
        texts: number of texts of each kind to rewrite, at most; by default all.
        out: folder to write; by default ``hardened/DETECTOR``, inside the run if one is given.
        device: torch device.
        progress: called with each progress report.
        registry: where components come from.

    Returns:
        Shares of texts flagged before and after hardening, in [0, 1]: of AI test texts, original and rewritten, and
        of human test texts by group.

    Raises:
        UsageError: the detector is not trainable, no rewriter to train on, or the same rewriter in ``on`` and
            ``against``.
        EvaluationError: too few texts, no rewrite to train on, or the folder holds something else.
        PrlError: a component, the recipe or the data is at fault.

    Example:
        >>> found = prl.harden("tfidf", on="homoglyph", against="whitespace", recipe="quickstart", texts=8)
        >>> [row.met for row in found.defence]
        ['original', 'seen', 'unseen']
    """
    from paraphrase_rl.data.documents import load_documents
    from paraphrase_rl.detection.trainable import trainer_of
    from paraphrase_rl.evaluation.plan import Plan
    from paraphrase_rl.evaluation.selection import select_detector
    from paraphrase_rl.hardening.attacks import choose_attacks
    from paraphrase_rl.hardening.train import harden as harden_plan
    from paraphrase_rl.progress import reporter
    from paraphrase_rl.recipe.loading import load_recipe
    from paraphrase_rl.runs.reader import recipe_file
    from paraphrase_rl.runs.run import Run

    registry = registry_or_default(registry)
    if texts is not None:
        check_whole(texts, "texts", 2)
    trainer_of(registry, detector)
    folder = Run(run).folder if run is not None else None
    of_run = recipe_file(folder) if folder is not None else None
    settings = load_recipe(select_detector(recipe or of_run, detector), set).recipe
    attacks = choose_attacks(settings, components_of(on), components_of(against), folder, registry)
    runs_on_torch = "torch" in registry.spec("detectors", detector).modules or any(
        registry.spec("rewriters", attack.name).extra for attack, _ in attacks
    )
    corpus = load_documents(settings.data.source, settings.data, registry)
    plan = Plan(
        recipe=settings,
        corpus=corpus,
        out=Path(out) if out is not None else Path(folder or ".") / "hardened" / detector,
        run=folder,
        device=device_or_default(device, runs_on_torch),
        texts=texts or len(corpus.documents),
    )
    return harden_plan(plan, registry, detector, attacks, reporter(progress))
