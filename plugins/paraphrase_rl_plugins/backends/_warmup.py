"""Warm-up of a local policy: cross-entropy on given completions, before GRPO. The core decides batches and weights."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate.utils import gather_object
from peft import set_peft_model_state_dict
from safetensors.torch import load_file

from paraphrase_rl.plugin import (
    FloatArray,
    NumericalError,
    RunError,
    Session,
    SupervisedExample,
    Warmup,
    one_line,
)
from paraphrase_rl_plugins.backends._adapted import computed
from paraphrase_rl_plugins.backends._adapter import torch_writes, write_adapter
from paraphrase_rl_plugins.backends._heap import freed_memory_kept
from paraphrase_rl_plugins.backends._policy import own_policy
from paraphrase_rl_plugins.backends._recording import recorded
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
    with freed_memory_kept(trainer.accelerator.device):
        complete = gather_object([_carried_out(session, warmup, trainer) if first else None])[0]
    if complete and not first:
        assert warmup.reference is not None
        _load(trainer.accelerator.unwrap_model(trainer.model), Path(warmup.reference))
    return bool(complete)


def _carried_out(session: Session, warmup: Warmup, trainer: Any) -> bool:
    policy = own_policy(trainer.accelerator.unwrap_model(trainer.model), trainer.chat)
    if warmup.resume_from is None and session.evaluation_due(0):
        session.evaluate(policy, 0)
    return warmup.prepare(policy, trainer.chat) and SupervisedSteps(session, warmup, trainer).train()


class SupervisedSteps:
    """Steps of a prepared warm-up after those of its checkpoint."""

    def __init__(self, session: Session, warmup: Warmup, trainer: Any) -> None:
        self.session, self.warmup, self.accelerator = session, warmup, trainer.accelerator
        self.model, self.tokenizer = trainer.accelerator.unwrap_model(trainer.model), trainer.chat.tokenizer
        self.trained = [p for p in self.model.parameters() if p.requires_grad]
        self.optimizer = torch.optim.AdamW(
            self.trained, lr=warmup.learning_rate, betas=(0.9, 0.95), eps=1e-8, weight_decay=0.0
        )
        done, place = warmup.resume_from or (0, None)
        if place is not None:
            _load(self.model, Path(place), self.optimizer if done < warmup.steps else None)
        self.step: int | None = done  # that the weights are those of; None = of none that may be saved
        self.unrecorded: Callable[[], None] | None = None

    def train(self) -> bool:
        """Take the steps; return False if interrupted. A checkpoint is left however they end, where one can be made."""
        try:
            assert self.step is not None
            for step in range(self.step + 1, self.warmup.steps + 1):
                self._take(step)
                if self.warmup.checkpoint_due(step):
                    self._save()
                    if step < self.warmup.steps and self.session.stop_requested():
                        return False
        except BaseException:
            self._rescue()
            raise
        return True

    def _take(self, step: int) -> None:
        started = time.perf_counter()
        pad_id = int(self.tokenizer.pad_token_id)
        logprobs, norm = add_gradient(self.model, self.warmup.batch(step), self.accelerator, pad_id)
        if not math.isfinite(norm):
            if not all(np.isfinite(values).all() for values in logprobs):
                self.step = None  # the weights of the step before are what is damaged
            raise NumericalError(f"the gradient of warm-up step {step} is not a finite number")
        self.step = None
        self.optimizer.step()
        self.optimizer.zero_grad()
        if not all(bool(p.isfinite().all()) for p in self.trained):
            raise NumericalError(
                f"the update of warm-up step {step} left weights that are not finite numbers"
            )
        seconds = time.perf_counter() - started
        self.unrecorded = partial(self.warmup.end_step, step, logprobs, {"grad_norm": norm}, seconds)
        self.step = step
        self._record()

    def _record(self) -> None:
        assert self.unrecorded is not None
        self.unrecorded()
        self.unrecorded = None

    def _rescue(self) -> None:
        if self.step is None:
            return
        what = f"warm-up step {self.step}"
        if self.unrecorded is None or recorded(self._record, what, self.session.report):
            self.warmup.rescue(self.step, self._save)

    def _save(self) -> None:
        assert self.step is not None
        folder = self.session.unfinished / f"warmup-{self.step:06d}"
        write_adapter(self.model, self.tokenizer, folder, self.session.recipe.model)
        with torch_writes():
            torch.save(self.optimizer.state_dict(), folder / OPTIMIZER)
        self.warmup.add_checkpoint(self.step, folder)


def add_gradient(
    model: Any, examples: Sequence[SupervisedExample], accelerator: Any, pad_id: int
) -> tuple[list[FloatArray], float]:
    """Add the gradient of the weighted cross-entropy of a batch to the adapter's.

    Returns:
        Log-probabilities of each example's completion, shape (T_i,), and the norm of the gradient.
    """
    model.train()
    found: dict[int, FloatArray] = {}
    # of like length, since a row is computed as long as the longest
    order = sorted(range(len(examples)), key=lambda i: -len(examples[i].completion_ids))
    for at in range(0, len(order), ROWS_AT_ONCE):
        rows = order[at : at + ROWS_AT_ONCE]
        part = [examples[i] for i in rows]
        with accelerator.autocast(), computed(model):
            logprobs, mask = completion_logprobs(model, part, pad_id, accelerator.device)
        weights = torch.tensor([example.weight for example in part], device=accelerator.device)
        loss = -(logprobs * mask * weights[:, None]).sum()
        loss.backward()
        for i, values, there in zip(rows, logprobs.detach(), mask.bool(), strict=True):
            found[i] = values[there].cpu().double().numpy().astype(np.float64)
    norms = [p.grad.norm() ** 2 for p in model.parameters() if p.grad is not None]
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
