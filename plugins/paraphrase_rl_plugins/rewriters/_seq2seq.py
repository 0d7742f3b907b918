"""An encoder-decoder that turns texts into texts: translation models, T5."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from paraphrase_rl.plugin import Rewrite, load_seq2seq_lm, load_tokenizer_alone

BATCH = 16
"""Number of inputs of one text that are generated together."""


class Seq2Seq:
    """Encoder-decoder model with its tokenizer.

    Args:
        model: model reference.
        tokenizer: reference of the tokenizer; ``None`` = that of the model.
        settings: settings of the generation, as transformers names them, in place of the model's own.
    """

    def __init__(self, model: str, device: str, tokenizer: str | None = None, **settings: Any) -> None:
        self.model: Any = load_seq2seq_lm(model, device).requires_grad_(False)
        self.tokenizer: Any = load_tokenizer_alone(tokenizer or model)
        self.tokenizer.padding_side = "right"
        # Marian forces an end token at the limit, so that a sentence that was cut would seem whole. Switched off on
        # the model itself: in the configuration of a call, None stands for the model's own value.
        self.model.generation_config.update(max_length=None, forced_eos_token_id=None, **settings)
        ends = self.model.generation_config.eos_token_id
        self._ends = set(ends if isinstance(ends, list) else [ends])

    @property
    def max_input(self) -> int:
        """Length in tokens of the longest input that the model's positions allow."""
        return int(getattr(self.model.config, "max_position_embeddings", None) or 2**30)

    def length(self, text: str) -> int:
        """Count the tokens of a text."""
        return len(self.tokenizer(text, verbose=False)["input_ids"])

    def generate(self, texts: Sequence[str]) -> list[Rewrite]:
        """Generate one output for each input; not finished where it was cut at the token limit.

        Sampling uses torch's global generator.
        """
        import torch

        written: list[Rewrite] = []
        for start in range(0, len(texts), BATCH):
            batch = self.tokenizer(
                list(texts[start : start + BATCH]), padding=True, return_tensors="pt", verbose=False
            )
            with torch.inference_mode():
                rows = self.model.generate(
                    input_ids=batch["input_ids"].to(self.model.device),
                    attention_mask=batch["attention_mask"].to(self.model.device),
                ).tolist()
            for row in rows:
                # the first token only starts the decoder, and in T5 and Marian it is the padding
                ended = not self._ends.isdisjoint(row[1:])
                written.append(
                    Rewrite(text=self.tokenizer.decode(row, skip_special_tokens=True), finished=ended)
                )
        return written
