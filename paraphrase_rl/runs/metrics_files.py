"""JSON-lines files of a run, written and read here: metrics, evaluations, samples and events."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from paraphrase_rl.errors import RunError
from paraphrase_rl.files import append_jsonl, read_jsonl

STEP_FILES = ("metrics.jsonl", "evaluations.jsonl", "samples.jsonl", "events.jsonl")
"""Files whose rows of later steps are removed when a run resumes from a checkpoint; rows without a step stay."""
WARMUP_PAIRS, WARMUP_ROWS = "warmup_pairs.jsonl", "warmup.jsonl"
"""Files of a warm-up, which has steps of its own: no resume of the training removes a row of them."""
_SHAPES: Mapping[str, Mapping[str, type]] = {
    "metrics.jsonl": {"step": int, "metrics": dict},
    "evaluations.jsonl": {"step": int, "metrics": dict, "prompts": dict},
    "samples.jsonl": {
        "step": int,
        "kind": str,
        "id": str,
        "source": str,
        "rewrite": str,
        "total": float,
        "terms": dict,
        "details": dict,
    },
    "events.jsonl": {
        "step": int,
        "event": str,
        "time": str,
        "rule": str,
        "action": str,
        "scale": float,
        "to": int,
    },
    WARMUP_PAIRS: {
        "index": int,
        "chunk": int,
        "sha256": str,
        "source": str,
        "target": str,
        "why": str,
        "values": dict,
        "prompt_tokens": float,
        "completion_tokens": float,
    },
    WARMUP_ROWS: {"warmup_step": int, "metrics": dict, "evaluation": dict, "prompts": dict},
}
"""Types of the keys of a row that the core reads. Numbers may be ``null``, and a dict holds numbers."""
DAMAGED = "the file was edited, damaged or copied from another run: restore this run's own file"


def append_row(folder: Path, name: str, row: Mapping[str, object]) -> None:
    """Add a row to one of a run's JSON-lines files, complete or not at all.

    Args:
        folder: of the run.
        name: of the file.
        row: its values, as JSON takes them.

    Raises:
        RunError: the file cannot be written.
    """
    append_jsonl(folder / name, row)


def rows_of(folder: Path, name: str, keys: Collection[str] = ()) -> list[dict[str, Any]]:
    """Read the rows of one of a run's JSON-lines files; an empty list if there is no such file.

    Args:
        folder: the run directory.
        name: name of the file.
        keys: names of fields that every row must have.

    Raises:
        RunError: a row lacks one of these fields, or has a value that no run writes.
    """
    rows = read_jsonl(folder / name, keys)
    for number, row in enumerate(rows, start=1):
        for key, kind in _SHAPES.get(name, {}).items():
            if key in row and (wrong := _wrong(row[key], kind)):
                raise RunError(
                    f"{folder / name}, row {number}: not a row that a run writes: {key}{wrong}", DAMAGED
                )
    return rows


def _wrong(value: object, kind: type) -> str:
    """Reason why a value does not have a type; empty where it has."""
    if kind is float and value is None:
        return ""
    if isinstance(value, bool) or not isinstance(value, (int, float) if kind is float else kind):
        return f" is {value!r:.80}"
    if isinstance(value, dict):
        return next((f": {name}{why}" for name, held in value.items() if (why := _wrong(held, float))), "")
    return ""
