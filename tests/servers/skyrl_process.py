"""SkyRL's Tinker server as a process beside the tests; see ``skyrl_server.py``."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from contextlib import suppress
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PYTHON = ROOT / ".venv-skyrl" / "bin" / "python"
CACHE = ROOT / ".cache" / "skyrl"
READY = "Starting background engine..."
"""What the worker logs when it begins to take requests."""
START_SECONDS = 300.0


def installed() -> bool:
    """Whether ``make skyrl`` has been run."""
    return (PYTHON.parents[1] / "ready").exists()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class SkyRL:
    """A running server.

    Args:
        model: folder of the base model, which is also its name at the server.
        folder: of its database, checkpoints and log.
    """

    patience = 300.0
    """Seconds an answer may take: every new shape is compiled first."""

    def __init__(self, model: Path, folder: Path) -> None:
        self.log = folder / "server.log"
        self.url = f"http://127.0.0.1:{(port := free_port())}"
        script = ROOT / "tests" / "servers" / "skyrl_server.py"
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                [PYTHON, "-P", script, model, f"--port={port}", f"--folder={folder}"],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                env={
                    **os.environ,
                    "JAX_PLATFORMS": "cpu",
                    "JAX_COMPILATION_CACHE_DIR": str(CACHE / "jax"),
                    "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
                    "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
                },
            )
        try:
            self._wait_until_ready()
        except BaseException:
            self.kill()
            raise

    def _wait_until_ready(self) -> None:
        end = time.monotonic() + START_SECONDS
        while READY not in self.log.read_text():
            if self.process.poll() is not None or time.monotonic() > end:
                raise RuntimeError(f"SkyRL's server did not start:\n{self.tail()}")
            time.sleep(0.2)

    def tail(self, lines: int = 60) -> str:
        """The end of its log."""
        return "\n".join(self.log.read_text().splitlines()[-lines:])

    def stop(self) -> None:
        """End it and its worker."""
        self.process.terminate()
        try:
            self.process.wait(20)
        finally:
            self.kill()

    def kill(self) -> None:
        """End it and its worker at once."""
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
