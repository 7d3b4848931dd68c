"""The public interface: which names there are, and what importing them costs."""

from __future__ import annotations

import subprocess
import sys

import pytest

import seewhy

PUBLIC = {
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
}
HEAVY = ("torch", "numpy", "PIL", "matplotlib", "safetensors", "timm", "torchvision")


def run(code: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120
    )
    return done.stdout.strip()


def test_the_public_names() -> None:
    assert set(seewhy.__all__) == PUBLIC
    assert dir(seewhy) == sorted(PUBLIC)


@pytest.mark.parametrize("name", sorted(PUBLIC - {"__version__"}))
def test_every_name_is_there_and_documented(name: str) -> None:
    value = getattr(seewhy, name)
    assert value.__name__ == name
    assert value.__doc__
    assert value.__module__.startswith("seewhy.")


def test_every_lazy_name_is_public() -> None:
    assert set(seewhy._MODULES) <= PUBLIC


def test_a_name_that_is_not_there() -> None:
    with pytest.raises(AttributeError, match="module 'seewhy' has no attribute 'explian'"):
        seewhy.explian  # noqa: B018  (the look-up is the test)


@pytest.mark.parametrize(
    "code",
    [
        "import seewhy; seewhy.HeadNotFound; dir(seewhy)",
        "import contextlib, seewhy.cli\n"
        "with contextlib.suppress(SystemExit): seewhy.cli.main(['--help'])",
    ],
    ids=["import seewhy", "seewhy --help"],
)
def test_what_is_light_loads_nothing_heavy(code: str) -> None:
    said = run(f"import sys\n{code}\nprint('loaded:', *(m for m in {HEAVY} if m in sys.modules))")
    assert said.splitlines()[-1] == "loaded:"


def test_what_is_drawn_and_stored_loads_no_torch() -> None:
    code = (
        "import sys, seewhy.results, seewhy.images, seewhy.render, seewhy.report, seewhy.geometry"
        ", seewhy.figures.draw, seewhy.figures.save, seewhy.datasets, seewhy.metrics.localisation"
        ", seewhy.sequences, seewhy.volumes, seewhy.localize, seewhy.regions, seewhy.box_files"
        ", seewhy.metrics.boxes, seewhy.metrics.box_accuracy, seewhy.metrics.pixels"
        ", seewhy.gate.check, seewhy.gate.junit, seewhy.gate.page, seewhy.units.shares"
    )
    assert run(f"{code}\nprint('torch' in sys.modules)") == "False"


def test_a_star_import_gives_every_name() -> None:
    assert run("from seewhy import *; print(explain.__name__, Geometry.__name__)") == (
        "explain Geometry"
    )
