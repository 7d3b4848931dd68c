"""Weights to begin training with: one rule for all the nets here.

K. He et al., "Delving Deep into Rectifiers" (ICCV 2015), equation 10: layers before a ReLU start
with variance 2 / fan-in, biases at zero. AlexNet, VGG and GoogLeNet were published with fixed
deviations of 0.01 and warm starts, from before the rule was known; it trains them without either.
"""

from __future__ import annotations

from typing import TypeVar

from torch import nn

Module = TypeVar("Module", bound=nn.Module)


def initialise(module: Module) -> Module:
    """Fill convolutions and linear layers by He's rule, and return the module; norms stay 1 and 0.

    The draws come from torch's global generator: `torch.manual_seed` before building repeats them.
    """
    for layer in module.modules():
        if isinstance(layer, (nn.Conv2d, nn.Linear)):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
    return module
