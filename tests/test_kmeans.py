"""kmeans() against a float64 brute force."""

import warnings

import numpy as np
import oracle
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ckmeans import ConvergenceWarning, elbow, kmeans
from ckmeans._elbow import knee_of
from ckmeans._rows import Rows
from ckmeans.datasets import xclara

DTYPES = (np.float32, np.float64, np.uint8, np.int16, np.int64, np.float16, bool, ">f8")


def assert_fixed_point(X, result, weight=None):
    """Labels are the float64 argmin, centroids the means, inertia their sum of squares."""
    X = np.asarray(X, dtype=np.float64)
    weight = np.ones(len(X)) if weight is None else weight
    squares = ((X[:, None] - result.centroids) ** 2).sum(axis=2)
    np.testing.assert_array_equal(result.labels, squares.argmin(axis=1))
    for j, centroid in enumerate(result.centroids):
        own = result.labels == j
        if weight[own].sum() > 0:
            mean = np.average(X[own], axis=0, weights=weight[own])
            np.testing.assert_allclose(centroid, mean, rtol=1e-10, atol=1e-10)
    assert result.inertia == pytest.approx(weight @ squares.min(axis=1), rel=1e-9, abs=1e-12)
    sizes = np.bincount(result.labels, minlength=len(result.centroids))
    np.testing.assert_array_equal(result.sizes, sizes)


@given(
    n=st.integers(1, 80), d=st.integers(1, 20), k=st.integers(1, 20),
    dtype=st.sampled_from(DTYPES), grid=st.booleans(), offset=st.sampled_from([0, 1e6]),
    init=st.sampled_from(["k-means++", "random"]), seed=st.integers(0, 10**6),
)  # fmt: skip
def test_result_is_a_fixed_point(n, d, k, dtype, grid, offset, init, seed):
    rng = np.random.default_rng(seed)
    if np.dtype(dtype).kind in "bui" or grid:
        X = rng.integers(0, 6, (n, d)).astype(dtype)  # ties and duplicates
    else:
        X = rng.normal(size=(n, d))
        X = (X + offset if np.dtype(dtype).itemsize > 2 else X).astype(dtype)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        result = kmeans(X, min(k, n), seed, init=init)
    assert result.converged
    assert_fixed_point(X, result)
    np.testing.assert_array_equal(result.predict(X), result.labels)


@pytest.mark.parametrize("seed", range(8))
def test_xclara_reference(seed):
    result = kmeans(xclara(), 3, seed, n_init=5).sorted(by="position")
    reference = [(9.4780459, 10.6860520), (40.6836278, 59.7158927), (69.9241845, -10.1196413)]
    np.testing.assert_allclose(result.centroids, reference, rtol=1e-7)
    assert result.inertia == pytest.approx(611605.8806933, rel=1e-11)
    assert result.sizes.tolist() == [899, 1149, 952]


def test_blobs_in_space_equal_scikit_learns():
    cluster = pytest.importorskip("sklearn.cluster")
    datasets = pytest.importorskip("sklearn.datasets")
    X, _ = datasets.make_blobs(n_samples=800, n_features=3, centers=4, random_state=1)
    ours = kmeans(X, 4, 0, n_init=5).sorted(by="position")
    theirs = cluster.KMeans(4, n_init=5, tol=0, random_state=0).fit(X).cluster_centers_
    np.testing.assert_allclose(ours.centroids, theirs[np.lexsort(theirs.T[::-1])], rtol=1e-9)


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.uint8])
def test_every_layout_gives_the_same_bits(dtype, tmp_path):
    X = np.random.default_rng(0).integers(0, 255, (500, 7)).astype(dtype)
    expected = kmeans(X, 6, 0)
    wide = np.zeros((1000, 14), dtype)
    wide[::2, ::2] = X
    read_only = X.copy()
    read_only.flags.writeable = False
    np.save(tmp_path / "X.npy", X)
    mapped = np.load(tmp_path / "X.npy", mmap_mode="r")
    swapped = X.astype(X.dtype.newbyteorder())
    for same in (np.asfortranarray(X), wide[::2, ::2], read_only, mapped, swapped, X.tolist()):
        result = kmeans(same, 6, 0)
        np.testing.assert_array_equal(result.labels, expected.labels)
        np.testing.assert_array_equal(result.centroids, expected.centroids)


def test_read_in_blocks_gives_the_brute_force(monkeypatch):
    X = np.random.default_rng(1).normal(size=(1000, 5)).astype(np.float32)
    monkeypatch.setattr("ckmeans._rows.BLOCK_ELEMENTS", 37 * 5)
    assert_fixed_point(X, kmeans(X, 9, 0))


def test_data_frames():
    pandas, polars = pytest.importorskip("pandas"), pytest.importorskip("polars")
    X = xclara()
    expected = kmeans(X, 3, 0).labels
    frame = pandas.DataFrame(X, columns=["a", "b"])
    for same in (frame, frame.convert_dtypes(), polars.DataFrame(X)):
        np.testing.assert_array_equal(kmeans(same, 3, 0).labels, expected)
    with pytest.raises(TypeError, match="'c'"):
        kmeans(frame.assign(c="text"), 3)


def test_weights_count_rows():
    rng = np.random.default_rng(2)
    X, weight = rng.normal(size=(120, 3)), rng.integers(0, 4, 120)
    start = X[weight > 0][:5]
    weighted = kmeans(X, 5, init=start, sample_weight=weight)
    repeated = kmeans(np.repeat(X, weight, axis=0), 5, init=start)
    np.testing.assert_allclose(weighted.centroids, repeated.centroids, rtol=1e-12)
    assert weighted.inertia == pytest.approx(repeated.inertia, rel=1e-12)
    assert_fixed_point(X, weighted, weight.astype(float))


def test_emptied_clusters_are_refilled():
    X = np.random.default_rng(3).normal(size=(50, 2))
    result = kmeans(X, 5, init=np.repeat(X[:1], 5, axis=0))
    assert (result.sizes > 0).all()
    assert_fixed_point(X, result)


@pytest.mark.parametrize("value", [0.0, 0.1, 1e6 + 0.3])
def test_fewer_distinct_rows_than_k(value):
    X = np.repeat([[value, 1.0], [3.7, 2.0]], 30, axis=0)
    with pytest.warns(ConvergenceWarning, match="fewer distinct rows than k"):
        result = kmeans(X, 4, 0)
    assert np.count_nonzero(result.sizes) == 2
    assert_fixed_point(X, result)


def test_inertia_never_rises():
    X = np.random.default_rng(4).normal(size=(2000, 4)).astype(np.float32) + 1e4
    seen = []
    kmeans(X, 20, 0, init="random", callback=lambda progress: seen.append(progress.inertia))
    assert len(seen) > 5
    assert all(after <= before * (1 + 1e-12) for before, after in zip(seen, seen[1:], strict=False))


@pytest.mark.parametrize("options", [{"max_iter": 2}, {"tol": 1e-2}])
def test_stopped_early_labels_belong_to_the_centroids(options):
    X = np.random.default_rng(5).normal(size=(3000, 3))
    result = kmeans(X, 12, 0, **options)
    np.testing.assert_array_equal(result.predict(X), result.labels)
    assert result.n_iter < kmeans(X, 12, 0).n_iter


def test_callback_and_clock_stop():
    X = np.random.default_rng(6).normal(size=(3000, 3))
    result = kmeans(X, 12, 0, callback=lambda progress: progress.iteration == 3)
    assert result.n_iter == 3 and not result.converged
    assert kmeans(X, 12, 0, max_seconds=0).n_iter == 1


def test_same_seed_same_bits_for_any_threads():
    X = np.random.default_rng(7).normal(size=(3000, 3))
    expected = kmeans(X, 8, 11)
    for n_threads in (1, 2, 3, 8):
        result = kmeans(X, 8, 11, n_threads=n_threads)
        np.testing.assert_array_equal(result.centroids, expected.centroids)


def test_scale_is_standardisation():
    X = np.random.default_rng(8).normal(size=(400, 3)) * [1, 100, 0] + [0, 5, 7]
    deviation = np.where(X.std(axis=0) > 1e-9, X.std(axis=0), 1)
    start = X[:4]
    scaled = kmeans(X, 4, init=start, scale="std")
    plain = kmeans((X - X.mean(axis=0)) / deviation, 4, init=(start - X.mean(axis=0)) / deviation)
    np.testing.assert_array_equal(scaled.labels, plain.labels)
    np.testing.assert_allclose(
        scaled.centroids, plain.centroids * deviation + X.mean(axis=0), rtol=1e-9
    )
    np.testing.assert_array_equal(scaled.predict(X), scaled.labels)


def test_one_column_is_optimal():
    rng = np.random.default_rng(9)
    for k in (2, 3):
        x = np.sort(rng.integers(0, 40, 12)).astype(float)
        weight = rng.integers(1, 4, 12).astype(float)

        def cost(part, x=x, weight=weight):
            mean = np.average(x[part], weights=weight[part])
            return weight[part] @ (x[part] - mean) ** 2

        cuts = [(i,) for i in range(1, 12)]
        if k == 3:
            cuts = [(i, j) for i in range(1, 11) for j in range(i + 1, 12)]
        least = min(sum(cost(p) for p in np.split(np.arange(12), c)) for c in cuts)
        found = kmeans(x[:, None], k, 0, sample_weight=weight).inertia
        assert found == pytest.approx(least, rel=1e-12)


def test_elbow():
    X = xclara()
    curve = elbow(X, [5, 3, 1, 2, 4, 7], 0, n_init=3)
    assert curve.ks.tolist() == [1, 2, 3, 4, 5, 7] and curve.knee == 3
    assert (np.diff(curve.inertias) <= 0).all()
    np.testing.assert_allclose(curve.inertias[:3], [5030433.096, 2309985.389, 611605.881])
    assert elbow(X, range(1, 3), 0).knee is None
    assert "at least 3" in elbow(X, 2, 0).knee_reason


@pytest.mark.parametrize("d", [1, 2, 3, 12])
def test_uniform_rows_have_no_knee(d):
    for seed in range(3):
        curve = elbow(np.random.default_rng(seed).random((2000, d)), 10, 0, n_init=2)
        assert curve.knee is None and "without clusters" in curve.knee_reason


def test_a_straight_line_has_no_knee():
    knee, reason = knee_of(np.arange(1, 11), np.linspace(100.0, 10.0, 10))
    assert knee is None and reason


@pytest.mark.parametrize("true_k", [2, 4, 6])
def test_separate_blobs_have_their_knee(true_k):
    rng = np.random.default_rng(true_k)
    centres = 10 * np.column_stack([np.arange(true_k), np.arange(true_k) % 2])
    X = np.repeat(centres, 200, axis=0) + rng.normal(size=(200 * true_k, 2))
    assert elbow(X, 10, 0, n_init=5).knee == true_k


def test_transform_and_distances():
    X = xclara()
    result = kmeans(X, 3, 0)
    expected = np.sqrt(((X[:, None] - result.centroids) ** 2).sum(axis=2))
    np.testing.assert_allclose(result.transform(X), expected, rtol=1e-12)
    np.testing.assert_allclose(result.distances(X), expected.min(axis=1), rtol=1e-12)
    by_size = result.sorted(by="size")
    assert (np.diff(by_size.sizes) <= 0).all()
    np.testing.assert_array_equal(by_size.predict(X), by_size.labels)


@pytest.mark.parametrize("algorithm", ["lloyd", "hamerly"])
@pytest.mark.parametrize("far", [0, 201, 401])
def test_one_outlier_costs_the_other_clusters_no_digits(far, algorithm):
    """Wherever it stands: the sums are kept as differences to a reference among the rows."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(402, 2))
    X[far] += 2.1e12
    result = kmeans(X, 2, init=X[[far, (far + 1) % 402]], algorithm=algorithm)
    near = np.delete(X, far, axis=0).mean(axis=0)
    np.testing.assert_allclose(result.centroids[1], near, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("weighted", (False, True))
@pytest.mark.parametrize("tol", (0.0, 1e-3, 0.3))
@pytest.mark.parametrize("max_iter", (1, 2, 3, 300))
@pytest.mark.filterwarnings("ignore::ckmeans.ConvergenceWarning")
def test_bits_do_not_depend_on_a_callback(max_iter, tol, weighted):
    rng = np.random.default_rng(max_iter)
    far = np.array([[50.0, 50.0], [60.0, 60.0]])    # starts that own no row
    for X in (rng.normal(size=(300, 2)), rng.integers(0, 3, size=(200, 2)), np.ones((30, 2))):
        options = {
            "max_iter": max_iter,
            "tol": tol,
            "sample_weight": rng.uniform(0, 2, len(X)) if weighted else None,
        }
        for init in ("k-means++", "random", np.vstack([X[:4], far])):
            unwatched = kmeans(X, 6, 0, init=init, **options)
            watched = kmeans(X, 6, 0, init=init, callback=lambda progress: None, **options)
            oracle.assert_same_bits(unwatched, watched)


@pytest.mark.parametrize("offset", [0.0, 1e8])
@pytest.mark.parametrize("outlying", [(), (0, 500, 999)])
def test_the_variance_that_tol_is_a_share_of(offset, outlying):
    """Also where the rows that a point near all is made of lie far from the others."""
    X = np.random.default_rng(0).normal(size=(1000, 4)) * [1, 2, 3, 4] + offset
    X[list(outlying)] += 1e6
    assert Rows(X).mean_variance() == pytest.approx(X.var(axis=0).mean(), rel=1e-7)
    assert Rows(np.full((10, 3), 0.1)).mean_variance() == 0
