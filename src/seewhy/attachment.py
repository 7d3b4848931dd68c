"""`attach`: the same classifier as a module that returns its maps too, and compiles and exports."""

from __future__ import annotations

import copy
import functools
import threading
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.utils._pytree import _register_namedtuple, tree_map_only

from seewhy import evidence, heads
from seewhy.capture import FunctionTap, Tap
from seewhy.classes import parse_classes
from seewhy.errors import ModelError
from seewhy.heads import Head
from seewhy.observe import follow
from seewhy.wording import complaint


class Attached(NamedTuple):
    """What an attached module returns.

    Attributes:
        logits: shape (B, C).
        classes: the ids of the classes explained, shape (B, k).
        maps: raw, signed evidence in logits, shape (B, k, *S).
        bias: what lies nowhere in the picture: `mean_s maps + bias` is the logit, shape (B, k).
    """

    logits: Tensor
    classes: Tensor
    maps: Tensor
    bias: Tensor


_register_namedtuple(Attached, serialized_type_name="seewhy.attachment.Attached")


class HookedModule(nn.Module):
    """A classifier whose features and logits are heard in the same pass.

    Its one submodule `model` is a copy of the structure around the very same weights, with a hook
    on the module that gives the features.
    """

    def __init__(self, model: nn.Module, head: Head) -> None:
        super().__init__()
        self.model = _sharing_copy(model)
        self.head = head
        self.hooked = {
            name: tap
            for name, tap in {_FEATURES: head.features, _LOGITS: head.logits}.items()
            if isinstance(tap.site.owner, str) and (name == _FEATURES or tap.site.owner)
        }
        for name, tap in self.hooked.items():
            _listen(self.model.get_submodule(str(tap.site.owner)), name, tap)

    def seen(self, args: Any, kwargs: Any) -> tuple[Tensor, Tensor]:
        """Run the classifier: its logits and its features, both as it lays them out."""
        output, features, logits = self._run(args, kwargs)
        if logits is None:
            logits = follow(output, self.head.logits.site.path)
        return logits, features

    def extra_repr(self) -> str:
        """The head, for the module's printed form."""
        return f"head={self.head.describe()}"

    def _run(self, args: Any, kwargs: Any) -> tuple[Any, Tensor, Tensor | None]:
        """The model's output; the features; and the logits, where they are not in the output."""
        heard: dict[str, list[Any]] = {_FEATURES: [], _LOGITS: []}
        if _FEATURES not in self.hooked:
            with FunctionTap(self.head.features.site, heard[_FEATURES].append):
                output = self._listening(heard, args, kwargs)
            if not heard[_FEATURES]:
                raise _another_way(self.model)
            return output, heard[_FEATURES][0], self._heard(heard, _LOGITS)
        output = self._listening(heard, args, kwargs)
        features = self._heard(heard, _FEATURES)
        assert features is not None, "the hook that hears the features is there"
        return output, features, self._heard(heard, _LOGITS)

    def _heard(self, heard: dict[str, list[Any]], name: str) -> Tensor | None:
        if name not in self.hooked:
            return None
        site = self.hooked[name].site
        if len(heard[name]) <= site.call:
            raise _another_way(self.model)
        tensor: Tensor = follow(heard[name][site.call], site.path)
        return tensor

    def _listening(self, heard: dict[str, list[Any]], args: Any, kwargs: Any) -> Any:
        """Call the model while its hooks write what they hear into `heard`.

        A tracer follows lists on modules, and would stumble over thread-local state; but in eager
        mode several threads may call one module, and each must hear its own pass only.
        """
        if not torch.compiler.is_compiling():
            _THREAD.listeners.append(heard)
            try:
                return self.model(*args, **kwargs)
            finally:
                _THREAD.listeners.pop()
        owners = {n: self.model.get_submodule(str(t.site.owner)) for n, t in self.hooked.items()}
        for name, owner in owners.items():
            setattr(owner, name, heard[name])
        output = self.model(*args, **kwargs)
        for name, owner in owners.items():
            setattr(owner, name, None)
        return output


class AttachedModule(HookedModule):
    """A classifier that returns its evidence maps with its logits. Made by `attach`."""

    def __init__(self, model: nn.Module, head: Head, classes: int | tuple[int, ...] | None) -> None:
        super().__init__(model, head)
        self.explained = classes

    def forward(self, images: Any = None, *args: Any, **kwargs: Any) -> Attached:
        """Run the classifier on its own arguments; see `Attached` for what comes back."""
        args = args if images is None else (images, *args)
        logits, features = self.seen(args, kwargs)
        features = self.head.layout.read(features)
        if logits.ndim != 2:
            logits = logits.reshape(features.shape[0], -1)
        classes = self._classes(logits)
        with evidence.without_autocast(features.device.type):
            rows, bias = self.head.rows(self.model, features, classes)
            maps = evidence.evidence_maps(rows, features.to(rows.dtype))
        bias = bias if bias.shape == classes.shape else bias.expand(classes.shape)
        return Attached(logits, classes, maps, bias)

    def _classes(self, logits: Tensor) -> Tensor:
        if isinstance(self.explained, int):
            return logits.topk(self.explained).indices
        count = logits.shape[1]
        ids = range(count) if self.explained is None else self.explained
        return torch.tensor(tuple(ids), device=logits.device).expand(logits.shape[0], -1)


class TwoOutputs(HookedModule):
    """A classifier that returns its logits and its features, to be compiled or exported."""

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Return both as the network lays them out: see `Head.layout`."""
        return self.seen((images,), {})


def _another_way(model: nn.Module) -> ModelError:
    return ModelError(
        type(model).__name__,
        expected="a forward pass through the head that was found",
        got="a pass that went another way",
        fix="attach anew with an example like this input",
    )


_FEATURES, _LOGITS = "seewhy_features", "seewhy_logits"


class _Thread(threading.local):
    def __init__(self) -> None:
        self.listeners: list[dict[str, list[Any]]] = []


_THREAD = _Thread()


def attach(
    model: nn.Module,
    example: Any = None,
    *,
    classes: int | str | Sequence[int | str] = "top5",
    output: str | int | None = None,
    head: Head | None = None,
    class_names: Sequence[str] | None = None,
) -> AttachedModule:
    """Make a module that returns logits, classes and maps in one pass, sharing the weights.

    The result compiles with `torch.compile(fullgraph=True)`, exports with `torch.export`, and can
    be trained through: maps are differentiable. It is in evaluation mode; after `.train()` dropout
    behind the pooling makes maps and logits differ, as it should. The original module is left
    alone; what is later done to the weights in place (training, `load_state_dict`) shows in both.
    Move or cast the original before attaching: `.to()` on one of the two leaves them half shared.

    Args:
        model: any `nn.Module` with a head that `find_head` finds, or what `load_model` gives.
        example: an input the model accepts, to find the head with; not needed if `head` is given.
        classes: "top5" (or another number), "predicted", "all", a class or a list of classes.
        output: where the model returns several tensors, the one to explain, see `explain`.
        head: the head, if it is known already.
        class_names: the classes' names, to choose classes by name.

    Raises:
        HeadNotFound: the model has no head whose maps are exact.
        ClassError: a class that the model does not have.
    """
    if not isinstance(model, nn.Module) and hasattr(model, "module"):
        class_names = class_names or model.class_names
        example = model.example() if example is None else example
        model = model.module
    network = heads.unwrap(model)
    head = head or heads.find_head(network, example, output)
    head.require_steps()
    names = None if class_names is None else tuple(class_names)
    wanted = parse_classes(classes, names, head.num_classes)
    attached = AttachedModule(network, head, wanted)
    return attached.eval()


def _sharing_copy(model: nn.Module) -> nn.Module:
    """A deep copy of the modules around the same parameters and buffers."""
    shared: dict[int, Any] = {id(t): t for t in (*model.parameters(), *model.buffers())}
    try:
        return copy.deepcopy(model, shared)
    except (TypeError, RuntimeError) as error:
        raise ModelError(
            type(model).__name__,
            expected="a model whose modules can be copied (their weights are shared)",
            got=complaint(error),
            fix="make what cannot be copied when it is needed, not as an attribute",
        ) from error


def _listen(module: nn.Module, name: str, tap: Tap) -> None:
    if tap.site.kind == "input":
        module.register_forward_pre_hook(functools.partial(_hear_input, name, tap.copy))
    else:
        module.register_forward_hook(functools.partial(_hear_output, name, tap.copy))
    setattr(module, name, None)


def _hear_input(name: str, must_copy: bool, module: nn.Module, args: Any) -> None:
    _hear(name, must_copy, module, args)


def _hear_output(name: str, must_copy: bool, module: nn.Module, _args: Any, output: Any) -> None:
    _hear(name, must_copy, module, output)


def _hear(name: str, must_copy: bool, module: nn.Module, tree: Any) -> None:
    kept = tree_map_only(Tensor, torch.clone, tree) if must_copy else tree
    if torch.compiler.is_compiling():
        getattr(module, name).append(kept)
    elif _THREAD.listeners:
        _THREAD.listeners[-1][name].append(kept)
