"""What can be seen only in a process of its own: imports, signals, terminals, pipes, full disks."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from PIL import Image
from tests.cli.materials import photo

from seewhy.cli.explain import HELP as EXPLAIN_HELP
from seewhy.cli.inspect import HELP as INSPECT_HELP

HEAVY = ("torch", "numpy", "PIL", "matplotlib", "safetensors", "jaxtyping")
NET = ("--model", "nets.py:make", "--size", "32")
COMMAND = (sys.executable, "-c", "import sys; from seewhy.cli import main; sys.exit(main())")
SLOW_NET = """
import time
from nets import make as quick
from torch import nn

class Slow(nn.Module):
    def __init__(self):
        super().__init__()
        self.net = quick()
    def forward(self, x):
        time.sleep(0.1)
        return self.net(x)
"""


def seewhy(*typed: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, *typed], cwd=cwd, capture_output=True, text=True, timeout=120, check=False
    )


def loaded_by(code: str) -> list[str]:
    """The heavy modules that are loaded after `code` ran in a fresh interpreter."""
    report = f"import sys\nprint([m for m in {HEAVY} if m in sys.modules], file=sys.stderr)"
    run = subprocess.run(
        [sys.executable, "-c", f"{code}\n{report}"], capture_output=True, text=True, check=True
    )
    found: list[str] = json.loads(run.stderr.replace("'", '"'))
    return found


@pytest.mark.parametrize(
    "code",
    [
        "import seewhy",
        *(
            f"from seewhy.cli import main; assert main({typed!r}.split()) == 0"
            for typed in (
                "--help",
                "--version",
                "explain --help",
                "inspect --help",
                "demo --help",
                "evaluate --help",
                "evaluate accuracy --help",
                "evaluate localisation --help",
            )
        ),
    ],
)
def test_nothing_heavy_is_loaded_for(code: str) -> None:
    assert loaded_by(code) == []


def test_the_check_for_heavy_modules_can_fail() -> None:
    assert "numpy" in loaded_by("import seewhy.geometry")


@pytest.mark.parametrize("text", [EXPLAIN_HELP, INSPECT_HELP])
def test_help_fits_a_terminal_of_80_columns(text: str) -> None:
    paragraphs = text.partition("\n")[2].splitlines()
    assert max(map(len, paragraphs)) <= 78


def test_the_installed_command_answers() -> None:
    script = Path(sys.executable).with_name("seewhy")
    if not script.exists():
        pytest.skip("seewhy is not installed as a command")
    run = subprocess.run([script, "juggle"], capture_output=True, text=True, check=False)
    assert (run.returncode, run.stdout) == (2, "")
    assert run.stderr == "seewhy: No such command 'juggle'; see --help for what can be passed\n"


def test_a_failure_is_one_line_and_debug_shows_where(here: Path) -> None:
    typed = ("explain", "good.jpg", "--size", "32", "--model", "nets.py:broken")
    plain, debug = seewhy(*typed, cwd=here), seewhy(*typed, "--debug", cwd=here)
    assert plain.returncode == 2
    assert plain.stderr.count("\n") == 1
    assert "Traceback (most recent call last)" in debug.stderr
    assert "no such layer" in debug.stderr


def test_a_full_disk_under_stdout() -> None:
    with Path("/dev/full").open("w") as full:
        run = subprocess.run(
            [*COMMAND, "--version"], stdout=full, stderr=subprocess.PIPE, text=True, check=False
        )
    assert run.returncode == 2
    assert run.stderr == "seewhy: no space left on device; check the disk and the path\n"


def test_a_reader_that_leaves_is_no_error() -> None:
    read_end, write_end = os.pipe()
    os.close(read_end)
    run = subprocess.run(
        [*COMMAND, "--version"], stdout=write_end, stderr=subprocess.PIPE, text=True, check=False
    )
    os.close(write_end)
    assert (run.returncode, run.stderr) == (141, "")


def test_names_that_the_terminal_cannot_show_are_written_out(here: Path) -> None:
    run = subprocess.run(
        [*COMMAND, "explain", "with space, and\nline break \u2603.png", *NET],
        cwd=here,
        env={**os.environ, "PYTHONIOENCODING": "ascii"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (run.returncode, run.stderr) == (0, "")
    assert run.stdout.startswith("with space, and\\nline break \\u2603.png   class 1 ")


def test_ctrl_c_keeps_what_is_finished(here: Path, tmp_path: Path) -> None:
    (tmp_path / "nets.py").write_text((here / "nets.py").read_text())
    (tmp_path / "slow.py").write_text(SLOW_NET)
    (tmp_path / "photos").mkdir()
    for index in range(60):
        photo(seed=index).save(tmp_path / "photos" / f"{index:02}.png")
    typed = ("explain", "photos", "--model", "slow.py:Slow", "--size", "32", "--batch-size", "2")
    process = subprocess.Popen(
        [*COMMAND, *typed, "--classes", "predicted", "--out", "maps"],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    until(lambda: len(list((tmp_path / "maps").glob("*.png"))) > 3)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130
    done = len(out.splitlines())
    assert 0 < done < 60
    assert err == f"interrupted: {done} of 60 pictures are done; their overlays are in maps\n"
    files = list((tmp_path / "maps").iterdir())
    assert done <= len(files) <= done + 2
    for file in files:
        with Image.open(file) as image:
            image.load()


def until(holds: object) -> None:
    """Wait for something, a minute at most."""
    assert callable(holds)
    end = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.05)


def test_a_person_sees_a_bar_and_a_pipe_does_not(here: Path) -> None:
    quiet = seewhy("explain", "*.gif", *NET, cwd=here)
    assert (quiet.returncode, quiet.stderr) == (0, "")
    watched, shown = on_terminal("explain", "*.gif", *NET, cwd=here)
    assert watched == quiet.stdout
    assert "2/2" in shown


def on_terminal(*typed: str, cwd: Path) -> tuple[str, str]:
    """What comes on stdout, and on stderr where that is a terminal."""
    ours, theirs = pty.openpty()
    run = subprocess.Popen(
        [*COMMAND, *typed],
        cwd=cwd,
        env={**os.environ, "TERM": "xterm", "COLUMNS": "100"},
        stdout=subprocess.PIPE,
        stderr=theirs,
        text=True,
    )
    os.close(theirs)
    seen = b""
    try:
        while part := os.read(ours, 65536):  # while it runs: a terminal holds a few kilobytes
            seen += part
    except OSError:  # Linux says so when the other end is closed
        pass
    printed, _ = run.communicate()
    os.close(ours)
    assert run.returncode == 0
    return printed, seen.decode()
