"""Which source a spec means: a name of seewhy's own, a folder, a library, or the user's code."""

from __future__ import annotations

from pathlib import Path

from seewhy.errors import ModelError
from seewhy.models import (
    folder,
    from_code,
    from_hf,
    from_lite,
    from_nets,
    from_timm,
    from_torchvision,
)
from seewhy.models.efficientnet_lite import CONFIGS
from seewhy.models.nets import NETS
from seewhy.models.parts import Parts, Request, Source
from seewhy.wording import near_or

SOURCES: dict[str, Source] = {
    "timm": from_timm.load,
    "torchvision": from_torchvision.load,
    "hf": from_hf.load,
}
WEIGHTS = (".pt", ".pth", ".th", ".ckpt", ".bin", ".safetensors")
OWN: dict[str, Source] = {
    **dict.fromkeys(CONFIGS, from_lite.load),
    **dict.fromkeys(NETS, from_nets.load),
}


def build(spec: str | Path, *, pretrained: bool, num_classes: int | None) -> Parts:
    """Return the model that a spec means; a name of seewhy's own comes before a folder's.

    Raises:
        ModelError: it means none, or its source cannot make it.
    """
    if not isinstance(spec, (str, Path)):
        raise ModelError(
            "model",
            expected="the name of a model",
            got=type(spec).__name__,
            fix="pass a module that you have to seewhy.explain itself, with preprocess=",
        )
    request = Request(str(spec), str(spec), pretrained, num_classes)
    found = None if spec in OWN else folder.find_folder(spec)
    if found is not None:
        return folder.load(request, found, build_net)
    if isinstance(spec, Path) or _is_path(spec):
        raise _no_folder(Path(spec))
    return build_net(request)


def build_net(request: Request) -> Parts:
    """Return the model that a request's name means, where that is no folder."""
    spec = request.name
    if spec in OWN:
        return OWN[spec](request)
    prefix, colon, name = spec.partition(":")
    if not (colon and name):
        raise _meaningless(request, colon)
    source = SOURCES.get(prefix)
    if source is None:
        return from_code.load(request)
    return source(Request(request.spec, name, request.pretrained, request.num_classes))


def _is_path(spec: str) -> bool:
    return ":" not in spec and Path(spec).name != spec


def _meaningless(request: Request, colon: str) -> ModelError:
    spec = request.name
    return ModelError(
        f"model '{request.spec}'",
        expected=_forms(),
        got="a folder without model.json" if spec and Path(spec).is_dir() else "none of these",
        fix="write a name on both sides of the colon" if colon else _meant(spec),
    )


def _meant(spec: str) -> str:
    """What a person who wrote this may have wanted to write."""
    if spec.endswith(".py"):
        return f"name the function in it that makes the network: {spec}:FUNCTION"
    if Path(spec).suffix in WEIGHTS:
        return f"name the network that these weights are of, and pass --weights {spec}"
    known = [*OWN, *folder.shipped(), *_folders(Path())]
    timm = f"for a network of timm write timm:{spec or 'NAME'}"
    return f"{near_or(spec, known, '')} {timm}".strip()


def _forms() -> str:
    names = ", ".join([*OWN, *folder.shipped(), *(f"{prefix}:NAME" for prefix in SOURCES)])
    return f"{names}, package.module:function, file.py:function or a folder with {folder.CARD}"


def _no_folder(path: Path) -> ModelError:
    return ModelError(
        f"model {path}",
        expected=f"a folder with {folder.CARD}, as `seewhy train` writes it",
        got=f"one without {folder.CARD}" if path.is_dir() else "no such folder",
        fix=near_or(path.name, _folders(path.parent), "check the path; a hub's model is hf:NAME"),
    )


def _folders(place: Path) -> list[str]:
    return [path.parent.name for path in place.glob(f"*/{folder.CARD}")]
