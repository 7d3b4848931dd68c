"""Data sets: pictures with class labels, from Parquet, folders and the CIFAR archives."""

from seewhy.datasets.dataset import Dataset, check_fits
from seewhy.datasets.load import load_dataset
from seewhy.datasets.split import Pixels, Split

__all__ = ["Dataset", "Pixels", "Split", "check_fits", "load_dataset"]
