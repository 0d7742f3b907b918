"""One exception tree. Every error a user can cause carries a message, a hint and an exit code.

The command line prints ``error: MESSAGE`` and ``hint: HINT`` on stderr and exits with ``exit_code``; a traceback
is shown only with ``--debug``. Where several things are wrong at once, each is a note of the error, printed before it.
"""

EXIT_OK = 0
EXIT_NO = 1
"""The command ran and the answer is no: a failed check or verdict, or items that failed."""
EXIT_USAGE = 2
"""Wrong use: arguments, recipe, data, a missing dependency or model."""
EXIT_INTERRUPTED = 130


class PrlError(Exception):
    """Base of all expected errors.

    Args:
        message: one line that says what is wrong.
        hint: one line that says what to do about it; empty when there is nothing to add.
    """

    exit_code = EXIT_USAGE

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    @property
    def one_line(self) -> str:
        """Message and hint together, for tables."""
        return f"{self.message}; {self.hint}" if self.hint else self.message


def one_line(error: BaseException) -> str:
    """Type and message of an exception on one line."""
    message = " ".join(str(error).split())
    return f"{type(error).__name__}: {message}" if message else type(error).__name__


class UsageError(PrlError):
    """The command was called wrongly."""


class RecipeError(PrlError):
    """A recipe cannot be read, or has an unknown, ill-typed or contradictory key."""


class DataError(PrlError):
    """Texts cannot be read, or lack a needed column, label or split."""


class ModelError(PrlError):
    """A model reference cannot be resolved, or what it names is not a usable model."""


class PluginError(PrlError):
    """A plug-in is unknown, ambiguous, broken or misbehaves."""


class MissingDependencyError(PrlError):
    """A component needs a package that is not installed."""


class CalibrationError(PrlError):
    """No calibration, or one that does not fit the detector or its data."""


class CostError(PrlError):
    """A run could cost more than it may."""

    exit_code = EXIT_NO


class EvaluationError(PrlError):
    """An evaluation cannot be made, read, or used for what was asked."""


class RunError(PrlError):
    """A run directory cannot be created, read, resumed or written."""
