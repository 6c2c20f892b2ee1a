"""Pruning, threads, layouts of work: the labels, centroids and iterations of plain Lloyd."""

import subprocess
import sys
import warnings
from dataclasses import replace
from functools import cache
from itertools import pairwise

import numpy as np
import oracle
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ckmeans import ConvergenceWarning, _bounds, kmeans
from ckmeans._bounds import BOUND, FILTER, GIVEN, PLAIN, SCREENED, Sweep
from ckmeans._iterate import Problem
from ckmeans._rows import Rows
from ckmeans._seeding import Seeding
from ckmeans._source import Source

ALGORITHMS = ("lloyd", "hamerly", "auto")
DTYPES = (np.float32, np.float64, np.uint8, np.int16, np.float16)
THREADS = (1, 2, 3, 8)
SCALES = ("plain", "offset", "small", "large", "huge")


@pytest.fixture
def threads_for_all(monkeypatch):
    """Threads work on small problems too."""
    monkeypatch.setattr("ckmeans._iterate.PARALLEL", 1)
    monkeypatch.setattr("ckmeans._rows.PARALLEL", 1)


def blobs(rng, n, d, n_blobs, dtype):
    """Overlapping clusters of values that every dtype holds, integers where it is one."""
    X = rng.uniform(30, 220, (n_blobs, d))[rng.integers(0, n_blobs, n)]
    return np.clip(X + rng.normal(0, 12, (n, d)), 0, 255).astype(dtype)


def at_scale(X, scale):
    """The same with small or large squares, or far from the origin, where the dtype allows it."""
    single = {"small": 1e-22, "large": 7e16, "huge": 1e36}
    double = {"small": 1e-160, "large": 1e100, "huge": 1e142}
    if X.dtype.itemsize < 4 or scale == "plain":
        return X
    if scale == "offset":
        return X + X.dtype.type(1e6)
    return X * X.dtype.type((single if X.itemsize == 4 else double)[scale])


# --- One sweep at a time: whatever the centroids do, the labels are the brute force ---


def moved(kind, centroids, X, rng):
    """Where an iteration might put the centroids next."""
    k, d = centroids.shape
    spread = np.ptp(X, axis=0).max().astype(float)
    after = centroids.copy()
    few = rng.choice(k, max(1, k // 10), replace=False)
    if kind == "all a little":
        after += rng.normal(0, 0.01 * spread, (k, d))
    elif kind == "one far":
        after[rng.integers(k)] += rng.normal(0, 3 * spread, d)
    elif kind == "few by degrees":
        after[few] += rng.normal(0, spread, (len(few), d)) * 0.3 ** np.arange(len(few))[:, None]
    elif kind == "one more than a panel":  # k / 2 to k / 32 of them, far
        few = rng.choice(k, (k >> rng.integers(1, 6)) + 1, replace=False)[:k]
        after += rng.normal(0, 1e-6 * spread, (k, d))
        after[few] += (X[rng.integers(0, len(X), len(few))] - after[few]) / 2
    elif kind == "onto rows":
        after[few] = X[rng.integers(0, len(X), len(few))]
    elif kind == "onto one another":
        after[few] = after[rng.integers(k)]
    elif kind == "exchanged":
        after[few] = after[rng.permutation(few)]
    elif kind == "away":
        after[few] += 1e3 * spread
    return after


MOVES = (
    "none", "all a little", "one far", "few by degrees", "one more than a panel", "onto rows",
    "onto one another", "exchanged", "away",
)  # fmt: skip


def swept(sweep, n, centroids, mode, measure_gaps=True, measure=False):
    """Assign all rows; returns how many changed and the comparisons made."""
    sweep.aim(centroids, mode, measure_gaps, measure)
    for segment in range(sweep.n_segments):
        first = segment * sweep.segment_rows
        sweep.assign(segment, first, min(n, first + sweep.segment_rows))
    return sweep.collect()


def assert_sweeps_give_the_brute_force(sweep, X, centroids, steps, rng):
    """A run of (mode, move, measure_gaps); bounds are set anew where a filter has none."""
    k, d = centroids.shape
    sweep.begin(k)
    sweep.sort_cost *= int(rng.integers(2))  # free: panels pay even where rows have few columns
    before = np.full(len(X), -1)
    for mode, move, measure_gaps in [(BOUND, "none", True), *steps]:
        centroids = moved(move, centroids, X, rng)
        mode = mode if mode != FILTER or sweep.bounded else BOUND
        measure = bool(rng.integers(2))
        changed, _ = swept(sweep, len(X), centroids, mode, measure_gaps, measure)
        labels = oracle.nearest(X, centroids)
        np.testing.assert_array_equal(sweep.labels, labels, f"after {move}")
        assert changed == np.count_nonzero(labels != before)
        mass = np.bincount(labels, minlength=k)
        np.testing.assert_array_equal(sweep.totals[:, d], mass)
        if X.dtype.kind in "ui":  # every order of summation is exact
            sums = np.zeros((k, d))
            np.add.at(sums, labels, X - sweep.reference)
            np.testing.assert_array_equal(sweep.totals[:, :d], sums)
        if measure:
            residuals = sweep.residuals()
            squares = ((X.astype(float) - centroids[labels]) ** 2).sum(axis=1)
            inertias = np.bincount(labels, squares, minlength=k)
            np.testing.assert_array_equal(residuals[:, d], mass)
            np.testing.assert_allclose(residuals[:, d + 1], inertias, rtol=1e-12)
        before = labels


def totals_after(rows, weight, before, after):
    """The sums of clusters after some rows changed from labels `before` to `after`."""
    reference = np.linspace(99.1, 101.3, rows.shape[1])  # of which sums depend on their order
    sweep = Sweep(Source(rows), weight, reference, False, counts=True)
    sweep.begin(5)
    centroids = np.zeros((5, rows.shape[1]))
    nowhere = np.full_like(before, -1)
    for old, new in ((nowhere, before), (before, after)):
        sweep.aim(centroids, GIVEN, False, False)
        sweep.show(Source(rows), new, old)
        sweep.assign(0, 0, len(rows))
        sweep.collect()
    return sweep.totals


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("d", [1, 3, 70])
@pytest.mark.parametrize("dtype", [np.uint8, np.int64])
def test_moves_keep_their_bits_in_every_layout(dtype, d, weighted, level):
    """Whether rows are read where they are, gathered, or picked among all that are converted."""
    rng = np.random.default_rng(d)
    n = 4 * 84 * 48 + 7
    integers = rng.integers(0, 256, (n, d)).astype(dtype)
    real = np.float32 if dtype == np.uint8 else np.float64
    weight = rng.integers(1, 5, n).astype(float) if weighted else None
    before = rng.integers(0, 5, n).astype(np.int32)
    for n_changed in (0, n // 50, n // 6, n - n // 3, n - 1, n):
        after = before.copy()
        changed = rng.permutation(n)[:n_changed]
        after[changed] = (before[changed] + rng.integers(1, 5, n_changed)) % 5
        expected = totals_after(integers.astype(real), weight, before, after)
        np.testing.assert_array_equal(expected[:, d], np.bincount(after, weight, minlength=5))
        columns, apart = np.asfortranarray(integers), np.repeat(integers, 3, axis=1)[:, ::-3]
        for rows in (integers, columns, columns.astype(real), apart):
            if rows is apart:
                expected = totals_after(apart.astype(real), weight, before, after)
            np.testing.assert_array_equal(totals_after(rows, weight, before, after), expected)


@given(
    n=st.sampled_from([1, 7, 48, 49, 400]), d=st.sampled_from([1, 2, 3, 8, 9, 30, 64, 130]),
    k=st.sampled_from([1, 2, 5, 31, 32, 33, 63, 64, 65, 100]), dtype=st.sampled_from(DTYPES),
    steps=st.lists(
        st.tuples(
            st.sampled_from([FILTER, FILTER, FILTER, SCREENED, SCREENED, BOUND, PLAIN]),
            st.sampled_from(MOVES),
            st.booleans(),
        ),
        min_size=1, max_size=6,
    ),
    n_distinct=st.integers(1, 400), scale=st.sampled_from(SCALES), seed=st.integers(0, 10**6),
)  # fmt: skip
def test_sweeps_give_the_brute_force(level, n, d, k, dtype, steps, n_distinct, scale, seed):
    rng = np.random.default_rng(seed)
    X = at_scale(blobs(rng, n, d, 12, dtype)[np.arange(n) % n_distinct], scale)
    sweep = Sweep(Source(X), None, np.round(X.mean(axis=0, dtype=float)), True)
    for _ in range(2):  # a second run forgets the first
        centroids = X[rng.integers(0, n, k)].astype(float)
        assert_sweeps_give_the_brute_force(sweep, X, centroids, steps, rng)


@pytest.mark.parametrize("move", MOVES)
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.uint8])
def test_sweeps_by_panels_give_the_brute_force(level, dtype, move):
    """Where few centroids move far, rows are compared with a half of them, or fewer."""
    for k, d in ((64, 2), (100, 9), (65, 70)):
        rng = np.random.default_rng(k * d)
        X = blobs(rng, 400, d, 80, dtype)
        sweep = Sweep(Source(X), None, np.round(X.mean(axis=0, dtype=float)), True)
        sweep.sort_cost = 0
        steps = [(FILTER, step, True) for step in ("all a little", *3 * [move], "none")]
        assert_sweeps_give_the_brute_force(sweep, X, X[:k].astype(float), steps, rng)


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_panels_of_rows_of_any_size(level, dtype, scale):
    """Squares that underflow are no upper bounds."""
    for k, d, n in ((64, 1, 7), (64, 16, 50), (100, 3, 300)):
        for seed in range(4):
            rng = np.random.default_rng(seed)
            X = at_scale(rng.normal(size=(n, d)).astype(dtype), scale)
            sweep = Sweep(Source(X), None, X[0].astype(float), True)
            sweep.sort_cost = 0
            start = at_scale(rng.normal(size=(k, d)).astype(dtype), scale).astype(float)
            steps = 3 * [(FILTER, "all a little", seed % 2 == 0)] + [(FILTER, "none", True)]
            assert_sweeps_give_the_brute_force(sweep, X, start, steps, rng)


@pytest.mark.parametrize("move", MOVES)
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.uint8])
def test_listed_rows_give_the_brute_force(level, dtype, move):
    """Few long centroids take open rows where they are; the origin is any one of them."""
    for k, d in ((2, 128), (6, 131), (10, 200)):
        rng = np.random.default_rng(k * d)
        X = blobs(rng, 400, d, k, dtype)
        centroids = np.array([X[rng.integers(400)] + rng.normal(0, 9, d) for _ in range(k)])
        sweep = Sweep(Source(X), None, np.round(centroids[-1]) + 1, True)
        steps = [(FILTER, step, True) for step in ("all a little", *3 * [move], "none")]
        assert_sweeps_give_the_brute_force(sweep, X, centroids, steps, rng)


# Few centroids that rows have margins to, and columns
FEW = ((2, 1030), (6, 345), (10, 205))


def with_margins(X, reference):
    sweep = Sweep(Source(X), None, reference, True)
    sweep.margins_from = 1
    return sweep


@pytest.mark.parametrize("move", MOVES)
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.uint8])
def test_margins_give_the_brute_force(level, dtype, move):
    for k, d in FEW:
        rng = np.random.default_rng(k * d)
        X = blobs(rng, 400, d, k, dtype)
        centroids = np.array([X[rng.integers(400)] + rng.normal(0, 9, d) for _ in range(k)])
        steps = [(FILTER, step, True) for step in ("all a little", *3 * [move], "none")]
        reference = np.round(centroids[-1]) + 1
        assert_sweeps_give_the_brute_force(with_margins(X, reference), X, centroids, steps, rng)


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_margins_of_rows_of_any_size(level, dtype, scale):
    k, d = FEW[2]
    rng = np.random.default_rng(k)
    X = at_scale(blobs(rng, 400, d, k, dtype), scale)
    sweep = with_margins(X, X.mean(axis=0, dtype=float))
    centroids = X[rng.choice(400, k, replace=False)].astype(float)
    steps = [(FILTER, "all a little", True), (FILTER, "onto one another", True)] * 3
    assert_sweeps_give_the_brute_force(sweep, X, centroids, steps, rng)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_margins_outlast_more_passes_than_are_kept(level, dtype):
    """Each pass opens some rows; the passes of others have to make room for theirs. Rows lie far
    from their centroids, which go there and back."""
    rng = np.random.default_rng(4)
    n, (k, d) = 600, FEW[2]
    centroids = rng.normal(size=(k, d))
    X = (centroids[rng.integers(k, size=n)] + rng.normal(0, 6, (n, d))).astype(dtype)
    sweep = with_margins(X, np.zeros(d))
    sweep.begin(k)
    swept(sweep, n, centroids, BOUND)
    start, way, compared = centroids, rng.normal(0, 0.002, (k, d)), []
    for step in range(60):
        centroids = start + way * np.sin(step / 5) * (40 if step % 20 == 10 else 5)
        centroids[step % k] += rng.normal(0, 0.02, d)
        compared.append(swept(sweep, n, centroids, FILTER)[1])
        np.testing.assert_array_equal(sweep.labels, oracle.nearest(X, centroids))
    assert 0.02 < np.median(compared) / (n * k) < 0.8  # some are open, and some are not


def test_the_place_of_a_pass_is_taken_with_its_rows(level):
    """One row has its margins from a pass of its own, when the places for passes run out; then its
    centroid moves away."""
    rng = np.random.default_rng(0)
    n, (k, d) = 200, FEW[2]
    centroids = rng.normal(size=(k, d))
    X = centroids[rng.integers(k, size=n)] + rng.normal(0, 0.05, (n, d))
    way = centroids[1] - centroids[0]
    X[7] = centroids[0] + 0.2 * way  # nearest to the other centroid once that way is 0.6 gone
    sweep = with_margins(X, np.zeros(d))
    sweep.begin(k)
    swept(sweep, n, centroids, BOUND)
    steps = [(0.0, [7])] + [(0.0, [3 * q, 3 * q + 1, 3 * q + 2]) for q in range(7, 21)]
    steps += [(gone, []) for gone in (0.3, 0.3, 0.45, 0.58, 0.62, 0.66)]
    for gone, opened in steps:
        there = centroids.copy()
        there[0] -= gone * way
        for row in opened:
            sweep.open_row(row)
        swept(sweep, n, there, FILTER)
        np.testing.assert_array_equal(sweep.labels, oracle.nearest(X, there))
    assert sweep.labels[7] == 1


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("factor", [1e-12, 1e12])
def test_margins_have_the_units_of_the_rows(level, dtype, factor):
    rng = np.random.default_rng(7)
    n, (k, d) = 400, FEW[2]
    X = (blobs(rng, n, d, k, dtype).astype(float) * factor).astype(dtype)
    centroids = np.array([X[rng.integers(n)] for _ in range(k)], dtype=float)
    sweep = with_margins(X, X.mean(axis=0, dtype=float))
    sweep.begin(k)
    swept(sweep, n, centroids, BOUND)
    for _ in range(3):
        centroids += rng.normal(0, 0.01 * factor, (k, d))
        assert swept(sweep, n, centroids, FILTER)[1] < 0.5 * n * k
        np.testing.assert_array_equal(sweep.labels, oracle.nearest(X, centroids))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_rows_without_margins_have_bounds(level, dtype):
    """A centroid far away leaves no digits for what lies between the others."""
    rng = np.random.default_rng(8)
    n, (k, d) = 600, FEW[2]
    centroids = rng.normal(size=(k, d))
    centroids[3] = 1e15 if dtype == np.float64 else 1e6
    X = (centroids[rng.integers(k, size=n)] + rng.normal(0, 0.3, (n, d))).astype(dtype)
    sweep = with_margins(X, centroids[0])
    sweep.begin(k)
    swept(sweep, n, centroids, BOUND)
    assert sweep.expected_share(centroids) is None
    assert not sweep.bounded
    for _ in range(2):
        centroids[:2] += rng.normal(0, 0.001, (2, d))
        _, compared = swept(sweep, n, centroids, FILTER)  # sets bounds where there are none
        np.testing.assert_array_equal(sweep.labels, oracle.nearest(X, centroids))
    assert compared < n * k


def test_margins_count_moves_as_the_crow_flies(level):
    """Nothing is taken where all centroids go the same way, at a right angle to all that lies
    between them, or come back; a bound on distances would be lost."""
    rng = np.random.default_rng(5)
    n, (k, d) = 600, FEW[2]
    centroids = rng.normal(size=(k, d))
    X = (centroids[rng.integers(k, size=n)] + rng.normal(0, 3, (n, d))).astype(np.float32)
    sweep = with_margins(X, np.zeros(d))
    sweep.begin(k)
    swept(sweep, n, centroids, BOUND)
    far = centroids + 4 * rng.normal(size=(k, d))
    across, _ = np.linalg.qr((centroids - centroids[0])[1:].T, mode="complete")
    for there in (centroids + across[:, -1], centroids + 1000 * across[:, -2]):
        assert swept(sweep, n, there, FILTER)[1] < 0.03 * n * k
        np.testing.assert_array_equal(sweep.labels, oracle.nearest(X, there))
    assert sweep.expected_share(far) > 1
    assert swept(sweep, n, centroids, FILTER)[1] < 0.03 * n * k
    swept(sweep, n, far, PLAIN)  # which sets margins too: those before leave all rows open
    assert sweep.bounded
    assert sweep.expected_share(far) < 0.3  # some rows lie within a unit of the halfway planes


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_long_rows_are_not_the_radius_of_all(level, dtype):
    """The longest row is 60 times as far from its centroid as the others."""
    rng = np.random.default_rng(9)
    n, (k, d) = 600, FEW[2]
    centroids = rng.normal(size=(k, d))
    lengths = np.exp(1.2 * rng.normal(size=(n, 1)))
    X = (centroids[rng.integers(k, size=n)] + lengths * rng.normal(0, 0.3, (n, d))).astype(dtype)
    sweep = with_margins(X, np.zeros(d))
    sweep.begin(k)
    compared = []
    for mode in (BOUND, FILTER, BOUND, FILTER, FILTER):
        centroids = centroids + rng.normal(0, 0.06, (k, d))
        compared.append(swept(sweep, n, centroids, mode)[1] / (n * k))
        np.testing.assert_array_equal(sweep.labels, oracle.nearest(X, centroids))
    assert compared[1] > 0.3  # lengths are not known yet
    assert compared[3] < 0.1 and compared[4] < 0.1


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_margins_take_16_bytes_a_row(dtype):
    """With the labels of two runs that is all that a row may take."""
    X = np.ones((5000, FEW[2][1]), dtype)
    sweep = with_margins(X, X[0].astype(float))
    sweep.begin(FEW[2][0])
    assert sweep.lend().nbytes == 16 * len(X)


def test_an_opened_row_is_looked_at_again_by_its_margins(level):
    k, d = FEW[2]
    X = blobs(np.random.default_rng(1), 500, d, k, np.float32)
    centroids = X[:k].astype(float)
    sweep = with_margins(X, X[0].astype(float))
    sweep.begin(k)
    swept(sweep, 500, centroids, BOUND)
    expected = sweep.labels.copy()
    for other in range(1, k):
        sweep.labels[[3, 499]] = (expected[[3, 499]] + other) % k
        sweep.open_row(3)
        sweep.open_row(499)
        assert swept(sweep, 500, centroids, FILTER)[0] == 2
        np.testing.assert_array_equal(sweep.labels, expected)


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.uint8])
def test_margins_change_no_bits(threads_for_all, dtype):
    """Enough rows for them, and columns in any order."""
    rng = np.random.default_rng(6)
    n, k, d = 17000, 10, 210  # segments of several pieces
    X = rng.normal(130, 3, (k, d))[rng.integers(k, size=n)] + rng.normal(0, 16, (n, d))
    X = np.clip(X, 0, 255).astype(dtype)
    start = X[:k].astype(float)
    expected = kmeans(X, k, init=start, max_iter=40, algorithm="lloyd", n_threads=1)
    assert expected.n_iter > 15
    for rows in (X, np.asfortranarray(X)):
        for n_threads in (1, 3):
            found = kmeans(rows, k, init=start, max_iter=40, n_threads=n_threads)
            oracle.assert_same_bits(found, expected)


@pytest.mark.parametrize("mode", [PLAIN, BOUND])
def test_a_centroid_between_two_numbers_is_no_origin(level, mode):
    """At 1e6, float32 tells sixteenths."""
    rng = np.random.default_rng(2)
    X = (1e6 + rng.integers(0, 16, (400, 130)) / 16).astype(np.float32)
    sweep = Sweep(Source(X), None, X[0].astype(float), True)
    for seed in range(5):
        chosen = np.random.default_rng(seed).integers(0, 400, (6, 8))
        centroids = X[chosen].astype(float).mean(axis=1)
        sweep.begin(6)
        swept(sweep, 400, centroids, mode)
        np.testing.assert_array_equal(sweep.labels, oracle.nearest(X, centroids))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_lists_of_open_rows(level, dtype):
    """A third of the rows is open, in no order that a full tile has."""
    rng = np.random.default_rng(3)
    n, d, k = 1000, 150, 10
    X = blobs(rng, n, d, k, dtype)
    centroids = X[:k].astype(float)
    sweep = Sweep(Source(X), None, X[0].astype(float), True)
    sweep.begin(k)
    swept(sweep, n, centroids, BOUND)
    opened = rng.choice(n, n // 3, replace=False)
    sweep.labels[opened] = rng.integers(0, k, len(opened))
    for row in opened:
        sweep.open_row(int(row))
    _, comparisons = swept(sweep, n, centroids, FILTER)
    assert comparisons < 0.6 * n * k
    np.testing.assert_array_equal(sweep.labels, oracle.nearest(X, centroids))


def test_residuals_are_carried_to_means_nearby(level):
    rng = np.random.default_rng(0)
    X = blobs(rng, 500, 3, 5, np.float64)
    centroids = X[:5] + 0.5
    sweep = Sweep(Source(X), None, X[0].copy(), False)
    sweep.begin(5)
    swept(sweep, 500, centroids, PLAIN, measure=True)
    residuals = sweep.residuals()
    means = centroids + rng.normal(0, 1e-6, (5, 3))
    carried = sweep.carried(centroids, means, residuals)
    assert swept(sweep, 500, means, PLAIN, measure=True)[0] == 0
    np.testing.assert_allclose(carried, sweep.residuals(), rtol=1e-13, atol=1e-10)
    assert not np.allclose(carried, residuals, rtol=1e-12, atol=0)
    assert sweep.carried(centroids, centroids + 1, residuals) is None
    np.testing.assert_array_equal(sweep.carried(centroids, centroids.copy(), residuals), residuals)


def test_residuals_are_not_carried_where_digits_would_go():
    """To the means of equal rows there is no distance left."""
    X = np.repeat([[0.1], [0.7]], 50, axis=0)
    centroids = np.array([[0.1 + 1e-12], [0.7]])
    sweep = Sweep(Source(X), None, X[0].copy(), False)
    sweep.begin(2)
    swept(sweep, 100, centroids, PLAIN, measure=True)
    residuals = sweep.residuals()
    assert sweep.carried(centroids, np.array([[0.1], [0.7]]), residuals) is None


@pytest.mark.parametrize("dtype", DTYPES)
def test_visiting_centroids_take_rows_and_give_them_back(level, dtype):
    """They make up the panel, and the rows' own centroids, at times as near, stay outside."""
    homes = 5.0 + 30 * np.argwhere(np.ones((8, 8)))[:60]
    offsets = np.argwhere(np.ones((3, 3))) - 1
    visited = homes[50:54]
    X = np.concatenate([*(homes[:, None] + offsets), visited + [8, 0]]).astype(dtype)
    sweep = Sweep(Source(X), None, X[0].astype(float), True)
    sweep.begin(64)
    for away in (8, 2, 1, 3, 7, 8, 1.5, 3, 2, 8, 0, 7, 8, 1.5, 1.5, 2, 2):
        centroids = np.ascontiguousarray(np.concatenate([homes, visited + [away, 0]]))
        swept(sweep, len(X), centroids, BOUND if away == 8 else FILTER)
        np.testing.assert_array_equal(sweep.labels, oracle.nearest(X, centroids), f"{away} away")


def test_bounds_spare_comparisons(level):
    """Bounds that prune nothing would give the same labels."""
    rng = np.random.default_rng(0)
    for dtype in DTYPES:
        for d, k in ((2, 10), (3, 100), (40, 70)):
            X = blobs(rng, 5000, d, k, dtype)
            centroids = X[:k].astype(float)
            sweep = Sweep(Source(X), None, X[0].astype(float), True)
            sweep.begin(k)
            assert swept(sweep, 5000, centroids, PLAIN)[1] == 5000 * k
            assert swept(sweep, 5000, centroids, BOUND) == (0, 5000 * k)
            changed, comparisons = swept(sweep, 5000, centroids, FILTER)
            assert changed == 0 and comparisons < 0.1 * 5000 * k
            near = centroids + rng.normal(0, 0.1, (k, d))  # of clusters 12 wide
            assert swept(sweep, 5000, near, FILTER)[1] < 0.3 * 5000 * k


@pytest.mark.parametrize("nears", [0, 1])
def test_moves_below_a_rounding_add_up(level, nears):
    """2^-27 is nothing beside a float32 distance of 1, but a hundred of them are six roundings."""
    X = np.zeros((1, 2), np.float32)
    centroids = np.array([[-1 + 2.0**-20, 0.0], [1 + 2.0**-20, 0.0]])
    sweep = Sweep(Source(X), None, np.zeros(2), True)
    sweep.begin(2)
    swept(sweep, 1, centroids, BOUND)
    move = np.zeros((2, 2))
    move[nears, 0] = -(2.0**-27)
    for _ in range(400):
        centroids = centroids + move
        swept(sweep, 1, centroids, FILTER)
        assert sweep.labels == oracle.nearest(X, centroids)
    assert sweep.labels == 1


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("n_moves", [30, 300])
def test_sums_of_many_moves_stay_sums(level, dtype, n_moves):
    """After moves of more than 1, thousands of roundings of them are the distance of a row to one
    centroid less that to the one which comes nearer last: both are in the panel of half of them."""
    for own, far, step in ((0.07503, 1.17884, 1.5e-10), (0.06706, 1.22442, 2.03e-7)):
        for nearer in (-1e-14, 1e-15, 5e-15, 6e-14):
            centroids = 0.05 + 5e-4 * np.arange(64)[:, None]
            centroids[:3, 0] = 0.01, -0.02, 0.06
            before = centroids + np.array([own, 0, far] + 61 * [0])[:, None]
            sweep = Sweep(Source(np.zeros((1, 1), dtype)), None, np.zeros(1), True)
            sweep.begin(64)
            sweep.sort_cost = 0
            swept(sweep, 1, before, BOUND, measure_gaps=False)
            for i in range(n_moves):
                centroids = centroids.copy()
                centroids[[0, 2], 0] += np.array([-0.5, 1]) * step * (-1) ** i
                swept(sweep, 1, centroids, FILTER, measure_gaps=False)
            assert sweep.labels == 0
            sweep.open_row(0)
            swept(sweep, 1, centroids, FILTER, measure_gaps=False)
            centroids = centroids.copy()
            centroids[1] = nearer - abs(centroids[0])
            centroids[2:4] += 1
            swept(sweep, 1, centroids, FILTER, measure_gaps=False)
            assert sweep.labels == oracle.nearest(np.zeros((1, 1)), centroids)


@pytest.mark.parametrize("prune", [True, None])
def test_bounds_outlast_a_move_from_far_away(level, prune):
    """A million roundings of what others moved once would be more than there is between bounds."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(20_000, 2)).astype(np.float32)
    X[:50] += 1e6
    centroids = X[rng.integers(50, len(X), 20)].astype(float)
    centroids[0] = X[0] / 2
    problem = Problem(Rows(X), None, prune, 1)
    problem.begin(20, None)
    for _ in range(36):
        problem.assign(centroids)
        np.testing.assert_array_equal(problem.labels, oracle.nearest(X, centroids))
        centroids = problem.means(centroids)[0]
    assert problem.share < 0.8


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_one_centroid_leaves_nothing_open(level, dtype):
    X = np.random.default_rng(0).normal(size=(500, 3)).astype(dtype)
    sweep = Sweep(Source(X), None, np.zeros(3), True)
    sweep.begin(1)
    swept(sweep, 500, np.ones((1, 3)), BOUND)
    assert swept(sweep, 500, np.zeros((1, 3)), FILTER) == (0, 0)
    assert 0 <= sweep.expected_share(np.ones((1, 3))) < 1e-6


@pytest.mark.parametrize("second_run", [True, False])
def test_gaps_are_not_those_of_earlier_centroids(level, second_run):
    rng = np.random.default_rng(0)
    X = rng.random((500, 2))
    sweep = Sweep(Source(X), None, X[0].copy(), True)
    sweep.begin(3)
    far = np.array([[0.0, 0.0], [50.0, 50.0], [-50.0, 50.0]])
    swept(sweep, 500, far, BOUND)
    swept(sweep, 500, far, FILTER)
    if second_run:
        sweep.begin(3)
    centroids = X[:3]
    swept(sweep, 500, centroids, BOUND)
    for _ in range(5):
        centroids = centroids + rng.normal(0, 0.05, (3, 2))
        swept(sweep, 500, centroids, FILTER, measure_gaps=False)
        np.testing.assert_array_equal(sweep.labels, oracle.nearest(X, centroids))


def test_gaps_not_measured_anew_are_lowered(level):
    rng = np.random.default_rng(0)
    X = rng.random((500, 2))
    centroids = rng.random((6, 2))
    sweep = Sweep(Source(X), None, X[0].copy(), True)
    sweep.begin(6)
    swept(sweep, 500, centroids, BOUND)
    swept(sweep, 500, centroids, FILTER, measure_gaps=True)
    for _ in range(20):
        centroids = centroids + rng.normal(0, 0.03, (6, 2))
        swept(sweep, 500, centroids, FILTER, measure_gaps=False)
        np.testing.assert_array_equal(sweep.labels, oracle.nearest(X, centroids))


def test_gaps_are_less_by_what_the_centroids_were_rounded(level):
    """Rows and rounded centroids lie on multiples of 4: there, half the gap of 4.1 is 3, beyond the
    row that lies 2.1 from its centroid and 2 from the other one."""
    X = np.array([[2.0**25], [2.0**25 + 4]], np.float32)
    sweep = Sweep(Source(X), None, np.full(1, 2.0**25), True)
    sweep.begin(2)
    for other, labels in ((6.4, [0, 0]), (6.0, [0, 1])):
        mode = FILTER if sweep.bounded else BOUND
        swept(sweep, 2, 2.0**25 + np.array([[1.9], [other]]), mode)
        np.testing.assert_array_equal(sweep.labels, labels)


@pytest.mark.parametrize("name", ["reference", "labels", "start", "uniforms"])
def test_compiled_code_refuses_arrays_that_it_would_misread(name):
    """Of another type, byte order or length, or with gaps between numbers."""
    source = Source(np.random.default_rng(0).random((40, 2)))
    sweep = Sweep(source, None, np.zeros(2), False)
    sweep.begin(3)
    seeding = Seeding(source, None, 3, 3)

    def give(array):
        if name == "reference":
            Sweep(source, None, array, False)
        elif name == "labels":
            sweep.begin(3, array)
        elif name == "start":
            sweep.run(array, False, 10, 0.0)
        else:
            seeding.seed(array)

    right = {
        "reference": np.zeros(2), "labels": np.zeros(40, np.int32),
        "start": np.random.default_rng(1).random((3, 2)), "uniforms": np.full(7, 0.5),
    }[name]  # fmt: skip
    give(right)
    wrong = [right.astype("f4"), right.astype(right.dtype.newbyteorder()), np.repeat(right, 2)[::2]]
    for array in wrong if name == "labels" else [*wrong, right[:-1].copy()]:
        with pytest.raises(ValueError, match=f"^{name} must be"):
            give(array)


def test_an_opened_row_is_looked_at_again(level):
    for dtype in (np.float32, np.float64):
        X = blobs(np.random.default_rng(1), 500, 3, 5, dtype)
        centroids = X[:5].astype(float)
        sweep = Sweep(Source(X), None, X[0].astype(float), True)
        sweep.begin(5)
        swept(sweep, 500, centroids, BOUND)
        expected = sweep.labels.copy()
        sweep.labels[[3, 499]] = (expected[[3, 499]] + 1) % 5
        sweep.open_row(3)
        sweep.open_row(499)
        assert swept(sweep, 500, centroids, FILTER)[0] == 2
        np.testing.assert_array_equal(sweep.labels, expected)


# --- Rows kept as integers ---


def screened(X, centroids, reference):
    """Labels, and how many rows the integers left open; twice, the second time by the rows kept."""
    n, k = len(X), len(centroids)
    sweep = Sweep(Source(X), None, reference, True)
    sweep.begin(k)
    swept(sweep, n, np.ascontiguousarray(centroids[::-1]), SCREENED)
    _, comparisons = swept(sweep, n, centroids, SCREENED)
    return sweep.labels, comparisons // k - n


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("d", [1, 2, 3, 5, 8])
def test_integers_tell_only_what_is_certain(level, dtype, d):
    """Half of the rows lie within two units of the plane between two centroids, so that rounding
    takes some to its other side: more of them than half the margin would leave open."""
    rng = np.random.default_rng(d)
    n_open = 0
    for _ in range(40):
        across = rng.normal(size=d)
        across /= np.linalg.norm(across)
        a, b = rng.uniform(0.8, 1, 2)
        along = rng.normal(size=(1000, d))
        along -= np.outer(along @ across, across)
        near = along / np.maximum(1.5, np.linalg.norm(along, axis=1))[:, None]
        near += np.outer((a - b) / 2 + rng.uniform(-2, 2, 1000) * 1.5 / 32_000, across)
        far = np.outer(rng.choice([-1.0, 1.0], 1000), across)
        X = rng.permutation(np.concatenate([near, far])).astype(dtype)
        labels, left = screened(X, np.array([across * a, across * -b]), np.zeros(d))
        np.testing.assert_array_equal(labels, oracle.nearest(X, [across * a, across * -b]))
        n_open += left
    assert (level == "avx512vnni") == (n_open > 0)
    assert n_open < 40 * 1010  # none of those that lie far from the plane


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("d", [2, 3, 8])
def test_rows_too_long_for_the_integers_are_left_open(level, dtype, d):
    rng = np.random.default_rng(d)
    X = rng.normal(size=(3001, d)).astype(dtype)
    for step, factor in ((401, 8), (503, 1e3), (607, 1e9), (709, 1e30)):
        X[step - 1 :: step] *= dtype(factor)
    for far in (0.5, 4, 1e3, 1e30):  # the last ones farther than rows may be
        centroids = rng.normal(size=(7, d))
        centroids[3] *= far
        labels, left = screened(X, centroids, X[0].astype(float))
        np.testing.assert_array_equal(labels, oracle.nearest(X, centroids))
        if level == "avx512vnni" and far < 1:
            assert 20 <= left < 100


@pytest.mark.parametrize("offset", [0, 1e3])
def test_integers_decide_nearly_all(level, offset):
    rng = np.random.default_rng(0)
    X = (rng.normal(size=(4099, 8)) + offset).astype(np.float32)
    centroids = X[:20].astype(float)
    labels, left = screened(X, centroids, X[0].astype(float))
    np.testing.assert_array_equal(labels, oracle.nearest(X, centroids))
    assert left < 0.02 * len(X) and (left > 0) == (level == "avx512vnni")


def test_what_got_no_memory_can_begin_again(monkeypatch):
    def none(*_):
        raise MemoryError

    X = np.random.default_rng(0).normal(size=(50, 2))
    sweep = Sweep(Source(X), None, X[0].copy(), False)
    with monkeypatch.context() as patch, pytest.raises(MemoryError):
        patch.setattr(_bounds, "zeroed", none)
        sweep.begin(3)
    sweep.begin(3)
    centroids, *_, converged = sweep.run(X[:3].copy(), False, 100, 0.0)
    assert converged
    np.testing.assert_array_equal(sweep.labels, oracle.nearest(X, centroids))


@pytest.fixture
def integers_for_all(monkeypatch):
    """Few rows are kept as integers too."""
    monkeypatch.setattr("ckmeans._iterate.SMALL", 1)
    monkeypatch.setattr("ckmeans._iterate.ROUNDED_FROM_ROWS", 1)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("d", "k"), [(2, 12), (3, 33), (5, 16), (8, 16)])
@pytest.mark.usefixtures("level", "threads_for_all", "integers_for_all")
def test_integers_change_no_bits(dtype, d, k, monkeypatch):
    rng = np.random.default_rng(d)
    X = blobs(rng, 9007, d, k, dtype)
    weight = rng.integers(0, 4, len(X)).astype(float)
    for options in ({}, {"algorithm": "lloyd"}, {"sample_weight": weight}, {"n_init": 3}):
        with monkeypatch.context() as without:
            without.setattr("ckmeans._iterate.ROUNDED_FROM_ROWS", len(X) + 1)
            expected = kmeans(X, k, 0, n_threads=1, **options)
        for rows in (X, np.asfortranarray(X), np.repeat(X, 2, axis=1)[:, ::2]):
            result = kmeans(rows, k, 0, n_threads=2, **options)
            oracle.assert_same_bits(result, expected)


def test_integers_are_given_up_where_they_tell_little(level, integers_for_all):
    """Clusters lie nearer to one another than a unit of the longest rows."""
    rng = np.random.default_rng(0)
    centroids = np.repeat([[1e4, 0.0], [-1e4, 0.0]], 8, axis=0) + rng.normal(0, 0.05, (16, 2))
    X = centroids[rng.integers(0, 16, 2000)] + rng.normal(0, 0.05, (2000, 2))
    problem = Problem(Rows(X), None, None, 1)
    problem.begin(16, None)
    assert problem.sweep.rounds == (level == "avx512vnni")
    for _ in range(2):
        problem.assign(centroids)
        np.testing.assert_array_equal(problem.labels, oracle.nearest(X, centroids))
        assert not problem.sweep.rounds
        centroids = centroids[::-1].copy()


def test_integers_stay_once_rows_are_settled(level, integers_for_all):
    """The filter takes their place only where few rows change; and the rows are rounded anew where
    they take that of the bounds."""
    X = blobs(np.random.default_rng(3), 20_000, 8, 16, np.float32)
    problem = Problem(Rows(X), None, None, 1)
    problem.begin(16, None)
    centroids = X[:16].astype(float)
    problem.assign(centroids)
    for settled in (0.02, 0.0):
        problem.changed = int(settled * len(X))
        mode = problem._mode(centroids)
        assert mode == (SCREENED if level == "avx512vnni" and settled else BOUND)
    swept(problem.sweep, len(X), centroids, BOUND)
    swept(problem.sweep, len(X), centroids, SCREENED)
    np.testing.assert_array_equal(problem.labels, oracle.nearest(X, centroids))


def share_open(X, centroids, moves, other, own):
    """Of the rows, those in which moves have used up the gap between the two nearest centroids."""
    distances = np.sort(np.linalg.norm(X[:, None] - centroids, axis=2), axis=1)
    lost = other + own * moves[oracle.nearest(X, centroids)]
    return (1 / (1 + (distances[:, 1] - distances[:, 0]) // lost)).mean()


def share_by_slack(X, centroids, moves):
    """Of all comparisons, what the filter leaves without panels, and with the panel that pays."""
    falling = np.sort(moves)[::-1]
    whole = least = share_open(X, centroids, moves, falling[0], 1)
    for size in (32, 16, 8, 4, 2):
        if size / 64 < whole:
            full = share_open(X, centroids, moves, falling[size], 0)
            least = min(least, (1 - full) * size / 64 + full)
    return whole, least


def test_the_share_that_bounds_would_leave_is_known_before(level):
    """By the slack of rows: each is compared with all centroids once it is lost, or with those
    that moved farthest until then."""
    rng = np.random.default_rng(5)
    X, start = rng.normal(size=(500, 3)), rng.normal(size=(64, 3))
    few = np.where(np.arange(64) < 5, 0.3, 1e-3)[rng.permutation(64), None]
    directions = rng.normal(size=(64, 3))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    for lengths, gain in ((np.full((64, 1), 0.01), 0.6), (few, 0.15)):
        sweep = Sweep(Source(X), None, np.zeros(3), True)
        sweep.begin(64)
        sweep.sort_cost = 0
        assert sweep.expected_share(start) is None
        for centroids in (start, 3 * start):  # of bounds that are set anew it is another one
            swept(sweep, len(X), centroids, BOUND)
            whole, expected = share_by_slack(X, centroids, lengths.ravel())
            assert gain < expected / whole < 2 * gain
            centroids = centroids + lengths * directions
            assert sweep.expected_share(centroids) == pytest.approx(expected, rel=1e-4)
        swept(sweep, len(X), centroids, PLAIN)
        # Bounds are gone, but not what was known of the slack.
        centroids = centroids + lengths * directions
        assert sweep.expected_share(centroids) == pytest.approx(expected, rel=0.1)


def test_bounds_go_and_come_with_the_moves_of_the_centroids(level):
    X = blobs(np.random.default_rng(3), 30_000, 16, 40, np.float32)
    problem = Problem(Rows(X), None, None, 1)
    problem.begin(40, None)
    centroids, modes = X[:40].astype(float), []
    problem.assign(centroids)
    problem.changed = 0
    for move in (1e-4, 1e-4, 1e-4, 3, 3, 1e-4, 1e-4):
        centroids = centroids + move
        modes.append(problem._mode(centroids))
        problem.assign(centroids)
        np.testing.assert_array_equal(problem.labels, oracle.nearest(X, centroids))
    assert modes == [BOUND, FILTER, FILTER, PLAIN, PLAIN, BOUND, FILTER]


# --- Whole runs: the same bits by every way of computing them ---

# n, d, k, rows that are distinct, options. Two segments take n d >= 2^16; panels, k >= 64.
RUNS = {
    "few columns": (700, 3, 20, 700, {}),
    "one column": (300, 1, 6, 300, {"init": True}),
    "segments": (2100, 64, 12, 2100, {}),
    "segments of few columns": (22_000, 3, 9, 22_000, {"max_iter": 12}),
    "panels": (1500, 2, 100, 1500, {}),
    "panels of many columns": (1200, 70, 66, 1200, {}),
    "few centroids of many columns": (300, 130, 5, 300, {}),
    "refilled": (300, 2, 70, 80, {"init": True}),
    "fewer distinct rows than k": (200, 3, 90, 60, {"init": True}),
    "one cluster": (200, 5, 1, 200, {}),
    "a cluster a row": (40, 4, 40, 40, {}),
    "several starts": (400, 4, 7, 400, {"n_init": 3, "init": "random"}),
    "stopped by max_iter": (900, 4, 30, 900, {"max_iter": 3}),
    "stopped by tol": (900, 4, 30, 900, {"tol": 1e-3}),
    "weighted": (800, 5, 15, 800, {"sample_weight": True}),
    "weighted segments": (2100, 64, 12, 2100, {"sample_weight": True}),
    "standardised": (600, 6, 11, 600, {"scale": "std"}),
}


@cache
def run_of(name, dtype):
    n, d, k, n_distinct, options = RUNS[name]
    rng = np.random.default_rng(len(name))
    X = blobs(rng, n, d, max(2, k // 2), dtype)[np.arange(n) % n_distinct]
    options = dict(options)
    if options.get("init") is True:  # equal centroids: all but one are emptied at once
        options["init"] = np.repeat(X[: (k + 1) // 2], 2, axis=0)[:k]
    if "sample_weight" in options:
        options["sample_weight"] = rng.exponential(size=n) * (rng.random(n) < 0.9)
    return X, k, options


def clustered(name, dtype, **how):
    X, k, options = run_of(name, dtype)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return kmeans(X, k, 0, **options, **how)


@cache
def at_the_first_level(name, dtype):
    return clustered(name, dtype, algorithm="lloyd", n_threads=1)


@pytest.mark.parametrize("name", RUNS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_every_way_gives_the_same_bits(level, threads_for_all, dtype, name):
    expected = clustered(name, dtype, algorithm="lloyd", n_threads=1)
    for algorithm in ALGORITHMS:
        for n_threads in THREADS:
            result = clustered(name, dtype, algorithm=algorithm, n_threads=n_threads)
            oracle.assert_same_bits(result, expected)
    elsewhere = at_the_first_level(name, dtype)
    np.testing.assert_array_equal(expected.labels, elsewhere.labels)
    np.testing.assert_array_equal(expected.centroids, elsewhere.centroids)
    np.testing.assert_allclose(expected.inertia, elsewhere.inertia, rtol=1e-13)
    assert expected.n_iter == elsewhere.n_iter


@pytest.mark.parametrize("name", RUNS)
@pytest.mark.parametrize("n_threads", [1, 2])
def test_interruptible_pieces_change_nothing(threads_for_all, monkeypatch, n_threads, name):
    expected = clustered(name, np.float32)
    monkeypatch.setattr("ckmeans._iterate.UNINTERRUPTED", 1)
    oracle.assert_same_bits(clustered(name, np.float32, n_threads=n_threads), expected)


@pytest.mark.parametrize("most", [1, 3, 1000])
def test_small_runs_are_those_of_steps(monkeypatch, most):
    """One compiled call, or the loop, which takes over where that has not ended in time."""
    X = blobs(np.random.default_rng(4), 600, 2, 9, np.float64)
    start = X[:6]
    limits = [{}, {"max_iter": 2}, {"max_iter": 3}, {"tol": 1e-3}]
    watched = [kmeans(X, 6, init=start, callback=lambda _: None, **limit) for limit in limits]
    assert watched[0].n_iter > 3
    monkeypatch.setattr("ckmeans._iterate.AT_ONCE", most)
    for limit, expected in zip(limits, watched, strict=True):
        oracle.assert_same_bits(kmeans(X, 6, init=start, **limit), expected)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize("name", RUNS)
def test_iterations_in_one_call_are_those_of_steps(threads_for_all, monkeypatch, name, algorithm):
    """Where they go on without the interpreter, and where a callback watches each."""
    monkeypatch.setattr("ckmeans._iterate.SMALL", 0)
    went, go_on = [], Problem.go_on

    def noted(self, *given):
        centroids, steps = go_on(self, *given)
        went.append(steps)
        return centroids, steps

    monkeypatch.setattr(Problem, "go_on", noted)
    for dtype in (np.float32, np.float64):
        for rows in (len(run_of(name, dtype)[0]) + 1, 1):  # kept as integers, or not
            monkeypatch.setattr("ckmeans._iterate.ROUNDED_FROM_ROWS", rows)
            seen = []
            expected = clustered(name, dtype, algorithm=algorithm, callback=seen.append)
            assert not went
            for n_threads in (1, 2):
                result = clustered(name, dtype, algorithm=algorithm, n_threads=n_threads)
                oracle.assert_same_bits(result, expected)
            if name == "segments of few columns":
                assert max(went) > 3
            went.clear()


@pytest.mark.parametrize("name", RUNS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_labels_belong_to_the_centroids(dtype, name):
    X, _, options = run_of(name, dtype)
    result = at_the_first_level(name, dtype)
    np.testing.assert_array_equal(result.predict(X), result.labels)
    if "scale" in options:
        Z = (X - result.offset) / result.scale
        result = replace(result, centroids=(result.centroids - result.offset) / result.scale)
        oracle.assert_fixed_point(Z, result)
    elif "max_iter" in options or "tol" in options:
        np.testing.assert_array_equal(result.labels, oracle.nearest(X, result.centroids))
        squares = oracle.squares(X, result.centroids).min(axis=1)
        assert result.inertia == pytest.approx(squares.sum(), rel=1e-12)
    else:
        assert result.converged
        oracle.assert_fixed_point(X, result, options.get("sample_weight"))


@pytest.mark.parametrize("name", RUNS)
@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_inertia_never_rises_and_a_callback_changes_nothing(name, algorithm):
    for dtype in (np.float32, np.float64):
        seen = []
        result = clustered(name, dtype, algorithm=algorithm, callback=seen.append)
        oracle.assert_same_bits(result, clustered(name, dtype, algorithm=algorithm))
        # Where every row is a centroid, the inertia is the rounding of the means.
        tiny = result.labels.size * (16 * np.finfo(float).eps * 255) ** 2
        for before, after in pairwise(seen):
            if before.run == after.run:
                assert after.inertia <= before.inertia * (1 + 1e-12) + tiny
        assert result.inertia <= min(p.inertia for p in seen) * (1 + 1e-12) + tiny


@given(
    n=st.integers(1, 150), d=st.integers(1, 12), k=st.integers(1, 80),
    dtype=st.sampled_from(DTYPES), n_distinct=st.integers(1, 150), weighted=st.booleans(),
    scale=st.sampled_from(SCALES), seed=st.integers(0, 10**6),
)  # fmt: skip
def test_any_problem_ends_at_its_fixed_point(
    level, n, d, k, dtype, n_distinct, weighted, scale, seed
):
    rng = np.random.default_rng(seed)
    k = min(n, k)
    X = at_scale(blobs(rng, n, d, 8, dtype)[np.arange(n) % n_distinct], scale)
    weight = rng.integers(0, 3, n) + np.eye(1, n)[0] if weighted else None
    start = X[rng.permutation(n)[:k]].astype(float)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        results = [
            kmeans(X, k, init=start, sample_weight=weight, algorithm=name) for name in ALGORITHMS
        ]
    assert results[0].converged
    oracle.assert_fixed_point(X, results[0], weight)
    for result in results[1:]:
        oracle.assert_same_bits(result, results[0])


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize("weighted", [False, True])
def test_every_iteration_is_lloyds(algorithm, weighted):
    rng = np.random.default_rng(0)
    X = blobs(rng, 3000, 3, 8, np.float64)
    weight = rng.uniform(1, 2, 3000) if weighted else np.ones(3000)
    for n_iter in range(1, 8):
        result = kmeans(
            X, 8, init=X[:8], algorithm=algorithm, max_iter=n_iter,
            sample_weight=weight if weighted else None,
        )  # fmt: skip
        assert result.n_iter == n_iter
        centroids = oracle.lloyd(X, X[:8], weight, n_iter)
        np.testing.assert_allclose(result.centroids, centroids, rtol=1e-12)
        np.testing.assert_array_equal(result.labels, oracle.nearest(X, centroids))


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_means_do_not_remember_rows_that_left(algorithm):
    """A row of 2e12 joins the first cluster, and takes the digits of its sum along."""
    near = np.random.default_rng(0).normal(size=(301, 2))
    X = np.concatenate([near[:50], [[1.9e12, 0]], np.full((100, 2), [2.1e12, 0]), near[50:]])
    result = kmeans(X, 2, init=[[0, 0], [4e12, 0]], algorithm=algorithm)
    assert result.converged and result.sizes.tolist() == [301, 101]
    np.testing.assert_allclose(result.centroids[0], near.mean(axis=0), rtol=1e-12)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_distances_beyond_float32(level, algorithm):
    """The second centroid is so far that its squared distance is infinite in float32."""
    x = np.r_[np.zeros(100), 1.5e19, 4e19, np.full(100, 2.4e19)]
    X = np.column_stack([x, 0 * x]).astype(np.float32)
    result = kmeans(X, 2, init=[[0, 0], [4e19, 0]], algorithm=algorithm)
    oracle.assert_fixed_point(X, result)


@pytest.mark.parametrize("dtype", ["f4", "f8"])
@pytest.mark.parametrize("d", [2, 8, 20])
@pytest.mark.parametrize("options", [{}, {"refine": "swap"}, {"algorithm": "hamerly"}])
@pytest.mark.usefixtures("integers_for_all")
def test_seeds_in_the_memory_of_the_bounds_are_the_same(monkeypatch, dtype, d, options):
    """And so is what comes of them: no run reads what another, or its seeding, has left there."""
    X = np.random.default_rng(d).normal(size=(3000, d)).astype(dtype)
    apart = kmeans(X, 9, 1, n_init=4, **options)
    monkeypatch.setattr("ckmeans._iterate.LENT_FROM_ROWS", 1)
    lent = kmeans(X, 9, 1, n_init=4, **options)
    oracle.assert_same_bits(lent, apart)
    assert lent.inertia == lent.run_inertias.min() or options.get("refine")
    oracle.assert_fixed_point(X, lent)


# Not getrusage: its peak begins with that of the process that started this one.
PEAK = """
import sys
import numpy as np
from ckmeans import _team, kmeans
def status(field):
    with open("/proc/self/status") as lines:
        return next(1024 * int(line.split()[1]) for line in lines if line.startswith(field))
n, d, k, n_init = map(int, sys.argv[1:5])
dtype, algorithm, init, share = sys.argv[5:]
rng = np.random.default_rng(0)
X = rng.random((n, d), np.dtype(dtype)) if dtype[0] == "f" else rng.integers(0, 99, (n, d), dtype)
if share < "1":
    X = X[np.arange(n) % int(n * float(share))]
init = X[:k].astype(float) if init == "given" else init
kmeans(X[:5000], k, 0, init=init, algorithm=algorithm)
_team.each(lambda task: None, [(0,), (1,)], 2)  # threads are no part of it
with open("/proc/self/clear_refs", "w") as refs:
    refs.write("5")  # forgets the peak of what made X
before = status("VmRSS")
kmeans(X, k, 0, init=init, n_init=n_init, algorithm=algorithm, max_iter=4)
print((status("VmHWM") - before - 30 * 8 * k * d) / n)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
@pytest.mark.parametrize(
    ("d", "n_init", "dtype", "algorithm", "init", "share_of_distinct_rows"),
    [
        # Sums of 1000 clusters: were each of 16 segments to keep its own, 32 arrays more.
        ("64", "1", "f4", "auto", "random", "1"),
        ("3", "1", "f4", "hamerly", "given", "1"),
        ("3", "1", "u1", "hamerly", "given", "1"),
        ("3", "1", "f8", "lloyd", "given", "1"),
        ("3", "1", "f8", "hamerly", "given", "1"),
        ("3", "1", "f4", "hamerly", "k-means++", "1"),
        ("3", "1", "f4", "hamerly", "k-means++", "0.38"),
        ("3", "1", "f8", "hamerly", "k-means++", "0.35"),
        ("8", "3", "f4", "auto", "k-means++", "1"),
        ("8", "3", "f8", "auto", "k-means++", "1"),
        ("8", "1", "f8", "lloyd", "random", "1"),
    ],
)  # fmt: skip
def test_memory_beyond_the_rows(d, n_init, dtype, algorithm, init, share_of_distinct_rows):
    n, k = ("50000", "1000") if d == "64" else (f"{d}000000", "16")
    run = subprocess.run(
        [sys.executable, "-c", PEAK, n, d, k, n_init, dtype, algorithm, init,
         share_of_distinct_rows],
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert run.returncode == 0, run.stderr
    assert float(run.stdout) < 24.5, "bytes a row, beyond 30 (k, d) arrays"
