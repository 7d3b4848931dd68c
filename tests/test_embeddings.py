"""Evidence for similarities: by hand, by loops, and with a little model of pictures and texts."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.nets import Bare
from tests.oracles import embeddings as oracle
from tests.peers import register_torchvision_schemas
from torch import Tensor, nn
from torch.nn import functional as F

from seewhy import (
    ClassError,
    Explanation,
    InputError,
    Similarity,
    explain,
    explain_similarity,
    explain_text,
    find_head,
)

# Two channels on a grid of 2 x 2, pooled to (3, 4) and to (2, 0).
A = torch.tensor([[[[12.0, 0.0], [0.0, 0.0]], [[0.0, 0.0], [0.0, 16.0]]]])
B = torch.tensor([[[[0.0, 4.0], [4.0, 0.0]], [[0.0, 0.0], [0.0, 0.0]]]])


def plain() -> Bare:
    """Its embedding is what it pools."""
    return Bare([[1.0, 0.0], [0.0, 1.0]], [0.0, 0.0])


class Tower(nn.Module):
    """The image half of a model like CLIP: a convolution, average pooling, a projection."""

    def __init__(self, width: int = 6, normalise: bool = False) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3, padding=1)
        self.projection = nn.Linear(8, width)
        self.normalise = normalise

    def forward(self, pixels: Tensor) -> Tensor:
        embedding: Tensor = self.projection(self.conv(pixels).relu().mean((2, 3)))
        return F.normalize(embedding) if self.normalise else embedding


class TinyClip(nn.Module):
    """Both halves, and the logits that they are trained for."""

    def __init__(self, normalise: bool = False) -> None:
        super().__init__()
        self.visual = Tower(normalise=normalise)
        self.words = nn.EmbeddingBag(20, 6)
        self.logit_scale = nn.Parameter(torch.tensor(math.log(25.0)))

    def encode_text(self, tokens: Tensor) -> Tensor:
        embedding: Tensor = self.words(tokens)
        return embedding

    def forward(self, pixels: Tensor, tokens: Tensor) -> Tensor:
        image, text = F.normalize(self.visual(pixels)), F.normalize(self.encode_text(tokens))
        logits: Tensor = self.logit_scale.exp() * image @ text.T
        return logits


def seeded(model: type[nn.Module], *args: Any) -> Any:
    torch.manual_seed(0)
    return model(*args).eval()


# Two pictures.


def test_a_cosine_by_hand() -> None:
    result = explain_similarity(plain(), A, B)
    assert result.similarity.tolist() == pytest.approx([0.6])
    on_a, on_b = result.a, result.b
    # b's direction is (1, 0), over a's length 5; a's is (0.6, 0.8), over b's length 2
    torch.testing.assert_close(on_a.maps, torch.tensor([[[[2.4, 0.0], [0.0, 0.0]]]]))
    torch.testing.assert_close(on_b.maps, torch.tensor([[[[0.0, 1.2], [1.2, 0.0]]]]))
    assert on_a.bias.tolist() == on_b.bias.tolist() == [[0.0]]
    assert (on_a.kind, on_a.task, on_a.quantity) == ("normalised", "similarity", "similarity")
    assert bool(on_a.probabilities.isnan().all())


def test_a_dot_product_by_hand() -> None:
    net = Bare([[1.0, 0.0], [0.0, 1.0]], [0.0, 1.0])  # embeddings (3, 5) and (2, 1)
    result = explain_similarity(net, A, B, measure="dot")
    assert result.similarity.tolist() == [11.0]
    assert result.a.maps.tolist() == [[[[24.0, 0.0], [0.0, 16.0]]]]
    assert result.b.maps.tolist() == [[[[0.0, 12.0], [12.0, 0.0]]]]
    assert (result.a.bias.tolist(), result.b.bias.tolist()) == ([[1.0]], [[5.0]])
    assert result.a.kind == "linear"


def test_a_picture_is_wholly_like_itself() -> None:
    net, x = seeded(Tower), torch.randn(3, 3, 6, 7)
    result = explain_similarity(net, x, x)
    torch.testing.assert_close(result.similarity, torch.ones(3))
    torch.testing.assert_close(result.a.maps, result.b.maps)
    assert len(result) == 3


def test_one_picture_is_compared_with_many() -> None:
    net, query, many = seeded(Tower), torch.randn(1, 3, 6, 6), torch.randn(4, 3, 5, 8)
    result = explain_similarity(net, query, many)
    assert result.a.maps.shape == (4, 1, 6, 6)
    assert result.b.maps.shape == (4, 1, 5, 8)
    for index in range(4):
        alone = explain_similarity(net, query, many[index : index + 1])
        torch.testing.assert_close(result.a.maps[index], alone.a.maps[0])
        torch.testing.assert_close(result.b.maps[index], alone.b.maps[0])
    assert len(result.a.geometry) == len(result.b.geometry) == 4


@settings(max_examples=25)
@given(
    st.integers(0, 2**31 - 1),
    st.lists(st.integers(2, 3), min_size=1, max_size=3).map(tuple),
    st.integers(2, 5),
    st.booleans(),
)
def test_similarities_as_by_loops(
    seed: int, grid: tuple[int, ...], width: int, cosine: bool
) -> None:
    generator = torch.Generator().manual_seed(seed)

    def drawn(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator, dtype=torch.float64)

    matrix, offset, a, b = drawn(width, 3), drawn(width), drawn(2, 3, *grid), drawn(2, 3, *grid)
    net = Bare(matrix.tolist(), offset.tolist()).double()
    with torch.no_grad():
        net.fc.weight.copy_(matrix)
        net.fc.bias.copy_(offset)
    result = explain_similarity(net, a, b, measure="cosine" if cosine else "dot")
    assert result.is_exact
    for side, own, other in ((result.a, a, b), (result.b, b, a)):
        for index in range(2):
            vector = oracle.embedding(matrix.numpy(), offset.numpy(), other[index].numpy())
            truth = oracle.alike(
                matrix.numpy(), offset.numpy(), own[index].numpy(), vector, cosine=cosine
            )
            np.testing.assert_allclose(side.maps[index, 0], truth.map, atol=1e-9)
            assert float(side.bias[index]) == pytest.approx(truth.bias, abs=1e-9)
            assert float(result.similarity[index]) == pytest.approx(truth.similarity, abs=1e-9)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
@pytest.mark.parametrize("normalise", [False, True])
def test_similarities_add_up_at_each_precision(dtype: torch.dtype, normalise: bool) -> None:
    net = seeded(Tower, 6, normalise).to(dtype)
    a, b = torch.randn(2, 3, 3, 8, 8).to(dtype)
    for measure in ("cosine", "dot"):
        result = explain_similarity(net, a, b, measure=measure)
        assert result.is_exact
        expected = net(a).double() * net(b).double()
        if normalise:
            torch.testing.assert_close(
                result.similarity.double(), expected.sum(1), atol=0.02, rtol=0
            )


def test_a_similarity_can_be_drawn_and_stored(tmp_path: Any) -> None:
    result = explain_similarity(plain(), A, B)
    (entry,) = result.a.class_evidence(0)
    assert (entry.name, entry.quantity) == ("cosine similarity", "similarity")
    assert entry.logit == pytest.approx(entry.evidence + entry.bias)
    back = Explanation.load(result.a.save(tmp_path / "a.safetensors"))
    assert back.task == "similarity"
    assert repr(result) == (
        "Similarity(cosine similarity 0.6; normalised maps (1, 1, 2, 2) and (1, 1, 2, 2),"
        " certificate 0e+00, rounding explains 1e-05)"
    )


def test_the_model_is_left_as_it_was() -> None:
    net = seeded(Tower).train().requires_grad_(False)
    with torch.inference_mode():
        result = explain_similarity(net, torch.randn(2, 3, 6, 6), torch.randn(2, 3, 6, 6))
    assert isinstance(result, Similarity)
    assert net.training
    assert all(p.grad is None for p in net.parameters())
    assert not any(module._forward_hooks for module in net.modules())


# A picture and texts.


def test_texts_by_hand() -> None:
    """Texts along (1, 0) and (3, 4), in any length; a picture along (0.6, 0.8)."""
    texts = torch.tensor([[10.0, 0.0], [0.3, 0.4]])
    result = explain_text(plain(), A, texts, "all", logit_scale=10, class_names=["east", "north"])
    torch.testing.assert_close(result.logits, torch.tensor([[6.0, 10.0]]))
    expected = torch.tensor([[[24.0, 0.0], [0.0, 0.0]], [[14.4, 0.0], [0.0, 25.6]]])
    torch.testing.assert_close(result.maps[0], expected)
    assert result.bias.tolist() == [[0.0, 0.0]]
    assert (result.kind, result.task) == ("normalised", "single-label")
    assert float(result.probabilities[0, 1]) == pytest.approx(1 / (1 + math.exp(-4)))
    best = result.prediction(0)
    assert best is not None
    assert best.name == "north"


@pytest.mark.parametrize("normalise", [False, True])
def test_the_logits_are_those_of_the_whole_model(normalise: bool) -> None:
    clip = seeded(TinyClip, normalise)
    x, tokens = torch.randn(3, 3, 8, 8), torch.randint(20, (4, 5))
    texts = clip.encode_text(tokens)
    result = explain_text(clip.visual, x, texts, "all", logit_scale=clip.logit_scale.exp())
    torch.testing.assert_close(result.logits, clip(x, tokens).detach())
    torch.testing.assert_close(result.evidence + result.bias, result.logits)
    torch.testing.assert_close(result.probabilities, clip(x, tokens).softmax(1).detach())
    assert result.is_exact
    assert result.class_names is None


def test_the_whole_model_explains_itself_alike() -> None:
    """A model with its texts as a buffer is a cosine classifier: the head that is found agrees."""

    class Zeroshot(nn.Module):
        def __init__(self, tower: nn.Module, texts: Tensor, scale: float) -> None:
            super().__init__()
            self.tower, self.scale = tower, scale
            self.texts = nn.Parameter(F.normalize(texts))

        def forward(self, x: Tensor) -> Tensor:
            return self.scale * F.normalize(self.tower(x)) @ self.texts.T

    tower, texts, x = seeded(Tower), torch.randn(4, 6), torch.randn(2, 3, 8, 8)
    whole = explain(Zeroshot(tower, texts, 25.0), x, "all")
    told = explain_text(tower, x, texts, "all", logit_scale=25.0)
    torch.testing.assert_close(told.maps, whole.maps, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(told.bias, whole.bias, atol=1e-4, rtol=1e-4)
    for against in (1, "others"):
        torch.testing.assert_close(
            explain_text(tower, x, texts, "all", logit_scale=25.0, against=against).maps,
            explain(Zeroshot(tower, texts, 25.0), x, "all", against=against).maps,
            atol=1e-4,
            rtol=1e-4,
        )


def test_a_sigmoid_for_each_text() -> None:
    """As SigLIP: a bias of its own, and probabilities that know nothing of each other."""
    texts = torch.tensor([[10.0, 0.0], [0.3, 0.4]])
    result = explain_text(
        plain(), A, texts, "all", logit_scale=10, logit_bias=-8, task="multi-label"
    )
    torch.testing.assert_close(result.logits, torch.tensor([[-2.0, 2.0]]))
    assert result.bias.tolist() == [[-8.0, -8.0]]
    torch.testing.assert_close(result.probabilities, torch.tensor([[-2.0, 2.0]]).sigmoid())
    margin = explain_text(plain(), A, texts, 1, logit_scale=10, logit_bias=-8, against=0)
    assert margin.bias.tolist() == [[0.0]]
    assert float(margin.target) == pytest.approx(4)
    others = explain_text(plain(), A, texts, 1, logit_scale=10, logit_bias=-8, against="others")
    assert float(others.target) == pytest.approx(4)


def test_texts_may_be_an_array() -> None:
    result = explain_text(plain(), A, np.array([[1.0, 0.0]]), logit_scale=1)
    assert float(result.logits) == pytest.approx(0.6)


def test_the_head_of_a_tower_is_found_once(monkeypatch: pytest.MonkeyPatch) -> None:
    net, x = seeded(Tower), torch.randn(2, 3, 8, 8)
    explain_text(net, x, torch.randn(2, 6))
    monkeypatch.setattr("seewhy.heads.find.find_head", None)
    explain_text(net, x, torch.randn(3, 6))
    explain_similarity(net, x, x)


def test_a_head_may_be_given() -> None:
    net, x = seeded(Tower), torch.randn(2, 3, 8, 8)
    head = find_head(net, x)
    texts = torch.randn(2, 6)
    given, found = (explain_text(net, x, texts, head=each) for each in (head, None))
    torch.testing.assert_close(given.maps, found.maps)
    same = explain_similarity(net, x, x, head=head)
    assert same.is_exact


def test_a_convnext_tower_as_open_clip_builds_it_is_exact() -> None:
    """timm's trunk without a classifier: average, layer norm; then a linear projection."""
    register_torchvision_schemas()
    timm = pytest.importorskip("timm")
    torch.manual_seed(0)
    trunk = timm.create_model("convnext_atto", num_classes=0)
    tower = nn.Sequential(trunk, nn.Linear(trunk.num_features, 12, bias=False)).eval()
    result = explain_text(tower, torch.randn(2, 3, 64, 64), torch.randn(3, 12), "all")
    assert result.kind == "normalised"
    assert result.maps.shape == (2, 3, 2, 2)
    assert result.is_exact


# Towers that end in something else.


class Ending(nn.Module):
    """A tower that ends in a function of its features, which are the same as its input."""

    def __init__(self, ending: Any, channels: int = 3) -> None:
        super().__init__()
        self.features, self.ending = nn.Conv2d(channels, channels, 1, bias=False), ending
        nn.init.dirac_(self.features.weight)  # what comes out is what went in

    def forward(self, x: Tensor) -> Any:
        return self.ending(self.features(x))


def test_the_largest_values_by_hand() -> None:
    """Max pooling: 12 and 16 in one cell each, a length of 20; beside it a picture along (1, 0)."""
    net = Ending(lambda h: h.amax((2, 3)) @ torch.eye(2), channels=2)
    result = explain_similarity(net, A, B)
    assert result.a.kind == "pooled"
    assert result.similarity.tolist() == pytest.approx([0.6])
    torch.testing.assert_close(result.a.maps, torch.tensor([[[[2.4, 0.0], [0.0, 0.0]]]]))
    torch.testing.assert_close(result.b.maps, torch.tensor([[[[0.0, 1.2], [1.2, 0.0]]]]))
    assert result.is_exact


def test_one_picture_is_compared_with_many_by_a_tower_of_another_kind() -> None:
    net = Ending(lambda h: h.amax((2, 3)) @ torch.eye(3)[:, :2])
    query, many = torch.rand(1, 3, 4, 4), torch.rand(4, 3, 4, 4)
    for one, other in ((query, many), (many, query)):
        result = explain_similarity(net, one, other)
        assert result.a.maps.shape == result.b.maps.shape == (4, 1, 4, 4)
        assert len(result.a.geometry) == len(result.b.geometry) == 4
        alone = explain_similarity(net, one[-1:], other[-1:])
        torch.testing.assert_close(result.a.maps[3:], alone.a.maps)
        torch.testing.assert_close(result.b.maps[3:], alone.b.maps)


def test_an_mlp_after_pooling_leaves_a_residual_that_is_told() -> None:
    torch.manual_seed(0)
    mlp = nn.Sequential(nn.Linear(3, 8), nn.GELU(), nn.Linear(8, 4))
    net = Ending(lambda h: mlp(h.mean((2, 3)))).eval()
    x, texts = torch.randn(2, 3, 4, 4), torch.randn(3, 4)
    told = explain_text(net, x, texts, "all", logit_scale=10.0)
    assert (told.kind, told.is_additive) == ("first-order", False)
    cosine = F.normalize(mlp(x.mean((2, 3)))) @ F.normalize(texts).T
    torch.testing.assert_close(told.logits, (10 * cosine).detach())
    torch.testing.assert_close(told.residual, told.logits - told.evidence - told.bias)
    pooled = x.mean((2, 3)).requires_grad_()
    held = mlp(pooled).norm(dim=1).detach()  # the length of the embedding is held, and no more
    target = 10 * (mlp(pooled) @ F.normalize(texts).T)[:, 1] / held
    (slope,) = torch.autograd.grad(target.sum(), pooled)
    torch.testing.assert_close(told.maps[:, 1], torch.einsum("bk,bkhw->bhw", slope, x))


def test_the_tower_of_a_clip_with_a_class_token_is_said_to_be_one() -> None:
    """As the docstring shows it for transformers; a tiny model with random weights."""
    register_torchvision_schemas()
    transformers = pytest.importorskip("transformers")
    small = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2}
    torch.manual_seed(0)
    config = transformers.CLIPConfig(
        text_config=small | {"vocab_size": 30, "num_attention_heads": 2, "eos_token_id": 2},
        vision_config=small | {"image_size": 32, "patch_size": 8, "num_attention_heads": 2},
        projection_dim=12,
    )
    clip = transformers.CLIPModel(config).eval()

    class ImageTower(nn.Module):
        def __init__(self, clip: Any) -> None:
            super().__init__()
            self.clip = clip

        def forward(self, pixels: Tensor) -> Any:
            return self.clip.get_image_features(pixel_values=pixels)

    x, tokens = torch.randn(2, 3, 32, 32), torch.randint(3, 30, (3, 6))
    whole = clip(pixel_values=x, input_ids=tokens)
    scale = clip.logit_scale.exp()
    told = explain_text(ImageTower(clip), x, whole.text_embeds, "all", logit_scale=scale)
    torch.testing.assert_close(told.logits, whole.logits_per_image.detach(), rtol=1e-4, atol=1e-4)
    assert (told.kind, told.is_additive) == ("none", False)
    assert told.maps.shape == (2, 3, 4, 4)


# A cosine classifier whose scale is learned.


class Cosine(nn.Module):
    """Cosines of the pooled features and the classes' weights, over a learned temperature."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3, padding=1)
        self.weight = nn.Parameter(torch.randn(5, 8))
        self.log_scale = nn.Parameter(torch.tensor(2.0))

    def forward(self, x: Tensor) -> Tensor:
        pooled = F.normalize(self.conv(x).relu().mean((2, 3)))
        return F.linear(pooled, F.normalize(self.weight)) * self.log_scale.exp()


def test_a_cosine_classifier_with_a_learned_scale_is_explained_by_its_live_scale() -> None:
    net, x = seeded(Cosine), torch.randn(2, 3, 8, 8)
    before = explain(net, x, "all")
    assert before.kind == "normalised"
    assert find_head(net, x).kind == "normalised"
    features = net.conv(x).relu()
    length = features.mean((2, 3)).norm(dim=1)[:, None, None, None]
    expected = torch.einsum("ck,bkhw->bchw", F.normalize(net.weight), features) / length
    torch.testing.assert_close(before.maps, (expected * math.exp(2.0)).detach())
    with torch.no_grad():
        net.log_scale += math.log(2.0)
    torch.testing.assert_close(explain(net, x, "all").maps, 2 * before.maps)


# What cannot be.

ZERO = torch.zeros_like(A)
WRONG: list[tuple[Any, type[Exception], str]] = [
    (
        lambda: explain_text(plain(), A, torch.ones(3, 4)),
        InputError,
        "text_embeddings: expected 2 numbers each, as the pictures' embeddings have, got 4; embed"
        " texts and pictures with the two towers of one model",
    ),
    (
        lambda: explain_text(plain(), A, torch.ones(4)),
        InputError,
        "text_embeddings: expected one embedding for each text, floating point of shape (C, D),"
        " got float32 of shape (4,); pass what the text tower returns",
    ),
    (
        lambda: explain_text(plain(), A, ["a cat", "a dog"]),
        InputError,
        "text_embeddings: expected one embedding for each text, floating point of shape (C, D),"
        " got ValueError: too many dimensions 'str'; pass what the text tower returns",
    ),
    (
        lambda: explain_text(plain(), A, torch.tensor([[1.0, 0.0], [0.0, 0.0]])),
        InputError,
        "text_embeddings: expected embeddings other than zero, for a cosine needs their direction,"
        " got zero for number 1; embed another text",
    ),
    (
        lambda: explain_text(plain(), torch.cat([A, ZERO]), torch.ones(2, 2)),
        InputError,
        "images: expected embeddings other than zero, for a cosine needs their direction, got zero"
        " for number 1; leave it out",
    ),
    (
        lambda: explain_text(plain(), A, torch.ones(3, 2), class_names=["a", "b"]),
        ClassError,
        "class_names: expected 3, one for each text, got 2; name the texts in their order",
    ),
    (
        lambda: explain_text(plain(), A, torch.ones(1, 2), class_names=["no", "yes"]),
        ClassError,
        "class_names: expected 1, one for each text, got 2; name the texts in their order",
    ),
    (
        lambda: explain_text(plain(), A, torch.ones(3, 2), task="binary"),
        InputError,
        "task 'binary': expected single-label or multi-label, for texts, got another; leave task"
        " out for a softmax over the texts",
    ),
    (
        lambda: explain_similarity(plain(), A, torch.cat([ZERO, B]), head=find_head(plain(), A)),
        InputError,
        "image_b: expected embeddings other than zero, for a cosine needs their direction, got zero"
        ' for number 0; leave it out, or pass measure="dot"',
    ),
    (
        lambda: explain_similarity(plain(), torch.cat([A, A]), torch.cat([B, B, B])),
        InputError,
        "image_b: expected 2 pictures, as many as image_a, or one, got 3; pass pairs of pictures",
    ),
    (
        lambda: explain_text(plain(), A, torch.ones(3, 2), logit_scale=0),
        InputError,
        "logit_scale: expected one finite number, not zero, got 0; pass the model's own, as in"
        " model.logit_scale.exp()",
    ),
    (
        lambda: explain_text(plain(), A, torch.ones(3, 2), logit_bias=torch.ones(3)),
        InputError,
        "logit_bias: expected one finite number, got a Tensor; pass the model's own, as in"
        " model.logit_scale.exp()",
    ),
    (
        lambda: explain_similarity(plain(), A, B, measure="cosin"),  # type: ignore[arg-type]
        InputError,
        "measure 'cosin': expected cosine or dot, got an unknown name; did you mean cosine?",
    ),
]


@pytest.mark.parametrize(("ask", "kind", "line"), WRONG)
def test_what_cannot_be_compared(ask: Any, kind: type[Exception], line: str) -> None:
    with pytest.raises(kind) as raised:
        ask()
    assert str(raised.value).startswith(line)


def test_a_zero_embedding_has_a_dot_product() -> None:
    result = explain_similarity(plain(), A, ZERO, measure="dot")
    assert result.similarity.tolist() == [0.0]
    assert result.is_exact
