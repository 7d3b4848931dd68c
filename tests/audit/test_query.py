from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.audit.stores import CLASSES, failed, make_store, row

from seewhy import open_audit
from seewhy.audit.manifest import MANIFEST
from seewhy.audit.opened import Audit
from seewhy.audit.query import query
from seewhy.audit.questions import QUESTIONS, ask, per_class
from seewhy.cli import main
from seewhy.errors import AuditError, ClassError, FileError, InputError

LABELS = [1, 0, 1, 2, 0, 1]
PREDICTED = [1, 1, 0, 2, 0, 2]
PROBABILITIES = [0.9, 0.8, 0.95, 0.7, 0.6, 0.5]
BORDERS = [0.1, 0.6, 0.2, 0.9, 0.3, 0.4]
INSIDE = [None, 0.5, None, 0.25, None, 0.75]


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """Six pictures, of which 1, 2 and 5 are mistaken, and one that failed."""
    rows = [
        row(
            number,
            label=label,
            label_name=CLASSES[label],
            predicted=said,
            predicted_name=CLASSES[said],
            correct=label == said,
            probabilities=[PROBABILITIES[number], 0.01],
            margin=PROBABILITIES[number] * 10,
            border=BORDERS[number],
            inside=INSIDE[number],
        )
        for number, (label, said) in enumerate(zip(LABELS, PREDICTED, strict=True))
    ]
    return make_store(tmp_path / "it's a run", [*rows, failed(6)])


@pytest.fixture
def audit(run: Path) -> Audit:
    return open_audit(run)


def found(audit: Audit, name: str, **others: object) -> list[int]:
    return [each["row"] for each in ask(audit, name, **others)]  # type: ignore[arg-type]


def test_a_question_in_sql_is_answered_over_all_shards(run: Path) -> None:
    answer = query(run, "SELECT predicted_name, count(*) AS n FROM audit GROUP BY ALL ORDER BY 1")
    assert answer.columns == ("predicted_name", "n")
    assert answer.rows == (("cat", 2), ("dog", 2), ("owl", 2), (None, 1))


def test_half_precision_maps_are_read_as_numbers(audit: Audit) -> None:
    answer = query(audit, "SELECT maps[2] * map_scale AS at FROM audit WHERE row = 0")
    assert list(answer) == [{"at": 2.0}]


def test_ready_questions_find_what_they_say(audit: Audit) -> None:
    assert found(audit, "worst") == [2, 1, 5]
    assert found(audit, "narrow") == [5, 4, 3, 1, 0, 2]
    assert found(audit, "border") == [3, 1]
    assert found(audit, "outside") == [3, 1, 5]
    assert found(audit, "failed") == [6]


def test_a_ready_question_of_one_class_and_so_many_rows(audit: Audit) -> None:
    assert found(audit, "narrow", of_class="dog") == [1, 0]
    assert found(audit, "narrow", of_class=2, limit=1) == [5]
    with pytest.raises(ClassError, match=r"did you mean dog"):
        ask(audit, "narrow", of_class="dgo")
    with pytest.raises(InputError, match=r"one of worst, narrow.*did you mean worst"):
        ask(audit, "worts")


def test_class_by_class_by_hand(audit: Audit) -> None:
    by_class = {each["class"]: each for each in per_class(audit)}
    assert list(by_class) == ["dog", "cat", "owl"]  # a third, a half, all of them right
    assert by_class["dog"] == {
        "class": "dog",
        "pictures": 3,
        "right": pytest.approx(0.3333),
        "probability": pytest.approx(0.783),  # (0.9 + 0.95 + 0.5) / 3
        "margin": 9.0,
        "area": 0.5,
        "concentration": pytest.approx(0.4),
        "border": pytest.approx(0.233),  # (0.1 + 0.2 + 0.4) / 3
        "inside": 0.75,
    }


def test_without_labels_classes_are_those_predicted(tmp_path: Path) -> None:
    unknown = {"label": None, "label_name": None, "correct": None, "inside": None}
    audit = open_audit(make_store(tmp_path / "run", [row(n, **unknown) for n in range(4)]))
    assert [(each["class"], each["right"]) for each in per_class(audit)] == [("dog", None)]
    with pytest.raises(AuditError, match=r"--worst: expected pictures with labels .* got none in"):
        ask(audit, "worst")
    with pytest.raises(AuditError, match=r"--outside: expected pictures with the object's boxes"):
        ask(audit, "outside")


def test_one_failure_in_a_shard_is_one(audit: Audit) -> None:
    assert len(query(audit, "SELECT row FROM audit WHERE error IS NULL")) == 6
    assert len(query(audit, "SELECT row FROM audit WHERE label_name IS DISTINCT FROM 'owl'")) == 6


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT * FROM read_csv('/etc/hostname')",
        "SELECT * FROM '{run}/manifest.json'",
        "SELECT * FROM run",  # a variable of the caller's
    ],
)
def test_nothing_else_can_be_read(audit: Audit, sql: str) -> None:
    run = audit.folder
    with pytest.raises(InputError, match=r"Permission|disabled|does not exist"):
        query(audit, sql.replace("{run}", str(run).replace("'", "''")))


@pytest.mark.parametrize(
    ("sql", "got"),
    [
        ("", "nothing"),
        ("SELECT 1; SELECT 2", "SELECT, then SELECT"),
        ("COPY audit TO '/tmp/out.csv'", "COPY"),
        ("DROP VIEW audit", "DROP"),
        ("SET enable_external_access = true", "SET"),
        ("INSTALL httpfs", "LOAD"),
        ("selec 1", 'syntax error at or near "selec"'),
        ("SELECT bordr FROM audit", r'"bordr" not found.*"border"'),
        ("SELECT * FROM audti", 'Did you mean "audit"'),
    ],
)
def test_only_one_select_is_a_question(audit: Audit, sql: str, got: str) -> None:
    with pytest.raises(InputError, match=rf"SQL: expected .* got .*{got}.*; ") as caught:
        query(audit, sql)
    assert "\n" not in str(caught.value)
    assert "LINE 1" not in str(caught.value)


def test_a_shard_that_is_gone_is_named(audit: Audit) -> None:
    audit.files[1].unlink()
    with pytest.raises(FileError, match=r"00001.parquet: expected a shard as it was written"):
        query(audit, "SELECT count(*) FROM audit WHERE border > 0")


def test_an_audit_that_has_no_rows_yet_is_refused(tmp_path: Path) -> None:
    audit = open_audit(make_store(tmp_path / "run", []))
    with pytest.raises(AuditError, match=r"expected a row at least, got none yet"):
        query(audit, "SELECT count(*) FROM audit")


def test_the_command_prints_a_table(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["query", str(run), "--worst", "--limit", "2"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "row  path              label  predicted  probability  margin  border",
        "  2  pictures/a/2.png  dog    cat               0.95     9.5     0.2",
        "  1  pictures/a/1.png  cat    dog                0.8       8     0.6",
    ]


def test_without_a_question_it_goes_class_by_class(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["query", str(run)]) == 0
    first, second, *_ = capsys.readouterr().out.splitlines()
    assert first.split() == [*"class pictures right probability".split(), *first.split()[4:]]
    assert second.split()[:3] == ["dog", "3", "0.3333"]


def test_json_and_csv_hold_what_the_table_holds(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "calls.csv"
    assert main(["query", str(run), "--narrow", "--json", "--csv", str(file)]) == 0
    document = json.loads(capsys.readouterr().out)
    assert [each["row"] for each in document["rows"]] == [5, 4, 3, 1, 0, 2]
    header, first, *_ = file.read_text("utf-8").splitlines()
    assert header == "row,path,label,predicted,probability,margin"
    assert first == "5,pictures/a/5.png,dog,owl,0.5,5.0"


def test_the_sql_of_a_ready_question_can_be_seen_and_asked(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["query", str(run), "--border", "--show-sql"]) == 0
    shown = capsys.readouterr()
    assert main(["query", str(run), shown.err]) == 0
    assert capsys.readouterr().out == shown.out


def test_what_is_not_there_is_said(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["query", str(run), "SELECT path FROM audit WHERE row > 99"]) == 0
    assert capsys.readouterr().out == "nothing found\n"


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["--worst", "--border"], "question: expected one, got --worst and --border"),
        (["--worst", "SELECT 1"], "question: expected one, got --worst and SQL"),
        (["--limit", "3"], "--limit: expected a ready question"),
        (["SELECT 1", "--class", "dog"], "--class: expected a ready question"),
        (["--narrow", "--class", "gnu"], "gnu"),
    ],
)
def test_bad_use_is_one_line(
    run: Path, arguments: list[str], line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["query", str(run), *arguments]) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert line in shown.err
    assert shown.err.count("\n") == 1


def test_a_folder_that_is_no_audit(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["query", str(tmp_path)]) == 2
    assert f"a folder with a {MANIFEST}" in capsys.readouterr().err


def test_every_question_says_what_it_finds() -> None:
    assert all(question.finds for question in QUESTIONS.values())
