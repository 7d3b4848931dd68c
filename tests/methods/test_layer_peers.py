"""The maps of Grad-CAM's kin beside those of pytorch-grad-cam, TorchCAM and Captum.

Where a peer computes something else, the test says what, and shows that this alone is the
difference: docs/methods.md tells the same to readers.
"""

from __future__ import annotations

from typing import Any

import pytest
import torch
from tests.methods.nets_of_layers import seeded
from tests.peers import register_torchvision_schemas
from torch import Tensor, nn
from torch.nn import functional as F

import seewhy
from seewhy.comparison.look import Eye
from seewhy.methods import (
    ablation_cam,
    eigen_cam,
    finer_cam,
    grad_cam,
    grad_cam_plusplus,
    hirescam,
    layer_cam,
    score_cam,
    xgrad_cam,
)
from seewhy.methods.eigen_cam import projected
from seewhy.methods.from_layers import in_picture
from seewhy.methods.layers import found

pytestmark = pytest.mark.filterwarnings("ignore")  # theirs
LAYERS = ("fine", "coarse")  # of the picture's own size, and of half of it


class PeerNet(nn.Module):
    """What all of them can take: modules of their own, nothing in place."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.fine = nn.Conv2d(3, 6, 3, padding=1), nn.ReLU()
        self.second, self.coarse = nn.Conv2d(6, 8, 3, stride=2, padding=1), nn.ReLU()
        self.third, self.last = nn.Conv2d(8, 8, 3, padding=1), nn.ReLU()
        self.fc = nn.Linear(8, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.last(self.third(self.coarse(self.second(self.fine(self.first(x))))))
        logits: Tensor = self.fc(x.mean((2, 3)))
        return logits


def net() -> PeerNet:
    made: PeerNet = seeded(PeerNet(), std=0.3)
    made.fc.bias.data = torch.tensor([2.0, 2.5, 3.0, 3.5, 4.0])  # so that logits are positive
    return made


def pictures() -> Tensor:
    return torch.randn(3, 3, 12, 12, generator=torch.Generator().manual_seed(1))


# The likeliest ones: maps of others may be all zeros, which agree with anything.
CLASSES = net()(pictures()).argmax(1)


def gradients(layer: str) -> tuple[Tensor, Tensor]:
    """What the layer gives, and the gradient there."""
    kept: list[Tensor] = []
    model = net()
    model.get_submodule(layer).register_forward_hook(lambda _m, _i, out: kept.append(out))
    score = model(pictures()).gather(1, CLASSES[:, None]).sum()
    return kept[0].detach(), torch.autograd.grad(score, kept[0])[0]


def require_alike(ours: Tensor, theirs: Tensor) -> None:
    """The same but for a factor and an offset for each picture: they stretch their maps."""
    for one, other in zip(ours.flatten(1).double(), theirs.flatten(1).double(), strict=True):
        columns = torch.stack([one, torch.ones_like(one)], 1)
        fit = columns @ torch.linalg.lstsq(columns, other[:, None]).solution
        assert float(columns.std(0)[0]) > 0, "a map of zeros fits everything"
        torch.testing.assert_close(fit[:, 0], other, atol=2e-5, rtol=0)


def of_grad_cam(name: str, layer: str, targets: Any = "classes", **options: Any) -> Tensor:
    """The maps of pytorch-grad-cam, stretched to reach from 0 to 1, at the picture's size."""
    register_torchvision_schemas()
    peer = pytest.importorskip("pytorch_grad_cam", reason="needs the bench extra: grad-cam")
    from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget

    if targets == "classes":
        targets = [ClassifierOutputTarget(int(each)) for each in CLASSES]
    model = net()
    with getattr(peer, name)(model, [model.get_submodule(layer)]) as cam:
        return torch.from_numpy(cam(input_tensor=pictures(), targets=targets, **options))


def of_torchcam(name: str, layer: str, **options: Any) -> Tensor:
    """The raw maps of TorchCAM on the layer's grid."""
    register_torchvision_schemas()
    peer = pytest.importorskip("torchcam.methods", reason="needs the bench extra: torchcam")
    model = net()
    with getattr(peer, name)(model, layer) as cam:
        scores = model(pictures())
        maps: Tensor = cam(CLASSES.tolist(), scores, normalized=False, **options)[0]
    return maps.detach()


@pytest.mark.parametrize("layer", LAYERS)
@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (grad_cam, "GradCAM"),
        (hirescam, "HiResCAM"),
        (xgrad_cam, "XGradCAM"),
        (layer_cam, "LayerCAM"),
        (ablation_cam, "AblationCAM"),
    ],
)
def test_beside_pytorch_grad_cam(ours: Any, theirs: str, layer: str) -> None:
    """They cut every map off at zero, Ablation-CAM's after dividing by the logit itself."""
    maps = ours(net(), pictures(), CLASSES, layers=layer, relu=True)
    require_alike(maps, of_grad_cam(theirs, layer))


@pytest.mark.parametrize("layer", LAYERS)
def test_eigen_cam_beside_pytorch_grad_cam(layer: str) -> None:
    """They subtract each channel's mean, which the paper does not, and leave the sign to chance."""
    theirs = of_grad_cam("EigenCAM", layer)
    small = projected(gradients(layer)[0], centred=True)
    ours = eigen_cam(net(), pictures(), CLASSES, layers=layer, centred=True)
    torch.testing.assert_close(ours, in_picture(small, (12, 12)))
    for one, other in zip(small, theirs, strict=True):
        either = [in_picture(map_.relu()[None], (12, 12)) for map_ in (one, -one)]
        assert any(is_alike(map_, other[None]) for map_ in either)


def is_alike(ours: Tensor, theirs: Tensor) -> bool:
    try:
        require_alike(ours, theirs)
    except AssertionError:
        return False
    return True


@pytest.mark.parametrize("layer", LAYERS)
def test_score_cam_beside_pytorch_grad_cam(layer: str) -> None:
    """They enlarge with the corners aligned: at the picture's own size that is no difference."""
    maps = score_cam(net(), pictures(), CLASSES, layers=layer)
    theirs = of_grad_cam("ScoreCAM", layer)
    if layer == "fine":
        require_alike(maps, theirs)
    else:
        assert not is_alike(maps, theirs)
        small = masked_with_corners(layer)
        require_alike(in_picture(small, (12, 12)), theirs)


def masked_with_corners(layer: str) -> Tensor:
    """Score-CAM on the layer's grid, masks enlarged with `align_corners=True`."""
    model, images = net(), pictures()
    features, _ = gradients(layer)
    masks = F.interpolate(features, (12, 12), mode="bilinear", align_corners=True)
    masks = masks - masks.amin((2, 3), keepdim=True)
    masks = masks / (masks.amax((2, 3), keepdim=True) + 1e-8)
    with torch.no_grad():
        logits = [
            model(images * mask[:, None]).gather(1, CLASSES[:, None]) for mask in masks.unbind(1)
        ]
    return (torch.cat(logits, 1).softmax(1)[:, :, None, None] * features).sum(1)


@pytest.mark.parametrize("layer", LAYERS)
def test_grad_cam_plusplus_beside_pytorch_grad_cam(layer: str) -> None:
    """They add 1e-6 to a denominator of squared gradients, which are smaller than that."""
    maps = grad_cam_plusplus(net(), pictures(), CLASSES, layers=layer)
    theirs = of_grad_cam("GradCAMPlusPlus", layer)
    assert not is_alike(maps, theirs)
    require_alike(in_picture(plusplus(layer, 1e-6), (12, 12)), theirs)
    torch.testing.assert_close(maps, in_picture(plusplus(layer, 0.0), (12, 12)))


def plusplus(layer: str, eps: float) -> Tensor:
    """Grad-CAM++ as the paper writes it, with what is added to the denominator."""
    features, grads = (values.double() for values in gradients(layer))
    total = features.sum((2, 3), keepdim=True)
    alpha = grads**2 / (2 * grads**2 + total * grads**3 + eps)
    weights = (alpha.nan_to_num(0.0) * grads.relu()).sum((2, 3), keepdim=True)
    return (weights * features).sum(1).relu().float()


@pytest.mark.parametrize("layer", LAYERS)
def test_finer_cam_beside_pytorch_grad_cam(layer: str) -> None:
    """They weigh the other classes by their probabilities: with one of them that is no difference.

    They explain the likeliest class only.
    """
    maps = finer_cam(net(), pictures(), CLASSES, layers=layer, references=1, strength=0.7)
    options = {"alpha": 0.7, "comparison_categories": [1]}
    require_alike(maps, of_grad_cam("FinerCAM", layer, None, **options))


@pytest.mark.parametrize("layer", LAYERS)
@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (grad_cam, "GradCAM"),
        (xgrad_cam, "XGradCAM"),
        (layer_cam, "LayerCAM"),
        (finer_cam, "FinerCAM"),
    ],
)
def test_beside_torchcam(ours: Any, theirs: str, layer: str) -> None:
    maps = ours(net(), pictures(), CLASSES, layers=layer, relu=True)
    torch.testing.assert_close(maps, in_picture(of_torchcam(theirs, layer), (12, 12)))


@pytest.mark.parametrize("layer", LAYERS)
def test_score_cam_beside_torchcam(layer: str) -> None:
    """They stretch the masks before they enlarge them, so that few of them reach 0 and 1."""
    maps = score_cam(net(), pictures(), CLASSES, layers=layer)
    theirs = in_picture(of_torchcam("ScoreCAM", layer), (12, 12))
    if layer == "fine":
        torch.testing.assert_close(maps, theirs, atol=1e-5, rtol=1e-4)
    else:
        assert (maps - theirs).abs().max() > 1e-4 * maps.abs().max()


@pytest.mark.parametrize("layer", LAYERS)
def test_grad_cam_plusplus_beside_torchcam(layer: str) -> None:
    """Their denominator is divided into a copy and lost: what is left is the squared gradient."""
    theirs = of_torchcam("GradCAMpp", layer)
    features, grads = gradients(layer)
    lost = (grads**2 * grads.relu()).sum((2, 3), keepdim=True)
    torch.testing.assert_close(theirs, (lost * features).sum(1).relu())
    maps = grad_cam_plusplus(net(), pictures(), CLASSES, layers=layer)
    assert not is_alike(maps, in_picture(theirs, (12, 12)))


@pytest.mark.parametrize("layer", LAYERS)
def test_beside_captum(layer: str) -> None:
    """Captum keeps the sign, and has HiResCAM as gradient times activation."""
    attr = pytest.importorskip("captum.attr", reason="needs the compare extra: captum")
    model, images = net(), pictures()
    module = model.get_submodule(layer)
    theirs = attr.LayerGradCam(model, module).attribute(images, CLASSES).detach()
    ours = grad_cam(net(), images, CLASSES, layers=layer, relu=False)
    torch.testing.assert_close(ours, in_picture(theirs[:, 0], (12, 12)))
    products = attr.LayerGradientXActivation(model, module).attribute(images, CLASSES).detach()
    ours = hirescam(net(), images, CLASSES, layers=layer)
    torch.testing.assert_close(ours, in_picture(products.sum(1), (12, 12)))


def test_what_is_chosen_of_a_vision_transformer() -> None:
    """TorchCAM takes heads and tokens of the last keys for channels and rows."""
    register_torchvision_schemas()
    timm = pytest.importorskip("timm", reason="needs the timm extra")
    methods = pytest.importorskip("torchcam.methods", reason="needs the bench extra: torchcam")
    model = timm.create_model("vit_tiny_patch16_224", img_size=64, depth=2, num_classes=5).eval()
    theirs = methods.GradCAM(model, input_shape=(3, 64, 64))
    assert theirs.target_names == ["blocks.1.attn.k_norm"]
    theirs.remove_hooks()
    (ours,) = found(model, torch.randn(2, 3, 64, 64), ())
    assert (ours.name, ours.layout.grid) == ("blocks.1.norm1", (4, 4))


def test_a_trained_net_on_photographs() -> None:
    """The layer that is found without asking, named to pytorch-grad-cam."""
    register_torchvision_schemas()
    peer = pytest.importorskip("pytorch_grad_cam", reason="needs the bench extra: grad-cam")
    pytest.importorskip("foolbox", reason="needs the demo extra: foolbox")
    from seewhy.figures.samples import samples

    classifier = seewhy.load_model("resnet20-cifar10")
    photographs = Eye(classifier, samples(10))
    images, model = torch.stack([photographs.load(row) for row in range(4)]), classifier.module
    with peer.HiResCAM(model, [model.get_submodule("layer3")]) as cam:
        theirs = torch.from_numpy(cam(input_tensor=images, targets=None))
    require_alike(hirescam(model, images, model(images).argmax(1), relu=True), theirs)
