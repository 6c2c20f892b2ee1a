"""Exact k-means for NumPy, with a compiled core."""

from typing import TYPE_CHECKING, Any

from ckmeans._version import __version__

if TYPE_CHECKING:
    from ckmeans import dask as dask
    from ckmeans import datasets as datasets
    from ckmeans import out_of_core as out_of_core
    from ckmeans._batch import KMeansBatchResult, kmeans_batch
    from ckmeans._clusterability import Clusterability, check_clusterability
    from ckmeans._config import get_include, show_config
    from ckmeans._elbow import elbow
    from ckmeans._iterate import Progress
    from ckmeans._kmeans import kmeans
    from ckmeans._quality import silhouette
    from ckmeans._results import ElbowResult, KMeansResult
    from ckmeans._validation import ConvergenceWarning
    from ckmeans.bisecting import BisectingKMeans
    from ckmeans.estimator import KMeans
    from ckmeans.minibatch import MiniBatchKMeans

    __all__ = [
        "BisectingKMeans",
        "Clusterability",
        "ConvergenceWarning",
        "ElbowResult",
        "KMeans",
        "KMeansBatchResult",
        "KMeansResult",
        "MiniBatchKMeans",
        "Progress",
        "__version__",
        "check_clusterability",
        "elbow",
        "get_include",
        "kmeans",
        "kmeans_batch",
        "show_config",
        "silhouette",
    ]

# Each name loads its module on first use, which keeps `import ckmeans` at NumPy's own cost.
_HOME = {
    "BisectingKMeans": "bisecting",
    "Clusterability": "_clusterability",
    "ConvergenceWarning": "_validation",
    "ElbowResult": "_results",
    "KMeans": "estimator",
    "KMeansBatchResult": "_batch",
    "KMeansResult": "_results",
    "MiniBatchKMeans": "minibatch",
    "Progress": "_iterate",
    "check_clusterability": "_clusterability",
    "elbow": "_elbow",
    "get_include": "_config",
    "kmeans": "_kmeans",
    "kmeans_batch": "_batch",
    "show_config": "_config",
    "silhouette": "_quality",
    "dask": "",
    "datasets": "",
    "out_of_core": "",
}
# What is neither imported by a star nor shown where its library is not installed.
_NEEDS = {
    "BisectingKMeans": "sklearn",
    "KMeans": "sklearn",
    "MiniBatchKMeans": "sklearn",
    "dask": "dask",
}


if not TYPE_CHECKING:  # which would take any name for one of the package

    def __getattr__(name: str) -> Any:
        if name == "__all__":  # when it is asked for: to look for libraries takes time
            public = {name for name in _HOME if _HOME[name]} | {"__version__"}
            return sorted(public - _missing())
        if name not in _HOME:
            raise AttributeError(f"module 'ckmeans' has no attribute {name!r}")
        from importlib import import_module

        if not _HOME[name]:
            return import_module(f"ckmeans.{name}")
        value = getattr(import_module(f"ckmeans.{_HOME[name]}"), name)
        globals()[name] = value
        return value


def _missing() -> set[str]:
    from importlib.util import find_spec

    absent = {library for library in _NEEDS.values() if find_spec(library) is None}
    return {name for name, library in _NEEDS.items() if library in absent}


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOME} - _missing())
