"""Finer-CAM: Grad-CAM of what sets a class apart from the classes most like it."""

from __future__ import annotations

from functools import partial

from torch import Tensor, nn

from seewhy.errors import InputError, ModelError
from seewhy.methods.from_layers import Fuse, from_gradients
from seewhy.methods.grad_cam import weighed
from seewhy.methods.layers import Layers

REFERENCES, STRENGTH = 3, 0.6


def finer_cam(
    model: nn.Module,
    images: Tensor,
    classes: Tensor,
    *,
    references: int = REFERENCES,
    strength: float = STRENGTH,
    layers: Layers = None,
    fuse: Fuse = "mean",
    relu: bool = True,
) -> Tensor:
    """Grad-CAM of `logit[c] - strength * mean(logit[d])`, (B, H, W).

    The classes d are those whose logits for the picture are nearest to that of c. Where the head
    is linear, `explain(..., against=d)` shows the same for one class d at full strength, exactly.

    Args:
        model: any network that can be differentiated from its logits to the layer.
        images: prepared pictures (B, C, H, W).
        classes: ids (B,).
        references: how many classes to compare with; all others where there are fewer.
        strength: how much of their logits is taken away, gamma in the paper.
        layers: as for `grad_cam`.
        fuse: as for `grad_cam`.
        relu: set what speaks for the others to zero, as the paper has it; False keeps it.

    Raises:
        InputError, ClassError: pictures, classes, layers or options of the wrong form.
        ModelError: the model cannot be run or differentiated, has one class only, or the layer
            has no maps.

    Source:
        Zhang et al., Finer-CAM, CVPR 2025, section 3.
    """
    if references < 1:
        raise InputError("references", expected="1 or more", got=str(references), fix="pass 3, say")
    score = partial(_difference, references=references, strength=strength)
    return from_gradients(
        weighed, model, images, classes, layers=layers, fuse=fuse, relu=relu, score=score
    )


def _difference(logits: Tensor, classes: Tensor, references: int, strength: float) -> Tensor:
    if logits.shape[1] < 2:
        raise ModelError(
            "model",
            expected="two logits or more",
            got="one, which has no others to compare with",
            fix="use grad_cam",
        )
    own = logits.gather(1, classes[:, None])
    far = (logits.detach() - own.detach()).abs().scatter(1, classes[:, None], float("inf"))
    nearest = far.topk(min(references, logits.shape[1] - 1), largest=False).indices
    return own[:, 0] - strength * logits.gather(1, nearest).mean(1)
