"""PyTorch's own compiler. It takes up to a minute, once for each batch size."""

from __future__ import annotations

import torch
from torch import Tensor

from seewhy.attachment import TwoOutputs
from seewhy.engines.engine import Order, require_size
from seewhy.engines.torch_eager import (
    DTYPES,
    as_float32,
    description,
    in_channels_last,
    laid_out,
    torch_threads,
)
from seewhy.errors import ModelError
from seewhy.heads import Seen
from seewhy.wording import complaint


class Compiled:
    """A copy of the network in one precision, compiled with its two outputs."""

    name = "compile"

    def __init__(self, order: Order) -> None:
        order.require_precision(self.name, *DTYPES)
        order.require_steps(self.name)
        self.precision, self.threads = order.precision, order.threads
        self._head, self._dtype = order.head, DTYPES[order.precision]
        self._size = tuple(order.example.shape[1:])
        model = TwoOutputs(in_channels_last(order.model, self._dtype), order.head).eval()
        self._run = torch.compile(model, fullgraph=True, dynamic=False)

    def describe(self) -> dict[str, str]:
        """See `Engine`."""
        return description(self.name, self.precision, self.threads)

    def __call__(self, batch: Tensor) -> Seen:
        """See `Engine`; pictures of the size that the engine was made for."""
        pictures = require_size(self.name, batch, self._size)
        try:
            with torch_threads(self.threads), torch.inference_mode():
                logits, features = self._run(laid_out(pictures, self._dtype))
        except Exception as problem:  # compilers raise whatever they like
            raise ModelError(
                "engine compile",
                expected="a network that torch.compile takes whole",
                got=complaint(problem),
                fix='use the engine "torch"',
            ) from problem
        return as_float32(Seen(logits.reshape(len(pictures), -1), self._head.layout.read(features)))
