"""What do finer maps cost? Multiply-adds of all passes, over those of a plain one.

python -m benchmarks finer            # the table of docs/finer.md
python -m benchmarks finer --quick    # two networks

The counts are exact, and the same on every machine: nothing is timed.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from tests.peers import register_torchvision_schemas
from torch import Tensor, nn

import seewhy

ABOUT = """## Finer maps

Multiply-adds of all passes, over those of a plain one, of one picture. Resolutions are reached by
dilation, and by shifts where that is not exact; shifts cost the same for every network."""

WISHES: Mapping[str, dict[str, Any]] = {
    "2": {"resolution": 2},
    "4": {"resolution": 4},
    "2, shifted": {"resolution": 2, "how": "shift"},
    "flip": {"flip": True},
    "scales 0.8, 1, 1.25": {"scales": (0.8, 1.0, 1.25)},
    "2, flip": {"resolution": 2, "flip": True},
}


def _shipped(name: str) -> nn.Module:
    return seewhy.load_model(name).module


def _torchvision(name: str) -> nn.Module:
    register_torchvision_schemas()
    import torchvision

    torch.manual_seed(0)
    model: nn.Module = torchvision.models.get_model(name, weights=None)
    return model.eval()


NETS: Mapping[str, tuple[Callable[[str], nn.Module], int]] = {
    "efficientnet-lite0": (_shipped, 224),
    "resnet20-cifar10": (_shipped, 32),
    "resnet18": (_torchvision, 224),
    "resnet50": (_torchvision, 224),
    "mobilenet_v2": (_torchvision, 224),
    "densenet121": (_torchvision, 224),
    "convnext_tiny": (_torchvision, 224),
    "squeezenet1_1": (_torchvision, 224),
    "swin_t": (_torchvision, 224),
}


def rows(*, quick: bool) -> Iterator[str]:
    """The table, line by line."""
    yield f"| network | grid | {' | '.join(WISHES)} |"
    yield "| --- " * (2 + len(WISHES)) + "|"
    for name in list(NETS)[: 2 if quick else None]:
        make, side = NETS[name]
        picture = torch.randn(1, 3, side, side, generator=torch.Generator().manual_seed(0))
        views = functools.partial(_cell, make(name), picture)
        grid = "x".join(map(str, seewhy.explain(make(name), picture).maps.shape[2:]))
        yield f"| {name} | {grid} | {' | '.join(map(views, WISHES.values()))} |"


def _cell(model: nn.Module, picture: Tensor, wish: Mapping[str, Any]) -> str:
    try:
        views = seewhy.explain(model, picture, **wish).views
    except seewhy.ModelError:  # of one size only
        return "cannot"
    assert views is not None, "no wish is for a plain pass"
    is_second_choice = views.how == "shift" and "how" not in wish
    return f"{views.cost:.1f}" + (" (shifted)" if is_second_choice else "")
