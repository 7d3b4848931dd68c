"""A little vision transformer, its attention written in every way that people write it."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

CLASSES = 5
WIDTH, HEADS, PATCH = 4, 2, 4

# From queries, keys and values, (B, heads, N, D), to what the tokens take, of the same shape.
Attend = Callable[[Tensor, Tensor, Tensor], Tensor]


def scaled(q: Tensor, k: Tensor) -> Tensor:
    return q @ k.transpose(-2, -1) / math.sqrt(q.shape[-1])


def folded(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Heads and pictures in one axis."""
    one, two, three = (each.flatten(0, 1) for each in (q, k, v))
    return torch.bmm(torch.softmax(scaled(one, two), 2), three).view(q.shape)


def einsum(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    scores = torch.einsum("bhid,bhjd->bhij", q, k) * q.shape[-1] ** -0.5
    return torch.einsum("bhij,bhjd->bhid", F.softmax(scores, dim=-1, dtype=q.dtype), v)


# Each computes the same.
WRITTEN: dict[str, Attend] = {
    "Tensor.softmax": lambda q, k, v: scaled(q, k).softmax(-1) @ v,
    "torch.softmax": lambda q, k, v: torch.softmax(scaled(q, k), dim=-1) @ v,
    "nn.Softmax": lambda q, k, v: nn.Softmax(dim=3)(scaled(q, k)) @ v,
    "einsum, F.softmax": einsum,
    "heads folded into the batch": folded,
    "fused": lambda q, k, v: F.scaled_dot_product_attention(q, k, v),
    "fused, by keyword": lambda q, k, v: F.scaled_dot_product_attention(
        query=q, key=k, value=v, dropout_p=0.0, scale=q.shape[-1] ** -0.5
    ),
    "fused, with a mask": lambda q, k, v: F.scaled_dot_product_attention(
        q, k, v, q.new_zeros(q.shape[-2], k.shape[-2])
    ),
    "fused, with a mask of booleans": lambda q, k, v: F.scaled_dot_product_attention(
        q, k, v, attn_mask=torch.ones(1, 1, q.shape[-2], k.shape[-2], dtype=torch.bool)
    ),
}
MULTIHEAD = {"nn.MultiheadAttention": False, "nn.MultiheadAttention with weights": True}


class Block(nn.Module):
    """Attention and two dense layers, both beside a path that skips them."""

    def __init__(self, attend: Attend, width: int = WIDTH, heads: int = HEADS) -> None:
        super().__init__()
        self.attend, self.heads = attend, heads
        self.before, self.qkv = nn.LayerNorm(width), nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)
        self.between = nn.LayerNorm(width)
        self.up, self.down = nn.Linear(width, 2 * width), nn.Linear(2 * width, width)

    def forward(self, tokens: Tensor) -> Tensor:
        tokens = tokens + self.mixed(self.before(tokens))
        update: Tensor = self.down(torch.tanh(self.up(self.between(tokens))))
        return tokens + update

    def mixed(self, tokens: Tensor) -> Tensor:
        q, k, v = self.qkv(tokens).unflatten(2, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        taken: Tensor = self.out(self.attend(q, k, v).transpose(1, 2).flatten(2))
        return taken


class Multihead(Block):
    """The same, by PyTorch's own module."""

    def __init__(self, need_weights: bool) -> None:
        super().__init__(WRITTEN["fused"])
        self.need_weights = need_weights
        self.multihead = nn.MultiheadAttention(WIDTH, HEADS, batch_first=True)
        self.multihead.in_proj_weight = self.qkv.weight  # type: ignore[assignment]
        self.multihead.in_proj_bias = self.qkv.bias
        self.multihead.out_proj = self.out  # type: ignore[assignment]

    def mixed(self, tokens: Tensor) -> Tensor:
        found = self.multihead(tokens, tokens, tokens, need_weights=self.need_weights)
        assert isinstance(found[0], Tensor)
        return found[0]


class TinyVit(nn.Module):
    """Patches of 4 x 4 pixels; class tokens before or after them; two blocks; a dense layer.

    Args:
        written: a key of `WRITTEN` or `MULTIHEAD`.
        before: how many tokens that are no patches come before them.
        after: and after them.
        read: "first" reads the first token, "patches" averages the patches, "all" all tokens.
        seed: of the weights.
        patches: whether a "convolution" makes patches of the picture, or "unfold" does.
    """

    def __init__(
        self,
        written: str = "Tensor.softmax",
        *,
        before: int = 1,
        after: int = 0,
        read: str = "first",
        seed: int = 0,
        patches: str = "convolution",
        depth: int = 2,
    ) -> None:
        super().__init__()
        self.tokens_before, self.tokens_after, self.read = before, after, read
        self.patches = patches
        self.first = nn.Conv2d(3, WIDTH, PATCH, PATCH)
        self.extra = nn.Parameter(torch.empty(before + after, WIDTH))
        self.blocks = nn.Sequential(*(self._block(written) for _ in range(depth)))
        self.norm = nn.LayerNorm(WIDTH)
        self.fc = nn.Linear(WIDTH, CLASSES)
        generator = torch.Generator().manual_seed(seed)
        for parameter in self.parameters():
            nn.init.normal_(parameter, std=0.7, generator=generator)

    @staticmethod
    def _block(written: str) -> Block:
        if written in MULTIHEAD:
            return Multihead(MULTIHEAD[written])
        return Block(WRITTEN[written])

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.fc(self.pooled(self.norm(self.blocks(self.embedded(x)))))
        return logits

    def embedded(self, x: Tensor) -> Tensor:
        if self.patches == "unfold":
            columns = F.unfold(x, PATCH, stride=PATCH).transpose(1, 2)
            patches = F.linear(columns, self.first.weight.flatten(1), self.first.bias)
        else:
            patches = self.first(x).flatten(2).transpose(1, 2)
        extra = self.extra.expand(len(x), -1, -1)
        return torch.cat(
            (extra[:, : self.tokens_before], patches, extra[:, self.tokens_before :]), 1
        )

    def pooled(self, tokens: Tensor) -> Tensor:
        if self.read == "first":
            return tokens[:, 0]
        if self.read == "all":
            return tokens.mean(1)
        end = tokens.shape[1] - self.tokens_after
        return tokens[:, self.tokens_before : end].mean(1)
