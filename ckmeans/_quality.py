"""How good a clustering is, beside its inertia."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

import numpy as np

from ckmeans import _silhouette, _team
from ckmeans import _validation as valid

SCRATCH = 1 << 15  # distances in a block; they stay in the L2 cache
CHOSEN = 128  # sampled rows measured in one pass over X


def silhouette(
    X: Any,
    labels: Any,
    *,
    sample: int | None = None,
    seed: Any = None,
    scale: Literal["std"] | None = None,
    n_threads: int | None = None,
) -> float:
    """Mean silhouette of a clustering, from -1 (wrong) to 1 (compact and well separated).

    A row's silhouette is ``(b - a) / max(a, b)``, where a is its distance to its own cluster and b
    that to the nearest other one; 0 for the row of a cluster of one.

    Parameters
    ----------
    X : array_like or sparse matrix of shape (n, d)
        The rows that were clustered, as `kmeans` takes them.
    labels : array_like of shape (n,), int
        The cluster of each row; 2 to n - 1 different ones.
    sample : int, optional
        None for the simplified silhouette of all rows [1]_ [2]_: distances to a cluster are those
        to its mean, in O(n k d). A number from 1 to n for the classical silhouette [3]_ of so many
        rows drawn without replacement: distances to a cluster are mean distances to its rows, in
        O(sample n d). With ``sample=n`` it is exact, and what scikit-learn's ``silhouette_score``
        returns; no n x n matrix is made.
    seed : None, int, array_like of ints, SeedSequence, BitGenerator or Generator
        Of the sample, as `numpy.random.default_rng` takes it.
    scale : {None, "std"}
        "std" where the rows were clustered so.
    n_threads : int, optional
        Threads to use at most; the CPUs of this process for None. Does not change the result.

    Returns
    -------
    float
        The mean over the rows (of the sample).

    Raises
    ------
    TypeError, ValueError
        An argument of the wrong kind or value; the message names it and what is allowed.

    Notes
    -----
    The two are different numbers: a mean distance to a cluster's rows is larger than the distance
    to its mean, more so for the own cluster, hence the simplified one is higher. Compare
    like with like.

    References
    ----------
    .. [1] E. Hruschka, L. de Castro and R. Campello, "Evolutionary algorithms for clustering
       gene-expression data", ICDM 2004.
    .. [2] L. Vendramin, R. Campello and E. Hruschka, "Relative clustering validity criteria: a
       comparative overview", Statistical Analysis and Data Mining 3 (2010) 209-235.
    .. [3] P. Rousseeuw, "Silhouettes: a graphical aid to the interpretation and validation of
       cluster analysis", Journal of Computational and Applied Mathematics 20 (1987) 53-65.

    Examples
    --------
    >>> from ckmeans import kmeans, silhouette
    >>> from ckmeans.datasets import xclara
    >>> X = xclara()
    >>> labels = kmeans(X, 3, seed=0, n_init=5).labels
    >>> round(silhouette(X, labels), 4), round(silhouette(X, labels, sample=3000), 4)
    (0.7787, 0.6946)
    """
    n_threads = valid.threads(n_threads)
    rows = valid.finite_rows(X, scale, n_threads)
    labels, sizes = numbered(labels, rows.n)
    if sample is None:
        return simplified(rows, labels, sizes, n_threads)
    size = valid.integer(sample, "sample", 1, rows.n, "the number of rows ({})")
    chosen = np.arange(rows.n)
    if size < rows.n:
        chosen = np.sort(valid.generator(seed).choice(rows.n, size, replace=False))
    return classical(rows, labels, sizes, chosen, n_threads)


def numbered(labels: Any, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Labels (n,) int32 as 0..k-1 in ascending order, and the size of each cluster (k,)."""
    valid.refuse_masked(labels, "labels")
    try:
        array = np.asarray(labels)
    except ValueError as error:
        raise ValueError(f"labels must be a 1-D array: {error}") from None
    if array.dtype.kind not in "bui":
        raise TypeError(f"labels must hold integers, got dtype {array.dtype}")
    if array.shape != (n,):
        raise ValueError(f"labels must have shape ({n},), got {array.shape}")
    found, numbers, sizes = np.unique(array, return_inverse=True, return_counts=True)
    if not 2 <= len(found) < n:
        raise ValueError(f"labels must hold 2 to {n - 1} different values, got {len(found)}")
    return numbers.astype(np.int32), sizes.astype(np.int64)


def simplified(rows: Any, labels: np.ndarray, sizes: np.ndarray, n_threads: int) -> float:
    measure_to = rows.distances_to(means(rows, labels, len(sizes)))
    pieces = pieces_of(rows, len(sizes))
    totals = np.empty(len(pieces))  # added in order, whatever the threads

    def measure(number: int) -> None:
        first, last = pieces[number]
        distances = np.empty((last - first, len(sizes)))
        measure_to(first, last, distances)
        totals[number] = _silhouette.simplified(distances, labels[first:last], sizes)

    _team.each(measure, [(number,) for number in range(len(pieces))], n_threads)
    return float(totals.sum()) / rows.n


def classical(
    rows: Any, labels: np.ndarray, sizes: np.ndarray, chosen: np.ndarray, n_threads: int
) -> float:
    groups = [chosen[first : first + CHOSEN] for first in range(0, len(chosen), CHOSEN)]
    totals = np.empty(len(groups))

    def measure(number: int) -> Iterator[None]:
        group = groups[number]
        measure_to = rows.distances_to(rows[group])
        sums = np.zeros((len(sizes), len(group)))
        for first, last in pieces_of(rows, len(group)):
            distances = np.empty((last - first, len(group)))
            measure_to(first, last, distances)
            _silhouette.add_by_cluster(distances, labels[first:last], sums)
            yield
        totals[number] = _silhouette.classical(sums, labels[group], sizes)

    _team.each(measure, [(number,) for number in range(len(groups))], n_threads)
    return float(totals.sum()) / len(chosen)


def pieces_of(rows: Any, columns: int) -> list[tuple[int, int]]:
    """First and last row of blocks whose distances to so many points fit the cache."""
    size = max(1, min(rows.block_rows, SCRATCH // columns))
    return [(first, min(rows.n, first + size)) for first in range(0, rows.n, size)]


def means(rows: Any, labels: np.ndarray, k: int) -> np.ndarray:
    """Mean of each cluster (k, d)."""
    base = np.repeat(rows.middle()[None], k, axis=0)
    totals = rows.totals(base, None, labels)
    return base + totals[:, :-2] / totals[:, -2:-1]
