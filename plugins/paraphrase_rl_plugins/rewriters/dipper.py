"""Rewriter: DIPPER, a paraphraser of 11B parameters with control over how much it changes.

Krishna et al. 2023 (repository martiansideofthemoon/ai-detection-paraphrases). The model reads control codes, what was
written so far, and a window of sentences between ``<sent>`` and ``</sent>``; its answer joins what was written so far.

Deviations: sentences are split by our rule, not NLTK's punkt; a text of several windows is stripped of the space the
published code puts before it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from pydantic import Field

from paraphrase_rl.plugin import Context, Options, Rewrite, RewriterSpec, Rewrites, hookimpl
from paraphrase_rl_plugins.rewriters._seq2seq import Seq2Seq
from paraphrase_rl_plugins.rewriters._texts import OneByOne, noise_key

NAME = "dipper"
MODEL, TOKENIZER = "kalpeshk2011/dipper-paraphraser-xxl", "google/t5-v1_1-xxl"
Diversity = Literal[0, 20, 40, 60, 80, 100]


class DipperOptions(Options):
    """Options of ``dipper``."""

    model: str = Field(MODEL, description="model reference; safetensors only")
    tokenizer: str = Field(TOKENIZER, description="model reference of the tokenizer")
    lexical_diversity: Diversity = Field(60, description="how many words change; 0 = none, 100 = most")
    order_diversity: Diversity = Field(0, description="how much the order changes; 0 = none, 100 = most")
    sent_interval: int = Field(3, ge=1, description="sentences per window")
    prefix: str = Field("", description="context: what the text answers or follows")
    top_p: float = Field(0.75, gt=0, le=1, description="nucleus sampling at temperature 1")
    max_tokens: int = Field(512, ge=1, description="token limit of one rewritten window")


@hookimpl
def register_rewriters() -> Iterable[RewriterSpec]:
    return [
        RewriterSpec(
            name=NAME,
            summary="DIPPER, a trained paraphraser of 11B parameters with diversity controls",
            factory=build,
            options=DipperOptions,
            extra="seq2seq",
            modules=("torch", "transformers", "sentencepiece"),
            models=(MODEL, TOKENIZER),
            paper="Krishna et al. 2023, Paraphrasing evades detectors of AI-generated text",
            licence="Apache-2.0",
            cost="one pass of an 11B model: 22 GB in bf16 on a GPU, 44 GB on a CPU",
        )
    ]


def build(options: DipperOptions, context: Context) -> OneByOne:
    """Build the rewriter; loads the model.

    Raises:
        ModelError: the model is not on this machine and cannot be downloaded, or has its weights only as a pickle.
    """
    model = Seq2Seq(
        options.model,
        context.device,
        options.tokenizer,
        do_sample=True,
        temperature=1.0,
        top_p=options.top_p,
        top_k=0,
        num_beams=1,
        max_new_tokens=options.max_tokens,
    )
    return OneByOne(NAME, Dipper(model, options).rewrite)


class Dipper:
    """Rewrites windows of sentences one after the other, each with the text before it as context."""

    def __init__(self, model: Seq2Seq, options: DipperOptions) -> None:
        self.model, self.options = model, options

    def rewrite(self, text: str, n: int, seed: int) -> Rewrites:
        """Rewrite a text ``n`` times, each with its own randomness."""
        return [self._once(text, (*noise_key(seed, text), sample)) for sample in range(n)]

    def _once(self, text: str, key: tuple[int, ...]) -> Rewrite:
        import numpy as np
        import torch

        context, written, finished = " ".join(self.options.prefix.split()), [], True
        with torch.random.fork_rng():
            torch.manual_seed(int(np.random.SeedSequence(key).generate_state(1, np.uint64)[0] >> 1))
            for window in windows(text, self.options.sent_interval):
                (answer,) = self.model.generate([control(self.options, context, window)])
                written.append(answer.text)
                context = f"{context} {answer.text}".strip()
                finished = finished and answer.finished
        return Rewrite(text=" ".join(written), finished=finished)


def control(options: DipperOptions, context: str, window: str) -> str:
    """Write the input of the model. Its control codes are similarities: 100 minus the diversity."""
    lexical, order = 100 - options.lexical_diversity, 100 - options.order_diversity
    before = f" {context}" if context else ""
    return f"lexical = {lexical}, order = {order}{before} <sent> {window} </sent>"


def windows(text: str, sentences: int) -> list[str]:
    """Split a text into windows of ``sentences`` sentences, on one line: the model was trained without line breaks."""
    from paraphrase_rl.plugin import sentence_ends

    line = " ".join(text.split())
    ends = sentence_ends(line)
    starts = [0, *ends[:-1]]
    return [
        line[starts[first] : ends[min(first + sentences, len(ends)) - 1]].strip()
        for first in range(0, len(ends), sentences)
    ]
