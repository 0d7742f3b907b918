"""Answers to a wrong name: the nearest right ones, and the list."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def nearest(wrong: str, known: Iterable[str]) -> list[str]:
    """Up to three of ``known`` that ``wrong`` may have meant, best first."""
    lowered = {name.lower(): name for name in known}
    return [lowered[match] for match in difflib.get_close_matches(wrong.lower(), lowered, n=3, cutoff=0.6)]


def suggestion(wrong: str, known: Iterable[str]) -> str:
    """A hint on one line: ``did you mean X? known: X, Y, Z``; empty when nothing is known."""
    names = sorted(set(known))
    if not names:
        return ""
    close = nearest(wrong, names)
    listed = f"known: {', '.join(names)}"
    return f"did you mean {' or '.join(close)}? {listed}" if close else listed
