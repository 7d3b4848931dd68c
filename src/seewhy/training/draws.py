"""Chance as a function of what it is for: (seed, purpose, number) gives the same draws for ever.

Nothing random has a state that a checkpoint would have to keep: who knows the step knows its draws,
in an undisturbed run, in one that goes on after a crash, and in each of several processes.
"""

from __future__ import annotations

import zlib

import numpy as np
import torch
from torch import Tensor


def seed_of(seed: int, purpose: str, *numbers: int) -> int:
    """Return a seed of 63 bits; unlike arguments give unrelated ones.

    Args:
        seed: of the run.
        purpose: what is drawn.
        numbers: which draw of this purpose it is; always as many of them for one purpose.
    """
    entropy = (seed, zlib.crc32(purpose.encode()), *numbers)
    word = np.random.SeedSequence(entropy).generate_state(1, np.uint64)[0]
    return int(word) >> 1


def generator(seed: int, purpose: str, *numbers: int) -> torch.Generator:
    """Return a generator of its own, on the CPU."""
    return torch.Generator().manual_seed(seed_of(seed, purpose, *numbers))


def order(seed: int, epoch: int, count: int) -> Tensor:
    """Return the order in which an epoch sees `count` pictures: (count,), int64."""
    return torch.randperm(count, generator=generator(seed, "order", epoch))
