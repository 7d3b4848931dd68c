"""Does `find_head` get every architecture right? One model of every family, and what it says.

    python -m benchmarks.zoo                   # all families, writes docs/zoo.md
    python -m benchmarks.zoo resnet            # a family or a model, prints only
    python -m benchmarks.zoo resnet --update   # and replaces their rows in docs/zoo.md

Models are built at random with a seed, their heads re-initialised (some are zero at birth, and a
head of zeros would certify any map), and looked at through noise of the size they were made for.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import gc
import sys
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from seewhy.errors import HeadNotFound
from seewhy.explainer import explain
from seewhy.heads import find_head

TABLE = Path(__file__).parents[1] / "docs" / "zoo.md"
MAX_PIXELS = 300
MAX_PARAMETERS = 90_000_000


@dataclass(frozen=True)
class Entry:
    """One model of the zoo: where it comes from, its family, its name and how it is built."""

    library: str
    family: str
    model: str
    build: Callable[[], tuple[nn.Module, Tensor]]


@dataclass(frozen=True)
class Finding:
    """What `find_head` said of a model."""

    library: str
    family: str
    model: str
    kind: str
    grid: str = ""
    adds_up: str = ""
    said: str = ""

    def row(self) -> str:
        """The finding as a line of the Markdown table."""
        cells = (self.library, self.family, self.model, self.kind, self.grid, self.adds_up)
        return f"| {' | '.join(cells)} | {self.said} |"


def look(entry: Entry) -> Finding:
    """Build a model and find its head."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the libraries' own, at construction
        torch.manual_seed(0)
        model, example = entry.build()
        calibrate(model, example)
        names = entry.library, entry.family, entry.model
        try:
            head = find_head(model, example)
        except HeadNotFound as refusal:
            return Finding(*names, "refused", said=refusal.got)
        grid = "x".join(map(str, head.grid))
        if head.is_exact:
            path = f"`{' -> '.join(head.path)}`"
            said = path if head.plan is None else f"{head.method}: {path}"
            return Finding(*names, head.kind, grid, f"{head.certificate:.0e}", said)
        left = float(explain(model, example, head=head).residual_share.mean())
    return Finding(*names, head.kind, grid, f"leaves {100 * left:.0f} %", said=head.method)


def entry_of(finding: Finding) -> Entry:
    """The model that a finding is about."""
    if finding.library == "timm":
        return timm_entry(finding.family, finding.model)
    if finding.library == "torchvision":
        return torchvision_entry(finding.family, finding.model)
    return next(each for each in transformers_entries() if each.family == finding.family)


def entries() -> Iterator[Entry]:
    """The whole zoo."""
    yield from timm_entries()
    yield from torchvision_entries()
    yield from transformers_entries()


def timm_entries() -> Iterator[Entry]:
    """The smallest model of every family of timm."""
    import timm

    for family in sorted(timm.list_modules()):
        sizes = {}
        for name in timm.list_models(module=family):
            parameters = _timm_parameters(name)
            if parameters is not None and parameters <= MAX_PARAMETERS:
                sizes[name] = parameters
        if sizes:
            name = min(sizes, key=lambda name: (sizes[name], name))
            yield timm_entry(family, name)


def timm_entry(family: str, name: str) -> Entry:
    """A model of timm by name."""
    return Entry("timm", family, name, functools.partial(_build_timm, name))


def _timm_size(name: str) -> tuple[int, int, int] | None:
    import timm

    config = timm.get_pretrained_cfg(name)
    if config is None or not config.num_classes:
        return None
    channels, height, width = config.input_size
    if max(height, width) > MAX_PIXELS and config.min_input_size:
        channels, height, width = config.min_input_size
    return (channels, height, width) if max(height, width) <= MAX_PIXELS else None


def _timm_parameters(name: str) -> int | None:
    """The number of parameters, without allocating them; None if the model is out of bounds."""
    import timm

    if _timm_size(name) is None:
        return None
    with warnings.catch_warnings(), torch.device("meta"):
        warnings.simplefilter("ignore")
        try:
            model = timm.create_model(name)
        except (NotImplementedError, RuntimeError, ValueError):
            return None
    return sum(parameter.numel() for parameter in model.parameters())


def _build_timm(name: str) -> tuple[nn.Module, Tensor]:
    import timm

    size = _timm_size(name)
    assert size is not None, name
    model: Any = timm.create_model(name)
    heads: Any = model.get_classifier()
    for head in heads if isinstance(heads, tuple) else (heads,):
        reinitialise(head)
    return model, torch.randn(2, *size)


def reinitialise(head: nn.Module | None) -> None:
    """Give a head's linear layers weights that matter."""
    for module in head.modules() if isinstance(head, nn.Module) else ():
        if isinstance(module, nn.Linear | nn.Conv2d):
            nn.init.normal_(module.weight, std=0.05)
            if module.bias is not None:
                nn.init.normal_(module.bias, std=0.05)


@torch.no_grad()
def calibrate(model: nn.Module, example: Tensor) -> None:
    """Let batch normalisation see some noise, or random features fade to nothing on the way."""
    norms = [module for module in model.modules() if isinstance(module, nn.BatchNorm2d)]
    if not norms:
        return
    model.eval()
    for norm in norms:
        norm.train()
        norm.momentum = 1.0
    with contextlib.suppress(ValueError):  # one value a channel has no variance
        model(example)
    model.eval()


def torchvision_entries() -> Iterator[Entry]:
    """The smallest classifier of every module of torchvision.models."""
    import torchvision

    families: dict[str, dict[str, int]] = {}
    for name in torchvision.models.list_models(module=torchvision.models):
        family = torchvision.models.get_model_builder(name).__module__.rpartition(".")[2]
        families.setdefault(family, {})[name] = _torchvision_parameters(name)
    for family, sizes in sorted(families.items()):
        yield torchvision_entry(family, min(sizes, key=lambda name: (sizes[name], name)))


def _torchvision_parameters(name: str) -> int:
    """The number of parameters, as the library publishes it."""
    import torchvision

    weights = next(iter(torchvision.models.get_model_weights(name)))
    return int(weights.meta["num_params"])


def torchvision_entry(family: str, name: str) -> Entry:
    """A model of torchvision by name."""
    return Entry("torchvision", family, name, functools.partial(_build_torchvision, name))


def _quick(name: str) -> dict[str, bool]:
    """Two models take minutes to initialise unless told not to."""
    return {"init_weights": False} if name in ("googlenet", "inception_v3") else {}


def _build_torchvision(name: str) -> tuple[nn.Module, Tensor]:
    import torchvision

    model = torchvision.models.get_model(name, weights=None, **_quick(name))
    reinitialise(list(model.children())[-1])
    size = 299 if name == "inception_v3" else 224
    return model, torch.randn(2, 3, size, size)


def transformers_entries() -> Iterator[Entry]:
    """Image classifiers of transformers, small ones, built from their configuration."""
    small: dict[str, dict[str, object]] = {
        "ResNet": {"depths": [1, 1, 1, 1], "hidden_sizes": [32, 64, 96, 128]},
        "ConvNext": {"depths": [1, 1, 1, 1], "hidden_sizes": [24, 48, 96, 192]},
        "ConvNextV2": {"depths": [1, 1, 1, 1], "hidden_sizes": [24, 48, 96, 192]},
        "Swin": {"embed_dim": 24, "depths": [1, 1, 1, 1], "num_heads": [1, 2, 3, 4]},
        "MobileNetV2": {},
        "EfficientNet": {
            "width_coefficient": 0.5,
            "depth_coefficient": 0.5,
            "hidden_dim": 640,
            "initializer_range": 0.3,  # its own 0.02 lets random features fade to 1e-33
        },
        "RegNet": {"depths": [1, 1, 1, 1], "hidden_sizes": [32, 64, 96, 128], "groups_width": 16},
        "ViT": {"hidden_size": 48, "num_hidden_layers": 2, "num_attention_heads": 2},
    }
    for family, settings in small.items():
        build = functools.partial(_build_transformers, family, settings)
        yield Entry("transformers", family, f"{family}ForImageClassification", build)


def _build_transformers(family: str, settings: dict[str, object]) -> tuple[nn.Module, Tensor]:
    import transformers

    config = getattr(transformers, f"{family}Config")(**settings, num_labels=10)
    model = getattr(transformers, f"{family}ForImageClassification")(config)
    reinitialise(list(model.children())[-1])
    return model, torch.randn(2, 3, 224, 224)


EXACT = ("linear", "class-maps", "normalised", "pooled")
KINDS = (*EXACT, "first-order", "none", "refused", "not run")


def rows_of(page: str) -> list[Finding]:
    """The findings that a page tells of."""
    lines = [line.strip("|").split("|") for line in page.splitlines() if line.startswith("|")]
    cells = [[cell.strip() for cell in line] for line in lines if len(line) == 7]
    return [Finding(*row) for row in cells if row[3] in KINDS]


def updated(old: list[Finding], new: list[Finding]) -> list[Finding]:
    """The old findings, with new ones in the place of those about the same models."""
    by_model = {(each.library, each.model): each for each in new}
    return [by_model.get((each.library, each.model), each) for each in old]


def table(findings: list[Finding]) -> str:
    """The page docs/zoo.md."""
    import timm
    import torchvision
    import transformers

    lines = [
        "# The zoo",
        "",
        "What `find_head` says of the smallest model of every family (inputs up to"
        f" {MAX_PIXELS} pixels, up to {MAX_PARAMETERS // 10**6} M parameters; random weights with"
        " a seed). Generated by `make zoo`;",
        f"timm {timm.__version__}, torchvision {torchvision.__version__.partition('+')[0]},"
        f" transformers {transformers.__version__}, torch {torch.__version__.partition('+')[0]}.",
        "",
        "",
        "Maps of the first four kinds add up to the logit: the largest deviation is shown, over the"
        " scale of the logits. `first-order` and `none` promise nothing of the kind: shown is what"
        " evidence and bias leave of the logit, as a share of the logit less its bias, for the"
        " predicted class of noise. Of random weights it says little about trained ones.",
        "",
        f"| library | families | {' | '.join(KINDS)} |",
        f"| --- | ---: |{' ---: |' * len(KINDS)}",
    ]
    for library in dict.fromkeys(finding.library for finding in findings):
        kinds = Counter(finding.kind for finding in findings if finding.library == library)
        counts = [kinds[kind] for kind in KINDS]
        lines.append(f"| {library} | {kinds.total()} | {' | '.join(map(str, counts))} |")
    lines += [
        "",
        "| library | family | model | kind | grid | adds up | head, method, or why not |",
        "| --- | --- | --- | --- | --- | --- | --- |",
        *(finding.row() for finding in findings),
        "",
    ]
    return "\n".join(lines)


def main() -> None:
    """Look at the zoo, or at the part of it that is named."""
    from tests.peers import register_torchvision_schemas

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("words", nargs="*", help="only these families or models")
    parser.add_argument("--update", action="store_true", help="replace their rows in the page")
    options = parser.parse_args()
    register_torchvision_schemas()
    old = rows_of(TABLE.read_text(encoding="utf-8")) if options.update else []
    words, findings = options.words, []
    for entry in map(entry_of, old) if options.update else entries():
        if words and not any(word in (entry.family, entry.model) for word in words):
            continue
        start = time.perf_counter()
        findings.append(look(entry))
        if options.update:  # one by one, for a stop on the way
            TABLE.write_text(table(updated(old, findings)), encoding="utf-8")
        gc.collect()
        seconds = time.perf_counter() - start
        print(findings[-1].row(), f"{seconds:.1f} s", file=sys.stderr, flush=True)
    if not words and not options.update:
        TABLE.write_text(table(findings), encoding="utf-8")
    if options.update or not words:
        print(f"wrote {TABLE.relative_to(Path.cwd())}")


if __name__ == "__main__":
    main()
