"""What a network adds by itself: watch one pass, and see every constant that some layer adds.

A network of linear layers, biases and ReLUs is a sum of products: of the picture with its gradient,
and of each constant with the gradient where it is added. The mode here finds the constants
without knowing the network: in convolutions, dense layers and normalisations (in evaluation, a
batch norm is a scale and a constant), and in plain additions of what does not depend on the
picture.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode


class OnlyThePicture(TorchFunctionMode):
    """Within, parameters are constants: what requires a gradient depends on the picture.

    Nothing is kept for gradients of parameters, and the parameters themselves are not touched.
    """

    def __torch_function__(
        self,
        func: Any,
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        return func(*constant(args), **constant(dict(kwargs or {})))


def constant(tree: Any) -> Any:
    """The same arguments, each parameter without its gradient."""
    if isinstance(tree, nn.Parameter):
        return tree.detach()
    if type(tree) in (tuple, list):
        return type(tree)(constant(branch) for branch in tree)
    if type(tree) is dict:
        return {key: constant(branch) for key, branch in tree.items()}
    return tree


# Takes what the gradient makes of one constant, channels second: (B, C, *S).
Take = Callable[[Tensor], None]


class ConstantsAdded(TorchFunctionMode):
    """Within, each constant that is added is handed to `take`, times the gradient that comes back.

    That happens in the backward pass, last layers first. To be entered within `OnlyThePicture`.
    """

    def __init__(self, take: Take) -> None:
        super().__init__()
        self.take = take

    def __torch_function__(
        self,
        func: Any,
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        read = _READERS.get(func)
        added = None if read is None else read(*args, **(kwargs or {}))
        result = func(*args, **(kwargs or {}))
        if added is not None and result.requires_grad:
            result.register_hook(partial(self._multiply, added, func in _CHANNELS_LAST))
        return result

    def _multiply(self, added: Tensor | float, channels_last: bool, gradient: Tensor) -> None:
        terms = (gradient * added).detach()
        self.take(terms.movedim(-1, 1) if channels_last else terms)


def _bias_of_convolution(*args: Any, **kwargs: Any) -> Tensor | None:
    weight, bias = _weight_and_bias(*args, **kwargs)
    return None if bias is None else _along_channels(bias, weight.ndim)


def _bias_of_dense_layer(*args: Any, **kwargs: Any) -> Tensor | None:
    return _weight_and_bias(*args, **kwargs)[1]


def _weight_and_bias(*args: Any, **kwargs: Any) -> tuple[Tensor, Tensor | None]:
    given = {**dict(zip(("input", "weight", "bias"), args, strict=False)), **kwargs}
    return given["weight"], given.get("bias")


def _constant_of_batch_norm(*args: Any, **kwargs: Any) -> Tensor | None:
    """The bias less what the running mean comes to; none where the batch's own mean is taken."""
    of = _arguments(F.batch_norm, args, kwargs)
    if of["training"] or of["running_mean"] is None:
        return None
    constant = -of["running_mean"] * (of["running_var"] + of["eps"]).rsqrt()
    constant = constant if of["weight"] is None else constant * of["weight"]
    constant = constant if of["bias"] is None else constant + of["bias"]
    return _along_channels(constant, of["input"].ndim)


def _bias_of_layer_norm(*args: Any, **kwargs: Any) -> Tensor | None:
    bias: Tensor | None = _arguments(F.layer_norm, args, kwargs)["bias"]
    return bias


def _bias_of_group_norm(*args: Any, **kwargs: Any) -> Tensor | None:
    of = _arguments(F.group_norm, args, kwargs)
    return None if of["bias"] is None else _along_channels(of["bias"], of["input"].ndim)


def _arguments(
    function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> dict[str, Any]:
    given = inspect.signature(function).bind(*args, **kwargs)
    given.apply_defaults()
    return given.arguments


def _added(first: Any, second: Any, *, alpha: float = 1, **_: Any) -> Tensor | float | None:
    if _depends_on_the_picture(first):
        return None if _depends_on_the_picture(second) else second * alpha
    return first * 1 if _depends_on_the_picture(second) else None  # a copy: it may be written to


def _subtracted(first: Any, second: Any, *, alpha: float = 1, **_: Any) -> Tensor | float | None:
    return _added(first, second, alpha=-alpha)


def _subtracted_from(first: Any, second: Any, *, alpha: float = 1) -> Tensor | float | None:
    return _added(second, first, alpha=-alpha)


def _depends_on_the_picture(value: Any) -> bool:
    return isinstance(value, Tensor) and value.requires_grad


def _along_channels(values: Tensor, dimensions: int) -> Tensor:
    return values.reshape(-1, *(1,) * (dimensions - 2))


# From a function's arguments to the constant that it adds, in a shape that fits its result.
_READERS: Mapping[Any, Callable[..., Tensor | float | None]] = {
    **dict.fromkeys((F.conv1d, F.conv2d, F.conv3d), _bias_of_convolution),
    **dict.fromkeys(
        (F.conv_transpose1d, F.conv_transpose2d, F.conv_transpose3d), _bias_of_convolution
    ),
    F.linear: _bias_of_dense_layer,
    F.batch_norm: _constant_of_batch_norm,
    F.layer_norm: _bias_of_layer_norm,
    F.group_norm: _bias_of_group_norm,
    **dict.fromkeys((torch.add, Tensor.add, Tensor.add_), _added),
    **dict.fromkeys((torch.sub, Tensor.sub, Tensor.sub_), _subtracted),
    **dict.fromkeys((torch.rsub, Tensor.__rsub__), _subtracted_from),
}
_CHANNELS_LAST = {F.linear, F.layer_norm}
