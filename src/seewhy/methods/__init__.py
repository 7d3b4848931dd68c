"""Ways to say where in a picture a class comes from: one function each, and METHODS, the table.

`cam` is seewhy's own, exact for networks with a head that allows it. The others are what people
used before it and still do; they are here to be compared with, and for networks without such a
head. Each is a function `(model, images (B, C, H, W), classes (B,)) -> maps (B, H, W)`. All of
them leave the model as it was: no hook is set on a module, no parameter gets a gradient.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType

from seewhy.errors import InputError
from seewhy.methods.ablation_cam import ablation_cam
from seewhy.methods.attention_relevance import attention_relevance
from seewhy.methods.attention_rollout import attention_rollout
from seewhy.methods.cam import cam
from seewhy.methods.deconvnet import deconvnet
from seewhy.methods.eigen_cam import eigen_cam
from seewhy.methods.finer_cam import finer_cam
from seewhy.methods.fullgrad import FullGradients, full_gradients, fullgrad
from seewhy.methods.grad_cam import grad_cam
from seewhy.methods.grad_cam_plusplus import grad_cam_plusplus
from seewhy.methods.gradient import gradient, gradient_x_input
from seewhy.methods.guided_backprop import guided_backprop
from seewhy.methods.hirescam import hirescam
from seewhy.methods.integrated_gradients import STEPS, integrated_gradients
from seewhy.methods.layer_cam import layer_cam
from seewhy.methods.legrad import legrad
from seewhy.methods.method import MapFunction, Method
from seewhy.methods.occlusion import PATCHES, occlusion
from seewhy.methods.score_cam import score_cam
from seewhy.methods.smoothgrad import SAMPLES, smoothgrad, smoothgrad_squared, vargrad
from seewhy.methods.xgrad_cam import xgrad_cam
from seewhy.wording import near_or

__all__ = [
    "METHODS",
    "USUAL",
    "FullGradients",
    "MapFunction",
    "Method",
    "ablation_cam",
    "attention_relevance",
    "attention_rollout",
    "cam",
    "choose",
    "deconvnet",
    "eigen_cam",
    "finer_cam",
    "full_gradients",
    "fullgrad",
    "grad_cam",
    "grad_cam_plusplus",
    "gradient",
    "gradient_x_input",
    "guided_backprop",
    "hirescam",
    "integrated_gradients",
    "layer_cam",
    "legrad",
    "occlusion",
    "score_cam",
    "smoothgrad",
    "smoothgrad_squared",
    "vargrad",
    "xgrad_cam",
]

METHODS: Mapping[str, Method] = MappingProxyType(
    {
        "cam": Method(
            cam,
            summary="the evidence that the head adds up; exact, where the head allows it",
            source="Zhou et al., CVPR 2016",
            passes="F",
            unit="logits",
        ),
        "deconvnet": Method(
            deconvnet,
            summary="the logit projected back; ReLUs pass on what comes back positive",
            source="Zeiler and Fergus, ECCV 2014",
            passes="F + B",
            unit="arbitrary",
        ),
        "guided-backprop": Method(
            guided_backprop,
            summary="the gradient; ReLUs pass on only what is positive of it",
            source="Springenberg et al., ICLR workshop 2015",
            passes="F + B",
            unit="arbitrary",
        ),
        "gradient": Method(
            gradient,
            summary="how the logit changes with each pixel",
            source="Simonyan et al., ICLR workshop 2014",
            passes="F + B",
            unit="logits per unit of input",
        ),
        "gradient-x-input": Method(
            gradient_x_input,
            summary="the gradient times the prepared pixel",
            source="Shrikumar et al., 2016",
            passes="F + B",
            unit="logits a pixel, to first order",
        ),
        "integrated-gradients": Method(
            integrated_gradients,
            summary="the mean gradient on the way from the mean colour, times the way",
            source="Sundararajan et al., ICML 2017",
            passes=f"{STEPS} (F + B)",
            unit="logits a pixel",
        ),
        "occlusion": Method(
            occlusion,
            summary="how far the logit falls when a patch is hidden",
            source="Zeiler and Fergus, ECCV 2014",
            passes=f"{PATCHES + 1} F",
            unit="logits a patch",
        ),
        "grad-cam": Method(
            grad_cam,
            summary="a layer's features, each channel weighed by its mean gradient; ReLU",
            source="Selvaraju et al., ICCV 2017",
            passes="F + B from the layer",
            unit="logits a position where the head is linear",
        ),
        "grad-cam++": Method(
            grad_cam_plusplus,
            summary="the same, weighed by positive gradients, each place counting alike; ReLU",
            source="Chattopadhyay et al., WACV 2018",
            passes="F + B from the layer",
            unit="arbitrary",
        ),
        "hirescam": Method(
            hirescam,
            summary="a layer's features times their gradient, position by position",
            source="Draelos and Carin, 2020",
            passes="F + B from the layer",
            unit="logits a position",
        ),
        "xgrad-cam": Method(
            xgrad_cam,
            summary="channels weighed by their mean gradient where they are active",
            source="Fu et al., BMVC 2020",
            passes="F + B from the layer",
            unit="logits a position",
        ),
        "layer-cam": Method(
            layer_cam,
            summary="a layer's features times the positive part of their gradient; ReLU",
            source="Jiang et al., TIP 2021",
            passes="F + B from the layer",
            unit="logits a position",
        ),
        "finer-cam": Method(
            finer_cam,
            summary="Grad-CAM of the class less the classes most like it; ReLU",
            source="Zhang et al., CVPR 2025",
            passes="F + B from the layer",
            unit="logits a position where the head is linear",
        ),
        "score-cam": Method(
            score_cam,
            summary="channels weighed by the logit of the picture behind each of them; ReLU",
            source="Wang et al., CVPR workshops 2020",
            passes="(K + 1) F, K channels",
            unit="arbitrary",
        ),
        "ablation-cam": Method(
            ablation_cam,
            summary="channels weighed by what the logit loses without each of them; ReLU",
            source="Desai and Ramaswamy, WACV 2020",
            passes="F + K times the rest",
            unit="arbitrary",
        ),
        "eigen-cam": Method(
            eigen_cam,
            summary="where a layer's features are largest; the same for every class",
            source="Muhammad and Yeasin, IJCNN 2020",
            passes="F",
            unit="features",
        ),
        "smoothgrad": Method(
            smoothgrad,
            summary="the mean gradient of noisy copies of the picture",
            source="Smilkov et al., 2017",
            passes=f"{SAMPLES} (F + B)",
            unit="logits per unit of input",
        ),
        "smoothgrad-squared": Method(
            smoothgrad_squared,
            summary="the mean squared gradient of noisy copies of the picture",
            source="Hooker et al., NeurIPS 2019",
            passes=f"{SAMPLES} (F + B)",
            unit="arbitrary",
        ),
        "vargrad": Method(
            vargrad,
            summary="the variance of the gradient over noisy copies of the picture",
            source="Adebayo et al., ICLR workshop 2018",
            passes=f"{SAMPLES} (F + B)",
            unit="arbitrary",
        ),
        "fullgrad": Method(
            fullgrad,
            summary="the gradient times the pixels and times the biases of all layers, rescaled",
            source="Srinivas and Fleuret, NeurIPS 2019",
            passes="F + B",
            unit="arbitrary",
        ),
        "attention-rollout": Method(
            attention_rollout,
            summary="whom the token that is read attended to; the same for every class",
            source="Abnar and Zuidema, ACL 2020",
            passes="F",
            unit="share of what is read",
        ),
        "attention-relevance": Method(
            attention_relevance,
            summary="attention times its gradient, rolled out through all layers",
            source="Chefer et al., ICCV 2021",
            passes="F + B to the first attention",
            unit="arbitrary",
        ),
        "legrad": Method(
            legrad,
            summary="how the logit would rise with more attention, layer by layer",
            source="Bousselham et al., ICCV 2025",
            passes="F + B to the first attention",
            unit="logits per attention",
        ),
    }
)

# What `compare` takes if nothing is named: one of each kind, in minutes.
USUAL = (
    "cam",
    "deconvnet",
    "guided-backprop",
    "gradient",
    "gradient-x-input",
    "integrated-gradients",
    "occlusion",
)


def choose(names: Iterable[str] | None = None) -> dict[str, Method]:
    """The methods of these names, in this order; the usual ones if None.

    Raises:
        InputError: there is no such method, or none was named.
    """
    wanted = list(USUAL if names is None else names)
    for name in wanted or [""]:
        if name not in METHODS:
            raise InputError(
                f"method '{name}'",
                expected="the name of a method",
                got="an unknown one",
                fix=near_or(name, METHODS, f"choose from {', '.join(METHODS)}"),
            )
    return {name: METHODS[name] for name in wanted}
