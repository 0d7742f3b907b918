"""Estimate of a step of the ``trl`` backend on its device: memory by part, and seconds.

On a CPU the peak of two steps of SmolLM2-135M was 1.91 and 3.64 GB above that of the imports (8 rollouts of 48 tokens,
16 of 112), where this says 1.94 and 3.64: three numbers for each attention score and eight hidden states for each layer
were fitted to them. Both were measured when the logits of all positions were kept at once; without these, and with
merged weights kept throughout, no peak has been measured. On a GPU the parts are counted from what the code keeps, and
have been compared with no peak. Linear attention (Qwen3.5) is counted by its states and projections; neither its memory
nor its seconds have been measured.
"""

from __future__ import annotations

from paraphrase_rl.plugin import Estimate, Load, MemoryPart, ModelShape, Recipe, RecipeError
from paraphrase_rl_plugins.backends._sampler_choice import takes_vllm

TILE = (4096, 32768)
"""Positions and tokens of one tile of logits in TRL's fused unembedding."""
PART = 2**23
"""Logits of one part on a CPU, as ``_unembedding`` computes them."""
FULL, LINEAR = ("q_proj", "k_proj", "v_proj"), ("in_proj_qkv", "in_proj_z")
"""Projections that attention, and linear attention, are computed from."""
ON_CPU = {"sampling": 1.6e-9, "update": 9e-11}
"""Seconds for each parameter and decoding step, and for each parameter and token of an update (reference, forward,
backward, log-probabilities afterwards): the 107 CPU seconds of a step of SmolLM2-135M in fp32, without AMX."""
ON_GPU = {"sampling": 4.9e-12, "update": 1.2e-13}
"""The same on one H100 in bf16: shape of Qwen3-4B, 32 rollouts of 256 tokens, 5.0 s and 4.0 s of a step of 9.0 s."""
FASTER_CPU = 0.5
"""Share of that time on two cores with AVX-512 bf16, where a step takes 45 s; with AMX it has not been measured."""


def estimate(recipe: Recipe, shape: ModelShape, load: Load) -> Estimate:
    """Estimate a step of a recipe with a policy of this shape."""
    on_cpu, vllm = load.device == "cpu", _takes_vllm(recipe, load)
    return Estimate(
        memory=(
            *_throughout(recipe, shape, on_cpu),
            *(_by_vllm(shape, load) if vllm else _by_itself(recipe, shape, load)),
            *_update(recipe, shape, load),
        ),
        seconds=_seconds(recipe, shape, load),
        basis="scaled from "
        + (
            "the quickstart's step (135M, 32 rollouts of up to 192 tokens): 45 s on two cores in bf16, 107 s on one"
            if on_cpu
            else "9.0 s on one H100 (shape of Qwen3-4B, 32 rollouts of 256 tokens, November 2026)"
        )
        + " by parameters and tokens; rewards and evaluations are not counted",
    )


def _throughout(recipe: Recipe, shape: ModelShape, on_cpu: bool) -> list[MemoryPart]:
    width = 4 if on_cpu else 2
    adapter = shape.adapter_parameters(recipe.lora.rank, recipe.lora.target_modules or None)
    said = f"{adapter / 1e6:,.1f} million parameters of rank {recipe.lora.rank}"
    copied = MemoryPart(
        name="merged",
        bytes=(2 * shape.linear_parameters + 3 * shape.vocabulary * shape.hidden) * width,
        basis="copies for products: two of the linear layers with the adapter added, up to three of the unembedding",
    )
    return [
        MemoryPart(
            name="weights",
            bytes=shape.parameters * width,
            basis=f"{shape.parameters / 1e9:.3g} billion parameters x {width} bytes ({'fp32' if on_cpu else 'bf16'})",
        ),
        MemoryPart(name="adapter", bytes=adapter * 8, basis=f"{said}: fp32, and as much for gradients"),
        MemoryPart(name="optimizer", bytes=adapter * 8, basis=f"Adam: two fp32 numbers for each of {said}"),
        *([copied] if on_cpu else []),
    ]


def _takes_vllm(recipe: Recipe, load: Load) -> bool:
    try:
        return takes_vllm(load.options.sampler, recipe, load.device)
    except RecipeError:
        return True  # chosen, though it cannot be here: refused by the check of the backend


def _by_vllm(shape: ModelShape, load: Load) -> list[MemoryPart]:
    copy, share = shape.parameters * 2, load.options.vllm_memory
    if load.device_bytes is None:
        return [MemoryPart(name="vLLM", bytes=copy, basis="its copy of the weights, without keys and values")]
    basis = f"{share:.0%} of the card (option vllm_memory), {copy / 1e9:.2f} GB of it a copy of the weights"
    return [MemoryPart(name="vLLM", bytes=share * load.device_bytes, basis=basis)]


def _by_itself(recipe: Recipe, shape: ModelShape, load: Load) -> list[MemoryPart]:
    width = 4 if load.device == "cpu" else 2
    rows = recipe.training.batch_size * recipe.training.group_size
    length = load.longest_prompt + recipe.sampling.max_tokens
    a_token = 2 * shape.attention_layers * shape.key_value_heads * shape.head_dim * width
    linear = shape.linear_attention
    states = linear.layers * linear.state * 4 if linear else 0
    cache = rows * (length * a_token + states)
    logits = 4 * rows * shape.vocabulary * 4
    kept = "keys and values" if linear is None else "keys, values and states"
    return [
        MemoryPart(
            name="sampler",
            bytes=cache + logits,
            phase="sampling",
            basis=f"{kept} of {rows} rollouts of up to {length:,.0f} tokens, logits of one token each",
        )
    ]


def _update(recipe: Recipe, shape: ModelShape, load: Load) -> list[MemoryPart]:
    group, longest = recipe.training.group_size, recipe.sampling.max_tokens
    tokens = load.longest_prompt + group * longest
    common = 8 * shape.hidden + 5 * shape.intermediate
    full, linear = (common + 3 * _projected(shape, names) for names in (FULL, LINEAR))
    if load.device == "cpu":
        scores = 3 * group * longest * (load.longest_prompt + longest) * shape.heads
        without = shape.layers - shape.attention_layers
        activations = (shape.attention_layers * (tokens * full + scores) + without * tokens * linear) * 4
        logits: float = 2 * PART * 4
        kept, head = f"all layers, {tokens:,.0f} tokens of a prompt's group", "a part"
    else:
        activations = (shape.layers * shape.hidden * 2 + max(full, linear) * 4) * tokens
        logits = 2 * min(tokens, TILE[0]) * min(shape.vocabulary, TILE[1]) * 4
        kept, head = (
            f"inputs of the layers, and one layer at a time, {tokens:,.0f} tokens of a prompt's group",
            "a tile",
        )
    return [
        MemoryPart(name="activations", bytes=activations, phase="update", basis=kept),
        MemoryPart(
            name="logits",
            bytes=logits,
            phase="update",
            basis=f"{head} of {group} x {longest} positions x {shape.vocabulary:,} tokens",
        ),
    ]


def _projected(shape: ModelShape, names: tuple[str, ...]) -> int:
    """Values of a token that one layer's attention is computed from."""
    return sum(shape.linear_layers[name][2] for name in names if name in shape.linear_layers)


def _seconds(recipe: Recipe, shape: ModelShape, load: Load) -> tuple[float, float]:
    rate = ON_CPU if load.device == "cpu" else ON_GPU
    prompts, rows = recipe.training.batch_size, recipe.training.batch_size * recipe.training.group_size

    def seconds(completion: float) -> float:
        tokens = prompts * load.prompt + rows * completion
        return shape.parameters * (rate["sampling"] * completion + rate["update"] * tokens)

    most = recipe.sampling.max_tokens
    expected = seconds(min(load.completion, most))
    return (expected * FASTER_CPU if load.device == "cpu" else expected), seconds(most)
