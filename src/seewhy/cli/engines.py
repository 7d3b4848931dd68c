"""What runs the network on the command line: an engine, its precision and its threads."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated

import typer

from seewhy.errors import InputError

if TYPE_CHECKING:
    from torch import Tensor

    from seewhy.engines import Engine as Made
    from seewhy.models import Classifier

_PANEL = "Running"

Engine = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        rich_help_panel=_PANEL,
        help="torch, compile, onnx, openvino, mnn, or auto: the fastest here.",
    ),
]
Precision = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        rich_help_panel=_PANEL,
        help="Of the engine: float32, bfloat16, float16, int8 (calibrated on the first batch).",
    ),
]
Threads = Annotated[
    int | None,
    typer.Option(min=1, metavar="N", rich_help_panel=_PANEL, help="Of the engine."),
]


@dataclass
class Runner:
    """The engine that was asked for; it is made when the first pictures are there.

    Attributes:
        name: of the engine.
        precision: what it computes with.
        threads: how many it may use; None for the usual number.
        batch: how many pictures come together.
    """

    name: str
    precision: str
    threads: int | None
    batch: int
    _made: Made | None = field(default=None, init=False)

    def engine(self, model: Classifier, output: str | None, pictures: Tensor) -> Made:
        """Return the engine; when it is made, say what it is.

        Raises:
            HeadNotFound: the model has no head.
            InputError, ModelError, MissingExtraError: see `seewhy.engines.make_engine`.
        """
        if self._made is None:
            self._made = self._make(model, output, pictures)
        return self._made

    def _make(self, model: Classifier, output: str | None, pictures: Tensor) -> Made:
        from seewhy.engines import make_engine
        from seewhy.heads import cached_head

        made = make_engine(
            model,
            cached_head(model.module, pictures[:2], output),
            self.name,
            precision=self.precision,  # type: ignore[arg-type]  # what is none is refused there
            threads=self.threads,
            batch=min(self.batch, len(pictures)),
            example=pictures,
            note=_say,
        )
        _say(", ".join(f"{name} {fact}" for name, fact in made.describe().items()))
        return made


def runner(
    name: str | None,
    precision: str | None,
    threads: int | None,
    batch: int,
    *,
    is_plain: bool = True,
) -> Runner | None:
    """What the options ask for: None for the network as it is; without a name, PyTorch.

    Raises:
        InputError: there is no such engine or precision, or one pass is not what is wanted.
    """
    from seewhy.engines import PRECISIONS, require_known

    if name is None and precision is None and threads is None:
        return None
    require_known(name or "torch")
    if precision is not None and precision not in PRECISIONS:
        raise InputError(
            "--precision",
            expected=f"one of {', '.join(PRECISIONS)}",
            got=repr(precision),
            fix="choose one of these",
        )
    if not is_plain:
        raise InputError(
            "--engine",
            expected="maps of one plain pass",
            got="a wish for finer, averaged or refined ones, which take PyTorch itself",
            fix="leave out --engine, --precision and --threads",
        )
    return Runner(name or "torch", precision or "float32", threads, batch)


def _say(line: str) -> None:
    from seewhy.cli.text import plain

    typer.echo(plain(line), err=True)
