"""Findings whose proofs are known by hand."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from tests.proving.colours import BOX, GROUP, OTHERS, audited, finding

from seewhy.audit import oddness
from seewhy.audit.findings import Findings, Intervention, Place
from seewhy.audit.revisit import Revisit
from seewhy.errors import InputError
from seewhy.proving import prove, prove_all
from seewhy.proving.placing import gathered
from seewhy.proving.prove import FEWEST, placed


@pytest.fixture(scope="module")
def green(tmp_path_factory: pytest.TempPathFactory) -> Revisit:
    """The class's other pictures are green all over: no part of one decides."""
    return audited(tmp_path_factory.mktemp("green"), others="green")


@pytest.fixture(scope="module")
def squares(tmp_path_factory: pytest.TempPathFactory) -> Revisit:
    """The class's other pictures have a square, too, that counts as much."""
    return audited(tmp_path_factory.mktemp("squares"), others="square")


def by_name(made: tuple[Intervention, ...]) -> dict[str, Intervention]:
    return {each.name: each for each in made}


def test_a_reason_of_its_own_is_confirmed(green: Revisit) -> None:
    told: list[int] = []
    found = prove_all(green, Findings("f", 0, (finding(),)), progress=told.append)
    proof = found.findings[0].proof
    assert proof is not None
    assert proof.verdict == "confirmed"
    assert found.findings[0].is_confirmed
    assert proof.why.startswith(
        "pasted into pictures of other classes it turned 100% of them into warm, as large evidence "
        "of other pictures of warm 0%: 100 points (100 to 100) more; painted over, the logit "
    )
    assert told == [1]
    assert (found.fingerprint, found.seed) == ("f", 0)


def test_what_each_intervention_changes_is_what_the_weights_say(green: Revisit) -> None:
    """A square is a sixteenth of the picture: 40 / 16 = 2.5. Green 16 of 255, there: 2.5 of it."""
    made = by_name(prove(green, finding()))
    assert list(made) == ["project", "remove", "transplant"]
    transplant, remove = made["transplant"], made["remove"]
    assert transplant.pictures == remove.pictures == GROUP
    assert transplant.change == pytest.approx((2.5, 2.5, 2.5), abs=1e-4)
    assert transplant.control == pytest.approx((2.5 * 16 / 255,) * 3, abs=1e-4)
    assert transplant.changed == (1, 1, 1)
    assert transplant.control_changed == (0, 0, 0)
    assert transplant.p == pytest.approx(2.0**-GROUP)
    assert remove.change == pytest.approx((-2.5, -2.5, -2.5), abs=1e-4)
    assert remove.changed == (1, 1, 1)
    assert remove.control_changed == (0, 0, 0)


def test_projecting_puts_the_group_where_the_others_are(green: Revisit) -> None:
    """Both are then as green as the others: a logit of 40 * 16 / 255, just what they have."""
    made = by_name(prove(green, finding()))["project"]
    assert made.change[0] == pytest.approx(40 * 16 / 255 - 2.5, abs=1e-4)
    assert made.control is not None
    assert made.control[0] == pytest.approx(0, abs=1e-4)


def test_evidence_that_counts_no_more_than_the_others_is_not_confirmed(squares: Revisit) -> None:
    proof = prove_all(squares, Findings("f", 0, (finding(),))).findings[0].proof
    assert proof is not None
    assert proof.verdict == "not confirmed"
    transplant = by_name(proof.interventions)["transplant"]
    assert transplant.changed == (1, 1, 1)
    assert transplant.control_changed == (1, 1, 1)
    assert transplant.p == 1


def test_without_a_place_it_says_so_and_what_projecting_shows(tmp_path: Path) -> None:
    """Red all over: its peak is a small box, but most of it lies elsewhere."""
    tinted = audited(tmp_path, others="green", group="tint")
    told = prove_all(tinted, Findings("f", 0, (finding(localised=False),))).findings[0]
    proof = told.proof
    assert not told.place.localised
    assert proof is not None
    assert proof.verdict == "untestable"
    assert proof.why.startswith("its evidence has no place of its own, so that nothing can be cut")
    assert "without what sets it apart in the features" in proof.why
    assert [each.name for each in proof.interventions] == ["project"]


def test_what_sets_a_group_apart_has_a_place_where_its_evidence_has_none(tmp_path: Path) -> None:
    marked = audited(tmp_path, others="green", group="on green")
    reasons = ("decided by evidence of its own", oddness.NOWHERE)
    told = replace(finding(localised=False), reasons=reasons)
    proven = prove_all(marked, Findings("f", 0, (told,))).findings[0]
    assert proven.is_confirmed
    assert proven.place == Place(
        mean=((1.0, 0.0, 0.0, 0.0), *[(0.0,) * 4] * 3),
        peak=(0.125, 0.125),
        fixed=1.0,
        localised=True,
        area=1 / 16,
        border=proven.place.border,
    )
    assert proven.place.border == pytest.approx(1 - 0.6**2)  # of the corner cell beyond a tenth
    assert proven.reasons == (
        "decided by evidence of its own",
        "what sets it apart has a place, though its evidence for warm has none",
    )


def test_how_much_is_gathered_in_boxes() -> None:
    """6 of 8 and 2 of 12; scattered things cancel out."""
    maps = np.zeros((2, 4, 4), np.float32)
    maps[0, 0, 0], maps[0, 3, 3], maps[0, 2, :2] = 6, 2, (5, -5)
    maps[1, :2, :3] = 2
    boxes = np.array([[0, 0, 2, 2], [0, 0, 1, 1]])
    assert gathered(maps, boxes) == (6 + 2) / (8 + 12)
    assert gathered(-maps, boxes) == 0


def test_too_few_pictures_are_told_and_painted_over_all_the_same(green: Revisit) -> None:
    proof = prove_all(green, Findings("f", 0, (finding(count=3),))).findings[0].proof
    assert proof is not None
    assert proof.verdict == "untestable"
    assert proof.why == "too few pictures: 3, of 20 that are needed"
    assert [each.name for each in proof.interventions] == ["remove"]
    assert proof.interventions[0].p is None


def test_single_pictures_are_painted_over_and_no_more(green: Revisit) -> None:
    single = replace(finding(), kind="narrow")
    proof = prove_all(green, Findings("f", 0, (single,))).findings[0].proof
    assert proof is not None
    assert proof.verdict == "untestable"
    assert proof.why == "single pictures, each odd by itself: no group that could be tested"
    made = by_name(proof.interventions)
    assert list(made) == ["remove"]
    assert made["remove"].change[0] == pytest.approx(-2.5, abs=1e-4)


def test_nothing_to_compare_it_with(green: Revisit) -> None:
    """The group is all that there is of the class."""
    whole = replace(finding(), rows=tuple(range(GROUP + OTHERS)))
    proof = prove_all(green, Findings("f", 0, (whole,))).findings[0].proof
    assert proof is not None
    assert proof.verdict == "untestable"
    assert proof.why == "there are too few pictures to compare it with"


def test_evidence_that_is_too_large_is_untestable(
    green: Revisit, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = sys.modules["seewhy.proving.prove"]  # the package has a function of that name
    monkeypatch.setattr(module, "LARGEST", 0.01)
    proof = prove_all(green, Findings("f", 0, (finding(),))).findings[0].proof
    assert proof is not None
    assert proof.verdict == "untestable"
    assert proof.why.startswith("its evidence takes more than a quarter of most pictures; without")


def test_what_nothing_sets_apart_has_no_place(green: Revisit) -> None:
    """Rows 30 to 54 are all green, and so are those that they are compared with."""
    same = replace(finding(), rows=tuple(range(GROUP, GROUP + 25)))
    others = range(GROUP + 25, GROUP + OTHERS)
    assert [each.name for each in prove(green, same, others)] == []
    assert len(others) < FEWEST
    some = replace(finding(), rows=tuple(range(GROUP, GROUP + 20)))
    made = prove(green, some, range(GROUP + 20, GROUP + OTHERS))
    assert [each.name for each in made] == ["project"]


def test_where_the_evidence_was_cut_out(green: Revisit) -> None:
    assert placed(green, finding(), [3, 1]).tolist() == [list(BOX), list(BOX)]


def test_probabilities_are_corrected_for_how_many_were_tried(green: Revisit) -> None:
    three = tuple(finding(number) for number in (1, 2, 3))
    found = prove_all(green, Findings("f", 0, three), limit=2)
    assert found.findings[2].proof is None
    for each in found.findings[:2]:
        assert each.proof is not None
        assert by_name(each.proof.interventions)["transplant"].p == pytest.approx(2 * 2.0**-GROUP)


def test_the_same_seed_gives_the_same_proof(squares: Revisit) -> None:
    asked = Findings("f", 0, (finding(),))
    assert prove_all(squares, asked, seed=3) == prove_all(squares, asked, seed=3)


def test_nothing_to_prove(green: Revisit) -> None:
    assert prove_all(green, Findings("f", 0, ())).findings == ()
    with pytest.raises(InputError, match=r"limit: expected 0 or more, got -1; pass another"):
        prove_all(green, Findings("f", 0, ()), limit=-1)


def test_the_network_is_left_as_it_was(green: Revisit, tmp_path: Path) -> None:
    before = {name: value.clone() for name, value in green.classifier.module.state_dict().items()}
    prove(green, finding())
    for name, value in green.classifier.module.state_dict().items():
        assert torch.equal(value, before[name])
