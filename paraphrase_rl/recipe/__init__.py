"""Recipes: the schema, loading with the origin of every key, costs and model facts."""
