"""Training: a short recipe, that can be killed at any moment and goes on as if nothing was."""

from seewhy.training.evaluate import Evaluation, evaluate
from seewhy.training.loop import Progress, Stopped
from seewhy.training.recipe import Recipe
from seewhy.training.run import Result, train

__all__ = ["Evaluation", "Progress", "Recipe", "Result", "Stopped", "evaluate", "train"]
