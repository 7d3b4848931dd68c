"""TensorFlow's 'SAME' padding, naively, from the formula in TensorFlow's documentation."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


def same_convolution(values: Sequence[float], kernel: Sequence[float], stride: int) -> list[float]:
    """Slide a kernel over a row of numbers with 'SAME' padding, one product at a time."""
    size, width = len(values), len(kernel)
    remainder = size % stride
    total = max(width - (stride if remainder == 0 else remainder), 0)
    before = total // 2
    out = []
    for step in range(math.ceil(size / stride)):
        places = range(step * stride - before, step * stride - before + width)
        pairs = zip(kernel, places, strict=True)
        out.append(sum(weight * values[at] for weight, at in pairs if 0 <= at < size))
    return out
