"""A rewriter's crash costs the text it crashed on, nothing else."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from paraphrase_rl.errors import PluginError, PrlError
from paraphrase_rl.plugin.discovery import one_line
from paraphrase_rl.types import Failure, Rewrite

Rewrites = list[Rewrite] | Failure
"""What a text became: its rewrites, or why there are none."""


def at(index: int, result: Rewrites) -> Rewrites:
    """A result with the position of its text in the call."""
    return replace(result, index=index) if isinstance(result, Failure) else result


def rewrite_contained(
    name: str,
    rewrite: Callable[[Sequence[str], int, int], list[Rewrites]],
    texts: Sequence[str],
    n: int,
    seed: int,
) -> list[Rewrites]:
    """Rewrites of a rewriter; where the call crashes, each text is rewritten alone and those that crash fail.

    A text's rewrites do not depend on the other texts of a call, so rewriting alone changes none.

    Args:
        name: what the rewriter is called, owner of the failures of crashes.
        rewrite: a rewriter's method, called as ``rewrite(texts, n, seed)``.
        texts: N texts.
        n: rewrites a text.
        seed: the same seed gives the same rewrites.

    Returns:
        N items in the order of the texts: ``n`` rewrites, or why there are none, its index that of the text.

    Raises:
        PluginError: the rewriter returns something other than that.
        PrlError: what the rewriter itself has to say about the whole call.
    """
    if not texts:
        return []
    try:
        return _checked(name, rewrite(texts, n, seed), len(texts), n)
    except PrlError:
        raise
    except Exception as error:
        if len(texts) == 1:
            return [Failure(index=0, owner=name, kind="crashed", message=one_line(error)[:300])]
    alone = [rewrite_contained(name, rewrite, [text], n, seed)[0] for text in texts]
    return [at(i, one) for i, one in enumerate(alone)]


def _checked(name: str, found: object, texts: int, n: int) -> list[Rewrites]:
    if not isinstance(found, list) or len(found) != texts:
        count = f"{len(found)} items" if isinstance(found, list) else type(found).__name__
        raise _broken(name, f"returned {count} for {texts} texts")
    for one in found:
        whole = isinstance(one, list) and len(one) == n and all(isinstance(r, Rewrite) for r in one)
        if not whole and not isinstance(one, Failure):
            raise _broken(name, f"returned {one!r:.80} where {n} rewrites or a Failure belong")
    return [at(i, one) for i, one in enumerate(found)]


def _broken(name: str, what: str) -> PluginError:
    return PluginError(
        f"rewriter {name} {what}",
        "this is a fault of the plug-in; paraphrase_rl.testing checks rewriters for it",
    )
