"""Checks of a recipe before it runs: what it does, needs and costs."""
