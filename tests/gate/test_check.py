from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
from tests.audit.stores import failed, make_store, manifest, row
from tests.gate.materials import finding, maps, six, with_findings

from seewhy import open_audit
from seewhy.audit.findings import Proof
from seewhy.audit.manifest import write_manifest
from seewhy.errors import AuditError, ClassError
from seewhy.gate.check import Result, check
from seewhy.gate.rules import SECTIONS, parse


def results(run: Path, text: str, beside: Path = Path()) -> list[Result]:
    rules, mistakes = parse(tomllib.loads(text))
    assert not mistakes
    return list(check(open_audit(run), rules, beside))


def one(run: Path, text: str, beside: Path = Path()) -> tuple[str, str, str, list[int]]:
    (found,) = results(run, text, beside)
    return found.state, found.expected, found.got, [each.row for each in found.pictures]


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return six(tmp_path / "run")


def test_the_mean_over_all_pictures(run: Path) -> None:
    # (1/8 + 5/8 + 2/8 + 7/8 + 2/8 + 3/8) / 6
    state, expected, got, rows = one(run, "evidence.max_border = 0.42")
    assert (state, expected, got) == ("passed", "at most 0.42", "0.417 over 6 pictures")
    assert not rows
    state, _, _, rows = one(run, "evidence.max_border = 0.41")
    assert (state, rows) == ("failed", [3, 1, 5, 2, 4])


def test_a_mean_that_is_the_limit_keeps_it(tmp_path: Path) -> None:
    run = six(tmp_path / "run", [{"inside": 0.75}] * 6)
    assert one(run, "evidence.max_outside = 0.25")[0] == "passed"
    assert one(run, "accuracy.minimum = 0.5")[0] == "passed"


def test_the_mean_of_each_class_and_of_one(run: Path) -> None:
    # predicted as cat 2, 4; dog 0, 1; owl 3, 5
    assert one(run, "evidence.max_border_per_class = 0.3") == (
        "failed",
        "at most 0.3 for each class",
        "owl 0.625, dog 0.375",
        [3, 1, 5, 0],
    )
    assert one(run, "evidence.max_border_per_class = 0.7")[2] == "owl 0.625 at worst"
    assert one(run, "[evidence.classes]\ncat = { max_border = 0.2 }") == (
        "failed",
        "at most 0.2",
        "0.25 over 2 pictures",
        [2, 4],
    )
    with pytest.raises(ClassError, match=r"did you mean cat"):
        one(run, "[evidence.classes]\ncta = { max_border = 0.2 }")


def test_classes_with_few_pictures_are_left_out(run: Path) -> None:
    # labelled cat 1, 4; dog 0, 2, 5; owl 3
    text = "[accuracy]\nminimum_per_class = 0.4\nmin_pictures = {}\n"
    broken = ("failed", "at least 0.4 for each class", "dog 0.333", [5, 2])
    assert one(run, text.format(3)) == broken
    assert one(run, text.format(4)) == (
        "skipped",
        "at least 0.4",
        "no class has pictures enough",
        [],
    )


def test_accuracy_shows_the_most_confident_mistakes(run: Path) -> None:
    state, expected, got, rows = one(run, "accuracy.minimum = 0.6")
    assert (state, expected, got) == ("failed", "at least 0.6", "0.5 over 6 pictures")
    assert rows == [5, 2, 1]


def test_what_the_audit_does_not_know_is_skipped(tmp_path: Path) -> None:
    blank = {"boxes": None, "inside": None, "label": None, "label_name": None, "correct": None}
    run = make_store(tmp_path / "run", [row(i, **blank) for i in range(3)])
    text = (
        "evidence.max_outside = 0.5\naccuracy.minimum = 0.5\nevidence.classes.owl.max_border = 0.5"
    )
    found = [(each.state, each.got) for each in results(run, text)]
    assert found == [
        ("skipped", "no picture has boxes"),
        ("skipped", "no such picture"),
        ("skipped", "no picture has a label"),
    ]


def test_confirmed_findings_are_counted_but_for_parts(run: Path) -> None:
    untried = Proof("not confirmed", "nothing moved")
    with_findings(
        run,
        finding(1),
        finding(2, nature="part"),
        finding(3, proof=untried),
        finding(4, class_name="owl", prototypes=(3,)),
        finding(5, proof=None),
    )
    assert one(run, "findings.confirmed = 2")[0] == "passed"
    assert one(run, "findings.confirmed = 1") == (
        "failed",
        "at most 1 confirmed",
        "2: finding 1 (dog), finding 4 (owl); parts of the object: finding 2 (dog)",
        [1, 3, 0],
    )


def test_findings_that_nobody_tried_prove_nothing(run: Path) -> None:
    with_findings(run, finding(1, proof=None))
    assert one(run, "findings.confirmed = 0")[::2] == ("skipped", "none was put to the proof")
    with_findings(run)
    assert one(run, "findings.confirmed = 0")[::2] == ("passed", "none")


def test_where_nobody_looked_for_findings_that_is_an_error(run: Path) -> None:
    with pytest.raises(AuditError, match=r"expected findings.*seewhy find"):
        one(run, "findings.confirmed = 0")


def test_the_accuracy_of_each_group(run: Path) -> None:
    text = "accuracy.minimum_per_finding = 0.5"
    with_findings(run, finding(1, accuracy=0.25), finding(2, kind="narrow", accuracy=0.0))
    expected = "at least 0.5 for each group found"
    assert one(run, text) == ("failed", expected, "finding 1 (dog) 0.25", [1, 0])
    with_findings(run, finding(1, accuracy=0.5))
    assert one(run, text)[::2] == ("passed", "finding 1 (dog) 0.5 at worst")
    with_findings(run, finding(1, accuracy=None))
    assert one(run, text)[0] == "skipped"


def test_certificates_and_failures(tmp_path: Path) -> None:
    inexact = {"certificate": [1e-7, 1e-3]}
    broken = {"certificate": [float("nan"), 0.0]}
    run = six(tmp_path / "run", [{}, inexact, {}, broken, {}, {}])
    assert one(run, "certificate.inexact = 2")[0] == "passed"
    state, _, got, rows = one(run, "certificate.inexact = 1")
    assert (state, got, rows[:2]) == ("failed", "2", [1, 3])
    assert one(run, "certificate.failed = 0.15")[0] == "passed"
    assert one(run, "certificate.failed = 0.1")[2:] == ("0.143 (1 of 7)", [6])


def test_drift_since_another_audit(tmp_path: Path) -> None:
    left, right = [[1.0, 0, 0], [1, 0, 0]], [[0.0, 0, 1], [0, 0, 1]]
    six(tmp_path / "before", [{"maps": maps(left, left)}] * 6)
    after = [{"maps": maps(left, left)}] * 5 + [{"maps": maps(right, left)}]
    run = six(tmp_path / "after", after)
    text = '[drift]\nagainst = "before"\n'
    assert one(run, text + "max = 0.2", tmp_path)[2] == "0.167 over 6 pictures"
    assert one(run, text + "max_per_class = 0.4", tmp_path) == (
        "failed",
        "at most 0.4 for each class",
        "owl 0.5",
        [5],
    )
    assert one(run, text + "min_agreement = 1.0", tmp_path)[0] == "passed"
    with pytest.raises(AuditError, match=r"no such folder"):
        one(run, text + "max = 0.2")


def test_an_unfinished_audit_is_refused(tmp_path: Path) -> None:
    run = make_store(tmp_path / "run", [row(0), failed(1)])
    shards = open_audit(run).manifest.shards
    write_manifest(run, manifest(9).with_shards(shards))
    with pytest.raises(AuditError, match=r"all of its 9 rows, got 2"):
        one(run, "evidence.max_border = 0.5")


def test_there_is_a_check_for_every_rule() -> None:
    from seewhy.gate.check import _CHECKS

    kinds = {
        f"{section}.{key}"
        for section, table in SECTIONS.items()
        for key, kind in table.items()
        if not kind.setting
    }
    assert kinds == set(_CHECKS)
