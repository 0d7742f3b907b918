"""docs/plugins.md says what the code does."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import pytest

from paraphrase_rl.plugin import hookspecs
from paraphrase_rl.plugin.discovery import HOOKS
from paraphrase_rl.recipe.schema import Recipe

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "plugins.md").read_text(encoding="utf-8")
THIRD_PARTY = ROOT / "tests" / "plugins" / "third_party"


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE, flags=re.DOTALL)


@pytest.mark.parametrize("module", ["acme_vowels.py", "acme_hello.py", "acme_gist.py"])
def test_the_code_is_the_tested_file(module: str) -> None:
    assert (THIRD_PARTY / module).read_text(encoding="utf-8") in blocks("python")


def test_the_table_of_hooks_is_the_page_of_hooks() -> None:
    signatures = {f"{hook}{inspect.signature(getattr(hookspecs, hook))}".replace("'", "") for hook in HOOKS}
    assert set(re.findall(r"^\| `(\w+\(.*?)` \|", PAGE, flags=re.MULTILINE)) == signatures


def test_the_packaging_is_that_of_the_tested_distribution() -> None:
    (toml,) = blocks("toml")
    entry_points = (THIRD_PARTY / "acme_detectors-1.2.0.dist-info" / "entry_points.txt").read_text()
    assert 'vowels = "acme_vowels"' in toml
    assert "vowels = acme_vowels\n" in entry_points


def test_the_recipe_is_valid() -> None:
    import yaml

    (text,) = blocks("yaml")
    assert Recipe.model_validate(yaml.safe_load(text)).detectors[0].options == {"vowels": "aeiouy"}


def test_every_variable_is_documented() -> None:
    files = [ROOT / "paraphrase_rl" / "plugin" / f"{name}.py" for name in ("installed", "discovery")]
    variables = {
        name for file in files for name in re.findall(r'"(PRL_\w+)"', file.read_text(encoding="utf-8"))
    }
    assert variables == set(re.findall(r"^\| `(PRL_\w+)=", PAGE, flags=re.MULTILINE))
