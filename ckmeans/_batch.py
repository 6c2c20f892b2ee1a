"""kmeans_batch(): many problems of one shape."""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ckmeans import _team
from ckmeans import _validation as valid
from ckmeans._bounds import Sweep
from ckmeans._generators import Children
from ckmeans._iterate import SMALL, Limits, Run, lloyd, problem_of
from ckmeans._kmeans import lower_inertia, starts
from ckmeans._results import KMeansResult
from ckmeans._rows import Rows
from ckmeans._seeding import Seeding
from ckmeans._source import Source

if TYPE_CHECKING:
    from numpy.typing import NDArray

CHUNK = 1 << 19  # products in an iteration of the problems that are handed out together


@dataclass(frozen=True, eq=False)
class KMeansBatchResult:
    """b clusterings; ``result[i]`` is the `KMeansResult` of problem i.

    Attributes
    ----------
    centroids : ndarray of shape (b, k, d), float64
        Means of the clusters, in the units of X.
    labels : ndarray of shape (b, n), int32
        Index of each row's nearest centroid, the lowest on ties.
    inertia : ndarray of shape (b,), float64
        Sum of the rows' squared distances to their centroids.
    n_iter : ndarray of shape (b,), int64
        Iterations of the best run.
    converged : ndarray of shape (b,), bool
        Whether the run reached its fixed point (or the tolerance).
    sizes : ndarray of shape (b, k), int64
        Rows of each cluster.
    cluster_inertias : ndarray of shape (b, k), float64
        Each cluster's part of the inertia.
    run_inertias : ndarray of shape (b, n_init), float64
        Inertia of each run.
    """

    centroids: NDArray[np.float64]
    labels: NDArray[np.int32]
    inertia: NDArray[np.float64]
    n_iter: NDArray[np.int64]
    converged: NDArray[np.bool_]
    sizes: NDArray[np.int64]
    cluster_inertias: NDArray[np.float64]
    run_inertias: NDArray[np.float64]

    @classmethod
    def empty(cls, b: int, n: int, d: int, k: int, n_init: int) -> KMeansBatchResult:
        """Room for b results."""
        return cls(
            centroids=np.empty((b, k, d)),
            labels=np.empty((b, n), np.int32),
            inertia=np.full(b, math.inf),
            n_iter=np.zeros(b, np.int64),
            converged=np.zeros(b, bool),
            sizes=np.empty((b, k), np.int64),
            cluster_inertias=np.empty((b, k)),
            run_inertias=np.empty((b, n_init)),
        )

    def __len__(self) -> int:
        return len(self.inertia)

    def __getitem__(self, i: int) -> KMeansResult:
        return KMeansResult(
            centroids=self.centroids[i],
            labels=self.labels[i],
            inertia=float(self.inertia[i]),
            n_iter=int(self.n_iter[i]),
            converged=bool(self.converged[i]),
            sizes=self.sizes[i],
            cluster_inertias=self.cluster_inertias[i],
            run_inertias=self.run_inertias[i],
        )

    def __repr__(self) -> str:
        b, k, d = self.centroids.shape
        return f"KMeansBatchResult(b={b}, k={k}, d={d}, n={self.labels.shape[1]})"

    def _repr_html_(self) -> str:
        from ckmeans._html import batch_table

        return batch_table(self)


def kmeans_batch(
    X: Any,
    k: int,
    seed: Any = None,
    *,
    init: Any = "k-means++",
    n_init: int = 1,
    max_iter: int = 300,
    tol: float = 0.0,
    n_threads: int | None = None,
    out: KMeansBatchResult | None = None,
) -> KMeansBatchResult:
    """Exact k-means of many problems of one shape, each by itself.

    Problem i is, to the bit, ``kmeans(X[i], k, rngs[i], ...)`` with ``rngs =
    numpy.random.default_rng(seed).spawn(b)``: its result depends neither on the other problems nor
    on the number of threads. Small problems are solved in compiled code, a chunk of them at a
    time.

    Parameters
    ----------
    X : array_like of shape (b, n, d)
        Rows of b problems, in any layout of a dtype that `kmeans` takes; read in place.
    k : int
        Number of clusters of each problem, 1 to n.
    seed : None, int, array_like of ints, SeedSequence, BitGenerator or Generator
        As `numpy.random.default_rng` takes it.
    init : {"k-means++", "random"} or array_like of shape (k, d) or (b, k, d)
        As for `kmeans`; an array may have a start for each problem.
    n_init, max_iter, tol
        As for `kmeans`.
    n_threads : int, optional
        Threads to use at most; the CPUs of this process for None. Does not change the result.
    out : KMeansBatchResult, optional
        An earlier result of the same shapes, whose arrays are written to and returned.

    Returns
    -------
    KMeansBatchResult

    Raises
    ------
    TypeError, ValueError
        An argument of the wrong kind or value; the message names it and what is allowed.

    Warns
    -----
    ConvergenceWarning
        Problems with fewer distinct rows than k: some of their clusters are empty.

    Examples
    --------
    >>> import numpy as np
    >>> from ckmeans import kmeans_batch
    >>> X = np.random.default_rng(0).normal(size=(100, 200, 4))
    >>> batch = kmeans_batch(X, 5, seed=0)
    >>> batch.centroids.shape, batch.labels.shape
    ((100, 5, 4), (100, 200))
    >>> batch[7].converged
    True
    """
    n_threads = valid.threads(n_threads)
    X = as_problems(X)
    b, n, d = X.shape
    check_finite(X, n_threads)
    k = valid.clusters(k, n)
    init = valid_init(init, b, k, d)
    n_init = valid.integer(n_init, "n_init", 1, valid.MOST_STARTS)
    max_iter = min(valid.integer(max_iter, "max_iter", 1), np.iinfo(np.intp).max)
    tol = valid.non_negative(tol, "tol")
    result = room(out, b, n, d, k, n_init)
    batch = Batch(X, k, seed, init, n_init, max_iter, tol, result)
    batch.solve(n_threads)
    if batch.too_few:
        warnings.warn(
            f"{len(batch.too_few)} problems of {b} have fewer distinct rows than k; some of their "
            "clusters are empty",
            valid.ConvergenceWarning,
            stacklevel=2,
        )
    return result


def as_problems(X: Any) -> np.ndarray:
    """X as a 3-D array of a supported dtype."""
    array = as_array(X, "X")
    if array.ndim != 3:
        raise ValueError(f"X must be 3-D (problems, rows, columns), got shape {array.shape}")
    if not array.size:
        raise ValueError(f"X must hold at least one problem, row and column, got {array.shape}")
    valid.as_matrix(array[0])
    return array


def as_array(values: Any, name: str) -> np.ndarray:
    valid.refuse_masked(values, name)
    valid.refuse_sparse(values, name)
    try:
        return np.asarray(values)
    except (ValueError, TypeError) as error:
        raise ValueError(f"{name} must be an array of numbers: {error}") from None


def check_finite(X: np.ndarray, n_threads: int) -> None:
    b, n, d = X.shape
    if X.flags.c_contiguous:
        bad = Rows(X.reshape(b * n, d)).first_bad(valid.LARGEST, n_threads)
        suspects: Any = () if bad is None else (bad[0] // n,)
    else:
        suspects = range(b)
    for i in suspects:
        valid.check_finite(Rows(X[i]), f"X[{i}]", n_threads)


def valid_init(init: Any, b: int, k: int, d: int) -> Any:
    """The name of a method, or a float64 array of shape (b, k, d)."""
    array = as_array(init, "init")
    if array.ndim != 3:
        centroids = valid.starting_centroids(init, k, d)
        if isinstance(centroids, str):
            return centroids
        return np.broadcast_to(centroids, (b, k, d))
    if array.shape != (b, k, d):
        raise ValueError(f"init must have shape ({b}, {k}, {d}), got {array.shape}")
    return np.stack([valid.starting_centroids(start, k, d) for start in array])


def room(
    out: KMeansBatchResult | None, b: int, n: int, d: int, k: int, n_init: int
) -> KMeansBatchResult:
    if out is None:
        return KMeansBatchResult.empty(b, n, d, k, n_init)
    if not isinstance(out, KMeansBatchResult):
        raise TypeError(f"out must be a KMeansBatchResult, got {type(out).__name__}")
    found = (*out.centroids.shape, out.labels.shape[1], out.run_inertias.shape[1])
    if found != (b, k, d, n, n_init):
        raise ValueError(
            f"out must be of b={b}, k={k}, d={d}, n={n}, n_init={n_init}, got b={found[0]}, "
            f"k={found[1]}, d={found[2]}, n={found[3]}, n_init={found[4]}"
        )
    out.inertia.fill(math.inf)
    return out


class Batch:
    """b problems, their seeds, and where their results go."""

    def __init__(
        self, X: np.ndarray, k: int, seed: Any, init: Any, n_init: int, max_iter: int, tol: float,
        result: KMeansBatchResult,
    ) -> None:  # fmt: skip
        self.X, self.k, self.init, self.result = X, k, init, result
        self.n_init, self.max_iter, self.tol = n_init, max_iter, tol
        self.children = Children(seed, len(X)) if isinstance(init, str) else None
        self.too_few: list[int] = []  # problems with fewer distinct rows than k
        self.workers: list[Worker] = []

    def solve(self, n_threads: int) -> None:
        b, n, d = self.X.shape
        cost = n * d * self.k
        if self.compiled():
            at_once = max(1, min(CHUNK // cost, -(-b // n_threads)))
            tasks = [(first, min(b, first + at_once)) for first in range(0, b, at_once)]
            _team.each(self.chunk, tasks, n_threads)
        elif b >= n_threads:
            _team.each(self.one, [(i, 1) for i in range(b)], n_threads)
        else:
            for i in range(b):
                self.one(i, n_threads)

    def compiled(self) -> bool:
        """Whether kmeans() would iterate plainly, in one segment, from starts known here."""
        b, n, d = self.X.shape
        named = isinstance(self.init, str)
        small = n * self.k * (d + 3) < SMALL and n * d < 1 << 16
        strided = self.X.strides[0] % self.X.itemsize == 0
        return small and strided and not (named and (self.init == "random" or d == 1))

    def one(self, i: int, n_threads: int) -> None:
        """Problem i as kmeans() does it."""
        rows = Rows(self.X[i])
        shift = self.tol * rows.mean_variance() if self.tol else 0.0
        limits = Limits(self.max_iter, shift, math.inf, None, self.n_init)
        problem = problem_of(rows, None, self.k, None, n_threads)
        rng = self.children.generator(i) if self.children else None
        init = self.init if self.children else np.array(self.init[i])
        best: Run | None = None
        inertias: list[float] = []
        for start in starts(problem, self.k, rng, init, self.n_init):
            run = lloyd(problem, start, limits, len(inertias))
            inertias.append(run.inertia)
            best = lower_inertia(best, run)
            del start, run  # as kmeans() does
        assert best is not None
        if best.too_few_points:
            self.too_few.append(i)
        out = self.result
        out.centroids[i], out.sizes[i] = best.centroids, best.sizes
        out.labels[i] = problem.labels_of_all(best.labels)
        out.inertia[i], out.n_iter[i], out.converged[i] = best.inertia, best.n_iter, best.converged
        out.cluster_inertias[i], out.run_inertias[i] = best.cluster_inertias, inertias

    def chunk(self, first: int, last: int) -> None:
        """Problems first..last-1 in compiled code; those with an emptied cluster by themselves."""
        worker = self.workers.pop() if self.workers else Worker(self)
        for i in worker.solve(first, last):
            self.one(i, 1)
        self.workers.append(worker)


class Worker:
    """What one thread needs to solve problems of a batch."""

    def __init__(self, batch: Batch) -> None:
        self.batch = batch
        X, k = batch.X, batch.k
        self.source = Source(X[0])
        self.sweep = Sweep(self.source, None, self.source.middle(), False)
        self.sweep.begin(k)
        self.seeded = isinstance(batch.init, str)
        if self.seeded:
            self.n_candidates = 2 + int(math.log(k))
            self.seeding = Seeding(self.source, None, k, self.n_candidates)

    def solve(self, first: int, last: int) -> list[int]:
        """Returns the problems that are left."""
        batch, k = self.batch, self.batch.k
        _, n, d = batch.X.shape
        m, stride, seeded = last - first, batch.X.strides[0], self.seeded
        n_runs = batch.n_init if seeded else 1
        per_run = 1 + (k - 1) * self.n_candidates if seeded else 0
        if batch.children:
            uniforms = np.empty((m, n_runs, per_run))
            batch.children.uniforms(first, uniforms.reshape(m, -1))
        shifts = np.zeros(m)
        if batch.tol:
            shifts[:] = [Rows(x).mean_variance() * batch.tol for x in batch.X[first:last]]
        run = KMeansBatchResult.empty(m, n, d, k, n_runs)
        residuals = np.zeros((m, k, d + 2))  # nothing is written of a problem that is left
        reached, converged = np.ones(m, np.uint8), np.empty(m, np.uint8)
        failed = np.zeros(m, bool)
        for r in range(n_runs):
            if seeded:
                self.seeding.seed_each(
                    first, stride, np.ascontiguousarray(uniforms[:, r]), run.centroids, run.labels,
                    reached,
                )  # fmt: skip
            else:
                run.centroids[:] = batch.init[first:last]
            self.sweep.solve_each(
                first, stride, run.centroids, run.labels, seeded, batch.max_iter, shifts,
                residuals, run.n_iter, converged,
            )  # fmt: skip
            failed |= (reached == 0) | (run.n_iter == 0)
            run.cluster_inertias[:] = residuals[:, :, -1]
            run.sizes[:] = residuals[:, :, -2]
            run.inertia[:] = np.add.accumulate(run.cluster_inertias, axis=1)[:, -1]  # as kmeans()
            run.converged[:] = converged
            self.keep(run, first, last, r)
        if n_runs < batch.n_init:
            batch.result.run_inertias[first:last] = batch.result.run_inertias[first:last, :1]
        return [first + int(i) for i in np.flatnonzero(failed)]

    def keep(self, run: KMeansBatchResult, first: int, last: int, r: int) -> None:
        """Take the runs that are better than those before."""
        out = self.batch.result
        out.run_inertias[first:last, r] = run.inertia
        better = np.flatnonzero(run.inertia < out.inertia[first:last]) if r else slice(None)
        for name in ("centroids", "labels", "inertia", "n_iter", "converged", "sizes",
                     "cluster_inertias"):  # fmt: skip
            getattr(out, name)[first:last][better] = getattr(run, name)[better]
