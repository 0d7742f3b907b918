"""Bundled rewriters, one file each."""
