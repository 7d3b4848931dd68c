"""Keep the memory of one batch for the next, where the C library would give it back each time.

glibc takes every block of more than 32 MB from the kernel and returns it when it is freed. The
activations of a batch are such blocks: layer after layer their pages are fetched, cleared and
given back, which can take as long as the arithmetic. `docs/engines.md` has what it costs.
"""

from __future__ import annotations

import ctypes
import sys

# Of glibc's <malloc.h>.
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
_KEPT = 2**30  # bytes at the end of the heap that may be free
_LARGEST = 2**29  # bytes; larger blocks are weights rather than activations, and go when freed


def keep_freed_memory() -> bool:
    """From now on this process reuses blocks of up to half a gigabyte that it freed.

    At most a gigabyte lies free at the end of its heap.

    For programs of one's own that run networks on the CPU, like the `seewhy` command, which calls
    it. It changes how the whole process allocates, so nothing calls it for you on import. What was
    allocated before is not touched; results are the same.

    Returns:
        Whether the C library has such a switch: only glibc, on Linux.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if mallopt is None:
        return False
    wanted = {_MMAP_THRESHOLD: _LARGEST, _TRIM_THRESHOLD: _KEPT}
    return all(mallopt(switch, value) == 1 for switch, value in wanted.items())
