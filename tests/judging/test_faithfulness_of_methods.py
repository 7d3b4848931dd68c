"""Methods before the court, on a network whose maps are known by heart."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from tests.comparison.colours import NAMES, Flat, classifier, halves, plain
from torch import nn

from seewhy.errors import DataError, InputError, ModelError
from seewhy.judging.faithfulness import faithfulness
from seewhy.judging.result import Faithfulness
from seewhy.metrics.faithfulness import METRICS
from seewhy.metrics.scores import Scores

PICTURES = [
    halves("red", "green", share=0.625),
    halves("green", "blue", share=0.75),
    halves("dark", "red", share=0.625),
    halves("blue", "dark", share=0.875),
]
QUICK = ("deletion", "sufficiency")


def judged(
    pictures: Any = PICTURES, methods: Any = ("cam", "gradient"), **how: Any
) -> Faithfulness:
    return faithfulness(classifier(), pictures, methods, **{"steps": 4, "metrics": QUICK, **how})


def test_the_baselines_stand_beside_every_method() -> None:
    result = judged()
    assert tuple(result.scores) == ("cam", "gradient", "random", "centre", "edges")
    assert result.baselines == ("random", "centre", "edges")
    assert result.metrics == QUICK
    assert result.n == 4
    assert repr(result) == "Faithfulness(2 methods on colours, 4 pictures)"
    assert tuple(judged(methods=("centre", "cam")).scores) == ("cam", "random", "centre", "edges")
    assert tuple(judged(methods=("random",)).scores) == ("random", "centre", "edges")


def test_cam_is_faithful_to_a_model_of_colours() -> None:
    """Red gone from red and green: a tie of nothing. CAM takes the right half first."""
    result = judged(metrics=["deletion", "insertion", "road"], steps=8)
    for metric, is_better in (("deletion", -1), ("insertion", 1), ("road", 1)):
        cam = is_better * result.scores["cam"][metric].mean
        assert all(cam >= is_better * result.scores[b][metric].mean for b in result.baselines)
    assert result.completeness is not None
    assert (result.completeness.n, result.completeness.exact) == (4, 1.0)
    assert result.completeness.worst < 1e-6


def test_batches_make_no_difference(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = judged(metrics=None)
    monkeypatch.setattr("seewhy.judging.faithfulness.at_once", lambda _images: 3)
    parts = judged(metrics=None)
    for method, of_metrics in whole.scores.items():
        for metric, scores in of_metrics.items():
            found = parts.scores[method][metric].values
            assert found == pytest.approx(scores.values, abs=2e-3, nan_ok=True), (method, metric)
    for name, curves in whole.curves.items():
        for method, curve in curves.items():
            other = parts.curves[name][method]
            assert other.probabilities == pytest.approx(curve.probabilities, abs=2e-3)


def test_labels_and_quantities_are_judged_as_what_they_are() -> None:
    labels = judged(metrics=None, task="multi-label")
    assert labels.metrics == tuple(METRICS)
    quantity = judged(metrics=None, task="regression")
    assert quantity.metrics == ("deletion", "insertion", "road", "infidelity")
    assert quantity.to_json()["task"] == "regression"
    with pytest.raises(InputError, match="asks for probabilities, of a regression"):
        judged(metrics=["increase"], task="regression")
    assert judged().to_json()["task"] == "single-label"


def test_an_engine_answers_in_the_place_of_the_model() -> None:
    asked: list[int] = []

    def engine(batch: torch.Tensor) -> torch.Tensor:
        asked.append(len(batch))
        logits: torch.Tensor = classifier().module(batch)
        return logits

    found, plain = judged(answer=engine), judged()
    assert sum(asked) == 4 * (2 + 5 * 3 + 5)
    for method, of_metrics in plain.scores.items():
        for metric, scores in of_metrics.items():
            expected = pytest.approx(scores.values, abs=1e-5)
            assert found.scores[method][metric].values == expected


def test_what_is_no_better_than_a_baseline_is_marked() -> None:
    result = judged()
    rng = np.random.default_rng(0)
    base = {"deletion": Scores(rng.random(50))}
    better = {"deletion": Scores(base["deletion"].values - 0.1)}
    noisy = {"deletion": Scores(base["deletion"].values + rng.normal(0, 0.1, 50))}
    same = dict.fromkeys(result.baselines, base)
    made = Faithfulness(
        model="m",
        what="pictures",
        scores={"good": better, "even": noisy, **same},
        baselines=result.baselines,
        curves={},
        completeness=None,
        refused={"other": "no ReLU"},
        settings=result.settings,
    )
    assert made.beats("good", "deletion")
    assert not made.beats("even", "deletion")
    lines = made.table().splitlines()
    assert lines[0].split("|")[2].strip() == "deletion ↓"
    assert not lines[2].rstrip(" |").endswith("×")
    assert lines[3].rstrip(" |").endswith("×")
    assert lines[4].startswith("| *random*")
    assert lines[-1] == "without other: no ReLU"
    with pytest.raises(InputError, match="a metric that draws curves"):
        made.save("figure.png")


def test_the_numbers_as_json() -> None:
    seen: list[float] = []
    result = judged(metrics=None, on_progress=seen.append)
    found = json.loads(json.dumps(result.to_json(), allow_nan=False))
    assert [each["method"] for each in found["methods"]][:2] == ["cam", "gradient"]
    assert [each["is_baseline"] for each in found["methods"]] == [False, False, True, True, True]
    assert set(found["methods"][0]["metrics"]) == set(METRICS)
    assert found["methods"][0]["metrics"]["deletion"]["n"] == 4
    assert len(found["methods"][0]["curves"]["deletion"]["shares"]) == 5
    assert found["completeness"]["exact"] == 1
    assert seen[-1] == 1


def test_a_method_that_the_network_does_not_allow_is_left_out() -> None:
    result = faithfulness(classifier(Flat()), PICTURES, ["cam", "gradient"], metrics=QUICK, steps=2)
    assert "cam" not in result.scores
    assert list(result.refused) == ["cam"]
    assert "without cam: " in result.table()
    with pytest.raises(ModelError):
        faithfulness(classifier(Flat()), PICTURES, ["deconvnet"], metrics=QUICK)


def test_maps_that_do_not_add_up_say_what_they_leave_over() -> None:
    torch.manual_seed(0)
    body = [nn.Conv2d(3, 8, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()]
    net = nn.Sequential(*body, nn.Linear(8, 16), nn.SiLU(), nn.Linear(16, 4))
    result = faithfulness(classifier(net), PICTURES, ["gradient"], metrics=QUICK, steps=2)
    assert result.completeness is not None
    assert 0 < result.completeness.residual <= result.completeness.worst_residual
    share = f"{result.completeness.worst_residual:.0%} at worst."
    assert result.table().splitlines()[-1].endswith(share)


def test_the_same_again() -> None:
    many = [plain(NAMES[number % 4]) for number in range(9)]
    first, second, other = (judged(many, count=3, seed=seed).to_json() for seed in (5, 5, 6))
    assert first == second
    assert first != other
    assert first["count"] == 3


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ({"count": 0}, "count: expected 1 or more, got 0"),
        ({"steps": 0}, "steps: expected 1 or more, got 0"),
        ({"methods": ["camm"]}, "method 'camm': .* did you mean cam"),
        ({"methods": []}, "method ''"),
        ({"methods": ["randon"]}, "did you mean random"),
        ({"area": 1.5}, "area: expected above 0, up to 1, got 1.5"),
        ({"metrics": ["roads"]}, "metric 'roads': .*did you mean road"),
        ({"pictures": []}, "pictures: expected at least one, got none"),
    ],
)
def test_bad_input(how: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=said):
        judged(**how)


def test_no_picture_can_be_read(tmp_path: Path) -> None:
    (tmp_path / "broken.png").write_bytes(b"no picture")
    with pytest.raises(DataError, match="pictures that can be read"):
        judged([tmp_path / "broken.png"])
    one = Image.new("RGB", (8, 8), (255, 0, 0))
    assert len(judged([tmp_path / "broken.png", one]).skipped) == 1


def test_one_picture_has_no_interval() -> None:
    result = judged(PICTURES[:1])
    assert math.isnan(result.scores["cam"]["deletion"].interval()[0])
    assert "(" not in result.table().splitlines()[2]
    assert not result.beats("cam", "deletion")


def test_the_figure_is_the_same_every_time(tmp_path: Path) -> None:
    result = judged(metrics=["deletion", "road"])
    for suffix in (".png", ".svg", ".pdf"):
        first, again = (result.save(tmp_path / f"{name}{suffix}") for name in "ab")
        assert first.read_bytes() == again.read_bytes()
    with Image.open(tmp_path / "a.png") as drawn:
        assert drawn.size[0] > 3 * drawn.size[1]
