"""Corpus of a data set plug-in: documents that are validated, split and cut to excerpts."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import get_args

from paraphrase_rl.data.audit import Audit, AuditRow, audit
from paraphrase_rl.data.bad_rows import BadRow, BadRowList, leave_out, unusable
from paraphrase_rl.data.splits import splits_of
from paraphrase_rl.errors import DataError
from paraphrase_rl.files import sha256_texts
from paraphrase_rl.plugin.protocols import DatasetSource
from paraphrase_rl.plugin.registry import Registry
from paraphrase_rl.plugin.specs import Context
from paraphrase_rl.recipe.schema import Component, Data
from paraphrase_rl.stored import StoredDocuments, contents, select
from paraphrase_rl.tables import Table, Tabular, record
from paraphrase_rl.text.canonical import canonical
from paraphrase_rl.text.excerpts import excerpt
from paraphrase_rl.types import Document, Label, Split


@dataclass(frozen=True, repr=False, kw_only=True)
class DocumentCounts(Table[AuditRow]):
    """Number of documents by split, label and group, shown in the ``repr`` of a :class:`Corpus`."""

    source: str
    documents: int

    @property
    def title(self) -> str:
        return f"{self.documents} documents of {self.source}"


@dataclass(frozen=True, repr=False)
class Corpus(Tabular):
    """A data set ready for use.

    Attributes:
        documents: in the order of the source; ids are unique, every one has a split. Those of a source are on disk.
        source: name of the data set, or of the files.
        description: what the texts are, where they come from, and their licence.
        excerpt_words: number of words that every text is cut to, at most; ``None`` = whole texts.
        notes: formats of the files, columns not used, rows left out; one line each.
        whole: the documents before they were cut to excerpts; the same ones if they were not.
    """

    documents: Sequence[Document]
    source: str
    description: str
    excerpt_words: int | None = None
    notes: tuple[str, ...] = ()
    whole: Sequence[Document] = ()

    def __len__(self) -> int:
        return len(self.documents)

    def __iter__(self) -> Iterator[Document]:
        return iter(self.documents)

    def flat_rows(self) -> Sequence[Mapping[str, object]]:
        """Return one mapping for each document."""
        return [record(document) for document in self.documents]

    def _shown(self) -> Table[object]:
        notes = (*self.audit.warnings, *self.notes, *self.audit.notes)
        return DocumentCounts(self.audit.rows, notes, source=self.source, documents=len(self.documents))

    def select(self, *, split: Split | None = None, label: Label | None = None) -> Sequence[Document]:
        """Select the documents of a split and label, in order; ``None`` = any. A sequence, which need not be a list."""
        return select(self.documents, split, label)

    def require_labels(self) -> None:
        """Refuse data of which no text has a label.

        Raises:
            DataError: says which column may have been meant.
        """
        if all(document.label is None for document in self.documents):
            hint = next((note for note in self.notes if "no column 'label'" in note), "")
            raise DataError(f"no text of {self.source} has a label", hint or "labels are human and ai")

    @cached_property
    def digest(self) -> str:
        """SHA-256 over texts, labels, groups and splits; the order of the rows does not count."""
        return sha256_texts(contents(self.documents))

    @cached_property
    def audit(self) -> Audit:
        """Return counts, warnings and notes about the data."""
        return audit(self.documents)


def load_documents(
    source: Component, settings: Data, registry: Registry, context: Context | None = None
) -> Corpus:
    """Read a data set plug-in: validate its documents, split them by unit (related texts stay together), cut excerpts.

    Raises:
        DataError: no documents, an empty text, an unknown label or split, an id used twice.
        PluginError, MissingDependencyError: the plug-in is unknown, broken or lacks a package.
    """
    dataset: DatasetSource = registry.build("datasets", source.name, source.options, context or Context())
    notes = getattr(dataset, "notes", tuple)
    return make_corpus(
        dataset.documents(),
        settings,
        source=getattr(dataset, "title", None) or source.name,
        description=dataset.description,
        notes=notes,
    )


def make_corpus(
    documents: Iterable[Document],
    settings: Data,
    *,
    source: str,
    description: Callable[[], str],
    notes: Callable[[], Iterable[str]] = tuple,
) -> Corpus:
    """Validate documents, split them by unit (related texts stay together), and cut excerpts. Texts are held on disk.

    Args:
        documents: N documents, read once.
        settings: fractions and seed of the split, length of the excerpts.
        source: name of the data set in errors and results.
        description: function that describes the data set; called once the documents are read.
        notes: function that returns notes on what was read; called then too.

    Raises:
        DataError: no documents, an empty text, an unknown label or split, an id used twice.
    """
    whole = _validated(documents, source)
    whole.assign(
        splits_of(
            whole,
            test_fraction=settings.test_fraction,
            calibration_fraction=settings.calibration_fraction,
            seed=settings.split_seed,
        )
    )
    words = settings.excerpt_words
    read = whole
    if words is not None:
        read = StoredDocuments.of(replace(d, text=excerpt(d.text, words)) for d in whole)
    return Corpus(read, source, description(), words, tuple(notes()), whole)


def _validated(documents: Iterable[Document], source: str) -> StoredDocuments:
    bad = BadRowList()
    read = StoredDocuments()
    read.extend(_usable(documents, source, bad))
    total = len(read) + bad.n
    hint = "give each row its own id, or ignore the id column with the option columns: {id: null}"
    for row, id, first in read.repeated_ids():
        problem = f"the id is already used in row {first}"
        bad.add(BadRow(f"data set {source}, row {row} (id {id})", problem, hint))
    leave_out(bad, total)
    if not len(read):
        raise DataError(f"data set {source} has no documents", "check the path and options of the data set")
    return read


def _usable(documents: Iterable[Document], source: str, bad: BadRowList) -> Iterator[tuple[int, Document]]:
    """Documents with a usable text, each with the number of its row; the others become bad rows."""
    for row, document in enumerate(documents, start=1):
        where = f"data set {source}, row {row}"
        if not isinstance(document, Document):
            raise DataError(
                f"{where}: expected a Document, got {type(document).__name__}",
                "this is a fault in the plug-in: report it to its author",
            )
        where += f" (id {document.id})"
        _known(document.label, get_args(Label), where, "label")
        _known(document.split, get_args(Split), where, "split")
        if problem := unusable(document.text):
            bad.add(BadRow(where, problem, "add the text or remove the row"))
        else:
            yield row, replace(document, text=canonical(document.text))


def _known(value: str | None, allowed: tuple[str, ...], where: str, what: str) -> None:
    if value is not None and value not in allowed:
        raise DataError(
            f"{where}: unknown {what} {value!r}",
            f"a {what} is {', '.join(allowed)}, or left out when unknown",
        )
