"""Questions to a result: predict, transform and distances at every SIMD level, dtype and layout."""

import numpy as np
import pytest

from ckmeans import kmeans


def distances_of(X, centroids):
    """(n, k), columns added in order."""
    squares = np.zeros((len(X), len(centroids)))
    for x, c in zip(X.T.astype(np.float64), centroids.T, strict=True):
        squares += np.square(x[:, None] - c)
    return np.sqrt(squares)


LAYOUTS = {
    "float64": lambda X: X,
    "float32": lambda X: X.astype("f4"),
    "float16": lambda X: X.astype("f2"),
    "int16": lambda X: (X * 9).astype("i2"),
    "Fortran": np.asfortranarray,
    "columns": lambda X: np.repeat(X, 2, axis=1)[:, ::2],
}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("k, d", [(1, 1), (3, 2), (15, 3), (16, 8), (17, 9), (40, 130)])
def test_distances_have_the_bits_of_a_plain_loop(level, layout, k, d):
    rng = np.random.default_rng(k)
    X = LAYOUTS[layout](rng.normal(size=(101, d)) * 3 + 100)
    result = kmeans(X, k, init=X[:k], max_iter=2)
    for rows in (X, X[:1], X[:5], X[50:47:-1]):
        expected = distances_of(rows, result.centroids)
        found = result.transform(rows)
        assert found.dtype == np.float64
        np.testing.assert_array_equal(found, expected)
        np.testing.assert_array_equal(result.predict(rows), expected.argmin(axis=1))
        np.testing.assert_array_equal(result.distances(rows), expected.min(axis=1))


def test_threads_fill_every_row():
    X = np.random.default_rng(0).normal(size=(400_000, 3)).astype("f4")
    result = kmeans(X, 5, 0, max_iter=3)
    expected = distances_of(X, result.centroids)
    np.testing.assert_array_equal(result.transform(X), expected)
    np.testing.assert_array_equal(result.predict(X), expected.argmin(axis=1))
    np.testing.assert_array_equal(result.distances(X), expected.min(axis=1))


def test_standardised_rows_are_measured_in_standard_deviations():
    X = np.random.default_rng(1).normal(size=(200, 4)) * [1, 10, 1e3, 1e-3]
    result = kmeans(X, 6, 0, scale="std")
    Z, centroids = (X - X.mean(axis=0)) / X.std(axis=0), result.centroids
    expected = distances_of(Z, (centroids - X.mean(axis=0)) / X.std(axis=0))
    np.testing.assert_allclose(result.transform(X), expected, rtol=1e-12)
    np.testing.assert_array_equal(result.predict(X), result.labels)
