"""Graft: a model file of ONNX gains outputs that carry its evidence maps, without PyTorch.

One file an idea: `opening` reads a file, `graph` indexes it, `running` runs it, `walk` goes back
from the logits by the `rules`, `head` holds what was found, `nodes` and `writing` add to the graph,
`certifying` runs the result, `make` does all of this in order, and `saving` writes it down.
"""

from seewhy.graft.head import OnnxHead
from seewhy.graft.make import Grafted, find, graft

__all__ = ["Grafted", "OnnxHead", "find", "graft"]
