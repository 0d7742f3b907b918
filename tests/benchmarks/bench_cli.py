"""``prl --help`` against a bare ``import click``: best of N in CPU seconds.

Run it: ``python tests/benchmarks/bench_cli.py``. The ratio must stay at or below 3.
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys

REPEATS = 15
LIMIT = 3.0


def cpu_seconds(command: list[str]) -> float:
    """User and system time of one run of ``command``."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env={**os.environ, "PYTHONPATH": ""})
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime


def main() -> int:
    click = min(cpu_seconds([sys.executable, "-c", "import click"]) for _ in range(REPEATS))
    prl = min(cpu_seconds([sys.executable, "-m", "paraphrase_rl", "--help"]) for _ in range(REPEATS))
    print(
        f"import click  {click:.3f} s\nprl --help    {prl:.3f} s\nratio         {prl / click:.2f} (limit {LIMIT:g})"
    )
    return 0 if prl / click <= LIMIT else 1


if __name__ == "__main__":
    sys.exit(main())
