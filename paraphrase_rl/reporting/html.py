"""Parts that every page has: templates that escape, packaged files, their digests for the content security policy."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from importlib.resources import files
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from paraphrase_rl.reporting import formatting
from paraphrase_rl.reporting.word_changes import printable


def environment() -> Environment:
    """Return an environment of the packaged templates: everything is escaped, an unknown name is an error."""
    found = Environment(
        loader=PackageLoader("paraphrase_rl.reporting"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_shown,
    )
    found.filters |= {
        "share": formatting.share,
        "number": formatting.number,
        "share_interval": formatting.share_interval_text,
        "number_interval": formatting.number_interval_text,
        "points": formatting.points,
        "score": formatting.score_text,
        "criterion_value": formatting.criterion_value,
        "commands": _commands,
    }
    return found


def asset(name: str) -> str:
    """Read a packaged file."""
    return (files("paraphrase_rl.reporting") / name).read_text(encoding="utf-8")


def policy(styles: Sequence[str], scripts: Sequence[str] = ()) -> str:
    """Write a content security policy that allows nothing but these inline styles and scripts, and images as data."""
    rules = ["default-src 'none'", "img-src data:"]
    for kind, allowed in (("style-src", styles), ("script-src", scripts)):
        if allowed:
            rules.append(" ".join([kind, *(f"'{digest(text)}'" for text in allowed)]))
    return "; ".join(rules)


def digest(text: str) -> str:
    """Compute the SHA-256 of an inline style or script as a content security policy writes it."""
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _shown(value: Any) -> Any:
    """Invisible characters of every text on a page are written out; what is markup already stays as it is."""
    return printable(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def _commands(text: str) -> Markup:
    """Text between backticks becomes code."""
    pieces = [escape(printable(piece)) for piece in text.split("`")]
    if len(pieces) % 2 == 0:
        return escape(printable(text))
    return Markup("").join(
        Markup("<code>{}</code>").format(piece) if i % 2 else piece for i, piece in enumerate(pieces)
    )
