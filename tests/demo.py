"""The end of ``make demo``: how often the rewrites are flagged by a detector trained against, and by one held out.

    python -m tests.demo RUN

Held out is ``token-statistics`` (tests/evidence/detectors.py), fitted on the train split of the run's texts; no policy
of the demo is trained against it.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import paraphrase_rl as prl
from paraphrase_rl.evaluation.results import Point, Results
from tests.evidence.detectors import TOKEN_STATISTICS

PLUGINS = Path(__file__).parent / "evidence" / "detectors.py"
AGAINST = "tfidf"
TEXTS = 48


def evaluate(folder: Path, texts: int) -> Results:
    """Evaluate the last policy of a run on the first AI test texts of its data."""
    registry = prl.load_registry(PLUGINS)
    run = prl.Run(folder)
    fitted = (folder / TOKEN_STATISTICS).resolve()
    if not (fitted / "seen.json").is_file():  # written last
        data = run.recipe.data
        corpus = prl.load_data(data.source, excerpt_words=data.excerpt_words)
        prl.fit(TOKEN_STATISTICS, data=corpus, out=fitted, registry=registry)
    held_out = {TOKEN_STATISTICS: {"folder": str(fitted)}}
    return prl.evaluate(run, rewriters=["policy"], detectors=held_out, texts=texts, registry=registry)


def point(results: Results, detector: str) -> Point:
    """Return the rates of the policy and a detector at the threshold of the verdicts."""
    found = results.point("policy", detector, results.about.target_fpr)
    assert found is not None, f"no rates of {detector}"
    return found


def flagged(results: Results) -> str:
    """Say what share of the texts each of the two detectors flags, before and after."""
    rows = []
    for role, name in (("trained against", AGAINST), ("held out", TOKEN_STATISTICS)):
        rates = point(results, name)
        before, after = rates.tpr_before, rates.tpr_after
        rows.append(f"{name:17} {role:16} {before.shown():20} {after.shown()}")
    return "\n".join(
        [
            f"Share of {results.about.ai_texts} AI test texts that is flagged, at thresholds for a false positive",
            f"rate of {results.about.target_fpr:.0%}, with its 95 % interval:",
            "",
            f"{'detector':17} {'':16} {'flagged before':20} after the rewrite",
            *rows,
        ]
    )


def main() -> None:
    """Evaluate the run, and print what it ends with."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path)
    parser.add_argument("--texts", type=int, default=TEXTS)
    given = parser.parse_args()
    print(flagged(evaluate(given.run, given.texts)))


if __name__ == "__main__":
    main()
