"""docs/audit.md tells the truth: its table has every column, and its examples run."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.audit.stores import CLASSES, failed, make_store, row

import seewhy
from seewhy.audit.schema import COLUMNS

PAGE = (Path(__file__).parents[2] / "docs" / "audit.md").read_text("utf-8")
EXAMPLES = re.findall(r"^```python\n(.*?)^```$", PAGE, flags=re.MULTILINE | re.DOTALL)


def test_the_table_has_every_column() -> None:
    told = re.findall(r"^\| `(\w+)` \| [^|]+ \| (.*) \|$", PAGE, flags=re.MULTILINE)
    assert told == [(name, words) for name, (_, words) in COLUMNS.items()]


@pytest.mark.parametrize("example", EXAMPLES)
def test_the_examples_run(example: str, tmp_path: Path) -> None:
    folder = make_store(tmp_path / "run", [*map(row, range(5)), failed(5)])
    names: dict[str, Any] = {"seewhy": seewhy, "RUN": str(folder)}
    exec(example, names)
    assert len(example.splitlines()) == 3
    if "duckdb" in example:
        assert names["names"] == {CLASSES[1]: 0.5, None: None}
        return
    scale = 1 if "pyarrow" in example else 2
    np.testing.assert_array_equal(np.ravel(names["maps"]), scale * np.arange(12))


def test_every_reader_has_an_example() -> None:
    assert len(EXAMPLES) == 5
