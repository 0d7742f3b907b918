"""Scorer: detectors built from plain settings, in this process or in another, that decide on texts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from paraphrase_rl.detection.calibration import CalibrationSet
from paraphrase_rl.detection.decision import Decision, decide
from paraphrase_rl.detection.ensemble import COMBINED, build_ensemble
from paraphrase_rl.errors import PluginError
from paraphrase_rl.plugin.protocols import Components, Detector
from paraphrase_rl.plugin.specs import Context

Decisions = list[list[Decision]]
"""For each text, the decisions of :attr:`ScorerSettings.names`."""
_FEW = 100


@dataclass(frozen=True, kw_only=True)
class ScorerSettings:
    """Everything that decisions on texts depend on. It can be pickled.

    Attributes:
        calibrated: names of the calibrated detectors to use, in the order of ``saved``.
        saved: their calibrations; ``None`` if none is calibrated.
        uncalibrated: options of the other detectors, by name.
        target_fpr: false positive rate of the verdicts; ``None`` = the target of each calibration.
        force: give a verdict on texts that are outside of what the calibrations hold for, too.
        device: torch device.
    """

    calibrated: tuple[str, ...] = ()
    saved: CalibrationSet | None = None
    uncalibrated: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    target_fpr: float | None = None
    force: bool = False
    device: str = "cpu"

    @property
    def names(self) -> tuple[str, ...]:
        """Detectors with a decision on each text, in order: calibrated, ensemble, uncalibrated."""
        used = self.saved.only(self.calibrated) if self.saved is not None else None
        several = used is not None and used.combined is not None and len(used.calibrations) > 1
        combined = (COMBINED,) if several else ()
        return (*self.calibrated, *combined, *self.uncalibrated)

    def on(self, device: str) -> ScorerSettings:
        """Return the same settings for another device."""
        return replace(self, device=device)


class Scorer:
    """Detectors that decide on texts.

    Args:
        settings: which detectors, and how they are calibrated.
        registry: where they come from.

    Attributes:
        ensemble: the calibrated detectors; ``None`` if there are none.
        uncalibrated: the others, by name.

    Raises:
        CalibrationError: a detector's model has changed since it was calibrated.
        PrlError: a detector cannot be built.
    """

    def __init__(self, settings: ScorerSettings, registry: Components) -> None:
        recorded = settings.saved.precision if settings.saved is not None else None
        context = Context(device=settings.device, precision=recorded)
        self._target_fpr, self._force = settings.target_fpr, settings.force
        self.ensemble = (
            build_ensemble(settings.saved, registry, context, settings.calibrated)
            if settings.saved is not None and settings.calibrated
            else None
        )
        self.uncalibrated = {
            name: registry.build("detectors", name, options, context)
            for name, options in settings.uncalibrated.items()
        }

    @property
    def detectors(self) -> dict[str, Detector]:
        """Detectors by name, those that are calibrated first."""
        calibrated = self.ensemble.detectors if self.ensemble is not None else {}
        return calibrated | self.uncalibrated

    def provenance(self) -> dict[str, dict[str, str]]:
        """Return the revisions of the models that each detector's scores depend on, by its name."""
        return {name: dict(detector.provenance()) for name, detector in self.detectors.items()}

    def decide(self, texts: Sequence[str], number: int = 0) -> Decisions:
        """Decide on one chunk of texts, in order.

        Args:
            texts: N texts.
            number: number of the chunk. A detector that crashes on every text of it stops the work; but few texts
                left over at the end are no evidence against a detector that scored others.

        Raises:
            CalibrationError: the rate was not calibrated.
            PluginError: see :func:`paraphrase_rl.plugin.isolation.contained`.
        """
        try:
            return self._decide(texts)
        except PluginError:
            if number == 0 or len(texts) >= _FEW:
                raise
        return [self._decide([text])[0] for text in texts]

    def _decide(self, texts: Sequence[str]) -> Decisions:
        found: Decisions = [[] for _ in texts]
        for decision in decide(texts, self.ensemble, self.uncalibrated, self._target_fpr, self._force):
            found[decision.index].append(decision)
        return found
