"""Fixtures that several test files share."""

from __future__ import annotations

import os
from pathlib import Path

import hypothesis
import pytest
from jaxtyping import install_import_hook

# Shapes and types in these modules' signatures are checked while the tests run. What is traced
# (torch.compile, torch.export) is tested in processes of its own, without the hook.
install_import_hook(
    [
        "seewhy.evidence",
        "seewhy.explanation",
        "seewhy.heads.affine",
        "seewhy.heads.head",
        "seewhy.heads.layout",
    ],
    "beartype.beartype",
)

# A machine that is busy is no bug: nothing here is timed.
hypothesis.settings.register_profile("untimed", deadline=None)
hypothesis.settings.load_profile("untimed")

BESIDE_THE_PROJECT = Path(__file__).parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """The data folder: SEEWHY_DATA, else ../shared/data beside the checkout, else a skip."""
    folder = Path(os.environ.get("SEEWHY_DATA", BESIDE_THE_PROJECT))
    if not folder.is_dir():
        pytest.skip("no data folder: set SEEWHY_DATA to the folder with imagenet-samples/")
    return folder
