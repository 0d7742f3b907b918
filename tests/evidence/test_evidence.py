"""The mechanics of the experiment on a tiny model, and its figures against known answers."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import paraphrase_rl as prl
from paraphrase_rl.errors import RunError
from paraphrase_rl.evaluation.results import Results
from paraphrase_rl.files import read_jsonl, write_jsonl, write_text
from paraphrase_rl.recipe.loading import load_recipe
from paraphrase_rl.recipe.schema import Attack
from paraphrase_rl.reporting.formatting import NOTHING
from tests.evidence import __main__ as command
from tests.evidence.__main__ import RECORD, carry_out, stages
from tests.evidence.detectors import RATES, rates
from tests.evidence.experiment import COLDER, MORE_EVASION, Experiment, Settings, material
from tests.evidence.figures import CAUGHT, TARGET, _largest, minutes, pooled
from tests.evidence.page import EVASIVE, MAIN, OURS, PICTURE, SHORT, _goals, picture, render
from tests.evidence.stealthrl import design
from tests.tiny_model import save_tiny_model

OPTIONAL = ("lmscan", "gemma-fast-detectgpt", "gemma-log-likelihood")
"""Detectors that judge too where their packages are installed."""
WHOLE = ["fit", "both-0", "grpo-0", "stealthrl-0", "evading-0", "harden", "evaluate"]
RECIPE = """
model: {model}
training: {{batch_size: 2, group_size: 2, learning_rate: 0.01}}
sampling: {{max_tokens: 60}}
warmup:
  {{method: inverse-paraphrase, texts: 4, candidates: 1, min_words: 5, max_words: 10, min_meaning: 0.0,
    min_length_ratio: 0.001, max_length_ratio: 1000.0, batch_size: 4, epochs: 1, checkpoint_every: 1}}
kl: {{reference: warmup}}
rewards_combine: conditional
rewards: [{{name: detector-evasion}}, {{name: semantic-similarity}}, {{name: fluency, options: {{model: {model}}}}}]
detectors: [{{name: tfidf}}]
evaluation: {{every: 2, prompts: 2}}
checkpoints: {{every: 1}}
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with a recipe of a tiny model, and texts that a trained detector tells apart."""
    folder, rng = tmp_path_factory.mktemp("place"), np.random.default_rng(3)
    letters = {"human": list("bcdfghklmnprst"), "ai": list("aeioubdlmnrst")}
    words = {
        label: ["".join(rng.choice(of, size=rng.integers(3, 7))) for _ in range(300)]
        for label, of in letters.items()
    }
    rows = []
    for split, count in (("train", 16), ("calibration", 76), ("test", 8)):
        for i in range(count):
            for label in ("human", "ai"):
                sentences = [" ".join(rng.choice(words[label], size=8)).capitalize() + "." for _ in range(2)]
                rows.append(
                    {"text": " ".join(sentences), "label": label, "split": split, "pair": f"{split}{i}"}
                )
    write_jsonl(folder / "texts.jsonl", rows)
    (folder / "recipe.yaml").write_text(
        RECIPE.format(model=save_tiny_model(folder / "model")), encoding="utf-8"
    )
    return folder


def experiment(place: Path, out: Path, **changes: Any) -> Experiment:
    data = f"data.source={{name: files, options: {{path: {place / 'texts.jsonl'}}}}}"
    settings: dict[str, Any] = {
        "out": out,
        "recipe": place / "recipe.yaml",
        "seeds": 1,
        "steps": 2,
        "texts": 4,
        "developed_on": 2,
        "hardened_on": 4,
        "device": "cpu",
        "held_out": ("lrr",),
        "rewriters": ("base model", "synonyms"),
        **changes,
    }
    settings["changes"] = (data, *settings.get("changes", ()))
    return Experiment(Settings(**settings), print)


@pytest.fixture(scope="module")
def whole(place: Path) -> tuple[Path, dict[str, Any]]:
    """Folder of an experiment that was carried out whole, and its record."""
    here = experiment(place, place / "out")
    carry_out(here, WHOLE, place, "make evidence")
    return here.out, json.loads((place / RECORD).read_text(encoding="utf-8"))


@pytest.mark.slow
def test_the_page_has_every_method_and_says_what_is_missing(place: Path, whole: tuple[Path, Any]) -> None:
    record = whole[1]
    trained = ["warm-up alone", "GRPO alone", "GRPO alone, reward of StealthRL", *OURS]
    assert [method["name"] for method in record["methods"]] == ["base model", "synonyms", *trained]
    always = [d for d in record["detectors"] if d["name"] not in OPTIONAL]
    assert {d["name"]: (d["role"], d["white_box"]) for d in always} == {
        "tfidf": ("trained against", False),
        "ensemble": ("trained against", False),
        "lrr": ("held out", True),
        "token-statistics": ("held out", True),
        "function-words": ("held out", False),
        "retrieval": ("defence", False),
        "tfidf-hardened": ("defence", False),
        "token-statistics-hardened": ("defence", True),
    }
    names = [method["name"] for method in record["methods"]]
    assert all(len(SHORT.get(name, name)) <= 24 for name in names), "the picture cuts longer ones"
    assert not any("evaluated yet" in line or "hardened yet" in line for line in record["missing"])
    page = (place / "evidence.md").read_text(encoding="utf-8")
    assert page == render(record)
    assert (place / PICTURE).read_text(encoding="utf-8") == picture(record)
    assert all(len(line) <= 118 for line in page.splitlines() if not line.startswith(("|", "- ")))
    assert record["size"]["developed_on"] == 2
    assert "developed on 2 other AI texts" in page
    without = {**record, "size": {**record["size"], "developed_on": 0}}
    assert "developed on" not in render(without)


@pytest.mark.slow
def test_figures_of_one_policy_are_those_of_the_evaluation(whole: tuple[Path, Any]) -> None:
    out, record = whole
    results = Results.read(out / "evaluation")
    for method in record["methods"]:
        label = method["name"] if not method["rollouts"] else None
        label = label or next(s["label"] for s in record["seeds"] if s["name"] == method["name"])
        for detector, flagged in method["flagged"].items():
            point = results.point(label, detector, TARGET)
            assert point is not None
            for found, expected in (
                (flagged, point.tpr_after),
                (method["success"][detector], point.attack_success_rate),
            ):
                assert found["n"] == expected.n
                for key in ("value", "low", "high"):
                    assert found[key] == pytest.approx(getattr(expected, key), abs=1e-4)
    main = next(m for m in record["methods"] if m["name"] == MAIN)
    front = {row["label"]: row for row in record["front"]}
    assert front["both-0"]["flagged"] == main["flagged"], "one seed"
    assert {label for label in front if "temperature" in label} == {
        f"both-0 at temperature {t}" for t in COLDER
    }
    of_seeds = {row["label"]: row for row in record["seeds"]}
    assert front["best-of-both-0"]["flagged"] == of_seeds["best-of-both-0"]["flagged"]
    assert front["both-0 after step 1"]["rollouts"] == front["both-0"]["rollouts"] - 2 * 2
    assert front["best-of-both-0"]["per_text"] == of_seeds["best-of-both-0"]["per_text"] == 8
    more = {method["name"]: method for method in record["methods"]}[f"{EVASIVE}, best of n"]
    assert front["best-of-evading-0"]["flagged"] == more["flagged"], "one seed"
    assert "evading-0 after step 1" in front
    known = {name for row in record["defences"] for name in row.get("trained_on", ())}
    assert known
    assert known.isdisjoint(record["defences"][0]["after"]), (
        "else a defence would have seen what it is tried on"
    )
    assert list(record["defences"][0]["after"]) == ["both-0", "best-of-both-0", "best-of-evading-0"]
    groups = [key for key in record["pooled"][0] if key not in ("detector", "texts")]
    assert groups == ["human", "original", "both-0", "best-of-both-0", "best-of-evading-0"]
    runs = {row["run"]: row for row in record["runs"]}
    assert runs["evading-0"]["warmup_method"] == "pairs"
    measured = [row["kl_sample_train"] for row in runs.values()]
    assert all(value is not None and value < 0.01 for value in measured)
    assert runs["evading-0"]["rollouts"] == runs["both-0"]["rollouts"] > runs["grpo-0"]["rollouts"]
    spent = {row["run"]: row["points"][-1]["rollouts"] for row in record["rewards"]}
    assert spent["evading-0"] == spent["both-0"] == runs["both-0"]["rollouts"]
    by_name = {m["name"]: m for m in record["methods"]}
    assert {row["method"] for row in record["differences"]} == {name for name in OURS if name != EVASIVE}
    for row in record["differences"]:
        own, other = by_name[row["method"]], by_name[row["less"]]
        expected = own["flagged"]["ensemble"]["value"] - other["flagged"]["ensemble"]["value"]
        assert row["flagged"]["value"] == pytest.approx(expected, abs=2e-4)


@pytest.mark.slow
def test_what_is_done_is_not_done_again_and_the_rest_gives_the_same(
    place: Path, whole: tuple[Path, Any], tmp_path: Path
) -> None:
    out, record = whole
    copy = tmp_path / "out"
    shutil.copytree(out, copy)
    shutil.rmtree(copy / "stealthrl-0")
    shutil.rmtree(copy / "evaluation")
    for name in ("results.json", "calibration.json"):
        (next((copy / "hardened").glob("tfidf-*")) / name).unlink()
    (copy / "stages.jsonl").unlink()
    here = experiment(place, copy)
    carry_out(here, WHOLE, tmp_path, "make evidence")
    done = [row["stage"] for row in read_jsonl(copy / "stages.jsonl")]
    assert done == ["train stealthrl-0", "harden tfidf", "evaluate", "page"]
    again = json.loads((tmp_path / RECORD).read_text(encoding="utf-8"))
    for key in ("methods", "seeds", "front", "differences", "rewards", "detectors", "defences", "pooled"):
        assert again[key] == record[key], key


def test_the_first_seed_has_a_page_before_the_others_are_trained(place: Path, tmp_path: Path) -> None:
    order = stages(experiment(place, tmp_path, seeds=3))
    assert order[:4] == ["fit", "both-0", "grpo-0", "evaluate"]
    assert order.index("evaluate") < order.index("stealthrl-0") < order.index("both-1")
    assert order.index("both-0") < order.index("evading-0") < order.index("both-1")
    assert "evaluate" in order[order.index("evading-0") : order.index("both-1")]
    assert order[-1] == "evaluate"
    assert {f"{kind}-{seed}" for kind in ("both", "grpo", "evading") for seed in range(3)} < set(order)


def test_texts_are_found_where_the_recipe_has_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shared, own = tmp_path / "shared", tmp_path / "data"
    monkeypatch.setattr(command, "PLACES", (shared, own))
    assert command.found_source() is None
    own.mkdir()
    assert command.found_source() == own
    shared.mkdir()
    assert command.found_source() == shared


@pytest.mark.parametrize("developed_on", [0, 2, 5])
def test_texts_that_decided_what_is_compared_do_not_judge(
    place: Path, tmp_path: Path, developed_on: int
) -> None:
    here = experiment(place, tmp_path, developed_on=developed_on, texts=8, rewriters=("synonyms",))
    plan, earlier = here.plan(), {document.id for document in here.developed_on}
    judging = {document.id for document in plan.ai}
    everything = {d.id for d in here.corpus.select(split="test", label="ai")}
    assert len(earlier) == developed_on
    assert judging == everything - earlier
    assert len(plan.human) == 8
    assert len(plan.calibration) == 76, "the others are all there"


def test_a_defence_has_not_seen_what_it_is_tried_on(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = experiment(place, tmp_path, seeds=3)
    kinds = ("warm-up", "both", "best-of-both", "evading", "best-of-evading", "grpo", "stealthrl")
    labels = ["base model", "synonyms", *(f"{kind}-{seed}" for kind in kinds for seed in range(3))]
    monkeypatch.setattr(here, "attacks", lambda: {x: Attack(name="policy", label=x) for x in labels})
    on = [attack.label for attack in here.hardened_on()]
    assert set(CAUGHT) < set(labels)
    assert set(on).isdisjoint(CAUGHT)
    assert {"base model", "both-1", "both-2", "evading-1", "evading-2", "best-of-evading-1"} < set(on)


def test_a_hardening_is_known_by_what_the_runs_are_and_not_by_where_they_lie(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = experiment(place, tmp_path, seeds=2)

    def folder(run: str, weights: str, candidates: int = 8) -> Path | None:
        write_text(tmp_path / run / "recipe.yaml", weights)
        policy = {"run": str(tmp_path / run), "checkpoint": 2}
        options = {"candidates": candidates, "rewriter": {"name": "policy", "options": policy}}
        attacks = {"best-of-evading-1": Attack(name="best-of-n", options=options, label="best-of-evading-1")}
        monkeypatch.setattr(here, "attacks", lambda: attacks)
        return here.hardened_folder("tfidf")

    one = folder("here", "a")
    assert one == folder("there", "a")
    assert one != folder("else", "b")
    assert one != folder("here", "a", candidates=4)


def test_rollouts_of_later_seeds_hold_the_pairs_of_the_first(place: Path, tmp_path: Path) -> None:
    here = experiment(place, tmp_path, seeds=2)
    for seed, rows in ((0, 6), (1, 2)):
        write_jsonl(here.run("both", seed) / "warmup_pairs.jsonl", [{"source": str(i)} for i in range(rows)])
    spent = {
        m.name: m.rollouts for m in here.methods(["warm-up-0", "warm-up-1", "both-0", "both-1", "grpo-1"])
    }
    assert spent == {"warm-up alone": 6, MAIN: 6 + 2 * 2 * 2, "GRPO alone": 2 * 2 * 2}


@pytest.mark.parametrize("kind_and_seed", [("warm-up", 0), ("stealthrl", 1)])
def test_a_policy_that_the_experiment_has_not_is_refused(
    place: Path, tmp_path: Path, kind_and_seed: tuple[str, int]
) -> None:
    with pytest.raises(RunError, match="the experiment has no policy"):
        experiment(place, tmp_path).train(*kind_and_seed)


def test_other_policies_wait_for_the_pairs_of_the_first(place: Path, tmp_path: Path) -> None:
    here = experiment(place, tmp_path, seeds=2)
    for kind, seed in (("both", 1), ("evading", 0), ("evading", 1)):
        with pytest.raises(RunError, match="warmed up on the pairs of both-0, which are not there yet"):
            here.train(kind, seed)
        assert not here.run(kind, seed).exists()
    assert not carry_out(here, ["both-1"], tmp_path, "make evidence"), (
        "what could not be done is told at the end"
    )


@pytest.mark.parametrize("stage", ["fit", "evaluate", "harden"])
def test_a_folder_of_detectors_of_other_texts_is_refused(place: Path, tmp_path: Path, stage: str) -> None:
    here = experiment(place, tmp_path)
    write_text(tmp_path / "detectors" / "tfidf" / "seen.json", "[]")
    with pytest.raises(RunError, match="nothing says on which texts"):
        getattr(here, stage)()
    write_text(tmp_path / "texts.json", '{"digest": "of others"}')
    with pytest.raises(RunError, match="holds detectors fitted on other texts"):
        getattr(here, stage)()


def test_texts_are_noted_when_a_detector_was_fitted_on_them(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prl, "fit", lambda *_, **__: sys.exit(1))
    with pytest.raises(SystemExit):
        experiment(place, tmp_path).fit()
    assert not (tmp_path / "texts.json").exists(), "a folder that was begun with the wrong texts takes others"


def goals(strongest: float) -> str:
    """The goals of a page whose strongest supervised detector still flags so much."""
    share = {"value": 0.9, "low": 0.8, "high": 0.95, "n": 40}
    flagged = {"ensemble": share, "weak": {**share, "value": 0.1}, "strong": {**share, "value": strongest}}
    method = {
        "name": MAIN,
        "rollouts": 1,
        "flagged": flagged,
        "success_held_out": share,
        "quality": dict.fromkeys(("semantic_similarity", "names_kept", "format"), share),
    }
    detectors = [
        {"name": name, "role": "held out", "tpr": {**share, "value": tpr}}
        for name, tpr in (("weak", 0.2), ("strong", 0.8))
    ]
    families = {"supervised": ["weak", "strong"], "zero-shot": ["lrr"]}
    record = {"methods": [method], "detectors": detectors, "families": families, "size": {"candidates": 8}}
    return "\n".join(_goals(record))


def test_a_goal_is_reached_by_the_strongest_detector_at_its_bound() -> None:
    assert "strong is the strongest: it flags 0.80 [0.80, 0.95]" in " ".join(goals(0.3).split())
    for value, reached in ((0.3, "yes"), (0.31, "no")):
        [row] = [line for line in goals(value).splitlines() if line.startswith("| flagged by the strongest")]
        assert row.endswith(f"| {value:.2f} [0.80, 0.95] | {reached} |")
    by_goal = {line.split(" | ")[0][2:]: line for line in goals(0.3).splitlines() if line.startswith("| ")}
    assert by_goal["flagged by the ensemble, at most .25"].endswith("| no |")
    assert by_goal["success on held-out families, at least .60"].endswith("| yes |")
    assert by_goal["the lower end of that, above .45"].endswith("| yes |")
    assert by_goal["numbers kept, at least .85"].endswith(f"| {NOTHING} | n too small |")


def test_rates_of_function_words_by_hand() -> None:
    found = dict(zip(RATES, rates("The cat, and the dog. It doesn\u2019t\u2014 sleep; and I?"), strict=True))
    assert found["the"] == found["and"] == pytest.approx(2 / 10)
    assert found["it"] == found["i"] == pytest.approx(1 / 10)
    assert found["'"] == found["\N{EM DASH}"] == pytest.approx(1 / 10)
    assert found["words of a sentence"] == pytest.approx(5.0)
    assert found["letters of a word"] == pytest.approx((3 + 3 + 3 + 3 + 3 + 2 + 7 + 5 + 3 + 1) / 10)
    assert np.isfinite(rates("")).all()


def test_more_evasion_is_the_only_thing_that_differs(tmp_path: Path) -> None:
    here = Experiment(Settings(out=tmp_path, source=tmp_path), print)
    both, evading = (material(here.recipe(kind, 0).recipe) for kind in ("both", "evading"))
    assert {key for key in {**both, **evading} if both.get(key) != evading.get(key)} == {
        "warmup.method",
        *MORE_EVASION,
    }
    weight, width = (f"rewards.detector-evasion.{key}" for key in ("weight", "options.width"))
    assert evading[weight] == 2 * both[weight], "the page says so"
    assert (evading[width], both[width]) == (1.0, 3.0), "the page says so"


def test_where_texts_and_detectors_lie_is_not_material() -> None:
    """A run that was started by hand names no folder for its detector."""
    by_hand = load_recipe("evidence", {"data.source.options.path": "here", "checkpoints.every": 5}).recipe
    ours = load_recipe("evidence", {"detectors.tfidf.options.folder": "there"}).recipe
    assert material(by_hand) == material(ours)
    other = load_recipe("evidence", {"warmup.min_meaning": 0.65}).recipe
    assert material(other) != material(ours)
    alone = {"warmup.method": None, "kl.reference": "base"}
    assert material(load_recipe(other, alone).recipe) == material(load_recipe(ours, alone).recipe)


@pytest.mark.slow
def test_a_run_of_another_recipe_is_not_adopted(place: Path, whole: tuple[Path, Any]) -> None:
    other = experiment(place, whole[0], changes=("training.learning_rate=0.02", "checkpoints.keep=3"))
    with pytest.raises(RunError, match=r"training\.learning_rate: 0\.01 and not 0\.02") as refused:
        other.train("grpo", 0)
    assert "checkpoints" not in str(refused.value)
    assert not other.is_usable("grpo", 0)
    assert other.missing


@pytest.mark.slow
def test_a_page_is_there_before_anything_is_trained(place: Path, tmp_path: Path) -> None:
    here = experiment(place, tmp_path / "out", rewriters=("synonyms",), held_out=(), seeds=2)
    carry_out(here, ["fit", "evaluate"], tmp_path, "make evidence")
    record = json.loads((tmp_path / RECORD).read_text(encoding="utf-8"))
    assert [method["name"] for method in record["methods"]] == ["synonyms"]
    for policy in ("warm-up-0", "both-1", "grpo-0", "stealthrl-0", "evading-0"):
        assert f"{policy} is not evaluated yet" in record["missing"]
    assert "both-1 is not evaluated yet" in (tmp_path / "evidence.md").read_text(encoding="utf-8")


def test_pooling_finds_what_single_texts_hide() -> None:
    rng = np.random.default_rng(0)
    human, other = rng.normal(0, 1, 400), rng.normal(0, 1, 400)
    of = {
        "calibration": (human, [f"c{i}" for i in range(400)]),
        "human": (other, [f"h{i}" for i in range(400)]),
        "rewritten": (rng.normal(0.8, 1, 400), [f"r{i}" for i in range(400)]),
    }
    one, ten = (pooled(of, k, resamples=40) for k in (1, 10))
    threshold = np.sort(human)[-21]  # 20 of 400 lie above
    assert one["human"]["value"] == pytest.approx((other > threshold).mean(), abs=0.004)
    assert one["rewritten"]["value"] < 0.3
    assert ten["rewritten"]["value"] > 0.7  # the mean of ten lies 0.8 * sqrt(10) = 2.5 deviations above
    assert ten["human"]["low"] <= 0.05 <= ten["human"]["high"]


def test_the_reward_design_of_stealthrl() -> None:
    p_ai = np.array([0.5, 0.35, 0.0, 1.0, 0.5, 0.5, 0.5])
    cosine = np.array([0.8, 1.0, 0.9, 0.0, 0.5, 0.5, 0.5])
    perplexity = np.array([30.0, 35.0, 300.0, 5.0, 30.0, 30.0, np.nan])
    words = np.array([50.0, 50.0, 50.0, 50.0, 5.0, 0.0, 160.0])
    source = np.full(7, 50.0)
    expected = [
        0.0 + 0.0 + 0.5,  # at the means; (0.8 + 1) / 2 is 0.90; perplexity 30 is best
        1.0 + 1.0 + 0.5 * (0.9 - 0.8) / 0.2,
        3.0 + 0.5,  # (1 - 0.5) / 0.15 = 3.3 is clipped; (0.9 + 1) / 2 = 0.95
        -3.0,
        -0.5,  # under ten words
        -1.0,  # empty
        -0.5,  # over three times as long
    ]
    np.testing.assert_allclose(design(p_ai, cosine, perplexity, words, source), expected, atol=1e-12)


def test_the_largest_value_is_of_what_was_measured() -> None:
    assert _largest(np.array([0.001, np.nan, -0.00234])) == 0.0023
    assert _largest(np.array([np.nan])) is None


def test_minutes_at_work_leave_out_the_time_between_processes(tmp_path: Path) -> None:
    def recorded(*moments: tuple[str, str]) -> float | None:
        events = [{"event": event, "time": f"2026-11-27T{time}:00+00:00"} for event, time in moments]
        write_jsonl(tmp_path / "events.jsonl", events)
        return minutes(tmp_path)

    end = ("end", "10:20")
    assert recorded(("start", "10:00"), ("monitor", "10:10"), end, ("start", "12:00"), ("end", "12:10")) == 30
    assert recorded(("start", "10:00"), ("monitor", "10:20"), ("start", "12:00"), ("end", "12:10")) is None, (
        "a process that was killed leaves no end"
    )
    assert recorded(("start", "10:00")) is None
