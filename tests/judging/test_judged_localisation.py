"""`localisation`: measures of maps; nothing is chosen on the pictures that it is reported on."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from tests.datasets.test_boxed import table

from seewhy import DataError, InputError, explain, load_model, refine
from seewhy.datasets.boxed import Boxed, load_boxes
from seewhy.judging.examples import examples
from seewhy.judging.finding import Finder, How, whole
from seewhy.judging.found_table import found_table
from seewhy.judging.localisation import Localisation, halves, localisation
from seewhy.metrics.box_accuracy import max_box_acc, max_box_acc_v2
from seewhy.metrics.boxes import box_overlaps
from seewhy.models import Classifier

ROWS = [(n % 10, [[n, 2, 20 + n, 20]]) for n in range(10)]


@pytest.fixture(scope="module")
def model() -> Classifier:
    return load_model("resnet20-cifar10")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Boxed:
    folder = tmp_path_factory.mktemp("boxed")
    return load_boxes(table(folder / "ten.parquet", *ROWS))


@pytest.fixture(scope="module")
def result(model: Classifier, data: Boxed) -> Localisation:
    return localisation(model, data)


def test_the_measures_are_those_of_the_maps_of_the_true_classes(
    model: Classifier, data: Boxed, result: Localisation
) -> None:
    pictures = [data.image(n) for n in range(10)]
    maps = explain(whole(model), pictures, torch.from_numpy(data.labels)[:, None]).maps[:, 0]
    truths = [item.boxes for item in data.items]
    options = {"frame": (32, 24), "size": (32, 32)}
    best = box_overlaps(list(maps.numpy()), truths, components="all", **options)  # type: ignore[arg-type]
    largest = box_overlaps(list(maps.numpy()), truths, **options)  # type: ignore[arg-type]
    measures = result.whole["cam"]
    assert measures.max_box_acc_v2 == max_box_acc_v2(best)
    assert measures.max_box_acc == max_box_acc(largest)
    assert np.array_equal(result.overlap, largest.at(result.threshold["cam"]))
    assert result.n == 10
    assert result.work == pytest.approx(1)


def test_what_is_chosen_on_one_half_is_reported_on_the_other(result: Localisation) -> None:
    choosing, rest = halves(10, 0)
    assert sorted([*choosing, *rest]) == list(range(10))
    other = result.other["cam"]
    assert other.gt_known.n == len(rest)
    assert other.gt_known.value == np.mean(result.overlap[rest] >= 0.5)
    assert not np.array_equal(halves(10, 0)[0], halves(10, 1)[0])


def test_an_error_is_a_wrong_class_or_a_wrong_box(
    model: Classifier, data: Boxed, result: Localisation
) -> None:
    finder = Finder(model, data, How())
    kept, pictures = finder.read(range(10))
    guesses = finder.guesses(pictures, 5)
    right = (guesses == finder.labels(kept)[:, None]) & (result.overlap >= 0.5)[:, None]
    rest = halves(10, 0)[1]
    for top, error in ((1, result.other["cam"].top1_error), (5, result.other["cam"].top5_error)):
        assert error is not None
        assert error.value == pytest.approx(1 - np.mean(right[rest, :top].any(1)))


def test_the_centre_stands_beside_and_names_no_class(result: Localisation) -> None:
    assert list(result.whole) == ["cam", "centre"]
    assert result.whole["centre"].top1_error is None
    assert result.whole["centre"].pointing.value > 0


def test_the_refined_map(model: Classifier, data: Boxed) -> None:
    finder = Finder(model, data, How("refined", flip=True, scales=(1.0, 0.75)))
    kept, pictures = finder.read(range(3))
    maps = finder.maps(pictures, kept)
    ids = torch.from_numpy(data.labels[:3])[:, None]
    expected = refine(whole(model), pictures, ids, flip=True, scales=(0.75,))
    assert torch.allclose(maps, expected.refined[:, 0])
    assert finder.work == pytest.approx(expected.passes)


@pytest.mark.parametrize("how", [How(resolution=2), How(flip=True, scales=(1.0, 0.5))])
def test_finer_and_averaged_evidence(model: Classifier, data: Boxed, how: How) -> None:
    finder = Finder(model, data, how)
    kept, pictures = finder.read([0, 1])
    ids = torch.from_numpy(data.labels[:2])[:, None]
    options = {"resolution": how.resolution, "flip": how.flip, "scales": how.scales}
    expected = explain(whole(model), pictures, ids, **options)  # type: ignore[arg-type]
    assert torch.allclose(finder.maps(pictures, kept), expected.maps[:, 0])
    assert expected.views is not None
    assert finder.work == pytest.approx(expected.views.cost)


def test_any_method_of_the_table(model: Classifier, data: Boxed) -> None:
    measured = localisation(model, data, How("gradient"))
    assert list(measured.whole) == ["gradient", "centre"]
    assert measured.work is None


def test_pictures_that_cannot_be_used_are_named_and_left_out(
    model: Classifier, tmp_path: Path
) -> None:
    rows = [*ROWS[:5], (10, [[0, 0, 9, 9]]), (1, [[0, 0, 99, 9]]), (1, [])]
    measured = localisation(model, load_boxes(table(tmp_path / "a.parquet", *rows)))
    assert measured.n == 5
    assert [line.partition(", got")[0] for line in measured.skipped] == [
        "a.parquet row 7: expected boxes x0, y0, x1, y1 with x0 < x1 and y0 < y1",
        "a.parquet row 5: expected a label from 0 to 9",
        "a.parquet row 6: expected boxes within 32 x 24 pixels",
    ]


def test_too_few_pictures(model: Classifier, tmp_path: Path) -> None:
    few = load_boxes(table(tmp_path / "a.parquet", *ROWS[:3]))
    with pytest.raises(DataError, match="expected four pictures that can be used, got 3"):
        localisation(model, few)


@pytest.mark.parametrize(
    ("method", "options", "said"),
    [
        ("refind", {}, "got none of these; did you mean refined?"),
        ("refined", {"resolution": 2}, "resolution: expected method cam, got refined"),
        ("gradient", {"flip": True}, "flip and scales: expected method cam and refined, got grad"),
    ],
)
def test_wishes_that_make_no_sense(method: str, options: dict[str, int], said: str) -> None:
    with pytest.raises(InputError) as caught:
        How(method, **options)  # type: ignore[arg-type]
    assert said in str(caught.value)


def test_the_table_and_the_json_say_the_same(result: Localisation) -> None:
    lines = found_table(result).splitlines()
    assert str(result.whole["cam"].max_box_acc_v2.accuracy) in lines[2]
    assert str(result.other["centre"].max_box_acc_v2.accuracy) in lines[2]
    assert len({line.rindex("|") for line in lines[:9]}) == 1
    document = result.to_json()
    assert document["passes"] == result.work
    assert document["all"]["cam"]["top1_error"] is not None  # type: ignore[index]
    assert document["other_half"]["centre"]["top1_error"] is None  # type: ignore[index]


def test_examples_are_drawn_best_first(
    model: Classifier, data: Boxed, result: Localisation
) -> None:
    sheet = examples(model, data, result, each=2)
    assert sheet.width > 2 * 224
    assert result.overlap[result.order].tolist() == sorted(result.overlap, reverse=True)
    colours = {colour for _, colour in sheet.getcolors(sheet.width * sheet.height) or []}
    assert {(255, 214, 0), (255, 255, 255)} <= colours


@pytest.mark.data
@pytest.mark.slow
def test_the_published_model_on_real_boxes(data_dir: Path) -> None:
    """On 650 pictures: MaxBoxAcc 66.2, MaxBoxAccV2 62.9, pointing 90.5; the centre 61 and 60."""
    data = load_boxes(data_dir / "ilsvrc-val-boxes" / "dev.parquet")
    measured = localisation(load_model("efficientnet-lite0"), data)
    cam, centre = measured.whole["cam"], measured.whole["centre"]
    assert measured.n == 650
    assert cam.max_box_acc.accuracy.value == pytest.approx(0.662, abs=0.01)
    assert cam.max_box_acc_v2.accuracy.value == pytest.approx(0.629, abs=0.01)
    assert cam.pointing.value == pytest.approx(0.905, abs=0.01)
    assert centre.max_box_acc.accuracy.value == pytest.approx(0.61, abs=0.02)
    assert centre.max_box_acc_v2.accuracy.value == pytest.approx(0.60, abs=0.02)


@pytest.mark.data
@pytest.mark.slow
def test_refined_maps_find_more_at_the_cost_of_one_pass(data_dir: Path) -> None:
    """What docs/localisation.md says: MaxBoxAccV2 70.4 on all pictures, 71.6 on the other half."""
    data = load_boxes(data_dir / "ilsvrc-val-boxes" / "dev.parquet")
    measured = localisation(load_model("efficientnet-lite0"), data, How("refined"))
    assert measured.work == pytest.approx(1.07, abs=0.01)
    for measures, value in ((measured.whole, 0.704), (measured.other, 0.716)):
        found = measures["refined"].max_box_acc_v2.accuracy.value
        assert found == pytest.approx(value, abs=0.01)
