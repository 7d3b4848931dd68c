"""The compiled engine, in a process without the hooks that check shapes, which stop compilers."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = """
import torch, seewhy
from seewhy.engines import make_engine
from tests.nets import Net

net = Net(lambda net, f: net.fc(f.mean((2, 3)))).eval()
x = torch.randn(3, 3, 12, 12)
plain = seewhy.explain(net, x, "all")
result = seewhy.explain(net, x, "all", engine="compile")
torch.testing.assert_close(result.maps, plain.maps, rtol=1e-4, atol=1e-4)
assert result.is_exact and result.tolerance == 1e-5
assert not result.maps.is_inference()
head = seewhy.find_head(net, x)
half = make_engine(net, head, "compile", precision="bfloat16", example=x)
result = seewhy.explain(net, x, "all", engine=half)
assert 1e-5 < float(result.certificate.max()) <= 2e-2
print(half.describe()["engine"], half.describe()["precision"])
"""


@pytest.mark.slow
def test_the_compiled_network_gives_the_same_maps() -> None:
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", PROGRAM],
        cwd=root,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, "compile bfloat16\n"), done.stderr
