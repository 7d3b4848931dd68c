from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from seewhy.datasets import load_dataset
from seewhy.images import read


@pytest.mark.data
def test_cifar_10_as_hugging_face_keeps_it(data_dir: Path) -> None:
    data = load_dataset(data_dir / "cifar10-jpeg")
    assert (len(data.train), len(data.test)) == (50_000, 10_000)
    assert data.class_names[:2] == ("airplane", "automobile")
    pixels = data.test.batch(range(2_000), (32, 32))
    assert pixels.images.shape == (2_000, 32, 32, 3)
    assert pixels.skipped == ()
    row = data.test.source.picture(1_234)
    np.testing.assert_array_equal(pixels.images[1_234], np.asarray(read(row)))
    assert data.test.name_of(1_234) == "test.parquet row 1234"
