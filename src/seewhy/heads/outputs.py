"""Which of the tensors that a model returns are its logits: the one named, or its own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import Tensor

from seewhy.errors import InputError
from seewhy.heads.refusals import Refusal
from seewhy.observe import Path, Trace, find_tensors, follow
from seewhy.wording import first_few, near_or

# The names under which models return their logits among other things.
_LOGIT_NAMES = ("logits", "logit", "output", "out", "prediction", "predictions")


@dataclass(frozen=True)
class Returned:
    """A tensor that a model returns.

    Attributes:
        names: its keys, fields and places on the way to it, from the outside in.
        path: the same, as `observe.follow` takes it.
        tensor: what it was in the observed pass.
    """

    names: tuple[str, ...]
    path: Path
    tensor: Tensor

    @property
    def name(self) -> str:
        """What users call it: `age`, `1`, `heads.age`."""
        return ".".join(self.names)

    def is_called(self, wanted: str) -> bool:
        """Whether these are its keys; of a named tuple also its places."""
        return wanted in (self.name, ".".join(map(str, self.path)))


def returned_logits(trace: Trace, output: str | int | None = None) -> tuple[Path, Tensor]:
    """The logits among what the model returns, with their path in it.

    Without a name they are those that are called so, or those that the others are not computed
    from; of several of one width, in a list or tuple, the first are the model's own, as auxiliary
    heads come later.

    Args:
        trace: the observed pass.
        output: the key, field or place of the logits, as in `"age"`, `1` or `"heads.age"`; the
            last of several keys will do where no other output has it.

    Raises:
        Refusal: nothing may be logits, or more than one thing may be.
        InputError: no output has this name, or several have, or it cannot be logits.
    """
    returned = [Returned(_names(trace.output, p), p, t) for p, t in find_tensors(trace.output)]
    chosen = _own(trace, returned) if output is None else _named(trace, returned, str(output))
    return chosen.path, chosen.tensor


def _names(tree: Any, path: Path) -> tuple[str, ...]:
    """The path with the fields of named tuples in place of their numbers."""
    if not path:
        return ()
    key, *rest = path
    fields = getattr(tree, "_fields", ())
    name = fields[key] if isinstance(key, int) and fields else str(key)
    return name, *_names(follow(tree, (key,)), tuple(rest))


def _own(trace: Trace, returned: list[Returned]) -> Returned:
    found = [each for each in returned if _may_be_logits(trace, each.tensor)]
    found = [each for each in found if _is_logits_by_name(each)] or found
    before = [trace.leading_to(trace.number(each.tensor)) for each in found]
    found = [each for each in found if trace.number(each.tensor) not in set().union(*before)]
    if not found:
        is_single = any(each.tensor.ndim == 1 for each in returned)
        shapes = [f"a tensor of shape {tuple(each.tensor.shape)}" for each in returned[:3]]
        raise Refusal(
            f"returns {', '.join(shapes) or 'no tensor'} and not (batch, classes)",
            "give the example a batch axis: (B, C, *S)" if is_single else None,
        )
    if len(found) > 1 and not _are_auxiliary(found):
        shapes = [f"{each.name} {tuple(each.tensor.shape)}" for each in found]
        first = found[0].name if found[0].name.isdecimal() else f'"{found[0].name}"'
        raise Refusal(
            f"returns several tensors that may be logits: {', '.join(shapes)}",
            f"choose one of them, as in output={first}",
        )
    return found[0]


def _named(trace: Trace, returned: list[Returned], wanted: str) -> Returned:
    exact = [each for each in returned if each.is_called(wanted)]
    matches = exact or [each for each in returned if each.names[-1:] == (wanted,)]
    names = [each.name for each in returned if _may_be_logits(trace, each.tensor)]
    listed = first_few(filter(None, names), count=8)
    if len(matches) != 1:
        raise InputError(
            f"output '{wanted}'",
            expected=f"one of those that the model returns: {listed}"
            if listed
            else "no name, for the model returns one tensor",
            got=f"a name that {len(matches)} of them have" if matches else "an unknown name",
            fix=near_or(wanted, names, "choose one of these") if listed else "leave output out",
        )
    if not _may_be_logits(trace, matches[0].tensor):
        raise InputError(
            f"output '{wanted}'",
            expected="logits (batch, classes) that depend on the input",
            got=f"a tensor of shape {tuple(matches[0].tensor.shape)}",
            fix=f"choose one of: {listed}" if listed else "the model returns no such tensor",
        )
    return matches[0]


def _may_be_logits(trace: Trace, tensor: Tensor) -> bool:
    """Whether it is (B, C), or (B, C, 1, 1) and the like, or (B,) with one logit a picture."""
    batch = trace.shape(min(trace.from_input))[0]
    if not tensor.is_floating_point() or trace.number(tensor) not in trace.from_input:
        return False
    if tensor.ndim < 2:
        return tensor.shape == (batch,)
    return tensor[0].numel() in tensor.shape[1:]


def _is_logits_by_name(returned: Returned) -> bool:
    return any(name.lower() in _LOGIT_NAMES for name in returned.names)


def _are_auxiliary(found: list[Returned]) -> bool:
    """Whether they tell by their order alone which is the model's own: of one width, no names."""
    is_plain = all(name.isdecimal() for each in found for name in each.names)
    return is_plain and len({each.tensor.shape for each in found}) == 1
