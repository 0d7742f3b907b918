"""What training frees stays with the process, and is given back at the end."""

from __future__ import annotations

import json
import platform
import subprocess
import sys

import pytest

GLIBC = platform.libc_ver()[0] == "glibc"

# In a process of its own: what others have freed before may be taken again.
HELD = """
import json, resource, sys
from pathlib import Path
import torch
from paraphrase_rl_plugins.backends._heap import freed_memory_kept

def held():
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize() / 2**20

before = held()
with freed_memory_kept(torch.device(sys.argv[1])):
    parts = [torch.ones(2**22) for _ in range(20)]  # 320 MiB
    del parts
    within = held()
after = held()
print(json.dumps([within - before, after - before]))
"""


@pytest.mark.skipif(not GLIBC, reason="another C library than glibc is left as it is")
@pytest.mark.parametrize(
    ("device", "environment", "kept"),
    [("cpu", {}, True), ("meta", {}, False), ("cpu", {"MALLOC_TRIM_THRESHOLD_": "1000000"}, False)],
    ids=["cpu", "another device", "settings of the user"],
)
def test_freed_memory_is_kept_inside_the_block(
    device: str, environment: dict[str, str], kept: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    out = subprocess.run([sys.executable, "-c", HELD, device], check=True, stdout=subprocess.PIPE).stdout
    within, after = json.loads(out)
    assert (within > 200) == kept
    assert after < 100
