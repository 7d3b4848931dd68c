"""A classifier of one of several outputs."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from seewhy import ClassError, Classifier, InputError, Preprocess, explain
from seewhy.models.chosen import chosen


class Several(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.conv, self.kind, self.age = nn.Conv2d(3, 4, 3), nn.Linear(4, 3), nn.Linear(4, 1)

    def forward(self, x: Tensor) -> dict[str, Any]:
        vector = self.conv(x).relu().mean((2, 3))
        return {"note": "text", "heads": {"kind": self.kind(vector), "age": self.age(vector)}}


def several(**more: Any) -> Classifier:
    return Classifier("several", Several().eval(), Preprocess((8, 8)), **more)


@pytest.mark.parametrize("output", ["kind", "heads.kind", "age"])
def test_it_is_as_if_the_output_were_the_only_one(output: str) -> None:
    model, x = several(), torch.randn(2, 3, 8, 8)
    one = chosen(model, output)
    assert one.num_classes == (1 if output == "age" else 3)
    assert torch.equal(
        explain(one.module, x, "all").maps, explain(model.module, x, "all", output=output).maps
    )


def test_without_an_output_it_is_the_model() -> None:
    model = several()
    assert chosen(model, None) is model


def test_the_task_is_checked_at_once() -> None:
    assert chosen(several(), "kind", "multi-label").task == "multi-label"
    assert chosen(several(class_names=("young", "old")), "age", "binary").task == "binary"
    with pytest.raises(InputError, match="task 'binary': expected a model with one logit"):
        chosen(several(), "kind", "binary")
    with pytest.raises(InputError, match="did you mean multi-label"):
        chosen(several(), "kind", "multi-labl")
    with pytest.raises(ClassError, match="expected 3, one for each logit, got 2"):
        chosen(several(class_names=("young", "old")), "kind", "single-label")


def test_names_of_another_output_are_left() -> None:
    model = several(class_names=("a", "b", "c"), num_classes=3)
    assert chosen(model, "age").class_names is None
    assert chosen(model, "kind").class_names == ("a", "b", "c")


def test_no_such_output() -> None:
    with pytest.raises(InputError, match=r"did you mean heads\.kind"):
        chosen(several(), "heads.knd")
