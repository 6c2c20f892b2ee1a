"""Exact k-means for NumPy, with a compiled core."""

import os

from ckmeans import _lloyd
from ckmeans._elbow import elbow
from ckmeans._iterate import Progress
from ckmeans._kmeans import kmeans
from ckmeans._results import ElbowResult, KMeansResult
from ckmeans._validation import ConvergenceWarning
from ckmeans._version import __version__

__all__ = [
    "ConvergenceWarning",
    "ElbowResult",
    "KMeansResult",
    "Progress",
    "__version__",
    "elbow",
    "kmeans",
]

_lloyd.choose_simd(os.environ.get("CKMEANS_SIMD"))
