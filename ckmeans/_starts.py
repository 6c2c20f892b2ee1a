"""Starting centroids: k-means++, random rows, and the optimum of one column."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from ckmeans import _optimal_1d, _plus_plus
from ckmeans._rows import Rows


class Start(NamedTuple):
    """Where a run starts."""

    centroids: np.ndarray  # (k, d) float64
    labels: np.ndarray | None = None  # (n,) int32, of the nearest centroids, where known


def starting_rows(
    rows: Rows, k: int, rng: Any, weight: np.ndarray | None, init: str, n_threads: int
) -> Start:
    """Centroids by the named method."""
    if init == "k-means++":
        seeds = _plus_plus.seeds(rows, k, rng, weight, n_threads)
        return Start(seeds.centroids, seeds.owner)
    return Start(random(rows, k, rng, weight))


def random(rows: Rows, k: int, rng: Any, weight: np.ndarray | None) -> np.ndarray:
    """k distinct rows; a row's chance to be drawn next is proportional to its weight."""
    if weight is None:
        return rows[rng.choice(rows.n, size=k, replace=False)]
    # Efraimidis & Spirakis 2006: the k smallest of E / weight are such a draw.
    with np.errstate(divide="ignore"):
        order = rng.standard_exponential(rows.n) / weight
    return rows[np.argsort(order, kind="stable")[:k]]


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
