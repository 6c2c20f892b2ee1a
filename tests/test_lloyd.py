"""The tiles by themselves: labels of a float64 brute force, under bounds that hold exactly."""

from fractions import Fraction
from functools import cache, lru_cache

import numpy as np
import oracle
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ckmeans._lloyd import accumulate, all_distances, assign, columns_of, own_distances2, pack

# Tiles hold 6 to 48 rows, groups 4 to 8 centroids. Up to 8 columns have kernels of their own, as
# have at most 10 centroids of at least 128 columns; more than 128 columns go in blocks, and with
# them centroids in blocks of 128, 384 or 512.
ROWS = (1, 2, 5, 6, 7, 8, 9, 11, 12, 13, 15, 16, 17, 23, 24, 25, 47, 48, 49, 95, 96, 97, 101)
CENTROIDS = (1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 15, 16, 17, 24, 25, 33)
COLUMNS = (*range(1, 11), 15, 16, 17, 31, 33, 64, 127, 128, 129, 130, 255, 256, 257, 300)


def normal(rng, n, d, k, dtype):
    return rng.normal(size=(n, d)), rng.normal(size=(k, d))


def grid(rng, n, d, k, dtype):
    """Exact ties, rows that are centroids, and centroids that are equal."""
    return rng.integers(0, 3, (n, d)), rng.integers(0, 3, (k, d))


def between(rng, n, d, k, dtype):
    """Rows midway between two centroids, up to a rounding of their columns."""
    centroids = rng.normal(size=(k, d))
    return centroids[rng.integers(0, k, (2, n))].mean(axis=0), centroids


def equidistant(rng, n, d, k, dtype):
    """Centroids on a sphere, rows so near its centre that distances differ by a few roundings."""
    centroids = rng.normal(size=(k, d))
    centroids /= np.sqrt((centroids**2).sum(axis=1, keepdims=True))
    scatter = rng.uniform(0, 40, (n, 1)) * np.finfo(dtype).eps
    return scatter * rng.normal(size=(n, d)), centroids


def offset(rng, n, d, k, dtype):
    """A spread of a few units in the last place of the rows."""
    X, centroids = between(rng, n, d, k, dtype)
    far = 1e6 if dtype == np.float32 else 1e14
    return X + far, centroids + far


def far_row(rng, n, d, k, dtype):
    """One column, and some rows, 1e8 times as large as the rest."""
    X, centroids = between(rng, n, d, k, dtype)
    X[:, 0] += 1e8
    centroids[:, 0] += 1e8
    X[rng.integers(0, n, n // 8)] *= 1e8
    return X, centroids


def subnormal(rng, n, d, k, dtype):
    X, centroids = between(rng, n, d, k, dtype)
    unit = float(np.finfo(dtype).smallest_subnormal)
    return np.round(9 * X) * unit, np.round(9 * centroids) * unit


def squares_underflow(rng, n, d, k, dtype):
    X, centroids = between(rng, n, d, k, dtype)
    tiny = float(np.finfo(dtype).tiny) ** 0.5
    return X * tiny, centroids * tiny


def near_overflow(rng, n, d, k, dtype):
    """Rows up to the largest of float32, or as far as kmeans() takes float64."""
    X, centroids = between(rng, n, d, k, dtype)
    largest = 3.4e38 if dtype == np.float32 else 1e150
    scale = largest / max(np.abs(X).max(), np.abs(centroids).max())
    return X * scale, centroids * scale


def two_sizes(rng, n, d, k, dtype):
    """Squares that overflow float32 beside small ones."""
    X, centroids = between(rng, n, d, k, dtype)
    X[::3] *= 1e25
    centroids[k // 2 :] *= 1e25
    return X, centroids


def half_units(rng, n, d, k, dtype):
    """As integers of 16 bits, whose unit is 1 here, all lose nearly half of it to the same side."""
    X, centroids = np.split(rng.integers(0, int(30_000 / np.sqrt(d)), (n + k, d)) + 0.49, [n])
    X[0] = centroids[0] = 32_000 * np.eye(d)[0]
    return X, centroids


def alike(rng, n, d, k, dtype):
    """Rows of one number each, near the middle of two centroids: in long runs, their products round
    to the same side."""
    at = np.arange(k) + rng.uniform(0, 0.2, k)
    i = rng.integers(0, max(k - 1, 1), n)
    x = (at[i] + at[np.minimum(i + 1, k - 1)]) / 2
    x *= 1 + np.finfo(dtype).eps * rng.uniform(-20, 20, n)
    return x[:, None] * np.ones(d), at[:, None] * np.ones(d)


KINDS = (
    normal, grid, between, equidistant, offset, far_row, subnormal, squares_underflow,
    near_overflow, two_sizes, half_units, alike,
)  # fmt: skip


@cache
def problem(kind, n, d, k, dtype):
    """Rows, centroids, the brute force's labels, and its two least squares for each row."""
    rng = np.random.default_rng((n, d, k))
    X, centroids = kind(rng, n, d, k, dtype)
    X, centroids = X.astype(dtype), centroids.astype(np.float64)
    squares = oracle.squares(X, centroids)
    two = np.sort(np.column_stack([squares, np.full(n, np.inf)]), axis=1)[:, :2]
    return X, centroids, squares.argmin(axis=1), two


def assigned(X, centroids, shift):
    packed = pack(centroids, shift, X.dtype == np.float32)
    labels = np.full(len(X), -1, np.int32)
    upper2, lower2 = np.full((2, len(X)), np.nan, X.dtype)
    assign(X, centroids, packed, labels, upper2, lower2)
    return labels, upper2, lower2


def assert_brute_force(X, centroids, shift, expected, two):
    """The labels, and bounds on either side of the squares."""
    labels, upper2, lower2 = assigned(X, centroids, shift)
    np.testing.assert_array_equal(labels, expected, f"{len(X)} rows, k = {len(centroids)}")
    assert (upper2 >= two[:, 0]).all() and (lower2 <= two[:, 1]).all()
    alone = np.full(len(X), -1, np.int32)  # certified with less to say
    assign(X, centroids, pack(centroids, shift, X.dtype == np.float32), alone)
    np.testing.assert_array_equal(alone, expected)


def shifts(X, centroids):
    """What the sweep subtracts, what predict() does, and nothing."""
    reference = X[[0, len(X) // 2, -1]].mean(axis=0, dtype=float)
    return reference, centroids.mean(axis=0), np.zeros(X.shape[1])


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("d", COLUMNS)
def test_labels_are_the_brute_force(level, dtype, d, kind):
    for k in CENTROIDS:
        X, centroids, *expected = problem(kind, ROWS[-1], d, k, dtype)
        assert_brute_force(X, centroids, shifts(X, centroids)[k % 3], *expected)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("d", COLUMNS)
def test_any_number_of_rows(level, dtype, d):
    for k in (1, 3, 10, 17):
        X, centroids, labels, two = problem(between, ROWS[-1], d, k, dtype)
        for n in ROWS:
            assert_brute_force(X[-n:].copy(), centroids, np.zeros(d), labels[-n:], two[-n:])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("k", [31, 64, 127, 128, 129, 137, 383, 384, 385, 511, 512, 513])
@pytest.mark.parametrize("d", [1, 2, 8, 9, 128, 129, 260])
def test_many_centroids(level, dtype, k, d):
    for kind in (normal, between, grid):
        X, centroids, *expected = problem(kind, 49, d, k, dtype)
        assert_brute_force(X, centroids, centroids.mean(axis=0), *expected)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("d", [8065, 16257])
def test_a_hundred_blocks_of_columns(level, dtype, d):
    """A last block of one column would be read together with what lies behind the rows."""
    X, centroids, *expected = problem(normal, 48, d, 34, dtype)
    assert_brute_force(X, centroids, np.zeros(d), *expected)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_row_that_overflows_says_nothing_wrong_of_others(level, dtype):
    X, centroids, expected, _ = problem(normal, 49, 200, 34, dtype)
    X = X.copy()
    X[7] = np.finfo(dtype).max
    labels, upper2, lower2 = assigned(X, centroids, np.zeros(200))
    others = np.arange(49) != 7
    np.testing.assert_array_equal(labels[others], expected[others])
    assert not np.isnan(upper2[others]).any() and not np.isnan(lower2[others]).any()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_every_place_in_a_group_wins_and_ties_go_to_the_lowest(level, dtype):
    for d in (1, 2, 3, 8, 9, 40, 128, 200):
        for k in (1, 2, 7, 10, 13, 40):
            centroids = np.arange(1.0, k + 1)[:, None] * np.eye(1, d)
            X = np.repeat(centroids, 3, axis=0).astype(dtype)
            labels, _, _ = assigned(X, centroids, np.zeros(d))
            np.testing.assert_array_equal(labels, np.repeat(np.arange(k), 3))
            twice = np.concatenate([centroids, centroids])
            labels, _, _ = assigned(X, twice, np.zeros(d))
            np.testing.assert_array_equal(labels, np.repeat(np.arange(k), 3))


@lru_cache(256)
def exact_squares(*which):
    """The squared distances of a problem as rational numbers: sums of integers, by their unit."""
    X, centroids, _, _ = problem(*which)
    ratios = np.vectorize(float.as_integer_ratio, otypes=[object, object])
    (rows, below_rows), (columns, below_columns) = ratios(X.astype(float)), ratios(centroids)
    unit = max(below_rows.max(), below_columns.max())  # all are powers of two
    rows, columns = rows * (unit // below_rows), columns * (unit // below_columns)
    sums = ((rows[:, None] - columns) ** 2).sum(axis=2)
    return np.vectorize(Fraction, otypes=[object])(sums, unit**2)


def assert_bounds_hold(which, shift):
    X, centroids, _, _ = problem(*which)
    labels, upper2, lower2 = assigned(X, centroids, shift)
    sums = oracle.squares(X, centroids)
    reversed_sums = oracle.squares(X[:, ::-1], centroids[:, ::-1])
    for squares in (exact_squares(*which), sums, reversed_sums):
        for row, label, upper, lower in zip(squares, labels, upper2, lower2, strict=True):
            assert row[label] <= float(upper)
            assert all(float(lower) <= other for j, other in enumerate(row) if j != label)


@given(
    kind=st.sampled_from(KINDS), n=st.integers(1, 26), d=st.integers(1, 10), k=st.integers(1, 12),
    dtype=st.sampled_from([np.float32, np.float64]), shifted=st.integers(0, 2),
)  # fmt: skip
def test_bounds_hold_exactly(level, kind, n, d, k, dtype, shifted):
    which = kind, n, d, k, dtype
    X, centroids, _, _ = problem(*which)
    assert_bounds_hold(which, shifts(X, centroids)[shifted])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(
    ("d", "k"), [(40, 9), (128, 3), (130, 10), (131, 12), (9, 11), (40, 20), (71, 12), (131, 34)]
)
def test_bounds_hold_exactly_in_many_columns(level, dtype, d, k):
    for kind in (normal, between, offset, half_units):
        assert_bounds_hold((kind, 13, d, k, dtype), np.zeros(d))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("d", [1, 3, 8, 17, 64, 128, 300])
@pytest.mark.parametrize("k", [4, 9])
def test_bounds_are_close(level, dtype, d, k):
    """A bound that says nothing would hold too."""
    X, centroids, _, two = problem(normal, 101, d, k, dtype)
    _, upper2, lower2 = assigned(X, centroids, np.zeros(d))
    rows2, centroids2 = (X.astype(float) ** 2).sum(axis=1), (centroids**2).sum(axis=1)
    # Twice (4 d + 40) ulp: the slack of the certificate, and as much error of the score.
    tolerance = (80 + 8 * d) * np.finfo(dtype).eps * (rows2 + centroids2.max())
    if level == "avx512vnni" and k > 4 and 8 < d < 128:
        # Twice half a step for each coordinate of two vectors, the longest of 46340 steps.
        longest = np.sqrt(max(rows2.max(), centroids2.max()))
        tolerance += 4 * np.sqrt(d) / 46340 * longest**2
    assert (upper2 - two[:, 0] <= tolerance).all()
    assert (two[:, 1] - lower2 <= tolerance).all()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("d", "k"), [(9, 20), (16, 64), (63, 20), (64, 20), (128, 40), (300, 40)])
def test_bounds_by_integers_are_close(level, dtype, d, k):
    """Half a unit for each column of a row and of a centroid, of which 32000 are the longest; and
    that is enough for nearly all labels: few rows have the tight bounds of a second look."""
    X, centroids, _, two = problem(normal, 96, d, k, dtype)
    _, upper2, lower2 = assigned(X, centroids, np.zeros(d))
    length2 = max((X.astype(float) ** 2).sum(axis=1).max(), (centroids**2).sum(axis=1).max())
    tolerance = 4.2 * 0.5 * np.sqrt(d) * 2 / 32_000 * length2
    looseness = np.concatenate([upper2 - two[:, 0], two[:, 1] - lower2])
    assert (looseness <= tolerance).all()
    assert (level == "avx512vnni") == (np.median(looseness) > tolerance / 20)


@given(
    n=st.integers(1, 60), d=st.integers(1, 140), k=st.integers(1, 40),
    dtype=st.sampled_from([np.float32, np.float64]), kind=st.sampled_from(KINDS),
    n_distinct=st.integers(1, 60),
)  # fmt: skip
def test_any_shape(level, n, d, k, dtype, kind, n_distinct):
    X, centroids, labels, two = problem(kind, n, d, k, dtype)
    for rows in (np.arange(n), np.arange(n) % n_distinct):  # duplicates
        assert_brute_force(X[rows], centroids, centroids.mean(axis=0), labels[rows], two[rows])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_unaligned_read_only_rows(level, dtype):
    X, centroids, *expected = problem(between, 101, 17, 9, dtype)
    moved = np.empty(X.size + 1, dtype)[1:].reshape(X.shape)
    moved[...] = X
    moved.flags.writeable = False
    assert_brute_force(moved, centroids, np.zeros(17), *expected)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("d", [*range(1, 11), 16, 33, 130])
def test_totals_are_exact_sums(level, dtype, d, weighted):
    """Of integers, where every order of summation is exact; runs of equal labels among them."""
    rng = np.random.default_rng(d)
    for n in (1, 3, 4, 5, 50):
        X = rng.integers(-50, 50, (n, d)).astype(dtype)
        centroids = rng.integers(-50, 50, (3, d)).astype(float)
        labels = np.sort(rng.integers(0, 3, n)).astype(np.int32)
        rng.shuffle(labels[: n // 2])
        weight = rng.integers(0, 3, n).astype(float)
        totals = np.full((3, d + 2), 7.0)
        accumulate(X, centroids, weight if weighted else None, labels, totals)
        mass = weight if weighted else np.ones(n)
        differences = X - centroids[labels]
        for j in range(3):
            own = mass * (labels == j)
            expected = [*(own @ differences), own.sum(), own @ (differences**2).sum(axis=1)]
            np.testing.assert_array_equal(totals[j] - 7, expected)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_distances_are_the_oracles_bits(dtype, kind):
    X, centroids, labels, two = problem(kind, 101, 10, 7, dtype)
    every, own = np.empty((101, 7)), np.empty(101)
    all_distances(X.astype(np.float64), columns_of(centroids), every)
    own_distances2(X, centroids, labels.astype(np.int32), own)
    np.testing.assert_array_equal(every, np.sqrt(oracle.squares(X, centroids)))
    np.testing.assert_array_equal(own, two[:, 0])
