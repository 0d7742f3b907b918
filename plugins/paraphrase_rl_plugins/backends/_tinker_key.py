"""The API key: whether there is one, and how it stays out of messages. Needs no SDK."""

from __future__ import annotations

import os
from pathlib import Path

from paraphrase_rl.plugin import RecipeError


def require_key() -> None:
    """See that there is a key, without showing it.

    Raises:
        RecipeError: there is none, or it is none of the service's.
    """
    key = os.environ.get("TINKER_API_KEY", "")
    stored = Path("~/.tinker/credentials.json").expanduser().exists()
    if not (key or stored or os.environ.get("TINKER_CREDENTIAL_CMD")):
        raise RecipeError("tinker: there is no API key", "export TINKER_API_KEY=tml-...")
    if key and not key.startswith(("tml-", "eyJ")):
        raise RecipeError(
            "tinker: the value of TINKER_API_KEY is not an API key of the service",
            "set TINKER_API_KEY to an API key of the service, which begins with tml-",
        )


def without_key(text: str) -> str:
    """Text in which the key, should a message hold it, is blacked out."""
    key = os.environ.get("TINKER_API_KEY")
    return text.replace(key, "tml-***") if key else text
