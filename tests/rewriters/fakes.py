"""Rewriters, policies and detectors whose answers can be told in advance."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from paraphrase_rl.files import write_json, write_jsonl
from paraphrase_rl.types import Failure, Rewrite, Rollout


class FakePolicy:
    """Answers with the text, its key and the number of the sample; remembers how it was asked."""

    def __init__(self, model, adapter, thinking=False):
        self.model, self.adapter, self.thinking, self.calls = model, adapter, thinking, []

    def sample(self, conversations, *, n, keys, sampling):
        texts = [conversation[-1]["content"].partition("\n\n")[2] for conversation in conversations]
        if any("CRASH" in text for text in texts):
            raise RuntimeError("boom")
        self.calls.append(
            {
                "system": conversations[0][0]["content"],
                "instruction": conversations[0][-1]["content"].partition("\n\n")[0],
                **sampling.model_dump(),
            }
        )
        return [
            [
                Rollout(
                    group=group,
                    prompt_ids=[1],
                    completion_ids=[2],
                    logprobs=np.zeros(1),
                    text=f"{text}|{key[0]}|{key[1] % 1000}|{sample}",
                    finished=sample == 0,
                )
                for sample in range(n)
            ]
            for group, (text, key) in enumerate(zip(texts, keys, strict=True))
        ]


class Scripted:
    """A rewriter by a function of text, sample and seed; text FAIL fails."""

    def __init__(self, function: Callable[[str, int, int], str], finished: Callable[[str], bool] = bool):
        self.function, self.finished, self.seeds = function, finished, []

    def rewrite(self, texts, n, seed):
        self.seeds.append(seed)
        return [
            Failure(index=i, owner="scripted", kind="refused", message="no")
            if text == "FAIL"
            else [
                Rewrite(text=self.function(text, sample, seed), finished=self.finished(text))
                for sample in range(n)
            ]
            for i, text in enumerate(texts)
        ]


def write_run(folder: Path, *, backend: str, checkpoints: list[dict], recipe: str = "") -> Path:
    """The files of a run that a rewriter reads."""
    folder.mkdir(parents=True)
    (folder / "recipe.yaml").write_text(recipe or "model: tiny\n")
    write_json(folder / "manifest.json", {"backend": backend, "backend_options": {"place": "hall"}})
    write_jsonl(folder / "checkpoints.jsonl", checkpoints)
    for row in checkpoints:
        if "path" in row:
            (folder / row["path"]).mkdir(parents=True)
    return folder
