"""Run a network on a finer grid by splitting the operations that stride; the model is not touched.

The operations are met below the model, where its modules call them: no module, hook or parameter
is changed, and other threads may use the model at the same time.
"""

from __future__ import annotations

import contextlib
import weakref
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from seewhy import heads
from seewhy.errors import ModelError
from seewhy.evidence import logit_scale
from seewhy.finer.plan import CannotDilate, Plan, find_plan
from seewhy.finer.windows import NAMES, windows
from seewhy.heads import Head, Seen
from seewhy.observe import in_eval_mode, run_eagerly
from seewhy.wording import complaint

_PLANS: weakref.WeakKeyDictionary[Head, dict[Any, Plan | CannotDilate]] = (
    weakref.WeakKeyDictionary()
)


class Dilated(nn.Module):
    """A network whose grid is finer: a batch of B pictures gives the logits of `views * B`.

    Output `v * B + b` is what view v shows of picture b; view `plan.undisturbed` is the network's
    own. The network is called, not copied.
    """

    def __init__(self, network: nn.Module, plan: Plan) -> None:
        super().__init__()
        self.network, self.plan = network, plan

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Call the network."""
        with _Splitting(self.plan):
            return self.network(*args, **kwargs)


def plan_for(network: nn.Module, head: Head, pictures: Tensor, resolution: int) -> Plan:
    """The plan for pictures of this size, remembered for as long as the head lives.

    A new plan is tried on the first two pictures: its undisturbed view must have the features and
    logits that the network has without it.

    Raises:
        CannotDilate: there is none; this is remembered, too.
    """
    known = _PLANS.setdefault(head, {})
    key = tuple(pictures.shape[1:]), resolution
    if key not in known:
        try:
            known[key] = _verified(network, head, pictures[:2], resolution)
        except CannotDilate as reason:
            known[key] = reason
    found = known[key]
    if isinstance(found, CannotDilate):
        raise found
    return found


def look(network: nn.Module, head: Head, pictures: Tensor, plan: Plan) -> Seen:
    """One pass on the finer grid: logits (views * B, C) and features (views * B, K, H, W)."""
    with ordinary_mode(), _Splitting(plan):
        return heads.look(network, head, (pictures,), {})


def undisturbed(plan: Plan, views: Tensor) -> Tensor:
    """Of what all views gave, what the network gives without any of this."""
    every: Tensor = views.unflatten(0, (plan.views, -1))
    return every[plan.undisturbed]


@contextlib.contextmanager
def ordinary_mode() -> Iterator[None]:
    """No gradients, but no inference mode either: it hides which operations a pass is made of."""
    with torch.inference_mode(mode=False), torch.no_grad():
        yield


def _verified(network: nn.Module, head: Head, pictures: Tensor, resolution: int) -> Plan:
    with ordinary_mode(), in_eval_mode(network), run_eagerly():
        plan = find_plan(network, head, pictures.clone(), resolution)
        usual = heads.look(network, head, (pictures.clone(),), {})
        try:
            finer = look(network, head, pictures.clone(), plan)
        except torch.OutOfMemoryError:
            raise
        except Exception as error:  # a model may say anything to a batch that has grown
            raise CannotDilate(f"cannot be run finer ({complaint(error)})") from error
    tolerance = head.tolerance(usual.logits, usual.features)
    _require_unchanged(plan, usual.features, finer.features, tolerance)
    _require_unchanged(plan, usual.logits, finer.logits, tolerance)
    return plan


def _require_unchanged(plan: Plan, before: Tensor, after: Tensor, tolerance: float) -> None:
    if after.shape[0] != plan.views * before.shape[0]:
        raise CannotDilate("depends on the size of the batch")
    largest = logit_scale(before.flatten(1)).max()
    off = float((undisturbed(plan, after) - before).abs().max() / largest)
    if not off <= tolerance:
        raise CannotDilate(f"does not stay what it was: it is off by {off:.1e}")


class _Splitting(TorchDispatchMode):
    """Runs those operations at more positions that a plan names; every other one as it is."""

    def __init__(self, plan: Plan) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.plan = plan
        self.calls: Counter[str] = Counter()

    def __torch_dispatch__(
        self,
        func: Any,
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        name = func.overloadpacket.__name__
        if name in NAMES:
            split = self.plan.splits.get((name, self.calls[name]))
            self.calls[name] += 1
            if split is not None:
                if windows(name, args, lambda tensor: tuple(tensor.shape)) != split.windows:
                    raise _another_way(name)
                return split.run(func, args)
        return func(*args, **(kwargs or {}))


def _another_way(name: str) -> ModelError:
    return ModelError(
        "finer grid",
        expected=f"the pass that was watched when the finer grid was planned ({name})",
        got="a pass that went another way",
        fix='pass how="shift", or find the head again',
    )
