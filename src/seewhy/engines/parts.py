"""A batch in parts, one a thread: what is small stays in the cache, and nobody waits for another.

Splitting a convolution among threads makes them meet after each layer, and a whole batch's
activations do not fit into the cache; small parts of the batch, each on a thread of its own, have
neither problem.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from seewhy.engines.engine import Order, Precision
from seewhy.heads import Head, Seen


def size(precision: Precision) -> int:
    """How many pictures a part has.

    In float32 one, for the less has to stay in the cache, the better. Shorter numbers take less of
    it, and to start a part takes as long as ever.
    """
    return 1 if precision == "float32" else 4


def lanes(order: Order, pictures: int) -> int:
    """How many parts of so many pictures run at once, each with its share of the threads."""
    return max(1, min(order.threads, math.ceil(order.batch / pictures)))


def split(batch: Tensor, pictures: int) -> list[Tensor]:
    """A batch as parts of so many, in float32, in memory that other libraries can read."""
    return list(batch.detach().to("cpu", torch.float32).contiguous().split(pictures))


def joined(parts: Sequence[tuple[Tensor, Tensor]], head: Head) -> Seen:
    """What was seen of a batch from the logits and features of its parts. It is a copy of them."""
    axis = head.layout.axes.index("batch")
    logits = torch.cat([logits.flatten(1) for logits, _ in parts])
    features = torch.cat([features for _, features in parts], axis)
    return Seen(logits.float(), head.layout.read(features.float()))
