"""`graft` and `find`: read, walk, write, certify, in this order."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from seewhy._version import __version__
from seewhy.errors import ClassError, GraftError, InputError, SeewhyError
from seewhy.graft.certifying import Certificate, certify, weight_types
from seewhy.graft.graph import Graph
from seewhy.graft.head import OnnxHead
from seewhy.graft.opening import MARK, Opened, check, open_model
from seewhy.graft.rules import Reader, Refusal
from seewhy.graft.running import Observed, observe
from seewhy.graft.walk import Trail, read, trail
from seewhy.graft.writing import Plan, Upsampled, write
from seewhy.wording import complaint, first_few

if TYPE_CHECKING:
    import onnx


@dataclass(frozen=True)
class Grafted:
    """A model with the outputs that carry its maps.

    Attributes:
        model: the model; weights that lie in other files still do.
        head: what its maps are made of.
        certificate: how it held when it was run.
        outputs: the names of the new outputs, by what they are: `classes` (B, k) int64, `maps`
            (B, k, h, w) float32, `bias` (B, k) float32, where wanted `upsampled` (B, k, H, W), and
            for 8 bits `upsampled_scale` (B, k).
        folder: where the original's other files lie, or None.
    """

    model: onnx.ModelProto
    head: OnnxHead
    certificate: Certificate
    outputs: dict[str, str]
    folder: Path | None = None

    def save(self, path: str | Path) -> Path:
        """Write the model; see `saving.save`."""
        from seewhy.graft.saving import save

        return save(self, Path(path))


@dataclass(frozen=True)
class _Found:
    head: OnnxHead
    runs: list[Observed]


@np.errstate(all="ignore")  # weights may be infinite: what comes of that fails its certificate
def find(model: str | Path | onnx.ModelProto, *, output: str | None = None) -> OnnxHead:
    """Find the head of an ONNX model, by running it on noise and walking back from its logits.

    Args:
        model: a file, or a model in memory.
        output: the graph's output to explain, where several could be.

    Raises:
        GraftError: it has no head whose maps add up, or several; the reason is named.
        FileError: there is no such file.
    """
    with _told_of(model):
        return _find(open_model(model), output).head


@np.errstate(all="ignore")
def graft(
    model: str | Path | onnx.ModelProto,
    *,
    top: int = 5,
    classes: Sequence[int] | None = None,
    upsampled: Upsampled | None = None,
    output: str | None = None,
    class_names: Sequence[str] | None = None,
) -> Grafted:
    """Give an ONNX model outputs that carry its class activation maps, and prove it by running it.

    Args:
        model: a file, or a model in memory. It is left as it is.
        top: how many of the most probable classes of each picture to map.
        classes: map these and no others.
        upsampled: also give the maps at the input's size, as "float32" or "uint8".
        output: the graph's output to explain, where several could be.
        class_names: written into the model's metadata.

    Raises:
        GraftError: it has no head whose maps add up; the reason is named.
        CertificateError: what was grafted does not add up when it is run.
        ClassError: a class that the model does not have.
        FileError: there is no such file.
        InputError: `top` is no number of classes.
    """
    if top < 1:
        raise InputError("top", expected="1 or more classes", got=str(top), fix="pass 5, say")
    with _told_of(model):
        opened = open_model(model)
        found = _find(opened, output)
        wanted = _checked_classes(classes, found.head.num_classes)
        return _grafted(opened, _plan(found, top, wanted, upsampled), found.runs, class_names)


def _plan(
    found: _Found, top: int, wanted: tuple[int, ...] | None, upsampled: Upsampled | None
) -> Plan:
    types = {name: value.dtype for name, value in found.runs[0].tensors.items()}
    types |= weight_types(found.head.graph)
    is_flat = found.runs[0].tensors[found.head.logits].ndim == 2
    return Plan(found.head, types, top, wanted, upsampled, is_flat)


@contextmanager
def _told_of(model: str | Path | onnx.ModelProto) -> Iterator[None]:
    """Tell of a file that no rule foresaw, damaged or hostile, as of any other: in one line."""
    try:
        yield
    except SeewhyError:
        raise
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as problem:
        raise GraftError(
            Path(model).name if isinstance(model, (str, Path)) else model.graph.name or "the model",
            expected="a sound ONNX model",
            got=complaint(problem),
            fix="export it again; if that does not help, report it",
        ) from problem


def _grafted(
    opened: Opened, plan: Plan, runs: Sequence[Observed], class_names: Sequence[str] | None
) -> Grafted:
    """Share the file's weights; where a runtime then computes the model differently, copy them.

    ONNX Runtime, for one, fuses quantised weights with what they feed only if nobody else reads
    them.
    """
    made = _written(opened, plan, runs, class_names)
    if made.certificate.is_identical or plan.head.tail.matrix is None:
        return made
    other = _written(opened, replace(plan, is_shared=False), runs, class_names)
    return min(made, other, key=lambda each: each.certificate.difference)


def _written(
    opened: Opened, plan: Plan, runs: Sequence[Observed], class_names: Sequence[str] | None
) -> Grafted:
    model = type(opened.model)()
    model.CopyFrom(opened.model)
    outputs = write(model, plan)
    _note(model, plan, outputs, class_names)
    check(model, opened.name)
    made = Opened(model, opened.name, opened.folder)
    certificate = certify(made, plan, outputs, runs)
    return Grafted(model, plan.head, certificate, outputs, opened.folder)


def _find(opened: Opened, output: str | None) -> _Found:
    graph = Graph(opened)
    trails = [trail(graph, name) for name in _candidates(opened, output)]
    every = [value.name for value in opened.model.graph.output]
    runs = observe(graph, [*every, *(name for way in trails for name in way.tensors)])
    heads, reasons = _read_all(graph, trails, runs)
    if len(heads) == 1:
        return _Found(heads[0], runs)
    if heads:
        names = first_few(head.output for head in heads)
        raise GraftError(
            opened.name,
            expected="one output with a head",
            got=f"{len(heads)}: {names}",
            fix="choose one: output=NAME, --output NAME",
        )
    raise GraftError(
        opened.name,
        expected="global average pooling and a linear layer before its logits",
        got="; ".join(dict.fromkeys(reasons)) or "no output",
        fix="seewhy explain shows other maps of a PyTorch model; seewhy train --to-gap changes one",
    )


def _read_all(
    graph: Graph, trails: Sequence[Trail], runs: Sequence[Observed]
) -> tuple[list[OnnxHead], list[str]]:
    tensors = runs[0].tensors
    batch = len(next(iter(runs[0].feeds.values()), np.zeros(1)))
    heads: dict[str, OnnxHead] = {}
    reasons = []
    for way in trails:
        try:
            head = read(Reader(graph, tensors, batch), way)
            heads.setdefault(head.logits, head)  # logits and their softmax are one head
        except Refusal as reason:
            reasons.append(str(reason))
    return list(heads.values()), reasons


def _candidates(opened: Opened, output: str | None) -> list[str]:
    names = [value.name for value in opened.model.graph.output]
    if output is None:
        return names
    if output not in names:
        raise InputError(
            f"{opened.name}, output {output}",
            expected=f"one of {first_few(names)}",
            got="another name",
            fix="pass one of these",
        )
    return [output]


def _checked_classes(classes: Sequence[int] | None, count: int) -> tuple[int, ...] | None:
    if classes is None:
        return None
    wanted = tuple(int(each) for each in classes)
    wrong = [each for each in wanted if not 0 <= each < count]
    if wrong or not wanted:
        raise ClassError(
            "classes",
            expected=f"classes from 0 to {count - 1}",
            got=first_few(map(str, wrong)) or "none",
            fix="pass some that the model has",
        )
    return wanted


def _note(
    model: onnx.ModelProto, plan: Plan, outputs: dict[str, str], names: Sequence[str] | None
) -> None:
    """Write down in the file what was done to it."""
    facts: dict[str, Any] = {
        MARK: plan.head.kind,
        "seewhy.version": __version__,
        "seewhy.outputs": json.dumps(outputs),
        "seewhy.logits": plan.head.logits,
    }
    if names is not None:
        facts["seewhy.class_names"] = json.dumps(list(names))
    known = {entry.key for entry in model.metadata_props}
    for key, value in facts.items():
        if key not in known:
            model.metadata_props.add(key=key, value=value)
