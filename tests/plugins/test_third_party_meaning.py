"""A similarity reward and a similarity metric of a third party serve everywhere the bundled ones do, by their role.

The bundled ones are switched off, so nothing can find meaning but by the role that ``acme-gist`` declares.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

import paraphrase_rl as prl
from paraphrase_rl.evaluation.quality import choose_metrics
from paraphrase_rl.evaluation.results import Results
from paraphrase_rl.files import read_jsonl
from paraphrase_rl.plugin.discovery import Plugins
from paraphrase_rl.plugin.registry import Registry
from paraphrase_rl.recipe.loading import load_recipe
from paraphrase_rl.runs.reader import read_history, terms_of_run
from paraphrase_rl.training.monitors import alarms, rules_for
from tests.tiny_model import save_tiny_model
from tests.training.cases import write_recipe, write_texts

THIRD_PARTY = Path(__file__).parent / "third_party"
BUNDLED = "semantic-similarity,similarity,facts-kept"


@pytest.fixture(scope="module")
def patched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[pytest.MonkeyPatch]:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(THIRD_PARTY)
        patch.setenv("PRL_PLUGINS", "vowels,gist")
        patch.setenv("PRL_DISABLE_PLUGINS", f"{BUNDLED},perplexity,fluency")
        patch.setenv("PRL_HOME", str(tmp_path_factory.mktemp("home")))
        yield patch


@pytest.fixture(scope="module")
def registry(patched: pytest.MonkeyPatch) -> Registry:
    return Registry(Plugins.load())


@pytest.fixture(scope="module")
def recipe(patched: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("case")
    rewards = [{"name": "gist"}, {"name": "detector-evasion"}]
    return write_recipe(
        folder,
        save_tiny_model(tmp_path_factory.mktemp("tiny")),
        write_texts(folder / "texts.jsonl"),
        rewards=rewards,
        rewriters=[{"name": "policy"}, {"name": "whitespace"}],
        held_out=[],
    )


@pytest.fixture(scope="module")
def run(recipe: Path, registry: Registry, tmp_path_factory: pytest.TempPathFactory) -> prl.Run:
    changes = {"training.max_steps": 2, "evaluation.every": 1, "checkpoints.every": 1}
    return prl.train(
        recipe, out=tmp_path_factory.mktemp("runs") / "a", set=changes, device="cpu", registry=registry
    )


@pytest.fixture(scope="module")
def results(run: prl.Run, registry: Registry) -> Results:
    return prl.evaluate(run, texts=3, device="cpu", registry=registry, every_checkpoint=True)


def test_training_logs_it_and_its_monitor_watches_it(run: prl.Run) -> None:
    rows = [row["metrics"] for row in read_jsonl(run.folder / "metrics.jsonl")]
    assert all("gist_reward" in row for row in rows)
    terms = terms_of_run(run.folder)
    assert {term.role: term.metric for term in terms} == {
        "meaning": "gist_reward",
        "evasion": "detector_reward",
    }
    found = alarms([{"gist_reward": 0.3}] * 20, rules_for(terms))
    assert found == {"meaning-lost": "gist_reward 0.3 is below 0.8 over 20 steps: raise the weight of gist"}


def test_a_check_does_not_miss_a_reward_for_meaning(recipe: Path, registry: Registry) -> None:
    def messages(rewards: list[dict[str, object]]) -> str:
        return "\n".join(f.one_line for f in prl.check(recipe, set={"rewards": rewards}, registry=registry))

    evasion: dict[str, object] = {"name": "detector-evasion"}
    assert "nothing keeps the meaning" not in messages([{"name": "gist"}, evasion])
    assert "nothing keeps the meaning; add gist" in messages([evasion])


def test_the_summary_has_its_change(run: prl.Run) -> None:
    summary = run.summary
    assert "gist_reward" in {row.term for row in summary.rows}
    assert "P(AI) of the rewrite: vowels" in summary.text(run.folder)


def test_an_evaluation_measures_it_first(results: Results) -> None:
    assert (results.metrics[0].name, results.metrics[0].role) == ("gist_preserved", "meaning")
    of_policy = results.meaning("policy")
    assert of_policy is not None
    assert of_policy.metric == "gist_preserved"
    assert of_policy.estimate.value is not None
    of_whitespace = results.meaning("whitespace")
    assert of_whitespace is not None
    assert of_whitespace.estimate.value is not None
    assert of_whitespace.estimate.value > of_policy.estimate.value


def test_acceptance_bounds_it_and_the_choice_of_a_checkpoint_weighs_it(
    run: prl.Run, results: Results
) -> None:
    of_policy = results.meaning("policy")
    assert of_policy is not None
    value = of_policy.estimate.value
    assert value is not None

    def line(bound: float) -> str:
        verdict = prl.validate(run, set={"acceptance.meaning": bound})
        [found] = [line for line in verdict.lines if line.criterion == "meaning"]
        assert found.value == value
        return found.verdict

    assert line(value - 0.01) == "pass"
    assert line(min(1.0, value + 0.01)) == "fail"
    best = prl.validate(run, checkpoint="best")
    assert {c.step for c in best.candidates} == {1, 2}
    assert {c.similarity for c in best.candidates if c.step == 2} == {value}


def test_without_an_evaluation_a_checkpoint_is_chosen_by_the_reward(run: prl.Run, tmp_path: Path) -> None:
    from paraphrase_rl.acceptance.checkpoint_choice import candidates

    history = read_history(run.folder)
    found = candidates(history, None, {}, 0.5, "prl evaluate")
    trained = {step: metrics["gist_reward"] for step, metrics in history.evaluations.items()}
    assert [c.similarity for c in found] == [trained[c.step] for c in found]
    assert sum(c.chosen for c in found) == 1


def test_a_report_draws_it(run: prl.Run, results: Results) -> None:
    assert results.metrics
    text = prl.report(run).read_text(encoding="utf-8")
    assert "gist_reward over training" in text
    assert "letters in common" in text  # what the curve is about, from the manifest
    assert "Evasion against meaning" in text
    assert "gist preserved ↑" in text  # an axis of the chart
    assert "share of letters in common" in text  # its row of the table of quality
    assert "Meaning preserved" in text


def test_beside_the_bundled_metric_it_is_still_the_one_that_counts(
    patched: pytest.MonkeyPatch, recipe: Path
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PRL_DISABLE_PLUGINS", "")
        both = Registry(Plugins.load())
    meaning = [m.name for m in choose_metrics(load_recipe(recipe).recipe, both) if m.spec.role == "meaning"]
    assert meaning == ["gist-preserved", "semantic-similarity"]
