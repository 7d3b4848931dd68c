from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from seewhy.errors import InputError
from seewhy.gate.rules import SECTIONS, Rule, example, load, parse, read_rules


def mistakes(text: str) -> list[str]:
    return [str(each) for each in parse(tomllib.loads(text))[1]]


def test_rules_are_read_in_order_with_their_settings(tmp_path: Path) -> None:
    file = tmp_path / "rules.toml"
    file.write_text("""
[evidence]
max_border = 0.5
min_pictures = 3
[evidence.classes]
cat = { max_border = 0.25 }
[findings]
confirmed = 0
""")
    settings = {"min_pictures": 3}
    assert read_rules(file) == (
        Rule("evidence", "max_border", 0.5, None, settings),
        Rule("evidence", "max_border", 0.25, "cat", settings),
        Rule("findings", "confirmed", 0, None, {}),
    )
    assert [rule.name for rule in read_rules(file)] == [
        "evidence.max_border",
        "evidence.classes.cat.max_border",
        "findings.confirmed",
    ]


def test_every_mistake_has_its_line() -> None:
    found = mistakes("""
colour = 1
evidence = 3
[acuracy]
minimum = 0.5
[accuracy]
minimun = 0.5
minimum_per_class = 1.5
min_pictures = true
[accuracy.classes]
cat = 0.5
dog = { minimum_per_class = 0.5, minimum = "much" }
[certificate]
inexact = 0.5
failed = nan
[findings]
classes = {}
[drift]
max = 0.5
""")
    assert found == [
        "[colour]: expected one of evidence, accuracy, findings, certificate, drift,"
        " got an unknown section; seewhy check --example shows all of them",
        "[evidence]: expected a table, got 3; see seewhy check --example",
        "[acuracy]: expected one of evidence, accuracy, findings, certificate, drift,"
        " got an unknown section; did you mean accuracy?",
        "accuracy.minimun: expected one of minimum, minimum_per_class, minimum_per_finding,"
        " min_pictures, got an unknown rule; did you mean minimum or minimum_per_finding or"
        " min_pictures?",
        "accuracy.minimum_per_class: expected a share from 0 to 1, got 1.5; write it so",
        "accuracy.min_pictures: expected a whole number from 0, got True; write it so",
        "[accuracy.classes.cat]: expected a table, got 0.5; see seewhy check --example",
        "accuracy.classes.dog.minimum_per_class: expected one of minimum, got an unknown rule;"
        " did you mean minimum?",
        "accuracy.classes.dog.minimum: expected a share from 0 to 1, got 'much'; write it so",
        "certificate.inexact: expected a whole number from 0, got 0.5; write it so",
        "certificate.failed: expected a share from 0 to 1, got nan; write it so",
        "findings.classes: expected one of confirmed, got an unknown rule;"
        " seewhy check --example shows all of them",
        "drift.against: expected the folder of the audit to compare with, got nothing;"
        ' write against = "RUN1"',
    ]


@pytest.mark.parametrize("text", ["", "[evidence]\nmin_pictures = 4\n", "[evidence.classes]\n"])
def test_a_file_without_a_rule_is_a_mistake(text: str) -> None:
    assert mistakes(text) == [
        "rules: expected one rule at least, got none; begin with what seewhy check --example prints"
    ]


def test_what_is_no_toml_is_told_in_one_line(tmp_path: Path) -> None:
    file = tmp_path / "rules.toml"
    with pytest.raises(InputError, match=r"expected a file in TOML, got no such file"):
        load(file)
    file.write_text("[evidence\n")
    with pytest.raises(InputError, match=r"got TOMLDecodeError: .*line 1"):
        read_rules(file)
    file.write_text("[evidence]\nmax_brder = 0.5\n")
    with pytest.raises(InputError, match=r"did you mean max_border"):
        read_rules(file)


def test_the_example_is_right_and_names_every_key() -> None:
    rules, wrong = parse(tomllib.loads(example()))
    assert rules
    assert not wrong
    commented = "\n".join(
        line.removeprefix("# ") if " = " in line or line.startswith("# [") else line
        for line in example().splitlines()[2:]
    )
    document = tomllib.loads(commented)
    assert not parse(document)[1]
    for section, kinds in SECTIONS.items():
        assert set(document[section]) - {"classes"} == set(kinds)
