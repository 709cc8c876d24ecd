"""What the machine has to offer: cores, and memory that was freed but not given back yet."""

from __future__ import annotations

import ctypes
import os
import sys


def cores() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def return_freed_memory() -> None:
    """Give it back where the C library knows how (glibc: malloc_trim); elsewhere do nothing.

    Compiling one solver leaves some 200 MB of small freed pieces behind, which glibc keeps for later.
    """
    if sys.platform != "linux":
        return
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
