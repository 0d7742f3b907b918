"""Scores of the embedded zero-shot detectors on public texts, computed once: the populations of bench_coverage.py.

    python tests/benchmarks/recorded_scores.py --data ../shared/data

Of three sets of human texts and GPT-4's continuations of their first words (Bao et al. 2023), and of student essays
(Liang et al. 2023), the first 60 words; and those of GPT-4 once more after the rewriter `synonym`. Written to PRL_HOME,
outside the repository, set by set: a second call goes on from there. About fifteen CPU minutes.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import paraphrase_rl as prl
from paraphrase_rl.files import home, write_text
from paraphrase_rl.text.excerpts import excerpt

WORDS = 60
DETECTORS = ("log-likelihood", "log-rank", "fast-detectgpt", "lastde", "gltr")
DOMAINS = ("xsum", "writing", "pubmed")
ESSAYS = ("CollegeEssay_real_70", "HewlettStudentEssay_real_88", "CS224N_real_145", "TOEFL_real_91")


def saved() -> Path:
    """Return the file that the scores are saved in."""
    return home() / "benchmarks" / "recorded-scores.json"


def texts(data: Path) -> dict[str, list[str]]:
    """Read the texts, by kind and set: ``human/xsum``, ``ai/xsum``, ``essay/TOEFL_real_91``."""
    found: dict[str, list[str]] = {}
    for domain in DOMAINS:
        path = data / "fast-detect-gpt" / "exp_gpt3to4" / "data" / f"{domain}_gpt-4.raw_data.json"
        rows = json.loads(path.read_text(encoding="utf-8"))
        found |= {f"human/{domain}": rows["original"], f"ai/{domain}": rows["sampled"]}
    for name in ESSAYS:
        path = data / "liang" / "Human_Data" / name / "data.json"
        found[f"essay/{name}"] = [row["document"] for row in json.loads(path.read_text(encoding="utf-8"))]
    return {name: [excerpt(text, WORDS) for text in some] for name, some in found.items()}


def record(data: Path) -> None:
    """Score the texts and save the scores, set by set: by kind and set, then by detector, in the order of the texts."""
    found: dict[str, dict[str, list[float | None]]] = {}
    if saved().exists():
        found = json.loads(saved().read_text(encoding="utf-8"))
    everything = texts(data)
    names = [*everything, *(f"rewritten/{domain}" for domain in DOMAINS)]
    for name in names:
        if name in found:
            continue
        kind, _, of = name.partition("/")
        some = everything[name] if kind != "rewritten" else rewritten(everything[f"ai/{of}"])
        rows = prl.score(some, detectors=list(DETECTORS)).rows
        found[name] = {
            detector: [row.score for row in rows if row.detector == detector] for detector in DETECTORS
        }
        saved().parent.mkdir(parents=True, exist_ok=True)
        write_text(saved(), json.dumps(found))
        print(f"{name}: {len(some)} texts", flush=True)


def rewritten(some: list[str]) -> list[str]:
    """Rewrite texts with `synonym`."""
    return [row.rewrite or "" for row in prl.rewrite("synonym", some, seed=0).rows]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="folder with fast-detect-gpt/ and liang/")
    record(parser.parse_args().data)
    print(saved())


if __name__ == "__main__":
    main()
