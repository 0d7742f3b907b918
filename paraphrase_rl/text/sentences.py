"""Sentences, by rule: no model, no language data.

A sentence ends at ``.``, ``!``, ``?``, ``…`` or ``؟``, with the quotes and brackets that close behind it,
when white space and then something other than a lower-case letter follow. It does not end after a known
abbreviation (``Dr.``, ``No.``) or an initial (``J.``, ``U.S.``), nor inside double quotes (unless the quotes
of the paragraph do not balance). A blank line always ends it.

The rules were made for English news prose; other languages are cut more coarsely, never inside a word.
"""

from __future__ import annotations

import re

_END = re.compile(r"[.!?…؟]+[\"'”’»)\]]*(?=\s)")
_NEXT = re.compile(r"\s+[\"'“‘«(\[]*(\S)")
_LAST_WORD = re.compile(r"([^\s\"“‘«(\[]+)\.[\"'”’»)\]]*$")
_INITIALS = re.compile(r"(?:[^\W\d_]\.)*[^\W\d_]")
_PARAGRAPH = re.compile(r"\n[ \t\r\f\v]*\n")
_ABBREVIATIONS = re.compile(
    "mr|mrs|ms|dr|prof|sen|rep|gov|gen|col|maj|capt|lt|sgt|cpl|rev|hon|pres|st|mt|ft|jr|sr|inc|ltd|co|corp|bros|"
    "no|nos|vs|cf|fig|eq|sec|vol|pp|ed|eds|dept|est|jan|feb|mar|apr|jun|jul|aug|sept|sep|oct|nov|dec",
    re.IGNORECASE,
)


def sentence_ends(text: str) -> list[int]:
    """Offsets just behind each sentence, ascending; the last is where the text ends, trailing space aside."""
    ends: list[int] = []
    start = 0
    for stop in [*(m.start() for m in _PARAGRAPH.finditer(text)), len(text)]:
        paragraph = text[start:stop]
        if paragraph.strip():
            ends.extend(start + end for end in _ends_within(paragraph))
        start = stop
    return ends


def _ends_within(paragraph: str) -> list[int]:
    body = paragraph.rstrip()
    quotes_balance = _open_quotes(body) == 0
    ends = [
        match.end()
        for match in _END.finditer(body)
        if _next_starts_sentence(body, match.end())
        and not _is_abbreviation(body[: match.end()])
        and not (quotes_balance and _open_quotes(body[: match.end()]))
    ]
    return [*ends, len(body)]


def _next_starts_sentence(body: str, end: int) -> bool:
    following = _NEXT.match(body, end)
    return following is not None and not following[1].islower()


def _is_abbreviation(head: str) -> bool:
    found = _LAST_WORD.search(head)
    if found is None:
        return False
    word = found[1].lstrip("'")
    if word.lower() in {"a.m", "p.m"}:
        return False
    return _ABBREVIATIONS.fullmatch(word) is not None or _INITIALS.fullmatch(word) is not None


def _open_quotes(text: str) -> int:
    return text.count('"') % 2 + abs(text.count("“") - text.count("”"))
