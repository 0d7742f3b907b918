"""Each criterion on a run written by hand: it passes, it fails, it is not measured, and says why."""

from __future__ import annotations

import json
import math
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from paraphrase_rl.acceptance.criteria import VerdictLine, at_least, at_most
from paraphrase_rl.acceptance.run_criteria import largest_drop
from paraphrase_rl.acceptance.verdict import CRITERIA, Verdict, validate_run
from paraphrase_rl.detection.calibration import CalibrationSet
from paraphrase_rl.detection.calibration_texts import CalibrationTexts
from paraphrase_rl.detection.fitting import fit_calibration
from paraphrase_rl.errors import EvaluationError, PrlError, RecipeError, RunError
from paraphrase_rl.evaluation.results import DetectorInfo, RewriterInfo
from paraphrase_rl.files import append_jsonl, read_jsonl, write_jsonl
from paraphrase_rl.recipe.schema import Acceptance
from paraphrase_rl.runs.directory import RunDirectory
from paraphrase_rl.runs.ledger import digests_of
from paraphrase_rl.statistics.records import Estimate
from paraphrase_rl.types import Scores
from tests.acceptance import accepted
from tests.acceptance.accepted import metrics, results, write_all, write_run


def lines(run: Path, **kwargs: Any) -> dict[str, VerdictLine]:
    return {line.criterion: line for line in validate_run(run, **kwargs).lines}


def changed(metric: str, values: dict[int, float | None]) -> list[dict[str, Any]]:
    rows = metrics()
    for row in rows:
        if row["step"] in values:
            row["metrics"][metric] = values[row["step"]]
    return rows


# ---- the whole


def test_a_run_that_meets_everything_is_accepted(tmp_path: Path) -> None:
    run = write_all(tmp_path / "run")
    verdict = validate_run(run)
    assert verdict.accepted
    assert [line.criterion for line in verdict.lines] == list(CRITERIA)
    assert {line.verdict for line in verdict.lines} == {"pass"}
    assert (verdict.status, verdict.steps, verdict.checkpoint) == ("completed", 12, 12)
    assert verdict.evaluation == str(run / "evaluation")


def test_every_criterion_with_a_bound_is_named_as_in_the_recipe() -> None:
    bounds = {name for name, field in Acceptance.model_fields.items() if field.annotation is float}
    assert CRITERIA.keys() == bounds | {"checkpoints"}


def test_without_an_evaluation_its_lines_are_not_measured_and_name_the_command(tmp_path: Path) -> None:
    run = write_run(tmp_path / "my run")
    verdict = validate_run(run)
    assert not verdict.accepted
    assert verdict.criteria("not measured") == ["attack_success_rate", "meaning", "fairness_gap"]
    assert verdict.criteria("fail") == []
    for line in verdict.lines[:3]:
        assert f"prl evaluate '{run}'" in line.note
        assert line.value is None


def test_bounds_come_from_the_run_unless_given(tmp_path: Path) -> None:
    run = write_all(tmp_path / "run", recipe="acceptance:\n  attack_success_rate: 0.75\n")
    found = lines(run)["attack_success_rate"]
    assert (found.bound, found.verdict) == (">= 0.75", "fail")
    given = lines(run, acceptance=Acceptance(attack_success_rate=0.7))["attack_success_rate"]
    assert (given.bound, given.verdict) == (">= 0.7", "pass"), "at its bound it passes"


def test_it_is_kept_and_read_back(tmp_path: Path) -> None:
    run = write_all(tmp_path / "run")
    with pytest.raises(EvaluationError, match="has no verdict"):
        Verdict.read(run)
    verdict = validate_run(run)
    verdict.write(run)
    assert Verdict.read(run) == verdict
    (run / "verdict.json").write_text((run / "verdict.json").read_text()[:-20])
    with pytest.raises(EvaluationError, match="cannot read") as caught:
        Verdict.read(run)
    assert "prl validate" in caught.value.hint


# ---- value, interval, certainty

VALUES = st.floats(0, 1)


@given(VALUES, VALUES, VALUES, VALUES)
def test_the_value_decides_and_the_interval_says_how_surely(
    bound: float, a: float, b: float, c: float
) -> None:
    low, value, high = sorted((a, b, c))
    estimate = Estimate(value=value, low=low, high=high, n=9)
    least, most = at_least("x", bound, estimate, ""), at_most("x", bound, estimate, "")
    assert (least.verdict == "pass") == (value >= bound)
    assert (most.verdict == "pass") == (value <= bound)
    # sure = every number of the interval would get the same verdict
    inside = np.linspace(low, high, 7).clip(low, high)
    assert least.certain == (len({x >= bound for x in inside}) == 1)
    assert most.certain == (len({x <= bound for x in inside}) == 1)


def test_without_an_interval_certainty_is_unknown() -> None:
    assert at_least("x", 0.5, Estimate(value=0.6, n=1), "").certain is None
    assert at_least("x", 0.5, None, "").verdict == "not measured"
    assert at_least("x", 0.5, Estimate(value=None, n=0), "").certain is None


# ---- what an evaluation answers


@pytest.mark.parametrize(
    ("estimate", "verdict", "certain"),
    [
        (Estimate(value=0.7, low=0.62, high=0.8, n=40), "pass", True),
        (Estimate(value=0.7, low=0.5, high=0.8, n=40), "pass", False),
        (Estimate(value=0.5, low=0.4, high=0.7, n=40), "fail", False),
        (Estimate(value=0.3, low=0.2, high=0.4, n=40), "fail", True),
        (Estimate(value=0.7, n=1), "pass", None),
    ],
)
def test_attack_success(tmp_path: Path, estimate: Estimate, verdict: str, certain: bool | None) -> None:
    found = lines(write_all(tmp_path / "run", results(success=estimate)))["attack_success_rate"]
    assert (found.value, found.low, found.high) == (estimate.value, estimate.low, estimate.high)
    assert (found.verdict, found.certain) == (verdict, certain)
    assert f"of {estimate.n} texts the ensemble flagged before" in found.note
    assert "0.20 before, 0.68 after" in found.note, "raw 1 - TPR, so that it is not taken for success"
    assert ("n too small" in found.note) == (estimate.low is None)


def test_success_of_another_rewriter_or_rate_does_not_count(tmp_path: Path) -> None:
    nothing = results(labels=("prompted",))
    assert lines(write_all(tmp_path / "a", nothing))["attack_success_rate"].verdict == "not measured"
    other_rate = lines(write_all(tmp_path / "b", recipe="calibration:\n  target_fpr: 0.03\n"))
    assert "no result of the ensemble at rate 0.03" in other_rate["attack_success_rate"].note
    assert lines(write_all(tmp_path / "c", recipe="calibration:\n  target_fpr: 0.01\n"))[
        "attack_success_rate"
    ].value == pytest.approx(0.1)


def test_why_there_is_no_success(tmp_path: Path) -> None:
    undetected = results(success=Estimate(value=None, n=0))
    assert (
        "flagged no text before" in lines(write_all(tmp_path / "a", undetected))["attack_success_rate"].note
    )
    crashed = results(
        cells=(accepted.cell("policy", Estimate(value=None, n=0), points=(), failure="out of memory"),)
    )
    assert "out of memory" in lines(write_all(tmp_path / "b", crashed))["attack_success_rate"].note
    unbuilt = results(
        rewriters=(RewriterInfo(label="policy", name="policy", of_run=True, failure="no such adapter"),)
    )
    for criterion in ("attack_success_rate", "meaning"):
        assert "no such adapter" in lines(write_all(tmp_path / "c", unbuilt))[criterion].note
    some = results(cells=(accepted.cell("policy", Estimate(value=0.7, n=40), failed=3, failure="too short"),))
    found = lines(write_all(tmp_path / "d", some))["attack_success_rate"]
    assert found.verdict == "pass"
    assert "3 of 50 rewrites failed (too short)" in found.note


def test_meaning(tmp_path: Path) -> None:
    passed = lines(write_all(tmp_path / "a"))["meaning"]
    assert (passed.value, passed.verdict, passed.certain) == (0.9, "pass", True)
    assert "numbers kept 0.75" in passed.note
    low = results(similarity=Estimate(value=0.87, low=0.86, high=0.89, n=50))
    failed = lines(write_all(tmp_path / "b", low))["meaning"]
    assert (failed.verdict, failed.certain) == ("fail", False)
    missing = lines(write_all(tmp_path / "c", results(quality=())))["meaning"]
    assert missing.verdict == "not measured"
    assert "prl evaluate" in missing.note


def test_the_fairness_gap_is_that_at_equal_length_of_clean_texts(tmp_path: Path) -> None:
    found = lines(write_all(tmp_path / "a"))["fairness_gap"]
    assert (found.value, found.low, found.high, found.verdict) == (0.03, 0.01, 0.06, "pass")
    assert "all cut to 60 words" in found.note
    assert "deployed threshold: gap 0.020, non-native 0.070 (n = 20), native 0.050 (n = 30)" in found.note
    assert "threshold of native alone: gap 0.030, non-native 0.080 (n = 20), native 0.060" in found.note
    whole = results(fairness=(accepted.gap(None, Estimate(value=0.3, low=0.05, high=0.4, n=50)),))
    failed = lines(write_all(tmp_path / "b", whole))["fairness_gap"]
    assert (failed.value, failed.verdict, failed.certain) == (0.3, "fail", False)
    assert "whole texts, whose lengths may differ" in failed.note
    reverse = [accepted.gap(60, Estimate(value=-0.2, n=50), threshold=of) for of in ("deployed", "reference")]
    found = lines(write_all(tmp_path / "c", results(fairness=tuple(reverse))))["fairness_gap"]
    assert (found.value, found.verdict) == (-0.2, "pass")


@pytest.mark.parametrize(("deployed", "own"), [(0.003, 0.33), (0.33, 0.003)])
def test_the_worse_of_the_two_thresholds_is_judged(tmp_path: Path, deployed: float, own: float) -> None:
    both = (
        accepted.gap(None, Estimate(value=deployed, n=50)),
        accepted.gap(None, Estimate(value=own, n=50), threshold="reference"),
    )
    found = lines(write_all(tmp_path / "a", results(fairness=both)))["fairness_gap"]
    assert (found.value, found.verdict) == (0.33, "fail")
    assert f"deployed threshold: gap {deployed:.3f}" in found.note
    assert f"threshold of native alone: gap {own:.3f}" in found.note
    alone = lines(write_all(tmp_path / "b", results(fairness=both[:1])))["fairness_gap"]
    assert alone.verdict == ("fail" if deployed > 0.07 else "not measured")


def test_groups_that_were_not_evaluated(tmp_path: Path) -> None:
    found = lines(write_all(tmp_path / "a", results(fairness=())))["fairness_gap"]
    assert found.verdict == "not measured"
    assert "30 of native, 20 of non-native" in found.note
    other = Acceptance(fairness_group="teenage", reference_group="adult")
    assert "both teenage and adult" in lines(write_all(tmp_path / "b"), acceptance=other)["fairness_gap"].note


def test_lengths_are_told_as_they_were(tmp_path: Path) -> None:
    whole = (accepted.gap(None, Estimate(value=0.01, n=50)),)
    cut = results().about.model_copy(update={"excerpt_words": 48})
    found = lines(write_all(tmp_path / "run", results(fairness=whole, about=cut)))["fairness_gap"]
    assert "excerpts of at most 48 words" in found.note


def test_the_gap_may_come_from_texts_that_have_groups(tmp_path: Path) -> None:
    run = write_all(tmp_path / "run", results(fairness=()), recipe="detectors:\n  - name: a\n")
    note = lines(run)["fairness_gap"].note
    command = f"prl evaluate --config {run}/recipe.yaml --calibration {run} --set data.source.name=SOURCE"
    assert command in note
    (tmp_path / "groups").mkdir()
    a, b = (DetectorInfo(name=name, family="x", trained_against=True) for name in "ab")
    results(detectors=(a, *results().detectors), cells=()).write(tmp_path / "groups")
    verdict = validate_run(run, fairness=tmp_path / "groups")
    assert verdict.accepted
    assert verdict.fairness == str(tmp_path / "groups")
    for others in ((b,), (a, b), (a.model_copy(update={"options": {"x": 1}}),), ()):
        results(detectors=others).write(tmp_path / "groups")
        with pytest.raises(EvaluationError, match="evaluates"):
            validate_run(run, fairness=tmp_path / "groups")


def test_thresholds_set_anew_on_other_texts_are_not_those_deployed(tmp_path: Path) -> None:
    def calibrated(folder: Path, *humans: float) -> None:
        texts = CalibrationTexts.of([], source="toy")
        record = fit_calibration(Scores(np.array(humans), ()), None, [0.05], detector="a", texts=texts)
        CalibrationSet(calibrations=(record,), weights=(1.0,)).write(folder / "calibration.json")

    run = write_all(tmp_path / "run", results(fairness=()), recipe="detectors:\n  - name: a\n")
    (tmp_path / "groups").mkdir()
    a = DetectorInfo(name="a", family="x", trained_against=True)
    results(detectors=(a, *results().detectors)).write(tmp_path / "groups")
    calibrated(run, 1.0, 2.0, 3.0)
    for there in ((), (1.0, 2.0, 3.5)):
        if there:
            calibrated(tmp_path / "groups", *there)
        with pytest.raises(EvaluationError, match="thresholds of its own") as caught:
            validate_run(run, fairness=tmp_path / "groups")
        assert f"--calibration {run}" in caught.value.hint
    calibrated(tmp_path / "groups", 0.0, 3.0, 1.0)
    assert validate_run(run, fairness=tmp_path / "groups").fairness


def test_an_evaluation_older_than_the_end_of_the_run_says_nothing_of_its_policy(tmp_path: Path) -> None:
    early = results().model_copy(
        update={"about": results().about.model_copy(update={"started": "2026-01-01T09:30:00+00:00"})}
    )
    found = lines(write_all(tmp_path / "run", early))
    for criterion in ("attack_success_rate", "meaning"):
        assert found[criterion].verdict == "not measured"
        assert "before the training ended" in found[criterion].note
    assert found["fairness_gap"].verdict == "pass", "clean texts do not depend on the policy"


def test_the_evaluation_of_another_run_says_nothing_of_this_one(tmp_path: Path) -> None:
    run, other = write_run(tmp_path / "run"), write_run(tmp_path / "other")
    theirs = results(about=results().about.model_copy(update={"run": str(other)}))
    theirs.write(tmp_path / "evaluation")
    found = lines(run, evaluation=tmp_path / "evaluation")
    assert found["attack_success_rate"].verdict == "not measured"
    assert f"of another run, {other}" in found["meaning"].note
    assert lines(other, evaluation=tmp_path / "evaluation")["attack_success_rate"].verdict == "pass"
    copy = write_all(tmp_path / "copy", theirs)
    assert lines(copy)["attack_success_rate"].verdict == "pass", "it was copied with its run"
    named = lines(copy, evaluation=copy / "evaluation")["attack_success_rate"]
    assert named.verdict == "pass", "however it is named"


def test_the_policy_may_have_another_label_but_not_another_run(tmp_path: Path) -> None:
    ours = results(
        labels=("ours",),
        rewriters=(RewriterInfo(label="ours", name="policy", options={"checkpoint": "last"}, of_run=True),),
    )
    assert lines(write_all(tmp_path / "a", ours))["attack_success_rate"].verdict == "pass"
    theirs = results(rewriters=(RewriterInfo(label="policy", name="policy", options={"run": "runs/other"}),))
    assert lines(write_all(tmp_path / "b", theirs))["attack_success_rate"].verdict == "not measured"


# ---- what the run answers


@pytest.mark.parametrize("metric", ["kl_sample_train", "kl_reference"])
def test_final_kl(tmp_path: Path, metric: str) -> None:
    bound = {"kl_sample_train": 0.01, "kl_reference": 0.5}[metric]
    early = changed(metric, dict.fromkeys(range(1, 8), 9.0))
    assert lines(write_run(tmp_path / "early", rows=early))[metric].verdict == "pass", "only the end counts"
    for sign in (1, -1):
        rows = changed(metric, dict.fromkeys(range(8, 13), sign * bound * 1.1))
        found = lines(write_run(tmp_path / f"{sign}", rows=rows))[metric]
        assert found.verdict == "fail"
        assert found.value == pytest.approx(1.1 * bound)
    for name, rows in {
        "null": changed(metric, {11: None}),
        "absent": [{"step": r["step"], "metrics": {}} for r in metrics()],
        "short": metrics(11),
    }.items():
        found = lines(write_run(tmp_path / name, rows=rows))[metric]
        assert found.verdict == "not measured", name
        assert metric in found.note


def test_the_two_kls_have_their_own_values(tmp_path: Path) -> None:
    found = lines(write_run(tmp_path / "run"))
    assert found["kl_sample_train"].value == pytest.approx(0.001)
    assert found["kl_reference"].value == pytest.approx(0.1 + 0.01 * (8 + 9 + 10 + 11 + 12) / 5)
    assert "steps 8 to 12, 0.18 to 0.22" in found["kl_reference"].note


def brute_force(rewards: list[float]) -> float:
    means = [sum(rewards[i - 5 : i]) / 5 for i in range(5, len(rewards) + 1)]
    return max([max(means[: j + 1]) - means[j] for j in range(len(means))])


@given(st.lists(VALUES, min_size=6, max_size=30))
def test_the_largest_drop_is_that_of_the_definition(rewards: list[float]) -> None:
    found = largest_drop(np.array(rewards))
    assert found is not None
    assert found[0] == pytest.approx(brute_force(rewards), abs=1e-9)
    assert 5 <= found[1] <= len(rewards)


def test_known_drops() -> None:
    up = np.linspace(0, 1, 20)
    assert largest_drop(up) is not None
    assert largest_drop(up)[0] == 0.0
    cliff = np.array([0.8] * 10 + [0.3] * 10)
    assert largest_drop(cliff) == (pytest.approx(0.5), 15), "whole after five steps"
    assert largest_drop(np.array([0.8] * 10 + [0.3] + [0.8] * 5))[0] == pytest.approx(0.1), (
        "one bad step is none"
    )
    holes = np.insert(cliff, 3, [math.nan, math.nan])
    assert largest_drop(holes) == (pytest.approx(0.5), 17)
    assert largest_drop(np.full(5, 0.5)) is None


def test_reward_collapse(tmp_path: Path) -> None:
    calm = lines(write_run(tmp_path / "a"))["reward_drop"]
    assert (calm.value, calm.verdict) == (0.0, "pass")
    rows = changed("reward_mean", dict.fromkeys(range(8, 13), 0.1))
    fallen = lines(write_run(tmp_path / "b", rows=rows))["reward_drop"]
    # best mean: steps 3 to 7, 0.5 + 0.05; last: 0.1
    assert (fallen.value, fallen.verdict) == (pytest.approx(0.45), "fail")
    assert "at step 12" in fallen.note
    short = lines(write_run(tmp_path / "c", rows=metrics(5), steps=5))["reward_drop"]
    assert short.verdict == "not measured"
    assert "needs 6 steps" in short.note


def test_reward_std_throughout(tmp_path: Path) -> None:
    passed = lines(write_run(tmp_path / "a"))["reward_std"]
    assert (passed.value, passed.verdict) == (0.2, "pass")
    assert passed.note == "lowest at step 3"
    failed = lines(write_run(tmp_path / "b", rows=changed("reward_std", {5: 0.02, 9: 0.08})))["reward_std"]
    assert (failed.value, failed.verdict) == (0.02, "fail")
    assert failed.note == "lowest at step 5; 2 of 12 steps are below"
    unknown = lines(write_run(tmp_path / "c", rows=changed("reward_std", {5: None})))["reward_std"]
    assert unknown.verdict == "not measured"
    assert unknown.value is None
    assert "1 steps are not known, the first is 5" in unknown.note
    broken = lines(write_run(tmp_path / "d", rows=changed("reward_std", {5: None, 6: 0.01})))["reward_std"]
    assert broken.verdict == "fail", "once below it was not above throughout, whatever is unknown"
    gap = [row for row in metrics() if row["step"] not in (3, 4)]
    assert lines(write_run(tmp_path / "e", rows=gap))["reward_std"].verdict == "not measured"


# ---- checkpoints


def test_checkpoints_that_should_be_there(tmp_path: Path) -> None:
    found = lines(write_run(tmp_path / "run"))["checkpoints"]
    assert (found.bound, found.value, found.verdict) == (">= 3", 3.0, "pass")
    assert found.note.startswith("8, 12, final (12): complete")


def test_the_recipes_own(tmp_path: Path) -> None:
    """RECIPE 2: 1000, 1500, 2000, 2500, 3000 and final, of 3,468 steps."""
    run = write_run(tmp_path / "run", recipe="", steps=3468, ledger=[])
    (run / "recipe.yaml").write_text("model: tiny\n")
    for step in range(500, 3001, 500):
        append_jsonl(
            run / "checkpoints.jsonl", {"step": step, "kind": "periodic", "reference": f"s://{step}"}
        )
    append_jsonl(run / "checkpoints.jsonl", {"step": 3468, "kind": "final", "reference": "s://final"})
    assert lines(run)["checkpoints"].note.startswith("1000, 1500, 2000, 2500, 3000, final (3468): complete")


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda run: shutil.rmtree(run / "adapter"), "final (12): its folder is missing"),
        (lambda run: [p.unlink() for p in (run / "adapter").iterdir()], "final (12): its folder is empty"),
        (lambda run: (run / "adapter/adapter_model.safetensors").unlink(), "a part of its adapter"),
        (lambda run: (run / "adapter/adapter_config.json").unlink(), "a part of its adapter"),
        (
            lambda run: cut(run / "adapter/adapter_model.safetensors", 1),
            "adapter_model.safetensors is cut off",
        ),
        (
            lambda run: cut(run / "adapter/adapter_model.safetensors", 40),
            "adapter_model.safetensors is cut off",
        ),
        (lambda run: (run / "adapter/adapter_model.safetensors").write_bytes(b""), "cut off"),
        (
            lambda run: write_jsonl(run / "checkpoints.jsonl", rows(run)[:2]),
            "final (12): not listed in checkpoints.jsonl",
        ),
        (
            lambda run: write_jsonl(run / "checkpoints.jsonl", rows(run)[1:]),
            "8: not listed in checkpoints.jsonl",
        ),
    ],
)
def test_checkpoints_that_are_gone(tmp_path: Path, spoil, said: str) -> None:
    run = write_run(tmp_path / "run")
    spoil(run)
    found = lines(run)["checkpoints"]
    assert (found.value, found.verdict) == (2.0, "fail")
    assert said in found.note


def cut(file: Path, n: int) -> None:
    file.write_bytes(file.read_bytes()[:-n])


def rows(run: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run / "checkpoints.jsonl").read_text().splitlines()]


def test_references_hold_until_they_expire(tmp_path: Path) -> None:
    def ledger(expires: str) -> list[dict[str, Any]]:
        return [
            {"step": 8, "kind": "periodic", "reference": "t://8", "expires": expires},
            {"step": 12, "kind": "periodic", "reference": "t://12", "expires": "2999-01-02T00:00:00+00:00"},
            {"step": 12, "kind": "final", "reference": "t://f", "expires": None},
        ]

    good = lines(write_run(tmp_path / "a", ledger=ledger("2999-01-01T00:00:00+00:00")))["checkpoints"]
    assert good.verdict == "pass"
    assert good.note.endswith("the first expires 2999-01-01")
    bad = lines(write_run(tmp_path / "b", ledger=ledger("2020-01-01T00:00:00+00:00")))["checkpoints"]
    assert (bad.value, bad.verdict) == (2.0, "fail")
    assert "8: expired at 2020-01-01" in bad.note


# ---- a run that has not ended


@pytest.mark.parametrize("status", ["interrupted", "failed", None])
def test_a_run_that_stopped_says_so_and_how_to_go_on(tmp_path: Path, status: str | None) -> None:
    ledger = [{"step": 4, "kind": "periodic", "path": "checkpoints/checkpoint-4"}]
    run = write_all(tmp_path / "run", status=status, rows=metrics(7), ledger=ledger)
    verdict = validate_run(run)
    assert verdict.status == (status or "killed")
    assert verdict.criteria("pass") == ["fairness_gap"]
    assert verdict.criteria("fail") == []
    for line in verdict.lines:
        if line.verdict == "not measured":
            assert f"step 7 of 12, {status or 'killed'}: prl train --resume {run}" in line.note
    assert "so far: none" in verdict.lines[-1].note, "8 and 12 will be kept, 4 will not"


def test_what_is_broken_before_the_end_has_failed(tmp_path: Path) -> None:
    spoilt = changed("reward_std", {3: 0.01})[:7]
    found = lines(write_run(tmp_path / "run", status="interrupted", rows=spoilt))
    assert found["reward_std"].verdict == "fail"
    assert found["kl_reference"].verdict == "not measured"
    assert "0.15 so far, which is not final" in found["kl_reference"].note


def test_a_run_that_goes_on_is_told_from_one_that_was_killed(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", status=None, rows=metrics(3))
    assert validate_run(run).status == "killed"
    working = RunDirectory.resume(run)
    try:
        verdict = validate_run(run)
        assert verdict.status == "running"
        assert "still running: wait for it" in verdict.lines[-1].note
    finally:
        working.close()
    assert validate_run(run).status == "killed"


def test_a_run_resumed_to_its_end_is_complete(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", status="interrupted")
    append_jsonl(run / "events.jsonl", {"event": "start", "steps": 12, "resumed_after": 8})
    assert validate_run(run).status == "killed"
    append_jsonl(run / "events.jsonl", {"event": "end", "status": "completed", "time": accepted.ENDED})
    assert validate_run(run).status == "completed"


# ---- a checkpoint


def test_a_step_is_judged_by_its_own_rows_and_history(tmp_path: Path) -> None:
    rows = changed("reward_std", {10: 0.01})
    policy8 = results(labels=("policy@8",), success=Estimate(value=0.65, low=0.61, high=0.7, n=40))
    run = write_all(tmp_path / "run", policy8, rows=rows)
    verdict = validate_run(run, checkpoint="8")
    assert verdict.accepted
    assert verdict.checkpoint == 8
    found = {line.criterion: line for line in verdict.lines}
    assert found["attack_success_rate"].value == 0.65
    assert "chosen among" not in found["attack_success_rate"].note
    assert found["kl_reference"].value == pytest.approx(0.1 + 0.01 * 6)
    final = validate_run(run)
    assert final.criteria("fail") == ["reward_std"]
    assert final.criteria("not measured") == ["attack_success_rate", "meaning"]


def test_rollouts_without_a_reward(tmp_path: Path) -> None:
    passed = lines(write_run(tmp_path / "a", rows=changed("frac_unrewarded", {5: 0.5})))["frac_unrewarded"]
    assert (passed.value, passed.verdict) == (pytest.approx(0.5 / 12), "pass")
    assert passed.note == "mean over the steps; most at step 5, 0.5"
    dead = dict.fromkeys(range(6, 13), 1.0)
    failed = lines(write_run(tmp_path / "b", rows=changed("frac_unrewarded", dead)))["frac_unrewarded"]
    assert (failed.value, failed.verdict) == (pytest.approx(7 / 12), "fail")
    unknown = lines(write_run(tmp_path / "c", rows=changed("frac_unrewarded", {5: None})))["frac_unrewarded"]
    assert unknown.verdict == "not measured"


def test_a_byte_that_changed_is_found_by_the_digests(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run")
    rows = [{**row, "sha256": digests_of(run / row["path"])} for row in read_jsonl(run / "checkpoints.jsonl")]
    write_jsonl(run / "checkpoints.jsonl", rows)
    assert lines(run)["checkpoints"].note == "8, 12, final (12): complete, as their digests show"
    weights = run / "adapter" / "adapter_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"?")
    failed = lines(run)["checkpoints"]
    assert failed.verdict == "fail"
    assert failed.note == "final (12): adapter_model.safetensors has changed since it was written"


def test_a_step_without_rows_names_the_command(tmp_path: Path) -> None:
    found = lines(write_all(tmp_path / "run"), checkpoint="8")["attack_success_rate"]
    assert found.verdict == "not measured"
    assert found.note.endswith("--checkpoints all")
    assert lines(write_all(tmp_path / "run"), checkpoint="12")["attack_success_rate"].verdict == "pass"


def test_a_checkpoint_of_a_stopped_run_can_be_accepted_but_for_the_ledger(tmp_path: Path) -> None:
    ledger = [{"step": 4, "kind": "periodic", "path": "checkpoints/checkpoint-4"}]
    run = write_all(
        tmp_path / "run", results(labels=("policy@4",)), status="interrupted", rows=metrics(7), ledger=ledger
    )
    verdict = validate_run(run, checkpoint="4")
    assert verdict.criteria("not measured") == ["reward_drop", "checkpoints"], (
        "4 steps are too few for a drop"
    )
    assert verdict.criteria("fail") == []


def test_best_is_chosen_and_validated(tmp_path: Path) -> None:
    policy12 = accepted.cell("policy", Estimate(value=0.9, n=40))
    policy8 = accepted.cell("policy@8", Estimate(value=0.65, n=40))
    both = results(labels=("policy", "policy@8"), cells=(policy12, policy8))
    quality = tuple(
        q.model_copy(update={"estimate": Estimate(value=0.7, n=50)})
        if (q.rewriter, q.metric) == ("policy", "semantic_similarity")
        else q
        for q in both.quality
    )
    run = write_all(tmp_path / "run", both.model_copy(update={"quality": quality}))
    verdict = validate_run(run, checkpoint="best")
    assert [(c.step, c.evasion, c.similarity, c.on_front, c.chosen) for c in verdict.candidates] == [
        (8, 0.65, 0.9, True, True),
        (12, 0.9, 0.7, True, False),
    ]
    assert verdict.checkpoint == 8
    assert verdict.accepted
    assert verdict.lines[0].note.count("chosen among 2 checkpoints on these texts, so slightly too good") == 1
    lenient = validate_run(run, acceptance=Acceptance(meaning=0.5), checkpoint="best")
    assert lenient.checkpoint == 12


def test_best_of_nothing(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="no evaluation of its checkpoints") as caught:
        validate_run(write_run(tmp_path / "a"), checkpoint="best")
    assert "--checkpoints all" in caught.value.hint
    with pytest.raises(RunError, match="no checkpoint"):
        validate_run(write_run(tmp_path / "b", ledger=[]), checkpoint="best")


@pytest.mark.parametrize(
    ("checkpoint", "message", "hint"),
    [
        ("7", "no checkpoint of step 7", "8, 12"),
        ("bets", "'bets'", "did you mean best?"),
        ("-1", "'-1'", "8, 12"),
    ],
)
def test_a_checkpoint_that_is_not_there(tmp_path: Path, checkpoint: str, message: str, hint: str) -> None:
    with pytest.raises(RunError, match=message) as caught:
        validate_run(write_run(tmp_path / "run"), checkpoint=checkpoint)
    assert hint in caught.value.hint


# ---- damage


@pytest.mark.parametrize(
    ("name", "content", "error", "message"),
    [
        ("recipe.yaml", "model: [", RecipeError, "recipe.yaml"),
        ("recipe.yaml", "acceptance:\n  reward_sdt: 1\n", RecipeError, "reward_sdt"),
        ("metrics.jsonl", 'x\n{"step": 1, "metrics": {}}\n', RunError, "line 1: not JSON"),
        ("metrics.jsonl", '{"step": 1}\n', RunError, "row 1: not a row that a run writes"),
        ("metrics.jsonl", '{"step": 1, "metrics": {"reward_std": "high"}}\n', RunError, "'high' is not a number"),
        ("metrics.jsonl", '{"step": 1, "metrics": {"reward_std": true}}\n', RunError, "True is not a number"),
        ("metrics.jsonl", '{"step": 1, "metrics": []}\n', RunError, "row 1"),
        ("metrics.jsonl", "[1]\n", RunError, "line 1: not a JSON object"),
        ("metrics.jsonl", '{"step": 2, "metrics": {}}\n{"step": 1, "metrics": {}}\n', RunError, "order"),
        ("metrics.jsonl", '{"step": 1, "metrics": {}}\n{"step": 1, "metrics": {}}\n', RunError, "order"),
        ("events.jsonl", '{"event": "start"}\n', RunError, "steps"),
        ("events.jsonl", '{"time": 1}\n', RunError, "event"),
        ("checkpoints.jsonl", '{"step": 1}\n', RunError, "path"),
        ("checkpoints.jsonl", '{"step": 1, "reference": "t://", "expires": "soon"}\n', RunError, "soon"),
        ("evaluation/results.json", "{", EvaluationError, "results.json"),
        ("evaluation/results.json", '{"format": 2}', EvaluationError, "results.json"),
    ],
)  # fmt: skip
def test_damaged_files_are_named(
    tmp_path: Path, name: str, content: str, error: type[PrlError], message: str
) -> None:
    run = write_all(tmp_path / "run")
    (run / name).write_text(content)
    with pytest.raises(error, match=message) as caught:
        validate_run(run)
    assert Path(name).name in str(caught.value)


def test_a_torn_last_row_is_only_missing(tmp_path: Path) -> None:
    run = write_all(tmp_path / "run")
    text = (run / "metrics.jsonl").read_text()
    (run / "metrics.jsonl").write_text(text[:-30])
    found = lines(run)
    assert found["kl_reference"].verdict == "not measured"
    assert found["reward_std"].verdict == "not measured"
    assert "the first is 12" in found["reward_std"].note


def test_no_run_and_no_evaluation(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="is not a run"):
        validate_run(tmp_path / "nothing")
    with pytest.raises(EvaluationError, match="holds no evaluation"):
        validate_run(write_run(tmp_path / "run"), evaluation=tmp_path / "elsewhere")
    results().write(tmp_path / "elsewhere")
    assert validate_run(tmp_path / "run", evaluation=tmp_path / "elsewhere").accepted
    eighth = lines(tmp_path / "run", evaluation=tmp_path / "elsewhere", checkpoint="8")
    assert eighth["meaning"].note.endswith(f"--checkpoints all --out {tmp_path}/elsewhere")


def test_a_run_that_never_began(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", rows=[], ledger=[])
    (run / "events.jsonl").unlink()
    verdict = validate_run(run)
    assert verdict.steps is None
    assert {line.verdict for line in verdict.lines} == {"not measured"}
