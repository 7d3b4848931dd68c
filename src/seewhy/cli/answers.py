"""From paths to answers: pictures are read ahead while the network runs, batch by batch."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar, overload

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from seewhy import images
from seewhy.cli import arrays
from seewhy.cli.engines import Runner
from seewhy.cli.rereading import LostPicture, Version, read_again, version_of
from seewhy.errors import DataError, ImageError
from seewhy.explainer import explain
from seewhy.explanation import Explanation
from seewhy.finer.views import Views
from seewhy.finer.wish import Wish
from seewhy.geometry import Geometry
from seewhy.models import Classifier
from seewhy.refinement import refine
from seewhy.regions import Search
from seewhy.results import MEAN, ClassEvidence, PictureEvidence, Prediction, quantity
from seewhy.tasks import Task

Item = TypeVar("Item")
Result = TypeVar("Result")

Entries = tuple[ClassEvidence, ...]

THREADS = min(4, os.cpu_count() or 1)


@dataclass(frozen=True)
class Question:
    """What is asked of every picture.

    Attributes:
        model: whom to ask.
        classes: ids, or "predicted", "top5", "all".
        against: the class to measure against, "others", or None.
        batch_size: how many pictures go through the network together.
        output: which of the model's outputs, if it has several.
        task: what that output means.
        search: how boxes are looked for, if they are.
        finer: how fine the maps are to be, and over what they are averaged.
        refine: whether refined maps are made, too: then these are averaged, and the evidence is
            that of the plain pass.
        takes_arrays: whether sequences or volumes are asked about, and not pictures.
        runner: what runs the network, where not PyTorch as it is.
    """

    model: Classifier
    classes: str | Sequence[int]
    against: int | str | None
    batch_size: int
    output: str | None = None
    task: Task = "single-label"
    search: Search | None = None
    finer: Wish = field(default_factory=Wish)
    refine: bool = False
    takes_arrays: bool = False
    runner: Runner | None = None

    def prepared(self, path: Path) -> tuple[NDArray[np.float32], Geometry | None]:
        """What lies at a path as the network's input; and the way back, if it is a picture.

        Raises:
            ImageError, DataError: it cannot be read.
        """
        if self.takes_arrays:
            array = arrays.read(path)
            arrays.require_like(path, array.shape, self.model.shape or array.shape)
            return array, None
        return self.model.preprocess(images.read(path))

    @property
    def against_name(self) -> str | None:
        """The name of what is measured against, if anything."""
        if isinstance(self.against, int):
            return self.model.class_name(self.against)
        return self.against

    @property
    def quantity(self) -> str:
        """What the model gives: see `ClassEvidence`."""
        return ("" if self.finer.is_plain or self.refine else MEAN) + quantity(self.task)


@dataclass(frozen=True)
class Answer:
    """One picture's answer, or why there is none. It holds no pixels.

    Attributes:
        path: where the picture lies.
        name: what people are told it is called.
        geometry: how it became the network's input; None after an error, or if it is no picture.
        classes: the evidence for each class asked for.
        predicted: the most probable class of all.
        against: the class it is measured against, if any.
        is_exact: whether all of it adds up that should.
        error: the one line that says why the picture could not be read.
        files: what was drawn of it.
        version: what changes when the file does.
        views: what its numbers and maps are means over, if they are.
    """

    path: Path
    name: str
    geometry: Geometry | None = None
    classes: tuple[ClassEvidence, ...] = ()
    predicted: Prediction | None = None
    against: str | None = None
    is_exact: bool = True
    error: str | None = None
    files: tuple[Path, ...] = ()
    version: Version | None = None
    views: Views | None = None

    def picture(self) -> PictureEvidence:
        """Return the same with its pixels, read again from the disk.

        Raises:
            LostPicture: it cannot be read any more, or is not what was explained.
        """
        image = read_again(self.path, self.version)
        geometry = self.geometry or Geometry.identity(image.size)
        return PictureEvidence(
            self.name, image, geometry, self.classes, self.against, self.predicted
        )

    def without(self, lost: LostPicture) -> Answer:
        """Return what is left to say if it is this one's picture that is lost."""
        if self.path != lost.path:
            return self
        return Answer(self.path, self.name, error=lost.line, files=self.files)


def while_they_last(answers: list[Answer], make: Callable[[Sequence[Answer]], Result]) -> Result:
    """Make something of the pictures of `answers`; those lost meanwhile become errors in there."""
    while True:
        try:
            return make(answers)
        except LostPicture as lost:
            answers[:] = [each.without(lost) for each in answers]


class Pictures(Sequence[PictureEvidence]):
    """The pictures of answers, each in memory only while it is looked at."""

    def __init__(self, answers: Sequence[Answer]) -> None:
        self._answers = answers

    def __len__(self) -> int:
        return len(self._answers)

    @overload
    def __getitem__(self, index: int) -> PictureEvidence: ...
    @overload
    def __getitem__(self, index: slice) -> Pictures: ...
    def __getitem__(self, index: int | slice) -> PictureEvidence | Pictures:
        if isinstance(index, slice):
            return Pictures(self._answers[index])
        return self._answers[index].picture()


@dataclass(frozen=True)
class _Loaded:
    path: Path
    name: str
    tensor: torch.Tensor
    geometry: Geometry | None
    version: Version | None


def answer(question: Question, paths: Sequence[Path]) -> Iterator[list[Answer]]:
    """Yield the answers for `paths` in order, a batch at a time; a broken picture stops nothing."""
    names = short_names(paths)

    def load(path: Path) -> _Loaded | Answer:
        version = version_of(path)
        try:
            array, geometry = question.prepared(path)
        except (ImageError, DataError) as problem:
            return Answer(path, names[path], error=str(problem))
        return _Loaded(path, names[path], torch.from_numpy(array), geometry, version)

    with threads() as pool:
        ahead = question.batch_size + THREADS
        loaded = _in_order(pool, load, paths, ahead=ahead)
        while batch := list(islice(loaded, question.batch_size)):
            yield _explain(question, batch)


def short_names(paths: Sequence[Path]) -> dict[Path, str]:
    """Return what tells pictures apart: their paths below the folder that they all lie in."""
    root = os.path.commonpath([path.absolute().parent for path in paths])
    return {path: str(path.absolute().relative_to(root)) for path in paths}


@contextmanager
def threads() -> Iterator[ThreadPoolExecutor]:
    """A small pool; what has not begun when the context is left never will."""
    pool = ThreadPoolExecutor(THREADS, thread_name_prefix="seewhy")
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)


def _in_order(
    pool: ThreadPoolExecutor,
    do: Callable[[Item], Result],
    items: Sequence[Item],
    *,
    ahead: int,
) -> Iterator[Result]:
    """Yield `do(item)` for each item, at most `ahead` of them done before they are asked for."""
    waiting: deque[Future[Result]] = deque()
    for item in items:
        waiting.append(pool.submit(do, item))
        if len(waiting) > ahead:
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()


def _explain(question: Question, batch: Sequence[_Loaded | Answer]) -> list[Answer]:
    loaded = [each for each in batch if isinstance(each, _Loaded)]
    explained = iter(_explain_loaded(question, loaded) if loaded else ())
    return [each if isinstance(each, Answer) else next(explained) for each in batch]


def _explain_loaded(question: Question, batch: Sequence[_Loaded]) -> list[Answer]:
    result, entries = _asked(question, [each.tensor for each in batch])
    has_all = question.classes != "positive"
    exact = (result.adds_up | (not result.is_additive)).all(1).tolist()
    return [
        Answer(
            each.path,
            each.name,
            each.geometry,
            _located(
                entries[index] if has_all else _positive(result, index, entries[index]),
                each.geometry,
                question.search,
            ),
            result.prediction(index),
            result.against_name,
            is_exact,
            version=each.version,
            views=result.views,
        )
        for index, (each, is_exact) in enumerate(zip(batch, exact, strict=True))
    ]


def _asked(question: Question, pictures: Sequence[Tensor]) -> tuple[Explanation, Sequence[Entries]]:
    """The explanation of some pictures, and of each the evidence, with refined maps if wanted."""
    model = question.model
    shared: dict[str, Any] = {
        "output": question.output,
        "task": question.task,
        "class_names": model.class_names,
        "strict": False,
    }
    if question.refine:
        shared |= {"flip": question.finer.flip, "scales": question.finer.scales}
        found = refine(model.module, pictures, question.classes, **shared)
        return found.raw, [found.class_evidence(index) for index in range(len(found))]
    shared |= {"against": question.against, **asdict(question.finer)}
    if question.runner is not None:
        alike = [each for each in pictures if each.shape == pictures[0].shape]
        batch = torch.stack(alike).to(model.device)  # where others differ, explain says so
        shared["engine"] = question.runner.engine(model, question.output, batch)
    result = explain(model.module, pictures, question.classes, **shared)
    return result, [result.class_evidence(index) for index in range(len(result))]


def _located(entries: Entries, geometry: Geometry | None, search: Search | None) -> Entries:
    if search is None or geometry is None:
        return entries
    maps = (each.map if each.refined is None else each.refined for each in entries)
    found = (search.regions(map_, geometry) for map_ in maps)
    return tuple(
        replace(each, regions=regions) for each, regions in zip(entries, found, strict=True)
    )


def _positive(result: Explanation, index: int, entries: Entries) -> Entries:
    """Of one picture the classes above one half, and the most probable one in any case."""
    return entries[: max(1, int(result.positive[index].sum()))]
