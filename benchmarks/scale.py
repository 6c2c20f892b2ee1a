"""Dask: beside dask-ml on one LocalCluster of two workers; what scheduling costs; how time grows.

`python -m benchmarks.scale [compare] [growth]`, extra `dask` and dask-ml. Same persisted rows, same
start and number of iterations for both, in turn in one process.
"""

import statistics
import sys
import time

import numpy as np

N, D, K, CHUNKS, ITERATIONS = 5_000_000, 16, 32, 20, 10
CENTRES = np.random.default_rng(1).normal(scale=1.5, size=(K, D))


def rows(n, chunks):
    """Overlapping clusters, generated in the chunks' own tasks."""
    import dask.array as da

    def some(block, block_info=None):
        (place,) = block_info[0]["chunk-location"]
        rng = np.random.default_rng(place)
        noise = rng.standard_normal((len(block), D))
        return (noise + CENTRES[rng.integers(K, size=len(block))]).astype("f4")

    blank = da.zeros(n, chunks=n // chunks, dtype="i1")
    X = blank.map_blocks(some, chunks=(blank.chunks[0], (D,)), new_axis=1, dtype="f4").persist()
    X.sum().compute()
    return X


def seconds(function):
    begin = time.perf_counter()
    function()
    return time.perf_counter() - begin


def compare(rounds=3):
    from dask_ml.cluster import KMeans

    from ckmeans.dask import kmeans

    X = rows(N, CHUNKS)
    start = X[:K].compute().astype("f8")

    def ours(n_iter):
        assert kmeans(X, K, init=start, max_iter=n_iter).n_iter == n_iter

    def theirs(n_iter):
        assert KMeans(K, init=start, max_iter=n_iter, tol=0).fit(X).n_iter_ == n_iter

    times = {}
    ours(1), theirs(1)  # theirs compiles
    for _ in range(rounds):
        for name, function in (("ours", ours), ("dask-ml", theirs)):
            for n_iter in (1, 1 + ITERATIONS):
                times.setdefault((name, n_iter), []).append(seconds(lambda: function(n_iter)))  # noqa: B023
    print(f"{N} x {D} float32, k={K}, {CHUNKS} chunks, {rounds} rounds: seconds, medians")
    median = {key: statistics.median(values) for key, values in times.items()}
    for name in ("ours", "dask-ml"):
        whole = median[name, 1 + ITERATIONS]
        each = (whole - median[name, 1]) / ITERATIONS
        print(f"{name:8} fit of {1 + ITERATIONS} iterations {whole:7.3f}, an iteration {each:6.3f}")
    whole = median["dask-ml", 1 + ITERATIONS] / median["ours", 1 + ITERATIONS]
    each = (median["dask-ml", 1 + ITERATIONS] - median["dask-ml", 1]) / (
        median["ours", 1 + ITERATIONS] - median["ours", 1]
    )
    print(f"dask-ml over ours: fit {whole:.1f}, iteration {each:.1f}")
    overhead(X, start)


def overhead(X, start):
    """An iteration beside the work that is in it."""
    from ckmeans._chunks import Chunk, Step, added, assigned
    from ckmeans._rows import Rows
    from ckmeans.dask import Blocks

    step, blocks = Step(start, start[0]), Blocks(X)
    whole = statistics.median(
        seconds(lambda: blocks.reduced(assigned, added, step)) for _ in range(9)
    )
    chunk = Chunk(0, Rows(X.blocks[0].compute()), None)
    work = statistics.median(seconds(lambda: assigned(chunk, step)) for _ in range(9))
    work *= X.numblocks[0] / 2
    print(
        f"{X.shape[0]:>9} rows in {X.numblocks[0]:4} chunks: an iteration {1e3 * whole:6.1f} ms, "
        f"work of each of two workers {1e3 * work:6.1f}, the rest {1e3 * (whole - work):6.1f}"
    )


def growth():
    """With n at the same chunks, and with the chunks at the same n."""
    for n in (10_000, 1_250_000, 2_500_000, 5_000_000):
        X = rows(n, CHUNKS)
        overhead(X, X[:K].compute().astype("f8"))
        del X
    for chunks in (2, 8, 100, 400):
        X = rows(1_000_000, chunks)
        overhead(X, X[:K].compute().astype("f8"))
        del X


def main():
    import dask
    from dask.distributed import Client, LocalCluster

    chosen = sys.argv[1:] or ["compare", "growth"]
    with (
        dask.config.set({"logging.distributed": "critical"}),
        LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster,
        Client(cluster),
    ):
        for part in chosen:
            {"compare": compare, "growth": growth}[part]()


if __name__ == "__main__":
    main()
