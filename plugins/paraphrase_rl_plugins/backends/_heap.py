"""Memory that training on a CPU frees and takes again at every group.

By default glibc gives large tensors back to the system as soon as they are freed. The system clears each page before it
hands it out again: of SmolLM2's activations that takes a tenth of the CPU time of a forward and a backward pass.
"""

from __future__ import annotations

import ctypes
import platform
from collections.abc import Iterator
from contextlib import contextmanager

M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4
"""Numbers of the settings in glibc's malloc.h."""
DEFAULTS = {M_TRIM_THRESHOLD: 128 * 1024, M_MMAP_MAX: 65536}


@contextmanager
def freed_memory_kept() -> Iterator[None]:
    """Keep what is freed inside a ``with`` block for the process, and give it back at the end.

    The most memory that the process has taken at once stays taken until then, as far as it is not in use elsewhere.
    With another C library than glibc nothing is changed.
    """
    if platform.libc_ver()[0] != "glibc":
        yield
        return
    libc = ctypes.CDLL(None)
    libc.mallopt(M_TRIM_THRESHOLD, -1)
    libc.mallopt(M_MMAP_MAX, 0)
    try:
        yield
    finally:
        for setting, value in DEFAULTS.items():
            libc.mallopt(setting, value)
        libc.malloc_trim(ctypes.c_size_t(0))
