"""500 pictures that are damaged, or none at all, in one audit: no crash, every failure a row."""

from __future__ import annotations

import io
import random
import struct
import zlib
from pathlib import Path

import pytest
from tests.audit.materials import classifier, picture

from seewhy import open_audit
from seewhy.audit.local import Wish, run
from seewhy.images import SUFFIXES

KINDS = ("JPEG", "PNG", "GIF", "BMP", "WEBP", "TIFF")
WISH = Wish(engine="torch", batch_size=32, rows_per_shard=128, threads=2)


def encoded(number: int) -> bytes:
    file = io.BytesIO()
    picture(number, 24, 18).save(file, KINDS[number % len(KINDS)])
    return file.getvalue()


def bomb(number: int) -> bytes:
    """A PNG of a few bytes that says it is huge."""
    side = (30_000, 60_000, 2**31 - 1)[number % 3]
    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(bytes(10_000))), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        for name, data in chunks
    )


def truncated(number: int, dice: random.Random) -> bytes:
    whole = encoded(number)
    return whole[: dice.randrange(len(whole))]


def flipped(number: int, dice: random.Random) -> bytes:
    content = bytearray(encoded(number))
    for _ in range(dice.choice((1, 3, 30))):
        content[dice.randrange(len(content))] ^= 1 << dice.randrange(8)
    return bytes(content)


def of_another_kind(number: int, dice: random.Random) -> bytes:
    texts = (b"<svg/>", b"%PDF-1.7\n", b"%!PS-Adobe-3.0 EPSF-3.0\n", b"", b"GIF89a", b"RIFF")
    return texts[number % len(texts)] + dice.randbytes(dice.choice((0, 10, 1000)))


def mutated(number: int, dice: random.Random) -> bytes:
    kind = number % 10
    if kind < 4:
        return truncated(number // 10, dice)
    if kind < 8:
        return flipped(number // 10, dice)
    return of_another_kind(number, dice) if kind == 8 else bomb(number)


@pytest.mark.slow
def test_500_broken_pictures(tmp_path: Path) -> None:
    data, dice = tmp_path / "data", random.Random(0)
    data.mkdir()
    suffixes = sorted(SUFFIXES)
    for number in range(500):
        path = data / f"{number:03d}{suffixes[number % len(suffixes)]}"
        path.write_bytes(mutated(number, dice))
    (data / "folder.png").mkdir()
    (data / "gone.png").symlink_to("nowhere")
    manifest = run(data, classifier(), tmp_path / "run", WISH)
    audit = open_audit(tmp_path / "run")
    rows = list(audit)
    assert len(rows) == manifest.data["count"] == 501  # the link is a picture that is not there
    assert manifest.complete
    failed = [row for row in rows if row["error"]]
    assert 200 < len(failed) == manifest.counts["failed"] < 500
    for row in failed:
        assert row["error"].startswith(f"{row['path']}: expected ")
        assert "\n" not in row["error"]
        assert row["maps"] is None
    for row in rows:
        assert row["error"] or audit.maps(row).shape == (5, 4, 6)
