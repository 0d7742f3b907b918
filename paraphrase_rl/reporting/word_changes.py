"""Words that a rewrite changed, marked in HTML, with invisible characters shown."""

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
"""Above this many tokens, frequent tokens no longer anchor a match: comparing takes quadratic time in them."""


@dataclass(frozen=True, slots=True)
class WordChange:
    """A piece of text that is in both texts (same), only in the source (removed) or only in the rewrite (added)."""

    kind: Literal["same", "removed", "added"]
    text: str


def word_changes(source: str, rewrite: str) -> list[WordChange]:
    """Compare source and rewrite word by word, and merge them into one sequence.

    ``same`` and ``removed`` joined are the source, ``same`` and ``added`` joined the rewrite, to the character.
    """
    before, after = _TOKEN.findall(source), _TOKEN.findall(rewrite)
    found: list[WordChange] = []
    matcher = SequenceMatcher(None, before, after, autojunk=len(after) > _LONG)
    for operation, i, j, k, m in matcher.get_opcodes():
        if operation == "equal":
            found.append(WordChange("same", "".join(before[i:j])))
            continue
        found += [WordChange("removed", "".join(before[i:j]))] if j > i else []
        found += [WordChange("added", "".join(after[k:m]))] if m > k else []
    return found


def changed_share(found: Sequence[WordChange]) -> float:
    """Compute the share of characters removed or added among all shown: 0 = the same text, 1 = nothing in common."""
    total = sum(len(change.text) for change in found)
    return sum(len(change.text) for change in found if change.kind != "same") / total if total else 0.0


_TAGS = {"removed": "del", "added": "ins"}


def changes_as_html(found: Sequence[WordChange]) -> Markup:
    """Write changes as HTML: removed words in ``<del>``, added ones in ``<ins>``, letters of new scripts in a box.

    A Cyrillic letter in an English word looks like the Latin one, so only a mark shows that it was changed.
    """
    scripts = {_script(c) for change in found if change.kind != "added" for c in change.text} - {""}
    return Markup("").join(_tagged(change, scripts) for change in found)


def _tagged(change: WordChange, scripts: set[str]) -> Markup:
    if change.kind not in _TAGS:
        return visible(change.text)
    words = change.text.rstrip() or change.text  # no line under the space that follows
    shown = _foreign(words, scripts) if change.kind == "added" else visible(words)
    return Markup("<{0}>{1}</{0}>{2}").format(
        Markup(_TAGS[change.kind]), shown, visible(change.text[len(words) :])
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
    """First word of a letter's Unicode name, such as LATIN or CYRILLIC; empty for anything but a letter."""
    return unicodedata.name(character, "").partition(" ")[0] if character.isalpha() else ""


def visible(text: str) -> Markup:
    """Escape a text for HTML, and show each invisible or direction-changing character as its code point.

    Zero-width characters are how some attacks work, and a bidirectional override would reorder the page.
    """
    return Markup("").join(
        Markup('<span class="code-point">{}</span>').format(part) if is_code else escape(part)
        for is_code, part in _parts(text)
    )


def printable(text: str) -> str:
    """Show invisible characters as code points in plain text, for attributes and titles."""
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
