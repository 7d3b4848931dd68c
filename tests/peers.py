"""Let `import torchvision` and `import timm` work beside a CPU build of torch.

torchvision's compiled operators come from a build against one torch; beside another they do not
load, and its import then stops at the first operator whose *name* it cannot find. No classifier
calls one, so declaring the names is enough. The package itself never does this: on a user's machine
a matching pair is installed.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import torch

# What `import torchvision` (0.21 to 0.28) looks up by name; the signatures are never used.
_WITH_BACKWARD = ("roi_align", "roi_pool", "ps_roi_align", "ps_roi_pool", "deform_conv2d")
_BACKWARD = tuple(f"_{name}_backward" for name in _WITH_BACKWARD)
OPERATORS = ("nms", "qnms", "qroi_align", "box_iou_rotated", *_WITH_BACKWARD, *_BACKWARD)

_torch: Any = torch  # torch's library functions carry no types
_libraries: list[Any] = []  # a declaration lives as long as its library


def register_torchvision_schemas() -> bool:
    """Declare torchvision's operators, unless they are there, load, or it is not installed.

    Returns:
        True if the names had to be declared by this call.
    """
    spec = importlib.util.find_spec("torchvision")
    if spec is None or spec.origin is None:
        return False
    if hasattr(_torch.ops.torchvision, "nms") or _loads(Path(spec.origin).parent):
        return False
    library = _torch.library.Library("torchvision", "DEF")
    for name in OPERATORS:
        library.define(f"{name}(Tensor x) -> Tensor")
    _libraries.append(library)
    return True


def _loads(package: Path) -> bool:
    for extension in package.glob("_C*"):
        try:
            _torch.ops.load_library(str(extension))
        except (ImportError, OSError):
            continue
        return True
    return False
