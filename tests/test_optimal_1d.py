"""The global optimum of one column against exact arithmetic and kmeans1d."""

import itertools
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ckmeans import elbow, kmeans
from ckmeans._column import Column, optimal, sort_by_halves, sorting_order
from ckmeans._rows import Rows


def exact_costs(values, weight):
    """Least cost for every k = 1..m, in fractions, by the textbook recurrence."""
    x, w = [Fraction(float(v)) for v in values], [Fraction(float(v)) for v in weight]
    m = len(x)

    def cost(i, j):
        mass = sum(w[i:j])
        mean = sum(a * b for a, b in zip(w[i:j], x[i:j], strict=True)) / mass
        return sum(a * (b - mean) ** 2 for a, b in zip(w[i:j], x[i:j], strict=True))

    single = {(i, j): cost(i, j) for i in range(m) for j in range(i + 1, m + 1)}
    least = [[single[0, j] for j in range(1, m + 1)]]
    for k in range(1, m):
        before = least[-1]
        row = [None] * k + [
            min(before[i - 1] + single[i, j] for i in range(k, j)) for j in range(k + 1, m + 1)
        ]
        least.append(row)
    return [row[-1] for row in least]


def inertia(values, weight, centroids):
    """Weighted squared distances to the nearest centroid, in fractions."""
    total = Fraction(0)
    for x, w in zip(values, weight, strict=True):
        total += Fraction(float(w)) * min(
            (Fraction(float(x)) - Fraction(float(c))) ** 2 for c in centroids.ravel()
        )
    return total


def assert_optimal(values, weight=None):
    """Every k reaches the least cost of all partitions."""
    values = np.sort(np.asarray(values, dtype=np.float64))
    mass = np.ones(len(values)) if weight is None else np.asarray(weight, dtype=np.float64)
    least = exact_costs(values, mass)
    column = Column(Rows(values[:, None]), None if weight is None else mass)
    for k in range(1, len(values) + 1):
        found = inertia(values, mass, column.optimum(k))
        # A mean that is rounded to float64 costs this much more.
        slack = Fraction(float(mass.sum() * (4e-16 * np.abs(values).max()) ** 2))
        assert found <= least[k - 1] * (1 + Fraction(1, 10**11)) + slack, k


@given(
    values=st.lists(st.integers(-30, 30), min_size=1, max_size=9),
    weight=st.lists(st.integers(1, 9), min_size=9, max_size=9),
    weighted=st.booleans(),
)
def test_equal_to_all_partitions(values, weight, weighted):
    """By brute force, which checks the recurrence of the other tests too."""
    values = np.sort(np.array(values, dtype=np.float64))
    mass = np.array(weight[: len(values)], dtype=np.float64) if weighted else np.ones(len(values))
    least = exact_costs(values, mass)
    for k in range(1, len(values) + 1):
        cuts = itertools.combinations(range(1, len(values)), k - 1)
        costs = []
        for cut in cuts:
            parts = zip(np.split(values, cut), np.split(mass, cut), strict=True)
            costs.append(sum(w @ (x - np.average(x, weights=w)) ** 2 for x, w in parts))
        assert min(costs) == pytest.approx(float(least[k - 1]), rel=1e-12, abs=1e-12)
    assert_optimal(values, mass if weighted else None)


@given(seed=st.integers(0, 10**6), m=st.integers(2, 30), weighted=st.booleans())
def test_random_columns(seed, m, weighted):
    rng = np.random.default_rng(seed)
    values = rng.standard_t(2, m)
    assert_optimal(values, 10.0 ** rng.uniform(-9, 9, m) if weighted else None)


@pytest.mark.parametrize("m", [7, 24, 36])
def test_equal_steps_have_many_optima(m):
    """The curve is straight between divisors of m: k clusters lie on an edge."""
    assert_optimal(np.arange(m))
    assert_optimal(0.1 * np.arange(m), np.full(m, 0.3))


@pytest.mark.parametrize("gap", [1e3, 1e6, 1e9, 1e12])
@pytest.mark.parametrize("spread", [1.0, 1e-3])
def test_narrow_groups_far_apart(gap, spread):
    """Plain sums of squares have no digits left for what is within a group."""
    rng = np.random.default_rng(0)
    groups = [gap * place + spread * rng.random(8) for place in (-1, 0, 0.5, 3)]
    assert_optimal(np.concatenate(groups))


def test_an_offset_changes_nothing():
    x = np.random.default_rng(1).integers(0, 1000, (3000, 1)) / 64
    expected = kmeans(x, 7)
    far = kmeans(x + 2.0**30, 7)  # still exact
    np.testing.assert_array_equal(far.labels, expected.labels)
    np.testing.assert_allclose(far.centroids - 2.0**30, expected.centroids, rtol=1e-6)


@pytest.mark.parametrize("scale", [1e-300, 1e-160, 1e140])
def test_units_do_not_matter(scale):
    x = np.random.default_rng(2).random((200, 1))
    labels = Column(Rows(x), None).optimum(5) * scale
    np.testing.assert_allclose(Column(Rows(x * scale), None).optimum(5), labels, rtol=1e-9)
    weight = np.full(200, scale)
    np.testing.assert_allclose(Column(Rows(x), weight).optimum(5), labels / scale, rtol=1e-9)


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int64, np.uint8])
@pytest.mark.parametrize("k", [2, 3, 10, 40])
def test_equal_to_kmeans1d(dtype, k):
    kmeans1d = pytest.importorskip("kmeans1d")
    rng = np.random.default_rng(k)
    x = (60 * rng.gamma(2, size=40_000)).clip(0, 255).astype(dtype)
    theirs = kmeans1d.cluster(x, k)
    squares = (x.astype(np.float64) - np.array(theirs.centroids)[theirs.clusters]) ** 2
    ours = kmeans(x[:, None], k)
    assert ours.inertia == pytest.approx(squares.sum(), rel=1e-12)
    np.testing.assert_allclose(np.sort(ours.centroids[:, 0]), theirs.centroids, rtol=1e-9)


def test_weights_equal_kmeans1d_on_repeated_rows():
    kmeans1d = pytest.importorskip("kmeans1d")
    rng = np.random.default_rng(3)
    x, weight = rng.normal(size=20_000), rng.integers(0, 5, 20_000).astype(float)
    theirs = kmeans1d.cluster(np.repeat(x, weight.astype(int)), 6)
    ours = kmeans(x[:, None], 6, sample_weight=weight)
    np.testing.assert_allclose(np.sort(ours.centroids[:, 0]), theirs.centroids, rtol=1e-9)


@pytest.mark.parametrize("k", [2, 5, 30])
@pytest.mark.parametrize("weighted", [False, True])
def test_the_guessed_price_does_not_matter(k, weighted):
    """Columns long enough for a coarse one find the same cuts as without it."""
    rng = np.random.default_rng(k)
    x = np.concatenate([rng.normal(size=40_000), 1e4 + rng.normal(size=30_000)])
    weight = rng.random(len(x)) if weighted else None
    column = Column(Rows(x[:, None]), weight)
    centroids = column.optimum(k)[:, 0]
    costs = column.costs()
    expected = optimal(costs, k)
    np.testing.assert_array_equal(centroids, column.means(expected.cuts))
    guess = column.guess(k)
    assert guess.cost >= expected.cost and guess.k == k
    for price in (1e-12, 1e12):
        found = optimal(costs, k, replace(guess, price=price))
        np.testing.assert_array_equal(found.cuts, expected.cuts)


def test_denormal_weights():
    found = Column(Rows(np.arange(8.0)[:, None]), np.full(8, 1e-320)).optimum(2)
    assert found.ravel().tolist() == [1.5, 5.5]


def test_duplicates_count_as_one_of_their_weight():
    rng = np.random.default_rng(4)
    values, times = np.unique(rng.integers(0, 500, 300)) / 7, rng.integers(1, 6, 300)
    times = times[: len(values)]
    once = Column(Rows(values[:, None]), times.astype(float)).optimum(9)
    repeated = rng.permutation(np.repeat(values, times))
    np.testing.assert_allclose(Column(Rows(repeated[:, None]), None).optimum(9), once, rtol=1e-13)


def test_values_without_weight_count_for_nothing():
    x, weight = np.arange(6.0)[:, None], np.array([2.0, 0, 0, 1, 0, 1])
    column = Column(Rows(x), weight)
    assert column.optimum(4).ravel().tolist() == [0, 3, 5, 5]
    assert column.optimum(2).ravel().tolist() == [0, 4]


def test_elbow_of_one_column_is_optimal_at_every_k():
    x = np.random.default_rng(5).gamma(2, size=(500, 1))
    curve = elbow(x, 6)
    for k, found in zip(curve.ks, curve.inertias, strict=True):
        assert found == kmeans(x, int(k)).inertia


def test_sorting_by_parts(monkeypatch):
    monkeypatch.setattr("ckmeans._column.SORTED_AT_ONCE", 50)
    rng = np.random.default_rng(3)
    for column in (rng.normal(size=5000), rng.integers(0, 4, 700).astype(float), np.zeros(200)):
        order = sorting_order(column)
        np.testing.assert_array_equal(np.sort(order), np.arange(len(column)))
        np.testing.assert_array_equal(column[order], np.sort(column))
        values = column.copy()
        sort_by_halves(values)
        np.testing.assert_array_equal(values, np.sort(column))
