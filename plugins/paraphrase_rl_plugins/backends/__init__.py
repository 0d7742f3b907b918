"""Bundled backends, one file each."""
