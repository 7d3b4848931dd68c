"""`find_head` over little networks of every kind: the right head, or the right refusal."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from typing import Any

import pytest
import torch
from tests.nets import CLASSES, Attending, Head, Net
from torch import Tensor, nn
from torch.nn import functional as F

from seewhy import HeadNotFound, InputError, ModelError, explain, find_head
from seewhy.heads.find import read_head
from seewhy.heads.outputs import returned_logits
from seewhy.heads.refusals import Refusal
from seewhy.heads.verify import verified
from seewhy.observe import in_eval_mode, observe
from seewhy.rounding import TOLERANCES


def pooled(h: Tensor) -> Tensor:
    return h.mean((2, 3))


# What follows the features, the kind that must be found, and the steps that lead to the logits.
FOUND: dict[str, tuple[Head, str, str]] = {
    "functional": (lambda n, h: n.fc(pooled(h)), "linear", "mean -> addmm"),
    "adaptive": (
        lambda n, h: n.fc(F.adaptive_avg_pool2d(h, 1).flatten(1)),
        "linear",
        "mean -> addmm",
    ),
    "pooled twice": (
        lambda n, h: n.fc(F.adaptive_avg_pool2d(n.square(h.mean((2, 3), True)), 1).flatten(1)),
        "linear",
        "mean -> convolution -> mean -> addmm",
    ),
    "pooled twice, by a window": (
        lambda n, h: n.fc(F.avg_pool2d(F.adaptive_avg_pool2d(h, 1), 1).flatten(1)),
        "linear",
        "mean -> avg_pool2d -> addmm",
    ),
    "one score and a bias a class": (
        lambda n, h: n.one(pooled(h)) + n.fc.bias,
        "linear",
        "mean -> addmm -> add",
    ),
    "one score and a weight a class": (
        lambda n, h: 1 - n.one(pooled(h)) * n.fc.bias,
        "linear",
        "mean -> addmm -> mul -> rsub",
    ),
    "one score for all": (
        lambda n, h: n.one(pooled(h)).expand(-1, 5),
        "linear",
        "mean -> addmm",
    ),
    "window of the grid's size": (
        lambda n, h: n.fc(F.avg_pool2d(h, (8, 10)).flatten(1)),
        "linear",
        "avg_pool2d -> addmm",
    ),
    "sum over N": (lambda n, h: n.fc(h.sum((2, 3)) / 80), "linear", "sum -> div -> addmm"),
    "sum": (lambda n, h: n.fc(h.sum((2, 3))), "linear", "sum -> addmm"),
    "mean of means": (lambda n, h: n.fc(h.mean(3).mean(2)), "linear", "mean -> addmm"),
    "flattened": (lambda n, h: n.fc(h.flatten(2).mean(-1)), "linear", "mean -> addmm"),
    "tokens": (
        lambda n, h: n.fc(h.flatten(2).transpose(1, 2).mean(1)),
        "linear",
        "mean -> addmm",
    ),
    "tokens after a prefix": (
        lambda n, h: n.fc(
            torch.cat(
                [n.extra.expand(h.shape[0], 1, -1), h.flatten(2).transpose(1, 2)],
                1,
            )[:, 1:].mean(1)
        ),
        "linear",
        "mean -> addmm",
    ),
    "channels last": (
        lambda n, h: n.fc(h.permute(0, 2, 3, 1).mean((1, 2))),
        "linear",
        "mean -> addmm",
    ),
    "einsum over positions": (
        lambda n, h: n.fc(torch.einsum("bkhw->bk", h) / 80),
        "linear",
        "sum -> div -> addmm",
    ),
    "einsum over all": (
        lambda n, h: torch.einsum("bkhw,ck->bc", h, n.fc.weight) / 80,
        "linear",
        "sum -> bmm -> div",
    ),
    "two linear layers": (
        lambda n, h: n.fc2(n.fc(pooled(h))),
        "linear",
        "mean -> addmm -> addmm",
    ),
    "dropout": (
        lambda n, h: n.fc(F.dropout(pooled(h), 0.5, n.training)),
        "linear",
        "mean -> addmm",
    ),
    "batch norm of the vector": (
        lambda n, h: n.fc(n.vector_norm(pooled(h))),
        "linear",
        "mean -> native_batch_norm -> addmm",
    ),
    "temperature": (
        lambda n, h: n.fc(pooled(h)) / 0.07 + 1,
        "linear",
        "mean -> addmm -> div -> add",
    ),
    "subtracted": (lambda n, h: 1 - n.fc(pooled(h)), "linear", "mean -> addmm -> rsub"),
    "negated": (lambda n, h: -n.fc(pooled(h)), "linear", "mean -> addmm -> neg"),
    "some of the classes": (
        lambda n, h: n.fc(pooled(h))[:, 1:4],
        "linear",
        "mean -> addmm -> slice",
    ),
    "two branches of one vector": (
        lambda n, h: (lambda v: (n.fc(v) + n.fc(v * n.extra)) / 2)(pooled(h)),
        "linear",
        "mean -> addmm -> mul -> addmm -> add -> div",
    ),
    "matrix product": (
        lambda n, h: pooled(h) @ n.fc.weight.t() + n.fc.bias,
        "linear",
        "mean -> mm -> add",
    ),
    "convolution of the vector": (
        lambda n, h: n.maps(h.mean((2, 3), keepdim=True)).flatten(1),
        "linear",
        "mean -> convolution",
    ),
    "vector as one token": (
        lambda n, h: n.fc(pooled(h)[:, None])[:, 0],
        "linear",
        "mean -> addmm -> select",
    ),
    "bias of an axis more": (
        lambda n, h: torch.addmm(n.fc.bias[None], pooled(h), n.fc.weight.t()),
        "linear",
        "mean -> addmm",
    ),
    "one bias for all": (
        lambda n, h: torch.addmm(n.one.bias, pooled(h), n.fc.weight.t()),
        "linear",
        "mean -> addmm",
    ),
    "half of a weight": (
        lambda n, h: F.linear(pooled(h), n.fc.weight.chunk(2, 0)[1]),
        "linear",
        "mean -> mm",
    ),
    "one logit without an axis": (
        lambda n, h: n.one(pooled(h)).squeeze(1),
        "linear",
        "mean -> addmm",
    ),
    "one logit": (lambda n, h: n.one(pooled(h)), "linear", "mean -> addmm"),
    "class maps": (lambda n, h: n.maps(h).mean((2, 3)), "class-maps", "mean"),
    "class maps, channels last": (
        lambda n, h: n.fc(h.permute(0, 2, 3, 1)).mean((1, 2)),
        "class-maps",
        "mean",
    ),
    "ReLU of class maps": (
        lambda n, h: F.relu(n.maps(h)).mean((2, 3)),
        "class-maps",
        "mean",
    ),
    "layer norm": (
        lambda n, h: n.fc(n.layer_norm(pooled(h))),
        "normalised",
        "mean -> native_layer_norm -> addmm",
    ),
    "layer norm by hand": (
        lambda n, h: n.fc(
            (
                lambda v: (
                    (v - v.mean(1, keepdim=True))
                    / torch.sqrt(v.var(1, keepdim=True, unbiased=False) + 1e-5)
                    * n.extra
                )
            )(pooled(h))
        ),
        "normalised",
        "mean -> mean -> sub -> var -> add -> sqrt -> div -> mul -> addmm",
    ),
    "RMS norm": (
        lambda n, h: n.fc(n.rms_norm(pooled(h))),
        "normalised",
        "mean -> pow -> mean -> add -> rsqrt -> mul -> mul -> addmm",
    ),
    "cosine": (
        lambda n, h: F.linear(F.normalize(pooled(h)), F.normalize(n.fc.weight)) * 16,
        "normalised",
        "mean -> linalg_vector_norm -> clamp_min -> div -> mm -> mul",
    ),
    "cosine of an embedding": (
        lambda n, h: F.linear(F.normalize(n.fc(pooled(h))), n.fc2.weight),
        "normalised",
        "mean -> addmm -> linalg_vector_norm -> clamp_min -> div -> mm",
    ),
    "gated features": (
        lambda n, h: n.fc(pooled(h * torch.sigmoid(h.mean((2, 3), keepdim=True)))),
        "linear",
        "mean -> addmm",
    ),
    "gated features, added up": (
        lambda n, h: n.fc((h * torch.sigmoid(h.mean((2, 3), keepdim=True))).sum((2, 3))),
        "linear",
        "sum -> addmm",
    ),
    "features overwritten afterwards": (
        lambda n, h: (lambda v: (h.mul_(0), n.fc(v))[1])(pooled(h)),
        "linear",
        "mean -> addmm",
    ),
    "logits among other things": (
        lambda n, h: {"features": h, "logits": n.fc(pooled(h))},
        "linear",
        "mean -> addmm",
    ),
    "logits beside another head": (
        lambda n, h: {"projection": n.one(pooled(h)), "logits": n.fc(pooled(h))},
        "linear",
        "mean -> addmm",
    ),
    "logits before an auxiliary head": (
        lambda n, h: (n.fc(pooled(h)), n.maps(F.relu(h - 1)).mean((2, 3))),
        "linear",
        "mean -> addmm",
    ),
    "logits after the vector": (
        lambda n, h: (lambda v: (v, n.fc(v)))(pooled(h)),
        "linear",
        "mean -> addmm",
    ),
}


@pytest.mark.parametrize("name", FOUND)
def test_finds_the_head(name: str) -> None:
    head, kind, path = FOUND[name]
    found = find_head(Net(head), torch.randn(3, 3, 8, 10))
    assert found.kind == kind
    assert " -> ".join(found.path) == path
    assert found.grid == (8, 10)
    assert found.certificate < 1e-5
    assert found.activation is None


@pytest.mark.parametrize("name", FOUND)
def test_the_map_lies_where_the_features_do(name: str) -> None:
    """The picture is blank but for one corner: there alone the map differs from its background."""
    net = Net(FOUND[name][0]).eval()
    for parameter in (net.conv.bias, net.bn.bias):
        assert parameter is not None
        nn.init.zeros_(parameter)
    picture = torch.zeros(1, 3, 8, 10)
    picture[..., 0:2, 7:] = torch.randn(3, 2, 3, generator=torch.Generator().manual_seed(1)) * 9
    maps = explain(net, picture, "all", head=find_head(net, torch.randn(2, 3, 8, 10))).maps
    background = maps[..., 5:, :5]
    spread = (background - background[..., :1, :1]).abs().max()
    hot = (maps - background[..., :1, :1]).abs().amax((0, 1))
    row, column = divmod(int(hot.argmax()), 10)
    assert spread <= 1e-5 * maps.abs().max()
    assert row <= 2
    assert column >= 6


# What follows the features, and words of the reason for which its maps are no exact ones that one
# program of affine steps gives for every picture.
REFUSED: dict[str, tuple[Head, str]] = {
    "max pooling": (lambda n, h: n.fc(h.amax((2, 3))), "uses max pooling (amax)"),
    "adaptive max pooling": (
        lambda n, h: n.fc(F.adaptive_max_pool2d(h, 1).flatten(1)),
        "uses max pooling (adaptive_max_pool2d)",
    ),
    "average and maximum": (lambda n, h: n.fc(pooled(h) + h.amax((2, 3))), "uses max pooling"),
    "MLP": (lambda n, h: n.fc2(F.relu(n.fc(pooled(h)))), "is an MLP or gated: it applies relu"),
    "GeM": (
        lambda n, h: n.fc(pooled(h.clamp(min=1e-6).pow(3)).pow(1 / 3)),
        "pools by a power mean (GeM)",
    ),
    "log-sum-exp": (
        lambda n, h: n.fc(torch.logsumexp(h.flatten(2), 2)),
        "pools by log-sum-exp",
    ),
    "attention": (
        lambda n, h: n.fc((h.flatten(2) * h.flatten(2).mean(1, keepdim=True).softmax(2)).sum(2)),
        "pools by weights that depend on the picture",
    ),
    "one weight a position": (
        lambda n, h: F.linear(h.flatten(1), n.by_position.weight.repeat(1, 8)),
        "flattens the grid",
    ),
    "gate": (
        lambda n, h: n.fc((lambda v: v * torch.sigmoid(v))(pooled(h))),
        "it applies sigmoid",
    ),
    "gate by a scalar": (
        lambda n, h: n.fc((lambda v: v * torch.sigmoid(v.mean(1, keepdim=True)))(pooled(h))),
        "it applies sigmoid",
    ),
    "part of the grid, by a window": (
        lambda n, h: n.fc(F.avg_pool2d(h, 6).flatten(1)),
        "does not cover the whole grid",
    ),
    "part of the grid, by a slice": (
        lambda n, h: n.fc(pooled(h[:, :, 2:7, 2:7])),
        "pools only a part",
    ),
    "every other position": (lambda n, h: n.fc(pooled(h[:, :, ::2, ::2])), "pools only a part"),
    "ReLU of the logits": (lambda n, h: F.relu(n.fc(pooled(h))), "it applies relu"),
    "two poolings": (lambda n, h: n.fc(pooled(h) + pooled(h * h)), "several pooled feature maps"),
    "deviation": (lambda n, h: n.fc(h.std((2, 3))), "is not affine: it uses std"),
    "no evidence": (lambda n, h: n.fc(pooled(h)) * 0, "any map would add up"),
    "no tensor": (lambda n, h: 3, "returns no tensor and not (batch, classes)"),
    "constant logits": (lambda n, h: n.fc.weight, "returns a tensor of shape (5, 8)"),
    "averaged probabilities": (
        lambda n, h: n.maps(h).softmax(1).mean((2, 3)),
        "averages the probabilities of each position",
    ),
    "averaged probabilities, one by one": (
        lambda n, h: n.maps(h).sigmoid().flatten(2).mean(2),
        "averages the probabilities of each position",
    ),
    "a gate by a square": (
        lambda n, h: n.fc((lambda v: v * n.one(v).pow(2))(pooled(h))),
        "a gate that depends on the picture",
    ),
    "a gate by a power and parameters": (
        lambda n, h: n.fc(
            (lambda v: v * (n.one.weight[0, 0] * v.mean(1, True) ** 2 + n.one.bias))(pooled(h))
        ),
        "a gate that depends on the picture",
    ),
    "a division by a norm with parameters": (
        lambda n, h: n.fc(
            (lambda v: v / (v.norm(dim=1, keepdim=True) + n.one.bias.exp()))(pooled(h))
        ),
        "something else than one norm a picture",
    ),
    "a bound that is a tensor": (
        lambda n, h: n.fc(pooled(h).clamp(min=n.extra)),
        "(clamp)",
    ),
    "softmax over the batch": (lambda n, h: n.fc(pooled(h)).softmax(0), "(_softmax)"),
    "sigmoid of a softmax": (lambda n, h: n.fc(pooled(h)).softmax(1).sigmoid(), "(_softmax)"),
    "a grid of one position": (
        lambda n, h: n.fc(F.relu(F.max_pool2d(h, 8)).mean((2, 3))),
        "pools a feature grid of a single position",
    ),
    "an MLP beside an auxiliary head": (
        lambda n, h: (n.fc2(F.relu(n.fc(pooled(h)))), n.fc(pooled(h))),
        "that may be logits: 0 (2, 4), 1 (2, 5); choose one of them, as in output=0",
    ),
    "an MLP before an auxiliary head of its width": (
        lambda n, h: (n.fc(F.relu(pooled(h))), n.fc(pooled(h))),
        "it applies relu",
    ),
    "an MLP after an embedding": (
        lambda n, h: (lambda e: (e, n.fc2(F.relu(e))))(n.fc(pooled(h))),
        "it applies relu",
    ),
    "two tasks": (
        lambda n, h: {"age": n.fc(pooled(h)), "name": n.one(pooled(h))},
        'may be logits: age (2, 5), name (2, 1); choose one of them, as in output="age"',
    ),
    "two tasks of one width": (
        lambda n, h: {"age": n.fc(pooled(h)), "mood": n.fc(pooled(h * 2))},
        'may be logits: age (2, 5), mood (2, 5); choose one of them, as in output="age"',
    ),
    "a bias for each picture": (
        lambda n, h: torch.addmm(n.fc.weight[:2, :5], pooled(h), n.fc.weight.t()),
        "adds a different bias for each picture",
    ),
    "no pooling": (lambda n, h: n.maps(h), "returns a tensor of shape (2, 5, 8, 8)"),
    "one token": (
        lambda n, h: n.fc(h.flatten(2)[:, :, 0]),
        "reads one token",
    ),
    "statistics of the batch": (
        lambda n, h: n.fc(F.batch_norm(pooled(h), None, None, training=True)),
        "normalises with the statistics of the batch",
    ),
    "ensemble": (
        lambda n, h: torch.stack([n.fc(pooled(h)), n.fc(pooled(h * h))]).mean(0),
        "pools no positions",
    ),
    "product of vectors": (
        lambda n, h: (pooled(h)[:, None] * n.fc.weight[None]).sum(-1),
        "pools no positions",
    ),
    "groups of channels": (
        lambda n, h: n.fc2(pooled(h).repeat(1, 5).view(-1, 5, 8).mean(2)),
        "pools no positions",
    ),
    "products of channels": (
        lambda n, h: n.fc((h.flatten(2) @ h.flatten(2).transpose(1, 2)).mean(2)),
        "averages over channels",
    ),
    "a view that mixes channels and positions": (
        lambda n, h: n.fc(h.view(-1, 64, 8).mean(1)),
        "averages over channels",
    ),
    "channels, with one weight a position": (
        lambda n, h: n.fc(h.flatten(2)[:, :, :8].mean(1)),
        "averages over channels",
    ),
    "channels and rows": (lambda n, h: n.fc(h.mean(1).mean(1)), "averages over channels"),
    "channels of tokens": (
        lambda n, h: n.by_position(F.gelu(n.fc(h.flatten(2).transpose(1, 2))).mean(2)),
        "averages over channels",
    ),
    "channels of tokens, after a norm": (
        lambda n, h: n.by_position(n.layer_norm(h.flatten(2).transpose(1, 2)).mean(2)),
        "averages over channels",
    ),
    "distances to prototypes": (
        lambda n, h: -(pooled(h)[:, None] - n.fc.weight).pow(2).sum(-1),
        "pools no positions",
    ),
    "a grid made of a vector": (
        lambda n, h: n.fc(F.relu(pooled(h).repeat(1, 8)).view(-1, 8, 8).mean(2)),
        "pools no positions",
    ),
    "columns": (
        lambda n, h: n.fc(F.relu(h.mean(2) - 0.1).mean(2)),
        "pools 8 tokens whose places in the picture are not known",
    ),
    "the strongest tokens": (
        lambda n, h: n.fc(
            h.flatten(2)
            .gather(2, h.flatten(2).mean(1, True).topk(16, 2).indices.expand(-1, 8, -1))
            .mean(2)
        ),
        "reorders the positions before it pools them (gather)",
    ),
    "sorted rows": (
        lambda n, h: n.fc(pooled(h.sort(3).values)),
        "reorders the positions before it pools them (sort)",
    ),
    "the strongest of each row": (
        lambda n, h: n.fc(pooled(F.relu(h.topk(8, 3).values - 0.1))),
        "reorders the positions before it pools them (topk)",
    ),
    "rows in an order of each picture": (
        lambda n, h: n.fc(torch.stack([p[:, p.mean((0, 2)).argsort()] for p in h]).mean((2, 3))),
        "reorders the positions before it pools them (index)",
    ),
    "attention, channel by channel": (
        lambda n, h: (lambda t: n.fc((t * t.softmax(-1)).sum(-1)))(h.flatten(2)),
        "pools by weights that depend on the picture",
    ),
    "attention, as a mean": (
        lambda n, h: (lambda t: n.fc((t * t.softmax(-1)).mean(-1)))(h.flatten(2)),
        "pools by weights that depend on the picture",
    ),
    "attention without softmax": (
        lambda n, h: n.fc((h * h.sigmoid()).flatten(2).sum(2)),
        "pools by weights that depend on the picture",
    ),
    "joined vectors": (
        lambda n, h: torch.cat([n.fc(pooled(h)), n.one(pooled(h))], 1),
        "joins several vectors",
    ),
}


def not_affine(net: nn.Module, x: Tensor) -> str:
    """Why no program of affine steps tells the network's head."""
    with in_eval_mode(net):
        trace = observe(net, x)
        with pytest.raises(Refusal) as refused:
            verified(net, read_head(trace, *returned_logits(trace)), (x,), {})
    return f"{refused.value}; {refused.value.fix}"


@pytest.mark.parametrize("name", REFUSED)
def test_no_fixed_program_is_made_of_what_has_none(name: str) -> None:
    head, reason = REFUSED[name]
    assert reason in not_affine(Net(head), torch.randn(2, 3, 8, 8))


NO_HEAD = (
    "no evidence;no tensor;constant logits;softmax over the batch;an MLP beside an auxiliary head;"
    "two tasks;two tasks of one width;no pooling;statistics of the batch"
).split(";")
FIRST_ORDER = (
    "MLP;gate;gate by a scalar;ReLU of the logits;two poolings;deviation;averaged probabilities;"
    "averaged probabilities, one by one;a gate by a square;a gate by a power and parameters;"
    "a division by a norm with parameters;a bound that is a tensor;sigmoid of a softmax;"
    "a grid of one position;an MLP before an auxiliary head of its width;"
    "an MLP after an embedding;ensemble;products of channels;distances to prototypes;"
    "a grid made of a vector;columns;the strongest of each row"
).split(";")


@pytest.mark.parametrize("name", NO_HEAD)
def test_refuses_what_has_no_map_at_all(name: str) -> None:
    head, reason = REFUSED[name]
    with pytest.raises(HeadNotFound) as refused:
        find_head(Net(head), torch.randn(2, 3, 8, 8))
    assert reason in str(refused.value)
    assert refused.value.subject == "Net"
    kinds = ("linear", "class-maps", "normalised", "pooled", "first-order", "none")
    assert refused.value.expected == f"a head of kind {', '.join(kinds)}"
    assert "\n" not in str(refused.value)
    assert [line.partition(":")[0] for line in refused.value.tried] == list(kinds)
    assert refused.value.tried[0] == f"linear: {refused.value.got}"
    assert pickle.loads(pickle.dumps(refused.value)).tried == refused.value.tried


@pytest.mark.parametrize("name", sorted(set(REFUSED) - set(NO_HEAD)))
def test_what_no_fixed_program_tells_is_said_to_be_what_it_is(name: str) -> None:
    """Gates, ensembles and reordered positions among it: exact are pooled heads alone."""
    net = Net(REFUSED[name][0]).eval()
    head = find_head(net, torch.randn(2, 3, 8, 8))
    assert head.kind == ("first-order" if name in FIRST_ORDER else "pooled")
    assert head.grid == (8, 8)
    result = explain(net, torch.randn(2, 3, 8, 8), "all", head=head)
    assert result.kind == head.kind
    assert result.is_additive == (head.kind == "pooled")
    torch.testing.assert_close(result.evidence + result.bias + result.residual, result.target)
    assert bool(result.adds_up.all()) or not result.is_additive


BETWEEN: dict[str, Callable[[Tensor], Tensor]] = {
    "max_pool2d": lambda h: F.max_pool2d(h, 2),
    "avg_pool2d": lambda h: F.avg_pool2d(h, 2),
    "adaptive_avg_pool2d": lambda h: F.adaptive_avg_pool2d(h, 8),
    "adaptive_max_pool2d": lambda h: F.adaptive_max_pool2d(h, 8),
    "interpolate": lambda h: F.interpolate(h, (8, 8), mode="bilinear"),
    "nearest": lambda h: F.interpolate(h, (8, 8)),
    "cat": lambda h: torch.cat([F.max_pool2d(part, 2) for part in h.chunk(2, 1)], 1),
    "pad": lambda h: F.pad(F.avg_pool2d(h, 2)[:, :, 1:7, 1:7], (1, 1, 1, 1)),
    "clamp": lambda h: F.avg_pool2d(h, 2).clamp(0, 3),
    "softplus": lambda h: F.softplus(F.avg_pool2d(h, 2)),
    "prelu": lambda h: F.prelu(F.avg_pool2d(h, 2), torch.ones(1)),
    "where": lambda h: (lambda v: torch.where(v > 1, v, 2 * v))(F.avg_pool2d(h, 2)),
    "attention": lambda h: (
        lambda t: F.scaled_dot_product_attention(t, t, t).transpose(1, 2).unflatten(2, (8, 8))
    )(F.avg_pool2d(h, 2).flatten(2).transpose(1, 2)),
}


class AsManyChannelsAsPositions(nn.Module):
    """64 channels on a grid of 8 x 8, so that no shape tells one from the other."""

    def __init__(self, between: Callable[[Tensor], Tensor], pooled_axis: int) -> None:
        super().__init__()
        self.between, self.pooled_axis = between, pooled_axis
        self.conv, self.fc = nn.Conv2d(3, 64, 3, padding=1), nn.Linear(64, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        features = self.between(F.relu(self.conv(x))).flatten(2)
        logits: Tensor = self.fc(features.mean(self.pooled_axis))
        return logits


@pytest.mark.parametrize("name", BETWEEN)
def test_as_many_channels_as_positions_are_told_apart(name: str) -> None:
    x = torch.randn(2, 3, 16, 16)
    assert find_head(AsManyChannelsAsPositions(BETWEEN[name], 2), x).grid == (8, 8)
    net = AsManyChannelsAsPositions(BETWEEN[name], 1)
    assert "averages over channels and pools no positions" in not_affine(net, x)
    head = find_head(net, x)  # every position has weights of its own
    assert (head.kind, head.channels, head.grid) == ("pooled", 64, (8, 8))


def test_class_maps_of_as_many_classes_as_pictures() -> None:
    net = Net(lambda n, h: n.fc(h.movedim(1, -1)).movedim(-1, 1).mean((2, 3)))
    assert find_head(net, torch.randn(CLASSES, 3, 8, 8)).kind == "class-maps"


@pytest.mark.parametrize("width", [3, 4])
def test_features_of_a_picture_as_wide_as_it_has_channels(width: int) -> None:
    net = AsManyChannelsAsPositions(lambda h: h, 2)
    assert find_head(net, torch.randn(2, 3, 4, width)).grid == (4, width)


ENDS: dict[str, Callable[[Tensor], Any]] = {
    "softmax": lambda z: F.softmax(z, 1),
    "log_softmax": lambda z: F.log_softmax(z, 1),
    "sigmoid": lambda z: torch.sigmoid(z),
}


@pytest.mark.parametrize("name", ENDS)
def test_traces_the_activation_at_the_end_back_to_the_logits(name: str) -> None:
    net = Net(lambda n, h: ENDS[name](n.fc(pooled(h)))).eval()
    bare = Net(lambda n, h: n.fc(pooled(h))).eval()
    bare.load_state_dict(net.state_dict())
    x = torch.randn(2, 3, 8, 8)
    assert find_head(net, x).activation == name
    result = explain(net, x, "all")
    torch.testing.assert_close(result.logits, bare(x))
    returned = net(x).exp() if name == "log_softmax" else net(x)
    torch.testing.assert_close(result.probabilities, returned)


VIEWED_ENDS: dict[str, tuple[Head, str, int]] = {
    "sigmoid, then squeezed": (lambda n, h: n.one(pooled(h)).sigmoid().squeeze(1), "sigmoid", 1),
    "convolution, softmax, flattened": (
        lambda n, h: n.maps(h.mean((2, 3), keepdim=True)).softmax(1).flatten(1),
        "softmax",
        5,
    ),
    "class maps, sigmoid, viewed": (
        lambda n, h: n.maps(h).mean((2, 3), keepdim=True).sigmoid().view(-1, 5),
        "sigmoid",
        5,
    ),
}


@pytest.mark.parametrize("name", VIEWED_ENDS)
def test_traces_the_activation_back_through_views(name: str) -> None:
    head, activation, classes = VIEWED_ENDS[name]
    net, x = Net(head).eval(), torch.randn(2, 3, 8, 8)
    assert find_head(net, x).activation == activation
    result = explain(net, x, "all")
    assert result.logits.shape == (2, classes)
    torch.testing.assert_close(result.probabilities, net(x).reshape(2, classes))


@pytest.mark.parametrize(
    ("dimensions", "size", "pool"),
    [
        (1, (20,), lambda h: h.mean(2)),
        (1, (20,), lambda h: F.adaptive_avg_pool1d(h, 1).flatten(1)),
        (1, (20,), lambda h: F.avg_pool1d(h, 20).squeeze(2)),
        (3, (4, 5, 6), lambda h: h.mean((2, 3, 4))),
        (3, (4, 5, 6), lambda h: F.adaptive_avg_pool3d(h, 1).flatten(1)),
        (3, (4, 5, 6), lambda h: F.avg_pool3d(h, (4, 5, 6)).flatten(1)),
    ],
)
def test_grids_of_one_and_three_dimensions(
    dimensions: int, size: tuple[int, ...], pool: Callable[[Tensor], Tensor]
) -> None:
    head = find_head(Net(lambda n, h: n.fc(pool(h)), dimensions), torch.randn(2, 3, *size))
    assert (head.kind, head.grid, head.channels, head.num_classes) == ("linear", size, 8, 5)


@pytest.mark.parametrize("patches", ["convolution", "unfold", "blocks"])
@pytest.mark.parametrize("size", [(32, 32), (16, 64), (64, 16)])
def test_tokens_lie_on_the_grid_of_their_patches(patches: str, size: tuple[int, int]) -> None:
    """64 tokens of width 64 in 4 heads: an attention layer's (4, 16) is not the tokens' grid."""
    head = find_head(Attending(patches), torch.randn(2, 3, *size))
    assert head.grid == (size[0] // 4, size[1] // 4)


@pytest.mark.parametrize("channels_last", [False, True])
def test_tokens_of_pictures_with_channels_last(channels_last: bool) -> None:
    class Last(Attending):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x.permute(0, 3, 1, 2))

    example = torch.randn(2, 16, 64, 3) if channels_last else torch.randn(2, 3, 16, 64)
    model = (Last if channels_last else Attending)("unfold")
    assert find_head(model, example).grid == (4, 16)


def test_a_transposed_view_before_the_pooling_does_not_transpose_the_map() -> None:
    net = Net(lambda n, h: n.fc(h.transpose(2, 3).flatten(2).mean(2)))
    assert find_head(net, torch.randn(2, 3, 8, 10)).grid == (8, 10)


@pytest.mark.parametrize("batch", [1, 2])
def test_a_grid_that_was_flattened_is_read_before_that(batch: int) -> None:
    net = Net(lambda n, h: n.fc(h.flatten(2).mean(2))).eval()
    head = find_head(net, torch.randn(batch, 3, 8, 8))
    for size in [(8, 8), (4, 16), (16, 4), (5, 7)]:
        assert explain(net, torch.randn(3, 3, *size), head=head).maps.shape == (3, 1, *size)


@pytest.mark.parametrize("name", ["weight_norm", "spectral_norm", "orthogonal"])
def test_weights_that_are_computed_from_parameters(name: str) -> None:
    net = Net(lambda n, h: n.fc(pooled(h))).eval()
    net.fc = getattr(nn.utils.parametrizations, name)(net.fc)
    head = find_head(net, torch.randn(2, 3, 8, 8))
    with torch.no_grad():
        for parameter in net.fc.parameters():
            parameter.mul_(3)
    assert bool(explain(net, torch.randn(3, 3, 8, 8), "all", head=head).adds_up.all())


def test_a_blank_example_is_compared_with_one_that_is_not() -> None:
    class Switch(nn.Module):
        """Averages a blank picture, and takes the maximum of any other."""

        def __init__(self) -> None:
            super().__init__()
            self.net = Net(lambda n, h: h)

        def forward(self, x: Tensor) -> Any:
            h = self.net(x)
            return self.net.fc(h.amax((2, 3)) if bool(x.any()) else pooled(h))

    assert "does not add up: off by" in not_affine(Switch(), torch.zeros(2, 3, 8, 8))
    assert find_head(Switch(), torch.zeros(2, 3, 8, 8)).kind == "pooled"


def test_one_logit_without_an_axis_of_one_picture() -> None:
    net = Net(lambda n, h: n.one(pooled(h)).squeeze(1))
    assert explain(net, torch.randn(1, 3, 8, 8)).logits.shape == (1, 1)


def test_describes_itself() -> None:
    head = find_head(Net(FOUND["layer norm"][0]), torch.randn(2, 3, 6, 7))
    assert head.describe() == (
        "normalised: mean -> native_layer_norm -> addmm, 8 x 6 x 7 -> 5 classes"
    )


def linear(n: Net, h: Tensor) -> Tensor:
    logits: Tensor = n.fc(pooled(h))
    return logits


class Particular(nn.Module):
    """Takes only the input that `accepts` accepts."""

    def __init__(self, accepts: Callable[[Tensor], bool]) -> None:
        super().__init__()
        self.net, self.accepts = Net(linear), accepts

    def forward(self, x: Tensor) -> Any:
        assert self.accepts(x), "not such values"
        return self.net(x)


def test_a_model_that_asserts_the_range_of_its_input_is_shown_milder_ones() -> None:
    model = Particular(lambda x: bool(((x >= 0) & (x <= 1)).all()))
    assert find_head(model, torch.rand(2, 3, 8, 8)).kind == "linear"


def test_a_model_that_accepts_nothing_but_the_example_is_refused() -> None:
    example = torch.rand(2, 3, 8, 8)
    with pytest.raises(HeadNotFound, match=r"fails on others \(AssertionError: not such values\)"):
        find_head(Particular(lambda x: torch.equal(x, example)), example)


def test_a_model_of_bytes_is_looked_at_through_two_pictures() -> None:
    class Bytes(Net):
        def forward(self, x: Tensor) -> Any:
            return super().forward(x.float() / 255)

    example = torch.randint(0, 256, (2, 3, 8, 8), dtype=torch.uint8)
    assert find_head(Bytes(linear), example).kind == "linear"


def test_what_goes_wrong_while_the_head_is_checked_is_a_refusal() -> None:
    class Counting(Net):
        """Forgets its last layer after the first pass."""

        def forward(self, x: Tensor) -> Any:
            returned = super().forward(x)
            self.fc.weight = nn.Parameter(self.fc.weight[:, :3])
            return returned

    with pytest.raises(HeadNotFound, match=r"is not understood \(RuntimeError: mat1 and mat2"):
        find_head(Counting(linear), torch.randn(2, 3, 8, 8))


def test_a_model_that_writes_to_its_input_leaves_the_example_as_it_was() -> None:
    class Preparing(Net):
        def forward(self, x: Tensor) -> Any:
            return super().forward(x.sub_(0.5).div_(0.1))

    example = torch.rand(2, 3, 8, 8)
    before = example.clone()
    assert find_head(Preparing(linear), example).kind == "linear"
    assert torch.equal(example, before)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_a_coarse_body_with_a_fine_head(dtype: torch.dtype) -> None:
    class Mixed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body, self.fc = nn.Conv2d(3, 8, 3).to(dtype), nn.Linear(8, 5)

        def forward(self, x: Tensor) -> Tensor:
            logits: Tensor = self.fc(self.body(x.to(dtype)).mean((2, 3)).float())
            return logits

    head = find_head(Mixed(), torch.randn(2, 3, 8, 8))
    assert 1e-5 < head.certificate < TOLERANCES[dtype]


def test_tokens_of_other_proportions_ask_for_another_head() -> None:
    net = Attending("unfold").eval()
    head = find_head(net, torch.randn(2, 3, 32, 32))
    assert explain(net, torch.randn(2, 3, 64, 64), head=head).maps.shape[2:] == (16, 16)
    with pytest.raises(ModelError, match="find the head again with an example of this size"):
        explain(net, torch.randn(2, 3, 16, 64), head=head)


@pytest.mark.parametrize(
    ("example", "kind", "words"),
    [
        (torch.empty(0, 3, 8, 8), InputError, "at least one picture, got shape (0, 3, 8, 8)"),
        (torch.tensor(1.0), InputError, "at least one picture, got shape ()"),
        (torch.randn(3, 8, 8), ModelError, "(input (3, 8, 8)); check the example's shape"),
        (torch.empty(2, 3, 8, 8, device="meta"), ModelError, 'tensors on the device "meta"'),
    ],
)
def test_examples_that_cannot_be_used(example: Tensor, kind: type[Exception], words: str) -> None:
    with pytest.raises(kind) as error:
        find_head(Net(linear), example)
    assert words in str(error.value)
    assert "\n" not in str(error.value)


def test_a_model_without_weights_and_a_picture_without_a_batch() -> None:
    with pytest.raises(ModelError, match="load the model's weights first"):
        find_head(Net(linear).to("meta"), torch.randn(2, 3, 8, 8))

    class Unbatched(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.fc = nn.Conv2d(3, 8, 3), nn.Linear(8, 5)

        def forward(self, x: Tensor) -> Any:
            return self.fc(self.conv(x).mean((-1, -2)))

    with pytest.raises(HeadNotFound, match="give the example a batch axis"):
        find_head(Unbatched(), torch.randn(3, 8, 8))
