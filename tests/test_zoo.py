"""A sample of the zoo: what docs/zoo.md says of an architecture is what is found today."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from benchmarks import zoo
from tests.peers import register_torchvision_schemas

from seewhy.rounding import TOLERANCES

PAGE = Path(__file__).parents[1] / "docs" / "zoo.md"
SAMPLE = {
    "timm": (
        "test_byobnet test_convnext test_efficientnet davit_tiny densenet121"
        " dla46x_c efficientformer_l1 efficientvit_m0 hiera_tiny_224 test_vit ghostnet_050"
        " repghostnet_050 mobilenetv3_small_050"
    ).split(),
    "torchvision": (
        "densenet121 googlenet inception_v3 squeezenet1_1 mobilenet_v2 mobilenet_v3_small alexnet"
    ).split(),
    "transformers": ("ResNet ConvNext Swin MobileNetV2 EfficientNet RegNet ViT").split(),
}


def rows() -> dict[tuple[str, str], list[str]]:
    """The table of the page, by library and model."""
    lines = [line for line in PAGE.read_text(encoding="utf-8").splitlines() if line[:1] == "|"]
    cells = [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines]
    return {(row[0], row[2]): row for row in cells if len(row) == 7}


def entry(library: str, name: str) -> zoo.Entry:
    register_torchvision_schemas()
    if library == "timm":
        return zoo.timm_entry("", name)
    if library == "torchvision":
        return zoo.torchvision_entry("", name)
    found = {entry.family: entry for entry in zoo.transformers_entries()}
    return found[name]


@pytest.mark.parametrize(
    ("library", "name"), [(library, name) for library, names in SAMPLE.items() for name in names]
)
def test_the_page_tells_what_is_found(library: str, name: str) -> None:
    wanted = entry(library, name)
    _, _, _, kind, grid, _, said = rows()[library, wanted.model]
    finding = zoo.look(wanted)
    assert (finding.kind, finding.grid, finding.said) == (kind, grid, said)
    if kind in zoo.EXACT:
        assert float(finding.adds_up) <= TOLERANCES[torch.float32]


def test_the_page_is_about_the_whole_zoo() -> None:
    kinds = [row[3] for (library, _), row in rows().items() if library == "timm"]
    exact = sum(kind in ("linear", "class-maps") for kind in kinds)
    assert exact >= 54
    assert exact + kinds.count("normalised") >= 64
    for row in rows().values():
        assert row[3] != "refused"
        assert bool(row[4]) == (row[3] != "not run")
