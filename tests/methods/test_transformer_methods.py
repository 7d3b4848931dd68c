"""Rollout, relevance and LeGrad: by hand, against plain numpy, however attention is written."""

from __future__ import annotations

import copy
import functools
import gc
import weakref
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.methods.tiny_vit import CLASSES, HEADS, MULTIHEAD, WRITTEN, Block, TinyVit, scaled
from tests.oracles import attention as oracle
from tests.peers import register_torchvision_schemas
from torch import Tensor, nn
from torch.nn import functional as F

import seewhy
from seewhy.errors import ModelError
from seewhy.methods import MapFunction, attention_relevance, attention_rollout, cam, legrad
from seewhy.methods.attentions import SeeAttention
from seewhy.methods.passes import undisturbed
from seewhy.methods.relevance import walked_back
from seewhy.methods.tokens import Tokens, cached_tokens, find_tokens

METHODS: dict[str, MapFunction] = {
    "rollout": attention_rollout,
    "relevance": attention_relevance,
    "legrad": legrad,
}
IDS = torch.tensor([4, 0, 2])


def pictures(count: int = 3, height: int = 8, width: int = 12) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.randn(count, 3, height, width, generator=generator)


class ByHand(nn.Module):
    """Three pixels attend to each other by their likeness, and take given values; one is averaged.

    For a black picture all attention is 1/3.
    """

    def __init__(self, values: tuple[float, float, float] = (1.0, -2.0, 4.0)) -> None:
        super().__init__()
        self.register_buffer("values", torch.tensor(values)[:, None])

    def forward(self, x: Tensor) -> Tensor:
        tokens = x.flatten(2).transpose(1, 2)
        assert isinstance(self.values, Tensor)
        taken = ((tokens @ tokens.mT).softmax(-1) @ self.values).mean(1)
        return torch.cat((taken, -taken), 1)


def test_by_hand() -> None:
    """The logit is the mean of what three tokens take: its gradient is value / 3 for each key."""
    black = torch.zeros(2, 1, 1, 3)
    classes = torch.tensor([0, 1])
    values = torch.tensor([[1.0, 0.0, 4.0], [0.0, 2.0, 0.0]])[:, None]  # as far as it is positive
    torch.testing.assert_close(legrad(ByHand(), black, classes), values / 3)
    torch.testing.assert_close(attention_relevance(ByHand(), black, classes), values / 9)
    half = torch.full((2, 1, 3), 0.5 * 1 / 3 + 0.5 * 1 / 3)
    torch.testing.assert_close(attention_rollout(ByHand(), black, classes), half)


def known(*kinds: Any) -> Tokens:
    return Tokens((), kinds, (), (1, 1), ())


def test_walking_back_by_hand() -> None:
    first = torch.tensor([[[0.5, 0.5, 0.0], [0.0, 1.0, 0.0], [0.25, 0.25, 0.5]]])
    second = torch.tensor([[[0.0, 0.0, 1.0], [1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]])
    read = torch.tensor([[[1.0, 0.0, 0.0]]])
    kept, taken = walked_back(read, [first, second], known("self", "self"), own=0.5, attended=0.5)
    # The first token is half itself and half the third, which took 1/4, 1/4 and 1/2:
    #   0.5 * (0.75, 0.25, 0) + 0.5 * (0.125, 0.125, 0.75), of which it kept 0.25 all the way.
    assert kept.tolist() == [[[0.25, 0.0, 0.0]]]
    assert (kept + taken).tolist() == [[[0.4375, 0.1875, 0.375]]]
    kept, taken = walked_back(read, [first, second], known("self", "self"), own=1.0, attended=1.0)
    # (I + second) makes (1, 0, 1) of it, and (I + first) 1.5 + 0.25, 0.5 + 0.25, 1 + 0.5 of that.
    assert (kept + taken).tolist() == [[[1.75, 0.75, 1.5]]]
    assert kept.tolist() == [[[1.0, 0.0, 0.0]]]


def test_class_attention_and_pooling_by_hand() -> None:
    """A class token joins two patches, asks twice, and drops out of what it is made of."""
    mixing = torch.tensor([[[0.5, 0.5], [0.0, 1.0]]])
    asking = torch.tensor([[[0.5, 0.5, 0.0]]])
    again = torch.tensor([[[0.0, 0.0, 1.0]]])
    read = torch.tensor([[[1.0, 0.0, 0.0]]])
    tokens = known("self", "join", "class")
    kept, taken = walked_back(read, [mixing, asking, again], tokens, own=0.5, attended=0.5)
    # Half of it is the second patch; of the other half, a quarter is its own and dropped, and a
    # quarter the first patch's: (0.125, 0.5), of which mixing keeps half.
    torch.testing.assert_close(kept + taken, torch.tensor([[[0.09375, 0.53125]]]))
    read = torch.ones(1, 1, 1)
    pool = torch.tensor([[[0.25, 0.75]]])
    kept, taken = walked_back(read, [mixing, pool], known("self", "pool"), own=0.5, attended=0.5)
    torch.testing.assert_close(kept + taken, torch.tensor([[[0.1875, 0.8125]]]))


def weights_of(net: nn.Module) -> dict[str, Any]:
    return {name: value.double().numpy() for name, value in net.state_dict().items()}


READING: dict[str, Callable[[TinyVit, int], list[int]]] = {
    "first": lambda net, count: [0],
    "all": lambda net, count: list(range(count)),
    "patches": lambda net, count: list(range(net.tokens_before, count - net.tokens_after)),
}


@settings(max_examples=12)
@given(
    st.integers(0, 10**6),
    st.sampled_from([*READING]),
    st.integers(0, 2),
    st.integers(0, 1),
    st.integers(0, CLASSES - 1),
    st.sampled_from([*WRITTEN, *MULTIHEAD]),
)
def test_against_the_oracle(
    seed: int, read: str, before: int, after: int, of: int, written: str
) -> None:
    net = TinyVit(written, before=before, after=after, read=read, seed=seed).double().eval()
    image = torch.randn(1, 3, 4, 8, generator=torch.Generator().manual_seed(seed)).double()
    tokens = net.embedded(image)[0].detach().numpy()
    reading = READING[read](net, len(tokens))
    plain = oracle.Transformer(
        weights_of(net), 2, HEADS, tokens, lambda rows: np.mean([rows[i] for i in reading], 0)
    )
    with torch.no_grad():
        torch.testing.assert_close(net(image)[0], torch.from_numpy(plain.logits()))
    expected = {
        "rollout": oracle.rollout(plain, reading),
        "relevance": oracle.relevance(plain, of, reading),
        "legrad": oracle.legrad(plain, of),
    }
    classes = torch.tensor([of])
    for name, method in METHODS.items():
        found = by_cell(method(net, image, classes))[0]
        wanted = torch.from_numpy(expected[name])[before : len(tokens) - after].float()
        torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-6, msg=name)


def by_cell(maps: Tensor) -> Tensor:
    """The patches' values back from a map of the picture's size: patches are 4 pixels wide.

    Bilinear interpolation by an even number takes each outermost pixel from its own cell; in
    between, two pixels beside the middle of a cell have its value as their mean where the
    values change evenly. A picture of two cells is enough to solve for both.
    """
    assert maps.shape[1:] == (4, 8)
    return torch.stack((maps[:, 0, 0], maps[:, 0, -1]), 1)


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("written", [*WRITTEN, *MULTIHEAD])
def test_however_attention_is_written(name: str, written: str) -> None:
    expected = METHODS[name](TinyVit(before=2), pictures(), IDS)
    found = METHODS[name](TinyVit(written, before=2), pictures(), IDS)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-6)
    assert expected.std((1, 2)).min() > 1e-4


@pytest.mark.parametrize("written", [*WRITTEN, *MULTIHEAD])
def test_the_logits_do_not_change_while_attention_is_seen(written: str) -> None:
    net, seen = TinyVit(written).eval(), []

    def see(scores: Tensor, weights: Tensor) -> Tensor:
        torch.testing.assert_close(scores.softmax(-1), weights)
        seen.append(weights)
        return weights

    with torch.no_grad(), SeeAttention(see):
        logits = net(pictures())
    with torch.no_grad():
        torch.testing.assert_close(logits, net(pictures()))
    assert len(seen) == 2


def test_causal_and_grouped_attention() -> None:
    generator = torch.Generator().manual_seed(0)
    q, k, v = (torch.randn(2, heads, 5, 4, generator=generator) for heads in (4, 2, 2))
    for causal in (False, True):
        attend = functools.partial(
            F.scaled_dot_product_attention, q, k, v, enable_gqa=True, is_causal=causal
        )
        expected = attend()
        with SeeAttention(lambda _scores, weights: weights):
            found = attend()
        torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("patches", ["convolution", "unfold"])
@pytest.mark.parametrize(("before", "after"), [(0, 0), (1, 0), (5, 0), (0, 1), (2, 3)])
def test_patches_are_found_wherever_they_are(before: int, after: int, patches: str) -> None:
    net = TinyVit(before=before, after=after, read="all", patches=patches).eval()
    found = find_tokens(net, pictures())
    assert found.patches == tuple(range(before, before + 6))
    assert found.grid == (2, 3)
    assert found.kinds == ("self", "self")
    assert found.blocks == ("blocks.0", "blocks.1")


class Stem(TinyVit):
    """Its patches overlap: three convolutions, so that a row of pixels is in many patches."""

    def __init__(self) -> None:
        super().__init__(before=1)
        self.stem = nn.Conv2d(3, 3, 5, padding=2)
        nn.init.normal_(self.stem.weight, generator=torch.Generator().manual_seed(2))

    def embedded(self, x: Tensor) -> Tensor:
        x = self.stem(torch.tanh(self.stem(torch.tanh(self.stem(x)))))
        return super().embedded(x)


def test_patches_that_overlap() -> None:
    found = find_tokens(Stem().eval(), pictures(height=16, width=12))
    assert found.grid == (4, 3)
    assert found.patches == tuple(range(1, 13))


def test_a_patch_lights_up_where_it_is() -> None:
    """All attend to the brightest patch, and the map shows it there."""

    class Bright(ByHand):
        def forward(self, x: Tensor) -> Tensor:
            tokens = F.avg_pool2d(x, 2).flatten(2).transpose(1, 2)
            scores = tokens.mT * 1.0 + 0 * tokens
            taken = (scores.softmax(-1) @ tokens.abs()).mean(1)
            return torch.cat((taken, -taken), 1)

    image = torch.zeros(1, 1, 6, 8)
    image[..., 2:4, 6:8] = 9.0
    for method in METHODS.values():
        found = method(Bright(), image, torch.tensor([0]))[0]
        assert divmod(int(found.argmax()), 8)[0] in (2, 3)
        assert divmod(int(found.argmax()), 8)[1] in (6, 7)


def test_shares_add_up() -> None:
    """What is read of patches, class token and registers is all that there is."""
    net = TinyVit(before=0, read="all").eval()
    found = attention_rollout(net, pictures(width=8), IDS)
    cells = F.avg_pool2d(found[:, None], 4)
    torch.testing.assert_close(cells.sum((1, 2, 3)), torch.ones(3))
    assert not torch.allclose(
        found, attention_rollout(TinyVit(before=0, seed=1), pictures(), IDS)[..., :8]
    )


def test_the_class_says_nothing_to_rollout_and_much_to_the_others() -> None:
    net, other = TinyVit(), (IDS + 1) % CLASSES
    for name, method in METHODS.items():
        is_same = torch.allclose(method(net, pictures(), IDS), method(net, pictures(), other))
        assert is_same == (name == "rollout")


# --- real architectures ---------------------------------------------------------------------------


def of_timm(name: str, **options: Any) -> Callable[[], nn.Module]:
    def make() -> nn.Module:
        register_torchvision_schemas()
        timm = pytest.importorskip("timm")
        module: nn.Module = timm.create_model(name, **options)
        return module

    return make


def of_torchvision() -> nn.Module:
    register_torchvision_schemas()
    models = pytest.importorskip("torchvision").models
    net: nn.Module = models.VisionTransformer(
        image_size=32, patch_size=8, num_layers=2, num_heads=2, hidden_dim=16, mlp_dim=32
    )
    return net


def of_transformers(implementation: str) -> Callable[[], nn.Module]:
    def make() -> nn.Module:
        register_torchvision_schemas()
        transformers = pytest.importorskip("transformers")
        config = transformers.ViTConfig(
            hidden_size=16,
            num_hidden_layers=2,
            num_attention_heads=2,
            intermediate_size=32,
            image_size=32,
            patch_size=8,
            attn_implementation=implementation,
        )
        net: nn.Module = transformers.ViTForImageClassification(config)
        return net

    return make


SMALL = {"img_size": 32, "patch_size": 8, "depth": 2, "embed_dim": 24, "num_heads": 3}
# The network, how many tokens come before the patches, how its layers attend; all on 4 x 4.
REAL: dict[str, tuple[Callable[[], nn.Module], int, tuple[str, ...]]] = {
    "ViT of timm": (of_timm("vit_base_patch16_224", **SMALL), 1, ("self",) * 2),
    "ViT that averages": (
        of_timm("vit_base_patch16_224", **SMALL, global_pool="avg"),
        1,
        ("self",) * 2,
    ),
    "distilled DeiT": (of_timm("deit_tiny_distilled_patch16_224", **SMALL), 2, ("self",) * 2),
    "DINOv2 with registers": (
        of_timm("vit_base_patch14_reg4_dinov2", **SMALL, num_classes=7),
        5,
        ("self",) * 2,
    ),
    "DINOv3": (
        of_timm("vit_small_patch16_dinov3", **SMALL, num_classes=7),
        5,
        ("self",) * 2,
    ),
    "NaFlexViT, patches by a dense layer": (
        of_timm("naflexvit_base_patch16_gap", **SMALL),
        4,
        ("self",) * 2,
    ),
    "EVA-02": (of_timm("eva02_tiny_patch14_224", **SMALL), 1, ("self",) * 2),
    "BEiT": (of_timm("beit_base_patch16_224", **SMALL), 1, ("self",) * 2),
    "relative positions": (of_timm("vit_relpos_base_patch16_224", **SMALL), 0, ("self",) * 2),
    "CaiT": (of_timm("cait_xxs24_224", **SMALL), 0, ("self", "self", "join", "class")),
    "SigLIP": (
        of_timm("vit_base_patch16_siglip_224", **SMALL, num_classes=7),
        0,
        ("self", "self", "pool"),
    ),
    "ViT of torchvision": (of_torchvision, 1, ("self",) * 2),
    "ViT of transformers, eager": (of_transformers("eager"), 1, ("self",) * 2),
    "ViT of transformers, fused": (of_transformers("sdpa"), 1, ("self",) * 2),
}


def made(name: str) -> nn.Module:
    """With weights that are not nearly zero, so that something is to be seen."""
    torch.manual_seed(0)
    net = REAL[name][0]().eval()
    generator = torch.Generator().manual_seed(0)
    for parameter in net.parameters():
        nn.init.normal_(parameter, std=0.2, generator=generator)
    return net


@pytest.mark.parametrize("name", REAL)
def test_real_architectures(name: str) -> None:
    net, images = made(name), pictures(height=32, width=32)
    classes = torch.tensor([1, 0, 1])
    _, before, kinds = REAL[name]
    with undisturbed(net, images, classes) as network, torch.no_grad():
        tokens = cached_tokens(network, images)
        expected = network(images)
        with SeeAttention(lambda _scores, weights: weights):
            found = network(images)
    assert (tokens.grid, tokens.kinds) == ((4, 4), kinds)
    assert tokens.patches == tuple(range(before, before + 16))
    torch.testing.assert_close(*(getattr(each, "logits", each) for each in (found, expected)))
    for method in METHODS.values():
        if method is legrad and kinds[-1] != "self":
            with pytest.raises(ModelError, match="layers in which not all tokens attend"):
                method(net, images, classes)
            continue
        maps = method(net, images, classes)
        assert maps.shape == (3, 32, 32)
        assert bool(maps.isfinite().all())
        assert bool((maps >= -1e-7).all())
        assert bool((maps.std((1, 2)) > 0).all())
        alone = torch.stack([method(net, images[i, None], classes[i, None])[0] for i in range(3)])
        torch.testing.assert_close(maps, alone, rtol=1e-3, atol=1e-5)


def test_both_implementations_of_transformers_show_the_same() -> None:
    eager, fused = (made(f"ViT of transformers, {how}") for how in ("eager", "fused"))
    fused.load_state_dict(eager.state_dict())
    images = pictures(height=32, width=32)
    for method in METHODS.values():
        found = [method(net, images, torch.tensor([1, 0, 1])) for net in (eager, fused)]
        torch.testing.assert_close(*found, rtol=1e-4, atol=1e-6)


def test_what_is_read_is_told_apart() -> None:
    """The class token's row and the mean of the patches' are different maps."""
    token, mean = made("ViT of timm"), made("ViT that averages")
    images = pictures(height=32, width=32)
    one, other = (attention_rollout(net, images, torch.tensor([1, 0, 1])) for net in (token, mean))
    assert not torch.allclose(one, other, rtol=1e-3)


def test_token_evidence_where_patches_are_averaged() -> None:
    """What `explain` gives: each patch's last token, times the class's weights."""
    net = TinyVit(before=1, read="patches").eval()
    found = seewhy.explain(net, pictures(), IDS[:, None])
    with torch.no_grad():
        tokens = net.norm(net.blocks(net.embedded(pictures())))[:, 1:]
    expected = torch.einsum("bnd,bd->bn", tokens, net.fc.weight[IDS].detach())
    torch.testing.assert_close(found.maps[:, 0], expected.unflatten(1, (2, 3)))
    torch.testing.assert_close(found.bias[:, 0], net.fc.bias[IDS].detach())
    assert bool(found.adds_up.all())
    assert cam(net, pictures(), IDS).shape == (3, 8, 12)


# --- what is refused ------------------------------------------------------------------------------


class Windows(TinyVit):
    """Attention within the two halves of the picture."""

    def forward(self, x: Tensor) -> Tensor:
        halves = torch.cat(x.chunk(2, 3))
        tokens = self.blocks(self.embedded(halves))
        logits: Tensor = self.fc(tokens.mean(1))
        return sum(logits.chunk(2))  # type: ignore[return-value]


class Channels(TinyVit):
    """Attention among channels instead of positions."""

    def forward(self, x: Tensor) -> Tensor:
        tokens = self.embedded(x)
        mixed = (tokens.mT @ tokens)[:, None].softmax(-1)[:, 0] @ tokens.mT
        logits: Tensor = self.fc(mixed.mean(2))
        return logits


class Convolving(TinyVit):
    """A convolution between two layers of attention."""

    def forward(self, x: Tensor) -> Tensor:
        tokens = self.blocks[0](self.first(x).flatten(2).mT)
        grid = tokens.mT.unflatten(2, (x.shape[2] // 4, -1))
        grid = F.conv2d(grid, torch.ones(4, 1, 3, 3), padding=1, groups=4)
        logits: Tensor = self.fc(self.blocks[1](grid.flatten(2).mT).mean(1))
        return logits


class Pooling(TinyVit):
    """Half of the tokens go on."""

    def forward(self, x: Tensor) -> Tensor:
        tokens = self.blocks[0](self.embedded(x))
        logits: Tensor = self.fc(self.blocks[1](tokens[:, ::2]).mean(1))
        return logits


class SideBySide(TinyVit):
    def forward(self, x: Tensor) -> Tensor:
        tokens = self.embedded(x)
        logits: Tensor = self.fc((self.blocks[0](tokens) + self.blocks[1](tokens)).mean(1))
        return logits


class Blind(TinyVit):
    """What is read is as it was before attention."""

    def forward(self, x: Tensor) -> Tensor:
        tokens = self.embedded(x)
        logits: Tensor = self.fc(tokens.mean(1) + 0 * self.blocks(tokens).detach().mean(1))
        return logits


class Shuffled(TinyVit):
    """Its patches come in an order that is no grid's."""

    def embedded(self, x: Tensor) -> Tensor:
        return super().embedded(x)[:, [0, 4, 2, 1, 3, 6, 5]]


EXPECTED = (
    "model: expected a transformer whose layers of attention are over one grid of patches, got "
)
REFUSED: dict[str, tuple[Callable[[], nn.Module], str]] = {
    "convolutional network": (
        lambda: nn.Sequential(nn.Conv2d(3, 5, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten()),
        "one without attention that can be seen",
    ),
    "windows": (
        lambda: Windows(before=0, read="all"),
        "one with attention within windows, (8, 2, 2, 2) for 4 pictures",
    ),
    "windows that look like heads": (
        lambda: Windows("heads folded into the batch", before=0, read="all"),
        "one with attention within windows, (16, 2, 2) for 4 pictures",
    ),
    "channels": (
        lambda: Channels(before=0, read="all"),
        "attention over 4 tokens that are no grid of patches (channels, perhaps)",
    ),
    "convolutions": (
        lambda: Convolving(before=0, read="all"),
        "one with convolutions among its layers of attention",
    ),
    "fewer and fewer tokens": (
        lambda: Pooling(before=0, read="all"),
        "one where 3 tokens attend to 3 after layers of 6 tokens",
    ),
    "side by side": (
        lambda: SideBySide(before=0, read="all"),
        "one with several layers of attention side by side",
    ),
    "blind": (Blind, "one whose logits do not depend on its attention"),
    "shuffled": (
        Shuffled,
        "attention over 6 tokens that are no grid of patches (channels, perhaps)",
    ),
}


@pytest.mark.parametrize("method", METHODS.values(), ids=METHODS)
@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_followed_is_refused(case: str, method: MapFunction) -> None:
    make, reason = REFUSED[case]
    with pytest.raises(ModelError) as caught:
        method(make(), pictures(), IDS)
    assert str(caught.value) == EXPECTED + reason + "; choose another method, such as gradient"


@pytest.mark.parametrize("method", [attention_rollout, attention_relevance])
def test_logits_that_do_not_depend_on_attention(method: MapFunction) -> None:
    net = TinyVit()
    nn.init.zeros_(net.fc.weight)
    with pytest.raises(ModelError, match="whose logits do not depend on its attention"):
        method(net, pictures(), IDS)


class Unread(TinyVit):
    """A last block that nothing is read from, as in transformers' SigLIP for classification."""

    def __init__(self) -> None:
        super().__init__(depth=3)

    def forward(self, x: Tensor) -> Tensor:
        tokens = self.blocks[1](self.blocks[0](self.embedded(x)))
        self.blocks[2](tokens)
        logits: Tensor = self.fc(self.norm(tokens)[:, 0])
        return logits


def test_attention_that_is_not_read_does_not_count() -> None:
    unread, net = Unread(), TinyVit()
    net.load_state_dict(
        {key: value for key, value in unread.state_dict().items() if ".2." not in key}
    )
    for method in METHODS.values():
        found = method(unread, pictures(), IDS)
        torch.testing.assert_close(found, method(net, pictures(), IDS))
        assert found.std() > 1e-4


def test_legrad_needs_blocks() -> None:
    class Plain(TinyVit):
        """The layers are no modules of their own."""

        def forward(self, x: Tensor) -> Tensor:
            tokens = self.embedded(x)
            for block in self.blocks:
                assert isinstance(block, Block)
                tokens = tokens + scaled(tokens, tokens)[:, None].softmax(-1)[:, 0] @ tokens
            logits: Tensor = self.fc(tokens[:, 0])
            return logits

    class Between(TinyVit):
        """Something happens to the tokens between the layers."""

        def forward(self, x: Tensor) -> Tensor:
            tokens = self.blocks[1](2 * self.blocks[0](self.embedded(x)))
            logits: Tensor = self.fc(tokens[:, 0])
            return logits

    for net, reason in (
        (Plain(), "one whose layers are not modules of their own"),
        (Between(), "one whose layers do not hand on their tokens as they are"),
    ):
        assert attention_rollout(net, pictures(), IDS).shape == (3, 8, 12)
        with pytest.raises(ModelError) as caught:
            legrad(net, pictures(), IDS)
        assert reason in str(caught.value)


def test_legrad_where_the_batch_comes_second() -> None:
    class Second(Block):
        def forward(self, tokens: Tensor) -> Tensor:
            return super().forward(tokens.transpose(0, 1)).transpose(0, 1)

    class Turned(TinyVit):
        _block = staticmethod(lambda written: Second(WRITTEN[written]))

        def forward(self, x: Tensor) -> Tensor:
            tokens = self.blocks(self.embedded(x).transpose(0, 1))
            logits: Tensor = self.fc(self.norm(tokens)[0])
            return logits

    expected = legrad(TinyVit(), pictures(), IDS)
    torch.testing.assert_close(legrad(Turned(), pictures(), IDS), expected)


def test_legrad_of_one_layer() -> None:
    """There is nothing between the layers to cut, and the network's own logit is differentiated."""
    net = TinyVit(depth=1).double().eval()
    image = pictures(1, 4, 8).double()
    plain = oracle.Transformer(
        weights_of(net), 1, HEADS, net.embedded(image)[0].detach().numpy(), lambda rows: rows[0]
    )
    found = by_cell(legrad(net, image, IDS[:1]))[0]
    torch.testing.assert_close(found, torch.from_numpy(oracle.legrad(plain, 4))[1:].float())


# --- cost, memory, and no trace -------------------------------------------------------------------


class Counting(TinyVit):
    passed = 0

    def forward(self, x: Tensor) -> Tensor:
        self.passed += len(x)
        return super().forward(x)


@pytest.mark.parametrize("method", METHODS.values(), ids=METHODS)
def test_one_forward_pass_and_four_pictures_once(method: MapFunction) -> None:
    net = Counting()
    for count in (4 + 3, 3, 3):
        net.passed = 0
        method(net, pictures(), IDS)
        assert net.passed == count
    net.passed = 0
    method(net, pictures(height=16), IDS)  # another size, other tokens
    assert net.passed == 4 + 3


def test_a_network_that_was_rebuilt_is_looked_at_again() -> None:
    net = TinyVit(before=1)
    for method in METHODS.values():
        net.tokens_before, net.extra = 1, nn.Parameter(net.extra[:1].detach())
        method(net, pictures(), IDS)
        net.tokens_before, net.extra = 2, nn.Parameter(net.extra.detach().repeat(2, 1))
        fresh = TinyVit(before=2)
        fresh.load_state_dict(net.state_dict())
        assert torch.equal(method(net, pictures(), IDS), method(fresh, pictures(), IDS))
    for _ in range(2):  # one layer more
        net.blocks.append(Block(WRITTEN["fused"]))
        for method in METHODS.values():
            fresh = copy.deepcopy(net)
            assert torch.equal(method(net, pictures(), IDS), method(fresh, pictures(), IDS))
    net = TinyVit(before=2)
    for method in METHODS.values():
        method(net, pictures(), IDS)
    net.read = "patches"  # of the same shapes
    fresh = TinyVit(before=2, read="patches")
    fresh.load_state_dict(net.state_dict())
    for method in METHODS.values():
        assert torch.equal(method(net, pictures(), IDS), method(fresh, pictures(), IDS))


@pytest.mark.parametrize("method", METHODS.values(), ids=METHODS)
def test_what_is_remembered_goes_with_the_network(method: MapFunction) -> None:
    net = TinyVit()
    method(net, pictures(), IDS)
    gone = weakref.ref(net)
    del net
    gc.collect()
    assert gone() is None


def test_only_what_follows_the_first_attention_is_differentiated() -> None:
    """What comes before may have no derivative at all."""

    class Rounding(TinyVit):
        def embedded(self, x: Tensor) -> Tensor:
            assert not x.requires_grad
            return super().embedded(torch.from_numpy(np.round(x.numpy(), 2)))

    for method in METHODS.values():
        assert bool(method(Rounding(), pictures(), IDS).isfinite().all())
