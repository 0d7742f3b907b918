"""Detection: thresholds, P(AI) and ensembles turn scores into decisions; bases of detectors."""
