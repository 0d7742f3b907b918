"""Bundled datasets, one file each."""
