"""Every file in configs/."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from paraphrase_rl_plugins.rewards import fluency

from paraphrase_rl.api.training import default_recipe
from paraphrase_rl.plugin import DEFAULT_LANGUAGE_MODEL
from paraphrase_rl.plugin.registry import default_registry
from paraphrase_rl.recipe.cost import read_prices
from paraphrase_rl.recipe.defaults import default, default_backend
from paraphrase_rl.recipe.loading import load_recipe, packaged_recipes
from paraphrase_rl.recipe.schema import Recipe

CONFIGS = sorted(packaged_recipes().values())


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_it_loads_and_its_header_says_what_it_is(path: Path) -> None:
    load_recipe(path)
    header = re.match(r"(#.*\n)+", path.read_text(encoding="utf-8"))
    assert header is not None
    for said in ("# For:", "# Costs:", "# Needs:"):
        assert said in header[0]
    command = re.search(r"# Run: +prl train --backend (\S+) --config (\S+)\n", header[0])
    assert command is not None
    assert command[2] == f"configs/{path.name}"
    assert default_registry().spec("backends", command[1])


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_its_components_exist_and_take_its_options(path: Path) -> None:
    recipe, registry = load_recipe(path).recipe, default_registry()
    for detector in recipe.detectors:
        registry.options("detectors", detector.name, detector.options)
    for reward in recipe.rewards:
        registry.options("rewards", reward.name, reward.options)
    registry.options("datasets", recipe.data.source.name, recipe.data.source.options)


@pytest.mark.parametrize("name", ["quickstart", "demo", "evidence"])
def test_the_band_of_fluency_is_that_of_texts_of_this_length(name: str) -> None:
    """Between the documented bands of the lengths next to it; texts beyond the table have no higher ones."""
    recipe = load_recipe(name).recipe
    assert recipe.model == DEFAULT_LANGUAGE_MODEL
    assert recipe.data.excerpt_words is not None
    row = r"^(\d+) +[\d.]+ +([\d.]+) +[\d.]+ +([\d.]+) +[\d.]+$"
    assert fluency.__doc__ is not None
    table = {
        int(words): (round(float(low)), round(float(high)))
        for words, low, high in re.findall(row, fluency.__doc__, re.MULTILINE)
    }
    assert sorted(table) == [24, 48, 96]
    shorter = max(words for words in table if words <= recipe.data.excerpt_words)
    longer = min((words for words in table if words >= recipe.data.excerpt_words), default=None)
    given = next(reward.options for reward in recipe.rewards if reward.name == "fluency")
    band = fluency.FluencyOptions.model_validate(given)
    for ours, least, most in zip(
        (band.low, band.high), table[longer] if longer else (1, 1), table[shorter], strict=True
    ):
        assert least <= ours <= most


def test_the_defaults_exist_and_are_no_recipe() -> None:
    recipe, registry = Recipe(), default_registry()
    assert "defaults" not in packaged_recipes()
    for attack in recipe.rewriters:
        registry.options("rewriters", attack.name, attack.options)
    for kind, component in recipe.components():
        registry.options(kind, component.name, component.options)
    assert registry.get("backends", default_backend())
    assert all(registry.get("datasets", name) for name in default("published_sets"))


def test_the_served_recipe_differs_in_the_model_line_only() -> None:
    """Also in its text, comments apart: what is written once is not written another way."""
    published, served = (
        [line for line in path.read_text(encoding="utf-8").splitlines() if not line.startswith("#")]
        for path in (packaged_recipes()["recipe"], packaged_recipes()["recipe-served"])
    )
    differing = [pair for pair in zip(published, served, strict=True) if pair[0] != pair[1]]
    assert differing == [("model: Qwen/Qwen3-4B-Instruct-2507", "model: Qwen/Qwen3.5-4B")]
    one, other = (load_recipe(name).recipe for name in ("recipe", "recipe-served"))
    assert other == one.model_copy(update={"model": "Qwen/Qwen3.5-4B"})
    assert other.prompt.thinking is False


def test_a_backend_takes_a_recipe_that_it_can_run_unless_one_is_named() -> None:
    specs = [entry.spec for entry in default_registry().entries("backends")]
    assert {spec.name: spec.recipe for spec in specs} == {"trl": "recipe", "tinker": "recipe-served"}
    for spec in specs:
        assert default_recipe(spec.name) == spec.recipe
        assert spec.recipe in packaged_recipes()
        if spec.prices is not None:
            priced = read_prices(spec.prices).models
            assert priced[load_recipe(spec.recipe).recipe.model].retired is None
    assert default_recipe("nobody") == "recipe"


def test_the_recipe_has_the_published_numbers_and_so_have_the_defaults() -> None:
    for recipe in (load_recipe("recipe").recipe, Recipe()):
        assert recipe.model == "Qwen/Qwen3-4B-Instruct-2507"
        assert (recipe.lora.rank, recipe.lora.alpha, recipe.lora.target_modules) == (32, 32, None)
        training = recipe.training
        assert (training.learning_rate, training.batch_size, training.group_size, training.epochs) == (
            2.8e-4,
            4,
            8,
            3,
        )
        assert (recipe.sampling.temperature, recipe.sampling.top_p) == (1.0, 0.95)
        assert (recipe.kl.penalty_coef, recipe.grpo.advantage_clip, recipe.loss) == (
            0.01,
            10.0,
            "importance_sampling",
        )
        assert (recipe.evaluation.every, recipe.checkpoints.every, recipe.checkpoints.keep) == (100, 500, 5)
        assert recipe.data.test_fraction == 0.2
        names = ["detector-evasion", "semantic-similarity", "fluency", "format", "fairness"]
        assert [reward.name for reward in recipe.rewards] == names
        weights = [default_registry().spec("rewards", name).default_weight for name in names]
        assert weights == [1.0, 1.0, 0.5, 0.5, 0.2]
