"""Sentences, by rule: no model, no language data.

A sentence ends at ``.``, ``!``, ``?``, ``…`` or ``؟``, with the quotes and brackets that close behind it,
when white space and then something other than a lower-case letter follow. It does not end after a known
abbreviation (``Dr.``, ``No.``) or an initial (``J.``, ``U.S.``), nor inside double quotes (unless the quotes
of the paragraph do not balance). A blank line always ends it.

The rules were made for English news prose; other languages are cut more coarsely, never inside a word.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator

_END = re.compile(r"(?<![.!?…؟])[.!?…؟]++[\"'”’»)\]]*+(?=\s)")
_NEXT = re.compile(r"\s+[\"'“‘«(\[]*(\S)")
_OPENING, _CLOSING = '"“‘«([', "\"'”’»)]"
_INITIALS = re.compile(r"(?:[^\W\d_]\.)*[^\W\d_]")
_PARAGRAPH = re.compile(r"\n[ \t\r\f\v]*\n")
_ABBREVIATIONS = re.compile(
    "mr|mrs|ms|dr|prof|sen|rep|gov|gen|col|maj|capt|lt|sgt|cpl|rev|hon|pres|st|mt|ft|jr|sr|inc|ltd|co|corp|bros|"
    "no|nos|vs|cf|fig|eq|sec|vol|pp|ed|eds|dept|est|jan|feb|mar|apr|jun|jul|aug|sept|sep|oct|nov|dec",
    re.IGNORECASE,
)


def sentence_ends(text: str) -> list[int]:
    """Find the offsets just behind each sentence, ascending; the last is the end of the text without trailing space."""
    return list(each_sentence_end(text))


def each_sentence_end(text: str) -> Iterator[int]:
    """Yield the offsets of :func:`sentence_ends` one by one, reading no paragraph before it is needed.

    The work grows with the length of what is read, however long a paragraph or a word is.
    """
    start = 0
    for stop in itertools.chain((m.start() for m in _PARAGRAPH.finditer(text)), (len(text),)):
        paragraph = text[start:stop]
        if paragraph.strip():
            yield from (start + end for end in _ends_within(paragraph))
        start = stop


def _ends_within(paragraph: str) -> Iterator[int]:
    body = paragraph.rstrip()
    quotes_balance = _open_quotes(body.count('"'), body.count("“"), body.count("”")) == 0
    seen, counts = 0, [0, 0, 0]
    for match in _END.finditer(body):
        end = match.end()
        counts = [n + body.count(quote, seen, end) for n, quote in zip(counts, '"“”', strict=True)]
        run = body[seen:end].rsplit(None, 1)[-1]
        seen = end
        inside_quotes = quotes_balance and _open_quotes(*counts)
        if _next_starts_sentence(body, end) and not inside_quotes and not _is_abbreviation(run):
            yield end
    yield len(body)


def _next_starts_sentence(body: str, end: int) -> bool:
    following = _NEXT.match(body, end)
    return following is not None and not following[1].islower()


def _is_abbreviation(run: str) -> bool:
    """Whether characters without white space end in an abbreviation, its full stop, and what closes behind it."""
    before, stop, _ = run.rstrip(_CLOSING).rpartition(".")
    if not stop or run.rstrip(_CLOSING)[-1] != ".":
        return False
    word = before[max(map(before.rfind, _OPENING)) + 1 :]
    if not word:
        return False
    word = word.lstrip("'")
    if word.lower() in {"a.m", "p.m"}:
        return False
    return _ABBREVIATIONS.fullmatch(word) is not None or _INITIALS.fullmatch(word) is not None


def _open_quotes(straight: int, opening: int, closing: int) -> int:
    return straight % 2 + abs(opening - closing)
