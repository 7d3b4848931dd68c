"""How fast is training, and how much of it is not arithmetic?

python -m benchmarks training            # eager and compiled
python -m benchmarks training --quick    # a shorter look, nothing compiled
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.timing import Contender, Ratio, race
from seewhy.datasets import Pixels
from seewhy.models.nets import NETS
from seewhy.training.augment import augmentation, normalise
from seewhy.training.feed import Feed, Memory, Timetable
from seewhy.training.loop import Learner, Loop
from seewhy.training.metrics import Diary
from seewhy.training.optimise import Average, OneCycle, decay_over, optimiser
from seewhy.training.processes import Processes
from seewhy.training.recipe import Recipe

NET, BATCH, STEPS, SIDE = "resnet20", 128, 16, 32
PLAIN, BARE, OURS = "plain loop", "bare", "seewhy train"
FASTER, REST = 1.5, 0.10
CPU = torch.device("cpu")


@dataclass(frozen=True)
class Speed:
    """Images per second of one way to train, and what is lost on the way."""

    mode: str
    plain: float
    bare: float
    ours: float
    gain: Ratio
    kept: Ratio

    def row(self) -> str:
        """The result as a line of the Markdown table."""
        met = self.gain.value >= FASTER and 1 - self.kept.value <= REST
        rest = f"{1 - self.kept.value:.1%} ({1 - self.kept.high:.1%} to {1 - self.kept.low:.1%})"
        speeds = (f"{each:,.0f}" for each in (self.plain, self.bare, self.ours))
        verdict = "yes" if met else "**no**"
        return f"| {self.mode} | {' | '.join(speeds)} | {self.gain} | {rest} | {verdict} |"


def plain() -> Contender:
    """A loop as published code has it: NCHW, float32, eager; the batch is ready in memory."""
    model = _network(None)
    sgd = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, weight_decay=1e-4)
    pictures, labels = torch.randn(BATCH, 3, SIDE, SIDE), torch.randint(10, (BATCH,))

    def train() -> None:
        model.train()
        for _ in range(STEPS):
            loss = F.cross_entropy(model(pictures), labels)
            sgd.zero_grad()
            loss.backward()
            sgd.step()

    return train


def bare(recipe: Recipe) -> Contender:
    """Forward and backward in our way, on one batch that is ready: no optimiser, no data."""
    model = _network(torch.channels_last)
    called = _called(model, recipe)
    pictures = torch.randn(BATCH, 3, SIDE, SIDE).to(memory_format=torch.channels_last)
    labels = torch.randint(10, (BATCH,))
    half = recipe.precision == "bfloat16"

    def train() -> None:
        model.train()
        for _ in range(STEPS):
            with torch.autocast("cpu", torch.bfloat16, enabled=half):
                logits = called(pictures).float()
            F.cross_entropy(logits, labels, label_smoothing=recipe.label_smoothing).backward()
            model.zero_grad(set_to_none=True)

    return train


def ours(recipe: Recipe, folder: Path) -> Contender:
    """The whole loop: order, augmentation, step, average, metrics, and a checkpoint at the end."""
    model = _network(torch.channels_last)
    count = STEPS * BATCH
    timetable = Timetable(0, count, BATCH, 1)
    views = augmentation(0, (SIDE, SIDE), margin=0.125, flip=True, count=count, hole=recipe.hole)
    learner = Learner(
        module=model,
        network=_called(model, recipe),
        average=Average(model, decay_over(1000, recipe.average)),
        sgd=optimiser(model, (), recipe),
        schedule=OneCycle(1e-3, STEPS, recipe.warm_up),
        recipe=recipe,
        preprocess=NETS[NET].preprocess,
        device=CPU,
    )
    loop = Loop(learner, Feed(Memory(_pixels(count)), timetable, views), folder, Processes())
    loop.watch = lambda _progress: None

    def train() -> None:
        loop.step = 0
        loop.diary = Diary(folder / "metrics.csv", step=0, events=None)
        loop.run()

    return train


def _network(layout: torch.memory_format | None) -> nn.Module:
    torch.manual_seed(0)
    model = NETS[NET].build(10)
    if layout is not None:
        model.to(memory_format=layout)  # type: ignore[call-overload]
    return model


def _called(model: nn.Module, recipe: Recipe) -> Callable[[Tensor], Tensor]:
    return torch.compile(model) if recipe.compile else model


def _pixels(count: int) -> Pixels:
    random = np.random.default_rng(0)
    images = random.integers(0, 256, (count, SIDE, SIDE, 3), dtype=np.uint8)
    return Pixels(images, random.integers(0, 10, count), np.arange(count), ())


def measure(recipe: Recipe, seconds: float) -> Speed:
    """Race the three; each call makes the same number of steps."""
    with tempfile.TemporaryDirectory() as folder:
        contenders = {PLAIN: plain(), BARE: bare(recipe), OURS: ours(recipe, Path(folder))}
        timings = race(contenders, seconds=seconds, rounds=5, warm_up=1)
    speeds = {name: STEPS * BATCH / timings.median(name) for name in contenders}
    return Speed(
        mode=f"{recipe.precision}, {'compiled' if recipe.compile else 'eager'}",
        plain=speeds[PLAIN],
        bare=speeds[BARE],
        ours=speeds[OURS],
        gain=timings.speed(OURS, over=PLAIN),
        kept=timings.speed(OURS, over=BARE),
    )


def rows(*, quick: bool) -> Iterator[str]:
    """The Markdown table, line by line as the results come in."""
    yield (
        "| way | plain loop | bare | seewhy train | over the plain loop "
        "| not forward and backward | met |"
    )
    yield "| --- | ---: | ---: | ---: | ---: | ---: | --- |"
    settled = Recipe(batch_size=BATCH, lr=0.1, compile=False).settled(
        _network(None), pictures=STEPS * BATCH, device=CPU, is_trained=False
    )
    for compiled in (False,) if quick else (False, True):
        yield measure(replace(settled, compile=compiled), 10.0 if quick else 60.0).row()


def seconds_of_data() -> tuple[float, float]:
    """Seconds that a batch's data take, and normalising it: for people who look where time goes."""
    feed = Feed(
        Memory(_pixels(STEPS * BATCH)),
        Timetable(0, STEPS * BATCH, BATCH, 1),
        augmentation(0, (SIDE, SIDE), margin=0.125, flip=True, count=STEPS * BATCH),
    )
    batch = feed.batch(0)
    how = NETS[NET].preprocess
    timings = race(
        {
            "data": lambda: feed.batch(1),
            "normalise": lambda: normalise(batch.pictures, how.mean, how.std),
        },
        seconds=1,
    )
    return timings.median("data"), timings.median("normalise")


ABOUT = f"""\
## What training costs

Images per second of a ResNet-20 for 32 x 32 in batches of {BATCH}. *plain loop* is what published
training code does, in NCHW, float32 and eager, with its batch ready in memory; *bare* is forward
and backward alone in our way (channels last, the precision of the row), on one batch that is ready;
*seewhy train* is all of it: order, augmentation, optimiser, average of the weights, metrics, and a
checkpoint every {STEPS} steps. Goals: at least {FASTER} times the plain loop, and at most
{REST:.0%} of the time for what is not forward and backward.
"""
