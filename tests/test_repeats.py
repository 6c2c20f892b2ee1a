"""Rows that repeat: computed with once, and the same as if they were not."""

import numpy as np
import oracle
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ckmeans import _iterate, elbow, kmeans, kmeans_batch
from ckmeans._distinct import Distinct, pick, sums
from ckmeans._iterate import Problem, problem_of
from ckmeans._repeats import RepeatingProblem
from ckmeans._rows import Rows
from ckmeans._source import Source


def pixels(n=70_000, d=3, colours=9000, seed=0):
    """Some colours, few of them often."""
    rng = np.random.default_rng(seed)
    palette = rng.integers(0, 256, (colours, d), dtype=np.uint8)
    return palette[(colours * rng.random(n) ** 3).astype(int)]


@pytest.fixture
def always(monkeypatch):
    """Few rows are looked at too."""
    monkeypatch.setattr(_iterate, "REPEATS_FROM_ROWS", 1)
    monkeypatch.setattr(_iterate, "REPEATS_FROM_K", 1)


def without(monkeypatch, call):
    """The same with all rows."""
    with monkeypatch.context() as patch:
        patch.setattr(_iterate, "REPEATS_FROM_ROWS", 1 << 40)
        return call()


def numbered(X, most):
    numbers = np.empty(len(X), dtype=np.int32)
    distinct = Distinct(Source(X), most)
    cut = len(X) // 3
    fits = distinct.number(0, numbers[:cut]) and distinct.number(cut, numbers[cut:])
    return distinct, numbers, fits


LAYOUTS = {
    "uint8": lambda X: X,
    "bool": lambda X: X > 128,
    "int16": lambda X: X.astype(np.int16) - 128,
    "big-endian": lambda X: X.astype(">f4"),
    "int64": lambda X: X.astype(np.int64) << 30,
    "float32": lambda X: X.astype(np.float32),
    "float64": lambda X: X / 7,
    "Fortran": lambda X: np.asfortranarray(X.astype(np.float32)),
    "columns of wider": lambda X: np.hstack([X, X]).astype(np.float32)[:, : X.shape[1]],
}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("d", (1, 2, 3, 5, 300))
def test_numbers_tell_rows_apart(layout, d):
    X = LAYOUTS[layout](pixels(900, d, 50))
    values, first = np.unique(X, axis=0, return_index=True)
    distinct, numbers, fits = numbered(X, len(values))
    assert fits and distinct.count == len(values)
    np.testing.assert_array_equal(distinct.rows, X[np.sort(first)])
    np.testing.assert_array_equal(distinct.rows[numbers], X)
    counts = np.bincount(numbers)
    np.testing.assert_array_equal(sums(numbers, distinct.count), counts)
    if len(values) > 1:
        assert not numbered(X, len(values) - 1)[2]


@given(
    values=st.lists(st.lists(st.sampled_from([0.0, -0.0, 5e-324, 1.0, -1.0]), min_size=2,
                             max_size=2), min_size=3, max_size=60),
    dtype=st.sampled_from([np.float32, np.float64]),
)  # fmt: skip
def test_equal_numbers_are_one_value(values, dtype):
    """Zeros of both signs are; a denormal is none of them."""
    X = np.array(values, dtype=dtype)
    distinct, numbers, fits = numbered(X, len(X))
    assert fits
    np.testing.assert_array_equal(distinct.rows[numbers], X)
    assert distinct.count == len({tuple(row) for row in X.tolist()})


def test_values_are_picked_in_place():
    numbers = np.array([2, 0, 1, 2], dtype=np.int32)
    assert pick(np.array([7, 8, 9], dtype=np.int32), numbers, numbers) is not None
    assert numbers.tolist() == [9, 7, 8, 9]


@pytest.mark.parametrize("dtype", (np.float32, np.float64))
def test_whole_numbers_are_spread(dtype):
    """They have bits at one end only, as powers of two have: each gets a slot of its own, and a
    million looks at them do not become a billion."""
    powers = 2.0 ** np.arange(-100, 100).astype(dtype)
    X = np.array(np.meshgrid(powers, powers)).reshape(2, -1).T.astype(dtype)
    distinct, numbers, fits = numbered(np.ascontiguousarray(np.repeat(X, 25, axis=0)), len(X))
    assert fits and distinct.count == len(X)
    np.testing.assert_array_equal(numbers, np.repeat(np.arange(len(X)), 25))


def test_the_number_of_distinct_rows_is_limited():
    with pytest.raises(ValueError, match="most must lie between"):
        Distinct(Source(np.zeros((3, 2))), 0)


OPTIONS = {
    "plain": {},
    "weights": {"sample_weight": np.random.default_rng(5).random(70_000)},
    "counts": {"sample_weight": np.random.default_rng(5).integers(0, 4, 70_000).astype(float)},
    "scale": {"scale": "std"},
    "cosine": {"metric": "cosine"},
    "tol": {"tol": 1e-3},
    "lloyd": {"algorithm": "lloyd"},
    "hamerly": {"algorithm": "hamerly"},
}


@pytest.mark.parametrize("options", OPTIONS)
@pytest.mark.parametrize("dtype", (np.uint8, np.float32, np.float64))
def test_as_without_the_search(monkeypatch, dtype, options):
    """For whole numbers to the bit, whose sums are exact; the inertia is a sum of fractions."""
    X = np.maximum(pixels(), 1).astype(dtype)
    start, options = X[:20].astype(float), OPTIONS[options]

    def call():
        return kmeans(X, 20, init=start, max_iter=12, **options)

    result, expected = call(), without(monkeypatch, call)
    assert result.labels.dtype == np.int32 and result.labels.shape == (len(X),)
    np.testing.assert_array_equal(result.labels, expected.labels)
    np.testing.assert_array_equal(result.sizes, expected.sizes)
    assert result.sizes.dtype == expected.sizes.dtype
    assert result.n_iter == expected.n_iter and result.converged == expected.converged
    exact = not {"scale", "metric"} & set(options) and "sample_weight" not in options
    np.testing.assert_allclose(result.centroids, expected.centroids, rtol=0 if exact else 1e-12)
    np.testing.assert_allclose(result.cluster_inertias, expected.cluster_inertias, rtol=1e-12)


@pytest.mark.parametrize("init", ("k-means++", "random"))
@pytest.mark.parametrize("options", OPTIONS)
def test_a_fixed_point_of_all_rows(init, options):
    options = OPTIONS[options]
    if {"scale", "metric", "tol"} & set(options):
        pytest.skip("the oracle knows the plain problem")
    X = pixels().astype(np.float32) + np.float32(0.1)
    result = kmeans(X, 16, 3, init=init, **options)
    assert result.converged
    oracle.assert_fixed_point(X, result, options.get("sample_weight"))


@given(
    d=st.sampled_from([1, 2, 3, 9, 20]), k=st.sampled_from([1, 2, 5, 9, 40]),
    n_distinct=st.integers(1, 90), dtype=st.sampled_from([np.uint8, np.float32, np.float64]),
    weighted=st.booleans(), seed=st.integers(0, 10**6),
)  # fmt: skip
@pytest.mark.filterwarnings("ignore::ckmeans.ConvergenceWarning")
def test_few_rows_give_the_brute_force(always, level, d, k, n_distinct, dtype, weighted, seed):
    """Fewer distinct rows than k, emptied clusters, rows without weight."""
    rng = np.random.default_rng(seed)
    X = rng.integers(0, 200, (n_distinct, d)).astype(dtype)[rng.integers(0, n_distinct, 260)]
    weight = rng.integers(0, 3, len(X)).astype(float) if weighted else None
    if weighted:
        weight[0] = 1.0
    options = dict(n_init=2, sample_weight=weight, refine="swap" if seed % 2 else None)
    oracle.assert_fixed_point(X, kmeans(X, k, seed, **options), weight)
    oracle.assert_fixed_point(X, kmeans(X, k, init=X[:k].astype(float), sample_weight=weight),
                              weight)  # fmt: skip


def test_weights_count_rows_that_repeat():
    """Drawn rows are the same, so that all is."""
    X = pixels()
    distinct, numbers, _ = numbered(X, len(X))
    result = kmeans(X, 20, 3)
    counted = kmeans(distinct.rows, 20, 3, sample_weight=sums(numbers, distinct.count))
    np.testing.assert_array_equal(result.labels, counted.labels[numbers])
    np.testing.assert_allclose(result.centroids, counted.centroids, rtol=1e-13)


@pytest.mark.parametrize("weighted", (False, True))
def test_a_callback_counts_rows_of_the_data(monkeypatch, weighted):
    X = pixels()
    start = np.unique(X[:200], axis=0)[:16].astype(float)  # no cluster is emptied
    weight = np.random.default_rng(5).random(len(X)) if weighted else None

    def moved():
        found = []
        kmeans(X, 16, init=start, max_iter=8, sample_weight=weight,
               callback=lambda progress: found.append(progress.rows_changed))  # fmt: skip
        return found

    assert moved() == without(monkeypatch, moved)


@pytest.mark.parametrize("n_init", [1, 2])
def test_a_callback_counts_all_rows_where_seeds_give_the_labels(n_init):
    X = np.repeat(np.random.default_rng(0).normal(size=(3000, 3)).astype("f4"), 30, axis=0)
    found = []
    kmeans(X, 10, 1, n_init=n_init, max_iter=2,
           callback=lambda progress: found.append(progress.rows_changed))  # fmt: skip
    assert found[::2] == n_init * [90_000]
    assert all(0 < changed < 90_000 for changed in found[1::2])


def test_bits_do_not_depend_on_threads_or_a_callback(threads_for_all):
    X = pixels() / 7
    results = [kmeans(X, 16, 1, n_threads=threads) for threads in (1, 2, 3, 8)]
    results.append(kmeans(X, 16, 1, callback=lambda progress: False))
    for result in results[1:]:
        oracle.assert_same_bits(result, results[0])


def test_every_k_of_an_elbow_has_labels_of_its_own():
    X = pixels()
    curve = elbow(X, [2, 5, 16], 0, n_init=2)
    assert (np.diff(curve.inertias) < 0).all()
    for result in curve.results:
        oracle.assert_fixed_point(X, result)


def test_a_batch_is_solved_as_its_problems_are():
    X = np.stack([pixels(seed=0), pixels(seed=1)])
    start = X[:, :16].astype(float)
    batch = kmeans_batch(X, 16, init=start)
    for i in range(2):
        alone = kmeans(X[i], 16, init=start[i])
        np.testing.assert_array_equal(batch.labels[i], alone.labels)
        np.testing.assert_array_equal(batch.centroids[i], alone.centroids)


def problem(X, k=16):
    return type(problem_of(Rows(np.ascontiguousarray(X)), None, k, None, 1))


def test_when_rows_are_searched_for_repeats():
    X, rng = pixels(), np.random.default_rng(0)
    assert problem(X) is RepeatingProblem
    assert problem(X / 7) is problem(X.astype(np.float32)) is RepeatingProblem
    assert problem(X, 7) is problem(X[:65_000]) is Problem
    once = rng.random((70_000, 3))
    assert problem(once) is Problem
    half = once.copy()
    half[::2] = 0  # many pairs of equal rows, but too many distinct ones
    assert problem(half) is Problem
    few = np.repeat(once[:10], 7000, axis=0)
    assert problem(few, 16) is Problem  # fewer than clusters
    wide = np.repeat(rng.random((14_000, 40)), 5, axis=0)
    assert problem(wide) is Problem  # to keep them takes too much memory
    assert problem(wide[:, :4]) is RepeatingProblem
