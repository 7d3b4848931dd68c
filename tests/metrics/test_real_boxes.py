"""The figures of the centre on 650 pictures of ILSVRC, which the docs name."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from seewhy.metrics.box_accuracy import max_box_acc
from seewhy.metrics.boxes import box_overlaps
from seewhy.metrics.centre import centre_map
from seewhy.metrics.pointing import pointing_game


@pytest.mark.slow
@pytest.mark.data
def test_the_centre_is_hard_to_beat(data_dir: Path) -> None:
    file = data_dir / "ilsvrc-val-boxes" / "dev.parquet"
    if not file.is_file():
        pytest.skip("no ilsvrc-val-boxes/dev.parquet in the data folder")
    parquet = pytest.importorskip("pyarrow.parquet")
    truths = parquet.read_table(file, columns=["boxes"])["boxes"].to_pylist()
    maps = [centre_map((224, 224))] * len(truths)
    overlaps = box_overlaps(maps, truths, frame=(227, 227), thresholds=np.arange(20, 45) / 100)
    found = max_box_acc(overlaps)
    assert len(truths) == 650
    assert overlaps.cut == 0
    assert found.accuracy.value == pytest.approx(0.608, abs=5e-4)
    assert found.thresholds == (0.34,)
    assert pointing_game(maps, truths, frame=(227, 227)).value == pytest.approx(0.872, abs=5e-4)
