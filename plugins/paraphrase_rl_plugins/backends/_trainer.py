"""TRL's GRPOTrainer with the recipe's update; each overriding method says why it overrides."""

from __future__ import annotations

import math
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate.utils import gather_object
from torch.utils.data import Sampler
from transformers import TrainerState
from trl import GRPOTrainer
from trl.models.utils import disable_gradient_checkpointing
from trl.trainer.utils import split_tensor_dict, use_adapter

from paraphrase_rl.plugin import (
    Chat,
    FloatArray,
    RatedRollouts,
    RunError,
    Session,
    mean_over_tokens,
    measured_rows,
    one_line,
)
from paraphrase_rl_plugins.backends._adapted import computed
from paraphrase_rl_plugins.backends._adapter import torch_writes, write_adapter
from paraphrase_rl_plugins.backends._forward import (
    PackedGroup,
    completion_logprobs,
    packed_logprobs,
    packs,
    whole_logprobs,
)
from paraphrase_rl_plugins.backends._heap import freed_memory_kept
from paraphrase_rl_plugins.backends._sampler import (
    Sampled,
    attends_to_everything,
    attention_windows,
    keeps_keys_and_values,
    left_pad,
    right_pad,
)
from paraphrase_rl_plugins.backends._sampler_check import PROBE_TOKENS, Probe, trainer_logprobs, why_stale
from paraphrase_rl_plugins.backends._sampler_choice import KNOWN_TEMPERATURE
from paraphrase_rl_plugins.backends._samplers import OwnSampler
from paraphrase_rl_plugins.backends._vllm import VllmSampler
from paraphrase_rl_plugins.backends._warmup import WarmedUp

Batch = dict[str, Any]


class StepSampler(Sampler[int]):
    """Prompts in the core's order, as TRL expects: each prompt once per rollout, each batch once per micro-step.

    All epochs count as one: a resumed Trainer skips whole batches, while TRL's own sampler restarts its permutation
    and replays the first epoch's order in every later one.
    """

    def __init__(self, order: list[list[int]], group_size: int, repeats: int) -> None:
        self.indices = [
            prompt for step in order for _ in range(repeats) for prompt in step for _ in range(group_size)
        ]

    def __len__(self) -> int:
        return len(self.indices)

    def __iter__(self) -> Any:
        return iter(self.indices)


class RecipeTrainer(GRPOTrainer):
    """Trainer with one importance-sampling update for each batch and per-token advantages from the core.

    Args:
        run: session of the core, which rates rollouts and computes advantages.
        chat: tokenizer and chat template of the model.

    Attributes:
        sampler: what samples rollouts and evaluations; the model itself, unless the backend sets another.
        stale: True once the sampler was found not to hold the policy: weights since then are of no use.
    """

    def __init__(self, *, session: Session, chat: Chat, **arguments: Any) -> None:
        self.session, self.chat = session, chat
        self.seconds: defaultdict[str, float] = defaultdict(float)
        self.current: RatedRollouts  # set by the first step
        self.mismatch: list[FloatArray] = []
        self._truncated: list[float] = []
        self._known = True
        self._buffered_inputs: list[Batch] = []
        self._warmed_up: WarmedUp | None = None
        super().__init__(**arguments)
        model = self.accelerator.unwrap_model(self.model)
        self.sampler: OwnSampler | VllmSampler = OwnSampler(model, self.eos_token_ids, self._pad_id)
        self._probe: tuple[list[int], list[int]] | None = None
        self._asked: Probe | None = None
        self._asks_again = self.stale = False

    def start_from_warmup(self) -> None:
        """Take the policy after the session's warm-up, if it has one, as a second reference."""
        warmup = self.session.warmup
        if warmup is not None and warmup.reference is not None:
            self._warmed_up = WarmedUp(self.accelerator.unwrap_model(self.model), Path(warmup.reference))

    def _get_train_sampler(self, dataset: Any = None) -> StepSampler:  # noqa: ARG002
        return StepSampler(self.session.order, self.num_generations, self.args.steps_per_generation)

    def store_flos(self) -> None:
        """Count no operations: that asks all processes, and when weights are rescued some may be gone."""

    def create_model_card(self, *_: Any, **__: Any) -> None:
        """Write no model card: a run is described by its own files."""

    def _save(self, output_dir: str | None = None, state_dict: Batch | None = None) -> None:
        # The Trainer's own writes paths of this machine: the model's, in the adapter, and a pickle of its arguments.
        if self.args.should_save:
            model = self.accelerator.unwrap_model(self.model)
            folder = Path(output_dir or self.args.output_dir)
            write_adapter(model, self.processing_class, folder, self.session.recipe.model, state_dict)

    def _save_checkpoint(self, *arguments: Any, **named: Any) -> None:
        with torch_writes():
            super()._save_checkpoint(*arguments, **named)

    def train(self, resume_from_checkpoint: str | None = None, **named: Any) -> Any:
        """Train as the Trainer does; a checkpoint whose state cannot be read is an error before anything is set up."""
        if resume_from_checkpoint is not None:
            with _readable(resume_from_checkpoint):
                TrainerState.load_from_json(str(Path(resume_from_checkpoint) / "trainer_state.json"))
        with freed_memory_kept(self.accelerator.device):
            return super().train(resume_from_checkpoint, **named)

    def _load_from_checkpoint(self, resume_from_checkpoint: str, *arguments: Any, **named: Any) -> None:
        with _readable(resume_from_checkpoint):
            super()._load_from_checkpoint(resume_from_checkpoint, *arguments, **named)

    def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
        with _readable(checkpoint):
            super()._load_optimizer_and_scheduler(checkpoint)

    def _load_rng_state(self, checkpoint: str | None) -> None:
        with _readable(checkpoint):
            super()._load_rng_state(checkpoint)

    def roll_back(self, checkpoint: str) -> None:
        """Restore adapter and optimizer from a checkpoint's folder, between two steps."""
        self._load_from_checkpoint(checkpoint)
        self._load_optimizer_and_scheduler(checkpoint)

    def _prepare_inputs(self, generation_batch: Any) -> Batch:
        # TRL shuffles the rollouts before it splits them into micro-batches. One update sums over all of them, so
        # order changes nothing, and unshuffled each micro-batch is one prompt's group, which reads its prompt once.
        index = self._step % self.args.steps_per_generation
        if index == 0:
            batch = self._generate_and_score_completions(generation_batch)
            self._buffered_inputs = split_tensor_dict(batch, self.args.steps_per_generation)
        return self._buffered_inputs[index]

    def _generate_and_score_completions(self, inputs: list[dict[str, Any]]) -> Batch:
        # TRL's own computes one advantage a rollout and averages rewards; here the core does rewards and advantages.
        step, size, device = self.state.global_step + 1, self.num_generations, self.accelerator.device
        examples = inputs[::size]
        indices = [int(example["index"]) for example in examples]
        prompts = [self.chat.prompt(example["prompt"]) for example in examples]
        started = time.perf_counter()
        sampled = self._sample(step, indices, prompts)
        self._clock("sample", started)

        heads, heads_mask = left_pad([p for p in prompts for _ in range(size)], self._pad_id, device)
        ids, mask = right_pad([s.ids for s in sampled], self._pad_id, torch.long, device)
        batch = {
            "prompt_ids": heads,
            "prompt_mask": heads_mask,
            "completion_ids": ids,
            "completion_mask": mask,
        }
        started = time.perf_counter()
        unwrapped = self.accelerator.unwrap_model(self.model)
        with (
            torch.no_grad(),
            disable_gradient_checkpointing(self.model, self.args.gradient_checkpointing_kwargs),
        ):
            with use_adapter(unwrapped, adapter_name=None):
                base = self._logprobs(self.model, batch)
            warm = None
            if self._warmed_up is not None:
                with self._warmed_up.in_place():
                    warm = self._logprobs(self.model, batch)
            self._known = all(one.logprobs for one in sampled)
            if self._known:
                old, _ = right_pad([s.logprobs for s in sampled], 0.0, torch.float32, device)
            else:
                old = self._logprobs(self.model, batch)
        self._clock("reference", started)

        started = time.perf_counter()
        rollouts = [
            self.chat.rollout(
                row // size,
                prompts[row // size],
                completion.ids,
                _ragged(old[row], mask[row]).tolist(),
                finished=completion.finished,
            )
            for row, completion in enumerate(sampled)
        ]
        local = self.session.rate([i for i in indices for _ in range(size)], rollouts)
        local.base_logprobs = [_ragged(base[row], mask[row]) for row in range(len(rollouts))]
        if warm is not None:
            local.warmup_logprobs = [_ragged(warm[row], mask[row]) for row in range(len(rollouts))]
        self.current = RatedRollouts.join(gather_object([local]))
        advantages = self.session.advantages(self.current).values
        first = self.accelerator.process_index * len(rollouts)
        values, _ = right_pad(
            [a.tolist() for a in advantages[first : first + len(rollouts)]], 0.0, torch.float32, device
        )
        self._clock("reward", started)
        self.mismatch, self._truncated = [], []
        return {**batch, "advantages": values, "old_per_token_logps": old}

    def _sample(self, step: int, indices: list[int], prompts: list[list[int]]) -> list[Sampled]:
        sampled = self.current_sampler().sample(
            prompts,
            [self.session.noise_key(step, index) for index in indices],
            group_size=self.num_generations,
            sampling=self.session.recipe.sampling,
        )
        first = self._probe is None
        if first:
            self._probe = prompts[0], sampled[0].ids[:PROBE_TOKENS]
        if (
            first or self._asks_again
        ):  # and once more after an update: before the first one there is no adapter yet
            self.check_sampler()
            self._asks_again = first
        return sampled

    def current_sampler(self) -> OwnSampler | VllmSampler:
        """Return the sampler, with the weights as they are now."""
        if isinstance(self.sampler, VllmSampler):
            self.sampler.hold_current()
        return self.sampler

    def copied_sampler(self) -> VllmSampler | None:
        """Return the sampler, with the weights as they are now, if it has weights of its own."""
        sampler = self.current_sampler()
        return sampler if isinstance(sampler, VllmSampler) else None

    def evaluation_sampler(self) -> VllmSampler | None:
        """Return the sampler of :meth:`copied_sampler` if it knows log-probabilities, as rollouts of a policy have."""
        known = self.session.recipe.sampling.temperature == KNOWN_TEMPERATURE
        return self.copied_sampler() if known else None

    @torch.no_grad()
    def check_sampler(self) -> None:
        """Ask a sampler with weights of its own for one completion's log-probabilities; stop if they are not ours.

        Raises:
            RunError: the sampler does not have the weights of the trainer.
        """
        if not isinstance(self.sampler, VllmSampler) or self._probe is None:
            return
        prompt, completion = self._probe
        with use_adapter(self.accelerator.unwrap_model(self.model), adapter_name=None):
            base = self._probed()
        probe = Probe(
            sampler_base=self.sampler.logprobs(prompt, completion, adapted=False),
            sampler=self.sampler.logprobs(prompt, completion, adapted=True),
            trainer_base=base,
            trainer=self._probed(),
        )
        why = why_stale(probe, self._asked)
        if why:
            self.stale = True
            raise RunError(
                f"the sampler does not hold the policy after step {self.state.global_step}: {why}",
                "continue with --resume from a checkpoint before that, and with --option sampler=own",
            )
        self._asked = probe

    def _probed(self) -> FloatArray:
        """Log-probabilities of the probe's completion, shape (T,)."""
        assert self._probe is not None
        with self.accelerator.autocast():
            return trainer_logprobs(self.accelerator.unwrap_model(self.model), *self._probe)

    def _logprobs(self, model: Any, batch: Batch, group_size: int | None = None) -> torch.Tensor:
        """Log-probabilities of completion tokens, shape (B, T), 0 at padding; of groups one after the other."""
        size = group_size or self.num_generations
        # Activations kept for a gradient are those of peft's layers where they are computed a second time.
        computes = not self.args.gradient_checkpointing
        with self.accelerator.autocast(), computed(model) if computes else nullcontext():
            compute = self._compute_logprobs
            # One prompt's group at a time: no more activations at once than a micro-batch needs.
            return torch.cat(
                [
                    compute(model, *(batch[key][at : at + size] for key in _TOKEN_KEYS))
                    for at in range(0, len(batch["prompt_ids"]), size)
                ]
            )

    @cached_property
    def _compute_logprobs(self) -> Callable[..., torch.Tensor]:
        """How this model computes the log-probabilities of one group."""
        model = self.accelerator.unwrap_model(self.model)
        if self.args.gradient_checkpointing:  # it forbids a cache and another attention
            windows = attention_windows(model)
            return partial(self._packed, windows) if windows else self._checkpointed
        if attends_to_everything(model) and packs(model):
            return partial(packed_logprobs, temperature=self.temperature)
        if keeps_keys_and_values(model):
            return partial(completion_logprobs, temperature=self.temperature)
        return partial(whole_logprobs, temperature=self.temperature)

    def _packed(self, windows: Mapping[str, int | None], model: Any, *group: torch.Tensor) -> torch.Tensor:
        pack = PackedGroup.of(*group)
        scored = model(
            input_ids=pack.ids,
            attention_mask=pack.attention_of(windows),
            position_ids=pack.positions,
            shift_labels=pack.labels,
            fused_lm_head=True,
        )
        return pack.unpacked(scored.log_probs, group[2].shape[1])

    def _checkpointed(
        self,
        model: Any,
        prompt_ids: torch.Tensor,
        prompt_mask: torch.Tensor,
        completion_ids: torch.Tensor,
        completion_mask: torch.Tensor,
    ) -> torch.Tensor:
        # TRL passes no positions: cut to its own prompt, a group has no padding on the left for them to count.
        length, width = int(prompt_mask.sum(1).max()), int(completion_mask.sum(1).max())
        ids, mask = completion_ids[:, :width], completion_mask[:, :width]
        logprobs, _, _ = self._get_per_token_logps_and_entropies(
            model,
            torch.cat([prompt_ids[:, -length:], ids], 1),
            torch.cat([prompt_mask[:, -length:], mask], 1),
            width,
        )
        return torch.nn.functional.pad(logprobs * mask, (0, completion_ids.shape[1] - width))

    def _compute_loss(self, model: Any, inputs: Batch) -> torch.Tensor:
        # No clipping, no KL in the loss, a sum over tokens: TRL's losses all normalise, by tokens or by length.
        started = time.perf_counter()
        mask, old = inputs["completion_mask"], inputs["old_per_token_logps"]
        logprobs = self._logprobs(model, inputs)
        self.mismatch += [
            _ragged(difference, row) for difference, row in zip((old - logprobs).detach(), mask, strict=True)
        ]
        ratios = self._capped(torch.exp(logprobs - old), mask)
        loss = -(ratios * inputs["advantages"] * mask).sum()
        self._clock("forward", started)
        # DistributedDataParallel averages gradients over processes; the recipe's loss is their sum.
        return loss * self.accelerator.num_processes

    def _capped(self, ratios: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        # Truncated importance sampling: above the cap a token keeps its gradient, by the cap's weight. A clamp of the
        # ratio itself would drop the token.
        cap = self.session.recipe.training.ratio_cap
        if cap is None or self.sampler.exact:
            return ratios
        now = ratios.detach()
        self._truncated += (now > cap)[mask.bool()].float().tolist()
        return ratios * (cap / now).clamp(max=1.0)

    @property
    def _pad_id(self) -> int:
        return int(self._tokenizer.pad_token_id)

    def _clock(self, what: str, started: float) -> None:
        self.seconds[what] += time.perf_counter() - started

    # ---- after the update, called by the backend's callback

    @torch.no_grad()
    def step_metrics(self) -> dict[str, float]:
        """Return the metrics of the step that ended, over all processes; call it on every process."""
        size = self.num_generations
        sampled = {
            key: torch.cat([inputs[key] for inputs in self._buffered_inputs])
            for key in (*_TOKEN_KEYS, "old_per_token_logps")
        }
        rows = measured_rows(size, len(sampled["completion_ids"]))
        few = {key: values[rows] for key, values in sampled.items()}
        now = self._logprobs(self.model, few, group_size=len(measured_rows(size, size)))
        after = [
            _ragged(difference, mask)
            for difference, mask in zip(few["old_per_token_logps"] - now, few["completion_mask"], strict=True)
        ]
        return {
            # the trainer's own log-probabilities in place of the sampler's would agree whatever happened
            "kl_sample_train": mean_over_tokens(gather_object(self.mismatch)) if self._known else math.nan,
            **({"ratio_truncated": float(np.mean(self._truncated))} if self._truncated else {}),
            "kl_post_train": mean_over_tokens(gather_object(after)),
        }

    def take_seconds(self) -> dict[str, float]:
        """Return the wall seconds since the last call, by part of the step."""
        seconds, self.seconds = dict(self.seconds), defaultdict(float)
        return seconds


@contextmanager
def _readable(checkpoint: str | None) -> Iterator[None]:
    try:
        yield
    except Exception as error:  # torch, safetensors and pickle have no common error
        raise RunError(
            f"cannot read {checkpoint}: {one_line(error)}",
            "remove that folder: the run then continues from the checkpoint before it",
        ) from error


_TOKEN_KEYS = ("prompt_ids", "prompt_mask", "completion_ids", "completion_mask")


def _ragged(values: torch.Tensor, mask: torch.Tensor) -> FloatArray:
    return values[mask.bool()].cpu().double().numpy().astype(np.float64)
