"""Greedy k-means++ against NumPy loops with the same draws: the same rows, to the bit."""

import math
from hashlib import sha256

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from oracle import squares

from ckmeans import _plus_plus
from ckmeans._plus_plus import seeds
from ckmeans._rows import Rows
from ckmeans._seeding import Seeding
from ckmeans._source import Source
from ckmeans._starts import smallest

KNOWN = {}


def drawn(chances, uniforms):
    """Rows by their chances."""
    cumulative = np.cumsum(chances)
    return np.searchsorted(cumulative, np.asarray(uniforms) * cumulative[-1], side="right")


class BruteForce:
    """Greedy k-means++ with the draws of Seeding: `rows` are the indices of the chosen ones."""

    def __init__(self, X, weight, n_candidates, ahead):
        self.X, self.weight = X, np.ones(len(X)) if weight is None else weight
        self.t, self.narrow, self.n_ahead = n_candidates, X.shape[1] <= 16, 0
        if ahead and self.narrow:
            self.n_ahead = 4 * self.t
        elif ahead and 4 < self.t <= 16:  # in the lanes of 16 or 32 candidates
            self.n_ahead = min(self.t + 3, (16 if self.t <= 8 else 32) - self.t)
        self.width = self.t + 2 * self.n_ahead
        self.kept = None

    def begin(self, row):
        self.rows = [row]
        self.nearest = squares(self.X, self.X[[row]])[:, 0]

    def step(self, uniforms, last):
        before, kept = self.nearest, self.kept
        candidates = drawn(before * self.weight, uniforms[: self.t]) if kept is None else kept
        left = np.minimum(before[:, None], squares(self.X, self.X[candidates]))
        best = int(np.argmin([math.fsum(self.weight * column) for column in left.T]))
        self.rows.append(int(candidates[best]))
        self.nearest, self.kept = left[:, best], None
        if not last and self.n_ahead and (self.narrow or kept is None):
            self.keep(before, uniforms[self.t :].reshape(-1, 2))

    def keep(self, before, pairs):
        """Rows drawn by the chances before the last centroid, and kept by those after it."""
        rows = drawn(before * self.weight, pairs[:, 0])
        kept = rows[pairs[:, 1] * before[rows] < self.nearest[rows]][: self.t]
        self.kept = kept if len(kept) == self.t else None


def brute_force(X, k, seed, weight=None, ahead=False):
    """Indices of the rows that greedy k-means++ draws; once for all levels."""
    content = [a if a is None else (a.shape, sha256(a.tobytes()).digest()) for a in (X, weight)]
    which = (*content, k, seed, ahead)
    if which not in KNOWN:
        rng = np.random.default_rng(seed)
        brute = BruteForce(X, weight, 2 + int(math.log(k)), ahead)
        brute.begin(int(drawn(brute.weight, rng.random())))
        for j in range(1, k):
            brute.step(rng.random(brute.width), j + 1 == k)
        KNOWN[which] = brute.rows
    return KNOWN[which]


def assert_seeds(X, k, seed=5, weight=None, rows=None):
    """The rows of the brute force, their distances and owners; returns the seeds."""
    X = np.asarray(X)
    single = X.dtype.kind == "b" or X.dtype.itemsize <= 2 or X.dtype == np.float32
    native = X.astype(np.float32 if single else np.float64)
    if rows is None:
        ahead = X.size >= _plus_plus.AHEAD
        rows = brute_force(native.astype(np.float64), k, seed, weight, ahead)
    result = seeds(Rows(X), k, np.random.default_rng(seed), weight)
    np.testing.assert_array_equal(result.centroids, native[rows])
    distance2 = squares(native, result.centroids)
    np.testing.assert_array_equal(result.nearest, distance2.min(axis=1))
    np.testing.assert_array_equal(result.owner, distance2.argmin(axis=1))
    return result


def blobs(n, d, dtype, seed=0, centres=5):
    rng = np.random.default_rng(seed)
    X = (
        rng.standard_normal((n, d))
        + 6 * rng.standard_normal((centres, d))[rng.integers(centres, size=n)]
    )
    return X.astype(dtype)


@pytest.fixture(params=[False, True], ids=["in turn", "ahead"])
def ahead(request, monkeypatch):
    """Whether candidates are drawn ahead of their step."""
    monkeypatch.setattr(_plus_plus, "AHEAD", 1 if request.param else 1 << 60)
    return request.param


# Around the widths that kernels are made for: 1 to 8 columns, up to 16, more than a block of 32.
@pytest.mark.parametrize("d", [*range(1, 10), 15, 16, 17, 18, 19, 33, 66])
@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_rows_of_the_brute_force(level, ahead, dtype, d):
    for n, k in [(40, 1), (40, 9), (300, 30), (1500, 12), (5000, 60)]:
        assert_seeds(blobs(n, d, dtype), k)


# Integers take pieces of 16 or 32 columns, the last of which overlap, and 256 or 512 at once.
@pytest.mark.parametrize("d", [17, 31, 32, 35, 64, 100, 255, 513])
@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_rows_sifted_by_integers(level, ahead, dtype, d):
    assert_seeds(blobs(1027, d, dtype, centres=30), 50)


@pytest.mark.parametrize("n_candidates", [4, 5, 8, 9, 16, 17, 32])
@pytest.mark.parametrize("dtype", ["f4", "f8"])
@pytest.mark.parametrize("ahead", [False, True])
def test_any_number_of_candidates(level, ahead, dtype, n_candidates):
    X = blobs(1500, 40, dtype, centres=30)
    seeding = Seeding(Rows(X).source, None, 31, n_candidates, None, ahead)
    _plus_plus.begin(seeding, 0.5, 1)
    brute = BruteForce(X.astype("f8"), None, n_candidates, ahead)
    brute.begin(len(X) // 2)
    uniforms = np.random.default_rng(1).random((30, brute.width))
    assert seeding.steps(uniforms) == 31
    for j, row in enumerate(uniforms, 1):
        brute.step(row, j == 30)
    np.testing.assert_array_equal(seeding.centroids, X[brute.rows])
    np.testing.assert_array_equal(seeding.nearest, brute.nearest)


@pytest.mark.parametrize("n", [1, 3, 255, 256, 257, 1500])
@pytest.mark.parametrize("uniform", [0.0, 1 / 3, 0.5, 1 - 2**-53])
def test_the_first_row_is_that_of_equal_weights(n, uniform):
    """And owns all rows."""
    X = blobs(n, 3, "f4")
    for weight in (None, np.full(n, 0.25)):
        seeding = Seeding(Rows(X).source, weight, 1, 2)
        _plus_plus.begin(seeding, uniform, 1)
        np.testing.assert_array_equal(seeding.centroids, X[[math.floor(uniform * n)]])
        np.testing.assert_array_equal(seeding.nearest, squares(X, seeding.centroids)[:, 0])
        assert not seeding.owner.any()


@pytest.mark.parametrize("spread", [1e-2, 1e-3, 1e-4, 1e-6])
@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_gains_below_the_resolution_of_integers(level, ahead, dtype, spread):
    """Groups so narrow and far apart that integers hardly tell their rows from each other."""
    X = np.random.default_rng(0).standard_normal((2000, 48)) * spread
    X[::2] += 1
    X[::5] -= 2
    assert_seeds(X.astype(dtype), 60)


@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_equal_and_far_rows_beside_others(level, dtype):
    """Rows at the origin of the integers, and ones whose squared norm overflows float32."""
    X = blobs(1600, 40, dtype, centres=30)
    X[::3] = X[0]
    weight = np.ones(len(X))
    X[7::400], weight[7::400] = 1e25, 0
    for seed in range(3):  # drawn from those of any weight
        assert_seeds(X, 50, seed, weight)


@pytest.mark.parametrize("d", [3, 20])
@pytest.mark.parametrize("dtype", ["?", "u1", "i1", "u2", "f2", "i4", "u8", ">f4", ">f8"])
def test_element_types(level, dtype, d):
    X = np.abs(8 * blobs(1200, d, "f8", centres=3)) % 100
    assert_seeds((X > 20 if dtype == "?" else X).astype(dtype), 3 if dtype == "?" else 11)


LAYOUTS = {
    "Fortran": np.asfortranarray,
    "reversed": lambda X: X[::-1].copy()[::-1],
    "columns of a wider array": lambda X: np.hstack([X, X])[:, : X.shape[1]],
    "every second row": lambda X: np.repeat(X, 2, axis=0)[::2],
    "read-only": lambda X: np.frombuffer(X.tobytes(), X.dtype).reshape(X.shape),
}


# Of 100 columns the rows of a cell are converted in two pieces.
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("d", [2, 40, 100])
def test_layouts_give_the_same_bits(level, ahead, d, layout):
    X = blobs(4500, d, "f4")
    expected = seeds(Rows(X), 25, np.random.default_rng(3), None)
    result = seeds(Rows(LAYOUTS[layout](X)), 25, np.random.default_rng(3), None)
    np.testing.assert_array_equal(result.centroids, expected.centroids)
    np.testing.assert_array_equal(result.nearest, expected.nearest)
    np.testing.assert_array_equal(result.owner, expected.owner)


def test_standardised_rows():
    X = blobs(900, 3, "f4") * [1, 1e-3, 1e4]
    rows = Rows(X).standardised()
    result = seeds(rows, 12, np.random.default_rng(0), None)
    expected = brute_force(rows[np.arange(900)], 12, 0)
    np.testing.assert_array_equal(result.centroids, rows[np.array(expected)])


@pytest.mark.parametrize("d", [2, 5, 30])
@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_weights(level, ahead, dtype, d):
    X = blobs(2000, d, dtype)
    rng = np.random.default_rng(1)
    for weight in (rng.random(2000) * 1e-3, rng.integers(0, 4, 2000).astype(float) * 1e6):
        assert_seeds(X, 21, weight=weight)


@pytest.mark.parametrize("d", [2, 30])
def test_rows_without_weight_are_never_drawn(level, d):
    X = blobs(1000, d, "f8")
    weight = np.zeros(1000)
    weight[::100] = 1.0
    result = seeds(Rows(X), 10, np.random.default_rng(0), weight)
    drawn = {tuple(c) for c in result.centroids}
    assert drawn == {tuple(x) for x in X[::100]}
    np.testing.assert_array_equal(result.owner, squares(X, result.centroids).argmin(axis=1))


def shares_of_draws(X, weight, k, n_candidates, ahead):
    """How often k centroids in a row are which rows: (n,) * k."""
    source, counts = Rows(X).source, np.zeros((len(X),) * k)
    rng = np.random.default_rng(0)
    for _ in range(20_000):
        seeding = Seeding(source, weight, k, n_candidates, None, ahead)
        assert seeding.seed(rng.random(1 + (k - 1) * seeding.n_uniforms)) == k
        counts[tuple(np.searchsorted(X[:, 0], seeding.centroids[:, 0]))] += 1
    return counts / 20_000


@pytest.mark.parametrize("ahead", [False, True])
def test_rows_are_drawn_in_proportion_to_weighted_distance(ahead):
    """The second and third of three centroids, with one candidate, over all first ones."""
    X = np.array([[0.0], [1.0], [3.0], [7.0]])
    weight = np.array([4.0, 1.0, 2.0, 0.5])
    distances2 = squares(X, X)
    second = weight * distances2
    third = weight * np.minimum(distances2[:, None], distances2[None])
    with np.errstate(invalid="ignore"):
        second /= second.sum(axis=1, keepdims=True)
        third /= third.sum(axis=2, keepdims=True)
    expected = (weight / weight.sum())[:, None, None] * second[..., None] * np.nan_to_num(third)
    found = shares_of_draws(X, weight, 3, 1, ahead)
    np.testing.assert_allclose(found, expected, atol=0.012)


def passes_of_steps(seeding, seed):
    """How many passes over one segment of rows three steps take."""
    rng, count = np.random.default_rng(seed), 0
    _plus_plus.begin(seeding, rng.random(), 1)
    for uniforms in rng.random((3, seeding.n_uniforms)):
        while seeding.next_pass(uniforms):
            seeding.work(0)
            count += 1
    return count


def test_wide_rows_drawn_ahead_have_the_same_chances():
    """Of the third and fourth centroid, each the best of five candidates."""
    X = np.eye(12, 17)
    X[:, 0] = np.linspace(0, 1, 12)
    weight = np.arange(12) % 4 + 1.0
    in_turn, ahead = (
        shares_of_draws(X, weight, 4, 5, ahead).sum(axis=(0, 1)) for ahead in (False, True)
    )
    errors = np.sqrt(2 * in_turn * (1 - in_turn) / 20_000)
    assert (abs(ahead - in_turn) < 4 * errors + 5e-4).all()
    source = Rows(X).source
    passes = [passes_of_steps(Seeding(source, weight, 4, 5, None, True), i) for i in range(20)]
    assert passes.count(5) > 10  # with the fourth chosen without one


@pytest.mark.parametrize("d", [1, 3, 40])
@pytest.mark.parametrize("n", [1, 2, 700])
def test_equal_rows(level, ahead, n, d):
    result = seeds(Rows(np.full((n, d), 0.1)), min(n, 5), np.random.default_rng(0), None)
    np.testing.assert_array_equal(result.centroids, np.full((min(n, 5), d), 0.1))
    assert not result.nearest.any() and not result.owner.any()


@pytest.mark.parametrize("d", [2, 24])
def test_every_distinct_row_is_drawn_before_any_twice(level, ahead, d):
    X = np.random.default_rng(0).integers(-3, 4, (9, d)).astype("f4")
    X = np.unique(X, axis=0)
    result = seeds(Rows(np.tile(X, (50, 1))), len(X) + 4, np.random.default_rng(0), None)
    np.testing.assert_array_equal(np.unique(result.centroids[: len(X)], axis=0), X)
    assert not result.nearest.any()
    np.testing.assert_array_equal(
        result.owner, squares(np.tile(X, (50, 1)), result.centroids).argmin(axis=1)
    )


@pytest.mark.parametrize("d", [2, 24])
def test_as_many_centroids_as_rows(level, ahead, d):
    X = blobs(200, d, "f4")
    result = assert_seeds(X, 200)
    np.testing.assert_array_equal(np.unique(result.centroids, axis=0), np.unique(X, axis=0))


@pytest.mark.parametrize("d", [2, 24])
@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_far_from_the_origin(level, dtype, d):
    assert_seeds(blobs(2000, d, dtype) + np.dtype(dtype).type(1e6), 15)


# Squares of such numbers leave the range of float32, and the last ones come near that of float64.
@pytest.mark.parametrize("d", [3, 24, 40])
@pytest.mark.parametrize(
    "dtype, size",
    [("f4", 1e30), ("f4", 1e14), ("f4", 1e-17), ("f4", 1e-30), ("f8", 1e100), ("f8", 1e-100)],
)
def test_large_and_small_numbers(level, ahead, dtype, size, d):
    X = blobs(1100, d, dtype)
    expected = seeds(Rows(X.astype("f8")), 25, np.random.default_rng(0), None)
    power = 2.0 ** round(math.log2(size))
    result = seeds(Rows(X * X.dtype.type(power)), 25, np.random.default_rng(0), None)
    np.testing.assert_array_equal(result.centroids, expected.centroids * power)
    np.testing.assert_array_equal(result.owner, expected.owner)


def test_ties_go_to_the_first_candidate(level, ahead):
    """On a lattice many candidates gain the same: only exact sums tell them apart."""
    X = np.stack(np.meshgrid(*[np.arange(8.0)] * 3), axis=-1).reshape(-1, 3)
    for seed in range(20):
        assert_seeds(X.astype("f4"), 24, seed)


def test_ties_of_wide_rows(level, ahead):
    """Groups of the same shape at the corners of a simplex: rows of the same place gain the same,
    in sums of another order."""
    rng = np.random.default_rng(0)
    X = np.hstack([
        np.repeat(3 * np.eye(40), 12, axis=0), np.tile(rng.standard_normal((12, 8)), (40, 1))
    ])  # fmt: skip
    X = rng.permutation(X).astype("f4")
    for seed in range(20):
        assert_seeds(X, 30, seed)


@pytest.mark.parametrize("n_threads", [2, 3, 8])
@pytest.mark.parametrize("n, d, k", [(70_001, 3, 20), (20_000, 40, 25), (9000, 2, 5)])
def test_threads_give_the_same_bits(monkeypatch, ahead, n, d, k, n_threads):
    monkeypatch.setattr(_plus_plus, "PARALLEL", 1)
    X = blobs(n, d, "f4")
    for rows, weight in [(Rows(X), None), (Rows(X.T.copy().T), np.arange(n) % 3 + 1.0)]:
        expected = seeds(rows, k, np.random.default_rng(2), weight)
        result = seeds(rows, k, np.random.default_rng(2), weight, n_threads)
        np.testing.assert_array_equal(result.centroids, expected.centroids)
        np.testing.assert_array_equal(result.nearest, expected.nearest)
        np.testing.assert_array_equal(result.owner, expected.owner)


@pytest.mark.parametrize("n_threads", [1, 2])
@pytest.mark.parametrize("elements", [1, 3 * 1100 * 40 * 5, 1 << 27])
def test_steps_at_once_change_nothing(monkeypatch, ahead, n_threads, elements):
    """A pass at a time, three steps, or all of them."""
    X = blobs(1100, 40, "f4")
    expected = seeds(Rows(X), 25, np.random.default_rng(2), None)
    monkeypatch.setattr(_plus_plus, "PARALLEL", 1)
    monkeypatch.setattr(_plus_plus, "UNINTERRUPTED", elements)
    result = seeds(Rows(X), 25, np.random.default_rng(2), None, n_threads)
    np.testing.assert_array_equal(result.centroids, expected.centroids)
    np.testing.assert_array_equal(result.owner, expected.owner)
    np.testing.assert_array_equal(result.nearest, expected.nearest)


def test_threads_draw_the_same_numbers_where_rows_run_out(monkeypatch, ahead):
    monkeypatch.setattr(_plus_plus, "PARALLEL", 1)
    rows = Rows(np.repeat(np.arange(12.0).reshape(4, 3), 9, axis=0))
    after = []
    for n_threads in (1, 2):
        rng = np.random.default_rng(0)
        after.append((seeds(rows, 20, rng, None, n_threads).centroids, rng.random()))
    np.testing.assert_array_equal(after[0][0], after[1][0])
    assert after[0][1] == after[1][1]


@given(st.integers(1, 400), st.integers(1, 24), st.integers(0, 99), st.booleans())
def test_any_shape(n, d, seed, single):
    X = np.random.default_rng(seed).standard_normal((n, d))
    assert_seeds(X.astype("f4") if single else X, min(n, 1 + seed), seed)


def test_a_smaller_start_is_a_prefix(ahead):
    """With as many candidates: 2 + floor(ln k) is the same from 8 to 20."""
    rows = Rows(blobs(3000, 4, "f4"))
    many = seeds(rows, 20, np.random.default_rng(0), None).centroids
    few = seeds(rows, 8, np.random.default_rng(0), None).centroids
    np.testing.assert_array_equal(many[:8], few)


def test_candidates_are_refused_beyond_the_bits_of_a_word():
    with pytest.raises(ValueError, match="between 1 and 32, got 33"):
        Seeding(Source(np.ones((3, 2))), None, 2, 33)


def test_smallest_by_parts(monkeypatch):
    monkeypatch.setattr("ckmeans._starts.SORTED_AT_ONCE", 64)
    rng = np.random.default_rng(4)
    for values in (rng.exponential(size=1000), rng.integers(0, 9, 500).astype(float)):
        values[::7] = np.inf
        for k in (1, 5, 70, len(values)):
            expected = np.argsort(values, kind="stable")[:k]
            np.testing.assert_array_equal(smallest(values, k), expected)
