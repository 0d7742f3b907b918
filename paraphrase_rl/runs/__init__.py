"""The directory of a training run: written, read, summarised."""
