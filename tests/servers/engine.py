"""What a training service does, on one CPU: one frozen base model, LoRA adapters, real gradients, real Adam.

Semantics as the hosted service documents them: token losses are summed, never averaged; gradients accumulate until
the optimizer step; LoRA's alpha is 32 whatever the rank; log-probabilities are of the full softmax at temperature 1.
"""

from __future__ import annotations

import json
import math
import time
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from paraphrase_rl_plugins.backends._sampler import ready_to_sample
from peft import LoraConfig, PeftModel, get_peft_model_state_dict, set_peft_model_state_dict
from safetensors.torch import load_file, save_file
from tinker.proto import tinker_public_pb2 as pb

from paraphrase_rl.models.references import load_causal_lm, load_tokenizer
from tests.servers.sampling import Sampling, f32, left_pad, split

ALPHA = 32
ATTENTION = ("q_proj", "k_proj", "v_proj", "o_proj")
MLP = ("gate_proj", "up_proj", "down_proj")
KINDS = {"weights": "training", "sampler_weights": "sampler", "external_weights": "external"}
DTYPES = {pb.DTYPE_FLOAT32: np.float32, pb.DTYPE_INT64: np.int64}

Weights = dict[str, torch.Tensor]


@dataclass(frozen=True)
class Shape:
    """What an adapter is made of."""

    rank: int
    attn: bool
    mlp: bool
    unembed: bool
    seed: int | None = None

    @property
    def adapter(self) -> str:
        """Name of the scratch adapter that holds snapshots of this shape."""
        return f"snapshot_{self.rank}_{self.attn}_{self.mlp}_{self.unembed}"

    def config(self) -> LoraConfig:
        modules = [*(ATTENTION if self.attn else ()), *(MLP if self.mlp else ())]
        modules += ["lm_head"] if self.unembed else []
        return LoraConfig(r=self.rank, lora_alpha=ALPHA, target_modules=modules, task_type="CAUSAL_LM")


@dataclass
class Trained:
    """An adapter in training, with its optimizer."""

    shape: Shape
    adapter: str
    parameters: list[torch.nn.Parameter]
    optimizer: torch.optim.Optimizer


@dataclass
class Snapshot:
    """Weights a sampler was made from; later steps do not change them."""

    shape: Shape
    weights: Weights = field(repr=False)


TRAININGS = 16
"""Adapters that are in training at once."""


class Engine:
    """The model and the adapters in training. Not for several threads: the server gives it one request after another.

    Keeps the :data:`TRAININGS` adapters used last, as a service ends the sessions of clients that are gone: every
    adapter of a model slows down its use.

    Args:
        model: reference of the base model, also its name on the service.
        folder: where checkpoints live; those of an earlier server are found again.
    """

    def __init__(self, model: str, folder: Path) -> None:
        self.name, self.folder = model, folder
        self.base: Any = load_causal_lm(model).requires_grad_(False)
        end = self.base.generation_config.eos_token_id
        self.ends = {load_tokenizer(model).eos_token_id, *np.atleast_1d(end).tolist()} - {None}
        self.peft: PeftModel | None = None
        self.trained: OrderedDict[str, Trained] = OrderedDict()
        self.loaded: dict[str, Snapshot] = {}

    # ---- adapters

    def create(self, model_id: str, shape: Shape) -> dict[str, Any]:
        while len(self.trained) >= TRAININGS:
            self.peft.delete_adapter(self.trained.pop(next(iter(self.trained))).adapter)
        adapter = model_id.replace(":", "_")
        self._add(adapter, shape)
        named = [(n, p) for n, p in self.peft.named_parameters() if f".{adapter}." in n]
        generator = torch.Generator().manual_seed(shape.seed or 0)
        for name, parameter in named:
            if "lora_A" in name:
                torch.nn.init.kaiming_uniform_(parameter.data, a=math.sqrt(5), generator=generator)
        parameters = [parameter for _, parameter in named]
        self.trained[model_id] = Trained(
            shape, adapter, parameters, torch.optim.AdamW(parameters, lr=0.0, weight_decay=0.0)
        )
        return {"model_id": model_id, "type": "create_model"}

    def _add(self, adapter: str, shape: Shape) -> None:
        if self.peft is None:
            self.peft = PeftModel(self.base, shape.config(), adapter_name=adapter)
        else:
            self.peft.add_adapter(adapter, shape.config())

    def weights(self, model_id: str) -> Weights:
        found = get_peft_model_state_dict(self.peft, adapter_name=self.trained[model_id].adapter)
        return {name: value.detach().clone() for name, value in found.items()}

    @contextmanager
    def _policy(self, which: str | Snapshot | None) -> Iterator[Any]:
        """The model with one adapter: of a training by its id, of a snapshot, or none."""
        if self.peft is None:
            yield self.base
        elif which is None:
            with self.peft.disable_adapter():
                yield self.peft
        elif isinstance(which, str):
            self.trained.move_to_end(which)
            self.peft.set_adapter(self.trained[which].adapter)
            for parameter in self.trained[which].parameters:
                parameter.requires_grad_(True)
            yield self.peft
        else:
            name = which.shape.adapter
            if self.loaded.get(name) is not which:
                if name not in self.peft.peft_config:
                    self._add(name, which.shape)
                set_peft_model_state_dict(self.peft, which.weights, adapter_name=name)
                self.loaded[name] = which
            self.peft.set_adapter(name)
            with ready_to_sample(self.peft):
                yield self.peft

    # ---- training

    def forward_backward(self, message: Any) -> bytes:
        """Log-probabilities and losses of every datum; gradients are added up unless it is forward only."""
        backward, total, outputs = not message.forward_only, 0.0, []
        with self._policy(message.model_id) as model, torch.set_grad_enabled(backward):
            for datum in message.data:
                ids = np.concatenate([np.frombuffer(c.encoded_text.tokens, "<i4") for c in datum.model_input])
                given = {name: _tensor(value) for name, value in datum.loss_fn_inputs.items()}
                logits = model(input_ids=torch.from_numpy(ids.astype(np.int64))[None]).logits[0].float()
                targets = given["target_tokens"].long()
                logprobs = logits.gather(1, targets[:, None])[:, 0] - torch.logsumexp(logits, -1)
                losses = token_losses(message.loss_fn, logprobs, given, message.loss_fn_config)
                if backward:
                    losses.sum().backward()
                total += float(losses.detach().sum())
                outputs.append({"logprobs": logprobs.detach(), "elementwise_loss": losses.detach()})
        return _training_output(outputs, total)

    def optim_step(self, model_id: str, settings: dict[str, Any]) -> dict[str, Any]:
        """AdamW with the request's own rate, betas and eps; clips only when told to."""
        trained = self.trained[model_id]
        for group in trained.optimizer.param_groups:
            group.update(
                lr=settings["learning_rate"],
                betas=(settings["beta1"], settings["beta2"]),
                eps=settings["eps"],
                weight_decay=settings["weight_decay"],
            )
        limit = settings.get("grad_clip_norm") or math.inf
        norm = float(torch.nn.utils.clip_grad_norm_(trained.parameters, limit))
        trained.optimizer.step()
        trained.optimizer.zero_grad(set_to_none=True)
        return {"type": "optim_step", "metrics": {"grad_norm:mean": norm}}

    # ---- sampling

    @torch.no_grad()
    def sample(self, which: Snapshot | None, requests: list[dict[str, Any]]) -> list[bytes]:
        """Completions of one prompt a request; the same seed gives the same ones.

        Several requests share the passes, which is faster, and rounds a little differently than each alone.
        """
        asked = [Sampling.of(request, self.ends) for request in requests]
        scoring = bool(requests[0].get("prompt_logprobs"))
        ids, mask = left_pad([one.prompt for one in asked])
        positions = (mask.cumsum(1) - 1).clamp(min=0)
        rows = torch.repeat_interleave(torch.tensor([one.rows for one in asked]))
        with self._policy(which) as model:
            out = model(
                input_ids=ids,
                attention_mask=mask,
                position_ids=positions,
                use_cache=True,
                logits_to_keep=0 if scoring else 1,
            )
            cache = out.past_key_values
            cache.batch_select_indices(rows)
            logits, mask, position = out.logits[rows, -1].float(), mask[rows], positions[rows, -1:] + 1
            while True:
                drawn = torch.cat(
                    [one.draw(part) for one, part in zip(asked, split(logits, asked), strict=True)]
                )
                logprobs = torch.log_softmax(logits, -1).gather(1, drawn[:, None])
                for one, tokens, values in zip(
                    asked, split(drawn, asked), split(logprobs, asked), strict=True
                ):
                    one.append(tokens.tolist(), values[:, 0].tolist())
                if not any(one.alive for one in asked):
                    break
                mask = torch.cat([mask, mask.new_ones(len(mask), 1)], 1)
                step = model(
                    input_ids=drawn[:, None],
                    attention_mask=mask,
                    position_ids=position,
                    past_key_values=cache,
                    use_cache=True,
                )
                logits, position = step.logits[:, -1].float(), position + 1
        responses = [one.response() for one in asked]
        if scoring:
            scored = torch.log_softmax(out.logits[0, :-1].float(), -1).gather(1, ids[0, 1:, None])
            responses[0].prompt_logprobs = f32([math.nan, *scored[:, 0].tolist()])
        return [response.SerializeToString() for response in responses]

    def snapshot(self, model_id: str) -> Snapshot:
        return Snapshot(self.trained[model_id].shape, self.weights(model_id))

    # ---- checkpoints

    def save(self, model_id: str, kind: str, name: str, ttl: int | None) -> dict[str, Any]:
        """Write a checkpoint; training states with their optimizer."""
        trained, path = self.trained[model_id], f"tinker://{model_id}/{kind}/{name}"
        folder = self.folder / model_id.replace(":", "_") / kind / name
        folder.mkdir(parents=True, exist_ok=True)
        save_file({k: v.contiguous() for k, v in self.weights(model_id).items()}, folder / WEIGHTS)
        config = self.peft.peft_config[trained.adapter]
        config.base_model_name_or_path = self.name
        config.save_pretrained(folder)
        if kind == "weights":
            torch.save(trained.optimizer.state_dict(), folder / "optimizer.pt")
        about = {
            "path": path,
            "shape": asdict(trained.shape),
            "kind": KINDS[kind],
            "time": time.time(),
            "expires": ttl and time.time() + ttl,
        }
        (folder / "about.json").write_text(json.dumps(about))
        return {"path": path}

    def checkpoint(self, path: str) -> tuple[Path, dict[str, Any]]:
        """Folder and description of a checkpoint.

        Raises:
            ValueError: there is none, or it has expired.
        """
        model_id, kind, name = path.removeprefix("tinker://").split("/")
        folder = self.folder / model_id.replace(":", "_") / kind / name
        if not (folder / "about.json").is_file():
            raise ValueError(f"no such checkpoint: {path}")
        about = json.loads((folder / "about.json").read_text())
        if about["expires"] and about["expires"] < time.time():
            raise ValueError(f"checkpoint has expired: {path}")
        return folder, about

    def load(self, model_id: str, path: str, with_optimizer: bool) -> dict[str, Any]:
        """A training that begins with a checkpoint's weights."""
        folder, about = self.checkpoint(path)
        self.create(model_id, Shape(**about["shape"]))
        trained = self.trained[model_id]
        set_peft_model_state_dict(self.peft, load_file(folder / WEIGHTS), adapter_name=trained.adapter)
        if with_optimizer:
            trained.optimizer.load_state_dict(torch.load(folder / "optimizer.pt"))
        return {"path": path, "model_id": model_id, "type": "load_weights"}

    def stored(self, path: str) -> Snapshot:
        """A checkpoint's weights for sampling."""
        folder, about = self.checkpoint(path)
        return Snapshot(Shape(**about["shape"]), load_file(folder / WEIGHTS))


WEIGHTS = "adapter_model.safetensors"


def token_losses(
    loss: str, logprobs: torch.Tensor, given: dict[str, torch.Tensor], config: Mapping[str, float]
) -> torch.Tensor:
    """Loss of every token; the service sums them."""
    if loss == "cross_entropy":
        return -logprobs * given["weights"]
    if loss == "importance_sampling":
        return -torch.exp(logprobs - given["logprobs"]) * given["advantages"]
    if loss == "cispo":
        ratio = torch.exp(logprobs - given["logprobs"]).detach()
        bounds = config["clip_low_threshold"], config["clip_high_threshold"]
        return -ratio.clamp(*bounds) * given["advantages"] * logprobs
    raise ValueError(f"this server has no loss {loss!r}")


def _tensor(value: Any) -> torch.Tensor:
    flat = np.frombuffer(value.dense, DTYPES[value.dtype])
    return torch.from_numpy(flat.reshape(tuple(value.shape) or -1).copy())


def _training_output(outputs: list[dict[str, torch.Tensor]], total: float) -> bytes:
    message = pb.ForwardBackwardOutput(loss_fn_output_type="ArrayRecord")
    message.metrics["loss:sum"] = total
    record = message.loss_fn_outputs.add()
    record.num_datums = len(outputs)
    for name in outputs[0] if outputs else ():
        parts = [f32(output[name]) for output in outputs]
        offsets = np.cumsum([0, *map(len, parts)], dtype=np.int64).tobytes()
        record.fields[name].CopyFrom(
            pb.BatchedTensor(data=b"".join(parts), dtype=pb.DTYPE_FLOAT32, offsets=offsets)
        )
    return message.SerializeToString()
