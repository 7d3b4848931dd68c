"""Odd reasons in stores made by hand, where it is known what is odd."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
from tests.audit.odd_reasons import K, odd_store
from tests.audit.stores import failed, make_store, row

from seewhy import open_audit
from seewhy.audit import finding
from seewhy.audit.finding import find
from seewhy.audit.findings import read_findings, write_findings
from seewhy.audit.gathering import gathered
from seewhy.audit.grouping import groups
from seewhy.errors import SeewhyError

CARRYING = tuple(range(0, 200, 2))


def test_a_group_is_found_with_its_place_and_reasons(tmp_path: Path) -> None:
    (found,) = find(open_audit(odd_store(tmp_path / "run"))).findings
    assert found.rows == CARRYING
    assert set(found.prototypes) <= set(CARRYING)
    assert (found.kind, found.class_name, found.number) == ("group", "dog", 1)
    assert (found.share, found.accuracy) == (0.5, 1.0)
    assert found.accuracy_elsewhere == 0.8
    assert found.stability is not None
    assert found.stability > 0.95
    assert found.place.localised
    assert found.place.fixed == 1
    assert found.place.peak == pytest.approx((5.5 / 6, 0.5 / 4))
    words = " ".join(found.reasons)
    assert "in one place: 100%" in words
    assert "more at the border" in words
    assert "more often right than elsewhere, by 20 points" in words


def test_a_group_that_other_seeds_do_not_find_is_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    audit = open_audit(odd_store(tmp_path / "run"))
    monkeypatch.setattr(finding, "groups", lambda d, s, seed: groups(d, s, seed) * (seed == 3))
    assert find(audit, 3).findings == ()
    assert len(find(audit, 3, reseeds=0).findings) == 1


def test_its_direction_is_the_difference_of_mean_descriptors(tmp_path: Path) -> None:
    audit = open_audit(odd_store(tmp_path / "run"))
    (found,) = find(audit).findings
    described = {r["row"]: np.asarray(r["descriptor"], float) for r in audit.rows()}
    others = [described[number] for number in range(200, 400, 2)]
    expected = np.mean([described[each] for each in CARRYING], 0) - np.mean(others, 0)
    assert found.direction is not None
    np.testing.assert_allclose(found.direction, expected, atol=1e-5)
    assert len(expected) == K


def test_what_maps_cannot_place_is_given_none(tmp_path: Path) -> None:
    (found,) = find(open_audit(odd_store(tmp_path / "run", corner=False))).findings
    assert found.rows == CARRYING
    assert not found.place.localised
    assert any("no place" in each for each in found.reasons)


def test_nothing_is_found_where_nothing_is_odd(tmp_path: Path) -> None:
    audit = open_audit(odd_store(tmp_path / "run", share=0))
    assert [each for each in find(audit).findings if each.kind == "group"] == []


def test_one_class_alone(tmp_path: Path) -> None:
    audit = open_audit(odd_store(tmp_path / "run"))
    assert find(audit, of_class="cat").findings == ()
    assert len(find(audit, of_class=1).findings) == 1
    with pytest.raises(SeewhyError, match="fish"):
        find(audit, of_class="fish")


def test_the_same_seed_gives_the_same_findings_and_they_can_be_kept(tmp_path: Path) -> None:
    audit = open_audit(odd_store(tmp_path / "run"))
    found = find(audit, seed=7)
    assert json.dumps(asdict(found)) == json.dumps(asdict(find(audit, seed=7)))
    write_findings(audit.folder, found)
    assert read_findings(audit.folder, audit.manifest.fingerprint) == found


def test_without_descriptors_the_maps_make_the_groups(tmp_path: Path) -> None:
    rows = list(open_audit(odd_store(tmp_path / "whole")))
    for each in rows:
        each["descriptor"] = each["descriptor_scale"] = None
    made = make_store(tmp_path / "run", rows, per_shard=200, grid=[4, 6], channels=K)
    groups = [each for each in find(open_audit(made)).findings if each.kind == "group"]
    assert groups[0].rows == CARRYING
    assert groups[0].direction is None


def test_few_pictures_no_labels_and_failures_are_no_error(tmp_path: Path) -> None:
    rows = [*(row(n, label=None, correct=None) for n in range(5)), failed(5)]
    audit = open_audit(make_store(tmp_path / "run", rows))
    assert find(audit).findings == ()
    pictures = gathered(audit)
    assert pictures.rows.tolist() == [0, 1, 2, 3, 4]
    assert np.isnan(pictures.correct).all()
    np.testing.assert_array_equal(pictures.maps[3], audit.maps(3)[0])
    assert find(open_audit(make_store(tmp_path / "none", [failed(0)]))).findings == ()


def test_narrow_weak_and_outside_pictures_are_found(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    rows = []
    for number in range(60):
        area, evidence = rng.normal(0.5, 0.02), rng.normal(1, 0.05)
        rows.append(
            row(
                number,
                area=0.05 if number == 7 else area,
                concentration=0.99 if number == 7 else rng.normal(0.5, 0.02),
                maps=np.full(12, 0.01 if number == 9 else evidence, np.float16),
                probabilities=[0.95, 0.05],
                inside=0.01 if number == 11 else 0.8,
            )
        )
    audit = open_audit(make_store(tmp_path / "run", rows, per_shard=60))
    found = {each.kind: each.rows for each in find(audit).findings if each.kind != "group"}
    assert found == {"narrow": (7,), "weak": (9,), "outside": (11,)}


def test_there_are_no_more_than_asked_for_and_groups_come_first(tmp_path: Path) -> None:
    rows = list(open_audit(odd_store(tmp_path / "whole")))
    for number in range(1, 400, 2):  # the cats
        rows[number]["area"] = 0.001 if number == 1 else 0.5 + number / 4000
        rows[number]["concentration"] = 1.0 if number == 1 else 0.5 + number / 4000
    made = make_store(tmp_path / "run", rows, per_shard=200, grid=[4, 6], channels=K)
    found = find(open_audit(made)).findings
    assert [each.kind for each in found] == ["group", "narrow"]
    assert found[1].rows == (1,)
    assert find(open_audit(made), top=1).findings == found[:1]
