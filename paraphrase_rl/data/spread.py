"""Choice of some items of a list that stand for all of it, whatever order it has."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import TypeVar

Item = TypeVar("Item")


def spread(items: Sequence[Item], n: int | None) -> list[Item]:
    """Choose ``n`` items from all over a list, in its order; all if ``n`` is ``None`` or there are no more.

    The list is cut into n parts of equal length, and each gives one item. Sources list their files in order, so the
    first n would be of one kind. The place within a part is drawn at random: at places that follow a rule all could
    again be of one kind where kinds take turns, such as two models' texts on each topic.

    The choice depends on the two lengths alone, so that caches and resumed runs find the same items; the first item
    is in it. Of a kind whose items stand together the number is less than 2 from its share of ``n``, less than 1 if
    they begin or end the list; of kinds in another order it is at most as far as in a draw at random.

    Returns:
        min(n, N) items.
    """
    total = len(items)
    if n is None or n >= total:
        return list(items)
    draw = random.Random(f"{total} {n}").random
    chosen = []
    for part in range(n):
        start, end = part * total // n, (part + 1) * total // n
        chosen.append(items[start + (int(draw() * (end - start)) if part else 0)])
    return chosen
