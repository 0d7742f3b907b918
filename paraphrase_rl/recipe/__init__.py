"""Recipes: the schema, loading with the provenance of every key, and preflight."""
