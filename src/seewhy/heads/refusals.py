"""Why a model has no head that seewhy can certify, in words that help."""

from __future__ import annotations

from collections.abc import Mapping

from seewhy.observe import Operation


class Refusal(Exception):  # noqa: N818 -- it never leaves the package; `HeadNotFound` does
    """Why a model has no head, as the end of the sentence "its head ...".

    Args:
        reason: the end of that sentence.
        fix: what the user can do, where there is something better than another model.
    """

    def __init__(self, reason: str, fix: str | None = None) -> None:
        super().__init__(reason)
        self.fix = fix


_MLP = (
    "relu gelu silu hardswish hardtanh leaky_relu elu tanh sigmoid hardsigmoid mish "
    "celu selu softplus prelu _prelu_kernel"
).split()

_REASONS: Mapping[str, str] = {
    **dict.fromkeys(_MLP, "is an MLP or gated: it applies {name} to pooled or flattened features"),
    **dict.fromkeys(
        (
            "max amax max_pool2d_with_indices max_pool3d_with_indices adaptive_max_pool2d "
            "adaptive_max_pool3d"
        ).split(),
        "uses max pooling ({name})",
    ),
    **dict.fromkeys(("pow", "clamp", "clamp_min"), "pools by a power mean (GeM) ({name})"),
    **dict.fromkeys(("logsumexp", "exp", "log"), "pools by log-sum-exp ({name})"),
    **dict.fromkeys(("cat", "stack"), "joins several vectors ({name})"),
    **dict.fromkeys(
        (
            "_softmax _scaled_dot_product_flash_attention_for_cpu "
            "_scaled_dot_product_efficient_attention _scaled_dot_product_flash_attention "
            "_scaled_dot_product_cudnn_attention"
        ).split(),
        "pools by attention ({name})",
    ),
    **dict.fromkeys(
        ("avg_pool1d", "avg_pool2d", "avg_pool3d"),
        "averages over a window that does not cover the whole grid ({name})",
    ),
    **dict.fromkeys(
        ("view", "_unsafe_view", "reshape"),
        "flattens the grid, so that each position has weights of its own",
    ),
    **dict.fromkeys(("select", "slice", "index"), "reads one token (a class token?)"),
}


def reason(operation: Operation | str) -> str:
    """What an operation that has no rule usually means."""
    name = operation if isinstance(operation, str) else operation.name
    pattern = _REASONS.get(name, "is not affine: it uses {name}")
    return pattern.format(name=name)
