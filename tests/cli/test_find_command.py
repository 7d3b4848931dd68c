"""`seewhy find`: the table, the page and the file that it leaves."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from tests.audit.odd_reasons import odd_store

from seewhy import open_audit
from seewhy.audit import revisit as revisiting
from seewhy.audit.findings import Findings, Intervention, Proof, read_findings
from seewhy.cli import main


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return odd_store(tmp_path / "run")


def kept(run: Path) -> Findings:
    return read_findings(run, open_audit(run).manifest.fingerprint)


def proven(_revisit: Any, found: Findings, **_others: Any) -> Findings:
    from dataclasses import replace

    done = Intervention("remove", 30, (1, 0.9, 1.1), None, (0.5, 0.4, 0.6), (0.01, 0, 0.02), 0.001)
    proof = Proof("confirmed", "moved <half> of them", (done,))
    made = tuple(replace(each, proof=proof) for each in found.findings)
    return replace(found, findings=made)


def test_it_prints_a_table_and_leaves_a_file_and_a_page(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["find", str(run), "--no-prove"]) == 0
    printed = capsys.readouterr()
    header, first, *_ = printed.out.splitlines()
    assert header.split()[:4] == ["class", "kind", "pictures", "share"]
    assert first.split()[:6] == ["1", "dog", "group", "100", "50.0%", "100.0%"]
    assert "1  dog: decided by evidence of its own" in printed.out
    assert "findings.html" in printed.err
    (finding,) = kept(run).findings
    assert finding.proof is None
    page = (run / "findings.html").read_text("utf-8")
    assert page.count('<section class="one"') == 1
    assert "a suspicion" in page
    assert "<script" not in page


def test_what_is_proven_is_shown(
    run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(revisiting, "revisit", lambda audit, model: (audit, model))
    monkeypatch.setattr("seewhy.proving.prove_all", proven)
    page = run / "page.html"
    assert main(["find", str(run), "--out", str(page), "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["version"] == 1
    assert document["findings"][0]["proof"]["verdict"] == "confirmed"
    assert kept(run).findings[0].is_confirmed
    text = page.read_text("utf-8")
    assert "moved &lt;half&gt; of them" in text
    assert "50.0 % (40.0 to 60.0)" in text
    assert re.search('class="badge confirmed">confirmed', text)
    assert main(["find", str(run), "--out", str(page)]) == 0
    assert "   confirmed: moved <half> of them" in capsys.readouterr().out


def test_what_cannot_be_tried_is_kept_and_said_so(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["find", str(run), "--model", str(run / "nowhere")]) == 1
    printed = capsys.readouterr()
    assert "seewhy: nothing was proven: " in printed.err.splitlines()[-1]
    assert len(kept(run).findings) == 1


def test_nothing_odd_is_said_so_and_needs_no_network(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = odd_store(tmp_path / "run", share=0)
    assert main(["find", str(run), "--class", "dog"]) == 0
    assert capsys.readouterr().out == "nothing odd found\n"
    assert "Nothing odd was found." in (run / "findings.html").read_text("utf-8")


@pytest.mark.parametrize(
    ("arguments", "told"),
    [(["--class", "fish"], "fish"), (["--top", "0"], "--top"), (["--seed", "-1"], "--seed")],
)
def test_bad_use_is_one_line(
    run: Path, arguments: list[str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["find", str(run), *arguments]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert told in line


def test_no_audit_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["find", str(tmp_path)]) == 2
    assert "manifest.json" in capsys.readouterr().err


def test_what_a_person_says_is_kept(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["find", str(run), "--no-prove"]) == 0
    assert main(["find", str(run), "--mark", "1=part"]) == 0
    assert "   a part of the object" in capsys.readouterr().out
    assert kept(run).findings[0].nature == "part"
    assert "nature: part" in (run / "findings.html").read_text("utf-8")
    assert main(["find", str(run), "--no-prove", "--seed", "1"]) == 0  # found again: remembered
    assert kept(run).findings[0].nature == "part"


@pytest.mark.parametrize(
    ("mark", "words"),
    [("1=wheel", "expected N=artefact, N=part or N=unknown"), ("9=part", "expected 1 to 1, got 9")],
)
def test_a_wrong_mark_changes_nothing(
    run: Path, capsys: pytest.CaptureFixture[str], mark: str, words: str
) -> None:
    assert main(["find", str(run), "--no-prove"]) == 0
    before = (run / "findings.json").read_bytes()
    capsys.readouterr()
    assert main(["find", str(run), "--mark", mark]) == 2
    assert words in capsys.readouterr().err
    assert (run / "findings.json").read_bytes() == before
