"""Texts: loading, passages, splits and audit."""
