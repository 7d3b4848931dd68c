"""Weights to begin training with: one rule for all the nets here.

K. He et al., "Delving Deep into Rectifiers" (ICCV 2015), equation 10: layers before a ReLU start
with variance 2 / fan-in, and biases at zero. The last layer has no ReLU behind it: it starts with a
deviation of 0.01, as AlexNet and VGG were published, so that no class is preferred at first.
(AlexNet, VGG and GoogLeNet are from before the rule was known, and needed warm starts without it.)
"""

from __future__ import annotations

from typing import TypeVar

from torch import nn

Module = TypeVar("Module", bound=nn.Module)


def initialise(module: Module) -> Module:
    """Fill a network's convolutions and linear layers, and return it; norms stay 1 and 0.

    The draws come from torch's global generator: `torch.manual_seed` before building repeats them.

    Args:
        module: a network whose last layer, in the order of its modules, gives the logits.
    """
    layers = [layer for layer in module.modules() if isinstance(layer, (nn.Conv2d, nn.Linear))]
    for layer in layers:
        nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)
    nn.init.normal_(layers[-1].weight, std=0.01)
    return module
