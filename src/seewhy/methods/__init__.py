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
from seewhy.methods.cam import cam
from seewhy.methods.deconvnet import deconvnet
from seewhy.methods.gradient import gradient, gradient_x_input
from seewhy.methods.guided_backprop import guided_backprop
from seewhy.methods.integrated_gradients import STEPS, integrated_gradients
from seewhy.methods.method import MapFunction, Method
from seewhy.methods.occlusion import PATCHES, occlusion
from seewhy.wording import near_or

__all__ = [
    "METHODS",
    "MapFunction",
    "Method",
    "cam",
    "choose",
    "deconvnet",
    "gradient",
    "gradient_x_input",
    "guided_backprop",
    "integrated_gradients",
    "occlusion",
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
    }
)


def choose(names: Iterable[str] | None = None) -> dict[str, Method]:
    """The methods of these names, in this order; all of them if None.

    Raises:
        InputError: there is no such method, or none was named.
    """
    wanted = list(METHODS if names is None else names)
    for name in wanted or [""]:
        if name not in METHODS:
            raise InputError(
                f"method '{name}'",
                expected=f"one of {', '.join(METHODS)}",
                got="none of these",
                fix=near_or(name, METHODS, "choose from that list"),
            )
    return {name: METHODS[name] for name in wanted}
