"""One pass that gives the evidence, and the features on a finer grid that it came by."""

from __future__ import annotations

import weakref
from typing import Any

import torch
from torch import Tensor, nn

from seewhy import heads
from seewhy.capture import capture
from seewhy.errors import ModelError
from seewhy.explainer import explain
from seewhy.explanation import Explanation
from seewhy.heads import Head
from seewhy.observe import in_eval_mode
from seewhy.refinement.narrows import Narrows, find_narrows

_KNOWN: weakref.WeakKeyDictionary[Head, dict[Any, Narrows]] = weakref.WeakKeyDictionary()


def looked(
    network: nn.Module, pictures: Tensor, classes: Any, finer: int, **options: Any
) -> tuple[Explanation, Tensor]:
    """Explain pictures, and keep the features of a finer grid, (B, K, h, w), from the same pass.

    Args:
        network: the network.
        pictures: (B, C, H, W).
        classes: as for `explain`.
        finer: how many times as many cells a side that grid has.
        options: what `explain` takes besides.

    Raises:
        InputError: there is no such grid.
        ModelError: the pass went another way than the one that was watched.
        Also what `explain` raises.
    """
    head = heads.cached_head(network, pictures[:2], options.get("output"))
    narrows = _narrows(network, head, pictures, finer)
    with capture(network, [narrows.tap]) as (kept,):
        result = explain(network, pictures, classes, **options)
    if not kept or len(kept[0]) != len(pictures):
        raise ModelError(
            type(network).__name__,
            expected="a forward pass that comes by the features that were found",
            got="one that went another way",
            fix="build the network anew: what it computes must not change from call to call",
        )
    return result, kept[0].detach()


def _narrows(network: nn.Module, head: Head, pictures: Tensor, finer: int) -> Narrows:
    """Those of pictures of this size, remembered for as long as the head lives."""
    known = _KNOWN.setdefault(head, {})
    key = tuple(pictures.shape[1:]), finer
    if key not in known:
        with torch.inference_mode(mode=False), in_eval_mode(network):
            known[key] = find_narrows(network, head, pictures[:2].clone(), finer)
    return known[key]
