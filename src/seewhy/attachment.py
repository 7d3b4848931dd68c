"""`attach`: the same classifier as a module that returns its maps too, and compiles and exports."""

from __future__ import annotations

import copy
import functools
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from seewhy import evidence, heads
from seewhy.capture import FunctionTap, Tap
from seewhy.classes import parse_classes
from seewhy.heads import Head
from seewhy.observe import follow


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


class AttachedModule(nn.Module):
    """A classifier that returns its evidence maps with its logits. Made by `attach`.

    Its one submodule `model` is a copy of the structure around the very same weights, with a hook
    on the module that gives the features. What a hook hears is kept on the module that was
    called, so that data-parallel replicas do not hear each other.
    """

    def __init__(self, model: nn.Module, head: Head, classes: int | tuple[int, ...] | None) -> None:
        super().__init__()
        self.model = model
        self.head = head
        self.explained = classes
        self.taps = {"seewhy_features": head.features}
        if head.logits.site.owner != "":
            self.taps["seewhy_logits"] = head.logits
        for name, tap in self.taps.items():
            if isinstance(tap.site.owner, str):
                _listen(model.get_submodule(tap.site.owner), name, tap)

    def forward(self, *args: Any, **kwargs: Any) -> Attached:
        """Run the classifier on its own arguments; see `Attached` for what comes back."""
        output, heard = self._run(args, kwargs)
        features = self.head.layout.read(heard["seewhy_features"])
        logits = heard.get("seewhy_logits")
        if logits is None:
            logits = follow(output, self.head.logits.site.path)
        logits = logits.reshape(features.shape[0], -1)
        classes = self._classes(logits)
        with torch.autocast(features.device.type, enabled=False):
            rows, bias = self.head.rows(self.model, features, classes)
            maps = evidence.evidence_maps(rows, features.to(rows.dtype))
        return Attached(logits, classes, maps, bias.expand(classes.shape))

    def _classes(self, logits: Tensor) -> Tensor:
        if isinstance(self.explained, int):
            return logits.topk(self.explained).indices
        count = logits.shape[1]
        ids = range(count) if self.explained is None else self.explained
        return torch.tensor(tuple(ids), device=logits.device).expand(logits.shape[0], -1)

    def _run(self, args: Any, kwargs: Any) -> tuple[Any, dict[str, Tensor]]:
        """The model's output, and what was heard at each tap."""
        caught: list[Tensor] = []
        owners = {}
        for name, tap in self.taps.items():
            if isinstance(tap.site.owner, str):
                owners[name] = self.model.get_submodule(tap.site.owner)
                setattr(owners[name], name, [])
        if "seewhy_features" in owners:
            output = self.model(*args, **kwargs)
        else:
            with FunctionTap(self.head.features.site, caught.append):
                output = self.model(*args, **kwargs)
        heard = {"seewhy_features": caught[0]} if caught else {}
        for name, owner in owners.items():
            site = self.taps[name].site
            heard[name] = follow(getattr(owner, name)[site.call], site.path)
            setattr(owner, name, [])
        return output, heard


def attach(
    model: nn.Module,
    example: Any = None,
    *,
    classes: int | str | Sequence[int | str] = "top5",
    head: Head | None = None,
    class_names: Sequence[str] | None = None,
) -> AttachedModule:
    """Make a module that returns logits, classes and maps in one pass, sharing the weights.

    The result compiles with `torch.compile(fullgraph=True)`, exports with `torch.export`, and can
    be trained through: maps are differentiable. The original module is left alone; what is later
    done to its weights in place (training, `load_state_dict`) shows in both.

    Args:
        model: any `nn.Module` with a head that `find_head` finds, or what `load_model` gives.
        example: an input the model accepts, to find the head with; not needed if `head` is given.
        classes: "top5" (or another number), "predicted", "all", a class or a list of classes.
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
    head = head or heads.find_head(network, example)
    names = None if class_names is None else tuple(class_names)
    wanted = parse_classes(classes, names, head.num_classes)
    attached = AttachedModule(_sharing_copy(network), head, wanted)
    return attached.train(network.training)


def _sharing_copy(model: nn.Module) -> nn.Module:
    """A deep copy of the modules around the same parameters and buffers."""
    shared: dict[int, Any] = {id(t): t for t in (*model.parameters(), *model.buffers())}
    return copy.deepcopy(model, shared)


def _listen(module: nn.Module, name: str, tap: Tap) -> None:
    if tap.site.kind == "input":
        module.register_forward_pre_hook(functools.partial(_keep_input, name, tap.copy))
    else:
        module.register_forward_hook(functools.partial(_keep_output, name, tap.copy))
    setattr(module, name, [])


def _keep_input(name: str, must_copy: bool, module: nn.Module, args: Any) -> None:
    getattr(module, name).append(_copied(args) if must_copy else args)


def _keep_output(name: str, must_copy: bool, module: nn.Module, _args: Any, output: Any) -> None:
    getattr(module, name).append(_copied(output) if must_copy else output)


def _copied(tree: Any) -> Any:
    from torch.utils._pytree import tree_map_only

    return tree_map_only(Tensor, torch.clone, tree)
