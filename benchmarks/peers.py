"""How fast are others? To top-1 maps at input resolution, measured in bare forward passes.

    python -m benchmarks peers

Each peer is used as its README says, is told the right layers, and runs in the memory format in
which it is the faster. What each returns is compared with seewhy's map before it is timed.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

import seewhy
from benchmarks.cost import BATCHES, bare
from benchmarks.nets import NETS, SIZE, Net, Placed, in_faster_format, pictures
from benchmarks.timing import race
from seewhy.engines import make_engine

BARE = "bare"
Maps = Callable[[], Tensor]  # top-1 maps at input resolution, (B, H, W)


def of_seewhy(_: Net, model: nn.Module, images: Tensor) -> Maps:
    """Raw maps in logits, each checked to add up to its logit."""
    head = seewhy.find_head(model, images[:2])

    @torch.inference_mode()
    def maps() -> Tensor:
        return seewhy.explain(model, images, head=head).upsample((SIZE, SIZE))[:, 0]

    return maps


def of_engine(_: Net, model: nn.Module, images: Tensor) -> Maps:
    """The same by the engine that is the fastest for this batch, in a format of its own."""
    head = seewhy.find_head(model, images[:2])
    engine = make_engine(model, head, "auto", batch=len(images), example=images)

    @torch.inference_mode()
    def maps() -> Tensor:
        explained = seewhy.explain(model, images, head=head, engine=engine)
        return explained.upsample((SIZE, SIZE))[:, 0]

    return maps


def of_attached(_: Net, model: nn.Module, images: Tensor) -> Maps:
    """Raw maps in logits from the attached module, unchecked."""
    attached = seewhy.attach(model, images[:2], classes="predicted")

    @torch.inference_mode()
    def maps() -> Tensor:
        small = attached(images).maps
        return F.interpolate(small, (SIZE, SIZE), mode="bilinear", align_corners=False)[:, 0]

    return maps


def of_torchcam(net: Net, model: nn.Module, images: Tensor) -> Maps:
    """TorchCAM's CAM, which gives maps on the feature grid; bilinear from there."""
    from torchcam.methods import CAM

    extractor = CAM(model, net.target, net.classifier)

    @torch.inference_mode()
    def maps() -> Tensor:
        scores = model(images)
        cams: Tensor = extractor(scores.argmax(1).tolist(), scores)[0]
        return F.interpolate(cams[:, None], (SIZE, SIZE), mode="bilinear")[:, 0]

    return maps


def of_grad_cam(method: str) -> Callable[[Net, nn.Module, Tensor], Maps]:
    """A method of pytorch-grad-cam, by name; it resizes its maps itself."""

    def contender(net: Net, model: nn.Module, images: Tensor) -> Maps:
        import pytorch_grad_cam

        cam = getattr(pytorch_grad_cam, method)(model, [model.get_submodule(net.target)])
        return lambda: torch.from_numpy(cam(input_tensor=images, targets=None))

    return contender


ENGINE = "seewhy explain, auto"
CONTENDERS: Mapping[str, Callable[[Net, nn.Module, Tensor], Maps]] = {
    "seewhy explain": of_seewhy,
    "seewhy attach": of_attached,
    "TorchCAM CAM": of_torchcam,
    "pytorch-grad-cam GradCAM": of_grad_cam("GradCAM"),
    "pytorch-grad-cam HiResCAM": of_grad_cam("HiResCAM"),
}
SHOWN = (ENGINE, *CONTENDERS)


def measure(net: Net, batch: int, seconds: float) -> str:
    """Race everyone to the maps of one batch: a line of the Markdown table."""
    model, images = net.build(), pictures(batch)
    places = {BARE: in_faster_format(bare, model, images)}
    for name, contender in CONTENDERS.items():
        places[name] = in_faster_format(functools.partial(contender, net), model, images)
    fastest = of_engine(net, model, images)
    places[ENGINE] = Placed("its own", model, images, fastest)
    maps: dict[str, Any] = {name: places[name].contender() for name in SHOWN}
    require_same_maps(maps["seewhy explain"], maps)
    timings = race({name: place.contender for name, place in places.items()}, seconds=seconds)
    base = timings.median(BARE)
    cells = [
        f"{batch / timings.median(name):.1f} · {timings.median(name) / base:.2f}" for name in SHOWN
    ]
    return f"| {net.name} | {batch} | {batch / base:.1f} | {' | '.join(cells)} |"


def require_same_maps(ours: Any, maps: Mapping[str, Any]) -> None:
    """Peers show our map too, but stretched, some without its negative part, or time is wasted."""
    signed = ours.flatten(1)
    for name, theirs in maps.items():
        for picture, other in zip(signed, theirs.flatten(1), strict=True):
            alike = max(_correlation(picture, other), _correlation(picture.clamp(min=0), other))
            if not alike > 0.99:
                raise AssertionError(f"{name} shows something else: correlation {alike:.3f}")


def _correlation(first: Tensor, second: Tensor) -> float:
    return float(torch.corrcoef(torch.stack((first, second.to(first))))[0, 1])


def rows(*, quick: bool) -> Iterator[str]:
    """The Markdown table, line by line as the results come in."""
    yield f"| network | batch | {BARE} | {' | '.join(SHOWN)} |"
    yield f"| --- | ---: | ---: | {' | '.join(['---:'] * len(SHOWN))} |"
    for net in NETS:
        for batch in BATCHES:
            yield measure(net, batch, seconds=3.0 if quick else 15.0)


ABOUT = """\
## Against what people use

To the map of the likeliest class at input resolution: images per second · time in bare forward
passes. Each peer is given the right layers, runs in the faster of NCHW and channels_last, and shows
the same map (checked), though not in logits. TorchCAM's map is brought to input resolution with
`F.interpolate`; pytorch-grad-cam does that itself. *seewhy explain, auto* is `explain(...,
engine=make_engine(..., "auto"))` in float32: the fastest of the engines that are installed, each
map checked to add up; the other columns run in eager PyTorch.
"""
