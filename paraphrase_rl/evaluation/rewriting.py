"""A rewriter's crash costs the text it crashed on, nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from paraphrase_rl.errors import PluginError, PrlError
from paraphrase_rl.plugins import one_line
from paraphrase_rl.protocols import Rewriter
from paraphrase_rl.types import Failure, Rewrite


def rewrite_contained(
    name: str, rewriter: Rewriter, texts: Sequence[str], n: int, seed: int
) -> list[list[Rewrite] | Failure]:
    """Rewrites; where the call crashes, each text is rewritten alone and those that crash fail.

    A text's rewrites do not depend on the other texts of a call, so rewriting alone changes none.

    Args:
        name: what the rewriter is called, owner of the failures of crashes.
        rewriter: any rewriter.
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
        return _checked(name, rewriter.rewrite(texts, n, seed), len(texts), n)
    except PrlError:
        raise
    except Exception as error:
        if len(texts) == 1:
            return [Failure(index=0, owner=name, kind="crashed", message=one_line(error)[:300])]
    alone = [rewrite_contained(name, rewriter, [text], n, seed)[0] for text in texts]
    return [replace(item, index=i) if isinstance(item, Failure) else item for i, item in enumerate(alone)]


def _checked(name: str, answer: object, texts: int, n: int) -> list[list[Rewrite] | Failure]:
    if not isinstance(answer, list) or len(answer) != texts:
        found = f"{len(answer)} items" if isinstance(answer, list) else type(answer).__name__
        raise _broken(name, f"returned {found} for {texts} texts")
    items: list[list[Rewrite] | Failure] = []
    for i, item in enumerate(answer):
        if isinstance(item, Failure):
            items.append(replace(item, index=i))
            continue
        if not isinstance(item, list) or len(item) != n or not all(isinstance(r, Rewrite) for r in item):
            raise _broken(name, f"returned {item!r:.60} where {n} rewrites belong")
        items.append(item)
    return items


def _broken(name: str, what: str) -> PluginError:
    return PluginError(
        f"rewriter {name} {what}",
        "this is a fault of the plug-in: it must return a list of Rewrite, or a Failure, for each text",
    )
