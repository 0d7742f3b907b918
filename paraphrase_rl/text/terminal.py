"""Text made safe for a terminal: what would move the cursor, recolour or reorder it is shown as an escape."""

from __future__ import annotations

import unicodedata

_LINE = "\n\t"
"""Control characters that lay out a message of ours."""
_REORDERING = frozenset(
    "\u061c\u200e\u200f\u2028\u2029\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
)
"""Marks, overrides and isolates of the bidirectional algorithm (Unicode TR 36, 2.10), and line separators."""


def terminal_safe(text: str) -> str:
    """Escape control characters (C0, DEL, C1) and those that reorder text, as ``\\x1b`` or ``\\u202e``.

    Newlines and tabs stay. Texts, ids, groups and names of components come from files and plug-ins of others, and a
    terminal executes control characters that it is shown.
    """
    return "".join(_escaped(character) for character in text) if _is_unsafe(text) else text


def _is_unsafe(text: str) -> bool:
    return not text.isprintable() and any(_escaped(character) != character for character in set(text))


def _escaped(character: str) -> str:
    if character in _LINE:
        return character
    if character in _REORDERING or unicodedata.category(character) in ("Cc", "Cs"):
        code = ord(character)
        return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"
    return character
