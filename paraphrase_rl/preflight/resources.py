"""Resources: memory on the device by part, and context length of the policy."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from paraphrase_rl.models.shape import parameters_by_name
from paraphrase_rl.plugin.estimates import MemoryPart
from paraphrase_rl.preflight.case import Case
from paraphrase_rl.preflight.findings import Finding, Rule
from paraphrase_rl.recipe.model_info import find_model

MEMORY = Rule(
    "PRL085",
    "ok",
    "memory",
    "Memory on the device at most, by what it is for, with what it is computed from. Sampling and update take "
    "turns: of their parts the larger sum counts.",
)
PEAK = Rule(
    "PRL086",
    "ok",
    "memory",
    "Memory on the device at the peak, estimated from the parts.",
)
TOO_LARGE = Rule(
    "PRL087",
    "warning",
    "memory",
    "The estimated peak is above the memory of the device: the run will probably end for lack of memory.",
    "lower sampling.max_tokens or training.group_size, choose smaller detectors or a smaller model, or a larger "
    "device",
)
UNKNOWN_MEMORY = Rule(
    "PRL088",
    "note",
    "memory",
    "The memory cannot be estimated: the model's config.json is not on this machine, or its build is another one "
    "than that of Llama, Qwen, Mistral and Gemma.",
    "download its config.json: hf download MODEL config.json",
)
CONTEXT = Rule(
    "PRL090",
    "ok",
    "context",
    "The longest prompt and its answer fit the context of the policy.",
)
BEYOND_CONTEXT = Rule(
    "PRL091",
    "error",
    "context",
    "The longest prompt and its answer are longer than the context of the policy, which can read no more.",
    "leave out that text, cut all texts with data.excerpt_words, or lower sampling.max_tokens",
)
NEAR_CONTEXT = Rule(
    "PRL092",
    "warning",
    "context",
    "The longest prompt and its answer are about as long as the context of the policy, by an estimate from "
    "words: the run may stop at that text.",
    "leave out that text, cut all texts with data.excerpt_words, or lower sampling.max_tokens",
)
_GB = 1e9


def check(case: Case) -> Iterator[Finding]:
    """Check context and memory."""
    yield from _context(case)
    yield from _memory(case)


def _context(case: Case) -> Iterator[Finding]:
    limit, lengths = case.context, case.lengths
    if limit is None or lengths is None:
        return
    needed = lengths.longest + case.recipe.sampling.max_tokens
    about = "" if lengths.counted else "about "
    said = (
        f"text {lengths.longest_id} makes a prompt of {about}{lengths.longest:,.0f} tokens, and with "
        f"sampling.max_tokens {needed:,.0f} of the {limit:,} of {case.recipe.model}"
    )
    if needed > limit * (1.0 if lengths.counted else 1.3):
        yield BEYOND_CONTEXT.found(said, key="sampling.max_tokens")
    elif needed > limit * (0.98 if lengths.counted else 0.8):
        yield NEAR_CONTEXT.found(said, key="sampling.max_tokens")
    else:
        yield CONTEXT.found(said, key="sampling.max_tokens")


def _memory(case: Case) -> Iterator[Finding]:
    parts = list(_loaded_here(case))
    estimate = case.estimate
    if estimate is not None:
        parts = [*estimate.memory, *parts]
    elif case.backend_spec is not None and case.backend_spec.estimate is not None:
        yield UNKNOWN_MEMORY.found(f"sizes of {case.recipe.model} are not known here", key="model")
        return
    for part in parts:
        yield MEMORY.found(f"{part.name} {part.bytes / _GB:.2f} GB: {part.basis}")
    if not parts:
        return
    peak = sum(part.bytes for part in parts if part.phase == "throughout")
    peak += max(sum(part.bytes for part in parts if part.phase == phase) for phase in ("sampling", "update"))
    there = case.memory
    of = f" of {there.bytes / _GB:.0f} GB ({there.name})" if there is not None else ""
    rule = TOO_LARGE if there is not None and peak > there.bytes else PEAK
    yield rule.found(f"about {peak / _GB:.1f} GB at the peak on {case.device}{of}")


def _loaded_here(case: Case) -> Iterator[MemoryPart]:
    """Weights of the models of detectors and rewards, each loaded once however many use it."""
    width = 4 if case.device == "cpu" else 2
    for reference, names in case.model_users.items():
        info = find_model(reference).info
        counted = info.parameters if info is not None else None
        parameters = counted or parameters_by_name(reference)
        if parameters is None:
            continue
        basis = "in its files" if counted else "by its name"
        shown = Path(reference).name if Path(reference).is_absolute() else reference
        yield MemoryPart(
            name=f"model of {', '.join(names)}",
            bytes=parameters * width,
            basis=f"{shown}, {parameters / 1e6:,.0f} million parameters {basis} x {width} bytes, without its batches",
        )
