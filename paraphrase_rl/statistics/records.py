"""Records that results consist of, as saved in files: numbers with their intervals, rates by group of writers."""

from __future__ import annotations

import math
import shlex
from collections.abc import Iterable
from pathlib import Path
from typing import ClassVar, Literal, Protocol, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from paraphrase_rl.errors import EvaluationError
from paraphrase_rl.files import write_text


class Record(BaseModel):
    """Base of the records: frozen, unknown keys refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class SavedRecord(Record):
    """Base of records that are saved as a file in a folder."""

    FILE: ClassVar[str]
    """Name of the file."""
    MISSING: ClassVar[str]
    """Words for a folder without the file, such as "holds no evaluation", for error messages."""
    COMMAND: ClassVar[str]
    """Command that makes the file, with ``{folder}`` for the folder, for hints."""

    def write(self, folder: Path) -> None:
        """Save the record in a folder, whole or not at all."""
        write_text(folder / self.FILE, self.model_dump_json(indent=1) + "\n")

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Read the record that :meth:`write` saved in a folder.

        Raises:
            EvaluationError: there is no such file, or it is damaged.
        """
        path, command = folder / cls.FILE, cls.COMMAND.format(folder=shlex.quote(str(folder)))
        try:
            return cls.model_validate_json(path.read_text(encoding="utf-8"))
        except (FileNotFoundError, NotADirectoryError):
            raise EvaluationError(f"{folder} {cls.MISSING}", f"make one: {command}") from None
        except (OSError, ValueError) as error:
            why = str(error)
            if isinstance(error, ValidationError):
                first = error.errors()[0]
                why = ": ".join(filter(None, (".".join(map(str, first["loc"])), first["msg"])))
            raise EvaluationError(f"cannot read {path}: {why}", f"run again: {command}") from error


class _HasRate(Protocol):
    @property
    def target_fpr(self) -> float: ...


_Row = TypeVar("_Row", bound=_HasRate)


def at_rate(rows: Iterable[_Row], target_fpr: float) -> list[_Row]:
    """Return the rows of one operating point; rates that differ only by rounding count as equal."""
    return [row for row in rows if math.isclose(row.target_fpr, target_fpr)]


class Estimate(Record):
    """A number with its 95 % interval.

    ``value`` and the bounds are ``None`` if there was nothing to measure. Only the bounds are ``None`` if there are
    too few documents for an interval.
    """

    value: float | None
    low: float | None = None
    high: float | None = None
    n: int = Field(ge=0, description="documents it rests on")

    @property
    def interval(self) -> tuple[float | None, float | None]:
        """Both bounds, the lower one first."""
        return self.low, self.high

    def flat(self, name: str) -> dict[str, float | int | None]:
        """Return the value under ``name``, and its bounds and n under names that begin with ``name``."""
        return {name: self.value, f"{name}_low": self.low, f"{name}_high": self.high, f"{name}_n": self.n}

    def in_short(self) -> str:
        """Write the value alone, to two digits; ``-`` if there is none."""
        return "-" if self.value is None else f"{self.value:.2f}"

    def shown(self, digits: int = 2) -> str:
        """Write the value with its interval, or with why it has none; ``-`` if there is no value.

        Args:
            digits: decimals; 3 for an AUROC: near 1, two say nothing.
        """
        if self.value is None:
            return "-"
        if self.low is None or self.high is None:
            return f"{self.value:.{digits}f} (n too small)"
        return f"{self.value:.{digits}f} [{self.low:.{digits}f}, {self.high:.{digits}f}]"

    def __str__(self) -> str:
        return self.shown()


ThresholdOf = Literal["deployed", "reference"]
"""Threshold of a rate: that of the detector's calibration, or that of the reference group's calibration humans."""


class FalsePositives(Record):
    """False positive rate of a detector on the human texts of one group, at the same threshold for all groups."""

    rewriter: str = Field(description="rewriter of the human texts; none = the original texts")
    detector: str
    group: str = Field(description="a group of writers; 'all' = every human text")
    target_fpr: float
    words: int | None = Field(description="texts cut to so many words; None = as they are")
    threshold: ThresholdOf = Field(description="which threshold")
    rate: Estimate


class FairnessGap(Record):
    """False positive rate of ``group`` minus that of ``reference``, same threshold, same length."""

    rewriter: str
    detector: str
    group: str
    reference: str
    target_fpr: float
    words: int | None
    threshold: ThresholdOf
    gap: Estimate
