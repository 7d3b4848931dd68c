from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest
import torch
from tests.audit.materials import CLASSES, classifier, lay_out, picture
from tests.audit.stores import make_store, row
from tests.oracles import units as oracle

from seewhy import explain, open_audit
from seewhy.audit.local import Wish, run
from seewhy.audit.revisit import Revisit, revisit
from seewhy.errors import AuditError, ModelError
from seewhy.units.crops import cut, fired
from seewhy.units.decision import decided_by
from seewhy.units.field import Field, field_of, influence
from seewhy.units.shares import also_used_by, units_of
from seewhy.units.sheet import class_sheet, decision_sheet

COUNT = 9


@pytest.fixture(scope="module")
def again(tmp_path_factory: pytest.TempPathFactory) -> Revisit:
    """An audit of a few pictures, and its network."""
    pictures = lay_out(tmp_path_factory.mktemp("pictures"), COUNT)
    out = tmp_path_factory.mktemp("run")
    run(pictures, classifier(), out, Wish(batch_size=4, threads=1, engine="torch"))
    return revisit(open_audit(out), classifier())


@pytest.fixture(scope="module")
def predicted(again: Revisit) -> int:
    """The class that most pictures were predicted as."""
    found: list[int] = [each["predicted"] for each in again.audit]
    return max(set(found), key=found.count)


def rows_of(again: Revisit, number: int) -> list[int]:
    return [each["row"] for each in again.audit if each["predicted"] == number]


def trunk(again: Revisit) -> torch.nn.Module:
    net: Any = again.classifier.module
    return torch.nn.Sequential(net.first, torch.nn.ReLU(), net.second, torch.nn.ReLU())


def test_shares_are_what_weights_and_features_make(again: Revisit, predicted: int) -> None:
    rows = rows_of(again, predicted)
    ran = again.run(again.inputs(again.frames(rows)))
    means = oracle.means(ran.features, again.weight[predicted])
    shares = oracle.shares(means)
    found = units_of(again.audit, predicted, again.weight.numpy(), top=99)
    assert found.rows.tolist() == rows
    assert found.evidence == pytest.approx(sum(means), rel=1e-3)
    logits = ran.logits[:, predicted].mean() - again.bias[predicted]
    assert found.evidence == pytest.approx(float(logits), rel=1e-3)
    assert len(found.units) == sum(each > 0 for each in means)
    for unit in found.units:
        assert unit.evidence == pytest.approx(means[unit.channel], rel=2e-3, abs=1e-3)
        assert unit.share == pytest.approx(shares[unit.channel], rel=2e-3, abs=1e-3)
        assert unit.weight == pytest.approx(float(again.weight[predicted, unit.channel]))
    assert sum(unit.share for unit in found.units) == pytest.approx(1)
    assert [e.share for e in found.units] == sorted((e.share for e in found.units), reverse=True)


def test_other_classes_that_use_a_unit() -> None:
    assert also_used_by(np.array([2.0, 1.0, 3.0, 0.9, -4.0]), 0) == ((2, 1.5), (1, 0.5))
    assert also_used_by(np.array([-2.0, 1.0, -3.0]), 0) == ((2, 1.5),)
    assert also_used_by(np.array([0.0, 1.0]), 0) == ()


def test_a_class_without_pictures_and_a_head_without_weights_are_refused(tmp_path: Path) -> None:
    weight = np.ones((3, 4))
    audit = open_audit(make_store(tmp_path / "a", [row(0)]))
    assert units_of(audit, 1, weight, 1).units[0].channel == 0
    with pytest.raises(AuditError, match=r"predicted as owl, with descriptors, got none"):
        units_of(audit, 2, weight, 1)
    bare = [row(0, descriptor=None, descriptor_scale=None)]
    audit = open_audit(make_store(tmp_path / "b", bare))
    with pytest.raises(AuditError, match=r"got no descriptors"):
        units_of(audit, 1, weight, 1)


def test_influence_reaches_the_pixels_that_change_the_cell(again: Revisit) -> None:
    inputs = again.inputs(again.frames([0, 1]))
    features = again.run(inputs).features
    channel = int(features.flatten(2).amin((0, 2)).argmax())
    cells = np.array([[1, 2], [3, 0]])
    found = influence(again.classifier, again.head, inputs, channel, cells)
    assert found.shape == (2, 16, 24)
    for image, moved, (y, x) in zip(inputs, found, cells.tolist(), strict=True):
        with torch.no_grad():
            expected = oracle.moved(trunk(again), image, channel, y, x)
        np.testing.assert_array_equal(moved > 0, expected)
    assert all(weight.grad is None for weight in again.classifier.module.parameters())


def test_the_field_is_as_far_out_as_most_of_the_influence() -> None:
    # cells of 4 x 2 pixels: the middle of cell (1, 1) is at x 6, y 3
    found = np.zeros((1, 8, 16), dtype=np.float32)
    found[0, 2:4, 4:8] = 1  # the cell itself: 8 of 12
    found[0, 2:4, 12:14] = 1
    cells = np.array([[1, 1]])
    assert field_of(found, cells, (4, 4)) == Field((2.0, 1.0), (8.0, 4.0))
    found[0, 2:4, 8:12] = 3  # half of all 36 lies within its first half
    assert field_of(found, cells, (4, 4)).radius == (4.0, 2.0)
    assert field_of(np.zeros_like(found), cells, (4, 4)) == Field((2.0, 1.0), (0.0, 0.0))


def test_crops_lie_where_the_unit_fires_most(again: Revisit, predicted: int) -> None:
    found = units_of(again.audit, predicted, again.weight.numpy(), top=3)
    made = fired(again, found, count=2)
    features = again.run(again.inputs(again.frames(found.rows.tolist()))).features
    for each in made:
        values = features[:, each.unit.channel] * each.unit.weight
        best = values.flatten(1).max(1).values.sort(descending=True).values[:2]
        assert [crop.evidence for crop in each.crops] == pytest.approx(best.tolist())
        for crop in each.crops:
            x, y = crop.cell
            own = values[found.rows.tolist().index(crop.row)]
            assert float(own[y, x]) == pytest.approx(crop.evidence)
            x0, y0, x1, y1 = crop.box
            assert ((x0 + x1) / 2, (y0 + y1) / 2) == ((x + 0.5) * 4, (y + 0.5) * 4)
            assert crop.id == again.listing.ids[crop.row]


def test_what_reaches_over_the_edges_is_grey() -> None:
    frame = np.arange(48, dtype=np.uint8).reshape(4, 4, 3)
    np.testing.assert_array_equal(cut(frame, (1.0, 0.0, 3.0, 2.0)), frame[0:2, 1:3])
    found = cut(frame, (-1.0, 2.0, 3.0, 6.0))
    assert found.shape == (4, 4, 3)
    np.testing.assert_array_equal(found[:2, 1:], frame[2:, :3])
    assert (found[2:] == 192).all()
    assert (found[:, 0] == 192).all()


@pytest.mark.parametrize("head", ["linear", "normalised"])
@pytest.mark.parametrize("wanted", [None, "owl"])
def test_a_decision_is_the_sum_of_its_units(head: str, wanted: str | None) -> None:
    model, image = classifier(head), picture(3)
    found = decided_by(model, image, wanted, top=3)
    result = explain(model, [image], wanted or "predicted")
    assert found.class_name == (wanted or CLASSES[found.class_id])
    assert found.logit == pytest.approx(float(result.target[0, 0]), rel=1e-5)
    assert found.bias == pytest.approx(float(result.bias[0, 0]), rel=1e-5)
    total = float(found.evidence.sum()) + found.bias
    assert total == pytest.approx(found.logit, rel=1e-4)
    assert found.certificate < 1e-5
    assert sum(part.evidence for part in found.parts) + found.rest + found.bias == pytest.approx(
        found.logit, rel=1e-4
    )
    order = np.argsort(-found.evidence, kind="stable")[:3].tolist()
    assert [part.channel for part in found.parts] == order


def test_the_place_of_a_part_is_on_the_original_picture() -> None:
    model, image = classifier(), picture(5, 80, 60)
    found = decided_by(model, image, top=2)
    for part in found.parts:
        (x, y), (px, py) = part.cell, part.at
        assert part.map[y, x] == part.map.max()
        assert part.map.mean() == pytest.approx(part.evidence, rel=1e-5)
        left, top, right, bottom = found.geometry.visible
        assert px == pytest.approx(left + (x + 0.5) / 6 * (right - left))
        assert py == pytest.approx(top + (y + 0.5) / 4 * (bottom - top))


@pytest.mark.parametrize("head", ["class-maps", "pooled", "first-order"])
def test_heads_without_weights_for_units_are_refused(head: str) -> None:
    with pytest.raises(ModelError, match=r"a weight for each unit and class"):
        decided_by(classifier(head), picture(1))


def test_sheets_show_every_unit(again: Revisit, predicted: int) -> None:
    found = units_of(again.audit, predicted, again.weight.numpy(), top=2)
    made = fired(again, found, count=3)
    sheet = class_sheet(again, found, made)
    assert sheet.height > 2 * 96
    decision = decided_by(again.classifier, picture(2), top=2)
    drawn = decision_sheet(picture(2), decision, "picture.png")
    assert drawn.width > 3 * 200
    for image in (sheet, drawn):
        encoded = io.BytesIO()
        image.save(encoded, "PNG")
        again_drawn = PIL.Image.open(encoded).convert("RGB")
        assert len(set(np.asarray(again_drawn).reshape(-1, 3)[:, 0].tolist())) > 20
