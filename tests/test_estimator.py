"""The estimator keeps scikit-learn's conventions and gives the function's results."""

import ast
import inspect
import pickle
import re
import subprocess
import sys

import numpy as np
import oracle
import pytest
import scipy.sparse
from joblib import Parallel, delayed
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils._param_validation import InvalidParameterError
from sklearn.utils.estimator_checks import parametrize_with_checks

import ckmeans
from ckmeans import BisectingKMeans, KMeans, MiniBatchKMeans, kmeans
from ckmeans._rows import Rows
from ckmeans.datasets import xclara
from ckmeans.estimator import order_of


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@parametrize_with_checks([KMeans()])
def test_conventions(estimator, check):
    check(estimator)


@pytest.fixture(scope="module")
def X():
    return xclara()


@pytest.mark.parametrize("estimator", [KMeans, MiniBatchKMeans, BisectingKMeans])
@pytest.mark.parametrize("method", ["predict", "transform", "score"])
def test_methods_take_the_threads_of_the_estimator(monkeypatch, X, estimator, method):
    model, asked, each_block = estimator(3, n_threads=1).fit(X), [], Rows.each_block

    def spy(rows, function, n_threads):
        asked.append(n_threads)
        return each_block(rows, function, n_threads)

    monkeypatch.setattr(Rows, "each_block", spy)
    getattr(model, method)(X)
    assert asked and set(asked) == {1}


@pytest.mark.parametrize("method", ("fit", "partial_fit"))
def test_steps_take_the_threads_of_the_estimator(monkeypatch, X, method):
    asked, each_block = [], Rows.each_block

    def spy(rows, function, n_threads):
        asked.append(n_threads)
        return each_block(rows, function, n_threads)

    monkeypatch.setattr(Rows, "each_block", spy)
    getattr(MiniBatchKMeans(3, n_threads=1), method)(X)
    assert asked and set(asked) == {1}


def test_import_leaves_scikit_learn_alone():
    program = "import sys, ckmeans; ckmeans.kmeans; assert 'sklearn' not in sys.modules"
    subprocess.run([sys.executable, "-c", program], check=True)


def test_without_scikit_learn_the_rest_is_there():
    program = """if True:
        import pydoc, sys
        sys.modules["sklearn"] = sys.modules["dask"] = None
        import ckmeans
        from ckmeans import *
        assert kmeans is ckmeans.kmeans and "KMeans" not in globals()
        assert "KMeans" not in dir(ckmeans) and "kmeans" in dir(ckmeans)
        assert "ElbowResult" in pydoc.render_doc(ckmeans)
        try:
            from ckmeans import KMeans
        except ImportError as error:
            assert "pip install 'ckmeans-lloyd[sklearn]'" in str(error)
    """
    subprocess.run([sys.executable, "-c", program], check=True)


def test_public_names():
    """Those that checkers read are those that a star imports."""
    tree = ast.parse(inspect.getsource(ckmeans))
    (stated,) = (
        ast.literal_eval(node.value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__"
    )
    assert stated == ckmeans.__all__
    assert set(stated) <= set(dir(ckmeans))


@pytest.mark.parametrize("dtype", (np.float32, np.float64, np.int16))
def test_fit_is_the_function(X, dtype):
    X = X.astype(dtype)
    model = KMeans(3, random_state=4, tol=0).fit(X)
    oracle.assert_fixed_point(X, kmeans(X, 3, init=model._exact_centers))
    expected = np.float32 if dtype == np.float32 else np.float64
    assert model.cluster_centers_.dtype == model.transform(X).dtype == expected
    assert model.labels_.dtype == np.int32
    np.testing.assert_array_equal(model.predict(X), model.labels_)
    np.testing.assert_array_equal(oracle.nearest(X, model._exact_centers), model.labels_)
    distances = np.sqrt(oracle.squares(X, model._exact_centers))
    np.testing.assert_allclose(model.transform(X), distances, rtol=1e-6)
    assert model.score(X) == pytest.approx(-model.inertia_, rel=1e-12)
    weight = np.arange(len(X)) % 3
    weighted = -(distances.min(axis=1) ** 2 @ weight)
    assert model.score(X, sample_weight=weight) == pytest.approx(weighted, rel=1e-12)


def test_results_by_random_state(X):
    first, again = (KMeans(20, init="random", n_init=3, random_state=1).fit(X) for _ in "ab")
    np.testing.assert_array_equal(first.labels_, again.labels_)
    state = np.random.RandomState(1)
    drawn = [KMeans(20, init="random", random_state=state).fit(X).inertia_ for _ in range(3)]
    assert len(set(drawn)) == 3
    assert KMeans(20, n_init=8, random_state=1).fit(X).inertia_ <= min(
        kmeans(X, 20, int(np.random.RandomState(1).randint(1 << 31)), tol=1e-4).inertia, np.inf
    )


def test_starts(X):
    centers = X[[5, 1500, 2900]]
    calls = []

    def init(rows, k, random_state):
        calls.append(random_state.uniform())
        return centers if len(calls) == 2 else rows[:k]

    given = KMeans(3, init=centers).fit(X)
    called = KMeans(3, init=init, n_init=4, random_state=0).fit(X)
    assert len(set(calls)) == 4 and called.inertia_ <= given.inertia_
    with pytest.warns(RuntimeWarning, match="only one init in KMeans instead of n_init=5"):
        KMeans(3, init=centers, n_init=5).fit(X)
    for wrong, message in ((centers[:2], "number of clusters 3"), (centers[:, :1], "data 2")):
        with pytest.raises(ValueError, match=message):
            KMeans(3, init=wrong).fit(X)
    sparse = scipy.sparse.csr_array(centers)
    with pytest.raises(TypeError, match=r"init must be a dense array, got a sparse csr_array"):
        KMeans(3, init=lambda *_, **__: sparse).fit(X)
    with pytest.raises(TypeError, match=r"'init' .* Got <Compressed Sparse Row sparse array"):
        KMeans(3, init=sparse).fit(X)


EVERYWHERE = [
    *[{"n_clusters": value} for value in (0, 2.5, 2.0, None)],
    *[{"init": value} for value in ("best", None)],
    *[{"n_init": value} for value in (0, 1.5, None, "many")],
    *[{"max_iter": value} for value in (0, 10.0)],
    *[{"tol": value} for value in (-1, "a", None)],
    *[{"verbose": value} for value in (-1, None)],
    {"random_state": "x"},
    {"n_threads": 0},
]


@pytest.mark.parametrize("fit", ("fit", "fit_predict", "partial_fit"))
@pytest.mark.parametrize("kind", (KMeans, MiniBatchKMeans, BisectingKMeans))
def test_bad_parameters(X, kind, fit):
    """In the words of scikit-learn, whose error is a ValueError and a TypeError."""
    bad = EVERYWHERE + {
        KMeans: [{"metric": "cos"}, {"refine": "all"}, {"copy_x": "a"}, {"algorithm": "full"}],
        MiniBatchKMeans: [
            {"batch_size": 0},
            {"compute_labels": "a"},
            {"init_size": 0},
            {"max_no_improvement": -1},
            {"reassignment_ratio": -1},
        ],
        BisectingKMeans: [
            {"algorithm": None},
            {"bisecting_strategy": "smallest"},
            {"copy_x": "a"},
            {"init": X[:2]},
        ],
    }[kind]
    if not hasattr(kind, fit):
        return
    for parameters in bad:
        (name,) = parameters
        message = f"(?s)The '{name}' parameter of {kind.__name__} must be .* Got .* instead"
        with pytest.raises(InvalidParameterError, match=message) as caught:
            getattr(kind(**parameters), fit)(X)
        assert isinstance(caught.value, ValueError) and isinstance(caught.value, TypeError)


def test_more_clusters_than_rows(X):
    with pytest.raises(ValueError, match=r"n_samples=3000 should be >= n_clusters=3001"):
        KMeans(3001).fit(X)


def test_bad_input(X):
    with pytest.raises(NotFittedError):
        KMeans().predict(X)
    model = KMeans(3).fit(X)
    with pytest.raises(ValueError, match="3 features, but KMeans is expecting 2"):
        model.predict(np.ones((4, 3)))
    with pytest.raises(ValueError, match="NaN at row 1, column 0"):
        model.transform([[0.0, 1.0], [np.nan, 1.0]])
    with pytest.raises(ValueError, match="sample_weight must have shape"):
        model.fit(X, sample_weight=[1.0, 2.0])


def test_fewer_distinct_rows_than_clusters():
    with pytest.warns(ConvergenceWarning, match=r"distinct clusters \(2\) found smaller than n_c"):
        model = KMeans(3, random_state=0).fit([[0.0, 1.0]] * 5 + [[2.0, 3.0]] * 5)
    assert model.inertia_ == 0 and np.isfinite(model.cluster_centers_).all()


@pytest.mark.parametrize("method", ("fit", "fit_predict", "fit_transform"))
def test_warnings_name_the_line_that_called(X, method):
    for model, rows in (
        (KMeans(3, random_state=0), X[[0] * 5]),
        (BisectingKMeans(3, random_state=0), X[[0] * 5]),
        (KMeans(2, init=X[:2], n_init=3), X),
        (MiniBatchKMeans(2, init=X[:2], n_init=3), X),
        (KMeans(1, algorithm="elkan"), X),
    ):
        with pytest.warns() as caught:
            getattr(model, method)(rows)
        assert [warning.filename for warning in caught] == [__file__]


def test_verbose_prints_each_iteration(X, capsys):
    model = KMeans(3, random_state=0, tol=0, verbose=1).fit(X)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "Initialization complete" and len(lines) == model.n_iter_ + 2
    assert lines[-1] == f"Converged at iteration {model.n_iter_ - 1}: strict convergence."
    inertias = [float(re.search(r"inertia ([\d.e+]+)\.", line)[1]) for line in lines[1:-1]]
    assert inertias == sorted(inertias, reverse=True)
    KMeans(8, random_state=0, tol=0.1, verbose=1).fit(X)
    assert "within tolerance" in capsys.readouterr().out


def test_elkan_is_an_exact_method_like_the_others(X):
    models = [KMeans(8, random_state=2, algorithm=name).fit(X) for name in ("lloyd", "elkan")]
    np.testing.assert_array_equal(models[0].labels_, models[1].labels_)
    with pytest.warns(RuntimeWarning, match="doesn't make sense for a single cluster"):
        KMeans(1, algorithm="elkan").fit(X)


def test_weights_are_repeats(X):
    X = X[::50]
    weight = np.arange(len(X)) % 4
    centers = X[:4]
    weighted = KMeans(4, init=centers).fit(X, sample_weight=weight)
    repeated = KMeans(4, init=centers).fit(np.repeat(X, weight, axis=0))
    np.testing.assert_allclose(weighted.cluster_centers_, repeated.cluster_centers_, rtol=1e-12)
    assert weighted.inertia_ == pytest.approx(repeated.inertia_, rel=1e-12)


def test_copies_serve_as_the_model_does(X):
    model = KMeans(3, random_state=0).fit(X)
    copy = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(copy.predict(X), model.labels_)
    assert not hasattr(clone(model), "labels_")
    inertias = Parallel(n_jobs=2)(
        delayed(lambda seed: KMeans(3, random_state=seed).fit(X).inertia_)(seed) for seed in (0, 0)
    )
    assert inertias == [model.inertia_] * 2


def test_replaced_centers_are_used(X):
    model = KMeans(3, random_state=0).fit(X.astype("f4"))
    model.cluster_centers_ = np.array([[0, 0], [100, 100]], dtype="f4")
    np.testing.assert_array_equal(model.predict(X), oracle.nearest(X, model.cluster_centers_))


def test_pipeline_and_search(X):
    pipeline = make_pipeline(StandardScaler(), KMeans(3, random_state=0))
    assert len(np.unique(pipeline.fit_predict(X))) == 3
    search = GridSearchCV(KMeans(random_state=0), {"n_clusters": [1, 2, 3]}, cv=3).fit(X)
    assert search.best_params_ == {"n_clusters": 3}


@pytest.mark.parametrize("library", ("pandas", "polars"))
def test_data_frames(X, library):
    frames = pytest.importorskip(library)
    frame = frames.DataFrame({"V1": X[:, 0], "V2": X[:, 1]})
    model = KMeans(3, random_state=0).set_output(transform=library).fit(frame)
    assert model.feature_names_in_.tolist() == ["V1", "V2"] and model.n_features_in_ == 2
    out = model.transform(frame)
    assert list(out.columns) == model.get_feature_names_out().tolist()
    assert list(out.columns) == ["kmeans0", "kmeans1", "kmeans2"]
    np.testing.assert_array_equal(model.predict(frame), KMeans(3, random_state=0).fit_predict(X))


@pytest.mark.parametrize("kind", (np.asarray, scipy.sparse.csr_array, scipy.sparse.csc_matrix))
def test_the_order_of_few_rows_does_not_matter(kind):
    """Nor whether they are counted or repeated: the same rows are drawn, and added in turn."""
    rng = np.random.default_rng(0)
    X = rng.integers(0, 9, (400, 6)) / 7  # sevenths; most columns of most rows are not zero
    X[X < 0.5] = 0
    order, weight = rng.permutation(len(X)), rng.integers(0, 3, len(X))
    model = KMeans(9, random_state=3).fit(kind(X))
    shuffled = KMeans(9, random_state=3).fit(kind(X[order]))
    np.testing.assert_array_equal(shuffled.labels_, model.labels_[order])
    np.testing.assert_array_equal(shuffled.cluster_centers_, model.cluster_centers_)
    weighted = KMeans(9, random_state=3).fit(kind(X), sample_weight=weight)
    repeated = KMeans(9, random_state=3).fit(kind(np.repeat(X, weight, axis=0)))
    np.testing.assert_array_equal(repeated.labels_, np.repeat(weighted.labels_, weight))
    np.testing.assert_allclose(repeated.cluster_centers_, weighted.cluster_centers_, atol=1e-14)


@pytest.mark.parametrize("kind", (np.asarray, scipy.sparse.csr_array))
@pytest.mark.parametrize("seed", range(5))
def test_units_and_precision_do_not_matter(kind, seed):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(300, 3)) + rng.normal(size=(5, 3))[rng.integers(0, 5, 300)] * 4
    model = KMeans(8, random_state=42).fit(kind(X))
    for other, unit in ((X.astype("f4"), 1), (2 * X, 2), (X / 8, 1 / 8), (np.nextafter(X, 9), 1)):
        again = KMeans(8, random_state=42).fit(kind(other))
        np.testing.assert_array_equal(again.labels_, model.labels_)
        assert again.inertia_ == pytest.approx(unit**2 * model.inertia_, rel=1e-6)


@pytest.mark.parametrize("kind", (np.asarray, scipy.sparse.csr_matrix))
def test_rows_are_sorted_by_the_first_column_and_ties_by_the_next(kind):
    rng = np.random.default_rng(0)
    for shape in ((200, 1), (200, 3), (37, 5), (1, 2)):
        X = rng.integers(-1, 2, shape).astype(float)
        expected = np.lexsort(X.T[::-1])  # which is stable
        np.testing.assert_array_equal(order_of(kind(X)), expected)
        np.testing.assert_array_equal(order_of(X * rng.choice([1, -1], shape) * 0.0), range(len(X)))


def test_a_bad_value_is_told_where_it_stands(X):
    X = X.copy()
    X[1234, 1] = np.nan
    with pytest.raises(ValueError, match="NaN at row 1234, column 1"):
        KMeans(3, random_state=0).fit(X)


def test_heavy_rows_are_told_where_they_stand():
    X = np.random.default_rng(0).random((50, 2))
    X[37, 1] = 1e140
    with pytest.raises(ValueError, match="row 37, column 1"):
        KMeans(3, random_state=0).fit(X, sample_weight=np.full(50, 1e98))


def test_the_best_of_the_starts_of_a_callable_is_kept():
    X = np.array([[0.0], [1.0], [10.0], [11.0], [50.0], [51.0]])
    starts = {"good": [[0.0], [10.0], [50.0]], "bad": [[0.0], [50.0], [51.0]]}
    for names in (("good", "bad"), ("bad", "good")):
        left = list(names)
        model = KMeans(3, init=lambda *_, left=left, **__: np.array(starts[left.pop(0)]), n_init=2)
        assert model.fit(X).inertia_ == 1.5 and not left
