"""What training starts from: random weights, trained ones, or trained ones under a new head."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from seewhy.errors import InputError
from seewhy.geometry import Size
from seewhy.models import Classifier, load_model
from seewhy.models.folder import find_folder, read_card
from seewhy.models.to_gap import to_gap
from seewhy.preprocess import Preprocess
from seewhy.training.draws import seed_of

GAP: Mapping[str, Any] = {"width": 1024, "keep_grid": True, "pool": "avg"}


@dataclass(frozen=True, eq=False)
class Start:
    """A network before training.

    Attributes:
        net: what `load_model` builds it from.
        module: the network.
        preprocess: how its pictures are prepared.
        gap: what `to_gap` was called with, if it made the network.
        new: the names of its parameters that stand beside trained ones; none where all are alike.
        is_trained: whether it has trained parameters.
        account: what was done to it, for people; empty if nothing.
    """

    net: str
    module: nn.Module
    preprocess: Preprocess
    gap: Mapping[str, Any] | None = None
    new: Sequence[str] = ()
    is_trained: bool = False
    account: str = ""


def start(
    net: str,
    num_classes: int,
    *,
    seed: int,
    init: bool = False,
    gap: bool = False,
    size: Size | None = None,
) -> Start:
    """Return a network to train; the weights that are random depend on the seed alone.

    Args:
        net: a net's name, or what else `load_model` takes.
        num_classes: of the data.
        seed: of the run.
        init: start from trained weights.
        gap: replace the head by `to_gap`; with `init`.
        size: (width, height) of its pictures; by default what it was made for.

    Raises:
        ModelError: there is no such network, or it has no head that can be replaced.
        InputError: it takes pictures of another kind, or cannot have that many classes.
    """
    with torch.random.fork_rng():
        torch.manual_seed(seed_of(seed, "weights"))
        if not init:
            found = load_model(net, pretrained=False, num_classes=num_classes, size=size)
            return Start(_net(net), found.module, found.preprocess, _gap(net))
        found = load_model(net, size=size)
        return _with_gap(net, found, num_classes) if gap else _go_on(net, found, num_classes)


def _go_on(net: str, found: Classifier, num_classes: int) -> Start:
    """Keep all weights, but for those whose number depends on the number of classes."""
    if found.num_classes == num_classes:
        return Start(_net(net), found.module, found.preprocess, _gap(net), is_trained=True)
    size = found.preprocess.size
    module = load_model(net, pretrained=False, num_classes=num_classes, size=size).module
    trained, ours = found.module.state_dict(), module.state_dict()
    fitting = {name: trained[name] for name in ours if ours[name].shape == trained[name].shape}
    module.load_state_dict(fitting, strict=False)
    new = tuple(name for name, _ in module.named_parameters() if name not in fitting)
    account = f"{found.num_classes} classes became {num_classes}: {', '.join(new)} start anew"
    return Start(_net(net), module, found.preprocess, _gap(net), new, True, account)


def _with_gap(net: str, found: Classifier, num_classes: int) -> Start:
    if _gap(net):
        raise InputError(
            "to_gap",
            expected="a network with another head",
            got=f"{net}, which to_gap made",
            fix="leave out --to-gap to go on with it",
        )
    changed = to_gap(found.module, num_classes, example=found.example(), **GAP)
    new = tuple(
        name for name, _ in changed.named_parameters() if name.startswith(("conv.", "linear."))
    )
    account = str(changed.account)
    return Start(_net(net), changed, found.preprocess, GAP, new, True, account)


def _net(spec: str) -> str:
    """What a model folder's network is built from, or the spec itself."""
    folder = find_folder(spec)
    return read_card(folder).net if folder else spec


def _gap(spec: str) -> Mapping[str, Any] | None:
    folder = find_folder(spec)
    return read_card(folder).gap if folder else None
