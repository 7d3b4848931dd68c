"""The real pictures that benchmarks read: in SEEWHY_DATA, or ../shared/data beside the checkout."""

from __future__ import annotations

import os
from pathlib import Path

DATA = Path(os.environ.get("SEEWHY_DATA", Path(__file__).parents[2] / "shared" / "data"))


def photographs() -> list[Path]:
    """Full-size pictures of ImageNet; none, if they are not there."""
    return sorted((DATA / "imagenet-samples").glob("*.JPEG"))


def require_photographs() -> list[Path]:
    """The same.

    Raises:
        SystemExit: there are none, in one line.
    """
    paths = photographs()
    if not paths:
        raise SystemExit(f"expected pictures in {DATA}/imagenet-samples, got none; set SEEWHY_DATA")
    return paths
