from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

from seewhy.gate.check import Picture, Result
from seewhy.gate.junit import junit, to_json, write_junit

RESULTS = (
    Result("evidence.max_border", "passed", "at most 0.5", "0.3 over 9 pictures"),
    Result(
        "evidence.classes.c<t\x00.max_border",
        "failed",
        "at most 0.5",
        "0.7",
        (Picture(3, 'a\n"b".png'), Picture(1, "c.png")),
    ),
    Result("accuracy.minimum", "skipped", "at least 0.5", "no picture has a label"),
)


def test_a_case_for_each_rule(tmp_path: Path) -> None:
    path = write_junit(tmp_path / "report.xml", "runs/x", RESULTS)
    suite = ElementTree.parse(path).getroot().find("testsuite")
    assert suite is not None
    counts = {"tests": "3", "failures": "1", "errors": "0", "skipped": "1"}
    assert suite.attrib == {"name": "seewhy check runs/x", **counts}
    passed, failed, skipped = suite
    assert passed.attrib == {"classname": "seewhy.evidence", "name": "max_border"}
    assert not len(passed)
    assert failed.get("name") == "classes.c<t\\x00.max_border"
    (failure,) = failed
    assert failure.get("message") == "expected at most 0.5, got 0.7"
    assert failure.text == 'row 3: a\\n"b".png\nrow 1: c.png'
    (why,) = skipped
    assert (why.tag, why.get("message")) == ("skipped", "no picture has a label")


def test_the_same_results_have_the_same_bytes() -> None:
    assert junit("x", RESULTS) == junit("x", RESULTS)
    assert junit("x", RESULTS).startswith(b"<?xml version='1.0' encoding='utf-8'?>")


def test_as_json() -> None:
    document = to_json("runs/x", RESULTS)
    assert document["passed"] is False
    assert document["results"][1]["pictures"][1] == {"row": 1, "id": "c.png"}
    assert to_json("x", RESULTS[::2])["passed"] is True
