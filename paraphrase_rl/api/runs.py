"""The verbs about recipes and runs: check, train, evaluate, validate, harden, report, export."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Mapping
from datetime import datetime
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from paraphrase_rl.api.common import device_or_default, registry_or_default
from paraphrase_rl.errors import UsageError

if TYPE_CHECKING:
    from paraphrase_rl.acceptance.verdict import Verdict
    from paraphrase_rl.evaluation.results import Results
    from paraphrase_rl.hardening.records import Hardening
    from paraphrase_rl.plugin.registry import Registry
    from paraphrase_rl.preflight.inspection import Findings
    from paraphrase_rl.progress import OnProgress
    from paraphrase_rl.recipe.loading import Changes, LoadedRecipe
    from paraphrase_rl.recipe.schema import Recipe
    from paraphrase_rl.runs.run import Run

    AnyPath: TypeAlias = str | PathLike[str]
    RecipeSource: TypeAlias = str | Path | Recipe | LoadedRecipe
    RunOrPath: TypeAlias = Run | AnyPath

EVALUATED_SECTIONS = ("rewriters", "held_out", "acceptance")
"""Sections of a run's recipe that its evaluation may change: what was trained stays what it was."""


def check(
    recipe: RecipeSource | None = None,
    *,
    backend: str = "trl",
    set: Changes = (),
    seconds_per_step: float | None = None,
    max_cost: float | None = None,
    prices: AnyPath | None = None,
    registry: Registry | None = None,
) -> Findings:
    """Check a recipe before it runs: what it does, needs and costs. Nothing is trained and nothing fetched.

    Args:
        recipe: the name of a packaged recipe, a YAML file, or a recipe; by default ``quickstart``, or ``recipe``
            where the backend charges.
        backend: the backend it would run on.
        set: keys to change, such as ``{"training.max_steps": 20}``.
        seconds_per_step: as measured, for an estimate in hours.
        max_cost: the most that the run may cost, in the currency of the prices; more is an error among the findings.
        prices: a price table to use instead of the backend's own.
        registry: where components come from.

    Returns:
        A row for each finding with its level: ``ok``, ``note``, ``warning`` or ``error``. ``findings.ok`` says
        whether the run can start.

    Raises:
        RecipeError: the recipe or the price table cannot be read.

    Example:
        >>> findings = prl.check("quickstart", set={"training.max_steps": 2})
        >>> next(row.message for row in findings if row.name == "rollouts")
        '32 a step, 64 in all'
    """
    from paraphrase_rl.preflight.inspection import inspect, prices_of
    from paraphrase_rl.recipe.loading import load_recipe

    registry = registry_or_default(registry)
    table = prices_of(registry, backend, None if prices is None else Path(prices))
    source = recipe if recipe is not None else ("quickstart" if table is None else "recipe")
    found = inspect(
        load_recipe(source, set),
        registry,
        backend,
        seconds_per_step=seconds_per_step,
        prices=table,
        max_cost=max_cost,
    )
    return found.findings(_name_of(source), backend)


def train(
    recipe: RecipeSource | None = None,
    *,
    out: AnyPath | None = None,
    backend: str | None = None,
    backend_options: Mapping[str, Any] | None = None,
    set: Changes = (),
    resume: RunOrPath | None = None,
    device: str | None = None,
    max_cost: float | None = None,
    prices: AnyPath | None = None,
    progress: OnProgress | None = None,
    stop_requested: Callable[[], bool] | None = None,
    registry: Registry | None = None,
) -> Run:
    """Train a rewriter against the detectors of a recipe, or continue a run.

    The recipe is checked, the detectors are calibrated on held-out texts, and the run directory is written step by
    step: a run that was killed continues with the same numbers.

    Args:
        recipe: the name of a packaged recipe, a YAML file, or a recipe.
        out: run directory, new or empty; by default ``runs/RECIPE-TIME``.
        backend: where to train, ``trl`` by default.
        backend_options: of the backend; those of a run that is continued win over its own.
        set: keys to change, such as ``{"training.max_steps": 20}``.
        resume: a run to continue, with its own recipe and backend, instead of starting one.
        device: torch device; by default the first CUDA device where there is one, else ``cpu``.
        max_cost: refuse a run that could cost more, in the currency of the prices.
        prices: a price table to use instead of the backend's own.
        progress: called with each line, and with the steps done and in all where a step ended.
        stop_requested: asked after each step; once it says True, the run stops there with a checkpoint and is
            ``interrupted``. A signal handler of the caller's may set what it says.
        registry: where components come from.

    Returns:
        The run; ``run.status`` is ``completed`` or ``interrupted``, ``run.summary`` has the reward terms of the
        held-out prompts before and after.

    Raises:
        UsageError: neither or both of a recipe and a run to continue, or no such device.
        RecipeError: the recipe cannot be read, or something keeps it from running; several things are
            notes of the error (``error.__notes__``).
        CostError: the run could cost more than ``max_cost``.
        RunError: the directory is in use or holds something else, or what the run depends on has changed.
        PrlError: what a component, a model or the data has to say.

    Example:
        >>> run = prl.train("quickstart", out=folder, set=tiny)
        >>> run.status, len(run.metrics)
        ('completed', 2)
    """
    from paraphrase_rl.progress import reporter
    from paraphrase_rl.recipe.loading import load_recipe
    from paraphrase_rl.runs.backend import DEFAULT_BACKEND, ChosenBackend, backend_of_run
    from paraphrase_rl.runs.reader import recipe_file
    from paraphrase_rl.runs.run import Run
    from paraphrase_rl.training.processes import are_several, first_accelerator
    from paraphrase_rl.training.start import Start
    from paraphrase_rl.training.start import train as start_training

    options = dict(backend_options or {})
    if resume is not None:
        if recipe is not None or out is not None or backend is not None or set:
            raise UsageError(
                "resume continues a run with its own recipe and backend",
                "leave out the recipe, set, the backend and out",
            )
        folder = Run(resume).folder
        loaded, on = load_recipe(recipe_file(folder)), backend_of_run(folder, options)
    elif recipe is None:
        raise UsageError("nothing to train", "name a recipe such as quickstart, or a run to resume")
    else:
        if out is None and are_several():
            raise UsageError("several processes must write to the same directory", "name it: out")
        loaded, on = load_recipe(recipe, set), ChosenBackend(backend or DEFAULT_BACKEND, options)
        stem = Path(_name_of(recipe)).stem
        folder = Path(out) if out is not None else Path("runs") / f"{stem}-{datetime.now():%Y%m%d-%H%M%S}"
    start = Start(
        loaded=loaded,
        folder=folder,
        resume=resume is not None,
        backend=on,
        device=first_accelerator() if device is None else device_or_default(device),
        max_cost=max_cost,
        prices=None if prices is None else Path(prices),
        report=reporter(progress),
        stop_requested=stop_requested or (lambda: False),
    )
    start_training(start, registry_or_default(registry))
    return Run(folder)


def evaluate(
    run_or_recipe: Run | RecipeSource,
    *,
    rewriters: Collection[str] = (),
    detectors: Collection[str] = (),
    set: Changes = (),
    out: AnyPath | None = None,
    texts: int = 64,
    samples: int = 1,
    humans: int = 0,
    every_checkpoint: bool = False,
    nli: str | None = None,
    judge: Mapping[str, Any] | None = None,
    device: str | None = None,
    progress: OnProgress | None = None,
    registry: Registry | None = None,
) -> Results:
    """Measure how far rewrites evade detectors, what they cost in meaning, and whose texts are false positives.

    Thresholds are fixed on clean human texts of the calibration split before any rewrite is scored. What was
    computed is saved in the folder's ``cache``: an evaluation that was interrupted goes on from there.

    Args:
        run_or_recipe: a :class:`Run` or its directory: its recipe, texts, calibration and policy. Else a recipe: the
            name of a packaged one, a YAML file, or a recipe.
        rewriters: only these of the recipe's, by label, or others by name; by default all the recipe's.
        detectors: beside the recipe's ensemble only these; by default the recipe's ``held_out``.
        set: keys to change; of a run only ``rewriters``, ``held_out`` and ``acceptance``.
        out: folder to write; by default ``evaluation`` in the run. A recipe needs it.
        texts: AI texts of the test split to rewrite, the first ones; at least 2.
        samples: rewrites of each.
        humans: human texts of each group to rewrite too, for false positives after rewriting.
        every_checkpoint: evaluate every checkpoint of the run beside the last one, as ``policy@STEP``.
        nli: model reference of a model of natural language inference, to measure entailment.
        judge: a language model that marks quality: ``base_url`` and ``model`` of an OpenAI-compatible endpoint,
            and ``key_env``, the environment variable that holds its key.
        device: torch device.
        progress: called with each line.
        registry: where components come from.

    Returns:
        Every table; shares are in [0, 1], with 95 % intervals. ``results.attack_success("policy")`` is one figure,
        ``results.to_pandas()`` has all of them. A component that failed is a row that says why.

    Raises:
        UsageError: no folder, a key of a run that cannot be set, or an unknown device.
        EvaluationError: nothing to evaluate, or the folder cannot be used.
        RunError: no run there, or a damaged one.
        RecipeError, DataError, PluginError, CalibrationError: what else keeps it from starting.

    Example:
        >>> results = prl.evaluate(run, rewriters=["policy", "homoglyph"], texts=4)
        >>> low, high = results.attack_success("homoglyph").interval
        >>> 0 <= low <= high <= 1
        True
    """
    from paraphrase_rl.data.documents import load_documents
    from paraphrase_rl.evaluation.pipeline import evaluate as evaluate_plan
    from paraphrase_rl.evaluation.plan import Plan, label_of, with_checkpoints
    from paraphrase_rl.evaluation.quality_judge import JudgeSettings
    from paraphrase_rl.evaluation.selection import select
    from paraphrase_rl.progress import reporter

    _check_at_least(2, texts=texts)
    _check_at_least(1, samples=samples)
    registry, report = registry_or_default(registry), reporter(progress)
    settings = None if judge is None else JudgeSettings(**judge)
    run, recipe = _run_and_recipe(run_or_recipe, set)
    recipe = select(recipe, rewriters, detectors, registry)
    if every_checkpoint:
        if run is None:
            raise UsageError("checkpoints are of a run", "name its directory in place of the recipe")
        recipe = with_checkpoints(recipe, run)
    if out is None and run is None:
        raise UsageError("where should the evaluation go?", "an evaluation of a recipe needs a folder: out")
    plan = Plan(
        recipe=recipe,
        corpus=load_documents(recipe.data.source, recipe.data, registry),
        out=Path(out) if out is not None else Path(run or "") / "evaluation",
        run=run,
        device=device_or_default(device),
        texts=texts,
        samples=samples,
        humans=humans,
        nli=nli,
        judge=settings,
    )
    names = ", ".join(label_of(attack) for attack in plan.attacks) or "no rewriter"
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

    Nothing is measured again: what is missing is said, with the command that brings it, and is neither a pass nor a
    failure. The verdict is saved in the run's ``verdict.json``.

    Args:
        run: the run, or its directory.
        checkpoint: which policy: the final one, that of a step, or ``best``: chosen on the Pareto front of evasion
            and meaning.
        evaluation: folder of its evaluation; by default ``evaluation`` in the run.
        fairness: folder of an evaluation of the same detectors on texts with groups of writers, for the false
            positive gap alone.
        set: bounds to change, such as ``{"acceptance.semantic_similarity": 0.8}``; nothing else of the recipe.

    Returns:
        A line for each criterion with its bound, value, interval and verdict; ``verdict.accepted`` is True where
        every line passes.

    Raises:
        RunError: no run, a damaged file, or no such checkpoint.
        UsageError: a key that is no bound.
        EvaluationError: an evaluation that was named is not there, damaged, or of other detectors.

    Example:
        >>> verdict = prl.validate(run)
        >>> verdict.accepted, "attack_success_rate" in [line.criterion for line in verdict.lines]
        (False, True)
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


def harden(
    detector: str,
    run: RunOrPath | None = None,
    *,
    on: Collection[str],
    against: Collection[str] = (),
    recipe: RecipeSource | None = None,
    set: Changes = (),
    texts: int | None = None,
    out: AnyPath | None = None,
    device: str | None = None,
    progress: OnProgress | None = None,
    registry: Registry | None = None,
) -> Hardening:
    """Train a detector on texts with their rewrites, and compare it with the same detector trained without.

    The detector lands in the folder ``detector``, its thresholds in ``calibration.json``, which :func:`score` takes.

    Args:
        detector: a trainable detector, such as ``tfidf``.
        run: a run that gives the recipe, and the policy that the rewriter ``policy`` is about.
        on: rewriters to train on, by label in the recipe or by name.
        against: rewriters to compare on, unseen in training; by default the recipe's others.
        recipe: the data, the detector's options and the rewriters, where no run gives them or others are meant.
        set: keys of the recipe to change, such as ``{"data.source": {"name": "starter"}}``.
        texts: texts of each kind to rewrite, at most; by default all.
        out: folder to write; by default ``hardened/DETECTOR``, in the run where one is named.
        device: torch device.
        progress: called with each line.
        registry: where components come from.

    Returns:
        Shares flagged before and after, in [0, 1]: of AI test texts untouched and rewritten, of human ones by group.

    Raises:
        UsageError: the detector is not trainable, no rewriter to train on, or one on both sides.
        EvaluationError: too few texts, no rewrite to train on, or the folder holds something else.
        PrlError: what a component, the recipe or the data has to say.

    Example:
        >>> found = prl.harden("tfidf", on=["homoglyph"], against=["whitespace"], texts=8, out=folder)
        >>> [row.met for row in found.defence]
        ['untouched', 'seen', 'unseen']
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
    trainer_of(registry, detector)
    folder = Run(run).folder if run is not None else None
    of_run = recipe_file(folder) if folder is not None else None
    settings = load_recipe(select_detector(recipe or of_run, detector), set).recipe
    attacks = choose_attacks(settings, list(on), list(against), folder, registry)
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


def report(run: RunOrPath, *, evaluation: AnyPath | None = None, out: AnyPath | None = None) -> Path:
    """Write a run, or an evaluation alone, as one HTML page that needs no network.

    Nothing is measured again: what is missing is named on the page, with the command that brings it.

    Args:
        run: a run, its directory, or the folder of an evaluation.
        evaluation: folder of an evaluation of the run; by default its own, if it is there.
        out: the page; by default ``report.html`` in the run.

    Returns:
        Where the page is.

    Raises:
        RunError: neither a run nor an evaluation, a damaged table, or the page cannot be written.
        EvaluationError: the evaluation asked for is missing or damaged.

    Example:
        >>> prl.report(run).name
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

    Downloads it where the run was trained at a service, copies it where it was trained here.

    Args:
        run: the run, or its directory.
        out: new folder; by default ``adapter-STEP`` in the run.
        checkpoint: a step; ``last`` = the newest, the final one where there is one.
        backend_options: of the backend; they win over the run's own.
        progress: called with each line.
        registry: where the backend comes from.

    Returns:
        The folder.

    Raises:
        RunError: no run, no such checkpoint, or the folder is there already.
        PluginError: the backend of the run is not installed.

    Example:
        >>> sorted(file.name for file in prl.export(run, folder).iterdir())
        ['adapter_config.json', 'adapter_model.safetensors']
    """
    from paraphrase_rl.errors import RunError
    from paraphrase_rl.progress import reporter
    from paraphrase_rl.runs.backend import backend_of_run
    from paraphrase_rl.runs.reader import checkpoint_row
    from paraphrase_rl.runs.run import Run

    folder = Run(run).folder
    on = backend_of_run(folder, backend_options or {})
    row = checkpoint_row(folder, checkpoint)
    written = Path(out) if out is not None else folder / f"adapter-{row['step']}"
    if os.path.lexists(written):
        raise RunError(f"{written} is there already", "choose another --out")
    written.parent.mkdir(parents=True, exist_ok=True)
    reporter(progress)(f"exporting step {row['step']} of {folder}")
    registry_or_default(registry).build("backends", on.name, on.options).export(folder, row, written)
    return written


def _check_at_least(least: int, **counts: int) -> None:
    for name, count in counts.items():
        if count < least:
            raise UsageError(f"{name}={count} is too few", f"at least {least}")


def _name_of(recipe: RecipeSource) -> str:
    """What a recipe is called: its name or path; ``recipe`` where it is one in Python."""
    return str(recipe) if isinstance(recipe, (str, Path)) else "recipe"


def _run_and_recipe(given: Run | RecipeSource, changes: Changes) -> tuple[Path | None, Recipe]:
    """The directory of the run that is meant, ``None`` where a recipe is; and the recipe with the changes."""
    from paraphrase_rl.recipe.loading import load_recipe
    from paraphrase_rl.runs.reader import recipe_of_run
    from paraphrase_rl.runs.run import Run

    if isinstance(given, Run):
        return given.folder, recipe_of_run(given.folder, changes, EVALUATED_SECTIONS)
    if isinstance(given, (str, Path)) and Path(given).is_dir():
        return Path(given), recipe_of_run(Path(given), changes, EVALUATED_SECTIONS)
    return None, load_recipe(given, changes).recipe
