"""The numbers in an English text, by value: "1,200", "1200" and "twelve hundred" are the same number.

Read are digits with separators for thousands and a decimal point, also before a written scale ("2.5 million",
"$4bn"), digits with an ordinal's ending ("21st"), and cardinals in words from zero to 999 trillion, a dozen included.
Signs, units, percent and currency are not read, nor are fractions and decimals in words. Digits that a letter stands
before belong to a name ("B12") and are no number.

"one", "single", "once", "twice", "pair", "couple", "both" and ordinals in words ("first") are loose: in a rewrite
they count as a number of the source, but in a source they need not be preserved. "00", as in "10:00", is no number of
its own.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal

_TOKEN = re.compile(
    r"(?P<digits>(?<![^\W_])(?:\d{1,3}(?:[,\u00a0\u202f]\d{3})+(?!\d)|\d+)(?:\.\d+)?)|(?P<word>[^\W\d_]+)"
)
_JOIN = re.compile(r"\s*|\s?-\s?")
"""What may stand between two words of one number."""
_SEPARATORS = str.maketrans("", "", ",\u00a0\u202f")

_CARDINALS = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen "
    "eighteen nineteen"
)
_ORDINALS = (
    "first second third fourth fifth sixth seventh eighth ninth tenth eleventh twelfth thirteenth fourteenth "
    "fifteenth sixteenth seventeenth eighteenth nineteenth"
)
_TENS = "twenty thirty forty fifty sixty seventy eighty ninety"


def _kind(value: int) -> str:
    return "unit" if value < 10 else "teen"


_WORDS: dict[str, tuple[str, int]] = (
    {word: (_kind(value), value) for value, word in enumerate(_CARDINALS.split())}
    | {word: (f"{_kind(value)} ordinal", value) for value, word in enumerate(_ORDINALS.split(), start=1)}
    | {word: ("tens", 10 * value) for value, word in enumerate(_TENS.split(), start=2)}
    | {f"{word[:-1]}ieth": ("teen ordinal", 10 * value) for value, word in enumerate(_TENS.split(), start=2)}
    | dict.fromkeys(("once", "single"), ("loose", 1))
    | dict.fromkeys(("twice", "pair", "couple", "both"), ("loose", 2))
    | {"dozen": ("dozen", 12), "hundred": ("hundred", 100)}
    | {"thousand": ("scale", 10**3), "million": ("scale", 10**6), "trillion": ("scale", 10**12)}
    | {"billion": ("scale", 10**9), "bn": ("scale", 10**9)}
)


def numbers(text: str) -> tuple[frozenset[Decimal], frozenset[Decimal]]:
    """Find the values that are certainly numbers, and all possible values, which include the certain ones."""
    read = list(_numbers(text))
    return frozenset(n.value for n in read if n.sure), frozenset(n.value for n in read)


@dataclass(slots=True)
class _Number:
    """A number that is being read: ``closed`` by a scale ("two thousand"), and ``open`` ("and twelve")."""

    closed: Decimal
    open: Decimal
    last: str
    sure: bool
    scale: Decimal = Decimal("Infinity")

    @property
    def value(self) -> Decimal:
        return self.closed + self.open

    def extend(self, kind: str, value: int) -> bool:
        """Take one more word in, if it belongs to the number."""
        if kind == "scale":
            if not self.open or value >= self.scale:
                return False
            self.closed, self.open, self.scale = self.closed + self.open * value, Decimal(0), Decimal(value)
        elif kind in ("hundred", "dozen"):
            if self.last not in ("unit", "teen", "tens", "digits") or not 0 < self.open < 100:
                return False
            self.open *= value
        elif self.last in ("hundred", "scale") or (self.last == "tens" and kind.startswith("unit") and value):
            self.open += value
        else:
            return False
        self.last, self.sure = kind, not kind.endswith("ordinal")
        return True


def _numbers(text: str) -> Iterator[_Number]:
    number: _Number | None = None
    end = 0
    for token in _TOKEN.finditer(text):
        joined = number is not None and _JOIN.fullmatch(text, end, token.start()) is not None
        word = (token["word"] or "").casefold()
        if joined and number is not None and word == "and" and number.last in ("hundred", "scale"):
            end = token.end()
            continue
        kind, value = _WORDS.get(word, ("", 0))
        if joined and number is not None and kind not in ("", "loose") and number.extend(kind, value):
            end = token.end()
            continue
        if number is not None:
            yield number
        number, end = _begin(kind, value, token["digits"]), token.end()
    if number is not None:
        yield number


def _begin(kind: str, value: int, digits: str | None) -> _Number | None:
    if digits == "00":
        return None
    if digits is not None:
        return _Number(Decimal(0), Decimal(digits.translate(_SEPARATORS)), "digits", True)
    if not kind:
        return None
    sure = kind in ("unit", "teen", "tens", "hundred", "dozen", "scale") and (kind, value) != ("unit", 1)
    if kind == "scale":  # "a million": nothing of the same scale follows
        return _Number(Decimal(value), Decimal(0), kind, sure, Decimal(value))
    return _Number(Decimal(0), Decimal(value), kind, sure)
