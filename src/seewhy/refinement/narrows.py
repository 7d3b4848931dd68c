"""Where in a pass all that the features are made of comes by on a finer grid: its narrows.

A narrows is a value that everything after it is computed from: no shortcut leads around it. The
output of a block is one, what lies beside a residual connection is not. No layer is chosen by its
name or its kind.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from torch import Tensor, nn

from seewhy.capture import Tap
from seewhy.errors import InputError
from seewhy.heads import Head
from seewhy.heads.find import observed
from seewhy.observe import Trace

Grid = tuple[int, int]  # height, width


@dataclass(frozen=True)
class Narrows:
    """A value that everything after it is computed from.

    Attributes:
        tap: where it is picked up.
        grid: its height and width.
        channels: how many it has.
    """

    tap: Tap
    grid: Grid
    channels: int


def find_narrows(network: nn.Module, head: Head, pictures: Tensor, finer: int) -> Narrows:
    """The narrows whose grid has `finer` times as many cells a side as the head's features.

    Of several the one with the fewest channels, where the network puts what it knows in the
    fewest numbers; of these the last.

    Args:
        network: in evaluation mode.
        head: its head.
        pictures: (B, C, H, W), two are enough; what is found is for this size.
        finer: 2, 4, ...

    Raises:
        InputError: there is none; the message says which there are.
        ModelError: the network cannot run on the pictures.
    """
    trace = observed(network, (pictures,), {})
    features = _number(trace, head.features)
    grid = tuple(head.layout.read(trace.tensors[features]).shape[2:])
    every = list(_narrows(trace, features, len(pictures)))
    fitting = [each for each in every if _times(each.grid, grid) == finer]
    if not fitting:
        raise _none(network, finer, grid, every)
    return min(reversed(fitting), key=lambda each: each.channels)


def _narrows(trace: Trace, features: int, batch: int) -> Iterator[Narrows]:
    """Every narrows that is a feature map and can be picked up, in the order of the pass."""
    on_the_way = sorted((trace.leading_to(features) | {features}) & trace.from_input)
    furthest = _furthest_uses(trace, on_the_way)
    reached = -1  # by what was computed so far
    for number in on_the_way:
        if reached <= number:
            shape = trace.shape(number)
            sites = trace.sites_of(number)
            is_computed = trace.producers[number] is not None
            if is_computed and len(shape) == 4 and shape[0] == batch and sites:
                site, copy, _ = min(sites, key=lambda each: (callable(each[0].owner), each[1]))
                yield Narrows(Tap(site, copy), (shape[2], shape[3]), shape[1])
        reached = max(reached, furthest.get(number, number))


def _furthest_uses(trace: Trace, numbers: list[int]) -> dict[int, int]:
    """The last of the values that each one goes into."""
    furthest: dict[int, int] = {}
    for number in numbers:  # ascending
        producer = trace.producers[number]
        for source in producer.inputs() if producer else ():
            furthest[source] = number
    return furthest


def _times(grid: Grid, coarse: tuple[int, ...]) -> float | None:
    """How many times as many cells a side, if it is the same for both; a rim of one is forgiven.

    A grid of 29 cells that is halved twice with padding has 8: it is still four times as fine.
    """
    if len(coarse) != 2:
        return None
    ratios = {round(fine / few) for fine, few in zip(grid, coarse, strict=True)}
    return ratios.pop() if len(ratios) == 1 else None


def _number(trace: Trace, tap: Tap) -> int:
    """The value that is picked up there."""
    seen = next(number for site, number in trace.sites if site == tap.site)
    return seen if tap.copy else trace.number(trace.tensors[seen])


def _none(
    network: nn.Module, finer: int, grid: tuple[int, ...], every: list[Narrows]
) -> InputError:
    times = sorted({times for each in every if (times := _times(each.grid, grid)) and times > 1})
    return InputError(
        f"refine: {type(network).__name__}",
        expected=f"features on a grid {finer} times as fine as its {_text(grid)}",
        got=f"only {', '.join(map(str, times))} times as fine" if times else "no finer ones",
        fix=f"pass finer={times[-1]}" if times else "look at the maps as they are",
    )


def _text(grid: tuple[int, ...]) -> str:
    return " x ".join(map(str, grid))
