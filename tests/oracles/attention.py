"""Rollout, Chefer et al.'s relevance and LeGrad on a little transformer, head by head, in numpy.

Written from the papers. Gradients are differences of logits when one entry of one attention matrix
is moved a little, so that nothing here knows of autograd.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Entry = tuple[int, int, int, int]  # layer, head, query, key
STEP = 1e-4


@dataclass
class Transformer:
    """What `TinyVit` computes for one picture, from its weights by name.

    Attributes:
        weights: as in its state_dict.
        depth: how many layers.
        heads: how many heads.
        tokens: what goes into the first layer, (N, D).
        read: from tokens (N, D) to the vector that the last dense layer is given.
    """

    weights: Mapping[str, Array]
    depth: int
    heads: int
    tokens: Array
    read: Callable[[Array], Array]
    moved: tuple[Entry, float] | None = None
    attention: dict[tuple[int, int], Array] = field(default_factory=dict)

    def logits(self, until: int | None = None) -> Array:
        """The logits, of the tokens after layer `until` or the last one, read by the same end."""
        tokens = self.tokens
        for layer in range(self.depth if until is None else until + 1):
            tokens = self.through(layer, tokens)
        vector = self.read(np.stack([self.normed("norm", token) for token in tokens]))
        return self.weights["fc.weight"] @ vector + self.weights["fc.bias"]

    def through(self, layer: int, tokens: Array) -> Array:
        name = f"blocks.{layer}"
        normed = np.stack([self.normed(f"{name}.before", token) for token in tokens])
        joined = np.concatenate([self.taken(layer, h, normed) for h in range(self.heads)], 1)
        tokens = tokens + np.stack([self.dense(f"{name}.out", row) for row in joined])
        updates = [
            self.dense(
                f"{name}.down",
                np.tanh(self.dense(f"{name}.up", self.normed(f"{name}.between", token))),
            )
            for token in tokens
        ]
        return tokens + np.stack(updates)

    def taken(self, layer: int, head: int, tokens: Array) -> Array:
        """What each token takes in one head, (N, D / heads)."""
        every = np.stack([self.dense(f"blocks.{layer}.qkv", token) for token in tokens])
        width = tokens.shape[1]
        size = width // self.heads
        q, k, v = (
            every[:, part * width + head * size : part * width + (head + 1) * size]
            for part in range(3)
        )
        matrix = np.empty((len(tokens), len(tokens)))
        for i in range(len(tokens)):
            row = np.exp([q[i] @ k[j] / np.sqrt(size) for j in range(len(tokens))])
            matrix[i] = row / row.sum()
        self.attention[layer, head] = matrix
        if self.moved is not None and self.moved[0][:2] == (layer, head):
            matrix = matrix.copy()
            matrix[self.moved[0][2:]] += self.moved[1]
        return np.asarray(matrix @ v)

    def normed(self, name: str, token: Array) -> Array:
        spread = np.sqrt(((token - token.mean()) ** 2).mean() + 1e-5)
        weight, bias = self.weights[f"{name}.weight"], self.weights[f"{name}.bias"]
        return np.asarray((token - token.mean()) / spread * weight + bias)

    def dense(self, name: str, vector: Array) -> Array:
        return self.weights[f"{name}.weight"] @ vector + self.weights[f"{name}.bias"]

    def gradient(self, of: int, layer: int, head: int, until: int | None = None) -> Array:
        """How logit `of` changes with each entry of one attention matrix, (N, N)."""
        count = len(self.tokens)
        found = np.empty((count, count))
        for i, j in itertools.product(range(count), range(count)):
            ends = []
            for sign in (1, -1):
                self.moved = ((layer, head, i, j), sign * STEP)
                ends.append(self.logits(until)[of])
            found[i, j] = (ends[0] - ends[1]) / (2 * STEP)
        self.moved = None
        return found


def rollout(net: Transformer, reading: Sequence[int]) -> Array:
    """Abnar and Zuidema: A = 0.5 W + 0.5 I in each layer, and the product of all of them."""
    net.logits()
    count = len(net.tokens)
    rolled = np.eye(count)
    for layer in range(net.depth):
        mean = sum(net.attention[layer, head] for head in range(net.heads)) / net.heads
        rolled = (0.5 * mean + 0.5 * np.eye(count)) @ rolled
    return np.asarray(np.mean([rolled[token] for token in reading], 0))


def relevance(net: Transformer, of: int, reading: Sequence[int]) -> Array:
    """Chefer et al.: R = I, then R += mean over heads of (gradient * attention)+ times R."""
    net.logits()
    count = len(net.tokens)
    found = np.eye(count)
    attention = dict(net.attention)
    for layer in range(net.depth):
        weighted = np.zeros((count, count))
        for head in range(net.heads):
            product = net.gradient(of, layer, head) * attention[layer, head]
            weighted += np.where(product > 0, product, 0) / net.heads
        found = found + weighted @ found
    return np.asarray(np.mean([found[token] - np.eye(count)[token] for token in reading], 0))


def legrad(net: Transformer, of: int) -> Array:
    """Bousselham et al.: the mean over layers, heads and queries of the positive gradient.

    Of each layer: the logit is that of its own tokens, read by the network's end.
    """
    count = len(net.tokens)
    found = np.zeros(count)
    for layer in range(net.depth):
        for head in range(net.heads):
            gradient = net.gradient(of, layer, head, until=layer)
            for i, j in itertools.product(range(count), range(count)):
                found[j] += max(0.0, gradient[i, j]) / (count * net.heads * net.depth)
    return found
