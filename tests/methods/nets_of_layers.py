"""Little networks whose layers are known, for the methods that make maps from layers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

CLASSES = 4


def seeded(net: nn.Module, seed: int = 0, std: float = 0.5) -> Any:
    """The net with random parameters, the same each time, in evaluation mode."""
    generator = torch.Generator().manual_seed(seed)
    for parameter in net.parameters():
        nn.init.normal_(parameter, std=std, generator=generator)
    return net.eval()


class Smooth(nn.Module):
    """Convolution, then a smooth rest: gradients of it can be checked by differences."""

    def __init__(self, channels: int = 3) -> None:
        super().__init__()
        self.features = nn.Conv2d(2, channels, 3, stride=2, padding=1)
        self.more = nn.Conv2d(channels, 5, 2)
        self.fc = nn.Linear(5, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        return self.rest(self.features(x))

    def rest(self, features: Tensor) -> Tensor:
        logits: Tensor = self.fc(F.silu(self.more(F.softplus(features))).mean((2, 3)))
        return logits


class TwoLayers(nn.Module):
    """By hand: two channels are the picture's own, halved in size; the rest weighs places."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Identity()
        self.places = nn.Parameter(
            torch.tensor([[[1.0, 0.0], [0.0, 2.0]], [[-1.0, -1.0], [0.0, 1.0]]])
        )

    def forward(self, x: Tensor) -> Tensor:
        features = self.features(x)
        logit = (self.places * features).sum((1, 2, 3))
        return torch.stack([logit, -logit], 1)


class ClassToken(nn.Module):
    """A transformer of two blocks that answers from a token of its own."""

    def __init__(self, width: int = 8, registers: int = 0) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, width, 4, 4)
        self.token = nn.Parameter(torch.zeros(1, 1 + registers, width))
        self.blocks = nn.Sequential(Block(width), Block(width))
        self.norm = nn.LayerNorm(width)
        self.fc = nn.Linear(width, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        tokens = self.patches(x).flatten(2).transpose(1, 2)
        tokens = torch.cat([self.token.expand(len(x), -1, -1), tokens], 1)
        logits: Tensor = self.fc(self.norm(self.blocks(tokens))[:, 0])
        return logits


class Block(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.before, self.after = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)
        self.mlp = nn.Sequential(nn.Linear(width, width), nn.GELU())

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.qkv(self.before(x)).chunk(3, -1)
        x = x + self.out(F.scaled_dot_product_attention(q, k, v))
        return x + self.mlp(self.after(x))  # type: ignore[no-any-return]


@dataclass
class Answer:
    maps: Tensor
    text: str


class Returning(nn.Module):
    """A layer that returns its features inside of something, and a rest that looks for them."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.inner = Wrapped(kind)
        self.fc = nn.Linear(6, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        given = self.inner(x)
        features = given.maps if isinstance(given, Answer) else given[self.inner.key]
        logits: Tensor = self.fc(F.relu(features).square().mean((2, 3)))
        return logits


class Wrapped(nn.Module):
    def __init__(self, kind: str) -> None:
        super().__init__()
        self.kind = kind
        self.conv = nn.Conv2d(3, 12, 3)

    @property
    def key(self) -> Any:
        return "maps" if self.kind == "dict" else 0

    def forward(self, x: Tensor) -> Any:
        maps, _ = self.conv(x).chunk(2, 1)
        if self.kind == "dict":
            return {"maps": maps}
        if self.kind == "dataclass":
            return Answer(maps, "more")
        return [maps, None] if self.kind == "list" else (maps, maps.mean())


class Twice(nn.Module):
    """A layer whose output its block also pools: what the block returns of it is not used."""

    def __init__(self) -> None:
        super().__init__()
        self.block = Pooling()
        self.fc = nn.Linear(6, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.fc(self.block(x)["pooled"])
        return logits


class Pooling(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 6, 3)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        maps = self.conv(x)
        return {"maps": maps, "pooled": maps.square().mean((2, 3))}


class Beside(nn.Module):
    """A branch that runs and is thrown away, a layer that never runs, a part without gradients."""

    def __init__(self) -> None:
        super().__init__()
        self.trunk = nn.Conv2d(3, 6, 3)
        self.thrown_away = nn.Conv2d(6, 6, 1)
        self.never = nn.Conv2d(6, 6, 1)
        self.fc = nn.Linear(6, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        with torch.no_grad():
            features = self.trunk(x)
        self.thrown_away(features)
        logits: Tensor = self.fc(F.relu(features, inplace=True).square().mean((2, 3)))
        return logits
