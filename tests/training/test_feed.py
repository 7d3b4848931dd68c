"""Which pictures a step sees, from memory and from the disk, in one process and in several."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from seewhy.datasets import Dataset, load_dataset
from seewhy.errors import DataError
from seewhy.preprocess import Preprocess
from seewhy.training.augment import Augmentation, augmentation
from seewhy.training.feed import Batch, Disk, Feed, Memory, Source, Timetable, ahead

HOW = Preprocess((16, 16), 1.0, "squash")
NOT_MOVED = Augmentation(0, (0, 0))


def moved(count: int, *, cutmix: float = 0.0) -> Augmentation:
    return augmentation(0, (16, 16), margin=0.2, flip=True, count=count, cutmix=cutmix)


def feed(
    source: Source, *, rank: int = 0, world: int = 1, epochs: int = 2, cutmix: float = 0.0
) -> Feed:
    timetable = Timetable(0, source.count, 16, epochs)
    return Feed(source, timetable, moved(source.count, cutmix=cutmix), rank, world)


def test_an_epoch_sees_each_picture_once_at_most() -> None:
    timetable = Timetable(seed=0, count=50, batch_size=8, epochs=3)
    assert (timetable.steps_an_epoch, timetable.steps) == (6, 18)
    epochs = [[timetable.rows(6 * epoch + step) for step in range(6)] for epoch in range(3)]
    for each in epochs:
        seen = torch.cat(each).tolist()
        assert len(set(seen)) == len(seen) == 48
        assert set(seen) <= set(range(50))
    assert not torch.equal(epochs[0][0], epochs[1][0])


def test_a_step_sees_the_same_whatever_was_asked_before() -> None:
    one, other = (Timetable(seed=0, count=50, batch_size=8, epochs=3) for _ in range(2))
    forwards = [one.rows(step) for step in range(18)]
    backwards = [other.rows(step) for step in reversed(range(18))]
    assert all(map(torch.equal, forwards, reversed(backwards)))


@pytest.mark.parametrize("cutmix", [0.0, 1.0])
def test_the_disk_gives_what_the_memory_gives(data: Dataset, cutmix: float) -> None:
    memory, disk = Memory(data.train.load(HOW)), Disk(data.train, HOW)
    assert (memory.count, memory.size) == (disk.count, disk.size) == (72, (16, 16))
    one, other = (feed(source, cutmix=cutmix) for source in (memory, disk))
    with one.batches(1) as remembered, other.batches(1) as read:
        pairs = list(zip(remembered, read, strict=True))
    assert len(pairs) == 7
    for mine, theirs in pairs:
        for field in ("pictures", "labels", *(("others", "shares") if cutmix else ())):
            assert torch.equal(getattr(mine, field), getattr(theirs, field))


def test_labels_belong_to_their_pictures(data: Dataset) -> None:
    source = Memory(data.train.load(HOW))
    batch = Feed(source, Timetable(0, 72, 16, 1), NOT_MOVED).batch(0)
    level = batch.pictures.float().mean((1, 2, 3))
    for value, label in zip(level.tolist(), batch.labels.tolist(), strict=True):
        assert abs(value - (180, 70, 125)[label]) < 12


def test_mixed_pictures_have_the_labels_of_both(data: Dataset) -> None:
    batch = feed(Memory(data.train.load(HOW)), cutmix=1.0).batch(2)
    assert batch.others is not None
    assert batch.shares is not None
    assert torch.equal(batch.others, batch.labels.roll(-1))
    own, other = (torch.tensor([180.0, 70.0, 125.0])[each] for each in (batch.labels, batch.others))
    want = batch.shares * own + (1 - batch.shares) * other
    assert torch.allclose(batch.pictures.float().mean((1, 2, 3)), want, atol=25)
    assert 0 <= float(batch.shares.min()) < 0.4 < float(batch.shares.max()) <= 1


def test_where_pictures_are_mixed_a_broken_one_is_nobody_s_neighbour(broken: Path) -> None:
    source = Disk(load_dataset(broken).train, HOW)
    batches = [feed(source, cutmix=1.0).batch(step) for step in range(4)]
    for each in batches:
        assert each.others is not None
        assert each.shares is not None
        assert len(each.pictures) == len(each.others) == len(each.shares) == len(each.labels)
    assert 15 in {len(each.labels) for each in batches} or not source.skipped


def test_processes_share_a_batch(data: Dataset) -> None:
    source = Memory(data.train.load(HOW))
    whole = feed(source).batch(3)
    halves = [feed(source, rank=rank, world=2).batch(3) for rank in range(2)]
    assert torch.equal(torch.cat([half.pictures for half in halves]), whole.pictures)
    assert torch.equal(torch.cat([half.labels for half in halves]), whole.labels)


@pytest.fixture
def broken(pictures: Path, tmp_path: Path) -> Path:
    copy = shutil.copytree(pictures, tmp_path / "data")
    (copy / "train" / "dark" / "003.png").write_bytes(b"no picture")
    return copy


def test_a_broken_picture_is_left_out_of_its_batches(broken: Path) -> None:
    source = Disk(load_dataset(broken).train, HOW)
    assert source.skipped == ()
    with feed(source, epochs=3).batches(0) as batches:
        sizes = [len(batch.labels) for batch in batches]
    assert set(sizes) == {15, 16}
    assert 1 <= sizes.count(15) <= 3
    assert len(source.skipped) == 1
    assert "003.png" in source.skipped[0]


def test_a_batch_of_broken_pictures_is_an_error(broken: Path) -> None:
    for path in (broken / "train").glob("*/*.png"):
        path.write_bytes(b"no picture")
    source = Disk(load_dataset(broken).train, HOW)
    with (
        pytest.raises(DataError, match="expected pictures that can be read, got a batch with none"),
        feed(source).batches(0) as batches,
    ):
        next(batches)


def numbers(count: int) -> Iterator[Batch]:
    for number in range(count):
        yield Batch(torch.tensor([number]), torch.tensor([number]))


def test_reading_ahead_keeps_the_order_and_ends() -> None:
    assert [int(each.labels) for each in ahead(numbers(20))] == list(range(20))


def test_reading_ahead_is_not_far() -> None:
    taken = []

    def watched() -> Iterator[Batch]:
        for each in numbers(100):
            taken.append(int(each.labels))
            yield each

    read = ahead(watched(), count=2)
    next(read)
    for _ in range(100):
        if len(taken) >= 4:
            break
        threading.Event().wait(0.01)
    threading.Event().wait(0.05)
    assert len(taken) <= 4
    read.close()


def test_an_error_while_reading_ahead_comes_through() -> None:
    def fails() -> Iterator[Batch]:
        yield from numbers(1)
        raise ZeroDivisionError("in the thread")

    read = ahead(fails())
    next(read)
    with pytest.raises(ZeroDivisionError, match="in the thread"):
        next(read)


def test_closing_ends_the_thread() -> None:
    before = threading.active_count()
    read = ahead(numbers(1000))
    next(read)
    assert threading.active_count() == before + 1
    read.close()
    assert threading.active_count() == before
