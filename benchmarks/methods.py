"""What the methods cost that make maps from a layer's features, beside those who made them known.

python -m benchmarks methods            # every network and batch
python -m benchmarks methods --quick    # a shorter look, without the methods that take minutes
"""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.cost import BATCHES, bare
from benchmarks.nets import NETS, SIZE, Net, in_faster_format, pictures
from benchmarks.timing import Contender, race
from seewhy.methods import METHODS

BARE = "bare"
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


Run = Callable[[Mapping[str, Contender]], Mapping[str, float]]


def medians(seconds: float, rounds: int, warm_up: int) -> Run:
    """A race that gives each contender's median seconds."""

    def run(all_of_them: Mapping[str, Contender]) -> dict[str, float]:
        timings = race(all_of_them, seconds=seconds, rounds=rounds, warm_up=warm_up)
        return {name: timings.median(name) for name in all_of_them}

    return run


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
    run = medians(seconds=3.0 if quick else 15.0, rounds=9, warm_up=2)
    for row in QUICK:
        for net in NETS[:1] if quick else NETS:
            for batch in BATCHES[:1] if quick else BATCHES:
                yield measure(row, net, batch, run)
    if not quick:
        for row in SLOW:  # one pass for each of 512 channels
            yield measure(row, NETS[0], 1, medians(seconds=0.0, rounds=3, warm_up=1))


ABOUT = """\
## Grad-CAM and its kin

To the map of the likeliest class at input resolution: time in bare forward passes of the same batch
(under `no_grad`). Everyone is given the same layer, the one before the pooling, in the memory
format in which the bare pass is faster. What each package computes, and where they differ, is in
[methods](methods.md).
"""
