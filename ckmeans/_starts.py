"""Starting centroids: k-means++ or random rows."""

from __future__ import annotations

from typing import Any

import numpy as np

from ckmeans import _plus_plus
from ckmeans._iterate import Start
from ckmeans._rows import Rows

SORTED_AT_ONCE = 1 << 20  # values, of which NumPy can be interrupted only in between


def starting_rows(
    rows: Rows, k: int, rng: Any, weight: np.ndarray | None, init: str, n_threads: int,
    memory: np.ndarray | None = None,
) -> Start:  # fmt: skip
    """Centroids by the named method, which may work in `memory` (m,) uint8."""
    if init == "k-means++":
        seeds = _plus_plus.seeds(rows, k, rng, weight, n_threads, memory)
        return Start(seeds.centroids, seeds.owner, drawn=True)
    return Start(random(rows, k, rng, weight), drawn=True)


def random(rows: Rows, k: int, rng: Any, weight: np.ndarray | None) -> np.ndarray:
    """k distinct rows; a row's chance to be drawn next is proportional to its weight."""
    if weight is None:
        return rows[rng.choice(rows.n, size=k, replace=False)]
    # Efraimidis & Spirakis 2006: the k smallest of E / weight are such a draw.
    with np.errstate(divide="ignore"):
        return rows[smallest(rng.standard_exponential(rows.n) / weight, k)]


def smallest(values: np.ndarray, k: int) -> np.ndarray:
    """Indices of the k smallest values, ascending, the first on ties."""
    found = np.empty(0, dtype=np.intp)
    for first in range(0, len(values), SORTED_AT_ONCE):
        new = values[first : first + SORTED_AT_ONCE]
        places = np.flatnonzero(new < values[found[-1]]) if len(found) == k else np.arange(len(new))
        some = np.concatenate([found, first + places])
        found = some[np.argsort(values[some], kind="stable")[:k]]
    return found
