"""`explain`: from a model and pictures to an `Explanation`, in one forward pass."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol, TypeVar, runtime_checkable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from seewhy import evidence, heads, tasks
from seewhy.classes import class_id
from seewhy.errors import (
    CertificateError,
    HeadNotFound,
    InputError,
    ModelError,
    SeewhyError,
)
from seewhy.explanation import Explanation
from seewhy.finer.views import How
from seewhy.finer.wish import wish
from seewhy.geometry import Geometry
from seewhy.heads import Head, Seen
from seewhy.heads.mixed import Mixed
from seewhy.heads.tail import Tail
from seewhy.observe import in_eval_mode, run_eagerly
from seewhy.pictures import Preparer, prepare_batch
from seewhy.tasks import Task
from seewhy.wording import complaint

if TYPE_CHECKING:
    from seewhy.engines import Engine

Classes = int | str | Sequence[int | str] | Tensor


class Exact(Protocol):
    """What is explained, and whether all of it adds up."""

    @property
    def is_exact(self) -> bool:
        """Whether every map adds up."""

    @property
    def is_additive(self) -> bool:
        """Whether maps of this kind are to add up."""


Result = TypeVar("Result", bound=Exact)


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
    output: str | int | None = None,
    task: Task | None = None,
    head: Head | None = None,
    preprocess: Preparer | None = None,
    class_names: Sequence[str] | None = None,
    strict: bool = True,
    resolution: int = 1,
    how: How = "auto",
    flip: bool = False,
    scales: Sequence[float] | None = None,
    engine: Engine | str | None = None,
) -> Explanation:
    """Explain the decisions of a classifier: evidence maps, and how well they add up to its logits.

    One forward pass; the model is left as it was found. The head is looked for with the first
    batch, and remembered for as long as the model lives. `Explanation.kind` says what is promised:
    maps of the kinds "linear", "class-maps", "normalised" and "pooled" add up, and are checked.
    Where a head is none of these, gradients run through it alone: "first-order" maps leave a
    residual, and "none" are not additive at all, for a class token carries a part of the logit.

    Args:
        model: what `load_model` gives, or any `nn.Module`.
        images: a batch the network accepts: a tensor (B, C, *S), or a dict of keyword arguments.
            With what `load_model` gives, or with `preprocess`, also a path, a Pillow picture, an
            array (H, W, 3), a tensor of 8-bit pixels (3, H, W), or a list of such.
        classes: what to explain: a class's id or name, a list of them, "predicted", "top5" (or
            any other number), "all", or a tensor (B, k) of ids for each picture. "positive" are
            those with a probability above 0.5: for each picture as many of its most probable
            ones as any picture of the batch has, and one at least.
        against: measure the evidence against this class, or against all "others" at once.
        output: where the model returns several tensors, the one to explain: its key, field or
            place, as in `"age"`, `1` or `"heads.age"`.
        task: what the outputs mean, where the model itself does not show it: "single-label",
            "multi-label" (a sigmoid each), "binary" (one logit: class 1 is yes, 0 is no), or
            "regression" (no probabilities; all outputs are predicted). By default a softmax, or
            what the model applies; sigmoid for one logit, which two names make binary.
        head: the head, if it is known already: see `find_head`.
        preprocess: for a bare module, takes a Pillow picture to a tensor or array (C, H, W), or
            to such a one and a `Geometry`.
        class_names: for a bare module, the names of its classes, or of the output chosen.
        strict: raise if a map that should does not add up. Otherwise look at
            `Explanation.adds_up`.
        resolution: 2 or 4 times as many cells along each side of the maps, from the same weights.
        how: "dilate" splits the network's last strides, which must be exact; "shift" shows it
            shifted pictures, which any network can be shown; "auto" dilates where it can.
        flip: average with the mirrored pictures.
        scales: average over pictures of these sizes, such as (0.8, 1.0, 1.25).
            With any of these four the maps add up to the mean of several passes' logits, and
            `Explanation.views` says which, what they cost and what the plain pass gives.
        engine: what runs the network, where not this module as it is: what `make_engine` made, or
            its name, one of `ENGINES` or "auto", for float32. One made by name is remembered, and
            made anew when the weights or the pictures' size changed.

    Raises:
        HeadNotFound: the model has no features with positions, or no gradient comes to them.
        CertificateError: evidence and bias do not add up to the logits, though of this kind of
            head they should.
        ClassError: a class that the model does not have, or names that do not fit its logits.
        InputError, ImageError: pictures that cannot be used; an output or a task of another model.
        ModelError: the model cannot run on them.

    Source:
        Zhou et al., Learning Deep Features for Discriminative Localization, CVPR 2016, eq. 2.
    """
    if not isinstance(model, nn.Module) and isinstance(model, Prepared):
        preprocess, class_names = preprocess or model.preprocess, class_names or model.class_names
        task, model = task or getattr(model, "task", None), model.module
    names = None if class_names is None else tuple(class_names)
    network = heads.unwrap(model)
    inputs, geometry = prepare_batch(images, network, preprocess)
    explained = functools.partial(
        _one_pass_or_more(resolution, how, flip, scales, engine),
        network,
        inputs,
        classes,
        against=against,
        task=task,
        class_names=names,
        geometry=geometry,
    )
    if head is None:
        result = with_own_head(network, inputs, output, explained, strict=strict)
    else:
        result = explained(head)
    if strict:
        require_exact(result)
    return result


def explain_features(
    model: nn.Module,
    head: Head,
    logits: Tensor,
    features: Tensor,
    classes: Classes = "predicted",
    *,
    against: int | str | None = None,
    task: Task | None = None,
    class_names: tuple[str, ...] | None = None,
    geometry: tuple[Geometry | None, ...] = (),
    tail: Tail | None = None,
    tolerance: float = 0.0,
) -> Explanation:
    """The part of `explain` that follows the forward pass: from features to an `Explanation`.

    Where the pass rounded more than the tensors' type shows, `tolerance` says how much.
    """
    meant = tasks.task_of(task, logits.shape[1], head.activation, class_names)
    tolerance = max(tolerance, head.tolerance(logits, features))
    of: Head | Mixed = head
    if meant == "binary":
        of, logits = tasks.no_and_yes(head, logits)
    class_names, _ = tasks.outcomes(meant, logits.shape[1], class_names)
    return explain_logits(
        model,
        of,
        logits,
        features,
        classes,
        task=meant,
        tolerance=tolerance,
        against=against,
        class_names=class_names,
        geometry=geometry,
        tail=tail,
    )


def explain_logits(
    model: nn.Module,
    head: Head | Mixed,
    logits: Tensor,
    features: Tensor,
    classes: Classes,
    *,
    task: Task,
    tolerance: float,
    scale: Tensor | None = None,
    against: int | str | None = None,
    class_names: tuple[str, ...] | None = None,
    geometry: tuple[Geometry | None, ...] = (),
    tail: Tail | None = None,
) -> Explanation:
    """Explain what a head, or a mixture of its logits, makes of features.

    Args:
        model: whose weights the head refers to.
        head: gives the rows of each class.
        logits: what they are to add up to, shape (B, C).
        features: shape (B, K, *S).
        classes: see `explain`.
        task: what the logits mean.
        tolerance: see `Explanation`.
        scale: what a deviation is measured by, shape (B, 1); by default the largest logit.
        against: see `explain`.
        class_names: of the C classes, if known.
        geometry: what preprocessing did to each picture.
        tail: what was recorded of the pass, where the head has a plan instead of steps.
    """
    with evidence.without_gradients(), evidence.without_autocast(logits.device.type):
        wide = logits.to(evidence.accumulation_dtype(logits.dtype))
        ids = tasks.ids_of(classes, wide, task, class_names)
        if tail is None:
            rows, bias, target = _rows(model, head, features, wide, ids, against, task, class_names)
            maps = evidence.evidence_maps(rows, features.to(rows.dtype))
        else:
            mixtures, target = _mixtures(wide, ids, against, task, class_names)
            maps, bias = head.maps(tail, mixtures)
        bias = bias if bias.shape == ids.shape else bias.expand(ids.shape)
        scale = evidence.logit_scale(wide) if scale is None else scale
        deviation = evidence.certificate(maps, bias, target, scale)
    return Explanation(
        logits=logits,
        classes=ids,
        maps=maps,
        bias=bias,
        target=target,
        certificate=deviation,
        tolerance=tolerance,
        kind=head.kind,
        method=head.method,
        against=_against_id(against, class_names, logits.shape[1]),
        geometry=geometry,
        class_names=class_names,
        task=task,
    )


def _explained(
    network: nn.Module, inputs: Any, classes: Classes, head: Head, **options: Any
) -> Explanation:
    """One forward pass with the head, and what `explain_features` makes of it."""
    found = looked(network, inputs, head)
    return explain_features(
        network, head, found.logits, found.features, classes, tail=found.tail, **options
    )


def looked(network: nn.Module, inputs: Any, head: Head) -> Seen:
    """One forward pass, and what was recorded of it where the head has to be read anew.

    Raises:
        ModelError: the model cannot run, or runs another way than through this head.
    """
    try:
        with evidence.without_gradients(), in_eval_mode(network), run_eagerly():
            return heads.look(network, head, *heads.arguments(inputs))
    except Exception as error:
        raise _failed(network, error) from error


def _explained_by(
    engine: Engine | str,
    network: nn.Module,
    inputs: Any,
    classes: Classes,
    head: Head,
    **options: Any,
) -> Explanation:
    """The same from what an engine saw."""
    from seewhy.engines import TOLERANCES
    from seewhy.engines.remembered import engine_named

    by = engine_named(engine, network, head, inputs) if isinstance(engine, str) else engine
    found = by(inputs)
    return explain_features(
        network,
        head,
        found.logits,
        found.features,
        classes,
        tail=found.tail,
        tolerance=TOLERANCES[by.precision],
        **options,
    )


def _one_pass_or_more(
    resolution: int,
    how: How,
    flip: bool,
    scales: Sequence[float] | None,
    engine: Engine | str | None,
) -> Callable[..., Explanation]:
    """What explains: one plain pass, or the mean over the views that are wished for."""
    if scales is None and (resolution, how, flip, engine) == (1, "auto", False, None):
        return _explained
    wanted = wish(resolution, how, flip, scales)
    if wanted.is_plain:
        return _explained if engine is None else functools.partial(_explained_by, engine)
    if engine is not None:
        raise InputError(
            "engine",
            expected="maps of one plain pass",
            got="a wish for finer or averaged ones, which take PyTorch itself",
            fix="leave out engine, or resolution, flip and scales",
        )
    from seewhy.finer.average import explained

    return functools.partial(explained, wanted)


def with_own_head(
    network: nn.Module,
    inputs: Any,
    output: str | int | None,
    explained: Callable[[Head], Result],
    *,
    strict: bool,
) -> Result:
    """Explain with the remembered head; one that no longer fits is found anew.

    The network may have been rebuilt since, or be run in another precision. Where no head fits
    these inputs, that is the error; or, if not `strict`, the inexact result stands and says so.
    """
    example = _few(inputs)
    result = _attempt(explained, heads.cached_head(network, example, output))
    if result is not None and (result.is_exact or not result.is_additive):
        return result
    try:
        return explained(heads.renewed_head(network, example, output))
    except HeadNotFound:
        if result is None or strict:
            raise
        return result


def _attempt(explained: Callable[[Head], Result], head: Head) -> Result | None:
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
    head: Head | Mixed,
    features: Tensor,
    logits: Tensor,
    ids: Tensor,
    against: int | str | None,
    task: Task,
    names: tuple[str, ...] | None,
) -> tuple[Tensor, Tensor, Tensor]:
    """Rows and bias of each class, and what they add up to: logits, margins, or log-odds."""
    if against is not None:
        tasks.require_others(logits.shape[1], task, against)
    if against == "others":
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


def _mixtures(
    logits: Tensor,
    ids: Tensor,
    against: int | str | None,
    task: Task,
    names: tuple[str, ...] | None,
) -> tuple[Tensor, Tensor]:
    """The same as mixtures (B, k, C) of all logits, and what their evidence is to add up to."""
    if against is not None:
        tasks.require_others(logits.shape[1], task, against)
    chosen = F.one_hot(ids, logits.shape[1]).to(logits)
    if against == "others":
        q = evidence.softmax_without(logits, ids)
        return chosen - q, evidence.log_odds(logits, ids) + evidence.entropy(q)
    target = logits.gather(1, ids)
    if against is None:
        return chosen, target
    other = torch.full_like(ids[:, :1], class_id(against, names, logits.shape[1]))
    return chosen - F.one_hot(other, logits.shape[1]), target - logits.gather(1, other)


def _against_id(
    against: int | str | None, names: tuple[str, ...] | None, count: int
) -> int | str | None:
    return against if against is None or against == "others" else class_id(against, names, count)


def require_exact(result: Explanation) -> None:
    """See that every map adds up that should, and that the others are finite.

    Raises:
        CertificateError: one does not.
        ModelError: because the logits are not finite.
    """
    if result.is_exact:
        return
    if not bool(torch.isfinite(result.logits).all()):
        raise ModelError(
            "model",
            expected="finite logits",
            got="NaN or infinite ones",
            fix="check the weights and the input for NaN",
        )
    if not result.is_additive:
        _require_finite(result)
        return
    index = int((~result.adds_up).any(1).nonzero()[0])
    raise CertificateError(
        f"picture {index}",
        expected=f"evidence and bias within {result.tolerance:.0e} of the logit",
        got=f"{float(result.certificate[index].max()):.1e}",
        fix="find the head anew with this input, or pass strict=False and see adds_up",
    )


def _require_finite(result: Explanation) -> None:
    if not bool(torch.isfinite(result.maps).all() & torch.isfinite(result.bias).all()):
        raise ModelError(
            "model",
            expected="finite features and gradients",
            got="NaN or infinite ones",
            fix="check the weights and the input for NaN, or pass strict=False",
        )
