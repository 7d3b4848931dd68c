"""`to_gap`: global average pooling and one linear layer in place of a flatten-and-dense head.

Source: Zhou et al., "Learning Deep Features for Discriminative Localization", CVPR 2016, section 3.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn

from seewhy.errors import InputError, ModelError
from seewhy.heads import Head, unwrap
from seewhy.heads.find import observed, read_head, require_real
from seewhy.heads.outputs import returned_logits
from seewhy.heads.refusals import Refusal
from seewhy.models.cost import cost
from seewhy.models.gap_account import GapAccount, kept_layers, removed_layers
from seewhy.models.last_maps import last_maps
from seewhy.models.trunk import cut
from seewhy.observe import Path, Trace, in_eval_mode, run_eagerly
from seewhy.wording import complaint

Pool = Literal["avg", "max"]

_CONVOLUTIONS = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}
_SIZES = (224, 227, 299, 256, 192, 160, 128, 96, 64, 48, 32, 28)


@dataclass(frozen=True)
class _Wanted:
    """What the caller asked for; see `to_gap`."""

    num_classes: int | None
    width: int | None
    keep_grid: bool
    pool: Pool

    def __post_init__(self) -> None:
        for name in ("num_classes", "width"):
            value = getattr(self, name)
            if value is not None and (type(value) is not int or value < 1):
                raise InputError(
                    name, expected="1 or more, or None", got=repr(value), fix=f"pass another {name}"
                )
        if self.pool not in get_args(Pool):
            kinds = " or ".join(map(repr, get_args(Pool)))
            raise InputError("pool", expected=kinds, got=repr(self.pool), fix="choose one of them")


class GapNet(nn.Module):
    """A trunk, a 3x3 convolution with ReLU, global pooling and a linear layer. Made by `to_gap`.

    Attributes:
        trunk: the layers that were kept, under their old names.
        conv: the new convolution and its ReLU; an `Identity` if there is none.
        pool: "avg" or "max".
        linear: from the pooled features to the logits.
        account: what was removed, kept and added, and what it costs.
    """

    account: GapAccount

    def __init__(self, trunk: nn.Module, conv: nn.Module, pool: Pool, linear: nn.Linear) -> None:
        super().__init__()
        self.trunk = trunk
        self.conv = conv
        self.pool = pool
        self.linear = linear

    def features(self, images: Tensor) -> Tensor:
        """The feature maps (B, K, *S) that are pooled."""
        maps: Tensor = self.conv(self.trunk(images))
        return maps

    def forward(self, images: Tensor) -> Tensor:
        """The logits (B, C)."""
        maps = self.features(images)
        positions = tuple(range(2, maps.ndim))
        pooled = maps.mean(positions) if self.pool == "avg" else maps.amax(positions)
        logits: Tensor = self.linear(pooled)
        return logits

    def extra_repr(self) -> str:
        """How the features are pooled, for the module's printed form."""
        return f"pool={self.pool!r}"


def to_gap(
    model: nn.Module,
    num_classes: int | None = None,
    width: int | None = 1024,
    keep_grid: bool = True,
    *,
    pool: Pool = "avg",
    example: Tensor | None = None,
) -> GapNet:
    """Give a network the head of Zhou et al.: convolution 3x3, ReLU, global pooling, linear.

    What the network computes is found by watching one forward pass, not from the names of its
    layers: its last feature maps (B, K, *S) are those that it flattens, runs a kernel as wide as
    the grid over, or pools before dense layers. The trunk up to there is a deep copy, under the
    old names, with what was frozen still frozen and hooks copied, too; the layers behind are gone.
    The new layers are initialised after He et al. from torch's global random state, and are to be
    trained: the logits mean nothing before. A softmax at the end is left out with the rest.

    The result's `state_dict()` fits what the same call makes of another network of the same kind.

    A network that ends in global average pooling and linear layers already is refused, as
    `find_head` works on it, unless other classes or max pooling are asked for: then only its linear
    layers are replaced, and no convolution is added.

    Refused are also networks whose last features are tokens (transformers), that join several
    feature maps, that have no convolution, or scripted ones; and those that torch.fx cannot trace
    where it has to: a forward pass whose control flow, before the last feature maps, depends on the
    picture, in a module whose parts do not all belong to the trunk.

    Args:
        model: any `nn.Module` that returns logits, or what `load_model` gives. It is left as it
            was.
        num_classes: number of logits; by default the model's own.
        width: channels of the new convolution; None for none.
        keep_grid: whether poolings between the last convolution and the head go, for a finer map:
            13 x 13 for AlexNet and 14 x 14 for VGG at 224 pixels, as in the paper. One that leaves
            a single position goes in any case.
        pool: "avg", or "max" for the global max pooling that the paper compares with; its maps
            are those of a "pooled" head.
        example: an input that the model accepts, (B, channels, *S). It need not be given for most
            networks for pictures, which are tried with noise of usual sizes.

    Returns:
        The network, in the training mode of the model; `.account` says what was done.

    Raises:
        InputError: an argument cannot be used, or an example is needed.
        ModelError: the model cannot be run or copied, or its head cannot be replaced.
    """
    wanted = _Wanted(num_classes, width, keep_grid, pool)
    if not isinstance(model, nn.Module) and hasattr(model, "module"):
        example = model.example() if example is None else example
        model = model.module
    network = _sharing_copy(unwrap(model))
    with in_eval_mode(network), run_eagerly():
        example = _checked(network, _guessed(network) if example is None else example)
        trace = observed(network, (example,), {})
        try:
            net = _converted(network, example, trace, wanted)
        except Refusal as refusal:
            raise _refused(network, refusal) from None
    return net.train(model.training)


def _converted(network: nn.Module, example: Tensor, trace: Trace, wanted: _Wanted) -> GapNet:
    path, logits = returned_logits(trace)
    num_classes = wanted.num_classes or logits[0].numel()
    own = _own_head(trace, path, logits)
    if own is not None:
        _require_change(own, num_classes, wanted.pool)
    maps = last_maps(trace, trace.number(logits), keep_grid=wanted.keep_grid)
    shared = cut(network, example, trace, maps)
    trunk = copy.deepcopy(shared)
    width = wanted.width if own is None else None
    conv, linear = _new_layers(trace.tensors[maps.number], width, num_classes)
    net = GapNet(trunk, conv, wanted.pool, linear).eval()
    with torch.no_grad():
        grid_after = tuple(net.features(example[:1]).shape[2:])
    net.account = GapAccount(
        removed=removed_layers(network, shared, trace, maps.dropped),
        kept=kept_layers(network, shared),
        added=_added(net),
        grid_before=maps.grid,
        grid_after=grid_after,
        before=cost(network, example[:1]),
        after=cost(net, example[:1]),
    )
    return net


def _own_head(trace: Trace, path: Path, logits: Tensor) -> Head | None:
    """The head of a network that needs no other."""
    try:
        return read_head(trace, path, logits)
    except Exception:  # of a network that is not understood, it is not known that it has one
        return None


def _require_change(own: Head, num_classes: int, pool: Pool) -> None:
    is_same = num_classes == own.num_classes and pool == "avg"
    if is_same or own.kind == "class-maps":
        raise Refusal(
            f"already ends in global average pooling ({own.describe()})",
            "use it as it is: seewhy.find_head finds its head"
            + ("" if is_same else "; for other classes, change its last convolution"),
        )


def _new_layers(maps: Tensor, width: int | None, num_classes: int) -> tuple[nn.Module, nn.Linear]:
    """The convolution with its ReLU and the linear layer, for feature maps like these."""
    channels, dimensions = maps.shape[1], maps.ndim - 2
    if dimensions not in _CONVOLUTIONS:
        raise Refusal(f"has feature maps with {dimensions} spatial axes")
    place: dict[str, Any] = {"device": maps.device, "dtype": maps.dtype}
    conv: nn.Module = nn.Identity()
    if width is not None:
        layer = _CONVOLUTIONS[dimensions](channels, width, 3, padding=1, **place)
        _initialise(layer, "relu")
        conv = nn.Sequential(layer, nn.ReLU())
    linear = nn.Linear(width or channels, num_classes, **place)
    _initialise(linear, "linear")
    return conv, linear


def _initialise(layer: Any, nonlinearity: Literal["relu", "linear"]) -> None:
    nn.init.kaiming_normal_(layer.weight, nonlinearity=nonlinearity)
    nn.init.zeros_(layer.bias)


def _added(net: GapNet) -> tuple[str, ...]:
    lines = ["global average pooling" if net.pool == "avg" else "global max pooling"]
    if isinstance(net.conv, nn.Sequential):
        conv: Any = net.conv[0]
        kernel = " x ".join(map(str, conv.kernel_size))
        lines.insert(0, f"conv: {kernel}, {conv.in_channels} -> {conv.out_channels}, ReLU")
    return (*lines, f"linear: {net.linear.in_features} -> {net.linear.out_features}")


def _sharing_copy(model: nn.Module) -> nn.Module:
    """A copy of the modules around the same parameters and buffers, to be opened and watched."""
    tensors = (*model.parameters(), *model.buffers())
    if any(map(nn.parameter.is_lazy, tensors)):
        raise ModelError(
            type(model).__name__,
            expected="a model whose layers have their shapes",
            got="lazy layers",
            fix="run it once on an input",
        )
    try:
        return copy.deepcopy(model, {id(tensor): tensor for tensor in tensors})
    except Exception as error:  # what its attributes say to being copied
        raise ModelError(
            type(model).__name__,
            expected="a model that can be copied",
            got=complaint(error),
            fix="make what cannot be copied when it is needed, not as an attribute",
        ) from error


def _checked(network: nn.Module, example: Tensor) -> Tensor:
    if not isinstance(example, Tensor):
        raise InputError(
            "example",
            expected="a tensor (B, channels, ...)",
            got=type(example).__name__,
            fix="pass an input that the model accepts, such as torch.randn(2, 3, 224, 224)",
        )
    require_real(network, (example,), {})
    return example


def _guessed(network: nn.Module) -> Tensor:
    """Noise of the first usual size that a network for pictures accepts.

    Raises:
        InputError: it has no 2D convolution, or accepts none.
    """
    first = next((m for m in network.modules() if isinstance(m, nn.Conv2d)), None)
    if first is None:
        raise _needed("the model has no 2D convolution to guess one from", "...")
    generator = torch.Generator().manual_seed(0)
    for size in _SIZES:
        noise = torch.randn((2, first.in_channels, size, size), generator=generator)
        example = noise.to(first.weight)
        if _accepts(network, example):
            return example
    raise _needed("it fails on pictures of all usual sizes", f"2, {first.in_channels}, ...")


def _needed(reason: str, shape: str) -> InputError:
    return InputError(
        "example",
        expected="an input that the model accepts",
        got=f"none, and {reason}",
        fix=f"pass example=torch.randn({shape}) in the shape of its own inputs",
    )


def _accepts(network: nn.Module, example: Tensor) -> bool:
    try:
        with torch.no_grad():
            network(example[:1])
    except Exception:  # whatever it says to another size
        return False
    return True


def _refused(model: nn.Module, refusal: Refusal) -> ModelError:
    return ModelError(
        type(model).__name__,
        expected="a network with feature maps, then a flatten and dense layers",
        got=f"one that {refusal}",
        fix=refusal.fix or "convert a network whose last features are those of convolutions",
    )
