"""A chat template read from a model's folder renders what the model's tokenizer does."""

from __future__ import annotations

import json
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from jinja2 import TemplateError
from transformers import AutoTokenizer

from paraphrase_rl.models.chat_template import saved_template
from tests.tiny_model import tokenizer

TALK = [
    {"role": "system", "content": "Rewrite <it>."},
    {"role": "user", "content": 'It rained. \'Twas "wet" & cold\n{{ 7 * 7 }} \u2028 漢字'},
]


def published() -> dict[str, str]:
    """Every chat template that TRL carries, by name."""
    trl = find_spec("trl")
    assert trl is not None
    folder = Path(next(iter(trl.submodule_search_locations or ()))) / "chat_templates"
    return {path.stem: path.read_text(encoding="utf-8") for path in sorted(folder.glob("*.jinja"))}


TEMPLATES = published()


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a tokenizer that has each special token a template may name."""
    place = tmp_path_factory.mktemp("tokenizer")
    tokens = tokenizer()
    tokens.add_special_tokens(
        {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>", "pad_token": "<pad>"}
    )
    tokens.save_pretrained(place)
    return place


@pytest.fixture(scope="module")
def tokens(place: Path) -> Any:
    return AutoTokenizer.from_pretrained(place)


def test_there_are_many() -> None:
    assert len(TEMPLATES) > 40


@pytest.mark.parametrize("name", TEMPLATES)
def test_rendered_as_by_the_tokenizer(place: Path, tokens: Any, name: str) -> None:
    (place / "chat_template.jinja").write_text(TEMPLATES[name], encoding="utf-8")
    tokens.chat_template = TEMPLATES[name]
    saved = saved_template(place)
    assert saved is not None
    assert saved.get_chat_template() == tokens.get_chat_template()

    def rendered(by: Any, **variables: bool) -> str:
        try:
            text = by.apply_chat_template(TALK, add_generation_prompt=True, tokenize=False, **variables)
        except TemplateError as error:
            return f"refused: {error}"
        return str(text)

    for variables in ({}, {"enable_thinking": False}, {"enable_thinking": True}):
        assert rendered(saved, **variables) == rendered(tokens, **variables)


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"auto_map": {"AutoTokenizer": "x.Y"}}, "it brings code of its own"),
        ({"bos_token": None}, "the class of the tokenizer may have one"),
        ({"chat_template": [{"name": "default", "template": "x"}]}, "several templates"),
        ({"chat_template": None}, "no template"),
    ],
)
def test_what_only_the_tokenizer_knows_is_left_to_it(
    tmp_path: Path, changed: dict[str, object], why: str
) -> None:
    config = {"bos_token": "<s>", "chat_template": "{{ bos_token }}{{ messages[0].content }}"}
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(config))
    whole = saved_template(tmp_path)
    assert whole is not None
    assert whole.apply_chat_template(TALK[:1], add_generation_prompt=True) == "<s>Rewrite <it>."
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(config | changed))
    assert saved_template(tmp_path) is None, why


def test_a_special_token_may_be_described(tmp_path: Path) -> None:
    config = {"bos_token": {"content": "<s>", "lstrip": False}, "chat_template": "{{ bos_token }}"}
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(config))
    saved = saved_template(tmp_path)
    assert saved is not None
    assert saved.apply_chat_template(TALK, add_generation_prompt=False) == "<s>"


@pytest.mark.parametrize(
    "attack",
    [
        "{{ messages.__class__ }}",
        "{{ ''.__class__.__mro__ }}",
        "{{ cycler.__init__.__globals__ }}",
        "{{ messages.append(1) }}",
        "{{ strftime_now.__globals__ }}",
        "{{ namespace.__init__.__globals__ }}",
        "{% set n = namespace(a=1) %}{{ n.__class__ }}",
        "{{ raise_exception.__globals__['json'] }}",
    ],
)
def test_a_template_reaches_nothing_else(tmp_path: Path, attack: str) -> None:
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"chat_template": attack}))
    saved = saved_template(tmp_path)
    assert saved is not None
    try:
        reached = saved.apply_chat_template(TALK, add_generation_prompt=True)
    except TemplateError:
        reached = ""
    assert not reached


def test_neither_torch_nor_transformers_is_loaded(tmp_path: Path) -> None:
    import subprocess

    code = (
        "import sys, pathlib; from paraphrase_rl.models.chat_template import saved_template\n"
        "t = saved_template(pathlib.Path(sys.argv[1])); print(t.apply_chat_template([], add_generation_prompt=True))\n"
        "assert not {'torch', 'transformers'} & sys.modules.keys()"
    )
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"chat_template": "rendered"}))
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=True
    )
    assert done.stdout == "rendered\n"
