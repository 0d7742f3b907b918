"""How often the 95 % intervals that we show hold the truth, by kind and number of texts, from recorded scores.

    python tests/benchmarks/recorded_scores.py --data ../shared/data    # once
    python tests/benchmarks/bench_coverage.py --data ../shared/data

A population is a set of recorded scores, of our own detectors (recorded_scores.py) and of commercial ones (Liang et al.
2023), smoothed with a normal kernel of a tenth of their standard deviation: its distribution is continuous and known
exactly, so are its rates. Every trial draws n human calibration texts, n human and n AI test texts (n human and n AI
texts for `prl compare`) and asks the product's own functions for the interval. "n too small": the product shows none.
Where a file of scores is missing, its population is left out with the reason. About five CPU minutes; 30 seconds with
--trials 100.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from pages import write_part
from recorded_scores import DETECTORS, DOMAINS, saved
from scipy.optimize import brentq
from scipy.special import ndtr, ndtri

from paraphrase_rl.comparison import figures
from paraphrase_rl.comparison.figures import CrossFitted, Sample
from paraphrase_rl.comparison.folds import Folds
from paraphrase_rl.detection import roc
from paraphrase_rl.detection.calibration_texts import CalibrationTexts, Limits
from paraphrase_rl.detection.ensemble import Member
from paraphrase_rl.detection.fitting import calibrate_combined, fit_calibration
from paraphrase_rl.detection.probability import ProbabilityMap
from paraphrase_rl.detection.threshold import clopper_pearson, operating_point
from paraphrase_rl.evaluation.detection_rates import Originals, cell_figures, transfer
from paraphrase_rl.statistics.bootstrap import (
    Design,
    Flags,
    area_of,
    drawn_thresholds,
    estimate_area,
    estimate_mean,
    resample,
    share_difference,
)
from paraphrase_rl.statistics.records import Estimate
from paraphrase_rl.types import Document, FloatArray, Scores

SIZES = (50, 100, 200, 500)
RATES = (0.01, 0.05)
KERNEL = 0.1
FOLDS = 5
NEAR = 16
"""Texts near each recorded one that stand for the population where its rates have no formula: those of an ensemble."""
COMMERCIAL = ("Crossplag", "OriginalityAI", "HFOpenAI", "GPTZero")
NATIVE = ("CollegeEssay_real_70", "HewlettStudentEssay_real_88", "CS224N_real_145")
MACHINE = (
    "CollegeEssay_gpt3_31",
    "CS224N_gpt3_145",
    "CollegeEssay_gpt3PromptEng_31",
    "CS224N_gpt3PromptEng_145",
)
TEXTS = CalibrationTexts(source="recorded", digest="0", median_words=1, limits=Limits.of([]))
RANGE = 0.93, 0.98
"""Shares that are near enough to .95."""
FEWEST_SHOWN = 0.1
"""Share of trials with an interval under which a cell says "n too small"."""
NO_DETECTOR: Any = None
"""The scores are there already."""
Check = tuple[str, Estimate, float]
"""Kind of interval, the interval, the truth."""
Outcomes = dict[str, dict[tuple[int, str], list[float]]]
"""Outcome of each trial, by kind of interval, then by number of texts and population."""


class Scale:
    """Recorded scores of one kind of texts by all detectors, shape (N, D), and the width of the kernel of each."""

    def __init__(self, scores: FloatArray, width: FloatArray) -> None:
        self.scores, self.width = scores, width

    def draw(self, n: int, draw: np.random.Generator, rows: np.ndarray | None = None) -> FloatArray:
        rows = draw.integers(len(self.scores), size=n) if rows is None else rows
        return np.asarray(self.scores[rows] + self.width * draw.normal(size=(n, self.width.size)))

    def grid(self) -> FloatArray:
        """Texts that stand for the whole population: as many near each recorded one, spread evenly over its kernel."""
        from scipy.stats import qmc  # takes long to import

        near = [qmc.Sobol(self.width.size, rng=i).random(NEAR) for i in range(len(self.scores))]
        return np.asarray(np.repeat(self.scores, NEAR, axis=0) + self.width * ndtri(np.concatenate(near)))

    def above(self, threshold: float, d: int) -> float:
        return float(ndtr((self.scores[:, d] - threshold) / self.width[d]).mean())

    def threshold(self, rate: float, d: int) -> float:
        reach = 10 * self.width[d] + 1.0
        column = self.scores[:, d]
        return float(brentq(lambda t: self.above(t, d) - rate, column.min() - reach, column.max() + reach))


@dataclass(frozen=True)
class Population:
    """Human and AI texts, AI texts once rewritten, and human texts of another group; all by the same detectors."""

    name: str
    human: Scale
    ai: Scale
    rewritten: Scale
    others: Scale
    paired: bool

    @property
    def detectors(self) -> int:
        return self.human.width.size

    @cached_property
    def many(self) -> tuple[FloatArray, FloatArray]:
        """Human and AI texts that stand for all of theirs."""
        return self.human.grid(), self.ai.grid()

    def missed(self, rate: float, d: int) -> float:
        """Share of the AI texts flagged before that are not flagged after."""
        t = self.human.threshold(rate, d)
        before = ndtr((self.ai.scores[:, d] - t) / self.ai.width[d])
        after = ndtr((self.rewritten.scores[:, d] - t) / self.rewritten.width[d])
        return float((before * (1 - after)).sum() / before.sum())

    def area(self, d: int, shift: float = 0.0) -> float:
        width = np.hypot(self.human.width[d], self.ai.width[d])
        apart = self.ai.scores[:, d, None] + shift - self.human.scores[None, :, d]
        return float(ndtr(apart / width).mean())

    def shift_to(self, d: int, area: float) -> float:
        """How far AI scores must move for an AUROC."""
        spread = 20 * (np.ptp(self.human.scores[:, d]) + np.ptp(self.ai.scores[:, d]))
        return float(brentq(lambda s: self.area(d, s) - area, -spread, spread))


def own() -> Population | str:
    path = saved()
    if not path.exists():
        return f"{path} is not there: run recorded_scores.py"
    sets = json.loads(path.read_text(encoding="utf-8"))
    wanted = [f"{kind}/{domain}" for kind in ("human", "ai", "rewritten") for domain in DOMAINS]
    if lacking := [name for name in (*wanted, "essay/TOEFL_real_91") if name not in sets]:
        return f"{path} lacks {', '.join(lacking)}: run recorded_scores.py again"

    def table(names: Sequence[str]) -> FloatArray:
        return np.concatenate(
            [np.stack([np.array(sets[n][d], dtype=float) for d in DETECTORS], axis=1) for n in names]
        )

    def of(kind: str) -> FloatArray:
        return table([f"{kind}/{domain}" for domain in DOMAINS])

    human, ai, rewritten = of("human"), of("ai"), of("rewritten")
    kept = np.isfinite(np.hstack([human, ai, rewritten])).all(axis=1)
    essays = table(["essay/TOEFL_real_91"])
    return smoothed(
        "own", human[kept], ai[kept], rewritten[kept], essays[np.isfinite(essays).all(axis=1)], True
    )


def commercial(data: Path | None) -> Population | str:
    path = None if data is None else data / "liang" / "detector_scores.json"
    if path is None or not path.exists():
        return f"{path or 'liang/detector_scores.json'} is not there: give --data"
    sets = json.loads(path.read_text(encoding="utf-8"))

    def table(names: Sequence[str]) -> FloatArray:
        shares = np.concatenate([np.stack([np.array(sets[n][d]) for d in COMMERCIAL], axis=1) for n in names])
        shares = np.clip(shares, 1e-9, 1 - 1e-9)
        return np.asarray(np.log(shares / (1 - shares)))

    ai = table(MACHINE)
    rewritten = ai[
        np.random.default_rng(0).permutation(len(ai))
    ]  # no rewrites are recorded: half way to another text
    return smoothed("commercial", table(NATIVE), ai, (ai + rewritten) / 2, table(["TOEFL_real_91"]), False)


def smoothed(
    name: str, human: FloatArray, ai: FloatArray, after: FloatArray, others: FloatArray, paired: bool
) -> Population:
    width = KERNEL * human.std(axis=0)
    scales = [Scale(scores, width) for scores in (human, ai, after, others)]
    return Population(name, scales[0], scales[1], scales[2], scales[3], paired)


def documents(n: int, label: str) -> list[Document]:
    return [Document(id=f"{label}{i}", text="t", label=label) for i in range(n)]  # type: ignore[arg-type]


class Held:
    """Evaluation: thresholds from calibration texts that are not tested."""

    def __init__(self, population: Population, n: int, resamples: int) -> None:
        self.of, self.n = population, n
        self.design = Design.of(documents(n, "ai"), documents(n, "human"), documents(n, "c"), resamples, 1)
        self.truth = {
            (rate, d): (
                population.ai.above(t, d),
                population.rewritten.above(t, d),
                population.missed(rate, d),
            )
            for rate in RATES
            for d in range(2)
            for t in [population.human.threshold(rate, d)]
        }
        self.trials = 0
        self.shifts = {area: population.shift_to(0, area) for area in (0.9, 0.98, 0.995, 0.999)}
        self.areas = population.area(0), population.area(1)

    def trial(self, draw: np.random.Generator) -> Iterator[Check]:
        p, n, design = self.of, self.n, self.design
        rows = draw.integers(len(p.ai.scores), size=n)
        humans, calibration = p.human.draw(n, draw), p.human.draw(n, draw)
        before, after = p.ai.draw(n, draw, rows), p.rewritten.draw(n, draw, rows)
        cells = {}
        for d in range(2):
            known = fit_calibration(Scores(calibration[:, d]), None, RATES, detector=str(d), texts=TEXTS)
            original = Originals.of(known, before[:, d], humans[:, d], calibration[:, d], RATES, design)
            cells[str(d)] = cell_figures(original, after[:, d], np.arange(n), design)
            if d:
                continue
            for point in known.points:
                true = p.human.above(point.threshold, d)
                found = Estimate(value=point.achieved_fpr, low=point.low, high=point.high, n=n)
                yield f"FPR of a calibration, {percent(point.target_fpr)}", found, true
            for rate in RATES:
                shares, truth = cells["0"].points[rate], self.truth[rate, 0]
                yield f"TPR, {percent(rate)}", shares.tpr_before.estimate, truth[0]
                yield f"ASR, {percent(rate)}", shares.attack_success_rate.estimate, truth[2]
        for row in transfer("r", "f", False, cells):
            both = [self.truth[row.target_fpr, d] for d in range(2)]
            yield f"transfer TPR, {percent(row.target_fpr)}", row.tpr_after, (both[0][1] + both[1][1]) / 2
            yield (
                f"transfer ASR, {percent(row.target_fpr)}",
                row.attack_success_rate,
                np.mean([t[2] for t in both]),
            )
        for area, shift in self.shifts.items():
            found = estimate_area(humans[:, 0], before[:, 0] + shift, design.human, design.ai)
            yield f"AUROC, true {area}", found, area
        yield from self._calibrated_ensemble()
        yield from self._groups(calibration, draw)
        yield from self._changes(humans, calibration, before)
        yield "mean of a metric", estimate_mean(before[:, 0] - after[:, 0], design.ai), self._mean

    def _calibrated_ensemble(self) -> Iterator[Check]:
        """Rates that `prl calibrate` shows of an ensemble of two: its curves are fitted on the texts of its thresholds.

        Of draws of its own, so that those of the other kinds do not depend on it.
        """
        self.trials += 1
        draw = np.random.default_rng([self.n, self.trials])
        texts = [
            {str(d): Scores(scores[:, d]) for d in range(2)}
            for scores in (self.of.human.draw(self.n, draw), self.of.ai.draw(self.n, draw))
        ]
        members = [
            Member(
                name=name,
                detector=NO_DETECTOR,
                calibration=fit_calibration(human, ai, RATES[::-1], detector=name, texts=TEXTS),
            )
            for (name, human), ai in zip(texts[0].items(), texts[1].values(), strict=True)
        ]
        ensemble = calibrate_combined(members, *texts)
        if ensemble.combined is None:
            return
        human, ai = (
            ensemble.probabilities_of({str(d): Scores(scores[:, d]) for d in range(2)})[1].values
            for scores in self.of.many
        )
        for point in ensemble.combined.points:
            found = Estimate(value=point.achieved_fpr, low=point.low, high=point.high, n=self.n)
            true = float((human > point.threshold).mean())
            yield f"FPR of a calibrated ensemble, {percent(point.target_fpr)}", found, true
        target, flagged = ensemble.combined.target, ensemble.combined.flagged_ai or 0
        low, high = clopper_pearson(flagged, self.n)
        found = Estimate(value=flagged / self.n, low=low, high=high, n=self.n)
        true = float((ai > target.threshold).mean())
        yield f"TPR of a calibrated ensemble as set, {percent(target.target_fpr)}", found, true

    @cached_property
    def _mean(self) -> float:
        return float((self.of.ai.scores[:, 0] - self.of.rewritten.scores[:, 0]).mean())

    def _groups(self, calibration: FloatArray, draw: np.random.Generator) -> Iterator[Check]:
        """Half of the test texts are of another group; thresholds are of the first."""
        p, half = self.of, self.n // 2
        scores = np.concatenate([p.human.draw(half, draw)[:, 0], p.others.draw(self.n - half, draw)[:, 0]])
        other = np.arange(self.n) >= half
        for rate in RATES:
            thresholds = drawn_thresholds(calibration[:, 0], rate, self.design.calibration)
            flags = Flags.at(scores, operating_point(calibration[:, 0], rate).threshold, thresholds)
            true = p.others.above(p.human.threshold(rate, 0), 0)
            yield f"FPR of a group, {percent(rate)}", flags.share(other, self.design.human), true
            gap = share_difference(flags, other, flags, ~other, self.design.human)
            yield f"gap of groups, {percent(rate)}", gap, true - rate
            threshold, flags = operating_point(calibration[:, 0], rate).threshold, flags.as_set
            of_other, of_first = p.others.above(threshold, 0), p.human.above(threshold, 0)
            yield f"FPR of a group as set, {percent(rate)}", flags.share(other, self.design.human), of_other
            yield (
                f"FPR of the reference as set, {percent(rate)}",
                flags.share(~other, self.design.human),
                of_first,
            )
            gap = share_difference(flags, other, flags, ~other, self.design.human)
            yield f"gap of groups as set, {percent(rate)}", gap, of_other - of_first

    def _changes(self, humans: FloatArray, calibration: FloatArray, ai: FloatArray) -> Iterator[Check]:
        """A detector before and after hardening: two detectors on the same texts."""
        everybody, design = np.ones(self.n, dtype=bool), self.design
        for rate in RATES:
            flags = [
                Flags.at(
                    ai[:, d],
                    operating_point(calibration[:, d], rate).threshold,
                    drawn_thresholds(calibration[:, d], rate, design.calibration),
                )
                for d in range(2)
            ]
            found = share_difference(flags[1], everybody, flags[0], everybody, design.ai)
            yield (
                f"change by hardening, {percent(rate)}",
                found,
                self.truth[rate, 1][0] - self.truth[rate, 0][0],
            )
        areas = [area_of(humans[:, d], ai[:, d], design.human, design.ai) for d in range(2)]
        bounds = roc.change(*areas)
        value = areas[1].value - areas[0].value
        low, high = bounds or (None, None)
        yield (
            "change of AUROC",
            Estimate(value=value, low=low, high=high, n=self.n),
            self.areas[1] - self.areas[0],
        )


class Crossed:
    """Comparison: every text is tested, at the thresholds of its fold."""

    def __init__(self, population: Population, n: int, resamples: int) -> None:
        self.of, self.n = population, n
        self.human = np.arange(2 * n) < n
        units = [str(i % n) for i in range(2 * n)] if population.paired else list(map(str, range(2 * n)))
        folds = Folds(np.arange(2 * n) % n % FOLDS, FOLDS)
        self.sample = Sample(self.human, folds, resample(units, resamples, 1))
        self.tpr = {
            (rate, d): population.ai.above(population.human.threshold(rate, d), d)
            for rate in RATES
            for d in range(population.detectors)
        }
        self.areas = [population.area(d) for d in range(population.detectors)]

    def trial(self, draw: np.random.Generator) -> Iterator[Check]:
        p, n, sample = self.of, self.n, self.sample
        rows = draw.integers(len(p.human.scores), size=n) if p.paired else None
        scores = np.concatenate([p.human.draw(n, draw, rows), p.ai.draw(n, draw, rows)])
        fixed = [CrossFitted(str(d), np.tile(scores[:, d], (FOLDS, 1))) for d in range(3)]
        trained = CrossFitted(
            "trained", np.stack([scores[:, d % p.detectors] for d in range(FOLDS)]), trained=True
        )
        yield "compare: AUROC", figures.auroc_of(fixed[0], sample), self.areas[0]
        yield "compare: AUROC, trained", figures.auroc_of(trained, sample), self._trained(self.areas)
        maps = {one.name: figures.probability_maps(one, sample) for one in fixed}
        ensemble = figures.ensemble_of(fixed, maps, sample, "ensemble")
        of_ensemble: dict[float, float] = {}
        for rate in RATES:
            flags = [figures.flags_at(one, sample, rate)[0] for one in fixed[:2]]
            found = flags[0].share(~self.human, sample.drawn)
            yield f"compare: TPR, {percent(rate)}", found, self.tpr[rate, 0]
            found = flags[0].as_set.share(self.human, sample.drawn)
            yield f"compare: FPR as set, {percent(rate)}", found, self._as_set(scores, rate, p.human)
            apart = figures.difference(flags[1], flags[0], sample)
            if flags[0].draws is None:  # it is then of the thresholds as set
                apart = Estimate(value=apart.value, n=apart.n)
            yield f"compare: difference, {percent(rate)}", apart, self.tpr[rate, 1] - self.tpr[rate, 0]
            apart = figures.difference(flags[1].as_set, flags[0].as_set, sample)
            true = self._as_set(scores, rate, p.ai, 1) - self._as_set(scores, rate, p.ai, 0)
            yield f"compare: difference as set, {percent(rate)}", apart, true
            of_trained = figures.flags_at(trained, sample, rate)[0].share(~self.human, sample.drawn)
            true = self._trained([self.tpr[rate, d] for d in range(p.detectors)])
            yield f"compare: TPR, trained, {percent(rate)}", of_trained, true
            together = figures.flags_at(ensemble, sample, rate)[0].share(~self.human, sample.drawn)
            if together.low is not None and rate not in of_ensemble:
                of_ensemble = self._ensemble(maps)
            yield f"compare: TPR, ensemble, {percent(rate)}", together, of_ensemble.get(rate, 0.0)
        yield from self._groups(draw)

    def _trained(self, values: Sequence[float]) -> float:
        return float(np.mean([values[d % self.of.detectors] for d in range(FOLDS)]))

    def _ensemble(self, maps: dict[str, list[ProbabilityMap | None]]) -> dict[float, float]:
        """TPR of the ensemble as fitted in each fold, at each rate, on many texts."""
        shares = []
        for fold in range(FOLDS):
            human, ai = (
                np.mean([curve(of[:, d]) for d in range(3) if (curve := maps[str(d)][fold])], axis=0)
                for of in self.of.many
            )
            shares.append([float((ai > t).mean()) for t in np.quantile(human, 1 - np.array(RATES))])
        return dict(zip(RATES, np.mean(shares, axis=0).tolist(), strict=True))

    def _groups(self, draw: np.random.Generator) -> Iterator[Check]:
        p, half = self.of, self.n // 2
        scores = np.concatenate(
            [
                p.human.draw(half, draw)[:, 0],
                p.others.draw(self.n - half, draw)[:, 0],
                p.ai.draw(self.n, draw)[:, 0],
            ]
        )
        order = np.arange(2 * self.n)
        first, other = order < half, (order >= half) & self.human
        one = CrossFitted("0", np.tile(scores, (FOLDS, 1)))
        for rate in RATES:
            flags = figures.flags_at(one, self.sample, rate)[0]
            of_other, of_first = (self._as_set(scores[:, None], rate, group) for group in (p.others, p.human))
            yield (
                f"compare: FPR of a group as set, {percent(rate)}",
                flags.as_set.share(other, self.sample.drawn),
                of_other,
            )
            gap = figures.group_gap(flags, other, first, self.sample, rate)
            yield f"compare: gap of groups as set, {percent(rate)}", gap, of_other - of_first

    def _as_set(self, scores: FloatArray, rate: float, group: Scale, d: int = 0) -> float:
        """True rate of a group at the thresholds of the folds."""
        rates = []
        for fold in range(FOLDS):
            on = self.sample.folds.calibrated(fold, trained=False) & self.human
            rates.append(group.above(operating_point(scores[on, d], rate).threshold, d))
        return float(np.mean(rates))


def percent(rate: float) -> str:
    return f"{100 * rate:g} %"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, help="folder with liang/")
    parser.add_argument("--trials", type=int, default=1000, help="of each population")
    parser.add_argument("--resamples", type=int, default=300)
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES)
    parser.add_argument("--write", type=Path, help="page whose table is written again")
    parser.add_argument("--by-population", action="store_true")
    given = parser.parse_args()
    populations = []
    for population in (own(), commercial(given.data)):
        if isinstance(population, str):
            print(f"left out: {population}")
        else:
            populations.append(population)
    started = time.process_time()
    held = simulate(populations, given.sizes, given.trials, given.resamples)
    rows = table(held, given.sizes, by_population=given.by_population)
    names = " and ".join(population.name for population in populations)
    trials = given.trials * len(populations)
    said = (
        f"{trials:,} trials in a cell, as many of each population ({names}): a standard error of "
        f"{standard_error(0.95, trials):.3f} where .95 hold, {standard_error(0.98, trials):.3f} where .98 do."
    )
    print(rows, said, *outside(held), f"{time.process_time() - started:.0f} CPU s", sep="\n")
    if given.write is not None:
        write_part(given.write, "coverage", f"{rows}\n\n{said}")


def simulate(
    populations: Sequence[Population], sizes: Sequence[int], trials: int, resamples: int
) -> Outcomes:
    """Count how often intervals hold the truth, by kind, number of texts, and population."""
    found: Outcomes = defaultdict(lambda: defaultdict(list))
    designs: tuple[Callable[..., Held | Crossed], ...] = (Held, Crossed)
    for population in populations:
        for n in sizes:
            for design in designs:
                of, draw = design(population, n, resamples), np.random.default_rng(n)
                for _ in range(trials):
                    for kind, estimate, truth in of.trial(draw):
                        found[kind][n, population.name].append(outcome(estimate, truth))
            print(f"{population.name}, n = {n}: done", file=sys.stderr, flush=True)
    return found


def outcome(found: Estimate, truth: float) -> float:
    """1 = the interval holds the truth, 0 = it does not, NaN = none is shown, or there is nothing to measure."""
    if found.low is None or found.high is None:
        return np.nan
    return float(found.low <= truth <= found.high)


def shown(outcomes: Sequence[Sequence[float]]) -> FloatArray | None:
    """Outcomes of all populations, those without an interval left out; ``None`` if hardly any has one."""
    pooled = np.concatenate([np.empty(0), *outcomes])
    known = pooled[np.isfinite(pooled)]
    return known if known.size > FEWEST_SHOWN * pooled.size else None


def table(found: Outcomes, sizes: Sequence[int], *, by_population: bool) -> str:
    lines = ["| interval | " + " | ".join(f"n = {n}" for n in sizes) + " |"]
    lines.append("|---|" + "---|" * len(sizes))
    for kind, cells in found.items():
        line = []
        for n in sizes:
            by = {name: outcomes for (size, name), outcomes in cells.items() if size == n}
            pooled = shown([*by.values()])
            if pooled is None:
                line.append("n too small")
                continue
            of = [f"{np.nanmean(v):.3f}" for v in by.values() if np.isfinite(v).any()]
            line.append(f"{pooled.mean():.3f}" + (f" ({', '.join(of)})" if by_population else ""))
        lines.append(f"| {kind} | " + " | ".join(line) + " |")
    return "\n".join(lines)


def outside(found: Outcomes) -> Iterator[str]:
    """Name the cells that lie outside of :data:`RANGE`."""
    for kind, cells in found.items():
        for n in dict.fromkeys(size for size, _ in cells):
            pooled = shown([outcomes for (size, _), outcomes in cells.items() if size == n])
            if pooled is not None and not RANGE[0] <= round(float(pooled.mean()), 3) <= RANGE[1]:
                error = standard_error(pooled.mean(), pooled.size)
                yield f"outside: {kind}, n = {n}: {pooled.mean():.4f}, standard error {error:.4f}"


def standard_error(share: float, trials: int) -> float:
    return float(np.sqrt(share * (1.0 - share) / trials))


if __name__ == "__main__":
    main()
