"""Starts that some of the rows improve before all are read."""

from types import SimpleNamespace

import numpy as np
import pytest
from oracle import assert_fixed_point

from ckmeans import _coarse, _refine, elbow, kmeans
from ckmeans._coarse import Coarse, mean_square
from ckmeans._iterate import Limits, Problem
from ckmeans._kmeans import drawn_start
from ckmeans._rows import Rows

N = 33 * 4096  # rows, of which every 33rd and every ninth go first
LIMITS = Limits(300, 0.0, np.inf, None, 1)


@pytest.fixture(autouse=True)
def whatever_the_size(monkeypatch):
    monkeypatch.setattr(_coarse, "WORTHWHILE", 0)


@pytest.fixture
def levels(monkeypatch):
    """The steps that are taken."""
    steps, every = [], Problem.every

    def taken(problem, step):
        steps.append(step)
        return every(problem, step)

    monkeypatch.setattr(Problem, "every", taken)
    return steps


def planes(n, d=2, seed=0):
    """Eight clusters that overlap."""
    rng = np.random.default_rng(seed)
    return rng.normal(size=(8, d))[rng.integers(8, size=n)] * 3 + rng.normal(size=(n, d))


@pytest.mark.parametrize("dtype", ["f4", "f8"])
@pytest.mark.parametrize("init", ["k-means++", "random"])
def test_the_result_is_a_fixed_point(levels, init, dtype):
    X = planes(N).astype(dtype)  # enough for levels to work in the memory of the bounds
    result = kmeans(X, 8, 0, init=init, n_init=2)
    assert result.converged and levels[:2] == [33, 9]
    assert_fixed_point(X, result)


OPTIONS = [{}, {"scale": "std"}, {"metric": "cosine"}, {"sample_weight": np.full(N, 0.5)}]


def assert_stays(X, result, **options):
    again = kmeans(X, len(result.centroids), init=result.centroids, **options)
    assert result.converged and again.n_iter <= 2  # the second changes nothing
    np.testing.assert_array_equal(again.labels, result.labels)
    np.testing.assert_allclose(again.centroids, result.centroids, atol=1e-12)
    assert again.inertia == pytest.approx(result.inertia, rel=1e-12)


@pytest.mark.parametrize("options", OPTIONS)
def test_the_result_is_a_fixed_point_in_other_units(levels, options):
    X = planes(N)
    result = kmeans(X, 5, 0, **options)
    assert levels
    assert_stays(X, result, **options)


@pytest.mark.parametrize("options", OPTIONS)
def test_elbows_end_in_fixed_points(levels, options):
    X = planes(N)
    curve = elbow(X, [2, 5, 8], 0, n_init=2, **options)
    assert len(levels) >= 6  # one at least for both runs of each k
    for result in curve.results:
        assert_stays(X, result, **options)


def apart(k=12, d=3):
    """Clusters of which rows drawn at random miss some."""
    rng = np.random.default_rng(3)
    centres = 10 + 8 * rng.normal(size=(k, d))
    return centres[rng.integers(k, size=N)] + rng.normal(size=(N, d)) / 4


@pytest.mark.parametrize("init", ["k-means++", "random"])
def test_the_same_bits_whatever_the_threads_and_the_algorithm(monkeypatch, init):
    breaths, breath = [], _refine.breath
    monkeypatch.setattr(_refine, "breath", lambda *args: breaths.append(1) or breath(*args))
    X = (planes(2 * N, seed=1) if init == "k-means++" else apart()).astype("f4")
    one = kmeans(X, 8, 3, init=init, n_threads=1)
    assert breaths or init == "k-means++"
    for n_threads, algorithm in [(2, "auto"), (3, "lloyd"), (1, "hamerly")]:
        other = kmeans(X, 8, 3, init=init, n_threads=n_threads, algorithm=algorithm)
        np.testing.assert_array_equal(one.labels, other.labels)
        np.testing.assert_array_equal(one.centroids, other.centroids)
        assert (one.n_iter, one.inertia) == (other.n_iter, other.inertia)


def test_sparse_rows_take_the_same_levels(levels):
    sparse = pytest.importorskip("scipy.sparse")
    X = np.maximum(planes(N, 3) - 1, 0)
    dense, of_dense = kmeans(X, 5, 0, init="random"), levels.copy()
    levels.clear()
    found = kmeans(sparse.csr_array(X), 5, 0, init="random")
    assert levels == of_dense == [33, 9]
    np.testing.assert_array_equal(found.labels, dense.labels)
    np.testing.assert_allclose(found.centroids, dense.centroids, atol=1e-10)


def test_fewer_iterations_are_left_to_all_rows(monkeypatch):
    X = planes(N)
    with_some = [kmeans(X, 8, seed, tol=1e-4).n_iter for seed in range(5)]
    monkeypatch.setattr(_coarse, "WORTHWHILE", np.inf)
    without = [kmeans(X, 8, seed, tol=1e-4).n_iter for seed in range(5)]
    assert 2 * sum(with_some) < sum(without)


def test_a_level_goes_on_where_the_one_before_ended(monkeypatch):
    starts, ends, lloyd, swapped = [], [], _coarse.lloyd, _coarse.swapped

    def seen(some, start, limits, number):
        starts.append(start.centroids)
        return lloyd(some, start, limits, number)

    def seen_swapped(*args):
        ends.append(swapped(*args))
        return ends[-1]

    monkeypatch.setattr(_coarse, "lloyd", seen)
    monkeypatch.setattr(_coarse, "swapped", seen_swapped)
    kmeans(planes(N), 8, 0)
    assert len(starts) == 2 and starts[1] is ends[0].centroids


def test_the_next_level_is_all_rows_after_few_iterations(levels):
    rng = np.random.default_rng(0)
    X = np.array([[0, 0], [100, 0], [0, 100]])[rng.integers(3, size=N)] + rng.normal(size=(N, 2))
    kmeans(X, 3, 0)
    assert levels == [33]


@pytest.mark.parametrize("period", [9, 33])
@pytest.mark.parametrize("cluster", [kmeans, lambda X, k, seed: elbow(X, [4, k], seed).results[1]])
def test_rows_that_go_first_may_be_unlike_the_others(monkeypatch, levels, period, cluster):
    X = planes(N)
    X[::period] = [50.0, 0.0] + np.random.default_rng(2).normal(size=(len(X[::period]), 2))
    inertias = [cluster(X, 8, seed).inertia for seed in range(3)]
    assert levels
    monkeypatch.setattr(_coarse, "WORTHWHILE", np.inf)
    of_all = [cluster(X, 8, seed).inertia for seed in range(3)]
    assert max(inertias) < 1.2 * max(of_all)  # more if these rows alone choose


def test_a_worse_start_is_not_taken(monkeypatch):
    problem = Problem(Rows(planes(N)), None, None, 1)
    start = drawn_start(problem, 8, np.random.default_rng(0), "k-means++").centroids
    coarse = Coarse(problem, 8)
    better = coarse.improved(start, LIMITS)
    assert mean_square(coarse.sample, better) < mean_square(coarse.sample, start)
    poor = np.repeat(start[:1], 8, axis=0)
    monkeypatch.setattr(_coarse, "lloyd", lambda *_: SimpleNamespace(centroids=poor, n_iter=20))
    assert Coarse(problem, 8).improved(start, LIMITS) is start


@pytest.mark.parametrize("options", [{}, {"scale": "std"}, {"metric": "cosine"}, {"tol": 1e-4}])
def test_the_first_level_leaves_local_minima(monkeypatch, options):
    X = apart()
    found = [kmeans(X, 12, seed, init="random", **options).inertia for seed in range(4)]
    assert max(found) < 1.001 * min(found)
    monkeypatch.setattr(_coarse, "swapped", lambda problem, run, *_: run)
    without = [kmeans(X, 12, seed, init="random", **options).inertia for seed in range(4)]
    assert min(without) > 1.5 * max(found)


def test_sparse_rows_leave_local_minima_too():
    sparse = pytest.importorskip("scipy.sparse")
    X = apart()
    dense = kmeans(X, 12, 0, init="random")
    found = kmeans(sparse.csr_array(X), 12, 0, init="random")
    assert found.inertia == pytest.approx(dense.inertia, rel=1e-9)
    assert kmeans(X, 12, init=X[:12]).inertia > 1.5 * dense.inertia  # or there are none to leave


def test_swaps_are_for_the_first_level_and_not_for_elbows(monkeypatch, levels):
    of = []
    monkeypatch.setattr(_coarse, "swapped", lambda problem, run, *_: of.append(levels[-1]) or run)
    kmeans(planes(N), 8, 0)
    kmeans(planes(N - 33), 8, 0)
    elbow(planes(N), [2, 8], 0)
    assert of == [33, 9]


def test_equal_weights_are_none(levels):
    X = planes(N)
    without = kmeans(X, 8, 0)
    weighted = kmeans(X, 8, 0, sample_weight=np.full(N, 2.0))
    assert levels == [33, 9, 33, 9]
    np.testing.assert_array_equal(weighted.labels, without.labels)
    np.testing.assert_allclose(weighted.centroids, without.centroids, atol=1e-12)
    assert weighted.inertia == pytest.approx(2 * without.inertia, rel=1e-12)


def test_few_rows_weights_and_given_starts_take_none(levels):
    X = planes(N)
    kmeans(X, 8, init=X[:8])
    kmeans(X, 8, 0, sample_weight=np.arange(N))
    kmeans(X[: 9 * 4096 - 1], 8, 0)
    kmeans(X[: 9 * 64 * 100 - 1], 100, 0, max_iter=2)
    kmeans(X, 1, 0)
    wide = np.random.default_rng(0).normal(size=(9 * 4096, 300))
    kmeans(wide, 3, 0, max_iter=1)  # 4096 rows for 900 coordinates of centroids
    assert levels == []
    kmeans(wide[:, :250], 3, 0, max_iter=1)
    assert levels == [9]


@pytest.mark.parametrize("step", [9, 33])
@pytest.mark.parametrize(
    "layout",
    [
        lambda X: X,
        lambda X: X.astype("f4"),
        lambda X: np.asfortranarray(X),
        lambda X: np.repeat(X, 2, axis=1)[:, ::2],
        lambda X: (20 * X).astype("u1"),
        lambda X: X.astype("f2"),
        lambda X: X.astype(">f8"),
    ],
)
@pytest.mark.parametrize("d", [2, 5, 40])
def test_the_rows_of_a_level(layout, step, d):
    X = layout(np.random.default_rng(d).uniform(0, 10, size=(1 << 16, d)))
    problem = Problem(Rows(X), None, None, 1)
    some = problem.every(step)
    wanted = np.asarray(X[::step], dtype=some.rows.dtype)
    np.testing.assert_array_equal(some.rows.block(0, some.rows.n), wanted)


@pytest.mark.parametrize("d", [2, 40])
@pytest.mark.parametrize(
    "units", [lambda rows: rows.standardised(), lambda rows: rows.directions(rows.lengths())]
)
def test_the_rows_of_a_level_are_in_the_same_units(units, d):
    rows = units(Rows(np.random.default_rng(d).uniform(1, 10, size=(1000, d)) ** 2))
    some, _ = rows.every(3, None)
    np.testing.assert_array_equal(some.block(0, some.n), rows.block(0, rows.n)[::3])


def test_a_level_works_in_the_memory_of_the_bounds():
    """Its rows and its own bounds in different parts of it."""
    X = planes(1 << 17).astype("f4")
    problem = Problem(Rows(X), None, None, 1)
    some = problem.every(9)
    assert np.shares_memory(some.sweep.lend(), problem.sweep.lend())
    assert np.shares_memory(some.rows.X, problem.sweep.lend())
    assert not np.shares_memory(some.rows.X, some.sweep.lend())


def test_rows_are_copied_to_the_end_of_the_memory():
    X, memory = np.random.default_rng(0).normal(size=(10, 2)), np.empty(4096, np.uint8)
    some, left = Rows(X).every(3, memory)
    assert np.shares_memory(some.X, memory) and np.shares_memory(left, memory)
    assert not np.shares_memory(some.X, left)
    for too_small in (np.empty(64, np.uint8), None):
        some, left = Rows(X).every(3, too_small)
        assert left is too_small
        np.testing.assert_array_equal(some.X, X[::3])


def test_levels_end_with_the_time_and_say_nothing():
    X, seen = planes(N), []
    assert kmeans(X, 8, 0, max_seconds=0).n_iter == 1
    result = kmeans(X, 8, 0, callback=seen.append)
    assert [progress.iteration for progress in seen] == list(range(1, result.n_iter + 1))
    inertias = [progress.inertia for progress in seen]
    assert inertias == sorted(inertias, reverse=True)


def test_few_of_the_rows_tell_which_centroids_are_better():
    X = planes(N)
    result = kmeans(X, 8, 0)
    few = Coarse(Problem(Rows(X), None, None, 1), 8).sample
    assert mean_square(few, result.centroids) == pytest.approx(result.inertia / N, rel=0.1)
    assert mean_square(Rows(X), result.centroids) == pytest.approx(result.inertia / N, rel=1e-12)
