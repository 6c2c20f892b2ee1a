"""What holds for any rows: the fixed point, what must not change the partition, the same bits.

    python -m pytest tests --hypothesis-profile=nightly

tries forty times as many examples as by default.
"""

import hashlib
import math
import pickle
import subprocess
import sys
from dataclasses import dataclass

import numpy as np
import oracle
import pytest
from hypothesis import given, reject
from hypothesis import strategies as st

from ckmeans import ConvergenceWarning, elbow, kmeans
from ckmeans._iterate import SMALL, Limits, Start, lloyd, problem_of
from ckmeans._plus_plus import seeds
from ckmeans._rows import Rows

pytestmark = pytest.mark.filterwarnings("ignore::ckmeans.ConvergenceWarning")

DTYPES = ("f4", "f8", "f2", "u1", "i2", "i8", "?", ">f4", ">f8")
ALGORITHMS = ("auto", "lloyd", "hamerly")
LESS = 1 << 18  # products from which some tests have momentum
sizes = st.tuples(st.integers(1, 90), st.integers(1, 20), st.integers(1, 20), st.integers(0, 10**6))


@dataclass
class Problem:
    X: np.ndarray
    k: int
    weight: np.ndarray | None
    rng: np.random.Generator


@st.composite
def problems(draw, dtypes=DTYPES):
    """Rows of every dtype: blobs, blobs far from the origin, or grids, whose distances tie."""
    n, d, k, seed = draw(sizes)
    dtype = np.dtype(draw(st.sampled_from(dtypes)))
    kind = draw(st.sampled_from(["blobs", "far", "grid"]))
    rng = np.random.default_rng(seed)
    if kind == "grid" or dtype.kind in "bui":
        rows = rng.integers(0, 6, (n, d))
    else:
        rows = rng.normal(size=(n, d)) + 5 * rng.normal(size=(4, d))[rng.integers(4, size=n)]
        rows += 1e4 if kind == "far" and dtype.itemsize > 2 else 0
    weight = None
    if draw(st.booleans()):
        weight = rng.integers(0, 4, n) / 2
        weight[rng.integers(n)] = 1.0
    return Problem(rows.astype(dtype), min(k, n), weight, rng)


@st.composite
def generic(draw):
    """Rows and starts without ties, so that rounding cannot choose between two partitions."""
    n, d, k, seed = draw(sizes)
    d += 1  # one column would be sorted
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, d)) + 3 * rng.normal(size=(5, d))[rng.integers(5, size=n)]
    k = min(k, n)
    return X, X[:k].copy(), k, rng


@pytest.fixture
def no_refill(monkeypatch):
    """Leaves out problems in which a cluster is emptied: it takes the farthest row, and the two
    rows of a pair lie equally far from their mean, up to rounding."""
    monkeypatch.setattr("ckmeans._iterate.refill", lambda *_: reject())


@pytest.fixture(scope="module", params=[False, True], ids=["lloyd", "momentum"])
def paths(request):
    """The two ways of drawn starts to a fixed point, of which small problems take the first."""
    with pytest.MonkeyPatch.context() as patch:
        if request.param:
            patch.setattr("ckmeans._iterate.SMALL", 0)
            patch.setattr("ckmeans._iterate.LONG", 0)
            patch.setattr("ckmeans._iterate.ROWS_A_COLUMN", 0)
        yield


options = st.fixed_dictionaries(
    {"init": st.sampled_from(["k-means++", "random"]), "algorithm": st.sampled_from(ALGORITHMS)},
    optional={"refine": st.just("swap"), "n_init": st.just(3)},
)


# --- The fixed point ---


@given(problems(), options)
def test_the_result_is_a_fixed_point(paths, problem, options):
    result = kmeans(problem.X, problem.k, 0, sample_weight=problem.weight, **options)
    assert result.converged
    oracle.assert_fixed_point(problem.X, result, problem.weight)
    np.testing.assert_array_equal(result.predict(problem.X), result.labels)
    own = oracle.squares(problem.X, result.centroids).min(axis=1)
    np.testing.assert_allclose(result.distances(problem.X) ** 2, own, rtol=1e-13, atol=0)


@given(problems(), st.sampled_from(ALGORITHMS), st.booleans())
def test_the_inertia_never_rises(paths, problem, algorithm, same_start):
    """Nor is it another than that of the labels, which the last one is compared with."""
    seen = []
    init = np.repeat(problem.X[:1], problem.k, axis=0) if same_start else "random"
    result = kmeans(
        problem.X, problem.k, 0, init=init, sample_weight=problem.weight, algorithm=algorithm,
        callback=lambda progress: seen.append(progress.inertia),
    )  # fmt: skip
    # Rounding of distances between numbers this large.
    rounding = 1e-13 * (np.square(problem.X.astype(float)).sum() + 1)
    assert len(seen) == result.n_iter
    for before, after in zip(seen, [*seen[1:], result.inertia], strict=True):
        assert after <= before + rounding


@given(problems(), st.integers(1, 6), st.booleans())
def test_stopped_anywhere_labels_belong_to_the_centroids(paths, problem, max_iter, watched):
    result = kmeans(
        problem.X, problem.k, 0, init="random", sample_weight=problem.weight, max_iter=max_iter,
        callback=(lambda progress: None) if watched else None,
    )  # fmt: skip
    distance2 = oracle.squares(problem.X, result.centroids)
    np.testing.assert_array_equal(result.labels, distance2.argmin(axis=1))
    weight = np.ones(len(problem.X)) if problem.weight is None else problem.weight
    assert math.isclose(
        result.inertia, math.fsum(weight * distance2.min(axis=1)), rel_tol=1e-12, abs_tol=1e-300
    )


# --- What must not change the partition ---


@given(generic(), st.sampled_from(ALGORITHMS))
def test_translation_and_order(no_refill, problem, algorithm):
    X, start, k, rng = problem
    order, columns = rng.permutation(len(X)), rng.permutation(X.shape[1])
    labels = kmeans(X, k, init=start, algorithm=algorithm).labels
    for changed, first, same in (
        (X + 1000.0, start + 1000.0, labels),
        (X[order], start, labels[order]),
        (X[:, columns], start[:, columns], labels),
        (np.column_stack([X, np.full(len(X), 7.3)]), np.column_stack([start, [7.3] * k]), labels),
    ):
        result = kmeans(changed, k, init=first, algorithm=algorithm)
        np.testing.assert_array_equal(result.labels, same)


@given(problems(dtypes=("f4", "f8")), options, st.integers(-20, 20))
def test_powers_of_two_change_no_digit(problem, options, exponent):
    factor = 2.0**exponent
    expected = kmeans(problem.X, problem.k, 0, sample_weight=problem.weight, **options)
    scaled = (problem.X * factor).astype(problem.X.dtype)
    result = kmeans(scaled, problem.k, 0, sample_weight=problem.weight, **options)
    np.testing.assert_array_equal(result.labels, expected.labels)
    np.testing.assert_array_equal(result.centroids, expected.centroids * factor)
    assert result.inertia == expected.inertia * factor**2
    heavier = None if problem.weight is None else problem.weight * factor
    result = kmeans(problem.X, problem.k, 0, sample_weight=heavier, **options)
    np.testing.assert_array_equal(result.labels, expected.labels)
    np.testing.assert_array_equal(result.centroids, expected.centroids)


@given(generic(), st.sampled_from(ALGORITHMS))
def test_a_row_of_weight_two_is_the_row_twice(no_refill, problem, algorithm):
    X, start, k, rng = problem
    weight = rng.integers(1, 4, len(X))
    weighted = kmeans(X, k, init=start, sample_weight=weight, algorithm=algorithm)
    repeated = kmeans(np.repeat(X, weight, axis=0), k, init=start, algorithm=algorithm)
    np.testing.assert_array_equal(np.repeat(weighted.labels, weight), repeated.labels)
    np.testing.assert_allclose(weighted.centroids, repeated.centroids, rtol=1e-11, atol=1e-11)
    assert math.isclose(weighted.inertia, repeated.inertia, rel_tol=1e-11, abs_tol=1e-20)


@given(generic(), st.sampled_from(ALGORITHMS))
def test_a_row_of_weight_zero_is_absent(no_refill, problem, algorithm):
    X, start, k, rng = problem
    weight = np.r_[rng.random(len(X)) + 0.1, np.zeros(3)]
    more = np.vstack([X, np.full((3, X.shape[1]), 1e3)])
    order = rng.permutation(len(more))
    with_zero = kmeans(
        more[order], k, init=start, sample_weight=weight[order], algorithm=algorithm
    )
    without = kmeans(X, k, init=start, sample_weight=weight[:-3], algorithm=algorithm)
    present = order < len(X)
    np.testing.assert_array_equal(with_zero.labels[present], without.labels[order[present]])
    np.testing.assert_allclose(with_zero.centroids, without.centroids, rtol=1e-11, atol=1e-11)
    assert math.isclose(with_zero.inertia, without.inertia, rel_tol=1e-11, abs_tol=1e-20)


@given(problems(dtypes=("f8", "f4")), st.integers(0, 2**32))
def test_one_column_of_weight_two_is_the_value_twice(problem, seed):
    column = problem.X[:, :1].astype(np.float64)
    weight = np.random.default_rng(seed).integers(1, 4, len(column))
    weighted = kmeans(column, problem.k, sample_weight=weight)
    repeated = kmeans(np.repeat(column, weight, axis=0), problem.k)
    span = np.ptp(column) ** 2 * weight.sum()
    assert math.isclose(weighted.inertia, repeated.inertia, rel_tol=1e-7, abs_tol=1e-12 * span)


# --- Seeds and elbows ---


@given(problems(), st.sampled_from([(3, 7), (8, 20)]), st.data())
def test_the_first_seeds_are_those_of_fewer_clusters(problem, same_candidates, data):
    """Where both are drawn with as many candidates a step, which is what an elbow does."""
    low, high = (min(k, len(problem.X)) for k in same_candidates)
    k = data.draw(st.integers(low, high))
    rows = Rows(problem.X)
    fewer = seeds(rows, low, np.random.default_rng(1), problem.weight)
    more = seeds(rows, k, np.random.default_rng(1), problem.weight)
    distinct = len(np.unique(more.centroids, axis=0))  # what lies behind is drawn to fill up
    first = min(low, distinct)
    np.testing.assert_array_equal(more.centroids[:first], fewer.centroids[:first])


@given(problems(), options, st.integers(1, 9))
def test_an_elbow_never_rises(problem, options, most):
    X, weight = problem.X, problem.weight
    curve = elbow(X, min(most, len(X)), 0, sample_weight=weight, **options)
    assert (np.diff(curve.inertias) <= 0).all()
    for k, inertia, result in zip(curve.ks, curve.inertias, curve.results, strict=True):
        assert len(result.centroids) == k
        # What an inertia of 0 is rounded to may rise.
        size = 1e-20 * np.square(X.astype(float)).sum()
        assert math.isclose(result.inertia, inertia, rel_tol=1e-12, abs_tol=size)
        oracle.assert_fixed_point(X, result, weight)


# --- The same bits ---


@given(problems(), options)
def test_every_algorithm_gives_the_same_bits(paths, problem, options):
    del options["algorithm"]
    plain, pruned, auto = (
        kmeans(
            problem.X, problem.k, 0, sample_weight=problem.weight, algorithm=algorithm, **options
        )
        for algorithm in ("lloyd", "hamerly", "auto")
    )
    oracle.assert_same_bits(pruned, plain)
    oracle.assert_same_bits(auto, plain)


@given(problems(), options, st.sampled_from([None, "std"]))
def test_calls_threads_and_pickles_keep_the_bits(threads_for_all, paths, problem, options, scale):
    before = problem.X.tobytes()
    expected, *others = (
        kmeans(
            problem.X, problem.k, 7, sample_weight=problem.weight, n_threads=n_threads,
            scale=scale, **options,
        )
        for n_threads in (1, 1, 2, 5)
    )  # fmt: skip
    copies = [pickle.loads(pickle.dumps(expected, protocol)) for protocol in (2, 5)]
    for result in others + copies:
        oracle.assert_same_bits(result, expected)
    for result in copies:
        np.testing.assert_array_equal(result.predict(problem.X), expected.labels)
    assert problem.X.tobytes() == before, "X is read only"


def digest_of_many():
    """A digest of results of many problems, with as many threads as there may be."""
    digest = hashlib.sha256()
    for seed in range(40):
        rng = np.random.default_rng(seed)
        n, d, k = rng.integers([1, 1, 1], [3000, 40, 20])
        X = rng.normal(size=(n, d)).astype(("f4", "f8")[seed % 2])
        weight = rng.random(n) if seed % 3 == 0 else None
        result = kmeans(
            X, min(k, n), seed, sample_weight=weight, init=("k-means++", "random")[seed // 2 % 2],
            refine="swap" if seed % 5 == 0 else None, algorithm=ALGORITHMS[seed % 3],
        )  # fmt: skip
        for part in (result.labels, result.centroids, result.cluster_inertias):
            digest.update(part.tobytes())
    return digest.hexdigest()


def test_a_fresh_process_gives_the_same_bits(monkeypatch):
    monkeypatch.setattr("ckmeans._iterate.SMALL", SMALL)  # `paths` may be at work
    monkeypatch.setattr("ckmeans._iterate.LONG", LESS)
    run = subprocess.run(
        [sys.executable, "-R", "-c",
         "import sys; sys.path[:0] = sys.argv[1:]; import test_properties as t;"
         f"from ckmeans import _iterate as i; i.LONG = {LESS};"
         "print(t.digest_of_many())", *sys.path],
        capture_output=True, text=True, timeout=120, check=True,
    )  # fmt: skip
    assert run.stdout.strip() == digest_of_many()


def test_momentum_takes_fewer_iterations_from_the_same_start(monkeypatch):
    monkeypatch.setattr("ckmeans._iterate.LONG", LESS)
    X, limits = np.random.default_rng(0).random((16_000, 2)), Limits(1000, 0.0, math.inf, None, 1)
    problem = problem_of(Rows(X), None, 20, None, 1)
    lloyds = lloyd(problem, Start(X[:20]), limits, 0)
    free = lloyd(problem, Start(X[:20], drawn=True), limits, 0)
    assert free.converged and free.n_iter < lloyds.n_iter / 1.5
    assert free.inertia < 1.01 * lloyds.inertia
    # What is given is iterated as Lloyd does.
    given, watched = kmeans(X, 20, init=X[:20]), kmeans(X, 20, init=X[:20], callback=repr)
    assert given.n_iter == watched.n_iter == lloyds.n_iter


@pytest.mark.parametrize(
    ("seed", "metric"), [(6, "euclidean"), (36, "euclidean"), (98, "euclidean"), (13, "cosine")]
)
def test_the_inertia_never_rises_with_momentum(monkeypatch, seed, metric):
    """Steps too far: one that any check tells, one that weights tell, one that means do; and what
    would be one, did directions have momentum."""
    for name in ("LONG", "SMALL"):  # and bounds
        monkeypatch.setattr(f"ckmeans._iterate.{name}", LESS)
    rng = np.random.default_rng(seed)
    X, weight, inertias = rng.normal(size=(5000, 3)), 10 ** rng.normal(size=5000), []
    kmeans(
        X, 20, seed, sample_weight=weight, metric=metric,
        callback=lambda p: inertias.append(p.inertia),
    )  # fmt: skip
    assert (np.diff(inertias) <= 1e-13 * inertias[0]).all()


def watched(X, k, seed, **options):
    inertias = []
    result = kmeans(X, k, seed, callback=lambda p: inertias.append(p.inertia), **options)
    rises = np.diff(inertias) > 1e-13 * np.array(inertias[:-1])
    return result, np.flatnonzero(rises)


def test_the_inertia_does_not_rise_after_emptied_clusters_were_filled():
    X = np.random.default_rng(148).normal(size=(3000, 1))
    assert not watched(X, 1434, 149, init="random", max_iter=100)[1].size


def test_the_inertia_does_not_rise_where_digits_do_not_tell():
    rng = np.random.default_rng(4)
    X = rng.normal(size=(60_000, 2))
    X[:4] = 1e7 * rng.normal(size=(4, 2))
    assert not watched(X, 40, 4)[1].size


def test_clusters_emptied_by_momentum_are_filled(monkeypatch):
    """A step beyond the means changes no label here, and the means behind it do."""
    for name in ("LONG", "SMALL", "ROWS_A_COLUMN"):
        monkeypatch.setattr(f"ckmeans._iterate.{name}", 0)
    rng = np.random.default_rng(77700)
    n, d = int(rng.integers(6, 40)), int(rng.integers(1, 3))
    k = int(rng.integers(3, n // 2 + 1))
    X = rng.normal(size=(n, d)) * 10.0 ** rng.integers(-2, 3, (n, 1))
    result, rises = watched(
        X, k, 77701, init="random", sample_weight=10.0 ** (rng.normal(size=n) * 2)
    )
    assert (n, k) == (26, 10) and result.sizes.all() and not rises.size


def test_too_few_distinct_rows_are_told_with_momentum_too(monkeypatch):
    for name in ("LONG", "SMALL", "ROWS_A_COLUMN"):
        monkeypatch.setattr(f"ckmeans._iterate.{name}", 0)
    tenths = 1e6 + np.arange(10) / 10
    for seed in range(10):
        X = np.random.default_rng(seed).choice(tenths, (121, 1))
        with pytest.warns(ConvergenceWarning, match="fewer distinct rows"):
            assert np.count_nonzero(kmeans(X, 12, seed, init="random").sizes) == 10


# --- Larger problems ---


@pytest.mark.parametrize("d", [1, 2, 8, 9, 40, 130, 800])
@pytest.mark.parametrize("k", [1, 2, 10, 11, 33, 257])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_tiles_agree_with_brute_force_at_their_boundaries(d, k, dtype):
    X = np.random.default_rng(d * k).normal(size=(k + 70, d)).astype(dtype)
    result = kmeans(X, k, init=X[:k], max_iter=1)
    squares = [((X.astype(float) - centroid) ** 2).sum(axis=1) for centroid in result.centroids]
    np.testing.assert_array_equal(result.labels, np.argmin(squares, axis=0))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_pruning_over_many_iterations_keeps_the_brute_force(dtype):
    X = np.random.default_rng(3).normal(size=(20_000, 3)).astype(dtype)
    results = [kmeans(X, 40, init=X[:40], algorithm=name) for name in ("lloyd", "hamerly", "auto")]
    for result in results:
        squares = ((X[:, None].astype(float) - result.centroids) ** 2).sum(axis=2)
        np.testing.assert_array_equal(result.labels, squares.argmin(axis=1))
        np.testing.assert_array_equal(result.centroids, results[0].centroids)
        assert result.n_iter == results[0].n_iter > 20
