"""A run on disk: what it was asked for (run.json) and where it is (checkpoint.safetensors).

A checkpoint is one file, tensors with the rest as JSON in its header, so that a crash finds either
the old one whole or the new one. It holds everything that a step depends on; nothing random is in
it, for draws are a function of the step (see draws.py).
"""

from __future__ import annotations

import contextlib
import fcntl
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from seewhy.errors import FileError, TrainingError
from seewhy.files import write_whole
from seewhy.models.folder import CARD, WEIGHTS
from seewhy.wording import complaint

RUN, CHECKPOINT, LOCK = "run.json", "checkpoint.safetensors", ".lock"
METRICS, EVENTS = "metrics.csv", "tensorboard"
FORMAT, VERSION = "seewhy-run", 1

# Checkpoints


def save_checkpoint(path: Path, tensors: Mapping[str, Tensor], rest: Mapping[str, Any]) -> None:
    """Write a checkpoint; the one before it stays until this one is on the disk.

    Raises:
        TrainingError: a number in it is not finite.
        FileError: it cannot be written.
    """
    for name, each in tensors.items():
        if each.is_floating_point() and not torch.isfinite(each).all():
            raise not_finite(f"weights ({name})")
    whole = {name: each.detach().cpu().contiguous() for name, each in tensors.items()}
    header = {"format": FORMAT, "version": str(VERSION), "state": json.dumps(rest)}
    write_whole(path, [save(whole, header)], durable=True)


def load_checkpoint(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
    """Return a checkpoint's tensors and the rest, or None where there is none yet.

    Raises:
        FileError: it is damaged, or no checkpoint of this version.
    """
    if not path.exists():
        return None
    try:
        with safe_open(path, "pt") as file:
            header = file.metadata() or {}
            if (header.get("format"), header.get("version")) != (FORMAT, str(VERSION)):
                raise ValueError(f"its header says {header.get('format', 'nothing')}")
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            return tensors, json.loads(header["state"])
    except (OSError, SafetensorError, ValueError, KeyError) as problem:
        raise FileError(
            str(path),
            expected="a checkpoint that this version of seewhy wrote",
            got=complaint(problem),
            fix="pass --restart to begin anew",
        ) from problem


def state_of(module: nn.Module, average: nn.Module, sgd: torch.optim.SGD) -> dict[str, Tensor]:
    """Return every tensor that the next step depends on; not copied."""
    names = {id(weight): name for name, weight in module.named_parameters()}
    momenta = {
        f"momentum.{names[id(weight)]}": state["momentum_buffer"]
        for weight, state in sgd.state.items()
        if state.get("momentum_buffer") is not None
    }
    weights = {f"weights.{name}": each for name, each in module.state_dict().items()}
    averages = {f"average.{name}": each for name, each in average.state_dict().items()}
    return {**weights, **averages, **momenta}


@torch.no_grad()
def restore(
    tensors: Mapping[str, Tensor], module: nn.Module, average: nn.Module, sgd: torch.optim.SGD
) -> None:
    """Bring a network, its average and its optimiser to where a checkpoint was.

    Raises:
        TrainingError: it is of another network.
    """
    try:
        for prefix, target in (("weights.", module), ("average.", average)):
            target.load_state_dict(_under(tensors, prefix))
    except RuntimeError as problem:
        raise TrainingError(
            CHECKPOINT,
            expected="weights of this network",
            got=complaint(problem),
            fix="pass --restart to begin anew",
        ) from problem
    weights = dict(module.named_parameters())
    for name, momentum in _under(tensors, "momentum.").items():
        weight = weights[name]  # whose memory order the momentum takes
        sgd.state[weight]["momentum_buffer"] = torch.empty_like(weight).copy_(momentum)


def _under(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): t for name, t in tensors.items() if name.startswith(prefix)}


def not_finite(
    what: str, step: int | None = None, *, is_mixed: bool = True, is_kept: bool = True
) -> TrainingError:
    """Return the error for numbers that overflowed.

    Args:
        what: the numbers.
        step: at which they did, if that is known.
        is_mixed: whether the run may be in bfloat16, so that float32 is a way out.
        is_kept: whether there is a checkpoint from before.
    """
    way_out = "a lower --lr, or --precision float32" if is_mixed else "a lower --lr"
    kept = "the last good checkpoint is kept" if is_kept else "no checkpoint was saved before it"
    place = "" if step is None else f" at step {step}"
    return TrainingError(
        f"training{place}",
        expected="finite numbers",
        got=f"a NaN or an infinity in the {what}",
        fix=f"pass {way_out}; {kept}",
    )


# What was asked for


def read_run(folder: Path) -> dict[str, Any] | None:
    """Return what a run's folder says it is, or None where there is none.

    Raises:
        FileError: it cannot be read.
    """
    path = folder / RUN
    if not path.exists():
        return None
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(document, dict) or document.get("format") != FORMAT:
            raise ValueError("something else")
    except (OSError, ValueError) as problem:
        raise FileError(
            str(path),
            expected="the description of a training run",
            got=complaint(problem),
            fix="pass --restart to begin anew, or another --out",
        ) from problem
    return document


def write_run(folder: Path, document: Mapping[str, Any]) -> None:
    """Write what a run is.

    Raises:
        FileError: it cannot be written.
    """
    whole = {"format": FORMAT, "version": VERSION, **document}
    text = json.dumps(whole, indent=2, ensure_ascii=False) + "\n"
    write_whole(folder / RUN, [text.encode()], durable=True)


def check_same(folder: Path, begun: Mapping[str, Any], asked: Mapping[str, Any]) -> None:
    """See that a run that was begun is the one that is asked for.

    Raises:
        TrainingError: it is not; the message says what differs.
    """
    for name in [*begun, *(name for name in asked if name not in begun)]:
        was, now = begun.get(name), asked.get(name)
        if was != now:
            raise TrainingError(
                f"run {folder}",
                expected=f"{name} {was}, as it was begun",
                got=f"{now}",
                fix="pass the same settings to go on, another --out, or --restart to begin anew",
            )


def forget(folder: Path) -> None:
    """Remove what a run left in its folder, and nothing else."""
    for name in (RUN, CHECKPOINT, METRICS, CARD, WEIGHTS):
        (folder / name).unlink(missing_ok=True)
    for events in (folder / EVENTS).glob("events.out.tfevents.*"):
        events.unlink()


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Keep other processes out of a run's folder; the system opens the lock when we end, however.

    Raises:
        TrainingError: another process is training there.
    """
    with (folder / LOCK).open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as problem:
            raise TrainingError(
                f"run {folder}",
                expected="a folder that nobody is training in",
                got="another process at work there",
                fix="wait for it, or choose another --out",
            ) from problem
        for draft in folder.glob(".*.part"):  # of a checkpoint whose writer was killed
            draft.unlink(missing_ok=True)
        yield
