"""Hardening: a detector is trained on rewritten texts too, and compared with the detector before."""
