"""What rounding may explain, under both of PyTorch's switches."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch

from seewhy import rounding


def test_the_tolerances() -> None:
    assert list(rounding.TOLERANCES.values()) == [1e-10, 1e-5, 2e-3, 2e-2]


def test_the_tolerance_is_that_of_the_coarsest() -> None:
    assert rounding.tolerance(torch.float32, torch.float64) == 1e-5
    assert rounding.tolerance(torch.float32, torch.bfloat16) == 2e-2
    assert rounding.tolerance(torch.int64) == 1e-5


@pytest.mark.parametrize(("precision", "expected"), [("high", 2e-3), ("medium", 2e-2)])
def test_products_that_may_be_rounded_are_allowed_for(precision: str, expected: float) -> None:
    before = torch.get_float32_matmul_precision()
    try:
        torch.set_float32_matmul_precision(precision)
        assert rounding.tolerance(torch.float32) == expected
        assert rounding.tolerance(torch.float64) == 1e-10
    finally:
        torch.set_float32_matmul_precision(before)


NEWER = hasattr(torch.backends.cudnn, "conv")


@pytest.mark.skipif(not NEWER, reason="PyTorch has had the newer switch since 2.9")
@pytest.mark.parametrize(
    ("switched", "expected"),
    [
        ('cuda.matmul.fp32_precision = "ieee"', "1e-05 0.002"),
        ('cuda.matmul.fp32_precision = "tf32"', "0.002 0.002"),
        ('mkldnn.matmul.fp32_precision = "bf16"', "0.02 0.02"),
        ('cudnn.conv.fp32_precision = "ieee"', "1e-05 1e-05"),
        ('cudnn.conv.fp32_precision = "tf32"', "1e-05 0.002"),
        ('fp32_precision = "ieee"', "1e-05 1e-05"),
    ],
)
def test_the_newer_switch(switched: str, expected: str) -> None:
    """In a process of its own: there is no way back from it to the older one."""
    code = f"""
import torch
from seewhy.rounding import tolerance
torch.backends.{switched}
print(tolerance(torch.float32), tolerance(torch.float32, cudnn=True))
assert tolerance(torch.float64, cudnn=True) == 1e-10
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == expected


def test_cudnn_rounds_unless_told_not_to() -> None:
    assert rounding.tolerance(torch.float32, cudnn=True) == 2e-3
