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
    AuditError,
    CertificateError,
    ClassError,
    DataError,
    FileError,
    GraftError,
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
    from seewhy.audit import Audit, open_audit
    from seewhy.comparison import Comparison
    from seewhy.comparison.compare import compare
    from seewhy.datasets import Dataset, load_dataset
    from seewhy.embeddings import Similarity, explain_similarity, explain_text
    from seewhy.explainer import explain
    from seewhy.explanation import Explanation
    from seewhy.figures.figure import Figure
    from seewhy.figures.make import figure
    from seewhy.geometry import Geometry
    from seewhy.heads import Head, find_head
    from seewhy.judging.faithfulness import faithfulness
    from seewhy.judging.randomisation import Randomisation, randomisation_test
    from seewhy.judging.result import Faithfulness
    from seewhy.models import Classifier, load_model
    from seewhy.models.cost import Cost, cost
    from seewhy.models.folder import save_model
    from seewhy.models.gap_account import GapAccount
    from seewhy.models.to_gap import GapNet, to_gap
    from seewhy.preprocess import Preprocess
    from seewhy.refinement import Refined, refine
    from seewhy.regions import Region, locate
    from seewhy.sequences import render_sequence
    from seewhy.training import Recipe, train
    from seewhy.training.evaluate import evaluate
    from seewhy.volumes import render_volume

__all__ = [
    "Attached",
    "AttachedModule",
    "Audit",
    "AuditError",
    "CertificateError",
    "ClassError",
    "Classifier",
    "Comparison",
    "Cost",
    "DataError",
    "Dataset",
    "Explanation",
    "Faithfulness",
    "Figure",
    "FileError",
    "GapAccount",
    "GapNet",
    "Geometry",
    "GraftError",
    "Head",
    "HeadNotFound",
    "ImageError",
    "InputError",
    "MissingExtraError",
    "ModelError",
    "Preprocess",
    "Randomisation",
    "Recipe",
    "Refined",
    "Region",
    "SeewhyError",
    "Similarity",
    "TrainingError",
    "WeightsError",
    "__version__",
    "attach",
    "compare",
    "cost",
    "evaluate",
    "explain",
    "explain_similarity",
    "explain_text",
    "faithfulness",
    "figure",
    "find_head",
    "load_dataset",
    "load_model",
    "locate",
    "open_audit",
    "randomisation_test",
    "refine",
    "render_sequence",
    "render_volume",
    "save_model",
    "to_gap",
    "train",
]

_MODULES = {
    "Attached": "attachment",
    "AttachedModule": "attachment",
    "Audit": "audit",
    "Classifier": "models",
    "Comparison": "comparison",
    "Cost": "models.cost",
    "Dataset": "datasets",
    "Explanation": "explanation",
    "Faithfulness": "judging.result",
    "Figure": "figures.figure",
    "GapAccount": "models.gap_account",
    "GapNet": "models.to_gap",
    "Geometry": "geometry",
    "Head": "heads",
    "Preprocess": "preprocess",
    "Randomisation": "judging.randomisation",
    "Recipe": "training",
    "Refined": "refinement",
    "Region": "regions",
    "Similarity": "embeddings",
    "attach": "attachment",
    "compare": "comparison",
    "cost": "models.cost",
    "evaluate": "training",
    "explain": "explainer",
    "explain_similarity": "embeddings",
    "explain_text": "embeddings",
    "faithfulness": "judging.faithfulness",
    "figure": "figures.make",
    "find_head": "heads",
    "load_dataset": "datasets",
    "load_model": "models",
    "locate": "regions",
    "open_audit": "audit",
    "randomisation_test": "judging.randomisation",
    "refine": "refinement",
    "render_sequence": "sequences",
    "render_volume": "volumes",
    "save_model": "models.folder",
    "to_gap": "models.to_gap",
    "train": "training",
}


def __getattr__(name: str) -> object:
    if name not in _MODULES:
        raise AttributeError(f"module 'seewhy' has no attribute {name!r}")
    value = getattr(importlib.import_module(f"seewhy.{_MODULES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
