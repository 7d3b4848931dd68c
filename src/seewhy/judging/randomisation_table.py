"""The numbers of a randomisation test as a table for people, in Markdown."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from seewhy.judging.table import aligned
from seewhy.metrics.similarity import MEASURES

if TYPE_CHECKING:
    from seewhy.judging.randomisation import Randomisation
    from seewhy.metrics.scores import Scores


def table(test: Randomisation) -> str:
    """A row for each method and measure: after the first layer, the middle one, and the last."""
    places = [0, len(test.layers) // 2, len(test.layers) - 1]
    heads = ["method", "measure", *(f"{place + 1} of {len(test.layers)}" for place in places)]
    rows = [
        [method, measure, *(_cell(each[place]) for place in places)]
        for method, measures in test.similarity.items()
        for measure, each in measures.items()
    ]
    return "\n".join([*aligned([heads, *rows]), "", *notes(test, places)])


def _cell(scores: Scores) -> str:
    if math.isnan(scores.mean):
        return "-"
    low, high = scores.interval()
    return f"{scores.mean:.2f}" + (f" ({low:.2f} to {high:.2f})" if scores.n > 1 else "")


def notes(test: Randomisation, places: Sequence[int]) -> Iterator[str]:
    """What the numbers are, a line each."""
    how = {
        "cascading": "layers redrawn at random from the logits down, each with all above it",
        "independent": "each layer redrawn at random alone, the others as they were",
    }
    yield (
        f"{test.model}, {test.n} {test.what}, the predicted class of each; {how[test.order]}. The"
        f" columns: {', '.join(test.layers[place] for place in places)}. Seed {test.seed}."
    )
    yield (
        f"{', '.join(MEASURES)}: similarity to the map of the network as it is; 1: the same, which"
        " means that the map does not depend on what was redrawn. In brackets: 95 % intervals."
    )
    for method, reason in test.refused.items():
        yield f"without {method}: {reason}"
