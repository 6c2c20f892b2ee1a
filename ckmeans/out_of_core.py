"""k-means over files larger than memory, on one machine and without Dask.

Each iteration reads the rows once, a piece at a time, one piece ahead. The segments, and the moves
between their sums, are those of `ckmeans.kmeans`: from the same start the result has the same bits
as in memory, unless rows are computed with once there because they repeat. Labels lie in a
temporary file, so that memory does not grow with the rows.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

from ckmeans import _validation as valid
from ckmeans._iterate import Progress, Run, Start, inertia_of, lloyd, reassigned
from ckmeans._kmeans import checked_limits, finished
from ckmeans._readers import reader_of
from ckmeans._results import KMeansResult
from ckmeans._streamed import StreamedProblem, StreamedRows, start_of

METHODS = ("k-means||", "random")


def kmeans(
    X: Any,
    k: int,
    seed: Any = None,
    *,
    columns: list[str] | None = None,
    init: Any = "k-means||",
    n_init: int = 1,
    max_iter: int = 300,
    tol: float = 0.0,
    scale: Literal["std"] | None = None,
    max_seconds: float | None = None,
    n_threads: int | None = None,
    callback: Callable[[Progress], object] | None = None,
) -> KMeansResult:
    """Exact k-means clustering of rows in files, in memory that does not grow with them.

    Parameters
    ----------
    X : path, or ndarray of shape (n, d)
        A .npy or .parquet file, a folder of one kind, whose files follow each other by name, or an
        array, which may be a `numpy.memmap`.
    k : int
        Number of clusters, 1 to n.
    seed : None, int, array_like of ints, SeedSequence, BitGenerator or Generator
        As `numpy.random.default_rng` takes it.
    columns : list of str, optional
        Names of the columns of Parquet files, or positions in arrays; all by default.
    init : {"k-means||", "random"} or array_like of shape (k, d)
        Scalable k-means++ (5 rounds of about 2 k candidates), k distinct rows, or the starting
        centroids, with which the result has the same bits as that of `ckmeans.kmeans`.
    n_init, max_iter, tol, scale, max_seconds, n_threads, callback
        As `ckmeans.kmeans` takes them.

    Returns
    -------
    KMeansResult
        Its labels are mapped from a temporary file, which goes with them.

    Raises
    ------
    TypeError, ValueError
        An argument, or a file, of the wrong kind or value.

    Examples
    --------
    >>> import numpy as np, tempfile, os
    >>> from ckmeans.datasets import xclara
    >>> from ckmeans.out_of_core import kmeans
    >>> path = os.path.join(tempfile.mkdtemp(), "xclara.npy")
    >>> np.save(path, xclara())
    >>> sorted(kmeans(path, 3, seed=0).sizes.tolist())
    [899, 952, 1149]
    """
    n_threads = valid.threads(n_threads)
    rows = StreamedRows(reader_of(X, columns), n_threads)
    rows.check()
    if scale is not None:
        if not isinstance(scale, str) or scale != "std":
            raise ValueError(f'scale must be None or "std", got {scale!r}')
        rows = rows.standardised()
    k = valid.clusters(k, rows.n)
    if isinstance(init, str) and init not in METHODS:
        raise ValueError(
            f'init must be "k-means||", "random" or an array of shape ({k}, {rows.d}), got {init!r}'
        )
    if not isinstance(init, str):
        init = valid.starting_centroids(init, k, rows.d)
    limits = checked_limits(rows, n_init, max_iter, tol, max_seconds, callback)
    rng = valid.generator(seed, wanted=isinstance(init, str))

    problem = StreamedProblem(rows)
    runs: list[Run] = []
    for number in range(limits.n_init if isinstance(init, str) else 1):
        start = Start(start_of(rows, k, rng, init), drawn=isinstance(init, str))
        runs.append(lloyd(problem, start, limits, number))
        if runs[-1].stopped:
            break
    best = min(runs, key=inertia_of)
    if best is not runs[-1]:  # the labels are those of the last run
        best = reassigned(problem, best, best.centroids)
    result = finished(problem, best, runs[-1].stopped, [run.inertia for run in runs], limits.n_init)
    object.__setattr__(result, "labels", problem.labels.mapped())
    return result
