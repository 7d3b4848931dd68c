"""What lies in a run's folder: whole, finite, of one run, and of one process at a time."""

from __future__ import annotations

import json
import resource
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from seewhy.errors import FileError, TrainingError
from seewhy.training import state
from seewhy.training.optimise import Average, optimiser
from seewhy.training.recipe import Recipe

REST = {"step": 7, "seconds": 0.1 + 0.2, "tally": {"loss": 1 / 3}}


def net(seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    layers = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))
    layers.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return layers


def stepped(seed: int) -> tuple[nn.Module, Average, torch.optim.SGD]:
    """A network after a step."""
    network = net(seed)
    sgd, average = optimiser(network, (), Recipe()), Average(network, 0.5)
    network(torch.randn(2, 3, 5, 5)).square().mean().backward()
    sgd.step()
    average.update()
    return network, average, sgd


def test_a_checkpoint_comes_back_to_the_last_bit(tmp_path: Path) -> None:
    network, average, sgd = stepped(0)
    before = state.state_of(network, average.module, sgd)
    state.save_checkpoint(tmp_path / "c", before, REST)
    found = state.load_checkpoint(tmp_path / "c")
    assert found is not None
    tensors, rest = found
    assert rest == REST
    other, its_average, its_sgd = stepped(1)
    state.restore(tensors, other, its_average.module, its_sgd)
    after = state.state_of(other, its_average.module, its_sgd)
    assert after.keys() == before.keys()
    assert {name.split(".")[0] for name in after} == {"weights", "average", "momentum"}
    for name, each in after.items():
        assert torch.equal(each, before[name]), name
        assert each.stride() == before[name].stride(), name


def test_momentum_is_restored_into_an_optimiser_that_has_none(tmp_path: Path) -> None:
    network, average, sgd = stepped(0)
    tensors = {k: v.clone() for k, v in state.state_of(network, average.module, sgd).items()}
    other = net(1)
    fresh = optimiser(other, (), Recipe())
    state.restore(tensors, other, Average(other, 0.5).module, fresh)
    for one, two in zip(network.parameters(), other.parameters(), strict=True):
        assert torch.equal(sgd.state[one]["momentum_buffer"], fresh.state[two]["momentum_buffer"])


def test_where_there_is_none(tmp_path: Path) -> None:
    assert state.load_checkpoint(tmp_path / "c") is None
    assert state.read_run(tmp_path) is None


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_what_is_not_finite_is_not_saved(tmp_path: Path, bad: float) -> None:
    state.save_checkpoint(tmp_path / "c", {"weights.a": torch.ones(2)}, REST)
    before = (tmp_path / "c").read_bytes()
    with pytest.raises(TrainingError, match=r"infinity in the weights \(weights.a\)"):
        state.save_checkpoint(tmp_path / "c", {"weights.a": torch.tensor([1.0, bad])}, REST)
    assert (tmp_path / "c").read_bytes() == before
    assert [each.name for each in tmp_path.iterdir()] == ["c"]


def test_a_damaged_checkpoint_says_so(tmp_path: Path) -> None:
    path = tmp_path / "c"
    state.save_checkpoint(path, {"weights.a": torch.ones(200)}, REST)
    whole = path.read_bytes()
    for part in (b"", whole[:20], whole[:-1], b"\0" * 50):
        path.write_bytes(part)
        with pytest.raises(FileError, match=r"expected a checkpoint that this version.*--restart"):
            state.load_checkpoint(path)


def test_other_safetensors_are_no_checkpoint(tmp_path: Path) -> None:
    save_file({"a": torch.ones(2)}, tmp_path / "c")
    with pytest.raises(FileError, match="its header says nothing"):
        state.load_checkpoint(tmp_path / "c")


def test_a_checkpoint_of_another_network_is_refused() -> None:
    network, average, sgd = stepped(0)
    tensors = state.state_of(network, average.module, sgd)
    with pytest.raises(TrainingError, match="expected weights of this network"):
        state.restore(tensors, nn.Linear(2, 2), average.module, sgd)


FULL = """
import resource, sys, torch
from pathlib import Path
from seewhy.errors import FileError
from seewhy.training import state
path = Path(sys.argv[1])
resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000))
try:
    state.save_checkpoint(path, {"weights.a": torch.zeros(100_000)}, {"step": 2})
except FileError as problem:
    print(problem)
"""


def test_a_full_disk_keeps_the_checkpoint_before(tmp_path: Path) -> None:
    path = tmp_path / "c"
    state.save_checkpoint(path, {"weights.a": torch.ones(2)}, {"step": 1})
    said = subprocess.run(
        [sys.executable, "-c", FULL, str(path)], capture_output=True, text=True, check=True
    ).stdout
    assert said == (
        f"{path}: expected a file that can be written, got the system's error 'file too large'; "
        "check the folder, its permissions and the space left\n"
    )
    found = state.load_checkpoint(path)
    assert found is not None
    assert found[1] == {"step": 1}
    assert [each.name for each in tmp_path.iterdir()] == ["c"]
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] == resource.RLIM_INFINITY


DIES = """
import os, signal, sys, torch
from pathlib import Path
from seewhy.training import state
real = os.fsync
def die(number):
    real(number)
    os.kill(os.getpid(), signal.SIGKILL)
os.fsync = die  # the draft is whole on the disk by now, and not yet in its place
state.save_checkpoint(Path(sys.argv[1]), {"weights.a": torch.zeros(1000)}, {"step": 2})
"""


def test_killed_while_a_checkpoint_is_written(tmp_path: Path) -> None:
    path = tmp_path / "c"
    state.save_checkpoint(path, {"weights.a": torch.ones(2)}, {"step": 1})
    run = subprocess.run([sys.executable, "-c", DIES, str(path)], check=False)
    assert run.returncode == -9
    found = state.load_checkpoint(path)
    assert found is not None
    assert found[1] == {"step": 1}
    assert len(list(tmp_path.glob(".*.part"))) == 1
    with state.locked(tmp_path):  # whoever goes on clears it away
        assert not list(tmp_path.glob(".*.part"))


def test_two_processes_do_not_share_a_folder(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from seewhy.training import state\n"
        "with state.locked(Path(sys.argv[1])): print('in', flush=True); sys.stdin.read()"
    )
    command = [sys.executable, "-c", code, str(tmp_path)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "in\n"
        with (
            pytest.raises(TrainingError, match="got another process at work there"),
            state.locked(tmp_path),
        ):
            pass
        other.kill()  # the lock goes with it
        other.wait()
        with state.locked(tmp_path):
            pass


def test_what_a_run_is_comes_back(tmp_path: Path) -> None:
    state.write_run(tmp_path, {"asked": {"epochs": 3, "lr": None}})
    found = state.read_run(tmp_path)
    assert found == {"format": "seewhy-run", "version": 1, "asked": {"epochs": 3, "lr": None}}


@pytest.mark.parametrize("text", ["", "{", "[1]", '{"format": "other"}', "\ud800"])
def test_a_damaged_description_says_so(tmp_path: Path, text: str) -> None:
    (tmp_path / "run.json").write_bytes(text.encode("utf-8", "surrogatepass"))
    with pytest.raises(FileError, match="expected the description of a training run"):
        state.read_run(tmp_path)


@pytest.mark.parametrize(
    ("begun", "asked", "said"),
    [
        ({"lr": 0.1}, {"lr": 0.2}, "expected lr 0.1, as it was begun, got 0.2; pass the same"),
        ({"lr": None}, {"lr": 0.2}, "expected lr None, as it was begun, got 0.2"),
        ({}, {"flip": True}, "expected flip None, as it was begun, got True"),
    ],
)
def test_another_run_is_refused(
    begun: dict[str, object], asked: dict[str, object], said: str
) -> None:
    with pytest.raises(TrainingError) as raised:
        state.check_same(Path("out"), begun, asked)
    assert said in str(raised.value)


def test_a_new_setting_that_is_left_out_is_no_difference() -> None:
    state.check_same(Path("out"), {"lr": 0.1}, {"lr": 0.1, "size": None})


def test_forgetting_removes_the_run_alone(tmp_path: Path) -> None:
    mine = tmp_path / "notes.txt"
    mine.write_text("mine")
    for name in ("run.json", "checkpoint.safetensors", "metrics.csv", "model.json"):
        (tmp_path / name).write_text(json.dumps(name))
    state.forget(tmp_path)
    assert list(tmp_path.iterdir()) == [mine]
