"""Texts: loading, excerpts, splits and audit."""
