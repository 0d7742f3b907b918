"""Rewriters made from functions. Texts that a tokenizer would refuse are held back and get a Failure."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from paraphrase_rl.plugin import Failure, Rewrites, sha256_text, with_index


class AllAtOnce:
    """Rewriter that calls a function with many texts at once; those that a tokenizer would refuse get a Failure.

    Args:
        owner: the rewriter's name, which the failures carry.
        function: called as ``function(texts, n, seed)``; returns what a rewriter returns.
    """

    def __init__(self, owner: str, function: Callable[[Sequence[str], int, int], list[Rewrites]]) -> None:
        self.owner, self._function = owner, function

    def rewrite(self, texts: Sequence[str], n: int, seed: int) -> list[Rewrites]:
        """Rewrite each text ``n`` times; a text without rewrites has a Failure."""
        results: dict[int, Rewrites] = {
            i: failure for i, text in enumerate(texts) if (failure := _unusable(self.owner, i, text))
        }
        rest = [i for i in range(len(texts)) if i not in results]
        found = self._function([texts[i] for i in rest], n, seed) if rest else []
        for i, result in zip(rest, found, strict=True):
            results[i] = with_index(_not_empty(self.owner, result), i)
        return [results[i] for i in range(len(texts))]


class OneByOne:
    """Rewriter from a function of one text: ``function(text, n, seed)`` returns its rewrites or a Failure."""

    def __init__(self, owner: str, function: Callable[[str, int, int], Rewrites]) -> None:
        self._all_at_once = AllAtOnce(
            owner, lambda texts, n, seed: [function(text, n, seed) for text in texts]
        )

    def rewrite(self, texts: Sequence[str], n: int, seed: int) -> list[Rewrites]:
        """Rewrite each text ``n`` times; a text without rewrites has a Failure."""
        return [with_index(self._all_at_once.rewrite([text], n, seed)[0], i) for i, text in enumerate(texts)]


def noise_key(seed: int, text: str) -> tuple[int, int]:
    """Return the integers that fix the randomness of a text's rewrites, whatever its position in a call."""
    return seed, int(sha256_text(text), 16)


def _not_empty(owner: str, result: Rewrites) -> Rewrites:
    """Turn an empty rewrite into a Failure: there is nothing to score."""
    if isinstance(result, Failure) or all(rewrite.text.strip() for rewrite in result):
        return result
    return Failure(index=0, owner=owner, kind="empty-rewrite", message="the rewrite is empty")


def _unusable(owner: str, index: int, text: str) -> Failure | None:
    """Reason why a text cannot be given to a tokenizer; ``None`` where it can."""
    if not isinstance(text, str):
        kind, message = "not-text", f"expected a text, got {type(text).__name__}"
    elif not text.strip():
        kind, message = "empty", "the text is empty or only white space"
    elif any("\ud800" <= character <= "\udfff" for character in text):
        kind, message = "not-text", "the text is not valid Unicode: it contains half a surrogate pair"
    else:
        return None
    return Failure(index=index, owner=owner, kind=kind, message=message)
