"""Chat template in the folder of a model, rendered without the tokenizer: that needs torch, and seconds to load.

Enough to see what a prompt ends in. What the folder does not say by itself is left to the tokenizer.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

if TYPE_CHECKING:
    from jinja2 import Template

_SPECIAL = re.compile(r"\b(?:bos|eos|unk|sep|pad|cls|mask)_token\b")


class SavedTemplate:
    """Chat template with the special tokens that it writes, called as that of a tokenizer of transformers is."""

    def __init__(self, source: str, special: Mapping[str, str]) -> None:
        self.source, self.special = source, special
        self._compiled: Template | None = None

    def get_chat_template(self) -> str:
        """Return the source of the template."""
        return self.source

    def apply_chat_template(
        self,
        conversation: Sequence[Mapping[str, str]],
        *,
        add_generation_prompt: bool,
        tokenize: bool = False,
        **variables: object,
    ) -> str:
        """Render a conversation as text.

        Raises:
            jinja2.TemplateError: the template is damaged, or refuses the conversation.
        """
        assert not tokenize
        if self._compiled is None:
            self._compiled = _environment().from_string(self.source)
        given = {"tools": None, "documents": None, **self.special, **variables}
        return self._compiled.render(
            messages=[dict(message) for message in conversation],
            add_generation_prompt=add_generation_prompt,
            **given,
        )


def _environment() -> Any:
    """The environment in which transformers compiles chat templates: whoever wrote a model, it reaches no more."""
    from jinja2 import TemplateError, ext, nodes
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    class Generation(ext.Extension):
        """``{% generation %}``: marks what the model has written, for training; nothing of it is rendered."""

        tags = {"generation"}  # noqa: RUF012 - as jinja2 declares it

        def parse(self, parser: Any) -> nodes.Node:
            line = next(parser.stream).lineno
            body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
            return nodes.Scope(body).set_lineno(line)

    def refuse(message: str) -> NoReturn:
        raise TemplateError(message)

    def as_json(value: object, ensure_ascii: bool = False, **how: Any) -> str:
        return json.dumps(value, ensure_ascii=ensure_ascii, **how)

    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[Generation, ext.loopcontrols]
    )
    environment.filters["tojson"] = as_json
    environment.globals["raise_exception"] = refuse
    environment.globals["strftime_now"] = lambda form: datetime.now().strftime(form)
    return environment


def saved_template(folder: Path) -> SavedTemplate | None:
    """Read the chat template of a model; ``None`` if only its tokenizer knows it, or if it has none."""
    try:
        config = json.loads((folder / "tokenizer_config.json").read_text(encoding="utf-8"))
        legacy = folder / "special_tokens_map.json"
        named = {**config, **(json.loads(legacy.read_text(encoding="utf-8")) if legacy.is_file() else {})}
        file = folder / "chat_template.jinja"
        source = file.read_text(encoding="utf-8") if file.is_file() else config.get("chat_template")
    except (OSError, ValueError, TypeError, AttributeError):
        return None
    if not isinstance(source, str) or "auto_map" in config or (folder / "additional_chat_templates").exists():
        return None
    special = {}
    for name in _SPECIAL.findall(source):
        token = named.get(name)
        token = token.get("content") if isinstance(token, dict) else token
        if not isinstance(token, str):
            return None  # the class of the tokenizer may have one
        special[name] = token
    return SavedTemplate(source, special)
