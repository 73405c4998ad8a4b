"""What the host has freed goes back to the system.

The C library keeps large blocks that were freed once for the next of their size: after a few
uploads the host would hold several times what is in them. Only glibc does that, and is told.
"""

from __future__ import annotations

import ctypes
import sys

_M_MMAP_THRESHOLD = -3  # https://man7.org/linux/man-pages/man3/mallopt.3.html
_LARGE_BYTES = 2**18


def give_back_large_blocks() -> None:
    """Large blocks are mapped one by one, and unmapped when they are freed."""
    if sys.platform != "linux":
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, _LARGE_BYTES)
