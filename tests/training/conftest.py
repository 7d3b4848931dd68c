"""A small data set, made once; runs go to folders of their own."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.training.materials import lay_out

from seewhy.datasets import Dataset, load_dataset


@pytest.fixture(scope="session")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data set with a folder for each class; `nets.py` lies beside it."""
    return lay_out(tmp_path_factory.mktemp("training"))


@pytest.fixture(scope="session")
def data(pictures: Path) -> Dataset:
    return load_dataset(pictures)


@pytest.fixture(scope="session")
def nets(pictures: Path) -> str:
    """The file of the networks, as a model's spec begins."""
    return str(pictures.parent / "nets.py")
