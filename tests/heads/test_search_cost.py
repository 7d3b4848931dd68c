"""How often the network is run to find a head that has to be searched for."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from seewhy import find_head
from seewhy.capture import Tap
from seewhy.heads.tail import recorded, recording
from seewhy.observe import Site


class Crossed(nn.Module):
    """Two branches of patches, each with a class token that attends to them; logits add up."""

    def __init__(self, depth: int = 6, width: int = 6) -> None:
        super().__init__()
        self.coarse, self.fine = nn.Conv2d(3, width, 4, 4), nn.Conv2d(3, width, 2, 2)
        self.token = nn.Parameter(torch.randn(1, 1, width))
        self.steps = nn.ModuleList(nn.Linear(width, width) for _ in range(depth))
        self.fc = nn.Linear(width, 4)
        self.passes = 0

    def branch(self, tokens: Tensor) -> Tensor:
        tokens = torch.cat([self.token.expand(len(tokens), -1, -1), tokens], 1)
        for step in self.steps:
            weights = (tokens @ tokens.transpose(1, 2) / 4).softmax(2)
            tokens = tokens + step(weights @ tokens).relu_()
        logits: Tensor = self.fc(tokens[:, 0])
        return logits

    def forward(self, x: Tensor) -> Any:
        self.passes += 1
        each = (layer(x).flatten(2).transpose(1, 2) for layer in (self.coarse, self.fine))
        return sum(self.branch(tokens) for tokens in each)


def test_branches_are_searched_in_one_pass() -> None:
    torch.manual_seed(0)
    net, x = Crossed().eval(), torch.randn(2, 3, 8, 8)
    head = find_head(net, x)
    assert (head.kind, head.grid) == ("none", (4, 4))
    assert net.passes <= 4  # observe, record the last place, record all branches, verify


def test_a_tail_of_a_longer_recording_is_that_of_one_of_its_own() -> None:
    torch.manual_seed(0)
    layers = nn.Conv2d(3, 4, 3), nn.ReLU(inplace=True), nn.Flatten(), nn.Linear(144, 3)
    net, x = nn.Sequential(*layers).eval(), torch.randn(2, 3, 8, 8)
    head, early = find_head(net, x), Tap(Site("output", "0", 0, ()))
    longer = recording(net, [early, head.features], head.logits, (x,), {})
    alone = recorded(net, head.features, head.logits, (x,), {})
    part = longer.tail(head.features)
    names = [
        [operation.name for operation, _ in tail.program_from(frozenset({tail.features}))]
        for tail in (part, alone)
    ]
    assert names[0] == names[1]
    torch.testing.assert_close(part.value(part.features), alone.value(alone.features))
    again = part.rerun({part.features: part.value(part.features)})
    torch.testing.assert_close(again, net(x).detach())
    before = longer.tail(early)
    torch.testing.assert_close(before.value(before.features), net[0](x).detach())
