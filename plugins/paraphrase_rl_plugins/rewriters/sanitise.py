"""Defence against rewriters that edit characters: changes that a reader cannot see are undone before scoring.

Four steps, in this order:

1. **Hidden characters** are removed: Unicode's Default_Ignorable_Code_Point (zero-width and soft hyphens, joiners,
   directional marks, fillers, tags, variation selectors) and interlinear annotations. They stay where they mean
   something: joiners and selectors within emoji and keycaps, tags of a flag; joiners, selectors and fillers after a
   letter of a script other than Latin, Greek and Cyrillic; zero-width spaces after Thai, Lao, Khmer, Myanmar and
   Tibetan letters (they separate words); directional marks in a text that has right-to-left letters.
2. **Compatibility forms**: NFKC for letters and digits that are styled or wide ASCII (mathematical bold, full-width,
   ligatures, Roman numerals) and NFC for the rest. Not full NFKC, which would turn x² into x2 and ½ into 1⁄2.
3. **Look-alikes** (``_lookalikes.py``) become Latin in words that mix scripts, if that makes the word Latin
   throughout; and in words made of nothing else ("а" for "a"), if the text has Latin letters and no other letter of
   that script that is not a look-alike. A text in Cyrillic or Greek stays as it is.
4. **White space**: runs of spaces and tabs become one space, spaces at both ends of lines go, more than one empty
   line becomes one, the text's ends are trimmed. No-break and other spaces count as spaces, an ideographic space does
   not.

Mixed-script detection follows UTS 39 in idea; see also the normalisation of SilverSpeak (arXiv 2406.11239). Not
undone: look-alikes within the Latin script (ɡ, ı), and swaps that UTS 39 calls confusable but that are told apart by
eye.
"""

from __future__ import annotations

import functools
import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

from pydantic import Field

from paraphrase_rl.plugin import (
    Component,
    Context,
    Failure,
    Options,
    Rewrite,
    RewriterSpec,
    Rewrites,
    hookimpl,
    with_index,
)
from paraphrase_rl_plugins.rewriters._lookalikes import LATIN
from paraphrase_rl_plugins.rewriters._nested import Nested
from paraphrase_rl_plugins.rewriters._texts import OneByOne

NAME = "sanitise"
_LATIN_LETTER = r"\p{Latin}"
_HIDDEN = r"[\p{Default_Ignorable_Code_Point}\uFFF9-\uFFFB]"
_OTHER_SCRIPT = rf"[[\p{{L}}]--[\p{{Latin}}\p{{Greek}}\p{{Cyrillic}}\p{{Common}}\p{{Inherited}}]--{_HIDDEN}]"
_SPACELESS = r"[[\p{L}]&&[\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}\p{Tibetan}]]"
_EMOJI = r"[\p{Extended_Pictographic}\p{Emoji_Modifier}]"
_KEPT = "|".join(
    (
        r"(?<=\U0001F3F4)[\U000E0020-\U000E007E]+\U000E007F",
        rf"(?<={_EMOJI}|\p{{Extended_Pictographic}}\uFE0F)\u200D(?=\p{{Extended_Pictographic}})",
        rf"(?<={_EMOJI})[\uFE0E\uFE0F]",
        r"(?<=[0-9#*])\uFE0F(?=\u20E3)",
        rf"(?<={_OTHER_SCRIPT}\p{{M}}*)"
        r"[\u034F\u115F\u1160\u17B4\u17B5\u180B-\u180F\u200C\u200D\uFE00-\uFE0F\U000E0100-\U000E01EF]",
        rf"(?<={_SPACELESS}\p{{M}}*)\u200B",
    )
)
_DIRECTIONAL = "\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"
_STYLES = ("<font>", "<wide>", "<compat>")
_SPACES = re.compile(r"[ \t\u00a0\u1680\u2000-\u200a\u202f\u205f]+")
_LINES = re.compile(r"\r\n?|\x0b|\x0c|\x85|\u2028|\u2029")


class SanitiseOptions(Options):
    """Options of ``sanitise``."""

    after: Component | None = Field(
        None,
        description="rewriter whose rewrites are sanitised: name and options; null = the original texts",
    )


@hookimpl
def register_rewriters() -> Iterable[RewriterSpec]:
    return [
        RewriterSpec(
            name=NAME,
            summary="defence: hidden characters, look-alikes and unusual spaces are undone",
            factory=build,
            options=SanitiseOptions,
            extra="rewriters",
            modules=("regex",),
            paper="Unicode UAX 15, UTS 39",
            cost="negligible",
        )
    ]


def build(options: SanitiseOptions, context: Context) -> Sanitise:
    """Build the rewriter."""
    return Sanitise(Nested(options.after, context) if options.after is not None else None)


class Sanitise:
    """Rewriter that returns texts, or another rewriter's rewrites, as a detector behind this defence sees them.

    The original texts have one sanitised form, the same for all ``n`` rewrites and every seed.
    """

    def __init__(self, after: Nested | None = None) -> None:
        self.after = after

    def rewrite(self, texts: Sequence[str], n: int, seed: int) -> list[Rewrites]:
        """Rewrite each text ``n`` times; a text without rewrites has a Failure."""
        if self.after is None:
            return _SANITISED.rewrite(texts, n, seed)
        return [with_index(_defended(found), i) for i, found in enumerate(self.after.rewrite(texts, n, seed))]


def _defended(found: Rewrites) -> Rewrites:
    """Sanitise one text's rewrites; where one becomes empty, the text fails."""
    if isinstance(found, Failure):
        return found
    plain: list[Rewrite] = []
    for before, after in zip(found, _SANITISED.rewrite([one.text for one in found], 1, 0), strict=True):
        if isinstance(after, Failure):
            return after
        plain.append(replace(after[0], finished=before.finished))
    return plain


def sanitised(text: str) -> str:
    """Sanitise a text: what a reader sees, in the usual characters. Applying it twice changes nothing more."""
    text = _without_hidden(text)
    text = unicodedata.normalize("NFC", "".join(map(_plain, text)))
    return _tidied(unicodedata.normalize("NFC", _in_latin(text)))


_SANITISED = OneByOne(NAME, lambda text, n, seed: [Rewrite(text=sanitised(text))] * n)  # noqa: ARG005


@functools.cache
def _pattern(pattern: str) -> Any:
    import regex

    return regex.compile(pattern, regex.VERSION1)


def _without_hidden(text: str) -> str:
    right_to_left = any(unicodedata.bidirectional(character) in ("R", "AL") for character in text)
    kept = rf"{_KEPT}|[{_DIRECTIONAL}]" if right_to_left else _KEPT
    return str(_pattern(rf"({kept})|{_HIDDEN}").sub(lambda found: found[1] or "", text))


def _plain(character: str) -> str:
    if character.isascii() or not character.isalnum():
        return character
    if unicodedata.decomposition(character).partition(" ")[0] not in _STYLES:
        return character
    plain = unicodedata.normalize("NFKC", character)
    return plain if plain.isascii() and plain.isalnum() else character


def _in_latin(text: str) -> str:
    if not _pattern(_LATIN_LETTER).search(text) or not any(character in LATIN for character in text):
        return text
    real = {
        script
        for script in (r"\p{Cyrillic}", r"\p{Greek}")
        if any(letter not in LATIN for letter in _pattern(rf"[[\p{{L}}]&&{script}]").findall(text))
    }
    foreign = _pattern("|".join(real)) if real else None

    def word_in_latin(found: Any) -> str:
        word: str = found[0]
        latin = "".join(LATIN.get(character, character) for character in word)
        left_over = _pattern(r"[[\p{L}]--[\p{Latin}]]").search(latin)
        genuine = foreign and foreign.search(word) and not _pattern(_LATIN_LETTER).search(word)
        return word if left_over or genuine else latin

    return str(_pattern(r"\p{L}[\p{L}\p{M}]*").sub(word_in_latin, text))


def _tidied(text: str) -> str:
    lines = _SPACES.sub(" ", _LINES.sub("\n", text)).split("\n")
    return re.sub(r"\n{3,}", "\n\n", "\n".join(line.strip(" ") for line in lines)).strip(" \n")
