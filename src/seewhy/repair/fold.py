"""Other weights in a network's last layer."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from seewhy.audit.revisit import Revisit
from seewhy.errors import ModelError
from seewhy.heads.affine import Parameter
from seewhy.repair.project import Linear


def layer_of(revisit: Revisit) -> Linear:
    """What the network makes of pooled features."""
    return Linear(revisit.weight, revisit.bias)


def folded(revisit: Revisit, layer: Linear) -> nn.Module:
    """A copy of the network with this layer in place of its own; all else stays as it is.

    Raises:
        ModelError: what follows the pooling is not one linear layer with a bias.
    """
    module = copy.deepcopy(revisit.classifier.module)
    weight, bias = _parameters(revisit, module)
    positions = 1 if revisit.head.pooling == "mean" else _positions(revisit)
    with torch.no_grad():
        weight.copy_((layer.weight / positions).view_as(weight))
        bias.copy_(layer.bias)
    return module


def _positions(revisit: Revisit) -> int:
    """Of the grid: the layer sees sums, and what is fitted here are weights of means."""
    count = 1
    for side in revisit.head.grid:
        count *= side
    return count


def _parameters(revisit: Revisit, module: nn.Module) -> tuple[Tensor, Tensor]:
    steps = revisit.head.steps
    if len(steps) == 1 and steps[0].kind == "linear":
        match steps[0].weights:
            case (Parameter(weight), Parameter(bias)):
                return module.get_parameter(weight), module.get_parameter(bias)
    raise ModelError(
        f"model {revisit.classifier.name}",
        expected="one linear layer with a bias behind the pooling, to fold the repair into",
        got=revisit.head.describe(),
        fix="take --how finetune",
    )
