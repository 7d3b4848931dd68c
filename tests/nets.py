"""Little classifiers whose heads are known, for the tests of the core."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

Head = Callable[["Net", Tensor], Any]
WIDTH, CLASSES = 8, 5


class Net(nn.Module):
    """A convolution, batch normalisation and a ReLU, and then whatever `head` makes of them.

    The head is given the network, for its layers, and features (B, 8, *S), which belong to no
    module: they are the result of a function.
    """

    def __init__(self, head: Head, dimensions: int = 2) -> None:
        super().__init__()
        convolution = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}[dimensions]
        norm = {1: nn.BatchNorm1d, 2: nn.BatchNorm2d, 3: nn.BatchNorm3d}[dimensions]
        generator = torch.Generator().manual_seed(0)
        self.head = head
        self.conv = convolution(3, WIDTH, 3, padding=1)
        self.bn = norm(WIDTH)
        self.fc = nn.Linear(WIDTH, CLASSES)
        self.fc2 = nn.Linear(CLASSES, 4)
        self.one = nn.Linear(WIDTH, 1)
        self.by_position = nn.Linear(64, CLASSES)
        self.maps = nn.Conv2d(WIDTH, CLASSES, 1)
        self.square = nn.Conv2d(WIDTH, WIDTH, 1)
        self.layer_norm = nn.LayerNorm(WIDTH)
        self.rms_norm = nn.RMSNorm(WIDTH)
        self.vector_norm = nn.BatchNorm1d(WIDTH)
        self.extra = nn.Parameter(torch.empty(WIDTH))
        for tensor in (*self.parameters(), self.vector_norm.running_mean):
            assert tensor is not None
            nn.init.normal_(tensor, generator=generator)
        assert self.vector_norm.running_var is not None
        nn.init.uniform_(self.vector_norm.running_var, 0.5, 2.0, generator=generator)

    def forward(self, x: Tensor) -> Any:
        return self.head(self, F.relu(self.bn(self.conv(x))))


class Bare(nn.Module):
    """Its input is its features: GAP and one linear layer with weights that are given."""

    def __init__(self, weight: list[list[float]], bias: list[float]) -> None:
        super().__init__()
        self.features = nn.Identity()
        self.fc = nn.Linear(len(weight[0]), len(weight))
        with torch.no_grad():
            self.fc.weight.copy_(torch.tensor(weight))
            self.fc.bias.copy_(torch.tensor(bias))

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.fc(self.features(x).flatten(2).mean(2))
        return logits


class Attending(nn.Module):
    """One block of a vision transformer without class token; as many tokens as channels."""

    def __init__(self, patches: str, width: int = 64, heads: int = 4) -> None:
        super().__init__()
        self.patches, self.heads = patches, heads
        self.by_convolution = nn.Conv2d(3, width, 4, 4)
        self.by_linear = nn.Linear(48, width)
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)
        self.norm = nn.LayerNorm(width)
        self.fc = nn.Linear(width, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        tokens = self._tokens(x)
        batch, count, width = tokens.shape
        qkv = self.qkv(tokens).reshape(batch, count, 3, self.heads, width // self.heads)
        q, k, v = qkv.permute(2, 0, 3, 1, 4).unbind(0)
        mixed = (q @ k.transpose(-2, -1)).softmax(-1) @ v
        tokens = tokens + self.out(mixed.transpose(1, 2).reshape(batch, count, width))
        logits: Tensor = self.fc(self.norm(tokens).mean(1))
        return logits

    def _tokens(self, x: Tensor) -> Any:
        if self.patches == "convolution":
            return self.by_convolution(x).flatten(2).transpose(1, 2)
        if self.patches == "unfold":
            return self.by_linear(F.unfold(x, 4, stride=4).transpose(1, 2))
        batch, channels, height, width = x.shape
        blocks = x.view(batch, channels, height // 4, 4, width // 4, 4).permute(0, 2, 4, 3, 5, 1)
        return self.by_linear(blocks.reshape(batch, height * width // 16, 16 * channels))
