"""What `train` was asked to do, and what it found when it looked at the data and the network."""

from __future__ import annotations

import hashlib
import platform
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from seewhy._version import __version__
from seewhy.datasets import Dataset, Pixels, Split
from seewhy.datasets.memory import fits_in_memory
from seewhy.datasets.stratify import stratified
from seewhy.errors import DataError, InputError
from seewhy.geometry import Size
from seewhy.training import state
from seewhy.training.draws import seed_of
from seewhy.training.feed import Disk, Memory, Source
from seewhy.training.processes import Processes
from seewhy.training.recipe import Recipe
from seewhy.training.start import Start, start


@dataclass(frozen=True)
class Job:
    """What is to be trained, with what, and how; see `train`.

    Raises:
        InputError: on construction, when settings do not go together.
        DataError: there is nothing to tell apart.
    """

    net: str
    data: Dataset
    out: Path
    recipe: Recipe
    init: bool
    gap: bool
    size: Size | None
    device: torch.device
    processes: Processes

    def __post_init__(self) -> None:
        if self.gap and not self.init:
            raise InputError(
                "to_gap",
                expected="a trained network whose head it replaces",
                got="a net to train from scratch",
                fix="pass --init MODEL with --to-gap",
            )
        if self.recipe.batch_size % self.processes.world:
            raise InputError(
                "batch_size",
                expected=f"a multiple of the {self.processes.world} processes",
                got=str(self.recipe.batch_size),
                fix="pass another --batch-size",
            )
        if len(self.data.class_names) < 2:
            raise DataError(
                f"data {self.data.name}",
                expected="two classes at least",
                got=str(len(self.data.class_names)),
                fix="add pictures of another class",
            )

    def asked(self) -> dict[str, Any]:
        """Return all that the weights depend on and the user chose, as JSON can hold it."""
        return {
            "net": self.net,
            "init": self.init,
            "gap": self.gap,
            "size": None if self.size is None else list(self.size),
            "processes": self.processes.world,
            "data": fingerprint(self.data),
            **self.recipe.account(),
        }


def fingerprint(data: Dataset) -> str:
    """Return what tells data sets apart: name, number of pictures, classes and labels in order."""
    digest = hashlib.sha256("\n".join(data.class_names).encode())
    for split in (data.train, data.test):
        digest.update(split.labels.tobytes())
    return f"{data.name}, {len(data.train)} + {len(data.test)} pictures, {digest.hexdigest()[:16]}"


def machine(device: torch.device) -> dict[str, Any]:
    """Return what the last digits of the weights depend on."""
    is_gpu = device.type == "cuda"
    return {
        "seewhy": __version__,
        "torch": torch.__version__,
        "device": torch.cuda.get_device_name(device) if is_gpu else device.type,
        "processor": f"{platform.machine()}, {torch.backends.cpu.get_cpu_capability()}",
        "threads": torch.get_num_threads(),
    }


@dataclass(frozen=True, eq=False)
class Prepared:
    """All that training begins with.

    Attributes:
        start: the network, as it is before the first step.
        source: what it is trained with.
        held_out: what it is scored with after each epoch, if anything.
        recipe: settled.
        document: what run.json says.
    """

    start: Start
    source: Source
    held_out: Pixels | None
    recipe: Recipe
    document: Mapping[str, Any]


def prepare(job: Job, begun: Mapping[str, Any] | None) -> Prepared:
    """Load the network and the data, and settle what the recipe leaves open.

    Args:
        job: what is to be done.
        begun: what run.json says, if the run goes on: then nothing is settled anew.
    """
    network = start(
        job.net,
        len(job.data.class_names),
        seed=job.recipe.seed,
        init=job.init,
        gap=job.gap,
        size=job.size,
    )
    stay, aside = _parts(job)
    fits = begun["in_memory"] if begun else fits_in_memory(stay.nbytes(network.preprocess))
    source: Source = (
        Memory(stay.load(network.preprocess)) if fits else Disk(stay, network.preprocess)
    )
    recipe = Recipe(**begun["settled"]) if begun else _settled(job, network, source)
    document = begun or {
        "asked": job.asked(),
        "settled": recipe.account(),
        "in_memory": fits,
        "machine": machine(job.device),
    }
    held_out = aside.load(network.preprocess) if aside else None
    return Prepared(network, source, held_out, recipe, document)


def begin(job: Job) -> Mapping[str, Any] | None:
    """Return what run.json says of a run that was begun in the folder, or None.

    Raises:
        TrainingError: it is another run.
        FileError: it cannot be read.
    """
    begun = state.read_run(job.out)
    if begun:
        was = {
            **Recipe().account(),
            **begun["asked"],
        }  # settings that are newer have their defaults
        state.check_same(job.out, was, job.asked())
    return begun


def _settled(job: Job, network: Start, source: Source) -> Recipe:
    return job.recipe.settled(
        network.module, pictures=source.count, device=job.device, is_trained=network.is_trained
    )


def _parts(job: Job) -> tuple[Split, Split | None]:
    """What is trained with, and what is held out."""
    train = job.data.train
    if not job.recipe.validation:
        return train, None
    seed = seed_of(job.recipe.seed, "validation")
    stay, aside = stratified(train.labels, job.recipe.validation, seed)
    return train.take("train", stay), train.take("validation", aside)
