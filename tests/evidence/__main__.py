"""Does it evade, and what stops it: the experiment behind docs/evidence.md, as one command that can be stopped.

    python -m tests.evidence [--out runs/evidence] [--source FOLDER] [--seeds 3] [--steps 30] [--texts 64]

Stages, each done once: fit detectors; train the policies of a seed; evaluate all that is there; harden detectors. The
page is written after each evaluation. The first seed comes first, so that a stopped experiment has a page that says
what it lacks. The same command goes on; a run that another process trains is left out until it is finished.
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
from importlib.metadata import version
from pathlib import Path

from paraphrase_rl.errors import PrlError
from paraphrase_rl.files import dumps, write_text
from paraphrase_rl.models.precision import decide
from tests.evidence.experiment import BOTH, EVADING, GRPO, ROOT, SHARED, STEALTH, Experiment, Settings
from tests.evidence.figures import Figures
from tests.evidence.page import PICTURE, picture, render

DOCS, OUT = ROOT / "docs", ROOT / "runs" / "evidence"
_INSTRUCTIONS = {"amx_bf16": "with AMX", "avx512_bf16": "with AVX-512 bf16"}
RECORD = "evidence.json"
PLACES = (SHARED, ROOT / "data" / "fast-detect-gpt")
"""Where the texts of Fast-DetectGPT are looked for: what `../shared` has, and what configs/evidence.yaml names."""
DEVELOPED_ON = 64
"""Texts of Fast-DetectGPT that the page was of when it was decided to have policies with more evasion (to 4a0c75b)."""


def stages(experiment: Experiment) -> list[str]:
    """Names of all stages, in order."""
    found = ["fit"]
    for seed in range(experiment.settings.seeds):
        found += [f"{BOTH}-{seed}", f"{GRPO}-{seed}"]
        if seed == 0:
            found += ["evaluate", f"{STEALTH}-0", f"{EVADING}-0", "harden", "evaluate"]
        else:
            found += [f"{EVADING}-{seed}", "evaluate"]
    return [*found, "harden", "evaluate"] if experiment.settings.seeds > 1 else found


def carry_out(experiment: Experiment, chosen: list[str], docs: Path, command: str) -> bool:
    """Carry out stages; one that cannot be is told, and left out of the page.

    Args:
        experiment: the experiment.
        chosen: names of stages, in order.
        docs: folder of the page, its record and its picture.
        command: what made the page, for the page.

    Returns:
        Whether all of them were carried out.
    """
    whole = True
    for name in chosen:
        try:
            if name == "fit":
                experiment.fit()
            elif name == "harden":
                experiment.harden()
            elif name == "evaluate":
                experiment.evaluate()
                write(experiment, docs, command)
            else:
                kind, _, seed = name.rpartition("-")
                experiment.train(kind, int(seed))
        except PrlError as error:
            experiment.report(f"{name}: {error.one_line}")
            whole = False
            if name == "fit":
                raise
    return whole


def write(experiment: Experiment, docs: Path, command: str) -> None:
    """Write the record, and the page and the picture that are made of it."""
    with experiment.stage("page"):
        record = {"command": command, "machine": machine(experiment.device), **Figures(experiment).record()}
    write_text(docs / RECORD, dumps(record) + "\n")
    write_text(docs / PICTURE, picture(record))
    write_text(docs / "evidence.md", render(record))
    experiment.report(f"wrote {docs / 'evidence.md'}")


def found_source() -> Path | None:
    """Folder with the texts of Fast-DetectGPT, where they are looked for; ``None`` if they are not there."""
    return next((place for place in PLACES if place.is_dir()), None)


def machine(device: str) -> dict[str, object]:
    """Describe this machine as far as it matters to the figures."""
    flags, name = "", platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.is_file():
        text = info.read_text(encoding="utf-8")
        flags = next((line for line in text.splitlines() if line.startswith("flags")), "")
        name = next(
            (line.partition(": ")[2] for line in text.splitlines() if line.startswith("model name")), name
        )
    packages = ("torch", "transformers", "trl", "peft", "numpy", "scikit-learn")
    return {
        "processor": name,
        "bf16": next(
            (shown for flag, shown in _INSTRUCTIONS.items() if flag in flags), "without bf16 instructions"
        ),
        "precision": decide("auto", device),
        "device": _card(device),
        "packages": {package: version(package) for package in packages},
    }


def _card(device: str) -> str:
    """The device, a card by its name."""
    if not device.startswith("cuda"):
        return device
    import torch

    return str(torch.cuda.get_device_name(device))


def show(message: str) -> None:
    print(message, file=sys.stderr, flush=True)


def main() -> None:
    """Read the arguments, and carry the stages out."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=OUT)
    parser.add_argument(
        "--source",
        type=Path,
        help="folder of Fast-DetectGPT's exp_gpt3to4/data; else the one in ../shared, else data/fast-detect-gpt, else "
        "the starter set takes their place",
    )
    parser.add_argument("--seeds", type=int, default=Settings.seeds)
    parser.add_argument("--steps", type=int, default=Settings.steps)
    parser.add_argument("--texts", type=int, default=Settings.texts, help="AI test texts")
    parser.add_argument(
        "--hardened-on", type=int, default=Settings.hardened_on, help="texts rewritten to harden"
    )
    parser.add_argument("--candidates", type=int, default=Settings.candidates, help="of best-of-n")
    parser.add_argument("--device")
    parser.add_argument(
        "--docs",
        type=Path,
        help="folder of the page; else docs where the texts are found and --out is the default, else --out",
    )
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="change every recipe")
    parser.add_argument(
        "stages",
        nargs="*",
        help="only these: fit, both-0, grpo-0, stealthrl-0, evading-0, harden, evaluate ...",
    )
    given = parser.parse_args()
    if given.device is None:
        os.environ.setdefault("CUDA_VISIBLE_DEVICES", "0")  # a run trains on one card
    source = given.source or found_source()
    if source is None:
        show(
            "the texts of Fast-DetectGPT are not there, so the starter set takes their place: see --source; "
            f"the page goes to {given.docs or given.out}"
        )
    experiment = Experiment(
        Settings(
            out=given.out,
            source=source,
            seeds=given.seeds,
            steps=given.steps,
            texts=given.texts,
            developed_on=DEVELOPED_ON if source is not None else 0,
            hardened_on=given.hardened_on,
            candidates=given.candidates,
            device=given.device,
            changes=tuple(given.set),
        ),
        show,
    )
    command = f"make evidence SEEDS={given.seeds} STEPS={given.steps} TEXTS={given.texts}"
    command += f" SET='{' '.join(given.set)}'" if given.set else ""
    # Other texts, and a trial in a folder of its own, do not overwrite the page of the repository.
    own = source is not None and given.source is None and given.out.resolve() == OUT.resolve()
    docs = given.docs or (DOCS if own else given.out)
    if not carry_out(experiment, given.stages or stages(experiment), docs, command):
        sys.exit(1)


if __name__ == "__main__":
    main()
