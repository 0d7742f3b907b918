"""Corpus of a data set plug-in: documents that are validated, split and cut to excerpts."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import get_args

from paraphrase_rl.data.audit import Audit, AuditRow, audit
from paraphrase_rl.data.splits import split_documents
from paraphrase_rl.errors import DataError
from paraphrase_rl.files import sha256_texts
from paraphrase_rl.plugin.protocols import DatasetSource
from paraphrase_rl.plugin.registry import Registry
from paraphrase_rl.plugin.specs import Context
from paraphrase_rl.recipe.schema import Component, Data
from paraphrase_rl.tables import Table, Tabular, record
from paraphrase_rl.text.canonical import canonical
from paraphrase_rl.text.excerpts import excerpt
from paraphrase_rl.types import Document, Label, Split


@dataclass(frozen=True, repr=False, kw_only=True)
class DocumentCounts(Table[AuditRow]):
    """Documents by split, label and group: what a :class:`Corpus` shows of itself."""

    source: str
    documents: int

    @property
    def title(self) -> str:
        return f"{self.documents} documents of {self.source}"


@dataclass(frozen=True, repr=False)
class Corpus(Tabular):
    """A data set ready for use.

    Attributes:
        documents: in the order of the source; ids are unique, every one has a split.
        source: name of the data set plug-in.
        description: what the texts are, where they come from, and their licence.
        excerpt_words: every text is cut to so many words at most; ``None`` = texts are whole.
    """

    documents: tuple[Document, ...]
    source: str
    description: str
    excerpt_words: int | None = None

    def __len__(self) -> int:
        return len(self.documents)

    def __iter__(self) -> Iterator[Document]:
        return iter(self.documents)

    def flat_rows(self) -> Sequence[Mapping[str, object]]:
        """One mapping a document."""
        return [record(document) for document in self.documents]

    def _shown(self) -> Table[object]:
        notes = (*self.audit.warnings, *self.audit.notes)
        return DocumentCounts(self.audit.rows, notes, source=self.source, documents=len(self.documents))

    def select(self, *, split: Split | None = None, label: Label | None = None) -> list[Document]:
        """Select the documents of a split and label, in order; ``None`` = any."""
        return [
            d
            for d in self.documents
            if (split is None or d.split == split) and (label is None or d.label == label)
        ]

    @cached_property
    def digest(self) -> str:
        """SHA-256 over texts, labels, groups and splits; the order of the rows does not count."""
        return sha256_texts(sorted(f"{d.split}\t{d.label}\t{d.group}\t{d.text}" for d in self.documents))

    @cached_property
    def audit(self) -> Audit:
        """Counts, warnings and notes about the data."""
        return audit(self.documents)


def load_documents(
    source: Component, settings: Data, registry: Registry, context: Context | None = None
) -> Corpus:
    """Build the data set plug-in, read it, validate, split by unit, and cut excerpts.

    Raises:
        DataError: no documents, an empty text, an unknown label or split, an id used twice.
        PluginError, MissingDependencyError: the plug-in is unknown, broken or lacks a package.
    """
    dataset: DatasetSource = registry.build("datasets", source.name, source.options, context or Context())
    return make_corpus(dataset.documents(), settings, source=source.name, description=dataset.description)


def make_corpus(
    documents: Iterable[Document], settings: Data, *, source: str, description: Callable[[], str]
) -> Corpus:
    """Validate documents, split them by unit, and cut excerpts.

    Args:
        documents: N documents, read once.
        settings: fractions and seed of the split, length of the excerpts.
        source: what errors and results call them.
        description: asked for once they are read.

    Raises:
        DataError: no documents, an empty text, an unknown label or split, an id used twice.
    """
    read = _validated(documents, source)
    split = split_documents(
        read,
        test_fraction=settings.test_fraction,
        calibration_fraction=settings.calibration_fraction,
        seed=settings.split_seed,
    )
    if settings.excerpt_words is not None:
        split = [replace(d, text=excerpt(d.text, settings.excerpt_words)) for d in split]
    return Corpus(tuple(split), source, description(), settings.excerpt_words)


def _validated(documents: Iterable[Document], source: str) -> list[Document]:
    read: list[Document] = []
    rows: dict[str, int] = {}
    for row, document in enumerate(documents, start=1):
        where = f"data set {source}, row {row}"
        if not isinstance(document, Document):
            raise DataError(
                f"{where}: expected a Document, got {type(document).__name__}",
                "this is a fault in the plug-in: report it to its author",
            )
        where += f" (id {document.id})"
        if not isinstance(document.text, str) or not canonical(document.text):
            raise DataError(f"{where}: the text is empty", "add the text or remove the row")
        if any("\ud800" <= character <= "\udfff" for character in document.text):
            raise DataError(
                f"{where}: the text is not valid Unicode: it contains half a surrogate pair",
                "repair or remove the row",
            )
        _known(document.label, get_args(Label), where, "label")
        _known(document.split, get_args(Split), where, "split")
        if document.id in rows:
            raise DataError(
                f"{where}: the id is already used in row {rows[document.id]}", "give each row its own id"
            )
        rows[document.id] = row
        read.append(replace(document, text=canonical(document.text)))
    if not read:
        raise DataError(f"data set {source} has no documents", "check its path and options")
    return read


def _known(value: str | None, allowed: tuple[str, ...], where: str, what: str) -> None:
    if value is not None and value not in allowed:
        raise DataError(
            f"{where}: unknown {what} {value!r}",
            f"a {what} is {', '.join(allowed)}, or left out when unknown",
        )
