"""Detectors against rewriters: evasion, quality, fairness and the verdict, each figure with its interval."""
