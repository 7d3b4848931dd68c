"""How much rounding explains: what PyTorch may do to 32-bit products, and the tolerance it earns.

PyTorch has an older switch for this and a newer one; where somebody used the newer, asking the
older raises.
"""

from __future__ import annotations

from typing import Any

import torch

# The largest deviation, over the scale of the logits, that rounding explains.
TOLERANCES = {
    torch.float64: 1e-10,
    torch.float32: 1e-5,
    torch.float16: 2e-3,
    torch.bfloat16: 2e-2,
}

# TensorFloat-32 has the mantissa of float16; "medium" allows bfloat16.
_ALLOWED = {
    "highest": torch.float32,
    "high": torch.float16,
    "medium": torch.bfloat16,
    "ieee": torch.float32,
    "none": torch.float32,
    "tf32": torch.float16,
    "bf16": torch.bfloat16,
}


def tolerance(*dtypes: torch.dtype, cudnn: bool = False) -> float:
    """The largest deviation that rounding explains where values of these types are compared.

    It is that of the coarsest: a float32 head on bfloat16 features is as exact as those are, and
    so is one whose products PyTorch was allowed to round (`set_float32_matmul_precision`).

    Args:
        dtypes: of the values.
        cudnn: whether a convolution on a GPU made one of them; cuDNN rounds to TensorFloat-32
            unless told not to.
    """
    rounding = list(dtypes)
    if torch.float64 not in dtypes:
        rounding.append(_ALLOWED[_products()])
        rounding += [_ALLOWED[_convolutions()]] if cudnn else []
    return max(TOLERANCES.get(dtype, TOLERANCES[torch.float32]) for dtype in rounding)


def _products() -> str:
    try:
        return torch.get_float32_matmul_precision()
    except RuntimeError:  # the newer switch was used, and says more than the older can tell
        backends: Any = torch.backends
        each = (backends.cuda.matmul.fp32_precision, backends.mkldnn.matmul.fp32_precision)
        return max(map(str, each), key=lambda name: TOLERANCES[_ALLOWED[name]])


def _convolutions() -> str:
    conv = getattr(torch.backends.cudnn, "conv", None)
    if conv is None:  # before PyTorch 2.9
        return "tf32" if torch.backends.cudnn.allow_tf32 else "ieee"
    return str(conv.fp32_precision)
