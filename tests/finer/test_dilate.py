"""Dilation: the usual positions stay what they were, and the others are those between them."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
import pytest
import torch
from tests.finer import nets
from tests.finer.nets import pictures, seeded
from tests.oracles import finer as oracle
from tests.peers import register_torchvision_schemas
from torch import Tensor, nn

from seewhy import load_model
from seewhy.finer import dilate
from seewhy.finer.grids import interleaved
from seewhy.finer.plan import CannotDilate, Plan
from seewhy.heads import find_head, run

register_torchvision_schemas()
timm = pytest.importorskip("timm")
torchvision = pytest.importorskip("torchvision")


def fine(net: nn.Module, x: Tensor, resolution: int) -> tuple[Tensor, Tensor, Plan]:
    """The finer features (B, K, rH, rW), the logits of the views, and the plan."""
    head = find_head(net, x)
    plan = dilate.plan_for(net, head, x, resolution)
    with torch.no_grad():
        seen = dilate.look(net, head, x, plan)
    logits = seen.logits.unflatten(0, (plan.views, -1))
    return interleaved(seen.features, plan.order), logits, plan


def usual(net: nn.Module, x: Tensor) -> tuple[Tensor, Tensor]:
    with torch.no_grad():
        logits, features = run(net, find_head(net, x), (x,), {})
    return features, logits


def place_of(plan: Plan) -> tuple[int, int]:
    """Where, along both axes, the usual positions lie among the finer ones."""
    numbers = torch.arange(plan.views).reshape(plan.views, 1, 1, 1)
    row, column = (interleaved(numbers, plan.order)[0, 0] == plan.undisturbed).nonzero()[0]
    return int(row), int(column)


def every(values: Tensor, place: tuple[int, int], step: int) -> Tensor:
    return values[:, :, place[0] :: step, place[1] :: step]


def test_a_network_by_hand() -> None:
    net = nets.literal()
    x = torch.arange(16.0, dtype=torch.float64).reshape(1, 1, 4, 4)
    features, logits, plan = fine(net, x, 2)
    assert features[0, 0].tolist() == [
        [-4.5, -5.0, 2.5, 3.5],
        [-8.5, -9.0, 6.5, 7.5],
        [-12.5, -13.0, 10.5, 11.5],
        [-14.5, -15.0, 12.5, 13.5],
    ]
    assert plan.undisturbed == 0
    assert logits[0].tolist() == [[-0.5, 2.0]]  # (-4.5 + 2.5 - 12.5 + 10.5) / 4 = -1
    assert logits.mean(0).tolist() == [[-0.375, 1.75]]  # each row adds up to -3.5: the mean is -7/8


def test_the_a_trous_network_one_window_at_a_time() -> None:
    """The last stride becomes 1, the convolution after it is dilated by 2."""
    net = seeded(nets.plain()).double()
    x = pictures(8, batch=1).double()
    features, _, _ = fine(net, x, 2)
    first, norm, relu, depthwise, second, third = net.get_submodule("trunk").children()
    assert isinstance(second, nn.Conv2d)
    assert isinstance(second.bias, Tensor)
    assert isinstance(third, nn.Conv2d)
    assert isinstance(third.bias, Tensor)
    with torch.no_grad():
        before = relu(depthwise(relu(norm(first(x)))))
        values = oracle.convolution(before[0].numpy(), second.weight.numpy(), padding=1)
        values = np.maximum(values + second.bias.numpy()[:, None, None], 0)
        values = oracle.convolution(values, third.weight.numpy(), padding=2, dilation=2)
        values = np.maximum(values + third.bias.numpy()[:, None, None], 0)
    np.testing.assert_allclose(features[0].numpy(), values, atol=1e-12)


@pytest.mark.parametrize("resolution", [2, 4])
@pytest.mark.parametrize("make", [nets.plain, nets.patches, nets.gated])
def test_the_usual_positions_stay_as_they_were(make: Any, resolution: int) -> None:
    net = seeded(make())
    x = pictures(32, wide=48)
    if make is nets.gated and resolution == 4:
        with pytest.raises(CannotDilate, match="on which nothing strides"):
            fine(net, x, resolution)
        return
    features, logits, plan = fine(net, x, resolution)
    before, own = usual(net, x)
    torch.testing.assert_close(every(features, place_of(plan), resolution), before)
    torch.testing.assert_close(logits[plan.undisturbed], own)
    assert features.shape[2:] == (resolution * before.shape[2], resolution * before.shape[3])


@pytest.mark.parametrize("resolution", [2, 4])
def test_torchvisions_own_dilation(resolution: int) -> None:
    """`replace_stride_with_dilation` gives the same finer features, and the mean of the logits."""
    resnet, block = torchvision.models.ResNet, torchvision.models.resnet.Bottleneck
    replaced = [False, resolution == 4, True]
    torch.manual_seed(0)
    net = seeded(resnet(block, [1, 1, 2, 2], num_classes=7))
    dilated = resnet(block, [1, 1, 2, 2], num_classes=7, replace_stride_with_dilation=replaced)
    dilated.load_state_dict(net.state_dict())
    x = pictures(64)
    features, logits, _ = fine(net, x, resolution)
    theirs, their_logits = usual(dilated.eval(), x)
    torch.testing.assert_close(features, theirs, rtol=1e-4, atol=1e-4 * float(theirs.abs().max()))
    torch.testing.assert_close(logits.mean(0), their_logits, rtol=1e-4, atol=1e-3)


ZOO = {
    "torchvision:resnet18": (64, (0, 0)),
    "torchvision:mobilenet_v2": (64, (0, 0)),
    "torchvision:squeezenet1_1": (96, (1, 1)),  # its poolings look down and to the right
    "torchvision:densenet121": (64, (0, 0)),
    "timm:test_resnet": (64, (0, 0)),  # its shortcuts are averaged
    "timm:test_efficientnet": (64, (0, 0)),
    "timm:test_convnext": (64, (0, 0)),
    "timm:resnetblur50": (64, (0, 0)),
    "timm:tf_efficientnet_lite0": (64, (1, 1)),  # padded below and to the right
}


@pytest.mark.parametrize("name", ZOO)
def test_known_architectures(name: str) -> None:
    source, name = name.split(":")
    side, place = ZOO[f"{source}:{name}"]
    torch.manual_seed(0)
    make = torchvision.models.get_model if source == "torchvision" else timm.create_model
    net = make(name, num_classes=7).eval()
    x = pictures(side)
    features, logits, plan = fine(net, x, 2)
    before, own = usual(net, x)
    assert place_of(plan) == place
    off = 1e-4 * float(before.abs().max())
    torch.testing.assert_close(every(features, place, 2), before, rtol=1e-4, atol=off)
    torch.testing.assert_close(logits[plan.undisturbed], own, rtol=1e-4, atol=1e-4)
    others = every(features, (1 - place[0], 1 - place[1]), 2)
    assert not torch.allclose(others, before, rtol=1e-4, atol=off)


def test_shortcuts_that_are_slices() -> None:
    """ResNet-20 for CIFAR pads and slices; both of its strides are split."""
    model = load_model("resnet20-cifar10")
    x = pictures(32)
    features, logits, plan = fine(model.module, x, 4)
    before, own = usual(model.module, x)
    assert features.shape == (2, 64, 32, 32)
    assert place_of(plan) == (0, 0)
    torch.testing.assert_close(features[:, :, ::4, ::4], before, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(logits[0], own, rtol=1e-4, atol=1e-4)


def test_tensorflows_padding() -> None:
    """EfficientNet-Lite0: what was padded below and to the right looks up and to the left."""
    model = load_model("efficientnet-lite0")
    x = pictures(96)
    features, logits, plan = fine(model.module, x, 4)
    before, own = usual(model.module, x)
    assert features.shape == (2, 1280, 12, 12)
    assert place_of(plan) == (3, 3)
    torch.testing.assert_close(features[:, :, 3::4, 3::4], before, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(logits[plan.undisturbed], own, rtol=1e-4, atol=1e-4)


def test_a_stride_along_one_axis() -> None:
    layers = nn.Conv2d(3, 8, 3, (2, 1), 1), nn.ReLU(), nn.Conv2d(8, 8, 3, (1, 2), 1)
    net = seeded(nets.Net(*layers))
    x = pictures(16)
    features, _, plan = fine(net, x, 2)
    assert plan.order == ((0, 2), (1, 2))
    torch.testing.assert_close(features[:, :, ::2, ::2], usual(net, x)[0])


def reason_of(net: nn.Module, side: int, resolution: int = 2) -> CannotDilate:
    with pytest.raises(CannotDilate) as caught:
        fine(seeded(net), pictures(side), resolution)
    return caught.value


def test_space_to_depth_is_refused() -> None:
    reason = reason_of(nets.merging(), 32)
    assert str(reason) == (
        "goes from 16 cells to 8 by something other than a convolution, pooling or slice that"
        " strides"
    )
    assert reason.module == "trunk.0"


def test_swin_is_refused() -> None:
    """timm's cuts its patches by reshaping, torchvision's by slices of every phase."""
    net = timm.create_model("swin_tiny_patch4_window7_224", img_size=56, window_size=7).eval()
    with pytest.raises(CannotDilate, match="from 14 cells to 2 by something other than") as caught:
        fine(net, pictures(56), 2)
    assert caught.value.module == "patch_embed.proj"


def test_ways_of_different_strides_are_refused() -> None:
    reason = reason_of(nets.two_ways(), 32)
    assert "from 16 cells to 8 by something other" in str(reason)
    assert reason.module == "trunk.0"


def test_a_stride_of_three_is_refused() -> None:
    reason = reason_of(nets.Net(nn.Conv2d(3, 8, 3, 3), nn.ReLU()), 27)
    assert str(reason) == "has a stride of 3, which 2 does not divide"
    assert reason.module == "trunk.0"


def test_positions_outside_of_the_picture_are_refused() -> None:
    net = nets.Net(nn.Conv2d(3, 8, 1, 2), nn.ReLU())
    reason = reason_of(net, 15)
    assert str(reason) == (
        "has 15 cells before and 8 after a stride of 2: finer ones would lie outside of the picture"
    )
    assert fine(seeded(net), pictures(16), 2)[0].shape[2:] == (16, 16)


def test_a_network_that_remembers_the_batch_is_refused() -> None:
    with pytest.raises(CannotDilate, match="depends on the size of the batch"):
        fine(seeded(nets.CachesBatch()), pictures(16), 2)


def test_what_was_refused_is_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    net = seeded(nets.merging())
    head = find_head(net, pictures())
    with pytest.raises(CannotDilate):
        dilate.plan_for(net, head, pictures(), 2)
    monkeypatch.setattr(dilate, "find_plan", None)
    with pytest.raises(CannotDilate, match="from 16 cells to 8"):
        dilate.plan_for(net, head, pictures(seed=1), 2)


def test_threads_and_the_model_itself_see_nothing() -> None:
    """While one thread looks finer, another gets the usual logits from the very same modules."""
    net = seeded(nets.plain())
    x = pictures()
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    attributes = {name: dict(vars(module)) for name, module in net.named_modules()}
    own = net(x).detach()
    wrong: list[str] = []
    done = threading.Event()

    def elsewhere() -> None:
        while not done.is_set():
            with torch.no_grad():
                if not torch.equal(net(x), own):
                    wrong.append("other logits")

    thread = threading.Thread(target=elsewhere)
    thread.start()
    try:
        for _ in range(20):
            fine(net, x, 2)
    finally:
        done.set()
        thread.join()
    assert not wrong
    assert all(torch.equal(before[name], tensor) for name, tensor in net.state_dict().items())
    for name, module in net.named_modules():
        assert vars(module).keys() == attributes[name].keys()
        assert all(vars(module)[key] is value for key, value in attributes[name].items())
