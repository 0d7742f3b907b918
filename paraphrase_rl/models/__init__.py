"""Models by reference: loading them, embedding texts, and per-token statistics of a text."""
