"""k-means over Dask arrays and data frames: `kmeans`, `predict`, `transform` and `elbow`.

Each chunk of rows is a task that runs the compiled loops on it; each iteration is one graph, whose
tree of sums ends in a (k, d + 2) array. Nothing else comes to this process, and nothing is kept
between the iterations, so that a lost worker costs no more than its share of the one under way.
"""

from __future__ import annotations

import math
import pickle
import sys
import uuid
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from ckmeans import _lloyd
from ckmeans import _validation as valid
from ckmeans._chunks import Chunk, ChunkedProblem, ChunkedRows
from ckmeans._elbow import all_options, calinski_harabasz, cluster_numbers, knee_of, whole_inertia
from ckmeans._iterate import Limits, Progress, Run, Start, inertia_of, lloyd
from ckmeans._results import ElbowResult, KMeansResult, nearest_labels, own_distances2, transformed
from ckmeans._rows import Rows
from ckmeans._scalable import Candidates, candidates, random_rows

try:
    import dask
    import dask.array as da
    from dask._task_spec import DataNode, List, Task, TaskRef
    from dask.delayed import Delayed
    from dask.highlevelgraph import HighLevelGraph
except ImportError as _error:
    raise ImportError(
        "ckmeans.dask needs Dask 2025.1 or later: pip install 'ckmeans-lloyd[dask]'"
    ) from _error

FAN_IN = 32  # totals that one task adds up
SMALL = 1 << 16  # bytes; what tasks are told goes with each of them, unless it is larger
METHODS = ("k-means||", "random")


def kmeans(
    X: Any,
    k: int,
    seed: Any = None,
    *,
    init: Any = "k-means||",
    n_init: int = 1,
    max_iter: int = 300,
    tol: float = 0.0,
    sample_weight: Any = None,
    callback: Callable[[Progress], object] | None = None,
) -> KMeansResult:
    """Exact k-means clustering of a Dask array or data frame by Lloyd's algorithm.

    Runs on the scheduler that Dask would choose: threads, or the workers of a
    ``distributed.Client``. X is read once in each iteration: persist it, where the workers have the
    memory for it, or have it streamed from its source.

    Parameters
    ----------
    X : dask.array.Array of shape (n, d), or dask.dataframe.DataFrame
        Rows to cluster, in chunks along the rows; columns of a data frame that are neither numbers
        nor booleans are left out. Chunks may be empty, and their sizes unknown.
    k : int
        Number of clusters, 1 to n.
    seed : None, int, array_like of ints, SeedSequence, BitGenerator or Generator
        As `numpy.random.default_rng` takes it. The same seed and chunks give the same bits,
        whatever the number of workers and threads.
    init : {"k-means||", "random"} or array_like of shape (k, d)
        Scalable k-means++ [1]_ (5 rounds of about 2 k candidates), k distinct rows, or the starting
        centroids.
    n_init : int
        Number of starts; the run of least inertia is returned. An array runs once.
    max_iter : int
        Most iterations of a run.
    tol : float
        0 runs until no label changes. Otherwise a run also stops when the centroids' summed
        squared shift is at most ``tol * mean(var(X, axis=0))``.
    sample_weight : array_like or dask.array.Array of shape (n,), optional
        Non-negative weights: a row of weight 2 counts as the row twice, one of 0 not at all.
    callback : callable, optional
        Called with a `Progress` after each iteration; stops the work by returning True. To count
        the labels that change, each row is then assigned to the centroids before as well.

    Returns
    -------
    KMeansResult
        Its labels are a Dask array with the chunks of X, computed when they are asked for; all else
        is in memory.

    Raises
    ------
    TypeError, ValueError
        An argument of the wrong kind or value; for NaN or infinity, the message names the chunk,
        and the row in it.

    Warns
    -----
    ConvergenceWarning
        X has fewer distinct rows than k: some clusters are empty.

    References
    ----------
    .. [1] B. Bahmani et al., "Scalable k-means++", Proceedings of the VLDB Endowment 5 (2012)
       622-633.

    Examples
    --------
    >>> import dask.array as da
    >>> from ckmeans.dask import kmeans
    >>> from ckmeans.datasets import xclara
    >>> X = da.from_array(xclara(), chunks=(1000, 2))
    >>> result = kmeans(X, 3, seed=0).sorted(by="size")
    >>> result.sizes.tolist()
    [1149, 952, 899]
    >>> result.labels.chunks
    ((1000, 1000, 1000),)
    """
    limits = checked_limits(n_init, max_iter, tol, callback)
    blocks = Blocks(X)
    rows = weighted_rows(blocks, sample_weight)
    k = valid.clusters(k, rows.n)
    init = starting_centroids(init, k, rows.d)
    limits = with_shift(limits, tol, rows)
    rng = valid.generator(seed, wanted=isinstance(init, str))

    problem = ChunkedProblem(rows, watched=callback is not None)
    runs: list[Run] = []
    for number in range(limits.n_init if isinstance(init, str) else 1):
        start = Start(start_of(rows, k, rng, init), drawn=isinstance(init, str))
        runs.append(lloyd(problem, start, limits, number))
        if runs[-1].stopped:
            break
    best = min(runs, key=inertia_of)
    if best.too_few_points:
        warn_of_empty(best.sizes)
    return finished(blocks, rows, best, runs, limits.n_init)


def predict(X: Any, result: KMeansResult | Any) -> da.Array:
    """Index of the nearest centroid of each row, the lowest on ties.

    Parameters
    ----------
    X : dask.array.Array of shape (n, d), or dask.dataframe.DataFrame
    result : KMeansResult, or array_like of shape (k, d)
        A clustering, or its centroids.

    Returns
    -------
    dask.array.Array of shape (n,), int32
        With the chunks of X.

    Examples
    --------
    >>> import dask.array as da
    >>> from ckmeans.dask import predict
    >>> X = da.from_array([[0.0], [1.0], [9.0]], chunks=(2, 1))
    >>> predict(X, [[0.0], [10.0]]).compute()
    array([0, 0, 1], dtype=int32)
    """
    model = Model.of(result)
    return model.over(Blocks(X), labels_in, np.int32)


def transform(X: Any, result: KMeansResult | Any) -> da.Array:
    """Euclidean distance of each row to every centroid.

    Parameters
    ----------
    X : dask.array.Array of shape (n, d), or dask.dataframe.DataFrame
    result : KMeansResult, or array_like of shape (k, d)

    Returns
    -------
    dask.array.Array of shape (n, k), float64
        With the chunks of X along the rows.
    """
    model = Model.of(result)
    return model.over(Blocks(X), distances_in, np.float64, len(model.centroids))


def distances(X: Any, result: KMeansResult | Any) -> da.Array:
    """Euclidean distance of each row to its nearest centroid: the anomaly score.

    Parameters
    ----------
    X : dask.array.Array of shape (n, d), or dask.dataframe.DataFrame
    result : KMeansResult, or array_like of shape (k, d)

    Returns
    -------
    dask.array.Array of shape (n,), float64
    """
    return Model.of(result).over(Blocks(X), own_distances_in, np.float64)


def inertia(X: Any, result: KMeansResult | Any, sample_weight: Any = None) -> float:
    """Weighted sum of the rows' squared distances to their nearest centroids."""
    rows = weighted_rows(Blocks(X), sample_weight)
    centroids = Model.of(result).centroids
    if rows.d != centroids.shape[1]:
        raise ValueError(
            f"X must have {centroids.shape[1]} columns like the fitted data, got {rows.d}"
        )
    return float(ChunkedProblem(rows).inertias(centroids).sum())


def constant(X: Any, value: Any) -> da.Array:
    """The same weight for every row."""
    rows = ChunkedRows(Blocks(X))
    return da.full(rows.n, float(value), chunks=(tuple(rows.sizes.tolist()),))


def elbow(X: Any, ks: Any, seed: Any = None, **kmeans_options: Any) -> ElbowResult:
    """Inertia for several k, and the k where the curve bends.

    Parameters
    ----------
    X : dask.array.Array of shape (n, d), or dask.dataframe.DataFrame
        As `kmeans` takes it.
    ks : iterable of int, or int
        The numbers of clusters in any order; an int K stands for 1..K.
    seed : as `numpy.random.default_rng` takes it
    **kmeans_options
        Options of `kmeans` for each clustering; an array as `init` is refused, since it has one k.

    Returns
    -------
    ElbowResult
        As `ckmeans.elbow` has it; the labels of its results are Dask arrays.

    Notes
    -----
    The candidates of k-means|| are drawn once, for the largest k, and give the starts for all. The
    first run of every k after the smallest starts from the centroids of the k before and the
    candidates that would lower its inertia most, so that the inertia never rises.

    Examples
    --------
    >>> import dask.array as da
    >>> from ckmeans.dask import elbow
    >>> from ckmeans.datasets import xclara
    >>> elbow(da.from_array(xclara(), chunks=(1000, 2)), 8, seed=0).knee
    3
    """
    options = all_options(kmeans_options, kmeans)
    limited = [options[name] for name in ("n_init", "max_iter", "tol", "callback")]
    limits = checked_limits(*limited)
    blocks = Blocks(X)
    rows = weighted_rows(blocks, options["sample_weight"])
    ks = cluster_numbers(ks, rows.n)
    if not isinstance(options["init"], str):
        raise ValueError(
            f'init must be "k-means||" or "random" for an elbow, got '
            f"{type(options['init']).__name__}"
        )
    init = starting_centroids(options["init"], ks[-1], rows.d)
    limits = with_shift(limits, options["tol"], rows)
    rng = valid.generator(seed)

    problem = ChunkedProblem(rows, watched=limits.callback is not None)
    drawn = candidates(rows, ks[-1], rng)
    results: list[KMeansResult] = []
    smaller: Run | None = None
    for k in ks:
        starts = [
            drawn.start(k, rng) if init == "k-means||" else random_rows(rows, k, rng)
            for _ in range(limits.n_init)
        ]
        if smaller:
            starts[0] = extended(drawn, smaller.centroids, k)
        runs = [
            lloyd(problem, Start(x, drawn=i > 0 or not smaller), limits, i)
            for i, x in enumerate(starts)
        ]
        smaller = min(runs, key=inertia_of)
        if smaller.too_few_points:
            warn_of_empty(smaller.sizes)
        results.append(finished(blocks, rows, smaller, runs, limits.n_init))
    inertias = np.minimum.accumulate([result.inertia for result in results])
    knee, reason = knee_of(np.array(ks), inertias)
    whole = inertias[0] if ks[0] == 1 else whole_inertia(problem, limits)
    separation = calinski_harabasz(np.array(ks), inertias, whole, rows.mass)
    return ElbowResult(np.array(ks), inertias, knee, reason, tuple(results), separation)


def checked_limits(n_init: Any, max_iter: Any, tol: Any, callback: Any) -> Limits:
    n_init = valid.integer(n_init, "n_init", 1, valid.MOST_STARTS)
    max_iter = min(valid.integer(max_iter, "max_iter", 1), sys.maxsize)
    valid.non_negative(tol, "tol")
    return Limits(max_iter, 0.0, math.inf, valid.watcher(callback), n_init)


def weighted_rows(blocks: Blocks, sample_weight: Any) -> ChunkedRows:
    """The rows, known to be sound, and so their weights."""
    rows = ChunkedRows(blocks)
    if sample_weight is not None:
        blocks.weigh(sample_weight, rows.sizes)
        rows.check_weights()
    return rows


def with_shift(limits: Limits, tol: Any, rows: ChunkedRows) -> Limits:
    tol = valid.non_negative(tol, "tol")
    return limits._replace(shift=tol * rows.mean_variance()) if tol else limits


def starting_centroids(init: Any, k: int, d: int) -> Any:
    if isinstance(init, str):
        if init not in METHODS:
            raise ValueError(
                f'init must be "k-means||", "random" or an array of shape ({k}, {d}), got {init!r}'
            )
        return init
    return valid.starting_centroids(init, k, d)


def start_of(rows: ChunkedRows, k: int, rng: Any, init: Any) -> np.ndarray:
    if not isinstance(init, str):
        return init
    if init == "random":
        return random_rows(rows, k, rng)
    return candidates(rows, k, rng).start(k, rng)


def extended(drawn: Candidates, centroids: np.ndarray, k: int) -> np.ndarray:
    """The centroids and the candidates that would lower their inertia most, k in all."""
    found = centroids
    squares = squares_to(drawn.points, centroids).min(axis=1)
    for _ in range(k - len(centroids)):
        farthest = drawn.points[[int(np.argmax(drawn.weight * squares))]]
        found = np.concatenate([found, farthest])
        squares = np.minimum(squares, squares_to(drawn.points, farthest)[:, 0])
    return found


def squares_to(points: np.ndarray, centroids: np.ndarray) -> np.ndarray:
    out = np.empty((len(points), len(centroids)))
    _lloyd.all_distances(points, _lloyd.columns_of(centroids), out)
    return np.square(out, out=out)


def warn_of_empty(sizes: np.ndarray) -> None:
    warnings.warn(
        f"X has fewer distinct rows than k ({np.count_nonzero(sizes)} clusters of {len(sizes)} "
        "hold rows); the others are empty",
        valid.ConvergenceWarning,
        stacklevel=3,
    )


def finished(
    blocks: Blocks, rows: ChunkedRows, best: Run, runs: list[Run], n_init: int
) -> KMeansResult:
    inertias = [run.inertia for run in runs]
    stopped = runs[-1].stopped
    if len(inertias) == 1 and not stopped:
        inertias = inertias * n_init
    model = Model(best.centroids)
    return KMeansResult(
        centroids=best.centroids,
        labels=model.over(blocks, labels_in, np.int32, sizes=rows.sizes),
        inertia=best.inertia,
        n_iter=best.n_iter,
        converged=best.converged and not stopped,
        sizes=best.sizes,
        cluster_inertias=best.cluster_inertias,
        run_inertias=np.array(inertias),
    )


@dataclass(frozen=True)
class Model:
    """What is asked of rows once there are centroids."""

    centroids: np.ndarray
    offset: np.ndarray | None = None
    scale: np.ndarray | None = None

    @staticmethod
    def of(result: Any) -> Model:
        if isinstance(result, KMeansResult):
            if result.metric != "euclidean":
                raise ValueError(f"result must not have metric {result.metric!r} for X from Dask")
            centroids = np.ascontiguousarray(result.centroids, dtype=np.float64)
            return Model(centroids, result.offset, result.scale)
        centroids = np.array(valid.as_matrix(result, "result"), dtype=np.float64, order="C")
        valid.check_finite(Rows(centroids), "result")
        return Model(centroids)

    def over(
        self, blocks: Blocks, function: Callable[..., np.ndarray], dtype: Any,
        columns: int | None = None, sizes: np.ndarray | None = None,
    ) -> Any:  # fmt: skip
        """function(rows, centroids) of every chunk, as a Dask array."""
        graph, name = blocks.each(of_model, (function, self, dtype, columns), columns is not None)
        known = blocks.sizes if sizes is None else tuple(sizes.tolist())
        chunks = (known,) if columns is None else (known, (columns,))
        return da.Array(graph, name, chunks, dtype=dtype)


def of_model(block: Any, number: int, shared: tuple[Any, ...]) -> np.ndarray:
    function, model, dtype, columns = shared
    d = model.centroids.shape[1]
    rows = rows_of(block)
    if rows is None:
        return np.empty((0,) if columns is None else (0, columns), dtype=dtype)
    if rows.d != d:
        raise ValueError(f"X must have {d} columns like the fitted data, got {rows.d}")
    bad = rows.first_bad(valid.LARGEST, 1)
    if bad is not None:
        place = f"chunk {number}, row {bad[0]}, column {bad[1]}"
        raise valid.bad_value(float(rows.X[bad]), place)
    if model.scale is None:
        return function(rows, model.centroids)
    rows = Rows(rows.X, model.offset, model.scale)
    valid.check_standardised(rows)
    return function(rows, np.ascontiguousarray((model.centroids - model.offset) / model.scale))


def labels_in(rows: Rows, centroids: np.ndarray) -> np.ndarray:
    return nearest_labels(rows, centroids, n_threads=1)


def distances_in(rows: Rows, centroids: np.ndarray) -> np.ndarray:
    return transformed(rows, centroids, n_threads=1)


def own_distances_in(rows: Rows, centroids: np.ndarray) -> np.ndarray:
    labels = nearest_labels(rows, centroids, n_threads=1)
    return np.sqrt(own_distances2(rows, centroids, labels, n_threads=1))


# The engine


class Blocks:
    """The chunks of X as tasks of a graph."""

    sizes: tuple[float, ...]  # NaN where they are not known
    keys: list[Any]
    base: HighLevelGraph  # what makes the chunks
    n_chunks: int

    def __init__(self, X: Any) -> None:
        X = as_collection(X)
        if isinstance(X, da.Array):
            if X.numblocks[1] > 1:
                X = X.rechunk({1: -1})
            self.sizes = X.chunks[0]
        else:
            self.sizes = (math.nan,) * X.npartitions
        self.keys, self.base = tasks_of(X)
        self.n_chunks = len(self.keys)
        self.weights: list[Any] = [None] * self.n_chunks

    def weigh(self, sample_weight: Any, sizes: np.ndarray) -> None:
        """Give each chunk the weights of its rows."""
        chunks = (tuple(sizes.tolist()),)
        n = int(sizes.sum())
        weight = sample_weight
        if hasattr(weight, "__dask_graph__"):
            if not isinstance(weight, da.Array):  # a column of a data frame
                weight = weight.to_dask_array()
            if weight.dtype.kind not in "buif":
                raise TypeError(f"sample_weight must hold real numbers, got dtype {weight.dtype}")
            if weight.ndim != 1 or not (math.isnan(weight.shape[0]) or weight.shape[0] == n):
                raise ValueError(f"sample_weight must have shape ({n},), got {weight.shape}")
            if not math.isnan(weight.shape[0]):
                weight = weight.rechunk(chunks)
            elif weight.numblocks[0] != len(sizes):
                raise ValueError(
                    f"sample_weight must have {len(sizes)} chunks like X where their sizes are "
                    f"unknown, got {weight.numblocks[0]}"
                )
        else:
            weight = da.from_array(valid.weights(weight, n), chunks=chunks)
        self.weights, graph = tasks_of(weight)
        self.base = HighLevelGraph.merge(self.base, graph)

    def each(
        self, function: Callable[..., Any], shared: Any, columns: bool = False
    ) -> tuple[HighLevelGraph, str]:
        """function(block, number, shared) of every chunk; the tasks are (name, number), and for an
        array of `columns` (name, number, 0)."""
        name = f"ckmeans-{function.__name__.strip('_')}-{uuid.uuid4().hex}"
        end = (0,) if columns else ()
        said, tasks = told(name, shared)
        for number, key in enumerate(self.keys):
            tasks.append(Task((name, number, *end), function, TaskRef(key), number, said))
        return self._with(name, tasks), name

    def reduced(
        self,
        function: Callable[[Chunk, Any], Any],
        combine: Callable[[list[Any]], Any],
        shared: Any = None,
        only: list[int] | None = None,
    ) -> Any:
        """As `ckmeans._chunks.Chunks` has it, in one graph."""
        name = f"ckmeans-{function.__name__}-{uuid.uuid4().hex}"
        said, tasks = told(name, shared)
        level = []
        for number in range(self.n_chunks) if only is None else only:
            key, weight = (name, 0, number), self.weights[number]
            block = [TaskRef(self.keys[number]), None if weight is None else TaskRef(weight)]
            tasks.append(Task(key, on_chunk, function, *block, number, said))
            level.append(key)
        depth = 0
        while depth == 0 or len(level) > 1:
            depth += 1
            groups = [level[i : i + FAN_IN] for i in range(0, len(level), FAN_IN)]
            level = [(name, depth, i) for i in range(len(groups))]
            for key, group in zip(level, groups, strict=True):
                tasks.append(Task(key, combine, List(*map(TaskRef, group))))
        (value,) = dask.compute(Delayed(level[0], self._with(name, tasks), layer=name))
        return value

    def _with(self, name: str, tasks: list[Any]) -> HighLevelGraph:
        layers, needs = self.base.layers, self.base.dependencies
        return HighLevelGraph(
            {**layers, name: {task.key: task for task in tasks}}, {**needs, name: set(layers)}
        )


def as_collection(X: Any) -> Any:
    """X as an array of rows of numbers, or as a frame of its columns of numbers."""
    if isinstance(X, da.Array):
        if X.dtype.kind not in "buif" or X.dtype.itemsize > 8:
            raise TypeError(
                "X must hold real numbers (bool, integers, float16, float32 or float64), "
                f"got dtype {X.dtype}"
            )
        if X.ndim != 2:
            hint = "; use X[:, None] for one column" if X.ndim == 1 else ""
            raise ValueError(f"X must be 2-D (rows, columns), got {X.ndim} dimensions{hint}")
        return X
    if hasattr(X, "__dask_graph__") and hasattr(X, "select_dtypes"):
        X = X.select_dtypes(include=["number", "bool"])
        if not len(X.columns):
            raise TypeError("X must have columns of numbers, got none")
        return X
    raise TypeError(
        f"X must be a Dask array or data frame, got {type(X).__name__}; "
        "ckmeans.kmeans takes what is in memory"
    )


def without_rows(X: Any) -> Any:
    """An empty array or frame in memory that has the columns of X."""
    X = as_collection(X)
    return np.empty((0, X.shape[1])) if isinstance(X, da.Array) else X._meta


def told(name: str, shared: Any) -> tuple[Any, list[Any]]:
    """What all tasks of a graph are told, and the tasks that this takes: none if it is small, else
    one, whose value each worker fetches once; that costs two more messages in a row."""
    if len(pickle.dumps(shared)) <= SMALL:
        return shared, []
    node = DataNode((name, "shared"), shared)
    return TaskRef(node.key), [node]


def tasks_of(collection: Any) -> tuple[list[Any], HighLevelGraph]:
    """The keys of the chunks in order, and the graph that makes them."""
    delayed = np.ravel(collection.to_delayed()).tolist()
    graphs = {id(one.dask): one.dask for one in delayed}
    graph = HighLevelGraph.merge(*graphs.values(), held(collection))
    return [one.key for one in delayed], graph


def held(collection: Any) -> dict[Any, Any]:
    """What is persisted on workers: its optimised graph names it, but would let go of it."""
    try:
        from distributed import futures_of
    except ImportError:
        return {}
    return {future.key: future for future in futures_of(collection)}


def on_chunk(
    function: Callable[[Chunk, Any], Any], block: Any, weight: Any, number: int, shared: Any
) -> Any:
    rows = rows_of(block)
    if weight is not None:
        weight = np.ascontiguousarray(weight, dtype=np.float64)
        if len(weight) != len(block):
            raise ValueError(
                f"sample_weight must have as many rows as X, got {len(weight)} for the "
                f"{len(block)} of chunk {number}"
            )
    return None if rows is None else function(Chunk(number, rows, weight), shared)


def rows_of(block: Any) -> Rows | None:
    """The rows of a chunk; None for an empty one."""
    return Rows(valid.as_matrix(block)) if len(block) else None
