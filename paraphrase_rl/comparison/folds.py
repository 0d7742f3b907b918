"""Folds for cross-fitting: texts that belong together stay in one; labels, groups and domains are spread evenly."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from paraphrase_rl.data.splits import drawn_order, units
from paraphrase_rl.errors import DataError
from paraphrase_rl.types import Document

Mask = NDArray[np.bool_]
FEWEST = 2
"""Fewest human and AI texts in a fold."""


@dataclass(frozen=True)
class Folds:
    """Fold of each text.

    Attributes:
        of: shape (N,), from 0 to K - 1.
        count: K.
    """

    of: NDArray[np.int64]
    count: int

    def tested(self, fold: int) -> Mask:
        """Return which texts are tested in a fold, shape (N,)."""
        return np.asarray(self.of == fold)

    def calibrated(self, fold: int, *, trained: bool) -> Mask:
        """Return which texts thresholds of a fold are fitted on, shape (N,).

        All others for a detector that needs no training; for one that does, those of the next fold, as it is trained on
        the rest.
        """
        return np.asarray(self.of == (fold + 1) % self.count) if trained else ~self.tested(fold)

    def training(self, fold: int) -> Mask:
        """Return which texts a detector is trained on for a fold, shape (N,): not those tested or calibrated on."""
        return ~(self.tested(fold) | self.calibrated(fold, trained=True))


def deal(documents: Sequence[Document], count: int, seed: int) -> Folds:
    """Deal documents to folds; the result depends on texts and seed, never on the order of the rows.

    Args:
        documents: N labelled documents.
        count: number of folds K, at least 3.
        seed: of the order in which units are dealt.

    Raises:
        DataError: a fold would have under two human or two AI texts.
    """
    of = np.zeros(len(documents), dtype=np.int64)
    ordered = sorted(units(documents), key=lambda unit: _order(documents, unit, seed))
    sizes: dict[tuple[str, str, str], NDArray[np.int64]] = {}
    for unit in ordered:
        strata = [(str(documents[i].label), str(documents[i].group), str(documents[i].domain)) for i in unit]
        load = np.sum(
            [sizes.setdefault(stratum, np.zeros(count, dtype=np.int64)) for stratum in strata], axis=0
        )
        labels = np.sum([_label_load(sizes, stratum[0], count) for stratum in strata], axis=0)
        fold = min(range(count), key=lambda k: (int(load[k]), int(labels[k]), k))
        of[unit] = fold
        for stratum in strata:
            sizes[stratum][fold] += 1
    for label in ("human", "ai"):
        held = np.array([d.label == label for d in documents])
        fewest = min(int((held & (of == k)).sum()) for k in range(count))
        if fewest < FEWEST:
            raise DataError(
                f"{int(held.sum())} {label} texts are too few for {count} folds",
                f"give at least {FEWEST * count} texts of each label that are not of one pair, or fewer folds",
            )
    return Folds(of, count)


def _label_load(
    sizes: dict[tuple[str, str, str], NDArray[np.int64]], label: str, count: int
) -> NDArray[np.int64]:
    return sum(
        (held for stratum, held in sizes.items() if stratum[0] == label), np.zeros(count, dtype=np.int64)
    )


def _order(documents: Sequence[Document], unit: Sequence[int], seed: int) -> tuple[int, str]:
    """Larger units first, as they are the harder to place; then by a hash of the content."""
    return -len(unit), drawn_order((documents[i].text for i in unit), seed)
