"""Log-probabilities of tokens from hidden states, without the logits of all positions at once.

The gradient of a token's log-probability with respect to its hidden state, (w_y - p W) / temperature, needs the
probabilities p alone: it is computed while they are there, and scaled by what comes back. Autograd would keep the
logits of every position and read them several times.
"""

from __future__ import annotations

from typing import Any

import torch

from paraphrase_rl_plugins.backends._products import Product, times

LOGITS_AT_ONCE = 2**23
"""Number of logits computed by one product: 32 MiB of fp32."""
REDUCED_AT_ONCE = 2**20
"""Number of logits reduced at once, so that they stay in the processor's cache."""


def token_logprobs(
    hidden: torch.Tensor,
    weight: torch.Tensor,
    bias: torch.Tensor | None,
    tokens: torch.Tensor,
    temperature: float,
) -> torch.Tensor:
    """Compute log-probabilities of tokens under the full softmax, differentiable in the hidden states alone.

    Args:
        hidden: shape (N, D).
        weight, bias: the unembedding, of shape (V, D) and (V,); frozen.
        tokens: shape (N,).

    Returns:
        fp32 of shape (N,).
    """
    return _TokenLogprobs.apply(hidden, weight, bias, tokens, temperature)


class _TokenLogprobs(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        hidden: torch.Tensor,
        weight: torch.Tensor,
        bias: torch.Tensor | None,
        tokens: torch.Tensor,
        temperature: float,
    ) -> torch.Tensor:
        wanted = ctx.needs_input_grad[0]
        slopes = torch.empty_like(hidden) if wanted else None
        logprobs = hidden.new_empty(len(hidden), dtype=torch.float32)
        rows = max(1, LOGITS_AT_ONCE // len(weight))
        product = Product(weight, bias)
        for start in range(0, len(hidden), rows):
            part = slice(start, start + rows)
            logits = product(hidden[part].to(weight.dtype)).float()
            few = max(1, REDUCED_AT_ONCE // len(weight))
            for block, token, out in zip(
                logits.split(few), tokens[part].split(few), logprobs[part].split(few), strict=True
            ):
                block.div_(temperature).sub_(block.amax(-1, keepdim=True))
                own = block.gather(1, token[:, None])[:, 0]
                total = block.exp_().sum(-1)
                torch.sub(own, total.log(), out=out)
                if wanted:
                    block.div_(total[:, None])
            if slopes is not None:
                slope = weight[tokens[part]] - times(logits.to(weight.dtype), weight)
                slopes[part] = slope.div_(temperature)
        if slopes is not None:
            ctx.save_for_backward(slopes)
        return logprobs

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        (slopes,) = ctx.saved_tensors
        return gradients[0][:, None].to(slopes.dtype) * slopes, None, None, None, None
