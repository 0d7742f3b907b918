"""Rewriter: the rewrite of a rewrite, repeated several times."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from pydantic import Field

from paraphrase_rl.plugin import Component, Failure, Options, Rewrite, RewriterSpec, Rewrites, hookimpl
from paraphrase_rl_plugins.rewriters._nested import WHICH, Nested, by_text, derived_seed

NAME = "recursive"


class RecursiveOptions(Options):
    """Options of ``recursive``."""

    rewriter: Component | None = Field(None, description=WHICH)
    times: int = Field(
        3, ge=1, description="number of times the text is rewritten, each time from the last rewrite"
    )


@hookimpl
def register_rewriters() -> Iterable[RewriterSpec]:
    return [
        RewriterSpec(
            name=NAME,
            summary="rewrites of rewrites, repeated several times",
            factory=lambda options, context: Recursive(Nested(options.rewriter, context), options.times),
            options=RecursiveOptions,
            extra="trl",
            paper="Sadasivan et al. 2023, Can AI-Generated Text be Reliably Detected?",
            cost="one rewrite for each of the times",
        )
    ]


class Recursive:
    """Rewriter of rewrites, in a chain. A text fails if a rewrite of its chain fails; the failure names the round.

    A rewrite counts as finished only if every rewrite of its chain was finished.
    """

    def __init__(self, inner: Nested, times: int) -> None:
        self.inner, self.times = inner, times

    def rewrite(self, texts: Sequence[str], n: int, seed: int) -> list[Rewrites]:
        """Rewrite each text ``n`` times; a text without rewrites has a Failure."""
        return by_text([self._chain(texts, seed, sample) for sample in range(n)])

    def _chain(self, texts: Sequence[str], seed: int, sample: int) -> list[Rewrite | Failure]:
        """Run one chain for each text, round by round."""
        now: list[Rewrite | Failure] = [Rewrite(text=text) for text in texts]
        for turn in range(self.times):
            going = [(i, one) for i, one in enumerate(now) if isinstance(one, Rewrite)]
            found = self.inner.rewrite([one.text for _, one in going], 1, derived_seed(seed, sample, turn))
            for (i, before), result in zip(going, found, strict=True):
                if isinstance(result, Failure):
                    message = f"round {turn + 1} of {self.times}: {result.message}"
                    now[i] = Failure(index=i, owner=result.owner, kind=result.kind, message=message)
                else:
                    now[i] = Rewrite(text=result[0].text, finished=before.finished and result[0].finished)
        return now
