"""`seewhy inspect`: which head a model has, and how well its maps add up."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from seewhy.cli import options
from seewhy.errors import HeadNotFound, MissingExtraError

if TYPE_CHECKING:
    from seewhy.capture import Tap
    from seewhy.heads import Head
    from seewhy.models import Classifier
    from seewhy.results import Prediction

HELP = """Say where a model decides, and whether maps of that can be exact.

[bold]Examples[/bold]

\b
seewhy inspect efficientnet-lite0
seewhy inspect timm:convnext_tiny --picture cat.jpg
seewhy inspect nets.py:make --weights best.pth --size 128 --json

Exit code 1 if the model has no head that maps can be made of, or if maps
that should be exact are not; the reason is told.
"""


@dataclass(frozen=True)
class Check:
    """How well the maps of all classes add up on one input.

    Attributes:
        on: the input's name.
        certificate: the largest deviation over all classes.
        tolerance: what rounding explains.
        decision: the predicted class, where the input is a picture.
        residual_share: the largest share of a logit that is left, where nothing has to add up.
    """

    on: str
    certificate: float
    tolerance: float
    decision: Prediction | None = None
    residual_share: float | None = None

    @property
    def holds(self) -> bool:
        """Whether the deviation is no more than rounding, where it has to be. NaN never is."""
        return self.residual_share is not None or self.certificate <= self.tolerance


@options.with_model(argument=True)
def inspect(
    *,
    model: options.ModelOptions,
    output: options.Output = None,
    picture: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Check the maps on it; else on one of the demo's."),
    ] = None,
    as_json: options.AsJson = False,
    _debug: options.Debug = False,
) -> int:
    """Run `seewhy inspect` and return its exit code."""
    from seewhy import heads, images

    path = picture or _any_photograph()
    image = None if path is None else images.read(path)
    network = model.load()
    try:
        head = heads.cached_head(network.module, network.example(), output)
    except HeadNotFound as refusal:
        return _refuse(network, refusal, as_json=as_json)
    checks = [_check(network, head, "noise", network.example(), output)]
    if path is not None:
        checks.append(_check(network, head, path.name, [image], output, decides=True))
    elif not as_json:
        hint = "pip install 'seewhy[demo]' for one, or pass --picture"
        typer.echo(f"no picture to check the maps on; {hint}", err=True)
    show = _show_json if as_json else _show
    show(network, head, checks)
    return 0 if all(check.holds for check in checks) else 1


def _any_photograph() -> Path | None:
    from seewhy.cli.demo import photographs

    try:
        return photographs()[0]
    except MissingExtraError:
        return None


def _check(
    model: Classifier,
    head: Head,
    on: str,
    inputs: object,
    output: str | None,
    *,
    decides: bool = False,
) -> Check:
    import seewhy

    every = "all" if head.plan is None else "top5"  # each class of these takes a backward pass
    result = seewhy.explain(model, inputs, every, output=output, strict=False)
    left = None if result.is_additive else float(result.residual_share.max())
    worst = float(result.certificate.max())
    return Check(on, worst, result.tolerance, result.prediction(0) if decides else None, left)


def _show(model: Classifier, head: Head, checks: list[Check]) -> None:
    from seewhy.cli.text import plain
    from seewhy.results import deviation

    how = model.preprocess
    crop = f" {how.crop:.3g}" if how.crop < 1 else ""
    grid = " x ".join(map(str, head.grid))
    activation = f", then {head.activation}" if head.activation else ""
    facts = {
        "model": f"{model.name}, {head.num_classes} classes, on {model.device}",
        "head": f"{head.kind}{activation}: {_MEANING[head.kind]}",
        "path": " -> ".join(head.path),
        "features": f"{head.channels} channels on a grid of {grid}, from {_place(head.features)}",
        "input": f"{how.size[0]} x {how.size[1]} pixels, {how.mode}{crop}, {how.interpolation}",
        "verified": f"{deviation(head.certificate)}, on an example and on another input",
    }
    if head.plan is not None:
        facts["method"] = head.method
    if not head.is_exact:
        facts["verified"] = "runs again as it ran, on an example and on another input"
    facts |= {check.on: _verdict(check) for check in checks}
    width = max(map(len, facts))
    for name, fact in facts.items():
        print(plain(f"{name:<{width}}   {fact}"))


_MEANING = {
    "linear": "average pooling, then linear layers; maps are exact",
    "class-maps": "one map for each class, averaged; maps are exact",
    "normalised": "linear but for a norm, whose scale is held; maps are exact for each picture",
    "pooled": "the weights of its pooling are held; maps are exact for each picture",
    "first-order": "gradients through the head alone; maps leave a residual",
    "none": "a class token carries a part of the logit; maps are not additive",
}


def _verdict(check: Check) -> str:
    from seewhy.results import percent

    best = check.decision
    seen = f"{best.name} {percent(best.probability)}   " if best else ""
    if check.residual_share is not None:
        return f"{seen}leaves up to {100 * check.residual_share:.0f} % of a logit less its bias"
    verb = "adds up to" if check.holds else "DOES NOT ADD UP: off by"
    return f"{seen}{verb} {check.certificate:.0e} (rounding explains {check.tolerance:.0e})"


def _place(tap: Tap) -> str:
    owner = tap.site.owner
    if not isinstance(owner, str):
        return f"what {getattr(owner, '__name__', 'a function')}() returns"
    return f"the {tap.site.kind} of {owner or 'the network'}"


def _show_json(model: Classifier, head: Head, checks: list[Check]) -> None:
    from seewhy.results import finite

    found = {
        "kind": head.kind,
        "activation": head.activation,
        "path": list(head.path),
        "classes": head.num_classes,
        "channels": head.channels,
        "grid": list(head.grid),
        "features": _place(head.features),
        "certificate": finite(head.certificate),
        "method": head.method,
        "is_exact": head.is_exact,
    }
    held = [
        {
            "on": c.on,
            "certificate": finite(c.certificate),
            "tolerance": c.tolerance,
            "residual_share": None if c.residual_share is None else finite(c.residual_share),
        }
        for c in checks
    ]
    _print_json(model, {"head": found, "checks": held, "error": None, "tried": []})


def _refuse(model: Classifier, refusal: HeadNotFound, *, as_json: bool) -> int:
    from seewhy.cli.failures import FAILED
    from seewhy.cli.text import plain

    if as_json:
        why = {"error": str(refusal), "tried": list(refusal.tried)}
        _print_json(model, {"head": None, "checks": [], **why})
    else:
        typer.echo(f"seewhy: {plain(str(refusal))}", err=True)
    return FAILED


def _print_json(model: Classifier, content: dict[str, object]) -> None:
    from seewhy.cli.lines import DOCUMENT_VERSION, dump

    print(dump({"version": DOCUMENT_VERSION, "model": model.name, **content}))
