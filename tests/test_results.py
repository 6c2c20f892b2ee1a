"""Questions to a result: predict, transform and distances at every SIMD level, dtype and layout."""

import numpy as np
import pytest

from ckmeans import elbow, kmeans
from ckmeans.datasets import xclara


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


def test_html_table_has_a_line_for_each_cluster():
    result = kmeans(xclara(), 3, 0, n_init=3).sorted()
    html = result._repr_html_()
    lines = html.split("<tbody>")[1].split("</tr>")[:-1]
    assert [line.split("<td>")[2].split("<")[0] for line in lines] == ["1,149", "952", "899"]
    assert f"{result.centroids[0, 0]:.6g}" in lines[0]
    assert "3,000 rows" in html and f"{result.inertia:.6g}" in html


def test_html_table_says_what_it_leaves_out():
    html = kmeans(np.random.default_rng(0).random((50, 9)), 25, 0)._repr_html_()
    assert html.count("<tr>") == 1 + 20
    assert "and 5 more clusters and 3 more columns" in html


def test_html_table_of_an_elbow_marks_the_knee():
    html = elbow(xclara(), 5, 0, n_init=3)._repr_html_()
    assert html.count("<tr>") == 1 + 5
    assert "<b>3</b>" in html and html.count("<b>") == 3  # one line of three cells
    assert "<td></td>" in html and "nan" not in html  # k = 1 has no variance between clusters
    assert "no knee: " in elbow(xclara(), [3], 0)._repr_html_()


def test_transform_writes_where_it_is_told_to():
    X = xclara()
    result = kmeans(X, 3, seed=0)
    out = np.full((len(X), 3), np.nan)
    assert result.transform(X, out=out) is out
    np.testing.assert_array_equal(out, result.transform(X))


READ_ONLY = np.empty((6, 2))
READ_ONLY.flags.writeable = False


@pytest.mark.parametrize(
    ("out", "error", "message"),
    [
        ([[0.0] * 2] * 6, TypeError, "out must be a NumPy array, got list"),
        (np.empty((6, 3)), ValueError, r"out must be of shape \(6, 2\) .*, got \(6, 3\)"),
        (np.empty((6, 2), "f4"), ValueError, "native float64, got .* and float32"),
        (np.empty((6, 2), ">f8"), ValueError, "native float64, got .* and >f8"),
        (np.empty((6, 2), order="F"), ValueError, "out must be C-contiguous"),
        (READ_ONLY, ValueError, "out must be C-contiguous, aligned and writeable"),
    ],
)
def test_transform_refuses_other_places(out, error, message):
    X = np.arange(12.0).reshape(6, 2)
    with pytest.raises(error, match=message):
        kmeans(X, 2, 0).transform(X, out=out)


def test_transform_does_not_write_over_its_rows():
    X = np.arange(12.0).reshape(6, 2)
    with pytest.raises(ValueError, match="out must not overlap X"):
        kmeans(X, 2, 0).transform(X, out=X)
