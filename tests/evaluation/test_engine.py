"""The engine on toy components: nothing is lost, nothing is mixed, thresholds see calibration humans alone."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from paraphrase_rl.data.documents import Corpus
from paraphrase_rl.detection.calibration import CalibrationSet
from paraphrase_rl.detection.fitting import build_detector, calibrate
from paraphrase_rl.detection.threshold import usual_rates
from paraphrase_rl.errors import CalibrationError, EvaluationError, ModelError, RunError
from paraphrase_rl.evaluation import rewrite_quality as measuring
from paraphrase_rl.evaluation.cache import Cache, claimed
from paraphrase_rl.evaluation.plan import Plan, with_checkpoints
from paraphrase_rl.evaluation.results import Results
from paraphrase_rl.evaluation.start import evaluate_plan as evaluate
from paraphrase_rl.files import append_jsonl, read_jsonl
from paraphrase_rl.plugin import hookimpl
from paraphrase_rl.plugin.discovery import Plugins
from paraphrase_rl.plugin.registry import Registry
from paraphrase_rl.plugin.specs import Context, DetectorSpec, MetricSpec, Options, RewriterSpec
from paraphrase_rl.progress import reporter
from paraphrase_rl.recipe.schema import Attack, Component, Recipe, Weighted
from paraphrase_rl.testing import FakeDetector, FakeRewriter
from paraphrase_rl.types import Document, Failure, Measurements, RewardBatch, Rewrite, Scores, Truncation


@dataclass
class Calls:
    """The texts that components were called with, and what they are told to do."""

    scored: list[str] = field(default_factory=list)
    rewritten: list[str] = field(default_factory=list)
    measured: int = 0
    built: list[str] = field(default_factory=list)
    revision: str = "r1"

    def clear(self) -> None:
        self.scored, self.rewritten, self.measured, self.built = [], [], 0, []


class Shout:
    """Share of capitals; texts with CRASH crash it."""

    def __init__(self, calls: Calls) -> None:
        self.calls = calls

    def score(self, texts: Sequence[str]) -> Scores:
        if any("crash" in text.lower() for text in texts):
            raise RuntimeError("boom")
        self.calls.scored += texts
        return Scores(np.array([np.mean([c.isupper() for c in t if c.isalpha()]) for t in texts]))

    def provenance(self) -> dict[str, str]:
        return {"shout": self.calls.revision}


class Odd(FakeDetector):
    """A held-out detector that knows nothing."""


class PolicyOptions(Options):
    run: str | None = None
    checkpoint: int | str = "last"


class LowerOptions(Options):
    letters: int = 10


class Lower:
    """Makes the first capitals small, one more with each sample; ``bad`` texts fail, ``crash`` ones crash it."""

    def __init__(self, options: LowerOptions, calls: Calls) -> None:
        self.options, self.calls = options, calls

    def rewrite(self, texts: Sequence[str], n: int, seed: int) -> list[list[Rewrite] | Failure]:
        if any("crash" in text for text in texts):
            raise RuntimeError("boom")
        self.calls.rewritten += texts
        return [
            Failure(index=i, owner="lower", kind="bad", message="this text is bad")
            if "bad" in text
            else [Rewrite(text=self._lower(text, self.options.letters + k + seed)) for k in range(n)]
            for i, text in enumerate(texts)
        ]

    def _lower(self, text: str, letters: int) -> str:
        for character in [c for c in text if c.isupper()][:letters]:
            text = text.replace(character, character.lower(), 1)
        return text


class Uncrash:
    def rewrite(self, texts: Sequence[str], n: int, seed: int) -> list[list[Rewrite] | Failure]:
        return [[Rewrite(text=text.replace("CRASH", "calm"))] * n for text in texts]


class Broken:
    def rewrite(self, texts: Sequence[str], n: int, seed: int) -> list[list[Rewrite] | Failure]:
        return []


def _missing(options: Options, context: Context) -> None:
    raise ModelError("no model at /nowhere", "bring it")


def capitals(n: int) -> str:
    letters = "A" * n + "a" * (60 - n)
    return " ".join(letters[i : i + 5] for i in range(0, 60, 5))


def texts(groups: bool = False) -> list[Document]:
    """In each split 24 human texts with 0 to 23 capitals and 24 AI texts with 18 to 41."""
    return [
        Document(
            id=f"{split}-{label}-{i}",
            text=capitals(first + i) + " ." * s,
            label=label,
            split=split,
            group=("native", "non-native")[i % 2] if groups and label == "human" else None,
        )
        for s, split in enumerate(("calibration", "train", "test"))
        for label, first in (("human", 0), ("ai", 18))
        for i in range(24)
    ]


def ten_to_rewrite() -> list[Document]:
    """The same, but of the AI test texts only those with 18 to 27 capitals."""
    return [d for d in texts() if not d.id.startswith("test-ai") or int(d.id.rpartition("-")[2]) < 10]


RECIPE = Recipe(
    detectors=[Weighted(name="shout")],
    held_out=[Component(name="odd")],
    rewriters=[Attack(name="lower"), Attack(name="shuffle"), Attack(name="policy")],
)


class Measures:
    """Length ratio, which fails on texts with FAIL, and a metric that never applies."""

    def __init__(self, calls: Calls) -> None:
        self.calls = calls

    def __call__(self, batch: RewardBatch) -> Measurements:
        self.calls.measured += len(batch)
        sources = [source.text for source in batch.sources]
        values = np.array([len(r) / len(s) for s, r in zip(sources, batch.rewrites, strict=True)])
        failed = [i for i, source in enumerate(sources) if "FAIL" in source]
        values[failed] = np.nan
        failures = [
            Failure(index=i, owner="length-ratio", kind="crashed", message="no ruler") for i in failed
        ]
        return Measurements(
            {"length-ratio": values, "inapplicable": np.full(len(batch), np.nan)}, tuple(failures)
        )


Evaluate = Callable[..., Results]


@pytest.fixture
def calls() -> Calls:
    return Calls()


@pytest.fixture
def registry(calls, monkeypatch) -> Registry:
    def built(name, make):
        def factory(options, context):
            calls.built.append(name)
            return make(options)

        return factory

    @hookimpl
    def register_detectors():
        return [
            DetectorSpec(
                name="shout", summary="s", family="toy", factory=built("shout", lambda o: Shout(calls))
            ),
            DetectorSpec(name="odd", summary="s", family="random", factory=built("odd", lambda o: Odd())),
            DetectorSpec(name="missing", summary="s", family="toy", factory=_missing),
        ]

    @hookimpl
    def register_rewriters():
        return [
            RewriterSpec(
                name="lower",
                summary="s",
                options=LowerOptions,
                factory=built("lower", lambda o: Lower(o, calls)),
            ),
            RewriterSpec(name="shuffle", summary="s", factory=built("shuffle", lambda o: FakeRewriter())),
            RewriterSpec(name="uncrash", summary="s", factory=built("uncrash", lambda o: Uncrash())),
            RewriterSpec(name="broken", summary="s", factory=built("broken", lambda o: Broken())),
            RewriterSpec(name="gone", summary="s", factory=_missing),
            RewriterSpec(name="policy", summary="s", needs_run=True, options=PolicyOptions, factory=_missing),
        ]

    @hookimpl
    def register_metrics():
        measures = built("metrics", lambda o: Measures(calls))
        return [
            MetricSpec(name=name, summary="s", factory=measures, role=role, better=None, range=(0.0, 9.0))
            for name, role in (("length-ratio", "length"), ("inapplicable", "other"))
        ]

    toys = SimpleNamespace(
        register_detectors=register_detectors,
        register_rewriters=register_rewriters,
        register_metrics=register_metrics,
    )
    return Registry(Plugins.of(toys=type("T", (), {k: staticmethod(v) for k, v in vars(toys).items()})))


@pytest.fixture
def run(registry, tmp_path) -> Evaluate:
    """Evaluates the toy texts into a folder; keyword arguments change the plan, ``recipe`` keys the recipe."""

    def run(out: str = "out", documents=None, update=None, **changes) -> Results:
        plan = Plan(
            recipe=RECIPE.model_copy(update=update or {}),
            corpus=Corpus(tuple(documents or texts()), "toy", "Capitals."),
            out=tmp_path / out,
            resamples=50,
            **{"texts": 64, **changes},
        )
        return evaluate(plan, registry, reporter(None))

    return run


def figures(results: Results) -> dict:
    """Everything but the times."""
    found = results.model_dump()
    found["about"] |= {"started": None, "seconds": None}
    return found


def tables(folder: Path) -> dict[str, str]:
    names = ("calibration.json", "documents.jsonl", "rewrites.jsonl", "scores.jsonl", "quality.jsonl")
    return {name: (folder / name).read_text() for name in names}


def test_what_a_detector_did_not_read_is_counted_and_said(run, tmp_path, monkeypatch):
    score = Shout.score

    def shortened(self: Shout, texts: Sequence[str]) -> Scores:
        long = [i for i, text in enumerate(texts) if sum(c.isupper() for c in text) >= 20]
        return replace(
            score(self, texts),
            truncated=tuple(Truncation(index=i, read=5, total=9, unit="words") for i in long),
        )

    monkeypatch.setattr(Shout, "score", shortened)
    results = run(documents=ten_to_rewrite())  # 18 to 27 capitals; `lower` takes 10 of them
    assert [results.cell(r, "shout").truncated for r in ("none", "lower", "shuffle")] == [8, 0, 8]
    assert results.cell("none", "ensemble").truncated == 8
    assert results.cell("none", "odd").truncated == 0
    assert results.cell("none", "shout").shown_at(0.05)["cut"] == "8/10"
    said = [note for note in results.about.notes if "longer than shout reads" in note]
    assert len(said) == 1
    rows = [row for row in read_jsonl(tmp_path / "out" / "scores.jsonl") if row.get("truncated")]
    assert {row["truncated"] for row in rows} == {"5 of 9 words"}
    assert {row["detector"] for row in rows} == {"shout", "ensemble"}


def test_a_whole_evaluation_by_hand(run, tmp_path):
    results = run(documents=ten_to_rewrite())
    assert [d.name for d in results.detectors] == ["shout", "odd", "ensemble"]
    assert [r.label for r in results.rewriters] == ["none", "lower", "shuffle"]
    assert "policy is left out: there is no run to take it from" in results.about.notes
    assert len(results.cells) == 9
    # 24 calibration humans with 0..23 of 60 capitals, floor(0.05 * 25) - 1 = 0 may lie above: the threshold is 23/60
    before = [i for i in range(18, 28) if i > 23]
    cell = results.cell("lower", "shout")
    point = next(p for p in cell.points if p.target_fpr == 0.05)
    assert point.threshold == pytest.approx(23 / 60)
    assert point.tpr_before.value == len(before) / 10
    assert point.tpr_after.value == 0.0
    assert point.attack_success_rate.value == 1.0
    assert point.attack_success_rate.n == len(before)
    none = results.cell("none", "shout")
    assert none.points[0].attack_success_rate.value == 0.0
    assert none.auroc_before == none.auroc_after == cell.auroc_before
    assert cell.auroc_after.value < cell.auroc_before.value
    assert results.cell("shuffle", "shout").points[0].tpr_after.value == point.tpr_before.value
    assert {(t.rewriter, t.family, t.trained_against) for t in results.transfer} == {
        (r, f, t) for r in ("none", "lower", "shuffle") for f, t in (("toy", True), ("random", False))
    }
    ratio = next(q for q in results.quality if (q.rewriter, q.metric) == ("lower", "length_ratio"))
    assert ratio.estimate.value == 1.0
    other = next(q for q in results.quality if q.metric == "inapplicable")
    assert (other.estimate.value, other.failed) == (None, 0)
    assert Results.read(tmp_path / "out") == results
    assert len(read_jsonl(tmp_path / "out" / "documents.jsonl")) == 34
    assert len(read_jsonl(tmp_path / "out" / "rewrites.jsonl")) == 20
    assert len(read_jsonl(tmp_path / "out" / "scores.jsonl")) == 3 * (34 + 20)
    assert read_jsonl(tmp_path / "out" / "quality.jsonl")[0]["metrics"] == {
        "length_ratio": 1.0,
        "inapplicable": None,
    }


def test_the_same_command_again_computes_nothing_and_changes_nothing(run, calls, tmp_path):
    first = run(samples=2)
    before = tables(tmp_path / "out")
    calls.clear()
    second = run(samples=2)
    assert (calls.scored, calls.rewritten, calls.measured) == ([], [], 0)
    assert "lower" not in calls.built
    assert figures(first) == figures(second)
    assert tables(tmp_path / "out") == before


@pytest.mark.parametrize("write", range(1, 14, 2))
@pytest.mark.parametrize("saved", [False, True])
def test_a_killed_evaluation_goes_on_to_the_same_results(run, calls, monkeypatch, tmp_path, write, saved):
    whole = run("whole", samples=2)
    writes: list[int] = []
    add = Cache.add

    def die(cache, values):
        values = list(values)
        writes.append(len(values))
        if len(writes) < write or saved:
            add(cache, values)
        if len(writes) == write:
            raise KeyboardInterrupt

    monkeypatch.setattr(Cache, "add", die)
    with pytest.raises(KeyboardInterrupt):
        run("killed", samples=2)
    assert not (tmp_path / "killed" / "results.json").exists()
    monkeypatch.undo()
    assert figures(run("killed", samples=2)) == figures(whole)
    assert tables(tmp_path / "killed") == tables(tmp_path / "whole")


def test_another_held_out_detector_costs_no_rewrite(run, calls):
    run(update={"held_out": []})
    calls.clear()
    run()
    assert calls.rewritten == []
    assert calls.scored == []


def test_without_rewriters_there_is_the_baseline(run, tmp_path):
    results = run(update={"rewriters": []})
    assert [r.label for r in results.rewriters] == ["none"]
    assert len(results.cells) == 3
    assert read_jsonl(tmp_path / "out" / "rewrites.jsonl") == []


def test_a_rewrite_that_can_be_scored_of_a_text_that_cannot_does_not_count(run):
    documents = marked("CRASH", 5)
    results = run(documents=documents, update={"rewriters": [Attack(name="uncrash")]})
    cell = results.cell("uncrash", "shout")
    assert (cell.failed, cell.failure) == (1, "RuntimeError: boom")
    assert cell.points[0].tpr_after.n == cell.points[0].tpr_before.n == 23


def test_no_text_is_scored_twice(run, calls):
    run()
    assert len(calls.scored) == len(set(calls.scored))


@pytest.mark.parametrize(
    "changed",
    [
        {"samples": 3},
        {"update": {"rewriters": [Attack(name="lower", options={"letters": 2})]}},
        {"update": {"training": RECIPE.training.model_copy(update={"seed": 5})}},
    ],
    ids=["samples", "options", "seed"],
)
def test_another_plan_in_the_same_folder_mixes_nothing(run, calls, tmp_path, changed):
    first = run()
    fresh = run("fresh", **changed)
    mixed = run(**changed)
    assert figures(mixed) == figures(fresh)
    assert tables(tmp_path / "out") == tables(tmp_path / "fresh")
    calls.clear()
    assert figures(run()) == figures(first)
    assert (calls.rewritten, calls.scored) == ([], []), "what the first plan computed was lost"


def test_another_model_behind_a_detector_means_other_scores(run, calls):
    run()
    calls.scored.clear()
    calls.revision = "r2"
    run()
    assert len(calls.scored) > 100


def test_thresholds_see_neither_test_texts_nor_rewrites(run):
    def thresholds(results):
        return {(d.detector, p.target_fpr): p.threshold for d in results.cells for p in d.points}

    honest = thresholds(run("honest"))
    poisoned = [
        replace(d, text=capitals(60)) if d.split == "test" and d.label == "human" else d for d in texts()
    ]
    assert thresholds(run("poisoned", documents=poisoned)) == honest
    no_rewriters = {"rewriters": [Attack(name="shuffle")]}
    kept = thresholds(run("other", update=no_rewriters))
    assert kept == honest


def test_a_detector_that_cannot_be_built_is_a_column_that_says_why(run):
    alone = run("alone")
    results = run(update={"held_out": [Component(name="missing"), Component(name="odd")]})
    info = next(d for d in results.detectors if d.name == "missing")
    assert info.failure == "no model at /nowhere; bring it"
    cells = [c for c in results.cells if c.detector == "missing"]
    assert len(cells) == 3
    assert all(c.failure == info.failure and not c.points and c.auroc_after.value is None for c in cells)
    assert [c for c in results.cells if c.detector != "missing"] == list(alone.cells)


def test_an_ensemble_of_which_a_member_failed_is_none(run):
    results = run(update={"detectors": [Weighted(name="shout"), Weighted(name="missing")]})
    ensemble = next(d for d in results.detectors if d.name == "ensemble")
    assert "missing failed: no model at /nowhere" in ensemble.failure
    assert not results.cell("none", "ensemble").points
    assert results.cell("lower", "shout").points


@pytest.mark.parametrize(
    ("attack", "why"),
    [
        (Attack(name="gone"), "no model at /nowhere"),
        (Attack(name="broken"), "rewriter broken of plug-in toys returned 0 items for"),
        (Attack(name="nobody"), "no rewriter is called 'nobody'"),
        (Attack(name="lower", label="typo", options={"leters": 1}), "unknown option 'leters'"),
    ],
    ids=lambda v: getattr(v, "name", ""),
)
def test_a_rewriter_that_fails_is_a_row_that_says_why(run, tmp_path, attack, why):
    alone = run("alone")
    results = run(update={"rewriters": [*RECIPE.rewriters, attack]})
    label = attack.label or attack.name
    assert why in next(r.failure for r in results.rewriters if r.label == label)
    cells = [c for c in results.cells if c.rewriter == label]
    assert len(cells) == 3
    assert all(why in c.failure and c.failed == c.texts == 24 and not c.points for c in cells)
    assert [c for c in results.cells if c.rewriter != label] == list(alone.cells)
    rows = [row for row in read_jsonl(tmp_path / "out" / "rewrites.jsonl") if row["rewriter"] == label]
    assert len(rows) == 24
    assert all(why in row["failure"]["message"] for row in rows)


def marked(word: str, at: int) -> list[Document]:
    chosen = [d.id for d in texts() if d.split == "test" and d.label == "ai"][at]
    return [replace(d, text=f"{d.text} {word}") if d.id == chosen else d for d in texts()]


def test_a_text_that_a_rewriter_cannot_do_costs_itself_alone(run, tmp_path):
    results = run(documents=marked("bad", 20))
    cell = results.cell("lower", "shout")
    assert (cell.texts, cell.failed, cell.failure) == (24, 1, "this text is bad")
    assert cell.points[0].tpr_after.n == cell.points[0].tpr_before.n == 23
    assert results.cell("shuffle", "shout").failed == 0
    failed = [row for row in read_jsonl(tmp_path / "out" / "rewrites.jsonl") if "failure" in row]
    assert [row["failure"] for row in failed] == [{"kind": "bad", "message": "this text is bad"}]
    assert results.quality[0].failed == 1


def test_a_text_that_crashes_everything_costs_itself_alone(run):
    results = run(documents=marked("crash", 3))
    for rewriter, why in (
        ("lower", "RuntimeError: boom"),
        ("shuffle", "RuntimeError: boom"),
        ("none", "RuntimeError: boom"),
    ):
        cell = results.cell(rewriter, "shout")
        assert (cell.failed, cell.failure) == (1, why)
        assert cell.points[0].tpr_after.n == 23


def test_a_metric_that_fails_on_a_text_is_counted_and_tried_again(run, calls):
    results = run(documents=marked("FAIL", 2))
    ratio = next(q for q in results.quality if (q.rewriter, q.metric) == ("lower", "length_ratio"))
    assert (ratio.failed, ratio.estimate.n) == (1, 23)
    assert "length_ratio could not be measured for some rewrites: no ruler" in results.about.notes
    calls.clear()
    run(documents=marked("FAIL", 2))
    assert calls.measured == 2, "the one text, by two rewriters"


def test_quality_that_cannot_be_measured_costs_no_cell(run, monkeypatch):
    def broken(*arguments, **options):
        raise ModelError("no encoder", "bring one")

    monkeypatch.setattr(measuring, "build_quality", broken)
    results = run()
    assert results.quality == ()
    assert "quality of lower is not measured: no encoder; bring one" in results.about.notes
    assert results.cell("lower", "shout").points
    with pytest.raises(ModelError, match="no encoder"):
        run(update={"metrics": [Component(name="length-ratio")]})


def test_failures_are_tried_again(run, calls, monkeypatch):
    monkeypatch.setattr(Lower, "_lower", lambda *a: 1 / 0)
    assert run().cell("lower", "shout").failed == 24
    monkeypatch.undo()
    assert run().cell("lower", "shout").failed == 0


def test_rates_by_group_before_and_after_rewriting(run):
    results = run(documents=texts(groups=True), humans=4)
    assert results.about.groups == {"native": 12, "non-native": 12}
    rows = {(r.rewriter, r.group) for r in results.false_positives if r.detector == "shout"}
    everybody = {"all", "native", "non-native"}
    assert rows >= {(r, g) for r in ("none", "lower", "shuffle") for g in everybody}
    rewritten = next(r for r in results.false_positives if (r.rewriter, r.group) == ("lower", "non-native"))
    assert rewritten.rate.n == 4
    assert {g.group for g in results.fairness} == {"non-native"}
    assert not any("reference_group" in note for note in results.about.notes)


def test_what_is_rewritten_is_from_all_over_the_split_and_found_again(run, tmp_path, calls):
    # of each kind of text 16 AI ones, one kind after the other, and 12 humans, whose groups take turns
    documents = [
        replace(d, id=f"{kind}-{d.id}", text=f"{d.text} {kind}")
        for kind in ("story", "news", "essay")
        for d in texts(groups=True)
        if d.split != "test" or int(d.id.rpartition("-")[2]) < (16 if d.label == "ai" else 12)
    ]

    def rewritten():
        ids = {row["id"] for row in read_jsonl(tmp_path / "out" / "rewrites.jsonl")}
        kinds = [(d.id.partition("-")[0], d.label, d.group) for d in documents if d.id in ids]
        return ids, {kind: kinds.count(kind) for kind in kinds}

    results = run(documents=documents, texts=12, humans=3)
    ids, counts = rewritten()
    kinds = ("story", "news", "essay")
    assert counts == {(kind, "ai", None): 4 for kind in kinds} | {
        (kind, "human", group): 1 for kind in kinds for group in ("native", "non-native")
    }
    assert "12 of 48 AI test texts are rewritten, from all over the split" in results.about.notes
    calls.clear()
    run(documents=documents, texts=12, humans=3)
    assert (rewritten()[0], calls.rewritten) == (ids, [])


def test_groups_without_the_reference_group_are_told(run):
    documents = [replace(d, group=d.group and d.group + "s") for d in texts(groups=True)]
    results = run(documents=documents)
    assert not results.fairness
    (note,) = [note for note in results.about.notes if "reference_group" in note]
    assert note.endswith("is 'native', and the human test texts are of natives, non-natives")


def test_without_groups_no_human_text_is_rewritten(run, calls):
    run(humans=4)
    assert all(text in {d.text for d in texts() if d.label == "ai"} for text in calls.rewritten)


@pytest.fixture
def trained(registry, tmp_path) -> Path:
    """A run directory with a calibration."""
    folder = tmp_path / "run"
    built = [build_detector(registry, Context(), d.name, d.options, d.weight) for d in RECIPE.detectors]
    documents = [d for d in texts() if d.split == "calibration"]
    rates = usual_rates(RECIPE.calibration.target_fpr)
    calibrate(built, documents, rates, source="toy").to_file(folder / "calibration.json")
    return folder


def test_a_run_keeps_its_own_calibration(run, trained):
    of_run = run("a", run=trained)
    of_recipe = run("b")
    assert of_run.cells[0] == of_recipe.cells[0]
    assert of_run.cell("none", "ensemble") == of_recipe.cell("none", "ensemble")
    assert not any("the device or the version of a library differs" in note for note in of_run.about.notes)
    assert [r.label for r in of_run.rewriters] == ["none", "lower", "shuffle", "policy"]
    assert of_run.about.run == str(trained)


def test_a_run_on_other_texts_is_refused(run, trained):
    changed = [replace(d, text=d.text + "!") if d.split == "calibration" else d for d in texts()]
    with pytest.raises(EvaluationError, match=r"not those that .* was calibrated on"):
        run(documents=changed, run=trained)


def test_thresholds_as_deployed_on_other_texts(run, trained):
    """Humans of the calibration here have five capitals more: thresholds of their own would be 28 / 60."""
    others = [
        replace(d, id=f"x{d.id}", text=d.text.replace("a", "A", 5) + " !", split=d.split)
        for d in texts(groups=True)
    ]
    fresh = run("fresh", documents=others, update={"rewriters": []})
    deployed = run(
        "deployed", documents=others, update={"rewriters": []}, deployed=trained / "calibration.json"
    )
    assert fresh.point("none", "shout", 0.05).threshold == pytest.approx(28 / 60)
    saved = CalibrationSet.read(trained / "calibration.json")
    assert deployed.point("none", "shout", 0.05).threshold == saved.of("shout").point(0.05).threshold
    rates = {
        (r.detector, r.threshold): r.rate.value
        for r in deployed.false_positives
        if (r.rewriter, r.group, r.target_fpr, r.words) == ("none", "all", 0.05, None)
    }
    # of 24 humans with 5 to 28 capitals, 24 to 28 are above 23
    assert rates["shout", "deployed"] == pytest.approx(5 / 24)
    assert any("thresholds and P(AI) are those of" in note for note in deployed.about.notes)


@pytest.mark.parametrize("content", [None, "{", "{}"])
def test_a_run_without_a_whole_calibration_is_refused_with_what_helps(run, trained, content):
    file = trained / "calibration.json"
    file.unlink() if content is None else file.write_text(content)
    with pytest.raises(CalibrationError, match=r"calibration\.json") as caught:
        run(run=trained)
    assert "--config and --out" in caught.value.hint
    assert "prl calibrate" not in caught.value.hint


def test_a_damaged_cache_is_refused_until_it_is_deleted(run, tmp_path):
    whole = run("out")
    file = tmp_path / "out" / "cache" / "values.sqlite"
    file.write_bytes(file.read_bytes()[:5000])
    with pytest.raises(RunError, match=r"cache/values\.sqlite is damaged: ") as caught:
        run("out")
    assert caught.value.hint == "delete this cache file: it will be rebuilt"
    file.unlink()
    assert figures(run("out")) == figures(whole)


def test_a_detector_that_changed_since_the_run_fails(run, trained, calls):
    calls.revision = "r2"
    results = run(run=trained)
    assert "was calibrated with another shout" in results.detectors[0].failure
    assert "--config and --out" in results.detectors[0].failure, "`prl calibrate` would not mend a run"
    assert results.detectors[-1].failure


def test_a_threshold_that_the_scores_here_would_not_set_is_told(run, trained):
    kept = json.loads((trained / "calibration.json").read_text())
    kept["calibrations"][0]["points"][0]["threshold"] += 0.1
    (trained / "calibration.json").write_text(json.dumps(kept))
    results = run(run=trained)
    assert any("the device or the version of a library differs" in note for note in results.about.notes)


def test_a_run_that_went_on_is_rewritten_anew(run, trained, calls):
    run(run=trained)
    calls.rewritten.clear()
    append_jsonl(trained / "checkpoints.jsonl", {"step": 6, "kind": "periodic", "path": "checkpoints/6"})
    run(run=trained)
    assert len(calls.rewritten) == 24


def test_checkpoints_become_rewriters(trained, registry):
    for step in (6, 12):
        append_jsonl(trained / "checkpoints.jsonl", {"step": step, "kind": "periodic", "path": "x"})
    append_jsonl(trained / "checkpoints.jsonl", {"step": 12, "kind": "final", "path": "x"})
    added = with_checkpoints(RECIPE, trained, registry).rewriters[3:]
    assert [a.label for a in added] == ["policy@6", "policy@12"]
    assert [a.options for a in added] == [{"checkpoint": 6}, {"checkpoint": 12}]


def test_two_evaluations_do_not_work_in_one_folder(run, tmp_path):
    with claimed(tmp_path / "out"), pytest.raises(EvaluationError, match="another evaluation is running in"):
        run()


@pytest.mark.parametrize("lacking", [("test", "ai"), ("test", "human"), ("calibration", "human")])
def test_texts_that_cannot_be_evaluated_on_are_refused(run, lacking):
    kept = [d for d in texts() if (d.split, d.label) != lacking]
    with pytest.raises(EvaluationError, match=f"0 {'AI' if lacking[1] == 'ai' else 'human'} texts"):
        run(documents=kept)


def test_human_texts_alone_give_false_positives(run):
    whole = run(documents=texts(groups=True), update={"rewriters": []})
    humans = [d for d in texts(groups=True) if d.label == "human"]
    alone = run("alone", documents=humans, update={"rewriters": []})
    assert alone.cells == alone.transfer == ()

    def rates(results: Results) -> dict:
        return {(r.detector, r.group, r.target_fpr, r.words): r.rate.value for r in results.false_positives}

    expected = rates(whole)
    assert {detector for detector, *_ in expected} > {detector for detector, *_ in rates(alone)}
    assert rates(alone) == {key: rate for key, rate in expected.items() if key[0] != "ensemble"}
    assert "no P(AI)" in next(d.failure for d in alone.detectors if d.name == "ensemble")


def test_no_rewriter_may_be_called_none(run):
    with pytest.raises(EvaluationError, match="reserved for the original texts"):
        run(update={"rewriters": [Attack(name="lower", label="none")]})


def test_all_other_detectors_are_held_out_by_default(run):
    results = run(update={"held_out": None})
    assert {d.name: d.trained_against for d in results.detectors} == {
        "shout": True,
        "missing": False,
        "odd": False,
        "ensemble": True,
    }
