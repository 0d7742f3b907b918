"""Signal of the recipe's detectors: what they flag before anything is rewritten, measured on a sample of the texts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TypeVar

from paraphrase_rl.detection.fitting import build_detector, calibrate
from paraphrase_rl.detection.signal import carries_the_signal, nothing_to_evade, signals
from paraphrase_rl.detection.threshold import usual_rates
from paraphrase_rl.errors import PrlError
from paraphrase_rl.plugin.specs import Context
from paraphrase_rl.preflight.case import Case
from paraphrase_rl.preflight.findings import Finding, Rule
from paraphrase_rl.recipe.model_info import find_model

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
    "What the detectors flag before anything is rewritten, and so whether there is anything to evade, is not measured "
    "here: a detector or its model is missing, too large for a check, or there are too few calibration texts.",
    "`prl check --try` measures it; a run says it at its start",
)
SAMPLE = 24
"""Texts of each label that are scored: a few seconds with a model of 135M parameters."""
LARGEST = 300e6
"""Parameters of the largest model that scores them; with a larger one a check would take minutes on a CPU."""
_Item = TypeVar("_Item")


def check(case: Case) -> Iterator[Finding]:
    """Calibrate the detectors on a sample of the calibration texts, and say what they flag.

    Nothing is downloaded. Without calibration texts of both labels there is no finding: others say so.
    """
    recipe, corpus = case.recipe, case.corpus
    if corpus is None:
        return
    whole = {label: corpus.select(split="calibration", label=label) for label in ("human", "ai")}
    if not all(whole.values()):
        return
    if why := _keeps_from_measuring(case):
        yield NOT_MEASURED.found(why, key="detectors")
        return
    context = Context(registry=case.registry)
    try:
        ensemble = calibrate(
            [build_detector(case.registry, context, d.name, d.options, d.weight) for d in recipe.detectors],
            [document for texts in whole.values() for document in spread(texts, SAMPLE)],
            usual_rates(recipe.calibration.target_fpr),
            source=corpus.source,
            excerpt_words=recipe.data.excerpt_words,
            combine=recipe.ensemble.combine,
        )
    except PrlError as error:
        yield NOT_MEASURED.found(error.message, key="detectors", remedy=error.hint or None)
        return
    found = signals(ensemble)
    of = f"a sample of {min(SAMPLE, len(whole['ai']))} of {len(whole['ai'])} texts"
    if little := nothing_to_evade(found):
        yield LITTLE_TO_EVADE.found(f"{little} ({of})", key="detectors", remedy="")  # it says what to do
    elif told := carries_the_signal(found):
        yield FLAGGED.found(f"{told} ({of})", key="detectors")


def spread(items: Sequence[_Item], most: int) -> list[_Item]:
    """Choose at most so many items, evenly spaced."""
    if len(items) <= most:
        return list(items)
    return [items[i * len(items) // most] for i in range(most)]


def _keeps_from_measuring(case: Case) -> str:
    """Why the detectors cannot be asked in a check; empty if they can."""
    for component in case.recipe.detectors:
        try:
            case.registry.require("detectors", component.name)
            models = case.registry.models("detectors", component.name, component.options)
        except PrlError as error:
            return error.message
        for reference in models:
            model = find_model(reference)
            if model.folder is None:
                return f"{component.name} needs {reference}: {model.message}"
            size = model.info.parameters if model.info is not None else None
            if size is None or size > LARGEST:
                told = "of unknown size" if size is None else f"of {size / 1e9:.1f}B parameters"
                return f"{component.name} scores with {reference}, {told}"
    return ""
