from __future__ import annotations

import sys
from pathlib import Path

import pytest
from torch import nn

from seewhy.errors import ModelError
from seewhy.images import Preprocess
from seewhy.models.from_code import load
from seewhy.models.parts import Request

GOOD = """
from __future__ import annotations
from dataclasses import dataclass
from torch import nn

@dataclass
class Options:
    width: int = 3

class Net(nn.Linear):
    def __init__(self):
        super().__init__(Options().width, 2)

def make():
    return Net()

shared = nn.Linear(1, 1)
number = 3

def give_text():
    return "text"

def needs(width):
    return nn.Linear(width, 2)

def fail():
    return 1 / 0

def leave():
    raise SystemExit(2)
"""
REPAIR = "repair it; --debug shows the traceback"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "my nets.py"
    path.write_text(GOOD)
    return path


def loaded(spec: str) -> nn.Module:
    return load(Request(spec, spec)).module


def refusal(spec: str) -> str:
    with pytest.raises(ModelError) as caught:
        loaded(spec)
    return str(caught.value).removeprefix(f"model {spec}: expected ")


@pytest.mark.parametrize("function", ["make", "Net", "shared"])
def test_a_function_a_class_or_a_module_of_a_file_with_spaces(file: Path, function: str) -> None:
    assert isinstance(loaded(f"{file}:{function}"), nn.Linear)


def test_pictures_are_prepared_as_usual(file: Path) -> None:
    parts = load(Request("x", f"{file}:make"))
    assert parts.preprocess == Preprocess()
    assert parts.class_names is None


def test_a_relative_path(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(file.parent)
    assert isinstance(loaded("my nets.py:make"), nn.Linear)


def test_a_file_hides_no_other_module(tmp_path: Path) -> None:
    before = dict(sys.modules)
    for name in ("json.py", "torch.py", "my_json_net.py"):
        (tmp_path / name).write_text(GOOD)
        loaded(f"{tmp_path / name}:make")
    assert {name: sys.modules[name] for name in before} == before
    new = sys.modules.keys() - before.keys()
    assert len(new) == 3
    assert all(name.startswith("_seewhy_") for name in new)


def test_files_of_one_name_are_kept_apart(tmp_path: Path) -> None:
    for width in (1, 2):
        (tmp_path / str(width)).mkdir()
        text = f"from torch import nn\ndef make(): return nn.Linear({width}, 1)"
        (tmp_path / str(width) / "net.py").write_text(text)
    nets = [loaded(f"{tmp_path / str(width) / 'net.py'}:make") for width in (1, 2)]
    assert [net.in_features for net in nets] == [1, 2]


def test_an_edited_file_is_read_anew(tmp_path: Path) -> None:
    path = tmp_path / "net.py"
    for width in (1, 22):
        path.write_text(f"from torch import nn\ndef make(): return nn.Linear({width}, 1)")
        assert loaded(f"{path}:make").in_features == width


def test_a_file_may_import_its_neighbour_and_the_path_is_left_as_it_was(tmp_path: Path) -> None:
    (tmp_path / "seewhy_test_layers.py").write_text(GOOD)
    path = tmp_path / "net.py"
    path.write_text("from seewhy_test_layers import make")
    before = list(sys.path)
    assert isinstance(loaded(f"{path}:make"), nn.Linear)
    assert sys.path == before


def test_a_folder_that_is_on_the_path_stays_there(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(file.parent)
    before = list(sys.path)
    loaded(f"{file}:make")
    assert sys.path == before


def test_a_module_of_the_current_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "seewhy_test_package").mkdir()
    (tmp_path / "seewhy_test_package" / "nets.py").write_text(GOOD)
    monkeypatch.chdir(tmp_path)
    assert isinstance(loaded("seewhy_test_package.nets:make"), nn.Linear)


@pytest.mark.parametrize(
    ("function", "text"),
    [
        ("mke", "a function 'mke', got none of that name; did you mean make?"),
        ("zzzz", "a function 'zzzz', got none of that name; check the name"),
        ("number", "a function 'number', got int; check the name"),
        ("give_text", "a function that returns an nn.Module, got str; check the name"),
        (
            "needs",
            "a function that runs without arguments, got TypeError: needs() missing 1 required "
            f"positional argument: 'width'; {REPAIR}",
        ),
        (
            "fail",
            "a function that runs without arguments, got ZeroDivisionError: division by zero "
            f"(line 27); {REPAIR}",
        ),
        (
            "leave",
            f"a function that runs without arguments, got SystemExit: 2 (line 30); {REPAIR}",
        ),
    ],
)
def test_a_function_that_cannot_be_used(file: Path, function: str, text: str) -> None:
    assert refusal(f"{file}:{function}") == text


@pytest.mark.parametrize(
    ("content", "got"),
    [
        ("x = 1\nraise ValueError('no\\nway')", "ValueError: no (line 2)"),
        ("import seewhy_no_such_module", "ModuleNotFoundError: No module named"),
        ("def make(:", "SyntaxError: invalid syntax (net.py, line 1)"),
        ("raise SystemExit", "SystemExit (line 1)"),
    ],
)
def test_a_file_that_does_not_import(tmp_path: Path, content: str, got: str) -> None:
    path = tmp_path / "net.py"
    path.write_text(content)
    before = set(sys.modules)
    text = refusal(f"{path}:make")
    assert text.startswith(f"a file that imports, got {got}")
    assert text.endswith(f"; {REPAIR}")
    assert set(sys.modules) == before


def test_a_file_that_is_not_there(file: Path) -> None:
    near = "a Python file, got none there; did you mean my nets.py?"
    assert refusal(f"{file.parent / 'mynets.py'}:make") == near
    assert refusal("no/such/folder/x.py:make") == "a Python file, got none there; check the name"


@pytest.mark.parametrize(
    ("spec", "fix"),
    [
        ("tim:resnet18", "did you mean timm?"),
        ("touchvision:resnet18", "did you mean torchvision?"),
        ("seewhy_no_such.nets:make", "check its name and where you run this"),
        ("seewhy.no_such:make", "check its name and where you run this"),
    ],
)
def test_a_module_that_is_not_there(spec: str, fix: str) -> None:
    text = refusal(spec)
    assert text.startswith("a module that imports, got ModuleNotFoundError: No module named '")
    assert text.endswith(f"; {fix}")


def test_a_module_that_fails_to_import(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "seewhy_test_broken.py").write_text("import seewhy_absent")
    monkeypatch.chdir(tmp_path)
    got = "got ModuleNotFoundError: No module named 'seewhy_absent'"
    assert refusal("seewhy_test_broken:make") == f"a module that imports, {got}; {REPAIR}"
