"""Summary of a run on its held-out prompts: reward terms before and after, and rewrites with their sources."""

from __future__ import annotations

import json
import math
import textwrap
from dataclasses import dataclass
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from paraphrase_rl.errors import RunError
from paraphrase_rl.runs.metrics_files import rows_of
from paraphrase_rl.runs.reader import terms_of_run
from paraphrase_rl.runs.terms import first_of
from paraphrase_rl.tables import Table, record

SHOWN = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class TermChange:
    """One reward term on the held-out prompts; ``after`` and ``change`` are ``None`` if there is one evaluation."""

    term: str
    before: float | None
    after: float | None
    change: float | None


@dataclass(frozen=True, repr=False, kw_only=True)
class Summary(Table[TermChange]):
    """Reward terms before and after training, read from a run directory; nothing is computed again.

    Attributes:
        gain: change of the total reward, mean over prompts.
        gain_se: standard error of that mean: prompts are paired, samples of a prompt averaged first.
        first_step, last_step: steps of the two evaluations.
        samples: rewrites of the last evaluation.
        p_prefix: the beginning of the names of P(AI) by detector among the details of a sample; an empty string if
            there are none.
    """

    gain: float
    gain_se: float
    first_step: int
    last_step: int
    prompts: int
    samples: tuple[dict[str, Any], ...]
    p_prefix: str = ""

    @property
    def title(self) -> str:
        """First line of ``repr``."""
        return f"Held-out prompts: {self.prompts}. {self._said()}"

    def _said(self) -> str:
        if self.last_step == self.first_step:
            return "Evaluated once: there is no change to show yet."
        return f"Mean total reward {self.gain:+.3f} (standard error of the change {self.gain_se:.3f})."

    def meta(self, folder: Path) -> dict[str, Any]:
        """Return the fields of the JSON output other than the rows."""
        return {
            "run": str(folder),
            "gain": self.gain,
            "gain_se": self.gain_se,
            "prompts": self.prompts,
            "steps": [self.first_step, self.last_step],
            "samples": list(self.samples),
        }

    def text(self, folder: Path) -> str:
        """Write the summary as text for a terminal."""
        import tabulate

        columns = {"term": "reward term", "before": f"before (step {self.first_step})"}
        if self.last_step != self.first_step:
            columns |= {"after": f"after (step {self.last_step})", "change": "change"}
        table = tabulate.tabulate(
            [[record(row)[key] for key in columns] for row in self.rows],
            headers=list(columns.values()),
            floatfmt=("", ".3f", ".3f", "+.3f"),
            missingval="-",
        )
        lines = [self.title, "", table]
        for sample in self.samples:
            terms = ", ".join(
                f"{name} {value:.2f}" for name, value in sample["terms"].items() if value is not None
            )
            lines += ["", paragraph("source", sample["source"]), paragraph("rewrite", sample["rewrite"])]
            lines.append(f"          total {sample['total']:.2f}: {terms}")
            detectors = ", ".join(
                f"{name.removeprefix(self.p_prefix)} {value:.2f}"
                for name, value in sample["details"].items()
                if self.p_prefix and name.startswith(self.p_prefix) and value is not None
            )
            lines += [f"          P(AI) of the rewrite: {detectors}"] if detectors else []
        return "\n".join([*lines, "", f"run directory: {folder}"])


def summarise(folder: Path) -> Summary:
    """Summarise the run in a directory, from its first and last evaluation.

    Raises:
        RunError: the run has no evaluation.
    """
    evaluations = rows_of(folder, "evaluations.jsonl", ("step", "metrics", "prompts"))
    if not evaluations:
        raise RunError(f"{folder} has no evaluation", "give the directory of a run that has begun to train")
    first, last = evaluations[0], evaluations[-1]
    twice = len(evaluations) > 1
    shared = [
        last["prompts"][key] - before
        for key, before in first["prompts"].items()
        if before is not None and last["prompts"].get(key) is not None
    ]
    terms = [
        name for name in first["metrics"] if name.endswith(("_reward", "_rate")) or name == "reward_mean"
    ]
    evasion = first_of(terms_of_run(folder), "evasion")
    rows = [
        TermChange(
            term=name,
            before=first["metrics"][name],
            after=last["metrics"].get(name) if twice else None,
            change=_difference(first["metrics"][name], last["metrics"].get(name)) if twice else None,
        )
        for name in sorted(terms, key=lambda name: (name != "reward_mean", name))
    ]
    samples = [
        row
        for row in rows_of(
            folder, "samples.jsonl", ("step", "kind", "id", "source", "rewrite", "total", "terms", "details")
        )
        if row["kind"] == "evaluation" and row["step"] == last["step"] and row["total"] is not None
    ]
    return Summary(
        rows=tuple(rows),
        gain=mean(shared) if shared and twice else math.nan,
        gain_se=stdev(shared) / math.sqrt(len(shared)) if len(shared) > 1 and twice else math.nan,
        first_step=first["step"],
        last_step=last["step"],
        prompts=len(shared),
        samples=tuple(_typical(samples)),
        p_prefix=evasion.probability_prefix if evasion else "",
    )


def _typical(samples: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Choose three rewrites of different sources over the range of totals: a low, a middle and a high one."""
    by_source = {row["id"]: row for row in samples}
    ranked = sorted(by_source.values(), key=lambda row: row["total"])
    if len(ranked) <= SHOWN:
        return ranked
    return [ranked[len(ranked) // 4], ranked[len(ranked) // 2], ranked[-1]]


def _difference(before: float | None, after: float | None) -> float | None:
    return None if before is None or after is None else after - before


def paragraph(name: str, text: str) -> str:
    """Wrap a text for a terminal behind its name; line breaks and control characters are shown escaped."""
    in_quotes = json.dumps(text, ensure_ascii=False)
    one_line = in_quotes[1:-1].replace('\\"', '"')
    return textwrap.fill(one_line, 100, initial_indent=f"{name:>8}  ", subsequent_indent=" " * 10)
