"""From one observed forward pass to a frozen, certified `Head`.

`find` watches and verifies; `reading` walks back from the logits by the `rules`; `pooling` and
`layout` tell where the features lie; `affine` runs what was read.
"""

from seewhy.heads.find import arguments, cached_head, find_head, renewed_head, unwrap
from seewhy.heads.head import Head, HeadKind, Seen, look, run

__all__ = [
    "Head",
    "HeadKind",
    "Seen",
    "arguments",
    "cached_head",
    "find_head",
    "look",
    "renewed_head",
    "run",
    "unwrap",
]
