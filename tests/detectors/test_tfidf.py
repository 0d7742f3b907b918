"""TF-IDF with logistic regression: equal to scikit-learn's own, kept without pickle, checked on loading."""

import json
import pickle

import numpy as np
import pytest
from paraphrase_rl_plugins.detectors import _features
from paraphrase_rl_plugins.detectors._features import Features
from paraphrase_rl_plugins.detectors.tfidf import FIRST_WORDS, Tfidf, TfidfOptions, fit
from scipy.sparse import hstack
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression

from paraphrase_rl.errors import DataError, MissingDependencyError, ModelError
from paraphrase_rl.plugin.registry import default_registry
from paraphrase_rl.plugin.specs import Context
from paraphrase_rl.stored import StoredDocuments
from paraphrase_rl.testing.detectors import DetectorContract
from paraphrase_rl.types import Document

HUMAN = [
    "Police said a man was taken to hospital after the crash on Tuesday.",
    "The dog ran off and we couldn't find him till noon.",
    "I reckon the match was lost in the first ten minutes, mate.",
    "Farmers fear the drought will last; the river is at its lowest since 1982.",
]
AI = [
    "Moreover, it is important to note that the initiative underscores a broader commitment.",
    "In conclusion, the landscape continues to evolve, fostering innovation and growth.",
    "This development highlights the importance of collaboration across diverse communities.",
    "Ultimately, the report serves as a testament to the resilience of the region.",
]
PROBES = ["The initiative underscores a commitment.", "The dog ran off.", "zebra", *HUMAN, *AI]


def documents(human=HUMAN, ai=AI):
    return [
        Document(id=f"{label}{i}", text=text, label=label)
        for label, texts in (("human", human), ("ai", ai))
        for i, text in enumerate(texts)
    ]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("tfidf")
    fit(TfidfOptions(), documents(), path)
    return path


class TestContract(DetectorContract):
    pairs = tuple(zip(AI, HUMAN, strict=True))

    @pytest.fixture(autouse=True)
    def _fitted(self, folder):
        type(self).folder = folder

    def make(self):
        return Tfidf(TfidfOptions(folder=str(self.folder)), Context())


@pytest.fixture
def detector(folder):
    return Tfidf(TfidfOptions(folder=str(folder)), Context())


def reference(train, is_ai, probes, features=(60_000, 100_000)):
    """scikit-learn's own pipeline, put together independently."""
    parts = [
        TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, max_features=features[0]),
        TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 5), sublinear_tf=True, max_features=features[1]),
    ]
    x = hstack([p.fit_transform(train) for p in parts]).tocsr()
    model = LogisticRegression(C=10.0, max_iter=2000).fit(x, is_ai)
    return model.decision_function(hstack([p.transform(probes) for p in parts]).tocsr())


def test_the_stored_form_scores_as_scikit_learn_does(detector):
    expected = reference([*HUMAN, *AI], [0] * 4 + [1] * 4, PROBES)
    assert detector.score(PROBES).values == pytest.approx(expected, abs=1e-9)


def test_limited_features_too(tmp_path):
    fit(TfidfOptions(word_features=20, char_features=50), documents(), tmp_path)
    probes = [*HUMAN, *AI]
    found = Tfidf(TfidfOptions(folder=str(tmp_path)), Context()).score(probes).values
    expected = reference([*HUMAN, *AI], [0] * 4 + [1] * 4, probes, (20, 50))
    assert found == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("limits", [{"word": 60_000, "char": 100_000}, {"word": 9, "char": 30}])
def test_features_are_scikit_learns(limits):
    texts = [t.lower() for t in PROBES]
    found = Features(texts, limits)
    parts = [
        TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, max_features=limits["word"]),
        TfidfVectorizer(
            analyzer="char_wb", ngram_range=(2, 5), sublinear_tf=True, max_features=limits["char"]
        ),
    ]
    expected = hstack([part.fit_transform(texts) for part in parts]).tocsr()
    for part, kind in zip(parts, ("word", "char"), strict=True):
        assert found.terms[kind] == part.get_feature_names_out().tolist()
        assert found.idf[kind].tolist() == part.idf_.tolist()
    assert abs(found.matrix - expected).max() < 1e-12
    owner = found.matrix.data
    while not isinstance(owner, np.memmap):
        owner = owner.base
    assert owner.size == found.matrix.nnz


def test_rare_terms_are_forgotten_where_there_are_too_many(monkeypatch):
    monkeypatch.setattr(_features, "MOST_TERMS", 200)
    texts = [f"often again rare{i} more{i} other{i}" for i in range(300)]
    found = _features.most_frequent(iter(texts), "word", 3)
    assert found == ["again", "often", "often again"]
    frequent = _features.most_frequent(iter(texts), "char", 8)
    assert all(gram in " often again rare more other " for gram in frequent), frequent


def test_a_detector_does_not_depend_on_how_its_texts_are_held(folder, tmp_path):
    fit(TfidfOptions(), StoredDocuments.of(documents()), tmp_path)
    assert (tmp_path / "model.json").read_bytes() == (folder / "model.json").read_bytes()
    assert (tmp_path / "manifest.json").read_bytes() == (folder / "manifest.json").read_bytes()


def test_higher_is_ai_on_texts_not_trained_on(detector):
    unseen = detector.score(
        ["It is important to note the broader landscape of innovation.", "The man couldn't find the crash."]
    ).values
    assert unseen[0] > unseen[1]


def test_swapping_the_labels_mirrors_the_scores(detector, tmp_path):
    fit(TfidfOptions(), documents(human=AI, ai=HUMAN), tmp_path)
    mirrored = Tfidf(TfidfOptions(folder=str(tmp_path)), Context())
    assert mirrored.score(PROBES).values == pytest.approx(-detector.score(PROBES).values, abs=1e-3)


def test_a_score_does_not_depend_on_the_others(detector):
    together = detector.score(PROBES).values
    assert [detector.score([t]).values[0] for t in PROBES] == together.tolist()
    assert detector.score(PROBES[::-1]).values.tolist() == together[::-1].tolist()
    assert detector.score([]).values.shape == (0,)


def test_texts_without_a_known_token_fail(detector):
    found = detector.score(["", "  \n", "🙂🙂", "مرحبا", HUMAN[0]])
    assert [(f.index, f.kind, f.owner) for f in found.failures] == [
        (0, "empty", "tfidf"),
        (1, "empty", "tfidf"),
        (2, "no-tokens", "tfidf"),
        (3, "no-tokens", "tfidf"),
    ]
    assert np.isfinite(found.values[4])


def test_only_the_first_words_count(detector):
    head = " ".join([*HUMAN[0].split()] * 20)
    head = " ".join(head.split()[:FIRST_WORDS])
    assert detector.score([head]).values == detector.score([head + " Moreover, innovation"]).values


def test_fitting_is_deterministic_and_ignores_unlabelled_documents(folder, tmp_path):
    fit(TfidfOptions(), [*documents(), Document(id="u", text="unlabelled zebra words")], tmp_path)
    for name in ("model.json", "manifest.json"):
        assert (tmp_path / name).read_bytes() == (folder / name).read_bytes()


def test_the_manifest_says_what_it_was_fitted_on(folder, detector):
    manifest = json.loads((folder / "manifest.json").read_text())
    assert (manifest["n_human"], manifest["n_ai"]) == (4, 4)
    assert detector.provenance() == {"tfidf": manifest["model_sha256"]}
    assert sorted(p.name for p in folder.iterdir()) == ["manifest.json", "model.json"]


def test_no_pickle_is_opened(folder, monkeypatch):
    def refuse(*args, **kwargs):
        raise AssertionError("a pickle was opened")

    for name in ("load", "loads", "Unpickler"):
        monkeypatch.setattr(pickle, name, refuse)
    assert Tfidf(TfidfOptions(folder=str(folder)), Context()).score(HUMAN).scored.all()


def copy_of(folder, target):
    for file in folder.iterdir():
        (target / file.name).write_bytes(file.read_bytes())
    return target


def load(folder, **options):
    return default_registry().build("detectors", "tfidf", {"folder": str(folder), **options})


def test_a_tampered_model_is_refused(folder, tmp_path):
    model = copy_of(folder, tmp_path) / "model.json"
    model.write_text(model.read_text().replace('"intercept": ', '"intercept": 1'))
    with pytest.raises(ModelError, match="SHA-256 differs") as caught:
        load(tmp_path)
    assert "prl fit tfidf" in caught.value.hint


@pytest.mark.parametrize(
    ("name", "content"), [("manifest.json", "{}"), ("manifest.json", "{"), ("model.json", "")]
)
def test_a_damaged_folder_is_refused(folder, tmp_path, name, content):
    (copy_of(folder, tmp_path) / name).write_text(content)
    with pytest.raises(ModelError) as caught:
        load(tmp_path)
    assert "prl fit tfidf" in caught.value.hint


def test_not_fitted_says_the_line_that_fits_it(tmp_path):
    with pytest.raises(ModelError, match="not trained") as caught:
        load(tmp_path / "my folder")
    assert caught.value.hint == f"run: prl fit tfidf --data starter --out '{tmp_path}/my folder'"


def test_other_options_than_it_was_fitted_with_are_refused(folder):
    assert load(folder, word_features=60_000)
    with pytest.raises(ModelError, match="fitted with word_features 60000, not 10"):
        load(folder, word_features=10)


@pytest.mark.parametrize(
    ("human", "ai", "message"),
    [(HUMAN, [], "4 human and 0 AI"), ([], AI, "0 human and 4 AI"), (HUMAN, HUMAN, "do not score above")],
)
def test_unusable_training_texts_are_refused(tmp_path, human, ai, message):
    with pytest.raises(DataError, match=message):
        fit(TfidfOptions(), documents(human, ai), tmp_path)
    assert not list(tmp_path.iterdir())


def test_texts_without_words_are_refused(tmp_path):
    with pytest.raises(DataError, match="cannot be trained"):
        fit(TfidfOptions(), documents(["!"], ["?"]), tmp_path)


def test_without_scikit_learn_the_install_line_is_given(folder, monkeypatch):
    monkeypatch.setattr("paraphrase_rl.plugin.registry._importable", lambda module: module != "sklearn")
    with pytest.raises(MissingDependencyError, match="sklearn") as caught:
        load(folder)
    assert "paraphrase-rl[tfidf]" in caught.value.hint
