"""Texts that get a score and no verdict: those seen in fitting, and those that a calibration does not hold for."""

from __future__ import annotations

import numpy as np
import pytest

from paraphrase_rl.detection.applicability import without_verdict_notes
from paraphrase_rl.detection.calibration_texts import CalibrationTexts, Limits
from paraphrase_rl.detection.decision import Decision, decide
from paraphrase_rl.detection.ensemble import CalibratedEnsemble, Member
from paraphrase_rl.detection.fitting import calibrate_combined, fit_calibration
from paraphrase_rl.detection.seen import SeenTexts
from paraphrase_rl.detection.training_record import Training
from paraphrase_rl.text.language import is_english_prose
from paraphrase_rl.types import Scores

PROSE = "It was late when the council came to the question of the bridge, and some of them had left by then."
GERMAN = (
    "Der Rat stimmte am Montag über die neue Brücke ab, die seit dem Sommer geschlossen war, und die Bürger, die "
    "lange auf eine Entscheidung gewartet hatten, waren mit dem Ergebnis nicht zufrieden."
)


class Length:
    def score(self, texts: list[str]) -> Scores:
        return Scores(np.array([float(len(text)) for text in texts]))

    def provenance(self) -> dict[str, str]:
        return {}


def other(i: int) -> str:
    return " ".join(f"word{i}x{k}" for k in range(10))


ANY = Limits(least_words=0, most_words=1000, scripts=(), language=None)


def ensemble(limits: Limits = ANY, weights: tuple[float, float] = (1.0, 1.0)) -> CalibratedEnsemble:
    """Two detectors, the first of which was trained on a text."""
    texts = CalibrationTexts(source="toy", digest="d", median_words=20, limits=limits)
    human, ai = Scores(np.arange(20.0)), Scores(np.arange(15.0, 35.0))
    trainings = (Training(detector="taught", texts=SeenTexts.of([other(1)])), None)
    members = [
        Member(
            name=name,
            detector=Length(),
            calibration=fit_calibration(human, ai, [0.05], detector=name, texts=texts),
            weight=weight,
            training=training,
        )
        for name, weight, training in zip(("taught", "plain"), weights, trainings, strict=True)
    ]
    scores = [{member.name: of for member in members} for of in (human, ai)]
    return calibrate_combined(members, *scores, seen=SeenTexts.of([other(2)]))


def judged(found: list[Decision]) -> list[list[str | None]]:
    """Kind of the reason of each decision, by text."""
    kinds = [None if d.no_verdict is None else d.no_verdict.partition(":")[0] for d in found]
    return [kinds[i : i + 3] for i in range(0, len(kinds), 3)]


def test_a_text_that_was_seen_has_a_score_and_no_verdict() -> None:
    texts = [other(1), other(2), other(3), f"{other(2)} {other(4)}"]
    found = decide(texts, ensemble(), {})
    assert judged(found) == [["seen", None, "seen"], ["seen"] * 3, [None] * 3, ["seen"] * 3]
    taught, plain, both = found[:3]
    assert (taught.score, taught.p_ai, taught.flagged) == (float(len(other(1))), None, None)
    assert taught.no_verdict == "seen: trained on this text, or on a near duplicate of it"
    assert plain.flagged is True
    assert plain.p_ai is not None
    assert (both.score, both.p_ai, both.flagged) == (None, None, None)
    assert found[3].no_verdict == "seen: calibrated on this text, or on a near duplicate of it"


def test_a_detector_that_does_not_count_takes_no_verdict_from_the_ensemble() -> None:
    found = decide([other(1)], ensemble(weights=(0.0, 1.0)), {})
    assert judged(found) == [["seen", None, None]]


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        (PROSE, None),
        (" ".join(PROSE.split()[:9]), "length"),
        (f"{PROSE} {PROSE} {PROSE}", "length"),
        (GERMAN, "language"),
        (
            "理事会は月曜日に、夏から閉鎖されていた新しい橋について投票した。市民は長く待っていた。",
            "script",
        ),
        (
            "Совет проголосовал в понедельник по новому мосту, который был закрыт с лета, и жители ждали долго",
            "script",
        ),
        ("1 2 3 4 5 6 7 8 9 10 11 12", "language"),
    ],
)
def test_limits_of_a_calibration(text: str, kind: str | None) -> None:
    limits = Limits(least_words=10, most_words=50, scripts=("Latin",), language="en")
    assert judged(decide([text], ensemble(limits), {})) == [[kind] * 3]
    assert judged(decide([text], ensemble(), {})) == [[None] * 3]


def test_a_forced_verdict_stands_beside_the_reason() -> None:
    limits = Limits(least_words=30, most_words=50, scripts=(), language=None)
    for forced, seen in zip(
        decide([PROSE], ensemble(limits), {}, force=True),
        decide([other(2)], ensemble(limits), {}, force=True),
        strict=True,
    ):
        assert forced.flagged is not None
        assert forced.p_ai is not None
        assert forced.no_verdict is not None
        assert forced.no_verdict.startswith("length: ")
        assert (seen.flagged, seen.p_ai) == (None, None), "no force makes a seen text a test"


def test_detectors_without_a_calibration_are_scored_as_before() -> None:
    (alone,) = decide([PROSE], None, {"length": Length()})
    assert (alone.score, alone.no_verdict) == (float(len(PROSE)), None)


def test_english_is_told_from_what_looks_like_it() -> None:
    assert is_english_prose(PROSE.upper())
    assert is_english_prose("The cat sat on the mat.")
    for text in (
        "",
        "12 %",
        "Rain. Wind. Hail. Snow.",
        GERMAN,
        "Le conseil a voté lundi sur le nouveau pont de la ville.",
    ):
        assert not is_english_prose(text)


def test_notes_count_by_kind() -> None:
    assert without_verdict_notes({"seen": 2, "length": 0}, 5) == [
        "2 of 5 texts were seen in calibration or training, themselves or as near duplicates: no verdict on them "
        "(column `no_verdict`)"
    ]
    counts = {"length": 2, "script": 0, "outside": 1}
    assert without_verdict_notes(counts, 5) == [
        "3 of 5 texts are unlike those of the calibration (2 length, 1 style or tokens): no verdict on them (column "
        "`no_verdict`; --force or force=True gives one)"
    ]
    (forced,) = without_verdict_notes(counts, 5, forced=True)
    assert forced.endswith("their verdicts were forced, and the rates do not hold for them")
