"""Warm-up of a local policy: cross-entropy on given completions, before GRPO. The core decides batches and weights."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate.utils import gather_object
from peft import set_peft_model_state_dict
from safetensors.torch import load_file

from paraphrase_rl.plugin import FloatArray, RunError, Session, SupervisedExample, Warmup, one_line
from paraphrase_rl_plugins.backends._adapter import write_adapter
from paraphrase_rl_plugins.backends._policy import own_policy
from paraphrase_rl_plugins.backends._sampler import left_pad, right_pad

ROWS_AT_ONCE = 4
"""Number of pairs read at once: the logits of more would not pay for the memory they take."""
OPTIMIZER = "optimizer.pt"


def warm_up(session: Session, trainer: Any) -> bool:
    """Carry out the warm-up of a run, or the rest of it; return False if it was interrupted.

    The first of several processes does so, and the others take its weights.
    """
    warmup = session.warmup
    if warmup is None or session.resume_from is not None:
        return True
    first = trainer.accelerator.is_main_process
    complete = gather_object([_carried_out(session, warmup, trainer) if first else None])[0]
    if complete and not first:
        assert warmup.reference is not None
        _load(trainer.accelerator.unwrap_model(trainer.model), Path(warmup.reference))
    return bool(complete)


def _carried_out(session: Session, warmup: Warmup, trainer: Any) -> bool:
    accelerator, chat = trainer.accelerator, trainer.chat
    model = accelerator.unwrap_model(trainer.model)
    policy = own_policy(model, chat)
    done, place = warmup.resume_from or (0, None)
    if place is None and session.evaluation_due(0):
        session.evaluate(policy, 0)
    if not warmup.prepare(policy, chat):
        return False
    optimizer = torch.optim.AdamW(
        [p for p in model.parameters() if p.requires_grad],
        lr=warmup.learning_rate,
        betas=(0.9, 0.95),
        eps=1e-8,
        weight_decay=0.0,
    )
    if place is not None:
        _load(model, Path(place), optimizer if done < warmup.steps else None)
    for step in range(done + 1, warmup.steps + 1):
        started = time.perf_counter()
        logprobs, norm = supervised_step(
            model, optimizer, warmup.batch(step), accelerator, int(chat.tokenizer.pad_token_id)
        )
        warmup.end_step(step, logprobs, {"grad_norm": norm}, time.perf_counter() - started)
        if warmup.checkpoint_due(step):
            warmup.add_checkpoint(step, _save(session, model, chat.tokenizer, optimizer, step))
            if step < warmup.steps and session.stop_requested():
                return False
    return True


def supervised_step(
    model: Any, optimizer: Any, examples: Sequence[SupervisedExample], accelerator: Any, pad_id: int
) -> tuple[list[FloatArray], float]:
    """Update the adapter once by the weighted cross-entropy of a batch.

    Returns:
        Log-probabilities of each example's completion before the update, shape (T_i,), and the norm of the gradient.
    """
    model.train()
    optimizer.zero_grad()
    found: dict[int, FloatArray] = {}
    # of like length, since a row is computed as long as the longest
    order = sorted(range(len(examples)), key=lambda i: -len(examples[i].completion_ids))
    for at in range(0, len(order), ROWS_AT_ONCE):
        rows = order[at : at + ROWS_AT_ONCE]
        part = [examples[i] for i in rows]
        with accelerator.autocast():
            logprobs, mask = completion_logprobs(model, part, pad_id, accelerator.device)
        weights = torch.tensor([example.weight for example in part], device=accelerator.device)
        loss = -(logprobs * mask * weights[:, None]).sum()
        loss.backward()
        for i, values, there in zip(rows, logprobs.detach(), mask.bool(), strict=True):
            found[i] = values[there].cpu().double().numpy().astype(np.float64)
    norms = [p.grad.norm() ** 2 for p in model.parameters() if p.grad is not None]
    optimizer.step()
    optimizer.zero_grad()
    return [found[i] for i in range(len(examples))], math.sqrt(float(sum(norms)))


def completion_logprobs(
    model: Any, examples: Sequence[SupervisedExample], pad_id: int, device: Any
) -> tuple[torch.Tensor, torch.Tensor]:
    """Compute log-probabilities of completions, differentiably, in one pass; both of shape (B, T), with their mask."""
    heads, heads_mask = left_pad([list(e.prompt_ids) for e in examples], pad_id, device)
    ids, mask = right_pad([list(e.completion_ids) for e in examples], pad_id, torch.long, device)
    attention = torch.cat([heads_mask, mask], 1)
    logits = model(
        input_ids=torch.cat([heads, ids], 1),
        attention_mask=attention,
        position_ids=(attention.cumsum(1) - 1).clamp(min=0),
        use_cache=False,
        logits_to_keep=ids.shape[1] + 1,
    ).logits[:, :-1]
    logits = logits.float()
    return logits.gather(2, ids[:, :, None])[:, :, 0] - torch.logsumexp(logits, -1), mask


def _save(session: Session, model: Any, tokenizer: Any, optimizer: Any, step: int) -> Path:
    folder = session.unfinished / f"warmup-{step:06d}"
    write_adapter(model, tokenizer, folder, session.recipe.model)
    torch.save(optimizer.state_dict(), folder / OPTIMIZER)
    return folder


def _load(model: Any, folder: Path, optimizer: Any = None) -> None:
    """Restore the weights of a checkpoint, and the state of an optimizer if one is given."""
    try:
        set_peft_model_state_dict(model, load_file(folder / "adapter_model.safetensors"))
        if optimizer is not None:
            optimizer.load_state_dict(torch.load(folder / OPTIMIZER, weights_only=True))
    except Exception as error:  # torch, safetensors and pickle have no common error
        raise RunError(
            f"cannot read {folder}: {one_line(error)}",
            "remove that folder and its row of checkpoints.jsonl: the warm-up then starts again from its pairs",
        ) from error


class WarmedUp:
    """Adapter after the warm-up, put in the place of the trained one while its log-probabilities are computed.

    Args:
        model: peft model whose adapter is trained.
        folder: of the warm-up's last checkpoint.
    """

    def __init__(self, model: Any, folder: Path) -> None:
        try:
            weights: Mapping[str, torch.Tensor] = load_file(folder / "adapter_model.safetensors")
        except Exception as error:  # safetensors and the file system have no common error
            raise RunError(
                f"cannot read {folder}: {one_line(error)}",
                "restore that folder: the warmed-up policy is needed as long as the run is trained",
            ) from error
        self.parameters = []
        for name, parameter in model.named_parameters():
            if parameter.requires_grad:
                key = name.replace(".default.", ".")
                self.parameters.append((parameter, weights[key].to(parameter)))

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """Swap the weights inside a ``with`` block; the trained ones come back bit for bit."""
        trained = [parameter.data for parameter, _ in self.parameters]
        try:
            for parameter, weights in self.parameters:
                parameter.data = weights
            yield
        finally:
            for (parameter, _), data in zip(self.parameters, trained, strict=True):
                parameter.data = data
