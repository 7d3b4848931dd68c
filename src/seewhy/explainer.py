"""`explain`: from a model and pictures to an `Explanation`, in one forward pass."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from seewhy import evidence, heads
from seewhy.classes import class_id, class_ids
from seewhy.errors import (
    CertificateError,
    ClassError,
    HeadNotFound,
    InputError,
    ModelError,
    SeewhyError,
)
from seewhy.explanation import Explanation
from seewhy.geometry import Geometry
from seewhy.heads import Head
from seewhy.observe import in_eval_mode, run_eagerly
from seewhy.pictures import Preparer, prepare_batch
from seewhy.wording import complaint

Classes = int | str | Sequence[int | str] | Tensor


@runtime_checkable
class Prepared(Protocol):
    """A model that knows how its pictures are prepared: what `load_model` gives."""

    @property
    def module(self) -> nn.Module:
        """The network."""

    @property
    def preprocess(self) -> Preparer:
        """Takes a picture to the network's input."""

    @property
    def class_names(self) -> tuple[str, ...] | None:
        """The names of the classes, if known."""


def explain(
    model: nn.Module | Prepared,
    images: Any,
    classes: Classes = "predicted",
    *,
    against: int | str | None = None,
    head: Head | None = None,
    preprocess: Preparer | None = None,
    class_names: Sequence[str] | None = None,
    strict: bool = True,
) -> Explanation:
    """Explain the decisions of a classifier: evidence maps that add up to its logits.

    One forward pass, no gradient; the model is left as it was found. The head is looked for with
    the first batch, and remembered for as long as the model lives.

    Args:
        model: what `load_model` gives, or any `nn.Module`.
        images: a batch the network accepts: a tensor (B, C, *S), or a dict of keyword arguments.
            With what `load_model` gives, or with `preprocess`, also a path, a Pillow picture, an
            array (H, W, 3), a tensor of 8-bit pixels (3, H, W), or a list of such.
        classes: what to explain: a class's id or name, a list of them, "predicted", "top5" (or
            any other number), "all", or a tensor (B, k) of ids for each picture.
        against: measure the evidence against this class, or against all "others" at once.
        head: the head, if it is known already: see `find_head`.
        preprocess: for a bare module, takes a Pillow picture to a tensor or array (C, H, W), or
            to such a one and a `Geometry`.
        class_names: for a bare module, the names of its classes.
        strict: raise if a map does not add up. Otherwise look at `Explanation.adds_up`.

    Raises:
        HeadNotFound: the model has no head whose maps are exact.
        CertificateError: evidence and bias do not add up to the logits.
        ClassError: a class that the model does not have.
        InputError, ImageError: pictures that cannot be used.
        ModelError: the model cannot run on them.

    Source:
        Zhou et al., Learning Deep Features for Discriminative Localization, CVPR 2016, eq. 2.
    """
    if not isinstance(model, nn.Module) and isinstance(model, Prepared):
        preprocess, class_names = preprocess or model.preprocess, class_names or model.class_names
        model = model.module
    names = None if class_names is None else tuple(class_names)
    network = heads.unwrap(model)
    inputs, geometry = prepare_batch(images, network, preprocess)
    explained = functools.partial(
        _explained,
        network,
        inputs,
        classes,
        against=against,
        class_names=names,
        geometry=geometry,
    )
    if head is None:
        result = _with_own_head(network, inputs, explained, strict=strict)
    else:
        result = explained(head)
    if strict:
        _require_exact(result)
    return result


@torch.no_grad()
def explain_features(
    model: nn.Module,
    head: Head,
    logits: Tensor,
    features: Tensor,
    classes: Classes = "predicted",
    *,
    against: int | str | None = None,
    class_names: tuple[str, ...] | None = None,
    geometry: tuple[Geometry | None, ...] = (),
) -> Explanation:
    """The part of `explain` that follows the forward pass: from features to an `Explanation`."""
    wide = logits.to(evidence.accumulation_dtype(logits.dtype))
    ids = class_ids(classes, wide, class_names)
    with evidence.without_autocast(logits.device.type):
        rows, bias, target = _rows(model, head, features, wide, ids, against, class_names)
        maps = evidence.evidence_maps(rows, features.to(rows.dtype))
        bias = bias.expand(ids.shape)
        deviation = evidence.certificate(maps, bias, target, evidence.logit_scale(wide))
    return Explanation(
        logits=logits,
        probabilities=_probabilities(wide, head.activation),
        classes=ids,
        maps=maps,
        bias=bias,
        target=target,
        certificate=deviation,
        tolerance=head.tolerance(logits, features),
        kind=head.kind,
        against=_against_id(against, class_names, logits.shape[1]),
        geometry=geometry,
        class_names=class_names,
    )


def _explained(
    network: nn.Module, inputs: Any, classes: Classes, head: Head, **options: Any
) -> Explanation:
    """One forward pass with the head, and what `explain_features` makes of it."""
    try:
        with torch.no_grad(), in_eval_mode(network), run_eagerly():
            logits, features = heads.run(network, head, *heads.arguments(inputs))
    except Exception as error:
        raise _failed(network, error) from error
    return explain_features(network, head, logits, features, classes, **options)


def _with_own_head(
    network: nn.Module, inputs: Any, explained: Callable[[Head], Explanation], *, strict: bool
) -> Explanation:
    """Explain with the remembered head; one that no longer fits is found anew.

    The network may have been rebuilt since, or be run in another precision. Where no head fits
    these inputs, that is the error; or, if not `strict`, the inexact result stands and says so.
    """
    example = _few(inputs)
    result = _attempt(explained, heads.cached_head(network, example))
    if result is not None and result.is_exact:
        return result
    try:
        return explained(heads.renewed_head(network, example))
    except HeadNotFound:
        if result is None or strict:
            raise
        return result


def _attempt(explained: Callable[[Head], Explanation], head: Head) -> Explanation | None:
    """What a head that may be out of date explains, or None if it does not fit at all."""
    try:
        return explained(head)
    except InputError:
        raise
    except (AttributeError, IndexError, RuntimeError, ModelError) as error:
        if isinstance(error.__cause__ or error, torch.OutOfMemoryError):
            raise
        return None


def _failed(network: nn.Module, error: Exception) -> Exception:
    if isinstance(error, SeewhyError):
        return error
    return ModelError(
        type(network).__name__,
        expected="a model that runs on these pictures",
        got=complaint(error),
        fix="check the pictures' shape, dtype and device, or take fewer at once",
    )


def _few(inputs: Any) -> Any:
    """Two pictures of a batch are enough to find the head."""
    if isinstance(inputs, Tensor):
        return inputs[:2] if inputs.ndim else inputs
    if isinstance(inputs, Mapping):
        return {key: _few(value) for key, value in inputs.items()}
    return inputs


def _rows(
    model: nn.Module,
    head: Head,
    features: Tensor,
    logits: Tensor,
    ids: Tensor,
    against: int | str | None,
    names: tuple[str, ...] | None,
) -> tuple[Tensor, Tensor, Tensor]:
    """Rows and bias of each class, and what they add up to: logits, margins, or log-odds."""
    if against == "others":
        if logits.shape[1] < 2:
            raise ClassError(
                "against",
                expected="a model with at least two logits",
                got="one logit, which has no others",
                fix='leave against="others" out',
            )
        q = evidence.softmax_without(logits, ids)
        rows, bias = head.rows(model, features, mixtures=(-q).scatter_(2, ids[..., None], 1.0))
        return rows, bias, evidence.log_odds(logits, ids) + evidence.entropy(q)
    rows, bias = head.rows(model, features, ids)
    target = logits.gather(1, ids)
    if against is None:
        return rows, bias, target
    other = torch.full_like(ids[:, :1], class_id(against, names, logits.shape[1]))
    other_rows, other_bias = head.rows(model, features, other)
    return rows - other_rows, bias - other_bias, target - logits.gather(1, other)


def _against_id(
    against: int | str | None, names: tuple[str, ...] | None, count: int
) -> int | str | None:
    return against if against is None or against == "others" else class_id(against, names, count)


def _probabilities(logits: Tensor, activation: str | None) -> Tensor:
    is_independent = activation == "sigmoid" or logits.shape[1] == 1
    return logits.sigmoid() if is_independent else logits.softmax(1)


def _require_exact(result: Explanation) -> None:
    if result.is_exact:
        return
    if not bool(torch.isfinite(result.logits).all()):
        raise ModelError(
            "model",
            expected="finite logits",
            got="NaN or infinite ones",
            fix="check the weights and the input for NaN",
        )
    index = int((~result.adds_up).any(1).nonzero()[0])
    raise CertificateError(
        f"picture {index}",
        expected=f"evidence and bias within {result.tolerance:.0e} of the logit",
        got=f"{float(result.certificate[index].max()):.1e}",
        fix="find the head anew with this input, or pass strict=False and see adds_up",
    )
