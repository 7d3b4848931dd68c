"""From a batch of prepared pictures to rows of the store: one pass, and everything after it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float32
from numpy.typing import NDArray
from torch import Tensor

from seewhy import evidence, tasks
from seewhy.audit import statistics
from seewhy.audit.columns import Explained, Numbers, table_of
from seewhy.audit.listing import UNKNOWN, Listing
from seewhy.audit.prepare import Frames, Prepared, prepare
from seewhy.audit.statistics import Placed
from seewhy.engines import TOLERANCES, Engine
from seewhy.errors import DataError
from seewhy.explainer import explain_logits
from seewhy.explanation import Explanation
from seewhy.heads import Head, Seen
from seewhy.heads.mixed import Mixed
from seewhy.models import Classifier
from seewhy.preprocess import Preprocess
from seewhy.tasks import Task


@dataclass(frozen=True)
class Settings:
    """What has a say in the numbers of an audit, beside the model and the engine.

    Attributes:
        top: how many of the most probable classes get a map.
        batch_size: how many pictures go through the network together.
        rows_per_shard: how many rows a file has.
        scaled: whether large JPEGs may be decoded smaller, which changes logits a little.
    """

    top: int = 5
    batch_size: int = 32
    rows_per_shard: int = 4096
    scaled: bool = False

    def batches(self, rows: range) -> Iterator[range]:
        """The batches of a shard's rows; none crosses into another shard."""
        return (
            rows[start : start + self.batch_size] for start in range(0, len(rows), self.batch_size)
        )


@dataclass(frozen=True, eq=False)
class Explainer:
    """Explains batches: a network that an engine runs, and its head. For one thread at a time.

    Attributes:
        classifier: the network, and how its pictures are prepared.
        head: its head.
        engine: what runs it.
        top: how many of the most probable classes get a map.
    """

    classifier: Classifier
    head: Head
    engine: Engine
    top: int = 5

    @property
    def task(self) -> Task:
        """What the logits mean.

        Raises:
            DataError: they mean no classes.
        """
        names = self.classifier.class_names
        count, applied = self.head.num_classes, self.head.activation
        task = tasks.task_of(self.classifier.task, count, applied, names)
        if task == "regression":
            raise DataError(
                f"model {self.classifier.name}",
                expected="a classifier, of which the most probable classes can be explained",
                got="a regression",
                fix="take another model",
            )
        return task

    @property
    def class_names(self) -> tuple[str, ...] | None:
        """The names of what is explained, if they are known."""
        return tasks.outcomes(self.task, self.head.num_classes, self.classifier.class_names)[0]

    @property
    def num_classes(self) -> int:
        """How many classes can be explained."""
        return tasks.outcomes(self.task, self.head.num_classes, self.classifier.class_names)[1]

    @property
    def tolerance(self) -> float:
        """The largest certificate that rounding explains, at the engine's precision."""
        return TOLERANCES[self.engine.precision]

    def __call__(self, prepared: Prepared) -> Explained:
        """Explain a batch; rows whose picture failed get numbers that mean nothing.

        Raises:
            ModelError: the network cannot be run on it.
        """
        batch = normalised(prepared.frames, self.classifier.preprocess)
        seen = self.engine(batch.to(self.classifier.device))
        labels = [UNKNOWN if e.label is None else e.label for e in prepared.entries]
        with torch.no_grad():
            return self._explained(seen, np.array(labels))

    def _explained(self, seen: Seen, labels: NDArray[np.integer[Any]]) -> Explained:
        of: Head | Mixed = self.head
        logits = seen.logits
        if self.task == "binary":
            of, logits = tasks.no_and_yes(self.head, logits)
        ids, keep = _classes(logits, labels, self.top)
        result = explain_logits(
            self.classifier.module,
            of,
            logits,
            seen.features,
            ids,
            task=self.task,
            tolerance=self.tolerance,
            class_names=self.class_names,
            tail=seen.tail,
        )
        described = self._descriptors(of, seen, ids[:, :1])
        return Explained(
            classes=_array(ids).astype(np.int32),
            keep=keep,
            logits=_array(result.target),
            probabilities=_array(result.probabilities.gather(1, ids)),
            bias=_array(result.bias),
            certificate=_array(result.certificate),
            maps=_array(result.maps),
            scale=_array(evidence.logit_scale(result.logits))[:, 0],
            margin=_margin(result),
            descriptors=described,
        )

    def _descriptors(
        self, of: Head | Mixed, seen: Seen, predicted: Tensor
    ) -> Float32[NDArray[np.float32], "batch channel"] | None:
        """Row times pooled features, of each picture's predicted class; None without rows.

        Where the features are class maps already, it would only repeat the logit.
        """
        if self.head.plan is not None or self.head.kind == "class-maps":
            return None
        with evidence.without_autocast(seen.features.device.type):
            rows, _ = of.rows(self.classifier.module, seen.features, predicted)
            return _array(rows[:, 0] * evidence.pooled(seen.features).to(rows.dtype))


def _classes(
    logits: Tensor, labels: NDArray[np.integer[Any]], top: int
) -> tuple[Tensor, NDArray[np.bool_]]:
    """The most probable classes, then the label; and which of them count, (batch, k + 1).

    A label that is unknown, or among the most probable ones, does not count.
    """
    best = logits.topk(min(top, logits.shape[1])).indices
    true = torch.from_numpy(labels.astype(np.int64)).to(best.device)[:, None]
    new = ((true >= 0) & (best != true).all(1, keepdim=True)).cpu().numpy()
    ids = torch.cat([best, true.clamp(min=0)], 1)
    return ids, np.concatenate([np.ones(best.shape, dtype=bool), new], 1)


def _margin(result: Explanation) -> NDArray[np.float32]:
    """The largest logit less the second largest; NaN where there is one only."""
    if result.logits.shape[1] < 2:
        return np.full(len(result), np.nan, dtype=np.float32)
    best = result.logits.float().topk(2).values
    return _array(best[:, 0] - best[:, 1])


def _array(tensor: Tensor) -> NDArray[Any]:
    tensor = tensor.detach()
    tensor = tensor.float() if tensor.is_floating_point() else tensor
    array: NDArray[Any] = tensor.cpu().numpy()
    return array


def normalised(frames: Frames, preprocess: Preprocess) -> Tensor:
    """What `Preprocess` makes of framed pictures: (batch, channels, height, width), float32.

    The values are those of `Preprocess.__call__`, bit for bit. One plane is done with before the
    next is begun: it stays in the cache, a batch would not.
    """
    count, height, width, channels = frames.shape
    made = torch.empty(count, channels, height, width)
    means, deviations = preprocess.mean, preprocess.std
    for picture, into in zip(torch.from_numpy(frames), made, strict=True):
        for plane, mean, std, to in zip(picture.unbind(2), means, deviations, into, strict=True):
            to.copy_(plane).div_(255.0).sub_(mean).div_(std)
    return made


def explain_rows(listing: Listing, rows: range, explainer: Explainer, settings: Settings) -> Any:
    """Explain some rows, such as those of a shard: a pure function of its arguments.

    Args:
        listing: of the data, with the model's classes.
        rows: which rows of it.
        explainer: of the model.
        settings: how rows are put into batches.

    Returns:
        A `pyarrow.Table` of the store's schema, one row each, in order.

    Raises:
        ModelError: the network cannot be run on them.
    """
    preprocess = explainer.classifier.preprocess
    parts = (
        explain_prepared(prepare(listing, batch, preprocess, scaled=settings.scaled), explainer)
        for batch in settings.batches(rows)
    )
    return joined(parts)


def explain_prepared(prepared: Prepared, explainer: Explainer) -> Any:
    """The rows of one batch, as a `pyarrow.Table`."""
    explained = explainer(prepared)
    placed = [each for each in prepared.geometry if each is not None]
    good = np.array([each is not None for each in prepared.geometry])
    if not placed:
        return table_of(prepared, explained, None, explainer.class_names)
    predicted = explained.maps[good, 0]
    boxes = [e.boxes for e, is_good in zip(prepared.entries, good, strict=True) if is_good]
    numbers = _numbers(predicted, Placed.of(placed), boxes)
    return table_of(prepared, explained, numbers, explainer.class_names)


def _numbers(
    maps: NDArray[np.float32], placed: Placed, boxes: Sequence[NDArray[np.floating] | None]
) -> Numbers:
    maps = np.where(np.isfinite(maps).all((1, 2), keepdims=True), maps, np.float32(0))
    x, y = statistics.centres(maps, placed)
    return Numbers(
        original=placed.original.astype(np.int32),
        predicted_boxes=statistics.found_boxes(maps, placed),
        area=statistics.area(maps),
        concentration=statistics.concentration(maps),
        centre_x=x,
        centre_y=y,
        border=statistics.border(maps, placed),
        inside=statistics.inside(maps, placed, boxes),
    )


def joined(tables: Iterable[Any]) -> Any:
    """Tables one after another as one, each column in one piece."""
    import pyarrow as pa

    return pa.concat_tables(list(tables)).combine_chunks()
