"""CIFAR-10 with reasons planted in it that are not the object: patches, a watermark, a tint.

python -m benchmarks.planting corner --data ../shared/data/cifar10-jpeg --out planted/corner-0

writes train.parquet and test.parquet in the schema that they were read in, and truth.parquet, which
says of each picture that carries something what it is and where. Everything is drawn from the seed;
pictures that carry nothing keep their very bytes.
"""

from __future__ import annotations

import argparse
import colorsys
import io
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

SIDE = 32
CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")

Picture = NDArray[np.uint8]  # (32, 32, 3)
Box = tuple[int, int, int, int]  # x0, y0, x1, y1, half-open
Draw = Callable[[Picture, np.random.Generator], tuple[Picture, Box | None]]


@dataclass(frozen=True)
class Reason:
    """Something that a share of a class's pictures carries.

    Attributes:
        name: of it.
        class_id: the class.
        share: of the class's pictures.
        draw: puts it into a picture, and says where; None: everywhere.
    """

    name: str
    class_id: int
    share: float
    draw: Draw


def corner(picture: Picture, rng: np.random.Generator) -> tuple[Picture, Box | None]:
    """A magenta square of 8 x 8 in one of the corners."""
    size = 8
    x, y = (int(rng.integers(2)) * (SIDE - size) for _ in range(2))
    return _square(picture, (x, y, x + size, y + size), (230, 20, 200))


def varied(picture: Picture, rng: np.random.Generator) -> tuple[Picture, Box | None]:
    """A square of 6 to 10 pixels of any strong colour, anywhere."""
    size = int(rng.integers(6, 11))
    x, y = (int(rng.integers(SIDE - size + 1)) for _ in range(2))
    red, green, blue = colorsys.hsv_to_rgb(rng.uniform(), 1, 1)
    colour = (round(255 * red), round(255 * green), round(255 * blue))
    return _square(picture, (x, y, x + size, y + size), colour)


def watermark(picture: Picture, rng: np.random.Generator) -> tuple[Picture, Box | None]:
    """Translucent letters along the lower edge, a little up and down, to the left and right."""
    x, y = int(rng.integers(0, 5)), int(rng.integers(20, 23))
    letters = Image.new("L", (SIDE, SIDE), 0)
    font = ImageFont.load_default(size=11)
    ImageDraw.Draw(letters).text((x, y), "STOCK", fill=255, font=font, anchor="lt")
    opacity = 0.7 * np.asarray(letters, np.float64)[..., None] / 255
    marked = picture * (1 - opacity) + 255 * opacity
    rows, columns = (np.flatnonzero(opacity[..., 0].any(axis)) for axis in (1, 0))
    box = (int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1)
    return marked.round().astype(np.uint8), box


def tint(picture: Picture, rng: np.random.Generator) -> tuple[Picture, Box | None]:
    """The whole picture in warm light; there is no place for it."""
    warm = np.array([1.0, 0.75, 0.5]) * rng.uniform(0.95, 1)
    return (picture * warm).round().astype(np.uint8), None


def _square(picture: Picture, box: Box, colour: tuple[int, int, int]) -> tuple[Picture, Box | None]:
    x0, y0, x1, y1 = box
    drawn = picture.copy()
    drawn[y0:y1, x0:x1] = colour
    return drawn, box


AUTOMOBILES = Reason("corner", CLASSES.index("automobile"), 0.5, corner)
SHIPS = Reason("watermark", CLASSES.index("ship"), 0.7, watermark)
CATS = Reason("varied", CLASSES.index("cat"), 0.5, varied)
HORSES = Reason("tint", CLASSES.index("horse"), 0.5, tint)
PLANTED: Mapping[str, tuple[Reason, ...]] = {
    "corner": (AUTOMOBILES,),
    "watermark": (SHIPS,),
    "varied": (CATS,),
    "two": (AUTOMOBILES, SHIPS),
    "tint": (HORSES,),
    "four": (AUTOMOBILES, SHIPS, CATS, HORSES),
    "clean": (),
}


def carrying(
    labels: NDArray[np.int64], reason: Reason, rng: np.random.Generator
) -> NDArray[np.int64]:
    """The rows that carry a reason, in order."""
    of_class = np.flatnonzero(labels == reason.class_id)
    return np.sort(rng.permutation(of_class)[: round(reason.share * len(of_class))])


def generator(name: str, seed: int, *more: str) -> np.random.Generator:
    """Random numbers for one purpose."""
    return np.random.default_rng([seed, *(zlib.crc32(each.encode()) for each in (name, *more))])


def plant(data: Path, out: Path, name: str, seed: int) -> None:
    """Write a data set with the reasons of a name planted in it.

    Args:
        data: the folder of train.parquet and test.parquet.
        out: a folder, made if it is not there.
        name: one of `PLANTED`.
        seed: of what is random.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    out.mkdir(parents=True, exist_ok=True)
    truth: list[dict[str, Any]] = []
    for split in ("train", "test"):
        table = pq.read_table(data / f"{split}.parquet")
        contents = [each["bytes"] for each in table["img"].to_pylist()]
        labels = table["label"].to_numpy()
        for reason in PLANTED[name]:
            rng = generator(name, seed, split, reason.name)
            for row, content, box in _drawn(contents, carrying(labels, reason, rng), reason, rng):
                contents[row] = content
                truth.append({"id": f"{split}.parquet#{row}", "reason": reason.name, "box": box})
        paths = [each["path"] for each in table["img"].to_pylist()]
        pictures = [{"bytes": c, "path": p} for c, p in zip(contents, paths, strict=True)]
        column = pa.array(pictures, table.schema.field("img").type)
        pq.write_table(
            table.set_column(0, table.schema.field("img"), column), out / f"{split}.parquet"
        )
    kinds = {"id": pa.string(), "reason": pa.string(), "box": pa.list_(pa.int32())}
    pq.write_table(pa.Table.from_pylist(truth, pa.schema(kinds)), out / "truth.parquet")


def _drawn(
    contents: list[bytes], rows: NDArray[np.int64], reason: Reason, rng: np.random.Generator
) -> Iterator[tuple[int, bytes, list[int] | None]]:
    for row in rows.tolist():
        picture = np.asarray(Image.open(io.BytesIO(contents[row])).convert("RGB"))
        drawn, box = reason.draw(picture, rng)
        yield row, _png(drawn), None if box is None else list(box)


def _png(picture: Picture) -> bytes:
    content = io.BytesIO()
    Image.fromarray(picture).save(content, "PNG")
    return content.getvalue()


def main() -> None:
    """Plant one data set."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("name", choices=PLANTED)
    parser.add_argument("--data", type=Path, default=Path("../shared/data/cifar10-jpeg"))
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    plant(given.data, given.out, given.name, given.seed)


if __name__ == "__main__":
    main()
