"""The recipe's training data, assembled from published sets."""
