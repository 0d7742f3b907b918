"""API key of the service: check that it is set, and mask it in messages. Needs no SDK."""

from __future__ import annotations

import os
from pathlib import Path

from paraphrase_rl.plugin import RecipeError


def require_key() -> None:
    """Check that the API key is set, without showing it.

    Raises:
        RecipeError: the API key is not set, or is not a key of this service.
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
    """Mask the API key if a text contains it."""
    key = os.environ.get("TINKER_API_KEY")
    return text.replace(key, "tml-***") if key else text
