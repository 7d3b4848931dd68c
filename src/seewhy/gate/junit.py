"""Results of rules as other tools read them: JUnit's XML, and JSON."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from seewhy.files import write_whole
from seewhy.gate.check import Result

VERSION = 1


def to_json(run: str, results: Sequence[Result]) -> dict[str, Any]:
    """A plain document."""
    return {
        "version": VERSION,
        "run": run,
        "passed": not any(each.state == "failed" for each in results),
        "results": [asdict(each) for each in results],
    }


def write_junit(path: str | Path, run: str, results: Sequence[Result]) -> Path:
    """Write JUnit's XML: a suite with a case for each rule.

    Raises:
        FileError: it cannot be written.
    """
    return write_whole(path, [junit(run, results)])


def junit(run: str, results: Sequence[Result]) -> bytes:
    """JUnit's XML: a suite with a case for each rule."""
    states = [each.state for each in results]
    counts = {
        "name": _clean(f"seewhy check {run}"),
        "tests": str(len(states)),
        "failures": str(states.count("failed")),
        "errors": "0",
        "skipped": str(states.count("skipped")),
    }
    root = ElementTree.Element("testsuites")
    suite = ElementTree.SubElement(root, "testsuite", counts)
    for result in results:
        _case(suite, result)
    ElementTree.indent(root)
    return bytes(ElementTree.tostring(root, encoding="utf-8", xml_declaration=True)) + b"\n"


def _case(suite: ElementTree.Element, result: Result) -> None:
    section, _, key = result.name.partition(".")
    names = {"classname": _clean(f"seewhy.{section}"), "name": _clean(key)}
    case = ElementTree.SubElement(suite, "testcase", names)
    message = _clean(f"expected {result.expected}, got {result.got}")
    if result.state == "failed":
        failure = ElementTree.SubElement(case, "failure", {"message": message})
        failure.text = "\n".join(_clean(f"row {each.row}: {each.id}") for each in result.pictures)
    elif result.state == "skipped":
        ElementTree.SubElement(case, "skipped", {"message": _clean(result.got)})


def _clean(text: str) -> str:
    """The text in one line, without what XML does not allow."""
    return "".join(each if each.isprintable() else ascii(each)[1:-1] for each in text)
