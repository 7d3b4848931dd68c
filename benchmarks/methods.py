"""What the methods cost that make maps from a layer's features, beside those who made them known.

python -m benchmarks methods            # two networks, two sizes of batches
python -m benchmarks methods --quick    # a shorter look, without the methods that take minutes
"""

from __future__ import annotations

import copy
import functools
import statistics
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.cost import bare
from benchmarks.nets import NETS, SIZE, Net, in_faster_format, pictures
from benchmarks.timing import Contender, race
from seewhy.methods import METHODS

BARE = "bare"
RESNET18, *_, LITE0 = NETS
BATCHES = (1, 4)
PACKAGES = ("seewhy", "pytorch-grad-cam", "TorchCAM")


@dataclass(frozen=True)
class Row:
    """A method, under the names that each package gives it."""

    ours: str
    grad_cam: str | None = None
    torchcam: str | None = None


QUICK = (
    Row("grad-cam", "GradCAM", "GradCAM"),
    Row("grad-cam++", "GradCAMPlusPlus", "GradCAMpp"),
    Row("hirescam", "HiResCAM"),
    Row("xgrad-cam", "XGradCAM", "XGradCAM"),
    Row("layer-cam", "LayerCAM", "LayerCAM"),
    Row("finer-cam", "FinerCAM", "FinerCAM"),
    Row("eigen-cam", "EigenCAM"),
)
SLOW = (Row("score-cam", "ScoreCAM", "ScoreCAM"), Row("ablation-cam", "AblationCAM"))


def of_seewhy(method: str, model: nn.Module, images: Tensor, classes: Tensor) -> Contender:
    """Raw maps at the picture's size, from the layer that the head reads."""
    return functools.partial(METHODS[method].function, model, images, classes)


def of_grad_cam(
    name: str, net: Net, model: nn.Module, images: Tensor, classes: Tensor
) -> Contender:
    """The same layer, named; maps at the picture's size, from 0 to 1."""
    import pytorch_grad_cam
    from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget

    cam = getattr(pytorch_grad_cam, name)(model, [model.get_submodule(net.target)])
    targets = [ClassifierOutputTarget(int(each)) for each in classes]
    given = None if name == "FinerCAM" else targets  # which picks its classes itself
    return lambda: cam(input_tensor=images, targets=given)


def of_torchcam(
    name: str, net: Net, model: nn.Module, images: Tensor, classes: Tensor
) -> Contender:
    """The same layer, named; maps are brought to the picture's size."""
    from torchcam import methods

    cam, ids = getattr(methods, name)(model, net.target), classes.tolist()

    def maps() -> Tensor:
        (small,) = cam(ids, model(images))
        return F.interpolate(small[:, None], (SIZE, SIZE), mode="bilinear")[:, 0]

    return maps


def contenders(
    row: Row, net: Net, model: nn.Module, images: Tensor, classes: Tensor
) -> dict[str, Contender]:
    """Who can make this map, each with a copy of the network, for some leave hooks on it."""
    given = images, classes
    found = {BARE: bare(copy.deepcopy(model), images)}
    found["seewhy"] = of_seewhy(row.ours, copy.deepcopy(model), *given)
    if row.grad_cam:
        found["pytorch-grad-cam"] = of_grad_cam(row.grad_cam, net, copy.deepcopy(model), *given)
    if row.torchcam:
        found["TorchCAM"] = of_torchcam(row.torchcam, net, copy.deepcopy(model), *given)
    return found


Contenders = Mapping[str, Contender]
Run = Callable[[Contenders], Mapping[str, float]]


def in_turn(everyone: Contenders, seconds: float) -> dict[str, float]:
    """The median seconds of each, all taking turns."""
    timings = race(everyone, seconds=seconds)
    return {name: timings.median(name) for name in everyone}


def once(everyone: Contenders) -> dict[str, float]:
    """The seconds of each, run once; of the bare pass, the median before and after."""
    passes = {BARE: everyone[BARE]}
    before = race(passes, seconds=0).seconds[BARE]
    slow = {name: run for name, run in everyone.items() if name != BARE}
    taken = race(slow, seconds=0, rounds=1, warm_up=0)
    bare_seconds = (*before, *race(passes, seconds=0).seconds[BARE])
    return {BARE: statistics.median(bare_seconds), **{name: taken.median(name) for name in slow}}


def measure(row: Row, net: Net, batch: int, run: Run) -> str:
    """Everyone's cost of one method, in forward passes of the same batch: a line of the table."""
    place = in_faster_format(bare, net.build(), pictures(batch))
    with torch.no_grad():
        classes = place.model(place.images).argmax(1)
    taken = run(contenders(row, net, place.model, place.images, classes))
    cells = [f"{taken[name] / taken[BARE]:.2f}" if name in taken else "" for name in PACKAGES]
    forward = f"{taken[BARE] * 1000:.0f} ms"
    return f"| {row.ours} | {net.name} | {batch} | {forward} | {' | '.join(cells)} |"


def rows(*, quick: bool) -> Iterator[str]:
    """The Markdown table, line by line as the results come in."""
    yield f"| method | network | batch | {BARE} | {' | '.join(PACKAGES)} |"
    yield f"| --- | --- | ---: | ---: | {' | '.join(['---:'] * len(PACKAGES))} |"
    run = functools.partial(in_turn, seconds=3.0 if quick else 10.0)
    for net in (RESNET18,) if quick else (RESNET18, LITE0):
        for batch in (1,) if quick else BATCHES:
            for row in QUICK:
                yield measure(row, net, batch, run)
    if not quick:
        for row in SLOW:  # hundreds of passes
            yield measure(row, RESNET18, 1, once)


ABOUT = """\
## Grad-CAM and its kin

To the map of the likeliest class at input resolution: time in bare forward passes of the same batch
(under `no_grad`). Everyone is given the same layer, the one before the pooling, in the memory
format in which the bare pass is faster. Score-CAM and Ablation-CAM, which take hundreds of passes,
are timed once, at ResNet-18's 512 channels. What each package computes, and where they differ, is
in [methods](methods.md).
"""
