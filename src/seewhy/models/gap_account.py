"""What `to_gap` did to a network, for people to read."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from torch import nn

from seewhy.heads.positions import origin
from seewhy.models.cost import Cost, parameter_count, short
from seewhy.observe import Trace

_LONGEST = 8
_SPELLING = re.compile("^_|_with_indices$")


@dataclass(frozen=True)
class GapAccount:
    """What became of a network.

    Attributes:
        removed: the layers that are gone, such as `features.12 MaxPool2d`.
        kept: the layers of the trunk, such as `features: 12 of 13 layers, 2.47 M parameters`.
        added: the layers of the new head.
        grid_before: the shape of the feature grid that the old head was given.
        grid_after: the shape of the feature grid that the new head pools.
        before: what the network cost.
        after: what it costs now, for the same picture.
    """

    removed: tuple[str, ...]
    kept: tuple[str, ...]
    added: tuple[str, ...]
    grid_before: tuple[int, ...]
    grid_after: tuple[int, ...]
    before: Cost
    after: Cost

    def __str__(self) -> str:
        """A small table."""
        named = {"removed": self.removed, "kept": self.kept, "added": self.added}
        rows = [
            ("", "before", "after"),
            ("grid", _grid(self.grid_before), _grid(self.grid_after)),
            ("parameters", short(self.before.parameters), short(self.after.parameters)),
            ("multiply-adds", short(self.before.multiply_adds), short(self.after.multiply_adds)),
        ]
        lines = [
            f"{name if place == 0 else '':<9}{line}"
            for name, lines in named.items()
            for place, line in enumerate(lines)
        ]
        lines += [f"{name:<15}{before:>13}{after:>13}" for name, before, after in rows]
        return "\n".join(lines)


def _grid(shape: Sequence[int]) -> str:
    return " x ".join(map(str, shape))


def removed_layers(
    network: nn.Module, trunk: nn.Module, trace: Trace, dropped: Sequence[int]
) -> tuple[str, ...]:
    """The largest parts of a network that are not in its trunk, and poolings that are no layers."""
    lines = _removed(network, "", _Parts(trunk))
    return (*lines, *(f"{name} in forward" for name in _functions(network, trace, dropped)))


def kept_layers(network: nn.Module, trunk: nn.Module) -> tuple[str, ...]:
    """What each part of a network has given to its trunk; a sum where these are many."""
    kept = _Parts(trunk)
    children = [(name, child) for name, child in network.named_children() if kept.layers_of(child)]
    if len(children) <= _LONGEST:
        return tuple(_kept(name, child, kept) for name, child in children)
    return (_kept(f"{children[0][0]} to {children[-1][0]}", network, kept),)


class _Parts:
    """The modules and parameters of a trunk."""

    def __init__(self, trunk: nn.Module) -> None:
        self.modules = set(trunk.modules())
        self.parameters = set(trunk.parameters())

    def layers_of(self, module: nn.Module) -> list[nn.Module]:
        """The layers of a module that are in the trunk."""
        return [layer for layer in _layers(module) if layer in self.modules]

    def parameters_of(self, module: nn.Module) -> int:
        """How many parameters of a module are in the trunk."""
        return sum(p.numel() for p in self.parameters.intersection(module.parameters()))


def _removed(module: nn.Module, name: str, kept: _Parts) -> list[str]:
    if module in kept.modules:
        return []
    if name and kept.modules.isdisjoint(module.modules()):
        return [_described(name, module)]
    prefix = f"{name}." if name else ""
    lines = [
        f"{prefix}{own}, {_parameters(parameter.numel())}"
        for own, parameter in module.named_parameters(recurse=False)
        if parameter not in kept.parameters
    ]
    for own, child in module.named_children():
        lines += _removed(child, prefix + own, kept)
    return lines


def _kept(name: str, module: nn.Module, kept: _Parts) -> str:
    layers, held = _layers(module), kept.layers_of(module)
    if layers == [module]:
        return _described(name, module)
    share = f"{len(held)} of {len(layers)}" if len(held) < len(layers) else f"{len(held)}"
    return f"{name}: {share} layer{_s(len(layers))}, {_parameters(kept.parameters_of(module))}"


def _described(name: str, module: nn.Module) -> str:
    """One part of a network, such as `classifier: 3 Linear layers, 58.6 M parameters`."""
    layers, parameters = _layers(module), parameter_count(module)
    total = f", {_parameters(parameters)}" if parameters else ""
    if layers == [module]:
        return f"{name} {type(module).__name__}{total}"
    learning = [layer for layer in layers if parameter_count(layer)] or layers
    kinds = Counter(type(layer).__name__ for layer in learning)
    listed = ", ".join(f"{count} {kind}" for kind, count in kinds.items())
    return f"{name}: {listed} layer{_s(len(learning))}{total}"


def _parameters(count: int) -> str:
    return f"{short(count)} parameter{_s(count)}"


def _s(count: int) -> str:
    return "" if count == 1 else "s"


def _layers(module: nn.Module) -> list[nn.Module]:
    return [part for part in module.modules() if _is_layer(part)]


def _is_layer(module: nn.Module) -> bool:
    return not any(True for _ in module.children())


def _functions(network: nn.Module, trace: Trace, dropped: Sequence[int]) -> list[str]:
    """The names of poolings that belong to no layer but are calls in a forward pass."""
    by_layers: set[int] = set()
    given = {(site.owner, site.call, n) for site, n in trace.sites if site.kind == "input"}
    for site, number in trace.sites:
        is_new = site.kind == "output" and (site.owner, site.call, number) not in given
        if is_new and _is_layer(network.get_submodule(str(site.owner))):
            by_layers.add(origin(trace, number))
    producers = [trace.producers[number] for number in dropped if number not in by_layers]
    return [_SPELLING.sub("", operation.name) for operation in producers if operation is not None]
