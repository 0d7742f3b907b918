"""The verbs that measure rewriters and pass a verdict on them: evaluate, validate."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from paraphrase_rl.api.common import (
    check_whole,
    components_of,
    device_or_default,
    mapping_of,
    named_detectors,
    path_of,
    registry_or_default,
)
from paraphrase_rl.errors import UsageError

if TYPE_CHECKING:
    from paraphrase_rl.acceptance.verdict import Verdict
    from paraphrase_rl.api.common import AnyPath, Components, Detectors, RecipeSource, RunOrPath
    from paraphrase_rl.evaluation.results import Results
    from paraphrase_rl.plugin.registry import Registry
    from paraphrase_rl.progress import OnProgress
    from paraphrase_rl.recipe.loading import Changes
    from paraphrase_rl.recipe.schema import Recipe
    from paraphrase_rl.runs.run import Run


EVALUATED_SECTIONS = ("rewriters", "held_out", "metrics", "acceptance")
"""Sections of a run's recipe that its evaluation may change; the others are those it was trained with."""


def evaluate(
    run_or_recipe: Run | RecipeSource,
    *,
    rewriters: Components = (),
    detectors: Detectors = (),
    set: Changes = (),
    out: AnyPath | None = None,
    texts: int = 64,
    samples: int = 1,
    humans: int = 0,
    calibration: AnyPath | None = None,
    every_checkpoint: bool = False,
    nli: str | None = None,
    judge: Mapping[str, Any] | None = None,
    backend_options: Mapping[str, Any] | None = None,
    device: str | None = None,
    progress: OnProgress | None = None,
    registry: Registry | None = None,
) -> Results:
    """Measure how often rewrites evade detectors, how much meaning they lose, and which writers get false positives.

    Thresholds are fixed on original human texts of the calibration split before any rewrite is scored, unless a
    calibration is given. Intermediate
    results are saved in the folder's ``cache``, from which an interrupted evaluation continues.

    Args:
        run_or_recipe: a :class:`Run` or its directory, whose recipe, texts, calibration and policy are used; or a
            recipe: the name of a packaged one, a YAML file, or a :class:`Recipe`.
        rewriters: rewriters to evaluate: those of the recipe by label, others by name, or names with options; by
            default all of the recipe's.
        detectors: detectors to evaluate in addition to the recipe's ensemble; by default the recipe's ``held_out``.
        set: recipe keys to change; for a run only ``rewriters``, ``held_out``, ``metrics`` and ``acceptance``.
        out: folder to write; by default ``evaluation`` in the run. Required with a recipe.
        texts: number of AI texts of the test split to rewrite, from all over it; at least 2.
        samples: number of rewrites of each text.
        humans: number of human texts of each group to rewrite too, for false positives after rewriting.
        calibration: a run, or a file that `prl calibrate` wrote: its thresholds and P(AI) are used as deployed, instead
            of setting them on these texts; only with a recipe.
        every_checkpoint: evaluate every checkpoint of the run in addition to the last one, as ``policy@STEP``.
        nli: model reference of a model of natural language inference, to measure entailment.
        judge: a language model that marks quality: ``base_url`` and ``model`` of an OpenAI-compatible endpoint,
            and ``key_env``, the environment variable that holds the API key.
        backend_options: options of the run's backend, with which its policy is sampled, such as ``{"sampler": "own"}``;
            each replaces the run's own value.
        device: torch device.
        progress: called with each progress report.
        registry: where components come from.

    Returns:
        The tables of the evaluation; shares are in [0, 1], with 95 % intervals. ``results.attack_success("policy")``
        is one of the numbers, ``results.to_pandas()`` has all of them. A component that failed has a row with the
        reason.

    Raises:
        UsageError: no output folder, a recipe key that cannot be changed for a run, or an unknown device.
        EvaluationError: nothing to evaluate, or the folder cannot be used.
        RunError: the directory has no run, or a damaged one.
        RecipeError, DataError, PluginError, CalibrationError: something else keeps the evaluation from starting.

    Example:
        >>> run = prl.Run("runs/a")
        >>> results = prl.evaluate(run, rewriters=["policy", "homoglyph"], texts=8)
        >>> success = results.attack_success("homoglyph")
        >>> low, high = success.interval
        >>> success.n <= 8 and low <= success.value <= high
        True
    """
    from paraphrase_rl.api.saved_calibration import calibration_file
    from paraphrase_rl.data.documents import load_documents
    from paraphrase_rl.evaluation.plan import Plan, label_of, with_checkpoints
    from paraphrase_rl.evaluation.quality import with_metric_options
    from paraphrase_rl.evaluation.selection import select, with_backend_options
    from paraphrase_rl.evaluation.start import evaluate_plan
    from paraphrase_rl.progress import reporter

    check_whole(texts, "texts", 2)
    check_whole(samples, "samples", 1)
    check_whole(humans, "humans", 0)
    registry, report = registry_or_default(registry), reporter(progress)
    run, recipe = _run_and_recipe(run_or_recipe, set)
    named, registry = named_detectors(detectors, registry)
    recipe = select(recipe, components_of(rewriters), named, registry)
    if nli is not None:
        recipe = with_metric_options(recipe, registry, "entailment", model=nli)
    if judge is not None:
        recipe = with_metric_options(recipe, registry, "judge", **mapping_of(judge, "judge"))
    if every_checkpoint:
        if run is None:
            raise UsageError(
                "every_checkpoint evaluates the checkpoints of a run, and no run is given",
                "give the directory of a run instead of a recipe",
            )
        recipe = with_checkpoints(recipe, run, registry)
    if backend_options:
        if run is None:
            raise UsageError(
                "options of the backend are for the policy of a run, and no run is given",
                "give the directory of a run, or options of a rewriter in the recipe",
            )
        recipe = with_backend_options(recipe, run, mapping_of(backend_options, "backend_options"), registry)
    if out is None and run is None:
        raise UsageError(
            "no folder is given for the results, which a recipe needs",
            "give the folder to write to as the argument out",
        )
    if calibration is not None and run is not None:
        raise UsageError(
            "a run is evaluated with its own calibration",
            "leave out the calibration, or evaluate the run's recipe.yaml with it",
        )
    plan = Plan(
        recipe=recipe,
        corpus=load_documents(recipe.data.source, recipe.data, registry),
        out=Path(out) if out is not None else Path(run or "") / "evaluation",
        run=run,
        deployed=None if calibration is None else calibration_file(path_of(calibration, "calibration")),
        device=device_or_default(device),
        texts=texts,
        samples=samples,
        humans=humans,
    )
    names = ", ".join(label_of(attack) for attack in plan.attacks(registry)) or "no rewriter"
    report(
        f"evaluating {names} on {len(plan.ai)} AI and {len(plan.human)} human test texts of "
        f"{plan.corpus.source} into {plan.out}"
    )
    return evaluate_plan(plan, registry, report)


def validate(
    run: RunOrPath,
    *,
    checkpoint: int | str = "final",
    evaluation: AnyPath | None = None,
    fairness: AnyPath | None = None,
    set: Changes = (),
) -> Verdict:
    """Say whether a trained rewriter is acceptable, criterion by criterion.

    Nothing is measured again: a missing measurement is listed with the command that makes it, and counts as neither a
        pass nor a failure. The verdict is saved in the run's ``verdict.json``.

    Args:
        run: the run, or its directory.
        checkpoint: the policy: ``final``, that of a step, or ``best``, which is chosen on the Pareto front of evasion
            and meaning.
        evaluation: folder of its evaluation; by default ``evaluation`` in the run.
        fairness: folder of an evaluation of the same detectors on texts with groups of writers, for the false
            positive gap alone.
        set: bounds of the recipe to change, such as ``{"acceptance.meaning": 0.8}``; no other keys.

    Returns:
        A line for each criterion with its bound, value, interval and verdict; ``verdict.accepted`` is True if every
        line passes.

    Raises:
        RunError: no run, a damaged file, or no such checkpoint.
        UsageError: a recipe key that is not a bound of acceptance.
        EvaluationError: an evaluation that was named is not there, damaged, or of other detectors.

    Example:
        >>> verdict = prl.validate("runs/a")
        >>> verdict.accepted, verdict.lines[0].criterion, verdict.lines[0].bound
        (False, 'attack_success_rate', '>= 0.6')
    """
    from paraphrase_rl.acceptance.verdict import validate_run
    from paraphrase_rl.runs.reader import recipe_of_run
    from paraphrase_rl.runs.run import Run

    folder = Run(run).folder
    verdict = validate_run(
        folder,
        None if evaluation is None else Path(evaluation),
        recipe_of_run(folder, set, ["acceptance"]).acceptance,
        str(checkpoint),
        None if fairness is None else Path(fairness),
    )
    verdict.write(folder)
    return verdict


def _run_and_recipe(given: Run | RecipeSource, changes: Changes) -> tuple[Path | None, Recipe]:
    """The directory of the run that is meant, ``None`` where a recipe is; and the recipe with the changes."""
    from paraphrase_rl.files import is_file_or_folder
    from paraphrase_rl.recipe.loading import load_recipe
    from paraphrase_rl.runs.reader import recipe_of_run
    from paraphrase_rl.runs.run import Run

    if isinstance(given, Run):
        return given.folder, recipe_of_run(given.folder, changes, EVALUATED_SECTIONS)
    if isinstance(given, (str, Path)) and is_file_or_folder(given) and Path(given).is_dir():
        return Path(given), recipe_of_run(Path(given), changes, EVALUATED_SECTIONS)
    return None, load_recipe(given, changes).recipe
