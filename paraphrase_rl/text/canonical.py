"""Canonical text: one text has one score, whatever file, table or argument it came in.

**Container** is what a file, an editor or a table adds; it is removed: a byte order mark before the text, the kind of
line end (CR LF and CR become LF), blanks and blank lines before the first and after the last character.
**Content** is what the writer chose; it is preserved: blanks and blank lines inside, look-alikes, zero-width
characters (also U+FEFF anywhere but at the beginning), control characters, and U+0085, U+2028 and U+2029, which no
editor writes for the end of a line, so the writer chose them.
"""

from __future__ import annotations

import re
from typing import Literal

RULE: Literal[1] = 1
"""Version of the rule; changes whenever some text becomes another one, since its scores may change then."""
_BEFORE = re.compile(r"[\s\ufeff]+")


def canonical(text: str) -> str:
    """Reduce a text to its content; applied twice, it changes nothing more."""
    text = text.replace("\r\n", "\n").replace("\r", "\n").rstrip()
    before = _BEFORE.match(text)
    return text[before.end() :] if before else text
