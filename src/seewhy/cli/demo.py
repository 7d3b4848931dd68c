"""`seewhy demo`: real answers about real pictures, with nothing to prepare."""

from __future__ import annotations

from importlib import util
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from seewhy.cli import options
from seewhy.cli.figure import SAMPLE_MODEL, entries
from seewhy.errors import MissingExtraError

if TYPE_CHECKING:
    from seewhy.figures.figure import Figure

# Photographs that scikit-image ships; of the fifth and sixth ImageNet has no class that fits well.
PICTURES = (
    "chelsea.png",
    "coffee.png",
    "motorcycle_left.png",
    "camera.png",
    "rocket.jpg",
    "astronaut.png",
)

FIGURE = "cifar10.png"

HELP = """Explain real photographs with a real ImageNet classifier.

Then a ResNet-20, trained on CIFAR-10, shows what it sees in 20 pictures of
32 x 32 pixels. Nothing is downloaded. Overlays, a contact sheet, a report and
the figure go to ./seewhy-demo; the last lines say where they are.
"""


def demo(
    out: Annotated[Path, typer.Option(metavar="DIR", help="Where the pictures go.")] = Path(
        "seewhy-demo"
    ),
    as_json: options.AsJson = False,
    device: options.Device = None,
    _debug: options.Debug = False,
) -> int:
    """Run `seewhy demo` and return its exit code."""
    from seewhy import files
    from seewhy.cli.asking import ask
    from seewhy.cli.output import Output, labels
    from seewhy.cli.run import Wish, run

    paths, made = photographs(), cifar10(device)
    output = Output(files.writable_folder(out), "positive", labels(paths))
    drawn = made.save(output.folder / FIGURE)
    model = options.ModelOptions(device=device).load()
    wish = Wish(
        output,
        title="What an ImageNet classifier looked at",
        as_json=as_json,
        top=1,
        also={"figure": entries(made, drawn)},
    )
    code, written = run(ask(model), paths, wish)
    if not as_json and written:
        sheet, report = (path.resolve() for path in written)
        print(f"\nreport     {report}\npictures   {sheet}\n           {sheet.parent}/*.png, *.jpg")
        print(f"figure     {drawn.resolve()}\n           {made.caption}")
    return code


def cifar10(device: str | None = None) -> Figure:
    """What the ResNet-20 that comes with the package sees in the pictures that foolbox carries.

    Raises:
        MissingExtraError: foolbox is not installed.
    """
    from seewhy.figures.make import figure
    from seewhy.figures.samples import CIFAR10, samples

    pictures = samples(len(CIFAR10))
    title = "What a ResNet-20 sees in CIFAR-10"
    return figure(options.ModelOptions(SAMPLE_MODEL, device=device).load(), pictures, title=title)


def photographs() -> list[Path]:
    """Return the photographs, as they lie in the installed package.

    Raises:
        MissingExtraError: it is not installed.
    """
    package = util.find_spec("skimage")  # found, not imported: that would take a second
    folders = package.submodule_search_locations if package else None
    if not folders:
        raise MissingExtraError(
            "demo",
            expected="photographs that scikit-image ships",
            got="no scikit-image",
            fix="pip install 'seewhy[demo]'",
        )
    return [Path(folders[0]) / "data" / name for name in PICTURES]
