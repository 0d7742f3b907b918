"""Which words a rewrite changed, and text made safe to look at."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from itertools import groupby
from typing import Literal

from markupsafe import Markup, escape

_TOKEN = re.compile(r"\w+\s*|[^\w\s]\s*|\s+")
"""A word or a sign with the space after it, so that spaces alone never match."""
_LONG = 2000
"""From so many tokens on frequent ones no longer anchor a match: a comparison is quadratic in them."""


@dataclass(frozen=True, slots=True)
class Mark:
    """A piece of text and what became of it: in both texts, only in the source, or only in the rewrite."""

    kind: Literal["same", "removed", "added"]
    text: str


def marks(source: str, rewrite: str) -> list[Mark]:
    """Source and rewrite as one sequence.

    ``same`` and ``removed`` joined are the source, ``same`` and ``added`` joined the rewrite, to the character.
    """
    before, after = _TOKEN.findall(source), _TOKEN.findall(rewrite)
    found: list[Mark] = []
    matcher = SequenceMatcher(None, before, after, autojunk=len(after) > _LONG)
    for operation, i, j, k, m in matcher.get_opcodes():
        if operation == "equal":
            found.append(Mark("same", "".join(before[i:j])))
            continue
        found += [Mark("removed", "".join(before[i:j]))] if j > i else []
        found += [Mark("added", "".join(after[k:m]))] if m > k else []
    return found


def changed_share(found: Sequence[Mark]) -> float:
    """Characters removed or added, of all characters shown: 0 = the same text, 1 = nothing in common."""
    total = sum(len(mark.text) for mark in found)
    return sum(len(mark.text) for mark in found if mark.kind != "same") / total if total else 0.0


_TAGS = {"removed": "del", "added": "ins"}


def marked(found: Sequence[Mark]) -> Markup:
    """HTML: words removed in ``<del>``, words added in ``<ins>``; letters of a script that the source lacks stand out.

    A Cyrillic letter in an English word looks like the Latin one, so that the change would be seen by its mark alone.
    """
    scripts = {_script(c) for mark in found if mark.kind != "added" for c in mark.text} - {""}
    return Markup("").join(_tagged(mark, scripts) for mark in found)


def _tagged(mark: Mark, scripts: set[str]) -> Markup:
    if mark.kind not in _TAGS:
        return visible(mark.text)
    words = mark.text.rstrip() or mark.text  # no line under the space that follows
    shown = _foreign(words, scripts) if mark.kind == "added" else visible(words)
    return Markup("<{0}>{1}</{0}>{2}").format(
        Markup(_TAGS[mark.kind]), shown, visible(mark.text[len(words) :])
    )


def _foreign(text: str, scripts: set[str]) -> Markup:
    parts = groupby(text, lambda c: bool(scripts) and _script(c) not in {"", *scripts})
    return Markup("").join(
        Markup('<span class="foreign">{}</span>').format(visible("".join(part)))
        if foreign
        else visible("".join(part))
        for foreign, part in parts
    )


def _script(character: str) -> str:
    """The first word of a letter's name in Unicode, such as LATIN or CYRILLIC; empty for what is no letter."""
    return unicodedata.name(character, "").partition(" ")[0] if character.isalpha() else ""


def visible(text: str) -> Markup:
    """The text escaped, with each invisible or direction-changing character shown as its code point.

    Zero-width characters are how some attacks work, and a bidirectional override would reorder the page.
    """
    return Markup("").join(
        Markup('<span class="code-point">{}</span>').format(part) if is_code else escape(part)
        for is_code, part in _parts(text)
    )


def printable(text: str) -> str:
    """The same as plain text, for attributes and titles."""
    return "".join(f"[{part}]" if is_code else part for is_code, part in _parts(text))


def _parts(text: str) -> Iterator[tuple[bool, str]]:
    start = 0
    for i, character in enumerate(text):
        if unicodedata.category(character) in ("Cc", "Cf", "Cs", "Co", "Cn") and character not in "\n\t":
            if i > start:
                yield False, text[start:i]
            yield True, f"U+{ord(character):04X}"
            start = i + 1
    if start < len(text):
        yield False, text[start:]
