"""Keep the memory of one batch for the next, where the C library would give it back each time.

glibc takes every block of more than 32 MB from the kernel and returns it when it is freed. The
activations of a batch are such blocks: layer after layer their pages are fetched, cleared and
given back, which can take as long as the arithmetic. `docs/engines.md` has what it costs.
"""

from __future__ import annotations

import ctypes
import sys

# Of glibc's <malloc.h>.
_TRIM_THRESHOLD, _MMAP_MAX = -1, -4
_KEPT = 2**30  # bytes at the top of the heap that may be free


def keep_freed_memory() -> bool:
    """From now on this process reuses large blocks; a gigabyte may be free at the heap's end.

    For programs of one's own that run networks on the CPU, like the `seewhy` command, which calls
    it. It changes how the whole process allocates, so nothing calls it for you on import. What was
    allocated before is not touched; results are the same.

    Returns:
        Whether the C library has such a switch: only glibc, on Linux.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if mallopt is None:
        return False
    wanted = {_MMAP_MAX: 0, _TRIM_THRESHOLD: _KEPT}
    return all(mallopt(switch, value) == 1 for switch, value in wanted.items())
