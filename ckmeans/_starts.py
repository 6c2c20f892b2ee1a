"""Starting centroids: k-means++, random rows, and the optimum of one column."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from ckmeans import _optimal_1d, _seeding
from ckmeans._rows import Rows


class Start(NamedTuple):
    """Where a run starts."""

    centroids: np.ndarray  # (k, d) float64
    labels: np.ndarray | None = None  # (n,) int32, of the nearest centroids, where known


def starting_rows(rows: Rows, k: int, rng: Any, weight: np.ndarray | None, init: str) -> Start:
    """Centroids by the named method."""
    if init == "k-means++":
        return Start(plus_plus(rows, k, rng, weight))
    return Start(random(rows, k, rng, weight))


def random(rows: Rows, k: int, rng: Any, weight: np.ndarray | None) -> np.ndarray:
    """k distinct rows; a row's chance to be drawn next is proportional to its weight."""
    if weight is None:
        return rows[rng.choice(rows.n, size=k, replace=False)]
    # Efraimidis & Spirakis 2006: the k smallest of E / weight are such a draw.
    with np.errstate(divide="ignore"):
        order = rng.standard_exponential(rows.n) / weight
    return rows[np.argsort(order, kind="stable")[:k]]


def plus_plus(rows: Rows, k: int, rng: Any, weight: np.ndarray | None) -> np.ndarray:
    """Greedy k-means++ (Arthur & Vassilvitskii 2007) with 2 + floor(ln k) candidates a step.

    The first K rows drawn for k are a start for every K < k.
    """
    n_candidates = 2 + int(math.log(k))
    centroids = np.empty((k, rows.d))
    nearest = np.full(rows.n, np.inf)
    first = draw(np.ones(rows.n) if weight is None else weight, 1, rng)
    assert first is not None, "weights have a positive sum"
    choose(rows, centroids, 0, int(first[0]), nearest)
    for j in range(1, k):
        chances = nearest if weight is None else nearest * weight
        candidates = draw(chances, n_candidates, rng)
        if candidates is None:  # every row is a centroid already: repeat some
            centroids[j:] = rows[rng.integers(rows.n, size=k - j)]
            break
        best = candidates[int(np.argmin(potentials(rows, rows[candidates], weight, nearest)))]
        choose(rows, centroids, j, int(best), nearest)
    return centroids


def draw(chances: np.ndarray, size: int, rng: Any) -> np.ndarray | None:
    """Row indices with the given relative chances; None where all of them are 0."""
    largest = chances.max()
    if largest == 0:
        return None
    cumulative = np.cumsum(chances / largest)
    found = np.searchsorted(cumulative, rng.random(size) * cumulative[-1], side="right")
    return np.minimum(found, int(np.flatnonzero(chances)[-1]))


def choose(rows: Rows, centroids: np.ndarray, j: int, row: int, nearest: np.ndarray) -> None:
    """Make the row centroid j and lower every row's distance by it."""
    centroids[j] = rows[np.array([row])][0]
    for first, block in rows.blocks():
        _seeding.choose(block, centroids[j], nearest[first : first + len(block)])


def potentials(
    rows: Rows, candidates: np.ndarray, weight: np.ndarray | None, nearest: np.ndarray
) -> np.ndarray:
    """The inertia that each candidate would leave."""
    total = np.zeros(len(candidates))
    for first, block in rows.blocks():
        last = first + len(block)
        part = None if weight is None else weight[first:last]
        _seeding.lower_distances(block, candidates, part, nearest[first:last], total)
    return total


def optimal_column(rows: Rows, k: int, weight: np.ndarray | None) -> np.ndarray:
    """Centroids of the global optimum of one column (Wu 1991; Wang & Song 2011).

    Equal values count as one of their summed weight. With fewer distinct values than k, the last
    value is repeated.
    """
    column = np.concatenate([block[:, 0].astype(np.float64) for _, block in rows.blocks()])
    mass = np.ones(rows.n) if weight is None else weight
    values, which = np.unique(column[mass > 0], return_inverse=True)
    mass = np.bincount(which, weights=mass[mass > 0])
    m = len(values)
    if m <= k:
        return np.concatenate([values, np.repeat(values[-1], k - m)])[:, None]
    centre = values[m // 2]  # small numbers, small cancellation
    s0, s1, s2 = (
        np.concatenate([[0.0], np.cumsum(mass * (values - centre) ** power)]) for power in range(3)
    )
    before, after = np.empty((2, m))
    _optimal_1d.first_row(s1, s2, s0, before)
    cuts = np.empty((k, m), dtype=np.int32)
    for q in range(1, k):
        after[:q] = np.inf
        _optimal_1d.fill_row(s1, s2, s0, before, after, cuts[q], q)
        before, after = after, before
    ends, last = [m], m
    for q in range(k - 1, 0, -1):
        last = int(cuts[q, last - 1])
        ends.append(last)
    edges = np.array([0, *reversed(ends)])
    return (centre + np.diff(s1[edges]) / np.diff(s0[edges]))[:, None]
