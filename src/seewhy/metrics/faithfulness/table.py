"""METRICS: the metrics by name, and what a reader of their numbers has to know."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from torch import Tensor

from seewhy.errors import InputError
from seewhy.metrics.faithfulness.asked import Askable, Precision
from seewhy.metrics.faithfulness.confidence import AREA, average_drop, increase, sufficiency
from seewhy.metrics.faithfulness.infidelity import hidden
from seewhy.metrics.faithfulness.removal import STEPS, Curve, Removal, road
from seewhy.metrics.scores import Scores
from seewhy.tasks import QUANTITIES, Task
from seewhy.wording import near_or


@dataclass(frozen=True)
class Settings:
    """What the metrics take besides model, pictures and maps.

    Attributes:
        steps: of deletion and insertion.
        area: of sufficiency.
        seed: of noise and squares.
        task: what the model's outputs mean.
        precision: what the model computed with.
    """

    steps: int = STEPS
    area: float = AREA
    seed: int = 0
    task: Task = "single-label"
    precision: Precision = "float32"


@dataclass(frozen=True, eq=False)
class Measured:
    """What came of a metric.

    Attributes:
        scores: a number for each picture.
        curves: by name, where the metric draws any.
    """

    scores: Scores
    curves: Mapping[str, Curve]


Measure = Callable[[Tensor], Measured]  # of maps of the same pictures


@dataclass(frozen=True)
class Metric:
    """A metric, and what a reader of its numbers has to know.

    Attributes:
        begin: `(settings, model, images, classes)` to what measures any maps of these pictures:
            what does not depend on the map is asked there, once.
        summary: what is asked, in one line.
        is_higher_better: else low numbers are good.
        is_share: whether its numbers are shares of pictures or of a probability, given in per cent.
        source: the paper that it comes from.
        is_of_quantities: whether it can be asked of a regression, too.
    """

    begin: Callable[[Settings, Askable, Tensor, Tensor], Measure]
    summary: str
    is_higher_better: bool
    is_share: bool
    source: str
    is_of_quantities: bool = True

    def measure(
        self, settings: Settings, model: Askable, images: Tensor, classes: Tensor, maps: Tensor
    ) -> Measured:
        """What comes of it for one map of each picture."""
        return self.begin(settings, model, images, classes)(maps)


def _deletion(settings: Settings, model: Askable, images: Tensor, classes: Tensor) -> Measure:
    removal = Removal(model, images, classes, settings.steps, "mean")
    return lambda maps: _of_curve("deletion", removal.curve(maps))


def _insertion(settings: Settings, model: Askable, images: Tensor, classes: Tensor) -> Measure:
    removal = Removal(model, images, classes, settings.steps, "blur", is_insertion=True)
    return lambda maps: _of_curve("insertion", removal.curve(maps))


def _of_curve(name: str, curve: Curve) -> Measured:
    return Measured(curve.area, {name: curve})


def _road(settings: Settings, model: Askable, images: Tensor, classes: Tensor) -> Measure:
    def measure(maps: Tensor) -> Measured:
        both = road(model, images, classes, maps, seed=settings.seed)
        return Measured(both.gap, {"ROAD, most first": both.most, "ROAD, least first": both.least})

    return measure


def _average_drop(_: Settings, model: Askable, images: Tensor, classes: Tensor) -> Measure:
    return lambda maps: Measured(average_drop(model, images, classes, maps), {})


def _increase(_: Settings, model: Askable, images: Tensor, classes: Tensor) -> Measure:
    return lambda maps: Measured(increase(model, images, classes, maps), {})


def _sufficiency(settings: Settings, model: Askable, images: Tensor, classes: Tensor) -> Measure:
    return lambda maps: Measured(sufficiency(model, images, classes, maps, area=settings.area), {})


def _infidelity(settings: Settings, model: Askable, images: Tensor, classes: Tensor) -> Measure:
    lost = hidden(model, images, classes, seed=settings.seed)
    return lambda maps: Measured(lost.foretold_by(maps).unexplained, {})


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
            is_of_quantities=False,
        ),
        "increase": Metric(
            _increase,
            summary="pictures whose class is then more probable",
            is_higher_better=True,
            is_share=True,
            source="Chattopadhay et al., WACV 2018",
            is_of_quantities=False,
        ),
        "sufficiency": Metric(
            _sufficiency,
            summary="pictures whose class stays first with its best pixels sharp, the rest blurred",
            is_higher_better=True,
            is_share=True,
            source="after Fong and Vedaldi, ICCV 2017",
            is_of_quantities=False,
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


def choose(names: Iterable[str] | None = None, task: Task = "single-label") -> dict[str, Metric]:
    """The metrics of these names, in this order; if None, all that can be asked of the task.

    Raises:
        InputError: there is no such metric, none for this task, or none was named.
    """
    usable = [name for name in METRICS if METRICS[name].is_of_quantities or task not in QUANTITIES]
    wanted = list(usable if names is None else names)
    for name in wanted or [""]:
        if name not in usable:
            raise InputError(
                f"metric '{name}'",
                expected=f"one of {', '.join(usable)}",
                got=f"what asks for probabilities, of a {task}" if name in METRICS else _NONE,
                fix=near_or(name, usable, "choose from that list"),
            )
    return {name: METRICS[name] for name in wanted}


_NONE = "none of these"
