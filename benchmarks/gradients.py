"""What methods cost that differentiate the whole network, beside pytorch-grad-cam and Captum.

python -m benchmarks gradients
"""

from __future__ import annotations

import contextlib
import copy
import functools
import io
from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn

from benchmarks.cost import BATCHES, bare
from benchmarks.nets import NETS, pictures
from benchmarks.timing import Contender, race
from seewhy.methods import fullgrad, smoothgrad

BARE, SAMPLES = "bare", 8
Pair = dict[str, Contender]  # ours, and a peer's


def fullgrads(model: nn.Module, images: Tensor, classes: Tensor) -> Pair:
    """FullGrad here, and pytorch-grad-cam's."""
    import pytorch_grad_cam
    from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget

    with contextlib.redirect_stdout(io.StringIO()):  # it says that it chooses layers itself
        cam = pytorch_grad_cam.FullGrad(copy.deepcopy(model), [])
    targets = [ClassifierOutputTarget(int(each)) for each in classes]
    return {
        "seewhy": functools.partial(fullgrad, model, images, classes),
        "pytorch-grad-cam": lambda: cam(images.clone(), targets),
    }


def smoothgrads(model: nn.Module, images: Tensor, classes: Tensor) -> Pair:
    """SmoothGrad here, and Captum's."""
    from captum.attr import NoiseTunnel, Saliency

    tunnel = NoiseTunnel(Saliency(copy.deepcopy(model)))
    spread = 0.15 * float(images.max() - images.min())
    return {
        "seewhy": lambda: smoothgrad(model, images, classes, samples=SAMPLES),
        "Captum": lambda: tunnel.attribute(
            images, nt_samples=SAMPLES, stdevs=spread, target=classes, abs=False
        ),
    }


RACES: dict[str, Callable[[nn.Module, Tensor, Tensor], Pair]] = {
    "FullGrad": fullgrads,
    f"SmoothGrad, {SAMPLES} samples": smoothgrads,
}


def measure(name: str, batch: int, seconds: float) -> str:
    """Both costs on ResNet-18: a line of the Markdown table."""
    net = NETS[0]
    model, images = net.build(), pictures(batch)
    pair = RACES[name](model, images, torch.zeros(batch, dtype=torch.long))
    timings = race({BARE: bare(model, images), **pair}, seconds=seconds, rounds=5)
    base = timings.median(BARE)
    ours, theirs = (f"{timings.median(who) / base:.1f}" for who in pair)
    peer = list(pair)[1]
    return f"| {name} | {net.name} | {batch} | {base * 1000:.0f} ms | {ours} | {theirs} ({peer}) |"


def rows(*, quick: bool) -> Iterator[str]:
    """The Markdown table, line by line as the results come in."""
    yield f"| method | network | batch | {BARE} | seewhy | a peer |"
    yield "| --- | --- | ---: | ---: | ---: | ---: |"
    for name in RACES:
        for batch in BATCHES[:1] if quick else BATCHES:
            yield measure(name, batch, seconds=3.0 if quick else 15.0)


ABOUT = """\
## Gradients of the whole network

Maps of one class: time in bare forward passes of the same batch (under `no_grad`).
"""
