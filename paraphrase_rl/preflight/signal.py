"""Signal of the recipe's detectors: what they flag before anything is rewritten, where it was measured before."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress

from paraphrase_rl.detection.known_signal import known_signal, signal_key
from paraphrase_rl.detection.signal import carries_the_signal, nothing_to_evade
from paraphrase_rl.detection.training_record import training_of
from paraphrase_rl.errors import PrlError
from paraphrase_rl.preflight.case import Case
from paraphrase_rl.preflight.findings import Finding, Rule

FLAGGED = Rule(
    "PRL127",
    "ok",
    "detectors",
    "What the calibrated detectors flag of the AI calibration texts before anything is rewritten. 1 less that "
    "share is what an attack success rate counted over all texts would show without any attack.",
)
LITTLE_TO_EVADE = Rule(
    "PRL128",
    "warning",
    "detectors",
    "The detectors flag so little before anything is rewritten that there is nothing to evade: the reward is "
    "high and flat from the first step.",
    "choose detectors or texts with more to find; longer texts help",
)
NOT_MEASURED = Rule(
    "PRL131",
    "note",
    "detectors",
    "What the detectors flag before anything is rewritten, and so whether there is anything to evade, is not known: "
    "to measure it every calibration text is scored, which a check without --try does not do. It is kept from the last "
    "calibration of the same detectors, models and texts.",
    "`prl check --try` and `prl calibrate` measure it, and a run says it at its start",
)


def check(case: Case) -> Iterator[Finding]:
    """Say what the detectors flag, as an earlier calibration on the same texts found; no text is scored.

    Without texts there is no finding: others say so.
    """
    recipe, corpus = case.recipe, case.corpus
    if corpus is None:
        return
    listed = [(d.name, d.options, d.weight) for d in recipe.detectors]
    found = known_signal(signal_key(case.registry, listed, corpus.digest, recipe.calibration.target_fpr))
    first = "".join(f"`prl fit {name}` trains {name}; " for name in _untrained(case))
    yield from told(carries_the_signal(found), nothing_to_evade(found), first)


def told(flagged: str, little_to_evade: str, first: str = "") -> Iterator[Finding]:
    """Yield the finding about the signal.

    Args:
        flagged: what the detectors flag, in one line; empty if unknown.
        little_to_evade: why there is little to evade; empty if there is enough.
        first: what has to be done before it can be measured.
    """
    if little_to_evade:
        yield LITTLE_TO_EVADE.found(little_to_evade, key="detectors", remedy="")  # it says what to do
    elif flagged:
        yield FLAGGED.found(flagged, key="detectors")
    else:
        yield NOT_MEASURED.found(
            f"not measured yet on these texts: {first}`prl check --try` or `prl calibrate` measures it",
            key="detectors",
        )


def _untrained(case: Case) -> Iterator[str]:
    """Names of the detectors that are trained, and are not yet."""
    for detector in case.recipe.detectors:
        with suppress(PrlError):  # one that is not installed is reported by the check of the components
            trains = case.registry.spec("detectors", detector.name).fit is not None
            if trains and training_of(case.registry, detector.name, detector.options) is None:
                yield detector.name
