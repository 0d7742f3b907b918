"""Compare detectors on labelled texts by cross-fitting: every text is tested, none by what was fitted on it."""
