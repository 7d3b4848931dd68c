"""A small network of one's own and pictures of every kind, good and bad, in a folder."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from safetensors.torch import save_file
from torch import nn

from seewhy.models.folder import save_model
from seewhy.preprocess import Preprocess

NETS = """
import torch
from torch import nn

def make(seed=0):
    torch.manual_seed(seed)
    body = [nn.Conv2d(3, 8, 3, stride=4, padding=1), nn.ReLU()]
    return nn.Sequential(*body, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 3))

def nan():
    net = make()
    with torch.no_grad():
        net[4].weight[0, 0] = float("nan")
    return net

def max_pooling():
    return nn.Sequential(nn.Conv2d(3, 8, 3), nn.AdaptiveMaxPool2d(1), nn.Flatten(), nn.Linear(8, 3))

def scripted():
    return torch.jit.trace(make(), torch.rand(1, 3, 32, 32))

class Useless(nn.Module):
    def forward(self, x):
        return {"losses": {}, "note": "no tensors here"}

class Grey(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.fc = nn.Conv2d(1, 4, 3), nn.Linear(4, 2)
    def forward(self, x):
        return self.fc(self.conv(x).mean((2, 3)))

class Several(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.conv = nn.Conv2d(3, 8, 3, stride=4, padding=1)
        self.kind, self.age = nn.Linear(8, 3), nn.Linear(8, 1)
    def forward(self, x):
        vector = self.conv(x).relu().mean((2, 3))
        return {"kind": self.kind(vector), "age": self.age(vector)}

def one_logit():
    torch.manual_seed(0)
    body = [nn.Conv2d(3, 8, 3, stride=4, padding=1), nn.ReLU()]
    return nn.Sequential(*body, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 1))

def broken():
    raise RuntimeError("no such layer")

def text():
    return "not a network"

number = 3

def no_features():
    return nn.Sequential(nn.Flatten(), nn.Linear(3 * 32 * 32, 3))

def deep():
    torch.manual_seed(0)
    body = []
    for inputs, channels in ((3, 6), (6, 8), (8, 12)):
        body += [nn.Conv2d(inputs, channels, 3, stride=2, padding=1), nn.ReLU()]
    return nn.Sequential(*body, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(12, 3))

def rhythm():
    torch.manual_seed(0)
    body = [nn.Conv1d(2, 4, 5, stride=4), nn.ReLU(), nn.AdaptiveAvgPool1d(1), nn.Flatten()]
    return nn.Sequential(*body, nn.Linear(4, 3))

def scan():
    torch.manual_seed(0)
    body = [nn.Conv3d(1, 4, 4, stride=4), nn.ReLU(), nn.AdaptiveAvgPool3d(1), nn.Flatten()]
    return nn.Sequential(*body, nn.Linear(4, 3))

def mlp():
    return nn.Sequential(make()[:-1], nn.Linear(8, 6), nn.ReLU(), nn.Linear(6, 3))
"""


def make_network() -> nn.Module:
    """The network that `nets.py:make` makes."""
    scope: dict[str, object] = {}
    exec(NETS, scope)  # the test's own text
    make = scope["make"]
    assert callable(make)
    network = make()
    assert isinstance(network, nn.Module)
    return network


def photo(width: int = 48, height: int = 40, seed: int = 0) -> Image.Image:
    """Coloured noise, smooth enough to survive JPEG."""
    pixels = np.random.default_rng(seed).integers(0, 256, (5, 6, 3), dtype=np.uint8)
    return Image.fromarray(pixels).resize((width, height), Image.Resampling.BICUBIC)


def encoded(image: Image.Image, kind: str) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind)
    return buffer.getvalue()


def _claims(width: int, height: int) -> bytes:
    """A PNG that says it is huge, and holds next to nothing."""

    def chunk(name: bytes, data: bytes) -> bytes:
        body = name + data
        return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    data = zlib.compress(b"\0" * 64)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")
    )


def lay_out(folder: Path) -> Path:
    """Write everything that the tests ask about into a folder."""
    (folder / "nets.py").write_text(NETS, encoding="utf-8")
    _good_pictures(folder)
    _bad_pictures(folder)
    _weights(folder)
    _model_folders(folder / "runs")
    (folder / "names.txt").write_text("cat\ndog\ncatfish\n", encoding="utf-8")
    (folder / "two.txt").write_text("cat\ndog\n", encoding="utf-8")
    (folder / "gap.txt").write_text("cat\n\ndog\n", encoding="utf-8")
    (folder / "latin.txt").write_bytes("chat\nhärlig\nhund\n".encode("latin-1"))
    (folder / "empty").mkdir()
    (folder / "mixed").mkdir()
    for index in range(3):
        photo(seed=index).save(folder / "mixed" / f"{index}.png")
    (folder / "mixed" / "1.png").write_bytes(b"no picture")
    return folder


def _good_pictures(folder: Path) -> None:
    picture = photo()
    picture.save(folder / "good.jpg", quality=95)
    picture.convert("CMYK").save(folder / "cmyk.jpg")
    picture.convert("P").save(folder / "palette.gif")
    picture.convert("LA").save(folder / "alpha.png")
    picture.save(folder / "with space, and\nline break \u2603.png")
    picture.save(folder / "no-suffix", "PNG")
    depth = np.linspace(0, 65535, 48 * 40).reshape(40, 48).astype(np.uint16)
    Image.fromarray(depth).save(folder / "sixteen.png")
    turned = Image.Exif()
    turned[0x0112] = 6
    picture.save(folder / "turned.jpg", exif=turned)
    photo(1, 1).save(folder / "dot.png")
    photo(20_000, 3).save(folder / "wide.png")
    picture.save(folder / "moving.gif", save_all=True, append_images=[photo(seed=1)])


def _bad_pictures(folder: Path) -> None:
    whole = encoded(photo(200, 160), "JPEG")
    (folder / "half.jpg").write_bytes(whole[: len(whole) // 2])
    (folder / "half.png").write_bytes(encoded(photo(200, 160), "PNG")[:3000])
    (folder / "head.jpg").write_bytes(whole[:4])
    (folder / "letter.jpg").write_text("Dear model, why?", encoding="utf-8")
    (folder / "nothing.jpg").write_bytes(b"")
    (folder / "noise.jpg").write_bytes(bytes(range(200, 256)))
    (folder / "bomb.png").write_bytes(_claims(60_000, 60_000))
    (folder / "page.svg").write_text("<svg></svg>", encoding="utf-8")
    heat = np.full((8, 8), 400.0, np.float32)
    Image.fromarray(heat).save(folder / "kelvin.tif")


def _weights(folder: Path) -> None:
    state = make_network().state_dict()
    save_file(state, folder / "good.safetensors")
    save_file({"other.weight": torch.ones(2)}, folder / "another.safetensors")
    save_file(
        {**state, "4.weight": torch.ones(5, 8), "4.bias": torch.ones(5)},
        folder / "five.safetensors",
    )
    save_file({**state, "4.bias": torch.full((3,), torch.nan)}, folder / "nan.safetensors")
    (folder / "damaged.safetensors").write_bytes((folder / "good.safetensors").read_bytes()[:100])
    (folder / "text.pth").write_text("not weights", encoding="utf-8")
    torch.save({"run": print}, folder / "evil.pth")


def _model_folders(folder: Path) -> None:
    """Models as `seewhy train` writes them: a good one, and one for each thing that goes wrong."""
    network = make_network().requires_grad_(False)
    wide = nn.Sequential(*network.children(), nn.Linear(3, 5))
    _model(folder / "good", network)
    (_model(folder / "no-weights", network) / "model.safetensors").unlink()
    (_model(folder / "damaged", network) / "model.json").write_text('{"format": "seewhy', "utf-8")
    later = _model(folder / "later", network) / "model.json"
    later.write_text(later.read_text("utf-8").replace('"version": 1', '"version": 2'), "utf-8")
    _model(folder / "wide", wide)
    network.get_parameter("4.bias")[1] = torch.nan
    _model(folder / "nan", network)


def _model(folder: Path, network: nn.Module) -> Path:
    return save_model(
        folder,
        net="nets.py:make",
        module=network,
        num_classes=3,
        class_names=("cat", "dog", "catfish"),
        preprocess=Preprocess((32, 32), 1.0, "squash"),
    )
