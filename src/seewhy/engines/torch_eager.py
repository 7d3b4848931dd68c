"""PyTorch as it is: eager, without gradients, pictures and weights in channels_last."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn

from seewhy import heads
from seewhy.engines.engine import Order, Precision, require_tensor
from seewhy.heads import Seen
from seewhy.observe import in_eval_mode, run_eagerly

DTYPES: dict[Precision, torch.dtype] = {
    "float32": torch.float32,
    "bfloat16": torch.bfloat16,
    "float16": torch.float16,
}


PART = 8  # pictures: what more of them need does not stay in the cache of a core


class TorchEngine:
    """A copy of the network in one precision."""

    name = "torch"

    def __init__(self, order: Order) -> None:
        order.require_precision(self.name, *DTYPES)
        self.precision, self.threads = order.precision, order.threads
        self._head, self._dtype = order.head, DTYPES[order.precision]
        self._model = in_channels_last(order.model, self._dtype)

    def describe(self) -> dict[str, str]:
        """See `Engine`."""
        return description(self.name, self.precision, self.threads)

    def __call__(self, batch: Tensor) -> Seen:
        """See `Engine`; pictures of any size that the network takes."""
        with torch_threads(self.threads), self._without_gradients(), run_eagerly():
            images = laid_out(require_tensor(self.name, batch), self._dtype)
            seen = [
                heads.look(self._model, self._head, (part,), {}) for part in self._parts(images)
            ]
        return as_float32(seen[0] if len(seen) == 1 else _joined(seen))

    def _parts(self, images: Tensor) -> tuple[Tensor, ...]:
        """A batch as it is best computed: by one thread a few pictures at a time."""
        has_steps = self._head.plan is not None
        if self.threads > 1 or has_steps or images.device.type != "cpu":
            return (images,)
        parts: tuple[Tensor, ...] = images.split(PART)
        return parts

    def _without_gradients(self) -> contextlib.AbstractContextManager[object]:
        # What is read anew in each pass is differentiated later, which inference_mode forbids.
        return torch.inference_mode() if self._head.plan is None else torch.no_grad()


def _joined(parts: Sequence[Seen]) -> Seen:
    logits = torch.cat([part.logits for part in parts])
    return Seen(logits, torch.cat([part.features for part in parts]))


def description(name: str, precision: Precision, threads: int) -> dict[str, str]:
    """How an engine that is PyTorch describes itself."""
    library = f"torch {torch.__version__}"
    return {"engine": name, "precision": precision, "library": library, "threads": str(threads)}


def in_channels_last(model: nn.Module, dtype: torch.dtype) -> nn.Module:
    """A copy of the network in evaluation mode and in `dtype`, its convolutions in NHWC order."""
    with in_eval_mode(model):
        copied = copy.deepcopy(model)
    copied.to(dtype).requires_grad_(False)
    for weight in (*copied.parameters(), *copied.buffers()):
        if weight.ndim == 4:
            weight.data = weight.data.contiguous(memory_format=torch.channels_last)
    return copied


def laid_out(batch: Tensor, dtype: torch.dtype) -> Tensor:
    """Pictures in `dtype`, in the order that suits the weights."""
    order = torch.channels_last if batch.ndim == 4 else torch.contiguous_format
    return batch.to(dtype).contiguous(memory_format=order)


def as_float32(seen: Seen) -> Seen:
    """The same in float32, and logits that may be used in any way."""
    return Seen(seen.logits.float().clone(), seen.features.float(), seen.tail)


@contextlib.contextmanager
def torch_threads(count: int) -> Iterator[None]:
    """Within the context, PyTorch computes with so many threads."""
    before = torch.get_num_threads()
    if before == count:
        yield
        return
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
