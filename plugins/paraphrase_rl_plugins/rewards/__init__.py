"""Bundled rewards, one file each."""
