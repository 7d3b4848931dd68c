"""seewhy: why an image classifier decided, exactly, on every image.

    import seewhy

    model = seewhy.load_model("efficientnet-lite0")
    result = seewhy.explain(model, "cat.jpg", classes="top5")
    result.maps          # evidence in logits, (pictures, classes, height, width)
    result.certificate   # how far evidence + bias is from the logit: rounding, no more

The names below are the public interface. They are imported when they are first used, so that
`import seewhy` loads no torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from seewhy._version import __version__
from seewhy.errors import (
    CertificateError,
    ClassError,
    DataError,
    FileError,
    HeadNotFound,
    ImageError,
    InputError,
    MissingExtraError,
    ModelError,
    SeewhyError,
    TrainingError,
    WeightsError,
)

if TYPE_CHECKING:
    from seewhy.attachment import Attached, AttachedModule, attach
    from seewhy.explainer import explain
    from seewhy.explanation import Explanation
    from seewhy.geometry import Geometry
    from seewhy.heads import Head, find_head
    from seewhy.models import Classifier, load_model
    from seewhy.preprocess import Preprocess

__all__ = [
    "Attached",
    "AttachedModule",
    "CertificateError",
    "ClassError",
    "Classifier",
    "DataError",
    "Explanation",
    "FileError",
    "Geometry",
    "Head",
    "HeadNotFound",
    "ImageError",
    "InputError",
    "MissingExtraError",
    "ModelError",
    "Preprocess",
    "SeewhyError",
    "TrainingError",
    "WeightsError",
    "__version__",
    "attach",
    "explain",
    "find_head",
    "load_model",
]

_MODULES = {
    "Attached": "attachment",
    "AttachedModule": "attachment",
    "Classifier": "models",
    "Explanation": "explanation",
    "Geometry": "geometry",
    "Head": "heads",
    "Preprocess": "preprocess",
    "attach": "attachment",
    "explain": "explainer",
    "find_head": "heads",
    "load_model": "models",
}


def __getattr__(name: str) -> object:
    if name not in _MODULES:
        raise AttributeError(f"module 'seewhy' has no attribute {name!r}")
    value = getattr(importlib.import_module(f"seewhy.{_MODULES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
