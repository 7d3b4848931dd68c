"""The engine that is PyTorch itself, and what all engines have in common."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch
from tests.nets import Net
from torch import Tensor

import seewhy
from seewhy.engines import AUTO, ENGINES, TOLERANCES, Engine, make_engine
from seewhy.errors import InputError


def gap(net: Net, features: Tensor) -> Tensor:
    logits: Tensor = net.fc(features.mean((2, 3)))
    return logits


def pictures(batch: int = 3, size: int = 12) -> Tensor:
    return torch.randn(batch, 3, size, size, generator=torch.Generator().manual_seed(batch))


def test_sees_what_the_network_computes() -> None:
    net, x = Net(gap).eval(), pictures()
    engine = make_engine(net, seewhy.find_head(net, x), example=x)
    seen = engine(x)
    torch.testing.assert_close(seen.logits, net(x))
    assert seen.features.shape == (3, 8, 12, 12)
    assert isinstance(engine, Engine)


def test_explains_as_without_it_and_certifies() -> None:
    net, x = Net(gap).eval(), pictures()
    plain = seewhy.explain(net, x, "all")
    by_name = seewhy.explain(net, x, "all", engine="torch")
    torch.testing.assert_close(by_name.maps, plain.maps)
    assert by_name.tolerance == plain.tolerance == 1e-5
    assert by_name.is_exact


def test_half_precision_is_what_it_says_and_has_its_own_tolerance() -> None:
    net, x = Net(gap).eval(), pictures()
    head = seewhy.find_head(net, x)
    engine = make_engine(net, head, precision="bfloat16", example=x)
    result = seewhy.explain(net, x, "all", head=head, engine=engine)
    assert result.logits.dtype == result.maps.dtype == torch.float32
    assert result.tolerance == TOLERANCES["bfloat16"]
    assert 1e-5 < float(result.certificate.max()) <= result.tolerance
    assert engine.describe()["precision"] == "bfloat16"


def test_describes_what_results_depend_on() -> None:
    net, x = Net(gap).eval(), pictures()
    engine = make_engine(net, seewhy.find_head(net, x), threads=1, example=x)
    library = f"torch {torch.__version__}"
    expected = {"engine": "torch", "precision": "float32", "library": library, "threads": "1"}
    assert engine.describe() == expected


def test_computes_with_the_threads_it_was_given() -> None:
    counts: list[int] = []

    def head_of(net: Net, features: Tensor) -> Tensor:
        counts.append(torch.get_num_threads())
        return gap(net, features)

    net, x, before = Net(head_of).eval(), pictures(), torch.get_num_threads()
    engine = make_engine(net, seewhy.find_head(net, x), threads=before + 1, example=x)
    engine(x)
    assert counts[-1] == before + 1
    assert torch.get_num_threads() == before


def test_leaves_the_network_as_it_was() -> None:
    net, x = Net(gap).train(), pictures()
    head = seewhy.find_head(net, x)
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    make_engine(net, head, precision="bfloat16", example=x)(x)
    assert net.training
    assert all(p.requires_grad for p in net.parameters())
    assert all(torch.equal(tensor, before[name]) for name, tensor in net.state_dict().items())


def test_one_made_by_name_follows_the_weights() -> None:
    net, x = Net(gap).eval(), pictures()
    first = seewhy.explain(net, x, engine="torch")
    with torch.no_grad():
        net.conv.weight.mul_(2)
    second = seewhy.explain(net, x, engine="torch")
    torch.testing.assert_close(second.logits, net(x))
    assert not torch.allclose(first.logits, second.logits)


def test_results_may_be_used_in_any_way() -> None:
    net, x = Net(gap).eval(), pictures()
    result = seewhy.explain(net, x, engine="torch")
    for tensor in (result.logits, result.maps, result.probabilities):
        assert not tensor.is_inference()


def test_a_head_read_anew_in_each_pass_works_too() -> None:
    net, x = Net(lambda net, f: net.fc(f.amax((2, 3)))).eval(), pictures()
    result = seewhy.explain(net, x, "all", engine="torch")
    assert result.kind == "pooled"
    assert result.is_exact
    torch.testing.assert_close(result.maps, seewhy.explain(net, x, "all").maps)


def test_a_dict_of_outputs() -> None:
    net, x = Net(lambda net, f: {"logits": gap(net, f), "more": f}).eval(), pictures()
    result = seewhy.explain(net, x, engine="torch", output="logits")
    torch.testing.assert_close(result.logits, net(x)["logits"])


@pytest.mark.parametrize(
    ("options", "line"),
    [
        (
            {"name": "tensorrt"},
            f"engine: expected one of {', '.join((*ENGINES, AUTO))}, got 'tensorrt'; "
            "choose one of these",
        ),
        (
            {"precision": "bf16"},
            "precision: expected one of float32, bfloat16, float16, int8, got 'bf16'; "
            "did you mean bfloat16 or float16?",
        ),
        ({"threads": 0}, "threads: expected 1 or more, got 0; leave it out"),
        (
            {"precision": "int8"},
            "engine torch: expected a precision of float32, bfloat16, float16, got int8; "
            "choose one of these, or another engine",
        ),
    ],
)
def test_refuses_in_one_line(options: dict[str, str], line: str) -> None:
    net, x = Net(gap).eval(), pictures()
    head = seewhy.find_head(net, x)
    with pytest.raises(InputError) as caught:
        make_engine(net, head, example=x, **options)  # type: ignore[arg-type]
    assert str(caught.value) == line


def test_a_bare_module_needs_an_example() -> None:
    net = Net(gap).eval()
    with pytest.raises(InputError, match=r"^example: expected prepared pictures like those to"):
        make_engine(net, seewhy.find_head(net, pictures()))


def test_keyword_inputs_are_refused_in_one_line() -> None:
    net, x = Net(gap).eval(), pictures()
    with pytest.raises(InputError, match=r"^engine torch: expected a batch .* got dict; pass one"):
        seewhy.explain(net, {"x": x}, engine="torch")


def test_finer_maps_take_pytorch_itself() -> None:
    net, x = Net(gap).eval(), pictures()
    with pytest.raises(InputError, match=r"^engine: expected maps of one plain pass"):
        seewhy.explain(net, x, flip=True, engine="torch")


def test_engines_are_read_when_they_are_wanted() -> None:
    code = (
        "import sys, seewhy.engines;"
        "assert not {'onnx', 'onnxruntime', 'openvino', 'MNN', 'torch._dynamo'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize(("threads", "sizes"), [(1, [8, 8, 3]), (2, [19])])
def test_one_thread_takes_a_few_pictures_at_a_time(threads: int, sizes: list[int]) -> None:
    seen: list[int] = []

    def watched(net: Net, features: Tensor) -> Tensor:
        seen.append(len(features))
        return gap(net, features)

    net, x = Net(watched).eval(), pictures(19)
    head = seewhy.heads.cached_head(net, x)
    engine = make_engine(net, head, "torch", threads=threads, example=x)
    seen.clear()
    result = engine(x)
    assert seen == sizes
    torch.testing.assert_close(result.logits, net(x))
    assert len(result.features) == 19


def test_pooling_that_is_read_anew_sees_the_batch_whole() -> None:
    net, x = Net(lambda net, f: net.fc(f.amax((2, 3)))).eval(), pictures(19)
    head = seewhy.heads.cached_head(net, x)
    engine = make_engine(net, head, "torch", threads=1, example=x)
    result = seewhy.explain(net, x, "all", head=head, engine=engine)
    torch.testing.assert_close(result.maps, seewhy.explain(net, x, "all", head=head).maps)
