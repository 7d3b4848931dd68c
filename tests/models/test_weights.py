from __future__ import annotations

import os
import pickle
import re
import warnings
from typing import TYPE_CHECKING, Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from seewhy.errors import FileError, WeightsError
from seewhy.models.weights import fit, read_weights

if TYPE_CHECKING:
    from pathlib import Path

FIX = "save model.state_dict(), best with safetensors.torch.save_file"
WANTED = "expected a safetensors file or a checkpoint of tensors only"


def net() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(4, 2))


STATE: dict[str, Tensor] = net().state_dict()


def saved(path: Path, document: object) -> Path:
    torch.save(document, path)
    return path


def fitted(state: dict[str, Tensor]) -> dict[str, Tensor]:
    module = net()
    for parameter in module.parameters():
        nn.init.zeros_(parameter)
    fit(module, state, path="best.pt", model="mine")
    return module.state_dict()


def equal(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


class Bomb:
    """A pickle that makes a folder when it is loaded."""

    def __init__(self, victim: Path) -> None:
        self.victim = victim

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.victim),)


# Reading


@pytest.mark.parametrize("name", ["w.safetensors", "w.bin", "no suffix"])
def test_safetensors_are_known_by_content(tmp_path: Path, name: str) -> None:
    save_file(STATE, tmp_path / name)
    assert equal(read_weights(tmp_path / name), STATE)


@pytest.mark.parametrize(
    "wrap",
    [
        lambda state: state,
        lambda state: {"state_dict": state, "epoch": 3, "optimizer": {"lr": 0.1}},
        lambda state: {"model": state},
        lambda state: {"model_state_dict": state, "loss": torch.tensor(1.0)},
        lambda state: {"state_dict": {"model": state}},
        lambda state: {"state_dict": {"x": torch.zeros(1)}, "state_dict_ema": state},
    ],
    ids=["bare", "state_dict", "model", "model_state_dict", "twice", "average first"],
)
def test_checkpoints_are_unwrapped(tmp_path: Path, wrap: Any) -> None:
    assert equal(read_weights(saved(tmp_path / "w.pt", wrap(STATE))), STATE)


def test_a_module_called_model_is_not_taken_for_a_wrapper(tmp_path: Path) -> None:
    state = {f"model.{name}": tensor for name, tensor in STATE.items()}
    assert equal(read_weights(saved(tmp_path / "w.pt", state)), state)


def test_the_old_file_format_is_read(tmp_path: Path) -> None:
    torch.save(STATE, tmp_path / "w.pth", _use_new_zipfile_serialization=False)
    assert equal(read_weights(tmp_path / "w.pth"), STATE)


def test_a_pickle_that_would_run_code_is_refused_and_does_not_run(tmp_path: Path) -> None:
    path, victim = tmp_path / "w.pt", tmp_path / "victim"
    saved(path, {"state_dict": STATE, "extra": Bomb(victim)})
    with pytest.raises(WeightsError) as caught:
        read_weights(path)
    got = f"got a pickle that would run {os.mkdir.__module__}.mkdir"
    assert str(caught.value) == f"weights {path}: {WANTED}, {got}; {FIX}"
    assert not victim.exists()


def test_a_bare_pickle_that_would_run_code_does_not_run(tmp_path: Path) -> None:
    path, victim = tmp_path / "w.pt", tmp_path / "victim"
    path.write_bytes(pickle.dumps(Bomb(victim), protocol=2))
    with pytest.raises(WeightsError, match=re.escape(FIX)):
        read_weights(path)
    assert not victim.exists()


def test_a_whole_module_is_refused(tmp_path: Path) -> None:
    path = saved(tmp_path / "w.pt", net())
    with pytest.raises(WeightsError, match=r"got a pickle that would run torch\.nn\.\S+Sequential"):
        read_weights(path)


def truncated() -> bytes:
    import io

    buffer = io.BytesIO()
    torch.save(STATE, buffer)
    return buffer.getvalue()[:-200]


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"x",
        b"not a checkpoint at all",
        b"PK\x03\x04 not really",
        b"\x80\x02}q",
        (99).to_bytes(8, "little") + b"{ too short",
        (2**62).to_bytes(8, "little") + b"{}",
        bytes(range(256)) * 9,
        truncated(),
    ],
    ids=["empty", "x", "text", "zip", "pickle", "short", "huge header", "noise", "truncated"],
)
def test_damaged_files_are_one_line(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "w.pt"
    path.write_bytes(content)
    with pytest.raises(WeightsError) as caught:
        read_weights(path)
    text = str(caught.value)
    assert text.startswith(f"weights {path}: {WANTED}, got ")
    assert text.endswith(f"; {FIX}")
    assert "\n" not in text
    assert len(text) < 400 + len(str(path))


def test_a_scripted_network_is_called_so(tmp_path: Path) -> None:
    path = tmp_path / "w.pt"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # TorchScript is on its way out
        torch.jit.trace(nn.Linear(2, 2), torch.zeros(1, 2)).save(path)
    with pytest.raises(WeightsError) as caught:
        read_weights(path)
    assert str(caught.value) == (
        f"weights {path}: {WANTED}, got a scripted network, saved by torch.jit; {FIX}"
    )


@pytest.mark.parametrize("document", [{}, [], 3, {"epoch": 1}, {"state_dict": {"lr": 0.1}}])
def test_a_checkpoint_without_tensors_is_refused(tmp_path: Path, document: object) -> None:
    path = saved(tmp_path / "w.pt", document)
    with pytest.raises(WeightsError, match=r"expected tensors by name, .* got none"):
        read_weights(path)


def test_a_missing_file_and_a_folder(tmp_path: Path) -> None:
    with pytest.raises(FileError) as caught:
        read_weights(tmp_path / "w.pt")
    assert str(caught.value) == (
        f"weights {tmp_path / 'w.pt'}: expected a file, got no such file or directory; "
        "check the path"
    )
    with pytest.raises(FileError, match="got a folder"):
        read_weights(tmp_path)


# Fitting


@pytest.mark.parametrize(
    "prefix", ["", "module.", "_orig_mod.module.", "backbone.", "my.own.name."]
)
def test_a_shared_prefix_is_dropped(prefix: str) -> None:
    assert equal(fitted({prefix + name: tensor for name, tensor in STATE.items()}), STATE)


def test_what_lies_beside_the_prefix_is_not_the_models() -> None:
    state = {f"model.{name}": tensor for name, tensor in STATE.items()}
    assert equal(fitted({**state, "loss.weight": torch.ones(2)}), STATE)


def test_counters_of_norms_may_be_missing() -> None:
    state = {name: tensor for name, tensor in STATE.items() if "num_batches" not in name}
    assert equal(fitted(state), STATE)


def test_half_precision_is_brought_to_the_modules_type() -> None:
    found = fitted({name: tensor.half() for name, tensor in STATE.items()})
    assert {tensor.dtype for name, tensor in found.items() if "num" not in name} == {torch.float32}


@pytest.mark.parametrize(
    ("change", "drop", "got", "fix"),
    [
        (
            {"3.weight": torch.zeros(7, 4), "3.bias": torch.zeros(7)},
            (),
            "wrong shape: 3.weight (7, 4) for (2, 4), 3.bias (7,) for (2,)",
            "pass num_classes=7",
        ),
        (
            {"3.weight": torch.zeros(2, 9)},
            (),
            "wrong shape: 3.weight (2, 9) for (2, 4)",
            "check that the file belongs to this model",
        ),
        (
            {},
            ("3.weight", "3.bias"),
            "missing: 3.weight, 3.bias",
            "check that the file belongs to this model",
        ),
        (
            {"9.a": torch.zeros(1), "9.b": torch.zeros(1)},
            ("0.bias",),
            "missing: 0.bias; unexpected: 9.a, 9.b",
            "check that the file belongs to this model",
        ),
        (
            {f"other.{index}": torch.zeros(1) for index in range(5)},
            (),
            "unexpected: other.0, other.1, other.2 and 2 more",
            "check that the file belongs to this model",
        ),
    ],
)
def test_a_mismatch_is_told_name_by_name(
    change: dict[str, Tensor], drop: tuple[str, ...], got: str, fix: str
) -> None:
    state = {name: tensor for name, tensor in {**STATE, **change}.items() if name not in drop}
    with pytest.raises(WeightsError) as caught:
        fitted(state)
    text = f"weights best.pt: expected the {len(STATE)} tensors of mine, got {got}; {fix}"
    assert str(caught.value) == text


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_a_tensor_that_is_not_finite_is_named(value: float) -> None:
    broken = STATE["0.weight"].clone()
    broken[1, 2] = value
    module = net()
    before = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    with pytest.raises(WeightsError) as caught:
        fit(module, {**STATE, "0.weight": broken}, path="best.pt", model="mine")
    assert str(caught.value) == (
        "weights best.pt: expected finite numbers, got NaN or infinity in 0.weight; "
        "take a checkpoint from before the training diverged"
    )
    assert equal(module.state_dict(), before)


def test_a_tensor_that_claims_a_terabyte_is_never_looked_into() -> None:
    huge = torch.zeros(1).expand(2**38)  # one number on disk
    with pytest.raises(WeightsError, match=r"wrong shape: 3\.bias"):
        fitted({**STATE, "3.bias": huge})
