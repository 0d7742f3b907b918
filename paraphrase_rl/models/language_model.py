"""One pass of a language model over a text: a few numbers per token, from which all zero-shot scores follow.

Length-sorted batches with a true attention mask; the unembedding sees no padding and a bounded number of
positions at a time; results are cached by text, so that a second detector costs nothing.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from paraphrase_rl import files
from paraphrase_rl.errors import ModelError
from paraphrase_rl.models.folders import first_line
from paraphrase_rl.models.precision import Precision
from paraphrase_rl.models.references import load_tokenizer, resolve, shared_causal_lm, usual_precision
from paraphrase_rl.models.token_statistics import StatisticsCache, TokenStatistics, reduce_logits
from paraphrase_rl.types import Failure

if TYPE_CHECKING:
    import torch

Result = TokenStatistics | Failure
Array = NDArray[np.float32]

OWNER = "language-model"
CPU_BATCH_TOKENS = 1024
ACCELERATOR_BATCH_TOKENS = 65_536
"""Largest number of tokens in a batch on an accelerator, padding included; halved until the batch fits its memory."""
HEAD_POSITIONS = 512
"""Number of positions that the unembedding computes at once: 100 MB of fp32 logits at a vocabulary of 49,152."""
CPU_ROWS = 16
"""Number of positions reduced at once on a CPU, so that their logits stay in its cache."""
_ONE_AT_A_TIME = threading.RLock()


def shared_language_model(
    reference: str, device: str = "cpu", max_tokens: int = 512, precision: Precision | None = None
) -> LanguageModel:
    """Return the process's one :class:`LanguageModel` of these arguments, with its cached results."""
    with _ONE_AT_A_TIME:
        model = resolve(reference)
        chosen = precision or usual_precision(model, device)
        return _shared(reference, model.revision, device, max_tokens, chosen)


@cache
def _shared(
    reference: str,
    revision: str,  # noqa: ARG001
    device: str,
    max_tokens: int,
    precision: Precision,
) -> LanguageModel:
    return LanguageModel(reference, device, max_tokens, precision)


class LanguageModel:
    """A frozen causal language model that scores texts.

    Args:
        reference: model reference.
        device: torch device.
        max_tokens: texts are cut to so many tokens, and never beyond the model's own context.
        precision: of its products; ``None`` = fp32 on a CPU, half precision on a GPU.

    Attributes:
        reference: model reference, as given.
        revision: commit or digest of the model.
        max_tokens: the limit in force.

    Raises:
        ModelError: the model cannot be loaded, or computes its logits in a way that is not supported.
    """

    def __init__(
        self,
        reference: str,
        device: str = "cpu",
        max_tokens: int = 512,
        precision: Precision | None = None,
    ) -> None:
        self.reference = reference
        self.revision = resolve(reference).revision
        self._device = device
        self._model = shared_causal_lm(reference, device, precision)
        self._head = self._model.get_output_embeddings()
        # on a CPU the unembedding is read in both precisions, see _reduced
        self._rounded_head = (
            self._head.weight.bfloat16() if precision == "bf16" and device.startswith("cpu") else None
        )
        self._tokenizer = load_tokenizer(reference)
        # the limit is ours: no warning about texts that are longer than the context
        self._tokenizer.model_max_length = int(1e30)
        context = getattr(self._model.config, "max_position_embeddings", None) or max_tokens
        self.max_tokens = max(2, min(max_tokens, context))
        # a text of max_tokens tokens has at most so many characters
        self._max_characters = self.max_tokens * max(map(len, self._tokenizer.get_vocab()))
        self._batch_tokens = CPU_BATCH_TOKENS if device == "cpu" else ACCELERATOR_BATCH_TOKENS
        self._cache = StatisticsCache()
        self._lock = threading.Lock()
        self._check_head()

    def statistics(self, texts: Sequence[str]) -> list[TokenStatistics | Failure]:
        """Compute per-token statistics of each text, in order, or a Failure (owner ``language-model``).

        Special tokens written out in a text are ordinary characters, none is added, and the first token has
        no score. A text's result depends on that text alone: not on the rest of the batch, order or padding (to 1e-4
        in fp32; half precision rounds differently with the shape of the batch).

        The kinds of failure are ``not-text``, ``empty``, ``too-short`` (fewer than two tokens), ``not-finite`` and
        ``crashed`` (such as out of memory with a batch of one).
        """
        keys = [files.sha256_text(text) if isinstance(text, str) else "" for text in texts]
        results: dict[str, Result] = {}
        with self._lock:
            fresh: dict[str, str] = {}
            for key, text in zip(keys, texts, strict=True):
                known = self._cache.get(key)
                if known is not None:
                    results[key] = known
                elif not isinstance(text, str):
                    results[key] = _failure("not-text", f"expected a text, got {type(text).__name__}")
                elif not text.strip():
                    results[key] = _failure("empty", "the text is empty or only white space")
                else:
                    fresh[key] = text
            for key, result in self._computed(fresh).items():
                results[key] = result
                if isinstance(result, TokenStatistics):
                    self._cache.put(key, result)
        found = [results[key] for key in keys]
        return [replace(r, index=i) if isinstance(r, Failure) else r for i, r in enumerate(found)]

    def offsets(self, text: str) -> list[tuple[int, int]]:
        """Return the place of each token that :meth:`statistics` scores, as (start, end) in characters of the text.

        Raises:
            ModelError: the tokenizer of the model does not tell the places of its tokens.
        """
        if not self._tokenizer.is_fast:
            raise ModelError(
                f"the tokenizer of {self.reference} does not tell where its tokens stand in a text",
                "use a model with a fast tokenizer (tokenizer.json)",
            )
        cut = text[: self._max_characters].encode("utf-8", "replace").decode()
        found = self._tokenizer(
            cut,
            add_special_tokens=False,
            split_special_tokens=True,
            return_attention_mask=False,
            return_offsets_mapping=True,
        )["offset_mapping"]
        return [(int(start), int(end)) for start, end in found[1 : self.max_tokens]]

    def _computed(self, texts: dict[str, str]) -> dict[str, Result]:
        """Results of texts that are not remembered, by key; texts of similar length share a batch."""
        results: dict[str, Result] = {}
        items = []
        for key, ids, total in self._tokenised(texts):
            if len(ids) < 2:
                results[key] = _failure("too-short", f"{len(ids)} token; the first has no score")
            else:
                items.append(_Item(key, ids, total))
        items.sort(key=lambda item: len(item.ids))
        while items:
            count = max(1, self._batch_tokens // len(items[-1].ids))
            batch = items[-count:]
            del items[-count:]
            results.update(self._contained(batch))
        return results

    def _tokenised(self, texts: dict[str, str]) -> Iterator[tuple[str, list[int], int | None]]:
        """Key, token ids cut to the limit, and the number of tokens of the whole text where it is counted."""
        if not texts:
            return
        # cut before tokenising: 1 MB must not cost more than the tokens that count; lone surrogates become ?
        cut = [t[: self._max_characters].encode("utf-8", "replace").decode() for t in texts.values()]
        rows = self._tokenizer(
            cut, add_special_tokens=False, split_special_tokens=True, return_attention_mask=False
        )["input_ids"]
        for (key, text), ids in zip(texts.items(), rows, strict=True):
            yield key, ids[: self.max_tokens], len(ids) if len(text) <= self._max_characters else None

    def _contained(self, batch: list[_Item]) -> dict[str, Result]:
        """Compute one batch; where it crashes, its halves, down to a Failure for a text that crashes alone."""
        try:
            rows = self._forward([item.ids for item in batch])
        except Exception as error:  # out of memory has several types; any error costs only its own text
            if len(batch) == 1:
                return {batch[0].key: _failure("crashed", f"the language model failed: {first_line(error)}")}
        else:
            return {item.key: _result(row, item) for item, row in zip(batch, rows, strict=True)}
        if self._device != "cpu":
            # later batches are as large and would fail in the same way
            self._batch_tokens = max(self.max_tokens, self._batch_tokens // 2)
        half = len(batch) // 2
        return self._contained(batch[:half]) | self._contained(batch[half:])

    def _forward(self, rows: list[list[int]]) -> list[list[Array]]:
        """The four arrays of each row of token ids."""
        import torch

        width = max(map(len, rows))
        lengths = torch.tensor([len(row) for row in rows], device=self._device)
        ids = torch.tensor([row + [0] * (width - len(row)) for row in rows], device=self._device)
        mask = torch.arange(width, device=self._device) < lengths[:, None]
        with torch.inference_mode():
            hidden = self._hidden(ids, mask)[:, :-1][mask[:, 1:]]
            parts = self._reduced(hidden, ids[:, 1:][mask[:, 1:]])
        ends = np.cumsum([len(row) - 1 for row in rows])[:-1]
        split = [np.split(part.cpu().numpy(), ends) for part in parts]
        return [[column[i].copy() for column in split] for i in range(len(rows))]

    def _hidden(self, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Last hidden states of shape (B, T, D)."""
        decoder = self._model.base_model
        return decoder(input_ids=ids, attention_mask=mask.long(), use_cache=False).last_hidden_state

    def _reduced(self, hidden: torch.Tensor, targets: torch.Tensor) -> list[torch.Tensor]:
        """Statistics of shape (P,) of P positions without padding, a bounded number of logits at a time."""
        import torch

        rows = CPU_ROWS if self._device == "cpu" else HEAD_POSITIONS
        parts = []
        for start in range(0, len(hidden), HEAD_POSITIONS):
            part, wanted = (whole[start : start + HEAD_POSITIONS] for whole in (hidden, targets))
            logits = self._logits(part)
            if self._rounded_head is not None:
                # What all logits round to averages out; of the text's own token nothing averages, and its rank ties.
                own = (part * self._head.weight[wanted]).sum(-1)
                own = own if self._head.bias is None else own + self._head.bias[wanted]
                logits.scatter_(1, wanted[:, None], own[:, None])
            blocks = zip(logits.split(rows), wanted.split(rows), strict=True)
            parts += [reduce_logits(block, of) for block, of in blocks]
        return [torch.cat(column) for column in zip(*parts, strict=True)]

    def _logits(self, hidden: torch.Tensor) -> torch.Tensor:
        """float32 of shape (P, V)."""
        import torch

        if self._rounded_head is not None:
            return torch.nn.functional.linear(hidden.bfloat16(), self._rounded_head, self._head.bias).float()
        if hidden.dtype == torch.float32 or hidden.device.type != "cuda":
            return self._head(hidden).float()
        # fp32 accumulators kept: logits rounded to half precision tie, and ties falsify ranks
        logits = torch.mm(hidden, self._head.weight.T, out_dtype=torch.float32)
        return logits if self._head.bias is None else logits + self._head.bias

    def _check_head(self) -> None:
        """Refuse a model that does more to its logits than unembed its hidden states (soft caps, scales)."""
        import torch

        ids = torch.arange(4, device=self._device)[None]
        with torch.inference_mode():
            ours = self._logits(self._hidden(ids, torch.ones_like(ids))[0])
            theirs = self._model(input_ids=ids, use_cache=False).logits[0].float()
        exact = self._model.dtype == torch.float32 and self._rounded_head is None
        tolerance = 1e-3 if exact else 3e-2
        if not torch.allclose(ours, theirs, atol=tolerance * float(theirs.abs().max()), rtol=0):
            raise ModelError(
                f"{self.reference} transforms its logits (soft caps or scales), which scoring does not support",
                "choose a model whose logits are the plain output of its last linear layer",
            )


@dataclass(frozen=True, slots=True)
class _Item:
    key: str
    ids: list[int]
    total: int | None


def _result(row: list[Array], item: _Item) -> Result:
    if not all(np.isfinite(array).all() for array in row):
        return _failure("not-finite", "the language model returned values that are not finite")
    logprob, rank, entropy, variance = row
    truncated = item.total is None or item.total > len(item.ids)
    return TokenStatistics(logprob, rank.astype(np.int32), entropy, variance, truncated, item.total)


def _failure(kind: str, message: str) -> Failure:
    return Failure(index=0, owner=OWNER, kind=kind, message=message)
