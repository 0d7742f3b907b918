"""Rewriter: translation into another language and back, sentence by sentence."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from pydantic import Field

from paraphrase_rl.plugin import Context, Options, Rewrite, RewriterSpec, Rewrites, hookimpl, sentence_ends
from paraphrase_rl_plugins.rewriters._seq2seq import Seq2Seq
from paraphrase_rl_plugins.rewriters._texts import OneByOne

NAME = "back-translation"
FORTH, BACK = "Helsinki-NLP/opus-mt-en-de", "Helsinki-NLP/opus-mt-de-en"


class BackTranslationOptions(Options):
    """Options of ``back-translation``."""

    forth: str = Field(FORTH, description="model reference of the translation into the other language")
    back: str = Field(BACK, description="model reference of the translation back")
    beams: int = Field(4, ge=1, description="width of the beam search")
    max_tokens: int = Field(512, ge=1, description="token limit of one translated sentence")


@hookimpl
def register_rewriters() -> Iterable[RewriterSpec]:
    return [
        RewriterSpec(
            name=NAME,
            summary="translated into another language and back, sentence by sentence",
            factory=build,
            options=BackTranslationOptions,
            extra="seq2seq",
            modules=("torch", "transformers", "sentencepiece"),
            models=(FORTH, BACK),
            paper="Sennrich et al. 2016 (back-translation); Tiedemann and Thottingal 2020, OPUS-MT",
            licence="CC-BY-4.0 or Apache-2.0 (the OPUS-MT models, see their cards)",
            cost="two beam searches a sentence",
        )
    ]


def build(options: BackTranslationOptions, context: Context) -> OneByOne:
    """Build the rewriter; loads both models.

    Raises:
        ModelError: a model is not on this machine and cannot be downloaded.
    """
    settings: dict[str, Any] = {
        "num_beams": options.beams,
        "do_sample": False,
        "max_new_tokens": options.max_tokens,
    }
    forth, back = (Seq2Seq(model, context.device, **settings) for model in (options.forth, options.back))
    return OneByOne(NAME, BackTranslation(forth, back).rewrite)


class BackTranslation:
    """Translates texts of any length sentence by sentence; white space between sentences is preserved.

    A sentence longer than a model reads is cut at white space near its middle, as often as needed.
    """

    def __init__(self, forth: Seq2Seq, back: Seq2Seq) -> None:
        self.forth, self.back = forth, back

    def rewrite(self, text: str, n: int, seed: int) -> Rewrites:  # noqa: ARG002
        """Return the one rewrite ``n`` times: nothing is sampled, so every seed gives the same."""
        there, whole = _translated(text, self.forth)
        again, whole_again = _translated(there, self.back)
        return [Rewrite(text=again, finished=whole and whole_again)] * n


def _translated(text: str, model: Seq2Seq) -> tuple[str, bool]:
    """Translate a text; also returns whether no sentence was cut at the token limit."""
    parts = [
        part
        for sentence in sentences(text)
        for part in cut(sentence, lambda s: model.length(s) <= model.max_input)
    ]
    bodies = [i for i, part in enumerate(parts) if part.strip()]
    translations = model.generate([parts[i].strip() for i in bodies])
    for i, translation in zip(bodies, translations, strict=True):
        part = parts[i]
        lead = part[: len(part) - len(part.lstrip())]
        parts[i] = lead + translation.text.strip() + part[len(part.rstrip()) :]
    return "".join(parts), all(translation.finished for translation in translations)


def sentences(text: str) -> Iterator[str]:
    """Split a text into sentences, each with the white space before it; joined they equal the text."""
    start = 0
    for end in sentence_ends(text):
        yield text[start:end]
        start = end
    yield text[start:]


def cut(sentence: str, fits: Callable[[str], bool]) -> Iterator[str]:
    """Cut a sentence into pieces that fit the model; joined they equal it. A piece of one character is not cut."""
    if len(sentence) < 2 or fits(sentence):
        yield sentence
        return
    middle = len(sentence) // 2
    gap = sentence.rfind(" ", 1, middle + 1)
    at = gap if gap > 0 else middle
    yield from cut(sentence[:at], fits)
    yield from cut(sentence[at:], fits)
