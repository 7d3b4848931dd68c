"""Data sets: pictures with class labels, from Parquet, folders and the CIFAR archives."""

from seewhy.datasets.dataset import Dataset
from seewhy.datasets.load import load_dataset
from seewhy.datasets.matching import logit_ids
from seewhy.datasets.split import Pixels, Split

__all__ = ["Dataset", "Pixels", "Split", "load_dataset", "logit_ids"]
