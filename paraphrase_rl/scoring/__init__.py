"""Scores of texts, and what they mean: token statistics, calibration, ensemble, metrics."""
