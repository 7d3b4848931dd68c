"""A folder of materials, made once; every test of the command line runs inside it."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.cli.materials import lay_out


@pytest.fixture(scope="session")
def materials(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return lay_out(tmp_path_factory.mktemp("materials"))


@pytest.fixture
def here(materials: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Stand in the folder, so that paths and messages are short and the same everywhere."""
    monkeypatch.chdir(materials)
    return materials
