"""``prl export``, and which backend a resumed run goes on with."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from click.testing import CliRunner, Result
from safetensors.torch import load_file

from paraphrase_rl.cli.main import cli
from paraphrase_rl.runs.backend import ChosenBackend, backend_of_run
from tests.tinker.runs import backend, short
from tests.training.runs import training_run


def export(*arguments: object) -> Result:
    return CliRunner().invoke(cli, ["export", *map(str, arguments)])


def manifest(folder: Path, name: str, **options: object) -> None:
    folder.mkdir(exist_ok=True)
    (folder / "recipe.yaml").write_text("model: Qwen/Qwen3-4B-Instruct-2507\n")
    (folder / "manifest.json").write_text(json.dumps({"backend": name, "backend_options": options}))


def test_a_run_at_the_service_is_downloaded(qwen: Path, server: Any, tmp_path: Path) -> None:
    run = training_run(tmp_path / "run", short(qwen, training={"max_steps": 2}))
    backend(server).train(run)
    run.directory.close()
    manifest(run.folder, "tinker", base_url=server.url)
    result = export(run.folder)
    assert result.exit_code == 0, result.output
    written = tmp_path / "run" / "adapter-2"
    assert result.stdout == f"{written}\n"
    assert {file.name for file in written.iterdir()} == {
        "README.md",
        "adapter_config.json",
        "adapter_model.safetensors",
    }
    config = json.loads((written / "adapter_config.json").read_text())
    assert config["base_model_name_or_path"] == "Qwen/Qwen3-4B-Instruct-2507", "as the recipe names it"
    weights = load_file(written / "adapter_model.safetensors")
    assert len(weights) == 2 * 7 * 2, "A and B of seven layers in two blocks"
    assert any(w.abs().max() > 0 for name, w in weights.items() if "lora_B" in name)
    again = export(run.folder)
    assert (again.exit_code, again.stderr.splitlines()[-2]) == (2, f"error: {written} already exists")


def test_a_run_on_this_machine_is_copied_without_its_training_state(tmp_path: Path) -> None:
    folder = tmp_path / "run" / "checkpoints" / "checkpoint-4"
    folder.mkdir(parents=True)
    for name in ("adapter_config.json", "adapter_model.safetensors", "optimizer.pt", "trainer_state.json"):
        (folder / name).write_text("{}")
    manifest(tmp_path / "run", "trl")
    rows = [
        {"step": 2, "kind": "periodic", "path": "checkpoints/gone"},
        {"step": 4, "kind": "periodic", "path": "checkpoints/checkpoint-4"},
    ]
    (tmp_path / "run" / "checkpoints.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    result = export(tmp_path / "run", "--out", tmp_path / "out" / "adapter")
    assert result.exit_code == 0, result.output
    copied = {file.name for file in (tmp_path / "out" / "adapter").iterdir()}
    assert copied == {"README.md", "adapter_config.json", "adapter_model.safetensors"}
    missing = export(tmp_path / "run", "--step", 2)
    assert missing.exit_code == 2
    assert missing.stderr == f"error: {tmp_path / 'run'} has no checkpoint of step 2\nhint: available: 4\n"


def test_a_resumed_run_goes_on_where_it_began(tmp_path: Path) -> None:
    manifest(tmp_path / "run", "tinker", timeout_s=60.0, ttl_days=None)
    began = backend_of_run(tmp_path / "run", {"timeout_s": 5})
    assert began == ChosenBackend("tinker", {"timeout_s": 5, "ttl_days": None})


def test_an_option_without_a_value_is_refused(tmp_path: Path) -> None:
    manifest(tmp_path / "run", "trl")
    result = export(tmp_path / "run", "-o", "timeout_s")
    assert result.exit_code == 2
    assert "expected KEY=VALUE" in result.stderr
