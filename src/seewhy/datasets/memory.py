"""How much memory is free, and a refusal to fill it."""

from __future__ import annotations

from pathlib import Path

from seewhy.errors import DataError

SHARE = 0.5  # of the free memory, that a split may take

_MEMINFO = Path("/proc/meminfo")
_CGROUP = Path("/sys/fs/cgroup")


def free_memory() -> int | None:
    """Return the bytes that this process may still take, or None where the system does not say."""
    known = [value for value in (_free_in_machine(), _free_in_container()) if value is not None]
    return min(known, default=None)


def fits_in_memory(nbytes: int, *, share: float = SHARE) -> bool:
    """Say whether `nbytes` are at most this share of the free memory."""
    free = free_memory()
    return free is None or nbytes <= share * free


def check_room(name: str, nbytes: int) -> None:
    """Refuse what would take more than `SHARE` of the free memory.

    Raises:
        DataError: it would.
    """
    if not fits_in_memory(nbytes):
        raise DataError(
            name,
            expected=f"at most {SHARE:.0%} of the free memory ({_gib(free_memory() or 0)})",
            got=f"pictures of {_gib(nbytes)}",
            fix="read them in batches with batch(), or make them smaller",
        )


def _free_in_machine() -> int | None:
    try:
        lines = _MEMINFO.read_text().splitlines()
    except OSError:
        return None
    found = [line.split()[1] for line in lines if line.startswith("MemAvailable:")]
    return int(found[0]) * 1024 if found else None


def _free_in_container() -> int | None:
    try:
        limit, used = ((_CGROUP / f"memory.{name}").read_text() for name in ("max", "current"))
    except OSError:
        return None
    return None if limit.strip() == "max" else max(0, int(limit) - int(used))


def _gib(nbytes: int) -> str:
    return f"{nbytes / 2**30:,.1f} GiB"
