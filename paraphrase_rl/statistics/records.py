"""Records that results consist of, as saved in files: figures with their intervals, rates by group of writers."""

from __future__ import annotations

import math
import shlex
from collections.abc import Iterable
from pathlib import Path
from typing import ClassVar, Protocol, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from paraphrase_rl.errors import EvaluationError
from paraphrase_rl.files import write_text


class Record(BaseModel):
    """Base of the records: frozen, unknown keys refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class SavedRecord(Record):
    """Base of the records that are a file in a folder."""

    FILE: ClassVar[str]
    """Name of the file."""
    MISSING: ClassVar[str]
    """What the folder lacks where there is no file, such as "holds no evaluation"."""
    COMMAND: ClassVar[str]
    """What makes it, ``{folder}`` standing for the folder."""

    def write(self, folder: Path) -> None:
        """Save it in a folder, whole or not at all."""
        write_text(folder / self.FILE, self.model_dump_json(indent=1) + "\n")

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Read what :meth:`write` wrote.

        Raises:
            EvaluationError: there is none, or it is damaged.
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
    """The rows of one operating point; rates that only rounding tells apart are the same."""
    return [row for row in rows if math.isclose(row.target_fpr, target_fpr)]


class Estimate(Record):
    """A figure with its 95 % interval.

    ``value`` is ``None`` where there was nothing to measure, and then so are the bounds. Bounds are ``None`` with a
    value where too few documents leave no interval.
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
        """The figure under ``name``, and its bounds and n under names that begin with it."""
        return {name: self.value, f"{name}_low": self.low, f"{name}_high": self.high, f"{name}_n": self.n}

    def in_short(self) -> str:
        """The figure alone, to two digits; ``-`` where there is none."""
        return "-" if self.value is None else f"{self.value:.2f}"

    def __str__(self) -> str:
        bounds = "" if self.low is None or self.high is None else f" [{self.low:.2f}, {self.high:.2f}]"
        return f"{self.in_short()}{bounds}"


class FalsePositives(Record):
    """False positive rate of a detector on the human texts of one group, at the threshold of everybody."""

    rewriter: str = Field(description="rewriter of the human texts; none = the original texts")
    detector: str
    group: str = Field(description="a group of writers; 'all' = every human text")
    target_fpr: float
    words: int | None = Field(description="texts cut to so many words; None = as they are")
    rate: Estimate


class FairnessGap(Record):
    """False positive rate of ``group`` minus that of ``reference``, same threshold, same length."""

    rewriter: str
    detector: str
    group: str
    reference: str
    target_fpr: float
    words: int | None
    gap: Estimate
