"""Whether a map's evidence is real: change pictures where the map says, and ask the model again.

Each metric is a function `(model, images (B, C, H, W), classes (B,), maps (B, h, w))`; METRICS is
the table of them. `Asked` in the model's place says what its outputs mean and what runs it. A
map may be on its own grid: it is brought to the size of the picture. What the
order of pixels, a filled picture or an imputed one is, is said once, in a file of its own.

None of these metrics is the truth: all of them show the model pictures that it never saw in
training. They are to be read beside the baselines of `seewhy.metrics.baselines`, which know
nothing of the model.
"""

from __future__ import annotations

from seewhy.metrics.faithfulness.asked import Asked
from seewhy.metrics.faithfulness.completeness import Completeness, completeness
from seewhy.metrics.faithfulness.confidence import average_drop, increase, sufficiency
from seewhy.metrics.faithfulness.fills import FILLS
from seewhy.metrics.faithfulness.imputation import impute
from seewhy.metrics.faithfulness.infidelity import Infidelity, infidelity
from seewhy.metrics.faithfulness.order import ranks
from seewhy.metrics.faithfulness.removal import Curve, Road, deletion, insertion, road
from seewhy.metrics.faithfulness.table import METRICS, Metric, choose

__all__ = [
    "FILLS",
    "METRICS",
    "Asked",
    "Completeness",
    "Curve",
    "Infidelity",
    "Metric",
    "Road",
    "average_drop",
    "choose",
    "completeness",
    "deletion",
    "impute",
    "increase",
    "infidelity",
    "insertion",
    "ranks",
    "road",
    "sufficiency",
]
