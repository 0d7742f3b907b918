"""Whether a trained rewriter is acceptable: criteria, verdict, and the choice of a checkpoint."""
