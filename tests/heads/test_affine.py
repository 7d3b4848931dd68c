"""Each kind of step: pulled back by algebra, against autograd and against plain loops."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from tests.oracles import evidence as oracle
from torch import Tensor, nn
from torch.nn import functional as F

from seewhy import evidence
from seewhy.heads import affine
from seewhy.heads.affine import Computed, Parameter, Step

K, C = 4, 3
EPSILON = 1e-5


class Weights(nn.Module):
    """Parameters of every shape that steps ask for, float64."""

    def __init__(self) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(0)

        def drawn(*shape: int) -> nn.Parameter:
            return nn.Parameter(torch.randn(shape, generator=generator, dtype=torch.float64))

        self.weight, self.bias = drawn(C, K), drawn(C)
        self.square = drawn(K, K)
        self.kernel = drawn(C, K, 1, 1)
        self.gain, self.shift, self.mean = drawn(K), drawn(K), drawn(K)
        self.variance = nn.Parameter(drawn(K).detach().abs() + 0.5)


WEIGHT, BIAS, GAIN, SHIFT = (Parameter(name) for name in ("weight", "bias", "gain", "shift"))
LINEAR = Step("linear", (1,), (WEIGHT, BIAS))

# Steps on the pooled features (slot 0), and whether they hold a scale fixed.
PROGRAMS: dict[str, tuple[list[Step], bool]] = {
    "linear": ([Step("linear", (0,), (WEIGHT, BIAS))], False),
    "linear without bias": ([Step("linear", (0,), (WEIGHT, None))], False),
    "1x1 convolution": ([Step("linear", (0,), (Parameter("kernel"), BIAS))], False),
    "scale": ([Step("scale", (0,), (GAIN,)), LINEAR], False),
    "scale by a number": ([Step("scale", (0,), (0.5,)), LINEAR], False),
    "scale after": (
        [Step("linear", (0,), (WEIGHT, BIAS)), Step("scale", (1,), (BIAS,))],
        False,
    ),
    "shift": ([Step("shift", (0,), (SHIFT,), -2.0), LINEAR], False),
    "shift after": (
        [Step("linear", (0,), (WEIGHT, BIAS)), Step("shift", (1,), (BIAS,), 3.0)],
        False,
    ),
    "batch norm": (
        [
            Step("batch_norm", (0,), (GAIN, SHIFT, Parameter("mean"), Parameter("variance")), 1e-3),
            LINEAR,
        ],
        False,
    ),
    "batch norm without gain": (
        [
            Step("batch_norm", (0,), (None, None, Parameter("mean"), Parameter("variance")), 1e-3),
            LINEAR,
        ],
        False,
    ),
    "two linear layers": (
        [Step("linear", (0,), (Parameter("square"), SHIFT)), LINEAR],
        False,
    ),
    "sum of two branches": (
        [
            Step("linear", (0,), (Parameter("square"), None)),
            Step("add", (1, 0), number=-0.5),
            Step("linear", (2,), (WEIGHT, BIAS)),
        ],
        False,
    ),
    "less its mean": (
        [
            Step("mean", (0,)),
            Step("add", (0, 1), number=-1.0),
            Step("linear", (2,), (WEIGHT, BIAS)),
        ],
        False,
    ),
    "plus its sum": (
        [Step("sum", (0,)), Step("add", (0, 1), number=2.0), Step("linear", (2,), (WEIGHT, BIAS))],
        False,
    ),
    "some classes": (
        [Step("linear", (0,), (WEIGHT, BIAS)), Step("take", (1,), (1.0, 3.0))],
        False,
    ),
    "layer norm": ([Step("layer_norm", (0,), (GAIN, SHIFT), EPSILON), LINEAR], True),
    "layer norm without gain": ([Step("layer_norm", (0,), (None, None), EPSILON), LINEAR], True),
    "RMS norm": ([Step("rms_norm", (0,), (GAIN,), EPSILON), LINEAR], True),
    "L2 norm": (
        [
            Step("norm", (0,), number=2.0),
            Step("clamp_min", (1,), number=1e-12),
            Step("over_frozen", (0, 2)),
            Step("linear", (3,), (WEIGHT, None)),
        ],
        True,
    ),
    "times a root": (
        [
            Step("variance", (0,), number=0.0),
            Step("shift", (1,), (EPSILON,), 1.0),
            Step("rsqrt", (2,)),
            Step("times_frozen", (0, 3)),
            Step("linear", (4,), (WEIGHT, BIAS)),
        ],
        True,
    ),
}


def drawn(*shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(7), dtype=torch.float64)


@pytest.mark.parametrize("name", PROGRAMS)
def test_rows_and_bias_make_the_values(name: str) -> None:
    steps, is_frozen = PROGRAMS[name]
    model, pooled = Weights(), drawn(2, K)
    values = affine.run(steps, pooled, model)[-1]
    classes = torch.arange(values.shape[1]).expand(2, -1)
    rows, bias = affine.rows_of_classes(steps, classes, model, pooled)
    together = torch.einsum("bck,bk->bc", rows.expand(2, -1, -1), pooled) + bias
    torch.testing.assert_close(together, values)
    assert affine.is_frozen(steps) == is_frozen


@pytest.mark.parametrize("name", [n for n, (_, is_frozen) in PROGRAMS.items() if not is_frozen])
def test_rows_are_gradients_where_nothing_is_frozen(name: str) -> None:
    steps, _ = PROGRAMS[name]
    model, pooled = Weights(), drawn(1, K).requires_grad_()
    values = affine.run(steps, pooled, model)[-1]
    count = values.shape[1]
    rows, _ = affine.rows_of_classes(steps, torch.arange(count)[None], model, pooled.detach())
    for c in range(count):
        (gradient,) = torch.autograd.grad(values[0, c], pooled, retain_graph=True)
        torch.testing.assert_close(rows[0, c], gradient[0])


@pytest.mark.parametrize("name", PROGRAMS)
def test_some_classes_are_rows_of_all(name: str) -> None:
    """Class ids in any order, and one-hot mixtures, both agree with all classes at once."""
    steps, _ = PROGRAMS[name]
    model, pooled = Weights(), drawn(2, K)
    count = affine.run(steps, pooled, model)[-1].shape[1]
    rows, bias = affine.rows_of_classes(steps, torch.arange(count).expand(2, -1), model, pooled)
    some = torch.tensor([[count - 1, 0], [0, 1]])
    some_rows, some_bias = affine.rows_of_classes(steps, some, model, pooled)
    mixed_rows, mixed_bias = affine.pull_back(steps, F.one_hot(some, count).double(), model, pooled)
    for picture in range(2):
        of = picture if rows.shape[0] == 2 else 0
        expected = rows[of][some[picture]]
        torch.testing.assert_close(some_rows[picture], expected)
        torch.testing.assert_close(mixed_rows[picture], expected)
        torch.testing.assert_close(some_bias[picture], bias[picture][some[picture]])
        torch.testing.assert_close(mixed_bias[picture], bias[picture][some[picture]])


def _maps(steps: list[Step], features: Tensor) -> tuple[Tensor, Tensor]:
    model, pooled = Weights(), evidence.pooled(features)
    classes = torch.arange(C).expand(len(features), -1)
    rows, bias = affine.rows_of_classes(steps, classes, model, pooled)
    return evidence.evidence_maps(rows, features).detach(), bias.detach()


def _by_loops(normalised: list[np.ndarray[tuple[int, ...], np.dtype[np.float64]]]) -> Tensor:
    weight = Weights().weight.detach().numpy()
    return torch.tensor(
        np.stack([[oracle.evidence_map(row, f) for row in weight] for f in normalised])
    )


NORMS = ["layer norm", "RMS norm", "L2 norm", "batch norm"]


@pytest.mark.parametrize("name", NORMS)
@pytest.mark.parametrize("grid", [(5,), (2, 3), (2, 2, 2)])
def test_maps_of_normalised_features_as_by_loops(name: str, grid: tuple[int, ...]) -> None:
    """The oracle normalises position by position; what is constant in it is the map's bias."""
    features, model = drawn(2, K, *grid), Weights()
    gain, shift, mean, variance = (
        getattr(model, n).detach().numpy() for n in ("gain", "shift", "mean", "variance")
    )
    nothing = np.zeros(K)
    normalise: dict[str, Callable[[oracle.Array], oracle.Array]] = {
        "layer norm": lambda f: oracle.frozen_layer_norm(f, gain, nothing, EPSILON),
        "RMS norm": lambda f: oracle.frozen_rms(f, gain, EPSILON),
        "L2 norm": oracle.frozen_l2,
        "batch norm": lambda f: oracle.batch_norm(f, gain, nothing, nothing, variance, 1e-3),
    }
    constant = {
        "layer norm": shift,
        "batch norm": shift - mean * gain / np.sqrt(variance + 1e-3),
    }.get(name, nothing)
    maps, bias = _maps(PROGRAMS[name][0], features)
    torch.testing.assert_close(maps, _by_loops([normalise[name](f) for f in features.numpy()]))
    own = 0.0 if name == "L2 norm" else model.bias.detach()
    expected = torch.tensor(model.weight.detach().numpy() @ constant) + own
    torch.testing.assert_close(bias, expected.expand(2, -1))


def test_no_steps_at_all_are_one_map_for_each_class() -> None:
    rows, bias = affine.rows_of_classes([], torch.tensor([[2, 0]]), Weights(), drawn(1, K))
    assert rows.tolist() == [[[0, 0, 1, 0], [1, 0, 0, 0]]]
    assert bias.tolist() == [[0, 0]]


def test_weights_are_the_present_ones() -> None:
    model = Weights()
    doubled = Computed(torch.mul, (Parameter("bias"),), {"other": 2})
    before = affine.evaluate(doubled, model).clone()
    with torch.no_grad():
        model.bias.add_(1)
    torch.testing.assert_close(affine.evaluate(doubled, model), before + 2)
    assert affine.evaluate((1, Parameter("bias")), model)[1] is model.bias


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_weights_are_widened(dtype: torch.dtype) -> None:
    model = Weights().to(dtype)
    steps, _ = PROGRAMS["scale"]
    rows, bias = affine.rows_of_classes(steps, torch.tensor([[0]]), model, torch.randn(1, K))
    assert rows.dtype == bias.dtype == torch.float32
    torch.testing.assert_close(rows[0, 0], model.weight[0].float() * model.gain.float())
