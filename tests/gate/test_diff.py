from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from tests.audit.stores import failed, make_store, row
from tests.gate.materials import maps, plain, six
from tests.oracles import drift as oracle

from seewhy import open_audit
from seewhy.audit.manifest import write_manifest
from seewhy.errors import AuditError
from seewhy.gate.diff import Diff, coarsened, diff, drift

LEFT, RIGHT = [[1.0, 0, 0], [1, 0, 0]], [[0.0, 0, 1], [0, 0, 1]]
BOTH = [[1.0, 0, 1], [1, 0, 1]]
finite = st.floats(-8, 8, width=16)


@given(*[arrays.arrays(np.float64, (2, 3, 4), elements=finite)] * 2)
def test_drift_is_half_the_distance_of_what_lies_where(first: Any, second: Any) -> None:
    expected = [oracle.drift(p.tolist(), q.tolist()) for p, q in zip(first, second, strict=True)]
    np.testing.assert_allclose(drift(first, second), expected, atol=1e-12)
    np.testing.assert_array_equal(drift(first, second), drift(second, first))


@given(arrays.arrays(np.float64, (1, 4, 6), elements=finite))
def test_the_coarser_grid_decides(first: Any) -> None:
    coarse = oracle.halved(np.maximum(first[0], 0).tolist())
    second = np.arange(6.0).reshape(1, 2, 3)
    expected = oracle.drift(coarse, second[0].tolist())
    np.testing.assert_allclose(drift(first, second), [expected], atol=1e-12)


def test_cells_that_are_cut_are_shared_by_area() -> None:
    found = coarsened(np.array([[[3.0, 6.0, 9.0]]]), (1, 2))
    np.testing.assert_allclose(found, [[[6, 12]]])


def test_drift_of_maps_by_hand() -> None:
    first = np.array([LEFT, LEFT, LEFT, LEFT, [[-1.0] * 3] * 2, [[np.nan] * 3] * 2])
    second = np.array([LEFT, RIGHT, BOTH, [[-1.0] * 3] * 2, [[0.0] * 3] * 2, LEFT])
    np.testing.assert_array_equal(drift(first, second), [0, 1, 0.5, 1, 0, np.nan])


@pytest.fixture
def runs(tmp_path: Path) -> tuple[Path, Path]:
    """Row 0 stays, 1 moves, 2 is decided otherwise, 3 loses its class, 5 fails; others order."""
    before = six(tmp_path / "before", [{"maps": maps(LEFT, BOTH)}] * 6)
    half = np.array([0.5, 0, 0, 0], np.float16)
    changes: list[dict[str, Any]] = [
        {"maps": maps(LEFT, LEFT)},
        {"maps": maps(RIGHT, LEFT), "logits": [3.0, 1.0], "descriptor": half},
        {"maps": maps(LEFT, BOTH), "classes": [2, 0], "predicted": 2, "logits": [2.0, 1.0]},
        {"classes": [0, 1], "predicted": 0},
        {"maps": maps(BOTH, LEFT)},
    ]
    rows = [plain(i) | change for i, change in enumerate(changes)]
    moved = [rows[4], *rows[:4], failed(5), row(9)]
    after = make_store(tmp_path / "after", [each | {"row": i} for i, each in enumerate(moved)])
    return before, after


def compared(runs: tuple[Path, Path]) -> Diff:
    return diff(open_audit(runs[0]), open_audit(runs[1]))


def test_pictures_are_joined_by_their_id(runs: tuple[Path, Path]) -> None:
    found = compared(runs)
    assert found.rows.tolist() == [[0, 1], [1, 2], [2, 3], [3, 4], [4, 0]]
    assert (found.unmatched, found.failed) == (2, 1)
    assert found.predicted.tolist() == [[1, 1], [1, 1], [0, 2], [2, 0], [0, 0]]


def test_what_changed_of_the_class_that_the_first_predicted(runs: tuple[Path, Path]) -> None:
    found = compared(runs)
    np.testing.assert_array_equal(found.drift, [0, 1, 0.5, np.nan, 0.5])
    np.testing.assert_array_equal(found.logits[:, 0], [2] * 5)
    np.testing.assert_array_equal(found.logits[:, 1], [2, 3, 1, np.nan, 2])
    np.testing.assert_allclose(found.cosine, [1, 0.5 / 0.8125**0.5, np.nan, np.nan, 1], rtol=1e-6)
    assert found.most_changed(9).tolist() == [3, 1, 2, 4, 0]
    assert found.most_changed(1, of_class=1).tolist() == [1]


def test_class_by_class_and_over_all(runs: tuple[Path, Path]) -> None:
    found = compared(runs)
    assert found.overall().pictures == 5
    assert found.overall().agreement == 0.6
    assert found.overall().drift == 0.5
    by_name = {each.class_name: each for each in found.per_class()}
    assert list(by_name) == ["cat", "dog", "owl"]
    dog = by_name["dog"]
    assert (dog.pictures, dog.agreement, dog.logit, dog.drift) == (2, 1.0, 0.5, 0.5)
    # labelled dog: 0, right in both, and 2, wrong in both; owl: 3, right at first
    assert (dog.right, dog.right_then) == (0.5, 0.5)
    owl = by_name["owl"]
    assert (owl.right, owl.right_then, owl.logit, owl.drift) == (1.0, 0.0, None, None)


def test_an_audit_has_not_changed_from_itself(runs: tuple[Path, Path]) -> None:
    found = compared((runs[0], runs[0]))
    assert found.agrees.all()
    assert not found.drift.any()
    np.testing.assert_allclose(found.cosine, 1, rtol=1e-6)


def test_heads_without_descriptors_have_no_cosine(tmp_path: Path) -> None:
    bare = {"descriptor": None, "descriptor_scale": None}
    run = open_audit(six(tmp_path / "run", [bare] * 6))
    assert np.isnan(diff(run, run).cosine).all()


def test_other_classes_pictures_or_parts_of_them_are_refused(tmp_path: Path) -> None:
    first = open_audit(six(tmp_path / "run"))
    others = open_audit(make_store(tmp_path / "others", [row(9)]))
    with pytest.raises(AuditError, match=r"pictures of the first audit, got none of them"):
        diff(first, others)
    kept = others.manifest
    write_manifest(others.folder, _with(kept, preprocess={"size": [24, 16], "crop": 0.5}))
    with pytest.raises(AuditError, match=r"the same part of each picture"):
        diff(first, open_audit(others.folder))
    write_manifest(others.folder, _with(kept, model=kept.model | {"class_names": None}))
    with pytest.raises(AuditError, match=r"the class names of"):
        diff(first, open_audit(others.folder))


def _with(manifest: Any, **others: Any) -> Any:
    from dataclasses import replace

    return replace(manifest, **others)
