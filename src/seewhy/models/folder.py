"""A model on disk: a folder with `model.json`, which says what it is, and `model.safetensors`.

`seewhy train` writes it, `load_model` reads it, and the models that come with the package are such
folders. Neither file can run code; but a net named as `file.py:function` is the user's own code,
which is run to build it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors.torch import save

from seewhy.errors import FileError, InputError, ModelError, SeewhyError, WeightsError
from seewhy.files import writable_folder, write_whole
from seewhy.models.parts import Parts, Request, Source
from seewhy.models.weights import fit, read_weights
from seewhy.preprocess import Preprocess
from seewhy.wording import complaint

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor, nn

FORMAT, VERSION = "seewhy-model", 1
CARD, WEIGHTS = "model.json", "model.safetensors"
SHIPPED = Path(__file__).with_name("weights_of")


@dataclass(frozen=True)
class Card:
    """What `model.json` says.

    Attributes:
        net: what `load_model` builds the network from.
        num_classes: number of logits.
        class_names: the name of each logit, or None if they are not known.
        preprocess: how its pictures are prepared.
        gap: what `to_gap` was called with to make the module of the net, or None if it was not.
        trained: how the weights came about; for people, and never looked into.
        sha256: of the weights file, or None if that is not checked.
    """

    net: str
    num_classes: int
    class_names: tuple[str, ...] | None
    preprocess: Preprocess
    gap: Mapping[str, Any] | None = None
    trained: Mapping[str, Any] | None = None
    sha256: str | None = None


# Writing


def save_model(
    folder: str | Path,
    *,
    net: str,
    module: nn.Module,
    num_classes: int,
    class_names: Sequence[str] | None,
    preprocess: Preprocess,
    gap: Mapping[str, Any] | None = None,
    trained: Mapping[str, Any] | None = None,
    dtype: torch.dtype | None = None,
) -> Path:
    """Write a model folder. Each file is written whole, and `model.json` comes last.

    It names the weights by their SHA-256, so that two files that do not belong together, after a
    crash between them, are not taken for a model.

    Args:
        folder: made if it is not there; other files in it stay.
        net: what `load_model` builds the network from, `resnet20` say.
        module: the network whose weights are saved, on any device.
        num_classes: number of its logits.
        class_names: their names, if they are known.
        preprocess: how its pictures are prepared.
        gap: what `to_gap` was called with, if it made the module of the net.
        trained: how the weights came about, in values that JSON has.
        dtype: `torch.float16`, say, halves the file: it rounds the weights of convolutions and
            linear layers. Biases and norms are few and stay as they are.

    Returns:
        The folder.

    Raises:
        FileError: it cannot be written.
        InputError: the card has something that JSON or a model folder has no room for.
    """
    weights = save({name: _stored(each, dtype) for name, each in module.state_dict().items()})
    names = None if class_names is None else tuple(class_names)
    digest = hashlib.sha256(weights).hexdigest()
    card = Card(net, num_classes, names, preprocess, gap, trained, digest)
    folder = Path(folder)
    text = _as_json(card, folder / CARD)
    writable_folder(folder)
    write_whole(folder / WEIGHTS, [weights])
    write_whole(folder / CARD, [text.encode()])
    return folder


def _stored(tensor: Tensor, dtype: torch.dtype | None) -> Tensor:
    """Return a plain copy: safetensors takes neither shared memory nor another memory order."""
    rounded = dtype is not None and tensor.is_floating_point() and tensor.ndim > 1
    copy = torch.empty(tensor.shape, dtype=dtype if rounded else tensor.dtype)
    return copy.copy_(tensor.detach())


def _as_json(card: Card, path: Path) -> str:
    try:
        document = {"format": FORMAT, "version": VERSION, **asdict(card)}
        text = json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
        _parse(text, path)  # what could not be read back is not written
    except (TypeError, ValueError, SeewhyError) as problem:
        got = problem.got if isinstance(problem, SeewhyError) else complaint(problem)
        raise InputError(
            f"model folder {path.parent}",
            expected="an account that model.json can hold",
            got=got,
            fix="pass strings, finite numbers, lists and dictionaries that belong together",
        ) from problem
    return text


# Reading


def load(request: Request, folder: Path, build: Source) -> Parts:
    """Return the model of a folder.

    Args:
        request: what is wanted; without `pretrained` the weights stay random.
        folder: where it lies.
        build: makes the net that `model.json` names; that is no other folder.

    Raises:
        FileError: `model.json` cannot be read or used.
        WeightsError: the weights are not those that it speaks of.
        ModelError: its net cannot be built.
    """
    card = read_card(folder)
    shown = f"{card.net} (in {folder / CARD})"
    count = request.num_classes or card.num_classes
    # Where to_gap exchanges the head, it has to be one of other classes: it refuses what is no
    # change, and a net that ends in pooling already may have been given other classes only.
    built = count if card.gap is None else count + 1
    module = build(Request(shown, card.net, pretrained=False, num_classes=built)).module
    if card.gap is not None:
        module = _with_gap(module, {**card.gap, "num_classes": count}, card, shown)
    if request.pretrained:
        path = folder / WEIGHTS
        state = read_weights(path)
        _check_digest(path, card)
        fit(module, state, path=path, model=shown)
    return Parts(module, card.preprocess, card.class_names)


def read_card(folder: str | Path) -> Card:
    """Return what a folder's `model.json` says.

    Raises:
        FileError: it is missing, damaged, or from a later version.
    """
    path = Path(folder) / CARD
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as problem:
        raise _unusable(path, "a model's description", complaint(problem)) from problem
    return _parse(text, path)


def find_folder(spec: str | Path, root: Path = SHIPPED) -> Path | None:
    """Return the model folder that a spec means: a name under `root`, else a path; or None."""
    named = shipped(root).get(str(spec)) if isinstance(spec, str) else None
    path = Path(spec).expanduser()
    return named or (path if (path / CARD).is_file() else None)


def shipped(root: Path = SHIPPED) -> dict[str, Path]:
    """Return the models that come with the package: name -> folder."""
    return {path.parent.name: path.parent for path in sorted(root.glob(f"*/{CARD}"))}


def _parse(text: str, path: Path) -> Card:
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as problem:
        raise _unusable(path, "JSON", complaint(problem)) from problem
    _check_kind(document, path)
    for key, (expected, holds) in _FIELDS.items():
        if not holds(document.get(key)):
            raise _unusable(path, f"{key}: {expected}", _shortly(document, key))
    names, count = document.get("class_names"), document["num_classes"]
    if names is not None and len(names) != count:
        raise _unusable(path, f"class_names: as many as num_classes, {count}", str(len(names)))
    return Card(
        net=document["net"],
        num_classes=count,
        class_names=None if names is None else tuple(names),
        preprocess=_preprocess(document["preprocess"], path),
        **{key: document.get(key) for key in ("gap", "trained", "sha256")},
    )


def _check_kind(document: object, path: Path) -> None:
    if not isinstance(document, dict) or document.get("format") != FORMAT:
        raise _unusable(path, f'"format": "{FORMAT}"', _shortly(document, "format"))
    version = document.get("version")
    if version != VERSION:
        fix = "update seewhy, or save the model with this version"
        raise _unusable(path, f"version {VERSION}", f"version {version!r}", fix)


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1


def _is_text(value: object) -> bool:
    return isinstance(value, str) and bool(value.strip())


def _are_names(value: object) -> bool:
    return value is None or (isinstance(value, list) and all(map(_is_text, value)))


_FIELDS: dict[str, tuple[str, Callable[[object], bool]]] = {
    "net": ("what to build, as in resnet20", _is_text),
    "num_classes": ("a number of 1 or more", _is_count),
    "class_names": ("a list of names, or null", _are_names),
    "preprocess": ("size, mean, std and so on", lambda value: isinstance(value, dict)),
    "gap": ("what to_gap was called with, or null", lambda v: v is None or isinstance(v, dict)),
    "trained": ("an account, or null", lambda value: value is None or isinstance(value, dict)),
    "sha256": ("of the weights, or null", lambda value: value is None or _is_text(value)),
}


def _preprocess(values: Mapping[str, Any], path: Path) -> Preprocess:
    wanted = Preprocess.__dataclass_fields__.keys()
    if values.keys() != wanted:
        raise _unusable(path, f"preprocess: {', '.join(wanted)}", ", ".join(values) or "none")
    plain: dict[str, Any] = {
        key: tuple(v) if isinstance(v, list) else v for key, v in values.items()
    }
    try:
        return Preprocess(**plain)
    except InputError as problem:
        raise _unusable(path, f"{problem.subject}: {problem.expected}", problem.got) from problem
    except TypeError as problem:  # text where a number belongs, say
        expected = "preprocess: numbers, and names of a mode and an interpolation"
        raise _unusable(path, expected, complaint(problem)) from problem


def _with_gap(module: nn.Module, options: Mapping[str, Any], card: Card, shown: str) -> nn.Module:
    """Exchange the head of the net for the one that was trained."""
    from seewhy.models.to_gap import to_gap

    width, height = card.preprocess.size
    noise = torch.Generator().manual_seed(0)
    example = torch.randn(2, len(card.preprocess.mean), height, width, generator=noise)
    try:
        changed: nn.Module = to_gap(module, **{"example": example, **options})
    except TypeError as problem:
        raise ModelError(
            f"model {shown}",
            expected="gap: the arguments of to_gap",
            got=complaint(problem),
            fix="save the model again with save_model",
        ) from problem
    return changed


def _check_digest(path: Path, card: Card) -> None:
    if card.sha256 is None:
        return
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != card.sha256:
        raise WeightsError(
            f"weights {path}",
            expected=f"the file that {CARD} speaks of, SHA-256 {card.sha256[:12]}…",
            got=f"{found[:12]}…",
            fix="copy both files again, or save the model again",
        )


def _shortly(document: object, key: str) -> str:
    if not isinstance(document, dict):
        return type(document).__name__
    text = repr(document[key]) if key in document else "none"
    return text if len(text) <= 60 else f"{text[:59]}…"


def _unusable(
    path: Path, expected: str, got: str, fix: str = "save the model again with save_model"
) -> FileError:
    return FileError(f"model {path}", expected=expected, got=got, fix=fix)
