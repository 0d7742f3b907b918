"""The verbs about training: check (with the rules of its findings), train."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from paraphrase_rl.api.common import device_or_default, mapping_of, registry_or_default
from paraphrase_rl.errors import UsageError

if TYPE_CHECKING:
    from paraphrase_rl.api.common import AnyPath, RecipeSource, RunOrPath
    from paraphrase_rl.plugin.registry import Registry
    from paraphrase_rl.preflight.findings import Findings, Rule
    from paraphrase_rl.progress import OnProgress
    from paraphrase_rl.recipe.loading import Changes
    from paraphrase_rl.runs.run import Run


def check(
    recipe: RecipeSource | None = None,
    *,
    backend: str | None = None,
    backend_options: Mapping[str, Any] | None = None,
    set: Changes = (),
    trial: bool = False,
    device: str | None = None,
    seconds_per_step: float | None = None,
    hourly: float | None = None,
    max_cost: float | None = None,
    prices: AnyPath | None = None,
    progress: OnProgress | None = None,
    registry: Registry | None = None,
) -> Findings:
    """Check a recipe before it runs: what it does, needs and costs. Without ``trial`` nothing is trained or downloaded.

    What the detectors flag before anything is rewritten is said where a trial, a run or :func:`calibrate` has measured
    it before, with the same detectors, models and texts.

    Args:
        recipe: the name of a packaged recipe, a YAML file, or a recipe; by default ``quickstart``, or for a backend
            that charges its own, such as ``recipe-served``.
        backend: the backend that the recipe would run on; by default ``trl``.
        backend_options: options of the backend.
        set: recipe keys to change, such as ``{"training.max_steps": 20}``.
        trial: calibrate the detectors, sample one group with the base policy and rate it, with outputs that are no
            rewrites; take one step in a temporary folder, at a service only if the trial costs 1 at most.
        device: torch device to estimate memory and hours for, which need not be here unless it is tried; by default
            that of this machine.
        seconds_per_step: measured seconds per step, to tell how long the run takes; without them they are estimated.
        hourly: what an hour of the machine costs, to tell what a run of one's own costs.
        max_cost: the most that the run may cost, in the currency of the prices; more is an error among the findings.
        prices: a price table to use instead of the backend's own.
        progress: called with each progress report of a trial.
        registry: where components come from.

    Returns:
        A row for each finding: code, severity (``ok``, ``note``, ``warning`` or ``error``), recipe key, evidence,
        meaning and remedy. ``findings.ok`` says whether the run can start.

    Raises:
        RecipeError: the recipe or the price table cannot be read.
        UsageError: a trial on a device that is not here.

    Example:
        >>> findings = prl.check("quickstart", set={"training.max_steps": 2})
        >>> findings.ok, [row.evidence for row in findings if row.severity == "error"]
        (True, [])
    """
    from paraphrase_rl.preflight.inspection import inspect, prices_of
    from paraphrase_rl.preflight.machine import likely_device
    from paraphrase_rl.progress import reporter
    from paraphrase_rl.recipe.defaults import default_backend
    from paraphrase_rl.recipe.loading import load_recipe
    from paraphrase_rl.runs.backend import ChosenBackend

    backend = backend or default_backend()
    registry = registry_or_default(registry)
    table = prices_of(registry, backend, None if prices is None else Path(prices))
    source = (
        recipe
        if recipe is not None
        else ("quickstart" if table is None else default_recipe(backend, registry))
    )
    device = (device_or_default(device) if trial else device) or likely_device()
    loaded, options = load_recipe(source, set), dict(mapping_of(backend_options, "backend_options"))
    found = inspect(
        loaded,
        registry,
        backend,
        options=options,
        device=device,
        seconds_per_step=seconds_per_step,
        hourly=hourly,
        prices=table,
        max_cost=max_cost,
    )
    if trial:
        from paraphrase_rl.preflight.trial import why_no_step
        from paraphrase_rl.training.trial import try_recipe

        on, told, why_not = ChosenBackend(backend, options), reporter(progress), why_no_step(found.case)
        found = found.tried(
            lambda corpus: try_recipe(
                loaded.recipe, registry, corpus, on, device=device, report=told, why_no_step=why_not
            )
        )
    else:
        found = found.with_signal()
    return found.findings(_name_of(source), backend)


def default_recipe(backend: str | None = None, registry: Registry | None = None) -> str:
    """Return the name of the packaged recipe that `prl train` takes for a backend if none is named.

    Args:
        backend: by default the default backend.
    """
    from paraphrase_rl.errors import PluginError
    from paraphrase_rl.recipe.defaults import default_backend

    try:
        return registry_or_default(registry).spec("backends", backend or default_backend()).recipe
    except PluginError:
        return "recipe"  # that there is no such backend is said by the check of the recipe


def finding_rule(code: str) -> Rule:
    """Return the rule of a finding by its code, such as ``PRL012``: name, usual severity, meaning and remedy.

    Raises:
        UsageError: there is no such code.
    """
    from paraphrase_rl.preflight.checks import rule_of

    return rule_of(code)


def train(
    recipe: RecipeSource | None = None,
    *,
    out: AnyPath | None = None,
    backend: str | None = None,
    backend_options: Mapping[str, Any] | None = None,
    set: Changes = (),
    resume: RunOrPath | None = None,
    start_from: RunOrPath | None = None,
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
        backend_options: options of the backend; each replaces the value of a run that is continued.
        set: recipe keys to change, such as ``{"training.max_steps": 20}``; of a run that is continued, only those that
            no step it has done depends on: more steps, checkpoints, ``evaluation.every``, monitors, acceptance.
        resume: a run to continue, with its own recipe and backend, instead of starting one.
        start_from: a run whose newest weights the new run begins with, and whose recipe and backend it takes unless
            others are given. Weights at a service are exported for another backend; no service takes weights from here.
        device: torch device; by default the first CUDA device if there is one, else ``cpu``.
        max_cost: refuse a run that could cost more, in the currency of the prices.
        prices: a price table to use instead of the backend's own.
        progress: called with each progress report; after each step the report has the steps done and the total.
        stop_requested: called after each step; once it returns True, the run stops with a checkpoint and is
            ``interrupted``. A signal handler may set what it returns.
        registry: where components come from.

    Returns:
        The run; ``run.status`` is ``completed``, ``interrupted`` or ``stopped`` (by a monitor), ``run.summary`` has
        the reward terms of the held-out prompts before and after.

    Raises:
        UsageError: neither or both of a recipe and a run to continue, or no such device.
        RecipeError: the recipe cannot be read, or something keeps the run from starting; several reasons are notes of
            the error (``error.__notes__``).
        CostError: the run could cost more than ``max_cost``.
        RunError: the directory is in use or holds something else, or what the run depends on has changed.
        PrlError: a component, a model or the data is at fault.

    Example:
        >>> run = prl.train("quickstart", out="runs/a", set={"training.max_steps": 2})
        >>> run.status, [row["step"] for row in run.metrics]
        ('completed', [1, 2])
    """
    from paraphrase_rl.progress import reporter
    from paraphrase_rl.recipe.defaults import default_backend
    from paraphrase_rl.recipe.loading import load_recipe
    from paraphrase_rl.runs.backend import ChosenBackend, backend_of_run
    from paraphrase_rl.runs.run import Run
    from paraphrase_rl.training.changes import Initial, inherited, initial_of, resumed_recipe
    from paraphrase_rl.training.preparation import Start
    from paraphrase_rl.training.processes import are_several, first_accelerator
    from paraphrase_rl.training.start import train as start_training

    options = dict(mapping_of(backend_options, "backend_options"))
    changed: Mapping[str, Any] = {}
    initial: Initial | None = None
    if resume is not None:
        if any(given is not None for given in (recipe, out, backend, start_from)):
            raise UsageError(
                "a resumed run keeps its recipe, backend and directory: none of them can be given",
                "leave out the arguments recipe, backend and out; start a new run from its weights with --from",
            )
        folder = Run(resume).folder
        (loaded, changed), on = resumed_recipe(folder, set), backend_of_run(folder, options)
    elif recipe is None and start_from is None:
        raise UsageError("nothing to train", "give a recipe such as quickstart, or a run to resume")
    else:
        if out is None and are_several():
            raise UsageError(
                "several processes train together and need the same run directory",
                "give the directory as out (--out)",
            )
        if start_from is None:
            loaded, on = load_recipe(recipe, set), ChosenBackend(backend or default_backend(), options)
            stem = Path(_name_of(recipe)).stem if recipe is not None else ""
        else:
            other = Run(start_from).folder
            loaded = load_recipe(inherited(other) if recipe is None else recipe, set)
            on = ChosenBackend(backend, options) if backend else backend_of_run(other, options)
            stem = f"from-{other.resolve().name}"
        folder = Path(out) if out is not None else Path("runs") / f"{stem}-{datetime.now():%Y%m%d-%H%M%S}"
    registry = registry_or_default(registry)
    with TemporaryDirectory(prefix="prl-from-") as scratch:
        if start_from is not None:
            initial = initial_of(Run(start_from).folder, loaded.recipe.model, on, registry, Path(scratch))
        start = Start(
            loaded=loaded,
            folder=folder,
            resume=resume is not None,
            changed=changed,
            initial=initial,
            backend=on,
            device=first_accelerator() if device is None else device_or_default(device),
            max_cost=max_cost,
            prices=None if prices is None else Path(prices),
            report=reporter(progress),
            stop_requested=stop_requested or (lambda: False),
        )
        start_training(start, registry)
    return Run(folder)


def _name_of(recipe: RecipeSource) -> str:
    """What a recipe is called: its name or path; ``recipe`` where it is one in Python."""
    return str(recipe) if isinstance(recipe, (str, Path)) else "recipe"
