"""Mini-batches keep scikit-learn's conventions, and move centroids as Sculley (2010) says."""

import pickle

import numpy as np
import oracle
import pytest
from sklearn.utils.estimator_checks import parametrize_with_checks

from ckmeans import KMeans, MiniBatchKMeans
from ckmeans.datasets import xclara

# Starts and batches are drawn by row number: as for KMeans.
ORDER_OF_ROWS = {
    f"check_sample_weight_equivalence_on_{kind}_data": "starts depend on the order of the rows"
    for kind in ("dense", "sparse")
}


@parametrize_with_checks(
    [MiniBatchKMeans()], expected_failed_checks=lambda estimator: ORDER_OF_ROWS
)
def test_conventions(estimator, check):
    check(estimator)


@pytest.fixture(scope="module")
def X():
    return xclara()


@pytest.mark.parametrize("weighted", (False, True))
@pytest.mark.parametrize("dtype", (np.float32, np.float64, np.int16))
def test_partial_fit_keeps_running_means(X, dtype, weighted):
    rng = np.random.default_rng(0)
    X = X[rng.permutation(len(X))].astype(dtype)
    weight = rng.uniform(0.5, 2, len(X)) if weighted else np.ones(len(X))
    start = np.array([[10.0, 10.0], [40.0, 60.0], [70.0, -10.0]])
    model = MiniBatchKMeans(3, init=np.asfortranarray(start), reassignment_ratio=0)
    centroids, mass = start.copy(), np.zeros(3)
    for first in range(0, len(X), 700):
        batch, part = X[first : first + 700], weight[first : first + 700]
        labels = oracle.nearest(batch, centroids)
        for j in range(3):
            own = labels == j
            total = part[own] @ batch[own].astype(float) + centroids[j] * mass[j]
            mass[j] += part[own].sum()
            centroids[j] = total / mass[j]
        model.partial_fit(batch, sample_weight=part if weighted else None)
        np.testing.assert_allclose(model._exact_centers, centroids, rtol=1e-12)
        np.testing.assert_array_equal(model.labels_, oracle.nearest(batch, model._exact_centers))
        inertia = part @ oracle.squares(batch, centroids).min(axis=1)
        assert model.inertia_ == pytest.approx(inertia, rel=1e-12)
    assert model.n_steps_ == 5
    assert model.cluster_centers_.dtype == (np.float32 if dtype == np.float32 else np.float64)


def test_fit_finds_the_clusters(X):
    model = MiniBatchKMeans(3, random_state=0, batch_size=256).fit(X)
    full = KMeans(3, random_state=0, n_init=5).fit(X)
    assert full.inertia_ <= model.inertia_ < 1.02 * full.inertia_
    np.testing.assert_array_equal(model.labels_, oracle.nearest(X, model._exact_centers))
    np.testing.assert_array_equal(model.predict(X), model.labels_)
    assert model.inertia_ == pytest.approx(-model.score(X), rel=1e-12)
    again = MiniBatchKMeans(3, random_state=0, batch_size=256).fit(X)
    np.testing.assert_array_equal(again.cluster_centers_, model.cluster_centers_)
    assert again.n_steps_ == model.n_steps_ > 1 and again.n_iter_ >= 1


def test_steps_end(X):
    all_of_them = MiniBatchKMeans(3, batch_size=300, max_iter=4, max_no_improvement=None)
    assert all_of_them.fit(X).n_steps_ == 40 and all_of_them.n_iter_ == 4
    patient = MiniBatchKMeans(3, batch_size=300, max_no_improvement=2, random_state=0).fit(X)
    assert patient.n_steps_ < 1000
    tolerant = MiniBatchKMeans(3, batch_size=300, max_no_improvement=None, tol=0.5).fit(X)
    assert tolerant.n_steps_ == 2


def test_says_why_it_ends(X, capsys):
    for options, reason in (
        ({"tol": 0.5, "max_no_improvement": None}, "small centers change"),
        ({"max_no_improvement": 1}, "lack of improvement in inertia"),
    ):
        MiniBatchKMeans(3, batch_size=300, random_state=0, verbose=1, **options).fit(X)
        out = capsys.readouterr().out
        assert f"Converged ({reason})" in out and "Minibatch step 1/1000" in out


def test_rows_are_drawn_by_their_weights(X):
    """So that a few heavy ones do not upset the centroids in the batches that they are in."""
    rng = np.random.default_rng(1)
    blobs = rng.uniform(-10, 10, (50, 5))[rng.integers(50, size=20_000)]
    blobs += rng.normal(size=blobs.shape)
    weight = rng.pareto(0.7, len(blobs))
    found = [
        MiniBatchKMeans(50, random_state=seed).fit(blobs, sample_weight=weight).inertia_
        for seed in range(3)
    ]
    full = KMeans(50, random_state=0).fit(blobs, sample_weight=weight)
    assert np.median(found) < 1.5 * full.inertia_
    ones = MiniBatchKMeans(3, batch_size=200, random_state=0).fit(X, sample_weight=np.ones(len(X)))
    none = MiniBatchKMeans(3, batch_size=200, random_state=0).fit(X)
    np.testing.assert_array_equal(ones.cluster_centers_, none.cluster_centers_)


@pytest.mark.parametrize("method", ("fit", "partial_fit"))
def test_rows_without_weight_do_not_become_centroids(X, method):
    """Not even where centroids are moved onto rows, as here in each step."""
    weight, outliers = np.ones(len(X)), X.copy()
    weight[::2], outliers[::2] = 0.0, 1e6
    for seed in range(5):
        model = MiniBatchKMeans(
            40, init=X[:40], batch_size=90, max_iter=1, reassignment_ratio=0.9, random_state=seed
        )
        getattr(model, method)(outliers, sample_weight=weight)
        assert model.cluster_centers_.max() < 1e3


def test_inertia_without_labels(X):
    """It is estimated, of all weights; a stream has none."""
    weight = np.full(len(X), 5.0)
    model = MiniBatchKMeans(3, compute_labels=False, random_state=0).fit(X, sample_weight=weight)
    assert model.inertia_ == pytest.approx(-model.score(X, sample_weight=weight), rel=0.1)
    stream = MiniBatchKMeans(3, compute_labels=False, random_state=0).partial_fit(X)
    assert not hasattr(model, "labels_") and not hasattr(stream, "labels_")
    assert not hasattr(stream, "inertia_")


def test_labels_of_a_stream_belong_to_its_centroids(X):
    weight = np.arange(100) % 3
    model = MiniBatchKMeans(3, random_state=0).partial_fit(X[::30], sample_weight=weight)
    np.testing.assert_array_equal(model.labels_, model.predict(X[::30]))
    assert model.inertia_ == pytest.approx(-model.score(X[::30], sample_weight=weight), rel=1e-9)


def test_centroids_of_a_stream_stay_double(X):
    model = MiniBatchKMeans(3, random_state=0)
    kinds = (np.float32, np.float64, np.float32)
    for kind, expected in zip(kinds, (np.float32, np.float64, np.float64), strict=True):
        assert model.partial_fit(X.astype(kind)).cluster_centers_.dtype == expected


def test_says_what_it_does(X, capsys):
    """In the words of scikit-learn."""
    far = np.array([[10.0, 10.0], [40.0, 60.0], [1e6, 1e6]])
    MiniBatchKMeans(3, init=far, n_init=1, verbose=1, random_state=0).fit(X)
    out = capsys.readouterr().out
    assert "Init 1/1 with method" in out and "Inertia for init 1/1: " in out
    assert "[MiniBatchKMeans] Reassigning 1 cluster centers." in out and ", ewa inertia: " in out


def test_centroids_without_rows_move_onto_some(X):
    far = np.array([[10.0, 10.0], [40.0, 60.0], [1e6, 1e6]])
    left = MiniBatchKMeans(3, init=far, reassignment_ratio=0, random_state=0).partial_fit(X)
    assert (left.cluster_centers_[2] == 1e6).all()
    moved = MiniBatchKMeans(3, init=far, random_state=0).partial_fit(X)
    assert (moved.cluster_centers_[2] == X).all(axis=1).any()
    assert moved._counts[2] == moved._counts[:2].min()


def test_most_of_a_batch_is_not_given_away():
    rows = np.arange(20.0).reshape(10, 2)
    start = np.vstack([rows[:1], np.full((7, 2), 1e5) + np.arange(14).reshape(7, 2)])
    model = MiniBatchKMeans(8, init=start, random_state=0).partial_fit(rows)
    assert (model.cluster_centers_ < 100).all(axis=1).sum() == 1 + 5


def test_stream_goes_on_after_fit_and_in_a_copy(X):
    model = MiniBatchKMeans(3, random_state=0).fit(X[:1000])
    copy = pickle.loads(pickle.dumps(model))
    for each in (model, copy):
        steps = each.n_steps_
        each.partial_fit(X[1000:2000])
        assert each.n_steps_ == steps + 1 and len(each.labels_) == 1000
    np.testing.assert_array_equal(model.cluster_centers_, copy.cluster_centers_)
    with pytest.raises(ValueError, match="3 features, but MiniBatchKMeans is expecting 2"):
        model.partial_fit(np.ones((10, 3)))


def test_more_clusters_than_rows(X):
    with pytest.raises(ValueError, match="n_samples=3000 should be >= n_clusters=4000"):
        MiniBatchKMeans(4000).fit(X)


@pytest.mark.parametrize("value", (np.nan, np.inf, 1e200))
@pytest.mark.parametrize("method", ("fit", "partial_fit"))
def test_starts_are_finite(X, value, method):
    start = X[:3].copy()
    start[1, 0] = value
    for init in (start, lambda *_, **__: start):
        with pytest.raises(ValueError, match=r"init .* at row 1, column 0"):
            getattr(MiniBatchKMeans(3, init=init), method)(X)


def test_warnings(X):
    with pytest.warns(RuntimeWarning, match="init_size=10 should be larger than n_clusters=20"):
        MiniBatchKMeans(20, init_size=10, random_state=0).fit(X)
    with pytest.warns(RuntimeWarning, match="one init in MiniBatchKMeans instead of n_init=3"):
        MiniBatchKMeans(2, init=X[:2], n_init=3).fit(X)


@pytest.mark.parametrize("kind", [np.int8, np.int16, np.uint8, np.int32])
def test_numpys_integers_do_not_overflow(kind):
    X = np.random.default_rng(0).normal(size=(1000, 3))
    options = {"max_iter": 100, "batch_size": 100, "init_size": 120}
    plain = MiniBatchKMeans(3, random_state=0, **options).fit(X)
    narrow = {name: kind(value) for name, value in options.items()}
    model = MiniBatchKMeans(kind(3), random_state=0, **narrow).fit(X)
    assert model.n_steps_ == plain.n_steps_ > 10
    np.testing.assert_array_equal(model.cluster_centers_, plain.cluster_centers_)
