"""Network in Network for pictures of 32 x 32: its last maps are the evidence itself.

M. Lin, Q. Chen, S. Yan, "Network In Network" (ICLR 2014, arXiv:1312.4400): three mlpconv layers,
each a convolution followed by two of 1x1, a small perceptron at every place (section 3.1). The last
one gives a map for each class, whose averages are the logits: no linear layer at all (section 3.2,
where global average pooling comes from).

The widths are those of the authors' configuration for CIFAR-10. Two things differ from it: the last
maps have no ReLU, so that there is evidence against a class, and no class that starts at zero stays
there; and weights begin by He's rule.
"""

from __future__ import annotations

from collections.abc import Iterator

from torch import Tensor, nn

from seewhy.models.initialise import initialise

# Channels of each mlpconv layer; a map for each class follows the last.
FIRST, SECOND, LAST = (192, 160, 96), (192, 192, 192), (192, 192)


def network_in_network(num_classes: int = 10) -> NetworkInNetwork:
    """Return an untrained network."""
    return initialise(NetworkInNetwork(num_classes))


class NetworkInNetwork(nn.Module):
    """Pictures (batch, 3, height, width) to logits (batch, num_classes); any size."""

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.trunk = nn.Sequential(
            *_layers(3, 5, FIRST),
            nn.MaxPool2d(3, stride=2, ceil_mode=True),
            nn.Dropout(0.5),
            *_layers(FIRST[-1], 5, SECOND),
            nn.AvgPool2d(3, stride=2, ceil_mode=True),
            nn.Dropout(0.5),
            *_layers(SECOND[-1], 3, LAST),
        )
        self.maps = nn.Conv2d(LAST[-1], num_classes, 1)
        self.pool = nn.AdaptiveAvgPool2d(1)

    def forward(self, pictures: Tensor) -> Tensor:
        """Return the logits."""
        logits: Tensor = self.pool(self.maps(self.trunk(pictures))).flatten(1)
        return logits


def _layers(inputs: int, kernel: int, channels: tuple[int, ...]) -> Iterator[nn.Module]:
    """Yield convolutions with their ReLUs: the first of `kernel`, the others of 1x1."""
    for width in channels:
        yield nn.Conv2d(inputs, width, kernel, padding=kernel // 2)
        yield nn.ReLU()
        inputs, kernel = width, 1
