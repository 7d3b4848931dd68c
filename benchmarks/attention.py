"""What the methods for transformers cost, in bare forward passes.

python -m benchmarks attention
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from torch import nn

from benchmarks.cost import BATCHES, bare
from benchmarks.nets import pictures
from benchmarks.timing import race
from seewhy.methods import METHODS

BARE = "bare"
NAMES = ("attention-rollout", "attention-relevance", "legrad", "gradient")


def of_timm(name: str) -> nn.Module:
    """A transformer with random weights, whose speed is that of trained ones."""
    import timm

    torch.manual_seed(0)
    model: nn.Module = timm.create_model(name).eval()
    return model


def of_transformers(**options: Any) -> nn.Module:
    """The same as transformers has it, attention written out."""
    import transformers

    torch.manual_seed(0)
    library: Any = transformers
    config = library.ViTConfig(attn_implementation="eager", **options)
    model: nn.Module = library.ViTForImageClassification(config).eval()
    return model


TINY = {"hidden_size": 192, "num_attention_heads": 3, "intermediate_size": 768}
NETS: Mapping[str, Callable[[], nn.Module]] = {
    "DeiT-Tiny (timm)": functools.partial(of_timm, "deit_tiny_patch16_224"),
    "ViT of that size (transformers, eager)": functools.partial(of_transformers, **TINY),
}


def measure(name: str, batch: int, seconds: float) -> str:
    """Every method's cost on one network: a line of the Markdown table."""
    model, images = NETS[name](), pictures(batch)
    classes = torch.zeros(batch, dtype=torch.long)
    contenders = {BARE: bare(model, images)} | {
        method: functools.partial(METHODS[method].function, model, images, classes)
        for method in NAMES
    }
    timings = race(contenders, seconds=seconds)
    base = timings.median(BARE)
    cells = [f"{timings.median(method) / base:.2f}" for method in NAMES]
    return f"| {name} | {batch} | {base * 1000:.0f} ms | {' | '.join(cells)} |"


def rows(*, quick: bool) -> Iterator[str]:
    """The Markdown table, line by line as the results come in."""
    yield f"| network | batch | {BARE} | {' | '.join(NAMES)} |"
    yield f"| --- | ---: | ---: | {' | '.join(['---:'] * len(NAMES))} |"
    for name in NETS:
        for batch in BATCHES:
            yield measure(name, batch, seconds=3.0 if quick else 15.0)


ABOUT = """\
## Methods for transformers

Maps of one class at input resolution: time in bare forward passes of the same batch (under
`no_grad`). Fused attention is computed the long way while it is watched, which is part of the
price. The gradient of the whole network stands beside them.
"""
