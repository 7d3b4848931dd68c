"""Find a classifier's head by watching one forward pass: rules -> a frozen, certified `Head`."""

from __future__ import annotations

import math
import weakref
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from seewhy.capture import Tap
from seewhy.errors import HeadNotFound, InputError, ModelError
from seewhy.heads import affine
from seewhy.heads.head import Head, HeadKind
from seewhy.heads.outputs import returned_logits
from seewhy.heads.places import Place, best_place, is_picture, on_grid, taps
from seewhy.heads.pooling import SILENT, Pooling
from seewhy.heads.positions import origin
from seewhy.heads.reading import Reading
from seewhy.heads.refusals import Refusal
from seewhy.heads.rules import RULES
from seewhy.heads.search import Ending, tail_head
from seewhy.heads.verify import first_line, verified
from seewhy.observe import Path, Site, Trace, find_tensors, in_eval_mode, observe, run_eagerly

RULES_TRIED = ("linear", "class-maps", "normalised")
TAILS_TRIED = ("pooled", "first-order", "none")


def find_head(model: nn.Module, example: Any, output: str | int | None = None) -> Head:
    """Find the head of a classifier from what one forward pass of it computes.

    The head is read from the operations that lead to the logits, then verified: on the example
    and on a second, different input the evidence must add up to every logit, and with half of
    each map blanked it must not. The model is left as it was.

    Args:
        model: any eager `nn.Module`; of a compiled or data-parallel one, the original is used.
        example: an input the model accepts: a tensor (B, ...), a tuple of positional arguments or
            a dict of keyword arguments. Noise of the right shape will do.
        output: where the model returns several tensors, the one to explain: its key, field or
            place, as in `"age"`, `1` or `"heads.age"`.

    Raises:
        HeadNotFound: the model has no head whose maps are exact, with the reason.
        ModelError: the model cannot run on the example.
        InputError: the example holds no tensor, or one without numbers; or the model returns no
            output of that name.
    """
    model = unwrap(model)
    args, kwargs = arguments(example)
    require_real(model, args, kwargs)
    with in_eval_mode(model), run_eagerly():
        trace = observed(model, args, kwargs)
        try:
            found = read_head(trace, *returned_logits(trace, output))
            return verified(model, found, args, kwargs)
        except Refusal as why:
            exact = why
        except InputError:
            raise
        except Exception as error:  # a model may do anything between two lines of ours
            exact = Refusal(f"is not understood ({first_line(error)})")
        try:
            return tail_head(model, trace, _ending(trace, output), args, kwargs)
        except Refusal as why:
            raise _not_found(model, exact, why) from None
        except Exception as error:
            unknown = Refusal(f"is not understood ({first_line(error)})")
            raise _not_found(model, exact, unknown) from error


Shapes = tuple[torch.Size, ...]

_Remembered = dict[str | None, tuple[Head, Shapes]]  # by the name of the output

_CACHE: weakref.WeakKeyDictionary[nn.Module, _Remembered] = weakref.WeakKeyDictionary()


def cached_head(model: nn.Module, example: Any, output: str | int | None = None) -> Head:
    """`find_head`, remembered for as long as the model lives, for each of its outputs.

    The grid of a token sequence is that of one size of pictures: another size, another head.
    """
    model = unwrap(model)
    head, found_with = _CACHE.get(model, {}).get(_key(output), (None, ()))
    if head is None or (head.layout.grid is not None and _shapes(example) != found_with):
        return renewed_head(model, example, output)
    return head


def renewed_head(model: nn.Module, example: Any, output: str | int | None = None) -> Head:
    """`find_head` again, after the model was rebuilt; what is found is remembered instead."""
    model = unwrap(model)
    head = find_head(model, example, output)
    _CACHE.setdefault(model, {})[_key(output)] = head, _shapes(example)
    return head


def _key(output: str | int | None) -> str | None:
    return None if output is None else str(output)


def _shapes(example: Any) -> Shapes:
    return tuple(tensor.shape[1:] for _, tensor in find_tensors(example))


_PARALLEL = (nn.DataParallel, nn.parallel.DistributedDataParallel)


def unwrap(model: nn.Module) -> nn.Module:
    """The original of a compiled or data-parallel module.

    Raises:
        ModelError: the model is scripted, so that its operations cannot be picked up, or it is no
            `nn.Module` at all.
    """
    if not isinstance(model, nn.Module):
        raise ModelError(
            "model", expected="a torch.nn.Module", got=type(model).__name__, fix="pass the model"
        )
    if isinstance(model, torch.jit.ScriptModule):
        raise ModelError(
            type(model).__name__,
            expected="an eager nn.Module",
            got="a scripted one, in which no feature maps can be picked up",
            fix="pass the module that was scripted",
        )
    if isinstance(model, _PARALLEL):
        return unwrap(model.module)
    original = model._modules.get("_orig_mod")  # noqa: SLF001  (a failing getattr is slow)
    return unwrap(original) if isinstance(original, nn.Module) else model


def arguments(example: Any) -> tuple[tuple[Any, ...], Mapping[str, Any]]:
    """An example input as positional and keyword arguments."""
    if isinstance(example, Tensor):
        return (example,), {}
    args = (
        example
        if isinstance(example, tuple)
        else ()
        if isinstance(example, Mapping)
        else (example,)
    )
    kwargs = example if isinstance(example, Mapping) else {}
    if not any(True for _ in find_tensors((args, kwargs))):
        raise InputError(
            "example",
            expected="a tensor, a tuple of arguments or a dict of keyword arguments",
            got=type(example).__name__,
            fix="pass an input that the model accepts, such as torch.randn(2, 3, 224, 224)",
        )
    return args, kwargs


def require_real(model: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
    """Refuse an example or a model that holds no numbers to look at."""
    tensors = [tensor for _, tensor in find_tensors((args, kwargs))]
    if any(tensor.is_meta for tensor in (*tensors, *model.parameters())):
        raise ModelError(
            type(model).__name__,
            expected="a model and an example that hold numbers",
            got='tensors on the device "meta"',
            fix="load the model's weights first",
        )
    shape = tuple(tensors[0].shape)
    if not shape or 0 in shape:
        raise InputError(
            "example",
            expected="a batch (B, ...) with at least one picture",
            got=f"shape {shape}",
            fix="pass an input that the model accepts, such as torch.randn(2, 3, 224, 224)",
        )


def observed(model: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Trace:
    """Observe a model; whatever stops it becomes a `ModelError`."""
    try:
        return observe(model, *args, **kwargs)
    except Exception as error:
        shapes = ", ".join(str(tuple(t.shape)) for _, t in find_tensors((args, kwargs)))
        raise ModelError(
            type(model).__name__,
            expected="a model that runs on the example",
            got=f"{first_line(error)} (input {shapes})",
            fix="check the example's shape (has it a batch axis?), dtype and device",
        ) from error


def read_head(trace: Trace, path: Path, output: Tensor) -> Head:
    """A head from the trace, not verified yet.

    Raises:
        Refusal: there is none.
    """
    batch = output.shape[0]
    logits, activation = _before_activation(trace, trace.number(output))
    reading = Reading(trace, batch, RULES)
    reading.read(logits)
    assert reading.pooling is not None, "a head without pooling is refused"
    kind = _kind(reading)
    pooled = trace.producers[origin(trace, reading.pooling.features)]
    if kind == "class-maps" and pooled and pooled.name in {"_softmax", "sigmoid"}:
        raise Refusal("averages the probabilities of each position and not logits")
    feature_tap, layout, number = _features(trace, reading.pooling, batch)
    return Head(
        kind=kind,
        num_classes=output[0].numel(),
        channels=reading.widths[0],
        grid=tuple(layout.read(trace.tensors[number]).shape[2:]),
        certificate=float("nan"),
        activation=activation,
        path=tuple(name for name in reading.path if name not in SILENT),
        steps=tuple(reading.steps),
        pooling=reading.pooling.kind,
        features=feature_tap,
        layout=layout,
        logits=_logit_tap(trace, logits, path, activation),
    )


def _kind(reading: Reading) -> HeadKind:
    if affine.is_frozen(reading.steps):
        return "normalised"
    return "linear" if any(step.kind == "linear" for step in reading.steps) else "class-maps"


_ACTIVATIONS = {"_softmax": "softmax", "_log_softmax": "log_softmax", "sigmoid": "sigmoid"}


def _before_activation(trace: Trace, number: int) -> tuple[int, str | None]:
    """Trace a softmax or sigmoid at the end back to the logits it was given, through any view."""
    last = _source_of_views(trace, number)
    operation = trace.producers[last]
    if operation is None or operation.name not in _ACTIVATIONS or not _is_of_classes(trace, last):
        return number, None
    return _source_of_views(trace, operation.args[0].number), _ACTIVATIONS[operation.name]


def _source_of_views(trace: Trace, number: int) -> int:
    """The value that this one is a view or a copy of, with as many numbers."""
    operation = trace.producers[number]
    while operation is not None and operation.name in SILENT:
        source = operation.args[0].number
        if math.prod(trace.shape(source)) != math.prod(trace.shape(number)):
            break
        number, operation = source, trace.producers[source]
    return number


def _is_of_classes(trace: Trace, number: int) -> bool:
    """Whether a softmax is over the classes of a picture, and not over the pictures of a batch."""
    operation, shape = trace.producers[number], trace.shape(number)
    if operation is None or operation.name == "sigmoid":
        return True
    batch = trace.shape(min(trace.from_input))[0]
    axis: int = operation.args[1] % len(shape)
    return axis > 0 and shape[axis] * batch == math.prod(shape)


def _logit_tap(trace: Trace, logits: int, path: Path, activation: str | None) -> Tap:
    if activation is None:
        return Tap(Site("output", "", 0, path))
    ways = taps(trace, logits)
    if not ways:
        raise Refusal(f"applies {activation} to logits that cannot be picked up")
    return ways[0]


def _features(trace: Trace, pooling: Pooling, batch: int) -> Place:
    """Where the pooled features are picked up, and how they are read."""
    tap, layout, number = best_place(trace, pooling, batch)
    if len(layout.spatial) < 2 and is_picture(trace):
        layout = on_grid(trace, layout, number, batch)
    elif layout.tokens:
        raise Refusal("pools only a part of the sequence")
    return tap, layout, number


def _ending(trace: Trace, output: str | int | None) -> Ending:
    path, returned = returned_logits(trace, output)
    logits, activation = _before_activation(trace, trace.number(returned))
    tap = _logit_tap(trace, logits, path, activation)
    return Ending(logits, tap, activation, batch=returned.shape[0], count=returned[0].numel())


def _not_found(model: nn.Module, exact: Refusal, otherwise: Refusal) -> HeadNotFound:
    error = HeadNotFound(
        type(model).__name__,
        expected=f"a head of kind {', '.join((*RULES_TRIED, *TAILS_TRIED))}",
        got=f"its head {exact}",
        fix=exact.fix or otherwise.fix or "take a model that keeps features with positions",
    )
    error.tried = tuple(
        f"{kind}: its head {refusal}"
        for kinds, refusal in ((RULES_TRIED, exact), (TAILS_TRIED, otherwise))
        for kind in kinds
    )
    return error
