"""The comparison: seewhy's maps beside those of other methods, on the same pictures.

    result = compare(model, ["cat.jpg", "dog.jpg", ...])
    print(result.table())
    result.save("comparison.pdf")

Three questions are asked of each method: what does a map cost, do its maps for a picture's two top
classes differ, and where does it point in a mosaic of four pictures of four classes?
"""

from __future__ import annotations

from seewhy.comparison.compare import compare
from seewhy.comparison.result import Comparison, Cost, Mean, Score, Shown

__all__ = ["Comparison", "Cost", "Mean", "Score", "Shown", "compare"]
