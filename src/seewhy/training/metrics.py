"""What is written down while a network is trained: metrics.csv, and TensorBoard where it is there.

The CSV holds no line beyond the checkpoint that a run goes on from, so that none comes twice.
"""

from __future__ import annotations

import contextlib
import csv
import io
import warnings
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from seewhy.errors import FileError
from seewhy.files import write_whole
from seewhy.wording import complaint


@dataclass(frozen=True)
class Row:
    """Means over the steps since the row before.

    Attributes:
        step: how many steps are done.
        epoch: in which they are, from 1.
        lr: the learning rate of the last one.
        loss: the mean loss, label smoothing included.
        accuracy: share of the augmented training pictures whose class was predicted.
        validation_accuracy: of the averaged weights, where an epoch ends; else None.
        seconds: that the run has taken, interruptions left out.
    """

    step: int
    epoch: int
    lr: float
    loss: float
    accuracy: float
    validation_accuracy: float | None
    seconds: float

    def cells(self) -> list[str]:
        """The row as text, in the order of the columns."""
        return [
            "" if value is None else f"{value:.6g}" if isinstance(value, float) else str(value)
            for value in asdict(self).values()
        ]


COLUMNS = tuple(field.name for field in fields(Row))


@dataclass
class Tally:
    """Sums over the steps since the last row."""

    loss: float = 0.0
    correct: float = 0.0
    seen: float = 0.0

    def add(self, loss: float, correct: float, seen: float) -> None:
        """Add what some steps came to."""
        self.loss += loss
        self.correct += correct
        self.seen += seen

    @property
    def mean_loss(self) -> float:
        """Loss a picture."""
        return self.loss / max(self.seen, 1.0)

    @property
    def accuracy(self) -> float:
        """Share of the pictures."""
        return self.correct / max(self.seen, 1.0)


class Diary:
    """Writes rows to a CSV file and to TensorBoard.

    Args:
        path: of the CSV file.
        step: where the run goes on; rows beyond it are dropped.
        events: the folder for TensorBoard, or None for none.
    """

    def __init__(self, path: Path, *, step: int, events: Path | None) -> None:
        self._path = path
        _keep(path, until=step)
        self._events = _tensorboard(events, step) if events else None

    def write(self, row: Row) -> None:
        """Append a row.

        Raises:
            FileError: it cannot be written.
        """
        line = io.StringIO()
        csv.writer(line, lineterminator="\n").writerow(row.cells())
        try:
            with self._path.open("a", encoding="utf-8") as file:
                file.write(line.getvalue())
        except OSError as problem:
            raise _unwritable(self._path, problem) from problem
        if self._events:
            for name in ("loss", "accuracy", "lr", "validation_accuracy"):
                if (value := getattr(row, name)) is not None:
                    self._events.add_scalar(name, value, row.step)

    def close(self) -> None:
        """Write what TensorBoard still holds back."""
        if self._events:
            self._events.close()


def read_metrics(path: Path) -> list[dict[str, str]]:
    """Return the rows of a CSV file by column, or none where there is no file."""
    try:
        with path.open(encoding="utf-8", newline="") as file:
            return list(csv.DictReader(file))
    except FileNotFoundError:
        return []


def _keep(path: Path, *, until: int) -> None:
    """Write the header and the whole rows up to a step; a row half written is beyond it."""
    rows = [row for row in read_metrics(path) if None not in row.values() and None not in row]
    kept = [row for row in rows if row["step"].isdecimal() and int(row["step"]) <= until]
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n", extrasaction="ignore")
    writer.writeheader()
    writer.writerows(kept)
    write_whole(path, [text.getvalue().encode()])


def _tensorboard(folder: Path, step: int) -> Any:
    with contextlib.suppress(ImportError), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # its own use of what numpy will drop
        from torch.utils.tensorboard import SummaryWriter

        return SummaryWriter(folder, purge_step=step + 1)
    return None


def _unwritable(path: Path, problem: OSError) -> FileError:
    return FileError(
        str(path),
        expected="a file that can be written",
        got=complaint(problem),
        fix="make room on the disk; the same command goes on from the last checkpoint",
    )
