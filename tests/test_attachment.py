"""`attach`: the same numbers as `explain`, in whatever people do to modules."""

from __future__ import annotations

import copy
import subprocess
import sys
import threading
from typing import Any

import pytest
import torch
from tests.nets import Net
from torch import Tensor, nn

from seewhy import ClassError, HeadNotFound, InputError, ModelError, attach, explain


class Modular(nn.Module):
    """Features that a module returns, and a ReLU in place that is used twice."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.relu = nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(inplace=True)
        self.fc = nn.Linear(8, 5)

    def forward(self, x: Tensor) -> Any:
        self.relu(-x)
        return self.fc(self.relu(self.conv(x)).mean((2, 3)))


class Overwritten(Modular):
    """As DenseNet: what the features are is overwritten after they were pooled."""

    def forward(self, x: Tensor) -> Any:
        h = self.conv(x)
        logits = self.fc(h.mean((2, 3)))
        self.relu(h)
        return {"logits": logits}


class Soft(Modular):
    """Returns probabilities: the logits are picked up inside."""

    def forward(self, x: Tensor) -> Any:
        return super().forward(x).softmax(1)


MAKERS: dict[str, Any] = {
    "modular": Modular,
    "overwritten": Overwritten,
    "soft": Soft,
    "functional": lambda: Net(lambda n, h: n.fc(h.mean((2, 3)))),
    "normalised": lambda: Net(lambda n, h: n.fc(n.layer_norm(h.mean((2, 3))))),
    "class maps": lambda: Net(lambda n, h: n.maps(h).mean((2, 3))),
}


def made(name: str) -> tuple[nn.Module, Tensor]:
    torch.manual_seed(0)
    return MAKERS[name]().eval(), torch.randn(3, 3, 6, 7)


def assert_explains(result: Any, model: nn.Module, x: Tensor, **tolerances: Any) -> None:
    expected = explain(model, x, "top2")
    torch.testing.assert_close(result.logits, expected.logits, **tolerances)
    assert torch.equal(result.classes, expected.classes)
    torch.testing.assert_close(result.maps, expected.maps, **tolerances)
    torch.testing.assert_close(result.bias, expected.bias, **tolerances)


@pytest.mark.parametrize("name", MAKERS)
def test_says_what_explain_says(name: str) -> None:
    model, x = made(name)
    attached = attach(model, x, classes="top2")
    for batch in (x, x[:1], torch.randn(2, 3, 9, 5), x):
        assert_explains(attached(batch), model, batch)


@pytest.mark.parametrize("name", MAKERS)
def test_the_original_is_left_alone_and_shares_its_weights(name: str) -> None:
    model, x = made(name)
    keys = [sorted(vars(module)) for module in model.modules()]
    attached = attach(model, x, classes="top2")
    attached(x)
    assert [sorted(vars(module)) for module in model.modules()] == keys
    assert not any(module._forward_hooks for module in model.modules())
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(1.5)
    assert_explains(attached(x), model, x)
    for own, shared in zip(model.parameters(), attached.parameters(), strict=True):
        assert own is shared


@pytest.mark.parametrize(
    ("classes", "ids"),
    [("all", [0, 1, 2, 3, 4]), (3, [3]), ([4, "b"], [4, 1]), ("e", [4])],
)
def test_classes_that_are_the_same_for_all_pictures(classes: Any, ids: list[int]) -> None:
    model, x = made("modular")
    result = attach(model, x, classes=classes, class_names="abcde")(x)
    assert result.classes.tolist() == [ids] * 3
    torch.testing.assert_close(result.maps, explain(model, x, ids).maps)


def test_refuses_what_it_cannot_explain() -> None:
    model, x = made("modular")
    with pytest.raises(ClassError):
        attach(model, x, classes=5)
    with pytest.raises(InputError, match="example: expected a tensor"):
        attach(model)
    with pytest.raises(HeadNotFound):
        attach(Net(lambda n, h: n.fc(h.amax((2, 3)))), x)
    with pytest.raises(ModelError):
        attach(3, x)  # type: ignore[arg-type]


def test_a_model_that_cannot_be_copied() -> None:
    model, x = made("functional")
    model.lock = threading.Lock()  # type: ignore[assignment]
    with pytest.raises(ModelError, match="whose modules can be copied"):
        attach(model, x)


def test_training_goes_through_the_maps() -> None:
    model, x = made("modular")
    attached = attach(model, x, classes="top2").train()
    assert attached.training
    result = attached(x)
    (result.maps.square().sum() + result.bias.square().sum()).backward()
    for parameter in model.parameters():
        assert parameter.grad is not None
        assert parameter.grad.abs().max() > 0


def test_state_dict_makes_the_round_trip() -> None:
    model, x = made("normalised")
    attached = attach(model, x, classes="top2")
    other = Net(lambda n, h: n.fc(n.layer_norm(h.mean((2, 3))))).eval()
    again = attach(other, x, classes="top2")
    again.load_state_dict(attached.state_dict())
    assert_explains(again(x), model, x)
    assert set(attached.state_dict()) == {f"model.{key}" for key in model.state_dict()}


@pytest.mark.parametrize("name", MAKERS)
def test_deep_copies_are_independent(name: str) -> None:
    model, x = made(name)
    attached = attach(model, x, classes="top2")
    copied = copy.deepcopy(attached)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
    assert copied(x).maps.abs().max() > 0
    assert attached(x).maps.abs().max() == 0


@pytest.mark.parametrize("name", MAKERS)
def test_other_modes(name: str) -> None:
    model, x = made(name)
    attached = attach(model, x, classes="top2")
    with torch.inference_mode():
        assert_explains(attached(x), model, x)
    model.requires_grad_(False)
    assert not attached(x).maps.requires_grad
    channels_last = x.contiguous(memory_format=torch.channels_last)
    assert_explains(attached(channels_last), model, x)
    assert_explains(nn.DataParallel(attached)(x), model, x)
    with torch.autocast("cpu", torch.bfloat16):
        result = attached(x)
    deviation = (result.maps.flatten(2).mean(2) + result.bias).float() - result.logits.gather(
        1, result.classes
    ).float()
    assert deviation.abs().max() <= 2e-2 * result.logits.abs().max()


def test_the_original_of_a_compiled_model_is_attached_to() -> None:
    model, x = made("modular")
    compiled: Any = torch.compile(model, backend="eager")
    assert_explains(attach(compiled, x, classes="top2")(x), model, x)


def test_a_pass_that_fails_leaves_nothing_behind() -> None:
    model, x = made("modular")
    attached = attach(model, x, classes="top2")
    with pytest.raises(RuntimeError):
        attached(torch.randn(2, 4, 6, 7))
    assert_explains(attached(x), model, x)


@pytest.mark.parametrize("name", ["modular", "functional"])
def test_threads_hear_their_own_pass_only(name: str) -> None:
    model, _ = made(name)
    attached = attach(model, torch.randn(2, 3, 6, 7), classes="top2")
    batches = [torch.randn(2, 3, 6, 7) for _ in range(8)]
    results: dict[int, Any] = {}

    def run(index: int) -> None:
        with torch.no_grad():
            for _ in range(10):
                results[index] = attached(batches[index])

    threads = [threading.Thread(target=run, args=(index,)) for index in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for index, batch in enumerate(batches):
        assert_explains(results[index], model, batch)


# jaxtyping's hook, which the tests install, breaks tracing: these run without it.

ROOT = str(__file__).rpartition("/tests/")[0]
TRACED = """
import sys
sys.path.insert(0, {root!r})
import torch
from seewhy import attach
from tests.test_attachment import MAKERS, assert_explains, made
for name in {names!r}:
    torch.compiler.reset()
    model, x = made(name)
    others = torch.randn(5, 3, 6, 7), x, torch.randn(7, 3, 6, 7)
    attached = attach(model, x, classes="top2")
    {trace}
    with torch.no_grad():
        for other in others:
            assert_explains(traced(other), model, other, atol=1e-5, rtol=1e-5)
    print(name)
"""
COMPILED = "traced = torch.compile(attached, backend={backend!r}, fullgraph=True)"
EXPORTED = """
    shapes = torch.export.ShapesCollection()
    shapes[x] = {0: torch.export.Dim("batch", min=1, max=64)}
    traced = torch.export.export(attached, (x,), dynamic_shapes=shapes).module()
"""


def traced_names(trace: str, *names: str) -> list[str]:
    """Trace each of the models in a fresh process; the names of those that came through."""
    return printed(TRACED.format(root=ROOT, names=names, trace=trace))


def printed(code: str) -> list[str]:
    """The lines that a script prints in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout.split("\n")[:-1]


def test_compiles_without_a_break() -> None:
    assert traced_names(COMPILED.format(backend="aot_eager"), *MAKERS) == list(MAKERS)


@pytest.mark.slow
def test_compiles_to_native_code() -> None:
    assert traced_names(COMPILED.format(backend="inductor"), "modular") == ["modular"]


def test_exports_with_any_number_of_pictures() -> None:
    assert traced_names(EXPORTED, *MAKERS) == list(MAKERS)


REAL = """
import io, sys, warnings
sys.path.insert(0, {root!r})
warnings.simplefilter("ignore")
import torch
from benchmarks.zoo import calibrate, timm_entry, torchvision_entry
from tests.peers import register_torchvision_schemas
import seewhy

register_torchvision_schemas()
for name in {names!r}:
    library, _, model = name.partition(":")
    torch.manual_seed(0)
    entry = timm_entry("", model) if library == "timm" else torchvision_entry("", model)
    model, x = entry.build()
    calibrate(model, x)
    attached = seewhy.attach(model, x, classes="top2")
    with torch.no_grad():
        expected = seewhy.explain(model, x, "top2")
        compiled = torch.compile(attached, backend="aot_eager", fullgraph=True)(x)
        several = {{0: torch.export.Dim("batch", min=1, max=64)}}
        program = torch.export.export(attached, (x,), dynamic_shapes=(several,))
        file = io.BytesIO()
        torch.export.save(program, file)
        file.seek(0)
        exported = torch.export.load(file).module()
        for result in (attached(x), compiled, exported(x), exported(torch.cat((x, x)))):
            torch.testing.assert_close(result.logits[:2], expected.logits, rtol=1e-4, atol=1e-4)
            torch.testing.assert_close(result.maps[:2], expected.maps, rtol=1e-3, atol=1e-3)
    print(name)
"""


@pytest.mark.slow
def test_real_architectures_compile_and_export() -> None:
    names = ["timm:resnet18", "timm:convnext_atto", "timm:levit_128s"]
    names += ["torchvision:densenet121", "torchvision:googlenet"]
    assert printed(REAL.format(root=ROOT, names=names)) == names


def test_it_is_in_evaluation_mode_whatever_the_model_is() -> None:
    model, x = made("modular")
    assert not attach(model.train(), x).training
    assert model.training


def test_a_pass_that_goes_another_way_is_one_line() -> None:
    class Detour(Modular):
        def forward(self, x: Tensor) -> Any:
            return super().forward(x) if x.shape[-1] < 20 else x.mean((2, 3))

    attached = attach(Detour().eval(), torch.randn(2, 3, 8, 8))
    with pytest.raises(ModelError, match="got a pass that went another way; attach anew"):
        attached(torch.randn(2, 3, 32, 32))


def test_it_prints_the_head_that_it_explains_by() -> None:
    model, x = made("modular")
    first = repr(attach(model, x)).split("\n")[1].strip()
    assert first == "head=linear: mean -> addmm, 8 x 6 x 7 -> 5 classes"
