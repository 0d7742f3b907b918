"""The chart of evasion against meaning: attack success rate and similarity of each rewriter."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from paraphrase_rl.detection.ensemble import COMBINED
from paraphrase_rl.evaluation.results import ORIGINAL, Results
from paraphrase_rl.reporting.charts import Chart, Spot, scatter
from paraphrase_rl.reporting.formatting import number, share
from paraphrase_rl.statistics.records import Estimate


@dataclass(frozen=True, slots=True, kw_only=True)
class TradeOff:
    """The chart, and its numbers as rows (label, attack success rate, similarity).

    ``own``: the policy of the run is among them.
    """

    figure: Chart
    rows: Sequence[tuple[str, Estimate, Estimate]]
    own: bool


def trade_off(results: Results) -> TradeOff | None:
    """Draw evasion against meaning; ``None`` if no rewriter has both numbers."""
    rows = []
    for rewriter in results.rewriters:
        point = results.point(rewriter.label, COMBINED, results.about.target_fpr)
        meaning = results.meaning(rewriter.label)
        if rewriter.label != ORIGINAL and point and meaning:
            rows.append((rewriter, point.attack_success_rate, meaning.estimate))
    spots = [
        Spot(label=r.label, x=success, y=meaning, own=r.of_run)
        for r, success, meaning in rows
        if success.value is not None and meaning.value is not None
    ]
    if not spots:
        return None
    told = "; ".join(f"{s.label}: success {share(s.x.value)}, similarity {number(s.y.value)}" for s in spots)
    metric = results.metric("meaning")
    names = (
        "attack success rate on the ensemble →",
        f"{metric.name.replace('_', ' ') if metric else 'meaning'} ↑",
    )
    drawing = scatter("trade-off", "Evasion against meaning", f"Scatter plot. {told}.", spots, names)
    return TradeOff(
        figure=Chart(name="Evasion against meaning", drawing=drawing),
        rows=[(r.label, success, meaning) for r, success, meaning in rows],
        own=any(spot.own for spot in spots),
    )
