"""refine="swap": never worse, a fixed point, and out of local minima that Lloyd stays in."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ckmeans import elbow, kmeans
from ckmeans._iterate import Limits, Problem, Start, lloyd
from ckmeans._refine import principal_line, promises, swapped
from ckmeans._rows import Rows


def grid(side, rows_each, noise, seed=0):
    """Gaussian clusters on a square grid."""
    rng = np.random.default_rng(seed)
    centres = np.stack(np.meshgrid(range(side), range(side)), axis=-1).reshape(-1, 2)
    return np.repeat(centres, rows_each, axis=0) + noise * rng.normal(size=(side**2 * rows_each, 2))


def assert_fixed_point(X, result, weight=None):
    squares = np.square(X[:, None] - result.centroids).sum(axis=2)
    np.testing.assert_array_equal(result.labels, squares.argmin(axis=1))
    weight = np.ones(len(X)) if weight is None else weight
    for j, centroid in enumerate(result.centroids):
        rows = result.labels == j
        if weight[rows].sum():
            mean = np.average(X[rows], axis=0, weights=weight[rows])
            np.testing.assert_allclose(centroid, mean, rtol=1e-9, atol=1e-9)
    assert result.inertia == pytest.approx(weight @ squares.min(axis=1), rel=1e-9)
    counts = np.bincount(result.labels, minlength=len(result.sizes))
    np.testing.assert_array_equal(result.sizes, counts)


def test_a_start_in_one_corner_ends_with_a_centroid_in_every_cluster():
    X = grid(6, 60, 0.08)
    start = X[np.random.default_rng(1).choice(6 * 60, 36, replace=False)]  # of the first row's six
    stuck = kmeans(X, 36, init=start)
    result = kmeans(X, 36, 3, init=start, refine="swap")
    best = 2 * 0.08**2 * len(X)
    assert stuck.inertia > 1.5 * best  # or there is nothing to be seen
    assert result.inertia < 1.02 * best
    assert (result.sizes == 60).all()
    assert result.converged and result.n_iter > stuck.n_iter
    assert_fixed_point(X, result)


@pytest.mark.filterwarnings("ignore::ckmeans.ConvergenceWarning")
@given(st.integers(0, 10**6), st.integers(1, 12), st.integers(1, 3), st.booleans())
def test_never_worse(seed, k, d, weighted):
    rng = np.random.default_rng(seed)
    X = rng.integers(0, 6, size=(40, d)) + rng.normal(size=(40, d)) * (seed % 2)
    weight = rng.integers(1, 4, size=40).astype(float) if weighted else None
    start = X[rng.choice(40, k, replace=False)]
    options = {"init": start, "sample_weight": weight}
    plain = kmeans(X, k, 0, **options)
    refined = kmeans(X, k, 0, refine="swap", **options)
    assert refined.inertia <= plain.inertia
    assert_fixed_point(X, refined, weight)


@pytest.mark.parametrize("dtype", ["f4", "f8", "i2"])
def test_threads_and_algorithms_find_the_same(dtype, monkeypatch):
    from ckmeans import _iterate, _rows

    monkeypatch.setattr(_iterate, "PARALLEL", 1)
    monkeypatch.setattr(_rows, "PARALLEL", 1)
    monkeypatch.setattr(_rows, "BLOCK_ELEMENTS", 1000)
    X = (100 * grid(5, 100, 0.2)).astype(dtype)
    start = X[:25]
    results = [
        kmeans(X, 25, 4, init=start, refine="swap", n_threads=n_threads, algorithm=algorithm)
        for n_threads in (1, 2, 3)
        for algorithm in ("lloyd", "hamerly", "auto")
    ]
    for result in results[1:]:
        np.testing.assert_array_equal(result.labels, results[0].labels)
        np.testing.assert_array_equal(result.centroids, results[0].centroids)
        assert result.n_iter == results[0].n_iter


def test_weights_steer_it():
    """Rows of weight 0 attract no centroid."""
    X = np.concatenate([grid(3, 50, 0.05), 100 + grid(3, 50, 0.05)])
    weight = np.repeat([1.0, 0.0], 450)
    result = kmeans(X, 9, 0, init=X[:9], sample_weight=weight, refine="swap")
    assert (result.centroids < 10).all()
    assert result.inertia < 1.05 * 2 * 0.05**2 * 450


def test_nothing_to_move():
    X = np.arange(6.0).reshape(3, 2)
    assert kmeans(X, 3, 0, refine="swap").inertia == 0
    assert kmeans(X, 1, 0, refine="swap").n_iter == kmeans(X, 1, 0).n_iter
    same = np.ones((20, 2))
    with pytest.warns(UserWarning, match="distinct"):
        assert kmeans(same, 3, 0, refine="swap").inertia == 0


def test_elbow_with_refinement_never_rises():
    X = grid(4, 50, 0.1)
    curve = elbow(X, [2, 4, 9, 15, 16, 17], 0, refine="swap")
    assert (np.diff(curve.inertias) <= 0).all()
    assert curve.inertias[4] < 1.02 * 2 * 0.1**2 * len(X)


def test_a_stop_is_obeyed():
    X = grid(6, 60, 0.08)
    stopped = kmeans(X, 36, 0, init=X[:36], refine="swap", callback=lambda progress: True)
    assert stopped.n_iter == 1 and not stopped.converged
    hurried = kmeans(X, 36, 0, init=X[:36], refine="swap", max_seconds=0)
    assert hurried.n_iter == 1 and not hurried.converged


@pytest.mark.parametrize("refine", ["Swap", "", True, 1])
def test_wrong_names(refine):
    with pytest.raises(ValueError, match='refine must be None or "swap"'):
        kmeans(np.eye(3), 2, 0, refine=refine)


LIMITS = Limits(300, 0.0, np.inf, None, 1)


def settled(X, centroids, limits=LIMITS):
    """A problem, and its run from these centroids."""
    problem = Problem(Rows(X), None, None, 1)
    return problem, lloyd(problem, Start(np.asarray(centroids, dtype=float)), limits, 0)


def pairs(d, rows_each, apart=10):
    """Clusters on the first axis, two far from two."""
    centres = np.zeros((4, d))
    centres[:, 0] = [0, apart, 100, 100 + apart]
    rng = np.random.default_rng(d)
    return centres, np.repeat(centres, rows_each, axis=0) + rng.normal(size=(4 * rows_each, d))


@pytest.mark.parametrize("d", [1, 2, 30])
def test_what_a_swap_promises(d):
    centres, X = pairs(d, 1000)
    problem, run = settled(X, centres)
    assert not promises(problem, run, np.random.default_rng(0))
    assert swapped(problem, run, LIMITS, np.random.default_rng(0)) is run
    assert not promises(*settled(*pairs(d, 1000, 2.5)[::-1]), np.random.default_rng(0))
    poor = np.concatenate([centres[:1], centres[:1] + 0.1, centres[1:2], centres[2:].mean(0)[None]])
    problem, run = settled(X, poor)
    assert run.inertia > 3 * len(X) * d / 4
    assert promises(problem, run, np.random.default_rng(0))
    better = swapped(problem, run, LIMITS, np.random.default_rng(0))
    assert better.inertia == pytest.approx(len(X) * d, rel=0.1)


def test_noise_in_many_columns_promises_nothing():
    """The line through few rows of many columns is theirs alone."""
    centres = np.zeros((2, 400))
    centres[1, 0] = 1  # so near that neither is worth much
    X = np.repeat(centres, 3000, axis=0) + np.random.default_rng(0).normal(size=(6000, 400))
    problem, run = settled(X, centres, LIMITS._replace(max_iter=1))
    assert not promises(problem, run, np.random.default_rng(0))


def test_swaps_that_bring_nothing_are_not_taken(monkeypatch):
    from ckmeans import _refine

    centres, X = pairs(2, 500)
    problem, run = settled(X, centres)
    tries = []
    monkeypatch.setattr(_refine, "promises", lambda *_: tries.append(1) or True)
    assert swapped(problem, run, LIMITS, np.random.default_rng(0)) is run and len(tries) == 1
    late = LIMITS._replace(deadline=-np.inf)
    assert swapped(problem, run, late, np.random.default_rng(0)) is run and len(tries) == 1


def test_the_line_along_which_rows_vary_most():
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(400, 5)) * [1, 2, 3, 9, 1]
    turn = np.linalg.qr(rng.normal(size=(5, 5)))[0]
    line = principal_line(rows @ turn)
    assert np.abs(line @ turn[3]) > 0.99 and line @ line == pytest.approx(1)


@pytest.mark.parametrize("scale", [1e-160, 1e150, 1e300])
def test_promises_near_the_ends_of_the_range(scale):
    """Squares may overflow, or be lost: no warning, and no harm."""
    centres, X = pairs(3, 300)
    problem, run = settled(X * scale, centres * scale)
    after = swapped(problem, run, LIMITS, np.random.default_rng(0))
    assert len(after.centroids) == 4 and np.isfinite(after.centroids).all()


def test_equal_rows_promise_nothing():
    problem, run = settled(np.ones((200, 2)), np.ones((3, 2)))
    assert run.too_few_points and not promises(problem, run, np.random.default_rng(0))
