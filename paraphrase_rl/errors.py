"""Exceptions of the package. Every error that a user can cause has a message, a hint and an exit code.

The command line prints ``error: MESSAGE`` and ``hint: HINT`` on stderr and exits with ``exit_code``; a traceback
is shown only with ``--debug``. If several things are wrong at once, each is a note of the error, printed before it.
"""

EXIT_OK = 0
EXIT_NO = 1
"""Exit code of a command that ran, but a check or verdict failed, or an item could not be processed."""
EXIT_USAGE = 2
"""Exit code for wrong use: wrong arguments, recipe or data, or a missing dependency or model."""
EXIT_INTERRUPTED = 130
"""Exit code of a command that Ctrl-C stopped."""
EXIT_TERMINATED = 143
"""Exit code of a command that SIGTERM or SIGHUP stopped."""


class PrlError(Exception):
    """Base of all expected errors.

    Args:
        message: one line that says what is wrong.
        hint: one line that says what to do; an empty string if there is nothing to add.
    """

    exit_code = EXIT_USAGE

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    @property
    def one_line(self) -> str:
        """Return message and hint on one line, for tables."""
        return f"{self.message}; {self.hint}" if self.hint else self.message


def one_line(error: BaseException) -> str:
    """Return type and message of an exception on one line."""
    message = " ".join(str(error).split())
    return f"{type(error).__name__}: {message}" if message else type(error).__name__


class UsageError(PrlError):
    """A command or function was called wrongly."""


class RecipeError(PrlError):
    """A recipe cannot be read, or has an unknown, ill-typed or contradictory key."""


class DataError(PrlError):
    """Texts cannot be read, or lack a needed column, label or split."""


class ModelError(PrlError):
    """A model reference cannot be resolved, or what it names is not a usable model."""


class NumericalError(ModelError):
    """Weights, a gradient or log-probabilities are NaN or infinite."""


class PluginError(PrlError):
    """A plug-in is unknown, ambiguous, broken or misbehaves."""


class MissingDependencyError(PrlError):
    """A component needs a package that is not installed."""


class CalibrationError(PrlError):
    """There is no calibration, or it does not fit the detector or its data."""


class CostError(PrlError):
    """A run could cost more than the limit."""

    exit_code = EXIT_NO


class EvaluationError(PrlError):
    """An evaluation cannot be made, read, or used for what was asked."""


class RunError(PrlError):
    """A run directory cannot be created, read, resumed or written."""
