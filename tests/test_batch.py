"""kmeans_batch(): each problem is what kmeans() gives for it."""

import numpy as np
import pytest

from ckmeans import ConvergenceWarning, kmeans, kmeans_batch

FIELDS = ("centroids", "labels", "inertia", "n_iter", "converged", "sizes", "cluster_inertias",
          "run_inertias")  # fmt: skip


def problems(b, n, d, dtype=np.float32, seed=0):
    rng = np.random.default_rng(seed)
    return (rng.normal(size=(b, n, d)) + rng.integers(0, 4, size=(b, n, 1)) * 3).astype(dtype)


def rngs(seed, b):
    return np.random.default_rng(seed).spawn(b)


def assert_equal_to_kmeans(batch, X, k, seed=0, **options):
    for i, rng in enumerate(rngs(seed, len(X))):
        wanted = kmeans(X[i], k, rng, **options)
        for field in FIELDS:
            np.testing.assert_array_equal(
                getattr(batch[i], field), getattr(wanted, field), err_msg=f"{field} of {i}"
            )


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.uint8, np.int32])
@pytest.mark.parametrize(("n", "d", "k"), [(200, 4, 5), (60, 1, 3), (33, 20, 7), (30, 2, 1),
                                           (300, 3, 40), (5, 3, 5)])  # fmt: skip
def test_problem_by_problem(dtype, n, d, k):
    X = problems(12, n, d, dtype)
    assert_equal_to_kmeans(kmeans_batch(X, k, 0), X, k)


@pytest.mark.parametrize(
    "options",
    [{"n_init": 3}, {"max_iter": 2}, {"tol": 0.01}, {"init": "random"}, {"n_init": 2, "tol": 1.0}],
)
def test_options(options):
    X = problems(20, 150, 3)
    assert_equal_to_kmeans(kmeans_batch(X, 6, 4, **options), X, 6, 4, **options)


def test_large_problems():
    X = problems(3, 20_000, 3)
    assert_equal_to_kmeans(kmeans_batch(X, 8, 1), X, 8, 1)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_layouts(dtype):
    X = problems(9, 80, 12, dtype)
    wanted = kmeans_batch(X[:, :, 2:6].copy(), 4, 0)
    wide = np.ascontiguousarray(X.transpose(1, 0, 2))
    for view in (X[:, :, 2:6], wide.transpose(1, 0, 2)[:, :, 2:6], X.byteswap().view(
        X.dtype.newbyteorder())[:, :, 2:6], np.asfortranarray(X)[:, :, 2:6]):  # fmt: skip
        np.testing.assert_array_equal(kmeans_batch(view, 4, 0).centroids, wanted.centroids)
    backward = kmeans_batch(X[::-1, :, 2:6], 4, 0, init=X[0, :4, 2:6])
    forward = kmeans_batch(X[:, :, 2:6], 4, 0, init=X[0, :4, 2:6])
    np.testing.assert_array_equal(backward.labels[::-1], forward.labels)


def test_far_from_the_origin():
    X = problems(20, 100, 3, np.float64) + 1e8
    assert_equal_to_kmeans(kmeans_batch(X, 5, 0), X, 5)


def test_duplicates_and_too_few_rows():
    X = np.round(problems(30, 40, 2) / 3)
    X[7] = 1.0
    with pytest.warns(ConvergenceWarning, match="fewer distinct rows"):
        batch = kmeans_batch(X, 6, 0)
    with pytest.warns(ConvergenceWarning):
        assert_equal_to_kmeans(batch, X, 6)


@pytest.mark.parametrize("n_threads", [2, 3, 7])
def test_threads(n_threads):
    X = problems(300, 100, 2)
    one, more = (kmeans_batch(X, 5, 0, n_threads=t) for t in (1, n_threads))
    for field in FIELDS:
        np.testing.assert_array_equal(getattr(one, field), getattr(more, field))


def test_fewer_problems_than_threads():
    X = problems(2, 40_000, 2)
    one, more = (kmeans_batch(X, 5, 0, n_threads=t) for t in (1, 7))
    for field in FIELDS:
        np.testing.assert_array_equal(getattr(one, field), getattr(more, field))
    assert_equal_to_kmeans(more, X, 5)


def test_starts():
    X = problems(10, 100, 3)
    each = X[:, :4]
    batch = kmeans_batch(X, 4, init=each, n_init=2)
    for i, x in enumerate(X):
        wanted = kmeans(x, 4, init=each[i], n_init=2)
        np.testing.assert_array_equal(batch[i].labels, wanted.labels)
        np.testing.assert_array_equal(batch[i].run_inertias, wanted.run_inertias)
    shared = kmeans_batch(X, 4, init=X[0, :4])
    np.testing.assert_array_equal(shared[3].labels, kmeans(X[3], 4, init=X[0, :4]).labels)


def test_a_problem_does_not_depend_on_the_others():
    X = problems(50, 60, 3)
    np.testing.assert_array_equal(
        kmeans_batch(X, 4, 9).centroids[:20], kmeans_batch(X[:20], 4, 9).centroids
    )


def test_out():
    X = problems(20, 60, 3)
    first = kmeans_batch(X, 4, 0)
    labels, kept = first.labels, first.labels.copy()
    again = kmeans_batch(X[::-1], 4, 1, out=first)
    assert again is first and again.labels is labels
    np.testing.assert_array_equal(kmeans_batch(X, 4, 0, out=first).labels, kept)
    with pytest.raises(ValueError, match="out must be of b=20, k=5"):
        kmeans_batch(X, 5, 0, out=first)
    with pytest.raises(TypeError, match="out must be a KMeansBatchResult"):
        kmeans_batch(X, 4, 0, out=labels)


def test_bad_input():
    X = problems(5, 60, 3)
    with pytest.raises(ValueError, match="X must be 3-D"):
        kmeans_batch(X[0], 3)
    with pytest.raises(ValueError, match="at least one problem, row and column"):
        kmeans_batch(X[:0], 3)
    with pytest.raises(ValueError, match="k must be between 1 and the number of rows"):
        kmeans_batch(X, 61)
    with pytest.raises(ValueError, match=r"init must have shape \(5, 3, 3\)"):
        kmeans_batch(X, 3, init=X[:, :2])
    with pytest.raises(TypeError, match="real numbers"):
        kmeans_batch(X.astype(complex), 3)
    bad = X.copy()
    bad[3, 17, 2] = np.nan
    for view in (bad, np.asfortranarray(bad)):
        with pytest.raises(ValueError, match=r"X\[3\] contains NaN at row 17, column 2"):
            kmeans_batch(view, 3)


def test_sparse_rows_and_starts_are_named():
    sparse = pytest.importorskip("scipy.sparse")
    rows = sparse.csr_array(np.eye(4))
    with pytest.raises(TypeError, match=r"X must be a dense array, got a sparse csr_array"):
        kmeans_batch(rows, 2)
    with pytest.raises(TypeError, match=r"init must be a dense array, got a sparse csr_array"):
        kmeans_batch(np.ones((3, 9, 4)), 4, init=rows)


def test_a_notebook_shows_a_line_a_problem():
    batch = kmeans_batch(np.random.default_rng(0).normal(size=(25, 30, 2)), 3, seed=0)
    html = batch._repr_html_()
    assert html.count("<tr>") == 21 and "and 5 more problems" in html
    assert f"<td>0</td><td>{batch.inertia[0]:.6g}</td>" in html
