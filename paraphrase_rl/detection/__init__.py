"""From the score of a detector to a decision: thresholds, P(AI), ensembles, and the bases of detectors."""
