"""The loop: steps from the checkpoint's on, with what is to be done between them."""

from __future__ import annotations

import math
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import FrameType

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from seewhy.preprocess import Preprocess
from seewhy.training import state
from seewhy.training.augment import normalise
from seewhy.training.draws import seed_of
from seewhy.training.feed import Batch, Feed
from seewhy.training.logits import logits_of
from seewhy.training.metrics import Diary, Row, Tally
from seewhy.training.optimise import Average, OneCycle, set_lr
from seewhy.training.processes import Processes
from seewhy.training.recipe import Recipe

ROW_EVERY = 100  # steps; and where an epoch ends
CHECK_EVERY = {"cpu": 1}  # steps between two looks at the loss: elsewhere a look waits for a GPU
CHECK_EVERY_ELSEWHERE = 20


class Stopped(KeyboardInterrupt):
    """Training was interrupted, and a checkpoint of the step it came to is saved."""

    def __init__(self, step: int, steps: int) -> None:
        self.step, self.steps = step, steps
        super().__init__(f"interrupted after step {step} of {steps}")


@dataclass(frozen=True)
class Progress:
    """How far training is.

    Attributes:
        step: how many steps are done.
        steps: of how many.
        epoch: from 1.
        epochs: of how many.
        loss: mean since the last row of the metrics.
        accuracy: the same, of the augmented training pictures.
        pictures: how many were seen since this process began.
        seconds: that this took.
        left: seconds that the other steps will take, if they are as fast.
        row: the row of the metrics that was just written, if one was.
    """

    step: int
    steps: int
    epoch: int
    epochs: int
    loss: float
    accuracy: float
    pictures: int
    seconds: float
    left: float
    row: Row | None = None


Watch = Callable[[Progress], None]


@dataclass
class Learner:
    """A network that is being trained.

    Attributes:
        module: the network.
        network: the same, compiled or spread over processes where it is: what is called.
        average: of its weights.
        sgd: its optimiser.
        schedule: of the learning rate.
        recipe: settled.
        preprocess: whose mean and deviation the pictures are normalised with.
        device: where it is.
        rank: of this process: dropout differs from one to the next.
    """

    module: nn.Module
    network: Callable[[Tensor], object]
    average: Average
    sgd: torch.optim.SGD
    schedule: OneCycle
    recipe: Recipe
    preprocess: Preprocess
    device: torch.device
    rank: int = 0

    def learn(self, batch: Batch, step: int) -> Tensor:
        """Make one step.

        Returns:
            (4,), float64, on the device: the sums of loss and of right predictions, the number of
            pictures, and 0.
        """
        torch.manual_seed(seed_of(self.recipe.seed, "step", step, self.rank))
        set_lr(self.sgd, self.schedule(step))
        here = batch.to(self.device)
        loss, logits = self._loss(here)
        loss.backward()
        self.sgd.step()
        self.sgd.zero_grad(set_to_none=True)
        self.average.update()
        right = correct(logits.detach().argmax(1), here).sum()
        count = right.new_tensor(len(here.labels))
        return torch.stack([loss.detach() * count, right, count, right.new_zeros(())]).double()

    def _loss(self, batch: Batch) -> tuple[Tensor, Tensor]:
        inputs = normalise(batch.pictures, self.preprocess.mean, self.preprocess.std)
        half = self.recipe.precision == "bfloat16"
        with torch.autocast(self.device.type, torch.bfloat16, enabled=half):
            logits = logits_of(self.network(inputs)).float()
        smoothing = self.recipe.label_smoothing
        targets = targets_of(batch, logits.shape[1])
        return F.cross_entropy(logits, targets, label_smoothing=smoothing), logits


def targets_of(batch: Batch, classes: int) -> Tensor:
    """Return labels (B,); where pictures are mixed, the shares of the classes (B, classes)."""
    if batch.others is None or batch.shares is None:
        return batch.labels
    share = batch.shares[:, None]
    return share * F.one_hot(batch.labels, classes) + (1 - share) * F.one_hot(batch.others, classes)


def correct(found: Tensor, batch: Batch) -> Tensor:
    """Return how right each of the classes found (B,) is: the share of its picture it names."""
    if batch.others is None or batch.shares is None:
        return found == batch.labels
    return batch.shares * (found == batch.labels) + (1 - batch.shares) * (found == batch.others)


@dataclass
class Loop:
    """The steps of a run.

    Attributes:
        learner: what is trained.
        feed: what with.
        folder: where checkpoints and metrics go.
        processes: that train together.
        diary: of the metrics; None where another process writes them.
        watch: told how far it is.
        validate: returns the accuracy on what was held out, if anything was.
        checkpoint_every: seconds.
        step: how many steps are done.
        seconds: that earlier processes spent on this run.
        tally: sums since the last row of the metrics.
    """

    learner: Learner
    feed: Feed
    folder: Path
    processes: Processes
    diary: Diary | None = None
    watch: Watch | None = None
    validate: Callable[[], float] | None = None
    checkpoint_every: float = 60.0
    step: int = 0
    seconds: float = 0.0
    tally: Tally = field(default_factory=Tally)
    _sums: Tensor | None = field(default=None, repr=False)

    def resume(self) -> bool:
        """Go to where the last checkpoint was, if there is one, and say whether there was."""
        found = state.load_checkpoint(self.folder / state.CHECKPOINT)
        if found is None:
            return False
        tensors, rest = found
        learner = self.learner
        state.restore(tensors, learner.module, learner.average.module, learner.sgd)
        self.step, self.seconds = rest["step"], rest["seconds"]
        self.tally = Tally(**rest["tally"])
        return True

    def run(self) -> None:
        """Make the steps that are left.

        Raises:
            Stopped: by Ctrl-C.
            TrainingError: the loss is not finite.
            FileError: a file cannot be written.
        """
        self.learner.module.train()
        began, self._saved_at = time.monotonic(), time.monotonic()
        first, before = self.step, self.seconds
        with self.feed.batches(first) as batches, stop_requests() as stop_asked:
            for batch in batches:
                sums = self.learner.learn(batch, self.step)
                self._sums = sums if self._sums is None else self._sums + sums
                self.step += 1
                self.seconds = before + time.monotonic() - began
                if self.step % self._check_every == 0 or self._ends_epoch:
                    self._between(first, began, stop_asked())

    @property
    def _check_every(self) -> int:
        return CHECK_EVERY.get(self.learner.device.type, CHECK_EVERY_ELSEWHERE)

    @property
    def _ends_epoch(self) -> bool:
        return self.step % self.feed.timetable.steps_an_epoch == 0

    def _between(self, first: int, began: float, stop: bool) -> None:
        """Look at the loss; write down, show and save what is due."""
        is_asked = self._count(stop)
        row = self._row() if self._ends_epoch or self.step % ROW_EVERY == 0 else None
        if self.watch:
            self.watch(self._progress(first, began, row))
        if row:
            self.tally = Tally()
        is_time = time.monotonic() - self._saved_at >= self.checkpoint_every
        if is_asked or is_time or self._ends_epoch:
            self._save()
        if is_asked:
            self.processes.wait()  # until it is saved
            raise Stopped(self.step, self.feed.timetable.steps)

    def _count(self, stop: bool) -> bool:
        """Add up the sums of all processes; return whether one of them was asked to stop."""
        assert self._sums is not None
        self._sums[3] += float(stop)
        loss, correct, seen, stops = self.processes.total(self._sums).tolist()
        self._sums = None
        if not math.isfinite(loss):
            raise state.not_finite(
                "loss",
                self.step,
                is_mixed=self.learner.recipe.precision != "float32",
                is_kept=(self.folder / state.CHECKPOINT).exists(),
            )
        self.tally.add(loss, correct, seen)
        return bool(stops)

    def _row(self) -> Row:
        has_validation = self._ends_epoch and self.validate is not None
        row = Row(
            step=self.step,
            epoch=self._epoch,
            lr=self.learner.schedule(self.step - 1),
            loss=self.tally.mean_loss,
            accuracy=self.tally.accuracy,
            validation_accuracy=self.validate() if has_validation and self.validate else None,
            seconds=round(self.seconds, 1),
        )
        if self.diary:
            self.diary.write(row)
        return row

    @property
    def _epoch(self) -> int:
        """The epoch of the step that was made last, from 1."""
        return self.feed.timetable.epoch(self.step - 1) + 1

    def _progress(self, first: int, began: float, row: Row | None) -> Progress:
        timetable = self.feed.timetable
        seconds = time.monotonic() - began
        return Progress(
            step=self.step,
            steps=timetable.steps,
            epoch=self._epoch,
            epochs=timetable.epochs,
            loss=self.tally.mean_loss,
            accuracy=self.tally.accuracy,
            pictures=(self.step - first) * timetable.batch_size,
            seconds=seconds,
            left=seconds / (self.step - first) * (timetable.steps - self.step),
            row=row,
        )

    def _save(self) -> None:
        self._saved_at = time.monotonic()
        if not self.processes.is_first:
            return
        learner = self.learner
        tensors = state.state_of(learner.module, learner.average.module, learner.sgd)
        rest = {"step": self.step, "seconds": self.seconds, "tally": asdict(self.tally)}
        state.save_checkpoint(self.folder / state.CHECKPOINT, tensors, rest)


@contextmanager
def stop_requests() -> Iterator[Callable[[], bool]]:
    """Give a function that says whether Ctrl-C or `kill` came; a second one interrupts at once."""
    asked = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield asked.is_set
        return
    kinds = (signal.SIGINT, signal.SIGTERM)

    def note(_number: int, _frame: FrameType | None) -> None:
        if asked.is_set():
            raise KeyboardInterrupt
        asked.set()

    before = {kind: signal.signal(kind, note) for kind in kinds}
    try:
        yield asked.is_set
    finally:
        for kind, handler in before.items():
            signal.signal(kind, handler)
