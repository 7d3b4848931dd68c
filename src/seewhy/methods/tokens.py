"""Where a transformer's patches are among its tokens: found by looking at what the pixels change.

Four pictures of noise go through the network once. One is the reference; of the others, one
differs in every pixel, one in the top row of pixels, one in the left column. A token that differs
where attention begins is a patch; those of the top row and the left column say how many columns
and rows there are. Class tokens, registers and the like do not differ, wherever they are.
"""

from __future__ import annotations

import itertools
import weakref
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn

from seewhy.errors import ModelError
from seewhy.methods.attentions import SeeAttention
from seewhy.methods.constants import OnlyThePicture
from seewhy.methods.passes import logits_of
from seewhy.methods.surroundings import SeeConvolutions, modules_entered

# How a layer of attention changes the tokens. "self": all attend to all. "join": a class token
# joins in front, and it alone attends. "class": the same, when it is already there. "pool": one
# query that is no token collects all of them.
Kind = Literal["self", "join", "class", "pool"]

PROBES = 4


@dataclass(frozen=True)
class Tokens:
    """What the tokens of a transformer are, for one size of pictures.

    Attributes:
        shapes: how many queries and keys each layer of attention has, in order.
        kinds: how each of them changes the tokens, up to the last that the logits depend on.
        patches: which of the first layer's tokens are patches, in the order of the grid.
        grid: how many rows and columns of patches.
        blocks: the module around each layer of attention, the largest with no other such layer in
            it; None where there is no such module.
    """

    shapes: tuple[tuple[int, ...], ...]
    kinds: tuple[Kind, ...]
    patches: tuple[int, ...]
    grid: tuple[int, int]
    blocks: tuple[str | None, ...]


_CACHE: weakref.WeakKeyDictionary[nn.Module, dict[Any, Tokens]] = weakref.WeakKeyDictionary()


def cached_tokens(network: nn.Module, images: Tensor) -> Tokens:
    """`find_tokens`, remembered for as long as the network lives, for each size of pictures."""
    remembered = _CACHE.setdefault(network, {})
    size = (images.shape[1:], images.dtype)
    if size not in remembered:
        remembered[size] = find_tokens(network, images)
    return remembered[size]


def forget_tokens(network: nn.Module) -> None:
    """Look again next time: the network was rebuilt."""
    _CACHE.pop(network, None)


@torch.enable_grad()
def find_tokens(network: nn.Module, images: Tensor) -> Tokens:
    """Find out what the tokens are, in one forward pass of four pictures of noise.

    Args:
        network: a transformer, as `undisturbed` gives it.
        images: prepared pictures (B, C, H, W): of these only size, type and place matter.

    Raises:
        ModelError: there is no attention that can be seen, or it is not over one grid of patches
            in every layer, or not all that passes from patch to patch.
    """
    seen: list[tuple[Tensor, Tensor]] = []  # scores and attention of each layer
    around: list[tuple[str, ...]] = []

    def see(scores: Tensor, weights: Tensor) -> Tensor:
        seen.append((scores, weights.detach().requires_grad_()))
        around.append(tuple(entered))
        return seen[-1][1]

    convolutions = SeeConvolutions(lambda: bool(seen))
    with (
        modules_entered(network) as entered,
        OnlyThePicture(),
        convolutions,
        SeeAttention(see),
    ):
        logits = logits_of(network(_probes(images)), PROBES)
    if not seen:
        raise refused("one without attention that can be seen")
    if convolutions.among_attention:
        raise refused("one with convolutions among its layers of attention")
    shapes = tuple(tuple(by_head(weights, PROBES).shape[2:]) for _, weights in seen)
    used = _used(logits, seen)
    kinds = _kinds(shapes[:used])
    _require_one_after_another(seen[:used])
    patches, grid = _grid(_changes(seen[0][0]), convolutions.before_attention)
    return Tokens(shapes, kinds, patches, grid, _blocks(around[:used]))


def by_head(attention: Tensor, batch: int) -> Tensor:
    """One matrix for each head, (B, heads, queries, keys), however the heads are kept.

    Raises:
        ModelError: the pictures are cut into windows, each with its own attention.
    """
    if attention.ndim == 4 and len(attention) == batch:
        return attention
    if attention.ndim == 3 and len(attention) % batch == 0:
        return attention.reshape(batch, -1, *attention.shape[1:])
    raise _windowed(attention)


def refused(got: str) -> ModelError:
    """The error for a network whose attention cannot be followed from patch to patch."""
    return ModelError(
        "model",
        expected="a transformer whose layers of attention are over one grid of patches",
        got=got,
        fix="choose another method, such as gradient",
    )


def _windowed(attention: Tensor) -> ModelError:
    shape = tuple(attention.shape)
    return refused(f"one with attention within windows, {shape} for {PROBES} pictures")


def _probes(images: Tensor) -> Tensor:
    """The reference; and it with other pixels everywhere, in the top row, in the left column."""
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn(2, *images.shape[1:], generator=generator).to(images)
    probes = noise[[0, 1, 0, 0]]
    probes[2, :, 0] = noise[1, :, 0]
    probes[3, :, :, 0] = noise[1, :, :, 0]
    return probes


def _kinds(shapes: Sequence[tuple[int, ...]]) -> tuple[Kind, ...]:
    """How each layer changes the tokens, from the number of its queries and keys."""
    kinds: list[Kind] = []
    tokens = shapes[0][0]
    for queries, keys in shapes:
        if queries == keys == tokens:
            kinds.append("self")
        elif queries == 1 and keys == tokens + 1 and "join" not in kinds and kinds:
            kinds.append("join")
            tokens += 1
        elif queries == 1 and keys == tokens and kinds:
            kinds.append("class" if "join" in kinds else "pool")
        else:
            raise refused(
                f"one where {queries} tokens attend to {keys} after layers of {tokens} tokens"
            )
    if "pool" in kinds[:-1]:
        raise refused("one that pools its tokens before the last layer")
    return tuple(kinds)


def _used(logits: Tensor, seen: Sequence[tuple[Tensor, Tensor]]) -> int:
    """How many layers there are up to the last one that the logits depend on."""
    for count in range(len(seen), 0, -1):
        if _depends(logits, seen[count - 1][1]):
            return count
    raise refused("one whose logits do not depend on its attention")


def _require_one_after_another(seen: Sequence[tuple[Tensor, Tensor]]) -> None:
    """Refuse attention side by side: each layer is to read what the one before it wrote."""
    for (_, weights), (scores, _) in itertools.pairwise(seen):
        if not _depends(scores, weights):
            raise refused("one with several layers of attention side by side")


def _depends(values: Tensor, on: Tensor) -> bool:
    """Whether some way of autograd's graph leads from one tensor to another."""
    if not values.requires_grad:
        return False
    (found,) = torch.autograd.grad(values.sum(), on, retain_graph=True, allow_unused=True)
    return found is not None


def _changes(scores: Tensor) -> Tensor:
    """How much each token differs from the reference, (3, tokens), 0 where it is only rounding.

    A token meets itself on the diagonal of the scores, which changes with that token alone.

    Raises:
        ModelError: what look like heads are windows: pixels change some of them and not others.
    """
    diagonal = by_head(scores.detach(), PROBES).diagonal(dim1=-2, dim2=-1).float()
    changes = (diagonal[1:] - diagonal[:1]).abs().nan_to_num()
    level = changes.max() * torch.finfo(scores.dtype).eps ** 0.5
    changes = changes.where(changes > level, 0.0)
    if scores.ndim == 3 and not torch.equal((changes > 0).any(1), (changes > 0).all(1)):
        raise _windowed(scores)
    return changes.sum(1)


def _grid(
    changes: Tensor, convolutions: Sequence[torch.Size]
) -> tuple[tuple[int, ...], tuple[int, int]]:
    """The patches, and how many rows and columns of them there are.

    The top row of pixels changes one row of patches, the left column one column of them. Where a
    convolution of many layers comes first they may change more: then one of its grids must have as
    many positions, and what the pixels change must change most in its first row and column.
    """
    patches = changes[0].nonzero()[:, 0]
    top, left = changes[1:, patches]
    columns, rows = int((top > 0).sum()), int((left > 0).sum())
    is_grid = rows * columns == len(patches) > 1
    if is_grid and bool((top[:columns] > 0).all() and (left[::columns] > 0).all()):
        return tuple(patches.tolist()), (rows, columns)
    for shape in reversed(convolutions):
        rows, columns = shape[-2:]
        if rows * columns == len(patches) > 1 and _begins_at_the_corner(top, left, rows, columns):
            return tuple(patches.tolist()), (rows, columns)
    raise refused(
        f"attention over {len(patches)} tokens that are no grid of patches (channels, perhaps)"
    )


def _begins_at_the_corner(top: Tensor, left: Tensor, rows: int, columns: int) -> bool:
    first_row = top.view(rows, columns).mean(1).argmax() == 0
    first_column = left.view(rows, columns).mean(0).argmax() == 0
    return bool(first_row and first_column)


def _blocks(around: Sequence[tuple[str, ...]]) -> tuple[str | None, ...]:
    """Of the modules around each layer, outermost first, the first that holds no other layer."""
    holding = Counter(name for names in around for name in set(names))
    return tuple(next((n for n in names if holding[n] == 1), None) for names in around)
