"""Where in the program features can be picked up, and how what is found there is read."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from seewhy.capture import Tap
from seewhy.heads.layout import Layout, layouts, picture_size, token_grid
from seewhy.heads.refusals import Refusal

if TYPE_CHECKING:
    from seewhy.heads.pooling import Pooling
    from seewhy.observe import Trace

Place = tuple[Tap, Layout, int]
Taps = Callable[["Trace", int], list[Tap]]

MOST_PREFIX_TOKENS = 16  # a class token, one for distillation, registers


def taps(trace: Trace, number: int) -> list[Tap]:
    """Every way to pick a value up, the best first.

    Hooks before functions, for hooks cost nothing; the outermost module first, for its name says
    most; and a module that returned the value as it is before one whose result became it in place.
    """
    return [tap for tap, _ in _ranked(trace, number)]


def exact_taps(trace: Trace, number: int) -> list[Tap]:
    """The ways to pick a value up before anything is made of it, the best first."""
    exact = [tap for tap, is_there in _ranked(trace, number) if is_there]
    return [tap for tap in exact if not trace.is_used_before(number, tap.site)]


def _ranked(trace: Trace, number: int) -> list[tuple[Tap, bool]]:
    places = [(Tap(site, copy), exact) for site, copy, exact in trace.sites_of(number)]

    def cost(place: tuple[Tap, bool]) -> tuple[bool, bool, bool, int, bool]:
        tap, exact = place
        owner = tap.site.owner
        if not isinstance(owner, str):
            return True, tap.copy, not exact, 0, False
        return False, tap.copy, not exact, owner.count("."), tap.site.kind == "input"

    return sorted(places, key=cost)


def best_place(trace: Trace, pooling: Pooling, batch: int, ways: Taps = taps) -> Place:
    """The best place to pick the features up: a module's, on a grid, where nothing overwrites it.

    Of equals the farthest from the pooling: a transposed view on the way is not the picture's grid.

    Raises:
        Refusal: they cannot be picked up, or are no whole grid of positions.
    """
    values = list(layouts(trace, pooling, batch))
    places = [(tap, layout, n) for n, layout in reversed(values) for tap in ways(trace, n)]
    if not places:
        raise Refusal("pools features that cannot be picked up (inside a scripted module?)")

    def cost(place: Place) -> tuple[bool, bool, bool]:
        tap, layout, _ = place
        return tap.site.kind == "function", len(layout.spatial) < 2, tap.copy

    return min(places, key=cost)


def is_picture(trace: Trace) -> bool:
    """Whether what the model was given are pictures: four axes."""
    return len(trace.shape(min(trace.from_input))) == 4


def on_grid(trace: Trace, layout: Layout, number: int, batch: int, prefix: int = 0) -> Layout:
    """Give a token sequence of a picture its two dimensions back.

    Args:
        trace: the observed pass.
        layout: of the sequence.
        number: of the value that holds it.
        batch: the number of pictures.
        prefix: how many tokens at most may come before those of the picture.

    Raises:
        Refusal: the tokens' places in the picture are not known.
    """
    tokens = layout.read(trace.tensors[number]).shape[2]
    for before in range(min(prefix, tokens - 2) + 1):
        grid = token_grid(trace, number, tokens - before, batch)
        if grid is not None:
            left_out = (before, None) if before else layout.tokens
            picture = picture_size(trace.shape(min(trace.from_input)))
            return replace(layout, tokens=left_out, grid=grid, picture=picture)
    raise Refusal(f"pools {tokens} tokens whose places in the picture are not known")
