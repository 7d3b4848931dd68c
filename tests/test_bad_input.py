"""Whatever a user may do wrong, the line that answers it, and the exit code; one table, one test.

The table also holds what looks wrong and has to work. Everything goes through `seewhy.cli.main`,
the entry point, in a folder of materials; a few more cases, where the process itself matters, run
in one of their own in `tests/cli/test_process.py`.
"""

from __future__ import annotations

import resource
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.cli.materials import lay_out

from seewhy.cli import main
from seewhy.models.folder import shipped
from seewhy.models.nets import NETS

NET = ("--model", "nets.py:make", "--size", "32")
GOOD = ("explain", "good.jpg", *NET)
NAMED = (*GOOD, "--class-names", "names.txt")
SEE_HELP = "; see --help for what can be passed"
FORMS = (
    "efficientnet-lite0, efficientnet-lite1, efficientnet-lite2, "
    f"{', '.join([*NETS, *shipped()])}, "
    "timm:NAME, torchvision:NAME, hf:NAME, package.module:function, file.py:function or a folder "
    "with model.json"
)
SAVE = "; save model.state_dict(), best with safetensors.torch.save_file"
KNOWN = "; choose a class that the model has, by name or id"


@dataclass(frozen=True)
class Case:
    """What is typed, the exit code, and the line on stderr: all of it, or the part before "...".

    Attributes:
        typed: the arguments.
        line: what is said; "" for nothing.
        code: the exit code.
        room: bytes that a file may grow to before the disk is full, if it is to be.
    """

    typed: tuple[str, ...]
    line: str
    code: int = 2
    room: int | None = None


def picture(name: str, line: str = "", code: int | None = None) -> Case:
    return Case(("explain", name, *NET), line, (1 if line else 0) if code is None else code)


def net(function: str, line: str, *more: str, code: int = 2) -> Case:
    return Case(("explain", "good.jpg", "--size", "32", "--model", function, *more), line, code)


def folder(name: str, line: str, code: int = 2) -> Case:
    return Case(("explain", "good.jpg", "--model", f"runs/{name}"), line, code)


def option(*typed: str, line: str) -> Case:
    return Case((*GOOD, *typed), line)


def weights(name: str, line: str) -> Case:
    return option("--weights", name, line=f"weights {name}: {line}")


CASES = {
    # Pictures that are odd, and must work.
    "cmyk": picture("cmyk.jpg"),
    "palette": picture("palette.gif"),
    "grey with alpha": picture("alpha.png"),
    "16 bit": picture("sixteen.png"),
    "turned by EXIF": picture("turned.jpg"),
    "1 x 1": picture("dot.png"),
    "20000 wide": picture("wide.png"),
    "animated": picture("moving.gif"),
    "without suffix": picture("no-suffix"),
    "odd name": picture("with space, and\nline break \u2603.png"),
    # Pictures that are none.
    "half a jpeg": picture(
        "half.jpg",
        "half.jpg: expected a picture, got a damaged one (image file is truncated ...",
    ),
    "half a png": picture(
        "half.png",
        "half.png: expected a picture, got a damaged one (image file is truncated); save or "
        "download it again",
    ),
    "signature only": picture(
        "head.jpg",
        "head.jpg: expected a picture, got a damaged one (nothing after its signature); save or "
        "download it again",
    ),
    "text": picture(
        "letter.jpg",
        "letter.jpg: expected a picture, got text that begins 'Dear model, why?'; check where it "
        "came from",
    ),
    "svg": picture(
        "page.svg",
        "page.svg: expected a picture, got text that begins '<svg></svg>'; check where it came "
        "from",
    ),
    "empty file": picture(
        "nothing.jpg",
        "nothing.jpg: expected a picture, got an empty file; save or download it again",
    ),
    "noise": picture(
        "noise.jpg",
        "noise.jpg: expected a picture, got bytes of no known format; convert it to one of ...",
    ),
    "decompression bomb": picture(
        "bomb.png",
        "bomb.png: expected 1 to 200,000,000 pixels, got 60,000 x 60,000; make it smaller, or "
        "raise max_pixels",
    ),
    "temperatures": picture(
        "kelvin.tif",
        "kelvin.tif: expected values between 0 and 1, got 400 to 400; scale it to this range first",
    ),
    "broken in json": Case(
        ("explain", "letter.jpg", *NET, "--json"),
        "letter.jpg: expected a picture, got text that begins 'Dear model, why?'; check where it "
        "came from",
        1,
    ),
    # Nothing to look at.
    "missing": picture(
        "missing.jpg", "missing.jpg: expected pictures, got nothing there; check the path", 2
    ),
    "empty folder": picture(
        "empty", "empty: expected pictures, got a folder without any; check the path", 2
    ),
    "glob without match": picture(
        "*.webp", "*.webp: expected pictures, got nothing there; check the path", 2
    ),
    "one of two missing": Case(
        (*GOOD, "mising.jpg"),
        "mising.jpg: expected pictures, got nothing there; check the path",
    ),
    "a device": picture(
        "/dev/zero", "/dev/zero: expected pictures, got nothing there; check the path", 2
    ),
    "no picture": Case(("explain", *NET), f"Missing argument 'PICTURE|FOLDER|GLOB'{SEE_HELP}"),
    # Models.
    "unknown model": net(
        "resnet18",
        f"model 'resnet18': expected {FORMS}, got none of these; did you mean ...",
    ),
    "no model": net(
        "", f"model '': expected {FORMS}, got none of these; for a network of timm write timm:NAME"
    ),
    "no such variant": net(
        "efficientnet-lite9",
        f"model 'efficientnet-lite9': expected {FORMS}, got none of these; did you mean ...",
    ),
    "no such file": net(
        "net.py:make",
        "model net.py:make: expected a Python file, got none there; did you mean nets.py?",
    ),
    "no such function": net(
        "nets.py:mak",
        "model nets.py:mak: expected a function 'mak', got none of that name; did you mean make?",
    ),
    "no such module": net(
        "nowhere.nets:make",
        "model nowhere.nets:make: expected a module that imports, got ModuleNotFoundError: ...",
    ),
    "function that fails": net(
        "nets.py:broken",
        "model nets.py:broken: expected a function that runs without arguments, got RuntimeError: "
        "no such layer (line 49); repair it; --debug shows the traceback",
    ),
    "function of text": net(
        "nets.py:text",
        "model nets.py:text: expected a function that returns an nn.Module, got str; check the "
        "name",
    ),
    "no function": net(
        "nets.py:number",
        "model nets.py:number: expected a function 'number', got int; check the name",
    ),
    "nan inside": net(
        "nets.py:nan",
        "Sequential: expected a head of kind linear, class-maps, normalised, pooled, "
        "first-order, none, got its head gives logits that are not finite (NaN or infinite); "
        "check weights and input for NaN",
    ),
    "no head": net(
        "nets.py:no_features",
        "Sequential: expected a head of kind linear, class-maps, normalised, pooled, "
        "first-order, none, got its head flattens the grid...",
    ),
    "no head, inspected": Case(
        ("inspect", "nets.py:no_features", "--size", "32"),
        "Sequential: expected a head of kind linear, class-maps, normalised, pooled, "
        "first-order, none, got its head flattens the grid...",
        1,
    ),
    "scripted": net(
        "nets.py:scripted",
        "TopLevelTracedModule: expected an eager nn.Module, got a scripted one, in which no "
        "feature maps can be picked up; pass the module that was scripted",
    ),
    "nothing useful": net(
        "nets.py:Useless",
        "Useless: expected a head of kind linear, class-maps, normalised, pooled, "
        "first-order, none, got ...",
    ),
    "takes grey": net(
        "nets.py:Grey",
        "model nets.py:Grey: expected a network that takes pictures of 3 x 32 x 32, got "
        "RuntimeError: ...",
    ),
    "takes grey, told so": net("nets.py:Grey", "", "--mean", "0.5", "--std", "0.5", code=0),
    # Weights.
    "missing weights": weights(
        "missing.pth", "expected a file, got no such file or directory; check the path"
    ),
    "folder of weights": weights("empty", "expected a file, got a folder; check the path"),
    "text as weights": weights(
        "text.pth",
        "expected a safetensors file or a checkpoint of tensors only, got a damaged file or one "
        f"of another kind{SAVE}",
    ),
    "damaged weights": weights(
        "damaged.safetensors",
        "expected a safetensors file or a checkpoint of tensors only, got SafetensorError: ...",
    ),
    "weights that run code": weights(
        "evil.pth",
        "expected a safetensors file or a checkpoint of tensors only, got a pickle that would run "
        f"print{SAVE}",
    ),
    "another model's weights": weights(
        "another.safetensors",
        "expected the 4 tensors of nets.py:make, got missing: 0.weight, 0.bias, 4.weight and 1 "
        "more; unexpected: other.weight; check that the file belongs to this model",
    ),
    "weights of five classes": weights(
        "five.safetensors",
        "expected the 4 tensors of nets.py:make, got wrong shape: 4.weight (5, 8) for (3, 8), "
        "4.bias (5,) for (3,); pass num_classes=5",
    ),
    "nan weights": weights(
        "nan.safetensors",
        "expected finite numbers, got NaN or infinity in 4.bias; take a checkpoint from before the "
        "training diverged",
    ),
    # Model folders.
    "a model folder": folder("good", "", code=0),
    "no such model folder": folder(
        "god",
        "model runs/god: expected a folder with model.json, as `seewhy train` writes it, got no "
        "such folder; did you mean good?",
    ),
    "model folder without weights": folder(
        "no-weights",
        "weights runs/no-weights/model.safetensors: expected a file, got no such file or "
        "directory; check the path",
    ),
    "damaged model.json": folder(
        "damaged", "model runs/damaged/model.json: expected JSON, got JSONDecodeError: ..."
    ),
    "model.json of a later version": folder(
        "later",
        "model runs/later/model.json: expected version 1, got version 2; update seewhy, or save "
        "the model with this version",
    ),
    "model folder with other weights": folder(
        "wide",
        "weights runs/wide/model.safetensors: expected the 4 tensors of nets.py:make (in "
        "runs/wide/model.json), got unexpected: 5.bias, 5.weight; check that the file belongs to "
        "this model",
    ),
    "model folder with nan": folder(
        "nan",
        "weights runs/nan/model.safetensors: expected finite numbers, got NaN or infinity in "
        "4.bias; take a checkpoint from before the training diverged",
    ),
    "a net without weights": net("nin", "model nin: expected weights, which this net has none ..."),
    # Classes.
    "class too high": option(
        "--classes",
        "3",
        line="class 3: expected an id from 0 to 2, got 3; choose a class that the model has",
    ),
    "class below zero": option(
        "--classes=-1",
        line="class -1: expected an id from 0 to 2, got -1; choose a class that the model has",
    ),
    "name without names": option(
        "--classes",
        "cat",
        line="class 'cat': expected an id, got an unknown name; choose one by its id",
    ),
    "unknown name": Case(
        (*NAMED, "--classes", "dog,bird"),
        f"class 'bird': expected one of the model's 3 classes, got an unknown name{KNOWN}",
    ),
    "ambiguous name": Case(
        (*NAMED, "--classes", "ca"),
        "class 'ca': expected one of the model's 3 classes, got 2: cat (0), catfish (2); choose "
        "one by its id",
    ),
    "top none": Case(
        (*NAMED, "--classes", "top0"),
        f"class 'top0': expected one of the model's 3 classes, got an unknown name{KNOWN}",
    ),
    "no class": option(
        "--classes", " , ", line='classes: expected at least one, got none; try "top5"'
    ),
    "against nobody": Case(
        (*NAMED, "--against", "bird"),
        f"class 'bird': expected one of the model's 3 classes, got an unknown name{KNOWN}",
    ),
    "too few names": option(
        "--class-names",
        "two.txt",
        line="class_names: expected 3, as many as nets.py:make has logits, got 2; pass the weights "
        "of a network with that many classes, or drop the option",
    ),
    "empty name": option(
        "--class-names",
        "gap.txt",
        line="class_names gap.txt: expected one name a class, none of them empty, got an empty "
        "line or something that is no text; write one name a line, in the order of the model's "
        "logits",
    ),
    "names in latin-1": option(
        "--class-names",
        "latin.txt",
        line="class_names latin.txt: expected a UTF-8 text file with one name a line, got "
        "UnicodeDecodeError: ...",
    ),
    # Options.
    "unknown command": Case(("sparkle",), f"No such command 'sparkle'{SEE_HELP}"),
    "unknown option": option("--colour", "red", line="No such option: --colour..."),
    "batch of none": option("--batch-size", "0", line="Invalid value for '--batch-size': ..."),
    "batch of many": option("--batch-size", "many", line="Invalid value for '--batch-size': ..."),
    "unknown style": option(
        "--style",
        "loud",
        line="Invalid value for '--style': 'loud' is not one of 'positive', 'signed'" + SEE_HELP,
    ),
    "unknown scale": option(
        "--scale",
        "both",
        line="Invalid value for '--scale': 'both' is not one of 'picture', 'all'" + SEE_HELP,
    ),
    "size in words": option(
        "--size",
        "big",
        line="--size: expected pixels, as in 224 or 320x240, got 'big'; write it so",
    ),
    "size of nothing": option(
        "--size",
        "0",
        line="preprocess: size: expected (width, height) above 0, got (0, 0); pass another size",
    ),
    "mean of two": option(
        "--mean",
        "0.5,0.5",
        line="preprocess: mean: expected 1 or 3 finite numbers, got (0.5, 0.5); pass another mean",
    ),
    "mean in words": option(
        "--mean",
        "grey",
        line="--mean: expected one number a channel, as in 0.5,0.5,0.5, got 'grey'; write numbers "
        "with commas between them",
    ),
    "std of zero": option(
        "--std",
        "0,1,1",
        line="preprocess: std: expected 3 finite numbers above 0, got (0.0, 1.0, 1.0); pass "
        "another std",
    ),
    "crop of two": option(
        "--crop",
        "2",
        line="preprocess: crop: expected a share above 0, at most 1, got 2.0; pass another crop",
    ),
    "unknown mode": option(
        "--mode",
        "fit",
        line="preprocess: mode: expected 'crop' or 'squash' or 'pad', got 'fit'; pass another mode",
    ),
    "unknown interpolation": option(
        "--interpolation",
        "best",
        line="preprocess: interpolation: expected 'bilinear' or 'bicubic' or 'nearest' or "
        "'lanczos', got 'best'; pass another interpolation",
    ),
    "unknown device": option(
        "--device",
        "toaster",
        line="device: expected one that this machine has: ...",
    ),
    "absent device": option(
        "--device", "cuda:77", line="device: expected one that this machine has: ..."
    ),
    # Where the results go.
    "out is a file": option(
        "--out",
        "good.jpg",
        line="good.jpg: expected a folder to write to, got a file; choose another folder, or make "
        "room in this one",
    ),
    "out below a file": option(
        "--out",
        "good.jpg/maps",
        line="good.jpg/maps: expected a folder to write to, got the system's error 'not a "
        "directory'; choose another folder, or make room in this one",
    ),
    "out not writable": option(
        "--out",
        "/proc/maps-of-mine",
        line="/proc/maps-of-mine: expected a folder to write to, got the system's error ...",
    ),
    "full disk": Case(
        (*GOOD, "--out", "full"),
        "full/good.1.jpg: expected a file that can be written, got the system's error 'file too "
        "large'; check the folder, its permissions and the space left",
        room=1000,
    ),
    "full disk, report": Case(
        ("explain", "dot.png", *NET, "--html", "--out", "nearly-full"),
        "nearly-full/report.html: expected a file that can be written, got the system's error "
        "'file too large'; check the folder, its permissions and the space left",
        room=20_000,
    ),
    "demo into a file": Case(
        ("demo", "--out", "good.jpg"),
        "good.jpg: expected a folder to write to, got a file; choose another folder, or make room "
        "in this one",
    ),
    "demo of what": Case(("demo", "extra"), f"Got unexpected extra argument(s) (extra){SEE_HELP}"),
    "inspect a text": Case(
        ("inspect", "nets.py:make", "--size", "32", "--picture", "letter.jpg"),
        "letter.jpg: expected a picture, got text that begins 'Dear model, why?'; check where it "
        "came from",
    ),
}


@pytest.fixture(scope="module")
def materials(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return lay_out(tmp_path_factory.mktemp("bad-input"))


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_bad_input_gets_one_line_and_the_right_exit_code(
    case: Case,
    materials: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(materials)
    with room_for(case.room):
        code = main(case.typed)
    said = capsys.readouterr()
    assert (code, said.err.count("\n")) == (case.code, 1 if case.line else 0), said.err
    if case.line.endswith("..."):
        assert said.err.startswith(f"seewhy: {case.line[:-3]}")
    elif case.line:
        assert said.err == f"seewhy: {case.line}\n"
    assert not said.out or code != 2 or case.room
    assert not list(materials.rglob("*.part"))


def test_there_are_enough_cases() -> None:
    assert len(CASES) >= 40


@contextmanager
def room_for(size: int | None) -> Iterator[None]:
    """Let the system refuse every file to grow beyond a size, as a full disk does."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, limits if size is None else (size, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
