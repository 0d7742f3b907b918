"""Isolation of components: an item that crashes becomes a Failure; any other error names the plug-in that caused it.

The registry wraps every component in one of these classes, so that no caller can forget to. If a call with several
items crashes, the items are processed one by one, which changes no number, since no item depends on the others of a
call; if all of them crash, the work stops with a :class:`PluginError` whose ``__cause__`` is the exception of the
plug-in.
An error meant for the user (:class:`PrlError`) and Ctrl-C are passed on; ``sys.exit`` in a plug-in is a crash like
others.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from paraphrase_rl.errors import PluginError, PrlError, one_line
from paraphrase_rl.plugin.protocols import ExplainingDetector, MeasuringDetector, TrainingResult
from paraphrase_rl.plugin.rated import joined
from paraphrase_rl.plugin.specs import Treatment
from paraphrase_rl.text.canonical import canonical
from paraphrase_rl.types import (
    Document,
    Explanation,
    Failure,
    FloatArray,
    Kind,
    Measurements,
    RewardBatch,
    Rewrite,
    Rewrites,
    Scores,
    Terms,
    join_scores,
    with_index,
)

if TYPE_CHECKING:
    import click

    from paraphrase_rl.plugin.protocols import (
        Backend,
        DatasetSource,
        Detector,
        Metric,
        Policy,
        Reward,
        Rewriter,
        Session,
    )
    from paraphrase_rl.plugin.specs import ComponentSpec

_AT_ONCE = 4096
"""Texts that a detector is given at once, however many there are: what it computes of each stays in bounds."""
Answer = TypeVar("Answer")
Spec = TypeVar("Spec", bound="ComponentSpec")


@dataclass(frozen=True, slots=True)
class Origin:
    """Component and plug-in that an error is attributed to.

    Attributes:
        what: kind and name of the component, such as ``detector vowels``.
        name: the component's name as it was asked for; owner of the Failures of items that crash.
        plugin: its plug-in and distribution, such as ``vowels (acme-detectors 1.2.0)``; empty if the component comes
            from no plug-in.
    """

    what: str
    name: str
    plugin: str = ""

    def __str__(self) -> str:
        return f"{self.what} of plug-in {self.plugin}" if self.plugin else self.what

    def broken(self, does: str) -> PluginError:
        """Build the error that says what the component does against its contract."""
        return PluginError(
            f"{self} {does}",
            "this is a fault in the plug-in, which its author must fix; paraphrase_rl.testing tests for it",
        )

    def crashes(self, when: str, error: BaseException) -> PluginError:
        """Build the error that says that the component raised ``error``; raise it ``from`` that exception."""
        return PluginError(
            f"{self} crashes {when}: {one_line(error)}",
            "this is a fault in the plug-in, which its author must fix; `prl --debug ...` shows the traceback",
        )

    def crash(self, error: BaseException) -> Failure:
        """Build the Failure of an item that crashed in a call with this item alone."""
        return Failure(index=0, owner=self.name, kind="crashed", message=one_line(error)[:300])

    @contextmanager
    def blamed(self, when: str) -> Iterator[None]:
        """Turn an exception of a call without items into a :class:`PluginError`. Do not ``yield`` inside."""
        try:
            yield
        except (PrlError, KeyboardInterrupt):
            raise
        except BaseException as error:
            raise self.crashes(when, error) from error


def contained(
    origin: Origin,
    n: int,
    call: Callable[[list[int]], Answer],
    *,
    failed: Callable[[Failure], Answer],
    join: Callable[[list[Answer]], Answer],
) -> Answer:
    """Call a component with N items; an item that crashes gets a Failure.

    Args:
        origin: the component.
        n: number of items, at least one.
        call: calls the component with the items at some positions, and checks its answer.
        failed: the answer for one item that crashed.
        join: the answers for items 0, 1, ... N - 1 as one; failures in each have index 0.

    Raises:
        PluginError: there are several items, and all of them crash.
        PrlError: the component raised it about the whole call.
    """
    try:
        return call(list(range(n)))
    except (PrlError, KeyboardInterrupt):
        raise
    except BaseException as error:
        if n == 1:
            return failed(origin.crash(error))
    parts: list[Answer] = []
    crashes: list[BaseException] = []
    for i in range(n):
        try:
            parts.append(call([i]))
        except (PrlError, KeyboardInterrupt):
            raise
        except BaseException as error:
            crashes.append(error)
            parts.append(failed(origin.crash(error)))
    if len(crashes) == n:
        raise origin.crashes(f"on each of {n} items", crashes[0]) from crashes[0]
    return join(parts)


def _in_place(parts: Iterable[Sequence[Failure]]) -> tuple[Failure, ...]:
    return tuple(replace(failure, index=i) for i, failures in enumerate(parts) for failure in failures)


class IsolatedDetector:
    """A detector of a plug-in."""

    def __init__(self, component: Detector, origin: Origin) -> None:
        self.component, self.origin = component, origin

    def score(self, texts: Sequence[str]) -> Scores:
        """Score texts as canonical ones, see :meth:`paraphrase_rl.plugin.protocols.Detector.score`.

        Raises:
            PluginError: see :func:`contained`; or the detector returns something else than Scores of shape (N,).
        """

        blocks = -(-len(texts) // _AT_ONCE)
        if blocks > 1:  # about as many in each: few texts alone must not decide that a detector is broken
            cuts = np.linspace(0, len(texts), blocks + 1, dtype=np.int64).tolist()
            return join_scores([self.score(texts[i:j]) for i, j in pairwise(cuts)])
        given = [canonical(text) if isinstance(text, str) else text for text in texts]

        def call(where: list[int]) -> Scores:
            scores: object = self.component.score([given[i] for i in where])
            if isinstance(scores, Scores) and scores.values.shape == (len(where),):
                return scores
            found = f"Scores of shape {scores.values.shape}" if isinstance(scores, Scores) else _type(scores)
            raise self.origin.broken(
                f"returned {found} for {len(where)} texts, not Scores of shape ({len(where)},)"
            )

        if not texts:
            return Scores(np.empty(0))
        return contained(
            self.origin,
            len(texts),
            call,
            failed=lambda f: Scores(np.array([np.nan]), (f,)),
            join=join_scores,
        )

    def measures(self, texts: Sequence[str]) -> Mapping[str, FloatArray]:
        """Describe texts by numbers, see :class:`paraphrase_rl.plugin.protocols.MeasuringDetector`; else nothing.

        Raises:
            PluginError: the detector crashes, or returns something else.
        """
        if not isinstance(self.component, MeasuringDetector) or not texts:
            return {}
        with self.origin.blamed("in measures()"):
            found: object = self.component.measures([canonical(text) for text in texts])
        if not isinstance(found, Mapping):
            raise self.origin.broken(f"returned {_type(found)} from measures(), not a mapping")
        values = {str(name): np.asarray(value, dtype=np.float64) for name, value in found.items()}
        if any(value.shape != (len(texts),) for value in values.values()):
            raise self.origin.broken(f"returned no arrays of shape ({len(texts)},) from measures()")
        return values

    def explain(self, text: str) -> Explanation | Failure:
        """Explain the score of a text, see :class:`paraphrase_rl.plugin.protocols.ExplainingDetector`.

        Raises:
            PluginError: the detector cannot explain its scores, crashes, or its shares do not add up to the score or
                lie outside of the text.
        """
        if not isinstance(self.component, ExplainingDetector):
            raise PluginError(
                f"{self.origin} cannot explain its scores",
                "choose detectors that have explain(), such as zero-shot ones",
            )
        whole = canonical(text)
        with self.origin.blamed("in explain()"):
            found: object = self.component.explain(whole)
        if isinstance(found, Failure):
            return found
        if not isinstance(found, Explanation):
            raise self.origin.broken(f"returned {_type(found)} from explain(), not an Explanation")
        total = found.base + math.fsum(share.value for share in found.shares)
        if not math.isclose(total, found.score, rel_tol=1e-6, abs_tol=1e-6):
            raise self.origin.broken(
                f"explains a score of {found.score:.6g} by shares that add up to {total:.6g}"
            )
        if not all(0 <= a <= b <= len(whole) for share in found.shares for a, b in share.spans):
            raise self.origin.broken("explains a score by places outside of the text")
        return found

    def provenance(self) -> Mapping[str, str]:
        """Return the provenance, see :meth:`paraphrase_rl.plugin.protocols.Detector.provenance`."""
        with self.origin.blamed("in provenance()"):
            found: object = self.component.provenance()
        if not isinstance(found, Mapping):
            raise self.origin.broken(f"returned {_type(found)} from provenance(), not a mapping")
        return found


class IsolatedReward:
    """A reward of a plug-in."""

    def __init__(self, component: Reward, origin: Origin) -> None:
        self.component, self.origin = component, origin

    def __call__(self, batch: RewardBatch) -> Terms:
        """As :class:`paraphrase_rl.plugin.protocols.Reward`.

        Raises:
            PluginError: see :func:`contained`; or it returns something else than Terms of shape (N,).
        """

        def call(where: list[int]) -> Terms:
            terms: object = self.component(batch.subset(where))
            if not isinstance(terms, Terms):
                raise self.origin.broken(f"returned {_type(terms)}, not Terms")
            for what, values in {"values": terms.values, **terms.details}.items():
                if np.shape(values) != (len(where),):
                    raise self.origin.broken(
                        f"returned {what} of shape {np.shape(values)} for {len(where)} rewrites"
                    )
            return terms

        def join(parts: list[Terms]) -> Terms:
            return Terms(
                np.concatenate([part.values for part in parts]),
                _in_place(part.failures for part in parts),
                joined([part.details for part in parts], [1] * len(parts)),
            )

        if not len(batch):
            return Terms(np.empty(0))
        return contained(
            self.origin, len(batch), call, failed=lambda f: Terms(np.array([np.nan]), (f,)), join=join
        )


class IsolatedMetric:
    """A metric of a plug-in, or several that are computed together.

    Args:
        names: names of all metrics computed together; an item that crashes has no value of any of them.
    """

    def __init__(self, component: Metric, origin: Origin, names: Sequence[str]) -> None:
        self.component, self.origin, self.names = component, origin, names

    def __call__(self, batch: RewardBatch) -> Measurements:
        """As :class:`paraphrase_rl.plugin.protocols.Metric`.

        Raises:
            PluginError: see :func:`contained`; or it returns something else than Measurements of shape (N,).
        """

        def call(where: list[int]) -> Measurements:
            found: object = self.component(batch.subset(where))
            if not isinstance(found, Measurements):
                raise self.origin.broken(f"returned {_type(found)}, not Measurements")
            for name, values in found.values.items():
                if values.shape != (len(where),):
                    raise self.origin.broken(
                        f"returned {name} of shape {values.shape} for {len(where)} rewrites"
                    )
            return found

        def failed(failure: Failure) -> Measurements:
            missing = {name: np.array([np.nan]) for name in self.names}
            return Measurements(missing, tuple(replace(failure, owner=name) for name in self.names))

        def join(parts: list[Measurements]) -> Measurements:
            values = joined([part.values for part in parts], [1] * len(parts))
            return Measurements(values, _in_place(part.failures for part in parts))

        if not len(batch):
            return Measurements({name: np.empty(0) for name in self.names})
        return contained(self.origin, len(batch), call, failed=failed, join=join)


class IsolatedRewriter:
    """A rewriter of a plug-in."""

    def __init__(self, component: Rewriter, origin: Origin) -> None:
        self.component, self.origin = component, origin

    def rewrite(self, texts: Sequence[str], n: int, seed: int) -> list[Rewrites]:
        """Rewrite texts, see :meth:`paraphrase_rl.plugin.protocols.Rewriter.rewrite`; failures have text indices.

        Raises:
            PluginError: see :func:`contained`; or the rewriter returns something else.
        """

        def call(where: list[int]) -> list[Rewrites]:
            found: object = self.component.rewrite([texts[i] for i in where], n, seed)
            if not isinstance(found, list) or len(found) != len(where):
                count = f"{len(found)} items" if isinstance(found, list) else _type(found)
                raise self.origin.broken(f"returned {count} for {len(where)} texts")
            for one in found:
                whole = isinstance(one, list) and len(one) == n and all(isinstance(r, Rewrite) for r in one)
                if not whole and not isinstance(one, Failure):
                    raise self.origin.broken(f"returned {one!r:.80} where {n} rewrites or a Failure belong")
            return [with_index(one, i) for i, one in enumerate(found)]

        if not texts:
            return []
        return contained(
            self.origin,
            len(texts),
            call,
            failed=lambda failure: [failure],
            join=lambda parts: [with_index(one, i) for i, (one,) in enumerate(parts)],
        )


class IsolatedDataset:
    """A data set of a plug-in."""

    def __init__(self, component: DatasetSource, origin: Origin) -> None:
        self.component, self.origin = component, origin

    def documents(self) -> Iterator[Document]:
        """Yield the documents, see :meth:`paraphrase_rl.plugin.protocols.DatasetSource.documents`."""
        with self.origin.blamed("in documents()"):
            documents = iter(self.component.documents())
        number = 0
        while True:
            with self.origin.blamed(f"in documents(), after {number} documents"):
                document: object = next(documents, None)
                if document is None:
                    return
            if not isinstance(document, Document):
                raise self.origin.broken(f"gives a {_type(document)} where a Document belongs")
            number += 1
            yield document

    def description(self) -> str:
        """Return the description, see :meth:`paraphrase_rl.plugin.protocols.DatasetSource.description`."""
        with self.origin.blamed("in description()"):
            found: object = self.component.description()
        if not isinstance(found, str):
            raise self.origin.broken(f"returned {_type(found)} from description(), not a text")
        return found

    @property
    def title(self) -> str:
        """Name of its texts in results; empty = that of the data set."""
        return str(getattr(self.component, "title", ""))

    def notes(self) -> list[str]:
        """Notes on what was read and what was left out; empty if the data set has no notes."""
        with self.origin.blamed("in notes()"):
            return list(map(str, getattr(self.component, "notes", list)()))

    def provenance(self) -> Mapping[str, str]:
        """Digests of the files that the data set was read from, by name; empty if it gives none."""
        with self.origin.blamed("in provenance()"):
            found: Mapping[str, str] = getattr(self.component, "provenance", dict)()
        return found


class IsolatedBackend:
    """A backend of a plug-in."""

    def __init__(self, component: Backend, origin: Origin) -> None:
        self.component, self.origin = component, origin

    def train(self, session: Session) -> TrainingResult:
        """Train, see :meth:`paraphrase_rl.plugin.protocols.Backend.train`."""
        with self.origin.blamed("in train()"):
            result: object = self.component.train(session)
        if not isinstance(result, TrainingResult):
            raise self.origin.broken(f"returned {_type(result)} from train(), not a TrainingResult")
        return result

    def policy(self, model: str, adapter: Path | str | None, *, thinking: bool = False) -> Policy:
        """Load a policy, see :meth:`paraphrase_rl.plugin.protocols.Backend.policy`."""
        with self.origin.blamed("in policy()"):
            found: Any = self.component.policy(model, adapter, thinking=thinking)
        if not callable(getattr(found, "sample", None)):
            raise self.origin.broken(f"returned {_type(found)} from policy(), which has no sample()")
        policy: Policy = found
        return policy

    def export(self, run: Path, checkpoint: Mapping[str, Any], out: Path) -> None:
        """Export an adapter, see :meth:`paraphrase_rl.plugin.protocols.Backend.export`."""
        with self.origin.blamed("in export()"):
            self.component.export(run, checkpoint, out)


_CLASSES: Mapping[Kind, Callable[[Any, Origin], object]] = {
    "detectors": IsolatedDetector,
    "rewards": IsolatedReward,
    "rewriters": IsolatedRewriter,
    "datasets": IsolatedDataset,
    "backends": IsolatedBackend,
}
_METHODS: Mapping[Kind, str] = {
    "detectors": "score",
    "rewards": "__call__",
    "metrics": "__call__",
    "rewriters": "rewrite",
    "datasets": "documents",
    "backends": "train",
}
"""A method that each component of a kind has."""


def isolated(kind: Kind, component: object, origin: Origin, together: Sequence[str]) -> object:
    """Wrap the component that a factory returned.

    Args:
        kind: of the component.
        component: what the factory returned.
        origin: component and plug-in that errors name.
        together: names of the components that are built together with this one, including it.

    Raises:
        PluginError: the factory returned no component of that kind.
    """
    if kind == "commands":
        return isolated_command(component, origin)
    if not callable(getattr(component, _METHODS[kind], None)):
        raise origin.broken(f"is built as {_type(component)}, which has no {_METHODS[kind]}()")
    if kind == "metrics":
        metric: Any = component
        return IsolatedMetric(metric, origin, together)
    return _CLASSES[kind](component, origin)


def isolated_command(command: object, origin: Origin) -> click.Command:
    """Isolate the parsing and running of a command; ``ctx.exit`` and click's own errors are passed on."""
    import click

    if not isinstance(command, click.Command):
        raise origin.broken(f"is built as {_type(command)}, which is not a click command")

    def isolate(name: str, step: Callable[..., Any]) -> None:
        @functools.wraps(step)
        def call(*arguments: Any, **named: Any) -> Any:
            with origin.blamed("while it runs"):
                try:
                    return step(*arguments, **named)
                except (click.exceptions.Exit, click.Abort, click.ClickException, BrokenPipeError) as end:
                    ended = end
            raise ended

        setattr(command, name, call)

    isolate("make_context", command.make_context)
    isolate("invoke", command.invoke)
    return command


def isolated_spec(spec: Spec, origin: Origin) -> Spec:
    """Isolate the functions of a spec other than its factory."""
    functions: dict[str, Any] = {
        name: _blamed(origin, name, getattr(spec, name))
        for name in ("fit", "check")
        if getattr(spec, name, None) is not None
    }
    return replace(spec, **functions)


def _blamed(origin: Origin, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def call(*arguments: Any) -> Any:
        with origin.blamed(f"in {name}()"):
            answer = function(*arguments)
        if name == "check" and not isinstance(answer, Treatment):
            raise origin.broken(f"returned {_type(answer)} from check(), not a Treatment")
        return answer

    return call


def _type(answer: object) -> str:
    return "None" if answer is None else type(answer).__name__
