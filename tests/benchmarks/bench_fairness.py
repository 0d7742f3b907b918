"""False positive rates of second-language and native writers on the essays of Liang et al. (2023).

    OMP_NUM_THREADS=1 OMP_WAIT_POLICY=PASSIVE .venv/bin/python tests/benchmarks/bench_fairness.py

Native are the college and 8th-grade essays (158), second-language the TOEFL essays (91). The threshold is set on the
native essays themselves, as in the published comparison, at 5 %. Whole texts, then all cut to the length at which
`prl evaluate` compares groups. tfidf is the one fitted by `prl fit tfidf`. Some 3 CPU minutes.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np

from paraphrase_rl.detection.threshold import operating_point
from paraphrase_rl.evaluation.results import ORIGINAL
from paraphrase_rl.plugin.registry import default_registry
from paraphrase_rl.statistics.bootstrap import resample
from paraphrase_rl.statistics.fairness import equal_length_words, fairness_tables
from paraphrase_rl.statistics.records import Estimate
from paraphrase_rl.text.excerpts import excerpt
from paraphrase_rl.types import Document

FOLDER = Path(__file__).resolve().parents[3] / "shared" / "data" / "liang"
TARGET, RESAMPLES = 0.05, 2000
NATIVE_DOMAINS = {"college", "8th-grade"}


def essays(folder: Path) -> list[Document]:
    source = default_registry().build("datasets", "liang", {"path": str(folder)})
    return [
        replace(d, group="native" if d.domain in NATIVE_DOMAINS else "non-native")
        for d in source.documents()
        if d.label == "human" and d.domain in {*NATIVE_DOMAINS, "toefl"}
    ]


def shown(estimate: Estimate) -> str:
    assert estimate.value is not None
    assert estimate.low is not None
    assert estimate.high is not None
    return f"{estimate.value:6.1%} [{estimate.low:6.1%}, {estimate.high:6.1%}]"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--folder", type=Path, default=FOLDER)
    parser.add_argument("--detectors", nargs="+", default=["log-likelihood", "fast-detectgpt", "tfidf"])
    parser.add_argument("--max-tokens", type=int, help="of the language model; the published table used 256")
    given = parser.parse_args()
    humans = essays(given.folder)
    is_native = np.array([d.group == "native" for d in humans])
    print(f"{is_native.sum()} native, {(~is_native).sum()} second-language essays; threshold at {TARGET:.0%}")
    for words in (None, equal_length_words(humans)):
        texts = [d.text if words is None else excerpt(d.text, words) for d in humans]
        print("whole texts" if words is None else f"cut to at most {words} words")
        for name in given.detectors:
            options = {"max_tokens": given.max_tokens} if given.max_tokens and name != "tfidf" else {}
            scores = default_registry().build("detectors", name, options).score(texts).values
            drawn = resample([d.id for d in humans], RESAMPLES, 0)
            rates, gaps = fairness_tables(
                humans,
                scores,
                scores[is_native],
                detector=name,
                rewriter=ORIGINAL,
                deployed={TARGET: operating_point(scores[is_native], TARGET).threshold},
                words=words,
                reference="native",
                drawn=drawn,
                calibration_drawn=drawn.rows(is_native),
            )
            found = {rate.group: rate.rate for rate in rates if rate.threshold == "reference"}
            gap = next(gap.gap for gap in gaps if gap.threshold == "reference")
            print(
                f"  {name:<16} native {shown(found['native'])}   second-language {shown(found['non-native'])}   "
                f"gap {shown(gap)}"
            )


if __name__ == "__main__":
    main()
