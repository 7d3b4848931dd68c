from __future__ import annotations

import io
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.datasets.making import encoded, pixels, write_folders

from seewhy.datasets import Split, load_dataset, memory
from seewhy.errors import DataError, ImageError
from seewhy.images import read
from seewhy.preprocess import Preprocess


@dataclass(frozen=True, eq=False)
class Encoded:
    """Pictures in memory, as files are."""

    contents: Sequence[bytes]

    def name_of(self, row: int) -> str:
        return f"picture {row}"

    def picture(self, row: int) -> bytes:
        return self.contents[row]


def split_of(*contents: bytes) -> Split:
    count = len(contents)
    return Split("train", np.arange(count), Encoded(contents), np.arange(count))


def in_mode(mode: str, kind: str) -> bytes:
    file = io.BytesIO()
    PIL.Image.fromarray(pixels(0)).convert(mode).save(file, kind)
    return file.getvalue()


def test_pictures_of_the_size_are_taken_as_they_are() -> None:
    loaded = split_of(*map(encoded, range(200))).load((32, 32))
    np.testing.assert_array_equal(loaded.images, [pixels(number) for number in range(200)])
    np.testing.assert_array_equal(loaded.labels, np.arange(200))
    np.testing.assert_array_equal(loaded.rows, np.arange(200))
    assert [loaded.images.dtype.name, loaded.labels.dtype.name] == ["uint8", "int64"]


@pytest.mark.parametrize("shape", [(64, 48), (48, 64), (20, 20), (1, 1), (1, 90), (33, 32)])
def test_other_sizes_are_brought_to_it_as_preprocess_does(shape: tuple[int, int]) -> None:
    content = encoded(1, *shape)
    framing = Preprocess(size=(40, 24), crop=1.0, mode="crop", interpolation="bicubic")
    wanted, _ = framing.frame(read(content))
    loaded = split_of(content).load((40, 24))
    np.testing.assert_array_equal(loaded.images[0], np.asarray(wanted))
    assert loaded.images.shape == (1, 24, 40, 3)


def test_a_preprocess_says_itself_how() -> None:
    framing = Preprocess(size=(16, 16), mode="squash", crop=0.5, interpolation="bilinear")
    loaded = split_of(encoded(1, 64, 48), encoded(2, 16, 16)).load(framing)
    for number, shape in enumerate([(64, 48), (16, 16)], 1):
        picture = PIL.Image.fromarray(pixels(number, *shape)).resize((32, 32), 2)
        wanted = np.asarray(picture.crop((8, 8, 24, 24)))
        np.testing.assert_array_equal(loaded.images[number - 1], wanted)


def test_a_preprocess_for_grey_gives_three_equal_channels() -> None:
    framing = Preprocess(size=(32, 32), crop=1.0, mean=(0.5,), std=(0.5,))
    loaded = split_of(encoded(1), encoded(2, 64, 64)).load(framing)
    grey = np.asarray(PIL.Image.fromarray(pixels(1)).convert("L"))
    np.testing.assert_array_equal(loaded.images[0], np.stack([grey] * 3, axis=-1))
    np.testing.assert_array_equal(loaded.images[1, ..., 0], loaded.images[1, ..., 2])


@pytest.mark.parametrize(
    ("mode", "kind"), [("L", "PNG"), ("P", "GIF"), ("CMYK", "JPEG"), ("RGBA", "PNG"), ("1", "PNG")]
)
def test_pictures_of_any_kind_become_rgb(mode: str, kind: str) -> None:
    content = in_mode(mode, kind)
    loaded = split_of(content).load()
    np.testing.assert_array_equal(loaded.images[0], np.asarray(read(content)))


def test_a_picture_is_turned_upright() -> None:
    file = io.BytesIO()
    picture = PIL.Image.fromarray(pixels(0, 8, 4))
    exif = PIL.Image.Exif()
    exif[0x0112] = 6
    picture.save(file, "PNG", exif=exif)
    assert split_of(file.getvalue()).load().images.shape == (1, 8, 4, 3)


def test_without_a_size_all_must_have_the_same() -> None:
    with pytest.raises(DataError) as caught:
        split_of(encoded(0), encoded(1, 20, 30)).load()
    assert str(caught.value) == (
        "picture 1: expected 32 x 32 pixels, as before it, got 20 x 30; pass size=(width, height)"
    )


@given(st.lists(st.booleans(), min_size=1, max_size=150))
def test_the_broken_are_left_out_and_the_others_keep_their_order(good: list[bool]) -> None:
    content = encoded(7, 4, 4)
    split = split_of(*(content if each else b"broken" for each in good))
    batch = split.batch(range(len(good)), (4, 4))
    wanted = np.flatnonzero(good)
    np.testing.assert_array_equal(batch.rows, wanted)
    np.testing.assert_array_equal(batch.labels, wanted)
    np.testing.assert_array_equal(
        batch.images, np.array([pixels(7, 4, 4)] * len(wanted)).reshape(len(wanted), 4, 4, 3)
    )
    assert [line.partition(":")[0] for line in batch.skipped] == [
        f"picture {row}" for row, each in enumerate(good) if not each
    ]


def test_the_rest_moves_up_with_its_own_pixels() -> None:
    contents = [encoded(n, 4, 4) if n % 3 else b"broken" for n in range(100)]
    loaded = split_of(*contents).load((4, 4))
    np.testing.assert_array_equal(loaded.images, [pixels(int(row), 4, 4) for row in loaded.rows])


def test_a_batch_has_the_order_that_was_asked_for() -> None:
    batch = split_of(*map(encoded, range(10))).batch([7, 3, 7, -1], (32, 32))
    np.testing.assert_array_equal(batch.images, [pixels(number) for number in (7, 3, 7, 9)])
    np.testing.assert_array_equal(batch.labels, [7, 3, 7, 9])
    np.testing.assert_array_equal(batch.rows, [7, 3, 7, 9])


def test_an_empty_batch() -> None:
    batch = split_of(encoded(0)).batch([], (8, 4))
    assert (batch.images.shape, len(batch), batch.skipped) == ((0, 4, 8, 3), 0, ())


def test_progress_adds_up() -> None:
    told: list[int] = []
    split_of(*map(encoded, range(150))).load((32, 32), on_progress=told.append)
    assert sum(told) == 150
    assert len(told) > 1


def test_what_a_watcher_raises_ends_the_work() -> None:
    def stop(_: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        split_of(*map(encoded, range(500))).load((32, 32), on_progress=stop)


def test_one_picture_is_named_when_it_is_broken() -> None:
    split = split_of(encoded(0), b"hello, this is text")
    assert split.image(0).size == (32, 32)
    with pytest.raises(ImageError) as caught:
        split.image(1)
    assert str(caught.value) == (
        "picture 1: expected a picture, got text that begins 'hello, this is text';"
        " check where it came from"
    )


def test_a_split_of_which_nothing_can_be_read() -> None:
    with pytest.raises(DataError) as caught:
        split_of(b"", b"").load((32, 32))
    assert str(caught.value) == (
        "train: expected pictures that can be read, got none of 2: picture 0: expected a"
        " picture, got an empty file; save or download it again; check where they came from"
    )


def test_memory_is_not_filled(monkeypatch: pytest.MonkeyPatch) -> None:
    split = split_of(*map(encoded, range(10)))
    assert split.nbytes((100, 50)) == 10 * 100 * 50 * 3
    assert split.nbytes() == 10 * 32 * 32 * 3
    monkeypatch.setattr(memory, "free_memory", lambda: 100_000)
    assert memory.fits_in_memory(50_000)
    assert not memory.fits_in_memory(50_001)
    with pytest.raises(DataError) as caught:
        split.load((10_000, 10_000))
    assert str(caught.value) == (
        "train: expected at most 50% of the free memory (0.0 GiB), got pictures of 2.8 GiB;"
        " read them in batches with batch(), or make them smaller"
    )
    assert len(split.load((16, 16))) == 10


def test_free_memory_is_that_of_the_container(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "meminfo").write_text("MemTotal: 9 kB\nMemAvailable:    5 kB\n")
    monkeypatch.setattr(memory, "_MEMINFO", tmp_path / "meminfo")
    monkeypatch.setattr(memory, "_CGROUP", tmp_path)
    assert memory.free_memory() == 5 * 1024
    (tmp_path / "memory.max").write_text("4000\n")
    (tmp_path / "memory.current").write_text("1000\n")
    assert memory.free_memory() == 3_000
    (tmp_path / "memory.max").write_text("max\n")
    assert memory.free_memory() == 5 * 1024
    monkeypatch.setattr(memory, "_MEMINFO", tmp_path / "nowhere")
    assert memory.free_memory() is None
    assert memory.fits_in_memory(2**60)


def test_a_picture_that_is_a_bomb_is_left_out() -> None:
    header = b"P6 100000 100000 255\n" + bytes(300)
    loaded = split_of(encoded(0), header).load((32, 32))
    assert loaded.skipped == (
        "picture 1: expected 1 to 200,000,000 pixels, got 100,000 x 100,000;"
        " make it smaller, or raise max_pixels",
    )


def test_representations_are_short(tmp_path: Path) -> None:
    data = load_dataset(write_folders(tmp_path / "pets", {"cat": 5, "dog": 5}))
    assert repr(data) == "Dataset('pets', 2 classes, 8 train and 2 test pictures)"
    assert repr(data.train) == "Split('train', 8 pictures, 0 left out)"
    assert repr(data.train.load()) == "Pixels(images=(8, 32, 32, 3), skipped=0)"


def test_neither_torch_nor_pyarrow_is_imported(tmp_path: Path) -> None:
    write_folders(tmp_path, {"cat": 2, "dog": 2})
    code = (
        "import sys; from seewhy.datasets import load_dataset;"
        f"load_dataset({str(tmp_path)!r}).train.load();"
        "assert not {'torch', 'pyarrow', 'urllib3'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
