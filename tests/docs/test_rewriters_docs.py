"""docs/rewriters.md lists every bundled rewriter with what its spec says.

``PRL_WRITE_DOCS=1 pytest tests/docs/test_rewriters_docs.py`` writes the table anew.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

from paraphrase_rl.plugin.registry import default_registry
from paraphrase_rl.plugin.specs import ComponentSpec

PAGE = Path(__file__).resolve().parents[2] / "docs" / "rewriters.md"
PART = re.compile(r"(?<=<!-- rewriters -->\n).*?(?=<!-- /rewriters -->)", re.DOTALL)
PLACES = re.compile(r"^\| `([a-z-]+)` \|(?:[^|\n]*\|){3}$", re.MULTILINE)


def bundled() -> dict[str, ComponentSpec]:
    return {
        entry.spec.name: entry.spec
        for entry in default_registry().entries("rewriters")
        if entry.plugin.bundled
    }


def default_rate(spec: ComponentSpec) -> str:
    rate = spec.options.model_fields.get("rate")
    return "" if rate is None else f"{rate.default:g}"


def table() -> str:
    head = "| rewriter | what it does | default rate | source |\n|---|---|---|---|\n"
    return head + "".join(
        f"| `{name}` | {spec.summary} | {default_rate(spec)} | {spec.paper} |\n"
        for name, spec in bundled().items()
    )


def test_the_table_is_what_the_specs_say() -> None:
    text = PAGE.read_text(encoding="utf-8")
    if os.environ.get("PRL_WRITE_DOCS"):
        PAGE.write_text(PART.sub(lambda _: table(), text), encoding="utf-8")
        return
    found = PART.search(text)
    assert found is not None
    assert found[0] == table(), "make docs writes it anew"


def test_every_rewriter_with_a_rate_says_what_a_place_is() -> None:
    with_rate = [name for name, spec in bundled().items() if default_rate(spec)]
    outside = PART.sub("", PAGE.read_text(encoding="utf-8"))
    assert sorted(PLACES.findall(outside)) == sorted(with_rate)
