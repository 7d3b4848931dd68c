"""`seewhy repair`, through the entry point."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.repair.marked import Colours, lay_out, marked_rows

from seewhy import load_model
from seewhy.audit.findings import Finding, Findings, Place, Proof, write_findings
from seewhy.audit.local import Wish, run
from seewhy.audit.opened import open_audit
from seewhy.audit.revisit import revisit
from seewhy.cli import main

NET = f"{Path(__file__).with_name('marked.py')}:Colours"


@pytest.fixture(scope="module")
def audit(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An audit of the marked world by a network that `load_model` can load again."""
    from tests.repair.marked import classifier

    from seewhy.models.folder import save_model

    made = classifier()
    folder = tmp_path_factory.mktemp("model")
    save_model(
        folder,
        net=NET,
        module=Colours(),
        num_classes=2,
        class_names=made.class_names,
        preprocess=made.preprocess,
        trained={"epochs": 5},
    )
    out = tmp_path_factory.mktemp("run")
    pictures = lay_out(tmp_path_factory.mktemp("pictures"), 240)
    run(str(pictures), load_model(folder), out, Wish(batch_size=64, threads=1, engine="torch"))
    return out


@pytest.fixture
def ids(audit: Path, tmp_path: Path) -> Path:
    """A file that names the marked pictures."""
    again = revisit(open_audit(audit))
    rows = marked_rows(again)
    lines = [again.listing.ids[row] if row % 2 else str(row) for row in rows]
    file = tmp_path / "ids.txt"
    file.write_text("\n".join(lines) + "\n")
    return file


def _found(audit: Path, *, localised: bool = True, proof: Proof | None = None) -> None:
    opened = open_audit(audit)
    place = Place(((1.0,),), (0.1, 0.1), 1.0, localised, 0.1, 0.5)
    rows = tuple(marked_rows(revisit(opened)))
    finding = Finding(
        1, "group", 0, "sea", rows, rows[:3], 0.5, 1.0, 1.0, place, 3.0, ("a fixed place",),
        proof=proof,
    )  # fmt: skip
    write_findings(audit, Findings(opened.manifest.fingerprint, 0, (finding,)))


def test_it_writes_a_model(
    audit: Path, ids: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "mended"
    assert main(["repair", str(audit), "--groups", str(ids), "--out", str(out)]) == 0
    said = capsys.readouterr()
    assert said.out.startswith("project: 100% of what the artefact cost is back")
    assert "it holds" in said.out
    assert said.out.splitlines()[-1] == f"wrote {out}"
    assert sorted(path.name for path in out.iterdir()) == [
        "model.json",
        "model.safetensors",
        "repair.html",
        "repair.json",
    ]
    card = json.loads((out / "model.json").read_text())
    assert card["net"] == NET
    assert card["trained"]["before"] == {"epochs": 5}
    assert card["trained"]["repaired"]["holds"] is True
    assert load_model(out).class_names == ("sea", "wood")


def test_json_of_a_finding(audit: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _found(audit, proof=Proof("confirmed", "transplants take other pictures"))
    out = tmp_path / "mended"
    arguments = ["repair", str(audit), "--finding", "1", "--out", str(out), "--json"]
    assert main([*arguments, "--how", "head"]) == 0
    said = capsys.readouterr()
    document = json.loads(said.out)
    assert document["how"] == "head"
    assert document["folder"] == str(out)
    assert document["recovered"][0] > 0.95
    assert [each["how"] for each in document["tried"]] == ["head"]
    assert "no intervention" not in said.err


def test_a_finding_that_was_not_proven_is_told(
    audit: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _found(audit)
    arguments = ["repair", str(audit), "--finding", "1", "--out", str(tmp_path / "mended")]
    assert main([*arguments, "--how", "project"]) == 0
    assert "finding 1 is not tried: no intervention showed it" in capsys.readouterr().err


@pytest.mark.parametrize("force", [False, True])
def test_what_does_not_hold_is_written_only_by_force(
    audit: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], force: bool
) -> None:
    """A group without the mark: its blue does not make a sea of a wood."""
    again = revisit(open_audit(audit))
    marked = set(marked_rows(again))
    rows = [row for row in range(120) if row not in marked]
    assert {int(again.listing.labels[row]) for row in rows} == {0}
    file = tmp_path / "rows.txt"
    file.write_text("\n".join(map(str, rows)))
    out = tmp_path / "mended"
    arguments = ["repair", str(audit), "--groups", str(file), "--how", "project"]
    arguments += ["--recover", "1", "--clean-loss", "0", "--out", str(out)]
    code = main([*arguments, *(["--force"] if force else [])])
    said = capsys.readouterr().out
    assert code == 1
    assert out.exists() is force
    assert said.splitlines()[-1].startswith("wrote" if force else "not written: --force")


def test_a_finding_without_a_place_is_refused(
    audit: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _found(audit, localised=False)
    assert main(["repair", str(audit), "--finding", "1"]) == 2
    assert "got one that maps cannot place; train with and without" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        ([], "group: expected --finding or --groups, got none; name one"),
        (["--finding", "1", "--groups", "x"], "expected --finding or --groups, got both;"),
        (["--groups", "no.txt"], "no.txt: expected a text file, got"),
        (["--finding", "9"], "finding: expected 1 to 1, got 9;"),
    ],
)
def test_bad_use(
    audit: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], line: str
) -> None:
    _found(audit)
    assert main(["repair", str(audit), *arguments]) == 2
    assert line in capsys.readouterr().err


def test_an_unknown_picture_is_named(
    audit: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "ids.txt"
    file.write_text("sea/none.png\n")
    assert main(["repair", str(audit), "--groups", str(file)]) == 2
    assert "got 'sea/none.png'; write them as seewhy query prints them" in capsys.readouterr().err


def test_a_group_of_pictures_that_failed_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from tests.repair.marked import classifier

    pictures = lay_out(tmp_path / "pictures", 16)
    broken = min(pictures.rglob("*.png"))
    broken.write_bytes(b"no picture")
    out = tmp_path / "run"
    run(str(pictures), classifier(), out, Wish(batch_size=8, threads=1, engine="torch"))
    file = tmp_path / "ids.txt"
    file.write_text(f"{broken.relative_to(pictures)}\n")
    assert main(["repair", str(out), "--groups", str(file)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "expected pictures that could be explained, got only such as could not be" in line
