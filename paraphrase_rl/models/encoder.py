"""Sentence embeddings: mean pooling over the tokens and length 1, without the sentence-transformers library.

A model that pools in another way (``modules.json``) is loaded with that library.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from paraphrase_rl.errors import ModelError
from paraphrase_rl.types import FloatArray

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

BATCH_TOKENS = 8192


class SentenceEncoder(Protocol):
    """Maps texts to vectors."""

    def encode(self, texts: Sequence[str]) -> FloatArray:
        """Encode texts as float64 of shape (N, D), every row of length 1: a dot product is the cosine in [-1, 1].

        A row depends on its own text alone (to 1e-5). Texts beyond the model's limit are cut there.
        """
        ...


def sentence_encoder(folder: Path, device: str) -> SentenceEncoder:
    """Load the encoder in a folder: with our own code for mean pooling, else with the sentence-transformers library."""
    if _mean_pooled(folder):
        return MeanPooling(folder, device)
    try:
        from sentence_transformers import SentenceTransformer
    except ImportError as error:
        raise ModelError(
            f"{folder} needs the sentence-transformers library, which is not installed",
            "pip install 'paraphrase-rl[similarity]'",
        ) from error
    return _LibraryEncoder(
        SentenceTransformer(
            str(folder),
            device=device,
            trust_remote_code=False,
            local_files_only=True,
            model_kwargs={"use_safetensors": True},
        )
    )


def _read(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}


def _mean_pooled(folder: Path) -> bool:
    """Return whether a folder asks for Transformer + mean Pooling (+ Normalize), or for nothing."""
    modules = _read(folder / "modules.json")
    if not modules:
        return True
    kinds = [module["type"].rpartition(".")[2] for module in modules]
    if (
        kinds not in (["Transformer", "Pooling"], ["Transformer", "Pooling", "Normalize"])
        or modules[0]["path"]
    ):
        return False
    pooling = _read(folder / modules[1]["path"] / "config.json")
    chosen = {
        key for key, value in pooling.items() if key.startswith("pooling_mode") and value not in (False, "")
    }
    mean = chosen == {"pooling_mode_mean_tokens"} or pooling.get("pooling_mode") == "mean"
    lowers = _read(folder / "sentence_bert_config.json").get("do_lower_case", False)
    named_prompt = _read(folder / "config_sentence_transformers.json").get("default_prompt_name")
    return mean and not lowers and not named_prompt


class MeanPooling:
    """A transformer, the mean of its last hidden states over a text's tokens, scaled to length 1."""

    def __init__(self, folder: Path, device: str) -> None:
        import torch
        from transformers import AutoModel, AutoTokenizer

        self._device = device
        self._tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(
            folder, trust_remote_code=False, local_files_only=True
        )
        # fp32 on accelerators too: small models, and half precision would make vectors depend on the rest of the batch
        self._model: PreTrainedModel = AutoModel.from_pretrained(
            folder,
            dtype=torch.float32,
            use_safetensors=True,
            trust_remote_code=False,
            local_files_only=True,
        )
        self._model.to(device).eval().requires_grad_(False)
        limit = _read(folder / "sentence_bert_config.json").get("max_seq_length")
        positions = getattr(self._model.config, "max_position_embeddings", None)
        self.max_tokens = int(min(x for x in (limit, positions, self._tokenizer.model_max_length) if x))
        self._max_characters = self.max_tokens * max(map(len, self._tokenizer.get_vocab()))

    def encode(self, texts: Sequence[str]) -> FloatArray:
        """Encode texts, see :class:`SentenceEncoder`. A text that occurs twice is computed once."""
        different = list(dict.fromkeys(texts))
        rows = dict(zip(different, self._encode(different), strict=True)) if different else {}
        dimension = self._model.config.hidden_size
        return np.array([rows[text] for text in texts], dtype=np.float64).reshape(len(texts), dimension)

    def _encode(self, texts: list[str]) -> FloatArray:
        import torch

        cut = [text[: self._max_characters].encode("utf-8", "replace").decode() for text in texts]
        ids = self._tokenizer(
            cut, truncation=True, max_length=self.max_tokens, return_attention_mask=False, verbose=False
        )["input_ids"]
        vectors = np.empty((len(texts), self._model.config.hidden_size))
        order = sorted(range(len(ids)), key=lambda i: len(ids[i]))
        while order:
            width = len(ids[order[-1]])
            batch = order[-max(1, BATCH_TOKENS // width) :]
            del order[-len(batch) :]
            with torch.inference_mode():
                vectors[batch] = self._pooled([ids[i] for i in batch], width).double().cpu().numpy()
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        return vectors

    def _pooled(self, ids: list[list[int]], width: int) -> torch.Tensor:
        import torch

        padding = self._tokenizer.pad_token_id or 0
        padded = torch.tensor([row + [padding] * (width - len(row)) for row in ids], device=self._device)
        lengths = torch.tensor([len(row) for row in ids], device=self._device)
        mask = torch.arange(width, device=self._device) < lengths[:, None]
        hidden = self._model(input_ids=padded, attention_mask=mask.long()).last_hidden_state
        return (hidden * mask[..., None]).sum(1) / lengths[:, None]


class _LibraryEncoder:
    def __init__(self, model: Any) -> None:
        self._model = model

    def encode(self, texts: Sequence[str]) -> FloatArray:
        cleaned = [text.encode("utf-8", "replace").decode() for text in texts]
        vectors = self._model.encode(cleaned, normalize_embeddings=True, show_progress_bar=False)
        return np.asarray(vectors, dtype=np.float64).reshape(len(texts), -1)
