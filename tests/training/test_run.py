"""A run from end to end, in this process: what it leaves, and what it refuses."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from seewhy import find_head, load_model
from seewhy.datasets import Dataset, load_dataset
from seewhy.errors import DataError, FileError, InputError, ModelError, TrainingError
from seewhy.models.folder import save_model
from seewhy.preprocess import Preprocess
from seewhy.training import Progress, Recipe, evaluate, train
from seewhy.training.metrics import read_metrics
from seewhy.training.start import start

SHORT = Recipe(epochs=2, batch_size=16, precision="float32")


def weights(folder: Path) -> bytes:
    return (folder / "model.safetensors").read_bytes()


@pytest.fixture(scope="module")
def run(data: Dataset, nets: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run, long enough to learn."""
    out = tmp_path_factory.mktemp("run")
    train(f"{nets}:Normed", data, out, dataclasses.replace(SHORT, epochs=8), size=(16, 16))
    return out


def test_it_learns(run: Path, data: Dataset) -> None:
    assert evaluate(load_model(run), data).accuracy > 0.9


def test_the_model_is_what_was_scored(run: Path, data: Dataset) -> None:
    model = load_model(run)
    assert model.class_names == ("bright", "dark", "striped")
    assert model.preprocess.size == (16, 16)
    found = evaluate(model, data)
    card = json.loads((run / "model.json").read_text())["trained"]
    assert (card["test_accuracy"], card["test_pictures"]) == (found.accuracy, 24)
    assert card["test_loss"] == pytest.approx(found.loss)
    assert (card["steps"], card["recipe"]["epochs"], card["recipe"]["lr"]) == (32, 8, 0.2)
    assert card["from"] == "random weights"


def test_what_a_finished_run_leaves(run: Path) -> None:
    names = {each.name for each in run.iterdir()} - {"tensorboard"}
    assert names == {".lock", "metrics.csv", "model.json", "model.safetensors", "run.json"}
    assert [row["step"] for row in read_metrics(run / "metrics.csv")] == [
        str(4 * epoch) for epoch in range(1, 9)
    ]


def test_a_finished_run_is_not_trained_again(run: Path, data: Dataset, nets: str) -> None:
    said: list[str] = []
    before = weights(run), (run / "run.json").read_bytes()
    again = train(
        f"{nets}:Normed",
        data,
        run,
        dataclasses.replace(SHORT, epochs=8),
        size=(16, 16),
        tell=said.append,
    )
    assert said == [f"{run} is finished; --restart trains it again"]
    assert not again.is_new
    assert again.test["count"] == 24
    assert (weights(run), (run / "run.json").read_bytes()) == before


def short(nets: str, data: Dataset, out: Path, recipe: Recipe = SHORT, **more: Any) -> Path:
    return train(f"{nets}:Normed", data, out, recipe, size=(16, 16), **more).folder


def test_the_seed_decides_the_weights(data: Dataset, nets: str, tmp_path: Path) -> None:
    torch.manual_seed(1)
    one = weights(short(nets, data, tmp_path / "a"))
    torch.manual_seed(2)
    assert weights(short(nets, data, tmp_path / "b")) == one
    other = dataclasses.replace(SHORT, seed=1)
    assert weights(short(nets, data, tmp_path / "c", other)) != one


def test_torch_s_random_state_is_left_alone(data: Dataset, nets: str, tmp_path: Path) -> None:
    before = torch.get_rng_state()
    short(nets, data, tmp_path)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("step", [1, 4, 6])
def test_interrupted_it_goes_on_to_the_same_weights(
    data: Dataset, nets: str, tmp_path: Path, step: int
) -> None:
    whole = short(nets, data, tmp_path / "whole")

    def stop(progress: Progress) -> None:
        if progress.step == step and not said:
            raise KeyboardInterrupt  # at once: as good as killed

    said: list[str] = []
    with pytest.raises(KeyboardInterrupt):
        short(nets, data, tmp_path / "cut", watch=stop, checkpoint_every=1e-9)
    cut = short(nets, data, tmp_path / "cut", tell=said.append)
    assert said == ([f"goes on after step {step - 1} of 8"] if step > 1 else [])
    assert weights(cut) == weights(whole)
    one, other = (read_metrics(folder / "metrics.csv") for folder in (whole, cut))
    assert [{**row, "seconds": ""} for row in one] == [{**row, "seconds": ""} for row in other]


def test_another_recipe_in_the_same_folder(data: Dataset, nets: str, run: Path) -> None:
    before = weights(run)
    with pytest.raises(TrainingError) as raised:
        short(nets, data, run)
    assert str(raised.value) == (
        f"run {run}: expected epochs 8, as it was begun, got 2; pass the same settings to go on, "
        "another --out, or --restart to begin anew"
    )
    assert weights(run) == before


def test_restart_begins_anew(data: Dataset, nets: str, tmp_path: Path) -> None:
    short(nets, data, tmp_path, dataclasses.replace(SHORT, seed=3))
    other = weights(tmp_path)
    short(nets, data, tmp_path, restart=True)
    assert weights(tmp_path) != other
    assert len(read_metrics(tmp_path / "metrics.csv")) == 2


def test_other_data_in_the_same_folder(data: Dataset, nets: str, tmp_path: Path) -> None:
    short(nets, data, tmp_path)
    fewer = dataclasses.replace(data, test=data.test.take("test", data.test.places[:9]))
    with pytest.raises(TrainingError, match=r"expected data .* 72 \+ 24 pictures.* got .*72 \+ 9"):
        short(nets, fewer, tmp_path)


def test_half_the_bytes(data: Dataset, nets: str, tmp_path: Path) -> None:
    out = short(nets, data, tmp_path, dataclasses.replace(SHORT, half=True))
    kinds = {name: each.dtype for name, each in load_file(out / "model.safetensors").items()}
    assert kinds["conv.weight"] == torch.float16
    assert kinds["norm.running_var"] == torch.float32
    card = json.loads((out / "model.json").read_text())["trained"]
    assert evaluate(load_model(out), data).loss == pytest.approx(card["test_loss"], rel=1e-6)


def test_a_validation_share_is_held_out(data: Dataset, nets: str, tmp_path: Path) -> None:
    out = short(nets, data, tmp_path, dataclasses.replace(SHORT, validation=0.25))
    rows = read_metrics(out / "metrics.csv")
    assert [0 <= float(row["validation_accuracy"]) <= 1 for row in rows] == [True, True]
    assert json.loads((out / "model.json").read_text())["trained"]["pictures"] == 54


def test_broken_pictures_are_left_out_and_counted(
    pictures: Path, nets: str, tmp_path: Path
) -> None:
    copy = shutil.copytree(pictures, tmp_path / "data")
    (copy / "train" / "dark" / "003.png").write_bytes(b"no picture")
    out = short(nets, load_dataset(copy), tmp_path / "run")
    card = json.loads((out / "model.json").read_text())["trained"]
    assert (card["pictures"], len(card["skipped"])) == (71, 1)
    assert "003.png" in card["skipped"][0]


@pytest.mark.parametrize("bad", [0.0, -1.0, float("nan")])
def test_no_time_between_checkpoints(data: Dataset, tmp_path: Path, bad: float) -> None:
    with pytest.raises(InputError, match="checkpoint_every: expected seconds above 0"):
        train("resnet20", data, tmp_path, checkpoint_every=bad)


def test_one_class_is_no_task(data: Dataset, tmp_path: Path) -> None:
    one = dataclasses.replace(data, class_names=("bright",))
    with pytest.raises(DataError, match="expected two classes at least, got 1"):
        train("resnet20", one, tmp_path)


def test_no_such_net_leaves_nothing(data: Dataset, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"model 'resnet21'.*did you mean .*resnet20"):
        train("resnet21", data, tmp_path)
    assert [each.name for each in tmp_path.iterdir()] == [".lock"]


def test_a_network_of_other_classes(data: Dataset, nets: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="num_classes: expected 5, as many as"):
        train(f"{nets}:dense_five", data, tmp_path, SHORT, size=(16, 16))


def test_a_folder_that_takes_no_files(data: Dataset, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(FileError, match="expected a folder to write to, got a file"):
        train("resnet20", data, tmp_path / "file")


def test_to_gap_needs_trained_weights(data: Dataset, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="to_gap: expected a trained network"):
        train("vgg-cifar", data, tmp_path, gap=True)


# Fine-tuning


@pytest.fixture(scope="module")
def trained(nets: str, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A model folder of a network with a dense head."""
    folder = tmp_path_factory.mktemp("trained")
    torch.manual_seed(0)
    model = load_model(f"{nets}:Dense", size=16, pretrained=False)
    how = Preprocess((16, 16), 1.0, "squash")
    net = f"{nets}:Dense"
    save_model(
        folder, net=net, module=model.module, num_classes=3, class_names=None, preprocess=how
    )
    return str(folder)


def test_to_gap_keeps_the_trunk_and_trains_a_head(
    trained: str, data: Dataset, tmp_path: Path
) -> None:
    begins = start(trained, 3, seed=0, init=True, gap=True)
    assert begins.new == ("conv.0.weight", "conv.0.bias", "linear.weight", "linear.bias")
    assert begins.is_trained
    assert "removed  classifier Linear" in begins.account
    kept = load_model(trained).module.state_dict()["features.0.weight"]
    assert torch.equal(begins.module.state_dict()["trunk.features.0.weight"], kept)
    said: list[str] = []
    out = train(trained, data, tmp_path, SHORT, init=True, gap=True, tell=said.append).folder
    assert "removed  classifier Linear" in said[0]
    model = load_model(out)
    assert find_head(model.module, model.example()).kind == "linear"
    moved = model.module.state_dict()["trunk.features.0.weight"]
    assert 0 < float((moved - kept).abs().max()) < 0.1


def test_what_to_gap_made_is_not_changed_again(trained: str, data: Dataset, tmp_path: Path) -> None:
    once = train(trained, data, tmp_path / "a", SHORT, init=True, gap=True).folder
    with pytest.raises(InputError, match="to_gap: expected a network with another head"):
        train(str(once), data, tmp_path / "b", SHORT, init=True, gap=True)
    again = train(str(once), data, tmp_path / "c", SHORT, init=True).folder
    assert load_model(again).num_classes == 3


def test_trained_weights_go_on_where_the_classes_fit(trained: str) -> None:
    begins = start(trained, 3, seed=0, init=True)
    before = load_model(trained).module.state_dict()
    assert begins.new == ()
    assert all(torch.equal(each, before[n]) for n, each in begins.module.state_dict().items())


def test_another_number_of_classes_gets_a_new_last_layer(tmp_path: Path) -> None:
    torch.manual_seed(0)
    module: nn.Module = load_model("resnet20", pretrained=False).module
    how = load_model("resnet20", pretrained=False).preprocess
    save_model(
        tmp_path, net="resnet20", module=module, num_classes=10, class_names=None, preprocess=how
    )
    begins = start(str(tmp_path), 3, seed=0, init=True)
    assert begins.new == ("linear.weight", "linear.bias")
    assert begins.account == ("10 classes became 3: linear.weight, linear.bias start anew")
    assert begins.module.state_dict()["linear.weight"].shape == (3, 64)
    assert torch.equal(
        begins.module.state_dict()["conv1.weight"], module.state_dict()["conv1.weight"]
    )
