from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from tests.datasets.making import encoded, pixels, write_folders

from seewhy.datasets import load_dataset
from seewhy.datasets.walk import files_below


@pytest.mark.parametrize("test", ["test", "Val", "valid", "validation"])
def test_a_folder_per_class_in_two_parts(tmp_path: Path, test: str) -> None:
    counts = {"train/dog": 2, "train/cat": 3, f"{test}/dog": 1}
    data = load_dataset(write_folders(tmp_path, counts))
    assert (data.class_names, data.notes) == (("cat", "dog"), ())
    np.testing.assert_array_equal(data.train.labels, [0, 0, 0, 1, 1])
    np.testing.assert_array_equal(data.test.labels, [1])
    assert data.train.name_of(3) == str(tmp_path / "train" / "dog" / "0.png")
    np.testing.assert_array_equal(data.train.load().images[3], pixels(1))


def test_without_a_test_part_a_share_is_kept_aside(tmp_path: Path) -> None:
    root = write_folders(tmp_path, {"cat": 10, "dog": 5})
    data = load_dataset(root)
    assert np.bincount(data.train.labels).tolist() == [8, 4]
    assert np.bincount(data.test.labels).tolist() == [2, 1]
    assert data.notes == ("no test part: 20% of each class kept aside at random, seed 0",)
    again, other = load_dataset(root), load_dataset(root, seed=1)
    names = [data.test.name_of(n) for n in range(3)]
    assert [again.test.name_of(n) for n in range(3)] == names
    assert [other.test.name_of(n) for n in range(3)] != names


def test_parts_beside_the_two_are_named(tmp_path: Path) -> None:
    counts = {f"{part}/{name}": 1 for part in ("train", "test", "val") for name in ("cat", "dog")}
    assert load_dataset(write_folders(tmp_path, counts)).notes == ("not used: val",)


def test_a_class_may_be_called_test(tmp_path: Path) -> None:
    data = load_dataset(write_folders(tmp_path, {"test": 2, "exam": 2}))
    assert data.class_names == ("exam", "test")


def test_what_a_person_did_not_put_there_is_no_class(tmp_path: Path) -> None:
    root = write_folders(tmp_path, {"cat": 2, "dog": 2, ".git": 1, "__MACOSX": 1, "cat/.thumbs": 1})
    (root / "cat" / "notes.txt").write_text("none")
    (root / "cat" / "._0.png").write_bytes(b"x")
    data = load_dataset(root)
    assert (data.class_names, len(data.train) + len(data.test)) == (("cat", "dog"), 4)


def test_broken_pictures_are_named_and_left_out(tmp_path: Path) -> None:
    root = write_folders(tmp_path, {"train/cat": 2, "train/dog": 2, "test/cat": 1})
    cats = root / "train" / "cat"
    (cats / "a.jpg").write_text("hello, I am text")
    (cats / "b.jpg").write_bytes(encoded(1, kind="JPEG")[:300])
    (cats / "c.jpg").touch()
    (cats / "d.jpg").symlink_to(tmp_path / "nowhere")
    (root / "train" / "e.jpg").write_bytes(encoded(1))
    loaded = load_dataset(root).train.load((32, 32))
    assert len(loaded) == 4
    beginnings = [
        f"{root}/train/e.jpg: expected a picture in the folder of its class, got one outside",
        f"{cats}/a.jpg: expected a picture, got text that begins 'hello, I am text'; check",
        f"{cats}/b.jpg: expected a picture, got a damaged one",
        f"{cats}/c.jpg: expected a picture, got an empty file",
        f"{cats}/d.jpg: expected a picture, got no such file",
    ]
    assert len(loaded.skipped) == len(beginnings)
    for line, beginning in zip(loaded.skipped, beginnings, strict=True):
        assert line.startswith(beginning)
        assert "\n" not in line


def test_links_in_a_circle(tmp_path: Path) -> None:
    root = write_folders(tmp_path / "data", {"cat": 2, "dog": 2})
    (root / "cat" / "up").symlink_to(root)
    (root / "cat" / "me").symlink_to(root / "cat")
    (root / "dog" / "higher").symlink_to(tmp_path)
    data = load_dataset(root)
    assert len(data.train) + len(data.test) == 4


def test_a_class_may_be_a_link(tmp_path: Path) -> None:
    elsewhere = write_folders(tmp_path / "elsewhere", {"all": 2}) / "all"
    root = write_folders(tmp_path / "data", {"cat": 2})
    (root / "dog").symlink_to(elsewhere)
    assert load_dataset(root).class_names == ("cat", "dog")


def test_pictures_may_lie_deeper(tmp_path: Path) -> None:
    root = write_folders(tmp_path, {"cat/b": 1, "cat/a": 1, "dog/x/y": 2})
    assert [path.relative_to(root).as_posix() for path in files_below(root)] == [
        "cat/a/0.png",
        "cat/b/0.png",
        "dog/x/y/0.png",
        "dog/x/y/1.png",
    ]
    assert len(load_dataset(root).train) == 2


@pytest.mark.skipif(os.name == "nt", reason="there are no pipes in its folders")
def test_a_pipe_called_jpg_does_not_block(tmp_path: Path) -> None:
    root = write_folders(tmp_path, {"train/cat": 1, "train/dog": 1, "test/cat": 1})
    os.mkfifo(root / "train" / "cat" / "pipe.jpg")
    loaded = load_dataset(root).train.load()
    assert "got a device or a pipe" in loaded.skipped[0]
