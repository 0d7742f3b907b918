"""The contract of a detector, as tests."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from paraphrase_rl.testing.base import ODD_TEXTS, Contract, check_failures
from paraphrase_rl.types import Scores

if TYPE_CHECKING:
    from paraphrase_rl.plugin.protocols import Detector

TEXTS: Sequence[str] = (
    "The ferry was late again this morning, so half the village stood on the pier and complained about it. "
    "Old Marten had brought his accordion, which made nothing better. By the time it came in we knew everybody's "
    "business, and two of the children had fallen into the water and been pulled out again, laughing.",
    "Regular exercise offers numerous benefits for both physical and mental health. It improves mood, promotes "
    "better sleep, and increases energy levels throughout the day. In addition, regular exercise helps to reduce "
    "the risk of chronic diseases such as heart disease, diabetes, and high blood pressure.",
    "Nobody told us that the second bridge had been closed. We walked back, wet to the knees, and had soup at a "
    "place whose owner kept a stuffed pike above the till. He swore it had bitten him, after. Then the rain "
    "stopped, and that was our holiday: one lake, one pike, no bridge.",
    "Effective communication is essential for success in both personal and professional life. It helps to build "
    "strong relationships, resolve conflicts, and foster collaboration within diverse teams. In conclusion, by "
    "listening actively and speaking clearly, individuals can improve their communication skills.",
)


LONG = 15
"""Number of repetitions that make a text of some 3,000 words."""


class DetectorContract(Contract):
    """Base of the tests of a detector: inherit, and define :meth:`make` and :attr:`pairs`.

    Attributes:
        pairs: ``(more AI-like, less AI-like)`` texts; the mean score of the first must be higher.
        texts: texts that invariance is tested on; the detector must be able to score each of them.
    """

    pairs: ClassVar[Sequence[tuple[str, str]]] = ()
    texts: ClassVar[Sequence[str]] = TEXTS

    def detector(self) -> Detector:
        """The detector under test."""
        detector: Detector = self.component()
        return detector

    def test_one_score_a_text(self) -> None:
        scores = self.detector().score(self.texts)
        assert isinstance(scores, Scores), f"score() returned {type(scores).__name__}, not Scores"
        assert scores.values.shape == (len(self.texts),)
        assert not scores.failures, f"could not score an ordinary text: {scores.failures[0].message}"

    def test_no_texts(self) -> None:
        scores = self.detector().score([])
        assert scores.values.shape == (0,)
        assert scores.failures == ()

    def test_higher_is_more_likely_ai(self) -> None:
        assert self.pairs, "give `pairs`: texts of which the first is more AI-like than the second"
        ai = self.detector().score([first for first, _ in self.pairs]).values
        human = self.detector().score([second for _, second in self.pairs]).values
        assert ai.mean() > human.mean(), (
            f"AI-like texts score {ai.mean():g}, human-like ones {human.mean():g}"
        )

    def test_the_order_of_texts_does_not_matter(self) -> None:
        forwards = self.detector().score(self.texts).values
        backwards = self.detector().score(list(reversed(self.texts))).values
        self.agree(backwards[::-1], forwards, "texts in reverse")

    def test_batch_mates_do_not_matter(self) -> None:
        together = self.detector().score(self.texts).values
        alone = np.concatenate([self.detector().score([text]).values for text in self.texts])
        self.agree(alone, together, "each text alone")
        mates = ["A much longer text, so that the others are padded. " * 30, *ODD_TEXTS]
        self.agree(
            self.detector().score([*self.texts, *mates]).values[: len(self.texts)],
            together,
            "beside odd texts",
        )

    def test_the_same_text_scores_the_same(self) -> None:
        scores = self.detector().score([self.texts[0], self.texts[1], self.texts[0]]).values
        self.agree(scores[2:], scores[:1], "a text twice in a call")
        again = self.detector().score([self.texts[0], self.texts[1], self.texts[0]]).values
        self.agree(again, scores, "the same call again")

    def test_odd_texts_fail_and_do_not_crash(self) -> None:
        scores = self.detector().score(ODD_TEXTS)
        assert scores.values.shape == (len(ODD_TEXTS),)
        check_failures(scores.failures, len(ODD_TEXTS))
        assert not scores.scored[:2].any(), "an empty text has no score: return a Failure for it"

    def test_what_is_cut_off_is_said(self) -> None:
        """A score that no ending of a long text changes was made from its beginning, and the Scores say so."""
        long = " ".join(self.texts) * LONG
        endings = (" It was not so.", f" {self.texts[0]}", " Seven whales sang, quite out of tune!" * 3)
        scores = self.detector().score([long + ending for ending in endings])
        if len(set(scores.values.tolist())) == 1 and scores.scored.all():
            cut = {truncation.index for truncation in scores.truncated}
            assert cut == set(range(len(endings))), (
                "only the beginning of a long text counts: return a Truncation"
            )
        short = self.detector().score(self.texts)
        assert all(t.read < (t.total or np.inf) and t.unit for t in (*scores.truncated, *short.truncated))

    def test_provenance_names_models_and_revisions(self) -> None:
        provenance = self.detector().provenance()
        assert isinstance(provenance, Mapping)
        assert all(isinstance(part, str) and part for item in provenance.items() for part in item)
