"""Rewriter: the original texts. In an evaluation it is the row that gives every figure "before"."""

from __future__ import annotations

from collections.abc import Iterable

from paraphrase_rl.plugin import Rewrite, RewriterSpec, hookimpl
from paraphrase_rl_plugins.rewriters._texts import OneByOne

NAME = "none"


@hookimpl
def register_rewriters() -> Iterable[RewriterSpec]:
    return [
        RewriterSpec(
            name=NAME,
            summary="the original texts: the baseline of every evaluation",
            baseline=True,
            factory=lambda options, context: OneByOne(  # noqa: ARG005 - the factory's signature
                NAME,
                lambda text, n, seed: [Rewrite(text=text)] * n,  # noqa: ARG005
            ),
            cost="none",
        )
    ]
