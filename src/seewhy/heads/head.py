"""`Head`: what seewhy knows of the part of a model that follows its last feature maps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from jaxtyping import Float, Int
from torch import Tensor, nn

from seewhy import evidence, rounding
from seewhy.capture import Tap, capture
from seewhy.errors import HeadNotFound, ModelError
from seewhy.heads import affine
from seewhy.heads.affine import Step
from seewhy.heads.layout import Layout
from seewhy.heads.tail import Tail, recorded
from seewhy.heads.tail_evidence import Plan, tail_evidence
from seewhy.observe import find_tensors, follow
from seewhy.results import CAM, NOT_ADDITIVE

HeadKind = Literal["linear", "class-maps", "normalised", "pooled", "first-order", "none"]


@dataclass(frozen=True, eq=False, repr=False)
class Head:
    """The part of a model after its last feature maps, as seewhy needs it. It holds no weights.

    Attributes:
        kind: "linear" (pooling, then linear layers), "class-maps" (the maps are already one for
            each class) or "normalised" (linear, but for a norm that is frozen for each picture).
        num_classes: the number of logits C.
        channels: the number of feature channels K.
        grid: the shape *S of the feature grid, for the example that the head was found with.
        certificate: the largest deviation seen while the head was verified, over all classes.
        activation: the function that the model applies to its logits before it returns them.
        path: the operations from the pooling to the logits, in order, for people to read.
        steps: those operations as affine steps on the pooled features.
        pooling: "mean", or "sum" where the model adds the positions up.
        features: where the feature maps are picked up.
        layout: how that tensor is to be read.
        logits: where the logits are picked up.
        plan: how evidence is read from what follows the features, where `steps` cannot tell it:
            then the kind is "pooled" (pooling or attention whose weights are held for each
            picture), "first-order" (anything else that can be differentiated) or "none" (what
            follows also reads tokens that lie nowhere in the picture).
    """

    kind: HeadKind
    num_classes: int
    channels: int
    grid: tuple[int, ...]
    certificate: float
    activation: str | None
    path: tuple[str, ...]
    steps: tuple[Step, ...]
    pooling: Literal["mean", "sum"]
    features: Tap
    layout: Layout
    logits: Tap
    plan: Plan | None = None

    @property
    def is_exact(self) -> bool:
        """Whether maps of this kind add up to the logit, or are wrong."""
        return self.kind not in NOT_ADDITIVE

    @property
    def method(self) -> str:
        """How the maps are made, in words."""
        return CAM if self.plan is None else self.plan.words

    def maps(
        self, tail: Tail, mixtures: Float[Tensor, "batch k all_classes"]
    ) -> tuple[evidence.Maps, evidence.PerClass]:
        """The maps (B, k, *S) and biases (B, k) of mixtures of all classes, by the plan."""
        assert self.plan is not None, "a head with steps has rows"
        return tail_evidence(tail, self.layout, self.plan, mixtures)

    def require_steps(self) -> None:
        """See that the head is one program for every picture.

        Raises:
            HeadNotFound: it has to be read anew in each pass.
        """
        if self.plan is not None:
            raise HeadNotFound(
                "head",
                expected="one of kind linear, class-maps or normalised",
                got=f"one of kind {self.describe()}",
                fix="call seewhy.explain for each batch instead, or train another head by to_gap",
            )

    def rows(
        self,
        model: nn.Module,
        features: evidence.Features,
        classes: Int[Tensor, "batch k"] | None = None,
        mixtures: Float[Tensor, "batch k all_classes"] | None = None,
    ) -> tuple[evidence.Rows, evidence.PerClass]:
        """The rows (B, k, K) and biases (B, k) of classes, or of mixtures of all classes.

        `mean_s rows @ F + bias` is the logit, or the mixture of logits. They come from the
        model's present weights.
        """
        dtype = evidence.accumulation_dtype(features.dtype)
        if classes is not None and len(self.steps) == 1 and self.steps[0].kind == "linear":
            rows, bias = affine.rows_of_linear(self.steps[0], classes, model, dtype)
        else:
            pooled = evidence.pooled(features, self.pooling).to(dtype)
            if classes is not None:
                rows, bias = affine.rows_of_classes(self.steps, classes, model, pooled)
            else:
                assert mixtures is not None, "either classes or mixtures"
                rows, bias = affine.pull_back(self.steps, mixtures.to(dtype), model, pooled)
        if self.pooling == "sum":
            rows = rows * features.flatten(2).shape[2]
        return rows, bias

    def tolerance(self, logits: Tensor, features: Tensor) -> float:
        """The largest certificate that rounding explains in a pass that gave these tensors."""
        is_cudnn = features.is_cuda and "convolution" in self.path
        return rounding.tolerance(logits.dtype, features.dtype, cudnn=is_cudnn)

    def __repr__(self) -> str:
        return f"Head({self.describe()})"

    def describe(self) -> str:
        """The head in one line, such as `linear: mean -> addmm, 512 x 7 x 7 -> 1000 classes`."""
        sizes = " x ".join(map(str, (self.channels, *self.grid)))
        return f"{self.kind}: {' -> '.join(self.path)}, {sizes} -> {self.num_classes} classes"


@dataclass(frozen=True, eq=False)
class Seen:
    """What one forward pass showed.

    Attributes:
        logits: shape (B, C).
        features: shape (B, K, *S).
        tail: what followed the features, where the head has to be read anew in each pass.
    """

    logits: Tensor
    features: evidence.Features
    tail: Tail | None = None


def look(model: nn.Module, head: Head, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Seen:
    """One forward pass, without gradients.

    Raises:
        ModelError: the pass did not come by the head any more, or pictures of these proportions
            have their tokens on another grid.
    """
    if head.plan is None:
        return Seen(*run(model, head, args, kwargs))
    _require_grid(head, args, kwargs)
    return seen_in(head, recorded(model, head.features, head.logits, args, kwargs))


def seen_in(head: Head, tail: Tail) -> Seen:
    """What a pass showed of which the tail was recorded."""
    features = head.layout.read(tail.value(tail.features))
    return Seen(tail.value(tail.logits).reshape(features.shape[0], -1), features, tail)


def _require_grid(head: Head, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
    if head.layout.grid is None:
        return
    shape = next((t.shape for _, t in find_tensors((args, kwargs))), ())
    head.layout.require_proportions(tuple(shape))


def run(
    model: nn.Module, head: Head, args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> tuple[Tensor, Tensor]:
    """One forward pass: the logits (B, C) and the feature maps (B, K, *S).

    Raises:
        ModelError: the pass did not come by the head any more, or pictures of these proportions
            have their tokens on another grid.
        HeadNotFound: the head has to be read anew in each pass.
    """
    head.require_steps()
    _require_grid(head, args, kwargs)
    is_returned = head.logits.site.owner == ""
    taps = (head.features,) if is_returned else (head.features, head.logits)
    with capture(model, taps) as kept:
        output = model(*args, **kwargs)
    if is_returned:
        kept.append([follow(output, head.logits.site.path)])
    if not all(kept):
        raise ModelError(
            type(model).__name__,
            expected="a forward pass through the head that was found",
            got="a pass that went another way",
            fix="find the head again with an example like this input",
        )
    (features, *_), (logits, *_) = kept
    maps = head.layout.read(features)
    return logits if logits.ndim == 2 else logits.reshape(maps.shape[0], -1), maps
