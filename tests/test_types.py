"""What a type checker says of a user's program is what the program gets.

pytest runs this file, mypy and pyright read it: `mypy --strict tests/test_types.py`.
"""

from typing import assert_type

import dask.array as da
import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

import ckmeans
from ckmeans import (
    BisectingKMeans,
    Clusterability,
    ElbowResult,
    KMeans,
    KMeansBatchResult,
    KMeansResult,
    MiniBatchKMeans,
    Progress,
    check_clusterability,
    elbow,
    kmeans,
    kmeans_batch,
    silhouette,
)
from ckmeans.datasets import xclara

X = xclara()


def test_a_result() -> None:
    result = assert_type(kmeans(X, 3, seed=0, n_init=2, refine="swap"), KMeansResult)
    floats: list[NDArray[np.float64]] = [
        assert_type(result.centroids, NDArray[np.float64]),
        assert_type(result.cluster_inertias, NDArray[np.float64]),
        assert_type(result.run_inertias, NDArray[np.float64]),
        assert_type(result.transform(X), NDArray[np.float64]),
        assert_type(result.distances(X), NDArray[np.float64]),
    ]
    assert {array.dtype for array in floats} == {np.dtype(np.float64)}
    assert assert_type(result.labels, NDArray[np.int32]).dtype == np.int32
    assert assert_type(result.predict(X), NDArray[np.int32]).dtype == np.int32
    assert assert_type(result.sizes, NDArray[np.int64]).dtype == np.int64
    assert type(assert_type(result.inertia, float)) is float
    assert type(assert_type(result.n_iter, int)) is int
    assert type(assert_type(result.converged, bool)) is bool
    assert assert_type(result.scale, NDArray[np.float64] | None) is None
    assert_type(result.sorted(by="position"), KMeansResult)
    assert isinstance(assert_type(result.plot(X, Figure().add_subplot()), Axes), Axes)


def test_dask_in_dask_out() -> None:
    chunks: da.Array = da.asarray(X).rechunk((1000, 2))  # type: ignore[no-untyped-call]
    result = kmeans(X, 3, seed=0)
    model = KMeans(3, random_state=0).fit(X)
    lazy = [
        assert_type(result.predict(chunks), da.Array),
        assert_type(result.transform(chunks), da.Array),
        assert_type(result.distances(chunks), da.Array),
        assert_type(model.predict(chunks), da.Array),
        assert_type(model.transform(chunks), da.Array),
        assert_type(BisectingKMeans(3).fit(X).predict(chunks), da.Array),
    ]
    assert all(isinstance(array, da.Array) for array in lazy)
    assert_type(ckmeans.dask.kmeans(chunks, 3, seed=0), KMeansResult)


def test_an_elbow() -> None:
    curve = assert_type(elbow(X, range(1, 6), seed=0), ElbowResult)
    assert assert_type(curve.ks, NDArray[np.int64]).dtype == np.int64
    assert assert_type(curve.inertias, NDArray[np.float64]).dtype == np.float64
    assert assert_type(curve.knee, int | None) == 3
    assert_type(curve.results[0], KMeansResult)
    assert_type(curve.plot(Figure().add_subplot()), Axes)


def test_estimators() -> None:
    model = assert_type(KMeans(3, random_state=0).set_params(n_init=2).fit(X), KMeans)
    assert assert_type(model.labels_, NDArray[np.int32]).dtype == np.int32
    assert assert_type(model.fit_predict(X), NDArray[np.int32]).dtype == np.int32
    assert type(assert_type(model.inertia_, float)) is float
    assert type(assert_type(model.n_iter_, int)) is int
    assert type(assert_type(model.score(X), float)) is float
    assert assert_type(model.get_feature_names_out(), NDArray[np.object_]).dtype == object
    stream = assert_type(MiniBatchKMeans(3, random_state=0).partial_fit(X), MiniBatchKMeans)
    assert type(assert_type(stream.n_steps_, int)) is int
    assert assert_type(stream.predict(X), NDArray[np.int32]).dtype == np.int32
    tree = assert_type(BisectingKMeans(3, random_state=0).fit(X), BisectingKMeans)
    assert assert_type(tree.predict(X), NDArray[np.int32]).dtype == np.int32


def test_the_rest() -> None:
    batch = assert_type(kmeans_batch(X.reshape(3, 1000, 2), 2, seed=0), KMeansBatchResult)
    assert assert_type(batch.inertia, NDArray[np.float64]).dtype == np.float64
    assert_type(batch[0], KMeansResult)
    assert type(assert_type(silhouette(X, kmeans(X, 3, seed=0).labels), float)) is float
    found = assert_type(check_clusterability(X, seed=0), Clusterability)
    assert type(assert_type(found.uniform, bool)) is bool

    def stop(progress: Progress) -> bool:
        return progress.iteration > 1

    kmeans(X, 3, seed=0, callback=stop)
    assert_type(ckmeans.__version__, str)
    assert_type(ckmeans.get_include(), str)


def test_what_a_checker_refuses() -> None:
    """An ignore that nothing needs is an error of mypy's and of pyright's."""
    with pytest.raises(ValueError, match="scale"):
        kmeans(X, 3, scale="max")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="by must be"):
        kmeans(X, 3, seed=0).sorted(by="name")  # type: ignore[arg-type]
    with pytest.raises(AttributeError):
        ckmeans.kmean  # type: ignore[attr-defined] # noqa: B018
