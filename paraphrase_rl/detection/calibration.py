"""Calibration of detectors: thresholds and P(AI), and the file they are saved in."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import Field, ValidationError

import paraphrase_rl
from paraphrase_rl import files
from paraphrase_rl.detection.calibration_texts import CalibrationTexts, Elsewhere, Population, Record
from paraphrase_rl.detection.outside import Profile
from paraphrase_rl.detection.probability import ProbabilityMap
from paraphrase_rl.detection.seen import SeenTexts
from paraphrase_rl.detection.threshold import OperatingPoint
from paraphrase_rl.errors import CalibrationError
from paraphrase_rl.models.precision import Precision
from paraphrase_rl.text.canonical import RULE
from paraphrase_rl.types import FloatArray

SCHEMA: Literal["paraphrase-rl/calibration/2"] = "paraphrase-rl/calibration/2"
_BEFORE = "paraphrase-rl/calibration/1"
RECALIBRATE = "run `prl calibrate` again"


def default_path() -> Path:
    """Return the file that `prl calibrate` writes and `prl score` reads by default."""
    return files.home() / "calibrations" / "default.json"


class Calibration(Record):
    """One detector's thresholds and P(AI), with everything they depend on.

    ``points`` holds one operating point per false positive rate, the target rate first.
    ``probability`` is ``None`` when there were no AI texts.
    """

    detector: str
    options: dict[str, Any] = Field(default_factory=dict)
    provenance: dict[str, str] = Field(
        default_factory=dict, description="model reference -> revision or digest"
    )
    texts: CalibrationTexts
    n_human: int = Field(ge=2)
    n_ai: int = Field(ge=0)
    failed_human: int = Field(0, ge=0, description="human texts the detector could not score; not in n_human")
    failed_ai: int = Field(0, ge=0)
    truncated: int = Field(0, ge=0, description="texts of which the detector read only the beginning")
    flagged_ai: int | None = Field(
        None, ge=0, description="AI texts above the threshold of the target rate; None = not counted"
    )
    points: tuple[OperatingPoint, ...] = Field(min_length=1)
    probability: ProbabilityMap | None = None
    elsewhere: tuple[Elsewhere, ...] = ()
    populations: tuple[Population, ...] = Field(
        (),
        description="if it was fitted on several: each, and the deployed threshold is the highest of theirs",
    )
    profile: Profile | None = Field(
        None,
        description="what its texts are like; None = an evaluation's, or of a combination: see its detectors",
    )
    fitted: str | None = Field(
        None,
        description="folder of a trained detector saved with this calibration; None = the one in its options",
    )

    @property
    def built_with(self) -> dict[str, Any]:
        """Options that the detector is built with, the folder of a trained one among them."""
        return self.options if self.fitted is None else {**self.options, "folder": self.fitted}

    @property
    def target(self) -> OperatingPoint:
        """Operating point of the target rate."""
        return self.points[0]

    def point(self, target_fpr: float | None = None) -> OperatingPoint:
        """Return the operating point of a stored rate; ``None`` = the target rate.

        Raises:
            CalibrationError: the rate was not calibrated.
        """
        if target_fpr is None:
            return self.target
        for point in self.points:
            if np.isclose(point.target_fpr, target_fpr, rtol=1e-9, atol=0.0):
                return point
        stored = ", ".join(f"{point.target_fpr:g}" for point in self.points)
        raise CalibrationError(
            f"{self.detector} is calibrated for false positive rates of {stored}, not {target_fpr:g}",
            f"choose one of these rates, or run `prl calibrate --target-fpr {target_fpr:g}`",
        )

    def worst(self, target_fpr: float | None = None) -> str | None:
        """Name the population that sets the threshold; ``None`` if the calibration was fitted on one.

        Raises:
            CalibrationError: the rate was not calibrated.
        """
        at = self.points.index(self.point(target_fpr))
        return max(self.populations, key=lambda p: p.points[at].threshold).name if self.populations else None

    def probabilities(self, scores: FloatArray) -> FloatArray:
        """Compute P(AI) of shape (N,) at equal odds of human and AI; a NaN among the scores stays NaN.

        Raises:
            CalibrationError: there were no AI texts to fit P(AI) on.
        """
        if self.probability is None:
            raise CalibrationError(
                f"{self.detector} has a threshold but no P(AI): it was calibrated without AI texts",
                "run `prl calibrate` on data with texts of both labels",
            )
        return self.probability(scores)

    def describe(self, target_fpr: float | None = None) -> str:
        """Describe on one line how many of the calibration's human texts the threshold flags.

        Raises:
            CalibrationError: the rate was not calibrated.
        """
        point, worst = self.point(target_fpr), self.worst(target_fpr)
        at = self.points.index(point)
        of = "" if worst is None else f" of {worst}"
        others = "".join(
            f"; of {p.name} {p.flagged[at]} of {p.n_human} ({percent(p.flagged[at] / p.n_human)})"
            for p in self.populations
            if p.name != worst
        )
        return (
            f"{self.detector}: threshold {point.threshold:.4g} flags {point.above} of {point.n_human} human texts{of} "
            f"({percent(point.achieved_fpr)}, target {percent(point.target_fpr)}; for texts drawn like these the "
            f"true rate is {percent(point.low)} to {percent(point.high)} with 95 % confidence){others}"
        )

    def describe_elsewhere(self) -> str:
        """Describe on one line how many AI texts, and human texts of other kinds, the target threshold flags."""
        found = [f"{self.flagged_ai} of {self.n_ai} AI texts"] if self.flagged_ai is not None else []
        if self.elsewhere:
            found.append(f"of other human texts {', '.join(there.describe() for there in self.elsewhere)}")
        return f"{self.detector}: it also flags {'; '.join(found)}"

    def warnings(self, target_fpr: float | None = None) -> list[str]:
        """List the limits of this calibration, one line each."""
        point = self.point(target_fpr)
        found: list[str] = []
        if not point.is_shown:
            found.append(
                f"n too small for {point.target_fpr:g}: {point.n_human} human texts keep a rate of "
                f"{point.smallest_fpr:.2g} or more; the threshold is the highest human score"
            )
        if point.above < point.allowed:
            found.append(
                f"{point.tied} human scores tie at the threshold: "
                f"{point.achieved_fpr:.3f} of the human texts are above it, not {point.target_fpr:g}"
            )
        if self.probability is not None and not self.probability.has_power:
            found.append(
                f"AI texts do not score above human texts here (AUROC {self.probability.auroc:.3f}): "
                "the P(AI) of this detector would be constant, so the ensemble leaves it out"
            )
        if self.failed_human or self.failed_ai:
            found.append(
                f"{self.failed_human} human and {self.failed_ai} AI calibration texts could not be scored "
                "and are left out"
            )
        if self.truncated:
            found.append(
                f"{self.truncated} of {self.n_human + self.n_ai} calibration texts are longer than it reads: "
                "the scores are those of their beginnings"
            )
        return [f"{self.detector}: {line}" for line in found]


def percent(share: float) -> str:
    """Write a share in [0, 1] as ``4.5 %``."""
    return f"{100.0 * share:.1f} %"


class CalibrationSet(Record):
    """Calibrations of an ensemble, as saved in a file.

    Attributes:
        weights: weight of each detector's P(AI) in the mean, in the order of ``calibrations``.
        combined: thresholds on the combined P(AI); ``None`` if a detector has no P(AI).
        default: detectors that are used if none is named; ``None`` = all.
        precision: precision of the products that its scores were computed with, in which its detectors are built
            again; ``None`` in files of earlier versions.
        canonical_text: version of :mod:`paraphrase_rl.text.canonical` that its texts were scored with.
        seen: texts that all of these were fitted on; ``None`` in files of earlier versions.
    """

    schema_: Literal["paraphrase-rl/calibration/2"] = Field(SCHEMA, alias="schema")
    canonical_text: Literal[1] = RULE
    versions: dict[str, str] = Field(
        default_factory=lambda: {
            "paraphrase-rl": paraphrase_rl.__version__,
            "numpy": np.__version__,
            "python": platform.python_version(),
        }
    )
    calibrations: tuple[Calibration, ...] = Field(min_length=1)
    weights: tuple[float, ...]
    combine: Literal["mean", "worst-case"] = "mean"
    combined: Calibration | None = None
    seen: SeenTexts | None = None
    default: tuple[str, ...] | None = None
    precision: Precision | None = None

    def only(self, detectors: Collection[str]) -> CalibrationSet | None:
        """Return the calibrations of some detectors, ``None`` if there is none of them.

        The combined thresholds remain if all detectors that count in them (weight above 0) are among these.
        """
        every = list(zip(self.calibrations, self.weights, strict=True))
        kept = [(c, weight) for c, weight in every if c.detector in detectors]
        if not kept:
            return None
        whole = all(c.detector in detectors for c, weight in every if weight > 0)
        return self.model_copy(
            update={
                "calibrations": tuple(c for c, _ in kept),
                "weights": tuple(weight for _, weight in kept),
                "combined": self.combined if whole else None,
            }
        )

    @property
    def records(self) -> tuple[Calibration, ...]:
        """Calibrations of all detectors, then of their combination if there are several."""
        several = self.combined is not None and len(self.calibrations) > 1
        return (*self.calibrations, self.combined) if several and self.combined else self.calibrations

    def of(self, detector: str) -> Calibration:
        """Return the calibration of a detector.

        Raises:
            CalibrationError: there is none.
        """
        for calibration in self.calibrations:
            if calibration.detector == detector:
                return calibration
        there = ", ".join(calibration.detector for calibration in self.calibrations)
        raise CalibrationError(f"{detector} is not in this calibration, which has {there}", RECALIBRATE)

    def write(self, path: Path, write: Callable[[Path, str], None] = files.write_text) -> None:
        """Write the file, whole or not at all; paths of trained detectors are relative to the file."""
        home = path.parent.resolve()
        placed = self._placed(lambda folder: os.path.relpath(folder, home))
        write(path, files.json_text(placed.model_dump(mode="json", by_alias=True)))

    def _placed(self, place: Callable[[str], str]) -> CalibrationSet:
        """Copy with another ``fitted`` of each calibration."""
        calibrations = tuple(
            c if c.fitted is None else c.model_copy(update={"fitted": place(c.fitted)})
            for c in self.calibrations
        )
        return self.model_copy(update={"calibrations": calibrations})

    @classmethod
    def read(cls, path: Path) -> CalibrationSet:
        """Read calibrations from a file and check them.

        Raises:
            CalibrationError: there is no such file, or it is not a calibration.
        """
        try:
            raw = json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise CalibrationError(f"no calibration at {path}", "run `prl calibrate` to make one") from None
        except (OSError, ValueError, RecursionError) as error:
            raise CalibrationError(f"cannot read the calibration {path}: {error}", RECALIBRATE) from error
        if isinstance(raw, dict) and raw.get("schema") == _BEFORE:
            raise CalibrationError(
                f"{path} was made by another version, which did not record the texts that it holds for "
                f"({_BEFORE}, this version reads {SCHEMA})",
                f"{RECALIBRATE}; a run with such a calibration must be trained again",
            )
        if isinstance(raw, dict) and raw.get("schema") == SCHEMA and raw.get("canonical_text") != RULE:
            raise CalibrationError(
                f"{path} was made by another version, which preprocessed texts differently "
                f"(text preprocessing rule {raw.get('canonical_text', 0)}, this version has rule {RULE}); its "
                "thresholds do not apply",
                f"{RECALIBRATE}; a run with such a calibration must be trained again",
            )
        try:
            found = cls.model_validate(raw)
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(str(part) for part in first["loc"]) or "the top level"
            raise CalibrationError(
                f"{path} is not a calibration: {where}: {first['msg']}", RECALIBRATE
            ) from error
        if len(found.weights) != len(found.calibrations):
            raise CalibrationError(
                f"{path} is not a calibration: weights do not match detectors", RECALIBRATE
            )
        home = path.parent.resolve()
        if (home / "recipe.yaml").exists():  # of a run, which may come from elsewhere
            found._stays_in(path)
        return found._placed(lambda folder: str((home / folder).resolve()))

    def _stays_in(self, path: Path) -> None:
        for calibration in self.calibrations:
            try:
                if calibration.fitted is not None:
                    files.inside(path.parent, calibration.fitted)
            except ValueError as error:
                raise CalibrationError(
                    f"{path}, detector {calibration.detector}: {error}",
                    f"copy the trained detector into {path.parent}, and write the path of the copy into {path.name}",
                ) from error


def check_provenance(calibration: Calibration, current: Mapping[str, str]) -> None:
    """Refuse a calibration whose detector has changed since.

    Raises:
        CalibrationError: a model's revision or digest is not that which was calibrated.
    """
    if dict(current) == calibration.provenance:
        return
    changed = sorted(
        name
        for name in {*current, *calibration.provenance}
        if current.get(name) != calibration.provenance.get(name)
    )
    raise CalibrationError(
        f"{calibration.detector} was calibrated with another {', '.join(changed)}", RECALIBRATE
    )
