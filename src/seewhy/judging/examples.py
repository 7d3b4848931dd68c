"""Pictures with their true boxes and the one that was found: the best, the middling, the worst."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PIL import ImageDraw
from PIL.Image import Image

from seewhy import localize, render
from seewhy.judging.finding import Finder

if TYPE_CHECKING:
    from seewhy.datasets.boxed import Boxed
    from seewhy.judging.localisation import Localisation
    from seewhy.models import Classifier

EACH = 4
TRUE, FOUND, AROUND = (255, 255, 255), (255, 214, 0), (0, 0, 0)
_SIDE = 224  # pixels of a drawn picture's longer side


def examples(model: Classifier, data: Boxed, result: Localisation, *, each: int = EACH) -> Image:
    """A sheet: rows of the best boxes, the ones around the median, and the worst.

    True boxes are white, the one that was found is yellow, the map is laid over the picture.

    Args:
        model: that the result is of.
        data: likewise.
        result: what `localisation` returned.
        each: how many pictures a row has.
    """
    finder = Finder(model, data, result.how)
    rows = []
    for name, places in _rows(len(result.order), each):
        chosen = result.order[places]
        drawn = list(_drawn(finder, result, chosen))
        title = render.written([name], width=_SIDE)
        rows += [title, render.arrange(drawn, down=False, gap=8)]
    return render.arrange(rows, down=True, gap=6, margin=12)


def _rows(count: int, each: int) -> Iterator[tuple[str, range]]:
    each = min(each, count)
    middle = (count - each) // 2
    yield "best", range(each)
    yield "median", range(middle, middle + each)
    yield "worst", range(count - each, count)


def _drawn(finder: Finder, result: Localisation, chosen: NDArray[np.int64]) -> Iterator[Image]:
    items = result.pictures[chosen].tolist()
    kept, pictures = finder.read(items)
    maps = finder.maps(pictures, kept).float().cpu().numpy()
    threshold = result.threshold[result.how.method]
    for place, picture, map_ in zip(chosen.tolist(), pictures, maps, strict=True):
        item = finder.data.items[int(result.pictures[place])]
        size = finder.model.preprocess.size
        scale = np.tile(np.array(picture.size) / size, 2)
        boxes = localize.boxes(map_, threshold, size=size) * scale
        logit = int(finder.labels([int(result.pictures[place])])[0])
        shown = _with_boxes(render.overlay(picture, map_), item.boxes, boxes)
        lines = [finder.model.class_name(logit), f"IoU {result.overlap[place]:.2f}"]
        yield render.arrange([shown, render.written(lines, width=_SIDE)], down=True, gap=2)


def _with_boxes(image: Image, true: localize.Boxes, found: localize.Boxes) -> Image:
    """The picture at a common size, with boxes that are seen on every ground."""
    zoom = _SIDE / max(image.size)
    size = (max(1, round(image.width * zoom)), max(1, round(image.height * zoom)))
    drawn = image.resize(size)
    draw = ImageDraw.Draw(drawn)
    for boxes, colour in ((true, TRUE), (found, FOUND)):
        for box in boxes * zoom:
            x0, y0, x1, y1 = (round(float(side)) for side in box)
            corners = (x0, y0, max(x0, x1 - 1), max(y0, y1 - 1))
            draw.rectangle(corners, outline=AROUND, width=4)
            draw.rectangle(corners, outline=colour, width=2)
    return drawn
