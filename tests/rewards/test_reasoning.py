"""`format` refuses reasoning that leaked into a rewrite, in the shape of every family, and no prose about it."""

from __future__ import annotations

import time

import pytest

from tests.rewards.samples import PARAPHRASE, SOURCE
from tests.rewards.test_format import refused_by

THOUGHT = "It counts boats. Keep 214 and June."

MARKED = {
    # what the judged text holds: opened and closed, never opened, never closed
    "Qwen3": f"<think>\n{THOUGHT}\n</think>\n\n{PARAPHRASE}",
    "Qwen3.5, opened by the prompt": f"{THOUGHT}\n</think>\n\n{PARAPHRASE}",
    "cut": f"<think>\n{THOUGHT} {PARAPHRASE}",
    "empty": f"<think>\n\n</think>\n\n{PARAPHRASE}",
    "capitals": f"<Think>{THOUGHT}</Think>{PARAPHRASE}",
    "spaces": f"< think >{THOUGHT}< / think >{PARAPHRASE}",
    "hidden": f"<th\u200bink>{THOUGHT}</th\u200bink>{PARAPHRASE}",
    "fullwidth": f"＜think＞{THOUGHT}＜/think＞{PARAPHRASE}",
    "escaped": f"&lt;think&gt;{THOUGHT}&lt;/think&gt;{PARAPHRASE}",
    "thinking": f"<thinking>{THOUGHT}</thinking>{PARAPHRASE}",
    "reasoning": f"<reasoning>{THOUGHT}</reasoning>{PARAPHRASE}",
    "reason": f"<reason>{THOUGHT}</reason>{PARAPHRASE}",
    "thought": f"<thought>{THOUGHT}</thought>{PARAPHRASE}",
    "reflection": f"{PARAPHRASE} <reflection>{THOUGHT}</reflection>",
    "scratchpad": f"<scratchpad>{THOUGHT}</scratchpad>{PARAPHRASE}",
    "analysis": f"<analysis>{THOUGHT}</analysis>{PARAPHRASE}",
    "with an attribute": f'<think duration="3">{THOUGHT}</think>{PARAPHRASE}',
    "Seed": f"<seed:think>{THOUGHT}</seed:think>{PARAPHRASE}",
    "MiniMax": f"<mm:think>{THOUGHT}</mm:think>{PARAPHRASE}",
    "Hunyuan": f"<think:opensource>{THOUGHT}</think:opensource>{PARAPHRASE}",
    "answer tags": f"{THOUGHT}\n<answer>{PARAPHRASE}</answer>",
    "Mistral": f"[THINK]{THOUGHT}[/THINK]{PARAPHRASE}",
    "Kimi-VL": f"◁think▷{THOUGHT}◁/think▷{PARAPHRASE}",
    "Kimi K3": f"<|open|>think<|sep|>{THOUGHT}<|open|>response<|sep|>{PARAPHRASE}",
    "Cohere": f"<|START_THINKING|>{THOUGHT}<|END_THINKING|>{PARAPHRASE}",
    "OpenThinker": f"<|begin_of_thought|>{THOUGHT}<|end_of_thought|>{PARAPHRASE}",
    "gpt-oss": f"<|channel|>analysis<|message|>{THOUGHT}<|end|><|start|>assistant"
    f"<|channel|>final<|message|>{PARAPHRASE}",
    "gpt-oss, special tokens removed": f"analysisWe keep the boats. {THOUGHT}assistantfinal{PARAPHRASE}",
    "Gemma": f"<|channel>thought\n{THOUGHT}<channel|>{PARAPHRASE}",
    "Gemma, special tokens removed": f"thought\n{THOUGHT}\n{PARAPHRASE}",
    "gpt-oss, the last channel's name alone": f"final{PARAPHRASE}",
    "Anthropic": f"<antThinking>{THOUGHT}</antThinking>{PARAPHRASE}",
    "the field of an API": f"<reasoning_content>{THOUGHT}</reasoning_content>{PARAPHRASE}",
    "the field of another": f"<reasoningContent>{THOUGHT}</reasoningContent>{PARAPHRASE}",
    "internal": f"<internal>{THOUGHT}</internal>{PARAPHRASE}",
    "chain of thought": f"<chain_of_thought>{THOUGHT}</chain_of_thought>{PARAPHRASE}",
    "Open WebUI": f'<details type="reasoning" done="true">\n{THOUGHT}\n</details>\n{PARAPHRASE}',
    "a class": f'<div class="thinking">{THOUGHT}</div>{PARAPHRASE}',
    "full-width bars": f"<｜begin▁of▁think｜>{THOUGHT}<｜end▁of▁think｜>{PARAPHRASE}",
    "full-width bars in quotation marks": f"‹｜begin▁of▁think｜›{THOUGHT}‹｜end▁of▁think｜›{PARAPHRASE}",
    "bars in mixed marks": f"‹｜begin▁of▁think｜>{THOUGHT}‹｜end▁of▁think｜>{PARAPHRASE}",
    "token thinking": f"<|thinking|>{THOUGHT}<|/thinking|>{PARAPHRASE}",
    "token reasoning": f"<|reasoning|>{THOUGHT}<|answer|>{PARAPHRASE}",
    "token begin_think": f"<|begin_think|>{THOUGHT}<|end_think|>{PARAPHRASE}",
    "in brackets": f"[Thinking] {THOUGHT}\n\n{PARAPHRASE}",
    "heading": f"### Thinking\n{THOUGHT}\n\n{PARAPHRASE}",
    "heading in bold": f"**Reasoning**\n\n{THOUGHT}\n\n{PARAPHRASE}",
    "heading in bold, with a colon": f"{PARAPHRASE}\n\n**Thought process:**\n{THOUGHT}",
    "Ollama": f"Thinking...\n{THOUGHT}\n...done thinking.\n\n{PARAPHRASE}",
    "Ollama, opened by the prompt": f"{THOUGHT}\n...done thinking.\n\n{PARAPHRASE}",
    "a duration": f"Thought for 3 seconds\n{PARAPHRASE}",
    "a longer duration": f"*Thought for 1m 12s*\n\n{PARAPHRASE}",
    "a vague duration": f"Thought for a few seconds\n\n{PARAPHRASE}",
    "a played thought": f"*thinks* It counts boats. {PARAPHRASE}",
    "a longer played thought": f"*ponders for a moment* {PARAPHRASE}",
    "Apriel": f"Here are my reasoning steps:\n{THOUGHT}\n[BEGIN FINAL RESPONSE]\n{PARAPHRASE}",
}
PREFACES = [
    "Okay, the user wants me to paraphrase the given text. ",
    "Okay, so the user provided a text about a harbour. ",
    "Okay, so I need to paraphrase this text about Port Merrow. ",
    "Okay, let me think. ",
    "Okay, let's tackle this. ",
    "Alright, let me break this down. ",
    "Alright, so I have to reword this passage without changing the facts. ",
    "Hmm, the user wants something natural. ",
    "Hmm, let me see what the main points are. ",
    "Got it, let's rephrase this step by step. ",
    "The user wants a paraphrase of a short text. ",
    "The user is asking me to rewrite the text. ",
    "The user asked me to keep its meaning. ",
    "User wants a paraphrase. ",
    "This user provided a passage to be rephrased. ",
    "We need to paraphrase the text. ",
    "We need to produce a paraphrase, keep the meaning. ",
    "We are asked to paraphrase a text about boats. ",
    "Need to paraphrase. Keep 214. ",
    "First, I need to rephrase the first sentence. ",
    "So I should rephrase it and keep 214. ",
    "Let me think. ",
    "Let me think about how to rephrase this. ",
    "Let me think step by step. ",
    "Let's think step by step. ",
    "Let me start by analyzing the text. ",
    "Let me start by paraphrasing the first sentence. ",
    "I'll think this through. ",
    "I will analyze the text first. Let me break it down. ",
    "My task is to rewrite the text. ",
    "Task: paraphrase the text.\n",
    "Thinking Process:\n\n1.  **Analyze the Request:** ",
    "**Thinking:** ",
    "Thought process: ",
    "My reasoning: ",
    "Chain of thought: ",
    "Internal monologue: ",
    "Here's a thinking process that leads to the suggested rewrite:\n\n",
    "Here is my thought process: ",
    "1. **Analyze the request:** ",
    "Understanding the task: ",
    "“Okay, the user wants it so. ",
    "*   Okay, the user wants ",
    "Let me see. I should keep the meaning and change the words. ",
    "Let me see. I should change the wording. ",
    "Let me see. I should keep the number. ",
    "Let me see. I should say it differently. ",
    "Let me think, how can I say this in other words? ",
    "Let me think how to put this. ",
    "Step 1: Identify the key points. ",
    "**Step 1:** Read the text. ",
    "Step 1: Rephrase the first sentence. ",
    "I need to keep the meaning and the number. ",
    "I need to keep the meaning of the text. ",
    "We must keep meaning. ",
    "I should make sure to preserve the original meaning. ",
    "We should vary the sentence structure. ",
    "The text says that boats were counted in June. So I can say: ",
    "The passage is about boats. Now we need to rewrite it: ",
    "Voyons, l'utilisateur demande une paraphrase. ",
    "Voyons voir… l'utilisateur parle de bateaux. ",
    "Mal sehen, der Nutzer möchte es natürlich. ",
    "Veamos, el usuario habla de barcos. ",
    "Vediamo, l'utente chiede una parafrasi. ",
    "L'utente vuole che io riscriva il testo. ",
    "Vejamos, o usuário pediu uma paráfrase. ",
    "好的，用户希望我改写这段文字。",
    "嗯，用户要求我保持原意。",
    "Okay, der Nutzer möchte eine Umformulierung. ",
    "D'accord, l'utilisateur veut une paraphrase. ",
    "Bien, el usuario quiere una paráfrasis. ",
    "Хорошо, пользователь просит перефразировать текст. ",
    "ユーザーは文章の言い換えを求めています。",
]
ASIDES = [
    " Wait, the user said to keep the meaning.",
    " Wait, I should keep the number.",
    " Hmm, let me rephrase that.",
    "\n\nFinal answer: it is done.",
    "\nFinal version:\n",
    "\nDraft 2: ",
    "\n\nSecond attempt: ",
    " The user asked me to paraphrase, so this is it.",
]

PROSE = [
    "Let me think about what my father taught me of rivers. ",
    "“Let me think,” said the harbour master. ",
    "Thinking is hard, and thinking about thinking is harder. ",
    "Reasoning by analogy is what philosophers call it. ",
    "Okay, so nobody came. ",
    "Okay, I have to admit that I was wrong. ",
    "Alright, we need to talk about the pier. ",
    "We need to rewrite the constitution, the senator said. ",
    "We should rewrite history, she thought. ",
    "I have to write about what I think. ",
    "The user wants to save a file and clicks on the button. ",
    "The user is shown a window; the user's request is then sent to the server. ",
    "A user asked for a refund. ",
    "First, the user gives consent. Then the program starts. ",
    "The thought process of a jury is hard to follow. ",
    "His thoughts wandered; her reasoning did not. ",
    "To paraphrase Mark Twain, the reports were exaggerated. ",
    "The model's chain of thought was hidden from its users. ",
    "Let us think of the people who waited. ",
    "Let me explain why the boats came. ",
    "Let's begin by reading the tides. ",
    "Analysis of the data took a year. ",
    "She wrote a reflection on the plan, and he an answer. ",
    "Wait, he said, let me look. ",
    "Hold on to the rail. ",
    "The final version of the report has 300 pages. ",
    "My goal is to sail home. ",
    "Our task is to count boats. ",
    "Must everything change? ",
    "Understanding the sea takes a lifetime. ",
    "So the story goes, and so we think. ",
    "First, we need to think about the children. ",
    "I think, therefore I am. ",
    "I need to keep my promise. ",
    "I need to keep the money, he said. ",
    "We must keep the faith. ",
    "We must keep meaning to our lives. ",
    "We must preserve the meaning of marriage, the senator said. ",
    "I should use my own words more often, she wrote. ",
    "I should change the tyres before winter. ",
    "Let me see the letter, she said. ",
    "Let me see. I should be home by noon. ",
    "Let me see. I should keep the boat. ",
    "Okay, we must keep the numbers down. ",
    "We should put it to a vote. ",
    "Let me see, I should have kept the boat. ",
    "Let me think, how many boats were there? ",
    "Let me think, how did he come home? ",
    "Thought for a moment he had won. ",
    "Thought for a moment\nof the boats that never came. ",
    "The form was marked <internal use only> in red. ",
    "Thought for a few seconds is worth more than an hour of talk. ",
    "Thinking... that is what he called it. ",
    "*Thinking* is hard, and so is *reasoning*. ",
    "He thinks* that he won. ",
    "Step 1: Preheat the oven. ",
    "Step 1: Identify the leak and close the valve. ",
    "Step 1: Read the instructions. ",
    "Step one: find the main road. ",
    "The text says that God is love. So we can say that he forgives. ",
    "The passage describes a storm, and I can say that it was one. ",
    "Final score: two to one. ",
    "The final Englishmen left in June. ",
    "If a < b, reason > habit. ",
    "A <reasonable> price, she wrote, and <a thoughtful reader> agreed. ",
    "Voyons, le port est plein. ",
    "L'utilisateur enregistre le fichier. ",
    "Vediamo il porto. ",
    "Der Nutzer möchte eine Datei speichern. ",
    "用户可以保存文件。",
]


@pytest.mark.parametrize("leak", MARKED.values(), ids=MARKED)
def test_marks_of_every_family(leak: str) -> None:
    assert "no_reasoning" in refused_by(leak)


@pytest.mark.parametrize("preface", PREFACES)
def test_thinking_aloud_before_the_rewrite(preface: str) -> None:
    assert "no_reasoning" in refused_by(preface + PARAPHRASE)


@pytest.mark.parametrize("aside", ASIDES)
def test_thinking_aloud_within_and_after_the_rewrite(aside: str) -> None:
    assert "no_reasoning" in refused_by(PARAPHRASE + aside)


@pytest.mark.parametrize("sentence", PROSE)
def test_prose_about_thinking_is_prose(sentence: str) -> None:
    assert "no_reasoning" not in refused_by(sentence + PARAPHRASE)
    assert "no_reasoning" not in refused_by(f"{PARAPHRASE} {sentence}")


@pytest.mark.parametrize("leak", [*list(MARKED.values())[:6], "Thinking: fast and slow. ", "Let me think. "])
def test_what_the_source_says_a_rewrite_may_say(leak: str) -> None:
    assert "no_reasoning" not in refused_by(leak + PARAPHRASE, leak + SOURCE)


def test_reasoning_alone_is_named() -> None:
    assert refused_by(f"[/THINK] {PARAPHRASE}") == {"no_reasoning"}
    assert refused_by(PARAPHRASE) == set()


@pytest.mark.parametrize(
    "hostile",
    [
        "<" * 50_000,
        "<a" * 25_000,
        "<a=" * 20_000,
        "*thinks " * 15_000,
        "okay, " * 20_000,
        "let me " * 15_000,
        "wait " * 20_000,
        "[/" * 40_000,
    ],
)
def test_it_takes_time_linear_in_the_text(hostile: str) -> None:
    started = time.process_time()
    refused_by(hostile)
    once = time.process_time() - started
    started = time.process_time()
    refused_by(hostile * 4)
    assert time.process_time() - started < 12 * once + 0.5
