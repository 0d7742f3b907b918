from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.servers.engine import Engine
from tests.servers.tinker_server import Server, Service
from tests.tiny_model import save_tiny_model

KEY = "tml-a-key-that-must-not-be-seen"


@pytest.fixture(scope="session")
def qwen(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_model(tmp_path_factory.mktemp("tinker") / "tiny-qwen3", qwen=True, tied=False)


@pytest.fixture(scope="session")
def server(qwen: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    running = Server(Service(Engine(str(qwen), tmp_path_factory.mktemp("state")), key=KEY))
    threading.Thread(target=running.serve_forever, daemon=True).start()
    yield running
    running.shutdown()


@pytest.fixture(autouse=True)
def _key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TINKER_API_KEY", KEY)
    monkeypatch.delenv("TINKER_BASE_URL", raising=False)
    monkeypatch.delenv("TINKER_TELEMETRY", raising=False)
