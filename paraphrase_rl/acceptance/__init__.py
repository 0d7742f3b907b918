"""Acceptance of a trained rewriter: criteria, verdict, and the choice of a checkpoint."""
