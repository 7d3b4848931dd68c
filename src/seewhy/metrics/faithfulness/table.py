"""METRICS: the metrics by name, and what a reader of their numbers has to know."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from torch import Tensor, nn

from seewhy.errors import InputError
from seewhy.metrics.faithfulness.confidence import AREA, average_drop, increase, sufficiency
from seewhy.metrics.faithfulness.infidelity import infidelity
from seewhy.metrics.faithfulness.removal import STEPS, Curve, deletion, insertion, road
from seewhy.metrics.scores import Scores
from seewhy.wording import near_or


@dataclass(frozen=True)
class Settings:
    """What the metrics take besides model, pictures and maps.

    Attributes:
        steps: of deletion and insertion.
        area: of sufficiency.
        seed: of noise and squares.
    """

    steps: int = STEPS
    area: float = AREA
    seed: int = 0


@dataclass(frozen=True, eq=False)
class Measured:
    """What came of a metric.

    Attributes:
        scores: a number for each picture.
        curves: by name, where the metric draws any.
    """

    scores: Scores
    curves: Mapping[str, Curve]


@dataclass(frozen=True)
class Metric:
    """A metric, and what a reader of its numbers has to know.

    Attributes:
        measure: `(settings, model, images, classes, maps)` to what came of it.
        summary: what is asked, in one line.
        is_higher_better: else low numbers are good.
        is_share: whether its numbers are shares of pictures or of a probability, given in per cent.
        source: the paper that it comes from.
    """

    measure: Callable[[Settings, nn.Module, Tensor, Tensor, Tensor], Measured]
    summary: str
    is_higher_better: bool
    is_share: bool
    source: str


def _deletion(settings: Settings, *given: Any) -> Measured:
    curve = deletion(*given, steps=settings.steps)
    return Measured(curve.area, {"deletion": curve})


def _insertion(settings: Settings, *given: Any) -> Measured:
    curve = insertion(*given, steps=settings.steps)
    return Measured(curve.area, {"insertion": curve})


def _road(settings: Settings, *given: Any) -> Measured:
    both = road(*given, seed=settings.seed)
    return Measured(both.gap, {"ROAD, most first": both.most, "ROAD, least first": both.least})


def _average_drop(_: Settings, *given: Any) -> Measured:
    return Measured(average_drop(*given), {})


def _increase(_: Settings, *given: Any) -> Measured:
    return Measured(increase(*given), {})


def _sufficiency(settings: Settings, *given: Any) -> Measured:
    return Measured(sufficiency(*given, area=settings.area), {})


def _infidelity(settings: Settings, *given: Any) -> Measured:
    return Measured(infidelity(*given, seed=settings.seed).unexplained, {})


METRICS: Mapping[str, Metric] = MappingProxyType(
    {
        "deletion": Metric(
            _deletion,
            summary="area under the class's probability as its best pixels turn grey",
            is_higher_better=False,
            is_share=False,
            source="Petsiuk et al., BMVC 2018",
        ),
        "insertion": Metric(
            _insertion,
            summary="area under the class's probability as its best pixels come into a blur",
            is_higher_better=True,
            is_share=False,
            source="Petsiuk et al., BMVC 2018",
        ),
        "road": Metric(
            _road,
            summary="mean probability with the worst pixels imputed, less that with the best ones",
            is_higher_better=True,
            is_share=False,
            source="Rong et al., ICML 2022",
        ),
        "average-drop": Metric(
            _average_drop,
            summary="probability lost where the picture is seen through the map alone",
            is_higher_better=False,
            is_share=True,
            source="Chattopadhay et al., WACV 2018",
        ),
        "increase": Metric(
            _increase,
            summary="pictures whose class is then more probable",
            is_higher_better=True,
            is_share=True,
            source="Chattopadhay et al., WACV 2018",
        ),
        "sufficiency": Metric(
            _sufficiency,
            summary="pictures whose class stays first with its best pixels sharp, the rest blurred",
            is_higher_better=True,
            is_share=True,
            source="after Fong and Vedaldi, ICCV 2017",
        ),
        "infidelity": Metric(
            _infidelity,
            summary="part of what hidden squares cost the logit that the map does not foretell",
            is_higher_better=False,
            is_share=True,
            source="Yeh et al., NeurIPS 2019",
        ),
    }
)


def choose(names: Iterable[str] | None = None) -> dict[str, Metric]:
    """The metrics of these names, in this order; all of them if None.

    Raises:
        InputError: there is no such metric, or none was named.
    """
    wanted = list(METRICS if names is None else names)
    for name in wanted or [""]:
        if name not in METRICS:
            raise InputError(
                f"metric '{name}'",
                expected=f"one of {', '.join(METRICS)}",
                got="none of these",
                fix=near_or(name, METRICS, "choose from that list"),
            )
    return {name: METRICS[name] for name in wanted}
