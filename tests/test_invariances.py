"""What must not change the partition."""

import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ckmeans import kmeans

problems = st.tuples(
    st.integers(10, 60), st.integers(2, 10), st.integers(2, 6), st.integers(0, 10**6)
)


def problem(n, d, k, seed):
    X = np.random.default_rng(seed).normal(size=(n, d))
    return X, X[:k].copy()


@settings(max_examples=30, deadline=None)
@given(problems)
def test_translation_columns_rows_and_powers_of_two(shape):
    X, start = problem(*shape)
    k, expected = len(start), kmeans(X, len(start), init=start)
    order = np.random.default_rng(0).permutation(len(X))
    columns = np.random.default_rng(1).permutation(X.shape[1])
    labels = expected.labels
    for changed, first, same in (
        (X + 1000.0, start + 1000.0, labels),
        (X * 2.0**40, start * 2.0**40, labels),
        (X[order], start, labels[order]),
        (X[:, columns], start[:, columns], labels),
        (np.column_stack([X, np.full(len(X), 7.0)]), np.column_stack([start, [7.0] * k]), labels),
    ):
        np.testing.assert_array_equal(kmeans(changed, k, init=first).labels, same)


@settings(max_examples=20, deadline=None)
@given(problems)
def test_a_row_of_weight_zero_is_absent(shape):
    X, start = problem(*shape)
    outlier = np.vstack([X, np.full((1, X.shape[1]), 1e3)])
    weight = np.r_[np.ones(len(X)), 0.0]
    with_zero = kmeans(outlier, len(start), init=start, sample_weight=weight)
    without = kmeans(X, len(start), init=start)
    np.testing.assert_array_equal(with_zero.labels[:-1], without.labels)
    np.testing.assert_allclose(with_zero.centroids, without.centroids, rtol=1e-12, atol=1e-12)


def test_pickled_result_predicts_the_same():
    X, _ = problem(50, 3, 4, 0)
    result = kmeans(X, 4, 0)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(result)).predict(X), result.labels)


@pytest.mark.parametrize("d", [1, 2, 8, 9, 40, 130, 800])
@pytest.mark.parametrize("k", [1, 2, 10, 11, 33, 257])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_tiles_agree_with_brute_force_at_their_boundaries(d, k, dtype):
    X = np.random.default_rng(d * k).normal(size=(k + 70, d)).astype(dtype)
    result = kmeans(X, k, init=X[:k], max_iter=1)
    squares = [((X.astype(float) - centroid) ** 2).sum(axis=1) for centroid in result.centroids]
    np.testing.assert_array_equal(result.labels, np.argmin(squares, axis=0))


@settings(max_examples=60, deadline=None)
@given(problems, st.sampled_from([np.float32, np.float64]), st.booleans(), st.booleans())
def test_every_algorithm_gives_the_same_bits(shape, dtype, grid, weighted):
    X, _ = problem(*shape)
    X = (np.round(2 * X) if grid else X * 100 + 1e4).astype(dtype)
    weight = np.random.default_rng(0).random(len(X)) if weighted else None
    k = shape[2]
    plain, pruned, auto = (
        kmeans(X, k, init=X[:k], sample_weight=weight, algorithm=name)
        for name in ("lloyd", "hamerly", "auto")
    )
    for other in (pruned, auto):
        np.testing.assert_array_equal(other.labels, plain.labels)
        np.testing.assert_array_equal(other.centroids, plain.centroids)
        assert other.n_iter == plain.n_iter


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_pruning_over_many_iterations_keeps_the_brute_force(dtype):
    X = np.random.default_rng(3).normal(size=(20_000, 3)).astype(dtype)
    results = [kmeans(X, 40, init=X[:40], algorithm=name) for name in ("lloyd", "hamerly", "auto")]
    for result in results:
        squares = ((X[:, None].astype(float) - result.centroids) ** 2).sum(axis=2)
        np.testing.assert_array_equal(result.labels, squares.argmin(axis=1))
        np.testing.assert_array_equal(result.centroids, results[0].centroids)
        assert result.n_iter == results[0].n_iter > 20
