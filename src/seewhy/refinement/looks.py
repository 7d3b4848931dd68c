"""`refine`: from evidence on a coarse grid to where the object is on a finer one."""

from __future__ import annotations

import functools
import weakref
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from seewhy import heads
from seewhy.errors import InputError
from seewhy.explainer import Classes, Prepared
from seewhy.explanation import Explanation
from seewhy.finer.looks import Look, looks
from seewhy.finer.wish import wish
from seewhy.models.cost import cost
from seewhy.pictures import Preparer, prepare_batch
from seewhy.refinement.affinity import likeness, power_for, spread
from seewhy.refinement.refined import Refined
from seewhy.refinement.seen import looked
from seewhy.tasks import Task

FINER, SHARE = 4, 0.1
_AT_ONCE = 2**25  # numbers in the likeness of positions, in memory

_COSTS: weakref.WeakKeyDictionary[nn.Module, dict[Any, int]] = weakref.WeakKeyDictionary()


def refine(
    model: nn.Module | Prepared,
    images: Any,
    classes: Classes = "predicted",
    *,
    finer: int = FINER,
    share: float = SHARE,
    flip: bool = False,
    scales: Sequence[float] | None = None,
    output: str | int | None = None,
    task: Task | None = None,
    preprocess: Preparer | None = None,
    class_names: Sequence[str] | None = None,
    strict: bool = True,
) -> Refined:
    """Show where the object is: positive evidence, spread among what is alike to the network.

    The evidence says where the decision comes from, on a coarse grid: the head of a dog, and the
    cells around it. What is alike in the features of a finer grid, earlier in the same pass,
    belongs together: the whole dog, up to its outline. So each position of that grid takes the
    mean of the evidence over the positions that are most like it: see `refinement/affinity.py`.

    The result is a picture of where the object is. It is no longer the evidence: nothing of it
    adds up to a logit. The evidence stays beside it as `Refined.raw`.

    One forward pass, and `n * n * (K + k)` multiply-adds for n positions, K channels, k classes.

    Args:
        model: as for `explain`; its pictures have height and width.
        images: as for `explain`.
        classes: as for `explain`.
        finer: the features are those whose grid has so many times as many cells a side as the
            evidence's: 4 is a stride of 8 where the evidence has one of 32.
        share: of all positions, that a position takes its mean over.
        flip: average with the mirrored pictures; another pass.
        scales: average with pictures of these sizes, too, as parts of the usual side; another
            pass each.
        output: as for `explain`.
        task: as for `explain`.
        preprocess: as for `explain`.
        class_names: as for `explain`.
        strict: as for `explain`.

    Raises:
        InputError: the network has no such grid, the inputs are no pictures, or a value makes no
            sense.
        Also what `explain` raises.

    Source:
        Ahn and Kwak, Learning Pixel-level Semantic Affinity with Image-level Supervision for
        Weakly Supervised Semantic Segmentation, CVPR 2018, section 3.3: a random walk with the
        likeness of features, there learned, here found in the classifier. Wang et al.,
        Self-supervised Equivariant Attention Mechanism, CVPR 2020, section 3.3: the clipped
        cosine. Buades et al., A non-local algorithm for image denoising, CVPR 2005: the mean over
        what is alike.
    """
    if not isinstance(model, nn.Module) and isinstance(model, Prepared):
        preprocess, class_names = preprocess or model.preprocess, class_names or model.class_names
        model = model.module
    network = heads.unwrap(model)
    inputs, geometry = prepare_batch(images, network, preprocess)
    pictures = _checked(inputs, finer, share)
    asked: dict[str, Any] = {
        "output": output,
        "task": task,
        "class_names": class_names,
        "strict": strict,
    }
    refined = functools.partial(_refined, network, finer=finer, share=share, **asked)
    raw, *first = refined(look=Look(pictures), classes=classes)
    others = _others(pictures, raw, flip, scales)
    parts = [first, *(refined(look=each, classes=raw.classes)[1:] for each in others)]
    maps, powers, works = zip(*parts, strict=True)
    return Refined(
        refined=_mean(maps),
        raw=replace(raw, geometry=geometry),
        multiply_adds=sum(works),
        passes=sum(works) / _pass(network, pictures),
        power=torch.stack(powers),
    )


@torch.no_grad()
def _refined(
    network: nn.Module, look: Look, classes: Classes, *, finer: int, share: float, **options: Any
) -> tuple[Explanation, Tensor, Tensor, int]:
    """One look: its evidence, its refined maps, the powers, and the multiply-adds of a picture."""
    raw, features = looked(network, look.pictures, classes, finer, **options)
    evidence = raw.maps.float().clamp_min(0)
    size = (features.shape[2], features.shape[3])
    coarse = F.interpolate(evidence, size=size, mode="bilinear", align_corners=False)
    maps, power = _spread(coarse, features, share)
    count = size[0] * size[1]
    spreading = count * count * (features.shape[1] + maps.shape[1])
    return raw, look.upright(maps), power, _pass(network, look.pictures) + spreading


def _spread(coarse: Tensor, features: Tensor, share: float) -> tuple[Tensor, Tensor]:
    """Spread maps among like positions, of as many pictures at once as fit."""
    at_once = max(1, _AT_ONCE // (features.shape[2] * features.shape[3]) ** 2)
    parts = []
    for some, theirs in zip(coarse.split(at_once), features.split(at_once), strict=True):
        alike = likeness(theirs)
        power = power_for(alike, share)
        parts.append((spread(some, alike, power), power))
    maps, powers = zip(*parts, strict=True)
    return torch.cat(maps), torch.cat(powers)


def _others(
    pictures: Tensor, raw: Explanation, flip: bool, scales: Sequence[float] | None
) -> Iterator[Look]:
    """All looks that are wished for, but the plain one."""
    wanted = wish(1, "auto", flip, (1.0, *(scales or ())))
    if not wanted.is_plain:
        every = looks(pictures, tuple(raw.maps.shape[2:]), wanted)
        yield from (each for each in every if not each.is_plain)


def _mean(maps: Sequence[Tensor]) -> Tensor:
    """The mean of maps of several grids, on the grid of the first, each brought to 0 to 1."""
    size = (maps[0].shape[2], maps[0].shape[3])
    scaled = (
        F.interpolate(_from_0_to_1(each), size=size, mode="bilinear", align_corners=False)
        for each in maps
    )
    return _from_0_to_1(torch.stack(list(scaled)).mean(0))


def _from_0_to_1(maps: Tensor) -> Tensor:
    """Maps shifted and scaled so; those that are the same everywhere become 0.

    However unlike the object a place is, a little of the evidence comes to it: the least of all
    places is what the background has.
    """
    least, most = maps.amin((2, 3), keepdim=True), maps.amax((2, 3), keepdim=True)
    return (maps - least) / torch.where(most > least, most - least, 1)


def _pass(network: nn.Module, pictures: Tensor) -> int:
    """The multiply-adds of one picture of this size, counted once."""
    known = _COSTS.setdefault(network, {})
    size = tuple(pictures.shape[1:])
    if size not in known:
        known[size] = cost(network, pictures[:1]).multiply_adds
    return known[size]


def _checked(inputs: Any, finer: int, share: float) -> Tensor:
    if not isinstance(inputs, Tensor) or inputs.ndim != 4:
        got = f"shape {tuple(inputs.shape)}" if isinstance(inputs, Tensor) else "other inputs"
        fix = "look at the maps as they are"
        raise InputError("refine", expected="pictures (B, C, H, W)", got=got, fix=fix)
    if not 0 < share < 1:
        expected, fix = "a share of the picture, above 0 and below 1", "pass 0.1"
        raise InputError("share", expected=expected, got=f"{share}", fix=fix)
    if finer < 1:
        raise InputError("finer", expected="1, 2, 4, ...", got=f"{finer}", fix="pass 4")
    return inputs
