"""Detectors against rewriters: evasion, quality, fairness and the verdict, each number with its interval."""
