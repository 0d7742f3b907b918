"""Plug-ins that need no packaging: a Python file, and a plain function over texts.

The environment variable ``PRL_PLUGIN_FILES`` names files to load besides what is installed, separated by commas:
``mine.py`` is a plug-in like any other (a module with hooks), ``mine.py:FUNCTION`` a function that scores texts. A file
is code: it is loaded only where the user names it, never because a run or a calibration does.
"""

from __future__ import annotations

import hashlib
import importlib.util
import inspect
import os
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, Literal

import numpy as np

from paraphrase_rl.errors import PluginError
from paraphrase_rl.files import expanded
from paraphrase_rl.plugin.hookspecs import hookimpl
from paraphrase_rl.plugin.installed import FILE_REFERENCE, Plugin
from paraphrase_rl.plugin.specs import Context, DetectorSpec, NoOptions
from paraphrase_rl.types import Failure, Scores

VARIABLE = "PRL_PLUGIN_FILES"
ScoreFunction = Callable[[list[str]], Sequence[float] | Any]


def is_file_reference(text: str) -> bool:
    """Return whether a text is ``FILE.py`` or ``FILE.py:FUNCTION``."""
    return FILE_REFERENCE.fullmatch(text) is not None


def named_files(environ: Mapping[str, str] = os.environ) -> list[str]:
    """List what ``PRL_PLUGIN_FILES`` names, each once."""
    named = (part.strip() for part in environ.get(VARIABLE, "").split(","))
    return [reference for reference in dict.fromkeys(named) if reference]


def given_plugins(environ: Mapping[str, str] = os.environ) -> list[Plugin]:
    """Make the plug-ins that ``PRL_PLUGIN_FILES`` names; imports none of them."""
    return [file_plugin(reference) for reference in named_files(environ)]


def file_plugin(reference: str) -> Plugin:
    """Make the plug-in of ``FILE.py``, or of ``FILE.py:FUNCTION``. Its version is the digest of the file.

    Raises:
        PluginError: there is no such file, or it is not a Python file.
    """
    match = FILE_REFERENCE.fullmatch(reference)
    if match is None:
        raise PluginError(f"{reference!r} is not a Python file", "give FILE.py, or FILE.py:FUNCTION")
    file, function = expanded(Path(match["file"])), match["function"]
    try:
        code = file.read_bytes()
    except OSError as error:
        raise PluginError(
            f"cannot read the plug-in {file}: {error.strerror or error}", "give a Python file"
        ) from error
    name = file.stem if function is None else function
    version = f"sha256:{hashlib.sha256(code).hexdigest()[:12]}"

    def load() -> object:
        module = _imported(file, code)
        if function is None:
            return module
        found = getattr(module, function, None)
        if not callable(found):
            raise PluginError(f"{file} has no function {function!r}")
        spec = detector(found, name=kebab(function), provenance={str(file.name): version})
        made = ModuleType(name)
        made.register_detectors = hookimpl(lambda: [spec])  # type: ignore[attr-defined]
        return made

    return Plugin(name=name, target=reference, distribution=file.stem, version=version, load=load)


def detector(
    function: ScoreFunction,
    *,
    name: str | None = None,
    direction: Literal["higher", "lower"] = "higher",
    family: str = "function",
    provenance: Mapping[str, str] | None = None,
) -> DetectorSpec:
    """Make a detector of a plain function.

    Args:
        function: takes a list of N texts and returns N numbers, in the same order; NaN or ``None`` for a text that it
            cannot score. A text's score must not depend on the other texts.
        name: name of the detector, in lower case with hyphens; ``None`` = that of the function.
        direction: ``higher`` = a higher number is more likely AI; ``lower`` = the numbers are negated.
        family: family of detectors it belongs to; transfer is reported by family.
        provenance: what its scores depend on, with a revision or digest each; ``None`` = a digest of the function's
            source, so that a calibration of it is refused when the function has changed.

    Returns:
        The detector, for the argument ``detectors`` of a verb.

    Raises:
        PluginError: ``function`` cannot be called, or its name is no name of a detector.

    Example:
        >>> mean_length = prl.detector(lambda texts: [len(t) / len(t.split()) for t in texts], name="mean-word-length")
        >>> prl.score(["Two words."], detectors=mean_length).rows[0].score
        4.5
    """
    if not callable(function):
        raise PluginError(
            f"{function!r:.60} is not a function", "give a function from a list of texts to numbers"
        )
    called = kebab(getattr(function, "__name__", "")) if name is None else name
    depends = {called: _digest(function)} if provenance is None else dict(provenance)
    sign = 1.0 if direction == "higher" else -1.0

    def build(options: NoOptions, context: Context) -> FunctionDetector:  # noqa: ARG001
        return FunctionDetector(function, called, sign, depends)

    first = (inspect.getdoc(function) or "").strip().partition("\n")[0]
    try:
        return DetectorSpec(
            name=called,
            summary=first or f"the function {called}",
            factory=build,
            family=family,
            direction=direction,
        )
    except ValueError as error:
        raise PluginError(str(error), "give the detector a name, such as name='my-detector'") from error


@dataclass(frozen=True)
class FunctionDetector:
    """Detector that asks a function. ``sign`` is -1 where lower numbers are more likely AI."""

    function: ScoreFunction
    name: str
    sign: float
    depends: Mapping[str, str]

    def score(self, texts: Sequence[str]) -> Scores:
        """Return the numbers of the function, of shape (N,), and a Failure for each that is none.

        Raises:
            PluginError: the function does not return one number a text.
        """
        answer = self.function(list(texts)) if texts else []
        try:
            values = self.sign * np.asarray(answer, dtype=np.float64)  # None becomes NaN
        except (TypeError, ValueError) as error:
            raise PluginError(f"the function {self.name} returned {answer!r:.60}, not numbers") from error
        if values.shape != (len(texts),):
            raise PluginError(
                f"the function {self.name} returned an array of shape {values.shape} for {len(texts)} texts",
                "it gets a list of texts and returns one number for each",
            )
        missing = np.flatnonzero(~np.isfinite(values)).tolist()
        values[missing] = np.nan
        return Scores(
            values,
            tuple(
                Failure(
                    index=i,
                    owner=self.name,
                    kind="no-score",
                    message="the function has no number for this text",
                )
                for i in missing
            ),
        )

    def provenance(self) -> Mapping[str, str]:
        """Return the digest of the function's source or file."""
        return self.depends


def kebab(name: str) -> str:
    """Turn the name of a function into that of a component: lower case, hyphens in place of underscores."""
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")


def _imported(file: Path, code: bytes) -> object:
    """Run a file as a module of its own; the bytes whose digest is recorded are those that run."""
    name = f"paraphrase_rl_given_{hashlib.sha256(str(file.resolve()).encode()).hexdigest()[:12]}"
    spec = importlib.util.spec_from_loader(name, loader=None, origin=str(file))
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    module.__file__ = str(file)
    sys.modules[name] = module  # dataclasses and pickle look modules up by name
    try:
        exec(compile(code, str(file), "exec"), module.__dict__)
    except BaseException:
        del sys.modules[name]
        raise
    return module


def _digest(function: ScoreFunction) -> str:
    """Digest of the source of a function; its name alone where there is no source, as for a built-in one."""
    try:
        source = inspect.getsource(function)
    except (OSError, TypeError):
        source = getattr(function, "__qualname__", type(function).__qualname__)
    return f"sha256:{hashlib.sha256(source.encode()).hexdigest()}"
