"""One step, and what is done between steps."""

from __future__ import annotations

import os
import signal
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from tests.oracles.training import mixed_cross_entropy, smoothed_cross_entropy
from tests.training.test_feed import HOW, moved
from torch import Tensor, nn

from seewhy.datasets import Dataset
from seewhy.errors import ModelError, TrainingError
from seewhy.preprocess import Preprocess
from seewhy.training import state
from seewhy.training.feed import Batch, Feed, Memory, Timetable
from seewhy.training.logits import logits_of
from seewhy.training.loop import Learner, Loop, Progress, Stopped, stop_requests
from seewhy.training.metrics import Diary, read_metrics
from seewhy.training.optimise import Average, OneCycle, optimiser
from seewhy.training.processes import Processes
from seewhy.training.recipe import Recipe

RECIPE = Recipe(lr=0.1, label_smoothing=0.1, precision="float32", compile=False)


class Fixed(nn.Module):
    """Logits that do not depend on the picture."""

    def __init__(self, logits: list[float]) -> None:
        super().__init__()
        self.logits = nn.Parameter(torch.tensor(logits))

    def forward(self, x: Tensor) -> Tensor:
        return self.logits.expand(len(x), -1)


def learner(module: nn.Module, *, recipe: Recipe = RECIPE, steps: int = 8) -> Learner:
    return Learner(
        module=module,
        network=module,
        average=Average(module, 0.5),
        sgd=optimiser(module, (), recipe),
        schedule=OneCycle(recipe.lr or 0.1, steps, recipe.warm_up),
        recipe=recipe,
        preprocess=Preprocess((4, 4), 1.0, "squash"),
        device=torch.device("cpu"),
    )


def batch(labels: list[int]) -> Batch:
    return Batch(torch.zeros(len(labels), 4, 4, 3, dtype=torch.uint8), torch.tensor(labels))


def test_the_loss_against_the_formula() -> None:
    logits, labels = [0.5, -1.0, 2.0], [2, 0, 2, 1]
    sums = learner(Fixed(logits)).learn(batch(labels), 0)
    want = smoothed_cross_entropy([logits] * 4, labels, 0.1)
    assert sums.tolist() == pytest.approx([4 * want, 2, 4, 0], rel=1e-6)


def test_the_loss_of_mixed_pictures_against_the_formula() -> None:
    logits, labels, others, shares = [0.5, -1.0, 2.0], [2, 0, 2, 1], [0, 2, 2, 0], [0.75, 0.5, 0, 1]
    mixed = replace(batch(labels), others=torch.tensor(others), shares=torch.tensor(shares))
    sums = learner(Fixed(logits)).learn(mixed, 0)
    want = mixed_cross_entropy([logits] * 4, labels, others, shares, 0.1)
    assert sums.tolist() == pytest.approx([4 * want, 0.75 + 0.5 + 1, 4, 0], rel=1e-6)


def test_a_step_moves_the_weights_the_schedule_s_way() -> None:
    module = Fixed([0.0, 0.0])
    one = learner(module, recipe=Recipe(lr=0.1, label_smoothing=0, warm_up=0, momentum=0))
    one.learn(batch([0, 0]), 0)
    assert module.logits.tolist() == pytest.approx([0.05, -0.05], abs=1e-3)


def test_dropout_depends_on_seed_step_and_process_alone() -> None:
    class Dropping(Fixed):
        def forward(self, x: Tensor) -> Tensor:
            return nn.functional.dropout(super().forward(x), 0.5)

    def loss(step: int, rank: int = 0, seed: int = 0) -> float:
        one = learner(Dropping([0.5, -1.0, 2.0]), recipe=Recipe(lr=0.1, seed=seed))
        one.rank = rank
        torch.rand(3)  # what else drew from torch's generator plays no part
        return float(one.learn(batch([0, 1, 2, 0, 1, 2]), step)[0])

    assert loss(3) == loss(3)
    assert len({loss(3), loss(4), loss(3, rank=1), loss(3, seed=1)}) == 4


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3, stride=4), nn.ReLU(), nn.Flatten(), nn.Linear(64, 3))


def loop(data: Dataset, folder: Path, module: nn.Module | None = None, epochs: int = 2) -> Loop:
    source = Memory(data.train.load(HOW))
    timetable = Timetable(0, source.count, 16, epochs)
    one = learner(module or network(), steps=timetable.steps)
    diary = Diary(folder / "metrics.csv", step=0, events=None)
    return Loop(one, Feed(source, timetable, moved(72)), folder, Processes(), diary)


def test_rows_and_progress(data: Dataset, tmp_path: Path) -> None:
    seen: list[Progress] = []
    one = loop(data, tmp_path)
    one.watch = seen.append
    one.validate = lambda: 0.25
    one.run()
    assert [each.step for each in seen] == list(range(1, 9))
    assert [each.epoch for each in seen] == [1] * 4 + [2] * 4
    assert [each.step for each in seen if each.row] == [4, 8]
    assert seen[-1].pictures == 128
    assert [each.left for each in seen] == pytest.approx(
        [each.seconds / each.step * (8 - each.step) for each in seen]
    )
    written = read_metrics(tmp_path / "metrics.csv")
    assert [(row["step"], row["epoch"], row["validation_accuracy"]) for row in written] == [
        ("4", "1", "0.25"),
        ("8", "2", "0.25"),
    ]
    assert seen[3].row is not None
    assert float(written[0]["loss"]) == pytest.approx(seen[3].row.loss, rel=1e-5)


class Diverging(nn.Module):
    """A network whose logits overflow at a call."""

    def __init__(self, at: int, value: float) -> None:
        super().__init__()
        self.net, self.calls, self.at, self.value = network(), 0, at, value

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        logits: Tensor = self.net(x)
        return logits * self.value if self.calls == self.at else logits


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_loss_that_is_not_finite_stops_and_keeps_the_checkpoint(
    data: Dataset, tmp_path: Path, value: float
) -> None:
    one = loop(data, tmp_path, Diverging(6, value))
    with pytest.raises(TrainingError) as raised:
        one.run()
    assert str(raised.value) == (
        "training at step 6: expected finite numbers, got a NaN or an infinity in the loss; pass a "
        "lower --lr; the last good checkpoint is kept"
    )
    found = state.load_checkpoint(tmp_path / "checkpoint.safetensors")
    assert found is not None
    tensors, rest = found
    assert rest["step"] == 4
    assert all(torch.isfinite(each).all() for each in tensors.values())


def test_what_is_said_of_a_run_that_diverges_before_its_first_checkpoint(
    data: Dataset, tmp_path: Path
) -> None:
    one = loop(data, tmp_path, Diverging(2, float("nan")))
    one.learner.recipe = replace(one.learner.recipe, precision="bfloat16")
    said = "; pass a lower --lr, or --precision float32; no checkpoint was saved before it"
    with pytest.raises(TrainingError, match=said):
        one.run()
    assert not (tmp_path / state.CHECKPOINT).exists()


def test_a_request_to_stop_saves_the_step_it_came_in(data: Dataset, tmp_path: Path) -> None:
    one = loop(data, tmp_path)

    def interrupt(progress: Progress) -> None:
        if progress.step == 2:
            os.kill(os.getpid(), signal.SIGINT)

    one.watch = interrupt
    with pytest.raises(Stopped, match="interrupted after step 3 of 8"):
        one.run()
    found = state.load_checkpoint(tmp_path / "checkpoint.safetensors")
    assert found is not None
    assert found[1]["step"] == 3


def test_a_second_request_does_not_wait() -> None:
    before = signal.getsignal(signal.SIGINT)  # ignored, where a shell runs this in the background
    with stop_requests() as asked:
        os.kill(os.getpid(), signal.SIGINT)
        assert asked()
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is before


def test_checkpoints_by_the_clock(data: Dataset, tmp_path: Path) -> None:
    saved = []
    path = tmp_path / "checkpoint.safetensors"
    one = loop(data, tmp_path)
    one.checkpoint_every = 1e-9

    def look(progress: Progress) -> None:
        found = state.load_checkpoint(path)
        saved.append(found[1]["step"] if found else 0)

    one.watch = look
    one.run()
    assert saved == list(range(8))


@pytest.mark.parametrize(
    "form",
    [
        lambda logits: logits,
        lambda logits: (logits, 1),
        lambda logits: {"loss": 1, "logits": logits},
        lambda logits: type("Output", (), {"logits": logits})(),
        lambda logits: [(logits,)],
    ],
)
def test_logits_in_every_form(form: object) -> None:
    assert callable(form)
    assert logits_of(form(torch.ones(2, 3))).shape == (2, 3)


@pytest.mark.parametrize(
    ("output", "got"),
    [
        (torch.ones(2, 3, 4), r"a tensor \(2, 3, 4\)"),
        (None, "NoneType"),
        ([], "list"),
        ({}, "dict"),
    ],
)
def test_no_logits(output: object, got: str) -> None:
    with pytest.raises(ModelError, match=f"expected one logit a class and picture.*{got}"):
        logits_of(output)
