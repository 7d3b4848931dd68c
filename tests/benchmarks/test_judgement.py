"""The table of all methods: its rows, what is kept of them, and its page."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from benchmarks import judged, judgement, judgement_page
from benchmarks.judged import Entry
from benchmarks.judgement import Cache, Effort, Subjects
from tests.datasets.test_boxed import table
from torch import Tensor, nn

from seewhy import explain, load_model
from seewhy.datasets.boxed import load_boxes
from seewhy.judging.finding import Finder, How, whole
from seewhy.metrics.box_accuracy import max_box_acc_v2
from seewhy.metrics.boxes import box_overlaps
from seewhy.models import Classifier

EFFORT = Effort({"cheap": 4, "dear": 2, "dearest": 1}, judged=3, steps=2)
NAMES = ("cam", "hirescam", "gradient", "attention-rollout", "centre")
EVERYONE = [entry for entry in judged.entries() if entry.name in NAMES]
BOX = [[4.0, 2.0, 24.0, 20.0]]


@pytest.fixture(scope="module")
def model() -> Classifier:
    return load_model("resnet20-cifar10")


@pytest.fixture(scope="module")
def subjects(model: Classifier, tmp_path_factory: pytest.TempPathFactory) -> Subjects:
    """Four pictures; the model is right about three of them."""
    folder = tmp_path_factory.mktemp("judged")
    guessed = Finder(model, load_boxes(table(folder / "a.parquet", *[(0, BOX)] * 8)), How())
    labels = guessed.guesses(guessed.read(range(8))[1], 1)[:, 0]
    found = Subjects.of(model, load_boxes(table(folder / "b.parquet", *_rows(labels))), 4)
    wrong = _rows(labels)
    wrong[found.kept[1]] = ((int(labels[found.kept[1]]) + 1) % 10, BOX)
    return Subjects.of(model, load_boxes(table(folder / "c.parquet", *wrong)), 4)


def _rows(labels: object) -> list[tuple[int, list[list[float]]]]:
    return [(int(label), BOX) for label in labels]  # type: ignore[attr-defined]


@pytest.fixture(scope="module")
def cache(subjects: Subjects, tmp_path_factory: pytest.TempPathFactory) -> Cache:
    found = Cache.at(tmp_path_factory.mktemp("kept") / "sub" / "rows.json")
    order = list(judgement.measure(EVERYONE, subjects, EFFORT, found))
    assert order == [EVERYONE[-1], *EVERYONE[:-1]]  # what all are compared with comes first
    return found


def test_a_row_is_of_the_maps_of_the_true_classes(
    model: Classifier, subjects: Subjects, cache: Cache
) -> None:
    row = cache.rows["seewhy: cam"]
    maps = explain(whole(model), subjects.pictures, subjects.labels[:, None]).maps[:, 0]
    options = {"frame": (32, 24), "size": (32, 32), "components": "all"}
    best = max_box_acc_v2(box_overlaps(list(maps.numpy()), [BOX] * 4, **options)).accuracy  # type: ignore[arg-type]
    assert row.box_acc_v2 == (best.value, best.low, best.high)
    assert row.n == 4
    assert subjects.is_right.tolist() == [True, False, True, True]
    assert len(row.deletion) == len(row.insertion) == 3


def test_what_adds_up_leaves_nothing_over(cache: Cache) -> None:
    exact, cells = (cache.rows[f"seewhy: {name}"].left for name in ("cam", "hirescam"))
    assert exact == pytest.approx(0, abs=1e-5)
    assert cells == pytest.approx(0, abs=1e-5)
    assert cache.rows["seewhy: gradient"].left is None


def test_half_of_the_evidence_leaves_half_over(subjects: Subjects) -> None:
    cam = EVERYONE[0]

    def halved(network: nn.Module) -> judged.Maps:
        maps = cam.make(network)
        return lambda images, classes: maps(images, classes) / 2

    row = judgement.row_of(dataclasses.replace(cam, make=halved), subjects, EFFORT)
    assert row.left == pytest.approx(0.5)


def test_rows_are_kept_and_only_what_is_missing_is_measured(
    subjects: Subjects, cache: Cache
) -> None:
    again = Cache.at(cache.path)
    assert again == cache
    assert not list(judgement.measure(EVERYONE, subjects, EFFORT, again))
    again.forget("seewhy: gradient")
    (measured,) = judgement.measure(EVERYONE, subjects, EFFORT, again)
    assert measured.name == "gradient"
    assert not again.lacks(EVERYONE[0], subjects, dataclasses.replace(EFFORT, judged=2))
    assert again.lacks(EVERYONE[0], subjects, dataclasses.replace(EFFORT, steps=3))


def test_what_cannot_be_used_is_refused_and_named(cache: Cache) -> None:
    assert list(cache.refused) == ["seewhy: attention-rollout"]
    page = "\n".join(judgement_page.page(EVERYONE, cache.rows, cache.refused))
    assert "`attention-rollout` is for transformers" in page
    assert "\n| cam " in page
    assert "Not measured yet" not in page
    assert "\n| *centre* " in page


def test_dear_methods_get_fewer_pictures(subjects: Subjects) -> None:
    seen: list[int] = []

    def noting(_: nn.Module) -> judged.Maps:
        def maps(images: Tensor, classes: Tensor) -> Tensor:
            seen.append(len(images))
            return torch.ones(len(classes), 8, 8)

        return maps

    row = judgement.row_of(Entry("slow", "somebody", noting, price="dear"), subjects, EFFORT)
    assert sum(seen) == row.n == 2
    assert row.left is None


def test_everyone_has_a_name_of_his_own_and_a_baseline_knows_nothing() -> None:
    every = list(judged.entries())
    assert len({entry.key for entry in every}) == len(every)
    assert [entry.name for entry in every if entry.whose == judged.NOBODY] == [
        "random",
        "centre",
        "edges",
    ]


def test_a_mark_means_no_better_on_the_pictures_that_both_have(cache: Cache) -> None:
    row = cache.rows["knows nothing: centre"]
    curves = {"deletion": (0.3, 0.4, 0.5, 0.6), "insertion": (0.3, 0.4, 0.5, 0.6)}
    better = {"deletion": (0.1, 0.2), "insertion": (0.3, 0.4)}
    rows = {
        "knows nothing: centre": dataclasses.replace(row, **curves),  # type: ignore[arg-type]
        "seewhy: cam": dataclasses.replace(row, **better),  # type: ignore[arg-type]
    }
    assert "hirescam (seewhy)" in "\n".join(judgement_page.page(EVERYONE, rows, {}))
    head, _, line, _ = judgement_page.table(EVERYONE, rows)
    cells = dict(zip(head.split("|"), line.split("|"), strict=True))
    found = {name.strip(): cell.strip() for name, cell in cells.items()}
    assert found["deletion ↓"] == "0.150 (0.100 to 0.200)"
    assert found["insertion ↑"] == "0.350 (0.300 to 0.400) ×"
