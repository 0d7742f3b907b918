"""The plan of a warm-up, and what keeps it from being carried out."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from paraphrase_rl.data.documents import Corpus
from paraphrase_rl.plugin.registry import default_registry
from paraphrase_rl.preflight import cost, schedule, trial, warmup
from paraphrase_rl.preflight.case import Case
from paraphrase_rl.preflight.cost import hours_at
from paraphrase_rl.preflight.findings import Rule
from paraphrase_rl.recipe.arithmetic import Workload
from paraphrase_rl.recipe.cost import TEMPLATE_TOKENS, TOKENS_PER_WORD, Passes, bill
from paraphrase_rl.recipe.loading import load_recipe
from paraphrase_rl.types import Document
from tests.preflight.planted import TRIAL


def corpus(n: int) -> Corpus:
    """``n`` human texts of two sentences to train on, one that is also a calibration text."""
    human = [
        Document(id=f"h{i}", text=f"Number {i} of all. It goes on here.", label="human", split="train")
        for i in range(n)
    ]
    twice = [
        Document(id=s, text="Seen by both splits.", label="human", split=s) for s in ("train", "calibration")
    ]
    ai = [Document(id=f"a{i}", text="By a model.", label="ai", split="train") for i in range(4)]
    return Corpus((*human, *twice, *ai), "made-up", "")


def findings(changes: dict[str, Any], texts: Corpus, backend: str = "trl") -> dict[str, str]:
    case = Case(
        loaded=load_recipe("quickstart", {f"warmup.{k}": v for k, v in changes.items()}),
        registry=default_registry(),
        corpus=texts,
        backend=backend,
    )
    return {found.code: found.evidence for found in warmup.check(case)}


INVERSE = {"method": "inverse-paraphrase", "min_words": 1, "max_words": 12}


def test_the_plan_counts_texts_rollouts_and_steps() -> None:
    found = findings(INVERSE, corpus(250))
    assert found == {
        "PRL160": "inverse-paraphrase: 250 human excerpts x 4 candidates = 1,000 rollouts; "
        "at most 32 steps of 16 pairs, 2 epochs"
    }
    split = findings({**INVERSE, "max_words": 10, "min_words": 4, "texts": 300}, corpus(250))
    assert "250 human excerpts" in split["PRL160"], (
        "a sentence more does not fit; the second one alone is everybody's"
    )


def test_a_recipe_without_one_says_nothing() -> None:
    assert findings({}, corpus(3)) == {}


def test_few_and_no_texts() -> None:
    assert set(findings(INVERSE, corpus(20))) == {"PRL160", "PRL163"}
    assert set(findings(INVERSE, corpus(0))) == {"PRL162"}, "what calibration has too is not used"
    assert set(findings({**INVERSE, "min_words": 90, "max_words": 100}, corpus(20))) == {"PRL162"}


def test_given_pairs_are_counted_without_those_left_out(tmp_path: Path) -> None:
    path = tmp_path / "pairs.jsonl"
    path.write_text(
        '{"source": "a", "target": "b", "why": ""}\n{"source": "c", "target": "d", "why": "format 0"}\n'
    )
    found = findings({"method": "pairs", "path": str(path)}, corpus(3))
    assert found["PRL160"] == "pairs: 1 given pairs; at most 2 steps of 16 pairs, 2 epochs"
    assert set(findings({"method": "pairs", "path": str(tmp_path / "no")}, corpus(3))) == {"PRL162"}


def test_keys_without_effect_are_named_in_one_finding_where_they_are_set(tmp_path: Path) -> None:
    path = tmp_path / "pairs.jsonl"
    path.write_text('{"source": "a", "target": "b"}\n')
    chosen = {
        "temperature": 0.5,
        "max_words": 60,
        "min_rewards": {"format": 0.1},
        "max_length_ratio": 3.0,
        "candidates": 4,
        "epochs": 3,
    }
    given = findings({"method": "pairs", "path": str(path), **chosen}, corpus(3))
    assert given["PRL164"] == (
        "without effect with warmup.method pairs: max_words, temperature, min_rewards, max_length_ratio"
    ), "4 candidates are the default, and epochs count"
    best = findings({"method": "best-of-n", **chosen}, corpus(3))
    assert best["PRL164"] == "without effect with warmup.method best-of-n: max_words, temperature"
    assert "PRL164" not in findings({"method": "inverse-paraphrase", **chosen}, corpus(250))
    assert "PRL164" not in findings({"method": "pairs", "path": str(path)}, corpus(3))


def test_a_backend_that_carries_out_none_is_refused() -> None:
    spec = default_registry().spec("backends", "trl")
    object.__setattr__(spec, "warmup", False)
    try:
        assert "PRL161" in findings(INVERSE, corpus(250))
    finally:
        object.__setattr__(spec, "warmup", True)


def test_the_plan_has_the_evaluation_after_it() -> None:
    """Of 12 held-out texts, each rewritten twice."""
    held_out = tuple(Document(id=f"t{i}", text="By one.", label="ai", split="test") for i in range(12))
    texts = replace(corpus(250), documents=(*corpus(250).documents, *held_out))
    evaluation = {"evaluation.prompts": 12, "evaluation.samples": 2, "evaluation.every": 100}
    found = []
    for method in (None, "inverse-paraphrase"):
        changes = evaluation | {"training.batch_size": 1, "training.max_steps": 3, "warmup.method": method}
        loaded = load_recipe("quickstart", changes)
        case = Case(loaded=loaded, registry=default_registry(), corpus=texts, backend="trl")
        found += [one.evidence for one in schedule.check(case) if one.code == schedule.EVALUATIONS.code]
    assert found == [
        "0 (every 100 steps), and one before and after; 48 rewrites",
        "0 (every 100 steps), and one before and after, one after the warm-up; 72 rewrites",
    ]


def timed(changes: dict[str, Any], **known: Any) -> Case:
    """Two steps of 8 rollouts, of 4 AI texts of 3 words; 250 human texts of 8 words."""
    steps = {"training.batch_size": 2, "training.group_size": 4, "training.max_steps": 2}
    given = steps | {"evaluation.prompts": 1, "warmup.candidates": 3} | changes
    loaded = load_recipe("quickstart", given)
    return Case(loaded=loaded, registry=default_registry(), corpus=corpus(250), backend="trl", **known)


def told(case: Case, rule: Rule) -> str:
    [found] = [one.evidence for one in cost.check(case) if one.code == rule.code]
    return found


def test_its_time_is_that_of_the_steps_with_its_tokens() -> None:
    """By hand: 3 candidates and 2 epochs of 250 pairs, each batch read again before one checkpoint in 20."""
    changes = {f"warmup.{k}": v for k, v in INVERSE.items()}
    case = timed(changes, seconds_per_step=36, hourly=2.0)
    prompt = case.recipe.prompt
    head = (len(prompt.system.split()) + len(prompt.instruction.split())) * TOKENS_PER_WORD + TEMPLATE_TOKENS
    human, ai = 8 * TOKENS_PER_WORD, 3 * TOKENS_PER_WORD
    again = 1 + 1 / case.recipe.warmup.checkpoint_every
    its_own = 250 * 3 * human + 250 * 2 * (head + 2 * human) * again
    steps = its_own / (8 * (ai + head + 2 * ai))
    assert steps > 50
    hours = (2 + steps) * 36 / 3600
    assert told(case, cost.HOURS) == (
        f"{hours:.1f} at 36 s per step; the warm-up counts as {steps:,.1f} steps, by its tokens"
    )
    assert told(case, cost.COST).startswith(f"{2 * hours:,.2f} at 2 an hour")
    assert hours_at(case, 36) == pytest.approx(hours)
    [tried] = [one.evidence for one in trial.findings(TRIAL, case) if one.code == trial.STEP.code]
    assert f"7.2 s per step, {hours * 7.2 / 36:.1f} hours in all" in tried
    limit = case.recipe.sampling.max_tokens
    sampled = (2 * 8 + 250 * 3) * limit
    assert told(case, cost.TOKENS) == f"at most {sampled / 1e6:,.1f} million tokens sampled"
    without = timed({}, seconds_per_step=36)
    assert told(without, cost.HOURS) == f"{2 * 36 / 3600:.1f} at 36 s per step"


def test_pairs_that_cannot_be_read_leave_the_hours_without_them(tmp_path: Path) -> None:
    """Given ones are trained on, and none is sampled."""
    path = tmp_path / "pairs.jsonl"
    changes = {"warmup.method": "pairs", "warmup.path": str(path)}
    assert told(timed(changes, seconds_per_step=36), cost.HOURS).endswith("; without the warm-up")
    path.write_text('{"source": "one two", "target": "three four"}\n' * 100)
    case = timed(changes, seconds_per_step=36)
    assert "; the warm-up counts as " in told(case, cost.HOURS)
    assert told(case, cost.TOKENS) == told(timed({}), cost.TOKENS)


def test_its_tokens_are_billed() -> None:
    recipe = load_recipe("quickstart", {f"warmup.{k}": v for k, v in INVERSE.items()}).recipe
    work, passes = Workload(0, 0, 0, 0), Passes(prefill=1, train=2)
    texts = ["one two three"] * 10
    with_one = bill(recipe, work, passes, (), (), texts)
    prompt = recipe.prompt
    head = (len(prompt.system.split()) + len(prompt.instruction.split())) * TOKENS_PER_WORD + TEMPLATE_TOKENS
    each = 3 * TOKENS_PER_WORD
    assert with_one.expected.sample == pytest.approx(10 * 4 * each)
    assert with_one.most.sample == pytest.approx(10 * 4 * recipe.sampling.max_tokens)
    assert with_one.expected.prefill == pytest.approx(10 * 4 * (head + each))
    once = 10 * 2 * (head + 2 * each)
    assert with_one.expected.train == pytest.approx(once * (1 + 1 / recipe.warmup.checkpoint_every))
    most = 10 * 2 * (head + each + recipe.sampling.max_tokens)
    assert with_one.most.train == pytest.approx(2 * most), "half of a pair may be as long as a rewrite"
    given = recipe.model_copy(update={"warmup": recipe.warmup.model_copy(update={"method": "pairs"})})
    assert bill(given, work, passes, (), (), texts).expected.sample == 0.0
