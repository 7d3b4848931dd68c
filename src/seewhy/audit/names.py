"""Very many short texts and boxes, in a few arrays: a list of objects would fill the memory."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import overload

import numpy as np
from jaxtyping import Float32
from numpy.typing import NDArray

Corners = Float32[NDArray[np.float32], "m 4"]


class Names(Sequence[str]):
    """Texts one after another in one piece of memory; names of files with odd bytes stay whole."""

    def __init__(self, names: Iterable[str]) -> None:
        content, ends = bytearray(), [0]
        for name in names:
            content += os.fsencode(name)
            ends.append(len(content))
        self._content, self._ends = bytes(content), np.array(ends, dtype=np.int64)

    def __len__(self) -> int:
        return len(self._ends) - 1

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> Names: ...
    def __getitem__(self, index: int | slice) -> str | Names:
        if isinstance(index, slice):
            return Names(self[each] for each in range(*index.indices(len(self))))
        place = range(len(self))[index]
        return os.fsdecode(self._content[self._ends[place] : self._ends[place + 1]])

    def digest_parts(self) -> Iterable[bytes]:
        """What tells these from others."""
        return self._content, self._ends.tobytes()


@dataclass(frozen=True, eq=False)
class BoxTable:
    """The true boxes of n pictures.

    Attributes:
        known: whether anything is known of a picture's boxes, (n,).
        ends: where each picture's boxes end, (n + 1,), from 0.
        corners: x0, y0, x1, y1 in pixels, (m, 4).
    """

    known: NDArray[np.bool_]
    ends: NDArray[np.int64]
    corners: Corners

    def __len__(self) -> int:
        return len(self.known)

    def of(self, row: int) -> Corners | None:
        """The boxes of a picture, or None where none are known."""
        found = self.corners[self.ends[row] : self.ends[row + 1]]
        return found if self.known[row] else None

    def digest_parts(self) -> Iterable[bytes]:
        """What tells these from others."""
        return self.known.tobytes(), self.ends.tobytes(), self.corners.tobytes()

    @classmethod
    def made(cls, count: int, found: Mapping[int, NDArray[np.floating]]) -> BoxTable:
        """The boxes (m, 4) of those of `count` rows that have any."""
        known, lengths = np.zeros(count, dtype=bool), np.zeros(count, dtype=np.int64)
        for row, boxes in found.items():
            known[row], lengths[row] = True, len(boxes)
        parts = [np.zeros((0, 4), np.float32), *(found[row] for row in sorted(found))]
        corners = np.concatenate(parts).astype(np.float32)
        return cls(known, np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64), corners)
