"""The nets that can be trained here: a shape, to which weights have to be given."""

from __future__ import annotations

from seewhy.errors import ModelError
from seewhy.models.folder import shipped
from seewhy.models.nets import NETS
from seewhy.models.parts import Parts, Request


def load(request: Request) -> Parts:
    """Return a net with random weights.

    Raises:
        ModelError: pretrained weights are wanted; of a net alone there are none.
    """
    net = NETS[request.name]
    if not request.pretrained:
        return Parts(net.build(request.num_classes or net.num_classes), net.preprocess)
    trained = [name for name in shipped() if name.startswith(f"{request.name}-")]
    raise ModelError(
        f"model {request.spec}",
        expected="weights, which this net has none of by itself",
        got="none",
        fix=f"{''.join(f'load {name}, ' for name in trained)}train it by `seewhy train "
        f"{request.name} --data PATH`, pass weights=FILE, or pretrained=False for random ones",
    )
