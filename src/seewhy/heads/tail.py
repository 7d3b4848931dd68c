"""The tail of one pass: the operations from the features to the logits, written down as they ran.

A head that no fixed program of affine steps can tell is recorded anew in every pass, so that it
always fits the pictures at hand and the present weights. What was recorded can be run again, with
gradients, on the very features (or on others): the model itself is run without, and its parameters
neither need nor get any.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from seewhy.capture import Handler, Tap, intercept
from seewhy.errors import ModelError
from seewhy.heads.refusals import Refusal
from seewhy.observe import (
    Operation,
    RecordOperations,
    Trace,
    Value,
    find_tensors,
    follow,
    substitute,
)

Results = list[tuple[int, int]]  # the numbers of an operation's results, and their places in them


@dataclass(frozen=True, eq=False)
class Tail:
    """What was recorded of one pass.

    Attributes:
        trace: the operations since the features were there, and every value they read or made.
        features: the number of the features, as they were picked up.
        logits: the number of the logits.
        own: the numbers of values that hold the model's parameters and buffers.
    """

    trace: Trace
    features: int
    logits: int
    own: frozenset[int] = frozenset()

    def entering(self) -> list[int]:
        """The values from before the tail that are neither the features nor parameters."""
        leading = self.trace.leading_to(self.logits) - self.own - {self.features}
        return sorted(
            n
            for n in leading
            if self.trace.producers[n] is None and self.trace.tensors[n].is_floating_point()
        )

    def value(self, number: int) -> Tensor:
        """A recorded value, without a gradient of its own."""
        tensor = self.trace.tensors[number]
        return tensor.clone() if tensor.is_inference() else tensor.detach()

    def rerun(self, given: Mapping[int, Tensor]) -> Tensor:
        """The logits for other values of the features (and of what else is given).

        The scales of norms are held as they were: a norm makes whatever follows it the same for
        features of any size, so that its own gradient times the features is nothing at all.
        """
        return self.values_from(given)[self.logits]

    def values_from(self, given: Mapping[int, Tensor]) -> dict[int, Tensor]:
        """All values that lead from the given ones to the logits, as `rerun` makes them.

        Of those given, one that is computed from others is computed anew.
        """
        values = dict(given)
        for operation, results in self.program_from(frozenset(given)):
            outcome = None if operation.name in SCALES else self._run_held(operation, values)
            for number, place in results:
                values[number] = self.value(number) if outcome is None else outcome[place]
        return values

    def _run_held(self, operation: Operation, values: Mapping[int, Tensor]) -> list[Tensor]:
        outcome = self.run(operation, values)
        if operation.name != LAYER_NORM or operation.args[0].number not in values:
            return outcome
        return [self.layer_norm(operation, values[operation.args[0].number]), *outcome[1:]]

    def layer_norm(self, operation: Operation, x: Tensor) -> Tensor:
        """A layer norm of other numbers than it was of, divided by the same sigma as then."""
        source, normalised, weight, bias, epsilon = operation.args
        real = self.value(source.number)
        axes = tuple(range(real.ndim - len(normalised), real.ndim))
        sigma = torch.sqrt(real.var(axes, correction=0, keepdim=True) + epsilon)
        x = (x - x.mean(axes, keepdim=True)) / sigma
        x = x if weight is None else x * self.value(weight.number)
        return x if bias is None else x + self.value(bias.number)

    def run(self, operation: Operation, values: Mapping[int, Tensor]) -> list[Tensor]:
        """An operation's results, from `values` where they are given and else as recorded.

        What it would overwrite is copied first.
        """

        def present(value: Value) -> Tensor:
            return values[value.number] if value.number in values else self.value(value.number)

        args, kwargs = substitute((operation.args, dict(operation.kwargs)), present)
        schema = operation.func._schema  # noqa: SLF001
        if schema.is_mutable:
            written = {i for i, a in enumerate(schema.arguments) if _is_written(a)}
            args = tuple(a.clone() if i in written else a for i, a in enumerate(args))
        func = _RESHAPED.get(operation.func, operation.func)
        return [tensor for _, tensor in find_tensors(func(*args, **kwargs))]

    def program_from(self, sources: frozenset[int]) -> list[tuple[Operation, Results]]:
        """The operations that lead from these values to the logits, in order."""
        trace = self.trace
        following = trace.following(sources)
        steps: dict[int, tuple[Operation, Results]] = {}
        for number in sorted(following & (trace.leading_to(self.logits) | {self.logits})):
            operation = trace.producers[number]
            assert operation is not None, "what follows was made of something"
            step = steps.setdefault(id(operation), (operation, []))
            step[1].append((number, trace.places[number]))
        return list(steps.values())


# Other values may lie in memory in another order, in which a view of them is none.
_RESHAPED: Mapping[Any, Any] = dict.fromkeys(
    (torch.ops.aten.view.default, torch.ops.aten._unsafe_view.default),  # noqa: SLF001
    torch.ops.aten.reshape.default,
)


LAYER_NORM = "native_layer_norm"
SCALES = frozenset(("linalg_vector_norm", "rsqrt"))  # of norms that are written by hand


def _is_written(argument: Any) -> bool:
    return argument.alias_info is not None and bool(argument.alias_info.is_write)


class _Recorder(RecordOperations):
    """Records from the moment on at which the first of several features are there."""

    def __init__(self, logits: Tap) -> None:
        super().__init__(Trace())
        self.path = logits.site.path
        self.begun: dict[Tap, _Beginning] = {}
        self.logits: int | None = None

    def begin(self, tap: Tap, tree: Any) -> None:
        """Hear some features, and record from here on."""
        if tap in self.begun:
            return
        number = self.trace.number(follow(tree, tap.site.path))
        if not self.begun:
            self.trace.from_input.add(number)
            self.__enter__()  # type: ignore[no-untyped-call]
        self.begun[tap] = number, len(self.trace.tensors)

    def end(self, tree: Any) -> None:
        """Hear the logits."""
        self.logits = self.trace.number(follow(tree, self.path))

    def leave(self) -> None:
        """Record no more."""
        if self.begun:
            self.__exit__(None, None, None)  # type: ignore[no-untyped-call]

    def __torch_dispatch__(
        self,
        func: Any,
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        if func._schema.is_mutable:  # noqa: SLF001
            for argument, value in zip(func._schema.arguments, args, strict=False):  # noqa: SLF001
                if _is_written(argument) and isinstance(value, Tensor):
                    self._save(value)
        return super().__torch_dispatch__(func, types, args, kwargs)

    def _save(self, overwritten: Tensor) -> None:
        """Copy every value that lies in memory about to be written to."""
        memory = overwritten.untyped_storage().data_ptr()
        for number, tensor in enumerate(self.trace.tensors):
            if tensor.layout == torch.strided and tensor.untyped_storage().data_ptr() == memory:
                self.trace.tensors[number] = tensor.clone()


_Beginning = tuple[int, int]  # the number of features, and how many values there were by then


def recorded(
    model: nn.Module, features: Tap, logits: Tap, args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> Tail:
    """One forward pass, recorded from the features on. Call it without gradients.

    Raises:
        ModelError: the pass did not come by the features, or the logits do not depend on them.
    """
    return recording(model, (features,), logits, args, kwargs).tail(features)


def recording(
    model: nn.Module,
    features: Sequence[Tap],
    logits: Tap,
    args: tuple[Any, ...],
    kwargs: Mapping[str, Any],
) -> Recording:
    """One forward pass, recorded from the first of several features on, without gradients.

    Raises:
        ModelError: the pass did not come by the logits, or by none of the features.
    """
    recorder = _Recorder(logits)
    is_returned = logits.site.owner == ""
    sites = [tap.site for tap in features] + [logits.site] * (not is_returned)
    handlers: list[Handler] = [functools.partial(recorder.begin, tap) for tap in features]
    with contextlib.ExitStack() as stack, torch.inference_mode(mode=False), torch.no_grad():
        stack.enter_context(_without_fused_attention())
        stack.callback(recorder.leave)
        stack.enter_context(intercept(model, sites, [*handlers, recorder.end][: len(sites)]))
        output = model(*args, **kwargs)
    if is_returned and recorder.begun:
        recorder.end(output)
    if recorder.logits not in recorder.trace.from_input:
        raise _another_way(model)
    own = {*model.parameters(), *model.buffers()}
    numbers = frozenset(n for n, t in enumerate(recorder.trace.tensors) if t in own)
    return Recording(model, recorder.trace, recorder.begun, recorder.logits, numbers)


@dataclass(frozen=True, eq=False)
class Recording:
    """One pass in which several features were heard, each of which has a tail of its own.

    Attributes:
        model: whose pass it was.
        trace: the operations since the first of them were there.
        begun: for each, its number, and how many values there were by then.
        logits: the number of the logits.
        own: the numbers of values that hold the model's parameters and buffers.
    """

    model: nn.Module
    trace: Trace
    begun: Mapping[Tap, _Beginning]
    logits: int
    own: frozenset[int]

    def tail(self, features: Tap) -> Tail:
        """What was recorded from these features on, as if nothing had been before.

        Raises:
            ModelError: the pass did not come by them, or the logits do not depend on them.
        """
        if features not in self.begun:
            raise _another_way(self.model)
        number, since = self.begun[features]
        trace = self.trace.since(number, since)
        if self.logits not in trace.from_input:
            raise _another_way(self.model)
        return Tail(trace, number, self.logits, self.own)


def _another_way(model: nn.Module) -> ModelError:
    return ModelError(
        type(model).__name__,
        expected="a forward pass through the head that was found",
        got="a pass that went another way",
        fix="find the head again with an example like this input",
    )


@contextlib.contextmanager
def _without_fused_attention() -> Iterator[None]:
    """Keep `nn.MultiheadAttention` from its one fused operation, which has no gradient."""
    was = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(was)


def gradients(logits: Tensor, features: Tensor, mixtures: Tensor) -> Tensor:
    """The gradients (k, B, ...) of mixtures (B, k, C) of the logits, one backward pass each.

    Raises:
        Refusal: there are none.
    """
    require_gradient(logits)
    wanted = mixtures.to(logits.dtype).unbind(1)
    found = [
        torch.autograd.grad(logits, features, one.reshape(logits.shape), retain_graph=True)[0]
        for one in wanted
    ]
    return torch.stack(found)


def require_gradient(logits: Tensor) -> None:
    """See that a gradient comes back from here.

    Raises:
        Refusal: it does not.
    """
    if not logits.requires_grad:
        raise Refusal("cannot be differentiated: no gradient comes back to the features")
