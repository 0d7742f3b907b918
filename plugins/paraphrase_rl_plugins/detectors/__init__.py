"""Bundled detectors, one file each."""
