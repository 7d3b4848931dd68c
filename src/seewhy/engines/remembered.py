"""Engines made by name, remembered for as long as the network lives and its weights stay."""

from __future__ import annotations

import weakref
from typing import Any

import torch
from torch import nn

from seewhy.engines import make_engine
from seewhy.engines.engine import Engine, require_tensor
from seewhy.engines.weights import Stamp, stamp
from seewhy.heads import Head

_Key = tuple[str, int, tuple[int, ...]]  # the name, the threads, the size of the pictures
_Remembered = dict[_Key, tuple[Engine, Head, Stamp]]

_CACHE: weakref.WeakKeyDictionary[nn.Module, _Remembered] = weakref.WeakKeyDictionary()


def engine_named(name: str, model: nn.Module, head: Head, images: Any) -> Engine:
    """The engine of that name in float32; made anew where it is no longer the same network.

    Raises:
        InputError, ModelError, MissingExtraError: as `make_engine`.
    """
    batch = require_tensor(name, images)
    key = name, torch.get_num_threads(), tuple(batch.shape[1:])
    now = stamp(model)
    made, of, then = _CACHE.get(model, {}).get(key, (None, None, None))
    if made is None or of is not head or then != now:
        made = make_engine(model, head, name, example=batch)
        _CACHE.setdefault(model, {})[key] = made, head, now
    return made
