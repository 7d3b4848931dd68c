"""`revisit`: an audit's pictures through its network again, whole or changed.

What an audit keeps tells where the evidence lay; whether it decides, only the network can tell.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Float32
from numpy.typing import NDArray
from torch import Tensor, nn

from seewhy import evidence, heads
from seewhy.audit.explaining import normalised
from seewhy.audit.listing import Listing
from seewhy.audit.local import in_order, pool
from seewhy.audit.opened import Audit
from seewhy.audit.pinned import fingerprint
from seewhy.audit.prepare import Frames, prepare
from seewhy.audit.sources import list_pictures
from seewhy.errors import AuditError, DataError, ImageError
from seewhy.heads import Head
from seewhy.models import Classifier, load_model
from seewhy.observe import in_eval_mode, run_eagerly
from seewhy.preprocess import Preprocess

BATCH = 64  # ResNet-20 takes a quarter longer for 256: what is between its layers leaves the cache
PIXELS = 2**21  # of a batch at most

Rows = Sequence[int]
Progress = Callable[[int], None]


@dataclass(frozen=True, eq=False)
class Ran:
    """What the network made of some pictures.

    Attributes:
        logits: (B, C).
        features: (B, K, h, w).
    """

    logits: Float[Tensor, "batch classes"]
    features: Float[Tensor, "batch channel height width"]


@dataclass(frozen=True, eq=False)
class Revisit:
    """An audit with its network and its pictures: `logits = weight @ mean of features + bias`.

    Attributes:
        audit: whose pictures they are.
        classifier: the network, with the preprocessing of the audit.
        head: its head, of kind "linear".
        weight: (C, K), float32; what a sum over positions adds is in it.
        bias: (C,).
        listing: of the pictures.
    """

    audit: Audit
    classifier: Classifier
    head: Head
    weight: Float[Tensor, "classes channel"]
    bias: Float[Tensor, " classes"]
    listing: Listing

    def frames(self, rows: Rows) -> Frames:
        """Pictures as the network gets them, before they are normalised: (B, H, W, 3), 8 bits.

        Args:
            rows: of the audit, in any order.

        Raises:
            DataError: one is not the picture that was audited.
            ImageError: one cannot be read.
        """
        self._require_same(rows)
        settings, preprocess = self.audit.manifest.settings, self.classifier.preprocess
        scaled = settings.get("scaled", False)
        prepared = prepare(self.listing, rows, preprocess, scaled=scaled)
        for entry, error in zip(prepared.entries, prepared.errors, strict=True):
            if error is not None:
                raise ImageError(
                    entry.path,
                    expected="a picture that can be read, as when it was audited",
                    got="one that cannot be",
                    fix="leave out rows whose error is not null",
                )
        return prepared.frames

    def inputs(self, frames: Frames) -> Float32[Tensor, "batch channel height width"]:
        """The network's input, made of what `frames` gave, perhaps changed since."""
        return normalised(frames, self.classifier.preprocess)

    def run(self, inputs: Tensor, batch_size: int | None = None) -> Ran:
        """The network on prepared pictures, without gradients.

        Args:
            inputs: (B, 3, H, W), from `inputs`.
            batch_size: how many go through it together; by default by their size.

        Raises:
            ModelError: the network took another way than by its head.
        """
        parts = [self._run(batch) for batch in inputs.split(batch_size or self.batch_size)]
        logits, features = zip(*parts, strict=True)
        return Ran(torch.cat(logits), torch.cat(features))

    def pooled(
        self, rows: Rows, progress: Progress | None = None
    ) -> Float32[NDArray[np.float32], "batch channel"]:
        """The pooled features of pictures, (N, K): the mean over positions.

        Args:
            rows: of the audit; ascending ones are read the fastest.
            progress: told how many more are done.

        Raises:
            DataError: one is not the picture that was audited.
            ImageError: one cannot be read.
        """
        parts = [np.empty((0, self.head.channels), dtype=np.float32)]
        for frames in self._read(rows):
            features = self._run(self.inputs(frames))[1]
            parts.append(evidence.pooled(features).numpy())
            if progress is not None:
                progress(len(frames))
        return np.concatenate(parts)

    def with_module(self, module: nn.Module) -> Revisit:
        """The same with other weights in a network of the same kind."""
        classifier = replace(self.classifier, module=module)
        weight, bias = _rows(classifier, self.head)
        return replace(self, classifier=classifier, weight=weight, bias=bias)

    @property
    def batch_size(self) -> int:
        """How many pictures go through the network together."""
        width, height = self.classifier.preprocess.size
        return max(1, min(BATCH, PIXELS // (width * height)))

    def _read(self, rows: Rows) -> Iterator[Frames]:
        """Batches of pictures, each read while the one before is computed with."""
        size = self.batch_size
        batches = (rows[start : start + size] for start in range(0, len(rows), size))
        with pool(1) as reader:
            yield from in_order(reader, self.frames, batches, ahead=2)

    def _run(self, batch: Tensor) -> tuple[Tensor, Tensor]:
        model, device = self.classifier.module, self.classifier.device
        images = batch.to(device, memory_format=torch.channels_last)
        with torch.no_grad(), in_eval_mode(model), run_eagerly():
            logits, features = heads.run(model, self.head, (images,), {})
        return logits.float().cpu(), features.float().cpu()

    def _require_same(self, rows: Rows) -> None:
        for row in rows:
            if not 0 <= row < len(self.listing) or self.listing.ids[row] != self._ids[row]:
                raise DataError(
                    self.listing.source,
                    expected=f"{self._ids[row]} in row {row}",
                    got="another picture",
                    fix="make the audit anew",
                )

    @cached_property
    def _ids(self) -> list[str]:
        ids: list[str] = self.audit.table(["id"])["id"].to_pylist()
        return ids


def revisit(
    audit: Audit, model: str | Path | Classifier | None = None, data: str | Path | None = None
) -> Revisit:
    """Load the network of an audit and list its pictures; none is read.

    Args:
        audit: a finished one, of a network that ends in mean (or sum) pooling and linear layers.
        model: what it is of, where that cannot be told from its name, or lies elsewhere now.
        data: where the pictures are, if not where they were.

    Raises:
        AuditError: it is of another network, of other pictures, or of another kind of head.
        ModelError: the network cannot be loaded.
        DataError: the pictures are gone.
    """
    manifest = audit.manifest
    _require_linear(audit)
    classifier = model if isinstance(model, Classifier) else load_model(_name(audit, model))
    if fingerprint(classifier.module) != manifest.model["fingerprint"]:
        raise AuditError(
            f"audit {audit.folder}",
            expected=f"the weights of {manifest.model['name']}, as it was made",
            got=f"others in {classifier.name}",
            fix="pass the model that was audited, or make the audit anew",
        )
    classifier = replace(classifier, preprocess=_preprocess(manifest.preprocess))
    head = heads.cached_head(classifier.module, classifier.example(2))
    weight, bias = _rows(classifier, head)
    listing = list_pictures(manifest.data["source"] if data is None else data)
    return Revisit(audit, classifier, head, weight, bias, listing)


def _name(audit: Audit, model: str | Path | None) -> str | Path:
    name: str = audit.manifest.model["name"]
    return name if model is None else model


def _require_linear(audit: Audit) -> None:
    model = audit.manifest.model
    if model["kind"] != "linear" or model.get("task") == "binary":
        got = "one logit for two classes" if model["kind"] == "linear" else model["head"]
        raise AuditError(
            f"audit {audit.folder}",
            expected="a network that ends in mean pooling and linear layers, a logit a class",
            got=got,
            fix="put such a head on it: seewhy.to_gap",
        )


def _preprocess(pinned: Mapping[str, Any]) -> Preprocess:
    """How the pictures of the audit were prepared, from its manifest."""
    values: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in pinned.items()}
    return Preprocess(**values)


def _rows(classifier: Classifier, head: Head) -> tuple[Tensor, Tensor]:
    """What all linear layers of the head come to: (C, K) and (C,)."""
    every = torch.eye(head.num_classes, device=classifier.device)[None]
    features = torch.zeros(1, head.channels, *head.grid, device=classifier.device)
    with torch.no_grad():
        rows, bias = head.rows(classifier.module, features, mixtures=every)
    return rows[0].float().cpu(), bias[0].float().cpu()
