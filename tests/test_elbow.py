"""What elbow() computes beside its inertias."""

import numpy as np
import pytest

from ckmeans import ConvergenceWarning, elbow, kmeans
from ckmeans._coarse import Coarse
from ckmeans._elbow import Sample, below_chord, knee_of, slope_ratios
from ckmeans._momentum import Momentum
from ckmeans._rows import Rows
from ckmeans.datasets import xclara


@pytest.mark.parametrize("ks", [range(1, 8), [6, 2, 5]])
@pytest.mark.parametrize("scale", [None, "std"])
def test_calinski_harabasz_equals_scikit_learns(ks, scale):
    metrics = pytest.importorskip("sklearn.metrics")
    X = xclara() * [1, 50]
    curve = elbow(X, ks, 0, scale=scale)
    rows = X if scale is None else (X - X.mean(axis=0)) / X.std(axis=0)
    for result, found in zip(curve.results, curve.calinski_harabasz, strict=True):
        if len(result.centroids) == 1:
            assert np.isnan(found)
        else:
            expected = metrics.calinski_harabasz_score(rows, result.labels)
            assert found == pytest.approx(expected, rel=1e-9)


def test_calinski_harabasz_counts_weights_as_rows():
    rng = np.random.default_rng(0)
    X, weight = rng.normal(size=(60, 2)), rng.integers(1, 4, 60)
    weighted = elbow(X, [3, 4], 1, sample_weight=weight, n_init=20)
    repeated = elbow(np.repeat(X, weight, axis=0), [3, 4], 1, n_init=20)
    np.testing.assert_allclose(weighted.inertias, repeated.inertias)
    np.testing.assert_allclose(weighted.calinski_harabasz, repeated.calinski_harabasz)


def test_calinski_harabasz_at_its_limits():
    X = np.array([[0.0, 0.0], [0.0, 1.0], [5.0, 5.0], [7.0, 5.0]])
    curve = elbow(X, 4, 0)
    assert np.isnan(curve.calinski_harabasz[[0, 3]]).all()
    assert curve.calinski_harabasz[1] == pytest.approx((58.75 - 2.5) / (2.5 / 2))
    with pytest.warns(ConvergenceWarning):
        twice = elbow(np.repeat(X, 2, axis=0), [4, 5], 0)
    assert np.isinf(twice.calinski_harabasz).all()


EXAMPLES = {"figure2": True, "convex_decreasing": False, "bumpy": False, "concave_increasing": True}


def example(name):
    """One of kneed's published curves as one that falls over 1..m."""
    kneed = pytest.importorskip("kneed")
    x, y = (np.asarray(values, dtype=np.float64) for values in getattr(kneed.DataGenerator, name)())
    rising = EXAMPLES[name]
    curve, direction = ("concave", "increasing") if rising else ("convex", "decreasing")
    knee = kneed.KneeLocator(x, y, curve=curve, direction=direction).knee
    return np.arange(1, len(x) + 1), y.max() - y if rising else y, np.flatnonzero(x == knee)[0]


@pytest.mark.parametrize("name", EXAMPLES)
def test_farthest_below_the_chord_where_kneed_sees_the_knee(name):
    ks, curve, place = example(name)
    assert below_chord(ks, curve).argmax() == place
    # But it is a power of k there, like that of uniform rows.
    knee, reason = knee_of(ks, curve)
    assert knee is None and "without clusters" in reason


@pytest.mark.parametrize("true_k", [2, 3, 5])
def test_clusters_have_their_knee_where_kneed_sees_it(true_k):
    kneed = pytest.importorskip("kneed")
    rng = np.random.default_rng(true_k)
    X = 30 * rng.permutation(np.eye(8)[:true_k]).repeat(150, axis=0) + rng.normal(
        size=(150 * true_k, 8)
    )
    curve = elbow(X, 12, 0, n_init=4)
    theirs = kneed.KneeLocator(curve.ks, curve.inertias, curve="convex", direction="decreasing")
    assert curve.knee == theirs.knee == true_k


@pytest.mark.parametrize(("n", "d", "seed"), [(2000, 2, 2), (500, 3, 9), (1000, 2, 13)])
def test_many_ks_of_uniform_rows_have_no_knee(n, d, seed):
    """Single steps slow down threefold by luck: here at k = 25 and 26."""
    curve = elbow(np.random.default_rng(seed).random((n, d)), 40, 0, n_init=2)
    assert curve.knee is None


def test_many_clusters_have_their_knee():
    centres = 20 * np.random.default_rng(12).random((12, 6))
    X = np.repeat(centres, 100, axis=0) + np.random.default_rng(0).normal(size=(1200, 6))
    assert elbow(X, 30, 0, n_init=4).knee == 12


def test_slope_ratios_are_those_of_powers():
    ks = np.array([1, 2, 3, 4, 6, 9])
    curve = np.array([96.0, 48, 32, 24, 4, 2])
    one = np.log([2, 1.5, 4 / 3, 6, 2]) / np.log([2, 1.5, 4 / 3, 1.5, 1.5])
    np.testing.assert_allclose(slope_ratios(ks, curve, 1.0), one[:-1] / one[1:])
    wide = np.log(32 / 4) / np.log(6 / 3) / one[4]  # from 6 / 2 to 6, and to 9
    assert slope_ratios(ks, curve, 2.0)[3] == pytest.approx(wide)


def test_no_knee_in_lines_and_powers():
    ks = np.arange(1, 41)
    assert knee_of(ks, np.linspace(100.0, 3.0, 40))[0] is None
    for power in (0.1, 1.0, 2.0):
        knee, reason = knee_of(ks, 1e3 * ks**-power)
        assert knee is None and "without clusters" in reason


def test_inertias_of_zero():
    """Duplicates: nothing is left to fall."""
    assert knee_of(np.arange(1, 7), np.array([50.0, 20.0, 0, 0, 0, 0]))[0] == 3
    assert knee_of(np.arange(1, 5), np.zeros(4))[0] is None


def inertias_of(curve):
    return np.array([result.inertia for result in curve.results])


def test_inertias_never_rise_whatever_the_start(monkeypatch):
    where = np.repeat([0, 1000, 1030, 1060], 500)[:, None]
    X = where + np.random.default_rng(0).normal(size=(2000, 2))
    poor = np.array([[-1.0, 0.0], [1.0, 0.0], [0.0, 1.0], [1030.0, 1030.0]])
    start_from = {3: X[[0, 500, 1500]], 4: poor}
    monkeypatch.setattr(Coarse, "improved", lambda self, start, limits: start_from[len(start)])
    curve = elbow(X, [3, 4], 0)
    three, four = inertias_of(curve)
    assert four < three < kmeans(X, 4, init=poor).inertia
    assert curve.results[1].run_inertias.tolist() == [four]


def steps_to_fixed_point(momentum):
    """Of means that lie on the way from the centroids to 0, most of it or little."""
    kept = np.array([[0.5, 0.9], [0.99, 0.95]])
    centroids = np.ones((2, 2))
    for steps in range(1, 10_000):
        means = kept * centroids
        if np.abs(means - centroids).max() < 1e-8:
            return steps
        centroids = momentum.beyond(centroids, means) if momentum else means
    raise AssertionError("no fixed point")


def test_momentum_takes_fewer_steps():
    assert steps_to_fixed_point(None) == 1376
    assert steps_to_fixed_point(Momentum(np.zeros(2))) < 1376 / 4


@pytest.mark.parametrize("heavy", [1, 2])
def test_a_clustering_is_extended_by_the_seed_that_lowers_its_inertia_most(heavy):
    seeds = np.array([[0.0, 0.0], [10.0, 0.0], [0.0, 10.0]])
    X = np.repeat(seeds, 50, axis=0)
    weight = np.repeat([3.0 if seed == heavy else 1.0 for seed in range(3)], 50)
    some = Sample(Rows(X), weight, seeds, np.random.default_rng(0))
    np.testing.assert_array_equal(some.extended(seeds[:1], 2), seeds[[0, heavy]])
    both = some.extended(seeds[:1], 3)
    np.testing.assert_array_equal(both, seeds[[0, heavy, 3 - heavy]])
