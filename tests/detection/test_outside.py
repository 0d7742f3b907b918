"""Texts that are unlike those of a calibration: the level of the check by simulation, distances by refitting."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

import paraphrase_rl as prl
from paraphrase_rl.detection.calibration_texts import Limits
from paraphrase_rl.detection.outside import LEVEL, Profile, _inverse, _left_out, measured, profile_of
from paraphrase_rl.errors import CalibrationError
from paraphrase_rl.text.style import STYLE, script, style
from paraphrase_rl.types import Scores

NAMES = tuple(f"number {i}" for i in range(6))
Numbers = NDArray[np.float64]


def drawn(rng: np.random.Generator, n: int, shift: float = 0.0) -> Numbers:
    """Six dependent, skewed numbers of n texts; ``shift`` moves the third by so many standard deviations."""
    normal = rng.normal(size=(n, 6)) @ np.triu(np.full((6, 6), 0.4) + 0.6 * np.eye(6))
    numbers = np.sqrt(np.exp(normal / 2))
    numbers[:, 2] += shift * 0.5
    return numbers


@pytest.mark.parametrize(("n", "ai"), [(99, 0), (200, 60), (400, 100)])
def test_of_texts_like_the_calibrations_one_in_a_hundred_is_outside(n: int, ai: int) -> None:
    """The mean over 60 calibrations, each judged by 400 new texts: within three standard errors of the level."""
    rng = np.random.default_rng(0)
    shares = []
    for _ in range(60):
        profile = Profile.fit(NAMES, [drawn(rng, n), drawn(rng, ai, 2.0)])
        assert profile is not None
        new = np.concatenate([drawn(rng, 400 * n // (n + ai)), drawn(rng, 400 * ai // (n + ai), 2.0)])
        shares.append(np.mean([why is not None for why in profile.outside(new)]))
        assert profile.level <= LEVEL
    error = np.std(shares) / np.sqrt(len(shares))
    assert abs(np.mean(shares) - profile.level) < 3 * error


def test_a_left_out_distance_is_that_of_a_fit_without_the_text() -> None:
    rng = np.random.default_rng(1)
    kinds = [drawn(rng, 14), drawn(rng, 12, 3.0)]
    centres = [kind.mean(axis=0) for kind in kinds]
    rest = np.concatenate([kind - centre for kind, centre in zip(kinds, centres, strict=True)])
    found = _left_out(kinds, centres, rest)
    for which, i, at in ((0, 3, 3), (1, 5, 19)):
        without = [np.delete(kind, i, axis=0) if which == k else kind for k, kind in enumerate(kinds)]
        means = [kind.mean(axis=0) for kind in without]
        scatter = sum((kind - mean).T @ (kind - mean) for kind, mean in zip(without, means, strict=True))
        inverse = _inverse(scatter, 25, 2)
        expected = min((kinds[which][i] - mean) @ inverse @ (kinds[which][i] - mean) for mean in means)
        assert found[at] == pytest.approx(expected)


def test_a_text_far_from_both_kinds_is_outside_by_the_number_that_sets_it_apart() -> None:
    rng = np.random.default_rng(2)
    profile = Profile.fit(NAMES, [drawn(rng, 150), drawn(rng, 150, 6.0)])
    assert profile is not None
    typical = drawn(rng, 5000).mean(axis=0)
    beyond = typical + np.array([0, 0, 15.0, 0, 0, 0])
    unknown = np.where(np.arange(6) == 4, np.nan, typical)
    found = profile.outside(np.array([typical, typical + np.array([0, 0, 3.0, 0, 0, 0]), beyond, unknown]))
    assert found == [None, None, "number 2", None]


def test_more_is_asked_of_a_text_that_would_be_flagged() -> None:
    rng = np.random.default_rng(6)
    shares = []
    for _ in range(40):
        profile = Profile.fit(NAMES, [drawn(rng, 200)])
        assert profile is not None
        assert profile.limit_flagged < profile.limit
        new = drawn(rng, 400)
        shares.append(
            [np.mean([why is not None for why in profile.outside(new, [f] * 400)]) for f in (False, True)]
        )
    assert np.mean(shares, axis=0) == pytest.approx([0.01, 0.1], abs=0.01)


def test_small_kinds_have_no_centre_of_their_own() -> None:
    rng = np.random.default_rng(3)
    profile = Profile.fit(NAMES, [drawn(rng, 40), drawn(rng, 9)])
    assert profile is not None
    assert (len(profile.centres), profile.n) == (1, 49)
    assert profile.level == 1 / 50, "49 texts keep no smaller level"
    assert Profile.fit(NAMES, [drawn(rng, 2)]) is None


def test_a_number_that_never_varies_still_tells() -> None:
    rng = np.random.default_rng(4)
    numbers = drawn(rng, 120)
    numbers[:, 5] = 0.3
    profile = Profile.fit(NAMES, [numbers])
    assert profile is not None
    same, other = numbers[:1], numbers[:1].copy()
    other[0, 5] = 0.5
    assert profile.outside(np.concatenate([same, other]))[1] == "number 5"


@given(st.text())
def test_every_text_has_a_style(text: str) -> None:
    values = style(text)
    assert len(values) == len(STYLE)
    assert np.isfinite(values).all()
    assert script(text) is None or script(text) == script(text[: len(text)])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("The council voted on Monday on the bridge.", "Latin"),
        ("Совет проголосовал в понедельник по мосту.", "Cyrillic"),
        ("理事会は月曜日に新しい橋について投票した。市民は長く待っていた。", "Cjk"),
        ("The сouncil vоted on Mоnday on the bridge.", "Latin"),
        ("12 %, 13 %, 14 %", None),
    ],
)
def test_the_script_of_most_letters(text: str, expected: str | None) -> None:
    assert script(text) == expected


def test_limits_hold_all_texts_they_are_set_on() -> None:
    prose = [
        "It was late when they came to the bridge.",
        "Some of them had left by then, as it was cold and dark.",
    ]
    limits = Limits.of(prose)
    assert (limits.least_words, limits.most_words, limits.scripts, limits.language) == (
        9,
        13,
        ("Latin",),
        "en",
    )
    assert [limits.outside(text) for text in prose] == [None, None]
    assert Limits.of([*prose, "Совет проголосовал в понедельник по мосту."]).language is None
    assert Limits.of([]).language is None


class Counting:
    """A detector that tells one number of a text."""

    def __init__(self, name: str = "number of e") -> None:
        self.name = name

    def score(self, texts: list[str]) -> Scores:
        return Scores(np.array([float(len(text)) for text in texts]))

    def measures(self, texts: list[str]) -> dict[str, Numbers]:
        return {self.name: np.array([text.count("e") for text in texts], dtype=np.float64)}

    def provenance(self) -> dict[str, str]:
        return {}


def test_what_the_detector_tells_of_a_text_counts() -> None:
    rng = np.random.default_rng(5)
    words = [
        "the",
        "rain",
        "fell",
        "on",
        "old",
        "stone",
        "roofs",
        "and",
        "a",
        "grey",
        "harbour",
        "all",
        "night",
    ]
    texts = [" ".join(rng.choice(words, size=40)) for _ in range(120)]
    profile = profile_of(Counting(), [texts])
    assert profile is not None
    assert profile.measures == (*STYLE, "number of e")
    names, values = measured(Counting(), [texts[0], texts[0].replace("o", "e")])
    assert names == profile.measures
    assert profile.outside(values)[1] == "number of e"


WORDS = "the rain fell on old stone roofs and a grey harbour all night while they slept in it"


def text_of(rng: np.random.Generator, sentences: int) -> str:
    return " ".join(" ".join(rng.choice(WORDS.split(), size=9)).capitalize() + "." for _ in range(sentences))


def essays(n: int, sentences: int = 4, seed: int = 0) -> list[prl.Document]:
    """Human texts of 4 and 5 sentences, AI texts of 5 and 6."""
    rng = np.random.default_rng(seed)
    return [
        prl.Document(
            id=f"{label}{i}",
            text=text_of(rng, sentences + i % 2 + more),
            label=label,
            split="calibration",
        )
        for label, more in (("human", 0), ("ai", 1))
        for i in range(n)
    ]


LIKE_THEM = text_of(np.random.default_rng(99), 4)


def length(texts: list[str]) -> list[float]:
    return [float(len(text)) for text in texts]


def test_a_text_of_another_kind_is_counted_and_withheld_in_every_way_of_scoring(tmp_path) -> None:
    detector = prl.detector(length, name="length")
    calibration = prl.calibrate(detector, data=essays(30), target_fpr=0.1)
    texts = [LIKE_THEM, LIKE_THEM.upper()]
    found = prl.score(texts, detectors=detector, calibration=calibration)
    assert [row.verdict is None for row in found.rows] == [False, True]
    assert found.rows[1].no_verdict is not None
    assert any(
        note.startswith("1 of 2 texts are unlike those of the calibration (1 ") for note in found.notes
    )
    with prl.score_stream(iter(texts), detectors=detector, calibration=calibration) as rows:
        assert list(rows) == list(found.rows)
    for force in (False, True):
        path = tmp_path / f"{force}.jsonl"
        given = {"detectors": detector, "calibration": calibration, "force": force}
        prl.score_file(texts, path, **given)
        assert prl.score_file(texts, path, **given).n_before == 2
    forced = prl.score(texts, detectors=detector, calibration=calibration, force=True)
    assert (forced.rows[1].verdict, forced.rows[1].no_verdict) == ("not flagged", found.rows[1].no_verdict)


def test_other_measures_than_those_calibrated_are_refused() -> None:
    detector = prl.detector(length, name="length")
    calibration = prl.calibrate(detector, data=essays(30), target_fpr=0.1)
    record = calibration.records.calibrations[0]
    profile = record.profile
    assert profile is not None
    renamed = profile.model_copy(update={"measures": ("height", *profile.measures[1:])})
    changed = calibration.records.model_copy(
        update={"calibrations": (record.model_copy(update={"profile": renamed}),)}
    )
    with pytest.raises(CalibrationError, match="calibrated with other measures of texts: height"):
        prl.score(
            LIKE_THEM,
            detectors=detector,
            calibration=prl.CalibrationResult(calibration.rows, records=changed),
        )


def test_several_populations_name_the_worst_in_rows_and_file(tmp_path) -> None:
    detector = prl.detector(length, name="length")
    longer = essays(30, sentences=8, seed=1)
    path = tmp_path / "c.json"
    found = prl.calibrate(detector, data=[essays(30), longer], target_fpr=0.1, out=path)
    deployed, first, second = found.rows
    assert (deployed.population, first.population, second.population) == (
        "worst: documents (2)",
        "documents",
        "documents (2)",
    )
    assert (deployed.threshold, first.deployed_fpr) == (second.threshold, 0.0)
    assert second.deployed_fpr == second.achieved_fpr <= 0.1
    assert [r["population"] for r in found.population_rows()] == ["documents", "documents (2)"]
    assert prl.load_calibration(path).records.calibrations[0].worst() == "documents (2)"
    assert [row.population for row in prl.load_calibration(path)] == [row.population for row in found]
    with pytest.raises(prl.PrlError, match="given twice"):
        prl.calibrate(detector, data=[essays(30), essays(30)])
