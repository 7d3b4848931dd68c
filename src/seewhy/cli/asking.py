"""What was typed behind `seewhy explain`, checked and put together as a question."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from seewhy.cli import arrays, engines, options
from seewhy.cli import boxes as box_options
from seewhy.cli import refined as refined_options
from seewhy.errors import InputError

if TYPE_CHECKING:
    from seewhy.cli.answers import Question
    from seewhy.cli.output import Output
    from seewhy.finer.wish import Wish as FinerWish
    from seewhy.heads import Head
    from seewhy.models import Classifier
    from seewhy.regions import Search

DEFAULT_FOLDER = Path("seewhy-out")
BATCH = {"cpu": 16}  # larger ones gain nothing on a CPU
BATCH_ELSEWHERE = 64


@dataclass(frozen=True)
class Drawing:
    """What is drawn, where to and how: the options of these names."""

    out: Path | None
    html: bool
    style: options.Style
    scale: options.Scale

    @property
    def folder(self) -> Path | None:
        """Where to, if anything is drawn."""
        return self.out or (DEFAULT_FOLDER if self.html else None)

    def output(self, paths: Sequence[Path]) -> Output | None:
        """The folder, made if need be.

        Raises:
            FileError: it cannot be written to.
        """
        from seewhy import files
        from seewhy.cli.output import Output, labels

        if self.folder is None:
            return None
        return Output(files.writable_folder(self.folder), self.style, labels(paths), self.scale)


@dataclass(frozen=True)
class Finer:
    """How fine the maps are to be: the options of these names."""

    resolution: int
    how: str
    flip: bool
    scales: str | None

    def wish(self) -> FinerWish:
        """The same, checked.

        Raises:
            InputError: a value that makes no sense.
        """
        from seewhy.finer.wish import wish

        scales = options.scales(self.scales) if self.scales else None
        return wish(self.resolution, self.how, self.flip, scales)


@dataclass(frozen=True)
class Boxes:
    """Whether boxes are looked for, in which maps, and the files for them: options, as typed."""

    wanted: bool
    threshold: str | None
    every: bool
    coco: Path | None
    voc: Path | None
    refine: bool

    def search(self) -> Search | None:
        """How to look for them; None if no option asks for any.

        Raises:
            InputError: the threshold is none.
        """
        return box_options.search(
            boxes=self.wanted,
            threshold=self.threshold,
            every=self.every,
            files=(self.coco, self.voc),
            usual=refined_options.BOX_THRESHOLD if self.refine else None,
        )

    def export(self, paths: Sequence[Path]) -> box_options.Export:
        """The files for them, which can be written.

        Raises:
            FileError: they cannot.
        """
        from seewhy.cli.output import labels

        export = box_options.Export(self.coco, self.voc, labels(paths))
        export.check()
        return export


@dataclass(frozen=True)
class Running:
    """How the network is run: the options of these names."""

    batch_size: int | None
    engine: str | None
    precision: str | None
    threads: int | None

    def by(self, question: Question) -> Question:
        """The question, and what runs the network for it.

        Raises:
            InputError: the options do not go together, or not with what is asked.
        """
        is_plain = question.finer.is_plain and not question.refine
        size = question.batch_size
        runner = engines.runner(self.engine, self.precision, self.threads, size, is_plain=is_plain)
        return replace(question, runner=runner)


@dataclass(frozen=True, kw_only=True)
class Asked:
    """All that was typed behind `seewhy explain`: the options of these names, some in groups."""

    pictures: Sequence[str]
    model: options.ModelOptions
    output: str | None
    task: str | None
    classes: str | None
    against: str | None
    running: Running
    drawing: Drawing
    finer: Finer
    boxes: Boxes
    as_json: bool

    def answered(self) -> tuple[int, list[Path]]:
        """Check all of it, load the model, and explain the pictures.

        Returns:
            The exit code, and what was written beside overlays.

        Raises:
            SeewhyError: something that was typed cannot be used.
        """
        from seewhy.cli.run import Wish, run

        takes_arrays = arrays.are_named(self.pictures)
        if takes_arrays:
            self._refuse_what_is_for_pictures()
        views = self.finer.wish()
        paths = self._paths(takes_arrays)
        drawn = self.drawing.output(paths)
        search = self.boxes.search()
        if self.boxes.refine:
            self._check_refined(views, is_shown=bool(drawn or search))
        export = self.boxes.export(paths)
        question = self._question(paths, views, search, takes_arrays)
        wish = Wish(
            output=drawn,
            title="What the model looked at" if self.drawing.html else None,
            as_json=self.as_json,
            export=export,
            top=1 if self.classes is None and question.task != "regression" else None,
        )
        return run(self.running.by(question), paths, wish)

    def _question(
        self, paths: Sequence[Path], views: FinerWish, search: Search | None, takes_arrays: bool
    ) -> Question:
        usual = "top5" if self.drawing.folder else "predicted"
        return ask(
            self.model.load(shape=arrays.shape_of_input(paths) if takes_arrays else None),
            usual if self.classes is None else self.classes,
            self.against,
            1 if takes_arrays else self.running.batch_size,  # they may be of several lengths
            draws=bool(self.drawing.folder) and not takes_arrays,
            output=self.output,
            task=self.task,
            search=search,
            views=views,
            refine=self.boxes.refine,
            takes_arrays=takes_arrays,
        )

    def _paths(self, takes_arrays: bool) -> list[Path]:
        from seewhy import images

        return (arrays.found if takes_arrays else images.find_pictures)(self.pictures)

    def _refuse_what_is_for_pictures(self) -> None:
        boxes, finer = self.boxes, self.finer
        arrays.refuse(
            html=self.drawing.html,
            boxes=boxes.wanted or boxes.threshold or boxes.every,
            coco=boxes.coco,
            voc=boxes.voc,
            refine=boxes.refine,
            resolution=finer.resolution != 1,
            flip=finer.flip,
            scales=finer.scales,
            size=self.model.size,
        )

    def _check_refined(self, views: FinerWish, *, is_shown: bool) -> None:
        refined_options.check(
            against=self.against,
            views=views,
            threshold=self.boxes.threshold,
            is_shown=is_shown,
        )


def ask(
    model: Classifier,
    classes: str = "top5",
    against: str | None = None,
    batch_size: int | None = None,
    *,
    draws: bool = True,
    output: str | None = None,
    task: str | None = None,
    search: Search | None = None,
    views: FinerWish | None = None,
    refine: bool = False,
    takes_arrays: bool = False,
) -> Question:
    """Put the question together, so that a bad one fails before the first picture is read.

    Raises:
        HeadNotFound: the model has no head whose maps are exact.
        ClassError: it has no such class.
        InputError: its maps cannot be drawn over pictures, and `draws` says they will be; or it
            has no such output, or another task.
    """
    from seewhy import tasks
    from seewhy.cli.answers import Question
    from seewhy.finer.wish import Wish as FinerWish
    from seewhy.heads import cached_head

    head = cached_head(model.module, model.example(), output)
    if draws or search or refine:
        _check_grid(model, head)
    meant = tasks.task_of(task or model.task, head.num_classes, head.activation, model.class_names)
    names, count = tasks.outcomes(meant, head.num_classes, model.class_names)
    return Question(
        model=model,
        classes=_classes(classes, names, count),
        against=_against(against, names, count),
        batch_size=batch_size or BATCH.get(model.device.type, BATCH_ELSEWHERE),
        output=output,
        task=meant,
        search=search,
        finer=views or FinerWish(),
        refine=refine,
        takes_arrays=takes_arrays,
    )


def _classes(text: str, names: tuple[str, ...] | None, count: int) -> str | Sequence[int]:
    from seewhy.classes import parse_classes

    is_one = names is not None and text in names
    if text.strip() == "positive" and not is_one:
        return "positive"
    wanted = [text] if is_one else [part.strip() for part in text.split(",") if part.strip()]
    parsed = parse_classes(wanted[0] if len(wanted) == 1 else wanted, names, count)
    if parsed is None:  # all of them, the most probable first
        return f"top{count}"
    return tuple(dict.fromkeys(parsed)) if isinstance(parsed, tuple) else text.strip()


def _against(text: str | None, names: tuple[str, ...] | None, count: int) -> int | str | None:
    from seewhy.classes import class_id

    return text if text in (None, "others") else class_id(text, names, count)


def _check_grid(model: Classifier, head: Head) -> None:
    if len(head.grid) != 2:
        raise InputError(
            f"model {model.name}",
            expected="feature maps with height and width, to draw over pictures",
            got=f"a grid of {' x '.join(map(str, head.grid))}",
            fix="leave out --out, --html and boxes",
        )
