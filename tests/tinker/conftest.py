"""Two servers that speak the protocol and really train: our compact one, and SkyRL's."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.servers.engine import Engine
from tests.servers.skyrl_process import SkyRL, installed
from tests.servers.tinker_server import Server, Service
from tests.tiny_model import save_tiny_model

KEY = "tml-a-key-that-must-not-be-seen"
SERVERS = ["compact", pytest.param("skyrl", marks=[pytest.mark.skyrl, pytest.mark.xdist_group("skyrl")])]


@pytest.fixture(scope="session")
def qwen(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_model(tmp_path_factory.mktemp("tinker") / "tiny-qwen3", qwen=True, tied=False)


@pytest.fixture(scope="session")
def compact(qwen: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    running = Server(Service(Engine(str(qwen), tmp_path_factory.mktemp("state")), key=KEY))
    threading.Thread(target=running.serve_forever, daemon=True).start()
    yield running
    running.shutdown()


@pytest.fixture(scope="session")
def skyrl(qwen: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SkyRL]:
    if not installed():
        pytest.skip("SkyRL's server is not installed: make skyrl")
    running = SkyRL(qwen, tmp_path_factory.mktemp("skyrl"))
    yield running
    running.stop()


@pytest.fixture(scope="session", params=SERVERS)
def server(request: pytest.FixtureRequest) -> Server | SkyRL:
    """Each in turn."""
    running: Server | SkyRL = request.getfixturevalue(request.param)
    return running


@pytest.fixture(autouse=True)
def _key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TINKER_API_KEY", KEY)
    monkeypatch.delenv("TINKER_TELEMETRY", raising=False)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Any:
    """What SkyRL's server logged goes with the report of a test that failed on it."""
    report = yield
    running = getattr(item, "funcargs", {}).get("server")
    if report.failed and isinstance(running, SkyRL):
        report.sections.append((f"{running.log}", running.tail()))
    return report
