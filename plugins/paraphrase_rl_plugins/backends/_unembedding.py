"""Log-probabilities of tokens from hidden states, without the logits of all positions at once.

The gradient of a token's log-probability with respect to its hidden state, (w_y - p W) / temperature, needs the
probabilities p alone: it is computed while they are there, and scaled by what comes back. Autograd would keep the
logits of every position and read them several times.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any
from weakref import WeakKeyDictionary

import torch

from paraphrase_rl_plugins.backends._products import Product, times

LOGITS_AT_ONCE = 2**23
"""Number of logits computed by one product: 32 MiB of fp32."""
REDUCED_AT_ONCE = 2**20
"""Number of logits reduced at once, so that they stay in the processor's cache."""


_LAID_OUT: WeakKeyDictionary[torch.nn.Module, _Unembedding] = WeakKeyDictionary()


@dataclass(frozen=True, eq=False)
class _Unembedding:
    """Products with an unembedding of shape (V, D), each laid out at its first use, and kept: it is frozen.

    Attributes:
        place: what tells its state from another.
    """

    place: tuple[int, ...]
    weight: torch.Tensor
    bias: torch.Tensor | None

    @classmethod
    def of(cls, head: torch.nn.Module) -> _Unembedding:
        """Return the products of an output layer; new ones only after it changed."""
        weight, bias = head.weight.detach(), getattr(head, "bias", None)
        place = weight.data_ptr(), weight._version, id(bias)
        known = _LAID_OUT.get(head)
        if known is None or known.place != place:
            known = _LAID_OUT[head] = cls(place, weight, bias)
        return known

    @cached_property
    def logits(self) -> Product:
        """From hidden states to logits."""
        return Product(self.weight, self.bias)

    def means(self, probabilities: torch.Tensor) -> torch.Tensor:
        """Compute the mean of the rows, shape (N, D), for probabilities of shape (N, V)."""
        if self.weight.dtype != torch.float32:
            # The figures of docs/demo.md, in bf16, depend on the order of these sums.
            return times(probabilities.to(self.weight.dtype), self.weight)
        return self._back(probabilities)

    @cached_property
    def _back(self) -> Product:
        return Product(self.weight.T)


def token_logprobs(
    hidden: torch.Tensor, head: torch.nn.Module, tokens: torch.Tensor, temperature: float
) -> torch.Tensor:
    """Compute log-probabilities of tokens under the full softmax, differentiable in the hidden states alone.

    Args:
        hidden: shape (N, D).
        head: the unembedding, with a weight of shape (V, D) and maybe a bias; frozen.
        tokens: shape (N,).

    Returns:
        fp32 of shape (N,).
    """
    return _TokenLogprobs.apply(hidden, _Unembedding.of(head), tokens, temperature)


class _TokenLogprobs(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        hidden: torch.Tensor,
        head: _Unembedding,
        tokens: torch.Tensor,
        temperature: float,
    ) -> torch.Tensor:
        weight = head.weight
        wanted = ctx.needs_input_grad[0]
        slopes = torch.empty_like(hidden) if wanted else None
        logprobs = hidden.new_empty(len(hidden), dtype=torch.float32)
        rows = max(1, LOGITS_AT_ONCE // len(weight))
        for start in range(0, len(hidden), rows):
            part = slice(start, start + rows)
            logits = head.logits(hidden[part]).float()
            few = max(1, REDUCED_AT_ONCE // len(weight))
            for block, token, out in zip(
                logits.split(few), tokens[part].split(few), logprobs[part].split(few), strict=True
            ):
                if temperature != 1.0:
                    block.div_(temperature)
                block.sub_(block.amax(-1, keepdim=True))
                own = block.gather(1, token[:, None])[:, 0]
                total = block.exp_().sum(-1)
                torch.sub(own, total.log(), out=out)
                if wanted:
                    block.div_(total[:, None])
            if slopes is not None:
                slope = weight[tokens[part]] - head.means(logits)
                slopes[part] = slope.div_(temperature)
        if slopes is not None:
            ctx.save_for_backward(slopes)
        return logprobs

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        (slopes,) = ctx.saved_tensors
        return gradients[0][:, None].to(slopes.dtype) * slopes, None, None, None
