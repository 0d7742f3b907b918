"""The recipe's training data, assembled from published sets, with a manifest of where every text came from."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from paraphrase_rl import __version__
from paraphrase_rl.data.build.missing_spaces import missing_spaces
from paraphrase_rl.data.build.selection import Offer, Selection, rank, read_offer, select
from paraphrase_rl.data.splits import split_documents
from paraphrase_rl.errors import DataError, PrlError
from paraphrase_rl.files import dumps, sha256_file, sha256_text, write_json, write_text
from paraphrase_rl.plugin.registry import Registry
from paraphrase_rl.types import Document

TRAIN, TEST, CALIBRATION = 4625, 1157, 500
"""Rows of the published recipe, and further rows for the detectors' thresholds: the recipe has no calibration split,
and its own rows are never used for thresholds."""
LABELS = ("human", "ai")
_GAP = 0.2


@dataclass(frozen=True)
class Built:
    """Files that were written.

    Attributes:
        file: the data.
        manifest: manifest of the data, as saved next to the file.
        warnings: faults and gaps of the data, one line each.
    """

    file: Path
    manifest: Mapping[str, object]
    warnings: tuple[str, ...]


@dataclass(frozen=True)
class RowCounts:
    """Number of rows (AI texts) wanted in each split."""

    train: int = TRAIN
    test: int = TEST
    calibration: int = CALIBRATION

    @property
    def rows(self) -> int:
        return self.train + self.test + self.calibration


def build(
    out: Path,
    paths: Mapping[str, str | None],
    registry: Registry,
    *,
    seed: int = 42,
    partial: bool = False,
    plan: RowCounts = RowCounts(),
) -> Built:
    """Draw the rows, divide them among the splits and write ``out`` and its manifest, ``OUT.manifest.json``.

    Args:
        paths: data set plug-ins, each with the folder or file of its set; ``None`` = the plug-in's own default.
        partial: go on without sets that cannot be read and with fewer rows; the splits keep their proportions.

    Raises:
        DataError: a set cannot be read or there are too few rows, and ``partial`` is False; there is no set to build
            from; ``out`` exists and has other contents.
    """
    offers: dict[str, Offer] = {}
    about: dict[str, dict[str, object]] = {}
    missing: dict[str, PrlError] = {}
    for name in sorted(paths):
        try:
            offers[name], about[name] = _read(name, paths[name], registry, seed, plan.rows)
        except PrlError as error:
            missing[name] = error
    drawn = select(offers, plan.rows)
    found = len(drawn.rows)
    if not found or (not partial and (missing or found < plan.rows)):
        raise _too_little(plan, drawn, offers, missing)
    documents = _in_order(_split(_documents(drawn), plan, seed), seed)
    text = "".join(dumps(row) + "\n" for row in map(_line, documents))
    shares = _missing_space_shares(documents)
    manifest: dict[str, object] = {
        "made_by": f"paraphrase-rl {__version__}: prl data build",
        "seed": seed,
        "output": {"file": out.name, "sha256": sha256_text(text), "documents": len(documents), "rows": found},
        "asked": {"train": plan.train, "test": plan.test, "calibration": plan.calibration},
        "short_by": plan.rows - found,
        "missing": {name: error.one_line for name, error in missing.items()},
        "splits": _counts(documents, lambda d: d.document.split),
        "groups": _shares(documents, lambda d: d.document.group or "not known"),
        "domains": _shares(documents, lambda d: f"{d.source}/{d.document.domain}"),
        "sets": {
            name: about[name] | _used(name, drawn, offers[name]) | {"missing_spaces": shares.get(name, {})}
            for name in offers
        },
    }
    _write(out, text, manifest)
    return Built(out, manifest, tuple(_warnings(manifest, shares)))


@dataclass(frozen=True)
class _Sourced:
    document: Document
    source: str


def _read(
    name: str, path: str | None, registry: Registry, seed: int, rows: int
) -> tuple[Offer, dict[str, object]]:
    options = {} if path is None else {"path": path}
    dataset = registry.build("datasets", name, options)
    # twice as many as could be drawn: some will share an opening with another
    offer = read_offer(name, dataset.documents(), seed, at_most=2 * rows)
    files: Callable[[], Mapping[str, str]] = getattr(dataset, "provenance", dict)  # other sets have none
    return offer, {"description": dataset.description(), "files": dict(files())}


def _documents(drawn: Selection) -> list[_Sourced]:
    """Give documents ids and pairs that follow from the texts, whatever the files were called."""
    found: list[_Sourced] = []
    for row in drawn.rows:
        pair = f"{row.source}-{row.rank[:16]}" if row.human is not None else None
        found += [_Sourced(_named(d, row.source, pair), row.source) for d in row.documents]
    for source, humans in drawn.humans.items():
        found += [_Sourced(_named(d, source, None), source) for d in humans]
    return found


def _named(document: Document, source: str, pair: str | None) -> Document:
    name = f"{source}-{document.label}-{sha256_text(document.text)[:16]}"
    return replace(document, id=name, pair=pair, split=None)


def _split(documents: Sequence[_Sourced], plan: RowCounts, seed: int) -> list[_Sourced]:
    """Split AI texts first, so that their numbers are exact; then human texts follow their pair, or are split alike."""
    fractions = {"test_fraction": plan.test / plan.rows, "calibration_fraction": plan.calibration / plan.rows}
    ai = [d.document for d in documents if d.document.label == "ai"]
    dealt = {d.id: d.split for d in split_documents(ai, **fractions, seed=seed)}
    given = [replace(d.document, split=dealt.get(d.document.id)) for d in documents]
    split = split_documents(given, **fractions, seed=seed)
    return [replace(d, document=new) for d, new in zip(documents, split, strict=True)]


def _in_order(documents: Iterable[_Sourced], seed: int) -> list[_Sourced]:
    """Sort by the order of the draw, so that any part of the file has texts of all sets."""
    return sorted(documents, key=lambda d: rank(d.document.text, seed))


def _line(d: _Sourced) -> dict[str, object]:
    names = ("id", "text", "label", "group", "domain", "pair", "split")
    row = {name: getattr(d.document, name) for name in names}
    return {name: value for name, value in row.items() if value is not None} | {"source": d.source}


def _counts(
    documents: Iterable[_Sourced], key: Callable[[_Sourced], str | None]
) -> dict[str, dict[str, int]]:
    counts: dict[str, Counter[str]] = {}
    for d in documents:
        counts.setdefault(str(key(d)), Counter())[str(d.document.label)] += 1
    return {name: dict(sorted(counts[name].items())) for name in sorted(counts)}


def _shares(documents: Sequence[_Sourced], key: Callable[[_Sourced], str | None]) -> dict[str, object]:
    totals = Counter(d.document.label for d in documents)
    return {
        name: found | {f"share_of_{label}": round(found[label] / totals[label], 4) for label in found}  # type: ignore[index]
        for name, found in _counts(documents, key).items()
    }


def _used(name: str, drawn: Selection, offer: Offer) -> dict[str, object]:
    rows = [row for row in drawn.rows if row.source == name]
    paired = sum(row.human is not None for row in rows)
    return {
        "read": dict(sorted(offer.read.items())),
        "rows": len(rows),
        "rows_beside_their_human_text": paired,
        "rows_without": len(rows) - paired,
        "human_texts_that_stand_alone": len(drawn.humans[name]),
        "left_out": dict(sorted(offer.left_out.items())),
    }


def _missing_space_shares(documents: Sequence[_Sourced]) -> dict[str, dict[str, float]]:
    """Share of texts with missing spaces, by set and label."""
    shares: dict[str, dict[str, float]] = {}
    for source in sorted({d.source for d in documents}):
        of_set = [d.document for d in documents if d.source == source]
        found = missing_spaces([d.text for d in of_set])
        for label in LABELS:
            hits = [hit for d, hit in zip(of_set, found, strict=True) if d.label == label]
            if hits:
                shares.setdefault(source, {})[label] = round(sum(hits) / len(hits), 3)
    return shares


def _warnings(manifest: Mapping[str, object], shares: Mapping[str, Mapping[str, float]]) -> Iterable[str]:
    if manifest["short_by"]:
        yield f"{manifest['short_by']:,} rows fewer than the recipe has; steps and costs are smaller in proportion"
    missing = manifest["missing"]
    assert isinstance(missing, dict)
    for name, why in missing.items():
        yield f"without {name} ({why})"
    for name, share in shares.items():
        if len(share) == 2 and abs(share["human"] - share["ai"]) > _GAP:
            yield (
                f"{name}: spaces between words are missing in {share['human']:.0%} of its human and "
                f"{share['ai']:.0%} of its AI texts; a trained detector can tell them apart by that alone"
            )


def _too_little(
    plan: RowCounts, drawn: Selection, offers: Mapping[str, Offer], missing: Mapping[str, PrlError]
) -> DataError:
    used = Counter(row.source for row in drawn.rows)
    lines = [
        f"{plan.rows:,} rows wanted ({plan.train:,} train, {plan.test:,} test, {plan.calibration:,} calibration), "
        f"{len(drawn.rows):,} found:"
    ]
    lines += [f"{name}: {used[name]:,} of {len(offers[name].rows):,} rows it has" for name in sorted(offers)]
    lines += [error.one_line for _, error in sorted(missing.items())]
    return DataError(
        "\n  ".join(lines),
        "give the place of a set with --from NAME=PATH (prl plugins show NAME describes the files), "
        "or build from the sets that can be read with --partial",
    )


def _write(out: Path, text: str, manifest: Mapping[str, object]) -> None:
    """Write the manifest first, so that data never exists without its manifest."""
    if out.exists() and sha256_file(out) != sha256_text(text):
        raise DataError(
            f"{out} already exists and holds other texts",
            "move that file away, or give another file with --out",
        )
    beside = out.with_name(f"{out.stem}.manifest.json")
    if os.path.lexists(beside) and not _is_manifest(beside):
        raise DataError(
            f"{beside} already exists and is not the manifest of a data set built here",
            "move that file away, or give another file with --out",
        )
    write_json(beside, manifest)
    write_text(out, text)


def _is_manifest(path: Path) -> bool:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(found, dict) and str(found.get("made_by")).startswith("paraphrase-rl ")
