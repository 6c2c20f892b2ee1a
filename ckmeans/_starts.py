"""Starting centroids: k-means++ or random rows."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from ckmeans import _plus_plus
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
