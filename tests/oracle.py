"""What k-means must give, in NumPy loops that can be checked by eye."""

import math

import numpy as np


def squares(X, centroids):
    """Squared distances (n, k): float64 sums of (x - c)^2, column by column."""
    X = np.asarray(X, dtype=np.float64)
    total = np.zeros((len(centroids), len(X)))
    for x, c in zip(X.T, np.asarray(centroids).T, strict=True):
        total += (x - c[:, None]) ** 2  # NumPy is fast along the rows, of which there are many
    return total.T


def nearest(X, centroids):
    """Index of each row's nearest centroid, the lowest on ties."""
    return squares(X, centroids).argmin(axis=1)


def lloyd(X, centroids, weight, n_iter):
    """Centroids after so many iterations in which no cluster is emptied."""
    for _ in range(n_iter):
        labels = nearest(X, centroids)
        centroids = np.array(
            [np.average(X[labels == j], axis=0, weights=weight[labels == j])
             for j in range(len(centroids))]
        )  # fmt: skip
    return centroids


def assert_fixed_point(X, result, weight=None):
    """Labels are the float64 argmin, centroids their rows' means, the inertia their squares'."""
    X = np.asarray(X, dtype=np.float64)
    weight = np.ones(len(X)) if weight is None else np.asarray(weight, dtype=np.float64)
    distance2 = squares(X, result.centroids)
    np.testing.assert_array_equal(result.labels, distance2.argmin(axis=1))
    rounding = 16 * (np.finfo(float).eps * np.abs(X).max(axis=0) + 5e-324)
    for j, centroid in enumerate(result.centroids):
        own = (result.labels == j) & (weight > 0)
        if own.any():
            sums = [math.fsum(column) for column in (weight[own, None] * X[own]).T]
            error = np.abs(centroid - np.array(sums) / math.fsum(weight[own]))
            assert (error <= rounding).all(), (j, error / rounding)
    inertia = math.fsum(weight * distance2.min(axis=1))
    assert math.isclose(result.inertia, inertia, rel_tol=1e-12, abs_tol=1e-300)
    assert math.isclose(result.cluster_inertias.sum(), inertia, rel_tol=1e-12, abs_tol=1e-300)
    sizes = np.bincount(result.labels, minlength=len(result.centroids))
    np.testing.assert_array_equal(result.sizes, sizes)


def assert_same_bits(result, expected):
    """Two results of the same clustering, whichever way it was computed."""
    np.testing.assert_array_equal(result.labels, expected.labels)
    np.testing.assert_array_equal(result.centroids, expected.centroids)
    np.testing.assert_array_equal(result.cluster_inertias, expected.cluster_inertias)
    np.testing.assert_array_equal(result.run_inertias, expected.run_inertias)
    assert result.n_iter == expected.n_iter and result.converged == expected.converged
