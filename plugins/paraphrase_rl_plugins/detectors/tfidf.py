"""Logistic regression on TF-IDF of words and characters: a detector of another family that needs no download.

Trained by ``prl fit tfidf``; saved as plain JSON (terms, inverse document frequencies, coefficients), never as
a pickle, and read only where the digest in its manifest matches.
"""

from __future__ import annotations

import itertools
import json
import math
import os
import re
import shlex
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import Field

from paraphrase_rl.plugin import (
    Context,
    DataError,
    DetectorSpec,
    Document,
    Explanation,
    Failure,
    FloatArray,
    ModelError,
    Options,
    Scores,
    Share,
    Truncation,
    dumps,
    fitted_folder,
    hookimpl,
    sha256_text,
    sha256_texts,
    write_json,
    write_text,
)
from paraphrase_rl_plugins.detectors._ngrams import NGRAMS, WORD, ngrams

NAME = "tfidf"
SCHEMA = "paraphrase-rl/tfidf/1"
FIRST_WORDS = 200
"""Number of words of a text that are read, in training and in scoring, so that length has little influence."""


class TfidfOptions(Options):
    folder: str | None = Field(
        None, description="folder that `prl fit tfidf --out` wrote; null = in the cache"
    )
    word_features: int = Field(
        60_000, ge=1, description="number of words and word pairs used, the most frequent ones"
    )
    char_features: int = Field(
        100_000, ge=1, description="number of character n-grams used, the most frequent ones"
    )


@hookimpl
def register_detectors() -> Iterable[DetectorSpec]:
    return [
        DetectorSpec(
            name=NAME,
            summary="Logistic regression on TF-IDF of words and characters; train it with `prl fit tfidf`",
            factory=Tfidf,
            options=TfidfOptions,
            family="supervised",
            fit=fit,
            extra="tfidf",
            modules=("sklearn",),
            cost="milliseconds, no model",
        )
    ]


class Tfidf:
    """Detector whose scores are logits of P(AI) at the share of AI texts in training; higher = more likely AI."""

    def __init__(self, options: TfidfOptions, context: Context) -> None:  # noqa: ARG002
        folder = _folder(options)
        manifest, model, self._digest = _read(folder)
        for key in options.model_fields_set & {"word_features", "char_features"}:
            fitted, wanted = manifest["options"][key], getattr(options, key)
            if fitted != wanted:
                raise ModelError(
                    f"the tfidf detector in {folder} was fitted with {key} {fitted}, not {wanted}",
                    f"{_fit_line(folder)} --set detectors.{NAME}.options.{key}={wanted}",
                )
        self._intercept = float(model["intercept"])
        self._parts = [ngrams(model, kind) for kind in NGRAMS]

    def score(self, texts: Sequence[str]) -> Scores:
        """Compute scores of shape (N,)."""
        heads = [_head(text).lower() for text in texts]
        values = np.full(len(texts), self._intercept)
        seen = np.zeros(len(texts), dtype=np.int64)
        for part in self._parts:
            sums, known = part.sums(heads)
            values += sums
            seen += known
        failures = tuple(_nothing_seen(i, heads[i]) for i in np.flatnonzero(seen == 0).tolist())
        values[seen == 0] = np.nan
        truncated = tuple(
            Truncation(index=i, read=FIRST_WORDS, total=total, unit="words")
            for i, text in enumerate(texts)
            if len(text) > 2 * FIRST_WORDS and (total := len(text.split())) > FIRST_WORDS
        )
        return Scores(values, failures, truncated)

    def measures(self, texts: Sequence[str]) -> Mapping[str, FloatArray]:
        """Return the share of each text's words that were met in training; NaN for a text without words."""
        found = np.full(len(texts), np.nan)
        for i, text in enumerate(texts):
            words = WORD.findall(_head(text).lower())
            if words:
                found[i] = math.sqrt(sum(map(self._parts[0].knows, words)) / len(words))
        return {"known words": found}

    def explain(self, text: str) -> Explanation | Failure:
        """Split the logit of a text into the intercept and the shares of its word and character n-grams."""
        head, read = _head(text), text[: _end_of_words(text, FIRST_WORDS)]
        shares = []
        for part, kind in zip(self._parts, NGRAMS, strict=True):
            places = _places(read, kind)
            for term, weight, value in part.shares(head.lower()):
                shares.append(Share(term, tuple(places(term)), value, {"tfidf": weight}))
        if not shares:
            return _nothing_seen(0, head)
        base = self._intercept
        score = base + math.fsum(share.value for share in shares)
        return Explanation(score, base, tuple(shares), len(read), is_mean=False)

    def provenance(self) -> Mapping[str, str]:
        """Return the digest of the trained model."""
        return {NAME: self._digest}


def fit(options: TfidfOptions, documents: Sequence[Document], folder: Path) -> None:
    """Train on labelled documents and write ``model.json`` and ``manifest.json``.

    Documents are read several times and not held; the features, which take more room than the texts, lie in temporary
    files while it trains.

    Args:
        options: feature limits.
        documents: the train split; documents without a label are not used.
        folder: where to write.

    Raises:
        DataError: a label is missing, the texts of both labels cannot be told apart, or the folder holds a file of
            somebody else under one of the two names.
    """
    import sklearn
    from sklearn.linear_model import LogisticRegression

    from paraphrase_rl_plugins.detectors._features import Features

    for name in ("model.json", "manifest.json"):
        if os.path.lexists(folder / name) and not _is_ours(folder / name):
            raise DataError(
                f"{folder / name} exists already, and is not the file of a trained tfidf",
                "choose another folder with --out, or move that file away",
            )
    is_ai = np.array([d.label == "ai" for d in documents if d.label is not None], dtype=bool)
    if not is_ai.any() or is_ai.all():
        raise DataError(
            f"tfidf needs texts of both labels, got {int((~is_ai).sum())} human and {int(is_ai.sum())} AI",
            "use data whose train split has both labels",
        )
    limits = {"word": options.word_features, "char": options.char_features}
    try:
        features = Features(_Heads(documents), limits)
    except ValueError as error:
        raise DataError(f"tfidf cannot be trained on these texts: {error}", "use texts with words") from error
    classifier = LogisticRegression(C=10.0, max_iter=2000).fit(features.matrix, is_ai)
    logits = classifier.decision_function(features.matrix)
    if not logits[is_ai].mean() > logits[~is_ai].mean():
        raise DataError(
            "tfidf: AI texts do not score above human ones in training",
            "check that the labels are not swapped",
        )
    coefficients = np.split(classifier.coef_[0], [len(features.terms["word"])])
    model: dict[str, Any] = {
        kind: {"terms": terms, "idf": features.idf[kind].tolist(), "coef": part.tolist()}
        for (kind, terms), part in zip(features.terms.items(), coefficients, strict=True)
    }
    text = dumps({**model, "intercept": float(classifier.intercept_[0])})
    write_text(folder / "model.json", text)
    write_json(
        folder / "manifest.json",
        {
            "schema": SCHEMA,
            "model_sha256": sha256_text(text),
            "data_sha256": sha256_texts(f"{d.label}\t{d.text}" for d in documents if d.label is not None),
            "n_human": int((~is_ai).sum()),
            "n_ai": int(is_ai.sum()),
            "options": {"word_features": options.word_features, "char_features": options.char_features},
            "scikit-learn": sklearn.__version__,
        },
    )


def _is_ours(path: Path) -> bool:
    """Whether an earlier training wrote a file; each tells by itself, as a kill may leave one without the other."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(found, dict) and (
        found.get("schema") == SCHEMA or found.keys() == {*NGRAMS, "intercept"}
    )


class _Heads:
    """What is read of each labelled document, in lower case."""

    def __init__(self, documents: Iterable[Document]) -> None:
        self._documents = documents

    def __iter__(self) -> Iterator[str]:
        return (_head(d.text).lower() for d in self._documents if d.label is not None)


def _head(text: str) -> str:
    return " ".join(text.split(maxsplit=FIRST_WORDS)[:FIRST_WORDS])


def _end_of_words(text: str, words: int) -> int:
    """Position behind the first ``words`` words of a text."""
    end = 0
    for found in itertools.islice(re.finditer(r"\S+", text), words):
        end = found.end()
    return end


def _places(text: str, kind: str) -> Callable[[str], Iterable[tuple[int, int]]]:
    """Function that finds the places of a term in a text.

    It follows scikit-learn's analyzers: words of two characters or more in lower case; character n-grams inside words
    with a blank at either end. Where lower case changes the length of a word, an n-gram has no place.
    """
    lower = text.lower()
    if len(lower) != len(text):
        return lambda _term: ()
    if kind == "word":
        tokens = [(m.group(), m.start(), m.end()) for m in WORD.finditer(lower)]
        found: dict[str, list[tuple[int, int]]] = {}
        for i, (token, start, end) in enumerate(tokens):
            found.setdefault(token, []).append((start, end))
            if i + 1 < len(tokens):
                following, _, last = tokens[i + 1]
                found.setdefault(f"{token} {following}", []).append((start, last))
        return lambda term: found.get(term, ())
    padded = " " + re.sub(r"\s", " ", lower) + " "

    def places(term: str) -> Iterator[tuple[int, int]]:
        start = padded.find(term)
        while start >= 0:
            end = start + len(term)
            yield max(0, start - 1), min(len(text), end - 1)
            start = padded.find(term, start + 1)

    return places


def _nothing_seen(index: int, head: str) -> Failure:
    message = "the text has no word or character sequence seen in training" if head else "the text is empty"
    return Failure(index=index, owner=NAME, kind="no-tokens" if head else "empty", message=message)


def _folder(options: TfidfOptions) -> Path:
    return fitted_folder(NAME, options.folder)


def _fit_line(folder: Path) -> str:
    return f"run: prl fit {NAME} --data starter --out {shlex.quote(str(folder))}"


def _read(folder: Path) -> tuple[dict[str, Any], dict[str, Any], str]:
    """Manifest, model and the model's digest."""
    try:
        manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
        text = (folder / "model.json").read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ModelError(
            f"the tfidf detector is not trained: {folder} is empty or missing", _fit_line(folder)
        ) from None
    except (OSError, ValueError, RecursionError) as error:
        raise ModelError(
            f"the tfidf detector in {folder} cannot be read: {error}", _fit_line(folder)
        ) from error
    digest = sha256_text(text)
    if not isinstance(manifest, dict) or manifest.get("schema") != SCHEMA:
        raise ModelError(f"{folder}/manifest.json is not the manifest of a tfidf detector", _fit_line(folder))
    if manifest.get("model_sha256") != digest:
        raise ModelError(
            f"{folder}/model.json is not the file its manifest describes (SHA-256 differs)",
            f"it was edited or damaged; {_fit_line(folder)}",
        )
    return manifest, json.loads(text), digest
