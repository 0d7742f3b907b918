"""A detector in one file: the share of vowels among a text's letters."""

import numpy as np

from paraphrase_rl.plugin import DetectorSpec, Failure, Options, Scores, hookimpl


@hookimpl
def register_detectors():
    return [
        DetectorSpec(
            name="vowels",
            summary="Share of vowels among the letters",
            family="toy",
            factory=Vowels,
            options=VowelOptions,
        )
    ]


class VowelOptions(Options):
    vowels: str = "aeiou"


class Vowels:
    def __init__(self, options, context):
        self.vowels = set(options.vowels)

    def score(self, texts):
        values = np.array([self._share(text) for text in texts], dtype=np.float64)
        failures = tuple(
            Failure(index=int(i), owner="vowels", kind="too-short", message="the text has no letters")
            for i in np.flatnonzero(np.isnan(values))
        )
        return Scores(values, failures)

    def provenance(self):
        return {}

    def _share(self, text):
        letters = [character for character in text.lower() if character.isalpha()]
        return sum(letter in self.vowels for letter in letters) / len(letters) if letters else np.nan
