"""Patterns that the reward `format` looks for.

Each is a clear case: to miss a fault costs little, but a false match costs good rewrites.

Patterns for prose are matched against casefolded text with straight apostrophes. Every repetition is bounded,
so that matching stays linear.
"""

from __future__ import annotations

import re

_UNSPACED = (
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\U00020000-\U0003ffff"
)
WORD = re.compile(rf"[{_UNSPACED}]|[^\W{_UNSPACED}]+(?:'[^\W{_UNSPACED}]+)*")
_HIDDEN = "\u00ad\u200b-\u200f\u202a-\u202e\u2060-\u2064\ufe00-\ufe0f\ufeff"
INVISIBLE = re.compile(f"[{_HIDDEN}]+")
SENTENCE_END = re.compile(r"[.!?…。！？؟\n]+")
STUTTER = re.compile(r"(\S{1,8}?)\1{11}", re.DOTALL)
"""Pattern of the same one to eight characters twelve times in a row."""
DECORATION = " \t\r\n*_#>\"'“”‘«»`([{~-–—"
"""Characters allowed before a preamble."""

_MAKE = r"(?:paraphras|rewrit|rewrote|rephras|reword)\w{0,4}"
_TEXT = (
    r"(?:texts?|versions?|passages?|paragraphs?|sentences?|outputs?|drafts?|articles?|story|stories|summary)"
)
_AGREE = (
    r"(?:sure(?: thing)?|certainly|of course|absolutely|okay|ok|alright|all right|great|gladly|no problem)"
)
_HERE = r"(?:here(?:'s| is| are| you (?:go|are))|below (?:is|are)|this is|the following (?:is|are)|these are)"
_CANNOT = r"i(?:'m| am)? ?(?:can't|cannot|can not|unable to|not able to)"

PREAMBLE = [
    re.compile(pattern)
    for pattern in (
        # Sure!
        rf"{_AGREE}\s*[!:]",
        # Certainly, here is the text; Of course. I'll rewrite it
        rf"{_AGREE}\s*[,.;–—-]\s*"
        rf"(?:{_HERE}|let me|i(?:'ll| will|'ve| have| can|'d| would)[^.\n]{{0,40}}{_MAKE})",
        # Here's a paraphrased version
        rf"{_HERE}\b[^.:\n]{{0,80}}\b{_MAKE}",
        # Here is the text:
        rf"{_HERE}\b[^.:\n]{{0,80}}\b{_TEXT}\b[^.:\n]{{0,40}}:",
        # Paraphrase:   Rewritten text (a line of its own)
        rf"(?:(?:the|my|a|your) )?(?:\w+ )?{_MAKE}(?: \w+){{0,3}}[*_\"]*\s*(?::|\n)",
        # New version:   Text:
        rf"(?:(?:the|my|a|your) )?"
        rf"(?:(?:revised|improved|edited|modified|updated|new|final|original|natural) )?{_TEXT}[*_\"]*\s*:",
        r"(?:output|answer|response)[*_\"]*\s*:",
        # I have rewritten the text; I'd be happy to paraphrase
        rf"i(?:'ve|'ll|'d|'m| have| will| would| am| can)?(?: \w+){{0,4}} {_MAKE}",
        # To be clear, I am replacing the original text with a rewritten version. Here it is:
        rf"[^\n]{{0,250}}\b(?:{_MAKE}|(?:new|revised|original) {_TEXT})\b[^\n]{{0,150}}:\s*\n",
        # Please rewrite the following text
        rf"(?:please )?(?:paraphrase|rewrite|rephrase|reword)\b[^.\n]{{0,30}}\b{_TEXT}\b",
        # I'm sorry, but I can't; As an AI
        rf"(?:(?:i'm|i am) sorry|sorry|unfortunately|i apologi[sz]e)\b[^.\n]{{0,40}}\b{_CANNOT}",
        rf"{_CANNOT} (?:assist|help|fulfil|comply|provide|do that|{_MAKE})",
        r"as an? (?:ai|artificial intelligence|(?:large )?language model)\b",
    )
]

_START = r"(?:^|\n\s{0,4}|[.!?\"')\]]\s{0,4})[*_(\[]{0,3}"
NOTE = [
    re.compile(pattern)
    for pattern in (
        rf"{_START}(?:please )?note:",
        rf"{_START}(?:please )?note that (?:this|the|i)\b[^.\n]{{0,30}}(?:{_MAKE}|{_TEXT}|original)",
        r"\blet me know (?:if|whether|what|how|when)\b",
        r"\bhope (?:this|that|it) (?:\w+ )?(?:helps|meets|is what|is helpful|works)\b",
        r"\bfeel free to (?:ask|let|reach|adjust|modify|change|edit|use|make|contact)\b",
        r"\bis there anything else\b|\bwould you like (?:me to|another)\b|\bdo you (?:want|need) me to\b",
        rf"\bi(?:'ve| have)? (?:\w+ )?(?:kept|maintained|preserved|retained|tried to|aimed to|made|{_MAKE})"
        rf"\b[^.\n]{{0,60}}\b(?:meaning|original|tone|wording|style|{_TEXT})\b",
        rf"\b(?:this|the|my|above) {_MAKE} {_TEXT}\b",
        r"\b(?:this|the|my|above) (?:revised|paraphrased|new) (?:text|version|passage) "
        r"(?:keeps|maintains|preserves|retains|is|has|uses|conveys)\b",
        rf"{_START}(?:word count|changes made|key changes|explanation)\s{{0,2}}:",
    )
]

_ITEM = r"[ \t]*(?:[-*•+]|\d{1,2}[.)])[ \t]+\S[^\n]*"
MARKUP = [
    re.compile(pattern, re.MULTILINE)
    for pattern in (
        r"<\|[^|<>\n]{1,40}\|>",
        r"</?s>|\[/?INST\]|<</?SYS>>|</?think>|<(?:start|end)_of_turn>",
        r"^[#*\s]{0,8}(?i:user|assistant|system|human|ai|bot)[*]{0,2}(?::|[ \t]*$)",
        r"^#{1,6} \S",
        r"```",
        r"\*\*[^*\n]{1,200}\*\*",
        rf"^{_ITEM}\n(?:[ \t]*\n)?{_ITEM}",
    )
]

_LATIN, _CYRILLIC = "A-Za-z", "\u0400-\u04ff"
_GREEK_LIKE_LATIN = "ΑΒΕΖΗΙΚΜΝΟΡΤΥΧνορ"
_FOREIGN = f"[{_CYRILLIC}{_GREEK_LIKE_LATIN}]"
CHARACTERS = [
    re.compile(pattern)
    for pattern in (
        "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ufffd\ud800-\udfff]",
        f"[{_LATIN}][{_HIDDEN}]+[{_LATIN}]",
        f"[{_LATIN}]{_FOREIGN}|{_FOREIGN}[{_LATIN}]",
    )
]
