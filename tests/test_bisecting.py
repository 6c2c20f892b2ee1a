"""Bisecting k-means by scikit-learn's conventions."""

import pickle
import sys

import numpy as np
import pytest
import scipy.sparse
import sklearn.cluster
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils.estimator_checks import parametrize_with_checks

from ckmeans import BisectingKMeans, kmeans
from ckmeans.datasets import xclara

# Starts are drawn by row number: as for KMeans.
ORDER_OF_ROWS = {
    f"check_sample_weight_equivalence_on_{kind}_data": "starts depend on the order of the rows"
    for kind in ("dense", "sparse")
}


@parametrize_with_checks(
    [BisectingKMeans(n_clusters=3)], expected_failed_checks=lambda estimator: ORDER_OF_ROWS
)
def test_conventions(estimator, check):
    check(estimator)


def test_parameters_are_scikit_learns():
    theirs = sklearn.cluster.BisectingKMeans().get_params()
    ours = BisectingKMeans().get_params()
    assert {name: ours[name] for name in theirs} == theirs
    assert set(ours) - set(theirs) == {"n_threads"}


@pytest.mark.parametrize("strategy", ["biggest_inertia", "largest_cluster"])
def test_splits_like_scikit_learn(strategy):
    """Blobs far apart, of different sizes: every split is the same whatever its start."""
    rng = np.random.default_rng(0)
    centres = np.array([[0, 0], [9, 0], [100, 0], [100, 30], [105, 30]])
    X = np.repeat(centres, [50, 70, 20, 30, 90], axis=0) + rng.normal(size=(260, 2))
    for k in (1, 2, 3, 4):
        options = {"n_clusters": k, "bisecting_strategy": strategy, "n_init": 5, "random_state": 0}
        ours = BisectingKMeans(**options).fit(X)
        theirs = sklearn.cluster.BisectingKMeans(**options).fit(X)
        assert np.isclose(ours.inertia_, theirs.inertia_)
        order = np.lexsort(ours.cluster_centers_.T), np.lexsort(theirs.cluster_centers_.T)
        assert np.allclose(ours.cluster_centers_[order[0]], theirs.cluster_centers_[order[1]])


def test_clusters_agree_with_their_rows():
    X = xclara()
    weight = np.arange(len(X)) % 3
    model = BisectingKMeans(7, random_state=1, tol=0).fit(X, sample_weight=weight)
    assert np.array_equal(model.predict(X), model.labels_)
    assert sorted(set(model.labels_)) == list(range(7))
    inertia = 0.0
    for j, center in enumerate(model.cluster_centers_):
        own = model.labels_ == j
        assert np.allclose(center, np.average(X[own], axis=0, weights=weight[own]))
        inertia += weight[own] @ np.square(X[own] - center).sum(axis=1)
    assert np.isclose(model.inertia_, inertia)
    assert model.inertia_ >= kmeans(X, 7, 0, n_init=10, sample_weight=weight).inertia
    again = pickle.loads(pickle.dumps(model))
    assert np.array_equal(again.predict(X[::-1]), model.labels_[::-1])


def test_takes_sparse_rows_and_prints(capsys):
    sparse = pytest.importorskip("scipy.sparse")
    X = np.where(xclara() > 10, xclara(), 0)
    dense = BisectingKMeans(5, random_state=0, verbose=1).fit(X)
    assert "5 clusters, inertia" in capsys.readouterr().out
    model = BisectingKMeans(5, random_state=0).fit(sparse.csr_array(X))
    assert np.array_equal(model.labels_, dense.labels_)
    assert np.array_equal(model.predict(sparse.csr_array(X)), dense.labels_)


def test_equal_rows_are_not_split():
    X = np.repeat([[0.1], [0.7]], 30, axis=0)
    with pytest.warns(ConvergenceWarning, match=r"Number of distinct clusters \(2\)"):
        model = BisectingKMeans(4, random_state=0).fit(X)
    assert len(model.cluster_centers_) == 2


def test_more_splits_than_the_interpreter_recurses():
    X = 1.3 ** np.arange(0, -1.1 * sys.getrecursionlimit(), -1.0)[:, None]
    model = BisectingKMeans(len(X), random_state=0, n_threads=1).fit(X)
    assert len(model.cluster_centers_) == len(X)
    assert np.array_equal(pickle.loads(pickle.dumps(model)).predict(X), model.labels_)


@pytest.mark.parametrize("kind", (np.asarray, scipy.sparse.csr_array))
def test_a_callable_starts_each_split(kind):
    X = xclara()
    calls = []

    def init(rows, k, random_state):
        calls.append(rows.shape[0])
        assert k == 2 and isinstance(random_state, np.random.RandomState)
        chosen = rows[random_state.randint(rows.shape[0], size=k)]
        return chosen.toarray() if scipy.sparse.issparse(chosen) else chosen

    model = BisectingKMeans(3, init=init, n_init=2, random_state=0).fit(kind(X))
    assert len(calls) == 4 and calls[:2] == [3000, 3000] and calls[2] == calls[3] < 3000
    assert model.inertia_ < 1.1 * BisectingKMeans(3, n_init=5, random_state=0).fit(X).inertia_
    assert np.array_equal(model.predict(kind(X)), model.labels_)
    for wrong, message in ((X[:3], "number of clusters 2"), (X[:2, :1], "features of the data 2")):
        with pytest.raises(ValueError, match=f"shape of the initial centers .* {message}"):
            BisectingKMeans(3, init=lambda *_, wrong=wrong, **__: wrong).fit(kind(X))


def test_more_clusters_than_rows():
    with pytest.raises(ValueError, match="n_samples=3 should be >= n_clusters=8"):
        BisectingKMeans().fit(xclara()[:3])
