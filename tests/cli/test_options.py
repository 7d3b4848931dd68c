"""The options of a model, which a command asks for with one parameter."""

from __future__ import annotations

from typing import Annotated, Any

import pytest
import typer
from typer.testing import CliRunner

from seewhy.cli import options
from seewhy.errors import InputError


def typed(command: Any, *words: str) -> str:
    """What a command prints; as text without colours, 100 columns wide."""
    app = typer.Typer()
    app.command()(command)
    env = {"COLUMNS": "100", "NO_COLOR": "1", "TERM": "dumb"}
    run = CliRunner().invoke(app, list(words), env=env)
    return run.output


@options.with_model()
def shown(
    *,
    colour: Annotated[str, typer.Option(help="Of the shed.")] = "red",
    model: options.ModelOptions,
    flip: options.Flip = False,
) -> int:
    typer.echo(f"{model} {colour} {flip}")
    return 0


@options.with_model(argument=True, without=("crop", "mode"))
def named(*, model: options.ModelOptions) -> int:
    typer.echo(model)
    return 0


@options.with_model(usual=None)
def free(*, model: options.ModelOptions) -> int:
    typer.echo(model)
    return 0


def test_the_command_gets_what_was_typed() -> None:
    assert typed(shown, "--size", "32x16", "--flip").strip() == (
        f"{options.ModelOptions(options.DEFAULT_MODEL, size='32x16')} red True"
    )
    assert typed(named, "nin", "--std", "1").strip() == str(options.ModelOptions("nin", std="1"))
    assert typed(free).strip() == str(options.ModelOptions())


def test_a_model_that_is_an_argument_has_to_be_named() -> None:
    assert "Missing argument 'MODEL'" in typed(named)


def test_a_command_may_do_without_some() -> None:
    assert "No such option" in typed(named, "nin", "--crop", "0.5")


def test_the_panels_of_the_help_stand_in_one_order() -> None:
    text = typed(shown, "--help")
    panels = ["Options", "Model", "The network's input", "Finer maps", "Running"]
    places = [text.index(f"─ {panel}") for panel in panels]
    assert places == sorted(places)
    assert text.index("--weights") < text.index("--size") < text.index("--flip")


def test_a_size_that_is_none_is_one_line() -> None:
    with pytest.raises(InputError, match="--size: expected pixels, as in 224 or 320x240"):
        options.ModelOptions(size="tiny").load()
