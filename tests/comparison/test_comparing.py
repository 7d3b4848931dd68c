"""The comparison on a network whose maps are known by heart."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tests.comparison.colours import NAMES, Colours, Flat, classifier, halves, plain
from torch import nn

from seewhy.comparison import Comparison, Mean, compare
from seewhy.comparison.compare import Wish
from seewhy.comparison.cost import race
from seewhy.comparison.mosaics import deal, mosaic
from seewhy.errors import DataError, InputError, ModelError
from seewhy.figures.source import Source, source_of

CHEAP = ("cam", "deconvnet", "guided-backprop", "gradient")
PLAIN = [plain(name) for name in (*NAMES, *NAMES)]
QUICK = Wish(rounds=1, samples=2)


def compared(pictures: Any = PLAIN, methods: Any = CHEAP, **wish: Any) -> Comparison:
    wish = {"rounds": 1, "samples": 2, **wish}
    return compare(classifier(), pictures, methods, wish=Wish(**wish))


def test_the_pointing_game_by_hand() -> None:
    """Each pixel speaks for its own colour, which CAM and the gradient show.

    The deconvnet ignores what came in: for red, green and blue it is positive everywhere, a quarter
    of it in the right cell; for dark it is negative everywhere.
    """
    result = compared(mosaics=3)
    pointing = {score.method: score.pointing for score in result.scores}
    assert pointing["cam"] == Mean(1.0, 0.0, 3)
    assert pointing["deconvnet"] is not None
    assert pointing["deconvnet"].value == pytest.approx(3 * 0.25 / 4)
    assert pointing["gradient"] is not None
    assert pointing["gradient"].value == pytest.approx(3 / 4)
    assert result.note == (
        "Mosaics of 8 pictures recognised with 50% or more (the class is the predicted one),"
        " at twice the network's input size; seed 0."
    )


def test_the_difference_between_classes_by_hand() -> None:
    """Where red is green is not: CAM's maps are opposite; the deconvnet's are flat."""
    two = [halves("red", "green", share=0.625), halves("blue", "green", share=0.75)]
    result = compared(two, mosaics=0)
    difference = {score.method: score.difference for score in result.scores}
    assert difference["cam"].value == pytest.approx(2.0)
    assert difference["cam"].n == 2
    assert math.isnan(difference["deconvnet"].value)
    assert difference["deconvnet"].n == 0
    assert all(score.pointing is None for score in result.scores)
    assert result.note == ""
    assert [each.name for each in result.shown[0].classes] == ["red", "green"]
    assert result.shown[0].classes[0].probability == pytest.approx(
        1 / (1 + math.exp(20 * 0.375 - 20 * 0.625)), abs=1e-3
    )


def test_what_is_shown() -> None:
    result = compared(mosaics=1, shown=2)
    first, second, last = result.shown
    assert [first.name, second.name, last.name] == [*_names(result), "mosaic"]
    assert first.pixels.shape == (8, 8, 3)
    assert last.pixels.shape == (16, 16, 3)
    assert last.cells == ((0, 0), (1, 1))
    assert {name: each.shape for name, each in last.maps.items()} == dict.fromkeys(
        CHEAP, (2, 16, 16)
    )
    for cell, decided in zip(last.cells, last.classes, strict=True):
        corner = last.pixels[8 * cell[0], 8 * cell[1]].tolist()
        assert corner == list(plain(decided.name).getpixel((0, 0)))  # type: ignore[arg-type]
        assert decided.probability == pytest.approx(0.25)
    assert compared(mosaics=1, shown=0).shown == ()


def _names(result: Comparison) -> list[str]:
    return [each.name for each in result.shown if not each.cells]


def test_the_seed_decides_which_pictures() -> None:
    many = [plain(NAMES[number % 4]) for number in range(40)]
    runs = [compared(many, ["cam"], seed=seed, mosaics=2, shown=2) for seed in (0, 0, 1)]
    assert _names(runs[0]) == _names(runs[1])
    assert _names(runs[0]) != _names(runs[2])
    assert runs[0].shown[0].maps["cam"].tobytes() == runs[1].shown[0].maps["cam"].tobytes()


def test_few_pictures_stay_in_order() -> None:
    assert _names(compared(samples=9, shown=8)) == [f"picture {n}" for n in range(8)]


def test_labels_keep_what_is_mistaken_out_of_the_mosaics() -> None:
    class Labelled:
        name = "test"
        labels = torch.tensor([0, 1, 2, 3, 0]).numpy()

        def __len__(self) -> int:
            return 5

        def name_of(self, index: int) -> str:
            return f"row {index}"

        def image(self, index: int) -> Any:
            return plain("green") if index == 4 else plain(NAMES[index])

    result = compared(Labelled(), ["cam"], mosaics=5, samples=1)
    assert result.note.startswith("Mosaics of 4 pictures rightly recognised with 50% or more, at")


def test_classes_are_called_what_the_data_set_calls_them() -> None:
    labels = torch.tensor([0, 1, 2, 3] * 2).numpy()
    source = Source("pictures", source_of(PLAIN).pictures, labels, ("a", "b", "c", "d"))
    wish = Wish(rounds=1, mosaics=0, samples=9)
    result = compare(classifier(names=None), source, ["cam"], wish=wish)
    assert [each.classes[0].name for each in result.shown] == ["a", "b", "c"]


def test_what_a_network_does_not_allow_is_left_out_and_said() -> None:
    result = compare(classifier(Colours(nn.SiLU())), PLAIN, CHEAP, wish=QUICK)
    assert result.methods == ("cam", "gradient")
    assert list(result.refused) == ["deconvnet", "guided-backprop"]
    assert "expected a network with ReLUs" in result.refused["deconvnet"]
    assert "without deconvnet: model: expected a network with ReLUs" in result.table()


def test_where_nothing_can_be_used_it_is_an_error() -> None:
    with pytest.raises(ModelError, match="expected a network with ReLUs"):
        compare(classifier(Flat()), PLAIN, ["deconvnet", "cam"], wish=QUICK)


def test_a_network_of_one_size_makes_no_mosaics() -> None:
    wish = Wish(rounds=1, samples=1, confidence=0.0)
    mixed = [halves(a, b) for a in NAMES for b in NAMES] + [plain("red")]
    torch.manual_seed(0)
    net = Flat()
    with torch.no_grad():
        net.fc.weight.mul_(50)
    result = compare(classifier(net), mixed, ["gradient"], wish=wish)
    assert result.scores[0].pointing is None
    assert "no mosaics: model colours: expected a network that takes mosaics" in result.note
    asked = Wish(rounds=1, samples=1, confidence=0.0, mosaics=1)
    with pytest.raises(ModelError, match="expected a network that takes mosaics of twice its"):
        compare(classifier(net), mixed, ["gradient"], wish=asked)


def test_too_few_classes_for_a_mosaic() -> None:
    three = [plain(name) for name in NAMES[:3]]
    result = compared(three, ["cam"])
    assert result.note == (
        "no mosaics: mosaics: expected confidently recognised pictures of four classes at least,"
        " got 3 pictures of 3 classes; pass more pictures, or make no mosaics"
    )
    with pytest.raises(DataError, match="got 3 pictures of 3 classes"):
        compared(three, ["cam"], mosaics=1)


def test_broken_pictures_are_left_out_and_named(tmp_path: Any) -> None:
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"no picture")
    result = compared([broken, *PLAIN], samples=20, mosaics=1)
    assert len(result.skipped) == 1
    assert str(broken) in result.skipped[0]
    with pytest.raises(DataError, match="expected pictures that can be read, got none of 1"):
        compared([broken])


def test_progress_goes_from_little_to_all() -> None:
    shares: list[float] = []
    compare(classifier(), PLAIN, CHEAP, wish=QUICK, on_progress=shares.append)
    assert shares == sorted(shares)
    assert shares[-1] == 1.0
    assert len(shares) == 4 * (1 + 2 + 8)


@pytest.mark.parametrize("name", ["samples", "rounds", "mosaics", "shown"])
def test_a_wish_that_makes_no_sense(name: str) -> None:
    least = 1 if name in ("samples", "rounds") else 0
    with pytest.raises(InputError) as caught:
        Wish(**{name: least - 1})
    assert str(caught.value) == (
        f"{name}: expected {least} or more, got {least - 1}; pass a larger number"
    )


def test_a_confidence_that_is_none() -> None:
    with pytest.raises(InputError, match="confidence: expected 0 to 1, got 50"):
        Wish(confidence=50)


def test_a_mosaic_by_hand() -> None:
    four = torch.arange(4.0).view(4, 1, 1, 1).expand(4, 1, 1, 2)
    assert mosaic(four).tolist() == [[[[0.0, 0.0, 1.0, 1.0], [2.0, 2.0, 3.0, 3.0]]]]


@given(
    st.lists(st.integers(0, 6), min_size=4, max_size=30).filter(lambda each: len(set(each)) >= 4),
    st.integers(1, 12),
    st.integers(0, 3),
)
def test_dealing(classes: list[int], count: int, seed: int) -> None:
    cards = dict(enumerate(classes, 100))
    hands = deal(cards, count, seed)
    assert len(hands) == count
    assert all(len({cards[card] for card in hand}) == 4 for hand in hands)
    assert hands == deal(cards, count, seed)


def test_no_card_comes_twice_before_the_deck_is_empty() -> None:
    cards = {number: number % 4 for number in range(40)}
    hands = deal(cards, 20, seed=0)
    for half in (hands[:10], hands[10:]):
        assert sorted(card for hand in half for card in hand) == list(range(40))
    assert hands[:10] != hands[10:]


def test_a_race_by_hand() -> None:
    """A clock that the runners themselves set: every one is run, and medians are taken."""
    now = 0.0
    steps: list[None] = []
    laps = iter([5.0, 1.0, 3.0])

    def takes(seconds: float) -> Any:
        def run() -> None:
            nonlocal now
            now += seconds

        return run

    def slow() -> None:
        takes(next(laps))()

    forward, seconds = race(
        takes(0.5),
        {"fast": takes(1.0), "slow": slow},
        rounds=3,
        on_step=lambda: steps.append(None),
        clock=lambda: now,
    )
    assert (forward, seconds) == (0.5, {"fast": 1.0, "slow": 3.0})
    assert len(steps) == 6


def test_means_by_hand() -> None:
    assert Mean.of([1.0, 3.0, math.nan]) == Mean(2.0, 1.0, 2)
    assert Mean.of([4.0]).n == 1
    assert math.isnan(Mean.of([4.0]).error)
    assert math.isnan(Mean.of([]).value)
    assert Mean.of([]).to_json() == {"mean": None, "standard_error": None, "n": 0}


def test_numbers_for_machines_and_people() -> None:
    result = compared(mosaics=2)
    content = json.loads(json.dumps(result.to_json(), allow_nan=False))
    assert [each["method"] for each in content["methods"]] == list(CHEAP)
    assert content["methods"][0]["right_cell"] == {"mean": 1.0, "standard_error": 0.0, "n": 2}
    assert content["pictures"] == "8 pictures"
    table = result.table().splitlines()
    heads = [cell.strip() for cell in table[0].strip("|").split("|")]
    assert heads == ["method", "cost", "by construction", "classes differ", "right cell"]
    assert table[1].startswith("| ------")
    cam = [cell.strip() for cell in table[2].strip("|").split("|")]
    assert (cam[0], cam[2], cam[4]) == ("cam", "F", "100.0 ± 0.0 %")
    assert len({len(line) for line in table[:6]}) == 1
    assert repr(result) == "Comparison(4 methods on colours, 8 pictures)"
