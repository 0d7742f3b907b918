"""Synonyms: in the same form, and never for names, numbers, negations and function words."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from paraphrase_rl_plugins.rewriters import _wordnet
from paraphrase_rl_plugins.rewriters.synonym import Synonym, SynonymOptions

from paraphrase_rl.errors import MissingDependencyError
from tests.rewriters.sentences import SENTENCES, clean_texts, once, rewritten


@pytest.fixture(scope="module")
def synonym() -> Synonym:
    return Synonym(SynonymOptions(), _wordnet.load())


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("begin", ["commence", "start"]),
        ("begun", ["commenced", "started"]),
        ("began", ["commenced", "started"]),
        ("helping", ["aiding", "assisting"]),
        ("quickly", ["rapidly", "speedily"]),
        ("countries", ["nations"]),
        ("children", ["kids", "minors", "youngsters"]),
        ("larger", ["bigger"]),
        ("big", ["large"]),
    ],
)
def test_the_form_is_kept(synonym: Synonym, word: str, expected: list[str]) -> None:
    assert synonym.synonyms(word)[1] == expected


def test_a_form_of_two_tenses_needs_a_synonym_of_one(synonym: Synonym) -> None:
    assert synonym.synonyms("start")[1] == ["begin", "commence"]
    assert synonym.synonyms("started")[1] == ["commenced"], "began or begun?"


KEPT = (
    "No one, not even Mary or the National Bank, never hardly saw 3 or three of a hundred.",
    "It is what it was, and they could have been there without us.",
    "Ask ann@country.org about /usr/children, don't you?",
)


@pytest.mark.parametrize("text", KEPT)
def test_names_numbers_negations_and_function_words_stay(text: str) -> None:
    assert once("synonym", text) == text


def test_verbs_before_a_particle_stay() -> None:
    assert once("synonym", "They help") in ("They aid", "They assist")
    assert once("synonym", "They help out") == "They help out"


def test_an_article_before_it_stays_right() -> None:
    cars = {once("synonym", "a car", seed) for seed in range(20)}
    assert cars == {"a motorcar"}
    assert {once("synonym", "the car", seed) for seed in range(40)} == {
        "the auto",
        "the automobile",
        "the motorcar",
    }


@settings(max_examples=30)
@given(clean_texts(), st.integers(0, 99))
def test_what_is_not_a_small_word_stays(text: str, seed: int) -> None:
    old, new = text.split(), once("synonym", text, seed).split()
    assert len(old) == len(new)
    for before, after in zip(old, new, strict=True):
        if not before.strip("\"'.,:;!?()").islower():
            assert after == before


def test_the_number_of_changes_is_the_rate_times_the_places(synonym: Synonym) -> None:
    text = " ".join(SENTENCES)
    places = [text[start:end] for start, end in synonym.places(text)]
    assert {"children", "quickly"} <= set(places)
    for rate in (0.1, 0.5, 1.0):
        new = once("synonym", text, rate=rate)
        changed = sum(a != b for a, b in zip(text.split(), new.split(), strict=True))
        assert changed == int(rate * len(places) + 0.5)
    assert len(set(rewritten("synonym", text, 3))) == 3


def test_another_package_of_that_name_is_told_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "other_pattern").mkdir()
    (tmp_path / "other_pattern" / "__init__.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(_wordnet, "MODULE", "other_pattern")
    with pytest.raises(MissingDependencyError, match="does not contain WordNet") as caught:
        _wordnet.load.__wrapped__()
    assert "paraphrase-rl[rewriters]" in caught.value.hint
