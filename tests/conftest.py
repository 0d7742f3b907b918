"""Shared by all tests: one cache of converted models inside the repository, no network, one thread a process."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
os.environ["PRL_HOME"] = str(ROOT / ".cache" / "prl")
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TINKER_BASE_URL"] = "http://127.0.0.1:9"  # nobody listens there: no test asks the hosted service
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ["TOKENIZERS_PARALLELISM"] = "false"
# `precision: auto` means fp32 on every machine that tests run on, also on one that multiplies bf16 faster: what a test
# expects of numbers is then the same everywhere, and a test of bf16 asks for it.
os.environ["ONEDNN_MAX_CPU_ISA"] = "AVX512_CORE_VNNI"

import pytest  # noqa: E402
from hypothesis import settings  # noqa: E402

# The machine may be busy: a slow example is not a wrong one. The gate repeats itself; every other run looks further.
settings.register_profile("prl", deadline=None, derandomize="CI" in os.environ)
settings.load_profile("prl")

SHARED_DATA = ROOT.parent / "shared" / "data"


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Real labelled texts that stand beside some checkouts; the product and its tests need none of them."""
    if not SHARED_DATA.is_dir():
        pytest.skip("../shared/data is not here: a check on real labelled texts is left out")
    return SHARED_DATA


@pytest.fixture(autouse=True)
def _no_plugin_files() -> Iterator[None]:
    """A command that a test runs in this process names its plug-in files to this process alone; the next has none."""
    from paraphrase_rl.plugin.given import VARIABLE

    before = os.environ.get(VARIABLE)
    yield
    if os.environ.get(VARIABLE) != before:
        from paraphrase_rl.plugin.registry import default_registry

        os.environ.pop(VARIABLE, None)
        if before is not None:
            os.environ[VARIABLE] = before
        default_registry.cache_clear()
