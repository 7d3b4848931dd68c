"""Checkpoints: read without running any code in them, and fitted to a module name by name.

A checkpoint is hostile until shown otherwise: pickles are read with `weights_only=True`, and a
tensor's values are looked at only after its shape was found to be one that the module has.
"""

from __future__ import annotations

import pickle
import re
import warnings
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from seewhy.errors import FileError, WeightsError
from seewhy.wording import complaint, first_few

# Where training scripts put the tensors; an average of the weights is what they evaluate.
NESTED = ("state_dict_ema", "state_dict", "model_state_dict", "model", "net", "weights")


def read_weights(path: str | Path) -> dict[str, Tensor]:
    """Return the tensors of a safetensors file or a PyTorch checkpoint, on the CPU.

    Raises:
        FileError: there is no such file, or it may not be read.
        WeightsError: its content is no checkpoint, or one that wants to run code.
    """
    path = Path(path)
    try:
        with path.open("rb") as file:
            head = file.read(9)
    except OSError as problem:
        raise FileError(
            f"weights {path}", expected="a file", got=complaint(problem), fix="check the path"
        ) from problem
    try:
        # A safetensors file begins with the length of its header, 8 bytes, and the header's brace.
        document = load_file(path) if head[8:] == b"{" else _read_pickle(path)
    except Exception as problem:  # a damaged file can raise anything
        raise WeightsError(
            f"weights {path}",
            expected="a safetensors file or a checkpoint of tensors only",
            got=_why(problem),
            fix="save model.state_dict(), best with safetensors.torch.save_file",
        ) from problem
    return _tensors(document, path)


def fit(module: nn.Module, state: Mapping[str, Tensor], *, path: str | Path, model: str) -> None:
    """Copy a checkpoint's tensors into a module, all of them or none.

    A prefix that all names share, `module.` or `backbone.` say, is dropped; what lies outside of
    it, a loss's own weights say, is not the model's.

    Args:
        module: the network, changed in place.
        state: tensors by name.
        path: where they came from, for messages.
        model: what the module is called, for messages.

    Raises:
        WeightsError: names or shapes differ, or a tensor holds NaN or infinity.
    """
    wanted = module.state_dict()
    state = _without_prefix(state, wanted)
    _check_names(state, wanted, path=path, model=model)
    _check_finite(state, path)
    module.load_state_dict(state, strict=False)  # an old checkpoint lacks the norms' counters


def _read_pickle(path: Path) -> object:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about TorchScript archives, which it refuses anyway
        return torch.load(path, map_location="cpu", weights_only=True)


def _why(problem: Exception) -> str:
    """Say what was wrong with a file; of a pickle, what it would have called."""
    called = re.search(r"GLOBAL ([\w.]+)", str(problem))
    if called:
        return f"a pickle that would run {called[1]}"
    if "TorchScript" in str(problem):
        return "a scripted network, saved by torch.jit"
    other = isinstance(problem, pickle.UnpicklingError) or "zip archive" in str(problem)
    return "a damaged file or one of another kind" if other else complaint(problem)


def _tensors(document: object, path: Path) -> dict[str, Tensor]:
    """Dig the tensors out of what training scripts save around them."""
    while isinstance(document, Mapping):
        found = {name: value for name, value in document.items() if isinstance(value, Tensor)}
        inner = next((document[key] for key in NESTED if _is_mapping(document, key)), None)
        if inner is None and found:
            return {str(name): tensor for name, tensor in found.items()}
        document = inner
    raise WeightsError(
        f"weights {path}",
        expected=f"tensors by name, at the top or under {', '.join(NESTED)}",
        got="none",
        fix="save model.state_dict()",
    )


def _is_mapping(document: Mapping[Any, Any], key: str) -> bool:
    return isinstance(document.get(key), Mapping)


def _without_prefix(state: Mapping[str, Tensor], wanted: Mapping[str, Any]) -> dict[str, Tensor]:
    """Drop the prefix under which most of the wanted names are found."""
    votes = Counter(prefix for name in state for prefix in _prefixes(name, wanted))
    prefix = max(votes, key=lambda text: (votes[text], -len(text)), default="")
    return {
        name.removeprefix(prefix): tensor
        for name, tensor in state.items()
        if name.startswith(prefix)
    }


def _prefixes(name: str, wanted: Mapping[str, Any]) -> Iterator[str]:
    """Yield what stands before each wanted name that `name` ends in."""
    parts = name.split(".")
    for start in range(len(parts)):
        if ".".join(parts[start:]) in wanted:
            yield "".join(f"{part}." for part in parts[:start])


def _check_names(
    state: Mapping[str, Tensor], wanted: Mapping[str, Tensor], *, path: str | Path, model: str
) -> None:
    misfits = {
        name: f"{name} {tuple(state[name].shape)} for {tuple(tensor.shape)}"
        for name, tensor in wanted.items()
        if name in state and state[name].shape != tensor.shape
    }
    found = {
        "missing": [n for n in wanted if n not in state and not n.endswith("num_batches_tracked")],
        "unexpected": [name for name in state if name not in wanted],
        "wrong shape": list(misfits.values()),
    }
    if any(found.values()):
        raise WeightsError(
            f"weights {path}",
            expected=f"the {len(wanted)} tensors of {model}",
            got="; ".join(f"{what}: {first_few(names)}" for what, names in found.items() if names),
            fix=_fix(found, [(state[name], wanted[name]) for name in misfits]),
        )


def _fix(found: Mapping[str, list[str]], misfits: list[tuple[Tensor, Tensor]]) -> str:
    """Offer the number of classes where that alone explains the difference."""
    classes = {theirs.shape[:1] for theirs, _ in misfits}
    same_inside = all(theirs.shape[1:] == ours.shape[1:] for theirs, ours in misfits)
    if found["missing"] or found["unexpected"] or len(classes) != 1 or not same_inside:
        return "check that the file belongs to this model"
    return f"pass num_classes={classes.pop()[0]}"


def _check_finite(state: Mapping[str, Tensor], path: str | Path) -> None:
    broken = [name for name, tensor in state.items() if not bool(tensor.isfinite().all())]
    if broken:
        raise WeightsError(
            f"weights {path}",
            expected="finite numbers",
            got=f"NaN or infinity in {first_few(broken)}",
            fix="take a checkpoint from before the training diverged",
        )
