"""Deletion, insertion, ROAD and their kin: against hand-made models, and against plain loops."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.metrics.linear import Linear, Share, Tiny
from tests.oracles import faithfulness as oracle
from tests.peers import register_torchvision_schemas
from torch import Tensor

from seewhy.errors import ClassError, InputError, ModelError
from seewhy.metrics.faithfulness import (
    METRICS,
    average_drop,
    choose,
    deletion,
    impute,
    increase,
    infidelity,
    insertion,
    ranks,
    road,
    sufficiency,
)
from seewhy.metrics.faithfulness.fills import BLUR, REACH, blurred
from seewhy.metrics.faithfulness.infidelity import squares
from seewhy.metrics.faithfulness.table import Settings

SEEDS = st.integers(0, 2**31)
ZERO = torch.tensor([0])


def drawn(seed: int, count: int = 3, channels: int = 3, size: tuple[int, int] = (6, 5)) -> Tensor:
    return torch.randn(count, channels, *size, generator=torch.Generator().manual_seed(seed))


def case(seed: int) -> tuple[Tiny, Tensor, Tensor, Tensor]:
    """A small net in training mode, pictures, classes, and maps without ties."""
    images = drawn(seed)
    maps = drawn(seed + 1, channels=1)[:, 0]
    return Tiny(), images, torch.tensor([2, 0, 3]), maps


def asked(net: torch.nn.Module, class_id: int, *, logit: bool = False) -> oracle.Score:
    """The class's probability, or its logit, for one picture of lists."""

    def score(picture: oracle.Picture) -> float:
        with torch.no_grad():
            logits = net.eval()(torch.tensor(picture)[None])[0]
        return float(logits[class_id] if logit else logits.softmax(0)[class_id])

    return score


def test_deletion_and_insertion_by_hand() -> None:
    """Pixels 0.8, 0.4, 0.2 and 0.6: the class has the probability of their mean."""
    images = torch.tensor([[[[0.8, 0.4], [0.2, 0.6]]]])
    best = images[:, 0]
    gone = deletion(Share(), images, ZERO, best, steps=4)
    assert gone.shares.tolist() == [0, 0.25, 0.5, 0.75, 1]
    assert gone.probabilities[0] == pytest.approx([0.5, 0.3, 0.15, 0.05, 0], abs=1e-6)
    assert gone.area.values == pytest.approx([(0.25 + 0.3 + 0.15 + 0.05) / 4], abs=1e-6)
    assert gone.is_top[0, 1:].tolist() == [False] * 4
    come = insertion(Share(), images, ZERO, best, steps=4, fill="mean")
    assert come.probabilities[0] == pytest.approx([0, 0.2, 0.35, 0.45, 0.5], abs=1e-6)
    assert come.area.mean == pytest.approx((0.2 + 0.35 + 0.45 + 0.25) / 4, abs=1e-6)
    two = deletion(Share(), images, ZERO, best, steps=2)
    assert two.probabilities[0] == pytest.approx([0.5, 0.15, 0], abs=1e-6)
    assert two.area.mean == pytest.approx((0.25 + 0.15) / 2, abs=1e-6)


def test_the_right_order_beats_a_random_one_beats_the_wrong_one() -> None:
    images = torch.rand(8, 1, 12, 12, generator=torch.Generator().manual_seed(0))
    weight = torch.rand(1, 12, 12, generator=torch.Generator().manual_seed(1)) / 20
    net, classes = Linear(weight), torch.zeros(8, dtype=torch.long)
    perfect = (weight * images)[:, 0]
    orders = (perfect, torch.zeros(8, 12, 12), -perfect)
    goals: dict[str, Callable[[Tensor], float]] = {
        "deletion": lambda maps: -deletion(net, images, classes, maps).area.mean,
        "insertion": lambda maps: insertion(net, images, classes, maps, fill="mean").area.mean,
        "road": lambda maps: road(net, images, classes, maps).gap.mean,
    }
    for name, goal in goals.items():
        right, none, wrong = map(goal, orders)
        assert right > none > wrong, name
    assert goals["road"](orders[1]) == pytest.approx(0, abs=0.01)


@pytest.mark.parametrize("which", ["deletion", "insertion"])
@given(seed=SEEDS, steps=st.integers(1, 40))
@settings(max_examples=6)
def test_curves_against_changing_one_pixel_at_a_time(which: str, seed: int, steps: int) -> None:
    net, images, classes, maps = case(seed)
    empty = blurred(images) if which == "insertion" else torch.zeros_like(images)
    function = insertion if which == "insertion" else deletion
    found = function(net, images, classes, maps, steps=steps)
    assert net.training
    for index, class_id in enumerate(classes.tolist()):
        start, end = images[index].tolist(), empty[index].tolist()
        if which == "insertion":
            start, end = end, start
        each = oracle.changed_one_by_one(
            asked(net, class_id), start, end, oracle.in_order(maps[index].tolist())
        )
        shares, heights = oracle.at_steps(each, steps)
        assert found.probabilities[index] == pytest.approx(heights, abs=1e-5)
        assert found.area.values[index] == pytest.approx(
            oracle.trapezoids(shares, heights), abs=1e-5
        )
        net.train()


@given(
    seed=SEEDS, share=st.floats(0.02, 0.97), shape=st.tuples(st.integers(1, 9), st.integers(2, 9))
)
@settings(max_examples=15)
def test_imputation_against_a_dense_solution(
    seed: int, share: float, shape: tuple[int, int]
) -> None:
    images = drawn(seed, size=shape).double()
    missing = torch.rand(3, *shape, generator=torch.Generator().manual_seed(seed)) < share
    missing[:, seed % shape[0], seed % shape[1]] = False
    found = impute(images, missing, tolerance=1e-11)
    for index in range(3):
        expected = oracle.imputed(images[index].tolist(), missing[index].tolist())
        assert np.asarray(found[index]) == pytest.approx(np.asarray(expected), abs=1e-8)


def test_imputation_by_hand() -> None:
    """One pixel in the middle of a cross of 3 and corners of 6; then one in a corner."""
    image = torch.tensor([[[[6.0, 3, 6], [3, 99, 3], [6, 3, 6]]]])
    missing = torch.zeros(1, 3, 3, dtype=torch.bool)
    missing[0, 1, 1] = True
    assert impute(image, missing)[0, 0, 1, 1] == pytest.approx(4 * 3 / 6 + 4 * 6 / 12, abs=1e-5)
    missing = torch.zeros(1, 3, 3, dtype=torch.bool)
    missing[0, 0, 0] = True
    expected = (3 / 6 + 3 / 6 + 99 / 12) / (1 / 6 + 1 / 6 + 1 / 12)
    assert impute(image, missing)[0, 0, 0, 0] == pytest.approx(expected, abs=1e-3)
    assert torch.equal(impute(image, missing)[0, 0].flatten()[1:], image.flatten()[1:])


def test_imputation_of_half_precision_is_solved_in_single() -> None:
    images = drawn(0, size=(32, 24))
    missing = torch.rand(3, 32, 24, generator=torch.Generator().manual_seed(0)) < 0.9
    found = impute(images.bfloat16(), missing)
    assert found.dtype == torch.bfloat16
    assert torch.allclose(found, impute(images.bfloat16().float(), missing).bfloat16())


def test_imputation_of_a_large_hole_keeps_its_promise() -> None:
    """A slope is its own imputation, however large the hole: the mean of its neighbours."""
    slope = torch.linspace(-2, 2, 96)[None, None, :, None].repeat(2, 3, 1, 80)
    missing = torch.zeros(2, 96, 80, dtype=torch.bool)
    missing[:, 4:92, 4:76] = True
    assert float((impute(slope, missing) - slope).abs().max()) < 0.01


@given(seed=SEEDS)
@settings(max_examples=5)
def test_road_against_the_loops(seed: int) -> None:
    net, images, classes, maps = case(seed)
    shares = (0.1, 0.5, 0.8)
    found = road(net, images, classes, maps, shares=shares, noise=0.0)
    for index, class_id in enumerate(classes.tolist()):
        order = oracle.in_order(maps[index].tolist())
        for curve, places in ((found.most, order), (found.least, order[::-1])):
            for step, share in enumerate(shares):
                gone = set(places[: int(np.rint(share * 30))])
                missing = [[(y, x) in gone for x in range(5)] for y in range(6)]
                filled = oracle.imputed(images[index].tolist(), missing)
                expected = asked(net, class_id)(filled)
                assert curve.probabilities[index, step] == pytest.approx(expected, abs=2e-3)
    gap = found.least.probabilities - found.most.probabilities
    assert found.gap.values == pytest.approx(gap.mean(1))


def test_the_noise_of_road() -> None:
    net, images, classes, maps = case(0)
    runs = [road(net, images, classes, maps, noise=0.5, seed=seed) for seed in (0, 0, 1)]
    assert runs[0].gap.values.tolist() == runs[1].gap.values.tolist()
    assert runs[0].gap.values.tolist() != runs[2].gap.values.tolist()


@given(seed=SEEDS)
@settings(max_examples=6)
def test_what_is_seen_through_a_map(seed: int) -> None:
    net, images, classes, maps = case(seed)
    lost, gained = average_drop(net, images, classes, maps), increase(net, images, classes, maps)
    for index, class_id in enumerate(classes.tolist()):
        score = asked(net, class_id)
        seen = score(oracle.seen_through(images[index].tolist(), maps[index].tolist()))
        whole = score(images[index].tolist())
        assert lost.values[index] == pytest.approx(oracle.drop(whole, seen), abs=1e-5)
        assert abs(seen - whole) < 1e-6 or gained.values[index] == (seen > whole)


def test_drop_and_increase_by_hand() -> None:
    """The map shows half of the first pixel and all of the second."""
    images = torch.tensor([[[[0.8, 0.4]]]])
    lost = average_drop(Share(), images, ZERO, torch.tensor([[[1.0, 2.0]]]))
    assert lost.mean == pytest.approx((0.6 - 0.4) / 0.6, abs=1e-6)
    assert increase(Share(), images, ZERO, torch.tensor([[[1.0, 2.0]]])).mean == 0
    dark = -images  # below the fill: what is hidden speaks for the class
    net = Linear(torch.ones(1, 1, 2))
    assert increase(net, dark, ZERO, torch.tensor([[[1.0, 0.0]]])).mean == 1
    assert average_drop(net, dark, ZERO, torch.tensor([[[1.0, 0.0]]])).mean == 0


def test_a_map_without_positive_evidence_shows_nothing() -> None:
    images = torch.tensor([[[[0.8, 0.4]]]])
    for maps in (torch.zeros(1, 1, 2), -torch.ones(1, 1, 2)):
        assert average_drop(Share(), images, ZERO, maps).mean == pytest.approx(1, abs=1e-5)


@given(seed=SEEDS, area=st.floats(0.05, 1))
@settings(max_examples=6)
def test_sufficiency_against_the_loops(seed: int, area: float) -> None:
    net, images, classes, maps = case(seed)
    found = sufficiency(net, images, classes, maps, area=area)
    for index, class_id in enumerate(classes.tolist()):
        now = blurred(images)[index].tolist()
        for place in oracle.in_order(maps[index].tolist())[: round(area * 30)]:
            oracle.put(now, place, images[index].tolist())
        with torch.no_grad():
            best = int(net.eval()(torch.tensor(now)[None]).argmax())
        assert found.values[index] == (best == class_id)


def test_the_blur_against_the_loops() -> None:
    images = drawn(0, count=1, channels=2, size=(9, 31))
    sigma = BLUR * 9
    for plane, found in zip(images[0].tolist(), blurred(images)[0], strict=True):
        expected = oracle.gaussian(plane, sigma, int(np.ceil(REACH * sigma)))
        assert found.numpy() == pytest.approx(np.asarray(expected), abs=1e-5)
    assert torch.allclose(blurred(torch.full((1, 1, 64, 48), 0.3)), torch.tensor(0.3))


def test_infidelity_of_a_linear_model_is_zero() -> None:
    weight = drawn(3, count=1)[0]
    net, images, classes = Linear(weight), drawn(4), torch.zeros(3, dtype=torch.long)
    attributions = weight.expand_as(images)
    for fill in ("mean", "blur"):
        found = infidelity(net, images, classes, attributions, fill=fill)
        assert found.plain.values == pytest.approx([0] * 3, abs=1e-8)
    products = (weight * images).sum(1)
    assert infidelity(net, images, classes, products).plain.mean == pytest.approx(0, abs=1e-8)
    found = infidelity(net, images, classes, -7 * products)
    assert found.plain.mean > 1
    assert found.scaled.values == pytest.approx([0] * 3, abs=1e-8)
    assert found.unexplained.values == pytest.approx([0] * 3, abs=1e-8)


@given(seed=SEEDS)
@settings(max_examples=5)
def test_infidelity_against_the_loops(seed: int) -> None:
    net, images, classes, maps = case(seed)
    found = infidelity(net, images, classes, maps, count=9, seed=seed)
    places = [[tuple(p) for p in mask.nonzero().tolist()] for mask in squares((6, 5), 9, seed)]
    for index, class_id in enumerate(classes.tolist()):
        pairs = oracle.said_and_lost(
            asked(net, class_id, logit=True),
            images[index].tolist(),
            (0 * images[index]).tolist(),
            maps[index].tolist(),
            places,
        )
        assert found.plain.values[index] == pytest.approx(oracle.infidelity(pairs), rel=1e-3)
        said, lost = np.asarray(pairs).T
        factor = np.linalg.lstsq(said[:, None], lost)[0][0]
        best = oracle.infidelity(pairs, factor)
        assert found.scaled.values[index] == pytest.approx(best, rel=1e-3, abs=1e-6)
        assert found.unexplained.values[index] == pytest.approx(
            best / oracle.infidelity(pairs, 0), rel=1e-3, abs=1e-5
        )


def test_a_map_of_zeros_foretells_nothing() -> None:
    net, images, classes, maps = case(0)
    assert infidelity(net, images, classes, 0 * maps).unexplained.values.tolist() == [1] * 3
    still = infidelity(Linear(torch.zeros(3, 6, 5)), images, 0 * classes, maps)
    assert np.isnan(still.unexplained.values).all()
    assert still.unexplained.n == 0


def test_squares_lie_within_the_picture() -> None:
    found = squares((20, 30), 200, 0)
    assert found.shape == (200, 20, 30)
    heights, widths = found.any(2).sum(1), found.any(1).sum(1)
    assert torch.equal(heights, widths)
    assert torch.equal(found.sum((1, 2)), heights * widths)
    assert (int(heights.min()), int(heights.max())) == (2, 10)


def test_the_order_of_pixels() -> None:
    maps = torch.tensor([[[0.5, -1.0], [3.0, 0.0]]])
    assert ranks(maps, (2, 2)).tolist() == [[[1, 3], [0, 2]]]
    assert ranks(100 * maps - 7, (2, 2)).tolist() == [[[1, 3], [0, 2]]]
    coarse = ranks(torch.tensor([[[0.0, 1.0]]]), (2, 4))
    assert coarse[0].argmax(1).tolist() == coarse[0, 0].argmax().repeat(2).tolist()
    assert (coarse[0, :, 3] < coarse[0, :, 0]).all()


def test_a_map_that_is_the_same_everywhere_has_no_favourite_place() -> None:
    """Ties are drawn: the first tenth of the pixels lies all over the picture."""
    order = ranks(torch.zeros(1, 4, 4), (40, 40))[0]
    first = (order < 160).nonzero().float()
    assert sorted(order.flatten().tolist()) == list(range(1600))
    assert first.mean(0).tolist() == pytest.approx([19.5, 19.5], abs=2.5)
    assert first.std(0).tolist() == pytest.approx([11.5, 11.5], abs=1.5)
    for height in (1.0, 0.1, -3.7e-9):
        assert torch.equal(order, ranks(torch.full((1, 4, 4), height), (40, 40))[0])


def test_zeros_of_either_sign_are_ties() -> None:
    assert torch.equal(ranks(torch.zeros(1, 4, 4), (8, 8)), ranks(-torch.zeros(1, 4, 4), (8, 8)))


@pytest.mark.parametrize("name", METRICS)
def test_a_picture_does_not_see_the_others(name: str) -> None:
    net, images, classes, maps = case(0)
    measure = METRICS[name].measure
    together = measure(Settings(steps=5), net, images, classes, maps).scores.values
    for index in range(3):
        one = slice(index, index + 1)
        alone = measure(Settings(steps=5), net, images[one], classes[one], maps[one]).scores
        assert alone.values == pytest.approx(together[one], abs=2e-3)


@pytest.mark.parametrize("name", METRICS)
def test_the_model_is_left_as_it_was(name: str) -> None:
    net, images, classes, maps = case(0)
    state = {key: value.clone() for key, value in net.state_dict().items()}
    with torch.inference_mode():
        METRICS[name].measure(Settings(steps=3), net, images + 0, classes, maps + 0)
    assert net.training
    assert all(torch.equal(value, net.state_dict()[key]) for key, value in state.items())
    assert all(parameter.grad is None for parameter in net.parameters())
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in net.modules())


def test_a_single_logit_is_a_sigmoid() -> None:
    net = Tiny(classes=1)
    images, maps = drawn(0), drawn(1, channels=1)[:, 0]
    found = deletion(net, images, torch.zeros(3, dtype=torch.long), maps, steps=1)
    with torch.no_grad():
        logits = net.eval()(images)[:, 0]
    assert found.probabilities[:, 0] == pytest.approx(logits.sigmoid().numpy(), abs=1e-6)
    assert found.is_top[:, 0].tolist() == (logits > 0).tolist()


def test_no_more_pictures_at_once_than_a_pass_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = []
    net, images, classes, maps = case(0)
    net.register_forward_hook(lambda _module, given, _output: sizes.append(len(given[0])))
    monkeypatch.setattr("seewhy.metrics.faithfulness.answers.at_once", lambda _images: 7)
    deletion(net, images, classes, maps, steps=10)
    assert sizes == [6, 7, 7, 7, 6]  # where curves begin and end is asked first


BAD: list[tuple[dict[str, Any], type[Exception], str]] = [
    ({"steps": 0}, InputError, "steps: expected 1 or more, got 0; pass 50, say"),
    ({"fill": "bler"}, InputError, "fill: expected one of mean, blur, got 'bler'; did you mean bl"),
    ({"maps": torch.zeros(2, 6, 5)}, InputError, "maps: expected 3, one for each picture, got 2"),
    ({"maps": torch.zeros(3, 1, 6, 5)}, InputError, "got float32 of shape (3, 1, 6, 5)"),
    ({"maps": torch.zeros(3, 7, 5)}, InputError, "no larger than the pictures, 6 x 5, got float32"),
    ({"maps": torch.zeros(3, 6, 5, dtype=torch.long)}, InputError, "got int64 of shape (3, 6, 5)"),
    ({"maps": torch.full((3, 6, 5), torch.nan)}, InputError, "maps: expected finite numbers, got"),
    ({"classes": torch.tensor([0, 1, 4])}, ClassError, "classes: expected ids from 0 to 3, got 0"),
    ({"classes": torch.tensor([0, 1])}, ClassError, "one integer id for each picture, shape (3,)"),
    ({"images": drawn(0)[0]}, InputError, "images: expected prepared pictures (B, C, H, W), got"),
    ({"images": drawn(0, channels=2)}, ModelError, "Tiny: expected a model that runs on these"),
    ({"images": drawn(0) * torch.nan}, ModelError, ": expected finite logits, got NaN"),
]


@pytest.mark.parametrize(("changes", "kind", "said"), BAD, ids=lambda each: str(each)[:40])
def test_bad_input(changes: dict[str, Any], kind: type[Exception], said: str) -> None:
    net, images, classes, maps = case(0)
    wanted = {"images": images, "classes": classes, "maps": maps, **changes}
    with pytest.raises(kind) as caught:
        deletion(net, **wanted)
    assert said in str(caught.value)


def test_more_bad_input() -> None:
    net, images, classes, maps = case(0)
    for shares in ((), (0.0,), (1.0,), (0.5, 1.2)):
        with pytest.raises(InputError, match="shares: expected numbers above 0 and below 1"):
            road(net, images, classes, maps, shares=shares)
    with pytest.raises(InputError, match="area: expected above 0, up to 1, got 0"):
        sufficiency(net, images, classes, maps, area=0)
    with pytest.raises(InputError, match="count: expected 1 or more, got 0"):
        infidelity(net, images, classes, maps, count=0)
    with pytest.raises(InputError, match="finite attributions of the pictures' shape"):
        infidelity(net, images, classes, images[:, :2])
    with pytest.raises(InputError, match="a pixel of each picture that is left, got a picture"):
        impute(images, torch.ones(3, 6, 5, dtype=torch.bool))
    with pytest.raises(InputError, match=r"boolean, of shape \(3, 6, 5\), got float32"):
        impute(images, maps)
    with pytest.raises(InputError, match=r"metric 'delition': .* did you mean deletion"):
        choose(["delition"])
    with pytest.raises(InputError, match="metric ''"):
        choose([])


@pytest.mark.filterwarnings("ignore")  # the peer's own
def test_imputation_and_road_beside_pytorch_grad_cam() -> None:
    """ROADCombined is half of our gap, over shares that mirror each other; both add noise."""
    register_torchvision_schemas()
    peer = pytest.importorskip("pytorch_grad_cam.metrics.road")
    targets = pytest.importorskip("pytorch_grad_cam.utils.model_targets")
    images = drawn(0, size=(16, 20))
    maps = torch.rand(3, 16, 20, generator=torch.Generator().manual_seed(1))
    missing = maps > 0.4
    theirs = [
        peer.NoisyLinearImputer(noise=0)(image, (~mask).float())
        for image, mask in zip(images, missing, strict=True)
    ]
    ours = impute(images, missing, tolerance=1e-6)
    assert ours.numpy() == pytest.approx(torch.stack(theirs).numpy(), abs=1e-4)
    net, classes = Tiny().eval(), torch.tensor([2, 0, 3])
    of_class = [targets.ClassifierOutputSoftmaxTarget(int(each)) for each in classes]
    expected = peer.ROADCombined(percentiles=[20, 40, 60, 80])(images, maps.numpy(), of_class, net)
    found = road(net, images, classes, maps, shares=(0.2, 0.4, 0.6, 0.8))
    assert found.gap.values / 2 == pytest.approx(expected, abs=5e-3)
