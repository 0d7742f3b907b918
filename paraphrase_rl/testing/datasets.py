"""The contract of a data set, as tests."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, get_args

from paraphrase_rl.testing.base import Contract
from paraphrase_rl.types import Document, Label, Split

if TYPE_CHECKING:
    from paraphrase_rl.plugin.protocols import DatasetSource


class DatasetContract(Contract):
    """Base of the tests of a data set: inherit, and define :meth:`make`."""

    def source(self) -> DatasetSource:
        """The data set under test."""
        source: DatasetSource = self.component()
        return source

    def test_documents_are_valid(self) -> None:
        documents = list(self.source().documents())
        assert documents, "a data set has documents"
        for document in documents:
            assert isinstance(document, Document)
            assert document.text.strip(), f"{document.id}: a document's text is never empty"
            assert document.label in (*get_args(Label), None), f"{document.id}: label {document.label!r}"
            assert document.split in (*get_args(Split), None), f"{document.id}: split {document.split!r}"

    def test_ids_are_unique(self) -> None:
        ids = [document.id for document in self.source().documents()]
        assert len(set(ids)) == len(ids)

    def test_the_order_is_stable(self) -> None:
        first = list(self.source().documents())
        assert list(self.source().documents()) == first, "the same source, read again"
        assert list(self.make().documents()) == first, "the same source, built again"

    def test_splits_are_whole(self) -> None:
        documents = list(self.source().documents())
        unsplit = sum(document.split is None for document in documents)
        assert unsplit in (0, len(documents)), f"{unsplit} of {len(documents)} documents have no split"
        splits = defaultdict(set)
        for document in documents:
            if document.pair is not None:
                splits[document.pair].add(document.split)
        torn = sorted(pair for pair, found in splits.items() if len(found) > 1)
        assert not torn, f"pairs in several splits: {', '.join(torn[:5])}"

    def test_it_describes_itself(self) -> None:
        assert len(self.source().description().split()) >= 5, (
            "say what the texts are, whence, and their licence"
        )
