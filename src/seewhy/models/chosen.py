"""A classifier of one of a model's several outputs, and of what that output means."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from torch import nn

from seewhy import tasks
from seewhy.heads.find import observed
from seewhy.heads.outputs import returned_logits
from seewhy.models.classifier import Classifier
from seewhy.observe import Path, follow, in_eval_mode


class OneOutput(nn.Module):
    """A network that gives one of another's outputs alone.

    Args:
        network: the other; its weights are shared.
        path: where the output lies in what it returns.
    """

    def __init__(self, network: nn.Module, path: Path) -> None:
        super().__init__()
        self.network, self.path = network, path
        self.training = network.training

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """The output."""
        return follow(self.network(*args, **kwargs), self.path)


def chosen(model: Classifier, output: str | int | None, task: str | None = None) -> Classifier:
    """Return the classifier that gives one output of a model's, and says what it means.

    Args:
        model: what `load_model` gives.
        output: its key, field or place, see `explain`; None where the model has but one.
        task: what it means, see `explain`; None for what the model itself shows.

    Raises:
        InputError: there is no such output or task, or the output is of another task.
        ClassError: the output has another number of classes than there are names.
        ModelError: the model does not run.
    """
    if output is not None:
        model = _of_output(model, output)
    if task is None or model.num_classes is None:
        return model
    meant = tasks.task_of(task, model.num_classes, None, model.class_names)
    return replace(model, task=meant)


def _of_output(model: Classifier, output: str | int) -> Classifier:
    with in_eval_mode(model.module):
        trace = observed(model.module, (model.example(),), {})
    path, logits = returned_logits(trace, output)
    count = logits[0].numel()
    names = model.class_names if model.num_classes in (None, count) else None  # another's
    module = OneOutput(model.module, path)
    return replace(model, module=module, num_classes=count, class_names=names)
