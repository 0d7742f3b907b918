"""Suggestions for a wrong name: the nearest known names, and the list of all."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def nearest(wrong: str, known: Iterable[str]) -> list[str]:
    """Find up to three names of ``known`` that are like ``wrong``, the most similar first."""
    lowered = {name.lower(): name for name in known}
    return [lowered[match] for match in difflib.get_close_matches(wrong.lower(), lowered, n=3, cutoff=0.6)]


def suggestion(wrong: str, known: Iterable[str]) -> str:
    """Write a hint on one line: ``did you mean X? known: X, Y, Z``; an empty string if ``known`` is empty."""
    names = sorted(set(known))
    if not names:
        return ""
    close = nearest(wrong, names)
    listed = f"known: {', '.join(names)}"
    return f"did you mean {' or '.join(close)}? {listed}" if close else listed
