"""How alike two embeddings are, as evidence: of two pictures, or of a picture and some texts.

A network that ends in average pooling and linear layers gives an embedding `e (D,)` instead of
logits. Its similarity to a fixed vector `v` is a mixture of its coordinates, so that the pooled
features have one row for it, as for a class: with `e = P mean_s F[s] + p`, the map
`M[s] = sum_d v[d] / (|v| |e|) sum_k P[d, k] F[k, s]` and the bias `sum_d v[d] p[d] / (|v| |e|)`
add up to the cosine. Only the two lengths are held fixed.

Source: Stylianou, Souvenir and Pless, Visualizing Deep Similarity Networks, WACV 2019, section 3
(the map of one picture for its similarity to another); Radford et al., Learning Transferable
Visual Models From Natural Language Supervision, ICML 2021 (texts as the weights of classes).
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import torch
from jaxtyping import Float
from torch import Tensor, nn

from seewhy import evidence, heads
from seewhy.errors import ClassError, InputError
from seewhy.explainer import (
    Classes,
    Prepared,
    explain_logits,
    looked,
    require_exact,
    with_own_head,
)
from seewhy.explanation import Explanation
from seewhy.geometry import Geometry
from seewhy.heads import Head, Seen
from seewhy.heads.mixed import Mixed
from seewhy.observe import find_tensors
from seewhy.pictures import Preparer, prepare_batch
from seewhy.tasks import Task
from seewhy.wording import complaint, near_or

Measure = Literal["cosine", "dot"]

_NAMES = {"cosine": "cosine similarity", "dot": "dot product"}


@dataclass(frozen=True, eq=False, repr=False)
class Similarity:
    """How alike B pairs of pictures are, and what in each picture says so.

    Attributes:
        a: the evidence on the first pictures, each with the other's embedding held fixed; its one
            class is the similarity: maps (B, 1, *S), bias, target and certificate (B, 1).
        b: the same on the second ones.
        measure: "cosine" or "dot".
    """

    a: Explanation
    b: Explanation
    measure: Measure

    @property
    def similarity(self) -> Float[Tensor, " batch"]:
        """The similarity of each pair, shape (B,): what evidence and bias of both add up to."""
        return self.a.target[:, 0]

    @property
    def is_exact(self) -> bool:
        """Whether every map of both adds up."""
        return self.a.is_exact and self.b.is_exact

    @property
    def is_additive(self) -> bool:
        """Whether both kinds of maps are to add up."""
        return self.a.is_additive and self.b.is_additive

    def __len__(self) -> int:
        return len(self.a)

    def __repr__(self) -> str:
        shown = ", ".join(f"{value:.3g}" for value in self.similarity[:3].tolist())
        more = ", ..." if len(self) > 3 else ""
        sizes = " and ".join(str(tuple(each.maps.shape)) for each in (self.a, self.b))
        worst = float(torch.maximum(self.a.certificate.max(), self.b.certificate.max()))
        return (
            f"Similarity({_NAMES[self.measure]} {shown}{more}; {self.a.kind} maps {sizes},"
            f" certificate {worst:.0e}, rounding explains {self.a.tolerance:.0e})"
        )


def explain_similarity(
    model: nn.Module | Prepared,
    image_a: Any,
    image_b: Any,
    *,
    measure: Measure = "cosine",
    output: str | int | None = None,
    head: Head | None = None,
    preprocess: Preparer | None = None,
    strict: bool = True,
) -> Similarity:
    """Explain how alike a network finds two pictures: evidence on both, in units of similarity.

    Two forward passes, no gradient. Each map says what its own picture contributes, the other one
    being what it is: `mean(map) + bias` is the similarity, for the kinds of head that promise it
    (see `Explanation.kind`).

    Args:
        model: gives embeddings (B, D); what `load_model` gives, or any `nn.Module`.
        image_a: the first picture of each pair, in any form that `explain` takes.
        image_b: the second; as many, or one of the two is a single picture to compare all with.
        measure: "cosine" of the embeddings, or their "dot" product.
        output: where the model returns several tensors, which is the embedding: see `explain`.
        head: the head, if it is known already: see `find_head`.
        preprocess: for a bare module, see `explain`.
        strict: raise if a map does not add up.

    Raises:
        HeadNotFound: the network has no features with positions, or no gradient comes to them.
        CertificateError: evidence and bias do not add up, though of this kind of head they should.
        InputError, ImageError: pictures that cannot be used, or whose embedding is zero, so that
            it has no cosine; an unknown measure.
        ModelError: the model cannot run on them.

    Source:
        Stylianou et al., Visualizing Deep Similarity Networks, WACV 2019, section 3.
    """
    if measure not in get_args(Measure):
        raise InputError(
            f"measure '{measure}'",
            expected="cosine or dot",
            got="an unknown name",
            fix=near_or(str(measure), get_args(Measure), "choose one of these"),
        )
    a, b = (_asked(model, images, preprocess) for images in (image_a, image_b))
    compared = functools.partial(_compared, a, b, measure)
    own = functools.partial(with_own_head, a.network, a.inputs, output, compared, strict=strict)
    result = own() if head is None else compared(head)
    if strict:
        require_exact(result.a)
        require_exact(result.b)
    return result


def explain_text(
    model: nn.Module | Prepared,
    images: Any,
    text_embeddings: Any,
    classes: Classes = "predicted",
    *,
    class_names: Sequence[str] | None = None,
    logit_scale: float | Tensor = 100.0,
    logit_bias: float | Tensor = 0.0,
    against: int | str | None = None,
    task: Task | None = None,
    output: str | int | None = None,
    head: Head | None = None,
    preprocess: Preparer | None = None,
    strict: bool = True,
) -> Explanation:
    """Explain what a CLIP-like model finds in pictures, given texts: evidence in logits.

    The embeddings of the texts are the weights of the classes, and the logits are
    `logit_scale * cosine + logit_bias`. One forward pass of the image tower; the length of its
    embedding is held fixed for each picture, and nothing else.

    With open_clip, whose ConvNeXt towers average their features (kind "normalised"):

        clip, _, preprocess = open_clip.create_model_and_transforms("convnext_base_w", NAME)
        texts = open_clip.get_tokenizer("convnext_base_w")(["a photo of a cat", "of a dog"])
        result = seewhy.explain_text(clip.visual, preprocess(picture)[None],
                                     clip.encode_text(texts), logit_scale=clip.logit_scale.exp())

    With transformers, the tower is what `get_image_features` runs:

        class Tower(torch.nn.Module):
            def __init__(self, clip):
                super().__init__()
                self.clip = clip
            def forward(self, pixels):
                return self.clip.get_image_features(pixel_values=pixels)

    A tower that pools otherwise is of kind "pooled" or "first-order"; one that reads a class token
    (CLIP's ViT) is of kind "none", its maps do not add up, and `Explanation.residual` says by how
    much.

    Args:
        model: the image tower, which gives embeddings (B, D), normalised or not.
        images: in any form that `explain` takes.
        text_embeddings: of C texts, shape (C, D), normalised or not.
        classes: which texts to explain, see `explain`.
        class_names: the texts, or short names for them.
        logit_scale: the factor itself; of most models it is `model.logit_scale.exp()`.
        logit_bias: what SigLIP adds.
        against: measure the evidence against this text, or against all "others" at once.
        task: "multi-label" for models with a sigmoid for each text, as SigLIP; else a softmax.
        output: where the tower returns several tensors, which is the embedding: see `explain`.
        head: the tower's head, if it is known already.
        preprocess: for a bare module, see `explain`.
        strict: raise if a map does not add up.

    Raises:
        HeadNotFound: the tower has no features with positions, or no gradient comes to them.
        CertificateError: evidence and bias do not add up, though of this kind of head they should.
        ClassError: a text that is not there, or names that do not fit the texts.
        InputError, ImageError: texts of another width, an embedding that is zero, or pictures
            that cannot be used.
        ModelError: the tower cannot run on them.

    Source:
        Radford et al., ICML 2021, figure 3 (zero-shot classification).
    """
    asked = _asked(model, images, preprocess)
    names = None if class_names is None else tuple(class_names)
    scale, bias = _number("logit_scale", logit_scale), _number("logit_bias", logit_bias)
    texts = _Texts(_as_tensor(text_embeddings), scale, bias, names)
    told = functools.partial(_told, asked, texts, classes, against, task)
    own = functools.partial(with_own_head, asked.network, asked.inputs, output, told, strict=strict)
    result = own() if head is None else told(head)
    if strict:
        require_exact(result)
    return result


@dataclass(frozen=True, eq=False)
class _Texts:
    """The texts to tell pictures apart by: embeddings (C, D), scale and bias of logits, names."""

    embeddings: Tensor
    scale: float
    bias: float
    names: tuple[str, ...] | None


@dataclass(frozen=True, eq=False)
class _Asked:
    """A network, pictures as it takes them, and what became of each."""

    network: nn.Module
    inputs: Any
    geometry: tuple[Geometry | None, ...]

    def __len__(self) -> int:
        return len(next(tensor for _, tensor in find_tensors(self.inputs)))

    def repeated(self, other: _Asked) -> _Asked:
        """A single picture as many times as there are others; several as they are."""
        if len(self) != 1:
            return self

        def again(tree: Any) -> Any:
            return tree.expand(len(other), *tree.shape[1:]) if isinstance(tree, Tensor) else tree

        inputs = self.inputs
        many = {k: again(v) for k, v in inputs.items()} if type(inputs) is dict else again(inputs)
        return _Asked(self.network, many, self.geometry * len(other))


def _asked(model: nn.Module | Prepared, images: Any, preprocess: Preparer | None) -> _Asked:
    if not isinstance(model, nn.Module) and isinstance(model, Prepared):
        preprocess = preprocess or model.preprocess
        model = model.module
    network = heads.unwrap(model)
    return _Asked(network, *prepare_batch(images, network, preprocess))


@torch.no_grad()
def _told(
    asked: _Asked,
    texts: _Texts,
    classes: Classes,
    against: int | str | None,
    task: Task | None,
    head: Head,
) -> Explanation:
    """The evidence for some texts, with this head of the image tower."""
    seen = looked(asked.network, asked.inputs, head)
    image = _wide(seen.logits)
    directions = _directions(texts.embeddings, image)
    factor = texts.scale / _length(image, "images")
    return explain_logits(
        asked.network,
        Mixed(head, directions[None], factor, texts.bias),
        image @ directions.T * factor[:, None] + texts.bias,
        seen.features,
        classes,
        task=_task_of_texts(task, len(directions), texts.names),
        tolerance=head.tolerance(seen.logits, seen.features),
        scale=torch.full_like(factor, abs(texts.scale))[:, None],  # of a cosine of 1
        against=against,
        class_names=texts.names,
        geometry=asked.geometry,
        tail=seen.tail,
    )


@torch.no_grad()
def _compared(one: _Asked, other: _Asked, measure: Measure, head: Head) -> Similarity:
    """Both sides of every pair, with this head."""
    if head.plan is not None:  # what was recorded of a pass is of its very pictures
        one, other = one.repeated(other), other.repeated(one)
    seen_a, seen_b = (looked(each.network, each.inputs, head) for each in (one, other))
    a, b = _paired(_wide(seen_a.logits), _wide(seen_b.logits))
    lengths = a.norm(dim=1) * b.norm(dim=1)
    if measure == "cosine":
        lengths = _length(a, "image_a") * _length(b, "image_b")
    factor = 1 / lengths if measure == "cosine" else None
    side = functools.partial(
        _side,
        total=(a * b).sum(1) if factor is None else (a * b).sum(1) * factor,
        scale=lengths + (lengths == 0) if factor is None else torch.ones_like(lengths),
        tolerance=head.tolerance(seen_a.logits, seen_a.features),
        name=_NAMES[measure],
    )
    return Similarity(
        side(one, seen_a, Mixed(head, b[:, None], factor)),
        side(other, seen_b, Mixed(head, a[:, None], factor)),
        measure,
    )


def _side(
    asked: _Asked,
    seen: Seen,
    head: Mixed,
    *,
    total: Tensor,
    scale: Tensor,
    tolerance: float,
    name: str,
) -> Explanation:
    """The evidence on one picture of each pair: a single class, which is the similarity."""
    pairs = len(total)
    geometry = asked.geometry * pairs if len(asked.geometry) == 1 else asked.geometry
    return explain_logits(
        asked.network,
        head,
        total[:, None],
        seen.features.expand(pairs, *seen.features.shape[1:]),
        "all",
        task="similarity",
        tolerance=tolerance,
        scale=scale[:, None],
        class_names=(name,),
        geometry=geometry,
        tail=seen.tail,
    )


def _task_of_texts(task: Task | None, count: int, names: tuple[str, ...] | None) -> Task:
    """Whether texts exclude each other; one text alone excludes nothing."""
    if names is not None and len(names) != count:
        raise ClassError(
            "class_names",
            expected=f"{count}, one for each text",
            got=str(len(names)),
            fix="name the texts in their order",
        )
    if task not in (None, "single-label", "multi-label"):
        raise InputError(
            f"task '{task}'",
            expected="single-label or multi-label, for texts",
            got="another",
            fix="leave task out for a softmax over the texts",
        )
    return "multi-label" if count == 1 else task or "single-label"


def _wide(embedding: Tensor) -> Tensor:
    return embedding.to(evidence.accumulation_dtype(embedding.dtype))


def _paired(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """As many of both; one picture is compared with all others."""
    if len(a) == len(b) or 1 in (len(a), len(b)):
        first, second = torch.broadcast_tensors(a, b)
        return first, second
    raise InputError(
        "image_b",
        expected=f"{len(a)} pictures, as many as image_a, or one",
        got=str(len(b)),
        fix="pass pairs of pictures",
    )


def _length(embeddings: Tensor, subject: str) -> Tensor:
    """The length of each embedding, none of them zero."""
    length: Tensor = embeddings.norm(dim=1)
    if bool((length == 0).any()):
        raise InputError(
            subject,
            expected="embeddings other than zero, for a cosine needs their direction",
            got=f"zero for number {int((length == 0).nonzero()[0])}",
            fix=_INSTEAD[subject],
        )
    return length


_INSTEAD = {
    "images": "leave it out",
    "image_a": 'leave it out, or pass measure="dot"',
    "image_b": 'leave it out, or pass measure="dot"',
    "text_embeddings": "embed another text",
}


def _number(name: str, value: float | Tensor) -> float:
    number = value.item() if isinstance(value, Tensor) and value.numel() == 1 else value
    if isinstance(number, int | float) and math.isfinite(number) and (number or name != _SCALE):
        return float(number)
    raise InputError(
        name,
        expected=f"one finite number{', not zero' if name == _SCALE else ''}",
        got=f"{number}" if isinstance(number, int | float) else f"a {type(value).__name__}",
        fix="pass the model's own, as in model.logit_scale.exp()",
    )


_SCALE = "logit_scale"


def _as_tensor(embeddings: Any) -> Tensor:
    """Embeddings (C, D) as a tensor of floating point, from any array."""
    try:
        tensor = torch.as_tensor(embeddings).detach()
    except (TypeError, ValueError, RuntimeError) as error:
        raise _unlike_texts(complaint(error)) from error
    if tensor.ndim != 2 or 0 in tensor.shape or not tensor.is_floating_point():
        kind = str(tensor.dtype).removeprefix("torch.")
        raise _unlike_texts(f"{kind} of shape {tuple(tensor.shape)}")
    return tensor


def _unlike_texts(got: str) -> InputError:
    return InputError(
        "text_embeddings",
        expected="one embedding for each text, floating point of shape (C, D)",
        got=got,
        fix="pass what the text tower returns",
    )


def _directions(texts: Tensor, images: Tensor) -> Tensor:
    """The embeddings of texts, of length 1, beside those of pictures."""
    if texts.shape[1] != images.shape[1]:
        raise InputError(
            "text_embeddings",
            expected=f"{images.shape[1]} numbers each, as the pictures' embeddings have",
            got=str(texts.shape[1]),
            fix="embed texts and pictures with the two towers of one model",
        )
    beside = texts.to(images)
    return beside / _length(beside, "text_embeddings")[:, None]
