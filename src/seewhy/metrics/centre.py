"""The baseline beside every figure: that what matters is in the middle."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float64
from numpy.typing import NDArray

from seewhy.geometry import Size


def centre_map(size: Size, *, spread: float = 0.25) -> Float64[NDArray[np.float64], "height width"]:
    """A Gaussian in the middle of the picture, 1 at its peak: the map of somebody who saw nothing.

    Its boxes are, from threshold to threshold, the centre boxes of all sizes: MaxBoxAcc on it is
    the accuracy of the best fixed box in the middle. Many data sets are easy to guess so.

    Args:
        size: (width, height) of the map.
        spread: the standard deviation, as a share of each side.

    Source:
        Choe et al., Evaluating Weakly Supervised Object Localization Methods Right, CVPR 2020,
        section 5 (the "center baseline").
    """
    across, down = ((np.arange(side) + 0.5) / side - 0.5 for side in size)
    columns, rows = (np.exp(-(offset**2) / (2 * spread**2)) for offset in (across, down))
    return np.outer(rows, columns)
