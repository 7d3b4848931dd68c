"""What others do about wrong reasons, by hand."""

from __future__ import annotations

import torch
from benchmarks.rivals import clarc_layer

from seewhy.repair.project import Linear


def test_the_difference_of_means_is_projected_out_at_right_angles() -> None:
    """Means at (3, 1, 0) and (0, 1, 4) differ by (3, 0, -4), a fifth of which is a unit long."""
    group = torch.tensor([[3.0, 0.0, 0.0], [3.0, 2.0, 0.0]])
    rest = torch.tensor([[0.0, 1.0, 3.0], [0.0, 1.0, 5.0]])
    layer = Linear(torch.tensor([[5.0, 1.0, 0.0]]), torch.tensor([2.0]))
    mended = clarc_layer(layer, group, rest, torch.tensor([1.0, 0.0, 0.0]))
    torch.testing.assert_close(mended.weight, torch.tensor([[3.2, 1.0, 2.4]]))
    torch.testing.assert_close(mended.bias, torch.tensor([3.8]))  # of the mean, 7 as before
