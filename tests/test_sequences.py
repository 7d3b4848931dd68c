"""Curves with the colours of the evidence: from nets for sequences to the picture."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import Any

import numpy as np
import PIL.Image
import pytest
import torch
from numpy.typing import NDArray
from PIL.Image import Image
from tests.deep_nets import InceptionTime, fcn
from tests.handmade import class_evidence
from tests.test_render import GOLDEN, differs

from seewhy import InputError, explain, render_sequence
from seewhy.results import ClassEvidence
from seewhy.sequences import line_colours

QUIET = [0.72, 0.72, 0.74]


def heartbeats(samples: int = 400) -> NDArray[np.float64]:
    """Two leads with three beats, drawn without chance."""
    time = np.linspace(0, 3, samples, endpoint=False)
    phase = time % 1
    beat = np.exp(-(((phase - 0.3) / 0.02) ** 2)) - 0.25 * np.exp(-(((phase - 0.36) / 0.03) ** 2))
    wave = 0.3 * np.exp(-(((phase - 0.6) / 0.06) ** 2))
    return np.stack([1.2 * beat + wave, 0.1 * np.sin(6 * time) - 0.5 * beat])


def evidence(*cells: float) -> ClassEvidence:
    return class_evidence(1, "atrial fibrillation", np.array(cells, np.float32), probability=0.87)


CELLS = (0.0, 0.0, 4.0, 1.0, 0.0, -2.0, 0.0, 0.0, 6.0, 0.5)


@pytest.mark.parametrize("net", [fcn, InceptionTime])
def test_nets_for_sequences_have_exact_maps(net: Any) -> None:
    torch.manual_seed(0)
    model, x = net().eval(), torch.randn(3, 2, 80)
    result = explain(model, x, "all", class_names=["a", "b", "c"])
    assert result.kind == "linear"
    assert result.maps.shape == (3, 3, 80)
    assert result.is_exact
    torch.testing.assert_close(result.evidence + result.bias, model(x).detach())
    assert result.upsample((160,)).shape == (3, 3, 160)
    entry = result.class_evidence(1)[0]
    assert render_sequence(x[1], entry).width == 924


def test_a_line_has_the_colour_of_its_moment_by_hand() -> None:
    """Two cells over four samples: between the first two lies the middle of the first cell."""
    colours = line_colours(np.array([0.0, 2.0]), 4, 2.0)
    assert colours.shape == (3, 3)
    np.testing.assert_allclose(colours[0], QUIET)
    red, green, blue = colours[2]
    assert red > 2 * blue
    assert red > 2 * green
    against = line_colours(np.array([0.0, -2.0]), 4, 2.0)[2]
    assert against[2] > 2 * against[0]


def test_no_evidence_is_a_quiet_line() -> None:
    for cells, limit in ((np.zeros(5), 0.0), (np.zeros(5), 3.0), (np.full(5, np.nan), 3.0)):
        np.testing.assert_allclose(line_colours(cells, 20, limit), np.tile(QUIET, (19, 1)))


def test_the_hottest_moment_of_the_picture_is_the_maps() -> None:
    """A straight line, one cell of five in evidence: red pixels only above that cell."""
    drawn = render_sequence(np.zeros(200), evidence(0, 0, 0, 9, 0))
    pixels = np.asarray(drawn)[: 12 + 10 + 110].astype(int)  # down to the curve's lower end
    red = (pixels[..., 0] - pixels[..., 2] > 60).any(0)
    left, width = 12 + 84, 900 - 84 - 12
    hot = (np.flatnonzero(red) - left) / width
    assert 0.5 < hot.min() < 0.65  # from the middle of the cell before, fading in
    assert 0.75 < hot.max() < 0.9
    assert abs(np.median(hot) - 0.7) < 0.02


def test_a_shared_scale_keeps_a_weak_curve_weak() -> None:
    strong, weak = evidence(*CELLS), evidence(*(1e-3 * cell for cell in CELLS))
    pale = np.asarray(render_sequence(heartbeats(), weak, limit=6.0)).astype(int)[:250]
    warm = np.asarray(render_sequence(heartbeats(), strong, limit=6.0)).astype(int)[:250]
    assert np.abs(pale[..., 0] - pale[..., 2]).max() < 12
    assert np.abs(warm[..., 0] - warm[..., 2]).max() > 100


def test_a_tensor_and_one_channel_will_do() -> None:
    one = render_sequence(torch.zeros(50, requires_grad=True), evidence(1.0, 2.0))
    two = render_sequence(torch.zeros(2, 50), evidence(1.0, 2.0))
    assert two.height - one.height == 122


def test_gaps_in_a_signal_are_gaps() -> None:
    signal = heartbeats()
    signal[0, 100:150] = np.nan
    assert render_sequence(signal, evidence(*CELLS)).size == (924, 397)


def test_the_same_input_gives_the_same_bytes() -> None:
    first, second = (render_sequence(heartbeats(), evidence(*CELLS)).tobytes() for _ in range(2))
    assert first == second


PICTURES: dict[str, Any] = {
    "sequence": lambda: render_sequence(
        heartbeats(), evidence(*CELLS), names=["lead I", "lead II"], rate=100
    ),
    "sequence-regression": lambda: render_sequence(
        heartbeats()[0],
        replace(evidence(*CELLS), name="heart rate", quantity="output", probability=float("nan")),
        width=500,
    ),
}


@pytest.mark.parametrize("name", PICTURES)
def test_golden_sequences(name: str) -> None:
    """Set SEEWHY_UPDATE_GOLDEN=1 to draw them anew; then look at them."""
    path, drawn = GOLDEN / f"{name}.png", PICTURES[name]()
    if os.environ.get("SEEWHY_UPDATE_GOLDEN"):
        drawn.save(path, optimize=True)
    assert path.stat().st_size < 100_000
    with PIL.Image.open(path) as golden:
        assert not differs(drawn, golden)


def test_golden_sequences_tell_other_evidence() -> None:
    right: Image = PICTURES["sequence"]()
    for cells in (CELLS[::-1], tuple(-cell for cell in CELLS), (*CELLS[1:], 0.0)):
        other = render_sequence(
            heartbeats(), evidence(*cells), names=["lead I", "lead II"], rate=100
        )
        assert differs(right, other)


WRONG: list[tuple[Any, str]] = [
    (
        lambda: render_sequence(np.zeros((2, 3, 50)), evidence(1.0)),
        "signal: expected one sequence, (time,) or (channels, time), got shape (2, 3, 50); draw one"
        " sequence of the batch at a time",
    ),
    (
        lambda: render_sequence([[np.nan, np.nan], [1.0, 2.0]], evidence(1.0)),
        "signal: expected numbers, got a channel without any; leave that channel out",
    ),
    (
        lambda: render_sequence(np.zeros(9), class_evidence(0, "a", np.zeros((2, 2), np.float32))),
        "map: expected evidence over time, shape (t,), got shape (2, 2); draw pictures with"
        " seewhy.render, volumes with render_volume",
    ),
    (
        lambda: render_sequence(np.zeros(9), evidence(1.0), names=["a", "b"]),
        "names: expected 1, one for each channel, got 2; name every channel, or none",
    ),
    (
        lambda: render_sequence(np.zeros(9), evidence(1.0), rate=0),
        "rate: expected samples per second, got 0; pass above 0",
    ),
]


@pytest.mark.parametrize(("draw", "line"), WRONG)
def test_what_cannot_be_drawn(draw: Any, line: str) -> None:
    with pytest.raises(InputError) as raised:
        draw()
    assert str(raised.value) == line
