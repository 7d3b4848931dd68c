"""The files that a figure is saved to."""

from __future__ import annotations

import re
import subprocess
import sys
import zlib
from pathlib import Path
from typing import Any

import matplotlib as mpl
import PIL.Image
import pytest
from tests.figures.cells import four

from seewhy.errors import FileError, InputError

FORMATS = ["png", "pdf", "svg"]


@pytest.mark.parametrize("kind", FORMATS)
def test_the_same_bytes_every_time(kind: str, tmp_path: Path) -> None:
    first = four().save(tmp_path / f"a.{kind}")
    code = (
        "import sys; sys.path.insert(0, '.')\nfrom tests.figures.cells import four\n"
        f"four().save({str(tmp_path / f'b.{kind}')!r})"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)
    assert first.read_bytes() == (tmp_path / f"b.{kind}").read_bytes()


@pytest.mark.parametrize("kind", FORMATS)
def test_the_users_own_settings_change_nothing_and_stay(kind: str, tmp_path: Path) -> None:
    plain = four().save(tmp_path / f"a.{kind}").read_bytes()
    own: Any = {"font.family": "serif", "text.color": "red", "savefig.facecolor": "black"}
    with mpl.rc_context(own):
        assert four().save(tmp_path / f"b.{kind}").read_bytes() == plain
        assert mpl.rcParams["font.family"] == ["serif"]


def test_a_png_says_its_resolution(tmp_path: Path) -> None:
    with PIL.Image.open(four().save(tmp_path / "a.PNG")) as image:
        assert image.format == "PNG"
        assert image.info["dpi"] == pytest.approx((200, 200), abs=0.1)
        assert set(image.info) == {"dpi"}


def test_a_pdf_holds_its_letters_and_no_date(tmp_path: Path) -> None:
    content = four(title="A title").save(tmp_path / "a.pdf").read_bytes()
    assert content.startswith(b"%PDF-")
    assert content.count(b"/FontFile2") == content.count(b"/Type0") >= 2
    assert b"+DejaVuSans-Bold" in content
    assert b"/Type3" not in content
    assert b"CreationDate" not in content
    assert content.count(b"/Subtype /Image") == 2 * 4 + 1
    assert b"/URI" not in content


def test_an_svg_refers_to_nothing_outside(tmp_path: Path) -> None:
    content = four(title="A <b> & c").save(tmp_path / "a.svg").read_text("utf-8")
    addresses = set(re.findall(r"https?://[^\s\"'<>]+", content))
    assert addresses == {"http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"}
    links = re.findall(r"href=\"(.{5})", content)
    assert set(links) <= {"data:", *(link for link in links if link.startswith("#"))}
    assert "<text" not in content
    assert "font-family" not in content
    assert content.count("<image") == 2 * 4 + 1


@pytest.mark.parametrize(
    ("name", "kind", "line"),
    [
        (
            "a.jpg",
            InputError,
            "a.jpg: expected a name that ends in .png, .pdf, .svg, got '.jpg'; choose one of these"
            " formats",
        ),
        (
            "a",
            InputError,
            "a: expected a name that ends in .png, .pdf, .svg, got none; choose one of these"
            " formats",
        ),
        (
            "nowhere/a.png",
            FileError,
            "nowhere/a.png: expected a file that can be written, got the system's error 'no such"
            " file or directory'; check the folder, its permissions and the space left",
        ),
    ],
)
def test_where_it_cannot_be_saved(
    name: str, kind: type[Exception], line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(kind) as caught:
        four().save(name)
    assert str(caught.value) == line
    assert not list(tmp_path.iterdir())


def test_a_figure_is_drawn_without_torch() -> None:
    code = (
        "import sys; sys.path.insert(0, '.')\nfrom tests.figures.cells import four\n"
        "from seewhy.figures.save import encoded\nencoded(four(), '.png')\n"
        "print('torch' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], check=True, timeout=120, capture_output=True, text=True
    )
    assert done.stdout.strip() == "False"


def test_streams_of_a_pdf_can_be_read(tmp_path: Path) -> None:
    content = four().save(tmp_path / "a.pdf").read_bytes()
    streams = re.findall(rb"stream\r?\n(.*?)\r?\nendstream", content, re.DOTALL)
    assert len([zlib.decompress(each) for each in streams if each[:1] == b"x"]) > 9
