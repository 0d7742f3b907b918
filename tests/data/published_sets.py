"""Small files in the formats of the published sets, with their known faults."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from pathlib import Path

_NOUNS = """
harbour river stone window letter market garden winter evening teacher doctor village mountain bridge kitchen method
signal network sample theory result measure figure surface energy motion pattern example problem answer
"""
WORDS = tuple(_NOUNS.split())


def prose(name: str, words: int = 60) -> str:
    """A text of so many words of its own."""
    state = sum(map(ord, name)) * 7919 + len(name)
    found = [f"{name.replace(' ', '')} says"]
    for i in range(words - 2):
        state = (state * 1103515245 + 12345 + i) % 2**31
        found.append(WORDS[state // 65536 % len(WORDS)])
    return " ".join(found) + "."


def write_csv(file: Path, header: Sequence[str], rows: Sequence[Sequence[object]]) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("w", encoding="utf-8", newline="") as stream:
        csv.writer(stream).writerows([header, *rows])
    return file


def write_json(file: Path, value: object) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(value), encoding="utf-8")
    return file


def mage(folder: Path, n: int) -> Path:
    """0 is the machine. Every machine text continues a human text: they share their opening."""
    rows: list[tuple[object, ...]] = []
    for i in range(n):
        rows.append((prose(f"mage human {i}"), 1, "cmv_human"))
        rows.append((prose(f"mage machine {i}"), 0, "sci_gen_machine_continuation_gpt-3.5-trubo"))
    write_csv(folder / "train.csv", ("text", "label", "src"), rows)
    write_csv(folder / "valid.csv", ("text", "label", "src"), rows[:2])
    return folder


_RAID = "id adv_source_id source_id model decoding repetition_penalty attack domain title prompt generation"
RAID = tuple(_RAID.split())


def raid_row(
    source: int, model: str, attack: str = "none", domain: str = "news", text: str = ""
) -> tuple[object, ...]:
    name = f"raid {model} no {source} {attack}"
    return (
        name,
        f"h{source}",
        f"h{source}",
        model,
        "greedy",
        "no",
        attack,
        domain,
        "t",
        "p",
        text or prose(name),
    )


def raid(folder: Path, n: int) -> Path:
    """Human rows are attacked too; each human text has two generations."""
    rows = []
    for i in range(n):
        rows += [raid_row(i, model) for model in ("human", "gpt4", "mistral")]
        rows += [raid_row(i, model, "homoglyph") for model in ("human", "gpt4")]
    write_csv(folder / "train.csv", RAID, [*rows, raid_row(n, "gpt4", domain="german")])
    return folder


def detectrl(folder: Path, n: int) -> Path:
    """In the human abstracts a newline was deleted."""
    task = folder / "Benchmark" / "Tasks" / "Task1"
    for domain, glue in (("arxiv", ""), ("writing_prompt", " ")):
        rows = []
        for i in range(n):
            own = f"{domain} {i}"
            human = f"{prose(f'drl human {own}')} And the{glue}{WORDS[i % len(WORDS)]} ended."
            rows.append({"text": human, "label": "human", "data_type": "abstract", "llm_type": "human"})
            ai = f"{prose(f'drl llm {own}')} And the {WORDS[i % len(WORDS)]} ended."
            rows.append({"text": ai, "label": "llm", "data_type": "direct_prompt", "llm_type": "ChatGPT"})
        write_json(task / f"multi_domains_{domain}_train.json", rows)
    return folder


def hc3(folder: Path, n: int) -> Path:
    rows = [
        {
            "question": f"Question {i}?",
            "human_answers": [prose(f"hc3 human {i} {k}") for k in range(2)],
            "chatgpt_answers": [prose(f"hc3 gpt {i}") + "\n"] if i else [],
            "index": None,
            "source": "finance",
        }
        for i in range(n)
    ]
    folder.mkdir(parents=True, exist_ok=True)
    text = "".join(json.dumps(row) + "\n" for row in rows)
    (folder / "all.jsonl").write_text(text, encoding="utf-8")
    (folder / "finance.jsonl").write_text(text, encoding="utf-8")
    return folder


def liang(folder: Path, n: int) -> Path:
    root = folder / "Data_and_Results"
    for part in (
        "Human_Data/TOEFL_real_91",
        "Human_Data/TOEFL_gpt4polished_91",
        "Human_Data/HewlettStudentEssay_real_88",
        "Human_Data/HewlettStudentEssay_GPTsimplify_88",
        "Human_Data/CollegeEssay_real_70",
        "GPT_Data/CollegeEssay_gpt3_31",
        "GPT_Data/CollegeEssay_gpt3PromptEng_31",
    ):
        name = part.partition("/")[2]
        write_json(root / part / "data.json", [{"document": prose(f"{name} {i}")} for i in range(n)])
        write_json(root / part / "name.json", {"name": name})
    return folder


def fast_detect_gpt(folder: Path, n: int) -> Path:
    """The same human documents in both files; an AI text continues the first words of its human text."""
    for model, words in (("davinci", 60), ("gpt-4", 70)):
        human = [prose(f"fdg {i}", words) for i in range(n)]
        opened = [" ".join(text.split()[:20]) for text in human]
        value = {
            "original": human,
            "sampled": [f"{text} {prose(f'{model} {i}', words - 20)}" for i, text in enumerate(opened)],
        }
        write_json(folder / "exp_gpt3to4" / "data" / f"xsum_{model}.raw_data.json", value)
    return folder
