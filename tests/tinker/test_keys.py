"""Keys of the recipe that reach nothing, or less than they say, on the service."""

from __future__ import annotations

from pathlib import Path

import pytest
from paraphrase_rl_plugins.backends import tinker_backend
from paraphrase_rl_plugins.backends._tinker_policy import seed_of
from paraphrase_rl_plugins.backends.tinker_backend import adapted_parts

from paraphrase_rl.errors import RecipeError
from paraphrase_rl.plugins import Plugins
from paraphrase_rl.recipe.loading import load_recipe
from paraphrase_rl.recipe.preflight import Check, preflight
from paraphrase_rl.recipe.schema import Lora
from paraphrase_rl.registry import Registry

ATTENTION = ["q_proj", "k_proj", "v_proj", "o_proj"]
MLP = ["gate_proj", "up_proj", "down_proj"]


def said(*overrides: str) -> dict[str, Check]:
    registry = Registry(Plugins.of(tinker=tinker_backend))
    checks = preflight(load_recipe(None, overrides), registry, backend="tinker")
    return {check.name: check for check in checks if "tinker" in f"{check.name} {check.message}"}


def test_what_reaches_nothing_is_announced() -> None:
    checks = said()
    assert checks["lora.alpha"].level == "note"
    assert "as with alpha 32" in checks["lora.alpha"].message
    assert checks["lora.target_modules"].message == (
        "on tinker: train_attn true, train_mlp true, train_unembed false"
    )
    assert said("lora.alpha=64")["lora.alpha"].level == "warning", "the user wrote it, and it does nothing"


def test_a_temperature_that_would_falsify_the_ratios_is_refused() -> None:
    check = said("sampling.temperature=0.7")["tinker"]
    assert check.level == "error"
    assert check.message.startswith("sampling.temperature 0.7: ")


@pytest.mark.parametrize(
    ("key", "fragment"), [("", "there is no API key"), ("sk-1", "is no key of the service")]
)
def test_a_missing_or_foreign_key_is_an_error_of_preflight(
    key: str, fragment: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("TINKER_API_KEY", key)
    check = said()["tinker"]
    assert check.level == "error"
    assert fragment in check.message
    assert not key or key not in check.message


@pytest.mark.parametrize(
    ("layers", "switches"),
    [
        (None, (True, True, False)),
        (ATTENTION, (True, False, False)),
        (MLP, (False, True, False)),
        ([*MLP, "lm_head"], (False, True, True)),
        ([*MLP, *ATTENTION], (True, True, False)),
    ],
)
def test_layers_become_switches(layers: list[str] | None, switches: tuple[bool, bool, bool]) -> None:
    parts = adapted_parts(Lora(target_modules=layers))
    assert (parts["train_attn"], parts["train_mlp"], parts["train_unembed"]) == switches


@pytest.mark.parametrize("layers", [["q_proj", "v_proj"], [*ATTENTION, "up_proj"], ["c_attn"], []])
def test_layers_the_service_cannot_choose_are_refused(layers: list[str]) -> None:
    with pytest.raises(RecipeError, match="whole parts only"):
        adapted_parts(Lora(target_modules=layers))


def test_seeds_are_fixed_by_the_key_and_far_apart() -> None:
    """A server may give its i-th sample the seed s + i: no two prompts may be that close."""
    seeds = [seed_of((0, step, index)) for step in range(1, 200) for index in range(20)]
    assert seeds == [seed_of((0, step, index)) for step in range(1, 200) for index in range(20)]
    assert min(b - a for a, b in zip(sorted(seeds), sorted(seeds)[1:], strict=False)) > 8
    assert all(0 <= seed < 2**31 for seed in seeds)
