"""Keys of the recipe that reach nothing, or less than they say, on the service."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner
from paraphrase_rl_plugins.backends import tinker_backend
from paraphrase_rl_plugins.backends._seeds import seed_of
from paraphrase_rl_plugins.backends.tinker_backend import adapted_parts

from paraphrase_rl.cli.main import cli
from paraphrase_rl.data.documents import Corpus
from paraphrase_rl.errors import RecipeError
from paraphrase_rl.plugin import registry as registry_module
from paraphrase_rl.plugin.discovery import Plugins
from paraphrase_rl.plugin.registry import Registry
from paraphrase_rl.preflight import backends
from paraphrase_rl.preflight.case import Case
from paraphrase_rl.preflight.checks import preflight, rules_of
from paraphrase_rl.preflight.findings import Finding
from paraphrase_rl.recipe.loading import load_recipe
from paraphrase_rl.recipe.schema import Lora
from tests.tiny_model import save_tiny_model
from tests.training.runs import documents

ATTENTION = ["q_proj", "k_proj", "v_proj", "o_proj"]
RULES = {rule.code for rule in rules_of(backends)}
MLP = ["gate_proj", "up_proj", "down_proj"]


def said(*overrides: str) -> dict[str, Finding]:
    registry = Registry(Plugins.of(tinker=tinker_backend))
    checks = preflight(Case(loaded=load_recipe(None, overrides), registry=registry, backend="tinker"))
    return {check.key: check for check in checks if check.code in RULES}


def test_what_reaches_nothing_is_announced() -> None:
    checks = said()
    assert checks["lora.alpha"].severity == "note"
    assert "as with alpha 32" in checks["lora.alpha"].evidence
    assert checks["lora.target_modules"].evidence == (
        "lora.target_modules on tinker: train_attn true, train_mlp true, train_unembed false"
    )
    assert said("lora.alpha=64")["lora.alpha"].severity == "warning", "the user wrote it, and it does nothing"


def test_a_temperature_that_would_falsify_the_ratios_is_refused() -> None:
    check = said("sampling.temperature=0.7")["backend"]
    assert check.severity == "error"
    assert check.evidence.startswith("sampling.temperature 0.7: ")


@pytest.mark.parametrize(
    ("key", "fragment"), [("", "there is no API key"), ("sk-1", "is not an API key of the service")]
)
def test_a_missing_or_foreign_key_is_an_error_of_preflight(
    key: str, fragment: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("TINKER_API_KEY", key)
    check = said()["backend"]
    assert check.severity == "error"
    assert fragment in check.evidence
    assert not key or key not in check.evidence


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
    with pytest.raises(RecipeError, match="only whole parts"):
        adapted_parts(Lora(target_modules=layers))


@pytest.mark.parametrize("tied", [True, False])
def test_the_unembedding_of_tied_embeddings_is_refused(tied: bool, tmp_path: Path) -> None:
    """Such an adapter cannot be merged: one policy at the service, another exported whole."""
    model = f"model={save_tiny_model(tmp_path / 'model', qwen=True, tied=tied)}"
    found = said(model, f"lora.target_modules=[{', '.join([*ATTENTION, 'lm_head'])}]")
    assert ("backend" in found) is tied
    if tied:
        assert found["backend"].severity == "error"
        assert "lm_head is the unembedding of" in found["backend"].evidence
    assert "backend" not in said(model, f"lora.target_modules=[{', '.join(ATTENTION)}]")


def test_seeds_are_fixed_by_the_key_and_far_apart() -> None:
    """A server may give its i-th sample the seed s + i: no two prompts may be that close."""
    seeds = [seed_of((0, step, index)) for step in range(1, 200) for index in range(20)]
    assert seeds == [seed_of((0, step, index)) for step in range(1, 200) for index in range(20)]
    assert min(b - a for a, b in zip(sorted(seeds), sorted(seeds)[1:], strict=False)) > 8
    assert all(0 <= seed < 2**31 for seed in seeds)


def test_a_remote_policy_needs_its_tokenizer_here_and_leaves_its_checkpoints_there(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    registry = Registry(Plugins.of(tinker=tinker_backend))
    recipe = load_recipe(None, ["model=Acme/Nowhere-4B", "data.source={name: starter}"])
    corpus = Corpus(tuple(replace(d, split="train") for d in documents(8)), "made-up", "")
    checks = preflight(Case(loaded=recipe, registry=registry, corpus=corpus, backend="tinker"))
    [policy] = [check.one_line for check in checks if "(policy)" in check.evidence]
    assert "its tokenizer is not on this machine" in policy
    assert "`hf download Acme/Nowhere-4B --include 'tokenizer*'" in policy
    [checkpoints] = [check.evidence for check in checks if check.name == "checkpoints"]
    assert checkpoints.startswith("at the service, none on disk:")


def test_all_that_keeps_a_run_from_starting_is_told_at_once(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Without --config the packaged recipe is meant: here without its data, the SDK and a key."""
    importable = registry_module._importable
    monkeypatch.setattr(registry_module, "_importable", lambda name: name != "tinker" and importable(name))
    for name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "TINKER_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    ended = CliRunner().invoke(cli, ["train", "--backend", "tinker"])
    assert ended.exit_code == 2
    *lines, error, hint = ended.stderr.splitlines()
    assert lines == [
        "- no file at data/recipe.jsonl; check the path (relative: from the current folder); "
        "`prl data build` makes the data of the recipe",
        "- backend tinker needs tinker, which is not installed; pip install 'paraphrase-rl[tinker]'",
        "- tinker: there is no API key; export TINKER_API_KEY=tml-...",
    ]
    assert error == "error: 3 things keep this run from starting"
    assert hint == "hint: `prl check` shows all findings"
