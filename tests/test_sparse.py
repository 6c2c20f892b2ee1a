"""Sparse rows give what the same rows give when dense."""

import pickle
import warnings

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from oracle import nearest

import ckmeans
from ckmeans import KMeans, MiniBatchKMeans, elbow, kmeans, silhouette
from ckmeans import _lloyd as lloyd_loops
from ckmeans._bounds import BOUND, FILTER
from ckmeans._csr import CsrSweep
from ckmeans._plus_plus import seeds
from ckmeans._rows import Rows
from ckmeans._sparse import SparseRows, SparseSeeding, lists_pay

sparse = pytest.importorskip("scipy.sparse")


def text_like(n=600, d=900, m=12, seed=0, dtype=np.float64):
    """Rows of unit length with few words each, most of them frequent ones; every topic has its
    own."""
    rng = np.random.default_rng(seed)
    frequent = (np.exp(rng.random((n, m)) * np.log(d))).astype(int) - 1
    topic = rng.integers(4, size=(n, 1))
    columns = np.where(rng.random((n, m)) < 0.5, frequent, (frequent * 7 + topic * 211) % d)
    X = sparse.csr_array(
        (1.0 + rng.random(n * m), (np.repeat(np.arange(n), m), columns.ravel())), shape=(n, d)
    )
    X = X.multiply(1 / np.sqrt(X.multiply(X).sum(axis=1))[:, None]).tocsr()
    return X.astype(dtype)


def indexed(X, dtype):
    """X with such indices."""
    return type(X)((X.data, X.indices.astype(dtype), X.indptr.astype(dtype)), shape=X.shape)


@pytest.fixture(params=["baseline", "avx2", "avx512"])
def simd(request):
    before = lloyd_loops.simd_level()
    try:
        lloyd_loops.choose_simd(request.param)
    except ValueError:
        pytest.skip(f"no {request.param} here")
    yield request.param
    lloyd_loops.choose_simd(before)


def assert_same(result, expected):
    assert np.array_equal(result.labels, expected.labels)
    assert result.n_iter == expected.n_iter
    assert result.converged == expected.converged
    assert np.allclose(result.centroids, expected.centroids, rtol=1e-12, atol=1e-13)
    assert np.isclose(result.inertia, expected.inertia, rtol=1e-11)
    assert np.allclose(result.cluster_inertias, expected.cluster_inertias, rtol=1e-10, atol=1e-11)
    assert np.array_equal(result.sizes, expected.sizes)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("index", [np.int32, np.int64])
@pytest.mark.parametrize("k", [1, 3, 16, 17, 33, 65, 130])
def test_equals_dense(simd, dtype, index, k):
    X = text_like(dtype=dtype)
    init = X[np.arange(0, 4 * k, 4)].toarray()
    result = kmeans(indexed(X, index), k, init=init)
    assert_same(result, kmeans(X.toarray(), k, init=init))
    assert np.array_equal(result.labels, nearest(X.toarray(), result.centroids))
    assert np.array_equal(result.predict(X), result.labels)


@pytest.mark.parametrize("k", [60, 130])
def test_panels_one_after_the_other_give_the_same_labels(simd, k):
    """As they are taken where all of them are more than the caches hold."""
    X = text_like(300, 9000, 30)
    centroids = (X[:k] + 0.5 * X[170 : 170 + k]).toarray()
    centroids[k - 1] = centroids[1] * (1 - 1e-9)  # nearer, by less than integers tell apart
    rows = SparseRows(X)
    rows.look(np.inf, 1)
    expected = nearest(X.toarray(), centroids)
    assert np.array_equal(rows.nearest_labels(centroids, 1), expected)
    assert len(np.unique(expected)) > k // 2 and expected[1] == k - 1


@pytest.mark.parametrize("k", [2, 5, 20])
def test_seeding_equals_dense(simd, k):
    X = text_like()
    for weight in (None, np.arange(600) % 3):
        result = kmeans(X, k, 3, sample_weight=weight)
        assert_same(result, kmeans(X.toarray(), k, 3, sample_weight=weight))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("weight", [None, np.arange(600) % 3])
@pytest.mark.parametrize("n_candidates", [3, 11])
def test_lists_and_panels_give_the_same_seeds(simd, dtype, weight, n_candidates, monkeypatch):
    """The seeds, what is left to them, and the order of chance: whatever is looked at."""
    rows = SparseRows(text_like(dtype=dtype))
    rows.look(np.inf, 1)
    weight = None if weight is None else weight.astype(float)
    uniforms = np.random.default_rng(1).random((19, n_candidates))
    found = []
    for lists in (True, False):
        monkeypatch.setattr("ckmeans._sparse.lists_pay", lambda *_, lists=lists: lists)
        seeding = SparseSeeding(rows, weight, 20, n_candidates)
        seeding.begin(0.4)
        for segment in range(seeding.n_segments):
            seeding.work(segment)
        seeding.begun()
        assert seeding.steps(uniforms) == 20 and seeding.n_segments == (2 if lists else 16)
        found.append((seeding.centroids.tobytes(), seeding.nearest.tobytes()))
    assert found[0] == found[1]


@pytest.mark.parametrize("ahead", [False, True])
@pytest.mark.parametrize("d", [12, 200])
def test_seeds_are_those_of_dense_rows(monkeypatch, d, ahead):
    """Narrow ones and wide ones, drawn in turn or ahead of their step."""
    monkeypatch.setattr("ckmeans._plus_plus.AHEAD", 1 if ahead else 1 << 60)
    X = text_like(1500, d)
    rows = SparseRows(X)
    rows.look(np.inf, 1)
    for weight in (None, np.arange(1500) % 3 + 0.5):
        found = seeds(rows, 40, np.random.default_rng(4), weight)
        expected = seeds(Rows(X.toarray()), 40, np.random.default_rng(4), weight)
        np.testing.assert_array_equal(found.centroids, expected.centroids)


def test_lists_are_made_where_rows_share_few_columns():
    rng = np.random.default_rng(0)
    for density, k, expected in ((0.05, 30, True), (0.05, 4, False), (0.6, 30, False)):
        rows = SparseRows(sparse.random_array((900, 200), density=density, rng=rng, format="csr"))
        assert lists_pay(rows, k, 2 + int(np.log(k))) is expected


@pytest.mark.parametrize("algorithm", ["auto", "lloyd", "hamerly"])
def test_same_bits_for_any_threads_and_repeats(monkeypatch, algorithm):
    monkeypatch.setattr("ckmeans._sparse.PARALLEL", 1)
    monkeypatch.setattr("ckmeans._iterate.PARALLEL", 1)
    monkeypatch.setattr("ckmeans._plus_plus.PARALLEL", 1)
    X = text_like(2000)
    one = kmeans(X, 30, 1, algorithm=algorithm, n_threads=1)
    assert_same(one, kmeans(X.toarray(), 30, 1, algorithm=algorithm))
    for n_threads in (1, 2, 3, 8):
        other = kmeans(X, 30, 1, algorithm=algorithm, n_threads=n_threads)
        assert other.centroids.tobytes() == one.centroids.tobytes()
        assert other.labels.tobytes() == one.labels.tobytes()
        assert other.inertia == one.inertia


@given(data=st.data())
def test_labels_are_the_oracles(data):
    """Few values on few columns: ties, duplicates, empty rows, empty columns, explicit zeros."""
    n = data.draw(st.integers(1, 40))
    d = data.draw(st.integers(2, 40))
    k = data.draw(st.integers(1, min(n, 12)))
    seed = data.draw(st.integers(0, 10**6))
    scale = data.draw(st.sampled_from([1.0, 1e-30, 1e30, 1e100, 1 / 3]))
    rng = np.random.default_rng(seed)
    X = sparse.random_array((n, d), density=0.2, rng=rng, format="csr")
    X.data = rng.integers(-2, 3, size=X.nnz) * scale
    init = X.toarray()[rng.choice(n, k, replace=False)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ckmeans.ConvergenceWarning)
        result = kmeans(X, k, init=init)
    assert np.array_equal(result.labels, nearest(X.toarray(), result.centroids))
    # A run of dense rows may break a tie otherwise: the last digits of its means are others. The
    # next test has runs without ties.
    for rows in (X, X.toarray()):
        assert np.array_equal(result.predict(rows), result.labels)
    filled = result.sizes > 0
    means = [X.toarray()[result.labels == j].mean(axis=0) for j in np.flatnonzero(filled)]
    assert np.allclose(result.centroids[filled], means, rtol=1e-12, atol=1e-13 * scale)
    squares = np.square(X.toarray() - result.centroids[result.labels]).sum()
    assert np.isclose(result.inertia, squares, rtol=1e-9, atol=1e-15 * scale**2)


@given(data=st.data())
def test_a_run_is_that_of_dense_rows(data):
    """From different rows, since rows that are equally far compete for an emptied cluster."""
    n = data.draw(st.integers(1, 60))
    d = data.draw(st.integers(2, 40))
    k = data.draw(st.integers(1, min(n, 12)))
    scale = data.draw(st.sampled_from([1.0, 1e-30, 1e100]))
    rng = np.random.default_rng(data.draw(st.integers(0, 10**6)))
    X = sparse.random_array((n, d), density=0.3, rng=rng, format="csr")
    X.data = rng.normal(size=X.nnz) * scale
    init = X.toarray()[rng.choice(n, k, replace=False)]
    assume(len(np.unique(init, axis=0)) == k)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ckmeans.ConvergenceWarning)
        result, dense = kmeans(X, k, init=init), kmeans(X.toarray(), k, init=init)
    assert np.array_equal(result.labels, dense.labels)
    assert result.n_iter == dense.n_iter
    assert np.isclose(result.inertia, dense.inertia, rtol=1e-12, atol=1e-15 * scale**2)


def test_the_share_that_bounds_would_leave_is_known_before(simd):
    """By the slack of rows, which moves of the own centroid and of the farthest use up: a row is
    open in the iteration in which it runs out."""
    X = text_like()
    rows = SparseRows(X)
    rows.look(np.inf, 1)
    rng = np.random.default_rng(2)
    sweep, problem = CsrSweep(rows.csr, None, True), X.toarray()
    centroids, shares = problem[:9] + problem[9:18], []
    sweep.begin(9)
    assert sweep.expected_share(centroids) is None
    for scale in (1, 1, 3):
        centroids = centroids * scale
        sweep.aim(centroids, BOUND)
        for segment in range(sweep.n_segments):
            first = segment * sweep.segment_rows
            sweep.assign(segment, first, min(rows.n, first + sweep.segment_rows))
        moves = rng.normal(size=centroids.shape)
        moves *= 0.02 * rng.random((9, 1)) / np.linalg.norm(moves, axis=1, keepdims=True)
        drift = np.linalg.norm(moves, axis=1)
        distances = np.linalg.norm(problem[:, None] - centroids, axis=2)
        two = np.sort(distances, axis=1)[:, :2]
        lost = drift[sweep.labels] + drift.max()
        some = np.arange(512) * rows.n // 512
        expected = (1 / (1 + (two[:, 1] - two[:, 0]) // lost))[some].mean()
        assert sweep.expected_share(centroids + moves) == pytest.approx(expected, rel=0.02)
        shares.append(expected)
    assert shares[2] < 0.95 * shares[1]


def test_one_centroid_leaves_nothing_open(simd):
    X = text_like(200, 50, 4)
    rows = SparseRows(X)
    rows.look(np.inf, 1)
    sweep, centroid = CsrSweep(rows.csr, None, True), X[:1].toarray()
    sweep.begin(1)
    for mode, comparisons in ((BOUND, rows.n), (FILTER, 0)):
        sweep.aim(centroid, mode)
        for segment in range(sweep.n_segments):
            first = segment * sweep.segment_rows
            sweep.assign(segment, first, min(rows.n, first + sweep.segment_rows))
        assert sweep.collect() == comparisons
        assert 0 <= sweep.expected_share(2 * centroid) < 1e-6
        centroid = 2 * centroid


@pytest.mark.parametrize("big", [1e-200, 1e-40, 1e25, 1e140])
def test_values_beyond_float32(big):
    X = text_like(200, 50, 4)
    X.data *= big
    init = X[:7].toarray()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ckmeans.ConvergenceWarning)  # squares may underflow
        result = kmeans(X, 7, init=init, max_iter=20)
    assert np.array_equal(result.labels, nearest(X.toarray(), result.centroids))
    squares = np.square(X.toarray() - result.centroids[result.labels]).sum()
    assert np.isclose(result.inertia, squares, rtol=1e-12, atol=0)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("k", [2, 7, 19, 40])
def test_coordinates_nearer_than_their_steps(simd, dtype, k):
    """Centroids are scored by 16-bit integers: one large coordinate makes their steps coarse, and
    some centroids differ by less than a step, or by a rounding of float32."""
    rng = np.random.default_rng(k)
    X = text_like(300, 80, 6, dtype=dtype).tolil()
    X[::3, 79] = 3000.0
    X[1::50, 79] = -3000.0
    X = X.tocsr()
    init = X[rng.choice(300, k, replace=False)].toarray().astype(np.float64)
    init[1::2] = init[: 2 * (k // 2) : 2] + rng.normal(0, 1e-5, (k // 2, 80)) * (init[1::2] != 0)
    for max_iter in (1, 2, 50):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ckmeans.ConvergenceWarning)
            result = kmeans(X, k, init=init, max_iter=max_iter)
        assert np.array_equal(result.labels, nearest(X.toarray(), result.centroids))


def test_rows_of_any_length(simd):
    """Empty ones, full ones, and an odd number of them: rows are fetched ahead and in pairs."""
    rng = np.random.default_rng(0)
    dense = rng.normal(size=(131, 70)) * (rng.random((131, 70)) < rng.random((131, 1)) ** 3)
    dense[[0, 64, 130]] = 0.0
    dense[[1, 65]] = rng.normal(size=(2, 70))
    for k in (3, 20, 50):
        X = sparse.csr_array(dense)
        assert_same(kmeans(X, k, 2), kmeans(dense, k, 2))
        assert_same(kmeans(X, k, init=dense[:k]), kmeans(dense, k, init=dense[:k]))


@pytest.mark.parametrize("small", [1e-150, 1e-156, 1e-162])
def test_labels_where_squares_underflow(simd, small):
    """Then many centroids are equally near as float64 sees it, and the first of them is meant."""
    rng = np.random.default_rng(0)
    X = text_like(200, 50, 4)
    X.data *= small
    rows = SparseRows(X)
    rows.look(1.0, 1)
    centroids = X[rng.choice(200, 40)].toarray() + small * 1e-9 * rng.normal(size=(40, 50))
    labels = rows.nearest_labels(centroids, 1)
    assert np.array_equal(labels, nearest(X.toarray(), centroids))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_rows_of_more_elements_than_integers_can_sum(simd, dtype):
    """Rounded up, 31 for 30.51 and 61 for 60.53, so many products exceed 31 bits."""
    m = 1_153_000
    places = np.tile(np.arange(m, dtype=np.int32), 2), np.array([0, m, 2 * m])
    rows = SparseRows(sparse.csr_array((np.ones(2 * m, dtype), *places), shape=(2, m)))
    rows.look(1e9, 1)
    centroids = np.vstack([np.full(m, 0.5), np.ones(m)])
    assert rows.nearest_labels(centroids, 1).tolist() == [1, 1]


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("max_iter", [1, 2, 3, 5])
def test_what_is_returned_before_the_fixed_point(weighted, max_iter):
    """Sums are moved only when they are asked for; masses, sizes and inertia are of the labels that
    are returned, and the centroids means of those before."""
    X, weight = text_like(), None
    if weighted:
        weight = np.random.default_rng(0).integers(1, 4, 600).astype(float)
    init = X[:25].toarray()
    before = init if max_iter == 1 else None
    if before is None:
        before = kmeans(X, 25, init=init, max_iter=max_iter - 1, sample_weight=weight).centroids
    result = kmeans(X, 25, init=init, max_iter=max_iter, sample_weight=weight)
    assert_same(result, kmeans(X.toarray(), 25, init=init, max_iter=max_iter, sample_weight=weight))
    labels, w = nearest(X.toarray(), before), np.ones(600) if weight is None else weight
    for j in np.flatnonzero(np.bincount(labels, w, 25)):
        mean = np.average(X.toarray()[labels == j], axis=0, weights=w[labels == j])
        assert np.allclose(result.centroids[j], mean, rtol=1e-12, atol=1e-14)
    assert np.array_equal(result.sizes, np.bincount(result.labels, minlength=25))


@pytest.mark.parametrize(
    "dtype, unit, least, other, exact",
    [
        (np.float64, 1.0, 1, -0.0, True),  # counts
        (np.float64, 2.0**-40, 2**40, 0, True),  # 1000 values from 1 to 2 come to less than 2^11
        (np.float64, -(2.0**-40), 2**40, 0, True),
        (np.float64, 2.0**-41, 2**41, 0, False),
        (np.float64, 2.0**-50, 2**50, 0, False),
        (np.float64, 2.0**-600, 1, 0, False),  # squares of such values underflow
        (np.float32, 2.0**-23, 2**23, 0, True),
        (np.float32, 2.0**-120, 1, 0, True),
        (np.float32, 2.0**-60, 1, 1, False),
        (np.float64, 2.0**510, 2**3, 0, False),  # lengths beyond the range
    ],
)
def test_sums_are_known_to_be_exact(dtype, unit, least, other, exact):
    """Then moves leave the very sums that are added anew; else they are not taken for it."""
    rng = np.random.default_rng(5)
    X = np.zeros((1000, 3))
    X[:, 1:] = (least + rng.integers(1, 1000, (1000, 2))) * unit
    X[0, 0] = other
    rows = SparseRows(sparse.csr_array(X.astype(dtype)))
    rows.look(np.inf, 1)
    assert rows.csr.adds_exactly() == exact
    sweep = CsrSweep(rows.csr, None, False)
    sweep.begin(3)
    for turn in range(30):
        sweep.labels[:] = rng.integers(3, size=1000)
        sweep.list_moves(anew=turn == 0)
        sweep.move(0, 3)
        sweep.moved()
    moved = sweep.totals[:, :-1].copy()
    sweep.list_moves(anew=True)
    sweep.move(0, 3)
    assert not exact or moved.tobytes() == sweep.totals[:, :-1].tobytes()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_centroids_are_means_added_anew(dtype):
    """In the order of the rows: rows that came and went have left no trace in the sums."""
    X = text_like(3000, 400, dtype=dtype)
    X.data *= np.exp(np.random.default_rng(1).normal(size=len(X.data)) * 3).astype(dtype)
    result = kmeans(X, 12, 0, init=X[:12].toarray())
    assert result.converged and result.n_iter > 4
    sums = np.zeros((12, 400))
    np.add.at(sums, result.labels, X.toarray().astype(float))
    assert np.array_equal(result.centroids, sums / result.sizes[:, None])


def test_stored_zeros_do_not_hide_duplicates():
    """A row's distance from its equal is exactly 0, whatever zeros either of them stores: so that
    no row is drawn for a centroid twice."""
    rows = text_like(6, 40, 9, seed=3).toarray()
    X = sparse.csr_array(np.repeat(rows, 30, axis=0) + 0.0)
    stored = sparse.csr_array(
        (np.ones(180), (np.arange(180), np.random.default_rng(0).integers(0, 40, 180))), X.shape
    )
    padded = (X + stored).tocsr()
    padded.data = X.toarray()[np.repeat(np.arange(180), np.diff(padded.indptr)), padded.indices]
    assert (padded.data == 0).any()
    for seed in range(20):
        result = kmeans(padded, 6, seed)
        assert result.inertia < 1e-25 and (result.sizes == 30).all()


def test_long_rows_of_large_values_are_taken():
    """The sum of a row's squares is beyond that of the largest value that is taken."""
    X = sparse.csr_array(np.full((3, 50), 0.9e145))
    assert kmeans(X, 1, 0).inertia == 0
    X.data[77] = 1.1e145
    with pytest.raises(ValueError, match="X .* row 1, column 27"):
        kmeans(X, 1, 0)


def test_columns_between_others_are_looked_at_too():
    """Ends within 0 and d say nothing of what is between, where columns do not ascend."""
    X = text_like(30, 20, 4)
    X.indices[X.indptr[7] + 1] = 20
    with pytest.raises(ValueError, match="indices between 0 and 19, got 20 in row 7"):
        kmeans(X, 2, 0)
    X.indices[X.indptr[7] + 1] = X.indices[X.indptr[7]]  # twice: added
    X.data[X.indptr[20] + 1] = np.nan
    with pytest.raises(ValueError, match=r"X .*NaN.* row 20"):
        kmeans(X, 2, 0)


def test_rows_of_one_word_tie_without_end():
    """Rows that share no word with most centroids are equally far from all those."""
    n, d = 3000, 5000
    rng = np.random.default_rng(0)
    X = sparse.csr_array((np.ones(n), (np.arange(n), rng.integers(d, size=n))), shape=(n, d))
    init = X[:60].toarray()
    dense = kmeans(X.toarray(), 60, init=init, max_iter=3)
    assert_same(kmeans(X, 60, init=init, max_iter=3), dense)


def test_duplicates_and_order_of_columns_do_not_matter():
    X = text_like(100, 60, 5)
    mixed = sparse.coo_array(
        (
            np.concatenate([X.data / 2, X.data[::-1] / 2]),
            (
                np.concatenate([X.tocoo().row, X.tocoo().row[::-1]]),
                np.concatenate([X.indices, X.indices[::-1]]),
            ),
        ),
        shape=X.shape,
    )
    raw = sparse.csr_array((100, 60))
    order = np.argsort(mixed.row, kind="stable")
    raw.data, raw.indices = mixed.data[order], mixed.col[order].astype(np.int32)
    raw.indptr = np.searchsorted(mixed.row[order], np.arange(101)).astype(np.int32)
    before = raw.data.copy(), raw.indices.copy()
    expected = kmeans(X, 4, 0)
    for form in (raw, X.tocsc(), X.tocoo(), X.tolil(), sparse.csr_matrix(X)):
        result = kmeans(form, 4, 0)
        assert np.array_equal(result.labels, expected.labels)
        assert np.allclose(result.centroids, expected.centroids)
    assert np.array_equal(raw.data, before[0])
    assert np.array_equal(raw.indices, before[1])


def test_room_behind_the_last_element_is_not_looked_at():
    X = text_like(100, 60, 5)
    roomy = X.copy()
    roomy.data = np.concatenate([X.data, [np.nan, np.inf]])
    roomy.indices = np.concatenate([X.indices, np.array([-1, 99], dtype=X.indices.dtype)])
    for options in ({}, {"scale": "std"}, {"metric": "cosine"}, {"tol": 1e-3}):
        assert_same(kmeans(roomy, 4, 0, **options), kmeans(X, 4, 0, **options))


def test_nothing_is_written_to():
    X = text_like(100, 60, 5)
    for array in (X.data, X.indices, X.indptr):
        array.flags.writeable = False
    kmeans(X, 4, 0, n_init=2, refine="swap", metric="cosine")
    kmeans(X, 4, 0, scale="std")


@pytest.mark.parametrize("dtype", [bool, np.uint8, np.int16, np.int64, np.float32])
def test_element_types(dtype):
    X = text_like(200, 80, 6)
    X.data = np.ceil(3 * X.data).astype(dtype)
    assert_same(kmeans(X, 5, 1), kmeans(X.toarray(), 5, 1))


def test_scale_equals_dense():
    X = text_like(300, 40, 10)
    result, dense = kmeans(X, 4, 1, scale="std"), kmeans(X.toarray(), 4, 1, scale="std")
    assert np.array_equal(result.labels, dense.labels)
    assert np.allclose(result.centroids, dense.centroids)
    assert np.isclose(result.inertia, dense.inertia)
    for model in (result, dense):
        for form in (X, X.toarray()):
            assert np.array_equal(model.predict(form), dense.labels)
            assert np.allclose(model.transform(form), dense.transform(X.toarray()))


def test_tolerance_callback_and_limits():
    X = text_like()
    seen, seen_dense = [], []
    result = kmeans(X, 9, 0, tol=1e-3, callback=seen.append)
    dense = kmeans(X.toarray(), 9, 0, tol=1e-3, callback=seen_dense.append)
    assert_same(result, dense)
    for ours, theirs in zip(seen, seen_dense, strict=True):
        assert ours.rows_changed == theirs.rows_changed
        assert np.isclose(ours.inertia, theirs.inertia, rtol=1e-11)
    falls = [progress.inertia for progress in seen]
    assert all(a >= b * (1 - 1e-12) for a, b in zip(falls, falls[1:], strict=False))
    assert not kmeans(X, 9, 0, max_iter=2).converged
    assert_same(kmeans(X, 9, 0, max_iter=2), kmeans(X.toarray(), 9, 0, max_iter=2))


def test_emptied_clusters_are_refilled():
    X = text_like(200, 60, 5)
    init = np.vstack([X[:3].toarray(), np.full((2, 60), 50.0)])
    assert_same(kmeans(X, 5, init=init), kmeans(X.toarray(), 5, init=init))


def test_fewer_distinct_rows_than_clusters():
    X = sparse.csr_array(np.repeat(np.eye(3, 40), 5, axis=0))
    with pytest.warns(ckmeans.ConvergenceWarning, match="3 clusters of 6"):
        result = kmeans(X, 6, 0)
    assert result.inertia == 0
    assert sorted(result.sizes) == [0, 0, 0, 5, 5, 5]


def test_distances_are_exact_at_centroids():
    X = text_like(50, 400, 20)
    result = kmeans(X, 50, init=X.toarray())
    assert result.inertia == 0
    assert np.array_equal(result.distances(X), np.zeros(50))
    assert np.array_equal(np.diag(result.transform(X)), np.zeros(50))
    dense = result.transform(X.toarray())
    assert np.allclose(result.transform(X), dense, rtol=1e-13, atol=1e-13)


def test_elbow_refine_and_silhouette():
    X = text_like()
    ours, dense = elbow(X, 6, 0), elbow(X.toarray(), 6, 0)
    assert np.allclose(ours.inertias, dense.inertias)
    assert np.allclose(ours.calinski_harabasz, dense.calinski_harabasz, equal_nan=True)
    refined = kmeans(X, 8, 0, refine="swap")
    assert refined.inertia <= kmeans(X, 8, 0).inertia
    assert np.array_equal(refined.labels, kmeans(X.toarray(), 8, 0, refine="swap").labels)
    for sample in (None, 600, 50):
        ours = silhouette(X, refined.labels, sample=sample, seed=0)
        assert np.isclose(ours, silhouette(X.toarray(), refined.labels, sample=sample, seed=0))


@pytest.mark.parametrize("init", ["k-means++", "random"])
def test_one_column_is_solved_to_the_optimum(init):
    X = sparse.csr_array(np.array([0.0, 0, 1, 1.5, 9, 0, 10])[:, None])
    assert_same(kmeans(X, 3, 0, init=init), kmeans(X.toarray(), 3, 0, init=init))


def test_a_bad_value_before_a_column_that_is_not_there():
    """The row of such a value is read for the message: it must not lead out of an array."""
    X = sparse.csr_array(np.eye(3))
    X.data, X.indices = np.array([np.nan, 1, 1, 1]), np.array([0, 2**30, 1, 2], np.int32)
    X.indptr = np.array([0, 2, 3, 4], np.int32)
    with pytest.raises(ValueError, match="column indices between 0 and 2, got 1073741824 in row 0"):
        kmeans(X, 2)


def test_bad_input():
    X = text_like(30, 20, 4)

    def changed(**parts):
        other = X.copy()
        for name, (at, value) in parts.items():
            getattr(other, name)[at] = value
        return other

    row = int(np.searchsorted(X.indptr, 37, side="right")) - 1
    column = int(X.indices[37])
    for value, found in ((np.nan, "NaN"), (-np.inf, "infinity"), (1e200, "1e\\+200")):
        with pytest.raises(ValueError, match=f"X .*{found}.* row {row}, column {column}"):
            kmeans(changed(data=(37, value)), 2)
    with pytest.raises(ValueError, match="X must have column indices between 0 and 19, got 20 in"):
        kmeans(changed(indices=(5, 20)), 2)
    with pytest.raises(ValueError, match="X must have column indices between 0 and 19, got -1 in"):
        kmeans(changed(indices=(5, -1)), 2)
    far = indexed(X, np.int64)
    far.indices[5] += 2**32  # which int32 would not tell from the column before
    with pytest.raises(ValueError, match="X must have column indices between 0 and 19, got 42949"):
        kmeans(far, 2)
    with pytest.raises(ValueError, match="X.indptr must end within"):
        kmeans(changed(indptr=(30, 10**6)), 2)
    with pytest.raises(ValueError, match="X.indptr must hold row starts that ascend"):
        kmeans(changed(indptr=(3, 1)), 2)
    with pytest.raises(TypeError, match="X must hold real numbers .* got dtype complex128"):
        kmeans(X.astype(complex), 2)
    with pytest.raises(ValueError, match="X must be 2-D"):
        kmeans(sparse.coo_array(np.ones(4)), 2)
    with pytest.raises(ValueError, match="X must have at least one row and one column"):
        kmeans(sparse.csr_array((0, 4)), 2)
    with pytest.raises(ValueError, match="X must have 20 columns like the fitted data, got 19"):
        kmeans(X, 2, 0).predict(X[:, :19])
    with pytest.raises(TypeError, match="X must be a dense array, got a sparse csr_array"):
        ckmeans.check_clusterability(X)
    with pytest.raises(TypeError, match="init must be a dense array"):
        kmeans(X, 2, init=X[:2])


# Directions


def spherical(X, start, max_iter=300):
    """Dhillon & Modha 2001, in a few lines."""
    X = X / np.linalg.norm(X, axis=1, keepdims=True)
    centroids = start / np.linalg.norm(start, axis=1, keepdims=True)
    labels = None
    for _ in range(max_iter):
        before, labels = labels, nearest(X, centroids)
        if np.array_equal(before, labels):
            break
        sums = np.array([X[labels == j].sum(axis=0) for j in range(len(start))])
        centroids = sums / np.linalg.norm(sums, axis=1, keepdims=True)
    return centroids, labels


@pytest.mark.parametrize("form", ["dense", "float32", "sparse"])
@pytest.mark.parametrize("k", [1, 4, 30])
def test_cosine_is_spherical_kmeans(form, k):
    X = text_like(m=40)
    X = X.multiply(np.random.default_rng(1).uniform(0.1, 50, 600)[:, None]).tocsr()
    if form == "float32":
        X = X.astype(np.float32)
    init = X[: 5 * k : 5].toarray()
    dense = X.toarray().astype(np.float64)
    centroids, labels = spherical(dense, init.astype(np.float64))
    result = kmeans(X if form == "sparse" else X.toarray(), k, init=init, metric="cosine")
    assert np.array_equal(result.labels, labels)
    assert np.allclose(result.centroids, centroids, rtol=0, atol=1e-14)
    assert np.allclose(np.linalg.norm(result.centroids, axis=1), 1, rtol=1e-14)
    assert result.converged
    unit = dense / np.linalg.norm(dense, axis=1, keepdims=True)
    cosines = np.minimum((unit * centroids[labels]).sum(axis=1), 1)
    assert np.isclose(result.inertia, (2 - 2 * cosines).sum())
    for rows in (X, X.toarray()):
        assert np.array_equal(result.predict(rows), labels)
        assert np.allclose(result.distances(rows), np.sqrt(2 - 2 * cosines), atol=1e-7)
    assert np.allclose(np.square(result.transform(X)), 2 - 2 * unit @ centroids.T, atol=1e-12)


def test_cosine_does_not_see_the_length_of_rows():
    X = text_like(m=40)
    longer = X.multiply(2.0 ** np.random.default_rng(0).integers(-90, 90, 600)[:, None]).tocsr()
    one = kmeans(X, 6, 2, metric="cosine", n_threads=1)
    for rows in (longer, longer.toarray()):
        assert np.array_equal(kmeans(rows, 6, 2, metric="cosine", n_threads=2).labels, one.labels)


def test_cosine_inertia_never_rises():
    X = np.random.default_rng(0).normal(size=(500, 3))
    for weight in (None, np.arange(500) % 4):
        seen = []
        kmeans(X, 7, 0, metric="cosine", sample_weight=weight, callback=seen.append)
        inertias = [progress.inertia for progress in seen]
        assert len(inertias) > 3
        assert all(a >= b * (1 - 1e-12) for a, b in zip(inertias, inertias[1:], strict=False))


def test_cosine_with_the_rest():
    X = np.random.default_rng(0).normal(size=(300, 3))
    curve = elbow(X, 5, 0, metric="cosine")
    assert (np.diff(curve.inertias) <= 0).all()
    refined = kmeans(X, 12, 0, metric="cosine", refine="swap")
    assert refined.inertia <= kmeans(X, 12, 0, metric="cosine").inertia
    assert np.allclose(np.linalg.norm(refined.centroids, axis=1), 1)
    assert refined.sorted().metric == "cosine"
    assert pickle.loads(pickle.dumps(refined)).metric == "cosine"
    one = kmeans(np.array([[1.0], [-2.0], [3.0]]), 2, 0, metric="cosine")
    assert one.inertia == 0
    # Opposite rows have no mean direction: their centroid stays where it was.
    pair = kmeans(np.array([[1.0, 0], [-1, 0]]), 1, init=[[0.0, 1]], metric="cosine")
    assert np.array_equal(pair.centroids, [[0, 1]])


@pytest.mark.parametrize("form", ["dense", "sparse"])
@pytest.mark.parametrize("seed", range(12))
@pytest.mark.filterwarnings("ignore::ckmeans.ConvergenceWarning")
def test_cosine_with_fewer_directions_than_clusters(form, seed):
    # Rows of one direction differ by rounding, and so do the centroids of the clusters they share.
    rng = np.random.default_rng(seed)
    directions = rng.normal(size=(rng.integers(1, 4), 3))
    rows = directions[rng.integers(0, len(directions), 30)] * rng.uniform(0.1, 9, (30, 1))
    X = rows if form == "dense" else sparse.csr_matrix(rows)
    result = kmeans(X, 6, seed, metric="cosine")
    assert np.array_equal(result.predict(X), result.labels)
    assert result.converged
    assert result.n_iter < 9
    assert result.inertia < 1e-28


def test_cosine_refuses_what_has_no_direction():
    X = np.ones((5, 2))
    X[3] = 0
    for rows in (X, sparse.csr_array(X)):
        with pytest.raises(ValueError, match="X must have no row of zeros .* got one at row 3"):
            kmeans(rows, 2, metric="cosine")
    with pytest.raises(ValueError, match="init must have no row of zeros"):
        kmeans(np.ones((5, 2)), 1, init=[[0, 0]], metric="cosine")
    with pytest.raises(ValueError, match="metric must be .* got 'manhattan'"):
        kmeans(np.ones((5, 2)), 1, metric="manhattan")
    with pytest.raises(ValueError, match='scale must be None where metric is "cosine"'):
        kmeans(np.ones((5, 2)), 1, metric="cosine", scale="std")


def test_cosine_is_not_forgotten_where_dask_does_not_know_it():
    array = pytest.importorskip("dask.array")
    X = np.random.default_rng(0).normal(size=(60, 3)) * 9
    lazy = array.from_array(X, chunks=20)
    result = kmeans(X, 3, 0, metric="cosine")
    for method in (result.predict, result.transform, result.distances):
        with pytest.raises(ValueError, match="result must not have metric 'cosine'"):
            method(lazy)
    model = KMeans(3, random_state=0, metric="cosine").fit(X)
    assert np.array_equal(model.predict(X), model.labels_)
    for method in (model.predict, model.transform, model.score, model.fit):
        with pytest.raises(ValueError, match="metric must not be 'cosine' where X is from Dask"):
            method(lazy)


def test_cosine_is_drawn():
    pytest.importorskip("matplotlib")
    X = np.array([[-1.0, 1], [1, -1], [2, -1], [-2, 1], [1, 1], [-1, -1]])
    assert kmeans(X, 2, 0, metric="cosine").plot(X).collections


# The estimators


def test_estimator_takes_sparse_rows():
    X = text_like()
    model, dense = KMeans(5, random_state=0).fit(X), KMeans(5, random_state=0).fit(X.toarray())
    assert np.array_equal(model.labels_, dense.labels_)
    assert np.allclose(model.cluster_centers_, dense.cluster_centers_)
    assert np.array_equal(model.predict(X), model.labels_)
    assert np.allclose(model.transform(X), dense.transform(X.toarray()))
    assert np.isclose(model.score(X), -model.inertia_)
    single = KMeans(5, random_state=0).fit(X.astype(np.float32))
    assert single.cluster_centers_.dtype == np.float32


def test_estimator_prints_for_sparse_rows(capsys):
    KMeans(3, random_state=0, verbose=1).fit(text_like(100, 40, 4))
    assert "Converged at iteration" in capsys.readouterr().out


def test_minibatch_takes_sparse_rows():
    X = text_like()
    sizes = {"batch_size": 100, "random_state": 0, "n_init": 2}
    model = MiniBatchKMeans(5, **sizes).fit(X)
    dense = MiniBatchKMeans(5, **sizes).fit(X.toarray())
    assert np.array_equal(model.labels_, dense.labels_)
    assert np.allclose(model.cluster_centers_, dense.cluster_centers_)
    for rows in (X[:200], X[200:]):
        model.partial_fit(rows)
        dense.partial_fit(rows.toarray())
    assert np.allclose(model.cluster_centers_, dense.cluster_centers_)


def test_core_does_not_import_scipy():
    import subprocess
    import sys

    code = (
        "import sys, ckmeans, numpy as np\n"
        "class Csr:\n"
        "    format, shape, dtype = 'csr', (3, 2), np.dtype(float)\n"
        "    data, indices, indptr = np.ones(3), np.array([0, 1, 0]), np.arange(4)\n"
        "    def tocsr(self): return self\n"
        "print(ckmeans.kmeans(Csr(), 2, 0).sizes.max(), 'scipy' in sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["2", "False"]


def test_a_large_sum_of_weights_is_refused_or_right():
    X = text_like(50, 30, 4)
    weight = np.ones(50)
    weight[3] = 1e200
    with pytest.raises(ValueError, match="sample_weight must have a sum"):
        kmeans(X, 2, sample_weight=weight)
    X.data[:] = 1e140
    with pytest.raises(ValueError, match="X must lie within"):
        kmeans(X, 2, sample_weight=np.full(50, 1e100))
