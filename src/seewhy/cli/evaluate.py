"""`seewhy evaluate`: a group of judgements; of a model alone, how often it is right."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import typer
from typer.core import TyperGroup

from seewhy.cli.evaluate_accuracy import HELP as ACCURACY_HELP
from seewhy.cli.evaluate_accuracy import accuracy
from seewhy.cli.evaluate_faithfulness import HELP as FAITHFULNESS_HELP
from seewhy.cli.evaluate_faithfulness import faithfulness
from seewhy.cli.evaluate_localisation import HELP as LOCALISATION_HELP
from seewhy.cli.evaluate_localisation import localisation
from seewhy.cli.evaluate_randomisation import HELP as RANDOMISATION_HELP
from seewhy.cli.evaluate_randomisation import randomisation
from seewhy.errors import InputError
from seewhy.wording import near

DEFAULT = "accuracy"
HELP = """Judge a model and its maps on a data set.

[bold]Examples[/bold]

\b
seewhy evaluate resnet20-cifar10 --data cifar10/
seewhy evaluate localisation --data boxes.parquet
seewhy evaluate faithfulness --model resnet20-cifar10 --data cifar10/
seewhy evaluate randomisation --model resnet20-cifar10

Where no judgement is named, it is accuracy.
"""


class AccuracyUnlessNamed(TyperGroup):
    """Runs `accuracy` where what is typed first names no command: a model, or an option."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Put the command's name before what is typed, where it is missing."""
        first = args[0] if args else ""
        if first not in self.commands and first not in ctx.help_option_names:
            self._refuse_a_slip(first)
            args = [DEFAULT, *args]
        return super().parse_args(ctx, args)

    def _refuse_a_slip(self, first: str) -> None:
        """A command's name with a slip in it is no model's name, unless there is such a file."""
        meant = near(first, self.commands)
        if meant and not Path(first).exists():
            raise InputError(
                f"evaluate '{first}'",
                expected=f"{', '.join(self.commands)}, or a model",
                got="none of these",
                fix=f"did you mean {meant[0]}?",
            )


evaluate = typer.Typer(cls=AccuracyUnlessNamed, help=HELP, rich_markup_mode="rich")
evaluate.command(help=ACCURACY_HELP)(accuracy)
evaluate.command(help=LOCALISATION_HELP)(localisation)
evaluate.command(help=FAITHFULNESS_HELP)(faithfulness)
evaluate.command(help=RANDOMISATION_HELP)(randomisation)


@evaluate.callback()
def _group() -> None:
    """Without a callback, typer would make a group of one command that command."""
