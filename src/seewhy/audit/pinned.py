"""What an audit is of: a model, its engine, data and settings, so that nothing is ever mixed."""

from __future__ import annotations

import hashlib
from dataclasses import asdict
from datetime import UTC, datetime
from importlib import metadata
from typing import Any

import torch
from torch import nn

from seewhy._version import __version__
from seewhy.audit.explaining import Explainer, Settings
from seewhy.audit.listing import Listing
from seewhy.audit.manifest import Manifest
from seewhy.results import NOT_ADDITIVE

PACKAGES = ("numpy", "pillow", "pyarrow", "torch")  # have a say in the numbers, or in the bytes


def manifest_of(listing: Listing, explainer: Explainer, settings: Settings) -> Manifest:
    """The manifest of an audit that is about to begin."""
    return Manifest(
        model=_model(explainer),
        preprocess=_plain(asdict(explainer.classifier.preprocess)),
        engine={**explainer.engine.describe(), "device": explainer.classifier.device.type},
        settings=asdict(settings),
        data={
            "source": listing.source,
            "count": len(listing),
            "fingerprint": listing.fingerprint,
        },
        versions={"seewhy": __version__, **{name: metadata.version(name) for name in PACKAGES}},
        created=datetime.now(UTC).isoformat(timespec="seconds"),
    )


def _model(explainer: Explainer) -> dict[str, Any]:
    head, names = explainer.head, explainer.class_names
    return {
        "name": explainer.classifier.name,
        "fingerprint": fingerprint(explainer.classifier.module),
        "head": head.describe(),
        "kind": head.kind,
        "method": head.method,
        "task": explainer.task,
        "num_classes": explainer.num_classes,
        "channels": head.channels,
        "grid": list(head.grid),
        "class_names": None if names is None else list(names),
        "additive": head.kind not in NOT_ADDITIVE,
        "tolerance": explainer.tolerance,
    }


def fingerprint(module: nn.Module) -> str:
    """SHA-256 over names, types, shapes and bytes of all weights and buffers, hexadecimal."""
    digest = hashlib.sha256()
    for name, tensor in sorted(module.state_dict().items()):
        if not isinstance(tensor, torch.Tensor):
            continue  # what a module keeps of its own kind
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        flat = tensor.detach().cpu().contiguous().reshape(-1)
        digest.update(flat.view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _plain(values: Any) -> Any:
    """Tuples as lists, as JSON has them."""
    if isinstance(values, dict):
        return {name: _plain(value) for name, value in values.items()}
    return [_plain(value) for value in values] if isinstance(values, tuple | list) else values
