"""What training frees stays with the process, and is given back at the end."""

from __future__ import annotations

import platform
import resource
from pathlib import Path

import pytest
import torch
from paraphrase_rl_plugins.backends._heap import freed_memory_kept

pytestmark = pytest.mark.skipif(
    platform.libc_ver()[0] != "glibc", reason="another C library than glibc is left as it is"
)
PAGES = 20_000


def fill() -> int:
    """Fill a tensor and free it; return how often the system was asked for a page."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    torch.ones(PAGES * resource.getpagesize(), dtype=torch.uint8)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before


def held() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1])


def test_freed_memory_is_taken_again_without_the_system() -> None:
    fill()
    before = held()
    with freed_memory_kept():
        fill()
        assert held() - before > PAGES / 2
        assert fill() < PAGES / 10
    assert held() - before < PAGES / 2, "given back"
    fill()
    assert held() - before < PAGES / 2, "as before"
