"""Memory that training on a CPU frees and takes again at every group.

By default glibc gives much of what is freed back to the system, which clears each page before it hands it out again.
"""

from __future__ import annotations

import ctypes
import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager

import torch

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
"""Numbers of the settings in glibc's malloc.h."""
LARGEST = 32 * 2**20
"""The most that M_MMAP_THRESHOLD may be, to which glibc raises it by itself as tensors are freed."""


@contextmanager
def freed_memory_kept(device: torch.device) -> Iterator[None]:
    """Keep tensors of up to 32 MiB that are freed inside a ``with`` block for the process; give them back at its end.

    Until then the process holds about the most memory that it used at once. Nothing is changed where the device is no
    CPU, where the C library is not glibc, or where the environment has settings for its allocation of memory.
    """
    chosen = any(name == "GLIBC_TUNABLES" or name.startswith("MALLOC_") for name in os.environ)
    if device.type != "cpu" or platform.libc_ver()[0] != "glibc" or chosen:
        yield
        return
    libc = ctypes.CDLL(None)
    libc.mallopt(M_MMAP_THRESHOLD, LARGEST)
    libc.mallopt(M_TRIM_THRESHOLD, -1)
    try:
        yield
    finally:
        # As glibc sets it by itself beside the largest M_MMAP_THRESHOLD.
        libc.mallopt(M_TRIM_THRESHOLD, 2 * LARGEST)
        libc.malloc_trim(ctypes.c_size_t(0))
