"""Whether a network's weights are still those that an engine was made from."""

from __future__ import annotations

from torch import Tensor, nn

Stamp = tuple[tuple[int, int], ...]


def stamp(model: nn.Module) -> Stamp:
    """What changes when weights are replaced, or changed in place other than through `.data`."""
    weights = (*model.parameters(), *model.buffers())
    return tuple((id(each), _version(each)) for each in weights)


def _version(tensor: Tensor) -> int:
    return 0 if tensor.is_inference() else tensor._version  # noqa: SLF001  (the only one there is)
