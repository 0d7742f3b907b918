"""A detector trained on rewritten texts too, compared with the one before."""
