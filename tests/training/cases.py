"""Runs of the real command line on a tiny model, with components that need no model (``third_party/``)."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from paraphrase_rl.files import read_jsonl
from tests.training.runs import WORDS

THIRD_PARTY = Path(__file__).parent / "third_party"


@dataclass(frozen=True)
class Ended:
    """How a process ended: exit status (minus the signal where one killed it) and what it printed."""

    code: int
    stdout: str
    stderr: str


Prl = Callable[..., Ended]


def prl_process(
    arguments: Sequence[str], cwd: Path, environment: dict[str, str], largest_file: int | None, shell: str
) -> None:
    """The console script in a process that can be killed, its streams in files of ``cwd``'s folder ``streams``.

    ``shell`` is what a shell would be told about them: ``2>/dev/full``, ``>&-``, ``2>&-``, or ``2>&1 | head -8``.
    """
    os.chdir(cwd)
    for name, number in (("stdout", 1), ("stderr", 2)):
        os.dup2(os.open(cwd / "streams" / name, os.O_CREAT | os.O_WRONLY | os.O_TRUNC), number)
    if "/dev/full" in shell:
        os.dup2(os.open("/dev/full", os.O_WRONLY), 2 if "2>" in shell else 1)
    if "head" in shell:
        reader = subprocess.Popen(["head", "-8"], stdin=subprocess.PIPE)
        assert reader.stdin is not None
        os.dup2(reader.stdin.fileno(), 1)
        os.dup2(reader.stdin.fileno(), 2)
        reader.stdin.close()
    sys.stdout, sys.stderr = (os.fdopen(number, "w", encoding="utf-8") for number in (1, 2))
    for closed, stream, number in ((">&-", "stdout", 1), ("2>&-", "stderr", 2)):
        if closed in shell.split():
            os.close(number)
            setattr(sys, stream, None)  # as Python finds it at its start
    sys.path.insert(0, str(THIRD_PARTY))
    os.environ.update(environment)
    if largest_file is not None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (largest_file, largest_file))
    sys.argv = ["prl", *arguments]
    from paraphrase_rl.cli.main import main

    main()


def write_texts(path: Path, *, train: int = 6, group: str | None = None, changed: str = "") -> Path:
    """Labelled texts with splits: humans with few vowels, AI with many; ``train`` of each to train on."""
    rng = np.random.default_rng(1)
    rows = []
    for split, count in (("calibration", 12), ("train", train), ("test", 3)):
        for i in range(count):
            words = [str(word) for word in rng.choice(WORDS, size=rng.integers(4, 9))]
            for label, vowels in (("human", "rhythm"), ("ai", "aura")):
                text = " ".join([*words, *[vowels] * (i % 3)]) + changed
                rows.append(
                    {"text": text, "label": label, "split": split, "pair": f"{split}{i}", "group": group}
                )
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def write_recipe(folder: Path, model: Path, data: Path, **changes: Any) -> Path:
    """Eight steps of 2 prompts x 3 rollouts: three an epoch, cut in the third epoch."""
    settings: dict[str, Any] = {
        "model": str(model),
        "lora": {"rank": 4, "alpha": 8},
        "training": {
            "batch_size": 2,
            "group_size": 3,
            "epochs": 3,
            "max_steps": 8,
            "learning_rate": 0.01,
        },
        "sampling": {"max_tokens": 12},
        "rewards": [{"name": "consonants"}, {"name": "detector-evasion"}],
        "detectors": [{"name": "vowels"}],
        "data": {"source": {"name": "files", "options": {"path": str(data)}}},
        "evaluation": {"every": 3, "prompts": 3},
        "checkpoints": {"every": 2, "keep": 2},
        "prompt": {"system": "s", "instruction": "i"},
        "kl": {"penalty_coef": 0.1},
        **changes,
    }
    path = folder / "recipe.yaml"
    path.write_text(json.dumps(settings))  # JSON is YAML
    return path


@dataclass(frozen=True)
class Case:
    """A recipe on texts of its own, and the folder that holds both and its runs."""

    folder: Path
    recipe: Path
    data: Path


def numbers(run: Path) -> dict[str, Any]:
    """Everything a run says but the time it took and digests of files that hold its path, and its final weights."""

    def rows(name: str, *timings: str) -> list[dict[str, Any]]:
        return [
            {key: value for key, value in row.items() if key not in timings}
            for row in read_jsonl(run / f"{name}.jsonl")
        ]

    return {
        "metrics": [
            {
                key: value
                for key, value in {**row["metrics"], "step": row["step"]}.items()
                if not key.startswith("seconds_") and key != "tokens_per_second"
            }
            for row in rows("metrics")
        ],
        "evaluations": rows("evaluations", "seconds"),
        "samples": rows("samples"),
        "monitors": [row for row in rows("events", "time") if row["event"] == "monitor"],
        "checkpoints": rows("checkpoints", "sha256"),
        "on disk": sorted(path.name for path in (run / "checkpoints").iterdir()),
        "adapter": (run / "adapter" / "adapter_model.safetensors").read_bytes(),
    }


def contents(folder: Path) -> dict[str, bytes]:
    """Every file of a folder."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
