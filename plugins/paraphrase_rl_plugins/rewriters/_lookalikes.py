"""Letters of other scripts that look like a Latin letter in common typefaces.

Cyrillic and Greek letters of the same shape, not only a similar one: no Greek alpha for a, no Cyrillic ge for r. They
contain every letter that RAID swaps. All are in the confusables of Unicode (UTS 39) except Q, and I, which is listed
there with l.
"""

from __future__ import annotations

_CYRILLIC = {
    "A": 0x0410,
    "B": 0x0412,
    "C": 0x0421,
    "E": 0x0415,
    "G": 0x050C,
    "H": 0x041D,
    "I": 0x0406,
    "J": 0x0408,
    "K": 0x041A,
    "M": 0x041C,
    "O": 0x041E,
    "P": 0x0420,
    "Q": 0x051A,
    "S": 0x0405,
    "T": 0x0422,
    "W": 0x051C,
    "X": 0x0425,
    "Y": 0x04AE,
    "a": 0x0430,
    "c": 0x0441,
    "d": 0x0501,
    "e": 0x0435,
    "h": 0x04BB,
    "i": 0x0456,
    "j": 0x0458,
    "o": 0x043E,
    "p": 0x0440,
    "q": 0x051B,
    "s": 0x0455,
    "w": 0x051D,
    "x": 0x0445,
    "y": 0x0443,
}
_GREEK = {
    "A": 0x0391,
    "B": 0x0392,
    "E": 0x0395,
    "H": 0x0397,
    "I": 0x0399,
    "K": 0x039A,
    "M": 0x039C,
    "N": 0x039D,
    "O": 0x039F,
    "P": 0x03A1,
    "T": 0x03A4,
    "X": 0x03A7,
    "Y": 0x03A5,
    "Z": 0x0396,
    "o": 0x03BF,
}

LOOKALIKES: dict[str, tuple[str, ...]] = {
    letter: tuple(chr(table[letter]) for table in (_CYRILLIC, _GREEK) if letter in table)
    for letter in sorted({*_CYRILLIC, *_GREEK})
}
"""Latin letter -> its look-alikes."""
LATIN: dict[str, str] = {twin: letter for letter, twins in LOOKALIKES.items() for twin in twins}
"""Look-alike -> Latin letter."""
