"""Which layer a map is made from: the one that is named, or the one that the head reads.

Where nothing is named, it is the very features that `find_head` finds. A network without such a
head is watched: it is the last value that has positions in the picture, and whose positions the
logits depend on. No layer is chosen by its name or its kind.
"""

from __future__ import annotations

import math
import weakref
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import TypeVar

from torch import Tensor, nn

from seewhy.errors import HeadNotFound, InputError, ModelError
from seewhy.heads import Head, cached_head
from seewhy.heads.channels import Channels, channels_before
from seewhy.heads.find import observed
from seewhy.heads.layout import BATCH, CHANNEL, SPACE, Layout, picture_size, token_grid
from seewhy.heads.pooling import SILENT
from seewhy.methods.activations import Layer, WentAnotherWay, gradients_at
from seewhy.observe import Site, Trace
from seewhy.wording import first_few, near_or

Layers = str | nn.Module | Sequence[str | nn.Module] | None
Result = TypeVar("Result")
Shape = tuple[int, ...]

_CACHE: weakref.WeakKeyDictionary[
    nn.Module, dict[tuple[str, ...], tuple[tuple[Layer, ...], Shape]]
] = weakref.WeakKeyDictionary()


def with_layers(
    network: nn.Module, images: Tensor, wanted: Layers, run: Callable[[tuple[Layer, ...]], Result]
) -> Result:
    """What `run` makes of the layers that are wanted; they are remembered with the network.

    Args:
        network: in evaluation mode.
        images: pictures (B, C, H, W).
        wanted: names of modules, modules, or None for the layer that the head reads.
        run: is called again with layers found anew where the network was rebuilt since.

    Raises:
        InputError: a layer that the network does not have.
        ModelError: one that does not run, or has no positions in the picture.
    """
    names = named(network, wanted)
    known = _CACHE.setdefault(network, {})
    layers, shape = known.get(names, ((), ()))
    is_known = bool(layers) and (shape == images.shape[1:] or not any(map(_has_tokens, layers)))
    if is_known:
        try:
            return run(layers)
        except (WentAnotherWay, AttributeError, IndexError):
            known.pop(names)
    layers = found(network, images, names)
    result = run(layers)
    known[names] = layers, tuple(images.shape[1:])
    return result


def named(network: nn.Module, wanted: Layers) -> tuple[str, ...]:
    """The names of the layers that are wanted; none where the choice is left to us.

    Raises:
        InputError: one that the network does not have.
    """
    if wanted is None:
        return ()
    each = (wanted,) if isinstance(wanted, str | nn.Module) else tuple(wanted)
    if not each:
        raise InputError(
            "layers",
            expected="one or more layers",
            got="none",
            fix="name them, or leave `layers` out",
        )
    return tuple(_name(network, one) for one in each)


def found(network: nn.Module, images: Tensor, names: tuple[str, ...]) -> tuple[Layer, ...]:
    """The layers of these names, or the best one, from watching one pass of two pictures.

    Raises:
        ModelError: one that does not run, or has no positions in the picture.
    """
    few = images[:2].detach().clone()
    trace = observed(network, (few,), {})
    watched = Watched(trace, len(few))
    if names:
        return tuple(watched.layer(name) for name in names)
    try:
        return (watched.of_head(cached_head(network, few)),)
    except HeadNotFound:
        return (_last_with_influence(network, few, list(watched.every_layer())),)


class Watched:
    """One observed pass, asked for the layers in it."""

    def __init__(self, trace: Trace, batch: int) -> None:
        self.trace, self.batch = trace, batch
        self.channels: Channels = channels_before(trace, len(trace.tensors))

    def layer(self, name: str) -> Layer:
        """The layer of this name, as it was called last.

        Raises:
            ModelError: it was not called, or what it gave has no positions.
        """
        given = [(site, n) for site, n in self.trace.sites if _is_output(site, name)]
        last = [(site, n) for site, n in given if site.call == given[-1][0].call]
        for site, number in last:
            layout = self.layout(number)
            if layout is not None:
                return Layer(name, site, layout)
        shapes = first_few(f"a tensor of shape {self.trace.shape(n)}" for _, n in last)
        raise ModelError(
            f"layer '{name}'",
            expected="feature maps (B, K, H, W), or tokens whose places are known",
            got=shapes or "no output: this pass does not call it",
            fix="name a layer that comes before the pooling" if last else "name one that runs",
        )

    def of_head(self, head: Head) -> Layer:
        """The layer that a head reads: where its features are made, as they are read."""
        tap = head.features
        seen = next(n for site, n in self.trace.sites if site == tap.site)
        number = seen if tap.copy else self.trace.number(self.trace.tensors[seen])
        return Layer(_owner(tap.site), self.maker(number), head.layout)

    def every_layer(self) -> Iterator[Layer]:
        """Every value of a module that has positions, in the order in which they are made."""
        made = {n for site, n in self.trace.sites if site.kind == "output"}
        for number in sorted(made - self._attended()):
            layout = self.layout(number)
            if layout is not None and self._is_like_the_picture(number, layout):
                site = self.maker(number)
                yield Layer(_owner(site), site, layout)

    def maker(self, number: int) -> Site:
        """The first place that a value passes: all that is computed from it comes later."""
        order = ("output", "function", "input")
        sites = [site for site, n in self.trace.sites if n == number]
        if not sites:
            raise ModelError(
                "layers",
                expected="features that can be replaced",
                got="features that no module and no function returns",
                fix="name a layer",
            )
        return min(sites, key=lambda site: order.index(site.kind))

    def layout(self, number: int) -> Layout | None:
        """How a value is read as (B, K, H, W); None if it has no positions in the picture."""
        shape = self.trace.shape(number)
        is_data = number in self.trace.from_input and self.trace.tensors[number].is_floating_point()
        if not is_data or len(shape) not in (3, 4) or shape[0] != self.batch:
            return None
        channel = self._channel(number)
        if channel is None:
            return None
        labels = {0: BATCH, channel: CHANNEL}
        layout = Layout(tuple(labels.get(axis, SPACE) for axis in range(len(shape))))
        if len(shape) == 3:
            return self._on_grid(number, layout)
        return layout if math.prod(shape[axis] for axis in layout.spatial) > 1 else None

    def _channel(self, number: int) -> int | None:
        """The axis of the channels: the one that is known, or the second of four."""
        known = self.channels.of(number) - {0}
        if len(known) > 1 or (not known and len(self.trace.shape(number)) == 3):
            return None
        return next(iter(known), 1)

    def _on_grid(self, number: int, layout: Layout) -> Layout | None:
        """A sequence of tokens, the picture's of them on their grid."""
        count = self.trace.shape(number)[layout.spatial[0]]
        for start, stop in self._of_the_picture(number, count):
            grid = token_grid(self.trace, number, stop - start, self.batch)
            if grid is not None:
                picture = picture_size(self.trace.shape(min(self.trace.from_input)))
                tokens = None if stop - start == count else (start, stop)
                return replace(layout, tokens=tokens, grid=grid, picture=picture)
        return None

    def _of_the_picture(self, number: int, count: int) -> Iterator[tuple[int, int]]:
        """The tokens that may be the picture's: all, or all but those that were put beside them."""
        yield 0, count
        start, stop = 0, count
        for before in sorted(self.trace.leading_to(number), reverse=True):
            operation = self.trace.producers[before]
            if operation is None or operation.name != "cat":
                continue
            shape, axis = self.trace.shape(before), (*operation.args, 0)[1]
            if len(shape) != 3 or shape[axis] != stop - start:
                continue
            parts = operation.inputs()
            lengths = [self.trace.shape(part)[axis] for part in parts]
            longest = lengths.index(max(lengths))
            start += sum(lengths[:longest])
            stop = start + lengths[longest]
            yield start, stop

    def _is_like_the_picture(self, number: int, layout: Layout) -> bool:
        """Whether the grid has the picture's proportions, give or take a factor of two."""
        height, width = layout.read(self.trace.tensors[number]).shape[2:]
        of_picture = picture_size(self.trace.shape(min(self.trace.from_input)))
        return abs(math.log(height * of_picture[1] / (width * of_picture[0]))) <= _DISTORTION

    def _attended(self) -> set[int]:
        """The queries, keys and values of attention, which are no features of their own."""
        attended: set[int] = set()
        for number in sorted(self.trace.from_input, reverse=True):
            operation = self.trace.producers[number]
            if operation is None:
                continue
            data = [n for n in operation.inputs() if n in self.trace.from_input]
            is_attention = operation.name in _PRODUCTS and len(data) > 1
            if is_attention or (number in attended and operation.name in _OF_PARTS):
                attended.update(data)
        return attended


_DISTORTION = math.log(2.01)  # as for tokens: strides may differ between the axes

_PRODUCTS = {
    "bmm",
    "baddbmm",
    "_scaled_dot_product_attention_math",
    "_scaled_dot_product_cudnn_attention",
    "_scaled_dot_product_efficient_attention",
    "_scaled_dot_product_flash_attention",
    "_scaled_dot_product_flash_attention_for_cpu",
}

# What a projection goes through on its way to the product: parts of it, in another form.
_OF_PARTS = {*SILENT, "split", "split_with_sizes", "unbind", "select", "slice", "mul", "div"}


def _last_with_influence(network: nn.Module, images: Tensor, layers: Sequence[Layer]) -> Layer:
    """The last of the layers whose positions in the picture the logits depend on.

    After the last attention of a class-token transformer, the picture's tokens lead nowhere.

    Raises:
        ModelError: there is none.
    """
    _, _, gradients = gradients_at(network, images, layers, lambda logits: logits.square().sum(1))
    for layer, gradient in zip(reversed(layers), reversed(gradients), strict=True):
        if gradient is not None and bool(layer.read(gradient).any()):
            return layer
    raise ModelError(
        "layers",
        expected="a layer with positions in the picture that the logits depend on",
        got="a network in which none was found",
        fix="name one of its layers",
    )


def _name(network: nn.Module, layer: str | nn.Module) -> str:
    """The name under which a pass knows the layer.

    Raises:
        InputError: the network does not have it.
    """
    modules: dict[str, nn.Module] = dict(network.named_modules(remove_duplicate=False))
    module = modules.get(layer) if isinstance(layer, str) else layer
    for name, known in modules.items():
        if module is not None and known is module:
            return name
    names = [name for name in modules if name]
    subject = f"layer '{layer}'" if isinstance(layer, str) else type(layer).__name__
    fix = "see the names in model.named_modules()"
    raise InputError(
        subject,
        expected=f"one of the {len(names)} layers of the model",
        got="none of these",
        fix=near_or(layer, names, fix) if isinstance(layer, str) else fix,
    )


def _is_output(site: Site, name: str) -> bool:
    return site.kind == "output" and site.owner == name


def _owner(site: Site) -> str:
    return site.owner if isinstance(site.owner, str) else site.owner.__name__


def _has_tokens(layer: Layer) -> bool:
    return layer.layout.grid is not None
