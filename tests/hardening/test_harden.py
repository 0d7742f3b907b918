"""Hardening on a detector that learns words: what it catches, what it must not be trained on, what is refused."""

from __future__ import annotations

import json
import sqlite3
from collections import Counter
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from paraphrase_rl.data.documents import Corpus
from paraphrase_rl.detection.ensemble import load_ensemble
from paraphrase_rl.detection.training_record import training_of
from paraphrase_rl.errors import DataError, EvaluationError, ModelError, UsageError
from paraphrase_rl.evaluation.plan import Plan
from paraphrase_rl.hardening.attacks import Attacks
from paraphrase_rl.hardening.records import Hardening
from paraphrase_rl.hardening.train import harden, training_texts
from paraphrase_rl.plugin import hookimpl
from paraphrase_rl.plugin.discovery import Plugins
from paraphrase_rl.plugin.registry import Registry
from paraphrase_rl.plugin.specs import Context, DetectorSpec, NoOptions, Options, RewriterSpec
from paraphrase_rl.progress import reporter
from paraphrase_rl.recipe.schema import Attack, Recipe, Weighted
from paraphrase_rl.types import Document, Failure, Rewrite, Scores, Truncation


class WordsOptions(Options):
    folder: str | None = None
    scale: float = 1.0


class Words:
    """Share of the words known from AI texts alone minus that of those known from human texts alone."""

    def __init__(self, options, context):
        self.options = options
        taught = json.loads((fitted(options.folder)).read_text())
        words = {
            label: {word for row in taught if row["label"] == label for word in row["text"].split()}
            for label in ("ai", "human")
        }
        self.sign = dict.fromkeys(words["ai"] - words["human"], 1) | dict.fromkeys(
            words["human"] - words["ai"], -1
        )

    def score(self, texts):
        values = [np.mean([self.sign.get(w, 0) for w in t.split()]) if t.split() else np.nan for t in texts]
        lost = [
            Failure(index=i, owner="words", kind="empty", message="no words")
            for i, v in enumerate(values)
            if np.isnan(v)
        ]
        return Scores(self.options.scale * np.array(values, dtype=np.float64), tuple(lost))

    def provenance(self):
        return {"words": fitted(self.options.folder).read_text()[:20]}


def fitted(folder):
    from pathlib import Path

    return Path(folder) / "taught.json"


def fit_words(options, documents, folder):
    folder.mkdir(parents=True, exist_ok=True)
    rows = [{"id": d.id, "label": d.label, "text": d.text, "pair": d.pair} for d in documents]
    fitted(folder).write_text(json.dumps(rows))


class Each:
    """A rewriter that does one thing to each text, and remembers what it was given."""

    def __init__(self, change):
        self.change = change
        self.given: list[str] = []

    def rewrite(self, texts, n, seed):
        self.given += texts
        return [[Rewrite(text=self.change(t))] * n for t in texts]


class Says:
    def __init__(self, error):
        self.error = error

    def rewrite(self, texts, n, seed):
        raise self.error


class Consults:
    """Writes what the detectors it is given think of a text, and of which run it is."""

    def __init__(self, options, context):
        self.context = context

    def rewrite(self, texts, n, seed):
        _, combined = self.context.ensemble.probabilities(texts)
        return [[Rewrite(text=f"{p:.2f} {self.context.run}")] * n for p in combined.values]


class Partly:
    """Fails on texts with an even number in them, makes nothing of those with a 1."""

    def rewrite(self, texts, n, seed):
        return [
            Failure(index=0, owner="partly", kind="even", message="an even number")
            if any(c in t for c in "02468")
            else [Rewrite(text="" if "1" in t else t.upper())]
            for t in texts
        ]


def registry(**rewriters):
    def factory(rewriter):
        return rewriter if isinstance(rewriter, type) else lambda options, context: rewriter

    made = {
        "shout": Each(str.upper),
        "reverse": Each(lambda t: " ".join(w[::-1] for w in t.split())),
        "nothing": Says(ModelError("no model at /nowhere", "bring it")),
        "partly": Partly(),
        **rewriters,
    }

    @hookimpl
    def register_detectors():
        common = {"summary": "toy", "family": "toy", "factory": Words, "options": WordsOptions}
        return [DetectorSpec(name="words", fit=fit_words, **common), DetectorSpec(name="fixed", **common)]

    @hookimpl
    def register_rewriters():
        return [
            RewriterSpec(name=name, summary="toy", factory=factory(r), options=NoOptions)
            for name, r in made.items()
        ]

    toys = SimpleNamespace(register_detectors=register_detectors, register_rewriters=register_rewriters)
    toys = type("Toys", (), {k: staticmethod(v) for k, v in vars(toys).items()})
    return Registry(Plugins.of(toys=toys))


def documents(n=8):
    """In each split n pairs of the same text, but that the AI one says `moreover`."""
    return [
        Document(
            id=f"{split}-{label}-{i}",
            text=f"the {word}{split}{i} house",
            label=label,
            pair=f"{split}-{i}",
            split=split,
            group=("native", "non-native")[i % 2] if label == "human" else None,
        )
        for split in ("calibration", "train", "test")
        for label, word in (("human", ""), ("ai", "moreover "))
        for i in range(n)
    ]


def plan(out, texts=None, limit=None, **recipe):
    texts = texts or documents()
    given = Recipe(detectors=[Weighted(name="words", options=recipe.pop("options", {}))], **recipe)
    return Plan(
        recipe=given,
        corpus=Corpus(tuple(texts), "toy", "toy"),
        out=out,
        texts=limit or len(texts),
        resamples=40,
    )


def attacks(on="", against=""):
    return Attacks(
        seen=[Attack(name=n) for n in on.split()], unseen=[Attack(name=n) for n in against.split()]
    )


def run(out, on="shout", against="reverse", known=None, **changes):
    return harden(plan(out, **changes), known or registry(), "words", attacks(on, against), reporter(None))


def taught(out, folder="detector"):
    return json.loads(fitted(out / folder).read_text())


def detected(found, rewriter):
    (row,) = (row for row in found.defence if row.rewriter == rewriter)
    point = row.points[0]
    return row.met, point.before.value, point.after.value, point.change.value


def test_what_the_detector_did_not_read_is_said(tmp_path, monkeypatch):
    score = Words.score

    def shortened(self, texts):
        cut = [i for i, text in enumerate(texts) if "moreover" in text]
        return replace(
            score(self, texts),
            truncated=tuple(Truncation(index=i, read=1, total=None, unit="words") for i in cut),
        )

    monkeypatch.setattr(Words, "score", shortened)
    found = run(tmp_path / "out")
    # 8 AI texts each of calibration and test, not their rewrites
    assert [note for note in found.notes if "longer than words reads" in note] == [
        "16 of 64 texts are longer than words reads: its scores are those of their beginnings"
    ]


def test_seen_rewrites_are_caught_and_unseen_ones_are_not(tmp_path):
    found = run(tmp_path / "out")
    # `moreover` says AI; in capitals only to the detector that met it so, backwards to neither
    assert detected(found, "none") == ("original", 1.0, 1.0, 0.0)
    assert detected(found, "shout") == ("seen", 0.0, 1.0, 1.0)
    assert detected(found, "reverse") == ("unseen", 0.0, 0.0, 0.0)
    shout = next(row for row in found.defence if row.rewriter == "shout")
    assert (shout.auroc_before.value, shout.auroc_after.value, shout.auroc_change.value) == (0.5, 1.0, 0.5)
    assert shout.auroc_change.low < 0.5 < shout.auroc_change.high < 1.0
    assert shout.points[0].change.low is None, "eight calibration humans say too little about the threshold"
    assert any("n too small for 5 %" in note and "8 human texts" in note for note in found.notes)
    assert (shout.texts, shout.failed, shout.points[0].before.n) == (8, 0, 8)
    assert found == Hardening.read(tmp_path / "out")


def test_people_who_write_that_way_are_humans_after(tmp_path):
    found = run(tmp_path / "out")

    def rates(humans, rewriter):
        return {
            r.group: r.rate.value
            for r in humans.false_positives
            if r.rewriter == rewriter and r.target_fpr == found.target_fpr
        }

    nobody, everybody = (dict.fromkeys(("all", "native", "non-native"), share) for share in (0.0, 1.0))
    assert rates(found.humans_before, "none") == rates(found.humans_after, "none") == nobody
    assert rates(found.humans_before, "shout") == nobody
    assert rates(found.humans_after, "shout") == everybody
    assert rates(found.humans_after, "reverse") == nobody
    gaps = {(g.rewriter, g.group, g.reference, g.gap.value) for g in found.humans_after.fairness}
    assert ("shout", "non-native", "native", 0.0) in gaps


def test_groups_are_compared_at_equal_length_too(tmp_path):
    long = [replace(d, text=d.text + " and so on" * 30) if d.group == "native" else d for d in documents()]
    found = run(tmp_path / "out", texts=long)
    lengths = {(r.rewriter, r.words) for r in found.humans_after.false_positives}
    assert lengths == {("none", None), ("none", 3), ("shout", None), ("reverse", None)}


def test_what_the_detectors_are_trained_on(tmp_path):
    found = run(tmp_path / "out", on="shout reverse", against="")
    originals = [d for d in documents() if d.split == "train"]
    assert [(row["label"], row["text"]) for row in taught(tmp_path / "out", "before")] == [
        (d.label, d.text) for d in originals
    ]
    expected = {(d.label, d.text) for d in originals}
    expected |= {("ai", d.text.upper()) for d in originals if d.label == "ai"}
    expected |= {("ai", " ".join(w[::-1] for w in d.text.split())) for d in originals if d.label == "ai"}
    after = taught(tmp_path / "out")
    assert {(row["label"], row["text"]) for row in after} == expected
    assert len(after) == len({row["id"] for row in after}) == 32
    trained = found.trained_on
    assert (trained.human, trained.ai, trained.rewrites) == (8, 8, {"shout": 8, "reverse": 8})


SPLITS = st.sampled_from(["calibration", "train", "test"])


@given(
    extra=st.lists(
        st.tuples(SPLITS, st.sampled_from(["human", "ai", None]), st.integers(0, 5), st.integers(0, 9)),
        max_size=20,
    )
)
def test_no_text_that_belongs_to_another_split_is_trained_on(extra):
    drawn = [
        Document(id=f"x{i}", text=f"text {text}", label=label, pair=f"p{pair}" if pair else None, split=split)
        for i, (split, label, pair, text) in enumerate(extra)
    ]
    chosen, left_out = training_texts(drawn)
    elsewhere = [d for d in drawn if d.split != "train"]
    assert not {d.text for d in chosen} & {d.text for d in elsewhere}
    assert not {d.pair for d in chosen if d.pair} & {d.pair for d in elsewhere}
    assert all(d.label and d.split == "train" for d in chosen)
    assert left_out <= sum(d.split == "train" for d in drawn)
    if not elsewhere:
        assert left_out == 0


@pytest.mark.parametrize("limit", [None, 3])
def test_test_texts_are_never_rewritten_for_training(tmp_path, limit):
    shared = [
        *documents(),
        Document(id="leak", text="the moreover leak house", label="ai", pair="test-0", split="train"),
        Document(id="copy", text="the moreover  test1 house", label="ai", split="train"),
    ]
    shout = Each(str.upper)
    found = run(tmp_path / "out", texts=shared, known=registry(shout=shout), limit=limit)
    held_out = {" ".join(d.text.split()) for d in shared if d.split != "train"}
    after = {" ".join(row["text"].split()).lower() for row in taught(tmp_path / "out")}
    assert not after & held_out
    assert "the moreover leak house" not in after
    assert found.trained_on.left_out == 2
    assert found.trained_on.rewrites == {"shout": limit or 8}
    assert sum("train" in text for text in shout.given) == (limit or 8)


def test_texts_that_are_rewritten_are_of_every_kind(tmp_path):
    kinds = [
        replace(d, id=f"{kind}-{d.id}", text=f"{d.text} {kind}", pair=f"{kind}-{d.pair}")
        for kind in ("story", "news")
        for d in documents()
    ]
    shout = Each(str.upper)
    run(tmp_path / "out", texts=kinds, known=registry(shout=shout), limit=4)
    given = {(label, split) for label in ("", "moreover ") for split in ("train", "test")} - {("", "train")}
    counts = Counter(text.rpartition(" ")[2] for text in shout.given)
    assert counts == {"story": 2 * len(given), "news": 2 * len(given)}
    of_humans = [text for text in shout.given if "moreover" not in text]
    assert sorted(text.rpartition(" ")[2] for text in of_humans) == ["news", "news", "story", "story"]


def test_rates_of_rewritten_humans_are_of_those_that_were_rewritten(tmp_path):
    """The last four of eight test humans are of another group; two texts of each are rewritten."""
    last = [
        replace(d, group=("native", "non-native")[int(d.id.rpartition("-")[2]) >= 4])
        if d.label == "human"
        else d
        for d in documents()
    ]
    found = run(tmp_path / "out", texts=last, limit=4)
    counts = {
        (r.rewriter, r.group): r.rate.n
        for r in found.humans_after.false_positives
        if r.target_fpr == found.target_fpr and r.words is None
    }
    assert counts == {
        (rewriter, group): n if group == "all" else n // 2
        for rewriter, n in (("none", 8), ("shout", 4), ("reverse", 4))
        for group in ("all", "native", "non-native")
    }


def test_near_duplicates_of_other_splits_are_not_trained_on(tmp_path):
    tale = "the moreover house by the river was sold to a man who never came to see it again"
    near = [
        Document(id="near", text=f"{tale} after all", label="ai", split="train"),
        Document(id="tale", text=tale, label="ai", split="test"),
    ]
    found = run(tmp_path / "out", texts=[*documents(), *near])
    assert not {row["id"] for row in taught(tmp_path / "out", "before")} & {"near", "tale"}
    assert found.trained_on.left_out == 1
    assert any("1 train texts are left out" in note for note in found.notes)
    record = training_of(registry(), "words", {"folder": str(tmp_path / "out" / "detector")})
    assert record.texts.holds(["THE MOREOVER TRAIN0 HOUSE", "the test0 house", tale]) == [True, False, False]


def test_labels_that_disagree_with_the_train_split_write_no_calibration(tmp_path):
    other = {"human": "ai", "ai": "human"}
    swapped = [replace(d, label=other[d.label]) if d.split == "calibration" else d for d in documents(12)]
    with pytest.raises(DataError, match="the labels look swapped"):
        run(tmp_path / "out", texts=swapped)
    assert not (tmp_path / "out" / "calibration.json").exists()
    assert not (tmp_path / "out" / "results.json").exists()


def test_a_rewriter_consults_the_detector_before_hardening(tmp_path):
    given = replace(plan(tmp_path / "out"), run=tmp_path / "run")
    harden(given, registry(consults=Consults), "words", attacks("shout", "consults"), reporter(None))
    with sqlite3.connect(tmp_path / "out" / "cache" / "values.sqlite") as file:
        values = [json.loads(value) for (value,) in file.execute("SELECT value FROM saved")]
    thoughts = {value[0]["text"] for value in values if isinstance(value, list)}
    said = {text for text in thoughts if text.endswith(str(tmp_path / "run"))}
    assert len(said) == 2, "one P(AI) of texts with `moreover`, one of texts without"


def test_the_calibration_is_the_hardened_detectors_own(tmp_path):
    run(tmp_path / "out", options={"scale": 2.0})
    ensemble = load_ensemble(tmp_path / "out" / "calibration.json", registry(), Context())
    (member,) = ensemble.members
    assert member.calibration.options == {"scale": 2.0, "folder": str(tmp_path / "out" / "detector")}
    assert member.calibration.n_human == 8
    assert member.detector.score(["THE MOREOVER HOUSE", "the house"]).values.tolist() == [2.0, 0.0]


def test_a_rewriter_that_fails_in_the_comparison_is_a_row_that_says_why(tmp_path):
    found = run(tmp_path / "out", against="nothing partly")
    nothing, partly = found.defence[2:]
    assert (nothing.texts, nothing.failed, nothing.points[0].after.value) == (8, 8, None)
    assert "no model at /nowhere" in nothing.failure
    assert "no model at /nowhere" in next(r.failure for r in found.rewriters if r.name == "nothing")
    # of 0 .. 7 the even ones fail, and of 1 nothing is left to score
    assert (partly.texts, partly.failed, partly.points[0].after.n) == (8, 5, 3)
    assert partly.failure == "partly: an even number"


def test_train_texts_without_a_rewrite_are_counted(tmp_path):
    found = run(tmp_path / "out", on="partly", against="shout")
    assert found.trained_on.rewrites == {"partly": 3}
    assert found.trained_on.failed == {"partly": 5}


def test_an_interrupted_hardening_goes_on_with_its_rewrites(tmp_path):
    class Stops(Each):
        def rewrite(self, texts, n, seed):
            if any("test" in t for t in texts):
                raise KeyboardInterrupt
            return super().rewrite(texts, n, seed)

    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "out", known=registry(shout=Stops(str.upper)))
    assert not (tmp_path / "out" / "results.json").exists()
    again = Each(str.upper)
    resumed = run(tmp_path / "out", known=registry(shout=again))
    assert not any("train" in text for text in again.given)
    straight = run(tmp_path / "straight")
    apart = {"seconds": 0.0}
    assert resumed.model_copy(update=apart) == straight.model_copy(update=apart)
    assert taught(tmp_path / "out") == taught(tmp_path / "straight")


@pytest.mark.parametrize(
    ("on", "against", "message"),
    [
        ("shout", "reverse shout", "shout cannot be both trained on and unseen"),
        ("shout", "toys/shout", "shout cannot be both trained on and unseen"),
        ("", "shout", "needs a rewriter to train on"),
        ("shout shout", "reverse", "shout given twice"),
    ],
)
def test_rewriters_that_would_show_nothing_are_refused(tmp_path, on, against, message):
    with pytest.raises(UsageError, match=message):
        run(tmp_path / "out", on=on, against=against)
    assert not (tmp_path / "out").exists()


def test_another_strength_of_a_seen_rewriter_is_not_unseen():
    for another in (
        Attack(name="shout", label="louder"),
        Attack(name="reverse", options={"after": {"name": "shout", "options": {}}}),
    ):
        with pytest.raises(UsageError, match="shout cannot be both"):
            Attacks(seen=[Attack(name="shout")], unseen=[another]).check(registry())


def test_a_detector_that_is_not_trained_is_refused(tmp_path):
    with pytest.raises(UsageError, match="fixed needs no training") as caught:
        harden(plan(tmp_path), registry(), "fixed", attacks("shout"), reporter(None))
    assert caught.value.hint == "trainable detectors: words"


def test_nothing_to_train_on_is_refused(tmp_path):
    with pytest.raises(
        EvaluationError, match="no text could be rewritten with nothing: no model at /nowhere"
    ):
        run(tmp_path / "out", on="nothing")


@pytest.mark.parametrize(
    ("split", "label", "message"),
    [
        ("train", "human", "texts of both labels in its train split"),
        ("test", "ai", "0 AI texts in its test split"),
        ("calibration", "human", "0 human texts in its calibration split"),
    ],
)
def test_data_that_lack_texts_are_refused(tmp_path, split, label, message):
    left = [d for d in documents() if (d.split, d.label) != (split, label)]
    with pytest.raises(EvaluationError, match=message):
        run(tmp_path / "out", texts=left)


@pytest.mark.parametrize("name", ["results.json", "notes.txt"])
def test_a_folder_that_holds_something_is_left_alone(tmp_path, name):
    (tmp_path / name).write_text("mine")
    with pytest.raises(EvaluationError, match="holds") as caught:
        run(tmp_path)
    assert caught.value.hint == "choose another --out"
    assert [p.name for p in tmp_path.iterdir()] == [name]
