"""Plan of an evaluation: texts, rewriters and detectors."""

from __future__ import annotations

import platform
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path

import numpy as np

from paraphrase_rl import __version__
from paraphrase_rl.data.documents import Corpus
from paraphrase_rl.data.spread import spread
from paraphrase_rl.detection.calibration import CalibrationSet
from paraphrase_rl.detection.ensemble import COMBINED
from paraphrase_rl.detection.threshold import usual_rates
from paraphrase_rl.errors import CalibrationError, EvaluationError, PrlError
from paraphrase_rl.evaluation.cache import key_of
from paraphrase_rl.evaluation.results import ORIGINAL, About, RewriterInfo
from paraphrase_rl.files import sha256_file, sha256_texts
from paraphrase_rl.models.precision import Precision
from paraphrase_rl.plugin.protocols import Components
from paraphrase_rl.plugin.registry import Entry, Registry
from paraphrase_rl.plugin.specs import RewriterSpec
from paraphrase_rl.recipe.schema import Attack, Component, Recipe
from paraphrase_rl.runs.ledger import ledger
from paraphrase_rl.types import Document


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Everything that an evaluation depends on.

    Attributes:
        recipe: data, detectors, held-out detectors, rewriters, metrics, target rate, prompt, and the seed of training,
            which is also that of rewriting and of the resamples.
        corpus: the texts.
        out: folder of the evaluation.
        run: directory of the run that is evaluated; ``None`` without a run.
        deployed: file of the calibration whose thresholds and P(AI) are used as they are; ``None`` = those of the run,
            else new ones, set on the calibration texts of the corpus.
        device: torch device.
        texts: number of AI texts of the test split that are rewritten, from all over it.
        samples: number of rewrites of each text.
        humans: number of human test texts of each group that are rewritten too, at most, from all over the split;
            0 = none.
        resamples: number of resamples of the bootstrap.
    """

    recipe: Recipe
    corpus: Corpus = field(repr=False)
    out: Path
    run: Path | None = None
    deployed: Path | None = None
    device: str = "cpu"
    texts: int
    samples: int = 1
    humans: int = 0
    resamples: int = 2000

    @cached_property
    def precision(self) -> Precision | None:
        """Precision of the products that scores come from: that of the calibration used; ``None`` = the usual one."""
        try:
            return CalibrationSet.read(self.calibrated).precision if self.calibrated is not None else None
        except CalibrationError:  # the panel says so
            return None

    @cached_property
    def ai(self) -> list[Document]:
        """The AI texts that are rewritten."""
        return spread(self.corpus.select(split="test", label="ai"), self.texts)

    @cached_property
    def human(self) -> list[Document]:
        """The human texts that give false positives and AUROC."""
        return list(self.corpus.select(split="test", label="human"))

    @cached_property
    def rewritten_humans(self) -> list[Document]:
        """The human texts that are rewritten: some of each group, in the order of the data."""
        groups: defaultdict[str, list[int]] = defaultdict(list)
        for place, document in enumerate(self.human):
            if document.group is not None:
                groups[document.group].append(place)
        return [
            self.human[i]
            for i in sorted(i for places in groups.values() for i in spread(places, self.humans))
        ]

    @cached_property
    def calibration(self) -> list[Document]:
        """The human texts that thresholds are fixed on."""
        return list(self.corpus.select(split="calibration", label="human"))

    @property
    def seed(self) -> int:
        return self.recipe.training.seed

    @property
    def target_fprs(self) -> tuple[float, ...]:
        """Target false positive rates, the recipe's own first."""
        return usual_rates(self.recipe.calibration.target_fpr)

    def attacks(self, registry: Registry) -> list[Attack]:
        """List the rewriters with their labels, leaving out baselines, and the policy of a run if there is no run."""
        return [
            attack.model_copy(update={"label": label_of(attack)})
            for attack in self.recipe.rewriters
            if not is_baseline(attack, registry) and not lacks_run(attack, self.run, registry)
        ]

    @property
    def calibrated(self) -> Path | None:
        """Return the file of the calibration that is used as it is, if there is one."""
        return self.run / "calibration.json" if self.run is not None else self.deployed

    @cached_property
    def digest(self) -> str:
        """Return the SHA-256 of the texts evaluated."""
        documents = [*self.ai, *self.human, *self.calibration]
        return sha256_texts(f"{d.split}\t{d.label}\t{d.group}\t{d.text}" for d in documents)

    @cached_property
    def run_digest(self) -> str:
        """Return a digest of all that rewriters can read in the run; an empty string without a run."""
        return "" if self.run is None else run_digest(self.run)

    def check(self, registry: Registry) -> None:
        """Refuse a plan that cannot be carried out.

        Raises:
            EvaluationError: no AI or human texts to test on, or a label that means something else.
        """
        attacks = self.attacks(registry)
        for label, documents, split in (
            ("AI", self.ai, "test"),
            ("human", self.human, "test"),
            ("human", self.calibration, "calibration"),
        ):
            if len(documents) < 2 and (label == "human" or attacks):
                raise EvaluationError(
                    f"{self.corpus.source} has {len(documents)} {label} texts in its {split} split",
                    "evaluate on data with human texts in calibration and texts of both labels in test"
                    + ("; for false positives alone: --set 'rewriters=[]'" if label == "AI" else ""),
                )
        if taken := [a.label for a in attacks if a.label == ORIGINAL]:
            raise EvaluationError(
                f"a rewriter is labelled {taken[0]!r}, which is reserved for the original texts",
                "give this rewriter another label",
            )

    def notes(self, registry: Registry) -> list[str]:
        """Write notes on the choice of texts and rewriters, one line each."""
        found = []
        if absent := [a.name for a in self.recipe.rewriters if lacks_run(a, self.run, registry)]:
            found.append(f"{absent[0]} is left out: there is no run to take it from")
        available = len(self.corpus.select(split="test", label="ai"))
        if available > len(self.ai):
            found.append(
                f"{len(self.ai)} of {available} AI test texts are rewritten, from all over the split"
            )
        if self.humans and not self.rewritten_humans:
            found.append("no human text is rewritten: those of the test split have no groups")
        groups = sorted({d.group for d in self.human if d.group is not None})
        reference = self.recipe.acceptance.reference_group
        if groups and reference not in groups:
            found.append(
                f"no gaps between groups: acceptance.reference_group is {reference!r}, and the human test texts "
                f"are of {', '.join(groups)}"
            )
        return found

    def about(self, registry: Registry) -> About:
        """Describe the plan for the results, with its notes and the present time."""
        groups = Counter(document.group for document in self.human if document.group is not None)
        return About(
            run=str(self.run) if self.run is not None else None,
            source=self.corpus.source,
            digest=self.digest,
            excerpt_words=self.recipe.data.excerpt_words,
            ai_texts=len(self.ai),
            human_texts=len(self.human),
            calibration_texts=len(self.calibration),
            groups=dict(sorted(groups.items())),
            samples=self.samples,
            seed=self.seed,
            resamples=self.resamples,
            target_fpr=self.recipe.calibration.target_fpr,
            started=datetime.now(UTC).isoformat(timespec="seconds"),
            seconds=0.0,
            versions=dict(versions()),
            notes=(*self.notes(registry), *self.corpus.notes),
        )


def run_digest(run: Path) -> str:
    """Return a digest of all that rewriters can read in a run."""
    names = ("recipe.yaml", "calibration.json", "checkpoints.jsonl")
    return key_of(*(sha256_file(run / n) if (run / n).is_file() else None for n in names))


def runs_in(options: Mapping[str, object]) -> Iterator[Path]:
    """Yield the runs that the options of a rewriter name, also those of a rewriter inside it."""
    for key, value in options.items():
        if key == "run" and isinstance(value, str):
            yield Path(value)
        elif isinstance(value, Mapping):
            yield from runs_in(value)


def is_baseline(attack: Attack, registry: Components) -> bool:
    """Return whether a rewriter returns the texts as they are."""
    spec = rewriter_spec(attack.name, registry)
    return spec is not None and spec.baseline


def is_of_run(attack: Attack, registry: Components) -> bool:
    """Return whether a rewriter is the policy of the run that is evaluated."""
    spec = rewriter_spec(attack.name, registry)
    return spec is not None and spec.needs_run and attack.options.get("run") is None


def rewriter_info(attack: Attack, registry: Components) -> RewriterInfo:
    """Describe a rewriter for the tables before it is run."""
    return RewriterInfo(
        label=label_of(attack), name=attack.name, options=attack.options, of_run=is_of_run(attack, registry)
    )


def lacks_run(attack: Attack, run: Path | None, registry: Components) -> bool:
    """Return whether a rewriter is the policy of a run, and there is no run."""
    return run is None and is_of_run(attack, registry)


def rewriter_spec(name: str, registry: Components) -> RewriterSpec | None:
    """Return the spec of a rewriter; ``None`` if there is no such rewriter, which is an error only when it is built."""
    try:
        spec: RewriterSpec = registry.spec("rewriters", name)
    except PrlError:
        return None
    return spec


def rewriters_in(attack: Attack) -> set[str]:
    """Return the names of a rewriter and of the rewriters inside it, such as that which ``recursive`` repeats."""

    def named(value: object) -> Iterator[str]:
        if isinstance(value, Mapping):
            if isinstance(value.get("name"), str):
                yield value["name"]
            for inner in value.values():
                yield from named(inner)

    return {attack.name, *named(attack.options)}


def label_of(attack: Attack) -> str:
    """Return a rewriter's name in the tables."""
    return attack.label or attack.name


def held_out_of(recipe: Recipe, registry: Registry) -> tuple[list[Component], list[str]]:
    """List the detectors to test that are not in the ensemble, and notes on those left out.

    They are the recipe's ``held_out``, or all other registered detectors whose packages are installed, with default
    options.
    """
    trained = {registry_name(detector.name, registry) for detector in recipe.detectors}
    if recipe.held_out is not None:
        chosen = {registry_name(c.name, registry): c for c in recipe.held_out}
        return [c for name, c in chosen.items() if name not in trained], []
    found: list[Component] = []
    notes: list[str] = []
    for entry in registry.entries("detectors"):
        name = registry.name_of(entry)
        if entry.full_name in trained:
            continue
        if missing := entry.missing_modules():
            notes.append(
                f"detector {name} is left out: it needs {', '.join(missing)}; {entry.install_line()}"
            )
        elif name != COMBINED:
            found.append(Component(name=name))
    return found, notes


def registry_name(name: str, registry: Registry) -> str:
    """Return the ``distribution/name`` of a detector, or the name itself if there is no such detector."""
    try:
        return registry.get("detectors", name).full_name
    except PrlError:
        return name


def with_checkpoints(recipe: Recipe, run: Path, registry: Registry) -> Recipe:
    """Return the recipe with a rewriter ``NAME@STEP`` for each checkpoint of the run.

    Raises:
        EvaluationError: the run has no checkpoint.
    """
    steps = sorted({row["step"] for row in ledger(run)})
    if not steps:
        raise EvaluationError(f"{run} has no checkpoints", "leave out --checkpoints")
    policies = [attack for attack in recipe.rewriters if is_of_run(attack, registry)]
    policies += [Attack(name=e.spec.name) for e in registry.entries("rewriters") if _needs_run(e)]
    if not policies:
        raise EvaluationError("no installed rewriter is the policy of a run", "see: prl plugins list")
    policy = policies[0]
    added = [
        Attack(
            name=policy.name, options={**policy.options, "checkpoint": step}, label=f"{policy.name}@{step}"
        )
        for step in steps
    ]
    labels = {attack.label for attack in added}
    others = [attack for attack in recipe.rewriters if attack.label not in labels]
    return recipe.model_copy(update={"rewriters": [*others, *added]})


def _needs_run(entry: Entry) -> bool:
    return isinstance(entry.spec, RewriterSpec) and entry.spec.needs_run


def versions() -> Mapping[str, str]:
    """Return the versions of the packages that compute the results."""
    return {"paraphrase-rl": __version__, "numpy": np.__version__, "python": platform.python_version()}
