"""Stages of the experiment: fit, train, evaluate, harden. A stage that is done is not done again.

Everything is in one folder: a run for each trained policy (``both-SEED``, ``evading-SEED``, ``grpo-SEED``,
``stealthrl-0``), ``detectors/``, ``hardened/``, ``evaluation/`` with its cache, ``stages.jsonl`` with what each stage
took. A run that is there and has the recipe of the experiment is adopted, whoever trained it.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import paraphrase_rl as prl
from paraphrase_rl.data.documents import Corpus
from paraphrase_rl.data.spread import spread
from paraphrase_rl.errors import PrlError, RunError
from paraphrase_rl.evaluation.cache import key_of
from paraphrase_rl.evaluation.plan import Plan, run_digest, runs_in
from paraphrase_rl.evaluation.start import evaluate_plan
from paraphrase_rl.files import append_jsonl, is_locked, read_jsonl, write_jsonl, write_text
from paraphrase_rl.models.devices import default_device
from paraphrase_rl.plugin.registry import Registry
from paraphrase_rl.progress import reporter
from paraphrase_rl.recipe.loading import LoadedRecipe, leaves, load_recipe, plain
from paraphrase_rl.recipe.schema import Attack, Component, Recipe
from paraphrase_rl.runs.ledger import WARMUP, is_there, ledger
from paraphrase_rl.runs.reader import manifest_of
from paraphrase_rl.types import Document
from tests.evidence import detectors as extra

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
SHARED = ROOT.parent / "shared" / "data" / "fast-detect-gpt" / "exp_gpt3to4" / "data"
WARM = "warm-up"
"""A policy of warm-up and GRPO after the warm-up."""
BOTH, GRPO, STEALTH, EVADING = "both", "grpo", "stealthrl", "evading"
"""Kinds of trained policies: warm-up and GRPO, GRPO alone, GRPO with the reward design of StealthRL, and warm-up and
GRPO with more of the reward for evasion."""
ALONE = (GRPO, STEALTH)
"""Kinds without a warm-up."""
BEST = {BOTH: "best-of-both", EVADING: "best-of-evading"}
"""The best of several rewrites by a policy, for the kinds of which it is evaluated."""
MORE_EVASION: dict[str, Any] = {
    "rewards.detector-evasion.weight": 0.9,
    "rewards.detector-evasion.options.width": 1.0,
}
"""Changes of the recipe for more of the reward for evasion: twice the weight, and all of it within one standard
deviation of the threshold, where a text at the threshold has .75 of it and not .92."""
STATISTICS = ("log-rank", "lrr", "entropy", "gltr", "lastde")
"""Held-out detectors of the package that need no training."""
LEAST_SIMILARITY, LEAST_FACTS_KEPT = 0.8, 0.75
"""Similarity, and share of the facts kept, that the best of several rewrites has, where one of them has both.

Chosen by the training rollouts of the first two policies (44 groups of 8 after step 8), for the goals of a 135M
policy: similarity, numbers and names of .85 each. They have .87, .86 and .95 so, with .50 flagged; without the share
.87, .39 and .83, with .32 flagged; with similarities of .75 and .85, .85 and .89, with .45 and .55 flagged.
"""
COLDER = (0.7, 0.5)
"""Sampling temperatures at which the first policy is evaluated besides that of training."""
OTHER_FILES = ("pubmed_gpt-*.raw_data.json",)
"""Texts of another kind, for a trained detector that knows nothing of those evaluated."""
IMMATERIAL = (
    "data.source.options.path",
    "detectors.tfidf.options.folder",
    "warmup.path",
    "training.max_steps",
    "training.epochs",
    "evaluation",
    "checkpoints",
    "monitors",
    "acceptance",
    "rewriters",
    "held_out",
    "metrics",
)
"""Recipe keys that change nothing of what a step does; a run that differs in others is not of the experiment."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Size and places of the experiment.

    Attributes:
        out: its folder.
        source: folder with the texts of Fast-DetectGPT; ``None`` = the starter set.
        seeds: number of seeds of the trained policies, from 0.
        steps: steps of GRPO.
        texts: number of AI test texts that are evaluated, from all over those that are left to judge by.
        developed_on: number of AI test texts, from all over the split, that judge no more: it was decided by their
            figures that there are policies with more evasion.
        hardened_on: number of texts of each kind that are rewritten to harden a detector.
        candidates: number of rewrites from which best-of-n chooses.
        recipe: the recipe of ``both``.
        device: torch device; ``None`` = a CUDA device if there is one.
        changes: further changes of the recipe, for every policy, as ``KEY=VALUE``.
        held_out: detectors of the package that nobody trains against.
        rewriters: kinds of training-free rewriters.
    """

    out: Path
    source: Path | None = None
    seeds: int = 3
    steps: int = 30
    texts: int = 64
    developed_on: int = 0
    hardened_on: int = 32
    candidates: int = 8
    recipe: Path = ROOT / "configs" / "evidence.yaml"
    device: str | None = None
    changes: tuple[str, ...] = ()
    held_out: tuple[str, ...] = STATISTICS
    rewriters: tuple[str, ...] = ("base model", "best of n", "guided decoding", "synonyms")


@dataclass(frozen=True, kw_only=True)
class Method:
    """One way to rewrite: a row of the table.

    Attributes:
        name: name in the table.
        labels: names of its rewriters in the evaluation, one for each seed.
        rollouts: rollouts spent to train one of its policies; 0 = not trained.
        per_text: completions sampled for each rewrite.
    """

    name: str
    labels: tuple[str, ...]
    rollouts: int = 0
    per_text: int = 1


class Experiment:
    """The experiment in its folder.

    Args:
        settings: its size and places.
        report: function that shows one line of progress.
    """

    def __init__(self, settings: Settings, report: Callable[[str], None]) -> None:
        self.settings, self.out, self.report = settings, settings.out, report
        self.registry: Registry = prl.load_registry(HERE / "detectors.py", HERE / "stealthrl.py")
        self.device = settings.device or default_device(True)
        self.missing: list[str] = []

    # recipes

    def recipe(self, kind: str, seed: int) -> LoadedRecipe:
        """The recipe of a policy."""
        changes: dict[str, Any] = {
            "training.seed": seed,
            "training.max_steps": self.settings.steps,
            "detectors.tfidf.options.folder": str(self.detector_folder("tfidf")),
        }
        if self.settings.source is None:
            changes["data.source"] = {"name": "starter"}
        else:
            changes["data.source.options.path"] = str(self.settings.source)
        if kind in ALONE:
            changes |= {"warmup.method": None, "kl.reference": "base"}
        elif self._takes_pairs(kind, seed):  # they cost more than the training on them
            path = self.run(BOTH, 0) / "warmup_pairs.jsonl"
            changes |= {"warmup.method": "pairs", "warmup.path": str(path)}
        if kind == STEALTH:
            changes |= {"rewards": self._stealth_rewards(), "rewards_combine": "mean"}
        if kind == EVADING:
            changes |= MORE_EVASION
        return load_recipe(self.settings.recipe, [*changes.items(), *self.settings.changes])

    @staticmethod
    def _takes_pairs(kind: str, seed: int) -> bool:
        """Say whether a policy is warmed up on the pairs of the first."""
        return kind not in ALONE and (kind, seed) != (BOTH, 0)

    def _stealth_rewards(self) -> list[dict[str, Any]]:
        """The reward design of StealthRL; the recipe's own terms are only recorded, and no gate stands before it."""
        rewards = load_recipe(self.settings.recipe, self.settings.changes).recipe.rewards
        roles = {r.name: self.registry.spec("rewards", r.name).role for r in rewards}
        models = {roles[r.name]: r.options["model"] for r in rewards if "model" in r.options}
        named = {"meaning": "encoder", "fluency": "language_model"}
        options = {named[role]: model for role, model in models.items() if role in named}
        kept = [
            {"name": r.name, "options": r.options, "weight": 0.0}
            for r in rewards
            if roles[r.name] != "validity"
        ]
        return [{"name": STEALTH, "options": options}, *kept]

    @cached_property
    def base(self) -> Recipe:
        """The recipe of the first policy, which has the texts, the detectors and the rewards."""
        return self.recipe(BOTH, 0).recipe

    @cached_property
    def corpus(self) -> Corpus:
        """The texts, split by document."""
        from paraphrase_rl.data.documents import load_documents

        return load_documents(self.base.data.source, self.base.data, self.registry)

    @cached_property
    def developed_on(self) -> list[Document]:
        """The AI test texts that judge no more."""
        number = self.settings.developed_on
        return spread(self.corpus.select(split="test", label="ai"), number) if number else []

    @cached_property
    def judging(self) -> Corpus:
        """The texts without those AI test texts."""
        left_out = {document.id for document in self.developed_on}
        documents = [document for document in self.corpus if document.id not in left_out]
        return replace(self.corpus, documents=documents)

    # places

    def run(self, kind: str, seed: int) -> Path:
        """Directory of a policy's run."""
        return self.out / f"{kind}-{seed}"

    def detector_folder(self, name: str) -> Path:
        """Folder of a trained detector."""
        return (self.out / "detectors" / name).resolve()

    @property
    def known_texts(self) -> Path:
        """File with all AI texts, which whoever runs the generator has."""
        return (self.out / "known.jsonl").resolve()

    # stages

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Time a stage, also one that is stopped."""
        self.report(f"== {name}")
        cpu, wall, done = time.process_time(), time.monotonic(), False
        try:
            yield
            done = True
        finally:
            took = {"cpu": round(time.process_time() - cpu, 1), "wall": round(time.monotonic() - wall, 1)}
            append_jsonl(self.out / "stages.jsonl", {"stage": name, **took, "done": done})

    def fit(self) -> None:
        """Train the detectors: that of the recipe, and those that nobody trains against."""
        self.out.mkdir(parents=True, exist_ok=True)
        self.check_texts()
        wanted: dict[str, Callable[[], Any]] = {
            "tfidf": lambda: self.corpus,
            **dict.fromkeys(extra.OF_THESE_TEXTS, lambda: self.corpus),
        }
        if self.settings.source is not None:
            words = self.base.data.excerpt_words
            other = {**self.base.data.source.options, "files": OTHER_FILES}
            wanted["tfidf-starter"] = lambda: prl.load_data("starter", excerpt_words=words)
            wanted["tfidf-medical"] = lambda: prl.load_data(
                Component(name=self.base.data.source.name, options=other), excerpt_words=words
            )
        for name, texts in wanted.items():
            folder = self.detector_folder(name)
            if (folder / "seen.json").is_file():  # written last
                continue
            with self.stage(f"fit {name}"):
                options = {"model": self.base.model} if name == extra.TOKEN_STATISTICS else {}
                prl.fit(name, data=texts(), options=options, out=folder, registry=self.registry)
                write_text(self._texts, json.dumps({"digest": self.corpus.digest}))
        if not self.known_texts.is_file():
            write_jsonl(self.known_texts, ({"text": d.text} for d in self.corpus.select(label="ai")))
        if extra.is_installed(extra.GEMMA) and not self.gemma.is_dir():
            with self.stage("convert Gemma"):
                extra.gemma_folder(self.gemma)

    @property
    def _texts(self) -> Path:
        """File that says which texts the detectors were fitted on."""
        return self.out / "texts.json"

    def check_texts(self) -> None:
        """Refuse a folder whose detectors were fitted on other texts.

        Raises:
            RunError: they were, or nothing says on which.
        """
        if self._texts.is_file():
            if json.loads(self._texts.read_text(encoding="utf-8"))["digest"] != self.corpus.digest:
                raise RunError(
                    f"{self.out} holds detectors fitted on other texts",
                    "give their folder as SOURCE, or another OUT",
                )
        elif any(self.out.glob("detectors/*/seen.json")):
            raise RunError(
                f"{self.out}/detectors: nothing says on which texts they were fitted", "move them away"
            )

    @property
    def gemma(self) -> Path:
        """Folder of the scoring model of another family."""
        return (self.out / "models" / "gemma-3-270m").resolve()

    def train(self, kind: str, seed: int) -> None:
        """Train a policy, go on with it, or adopt it.

        Raises:
            RunError: there is no such policy, another process works on it, or it is no run of the experiment.
        """
        if kind not in (BOTH, GRPO, STEALTH, EVADING) or (kind == STEALTH and seed > 0):
            raise RunError(
                f"the experiment has no policy {kind}-{seed}", "see `python -m tests.evidence --help`"
            )
        if self._takes_pairs(kind, seed) and not self.warmed_up(0):
            raise RunError(
                f"{kind}-{seed} is warmed up on the pairs of {BOTH}-0, which are not there yet", "wait"
            )
        folder, loaded = self.run(kind, seed), self.recipe(kind, seed)
        if not (folder / "manifest.json").is_file():
            if is_locked(folder):
                raise RunError(f"{folder} is starting in another process", "wait for it")
            with self.stage(f"train {kind}-{seed}"):
                prl.train(loaded, out=folder, **self._with)
            return
        self.check_recipe(kind, seed)
        run = prl.Run(folder)
        if run.status == "running":
            raise RunError(f"{folder} is being trained by another process", "wait for it")
        if run.status != "completed" or run.history.last_step < self.settings.steps:
            more = {"training.max_steps": self.settings.steps}
            with self.stage(f"train {kind}-{seed}"):
                prl.train(resume=folder, set=more, **self._with)

    @property
    def _with(self) -> dict[str, Any]:
        return {
            "registry": self.registry,
            "device": self.device,
            "progress": lambda progress: self.report(progress.message),
        }

    def check_recipe(self, kind: str, seed: int) -> None:
        """Refuse a run whose texts, or keys that matter, are others than those of the experiment.

        Raises:
            RunError: it is such a run.
        """
        folder = self.run(kind, seed)
        there, here = (
            material(recipe) for recipe in (prl.Run(folder).recipe, self.recipe(kind, seed).recipe)
        )
        if other := sorted(key for key in {**there, **here} if there.get(key) != here.get(key)):
            shown = "; ".join(
                f"{key}: {there.get(key)!r:.60} and not {here.get(key)!r:.60}" for key in other[:3]
            )
            raise RunError(f"{folder} is of another recipe: {shown}", "move it away, or choose another OUT")
        if manifest_of(folder, ["data"])["data"]["digest"] != self.corpus.digest:
            raise RunError(f"{folder} was trained on other texts", "give their folder as SOURCE")

    def is_usable(self, kind: str, seed: int) -> bool:
        """Say whether a run is there and of the experiment; why one that is there cannot be used is kept."""
        if not (self.run(kind, seed) / "manifest.json").is_file():
            return False
        try:
            self.check_recipe(kind, seed)
        except PrlError as error:
            self.missing.append(error.one_line)
            return False
        return True

    def _saved_steps(self, kind: str, seed: int) -> list[int]:
        """Steps of a policy whose checkpoint is there, in order."""
        run = self.run(kind, seed)
        return sorted({row["step"] for row in ledger(run) if is_there(run, row)})

    def warmed_up(self, seed: int) -> bool:
        """Say whether the warm-up of a seed is complete and its policy still there."""
        folder = self.run(BOTH, seed)
        rows = [row for row in ledger(folder) if row["kind"] == WARMUP and is_there(folder, row)]
        return bool(rows) and rows[-1]["warmup_step"] == rows[-1]["warmup_steps"]

    # what is evaluated

    def attacks(self) -> dict[str, Attack]:
        """The rewriters that can be evaluated now, by label."""
        found = self._training_free()
        for seed in range(self.settings.seeds):
            for kind in (BOTH, EVADING, GRPO, STEALTH):
                if not self.is_usable(kind, seed):
                    continue
                if kind == BOTH and self.warmed_up(seed):
                    found.append(self._policy(kind, seed, 0, f"{WARM}-{seed}"))
                found += self._trained(kind, seed)
        return {a.label: a for a in found if a.label is not None} | self.front()

    def _trained(self, kind: str, seed: int) -> list[Attack]:
        """A policy after its last step, and the best of several of its rewrites, for kinds that have it; or none."""
        last = self.settings.steps
        if last not in self._saved_steps(kind, seed):
            return []
        one = self._policy(kind, seed, last, f"{kind}-{seed}")
        return [one, self._best_of(one, f"{BEST[kind]}-{seed}")] if kind in BEST else [one]

    def front(self) -> dict[str, Attack]:
        """Warm-up and GRPO of the first seed along its front, by label.

        After fewer steps, at the end, with colder samples, the best of several rewrites; and of the policy trained with
        more of the reward for evasion, all but the colder samples.
        """
        found: list[Attack] = []
        for kind, colder in ((BOTH, COLDER), (EVADING, ())):
            trained = self._trained(kind, 0) if self.is_usable(kind, 0) else []
            if not trained:
                continue
            one, best = trained
            last, name, steps = self.settings.steps, f"{kind}-0", self._saved_steps(kind, 0)
            found += [self._policy(kind, 0, s, f"{name} after step {s}") for s in steps if 0 < s < last]
            found.append(one)
            found += [self._policy(kind, 0, last, f"{name} at temperature {t}", t) for t in colder]
            found.append(best)
        return {a.label: a for a in found if a.label is not None}

    def _policy(
        self, kind: str, seed: int, step: int, label: str, temperature: float | None = None
    ) -> Attack:
        options: dict[str, Any] = {"run": str(self.run(kind, seed).resolve()), "checkpoint": step}
        if temperature is not None:
            options["temperature"] = temperature
        return Attack(name="policy", options=options, label=label)

    def _best_of(self, one: Attack, label: str) -> Attack:
        options = {
            "candidates": self.settings.candidates,
            "min_similarity": LEAST_SIMILARITY,
            "min_facts_kept": LEAST_FACTS_KEPT,
            "rewriter": {"name": one.name, "options": one.options},
        }
        return Attack(name="best-of-n", options=options, label=label)

    def _training_free(self) -> list[Attack]:
        recipe = self.base
        prompt = {
            "model": recipe.model,
            "system": recipe.prompt.system,
            "instruction": recipe.prompt.instruction,
        }
        sampling = recipe.sampling.model_dump()
        prompted = {**prompt, **sampling}
        all_of_them = {
            "base model": Attack(name="prompted", options=prompted),
            "best of n": self._best_of(Attack(name="prompted", options=prompted), "best of n"),
            "guided decoding": Attack(
                name="guided-decoding",
                options={
                    **prompt,
                    "max_tokens": sampling["max_tokens"],
                    "detector": {"name": "tfidf", "options": {"folder": str(self.detector_folder("tfidf"))}},
                },
            ),
            "synonyms": Attack(name="synonym"),
        }
        return [all_of_them[name].model_copy(update={"label": name}) for name in self.settings.rewriters]

    def methods(self, labels: Sequence[str]) -> list[Method]:
        """The rows of the table, of what was evaluated."""
        per_text = {"best of n": self.settings.candidates}
        found = [
            Method(name=name, labels=(name,), per_text=per_text.get(name, 1))
            for name in self.settings.rewriters
            if name in labels
        ]
        for name, prefix in (
            ("warm-up alone", WARM),
            ("GRPO alone", GRPO),
            ("GRPO alone, reward of StealthRL", STEALTH),
            ("warm-up and GRPO", BOTH),
            ("warm-up and GRPO, best of n", BEST[BOTH]),
            ("warm-up and GRPO, more evasion", EVADING),
            ("warm-up and GRPO, more evasion, best of n", BEST[EVADING]),
        ):
            seeds = [seed for seed in range(self.settings.seeds) if f"{prefix}-{seed}" in labels]
            if seeds:
                found.append(
                    Method(
                        name=name,
                        labels=tuple(f"{prefix}-{seed}" for seed in seeds),
                        rollouts=self.rollouts(prefix),
                        per_text=self.settings.candidates if prefix in BEST.values() else 1,
                    )
                )
        return found

    def rollouts(self, prefix: str, steps: int | None = None) -> int:
        """Completions sampled to train a policy: paraphrases of its warm-up, and rollouts of its steps.

        All policies that are warmed up are so on the pairs of the first, which cost each of them the same.
        """
        training = self.base.training
        warmup = 0 if prefix in ALONE else len(self.pairs(BOTH, 0)) * self.base.warmup.candidates
        if steps is None:
            steps = 0 if prefix == WARM else self.settings.steps
        return warmup + steps * training.batch_size * training.group_size

    def pairs(self, kind: str, seed: int) -> list[dict[str, Any]]:
        """Rows of the pairs that a warm-up was made of, those left out included; none without a warm-up."""
        return list(read_jsonl(self.run(kind, seed) / "warmup_pairs.jsonl"))

    def held_out(self) -> list[Component]:
        """Detectors that nobody trains against, as far as they are there."""
        found = [Component(name=name, options=self._scored_by(name)) for name in self.settings.held_out]
        for name in (*extra.OF_THESE_TEXTS, *extra.OF_OTHER_TEXTS):
            if self.detector_folder(name).is_dir():
                found.append(self._fitted(name, self.detector_folder(name)))
        known = {entry.spec.name for entry in self.registry.entries("detectors")}
        if "lmscan" in known:
            found.append(Component(name="lmscan"))
        if self.gemma.is_dir():
            model = {"model": str(self.gemma)}
            found += [Component(name=n, options=model) for n in sorted(known) if n.startswith("gemma-")]
        return found

    def defences(self) -> list[Component]:
        """Detectors that know the attack, or what the generator wrote."""
        encoder = next(
            (c.options.get("model") for c in self.base.rewards if c.name == "semantic-similarity"), None
        )
        options = {"known": str(self.known_texts), **({"model": encoder} if encoder else {})}
        found = [Component(name=extra.RETRIEVAL, options=options)]
        for name in ("tfidf", extra.TOKEN_STATISTICS):
            if (folder := self.hardened_folder(name)) is not None and (folder / "results.json").is_file():
                found.append(self._fitted(f"{name}{extra.HARDENED}", (folder / "detector").resolve()))
        return found

    def _scored_by(self, name: str) -> dict[str, Any]:
        """The policy's own model, where the detector takes one."""
        options = self.registry.spec("detectors", name).options
        return {"model": self.base.model} if "model" in options.model_fields else {}

    def _fitted(self, name: str, folder: Path) -> Component:
        return Component(name=name, options={**self._scored_by(name), "folder": str(folder)})

    def evaluated_recipe(self) -> Recipe:
        """The recipe with everything that is evaluated now."""
        listed = {
            "rewriters": [a.model_dump() for a in self.attacks().values()],
            "held_out": [c.model_dump() for c in (*self.held_out(), *self.defences())],
        }
        return load_recipe(self.base, listed).recipe

    def plan(self) -> Plan:
        """The evaluation of every rewriter that is there."""
        return Plan(
            recipe=self.evaluated_recipe(),
            corpus=self.judging,
            out=self.out / "evaluation",
            device=self.device,
            texts=self.settings.texts,
        )

    def evaluate(self) -> None:
        """Evaluate every rewriter that is there on the same test texts; what was computed before is not again.

        Raises:
            RunError: the detectors were fitted on other texts.
            EvaluationError: too few texts are left to judge by.
        """
        self.check_texts()
        with self.stage("evaluate"):
            evaluate_plan(self.plan(), self.registry, reporter(self._with["progress"]))

    # what stops it

    def hardened_on(self) -> list[Attack]:
        """Rewriters that detectors are hardened on: none of those that the defences are tried on.

        The base model, the first seed of GRPO alone, the later seeds of warm-up and GRPO with and without more evasion,
        and the best of several rewrites by the second seed of those with more.
        """
        usable, later = self.attacks(), range(1, self.settings.seeds)
        others = [f"{kind}-{seed}" for kind in (BOTH, EVADING) for seed in later]
        listed = ["base model", f"{GRPO}-0", *others, f"{BEST[EVADING]}-1"]
        return [usable[label] for label in listed if label in usable]

    def hardened_folder(self, detector: str) -> Path | None:
        """Folder of a hardening; it depends on the rewriters, and is ``None`` if there are none."""
        attacks = self.hardened_on()
        if not attacks:
            return None
        runs = [run_digest(run) for a in attacks for run in runs_in(a.options)]
        named = [(a.label, _placeless(a.options)) for a in attacks]
        key = key_of(named, runs, self.settings.hardened_on, self.corpus.digest)
        return self.out / "hardened" / f"{detector}-{key[:8]}"

    def harden(self) -> None:
        """Harden the two trained detectors on rewrites of other policies than those that the defences are tried on.

        Raises:
            RunError: the detectors were fitted on other texts.
        """
        self.check_texts()
        for name in ("tfidf", extra.TOKEN_STATISTICS):
            folder = self.hardened_folder(name)
            if folder is None or (folder / "results.json").is_file():
                continue
            with self.stage(f"harden {name}"):
                changes: dict[str, Any] = {"rewriters": []}
                if name not in [c.name for c in self.base.detectors]:
                    changes["detectors"] = [{"name": name, "options": self._scored_by(name)}]
                prl.harden(
                    name,
                    on=self.hardened_on(),
                    recipe=load_recipe(self.base, changes),
                    texts=self.settings.hardened_on,
                    out=folder,
                    **self._with,
                )


def _placeless(options: Mapping[str, Any]) -> dict[str, Any]:
    """Options of a rewriter without where runs lie, which says nothing of what they are."""
    return {
        key: _placeless(value) if isinstance(value, Mapping) else value
        for key, value in options.items()
        if key != "run"
    }


def material(recipe: Recipe) -> dict[str, Any]:
    """The keys of a recipe that change what a step does, by dotted name."""
    immaterial = IMMATERIAL if recipe.warmup.method is not None else (*IMMATERIAL, "warmup")
    return {
        key: json.loads(json.dumps(value, default=str))
        for key, value in leaves(plain(recipe)).items()
        if value != {} and not any(key == one or key.startswith(f"{one}.") for one in immaterial)
    }
