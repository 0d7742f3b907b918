"""Inputs of a report, read from a run, an evaluation, or both. If a file is absent, its part of the report is empty."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from paraphrase_rl.acceptance.verdict import Verdict, validate_run
from paraphrase_rl.errors import EvaluationError, PrlError, RecipeError, RunError
from paraphrase_rl.evaluation.results import Results
from paraphrase_rl.files import dumps, is_file_or_folder, read_jsonl
from paraphrase_rl.recipe.monitors import PUBLISHED, Monitor, in_force
from paraphrase_rl.recipe.problems import dotted
from paraphrase_rl.recipe.yaml_positions import read_yaml
from paraphrase_rl.runs.metrics_files import rows_of
from paraphrase_rl.runs.reader import recipe_of_run
from paraphrase_rl.runs.terms import RewardTerm, recorded_terms

Row = dict[str, Any]

_OF_RUN: Mapping[str, Collection[str]] = {
    "metrics": ("step", "metrics"),
    "evaluations": ("step", "metrics"),
    "events": (),
    "samples": ("id", "step", "source", "rewrite", "details", "total"),
    "warmup": ("warmup_step",),
}
_OF_EVALUATION: Mapping[str, Collection[str]] = {
    "documents": ("id", "text"),
    "rewrites": ("id", "rewriter"),
    "scores": ("id", "rewriter", "detector"),
}
"""Tables, with the keys that the page needs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RecipeKey:
    """One key of the recipe a run used: dotted name, value as JSON, and where it came from ('' = not recorded)."""

    key: str
    value: str
    origin: str

    @property
    def section(self) -> str:
        """The part of the name before the first dot."""
        return self.key.partition(".")[0]


@dataclass(frozen=True, kw_only=True)
class ReportInputs:
    """Everything a report shows.

    Attributes:
        name: name of the run or evaluation, as the user gave it.
        run: directory of the run, ``None`` for an evaluation alone.
        evaluation: folder of the evaluation, ``None`` if there is none.
        verdict: acceptance line by line; ``None`` without a run, or if no verdict could be given.
        verdict_problem: why there is no verdict on a run.
        fairness: evaluation that the verdict took its false positive gap from, if that is another one.
        metrics, evaluations, events, samples, warmup: rows of the run's files.
        documents, rewrites, scores: rows of the evaluation's files.
    """

    name: str
    run: Path | None
    evaluation: Path | None
    verdict: Verdict | None = None
    verdict_problem: str = ""
    results: Results | None = None
    fairness: Results | None = None
    recipe: tuple[RecipeKey, ...] = ()
    manifest: Mapping[str, Any] = field(default_factory=dict)
    metrics: list[Row] = field(default_factory=list)
    evaluations: list[Row] = field(default_factory=list)
    events: list[Row] = field(default_factory=list)
    samples: list[Row] = field(default_factory=list)
    warmup: list[Row] = field(default_factory=list)
    documents: list[Row] = field(default_factory=list)
    rewrites: list[Row] = field(default_factory=list)
    scores: list[Row] = field(default_factory=list)

    @property
    def terms(self) -> tuple[RewardTerm, ...]:
        """The reward terms of the run, with their roles."""
        return recorded_terms(self.manifest)

    @property
    def monitors(self) -> Mapping[str, Monitor | None]:
        """The monitors in force in the run; the published ones if its recipe cannot be read."""
        if self.run is not None:
            with suppress(PrlError):
                recipe = recipe_of_run(self.run)
                return in_force(recipe.monitors, recipe.kl.reference)
        return PUBLISHED


def read_inputs(folder: Path, evaluation: Path | None = None) -> ReportInputs:
    """Read a run with its evaluation, or an evaluation alone.

    Args:
        folder: of a run, or of an evaluation.
        evaluation: folder of the run's evaluation; by default ``evaluation`` in the run, if there is one.

    Raises:
        RunError: the folder is neither, or one of its tables is damaged.
        EvaluationError: the evaluation asked for is missing or damaged.
    """
    is_run = is_file_or_folder(folder / "recipe.yaml")
    if not is_run and not is_file_or_folder(folder / "results.json"):
        raise RunError(
            f"{folder} is neither a run nor an evaluation",
            "give the directory that prl train --out or prl evaluate --out wrote",
        )
    if not is_run:
        evaluation = folder
    elif evaluation is None and (folder / "evaluation" / "results.json").is_file():
        evaluation = folder / "evaluation"
    read: dict[str, Any] = {}
    if is_run:
        read |= {
            "recipe": _recipe(folder / "recipe.yaml"),
            "manifest": _json(folder / "manifest.json"),
        }
        try:
            read["verdict"] = _verdict(folder, evaluation)
        except PrlError as error:  # the rest of the page still stands
            read["verdict_problem"] = error.one_line
        else:
            if read["verdict"].fairness is not None:
                with suppress(EvaluationError):  # it may be gone since
                    read["fairness"] = Results.read(Path(read["verdict"].fairness))
        read |= {name: rows_of(folder, f"{name}.jsonl", keys) for name, keys in _OF_RUN.items()}
    if evaluation is not None:
        read["results"] = Results.read(evaluation)
        read |= {n: read_jsonl(evaluation / f"{n}.jsonl", keys) for n, keys in _OF_EVALUATION.items()}
    return ReportInputs(name=str(folder), run=folder if is_run else None, evaluation=evaluation, **read)


def _verdict(run: Path, evaluation: Path | None) -> Verdict:
    """The verdict that ``prl validate`` saved, unless the files it rests on have changed since."""
    saved = run / "verdict.json"
    sources = [run / "metrics.jsonl", *([evaluation / "results.json"] if evaluation else [])]
    if saved.is_file() and all(f.stat().st_mtime <= saved.stat().st_mtime for f in sources if f.is_file()):
        with suppress(EvaluationError):
            verdict = Verdict.read(run)
            places = [None if p is None else Path(p).resolve() for p in (verdict.evaluation, evaluation)]
            if places[0] == places[1]:
                return verdict
    return validate_run(run, evaluation=evaluation)


def _json(file: Path) -> dict[str, Any]:
    try:
        value = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def _recipe(file: Path) -> tuple[RecipeKey, ...]:
    """Keys with the comment that :func:`paraphrase_rl.recipe.loading.dump_recipe` wrote behind each."""
    text = file.read_text(encoding="utf-8", errors="replace")
    try:
        read = read_yaml(text, str(file))
    except RecipeError:
        return ()
    lines = text.split("\n")
    return tuple(
        RecipeKey(
            key=dotted(keys, read.value), value=dumps(value), origin=_origin(lines[read.lines[keys] - 1])
        )
        for keys, value in _leaves(read.value)
        if keys in read.lines
    )


def _origin(line: str) -> str:
    _, comment, origin = line.rpartition("  # ")
    return origin if comment else ""


def _leaves(value: Any, keys: tuple[str | int, ...] = ()) -> list[tuple[tuple[str | int, ...], Any]]:
    if isinstance(value, dict) and value:
        items: list[tuple[str | int, Any]] = list(value.items())
    elif isinstance(value, list) and value and all(isinstance(item, dict) for item in value):
        items = list(enumerate(value))
    else:
        return [(keys, value)]
    return [leaf for key, item in items for leaf in _leaves(item, (*keys, key))]
