"""Several processes that train one network together, by PyTorch's DistributedDataParallel.

Each sees its part of every batch, gradients are averaged, and the first one alone writes.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor, nn


@dataclass(frozen=True)
class Processes:
    """This process among those that train together.

    Attributes:
        rank: of this one, from 0.
        world: how many there are.
    """

    rank: int = 0
    world: int = 1

    @property
    def is_first(self) -> bool:
        """Whether this is the one that writes."""
        return self.rank == 0

    def total(self, sums: Tensor) -> Tensor:
        """Return the sum of a tensor over all processes."""
        if self.world > 1:
            dist.all_reduce(sums)
        return sums

    def wait(self) -> None:
        """Wait until all are here."""
        if self.world > 1:
            dist.barrier()

    @contextmanager
    def first_first(self) -> Iterator[None]:
        """Let the first process through the context before the others come in."""
        if not self.is_first:
            self.wait()
        yield
        if self.is_first:
            self.wait()

    def spread(self, module: nn.Module) -> nn.Module:
        """Return a network whose gradients are the mean over all processes."""
        if self.world == 1:
            return module
        device = next(module.parameters()).device
        ids = [device.index] if device.type == "cuda" else None
        return nn.parallel.DistributedDataParallel(module, device_ids=ids)


def here() -> Processes:
    """Return this process among those that joined."""
    if not (dist.is_available() and dist.is_initialized()):
        return Processes()
    return Processes(dist.get_rank(), dist.get_world_size())


@contextmanager
def joined(device: str) -> Iterator[str]:
    """Join the processes that `torchrun` started with this one, if it did; give the device's name.

    Args:
        device: as the user named it; of several GPUs each process takes its own.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) < 2:
        yield device
        return
    is_gpu = device.startswith("cuda")
    if is_gpu:
        device = f"cuda:{os.environ.get('LOCAL_RANK', '0')}"
        torch.cuda.set_device(device)
    dist.init_process_group("nccl" if is_gpu else "gloo")
    try:
        yield device
    finally:
        dist.destroy_process_group()
