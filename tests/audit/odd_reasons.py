"""A store of two classes, one of which was decided for by an odd reason in some pictures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tests.audit.stores import make_store, row

H, W, K = 4, 6, 8
CORNER = (0, 5)


def descriptors(rng: np.random.Generator, count: int, carrying: NDArray[np.bool_]) -> Any:
    """Of one cloud, long in one direction; those that carry something lie apart in another."""
    cloud = rng.normal(1, 0.1, (count, K))
    cloud[:, 0] += rng.normal(0, 0.6, count)
    cloud[carrying, 1:3] += 1
    return cloud.astype(np.float16)


def maps(rng: np.random.Generator, carrying: NDArray[np.bool_], *, corner: bool) -> Any:
    """Blobs in the middle; those that carry something peak in a corner, or are wider."""
    y, x = np.mgrid[:H, :W]
    found = np.zeros((len(carrying), H, W))
    for index, carries in enumerate(carrying):
        centre = rng.normal((H / 2 - 0.5, W / 2 - 0.5), 0.5)
        wide = 3.0 if carries and not corner else 0.9
        found[index] = np.exp(-((y - centre[0]) ** 2 + (x - centre[1]) ** 2) / wide**2) - 0.1
        if carries and corner:
            found[index] *= 0.1
            found[index][CORNER] = 1
    return found


def odd_store(folder: Path, *, corner: bool = True, count: int = 200, share: float = 0.5) -> Path:
    """Pictures of dogs, a share of which carry something; and as many of cats, which do not.

    Rows come in turn: dogs are the even ones, and those that carry something come first.
    """
    from seewhy.audit import statistics

    rng = np.random.default_rng(3)
    dogs = np.arange(count) < share * count
    parts = {1: dogs, 0: np.zeros(count, bool)}
    made = {c: (descriptors(rng, count, g), maps(rng, g, corner=corner)) for c, g in parts.items()}
    rows = []
    for number in range(2 * count):
        of_class, place = 1 - number % 2, number // 2
        described, map_ = made[of_class][0][place], made[of_class][1][place : place + 1]
        rows.append(
            row(
                number,
                predicted=of_class,
                predicted_name=("cat", "dog")[of_class],
                correct=bool(parts[of_class][place] or number % 10),
                classes=[of_class, 2],
                maps=np.concatenate([map_.ravel(), np.zeros(H * W)]).astype(np.float16),
                map_scale=1.0,
                grid=[H, W],
                descriptor=described,
                descriptor_scale=1.0,
                area=float(statistics.area(map_)[0]),
                concentration=float(statistics.concentration(map_)[0]),
                border=0.9 if corner and parts[of_class][place] else 0.1,
                inside=None,
            )
        )
    return make_store(folder, rows, per_shard=150, grid=[H, W], channels=K)
