"""metrics.csv: each step once, whatever happened; and TensorBoard beside it."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from seewhy.errors import FileError
from seewhy.training.metrics import COLUMNS, Diary, Row, Tally, read_metrics

ROW = Row(
    step=100, epoch=2, lr=0.1, loss=1 / 3, accuracy=0.5, validation_accuracy=None, seconds=2.0
)


def rows(path: Path) -> list[int]:
    return [int(row["step"]) for row in read_metrics(path)]


def written(path: Path, *steps: int, begin: int = 0) -> None:
    diary = Diary(path, step=begin, events=None)
    for step in steps:
        diary.write(dataclasses.replace(ROW, step=step))


def test_a_row_by_hand(tmp_path: Path) -> None:
    path = tmp_path / "m.csv"
    diary = Diary(path, step=0, events=None)
    diary.write(ROW)
    diary.write(dataclasses.replace(ROW, step=200, validation_accuracy=0.75))
    assert path.read_text() == (
        "step,epoch,lr,loss,accuracy,validation_accuracy,seconds\n"
        "100,2,0.1,0.333333,0.5,,2\n"
        "200,2,0.1,0.333333,0.5,0.75,2\n"
    )


def test_rows_beyond_the_checkpoint_are_dropped(tmp_path: Path) -> None:
    path = tmp_path / "m.csv"
    written(path, 100, 200, 300)
    written(path, 300, 400, begin=250)
    assert rows(path) == [100, 200, 300, 400]


@pytest.mark.parametrize("torn", ["2", "200,2,0.1,0.3", "200", "\0\0", "200,2,0.1,0.3,0.5,,2,7,8"])
def test_a_row_that_was_half_written_is_dropped(tmp_path: Path, torn: str) -> None:
    path = tmp_path / "m.csv"
    written(path, 100)
    with path.open("a") as file:
        file.write(torn)
    written(path, 200, begin=100)
    assert rows(path) == [100, 200]


def test_a_run_from_the_start_has_an_empty_file(tmp_path: Path) -> None:
    path = tmp_path / "m.csv"
    written(path, 100, 200)
    Diary(path, step=0, events=None)
    assert path.read_text() == ",".join(COLUMNS) + "\n"


def test_a_folder_that_is_gone(tmp_path: Path) -> None:
    with pytest.raises(FileError):
        Diary(tmp_path / "no" / "m.csv", step=0, events=None)


def test_the_disk_is_full(tmp_path: Path) -> None:
    diary = Diary(tmp_path / "m.csv", step=0, events=None)
    (tmp_path / "m.csv").unlink()
    (tmp_path / "m.csv").symlink_to("/dev/full")
    with pytest.raises(FileError, match="no space left on device; make room on the disk"):
        diary.write(ROW)


def test_tensorboard_has_the_same_numbers(tmp_path: Path) -> None:
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    diary = Diary(tmp_path / "m.csv", step=0, events=tmp_path / "tb")
    diary.write(ROW)
    diary.close()
    events = accumulator.EventAccumulator(str(tmp_path / "tb")).Reload()
    assert sorted(events.Tags()["scalars"]) == ["accuracy", "loss", "lr"]
    (loss,) = events.Scalars("loss")
    assert (loss.step, loss.value) == (100, pytest.approx(1 / 3))


def test_a_tally_is_a_mean_over_pictures() -> None:
    tally = Tally()
    tally.add(loss=4.0, correct=1, seen=2)
    tally.add(loss=2.0, correct=3, seen=4)
    assert tally.mean_loss == 1.0
    assert tally.accuracy == pytest.approx(4 / 6)
    assert Tally().mean_loss == 0.0
