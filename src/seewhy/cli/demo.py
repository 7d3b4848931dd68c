"""`seewhy demo`: real answers about real photographs, with nothing to prepare."""

from __future__ import annotations

from importlib import util
from pathlib import Path
from typing import Annotated

import typer

from seewhy.cli import options
from seewhy.errors import MissingExtraError

# Photographs that scikit-image ships; of the fifth and sixth ImageNet has no class that fits well.
PICTURES = (
    "chelsea.png",
    "coffee.png",
    "motorcycle_left.png",
    "camera.png",
    "rocket.jpg",
    "astronaut.png",
)

HELP = """Explain real photographs with a real ImageNet classifier.

Nothing is downloaded. Overlays, a contact sheet and a report go to
./seewhy-demo; the last lines say where they are.
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
    from seewhy.cli.explain import ask
    from seewhy.cli.output import Output, labels
    from seewhy.cli.run import Wish, run

    paths = photographs()
    output = Output(files.writable_folder(out), "positive", labels(paths))
    model = options.load(options.DEFAULT_MODEL, device=device)
    wish = Wish(output, title="What an ImageNet classifier looked at", as_json=as_json, top=1)
    code, written = run(ask(model), paths, wish)
    if not as_json and written:
        sheet, report = (path.resolve() for path in written)
        print(f"\nreport     {report}\npictures   {sheet}\n           {sheet.parent}/*.png, *.jpg")
    return code


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
