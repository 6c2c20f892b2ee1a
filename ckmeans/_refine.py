"""Better optima: centroids go from where they are of little use to where the error is."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from ckmeans import _lloyd
from ckmeans._iterate import Limits, Problem, Run, Start, inertia_of, lloyd
from ckmeans._rows import scattered

# Breaths of 5 with 4 iterations each find the same inertias as longer or deeper ones (within 0.3 %
# on planes of 20 to 50 clusters and a photograph's pixels) in half their iterations.
BREATH = 5
ITERATIONS = 4
LEAST_GAIN = 1e-4
SAMPLE = 256  # rows that tell of a cluster
# Swaps of two find the best optimum known at 1M x 2 and 1M x 3 from each of 12 starts, of one from
# 11 of them; those that lower the inertia by less than a thousandth cost more than they bring.
SWAPPED, MUCH = 2, 1e-3
POWERS = 8  # with the exact line promises() finds one breath more of 29, and six more in vain


def refined(problem: Problem, run: Run, limits: Limits, rng: Any) -> Run:
    """The run, improved by breathing (Fritzke 2020, "The breathing k-means algorithm").

    Breathing in adds centroids in the clusters of largest inertia, breathing out removes those that
    are missed least; Lloyd's iterations follow either. A breath that does not lower the inertia is
    taken back, and the next is shallower by one.
    """
    k = len(run.centroids)
    if run.stopped or run.too_few_points or not 1 < k < problem.rows.n:
        return run
    best, depth, n_iter = run, min(BREATH, k, problem.rows.n - k), run.n_iter
    while depth and time.monotonic() <= limits.deadline:
        after = breath(problem, best, depth, limits, rng)
        n_iter += after.n_iter
        if after.inertia < best.inertia * (1 - LEAST_GAIN):
            best = after
        else:
            depth -= 1
    if best is run:
        return replace(run, n_iter=n_iter)
    final = lloyd(problem, Start(best.centroids), limits, 0)
    return replace(min(run, final, key=inertia_of), n_iter=n_iter + final.n_iter)


def swapped(problem: Problem, run: Run, limits: Limits, rng: Any) -> Run:
    """The run, improved by breaths of two as long as they promise and bring much. Its centroids are
    no fixed point."""
    while time.monotonic() <= limits.deadline and promises(problem, run, rng):
        after = breath(problem, run, SWAPPED, limits, rng)
        if after.inertia >= run.inertia * (1 - MUCH):
            break
        run = after
    return run


@np.errstate(over="ignore", invalid="ignore")
def promises(problem: Problem, run: Run, rng: Any) -> bool:
    """Whether the cluster of largest inertia may gain more by a second centroid than another is
    worth: no more than its variance along the line on which it would be divided.

    The line is found by some of its rows and the variance measured with others: with the same, few
    rows of many columns would seem to lie along a line. In 12 kinds of blobs, 8 seeds each, it
    promised 28 of the 29 breaths that lowered the inertia by 1 % or more, and 25 of 136 others.
    """
    worst = int(run.cluster_inertias.argmax())
    members = np.flatnonzero(run.labels == worst)
    if not len(members):
        return False
    rows = problem.rows[members[rng.integers(len(members), size=2 * SAMPLE)]]
    rows -= rows.mean(axis=0)
    along = (rows[SAMPLE:] * principal_line(rows[:SAMPLE])).sum(axis=1)
    gain = np.square(along).mean() * len(members)
    sample = problem.rows.subset(scattered(SAMPLE // 2 * len(run.centroids), problem.rows.n))
    missed = utilities(problem, run.centroids, sample).min() * problem.rows.n / sample.n
    return bool(gain > missed)


def principal_line(rows: np.ndarray) -> np.ndarray:
    """Nearly the direction (d,) along which centred rows vary most, by powers of their covariance.
    (No product of matrices: without memory OpenBLAS ends the process.)"""
    line: np.ndarray = rows[np.square(rows).sum(axis=1).argmax()]
    for _ in range(POWERS):
        line = (rows * (rows * line).sum(axis=1, keepdims=True)).sum(axis=0)
        line = line / np.abs(line).max()
    return line / np.sqrt(np.square(line).sum())


def breath(problem: Problem, run: Run, depth: int, limits: Limits, rng: Any) -> Run:
    """A run with `depth` centroids more, and on to one without as many; n_iter counts both."""
    brief = limits._replace(max_iter=ITERATIONS, shift=0.0, callback=None)
    many = lloyd(problem, Start(breathed_in(problem, run, depth, rng)), brief, 0)
    few = lloyd(problem, Start(breathed_out(problem, many, depth)), brief, 0)
    return replace(few, n_iter=many.n_iter + few.n_iter)


def breathed_in(problem: Problem, run: Run, depth: int, rng: Any) -> np.ndarray:
    """The centroids and a row of each of the `depth` clusters of largest inertia."""
    worst = np.argsort(-run.cluster_inertias, kind="stable")[:depth]
    rows = [drawn_row(problem, run, int(cluster), rng) for cluster in worst]
    return np.concatenate([run.centroids, rows])


@np.errstate(over="ignore", invalid="ignore")
def drawn_row(problem: Problem, run: Run, cluster: int, rng: Any) -> np.ndarray:
    """A row of the cluster, by its squared distance to the centroid, out of some."""
    members = np.flatnonzero(run.labels == cluster)
    if not len(members):
        return run.centroids[cluster]
    some = members[rng.integers(len(members), size=SAMPLE)]
    rows = problem.rows[some]
    chances = np.square(rows - run.centroids[cluster]).sum(axis=1)
    if problem.weight is not None:
        chances *= problem.weight[some]
    total = np.cumsum(chances)
    return rows[min(int(np.searchsorted(total, rng.random() * total[-1])), SAMPLE - 1)]


def breathed_out(problem: Problem, run: Run, depth: int) -> np.ndarray:
    """The centroids without `depth` of those that are missed least.

    The nearest neighbour of a removed centroid stays, since it takes the rows.
    """
    kept = np.zeros(len(run.centroids), dtype=bool)
    removed: list[int] = []
    missed = utilities(problem, run.centroids, problem.rows, problem.weight)
    order = np.argsort(missed, kind="stable").tolist()
    for cluster in order:
        if len(removed) < depth and not kept[cluster]:
            removed.append(cluster)
            kept[nearest_other(run.centroids, cluster)] = True
    left = [cluster for cluster in order if cluster not in set(removed)]
    return np.delete(run.centroids, removed + left[: depth - len(removed)], axis=0)


def nearest_other(centroids: np.ndarray, cluster: int) -> int:
    """The centroid nearest to that of the cluster."""
    apart2 = np.square(centroids - centroids[cluster]).sum(axis=1)
    apart2[cluster] = np.inf
    return int(apart2.argmin())


def utilities(
    problem: Problem, centroids: np.ndarray, rows: Any, weight: np.ndarray | None = None
) -> np.ndarray:
    """How much the inertia of rows would rise without each centroid (Fritzke 1997), in float64."""
    k = len(centroids)
    look = nearest_two(rows, centroids, problem.reference)
    parts = np.zeros((-(-rows.n // rows.block_rows), k))  # added in order, whatever the threads

    def add(first: int, last: int) -> None:
        labels, nearest2, next2 = look(first, last)
        rise = np.maximum(next2 - nearest2, 0)
        if weight is not None:
            rise *= weight[first:last]
        parts[first // rows.block_rows] = np.bincount(labels, weights=rise, minlength=k)

    rows.each_block(add, problem.n_threads)
    return parts.sum(axis=0)


def nearest_two(
    rows: Any, centroids: np.ndarray, reference: np.ndarray
) -> Callable[[int, int], tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """What returns the labels of rows first..last-1 and their squared distances to the nearest
    centroid and to the next."""

    def dense(first: int, last: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        labels = np.empty(last - first, dtype=np.int32)
        upper2, lower2 = np.empty((2, last - first))
        block = rows.block(first, last, np.float64)
        _lloyd.assign(block, centroids, packed, labels, upper2, lower2)
        return labels, upper2, lower2

    def sparse(first: int, last: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        distances = np.empty((last - first, len(centroids)))
        measure(first, last, distances)
        two = np.partition(np.square(distances), 1, axis=1)
        return distances.argmin(axis=1), two[:, 0], two[:, 1]

    if rows.sparse:
        measure = rows.distances_to(centroids)
        return sparse
    packed = _lloyd.pack(centroids, reference, False)
    return dense
