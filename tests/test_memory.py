"""Large blocks are reused when they are to be kept, and fetched from the kernel anew when not."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

from seewhy.memory import keep_freed_memory

is_glibc = platform.libc_ver()[0] == "glibc"
needs_glibc = pytest.mark.skipif(not is_glibc, reason="only glibc has the switch")

# In a process of its own: the switch cannot be turned back. Pages that the kernel had to give.
FAULTS = """
import resource, sys, torch
from seewhy.memory import keep_freed_memory
if sys.argv[1] == "keep":
    assert keep_freed_memory()
def round():
    torch.ones(16 * 2**20)  # 64 MB
for _ in range(20):  # the heap grows until such a block fits
    round()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(20):
    round()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


HELD = """
import os, torch
from seewhy.memory import keep_freed_memory
def resident():
    return int(open("/proc/self/statm").read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
assert keep_freed_memory()
before = resident()
block = torch.ones(160 * 2**20)
assert resident() - before > 600e6
del block
assert resident() - before < 100e6
"""


def faults(how: str) -> int:
    run = [sys.executable, "-c", FAULTS, how]
    return int(subprocess.run(run, capture_output=True, text=True, check=True).stdout)


@needs_glibc
def test_what_is_kept_is_not_fetched_again() -> None:
    """Left alone, all of 20 blocks of 64 MB are; kept, the heap grows for a few at most."""
    left = faults("leave")
    assert left >= 20 * 32  # pages of 2 MB; of 4 kB they are 512 times as many
    assert faults("keep") < left / 4


@needs_glibc
def test_what_is_larger_than_any_activation_is_given_back() -> None:
    """640 MB: had they been kept, a second model could not be loaded after the first."""
    subprocess.run([sys.executable, "-c", HELD], check=True)


def test_another_c_library_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    assert not keep_freed_memory()


@needs_glibc
def test_the_command_line_keeps_memory() -> None:
    asked = (
        "import seewhy.cli, seewhy.memory; calls = [];"
        "seewhy.cli.keep_freed_memory = lambda: calls.append(1);"
        "seewhy.cli.main(['--version']); assert calls == [1]"
    )
    subprocess.run([sys.executable, "-c", asked], check=True)
