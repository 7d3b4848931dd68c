"""The example page: a grafted net in headless Chromium, a picture in, its map out, all local."""

from __future__ import annotations

import functools
import http.server
import os
import shutil
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import onnxruntime
import PIL.Image
import pytest
from playwright.sync_api import expect

import seewhy
from seewhy.cli import main

if TYPE_CHECKING:
    from playwright.sync_api import Browser

pytestmark = [pytest.mark.browser, pytest.mark.slow]
EXAMPLE = Path(__file__).parents[2] / "examples" / "browser"


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """The example's folder as a user sets it up, served on this machine."""
    folder = tmp_path_factory.mktemp("browser")
    for path in EXAMPLE.iterdir():
        if path.is_file():
            shutil.copy(path, folder)
    _install(folder)
    assert main(["export", "resnet20-cifar10", "-o", str(folder / "model.onnx"), "--graft"]) == 0
    _Quiet.extensions_map = {**_Quiet.extensions_map, ".mjs": "text/javascript"}
    handler = functools.partial(_Quiet, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/index.html", folder
        server.shutdown()


def _install(folder: Path) -> None:
    npm = shutil.which("npm")
    line = "no npm on the PATH, to install onnxruntime-web with"
    if npm is not None:
        quiet = ["--no-audit", "--no-fund", "--ignore-scripts", "--silent"]
        done = subprocess.run(
            [npm, "install", *quiet], cwd=folder, capture_output=True, text=True, check=False
        )
        if done.returncode == 0:
            return
        line = f"npm could not install onnxruntime-web: {done.stderr.strip()[-300:]}"
    if os.environ.get("SEEWHY_REQUIRE_BROWSER") == "1":
        pytest.fail(line)
    pytest.skip(line)


def test_a_picture_in_its_map_out(browser: Browser, site: tuple[str, Path]) -> None:
    url, folder = site
    draw = np.random.default_rng(0)
    grey = PIL.Image.fromarray(draw.integers(0, 256, (4, 4), dtype=np.uint8))
    picture = folder / "picture.png"
    grey.resize((32, 32)).convert("RGB").save(picture)  # what is red there was drawn on it
    asked: list[str] = []
    noise: list[str] = []
    page = browser.new_page()
    page.on("request", lambda request: asked.append(request.url))
    page.on("pageerror", lambda error: noise.append(str(error)))
    page.goto(url)
    expect(page.locator("#status")).to_have_text("Choose a picture.", timeout=60_000)
    page.locator("#file").set_input_files(picture)
    expect(page.locator("#classes tr")).to_have_count(5, timeout=60_000)
    model = seewhy.load_model("resnet20-cifar10")
    pixels, _ = model.preprocess(PIL.Image.open(picture).convert("RGB"))
    session = onnxruntime.InferenceSession(folder / "model.onnx")
    _, classes, maps, bias = session.run(None, {"pixels": pixels[None]})
    rows = page.locator("#classes tr").all()
    assert [int(row.get_attribute("data-id") or -1) for row in rows] == classes[0].tolist()
    logits = maps[0].mean((1, 2)) + bias[0]
    for row, logit in zip(rows, logits, strict=True):
        shown = float(row.locator("td").nth(1).inner_text())
        assert shown == pytest.approx(logit, abs=0.02)
    assert model.class_names is not None
    assert rows[0].locator("td").first.inner_text() == model.class_names[classes[0, 0]]
    expect(page.locator("#scale")).to_have_text(f"strongest: {maps.max():.2f} logits")
    hottest = np.unravel_index(maps[0, 0].argmax(), maps.shape[2:])
    assert _redness(page, hottest, maps.shape[2:]) > _redness(page, _coldest(maps), maps.shape[2:])
    page.close()
    assert noise == []
    origin = url.removesuffix("index.html")
    assert [each for each in asked if not each.startswith((origin, "blob:", "data:"))] == []


def _coldest(maps: Any) -> Any:
    return np.unravel_index(maps[0, 0].argmin(), maps.shape[2:])


def _redness(page: Any, cell: Any, grid: Any) -> float:
    """How red the drawing is at a cell's centre."""
    row, column = ((at + 0.5) / sides for at, sides in zip(cell, grid, strict=True))
    script = """([x, y]) => {
      const view = document.getElementById("view");
      const copy = new OffscreenCanvas(view.width, view.height);
      const pen = copy.getContext("2d", { willReadFrequently: true });
      pen.drawImage(view, 0, 0);
      const [r, g, b] = pen.getImageData(x * view.width, y * view.height, 1, 1).data;
      return r - b;
    }"""
    return float(page.evaluate(script, [column, row]))
