"""How a network is trained: every number in one frozen value, checked when it is made."""

from __future__ import annotations

import math
import warnings
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal, get_args

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from seewhy.errors import InputError

Precision = Literal["auto", "float32", "bfloat16"]

LR_WITH_BATCH_NORM, LR_WITHOUT = 0.2, 0.02
LR_SHARE_OF_TRAINED = 0.1  # of these, for a network that starts from trained weights
PAYS_TO_COMPILE = 500_000  # pictures: 15 % of their time makes up for half a minute of compiling


@dataclass(frozen=True)
class Recipe:
    """SGD with Nesterov momentum on a one-cycle schedule, and all that its result depends on.

    Attributes:
        epochs: how often each picture is seen.
        lr: the highest learning rate; None leaves it to the network: high where BatchNorm keeps it
            steady, a tenth of that for trained weights.
        batch_size: pictures a step, over all processes together.
        seed: of the first weights, the order of the pictures, augmentation and dropout.
        validation: share of the training pictures that is held out and scored after each epoch.
        momentum: Nesterov's.
        weight_decay: on weights of two dimensions and more; BatchNorm and biases have none.
        label_smoothing: share of the target that is spread over all classes.
        warm_up: share of the steps in which the learning rate rises in a straight line; it falls to
            zero in a straight line afterwards.
        average: share of the run over which the saved weights are averaged (exponentially).
        trunk: share of the learning rate for trained layers, where new ones stand beside them.
        margin: share of each side by which random crops may shift a picture.
        hole: share of each side that the largest hole has, which is painted over a picture; for
            long runs, that would learn their pictures by heart.
        cutout: share of each side that the hole has in every picture, instead of one of any size.
        hide_and_seek: share of the patches of a picture, 4 x 4 of them, that get the mean colour.
        cutmix: alpha of the Beta distribution that says how much of a picture stays; the rest is a
            rectangle of another one of its batch, and so is the label. 0 mixes none.
        flip: whether pictures are mirrored, left to right, in every other epoch.
        precision: "bfloat16" for mixed precision, "float32", or "auto": what the processor has.
        compile: whether `torch.compile` translates the network; None: where it pays.
        half: whether the weights are saved, and scored, in float16.

    Raises:
        InputError: on construction, when a value makes no sense.
    """

    epochs: int = 40
    lr: float | None = None
    batch_size: int = 128
    seed: int = 0
    validation: float = 0.0
    momentum: float = 0.9
    weight_decay: float = 5e-4
    label_smoothing: float = 0.05
    warm_up: float = 0.15
    average: float = 0.02
    trunk: float = 0.1
    margin: float = 0.125
    hole: float = 0.0
    cutout: float = 0.0
    hide_and_seek: float = 0.0
    cutmix: float = 0.0
    flip: bool = True
    precision: Precision = "auto"
    compile: bool | None = None
    half: bool = False

    def __post_init__(self) -> None:
        for name in ("epochs", "batch_size"):
            _check(name, self, "a whole number above 0", lambda count: count >= 1, int)
        _check("seed", self, "a whole number from 0", lambda seed: 0 <= seed < 2**63, int)
        if self.lr is not None:
            _check("lr", self, "a finite number above 0", lambda lr: 0 < lr < math.inf)
        for name in ("weight_decay", "cutmix"):
            _check(name, self, "a finite number from 0", lambda value: 0 <= value < math.inf)
        for name in (
            "validation",
            "momentum",
            "label_smoothing",
            "warm_up",
            "average",
            "margin",
            "hole",
            "cutout",
            "hide_and_seek",
        ):
            _check(name, self, "a share from 0, below 1", lambda share: 0 <= share < 1)
        _check("trunk", self, "a share from 0 to 1", lambda share: 0 <= share <= 1)
        if self.hole and self.cutout:
            raise InputError(
                "cutout", expected="no hole beside it", got=f"hole {self.hole}", fix="choose one"
            )
        kinds = get_args(Precision)
        _check("precision", self, ", ".join(kinds), lambda precision: precision in kinds, str)

    def settled(
        self, module: nn.Module, *, pictures: int, device: torch.device, is_trained: bool
    ) -> Recipe:
        """Return the recipe with what was left open decided for a network and a machine."""
        return replace(
            self,
            lr=self.lr or usual_lr(module, is_trained=is_trained),
            batch_size=min(self.batch_size, pictures),
            precision=_best_precision(device) if self.precision == "auto" else self.precision,
            compile=_pays(self.epochs * pictures, device) if self.compile is None else self.compile,
        )

    def account(self) -> dict[str, Any]:
        """Return every setting by name, as JSON can hold it."""
        return asdict(self)


def usual_lr(module: nn.Module, *, is_trained: bool) -> float:
    """Return a highest learning rate that networks of this kind stand."""
    has_norm = any(isinstance(each, _BatchNorm) for each in module.modules())
    lr = LR_WITH_BATCH_NORM if has_norm else LR_WITHOUT
    return lr * LR_SHARE_OF_TRAINED if is_trained else lr


def _best_precision(device: torch.device) -> Precision:
    if device.type == "cuda":
        has_it = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        has_it = device.type == "cpu" and _cpu_has_bfloat16()
    return "bfloat16" if has_it else "float32"


def _cpu_has_bfloat16() -> bool:
    """Whether the processor multiplies bfloat16 itself; where it does not, that is slower."""
    asked = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    return any(getattr(torch.cpu, name, bool)() for name in asked)


def _pays(pictures: int, device: torch.device) -> bool:
    return pictures >= PAYS_TO_COMPILE and _can_compile(device)


def _can_compile(device: torch.device) -> bool:
    """Whether what `torch.compile` needs is here: a C++ compiler, Triton. There is no list."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            torch.compile(torch.neg)(torch.ones(8, device=device))
    except Exception:  # whatever its layers raise
        return False
    return True


def _check(name: str, recipe: Recipe, expected: str, holds: Any, kind: type = float) -> None:
    value = getattr(recipe, name)
    fits = isinstance(value, (int, float) if kind is float else kind)
    if not fits or isinstance(value, bool) or not holds(value):  # NaN compares false
        raise InputError(name, expected=expected, got=repr(value), fix=f"pass another {name}")
