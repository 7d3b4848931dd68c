"""How often the box is right: localisation errors, MaxBoxAcc and MaxBoxAccV2.

All of them are accuracies of `Overlaps` or of single IoUs, with bootstrap intervals over pictures.
A box is right if its IoU with a true one is at least 0.5 (or what is asked for).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from numpy.typing import NDArray

from seewhy.errors import ClassError, InputError
from seewhy.metrics.boxes import Overlaps
from seewhy.metrics.estimate import Estimate, Weights

IOU = 0.5
IOUS = (0.3, 0.5, 0.7)


@dataclass(frozen=True)
class BoxAccuracy:
    """MaxBoxAcc or MaxBoxAccV2.

    Attributes:
        accuracy: the mean over `ious` of the best accuracy that any threshold gives.
        ious: what IoU a right box has at least.
        each: the best accuracy for each of them.
        thresholds: the threshold that gives it, for each of them; the lowest of equal ones.
    """

    accuracy: Estimate
    ious: tuple[float, ...]
    each: tuple[float, ...]
    thresholds: tuple[float, ...]

    def to_json(self) -> dict[str, object]:
        """For a JSON document."""
        rows = zip(self.ious, self.each, self.thresholds, strict=True)
        return {
            **self.accuracy.to_json(),
            "each": [{"iou": iou, "value": a, "threshold": t} for iou, a, t in rows],
        }


def max_box_acc(overlaps: Overlaps, *, iou: float = IOU, seed: int = 0) -> BoxAccuracy:
    """MaxBoxAcc: the share of right boxes at the threshold that is best for all pictures.

    Args:
        overlaps: of the largest components.
        iou: what IoU a right box has at least.
        seed: of the interval.

    Raises:
        InputError: they are those of all components.

    Source:
        Choe et al., Evaluating Weakly Supervised Object Localization Methods Right, CVPR 2020,
        section 3.2.
    """
    return _accuracy(overlaps, "largest", (iou,), seed)


def max_box_acc_v2(
    overlaps: Overlaps, *, ious: Sequence[float] = IOUS, seed: int = 0
) -> BoxAccuracy:
    """MaxBoxAccV2: the best box of all components counts, and the mean is taken over IoUs.

    The threshold is the best one for each IoU.

    Args:
        overlaps: of all components.
        ious: what IoUs a right box has at least.
        seed: of the interval.

    Raises:
        InputError: they are those of the largest components.

    Source:
        Choe et al., Evaluation for Weakly Supervised Object Localization: Protocol, Metrics, and
        Datasets, TPAMI 2022, section 4.
    """
    return _accuracy(overlaps, "all", tuple(ious), seed)


def tune_threshold(overlaps: Overlaps, *, ious: Sequence[float] = (IOU,)) -> float:
    """The threshold that gives the most right boxes, the mean over `ious`; the lowest of equals.

    Report accuracies on other pictures than those that it is tuned on: `Overlaps.of`, `.at`.

    Args:
        overlaps: on labelled pictures.
        ious: what IoU a right box has at least.
    """
    rates = np.mean([(overlaps.values >= iou).mean(0) for iou in ious], axis=0)
    return float(overlaps.thresholds[int(rates.argmax())])


def gt_known_accuracy(
    overlaps: Float[NDArray[np.floating], " n"], *, iou: float = IOU, seed: int = 0
) -> Estimate:
    """How often the box is right when the class is given: GT-known accuracy.

    Args:
        overlaps: the IoU of the box for the true class, at a threshold chosen elsewhere, (n,).
        iou: what IoU a right box has at least.
        seed: of the interval.
    """
    return Estimate.of_mean(np.asarray(overlaps) >= iou, seed=seed)


def localisation_error(
    predicted: Int[NDArray[np.integer], "n k"],
    labels: Int[NDArray[np.integer], " n"],
    overlaps: Float[NDArray[np.floating], "n k"],
    *,
    num_classes: int,
    top: int = 5,
    iou: float = IOU,
    seed: int = 0,
) -> Estimate:
    """The share of pictures where none of the first guesses has both the class and the box right.

    Args:
        predicted: the classes guessed, the most probable first, (n, k).
        labels: the true classes, (n,).
        overlaps: the IoU of each guess's box with the true box that it fits best, (n, k).
        num_classes: how many classes there are.
        top: how many guesses count: 5, or 1.
        iou: what IoU a right box has at least.
        seed: of the interval.

    Raises:
        InputError: the shapes do not fit, or there are fewer than `top` guesses.
        ClassError: a class is out of range.

    Source:
        Russakovsky et al., ImageNet Large Scale Visual Recognition Challenge, IJCV 2015,
        section 4.2.
    """
    if predicted.shape != overlaps.shape or len(predicted) != len(labels):
        raise InputError(
            "overlaps",
            expected="one for each guess, and one label for each picture",
            got=f"{overlaps.shape} for guesses {predicted.shape}, {len(labels)} labels",
            fix="pass (n, k), (n, k) and (n,)",
        )
    if not 1 <= top <= predicted.shape[1]:
        got, fix = f"{top} of {predicted.shape[1]}", "pass more guesses"
        raise InputError("top", expected="as many guesses as count", got=got, fix=fix)
    for name, ids in (("labels", labels), ("predicted", predicted)):
        _check_classes(name, ids, num_classes)
    right = (predicted == labels[:, None]) & (overlaps >= iou)
    return Estimate.of_mean(~right[:, :top].any(1), seed=seed)


def _accuracy(
    overlaps: Overlaps, components: str, ious: tuple[float, ...], seed: int
) -> BoxAccuracy:
    if overlaps.components != components:
        raise InputError(
            "overlaps",
            expected=f"those of {components} components",
            got=f"those of {overlaps.components}",
            fix=f'pass box_overlaps(..., components="{components}")',
        )
    hits = [(overlaps.values >= iou).astype(np.float64) for iou in ious]
    count = len(overlaps)

    def mean_of_best(weights: Weights) -> NDArray[np.float64]:
        best = [(weights @ hit).max(1) / count for hit in hits]
        return np.asarray(np.mean(best, axis=0))

    rates = [hit.mean(0) for hit in hits]
    return BoxAccuracy(
        Estimate.of(mean_of_best, count, seed=seed),
        ious,
        tuple(float(rate.max()) for rate in rates),
        tuple(float(overlaps.thresholds[rate.argmax()]) for rate in rates),
    )


def _check_classes(name: str, ids: Int[NDArray[np.integer], "*n"], count: int) -> None:
    bad = ids[(ids < 0) | (ids >= count)]
    if bad.size:
        expected, fix = f"0 to {count - 1}", "check which model the labels belong to"
        raise ClassError(name, expected=expected, got=str(int(bad.flat[0])), fix=fix)
