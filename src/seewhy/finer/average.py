"""From a wish to an `Explanation`: run the views, explain each, and average what they say.

Every view is a picture like any other, and its map adds up to its own logit. Means of maps add up
to means of logits: so the finer map adds up to the mean of the views' logits, and that is its
target. The model's own logits stay beside it.
"""

from __future__ import annotations

import weakref
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch
from torch import Tensor, nn

from seewhy import evidence, heads
from seewhy.errors import InputError, ModelError, SeewhyError
from seewhy.explainer import explain_features
from seewhy.explanation import Explanation
from seewhy.finer import dilate, shift
from seewhy.finer.dilate import ordinary_mode
from seewhy.finer.grids import Order, interleaved, resampled
from seewhy.finer.looks import Look, looks
from seewhy.finer.plan import CannotDilate, Plan
from seewhy.finer.views import Views
from seewhy.finer.wish import Wish
from seewhy.heads import Head, Seen
from seewhy.heads.layout import picture_size
from seewhy.models.cost import cost
from seewhy.observe import in_eval_mode, run_eagerly
from seewhy.wording import complaint

Way = Literal["dilate", "shift"]
Pair = tuple[float, float]  # height, width


def explained(
    wish: Wish, network: nn.Module, inputs: Any, classes: Any, head: Head, **options: Any
) -> Explanation:
    """Explain pictures by the mean over the views that a wish asks for.

    Args:
        wish: which views.
        network: the network.
        inputs: pictures (B, C, H, W).
        classes: as for `explain`; what is predicted is what the plain pass predicts.
        head: the network's head.
        options: what `explain_features` takes besides.

    Raises:
        InputError: the inputs are no pictures, the head has no grid of two sides, or the grid
            cannot be made finer in the way that is wished for.
        ModelError: the network cannot run on the views.
    """
    pictures = _require_pictures(inputs)
    with ordinary_mode(), in_eval_mode(network), run_eagerly():
        return _Mean(_Runner(network, head, wish), pictures, options).explanation(classes)


@dataclass(frozen=True)
class _Runner:
    """Runs looks at pictures, on the usual grid or a finer one."""

    network: nn.Module
    head: Head
    wish: Wish

    def way(self, pictures: Tensor) -> Way | None:
        """How the grid is to be made finer: by dilation where that is exact, else by shifts."""
        if self.wish.resolution == 1:
            return None
        if self.wish.how == "shift":
            return "shift"
        try:
            self.plan(pictures)
        except CannotDilate as reason:
            if self.wish.how == "auto":
                return "shift"
            raise _cannot(self.network, reason) from None
        return "dilate"

    def common_way(self, wanted: list[Look], way: Way | None) -> Way | None:
        """The same for all looks, whose sizes may differ."""
        others = [look.pictures for look in wanted if look.scale != 1.0 and not look.is_mirrored]
        return "shift" if way == "dilate" and "shift" in map(self.way, others) else way

    def passes(self, look: Look, way: Way | None, cell: Pair = (1.0, 1.0)) -> Iterator[Seen]:
        """The logits and features of all views of a look, in one pass or in several.

        Args:
            look: at which pictures.
            way: how they are made finer.
            cell: the height and width of a usual cell, in pixels.
        """
        pictures, resolution = look.pictures, self.wish.resolution
        try:
            if way == "dilate":
                yield dilate.look(self.network, self.head, pictures, self.plan(pictures))
            elif way == "shift":
                yield from shift.looks(self.network, self.head, pictures, resolution, cell)
            else:
                yield heads.look(self.network, self.head, (pictures,), {})
        except SeewhyError:
            raise
        except Exception as error:
            raise _failed(self.network, look, error) from error

    def order(self, look: Look, way: Way | None) -> Order:
        """In which order the views lie in a batch, see `interleaved`."""
        if way == "dilate":
            return self.plan(look.pictures).order
        return () if way is None else ((0, self.wish.resolution), (1, self.wish.resolution))

    def multiply_adds(self, look: Look, way: Way | None) -> int:
        """Of all views of one picture; counted once for each size."""
        known = _COSTS.setdefault(self.head, {})
        picture = look.pictures[:1]
        finer = self.wish.resolution if way == "dilate" else 1
        key = tuple(picture.shape), finer
        if key not in known:
            plan = self.plan(look.pictures) if way == "dilate" else None
            network = dilate.Dilated(self.network, plan) if plan else self.network
            known[key] = cost(network, picture).multiply_adds
        return known[key] * (self.wish.resolution**2 if way == "shift" else 1)

    def plan(self, pictures: Tensor) -> Plan:
        """How pictures of this size are dilated."""
        return dilate.plan_for(self.network, self.head, pictures, self.wish.resolution)


_COSTS: weakref.WeakKeyDictionary[Head, dict[Any, int]] = weakref.WeakKeyDictionary()


class _Mean:
    """The mean over all looks at a batch of pictures.

    Attributes:
        runner: runs the looks.
        options: what `explain_features` takes besides.
        own: the plain look.
        cell: the height and width of a usual cell, in pixels.
        way: how the grid of each look is made finer.
        looks: all that are wished for.
        plain: what a plain pass shows.
        known: what all views of the plain look show, if it is among the looks and was run already.
        extra: plain passes beside those of the looks.
    """

    def __init__(self, runner: _Runner, pictures: Tensor, options: dict[str, Any]) -> None:
        self.runner, self.options, self.own = runner, options, Look(pictures)
        way = runner.way(pictures)
        plain = None if way == "dilate" else self._plain()
        grid = runner.plan(pictures).grid if plain is None else tuple(plain.features.shape[2:])
        _require_grid(grid)
        self.cell = pictures.shape[2] / grid[0], pictures.shape[3] / grid[1]
        self.looks = list(looks(pictures, grid, runner.wish))
        self.way = runner.common_way(self.looks, way)
        self.known = None
        if self.way != "shift" and self.looks[0].is_plain:
            self.known = plain or next(runner.passes(self.own, self.way))
        own = self._undisturbed() if plain is None else None
        self.plain = plain or own or self._plain()
        self.extra = int(own is None and self.plain is not self.known)

    def _plain(self) -> Seen:
        return next(self.runner.passes(self.own, None))

    def explanation(self, classes: Any) -> Explanation:
        """What all looks together say of the classes, which are chosen by the plain pass."""
        usual = self._explain(self.plain, classes, self.options)
        ids, logits = usual.classes, usual.logits
        parts = [self._part(look, ids, _times(self.runner.wish, usual)) for look in self.looks]
        maps, bias, target, worst = (torch.stack(each) for each in zip(*parts, strict=True))
        mean = maps.mean(0), bias.mean(0), target.mean(0)
        scale = evidence.logit_scale(logits.to(maps.dtype))
        deviation = evidence.certificate(*mean, scale)
        return replace(
            usual,
            maps=mean[0],
            bias=mean[1],
            target=mean[2],
            certificate=torch.maximum(deviation, worst.amax(0)),
            views=self._views(usual.target),
        )

    def _undisturbed(self) -> Seen | None:
        """Of the views of a dilated pass, what a plain pass shows; None if it cannot be told."""
        if self.known is None or self.known.tail is not None:
            return None
        plan = self.runner.plan(self.own.pictures)
        logits, features = self.known.logits, self.known.features
        return Seen(dilate.undisturbed(plan, logits), dilate.undisturbed(plan, features))

    def _part(
        self, look: Look, ids: Tensor, size: tuple[int, int]
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """The means over one look's views: map, bias and target; and the worst certificate."""
        known = [self.known] if look.is_plain and self.known is not None else None
        options = self.options | {"geometry": ()}
        every = [
            self._explain(seen, ids.repeat(len(seen.logits) // len(ids), 1), options)
            for seen in known or self.runner.passes(look, self.way, self.cell)
        ]
        maps, bias, target, certificate = (
            torch.cat([getattr(each, name) for each in every])
            for name in ("maps", "bias", "target", "certificate")
        )
        maps = look.upright(interleaved(maps, self.runner.order(look, self.way)))
        bias, target, certificate = (
            each.unflatten(0, (-1, len(ids))) for each in (bias, target, certificate)
        )
        return resampled(maps, size), bias.mean(0), target.mean(0), certificate.amax(0)

    def _explain(self, seen: Seen, classes: Any, options: dict[str, Any]) -> Explanation:
        network, head = self.runner.network, self.runner.head
        return explain_features(
            network, head, seen.logits, seen.features, classes, tail=seen.tail, **options
        )

    def _views(self, plain: Tensor) -> Views:
        wish = self.runner.wish
        count = wish.resolution**2 * len(self.looks)
        return Views(wish.resolution, self.way, wish.flip, wish.scales, count, self._cost(), plain)

    def _cost(self) -> float:
        """The multiply-adds of all passes over those of a plain one."""
        plain = self.runner.multiply_adds(self.own, None)
        every = sum(self.runner.multiply_adds(look, self.way) for look in self.looks)
        if not plain:  # nothing but sums: then a view costs what a view costs
            return float(self.runner.wish.resolution**2 * len(self.looks) + self.extra)
        return (every + self.extra * plain) / plain


def _times(wish: Wish, usual: Explanation) -> tuple[int, int]:
    """The finer grid."""
    high, wide = usual.maps.shape[2:]
    return wish.resolution * high, wish.resolution * wide


def _require_pictures(inputs: Any) -> Tensor:
    is_picture = isinstance(inputs, Tensor) and inputs.ndim == 4
    if not is_picture or picture_size(tuple(inputs.shape)) != tuple(inputs.shape[2:]):
        got = f"shape {tuple(inputs.shape)}" if isinstance(inputs, Tensor) else "other inputs"
        raise _no_pictures("a batch of pictures (B, C, H, W)", got)
    pictures: Tensor = inputs.clone() if inputs.is_inference() else inputs
    return pictures


def _require_grid(grid: tuple[int, ...]) -> None:
    if len(grid) != 2:
        raise _no_pictures("feature maps with height and width", f"a grid of {len(grid)} sides")


def _no_pictures(expected: str, got: str) -> InputError:
    return InputError(
        "resolution, flip and scales",
        expected=expected,
        got=got,
        fix="leave them out",
    )


def _cannot(network: nn.Module, reason: CannotDilate) -> InputError:
    where = f" ({reason.module})" if reason.module else ""
    return InputError(
        'how="dilate"',
        expected="a network whose strides can be dilated exactly",
        got=f"{type(network).__name__}, whose grid {reason}{where}",
        fix='pass how="shift"',
    )


def _failed(network: nn.Module, look: Look, error: Exception) -> ModelError:
    high, wide = look.pictures.shape[2:]
    is_resized = look.scale != 1.0
    return ModelError(
        type(network).__name__,
        expected=f"a model that runs on pictures of {high} x {wide}"
        + (f", for the scale {look.scale}" if is_resized else ""),
        got=complaint(error),
        fix="leave scales out" if is_resized else "check their shape, dtype and device",
    )
