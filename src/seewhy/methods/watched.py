"""The layers of one observed pass: where each is made, and how it is read as (B, K, H, W).

What the operations say decides, not the names of modules: which axis holds channels, and which
tokens of a sequence are the picture's, on which grid.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace

from seewhy.errors import ModelError
from seewhy.heads import Head
from seewhy.heads.channels import Channels, channels_before
from seewhy.heads.layout import BATCH, CHANNEL, SPACE, Layout, picture_size, token_grid
from seewhy.heads.pooling import SILENT
from seewhy.methods.activations import Layer
from seewhy.observe import Site, Trace
from seewhy.wording import first_few


class Watched:
    """One observed pass, asked for the layers in it."""

    def __init__(self, trace: Trace, batch: int) -> None:
        self.trace, self.batch = trace, batch
        self.channels: Channels = channels_before(trace, len(trace.tensors))

    def layer(self, name: str) -> Layer:
        """What the module of this name returned when it was called last, wherever it is used.

        Raises:
            ModelError: it was not called, or what it gave has no positions.
        """
        given = [(site, n) for site, n in self.trace.sites if _is_output(site, name)]
        last = [(site, n) for site, n in given if site.call == given[-1][0].call]
        for _, number in last:
            layout = self.layout(number)
            if layout is not None:
                return Layer(name, self.maker(number), layout)
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
            of_picture = [at for at, part in enumerate(parts) if part in self.trace.from_input]
            longest = max(of_picture, key=lengths.__getitem__, default=0)
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


def _is_output(site: Site, name: str) -> bool:
    return site.kind == "output" and site.owner == name


def _owner(site: Site) -> str:
    return site.owner if isinstance(site.owner, str) else site.owner.__name__
