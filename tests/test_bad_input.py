"""What is refused, with which error, and that the message says which argument it is about."""

import decimal
import warnings

import numpy as np
import oracle
import pytest

from ckmeans import (
    ConvergenceWarning,
    check_clusterability,
    elbow,
    kmeans,
    kmeans_batch,
    silhouette,
)
from ckmeans import _validation as valid

X = np.arange(12.0).reshape(6, 2)
LABELS = [0, 1, 0, 1, 0, 1]
RECORDS = np.zeros(6, dtype=[("a", "f8"), ("b", "f8")])
NARROW = X * 1e-100


def with_one(value, dtype=np.float64, at=(2, 1)):
    changed = X.astype(dtype)
    changed[at] = value
    return changed


def late(value):
    """Bad at the very end of rows that are read in many blocks."""
    rows = np.zeros((300_001, 3), np.float32)
    rows[-1, -1] = value
    return rows


class NoArray:
    def __array__(self, dtype=None, copy=None):
        raise ValueError("not today")


class NoIndex:
    def __index__(self):
        raise TypeError("not today")


KINDS_OF_X = [
    (None, "NoneType"), ("text", "str"), (b"text", "bytes"), ({1: 2}, "dict"), ({1}, "set"),
    (len, "object"), (int, "object"), (object(), "object"), (..., "object"),
    ((row for row in X), "object"), (X.astype(object), "object"), ([[None, 1]], "object"),
    ([[decimal.Decimal(1), 2]], "object"), ([[2**70, 1]], "object"), ([["a", 1]], "<U"),
    (np.array([["a"]]), "<U1"), (X.astype("S"), "|S"), (X + 1j, "complex128"),
    (X.astype("M8[s]"), "datetime64"), (X.astype("m8[s]"), "timedelta64"),
    (X.astype(np.longdouble), "float"), (RECORDS, "'a'"), (RECORDS[:, None], "'a'"),
    (RECORDS.view(np.recarray), "record"), (np.zeros((2, 2), "V8"), "V8"),
]  # fmt: skip

VALUES_OF_X = [
    (3.0, r"2-D .* shape \(\)"), (X[0], r"2-D .*X.reshape\(-1, 1\)"),
    (X[None], r"2-D .*\(1, 6, 2\)"), (range(3), "2-D"), ([], "2-D"),
    ([[]], r"at least one row and one column, got \(1, 0\)"),
    (X[:0], "at least one row"), (X[:, :0], "one column"), ([[1, 2], [3]], "2-D array of numbers"),
    ([[1, [2]], [3, 4]], "2-D array of numbers"), (NoArray(), "2-D array of numbers: not today"),
    (with_one(np.nan), "contains NaN at row 2, column 1"),
    (with_one(np.nan, np.float16), "contains NaN at row 2, column 1"),
    (with_one(np.nan, ">f4"), "contains NaN at row 2, column 1"),
    (with_one(np.nan)[:, ::-1], "contains NaN at row 2, column 0"),
    (with_one(np.inf), "contains infinity at row 2, column 1"),
    (with_one(-np.inf, np.float32), "contains infinity at row 2, column 1"),
    (late(np.nan), "contains NaN at row 300000, column 2"),
    (late(np.inf), "contains infinity at row 300000, column 2"),
    (np.ma.masked_equal(X, 3), "masked at row 1, column 1"),
    (with_one(1e200), r"within \+-1e\+145, got 1e\+200 at row 2, column 1.*overflow"),
    (with_one(-1.7e308), r"within .* got -1.7e\+308"),
]  # fmt: skip


@pytest.mark.parametrize(("rows", "found"), KINDS_OF_X)
def test_kinds_that_are_no_rows(rows, found):
    with pytest.raises(TypeError, match=f"^X must .*{found}"):
        kmeans(rows, 1)


@pytest.mark.parametrize(("rows", "message"), VALUES_OF_X)
def test_rows_of_wrong_shapes_and_values(rows, message):
    with pytest.raises(ValueError, match=f"^X .*{message}"):
        kmeans(rows, 1)


def ask(name):
    """A method of a result, or another function of rows, with the rows as its argument."""
    result = kmeans(X, 2, 0)
    functions = {
        "elbow": lambda rows: elbow(rows, 2),
        "silhouette": lambda rows: silhouette(rows, LABELS),
        "check_clusterability": check_clusterability,
    }
    return functions.get(name) or getattr(result, name)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("dtype", [np.float16, np.float32])
@pytest.mark.parametrize("d", [3, 8, 130])
def test_rows_that_their_sums_tell_of(d, dtype, value, monkeypatch):
    """Those from a given start are not looked at before."""
    looked, check = [], valid.check_finite
    monkeypatch.setattr(valid, "check_finite", lambda *a, **k: looked.append(a) or check(*a, **k))
    n = 1 + valid.BY_SUMS_FROM // d
    rows = np.random.default_rng(d).normal(size=(n, d)).astype(dtype)
    start = rows[:5].astype(np.float64)
    kmeans(rows, 5, init=start, max_iter=2)
    assert [rows.n for rows, *_ in looked] == [len(start)]
    for order in "CF":
        for at in ((0, 0), (n // 2, 1), (n - 1, d - 1)):
            changed = np.array(rows, order=order)
            changed[at] = value
            for algorithm in ("lloyd", "hamerly"):
                called = []
                with warnings.catch_warnings(action="error"), pytest.raises(
                    ValueError, match=rf"^X contains (NaN|infinity) at row {at[0]}, column {at[1]};"
                ):
                    kmeans(
                        changed, 5, init=start, tol=1e-4, algorithm=algorithm,
                        callback=called.append,
                    )  # fmt: skip
                assert not called
    changed[n // 3 :] = value
    with pytest.raises(ValueError, match="^X contains .* at row"):
        kmeans(changed, 5, init=start)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_rows_that_repeat_are_told_of_by_their_sums(value):
    """Though so few are distinct that they could be clustered at once."""
    rng = np.random.default_rng(0)
    distinct = rng.integers(0, 256, (900, 3)).astype(np.float32)
    rows = distinct[rng.integers(0, 900, valid.BY_SUMS_FROM // 3 + 1)].copy()
    start = distinct[:9].astype(np.float64)
    for bad in ([77_777], np.arange(77_777, len(rows), 2)):
        changed = rows.copy()
        changed[bad, 1] = value
        with pytest.raises(ValueError, match="^X contains .* at row 77777, column 1;"):
            kmeans(changed, 9, init=start)


def test_rows_that_sums_could_not_tell_of_are_looked_at():
    """Large float64, rows of weight 0, and numbers of float32 whose squares overflow it."""
    n = valid.BY_SUMS_FROM // 2
    rows = np.random.default_rng(0).normal(size=(n, 2))
    start = rows[:3].copy()
    large = rows.copy()
    large[7, 1], large[8, 1] = 1e200, -1e200
    with pytest.raises(ValueError, match="1e\\+145"):
        kmeans(large, 3, init=start)
    unseen = rows.astype(np.float32)
    unseen[9, 0] = np.nan
    weight = np.ones(n)
    weight[9] = 0
    with pytest.raises(ValueError, match="^X contains NaN at row 9, column 0"):
        kmeans(unseen, 3, init=start, sample_weight=weight)
    unseen[9, 0] = 3e38
    result = kmeans(unseen, 3, init=start, max_iter=3)
    np.testing.assert_array_equal(result.labels, oracle.nearest(unseen, result.centroids))


@pytest.mark.parametrize("name", [
    "predict", "transform", "distances", "elbow", "silhouette", "check_clusterability",
])  # fmt: skip
def test_every_function_of_rows_refuses_the_same(name):
    function = ask(name)
    for bad, error in (
        (None, TypeError), (X + 1j, TypeError), (X[0], ValueError), (X[:0], ValueError),
        (with_one(np.nan), ValueError), (with_one(1e200), ValueError),
        (np.ma.masked_equal(X, 3), ValueError),
    ):  # fmt: skip
        with pytest.raises(error, match="^X "):
            function(bad)


@pytest.mark.parametrize("name", ["predict", "transform", "distances"])
def test_other_columns_than_the_models(name):
    with pytest.raises(ValueError, match="^X must have 2 columns like the fitted data, got 3"):
        ask(name)(np.zeros((4, 3)))


OPTIONS = [
    *[("k", value, TypeError, f"k must be an integer, got {found}") for value, found in [
        (2.5, "2.5"), (2.0, "2.0"), (np.float64(2), "np.float64"), (np.nan, "nan"), (2j, "2j"),
        (True, "True"), (np.True_, "np.True_"), ("3", "'3'"), (None, "None"), ([2], r"\[2\]"),
        (np.array([2]), "array"), (np.timedelta64(2, "s"), "np.timedelta64"), (NoIndex(), "<"),
    ]],
    *[("k", value, ValueError, rf"k must be between 1 and the number of rows \(6\), got {found}")
      for value, found in [(0, 0), (-1, -1), (7, 7), (np.int64(7), 7), (10**30, 10**30)]],
    ("sample_weight", np.ones(5), ValueError, r"sample_weight must have shape \(6,\), got \(5,\)"),
    ("sample_weight", np.ones((6, 1)), ValueError, r"must have shape \(6,\), got \(6, 1\)"),
    ("sample_weight", 2.0, ValueError, r"must have shape \(6,\), got \(\)"),
    ("sample_weight", [], ValueError, "must have shape"),
    ("sample_weight", [1, [2]], ValueError, "sample_weight must be a 1-D array"),
    ("sample_weight", -np.ones(6), ValueError, "non-negative, got -1.0 at row 0"),
    ("sample_weight", [1, 1, 1, 1, 1, -1e-300], ValueError, "non-negative, got -1e-300 at row 5"),
    ("sample_weight", np.zeros(6), ValueError, "not zeros alone"),
    ("sample_weight", [1, 1, 1, np.nan, 1, 1], ValueError, "finite, got nan at row 3"),
    ("sample_weight", [1, 1, 1, 1, np.inf, 1], ValueError, "finite, got inf at row 4"),
    ("sample_weight", np.full(6, 1e308), ValueError, r"a sum of at most 1e\+150.*inf"),
    ("sample_weight", np.full(6, 1e155), ValueError, r"a sum of at most 1e\+150.*6e\+155"),
    ("sample_weight", np.ma.masked_equal(np.arange(6), 3), ValueError, "masked at row 3"),
    ("sample_weight", "balanced", TypeError, "real numbers, got dtype <U8"),
    ("sample_weight", {0: 1.0}, TypeError, "real numbers, got dtype object"),
    ("sample_weight", [1, 1, 1, 1, 1, None], TypeError, "real numbers, got dtype object"),
    ("sample_weight", np.ones(6) * 1j, TypeError, "real numbers, got dtype complex128"),
    ("sample_weight", np.ones(6, "M8[s]"), TypeError, "real numbers, got dtype datetime64"),
    ("init", "magic", ValueError, r'"k-means\+\+", "random" or an array of shape \(2, 2\)'),
    ("init", "Random", ValueError, "got 'Random'"), ("init", "", ValueError, "got ''"),
    ("init", X[:3], ValueError, r"init must have shape \(2, 2\), got \(3, 2\)"),
    ("init", X[:2, :1], ValueError, r"got \(2, 1\)"), ("init", X[0], ValueError, "2-D"),
    ("init", 3, ValueError, "2-D"), ("init", [[1, 2], [3]], ValueError, "2-D"),
    ("init", [[1, 2], [3, np.nan]], ValueError, "contains NaN at row 1, column 1"),
    ("init", [[1, 2], [-np.inf, 0]], ValueError, "contains infinity at row 1, column 0"),
    ("init", [[1, 2], [3, 1e200]], ValueError, r"within \+-1e\+145, got 1e\+200"),
    ("init", np.ma.masked_equal(X[:2], 1), ValueError, "masked at row 0, column 1"),
    ("init", None, TypeError, "got None"), ("init", len, TypeError, "object"),
    ("init", {"a": 1}, TypeError, "dict"), ("init", X[:2] + 1j, TypeError, "complex128"),
    *[(name, value, TypeError, f"{name} must be an integer")
      for name in ("n_init", "max_iter", "n_threads")
      for value in (1.5, "2", True, np.inf, [1])],
    *[(name, value, ValueError, f"{name} must be .*got {value}")
      for name in ("n_init", "max_iter", "n_threads") for value in (0, -1)],
    ("n_init", None, TypeError, "n_init must be an integer"),
    ("n_init", 10**30, ValueError, "n_init must be between 1 and 1000000"),
    *[(name, value, TypeError, f"{name} must be a number")
      for name in ("tol", "max_seconds") for value in ("1", b"1", True, np.True_, [1], 1j)],
    *[(name, value, ValueError, f"{name} must be a finite number of at least 0")
      for name in ("tol", "max_seconds") for value in (-1, -1e-300, np.nan, np.inf, 10**400)],
    ("tol", None, TypeError, "tol must be a number"),
    *[("seed", value, TypeError, "seed must be what numpy.random.default_rng takes")
      for value in ("a", b"a", 1.5, np.float64(1), True, 1j, {}, object(), len, np.array(1.0))],
    *[("seed", value, ValueError, "seed must be what numpy.random.default_rng takes")
      for value in (-1, [-1], [["a"]])],
    *[("scale", value, ValueError, 'scale must be None or "std", got')
      for value in ("max", "STD", b"std", 1, True, False, [], np.ones(2))],
    *[("algorithm", value, ValueError, "algorithm must be one of")
      for value in ("magic", "Lloyd", b"lloyd", None, 1, [], {})],
    *[("refine", value, ValueError, 'refine must be None or "swap", got')
      for value in ("Swap", True, 1, [], np.ones(3))],
    *[("callback", value, TypeError, "callback must be callable") for value in (3, "f", [], {})],
]  # fmt: skip


@pytest.mark.parametrize(("name", "value", "error", "message"), OPTIONS)
def test_arguments_of_kmeans(name, value, error, message):
    arguments = {"k": 2, "seed": 0, name: value}
    with pytest.raises(error, match=message) as caught:
        kmeans(X, **arguments)
    assert str(caught.value).startswith(f"{name} ")


@pytest.mark.parametrize(("name", "value"), [case[:2] for case in OPTIONS if case[0] != "k"])
def test_elbow_refuses_the_same_options(name, value):
    arguments = {"seed": 0, name: value}
    with pytest.raises((TypeError, ValueError), match=f"^{name} "):
        elbow(X, 2, **arguments)


def call_batch(folder, **options):
    return kmeans_batch(np.stack([X, X]), **options)


def call_out_of_core(folder, **options):
    from ckmeans import out_of_core

    np.save(folder / "X.npy", X)
    return out_of_core.kmeans(folder / "X.npy", **options)


def call_dask(folder, **options):
    array = pytest.importorskip("dask.array")
    from ckmeans import dask

    return dask.kmeans(array.from_array(X, chunks=(4, 2)), **options)


def call_silhouette(folder, k, **options):
    return silhouette(X, LABELS, sample=3, **options)


def call_clusterability(folder, k, seed):
    return check_clusterability(X, seed)


@pytest.mark.parametrize(("function", "names"), [
    (call_batch, "k seed init n_init max_iter tol n_threads"),
    (call_out_of_core, "k seed init n_init max_iter tol scale max_seconds n_threads callback"),
    (call_dask, "k seed init n_init max_iter tol sample_weight callback"),
    (call_silhouette, "seed scale n_threads"), (call_clusterability, "seed"),
])  # fmt: skip
def test_other_functions_refuse_the_same_options(function, names, tmp_path):
    cases = [case for case in OPTIONS if case[0] in names.split()]
    for name, value, error, _ in cases:
        with pytest.raises(error, match=f"^{name} "):
            function(tmp_path, **{"k": 2, "seed": 0, name: value})
    assert {name for name, *_ in cases} == set(names.split())


@pytest.mark.parametrize("rows", [bad for bad, _ in KINDS_OF_X + VALUES_OF_X])
def test_other_functions_refuse_the_same_rows(rows):
    """Batches take three dimensions; the others files and collections of Dask."""
    pytest.importorskip("dask.array")
    from ckmeans import dask, out_of_core

    for function in (dask.kmeans, out_of_core.kmeans):
        with pytest.raises((TypeError, ValueError, FileNotFoundError), match="^X |text"):
            function(rows, 1)
    if not (isinstance(rows, np.ndarray) and rows.ndim == 3):
        with pytest.raises((TypeError, ValueError), match="^X "):
            kmeans_batch(rows, 1)


@pytest.mark.parametrize("estimator", ["KMeans", "MiniBatchKMeans"])
def test_estimators_refuse_what_is_masked(estimator):
    pytest.importorskip("sklearn")
    import ckmeans

    model = getattr(ckmeans, estimator)(2, random_state=0)
    masked = np.ma.masked_equal(X, 3)
    with pytest.raises(ValueError, match="^X is masked at row 1, column 1"):
        model.fit(masked)
    with pytest.raises(ValueError, match="^X is masked at row 1, column 1"):
        model.fit(X).predict(masked)


@pytest.mark.parametrize("sample", [0, -1, 7, 10**30, 1.5, "3", True, [1]])
def test_samples_of_a_silhouette(sample):
    error = ValueError if type(sample) is int else TypeError
    with pytest.raises(error, match="^sample must be .*got "):
        silhouette(X, LABELS, sample=sample)


@pytest.mark.parametrize(("ks", "error", "message"), [
    (0, ValueError, "between 1 and the number of rows"), (7, ValueError, "got 7"),
    (np.array(7), ValueError, "got 7"), (-1, ValueError, "got -1"), (10**30, ValueError, "got 100"),
    ([], ValueError, "at least one"), (range(0), ValueError, "at least one"),
    ([0, 1], ValueError, "got 0"), ([1, 7], ValueError, "got 7"), (True, TypeError, "True"),
    ([True], TypeError, "True"), (2.0, TypeError, "2.0"), ([1.5], TypeError, "1.5"),
    ("3", TypeError, "'3'"), (b"3", TypeError, "b'3'"), (["a"], TypeError, "'a'"),
    (None, TypeError, "None"), ({1: 2}, TypeError, "1: 2"), ([[1], [2]], TypeError, r"\[1\]"),
    (np.array([[1, 2]]), TypeError, "array"), (np.array(2.0), TypeError, "array"),
])  # fmt: skip
def test_numbers_of_clusters_of_an_elbow(ks, error, message):
    with pytest.raises(error, match=f"^ks must.*{message}"):
        elbow(X, ks)


@pytest.mark.parametrize(("call", "message"), [
    (lambda: kmeans(X, 2, foo=1), "foo"), (lambda: elbow(X, 2, foo=1), "no option 'foo'"),
    (lambda: elbow(X, 2, k=3), "no option 'k'"), (lambda: kmeans(X), "'k'"),
    (lambda: kmeans(X, 2, 0, "random"), "positional"),
])  # fmt: skip
def test_unknown_options(call, message):
    with pytest.raises(TypeError, match=message):
        call()


@pytest.mark.parametrize(("labels", "error", "message"), [
    (None, TypeError, "object"), ("text", TypeError, "<U4"), ({}, TypeError, "object"),
    (np.array(LABELS, float), TypeError, "float64"),
    ([0, 1], ValueError, r"shape \(6,\), got \(2,\)"),
    ([LABELS], ValueError, r"shape \(6,\), got \(1, 6\)"), ([[0], [1, 2]], ValueError, "1-D"),
    ([0] * 6, ValueError, "2 to 5 different values, got 1"), (range(6), ValueError, "got 6"),
    (np.ma.masked_equal(LABELS, 1), ValueError, "masked at row 1"),
])  # fmt: skip
def test_labels_of_a_silhouette(labels, error, message):
    with pytest.raises(error, match=f"^labels .*{message}"):
        silhouette(X, labels)


@pytest.mark.parametrize("by", ["x", "Size", None, 1, [], np.ones(3)])
def test_orders_of_a_result(by):
    with pytest.raises(ValueError, match='^by must be "size" or "position", got'):
        ask("sorted")(by)


@pytest.mark.parametrize("k", [2, np.int8(2), np.uint64(2), np.array(2)])
def test_integers_of_every_kind_are_taken(k):
    assert len(kmeans(X, k, 0).centroids) == 2
    assert elbow(X, k, 0).ks.tolist() == [1, 2]


def test_any_number_of_iterations_is_taken():
    assert kmeans(X, 2, 0, max_iter=10**30).converged


@pytest.mark.parametrize("seed", [
    None, 0, 10**100, np.int64(4), [1, 2], (), np.arange(3), np.random.default_rng(0),
    np.random.SeedSequence(1), np.random.PCG64(1), np.random.RandomState(0),
])  # fmt: skip
def test_seeds_of_every_kind_are_taken(seed):
    oracle.assert_fixed_point(X, kmeans(X, 2, seed))


@pytest.mark.parametrize("rows", [
    np.ma.masked_equal(X, 99), memoryview(X), X.tolist(), X.astype(np.uint64),
    X > 3, [[True, 2.5], [3, 4]],
], ids=lambda rows: type(rows).__name__)  # fmt: skip
def test_rows_of_every_kind_are_taken(rows):
    oracle.assert_fixed_point(np.asarray(rows, dtype=float), kmeans(rows, 2, 0))


def test_duplicates_in_init_are_taken():
    result = kmeans(X, 2, init=[[1, 2], [1, 2]])
    oracle.assert_fixed_point(X, result)
    assert (result.sizes > 0).all()


# --- Numbers whose squares overflow or underflow ---


@pytest.mark.parametrize(("dtype", "size"), [
    (np.float32, 1e30), (np.float32, 3.4e38), (np.float32, 1e-45), (np.float16, 6e4),
    (np.float64, 1e140), (np.float64, 1e145), (np.float64, 1e-160), (np.float64, 5e-324),
])  # fmt: skip
@pytest.mark.parametrize("d", [1, 2, 9, 130])
@pytest.mark.parametrize("options", [
    {}, {"init": "random"}, {"refine": "swap"}, {"tol": 1e-4}, {"algorithm": "hamerly"},
    {"scale": "std"}, {"sample_weight": np.linspace(0, 1, 60)},
], ids=lambda options: next(iter(options), "default"))  # fmt: skip
def test_extreme_numbers_are_right(dtype, size, d, options):
    """Float32 beyond the roots of its range are computed in bounds that hold there too."""
    rows = (np.random.default_rng(d).uniform(-1, 1, (60, d)) * size).astype(dtype)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.simplefilter("ignore", ConvergenceWarning)  # squares that underflow are equal
        result = kmeans(rows, 7, 0, **options)
        found = result.centroids, result.inertia, result.transform(rows), result.distances(rows)
    assert all(np.isfinite(values).all() for values in found)
    np.testing.assert_array_equal(result.predict(rows), result.labels)
    if options in ({}, {"init": "random"}) and 1e-30 < size < 1e140:
        oracle.assert_fixed_point(rows, result)


@pytest.mark.parametrize(("size", "weight"), [(1e100, 1e149), (1e140, 1e60), (1e145, 1e17)])
def test_heavy_rows_far_apart_are_refused(size, weight):
    rows = X * size / 11
    with pytest.raises(ValueError, match="^X must lie within .* where sample_weight has a sum of"):
        kmeans(rows, 2, 0, sample_weight=np.full(6, weight))
    nearer = kmeans(rows / 1e60, 2, 0, sample_weight=np.full(6, weight))
    assert np.isfinite(nearer.inertia)
    assert np.isfinite(kmeans(rows, 2, 0, sample_weight=np.ones(6)).inertia)


def test_rows_beyond_the_deviations_of_a_fit_are_refused():
    result = kmeans(NARROW, 2, 0, scale="std")
    far = np.array([[0.0, 0.0], [0.0, 1e100]])
    for name in ("predict", "transform", "distances"):
        with pytest.raises(ValueError, match=r"^X must .* 1e\+145 standard deviations.*row 1"):
            getattr(result, name)(far)
        assert np.isfinite(getattr(result, name)(far * 1e-60)).all()
    with pytest.raises(ValueError, match=r"^init must lie within 1e\+145 standard deviations"):
        kmeans(NARROW, 2, init=far, scale="std")
