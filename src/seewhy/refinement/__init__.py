"""Where the object is: evidence spread among what is alike to the network. See `refine`.

`narrows` finds features on a finer grid in the pass; `seen` picks them up while the pictures are
explained; `affinity` is the algebra; `looks` puts it together, for one look at the pictures or
several.
"""

from seewhy.refinement.looks import refine
from seewhy.refinement.refined import WORDS, Refined

__all__ = ["WORDS", "Refined", "refine"]
