"""Rules as people write them, in TOML: what there is to ask of an audit, read and checked.

```toml
[evidence]
max_border = 0.5            # the mean over all pictures
max_border_per_class = 0.6  # of each class

[evidence.classes.cat]      # of one class
max_border = 0.4
```
"""

from __future__ import annotations

import math
import tomllib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any

from seewhy.errors import InputError
from seewhy.wording import complaint, first_few, near_or

CLASSES = "classes"  # the table of a section that holds a table for each of some classes

Document = Mapping[str, Any]


@dataclass(frozen=True)
class Kind:
    """What may stand behind a key.

    Attributes:
        expected: in words.
        holds: whether a value is one.
        of_class: whether it may also stand in the table of one class.
        setting: whether it says how the section's rules are asked, and is no rule itself.
    """

    expected: str
    holds: Callable[[Any], bool]
    of_class: bool = False
    setting: bool = False


@dataclass(frozen=True)
class Rule:
    """One rule.

    Attributes:
        section: the table it stands in.
        key: its name there.
        limit: what stands behind it.
        of_class: the only class that it is about, as it was written; None: all pictures.
        settings: of its section.
    """

    section: str
    key: str
    limit: float
    of_class: str | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """As it stands in the file, such as `evidence.classes.cat.max_border`."""
        place = [] if self.of_class is None else [CLASSES, self.of_class]
        return ".".join([self.section, *place, self.key])

    @property
    def kind(self) -> str:
        """What is asked, whichever class of."""
        return f"{self.section}.{self.key}"


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _is_share(value: Any) -> bool:
    return _is_number(value) and 0 <= value <= 1


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and bool(value.strip())


_SHARE = Kind("a share from 0 to 1", _is_share)
_SHARE_OF_CLASS = Kind("a share from 0 to 1", _is_share, of_class=True)
_COUNT = Kind("a whole number from 0", _is_count)
_FEWEST = Kind("a whole number from 0", _is_count, setting=True)
_RUN = Kind("the folder of an audit, as text", _is_text, setting=True)

SECTIONS: Mapping[str, Mapping[str, Kind]] = {
    "evidence": {
        "max_outside": _SHARE_OF_CLASS,
        "max_outside_per_class": _SHARE,
        "max_border": _SHARE_OF_CLASS,
        "max_border_per_class": _SHARE,
        "min_pictures": _FEWEST,
    },
    "accuracy": {
        "minimum": _SHARE_OF_CLASS,
        "minimum_per_class": _SHARE,
        "minimum_per_finding": _SHARE,
        "min_pictures": _FEWEST,
    },
    "findings": {"confirmed": _COUNT},
    "certificate": {"inexact": _COUNT, "failed": _SHARE},
    "drift": {
        "against": _RUN,
        "max": _SHARE_OF_CLASS,
        "max_per_class": _SHARE,
        "min_agreement": _SHARE_OF_CLASS,
        "min_pictures": _FEWEST,
    },
}


def example() -> str:
    """A file of rules to start from."""
    return resources.files(__package__).joinpath("example.toml").read_text(encoding="utf-8")


def read_rules(path: str | Path) -> tuple[Rule, ...]:
    """The rules of a file.

    Raises:
        InputError: it cannot be read, is no TOML, or holds a mistake; the first is told.
    """
    rules, mistakes = parse(load(path))
    if mistakes:
        raise mistakes[0]
    return rules


def load(path: str | Path) -> Document:
    """What a TOML file holds.

    Raises:
        InputError: it cannot be read, or is no TOML.
    """
    try:
        return tomllib.loads(Path(path).read_text("utf-8"))
    except (OSError, ValueError) as problem:
        raise InputError(
            f"rules {path}",
            expected="a file in TOML",
            got=complaint(problem),
            fix="begin with what seewhy check --example prints",
        ) from problem


def parse(document: Document) -> tuple[tuple[Rule, ...], tuple[InputError, ...]]:
    """The rules in a document, in its order, and every mistake in it."""
    rules: list[Rule] = []
    mistakes: list[InputError] = []
    for section, table in document.items():
        for found in _section(section, table):
            (rules if isinstance(found, Rule) else mistakes).append(found)  # type: ignore[arg-type]
    if not rules and not mistakes:
        mistakes.append(
            InputError(
                "rules",
                expected="one rule at least",
                got="none",
                fix="begin with what seewhy check --example prints",
            )
        )
    return tuple(rules), tuple(mistakes)


def _section(name: str, table: Any) -> Iterator[Rule | InputError]:
    if name not in SECTIONS:
        yield _unknown(f"[{name}]", name, SECTIONS, "section")
        return
    if not isinstance(table, Mapping):
        yield _not_a_table(f"[{name}]", table)
        return
    kinds = SECTIONS[name]
    settings = {key: value for key, value in table.items() if _is_setting(kinds, key)}
    for key, value in table.items():
        if key == CLASSES and _of_class(kinds):
            yield from _classes(name, value, settings)
        else:
            found = _checked(f"{name}.{key}", kinds, key, value)
            if found is not None:
                yield found
            elif key not in settings:
                yield Rule(name, key, value, None, settings)
    if name == "drift" and "against" not in table:
        yield InputError(
            "drift.against",
            expected="the folder of the audit to compare with",
            got="nothing",
            fix='write against = "RUN1"',
        )


def _classes(section: str, tables: Any, settings: Document) -> Iterator[Rule | InputError]:
    kinds = _of_class(SECTIONS[section])
    if not isinstance(tables, Mapping):
        yield _not_a_table(f"[{section}.{CLASSES}]", tables)
        return
    for of_class, table in tables.items():
        if not isinstance(table, Mapping):
            yield _not_a_table(f"[{section}.{CLASSES}.{of_class}]", table)
            continue
        for key, value in table.items():
            found = _checked(f"{section}.{CLASSES}.{of_class}.{key}", kinds, key, value)
            yield found or Rule(section, key, value, of_class, settings)


def _of_class(kinds: Mapping[str, Kind]) -> dict[str, Kind]:
    return {key: kind for key, kind in kinds.items() if kind.of_class}


def _is_setting(kinds: Mapping[str, Kind], key: str) -> bool:
    return key in kinds and kinds[key].setting


def _checked(place: str, kinds: Mapping[str, Kind], key: str, value: Any) -> InputError | None:
    """What is wrong with a key and its value."""
    if key not in kinds:
        return _unknown(place, key, kinds, "rule")
    if kinds[key].holds(value):
        return None
    return InputError(place, expected=kinds[key].expected, got=repr(value), fix="write it so")


def _unknown(place: str, name: str, known: Mapping[str, object], what: str) -> InputError:
    return InputError(
        place,
        expected=f"one of {first_few(known, count=8)}",
        got=f"an unknown {what}",
        fix=near_or(name, known, "seewhy check --example shows all of them"),
    )


def _not_a_table(place: str, value: object) -> InputError:
    return InputError(
        place,
        expected="a table",
        got=repr(value),
        fix="see seewhy check --example",
    )
