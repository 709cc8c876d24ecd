"""Memory that was freed, and that the system does not have back yet."""

from __future__ import annotations

import ctypes
import sys


def return_freed_memory() -> None:
    """Give it back where the C library knows how (glibc: malloc_trim); elsewhere do nothing.

    Compiling one solver leaves some 200 MB of small freed pieces behind, which glibc keeps for later.
    """
    if sys.platform != "linux":
        return
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
