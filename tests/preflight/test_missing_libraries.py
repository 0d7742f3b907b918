"""A check of a recipe on a machine that lacks a library of an extra: findings, never a traceback."""

from __future__ import annotations

import shutil
import sys
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement

import paraphrase_rl as prl
from paraphrase_rl.errors import MissingDependencyError
from paraphrase_rl.models.language_model import shared_language_model
from paraphrase_rl.models.references import (
    load_causal_lm,
    load_tokenizer,
    load_tokenizer_alone,
    shared_causal_lm,
)
from paraphrase_rl.preflight import prompt
from tests.tiny_model import save_tiny_model

MODULES = {
    "scikit-learn": "sklearn",
    "sentence-transformers": "sentence_transformers",
    "huggingface-hub": "huggingface_hub",
}
NEEDED = {
    "trl": {"torch", "transformers", "trl", "peft", "accelerate", "datasets"},
    "tinker": {"tinker", "transformers"},
}


def optional_libraries() -> list[str]:
    """Every library that an extra installs and the core does not, as it is imported."""
    lines = [Requirement(line) for line in metadata.requires("paraphrase-rl") or []]
    core = {line.name for line in lines if line.marker is None}
    extras = {
        line.name for line in lines if line.marker is not None and 'extra == "dev"' not in str(line.marker)
    }
    return sorted(MODULES.get(name, name) for name in extras - core)


LIBRARIES = sorted(
    {*optional_libraries(), "tokenizers", "huggingface_hub", "safetensors"} - {"paraphrase-rl"}
)


def hide(library: str, patch: pytest.MonkeyPatch) -> None:
    for name in [n for n in sys.modules if n == library or n.startswith(f"{library}.")]:
        patch.setitem(sys.modules, name, None)
    patch.setitem(sys.modules, library, None)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_model(tmp_path_factory.mktemp("tiny") / "tiny")


def test_the_list_is_not_empty() -> None:
    assert NEEDED["trl"] | NEEDED["tinker"] <= set(LIBRARIES)


@pytest.mark.parametrize(
    ("backend", "library"),
    [("trl", library) for library in LIBRARIES]
    + [("tinker", library) for library in sorted(NEEDED["tinker"])],
)
def test_what_is_missing_is_found(
    tiny: Path, monkeypatch: pytest.MonkeyPatch, library: str, backend: str
) -> None:
    monkeypatch.setenv("TINKER_API_KEY", "tml-none")
    monkeypatch.setenv("TINKER_BASE_URL", "http://127.0.0.1:9")
    hide(library, monkeypatch)
    found = prl.check("quickstart", backend=backend, set={"model": str(tiny)})
    named = [row for row in found if row.code == "PRL001" and row.key == "backend"]
    if library in NEEDED[backend]:
        assert library in named[0].evidence
        assert named[0].remedy.startswith("pip install ")
    else:
        assert not named
    assert "PRL016" in {row.code for row in found}, "the end of a prompt is seen without it"


def test_a_prompt_that_only_the_tokenizer_can_render_needs_transformers(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = Path(shutil.copytree(tiny, tmp_path / "model"))
    (folder / "additional_chat_templates").mkdir()
    seen = prl.check("quickstart", set={"model": str(folder)})
    assert "PRL016" in {row.code for row in seen}
    prompt._tokenizer.cache_clear()
    hide("transformers", monkeypatch)
    [unseen] = [row for row in prl.check("quickstart", set={"model": str(folder)}) if row.code == "PRL017"]
    assert (unseen.severity, "\n" in unseen.evidence) == ("note", False)
    assert "needs a package that is not installed" in unseen.evidence


@pytest.mark.parametrize("load", [load_tokenizer, load_tokenizer_alone, load_causal_lm])
def test_a_model_says_which_library_it_needs(
    tiny: Path, monkeypatch: pytest.MonkeyPatch, load: object
) -> None:
    hide("transformers", monkeypatch)
    with pytest.raises(MissingDependencyError, match=r"a package that is not installed: .*transformers"):
        load(tiny)  # type: ignore[operator]


@pytest.mark.parametrize("load", [shared_causal_lm, shared_language_model])
def test_a_shared_model_says_that_it_needs_torch(
    tiny: Path, monkeypatch: pytest.MonkeyPatch, load: object
) -> None:
    hide("torch", monkeypatch)
    with pytest.raises(MissingDependencyError, match=r"a package that is not installed: .*torch"):
        load(str(tiny))  # type: ignore[operator]
