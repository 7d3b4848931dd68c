"""Which pixels a unit looks at, found by tracing: its gradient with respect to the input.

What a feature cell can see at all is often more than the whole picture; what moves it lies around
its middle, and fades (Luo et al., Understanding the Effective Receptive Field, NeurIPS 2016). The
field is the smallest square of cells around the cell, as far out on every side, that holds most of
the gradient's magnitude.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy.typing import NDArray
from torch import Tensor

from seewhy import heads
from seewhy.heads import Head
from seewhy.models import Classifier
from seewhy.observe import in_eval_mode, run_eagerly

MOST = 0.5  # of the gradient's magnitude

Cells = Int[NDArray[np.int64], "batch 2"]
Influence = Float[NDArray[np.float32], "batch height width"]


@dataclass(frozen=True)
class Field:
    """How far around a cell a unit looks, in pixels of the network's input.

    Attributes:
        radius: x, y: half of the square that holds `MOST` of the gradient's magnitude,
            and a cell at least.
        reach: x, y: how far the gradient is not zero, within the picture.
    """

    radius: tuple[float, float]
    reach: tuple[float, float]


def influence(
    classifier: Classifier, head: Head, inputs: Tensor, channel: int, cells: Cells
) -> Influence:
    """The magnitude of the gradient of one cell's feature, summed over the colours.

    The network's parameters and their gradients are left alone.

    Args:
        classifier: a network.
        head: its head.
        inputs: (B, colours, H, W).
        channel: the unit.
        cells: y, x of each picture's cell.
    """
    given = inputs.to(classifier.device).detach().requires_grad_()
    with torch.enable_grad(), in_eval_mode(classifier.module), run_eagerly():
        _, features = heads.run(classifier.module, head, (given,), {})
        at = torch.from_numpy(cells).to(features.device)
        fired = features[torch.arange(len(given), device=at.device), channel, at[:, 0], at[:, 1]]
        (gradient,) = torch.autograd.grad(fired.sum(), given)
    found: Influence = gradient.abs().sum(1).float().cpu().numpy()
    return found


def field_of(found: Influence, cells: Cells, grid: tuple[int, ...]) -> Field:
    """The field that some pictures' influence shows, the median over them.

    Args:
        found: from `influence`.
        cells: y, x of each picture's cell.
        grid: h, w of the features.
    """
    cell = (found.shape[2] / grid[1], found.shape[1] / grid[0])  # its width and height in pixels
    each = [_radii(*pair, grid) for pair in zip(found, cells, strict=True)]
    radius, reach = np.median(np.array(each), axis=0).tolist()
    return Field((radius * cell[0], radius * cell[1]), (reach * cell[0], reach * cell[1]))


def _radii(
    found: NDArray[np.float32], cell: NDArray[np.int64], grid: tuple[int, ...]
) -> tuple[float, float]:
    """In cells, how far out most of the magnitude lies, and all of it."""
    height, width = found.shape
    down = _distance(height, grid[0], int(cell[0]))
    across = _distance(width, grid[1], int(cell[1]))
    distance = np.maximum(down[:, None], across).ravel()
    order = np.argsort(distance, kind="stable")
    mass = np.cumsum(found.ravel()[order], dtype=np.float64)
    if mass[-1] == 0:  # of what does not move it at all
        return 0.5, 0.0
    most = distance[order[np.searchsorted(mass, MOST * mass[-1])]]
    return max(0.5, float(most)), float(distance[found.ravel() > 0].max())


def _distance(pixels: int, cells: int, cell: int) -> NDArray[np.float64]:
    """From the middle of a cell to the far edge of each pixel of a side, in cells."""
    scale = cells / pixels
    middles = (np.arange(pixels) + 0.5) * scale
    return np.asarray(np.abs(middles - (cell + 0.5)) + 0.5 * scale)
