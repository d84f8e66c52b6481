"""How memory is given back to the system: not at all, while training.

Knows: glibc's allocator. Does not know: torch, or what the memory holds.
"""

import ctypes
import sys

_TRIM_THRESHOLD, _MMAP_MAX = -1, -4  # of malloc.h


def keep_freed_memory() -> None:
    """Let this process keep what it frees, for the next step to use again.

    A step's activations are some large blocks. glibc gives such blocks back to the system when they are freed, and the
    next step gets them anew, page by page, each page cleared: a quarter of the time of a 2 x 512 LSTM's step. Other
    systems are left as they are.
    """
    if not sys.platform.startswith("linux"):
        return
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):  # another C library than glibc
        return
    mallopt(_MMAP_MAX, 0)
    mallopt(_TRIM_THRESHOLD, 2**31 - 1)
