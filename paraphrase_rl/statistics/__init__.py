"""Intervals: bootstrap by document, and false positive rates by group of writers."""
