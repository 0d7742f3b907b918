"""`best-of-n` and `recursive`, around rewriters whose answers are known."""

from __future__ import annotations

import itertools
from types import SimpleNamespace

import numpy as np
import pytest
from paraphrase_rl_plugins.rewriters import best_of_n, recursive

from paraphrase_rl.errors import CalibrationError
from paraphrase_rl.plugin import hookimpl
from paraphrase_rl.plugin.discovery import Plugins
from paraphrase_rl.plugin.protocols import Judgement
from paraphrase_rl.plugin.registry import Registry
from paraphrase_rl.plugin.specs import Context, NoOptions, Options, RewriterSpec
from paraphrase_rl.types import Failure, Rewrite, Scores, Terms
from tests.rewards.samples import TableEnsemble
from tests.rewriters.fakes import Scripted


def contained(function, **named):
    """A rewriter by a function, as the nested one."""
    return Scripted(function, **named)


def similarity(table):
    """Cosine by rewrite, NaN for one that is not known; a rewrite that is not in the table is a perfect one."""

    def rate(batch):
        cosines = np.array([table.get(text, 1.0) for text in batch.rewrites])
        unknown = np.flatnonzero(np.isnan(cosines))
        return Terms(
            cosines, tuple(Failure(index=int(i), owner="x", kind="too-short", message="m") for i in unknown)
        )

    return rate


def gate(refused):
    """A gate that refuses these rewrites."""
    return lambda batch: Terms(np.array([float(text not in refused) for text in batch.rewrites]))


def best(inner, p_ai, alike=None, candidates=3, refused=()):
    return best_of_n.BestOfN(
        inner, TableEnsemble(p_ai), gate(refused), similarity(alike or {}), candidates, min_similarity=0.88
    )


def candidates():
    """A rewriter whose first call answers a0, the second a1, and so on."""
    calls = itertools.count()
    inner = Scripted(lambda text, sample, seed: f"{text}{inner.call}")
    first = inner.rewrite

    def rewrite(texts, n, seed):
        inner.call = next(calls)
        return first(texts, n, seed)

    inner.rewrite = rewrite
    return inner


def test_the_candidate_with_the_lowest_p_ai_is_taken():
    chooser = best(candidates(), {"a0": 0.9, "a1": 0.2, "a2": 0.4, "b0": 0.1, "b1": 0.3, "b2": 0.1})
    assert chooser.rewrite(["a", "b"], 1, 0) == [[Rewrite(text="a1")], [Rewrite(text="b0")]]


def test_one_that_lost_the_meaning_loses_to_every_one_that_kept_it():
    p_ai = {"a0": 0.9, "a1": 0.2, "a2": 0.4}
    assert best(candidates(), p_ai, {"a1": 0.879}).rewrite(["a"], 1, 0) == [[Rewrite(text="a2")]]
    assert best(candidates(), p_ai, {"a1": 0.88}).rewrite(["a"], 1, 0) == [[Rewrite(text="a1")]]
    lost = dict.fromkeys(p_ai, 0.1)
    assert best(candidates(), p_ai, lost).rewrite(["a"], 1, 0) == [[Rewrite(text="a1")]]


def test_where_none_kept_the_meaning_the_closest_is_taken():
    p_ai = {"a0": 0.9, "a1": 0.2, "a2": 0.4}
    alike = {"a0": 0.6, "a1": 0.1, "a2": float("nan")}
    assert best(candidates(), p_ai, alike).rewrite(["a"], 1, 0) == [[Rewrite(text="a0")]]
    unknown = dict.fromkeys(p_ai, float("nan"))
    assert best(candidates(), p_ai, unknown).rewrite(["a"], 1, 0) == [[Rewrite(text="a1")]]


def keeping(least, answers, p_ai, alike=None):
    """The best of these answers to one text with three facts: the number 12, the name Vienna and a negation."""
    written = iter(answers)
    chooser = best_of_n.BestOfN(
        Scripted(lambda text, sample, seed: next(written)),
        TableEnsemble(dict(zip(answers, p_ai, strict=True))),
        gate(()),
        similarity(alike or {}),
        len(answers),
        min_similarity=0.88,
        min_facts_kept=least,
    )
    return chooser.rewrite(["He has not seen all 12 of them in Vienna."], 1, 0)[0][0].text


def test_one_that_lost_the_facts_loses_to_every_one_that_kept_enough():
    two, all_three, none = "In Vienna he saw 12.", "12 in Vienna, not more.", "He saw them."
    p_ai = [0.5, 0.9, 0.1]
    assert keeping(0.0, [two, all_three, none], p_ai) == none
    assert keeping(0.6, [two, all_three, none], p_ai) == two
    assert keeping(0.8, [two, all_three, none], p_ai) == all_three
    assert keeping(1.0, [two, none], [0.5, 0.1]) == two
    # what is lacking of meaning and of facts is added up: .10 and .33 of the one, .5 and 0 of the other
    assert keeping(1.0, [two, all_three], [0.9, 0.1], {two: 0.78, all_three: 0.38}) == two


def test_a_text_without_facts_loses_none():
    assert best_of_n.facts_kept("He saw them.", "They were seen by him in 1999.") == 1.0
    assert best_of_n.facts_kept("He saw 3 of 4.", "He saw 3.") == 0.5


@pytest.mark.parametrize("combine", ["mean", "worst-case"])
def test_a_candidate_that_a_detector_cannot_read_gains_nothing(combine):
    ensemble = TableEnsemble({})
    unreadable = Failure(index=0, owner="strict", kind="too-short", message="m")
    strict, lenient = Scores(np.array([np.nan, 0.6]), (unreadable,)), Scores(np.array([0.3, 0.4]))

    def judge(texts):
        assert texts == ["a0", "a1"]
        return Judgement(
            probabilities={"strict": strict, "lenient": lenient},
            combined=Scores(np.array([0.3, 0.5])),
            below={},
            weights={"strict": 3.0, "lenient": 1.0},
            powers={},
            combine=combine,
        )

    ensemble.judge = judge
    expected = [1.0, 0.6] if combine == "worst-case" else [(3 + 0.3) / 4, (3 * 0.6 + 0.4) / 4]
    np.testing.assert_allclose(judge(["a0", "a1"]).highest, expected)
    chooser = best_of_n.BestOfN(candidates(), ensemble, gate(()), similarity({}), 2, min_similarity=0.0)
    chosen = chooser.rewrite(["a"], 1, 0)
    assert chosen == [[Rewrite(text="a1")]]


def test_what_is_not_a_complete_rewrite_loses_to_every_one_that_is():
    p_ai = {"a0": 0.9, "a1": 0.2, "a2": 0.4}
    assert best(candidates(), p_ai, {"a2": 0.5}, refused={"a1"}).rewrite(["a"], 1, 0) == [
        [Rewrite(text="a0")]
    ]
    assert best(candidates(), p_ai, {"a0": 0.5}, refused={"a1", "a2"}).rewrite(["a"], 1, 0) == [
        [Rewrite(text="a0")]
    ]
    assert best(candidates(), p_ai, refused=set(p_ai)).rewrite(["a"], 1, 0) == [[Rewrite(text="a1")]]


def test_every_rewrite_is_the_best_of_candidates_of_its_own():
    p_ai = {"a0": 0.9, "a1": 0.2, "a2": 0.4, "a3": 0.8, "a4": 0.7, "a5": 0.9}
    chooser = best(candidates(), p_ai)
    assert chooser.rewrite(["a"], 2, 0) == [[Rewrite(text="a1"), Rewrite(text="a4")]]
    assert len(set(chooser.inner.seeds)) == 6
    alone = best(candidates(), p_ai)
    assert alone.rewrite(["a"], 1, 0) == [[Rewrite(text="a1")]]
    assert alone.inner.seeds == chooser.inner.seeds[:3]


def test_failures_stand_where_they_happened():
    chooser = best(candidates(), {"a0": 0.5, "a2": 0.6})
    first, refused, unscored, last = chooser.rewrite(["a", "FAIL", "b", "a"], 1, 0)
    assert first == last == [Rewrite(text="a0")]
    assert (refused.index, refused.kind) == (1, "refused")
    assert (unscored.index, unscored.kind) == (2, "too-short")
    assert best(candidates(), {}).rewrite(["FAIL"], 1, 0)[0].kind == "refused"
    assert best(candidates(), {}).rewrite([], 1, 0) == []


def test_a_candidate_that_fails_costs_itself():
    inner = candidates()
    whole = inner.rewrite

    def sometimes(texts, n, seed):
        found = whole(texts, n, seed)
        return [Failure(index=0, owner="x", kind="empty-rewrite", message="m")] if inner.call == 1 else found

    inner.rewrite = sometimes
    chooser = best(inner, {"a0": 0.5, "a1": 0.1, "a2": 0.4})
    assert chooser.rewrite(["a"], 1, 0) == [[Rewrite(text="a2")]]


def appended(text, sample, seed):
    return f"{text}+"


def test_recursion_rewrites_the_rewrite():
    rewriter = recursive.Recursive(contained(appended), 3)
    assert rewriter.rewrite(["a", "b"], 2, 0) == [
        [Rewrite(text="a+++"), Rewrite(text="a+++")],
        [Rewrite(text="b+++"), Rewrite(text="b+++")],
    ]


def test_every_round_of_every_chain_has_noise_of_its_own():
    inner = contained(appended)
    recursive.Recursive(inner, 3).rewrite(["a"], 2, 7)
    assert len(set(inner.seeds)) == 6
    again = contained(appended)
    recursive.Recursive(again, 3).rewrite(["b", "c"], 1, 7)
    assert again.seeds == inner.seeds[:3]


def test_a_broken_chain_names_its_round_and_costs_its_text():
    broken = contained(lambda text, sample, seed: "FAIL" if text == "a" else text + "+")
    failed, whole = recursive.Recursive(broken, 3).rewrite(["a", "b"], 1, 0)
    assert (failed.index, failed.kind, failed.message) == (0, "refused", "round 2 of 3: no")
    assert whole == [Rewrite(text="b+++")]


def test_a_rewrite_cut_on_its_way_is_not_finished():
    inner = contained(appended, finished=lambda text: text != "a+")
    assert recursive.Recursive(inner, 3).rewrite(["a"], 1, 0) == [[Rewrite(text="a+++", finished=False)]]


# ---- how they are built


class ToyOptions(Options):
    mark: str = "?"


def toys(*names):
    @hookimpl
    def register_rewriters():
        return [
            RewriterSpec(
                name=name,
                summary="toy",
                options=ToyOptions if name == "toy" else NoOptions,
                factory=lambda options, context, name=name: Scripted(
                    lambda text, sample, seed: f"{text}{getattr(options, 'mark', name)}"
                ),
            )
            for name in names
        ]

    return SimpleNamespace(register_rewriters=register_rewriters)


@pytest.fixture
def registry(monkeypatch):
    holder = type(
        "Toys", (), {"register_rewriters": staticmethod(toys("toy", "policy", "prompted").register_rewriters)}
    )
    made = Registry(Plugins.of(toys=holder, recursive=recursive, best=best_of_n))
    monkeypatch.setattr("paraphrase_rl.plugin.registry.default_registry", lambda: made)
    return made


def test_the_one_inside_is_named_with_its_options(registry):
    options = {"rewriter": {"name": "toy", "options": {"mark": "!"}}, "times": 2}
    assert registry.build("rewriters", "recursive", options).rewrite(["a"], 1, 0) == [[Rewrite(text="a!!")]]


def test_by_default_it_is_the_runs_policy_or_prompted(registry, tmp_path):
    alone = registry.build("rewriters", "recursive", {"times": 1})
    of_run = registry.build("rewriters", "recursive", {"times": 1}, Context(run=tmp_path))
    assert alone.rewrite(["a"], 1, 0) == [[Rewrite(text="aprompted")]]
    assert of_run.rewrite(["a"], 1, 0) == [[Rewrite(text="apolicy")]]


def test_without_an_ensemble_there_is_nothing_to_choose_by(registry):
    with pytest.raises(CalibrationError, match="needs a calibrated ensemble, and there is none") as error:
        registry.build("rewriters", "best-of-n")
    assert "--calibration FILE" in error.value.hint


def test_a_crash_inside_costs_its_text(registry, monkeypatch):
    rewriter = registry.build("rewriters", "recursive", {"rewriter": {"name": "toy"}, "times": 1})

    def crashing(texts, n, seed):
        if "BAD" in texts:
            raise RuntimeError("boom")
        return [[Rewrite(text=text)] for text in texts]

    monkeypatch.setattr(rewriter.component.inner._rewriter.component, "rewrite", crashing)
    good, crashed = rewriter.rewrite(["a", "BAD"], 1, 0)
    assert good == [Rewrite(text="a")]
    assert isinstance(crashed, Failure)
    assert (crashed.index, crashed.kind, crashed.owner) == (1, "crashed", "toy")
