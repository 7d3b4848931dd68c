"""What a model decides about many pictures: forward passes in batches, pictures read ahead."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import chain
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from seewhy.errors import DataError, ImageError, ModelError
from seewhy.explainer import explain
from seewhy.explanation import Explanation
from seewhy.figures.choice import Decisions
from seewhy.figures.source import Source
from seewhy.heads import Head, cached_head
from seewhy.models import Classifier
from seewhy.wording import first_few

Progress = Callable[[int], object]
Result = TypeVar("Result")

_PIXELS = 128 * 32 * 32  # of the input, in one batch: 128 pictures of CIFAR, 2 of ImageNet ...
_FEWEST = 16  # ... but no fewer than these
_THREADS = min(4, os.cpu_count() or 1)


def decide(
    model: Classifier, source: Source, on_progress: Progress | None = None
) -> tuple[Decisions, tuple[str, ...]]:
    """Run a model over all pictures of a source.

    Args:
        model: whom to ask.
        source: the pictures.
        on_progress: told how many pictures more are done, after each batch.

    Returns:
        What it decided, and a line for each picture that could not be read; those are left out.

    Raises:
        DataError: none could be read.
        ModelError: the model cannot run, or its logits are not finite.
    """
    head = cached_head(model.module, model.example())  # of pictures all alike there is none
    skipped: list[str] = []
    parts = []
    for batch in _prepared(model, source):
        read = {row: tensor for row, tensor in batch if isinstance(tensor, Tensor)}
        skipped.extend(str(problem) for _, problem in batch if isinstance(problem, ImageError))
        if read:
            parts.append(_decisions(model, head, read))
        if on_progress:
            on_progress(len(batch))
    if not parts:
        raise DataError(
            source.what,
            expected="pictures that can be read",
            got=f"none of {len(source)}: {first_few(skipped, count=1)}",
            fix="check the data set",
        )
    columns = (np.concatenate(column) for column in zip(*parts, strict=True))
    return Decisions(*columns), tuple(skipped)


def _decisions(
    model: Classifier, head: Head, pictures: dict[int, Tensor]
) -> Iterable[NDArray[Any]]:
    """Rows, predicted classes, their probabilities and margins, of one batch."""
    result = explain(
        model.module,
        list(pictures.values()),
        "top2",
        head=head,
        task=model.task,
        class_names=model.class_names,
        strict=False,
    )
    _check_finite(result, model.name)
    probability = result.probabilities.gather(1, result.classes).double().cpu().numpy()
    margin = probability[:, 0] - (probability[:, 1] if probability.shape[1] > 1 else 0)
    predicted = result.classes[:, 0].cpu().numpy()
    return np.fromiter(pictures, np.int64), predicted, probability[:, 0], margin


def _check_finite(result: Explanation, name: str) -> None:
    if not bool(torch.isfinite(result.logits).all()):
        raise ModelError(
            f"model {name}",
            expected="finite logits",
            got="NaN or infinite ones",
            fix="check the weights for NaN",
        )


def _prepared(model: Classifier, source: Source) -> Iterator[list[tuple[int, Tensor | ImageError]]]:
    def prepare(row: int) -> tuple[int, Tensor | ImageError]:
        try:
            return row, torch.from_numpy(model.preprocess(source.pictures.image(row))[0])
        except ImageError as problem:
            return row, problem

    width, height = model.preprocess.size
    size = max(_FEWEST, _PIXELS // (width * height))
    starts = range(0, len(source), size)
    rows = (range(start, min(start + size, len(source))) for start in starts)
    return _one_ahead(prepare, rows)


def _one_ahead(
    do: Callable[[int], Result], batches: Iterable[Sequence[int]]
) -> Iterator[list[Result]]:
    """Yield `do` of every item, batch by batch; the next batch is under way meanwhile."""
    with ThreadPoolExecutor(_THREADS, thread_name_prefix="seewhy") as pool:
        now: list[Future[Result]] = []
        for batch in chain(batches, [()]):
            following = [pool.submit(do, item) for item in batch]
            if now:
                yield [each.result() for each in now]
            now = following
