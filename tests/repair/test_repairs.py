"""Repairs from the audit to the model folder, in a world where the answer is known."""

from __future__ import annotations

import functools
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from tests.repair.marked import CLASSES, Colours, audited, marked_rows

from seewhy import load_model
from seewhy.audit.pinned import fingerprint
from seewhy.audit.prepare import Frames
from seewhy.audit.revisit import Revisit
from seewhy.errors import DataError, InputError, ModelError
from seewhy.repair import make
from seewhy.repair.account import Wanted
from seewhy.repair.finetune import Recipe, _frequencies, _given
from seewhy.repair.fold import folded, layer_of
from seewhy.repair.material import (
    FITTING,
    apart_maps,
    class_maps,
    gather,
    halves,
    known,
    translucence,
)
from seewhy.repair.page import verdict, write_page
from seewhy.repair.project import Linear, restored
from seewhy.repair.save import save_repaired, write_account
from seewhy.repair.transplants import added, transplanted

HERE = Path(__file__).parent


@pytest.fixture(scope="module")
def again(tmp_path_factory: pytest.TempPathFactory) -> Revisit:
    """The audit of the marked world."""
    return audited(tmp_path_factory.mktemp("pictures"), tmp_path_factory.mktemp("run"))


def test_the_network_is_fooled_before(again: Revisit) -> None:
    made_from, _ = halves(again.audit, 0)
    material = gather(again, made_from, marked_rows(again), 0, FITTING, 0)
    ran = again.run(again.inputs(material.transplanted()))
    assert (ran.logits.argmax(1) == 0).float().mean() > 0.9
    assert material.cells.sum((1, 2)).tolist() == [1] * len(material.members)
    assert material.cells[:, 0, 0].all()


@pytest.mark.parametrize(
    ("weight", "least", "most"),
    [(0.0, 0.0, 0.0), (30.0, 0.3, 0.38), (35.0, 0.45, 0.65), (60.0, 1.0, 1.0)],
)
def test_the_more_often_an_artefact_turns_decisions_without_its_ground_the_more_are_added(
    again: Revisit, weight: float, least: float, most: float
) -> None:
    """Pasted red, a sixteenth, moves the logits by an eighth of its weight; added, by some half."""
    module = Colours().eval()
    with torch.no_grad():
        module.fc.weight[:, 0] = torch.tensor([weight, -weight])
    made_from, _ = halves(again.audit, 0)
    rows = marked_rows(again)
    material = gather(again.with_module(module), made_from, rows, 0, FITTING, 0)
    share = translucence(again.with_module(module), material)
    assert least <= share <= most
    expected_share = min(1.0, max(0.0, (share - 0.4) / 0.6))
    assert float(material.is_added.float().mean()) == pytest.approx(expected_share, abs=0.12)
    hosts, donors = material.hosts.numpy(), material.donors.numpy()
    is_added = material.is_added[donors].numpy()[:, None, None, None]

    def put(contents: Frames) -> Frames:
        every = material.frames[hosts], contents, material.cells[donors]
        return np.where(is_added, added(*every), transplanted(*every))

    expected = put(material.members[donors])
    np.testing.assert_array_equal(material.transplanted(), expected)
    np.testing.assert_array_equal(material.transplanted(3), expected[:3])
    np.testing.assert_array_equal(_given(material, hosts, donors).frames, expected)
    np.testing.assert_array_equal(material.covered(), put(material.frames[np.roll(hosts, 1)]))


def test_the_region_is_what_sets_the_group_apart_not_what_the_class_looks_like(
    again: Revisit,
) -> None:
    module = Colours().eval()
    with torch.no_grad():
        module.fc.weight.copy_(torch.tensor([[5.0, 0.0, 60.0], [-5.0, 5.0, 0.0]]))
    blue = again.with_module(module)
    made_from, _ = halves(again.audit, 0)
    material = gather(blue, made_from, marked_rows(again), 0, FITTING, 0)
    of_class = class_maps(blue, material.members, 0)
    assert (of_class[:, 0, 0] == of_class.amin((1, 2))).all()  # the mark is not blue
    assert material.cells.sum((1, 2)).tolist() == [1] * len(material.members)
    assert material.cells[:, 0, 0].all()
    beside = material.frames[material.predicted == 0]
    alone = apart_maps(blue, material.members, beside[:9], 0)
    torch.testing.assert_close(alone, of_class)  # too few to tell it from


def test_what_a_repair_is_made_from_is_not_what_it_is_measured_on(again: Revisit) -> None:
    made_from, measured_on = halves(again.audit, 0)
    assert not set(made_from.rows) & set(measured_on.rows)
    every = sorted([*made_from.rows, *measured_on.rows])
    assert every == known(again.audit).rows.tolist()


def test_in_training_the_class_is_as_frequent_as_with_its_group(again: Revisit) -> None:
    made_from, _ = halves(again.audit, 0)
    material = gather(again, made_from, marked_rows(again), 0, FITTING, 0)
    of_class = (material.targets == 0).numpy()
    assert of_class.mean() < 0.4  # half of the seas are marked
    drawn = _frequencies(material)
    assert drawn.sum() == pytest.approx(1)
    assert drawn[of_class].sum() == pytest.approx(material.share)
    assert material.share == pytest.approx((made_from.targets == 0).mean())
    assert len(set(drawn[of_class])) == len(set(drawn[~of_class])) == 1


@pytest.mark.parametrize("how", ["project", "head"])
def test_the_last_layer_can_be_repaired(again: Revisit, how: make.How) -> None:
    before = fingerprint(again.classifier.module)
    made = make.repair(again, marked_rows(again), 0, how)
    account = made.account
    assert account.holds, account.failings
    assert account.cost > 0.9
    assert account.recovered[0] > 0.95
    assert account.clean == (0.0, 0.0, 0.0)
    assert account.after.on_members.mean() < account.before.on_members.mean()
    # seas and woods are of one colour all over: all cells count alike, before and after
    for seen in (account.before, account.after):
        assert seen.area.mean() > 0.9
        assert 0.7 < seen.spread.mean() <= 0.8
    assert fingerprint(again.classifier.module) == before


def test_the_head_begins_where_project_ends_and_is_held_to_it(
    again: Revisit, monkeypatch: pytest.MonkeyPatch
) -> None:
    made_from, _ = halves(again.audit, 0)
    fitting = make.Fitting(again, gather(again, made_from, marked_rows(again), 0, FITTING, 0))
    layer = layer_of(again.with_module(make.project(fitting)))
    free = layer_of(again.with_module(make.head(fitting)))
    assert (free.weight - layer.weight).abs().max() > 0.1
    monkeypatch.setattr(make, "HELD", 1e6)
    held = layer_of(again.with_module(make.head(fitting)))
    torch.testing.assert_close(held.weight, layer.weight, rtol=0, atol=1e-3)


def test_what_is_restored_is_each_host_as_it_was(
    again: Revisit, monkeypatch: pytest.MonkeyPatch
) -> None:
    made_from, _ = halves(again.audit, 0)
    fitting = make.Fitting(again, gather(again, made_from, marked_rows(again), 0, FITTING, 0))
    material, count = fitting.material, len(fitting.plain)
    asked: list[torch.Tensor] = []

    def watched(
        layer: Linear, seen: torch.Tensor, wanted: torch.Tensor, weights: torch.Tensor
    ) -> Linear:
        asked.extend([seen, wanted, weights])
        return restored(layer, seen, wanted, weights)

    monkeypatch.setattr(make, "restored", watched)
    layer = layer_of(again.with_module(make.project(fitting)))
    seen, wanted, weights = asked
    torch.testing.assert_close(seen, torch.cat([fitting.plain, fitting.given]))
    torch.testing.assert_close(wanted, torch.cat([fitting.plain, fitting.plain[material.hosts]]))
    assert float(weights[:count].sum()) == pytest.approx(0.4)
    for number in range(2):
        of_class = weights[:count][material.targets == number].sum()
        assert float(of_class) == pytest.approx(0.2)
    pooled, labels, counts = fitting.examples(fitting.members, make.PROJECTED)
    assert len(pooled) == count + len(fitting.members) + len(fitting.given)
    probable = (counts[:, None] * layer(pooled).softmax(1)).sum(0)  # it was calibrated on these
    frequent = torch.stack([counts[labels == number].sum() for number in range(2)])
    torch.testing.assert_close(probable, frequent, rtol=0, atol=2e-3)


def test_a_training_begins_where_the_head_ends_if_that_can_be_folded_in(
    again: Revisit, monkeypatch: pytest.MonkeyPatch
) -> None:
    made_from, _ = halves(again.audit, 0)
    fitting = make.Fitting(again, gather(again, made_from, marked_rows(again), 0, FITTING, 0))
    begun: list[Revisit] = []

    def watched(revisit: Revisit, *_: object) -> torch.nn.Module:
        begun.append(revisit)
        return revisit.classifier.module

    monkeypatch.setattr(make, "finetuned", watched)
    module = make.finetune(fitting)
    assert fingerprint(module) == fingerprint(make.head(fitting))
    headless = again.with_module(again.classifier.module)
    object.__setattr__(headless, "head", _of_two_layers(again))
    make.finetune(make.Fitting(headless, fitting.material))
    assert begun[1] is headless


def test_features_outside_the_regions_do_for_the_group(again: Revisit) -> None:
    made_from, measured_on = halves(again.audit, 0)
    parts = [
        gather(again, of, marked_rows(again), 0, FITTING, 0) for of in (made_from, measured_on)
    ]
    fitting = make.Fitting(again, parts[0])
    cells = parts[0].cells[:, None]
    ran = again.run(again.inputs(parts[0].members))
    expected = (ran.features * ~cells).sum((2, 3)) / (~cells).sum((2, 3))
    torch.testing.assert_close(fitting.members_outside, expected)
    mended = again.with_module(make.head(fitting, outside=True))
    ran = mended.run(again.inputs(parts[1].transplanted()))
    assert (ran.logits.argmax(1) == 1).float().mean() > 0.95


def test_a_short_training_repairs_it_too(again: Revisit, monkeypatch: pytest.MonkeyPatch) -> None:
    brief = functools.partial(Recipe, steps=60, batch=32, lr=0.2)
    monkeypatch.setattr(make, "Recipe", brief)
    made = make.repair(again, marked_rows(again), 0, "finetune")
    assert made.account.recovered[0] > 0.95
    assert made.account.clean[0] >= -0.01
    twice = make.repair(again, marked_rows(again), 0, "finetune")
    assert fingerprint(made.module) == fingerprint(twice.module)


def test_auto_stops_at_the_first_that_holds(again: Revisit) -> None:
    said: list[str] = []
    made = make.repair(again, marked_rows(again), 0, say=said.append)
    assert [each.how for each in made.tried] == ["project"]
    assert said == ["reading pictures", "measuring the network as it is", "project"]


def test_where_the_artefact_costs_nothing_there_is_nothing_to_do(again: Revisit) -> None:
    unmarked = [row for row in known(again.audit).rows.tolist() if row not in marked_rows(again)]
    group = [row for row in unmarked if again.listing.labels[row] == 0]
    made = make.repair(again, group, 0, wanted=Wanted(cost=1.01))
    assert not made.holds
    assert "nothing to do" in made.account.failings[0]
    assert len(made.tried) == 1


def test_another_audit_can_be_measured_on(again: Revisit, tmp_path: Path) -> None:
    other = audited(tmp_path / "pictures", tmp_path / "run", 120)
    made = make.repair(again, marked_rows(again), 0, "project", held_out=other)
    assert made.holds
    assert len(made.account.material.members) == 30
    assert len(made.account.material.frames) == 90


def test_what_is_written_is_a_model_with_an_account(again: Revisit, tmp_path: Path) -> None:
    made = make.repair(again, marked_rows(again), 0, "project")
    net = f"{HERE / 'marked.py'}:Colours"
    named = again.with_module(again.classifier.module)
    object.__setattr__(named.classifier, "name", net)
    save_repaired(tmp_path, named, made)
    found = load_model(tmp_path)
    assert found.class_names == CLASSES
    assert found.preprocess == again.classifier.preprocess
    example = found.example()
    torch.testing.assert_close(found(example), made.module(example))
    document = json.loads(write_account(tmp_path, made).read_text())
    assert document["holds"] is True
    assert document["how"] == "project"
    assert document["before"]["taken"] > document["after"]["taken"]
    page = write_page(tmp_path / "repair.html", again, made).read_text()
    assert "sea, before" in page
    assert "it holds" in page


def test_the_verdict_says_what_fails(again: Revisit) -> None:
    made = make.repair(again, marked_rows(again), 0, "project", wanted=Wanted(member_gap=-1.0))
    assert not made.holds
    assert "the group is 0 points worse" in verdict(made.account)


def test_too_small_a_group_is_refused(again: Revisit) -> None:
    with pytest.raises(DataError, match=r"expected 10 pictures of the group .*, got \d and \d+;"):
        make.repair(again, marked_rows(again)[:8], 0)


def test_an_unknown_way_is_refused(again: Revisit) -> None:
    with pytest.raises(InputError, match="expected auto or project or head or finetune, got 'x'"):
        make.repair(again, marked_rows(again), 0, "x")  # type: ignore[arg-type]


def test_a_layer_is_put_where_the_old_one_was(again: Revisit) -> None:
    layer = layer_of(again)
    module = folded(again, layer)
    assert fingerprint(module) == fingerprint(again.classifier.module)
    object.__setattr__(headless := again.with_module(module), "head", _of_two_layers(again))
    with pytest.raises(ModelError, match="expected one linear layer with a bias"):
        folded(headless, layer)


def _of_two_layers(again: Revisit) -> object:
    from dataclasses import replace

    return replace(again.head, steps=again.head.steps * 2)


def test_the_bootstrap_holds_the_estimate(again: Revisit) -> None:
    made = make.repair(again, marked_rows(again), 0, "project")
    estimate, low, high = made.account.recovered
    assert low <= estimate <= high
    assert np.isfinite([low, high]).all()
