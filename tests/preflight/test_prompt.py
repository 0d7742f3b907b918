"""What one prompt ends in, and whether the model thinks, before anything runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import paraphrase_rl as prl
from paraphrase_rl.recipe.model_info import FoundModel
from tests.hybrid_model import published_template
from tests.tiny_model import save_tiny_model

CODES = ("PRL016", "PRL017", "PRL018", "PRL019")


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_model(tmp_path_factory.mktemp("tiny") / "tiny-4B")


def with_template(folder: Path, name: str) -> Path:
    (folder / "chat_template.jinja").write_text(published_template(name), encoding="utf-8")
    return folder


def found(model: object, *, backend: str = "trl", **keys: Any) -> list[prl.Finding]:
    findings = prl.check("quickstart", backend=backend, set={"model": str(model), **keys})
    return sorted((row for row in findings if row.code in CODES), key=lambda row: row.code)


def test_the_end_of_one_prompt_is_shown(tiny: Path) -> None:
    [hybrid] = found(with_template(tiny, "qwen3_5_think"))
    assert (hybrid.code, hybrid.severity, hybrid.key) == ("PRL016", "ok", "prompt")
    assert hybrid.evidence.startswith("one prompt ends in '")
    assert hybrid.evidence.endswith(
        r"<|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>\n\n', told enable_thinking: false"
    )
    [plain] = found(with_template(tiny, "llama3"))  # the same folder: what was read before is not shown again
    assert plain.evidence.endswith(r"<|start_header_id|>assistant<|end_header_id|>\n\n'")


def test_a_model_that_cannot_stop_thinking_is_an_error(tiny: Path) -> None:
    [refused] = found(with_template(tiny, "gptoss"))
    assert (refused.code, refused.severity) == ("PRL018", "error")
    assert "thinks before it answers and cannot be told not to" in refused.evidence
    assert "choose a model that can" in refused.remedy
    shown, note = found(tiny, **{"prompt.thinking": True, "sampling.max_tokens": 2048})
    assert shown.evidence.endswith("<|start|>assistant'")
    assert (note.code, note.severity) == ("PRL019", "note")


def test_a_model_that_cannot_chat_is_an_error(tiny: Path) -> None:
    [refused] = found(with_template(tiny, "gemma"))
    assert (refused.code, refused.severity) == ("PRL018", "error")
    assert "System role not supported" in refused.evidence


def test_a_model_that_may_think_is_a_warning(tiny: Path) -> None:
    shown, warned = found(with_template(tiny, "lfm2_2_5"))
    assert shown.code == "PRL016"
    assert (warned.code, warned.severity) == ("PRL019", "warning")
    assert "has no switch" in warned.evidence


@pytest.mark.parametrize(("limit", "severity"), [(512, "warning"), (2048, "note")])
def test_a_thought_needs_room(tiny: Path, limit: int, severity: str) -> None:
    model = with_template(tiny, "qwen3")
    _, said = found(model, **{"prompt.thinking": True, "sampling.max_tokens": limit})
    assert (said.code, said.severity) == ("PRL019", severity)
    assert f"sampling.max_tokens {limit}" in said.evidence


def test_thinking_that_changes_nothing_is_said(tiny: Path) -> None:
    _, said = found(with_template(tiny, "llama3"), **{"prompt.thinking": True})
    assert (said.severity, "does not think: true has no effect" in said.evidence) == ("note", True)


def test_without_a_tokenizer_here_the_price_table_knows_who_always_thinks(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TINKER_API_KEY", "tml-test")
    [refused] = found("openai/gpt-oss-20b", backend="tinker")
    assert (refused.code, refused.severity, refused.key) == ("PRL018", "error", "prompt.thinking")
    assert refused.remedy.startswith("set model to Qwen/Qwen3.6-35B-A3B, which is served")
    monkeypatch.setattr(
        "paraphrase_rl.preflight.prompt.find_model", lambda *_, **__: FoundModel("note", "is downloaded")
    )
    [unseen] = found("Qwen/Qwen3.5-4B", backend="tinker")
    assert (unseen.code, unseen.severity) == ("PRL017", "note")
