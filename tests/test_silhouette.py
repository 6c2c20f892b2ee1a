"""silhouette() against the definition in NumPy and against scikit-learn."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ckmeans import kmeans, silhouette
from ckmeans.datasets import xclara


def by_definition(X, labels, centroids=False):
    """Silhouette of each row, from all distances to rows or to the clusters' means."""
    X = np.asarray(X, dtype=np.float64)
    widths = np.zeros(len(X))
    for i, x in enumerate(X):
        to = {}
        for label in np.unique(labels):
            members = X[labels == label]
            if centroids:
                to[label] = np.linalg.norm(x - members.mean(axis=0))
            else:
                own = label == labels[i]
                to[label] = np.linalg.norm(members - x, axis=1).sum() / max(1, len(members) - own)
        a = to.pop(labels[i])
        b = min(to.values())
        if (labels == labels[i]).sum() > 1 and max(a, b) > 0:
            widths[i] = (b - a) / max(a, b)
    return widths


def clustered(n, d, k, seed, dtype=np.float64):
    """Rows, and labels 0..k-1 that all occur but are not those of any k-means."""
    rng = np.random.default_rng(seed)
    X = (rng.integers(0, 9, (n, d)) + 0.5 * rng.integers(0, 2, (n, d))).astype(dtype)
    return X, rng.permutation(np.concatenate([np.arange(k), rng.integers(0, k, n - k)]))


@given(
    n=st.integers(3, 60), d=st.integers(1, 9), k=st.integers(2, 12), seed=st.integers(0, 10**6),
    dtype=st.sampled_from([np.float32, np.float64, np.uint8, np.float16]),
)  # fmt: skip
def test_equal_to_the_definition(n, d, k, seed, dtype):
    X, labels = clustered(n, d, min(k, n - 1), seed, dtype)
    expected = by_definition(X, labels, centroids=True).mean()
    assert silhouette(X, labels) == pytest.approx(expected, abs=1e-9)
    expected = by_definition(X, labels).mean()
    assert silhouette(X, labels, sample=n) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize(("n", "d", "k"), [(700, 2, 3), (1000, 17, 40), (300, 1, 2)])
def test_equal_to_scikit_learns(n, d, k):
    metrics = pytest.importorskip("sklearn.metrics")
    X, labels = clustered(n, d, k, n)
    score = metrics.silhouette_score(X, labels)
    assert silhouette(X, labels, sample=n) == pytest.approx(score, abs=1e-12)
    assert silhouette(X, 7 * labels - 100, sample=n) == pytest.approx(score, abs=1e-12)


def test_a_sample_is_measured_against_all_rows():
    X, labels = clustered(400, 3, 5, 0)
    widths = by_definition(X, labels)
    chosen = np.random.default_rng(7).choice(400, 150, replace=False)
    found = silhouette(X, labels, sample=150, seed=7)
    assert found == pytest.approx(widths[chosen].mean(), abs=1e-12)
    assert found != silhouette(X, labels, sample=150, seed=8)


def test_blocks_and_threads_do_not_matter(monkeypatch):
    X = xclara()
    labels = kmeans(X, 3, 0, n_init=5).labels
    expected = silhouette(X, labels), silhouette(X, labels, sample=1000, seed=1)
    assert expected == (silhouette(X, labels, n_threads=5),
                        silhouette(X, labels, sample=1000, seed=1, n_threads=5))  # fmt: skip
    monkeypatch.setattr("ckmeans._quality.SCRATCH", 70)
    monkeypatch.setattr("ckmeans._quality.CHOSEN", 33)
    found = silhouette(X, labels), silhouette(X, labels, sample=1000, seed=1)
    assert found == pytest.approx(expected, abs=1e-13)


def test_standardised_columns():
    X = xclara() * [1, 1000]
    labels = kmeans(X, 3, 0, n_init=5, scale="std").labels
    standard = (X - X.mean(axis=0)) / X.std(axis=0)
    assert silhouette(X, labels, scale="std") == pytest.approx(silhouette(standard, labels))
    assert silhouette(X, labels, scale="std") > silhouette(X, labels) + 0.01


def test_clusters_of_one_and_equal_rows_count_as_0():
    X = np.array([[0.0], [0.0], [0.0], [0.0], [9.0]])
    assert silhouette(X, [0, 0, 1, 1, 2]) == 0
    assert silhouette(X, [0, 0, 1, 1, 2], sample=5) == 0
    assert silhouette(X, [0, 0, 0, 0, 2]) == pytest.approx(0.8)


X = np.arange(12.0).reshape(6, 2)


@pytest.mark.parametrize(
    ("labels", "options", "error", "message"),
    [
        ([0, 1], {}, ValueError, r"labels must have shape \(6,\)"),
        ([0.0, 1, 0, 1, 0, 1], {}, TypeError, "labels must hold integers"),
        (["a"] * 6, {}, TypeError, "labels must hold integers"),
        ([3] * 6, {}, ValueError, "labels must hold 2 to 5 different values, got 1"),
        (range(6), {}, ValueError, "got 6"),
        ([0, 0, 0, 1, 1, 1], {"sample": 7}, ValueError, "sample must be between 1 and"),
        ([0, 0, 0, 1, 1, 1], {"sample": 0}, ValueError, "sample must be"),
        ([0, 0, 0, 1, 1, 1], {"sample": 2.5}, TypeError, "sample must be an integer"),
        ([0, 0, 0, 1, 1, 1], {"sample": 3, "seed": "x"}, TypeError, "seed"),
        ([0, 0, 0, 1, 1, 1], {"scale": "max"}, ValueError, "scale"),
        ([0, 0, 0, 1, 1, 1], {"n_threads": 0}, ValueError, "n_threads"),
    ],
)
def test_bad_input(labels, options, error, message):
    with pytest.raises(error, match=message):
        silhouette(X, labels, **options)
