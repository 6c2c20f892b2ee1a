"""k-means over Dask: against the same clustering in memory, and against a cluster that fails."""

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
from oracle import nearest

import ckmeans
from ckmeans.datasets import xclara

dask = pytest.importorskip("dask")
pytest.importorskip("distributed")
da = pytest.importorskip("dask.array")
from dask.distributed import Client, LocalCluster  # noqa: E402

from ckmeans import dask as ckd  # noqa: E402

RNG = np.random.default_rng(0)
CENTRES = RNG.normal(scale=4, size=(6, 4))
X = CENTRES[RNG.integers(6, size=5000)] + RNG.normal(size=(5000, 4))
START = X[:6].copy()
CHUNKS = ((700, 0, 1300, 1, 2999), (4,))


def chunked(rows, sizes=CHUNKS[0]):
    return da.from_array(rows, chunks=(sizes, rows.shape[1:]))


def same_bits(a, b):
    for name in ("centroids", "sizes", "cluster_inertias", "run_inertias"):
        assert getattr(a, name).tobytes() == getattr(b, name).tobytes(), name
    assert (a.inertia, a.n_iter, a.converged) == (b.inertia, b.n_iter, b.converged)


def as_in_memory(result, rows, start, **options):
    expected = ckmeans.kmeans(rows, len(start), init=start, **options)
    np.testing.assert_array_equal(result.labels.compute(), expected.labels)
    np.testing.assert_allclose(result.centroids, expected.centroids, rtol=1e-13, atol=1e-13)
    np.testing.assert_allclose(result.cluster_inertias, expected.cluster_inertias, rtol=1e-12)
    np.testing.assert_array_equal(result.sizes, expected.sizes)
    assert (result.n_iter, result.converged) == (expected.n_iter, expected.converged)


@pytest.mark.parametrize("dtype", ["f4", "f8", "i2", "i8"])
def test_the_result_is_that_in_memory(dtype):
    rows = (X * 100).astype(dtype)
    start = rows[:6].astype("f8")
    result = ckd.kmeans(chunked(rows), 6, init=start)
    as_in_memory(result, rows, start)
    assert result.labels.chunks == CHUNKS[:1]
    np.testing.assert_array_equal(
        result.labels.compute(), nearest(rows, result.centroids)
    )


@pytest.mark.parametrize("limit", [{"max_iter": 2}, {"tol": 0.05}, {"tol": 1e-4}])
def test_limits_are_those_in_memory(limit):
    as_in_memory(ckd.kmeans(chunked(X), 6, init=START, **limit), X, START, **limit)


def test_far_from_the_origin_no_digit_is_lost():
    rows = X + 1e7
    as_in_memory(ckd.kmeans(chunked(rows), 6, init=rows[:6]), rows, rows[:6])


def test_weights_are_those_in_memory():
    weight = RNG.integers(0, 4, size=len(X)).astype("f8")
    result = ckd.kmeans(chunked(X), 6, init=START, sample_weight=weight)
    as_in_memory(result, X, START, sample_weight=weight)
    lazy = ckd.kmeans(chunked(X), 6, init=START, sample_weight=da.from_array(weight, chunks=999))
    same_bits(result, lazy)


@pytest.mark.parametrize("weighted", [False, True])
def test_emptied_clusters_are_filled_as_in_memory(weighted):
    rows = np.repeat(RNG.normal(size=(9, 4)), 5, axis=0)[RNG.permutation(45)]
    start = np.concatenate([rows[:2], np.full((5, 4), 1e6)])
    options = {"sample_weight": RNG.integers(1, 3, 45).astype("f8")} if weighted else {}
    as_in_memory(ckd.kmeans(chunked(rows, (10, 0, 30, 5)), 7, init=start, **options),
                 rows, start, **options)  # fmt: skip


@pytest.mark.parametrize("init", ["k-means||", "random"])
def test_fewer_distinct_rows_than_clusters(init):
    rows = np.repeat(np.arange(4.0), 5)[:, None] * np.ones(3)
    with pytest.warns(ckmeans.ConvergenceWarning, match="4 clusters of 6"):
        result = ckd.kmeans(chunked(rows, (3, 17)), 6, 0, init=init)
    assert result.inertia == 0 and result.sizes.sum() == 20


def test_progress_is_that_in_memory():
    seen, expected = [], []
    ckd.kmeans(chunked(X), 6, init=START, callback=seen.append)
    ckmeans.kmeans(X, 6, init=START, callback=expected.append)
    assert [p.rows_changed for p in seen] == [p.rows_changed for p in expected]
    np.testing.assert_allclose([p.inertia for p in seen], [p.inertia for p in expected])
    stopped = ckd.kmeans(chunked(X), 6, init=START, callback=lambda p: p.iteration == 2)
    assert stopped.n_iter == 2 and not stopped.converged
    assert stopped.centroids.tobytes() == ckd.kmeans(
        chunked(X), 6, init=START, max_iter=2
    ).centroids.tobytes()


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("init", ["k-means||", "random"])
def test_bits_do_not_depend_on_scheduler_or_threads(init, weighted):
    weight = np.arange(len(X)) % 3 if weighted else None
    results = []
    for settings in (
        {"scheduler": "sync"},
        {"scheduler": "threads", "num_workers": 1},
        {"scheduler": "threads", "num_workers": 7},
    ):
        with dask.config.set(**settings):
            results.append(ckd.kmeans(chunked(X), 6, 5, init=init, n_init=2, sample_weight=weight))
    same_bits(results[0], results[1])
    same_bits(results[0], results[2])


def test_scalable_seeding_is_as_good_as_plus_plus():
    centres = np.stack(np.meshgrid(range(5), range(5)), -1).reshape(-1, 2) * 10.0
    rows = centres[RNG.integers(25, size=4000)] + RNG.normal(size=(4000, 2))
    lazy = chunked(rows, (1000, 1000, 2000))
    scalable = [ckd.kmeans(lazy, 25, seed).inertia for seed in range(5)]
    plus_plus = [ckmeans.kmeans(rows, 25, seed).inertia for seed in range(5)]
    assert np.median(scalable) <= np.median(plus_plus) * 1.05


def test_rows_are_drawn_by_their_weight():
    """Rows without weight are never a start; a round draws about as many as it should."""
    from ckmeans._chunks import ChunkedRows
    from ckmeans._scalable import Round, candidates, draw

    weight = (np.arange(len(X)) % 2).astype("f8")
    blocks = ckd.Blocks(chunked(X))
    rows = ckd.weighted_rows(blocks, weight)
    drawn = candidates(rows, 6, np.random.default_rng(0))
    heavy = {tuple(x) for x in X[1::2]}
    assert all(tuple(x) in heavy for x in drawn.points)
    assert drawn.weight.sum() == weight.sum()
    start = X.mean(axis=0, keepdims=True)
    rows = ChunkedRows(ckd.Blocks(chunked(X)))
    counts = [
        len(rows.chunks.reduced(draw, lambda parts: sum_of(parts), Round(start, 200, (7, i))).keys)
        for i in range(20)
    ]
    assert abs(np.mean(counts) - 200) < 15  # 200 expected, standard error 3
    mass = np.square(X - start).sum(axis=1)
    found = rows.chunks.reduced(draw, sum_of, Round(start, 2000, (1,)))
    far = np.square(found.rows - start).sum(axis=1) > np.median(mass)
    assert abs(far.mean() - mass[mass > np.median(mass)].sum() / mass.sum()) < 0.05


def sum_of(parts):
    from ckmeans._chunks import added

    return added(parts).kept()


def test_predict_transform_and_distances():
    result = ckd.kmeans(chunked(X), 6, init=START)
    lazy = chunked(X[::-1].copy(), (2500, 2500))
    own = ckmeans.kmeans(X, 6, init=result.centroids, max_iter=1)
    for model in (result, result.centroids):
        np.testing.assert_array_equal(
            ckd.predict(lazy, model).compute(), nearest(X[::-1], result.centroids)
        )
        distances = ckd.transform(lazy, model)
        assert distances.chunks == ((2500, 2500), (6,))
        np.testing.assert_array_equal(distances.compute(), result.transform(X[::-1]))
    np.testing.assert_array_equal(result.distances(lazy).compute(), result.distances(X[::-1]))
    np.testing.assert_array_equal(own.predict(lazy).compute(), own.predict(X[::-1]))
    scaled = ckmeans.kmeans(X * [1, 10, 100, 1000], 6, 0, scale="std")
    np.testing.assert_array_equal(
        ckd.predict(chunked(X * [1, 10, 100, 1000]), scaled).compute(), scaled.labels
    )


def test_sorted_labels_stay_lazy():
    result = ckd.kmeans(chunked(xclara(), (1000, 2000)), 3, 0).sorted(by="size")
    assert isinstance(result.labels, da.Array)
    np.testing.assert_array_equal(np.bincount(result.labels.compute()), [1149, 952, 899])


def test_elbow():
    curve = ckd.elbow(chunked(xclara(), (1000, 2000)), 8, seed=0)
    assert curve.knee == 3
    assert (np.diff(curve.inertias) <= 0).all()
    expected = ckmeans.elbow(xclara(), 8, seed=0)
    np.testing.assert_allclose(curve.inertias[:3], expected.inertias[:3])
    np.testing.assert_allclose(curve.calinski_harabasz[1:3], expected.calinski_harabasz[1:3])
    again = ckd.elbow(chunked(xclara(), (1000, 2000)), [2, 5], seed=0, n_init=2, init="random")
    assert again.ks.tolist() == [2, 5]


def test_unknown_chunk_sizes_and_empty_chunks():
    lazy = chunked(X)
    chosen = lazy[lazy[:, 0] > 0]
    rows = X[X[:, 0] > 0]
    result = ckd.kmeans(chosen, 6, init=rows[:6], sample_weight=da.ones_like(chosen[:, 0]))
    as_in_memory(result, rows, rows[:6], sample_weight=np.ones(len(rows)))
    assert result.labels.shape == (len(rows),)  # sizes are known by now
    np.testing.assert_array_equal(ckd.predict(chosen, result).compute(), result.labels.compute())


def test_columns_in_chunks_are_joined():
    lazy = da.from_array(X, chunks=(1000, 2))
    as_in_memory(ckd.kmeans(lazy, 6, init=START), X, START)


def test_a_data_frame_gives_its_numeric_columns():
    pd = pytest.importorskip("pandas")
    dd = pytest.importorskip("dask.dataframe")
    frame = pd.DataFrame(X, columns=list("abcd")).assign(name="x", e=np.arange(len(X)) % 7)
    lazy = dd.from_pandas(frame, npartitions=3)
    rows = frame[list("abcde")].to_numpy()
    as_in_memory(ckd.kmeans(lazy, 6, init=rows[:6]), rows, rows[:6])
    chosen = lazy[lazy.a > 0]
    result = ckd.kmeans(chosen, 6, init=rows[:6], sample_weight=chosen.e)
    kept = rows[rows[:, 0] > 0]
    as_in_memory(result, kept, rows[:6], sample_weight=kept[:, 4])
    assert ckd.predict(lazy, result).compute().shape == (len(X),)
    with pytest.raises(TypeError, match="columns of numbers"):
        ckd.kmeans(lazy[["name"]], 2)


@pytest.mark.parametrize("value, name", [(np.nan, "NaN"), (np.inf, "infinity"), (1e200, "1e.200")])
def test_a_bad_value_is_named_by_chunk_and_row(value, name):
    bad = X.copy()
    bad[750, 2] = bad[4000, 0] = value
    place = r"chunk 2, row 50, column 2 \(row 750 of X\)"
    with pytest.raises(ValueError, match=f"{name}.*{place}"):
        ckd.kmeans(chunked(bad), 6)
    with pytest.raises(ValueError, match=f"{name}.*chunk 4, row 1999, column 0"):
        ckd.predict(chunked(bad), START)[2001:].compute()


def test_bad_arguments():
    lazy = chunked(X)
    for wrong, error, message in (
        ((X, 2), TypeError, "X must be a Dask array or data frame, got ndarray"),
        ((lazy[:, 0], 2), ValueError, "X must be 2-D"),
        ((lazy.astype("c8"), 2), TypeError, "got dtype complex64"),
        ((lazy[:0], 2), ValueError, "at least one row"),
        ((lazy, 5001), ValueError, r"k must be between 1 and the number of rows \(5000\)"),
        ((lazy, 2, "x"), TypeError, "seed"),
    ):
        with pytest.raises(error, match=message):
            ckd.kmeans(*wrong)
    for option, error, message in (
        ({"init": "k-means++"}, ValueError, r"k-means\|\|"),
        ({"init": START[:, :2]}, ValueError, "init must have shape"),
        ({"max_iter": 0}, ValueError, "max_iter"),
        ({"tol": -1}, ValueError, "tol"),
        ({"callback": 3}, TypeError, "callback"),
        ({"sample_weight": np.ones(3)}, ValueError, "sample_weight must have shape"),
        ({"sample_weight": da.ones(3)}, ValueError, "sample_weight must have shape"),
        ({"sample_weight": -da.ones(5000, chunks=900)}, ValueError, "non-negative.*chunk 0, row 0"),
        ({"sample_weight": da.zeros(5000)}, ValueError, "not zeros alone"),
    ):
        with pytest.raises(error, match=message):
            ckd.kmeans(lazy, 6, **option)
    with pytest.raises(ValueError, match="result contains NaN"):
        ckd.predict(lazy, START * np.nan)
    with pytest.raises(ValueError, match="4 columns"):
        ckd.predict(lazy[:, :2], START).compute()
    with pytest.raises(TypeError, match="no option 'scale'"):
        ckd.elbow(lazy, 3, scale="std")
    with pytest.raises(TypeError, match="out must be None for a Dask array"):
        ckmeans.kmeans(X, 6, init=START).transform(lazy, out=np.empty((len(X), 6)))


def test_the_module_is_reached_through_the_package():
    code = "import ckmeans, sys; assert 'dask' not in sys.modules; ckmeans.dask.kmeans"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_without_dask_the_error_names_the_extra():
    code = """
import sys
sys.modules["dask"] = None
import ckmeans.dask
"""
    program = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert "ckmeans-lloyd[dask]" in program.stderr.splitlines()[-1]


def test_the_estimator_hands_over():
    lazy = chunked(X.astype("f4"))
    model = ckmeans.KMeans(6, random_state=0).fit(lazy)
    assert isinstance(model.labels_, da.Array)
    assert model.cluster_centers_.dtype == np.float32 and model.n_features_in_ == 4
    np.testing.assert_array_equal(model.predict(lazy).compute(), model.labels_.compute())
    np.testing.assert_array_equal(model.predict(X.astype("f4")), model.labels_.compute())
    assert model.transform(lazy).shape == (5000, 6)
    assert np.isclose(model.score(lazy), -model.inertia_)
    assert np.isclose(model.score(lazy, sample_weight=2), -2 * model.inertia_)
    same = ckmeans.KMeans(6, init=START, tol=0).fit(chunked(X))
    np.testing.assert_array_equal(
        same.labels_.compute(), ckmeans.kmeans(X, 6, init=START).labels
    )
    with pytest.raises(ValueError, match="refine"):
        ckmeans.KMeans(6, refine="swap").fit(lazy)


def test_estimators_know_the_columns_of_a_frame():
    pd = pytest.importorskip("pandas")
    dd = pytest.importorskip("dask.dataframe")
    frame = pd.DataFrame(X, columns=list("abcd"))
    lazy = dd.from_pandas(frame, npartitions=3)
    model = ckmeans.KMeans(6, random_state=0).fit(frame.rename(columns=str.upper)).fit(lazy)
    assert model.feature_names_in_.tolist() == list("abcd") and model.n_features_in_ == 4
    np.testing.assert_array_equal(model.predict(lazy).compute(), model.predict(frame))
    swapped = lazy[list("bacd")]
    for method in (model.predict, model.transform, model.score):
        with pytest.raises(ValueError, match="must be in the same order as they were in fit"):
            method(swapped)
    with pytest.raises(ValueError, match="3 features, but KMeans is expecting 4"):
        model.fit(chunked(X)).predict(chunked(X[:, :3]))
    assert not hasattr(model, "feature_names_in_")
    for kind in (ckmeans.MiniBatchKMeans, ckmeans.BisectingKMeans):
        assert kind(3, random_state=0).fit(lazy).feature_names_in_.tolist() == list("abcd")


def test_bisecting_labels_come_as_chunks():
    model = ckmeans.BisectingKMeans(6, random_state=0).fit(X)
    lazy = model.predict(chunked(X))
    assert isinstance(lazy, da.Array) and lazy.dtype == np.int32
    np.testing.assert_array_equal(lazy.compute(), model.labels_)
    assert isinstance(model.transform(chunked(X)), da.Array)
    with pytest.raises(ValueError, match="3 features, but BisectingKMeans is expecting 4"):
        model.predict(chunked(X[:, :3]))


# Worker processes


@pytest.fixture(scope="module")
def cluster():
    settings = {
        "distributed.worker.memory.terminate": False,
        "distributed.comm.timeouts.connect": "10s",
        "logging.distributed": "critical",
    }
    with (
        dask.config.set(settings),
        LocalCluster(
            n_workers=2, threads_per_worker=2, dashboard_address="127.0.0.1:0", silence_logs=50
        ) as cluster,
    ):
        yield cluster


@pytest.fixture
def client(cluster):
    with Client(cluster) as client:
        yield client


def within(seconds, condition):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)


def nothing_left(cluster):
    """No task known to the scheduler."""
    within(10, lambda: not cluster.scheduler.tasks)


@pytest.fixture(scope="module")
def expected():
    """The result without a cluster, from seed to solution."""
    with dask.config.set(scheduler="sync"):
        return ckd.kmeans(chunked(X, (500,) * 10), 6, 1)


def persisted(client):
    rows = chunked(X, (500,) * 10).persist()
    client.gather(client.submit(lambda: 0))
    return rows


def test_bits_do_not_depend_on_workers(client, cluster, expected):
    lazy = chunked(X, (500,) * 10)
    same_bits(ckd.kmeans(lazy, 6, 1), expected)
    result = ckd.kmeans(lazy.persist(), 6, 1)
    same_bits(result, expected)
    np.testing.assert_array_equal(
        result.labels.compute(), nearest(X, expected.centroids)
    )
    del lazy, result
    nothing_left(cluster)


def test_a_worker_killed_in_the_middle(client, cluster, expected):
    lazy = persisted(client)
    killed = []

    def kill(progress):
        if progress.iteration == 2:
            worker = next(iter(cluster.workers.values()))
            killed.append(worker.pid)
            os.kill(worker.pid, signal.SIGKILL)

    same_bits(ckd.kmeans(lazy, 6, 1, callback=kill), expected)
    assert killed
    del lazy
    nothing_left(cluster)


def test_a_worker_that_joins_late(client, cluster, expected):
    lazy = persisted(client)

    def join(progress):
        if progress.iteration == 2:
            cluster.scale(3)
            client.wait_for_workers(3)

    same_bits(ckd.kmeans(lazy, 6, 1, callback=join), expected)
    del lazy
    nothing_left(cluster)
    cluster.scale(2)


def test_an_interrupt_or_an_error_leaves_no_task(client, cluster):
    slow = chunked(X, (500,) * 10).map_blocks(pause, dtype="f8")
    threading.Timer(1.0, os.kill, (os.getpid(), signal.SIGINT)).start()
    with pytest.raises(KeyboardInterrupt):
        ckd.kmeans(slow, 6, init=START)
    nothing_left(cluster)

    def fail(progress):
        raise RuntimeError("enough")

    with pytest.raises(RuntimeError, match="enough"):
        ckd.kmeans(chunked(X), 6, init=START, callback=fail)
    nothing_left(cluster)
    bad = X.copy()
    bad[4321, 1] = np.nan
    with pytest.raises(ValueError, match="chunk 8, row 321, column 1"):
        ckd.kmeans(chunked(bad, (500,) * 10), 6)
    nothing_left(cluster)


def pause(block):
    time.sleep(0.3)
    return block


def test_a_fit_within_a_task_that_is_cancelled(client, cluster):
    """The fit is a task itself; the tasks that it has made go with it."""
    future = client.submit(fit_within, pure=False)
    within(10, lambda: any("assigned" in str(key) for key in list(cluster.scheduler.tasks)))
    future.cancel()
    del future
    within(20, lambda: not any("ckmeans" in str(key) for key in list(cluster.scheduler.tasks)))


def fit_within():
    from dask.distributed import worker_client

    with contextlib.suppress(Exception), worker_client():
        slow = chunked(X, (500,) * 10).map_blocks(pause, dtype="f8")
        ckd.kmeans(slow, 6, init=START, max_iter=3)


GONE = """
import sys
import dask.array as da, numpy as np
from dask.distributed import Client
from ckmeans.dask import kmeans
Client(sys.argv[1])
X = da.random.default_rng(0).normal(size=(400_000, 8), chunks=(20_000, 8)).persist()
kmeans(X, 30, 0, callback=lambda progress: print(progress.iteration, flush=True))
"""


def test_a_client_that_goes_away(client, cluster):
    program = subprocess.Popen(
        [sys.executable, "-c", GONE, cluster.scheduler_address], stdout=subprocess.PIPE
    )
    assert program.stdout.readline().strip() == b"1"
    program.kill()
    program.communicate()
    nothing_left(cluster)
