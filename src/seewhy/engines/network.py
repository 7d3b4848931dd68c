"""The ONNX model that an order asks for: as exported, or quantised."""

from __future__ import annotations

from seewhy.engines.engine import Order
from seewhy.engines.exported import Exported, exported
from seewhy.engines.quantised import quantised


def network(order: Order) -> Exported:
    """The exported network, its layers in 8-bit integers if that is the precision.

    Raises:
        ModelError: it cannot be exported.
        MissingExtraError: a library is not installed.
    """
    made = exported(order)
    if order.precision != "int8":
        return made
    return quantised(made, order)
