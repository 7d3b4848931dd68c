"""What outputs mean: probabilities, classes and evidence of each task."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.nets import Bare
from tests.oracles import tasks as oracle
from torch import Tensor, nn

from seewhy import ClassError, Explanation, InputError, explain

# Two channels on a grid of 2 x 2; the pooled features are 1 and 2.
X = torch.tensor([[[[4.0, 0.0], [0.0, 0.0]], [[0.0, 0.0], [0.0, 8.0]]]])


class Ending(nn.Module):
    """A model whose last step is a function."""

    def __init__(self, model: nn.Module, function: Any) -> None:
        super().__init__()
        self.model, self.function = model, function

    def forward(self, x: Tensor) -> Any:
        return self.function(self.model(x))


def three() -> Bare:
    """Logits 1.5, 2.0 and -3.0 for X."""
    return Bare([[1.0, 0.0], [-1.0, 2.0], [-1.0, -1.0]], [0.5, -1.0, 0.0])


def one() -> Bare:
    """The logit 2.0 for X."""
    return Bare([[-1.0, 2.0]], [-1.0])


def sigmoid(z: float) -> float:
    return 1 / (1 + math.exp(-z))


# Labels side by side.


def test_labels_by_hand() -> None:
    result = explain(three(), X, "all", task="multi-label")
    expected = [sigmoid(1.5), sigmoid(2.0), sigmoid(-3.0)]
    assert result.probabilities[0].tolist() == pytest.approx(expected)
    assert result.task == "multi-label"
    assert result.positive.tolist() == [[True, True, False]]
    assert result.maps.tolist() == explain(three(), X, "all").maps.tolist()


def test_a_task_only_changes_what_the_logits_mean() -> None:
    plain, labels = (explain(three(), X, "all", task=task) for task in (None, "multi-label"))
    assert plain.task == "single-label"
    assert float(plain.probabilities.sum()) == pytest.approx(1)
    for name in ("logits", "maps", "bias", "target", "certificate"):
        assert torch.equal(getattr(plain, name), getattr(labels, name))


def test_a_model_that_applies_sigmoids_has_labels() -> None:
    model = Ending(three(), torch.sigmoid)
    for task in (None, "multi-label"):
        result = explain(model, X, "all", task=task)
        assert result.task == "multi-label"
        torch.testing.assert_close(result.probabilities, model(X))


def test_positive_are_those_above_one_half() -> None:
    assert explain(three(), X, "positive", task="multi-label").classes.tolist() == [[1, 0]]
    none = explain(three(), -X, "positive", task="multi-label")
    assert none.logits.tolist() == [[-0.5, -4.0, 3.0]]
    assert none.classes.tolist() == [[2]]


def test_positive_has_as_many_classes_as_the_picture_with_most() -> None:
    """The map of a class that is not positive is a map all the same; `positive` tells."""
    result = explain(three(), torch.cat([X, -X]), "positive", task="multi-label")
    assert result.classes.tolist() == [[1, 0], [2, 0]]
    assert result.positive.tolist() == [[True, True], [True, False]]
    assert result.is_exact


def test_nothing_positive_leaves_the_most_probable() -> None:
    net = Bare([[1.0, 0.0], [-1.0, 2.0]], [-9.0, -9.0])
    result = explain(net, X, "positive", task="multi-label")
    assert result.classes.tolist() == [[1]]
    assert result.positive.tolist() == [[False]]


def test_a_class_that_is_called_positive_is_that_class() -> None:
    result = explain(one(), X, "positive", class_names=["negative", "positive"])
    assert result.classes.tolist() == [[1]]
    result = explain(one(), -X, "positive", class_names=["negative", "positive"])
    assert result.classes.tolist() == [[1]]


# One logit: yes or no.


def test_no_and_yes_by_hand() -> None:
    result = explain(one(), X, "all", class_names=["healthy", "ill"])
    assert result.logits.tolist() == [[-2.0, 2.0]]
    assert result.maps.tolist() == [[[[4.0, 0.0], [0.0, -16.0]], [[-4.0, 0.0], [0.0, 16.0]]]]
    assert result.bias.tolist() == [[1.0, -1.0]]
    assert result.evidence.tolist() == [[-3.0, 3.0]]
    assert result.certificate.tolist() == [[0.0, 0.0]]
    assert result.probabilities[0].tolist() == pytest.approx([1 - sigmoid(2.0), sigmoid(2.0)])
    assert (result.task, result.kind) == ("binary", "linear")


def test_one_logit_predicts_what_is_likelier() -> None:
    names = ["healthy", "ill"]
    ill, healthy = (explain(one(), x, class_names=names) for x in (X, -X))
    assert (ill.classes.tolist(), healthy.classes.tolist()) == ([[1]], [[0]])
    best = healthy.prediction(0)
    assert best is not None
    assert best.name == "healthy"
    assert best.probability == pytest.approx(sigmoid(4.0))
    assert explain(one(), X, "ill", class_names=names).classes.tolist() == [[1]]


def test_a_task_makes_one_logit_two_classes_without_names() -> None:
    result = explain(one(), X, "top5", task="binary")
    assert result.class_names == ("no", "yes")
    assert result.classes.tolist() == [[1, 0]]


def test_one_logit_alone_is_one_class() -> None:
    for task in (None, "single-label", "multi-label"):
        result = explain(one(), X, task=task)
        assert result.logits.tolist() == [[2.0]]
        assert float(result.probabilities) == pytest.approx(sigmoid(2.0))
    assert explain(one(), X, class_names=["ill"]).name(0) == "ill"


def test_a_sigmoid_of_one_logit_is_two_classes_too() -> None:
    result = explain(Ending(one(), torch.sigmoid), X, "all", class_names=["healthy", "ill"])
    assert result.logits.tolist() == [[-2.0, 2.0]]
    assert result.is_exact


def test_no_and_yes_on_a_finer_grid() -> None:
    torch.manual_seed(0)
    pooled = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 1))
    net = nn.Sequential(nn.Conv2d(3, 4, 3, stride=2, padding=1), nn.ReLU(), *pooled).eval()
    x = torch.randn(2, 3, 12, 12)
    result = explain(net, x, "all", task="binary", resolution=2, flip=True)
    assert result.maps.shape == (2, 2, 12, 12)
    torch.testing.assert_close(result.maps[:, 0], -result.maps[:, 1])
    assert result.is_exact


# Quantities.


def test_a_regression_by_hand() -> None:
    """Years: 12 of them per logit, from 40 on."""
    model = Ending(one(), lambda y: y * 12 + 40)
    result = explain(model, X, task="regression", class_names=["age"])
    assert result.logits.tolist() == result.target.tolist() == [[64.0]]
    assert result.maps.tolist() == [[[[-48.0, 0.0], [0.0, 192.0]]]]
    assert (result.evidence.tolist(), result.bias.tolist()) == ([[36.0]], [[28.0]])
    assert bool(result.probabilities.isnan().all())
    assert result.prediction(0) is None
    assert result.quantity == "output"
    assert not bool(result.positive.any())


def test_a_regression_predicts_all_of_its_outputs() -> None:
    result = explain(three(), X, task="regression")
    assert result.classes.tolist() == [[0, 1, 2]]
    assert result.name(2) == "output 2"
    assert "predicted output 0 1.5; linear maps" in repr(result)
    against = explain(three(), X, 0, task="regression", against=1)
    assert against.target.tolist() == [[-0.5]]


def test_a_task_outlives_the_disk(tmp_path: Path) -> None:
    result = explain(three(), X, task="regression")
    back = Explanation.load(result.save(tmp_path / "why.safetensors"))
    assert back.task == "regression"
    assert bool(back.probabilities.isnan().all())


def test_a_picture_of_a_regression_says_output() -> None:
    (entry, *_) = explain(three(), X, task="regression").class_evidence(0)
    assert entry.quantity == "output"
    assert entry.to_json()["probability"] is None


# The second derivation.


@settings(max_examples=25)
@given(
    st.integers(0, 2**31 - 1),
    st.integers(1, 5),
    st.integers(2, 4),
    st.sampled_from(["single-label", "multi-label", "binary", "regression"]),
)
def test_tasks_as_by_loops(seed: int, classes: int, side: int, task: Any) -> None:
    classes = 1 if task == "binary" else max(classes, 2)
    generator = torch.Generator().manual_seed(seed)
    weight = torch.randn(classes, 3, generator=generator)
    bias = torch.randn(classes, generator=generator)
    x = torch.randn(2, 3, side, side, generator=generator)
    net = Bare(weight.tolist(), bias.tolist()).double()
    result = explain(net, x.double(), "all", task=task)
    for picture in range(2):
        truth = oracle.explained(weight.numpy(), bias.numpy(), x[picture].numpy(), task)
        np.testing.assert_allclose(result.logits[picture], truth.logits, atol=1e-9)
        np.testing.assert_allclose(result.maps[picture], truth.maps, atol=1e-9)
        np.testing.assert_allclose(result.bias[picture], truth.bias, atol=1e-9)
        np.testing.assert_allclose(result.probabilities[picture], truth.probabilities, atol=1e-9)
    assert result.is_exact


WRONG: list[tuple[Any, dict[str, Any], type[Exception], str]] = [
    (
        three,
        {"task": "multilabel"},
        InputError,
        "task 'multilabel': expected one of single-label, multi-label, binary, regression, got an"
        " unknown name; did you mean multi-label or single-label?",
    ),
    (
        three,
        {"task": "binary"},
        InputError,
        "task 'binary': expected a model with one logit, got one with 3; leave task out: two"
        " logits are two classes",
    ),
    (
        lambda: Ending(three(), lambda z: z.softmax(1)),
        {"task": "multi-label"},
        InputError,
        "task 'multi-label': expected a model that returns what fits it, got one that applies"
        " softmax to its logits; leave task out, or take that function off the model",
    ),
    (
        lambda: Ending(three(), torch.sigmoid),
        {"task": "regression"},
        InputError,
        "task 'regression': expected a model that returns what fits it, got one that applies"
        " sigmoid to its logits; leave task out, or take that function off the model",
    ),
    (
        three,
        {"class_names": ["no", "yes"]},
        ClassError,
        "class_names: expected 3, one for each logit, got 2; name the outputs in their order",
    ),
    (
        one,
        {"class_names": ["a", "b", "c"]},
        ClassError,
        "class_names: expected 1, one for each logit, or two: for no and for yes, got 3; name the"
        " outputs in their order",
    ),
    (
        one,
        {"class_names": ["no", "yes"], "against": "no"},
        ClassError,
        "against: expected a model with at least two logits, got one logit, which is for yes and"
        " against no already; leave against out",
    ),
    (
        three,
        {"task": "regression", "classes": "positive"},
        ClassError,
        'classes: expected outputs, as in "all" or 0, got "positive", which asks for'
        " probabilities; a regression has none",
    ),
    (
        three,
        {"task": "regression", "against": "others"},
        ClassError,
        "against: expected classes that exclude each other, got the outputs of a regression;"
        " measure against one of them",
    ),
]


@pytest.mark.parametrize(("model", "given_", "kind", "line"), WRONG)
def test_what_cannot_be(
    model: Any, given_: dict[str, Any], kind: type[Exception], line: str
) -> None:
    with pytest.raises(kind) as raised:
        explain(model(), X, **given_)
    assert str(raised.value) == line
