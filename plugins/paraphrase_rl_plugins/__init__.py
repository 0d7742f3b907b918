"""The plug-ins that come with paraphrase-rl, loaded through the same entry points as third-party ones."""
