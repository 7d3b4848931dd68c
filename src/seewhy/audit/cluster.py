"""A Ray cluster: what is asked for, what of it there is, and a quiet connection to it."""

from __future__ import annotations

import logging
import os
import socket
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import wraps
from typing import Any

import torch

from seewhy.errors import AuditError, InputError, MissingExtraError
from seewhy.wording import complaint

HERE = "local"
KNOCK = 10  # seconds

# Ray reads these as it is imported: no report to its makers, no warning that a worker without a GPU
# will see none, and nothing on stderr about what is ours to judge.
_ENVIRONMENT = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_BACKEND_LOG_LEVEL": "fatal",
}


@dataclass(frozen=True)
class Cluster:
    """Where an audit runs.

    Attributes:
        address: HOST:PORT of a cluster's head; "auto" for the one that this machine is part of;
            "local" starts one here, for as long as the audit takes.
        workers: how many at once; by default one a GPU, or one a core where there are none.
        device: what they compute on; by default a GPU if the cluster has any.
    """

    address: str = HERE
    workers: int | None = None
    device: str | None = None

    def __post_init__(self) -> None:
        if self.workers is not None and self.workers < 1:
            got = str(self.workers)
            raise InputError("workers", expected="1 or more", got=got, fix="pass another")


@dataclass(frozen=True)
class Share:
    """What of the cluster there is, and what each worker takes of it."""

    workers: int
    cpus: int
    gpus: int
    device: str

    @property
    def each(self) -> dict[str, int]:
        """In Ray's words."""
        return {"num_cpus": self.cpus, "num_gpus": self.gpus}


def share_of(ray: Any, cluster: Cluster) -> Share:
    """One worker a GPU, with its part of that machine's cores to read pictures; or one a core.

    Raises:
        AuditError: the cluster has nothing to compute with.
    """
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    cpus = [int(node.get("CPU", 0)) for node in nodes]
    gpus = [int(node.get("GPU", 0)) for node in nodes]
    device = cluster.device or ("cuda" if any(gpus) else "cpu")
    is_cpu = torch.device(device).type == "cpu"
    usual = sum(cpus if is_cpu else gpus)
    if not usual:
        raise AuditError(
            f"cluster {cluster.address}",
            expected=f"machines with a {'core' if is_cpu else 'GPU'} to spare",
            got="none",
            fix="add some, or choose another --device",
        )
    workers = cluster.workers or usual
    if is_cpu:
        return Share(workers, 1, 0, device)
    readers = min(c // g for c, g in zip(cpus, gpus, strict=True) if g)
    return Share(workers, max(1, readers), 1, device)


# Connecting


def without_deprecations(do: Callable[..., Any]) -> Callable[..., Any]:
    """Ray warns of its own settings as it makes them, and of how often a task may be tried."""

    @wraps(do)
    def run(*given: Any) -> Any:
        from ray.util.annotations import RayDeprecationWarning

        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            warnings.simplefilter("ignore", RayDeprecationWarning)
            return do(*given)

    return run


def import_ray() -> Any:
    """Ray, with Ray Data and its environment as an audit wants it.

    Raises:
        MissingExtraError: it is not installed.
    """
    for name, value in _ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    try:
        import ray
        import ray.data
    except ImportError as problem:
        raise MissingExtraError(
            "a cluster",
            expected="the package ray, with its part for data",
            got="none installed",
            fix="pip install 'seewhy[ray]'",
        ) from problem
    return ray


@contextmanager
def connected(address: str) -> Iterator[Any]:
    """Ray, connected; what was begun here is ended here."""
    ray = import_ray()
    if ray.is_initialized():
        yield ray
        return
    try:
        _knock(address)
        with _hushed():
            ray.init(
                address=address,
                include_dashboard=False if address == HERE else None,
                log_to_driver=False,
                logging_level=logging.ERROR,
            )
    except Exception as problem:  # of several kinds
        raise AuditError(
            f"cluster {address}",
            expected="the head of a Ray cluster",
            got=complaint(problem),
            fix="start one with `ray start --head`, or pass --ray local",
        ) from problem
    try:
        yield ray
    finally:
        ray.shutdown()


def _knock(address: str) -> None:
    """See that somebody listens at HOST:PORT; Ray would try for minutes, without a word.

    Raises:
        OSError: nobody does.
    """
    host, colon, port = address.rpartition(":")
    if colon and port.isdecimal() and "://" not in host:
        socket.create_connection((host.strip("[]"), int(port)), timeout=KNOCK).close()


@contextmanager
def _hushed() -> Iterator[None]:
    """What Ray's own core says on stderr as it starts, past Python, goes nowhere."""
    sys.stderr.flush()
    before, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(before, 2)
        os.close(before)
        os.close(nowhere)


@contextmanager
def quiet(ray: Any) -> Iterator[None]:
    """Ray Data without bars and log lines, and with errors that are ours to judge."""
    context, logger = _context(ray), logging.getLogger("ray.data")
    names = ("enable_progress_bars", "max_errored_blocks")
    before, level = {name: getattr(context, name) for name in names}, logger.level
    context.enable_progress_bars, context.max_errored_blocks = False, -1
    logger.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        logger.setLevel(level)
        for name, value in before.items():
            setattr(context, name, value)


@without_deprecations
def _context(ray: Any) -> Any:
    return ray.data.DataContext.get_current()
