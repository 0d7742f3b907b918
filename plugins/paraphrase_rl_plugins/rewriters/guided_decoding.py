"""Rewriter: a paraphrase in which a detector chooses every token; no training.

Adversarial Paraphrasing (Cheng et al. 2025, repository chengez/Adversarial-Paraphrasing), its deterministic form. At
each token the most likely next ones of a language model (nucleus, then at most ``top_k``) are appended to what is
written so far; a detector scores these partial texts, and the token of the least AI-like one is taken, the more likely
one where two are equal. The end of the text is a candidate too, scored as the text so far. Defaults are
those of the paper.

Deviations: the prompt is the recipe's, without tags, so nothing is cut out of the answer; a
candidate that the detector cannot score (the first tokens may be too few) is not taken, and where it can score none,
the most likely token is.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import Field

from paraphrase_rl.plugin import (
    DEFAULT_LANGUAGE_MODEL,
    Component,
    Context,
    Failure,
    Options,
    Prompt,
    Rewrite,
    RewriterSpec,
    Rewrites,
    Sampling,
    UsageError,
    hookimpl,
)
from paraphrase_rl_plugins.rewriters._sampled import OF_RUN, Defaults, with_given
from paraphrase_rl_plugins.rewriters._texts import OneByOne

if TYPE_CHECKING:
    import torch

    from paraphrase_rl.plugin import Chat, Detector

NAME = "guided-decoding"


class GuidedOptions(Options):
    """Options of ``guided-decoding``."""

    model: str = Field(
        DEFAULT_LANGUAGE_MODEL, description="model reference of the language model that rewrites"
    )
    detector: Component | None = Field(
        None, description="the guiding detector: name and options; null = the first of the ensemble"
    )
    top_k: int = Field(
        50, ge=1, description="candidates per token, at most; the detector scores as many texts"
    )
    top_p: float = Field(0.99, gt=0, le=1, description="nucleus that the candidates are taken from")
    temperature: float = Field(0.6, gt=0, description="temperature of the nucleus; nothing is sampled")
    max_tokens: int | None = Field(None, ge=1, description=OF_RUN)
    system: str | None = Field(None, description=f"system message; {OF_RUN}")
    instruction: str | None = Field(None, description=f"instruction before the text; {OF_RUN}")


@hookimpl
def register_rewriters() -> Iterable[RewriterSpec]:
    return [
        RewriterSpec(
            name=NAME,
            summary="each token is the likely one with the lowest detector score; no training",
            factory=build,
            options=GuidedOptions,
            extra="models",
            modules=("torch", "transformers"),
            models=(DEFAULT_LANGUAGE_MODEL,),
            paper="Cheng et al. 2025, Adversarial Paraphrasing",
            cost="up to top_k detector scores per token, of texts that grow",
        )
    ]


def build(options: GuidedOptions, context: Context) -> OneByOne:
    """Build the rewriter; loads the model and the detector.

    Raises:
        UsageError: no detector is given and there is no ensemble.
    """
    from paraphrase_rl.plugin import Chat, load_tokenizer, shared_causal_lm

    default = Defaults.of(context.run)
    decoder = GuidedDecoder(
        shared_causal_lm(options.model, context.device),
        Chat(load_tokenizer(options.model), options.model),  # a thought is nothing for a detector to score
        _detector(options.detector, context),
        with_given(default.prompt, system=options.system, instruction=options.instruction),
        options.top_k,
        Sampling(
            temperature=options.temperature,
            top_p=options.top_p,
            max_tokens=options.max_tokens or default.sampling.max_tokens,
        ),
    )
    return OneByOne(NAME, decoder.rewrite)


def _detector(chosen: Component | None, context: Context) -> Detector:
    if chosen is not None:
        named: Detector = context.components().build("detectors", chosen.name, chosen.options, context)
        return named
    if context.ensemble is None or not context.ensemble.detectors:
        raise UsageError(
            "guided-decoding needs a detector, and there is no ensemble",
            "give a detector: -o detector='{name: fast-detectgpt}', or use a run or calibration with detectors",
        )
    return next(iter(context.ensemble.detectors.values()))


class GuidedDecoder:
    """Decodes a language model with a detector that scores the next tokens.

    Args:
        model: of transformers, frozen.
        chat: its tokenizer and chat template.
        detector: scores partial texts, all candidates of a token in one call.
    """

    def __init__(
        self,
        model: Any,
        chat: Chat,
        detector: Detector,
        prompt: Prompt,
        top_k: int,
        sampling: Sampling,
    ) -> None:
        self.model, self.chat, self.detector = model, chat, detector
        self.prompt, self.top_k, self.sampling = prompt, top_k, sampling
        ends = model.generation_config.eos_token_id
        self.ends = {chat.tokenizer.eos_token_id, *(ends if isinstance(ends, list) else [ends])} - {None}

    def rewrite(self, text: str, n: int, seed: int) -> Rewrites:  # noqa: ARG002
        """Return the one rewrite ``n`` times: nothing is sampled, so every seed gives the same.

        A text that leaves no room for its rewrite in the model's context fails (``too-long``).
        """
        import torch
        from transformers import DynamicCache

        config = self.model.config.get_text_config()
        new = self.chat.prompt(self.prompt.messages(text))
        if len(new) + self.sampling.max_tokens > config.max_position_embeddings:
            message = (
                f"the prompt of {len(new)} tokens and {self.sampling.max_tokens} more do not fit the model's context "
                f"of {config.max_position_embeddings}"
            )
            return Failure(index=0, owner=NAME, kind="too-long", message=message)
        cache = DynamicCache(config=config)
        written: list[int] = []
        finished = False
        while not finished and len(written) < self.sampling.max_tokens:
            with torch.inference_mode():
                out = self.model(
                    input_ids=torch.tensor([new], device=self.model.device),
                    past_key_values=cache,
                    use_cache=True,
                    logits_to_keep=1,
                )
            token = self._choose(written, self._candidates(out.logits[0, -1].float()))
            finished = token in self.ends
            written.append(token)
            new = [token]
        return [Rewrite(text=self._text(written), finished=finished)] * n

    def _candidates(self, logits: torch.Tensor) -> list[int]:
        """Token ids of the nucleus ``top_p``, the most likely first, at most ``top_k``."""
        import torch

        likely, ids = torch.softmax(logits / self.sampling.temperature, -1).sort(descending=True, stable=True)
        inside = int((likely.cumsum(-1) - likely <= self.sampling.top_p).sum())
        return list(ids[: min(inside, self.top_k)].tolist())

    def _choose(self, written: Sequence[int], candidates: Sequence[int]) -> int:
        if len(candidates) == 1:
            return candidates[0]
        partial = [self._text([*written, token]) for token in candidates]
        scores = self.detector.score(partial).values
        if not np.isfinite(scores).any():
            return candidates[0]
        return candidates[int(np.nanargmin(scores))]

    def _text(self, ids: Sequence[int]) -> str:
        return self.chat.answer(ids).text
