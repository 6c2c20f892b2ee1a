"""kmeans(): validate, seed, iterate, result."""

from __future__ import annotations

import math
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from typing import Any, Literal

import numpy as np

from ckmeans import _validation as valid
from ckmeans._coarse import improved_starts
from ckmeans._column import Column
from ckmeans._generators import generator
from ckmeans._iterate import Limits, Problem, Progress, Run, Start, lloyd, problem_of, reassigned
from ckmeans._refine import refined
from ckmeans._results import KMeansResult, made
from ckmeans._rows import Rows
from ckmeans._starts import starting_rows


def kmeans(
    X: Any,
    k: int,
    seed: Any = None,
    *,
    init: Any = "k-means++",
    n_init: int = 1,
    max_iter: int = 300,
    tol: float = 0.0,
    sample_weight: Any = None,
    scale: Literal["std"] | None = None,
    max_seconds: float | None = None,
    algorithm: Literal["auto", "lloyd", "hamerly"] = "auto",
    n_threads: int | None = None,
    refine: Literal["swap"] | None = None,
    metric: Literal["euclidean", "cosine"] = "euclidean",
    callback: Callable[[Progress], object] | None = None,
) -> KMeansResult:
    """Exact k-means clustering by Lloyd's algorithm.

    Parameters
    ----------
    X : array_like or sparse matrix of shape (n, d)
        Rows to cluster: bool, integers, float16, float32 or float64, in any layout; data frames
        and anything with ``__array__`` or DLPack. Never copied whole, never written to. Sparse
        matrices and arrays of SciPy are computed with as CSR and never made dense.
    k : int
        Number of clusters, 1 to n.
    seed : None, int, array_like of ints, SeedSequence, BitGenerator or Generator
        As `numpy.random.default_rng` takes it. The same seed gives the same bits.
    init : {"k-means++", "random"} or array_like of shape (k, d)
        Greedy k-means++ [2]_, k distinct rows, or the starting centroids in the units of X.
        One column with the default init is solved to the global optimum [3]_. From given centroids
        every iteration is Lloyd's; from drawn ones, those of large problems go beyond the means,
        with momentum [7]_, after some with a part of the rows, where centroids may be swapped [5]_:
        to a fixed point as well, in half the iterations or less.
    n_init : int
        Number of starts, up to a million; the run of least inertia is returned. A start without
        chance in it (an array, or the optimum of one column) runs once, and its inertia stands
        for each.
    max_iter : int
        Most iterations of a run over all rows; and over each part of them that goes first.
    tol : float
        0 runs until no label changes. Otherwise a run also stops when the centroids' summed
        squared shift is at most ``tol * mean(var(X, axis=0))``.
    sample_weight : array_like of shape (n,), optional
        Non-negative weights: a row of weight 2 counts as the row twice, one of 0 not at all.
    scale : {None, "std"}
        "std" clusters columns of unit standard deviation (constant columns stay); distances and
        inertias are then in standard deviations, the centroids in the units of X.
    max_seconds : float, optional
        Stop after the iteration that passes this time.
    algorithm : {"auto", "lloyd", "hamerly"}
        Exact methods, with the same labels: "lloyd" assigns every row in each iteration, "hamerly"
        [4]_ those that its bounds leave open, "auto" changes between the two.
    n_threads : int, optional
        Threads to use at most; the CPUs of this process for None. Does not change the result.
    refine : {None, "swap"}
        "swap" goes on after the fixed point: it moves centroids from where they are of little use
        to where the error is [5]_, as long as that lowers the inertia, and ends in a fixed point
        again. Never worse than without.
    metric : {"euclidean", "cosine"}
        "cosine" clusters the directions of the rows [6]_: rows and centroids have length 1, and
        distances are those between such vectors, ``sqrt(2 - 2 cos)``. Rows of zeros are refused.
    callback : callable, optional
        Called with a `Progress` after each iteration; stops the work by returning True.

    Returns
    -------
    KMeansResult

    Raises
    ------
    TypeError, ValueError
        An argument of the wrong kind or value; the message names it and what is allowed.

    Warns
    -----
    ConvergenceWarning
        X has fewer distinct rows than k: some clusters are empty.

    References
    ----------
    .. [1] S. Lloyd, "Least squares quantization in PCM", IEEE Transactions on Information Theory
       28 (1982) 129-137.
    .. [2] D. Arthur and S. Vassilvitskii, "k-means++: the advantages of careful seeding",
       SODA 2007.
    .. [3] A. Aggarwal, B. Schieber and T. Tokuyama, "Finding a minimum-weight k-link path in
       graphs with the concave Monge property", Discrete & Computational Geometry 12 (1994)
       263-280.
    .. [4] Greg Hamerly, "Making k-means even faster", SIAM Data Mining 2010.
    .. [5] Bernd Fritzke, "The breathing k-means algorithm", arXiv:2006.15666 (2020).
    .. [6] Inderjit Dhillon and Dharmendra Modha, "Concept decompositions for large sparse text data
       using clustering", Machine Learning 42 (2001) 143-175.
    .. [7] Yurii Nesterov, "A method for solving the convex programming problem with convergence
       rate O(1/k^2)", Soviet Mathematics Doklady 27 (1983) 372-376.

    Examples
    --------
    >>> from ckmeans import kmeans
    >>> from ckmeans.datasets import xclara
    >>> result = kmeans(xclara(), 3, seed=0, n_init=5).sorted(by="size")
    >>> result.sizes.tolist()
    [1149, 952, 899]
    >>> round(result.inertia, 2)
    611605.88
    """
    n_threads = valid.threads(n_threads)
    summed = not isinstance(init, str) and sample_weight is None  # all rows, in the first iteration
    rows = valid.finite_rows(X, scale, n_threads, metric, by_sums=summed)
    k = valid.clusters(k, rows.n)
    init = valid.starting_centroids(init, k, rows.d)
    weight = valid.weights(sample_weight, rows.n)
    valid.check_weighted(rows, weight, n_threads)
    limits = checked_limits(rows, n_init, max_iter, tol, max_seconds, callback)
    prune = valid.pruning(algorithm)
    refine = valid.refinement(refine)
    rng = generator(seed, wanted=isinstance(init, str) or refine is not None)

    problem = problem_of(rows, weight, k, prune, n_threads)
    if rows.unchecked:
        problem.where_not_finite = lambda: valid.check_finite(rows, n_threads=n_threads)
    best: Run | None = None
    inertias: list[float] = []
    all_starts = starts(problem, k, rng, init, limits.n_init)
    for start in improved_starts(problem, k, all_starts, limits, rng):
        run = lloyd(problem, start, limits, len(inertias))
        inertias.append(run.inertia)
        best, stopped = lower_inertia(best, run), run.stopped
        del start, run  # labels that the next run needs the memory of
        if stopped:
            break
    assert best is not None
    if refine and not solved(rows, init):
        best = refined(problem, best, limits, rng)
    return finished(problem, best, stopped, inertias, limits.n_init)


def solved(rows: Rows, init: Any) -> bool:
    """Whether the start is the global optimum already."""
    return rows.d == 1 and rows.norms is None and isinstance(init, str) and init == "k-means++"


def starts(problem: Problem, k: int, rng: Any, init: Any, n_init: int) -> Iterator[Start]:
    """Where each run starts; a start without chance in it comes once."""
    rows, weight = problem.rows, problem.weight
    if not isinstance(init, str):
        if rows.scale is not None:
            valid.check_standardised(Rows(init, rows.offset, rows.scale), "init")
        if rows.norms is not None:
            valid.norms_of(Rows(init), "init")
        yield Start(rows.computed(init))
    elif solved(rows, init):
        yield Start(Column(rows, weight).optimum(k))
    else:
        for _ in range(n_init):
            yield drawn_start(problem, k, rng, init)


def drawn_start(problem: Problem, k: int, rng: Any, init: str) -> Start:
    """The centroids that are drawn, with their labels unless the first assignment needs bounds."""
    rows, weight, memory = problem.rows, problem.weight, problem.lend()
    start = starting_rows(rows, k, rng, weight, init, problem.n_threads, memory)
    return Start(start.centroids, drawn=True) if problem.prune else start


def checked_limits(
    rows: Rows, n_init: Any, max_iter: Any, tol: Any, max_seconds: Any, callback: Any
) -> Limits:
    n_init = valid.integer(n_init, "n_init", 1, valid.MOST_STARTS)
    max_iter = min(valid.integer(max_iter, "max_iter", 1), sys.maxsize)
    tol = valid.non_negative(tol, "tol")
    shift = tol * rows.mean_variance() if tol else 0.0
    return Limits(max_iter, shift, deadline(max_seconds), valid.watcher(callback), n_init)


def deadline(max_seconds: Any) -> float:
    if max_seconds is None:
        return math.inf
    return time.monotonic() + valid.non_negative(max_seconds, "max_seconds")


def lower_inertia(best: Run | None, run: Run) -> Run:
    return run if best is None or run.inertia < best.inertia else best


def finished(
    problem: Problem, best: Run, stopped: bool, inertias: list[float], n_init: int,
    last: bool = True,
) -> KMeansResult:  # fmt: skip
    """The result of the best run, with a warning where clusters had to stay empty; `last`: the
    problem is not used any more."""
    if len(inertias) == 1 and not stopped:
        inertias = inertias * n_init
    k = len(best.centroids)
    if best.too_few_points:
        warnings.warn(
            f"X has fewer distinct rows than k ({np.count_nonzero(best.sizes)} clusters of {k} "
            "hold rows); the others are empty",
            valid.ConvergenceWarning,
            stacklevel=3,
        )
    rows = problem.rows
    centroids = rows.original(best.centroids)
    if rows.scale is not None:
        # They come back rounded, and with them some ties: labels belong to what predict() will use.
        best = reassigned(problem, best, rows.computed(centroids))
    return made(
        KMeansResult,
        centroids=centroids,
        labels=problem.labels_of_all(best.labels, last),
        inertia=best.inertia,
        n_iter=best.n_iter,
        converged=best.converged and not stopped,
        sizes=best.sizes,
        cluster_inertias=best.cluster_inertias,
        run_inertias=np.array(inertias),
        offset=rows.offset,
        scale=rows.scale,
        metric="euclidean" if rows.norms is None else "cosine",
    )
