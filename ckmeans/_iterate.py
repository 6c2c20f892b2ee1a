"""Lloyd's iteration over blocks of rows, from a start to the fixed point or another stop."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ckmeans import _lloyd
from ckmeans._rows import Rows


@dataclass(frozen=True)
class Progress:
    """What a callback is told after each iteration.

    Attributes
    ----------
    run : int
        Which of the n_init runs, from 0.
    iteration : int
        From 1.
    rows_changed : int
        Rows whose label this iteration changed.
    centroid_shift : float
        Sum of the centroids' squared moves (squared distance).
    inertia : float
        Weighted sum of squared distances at this iteration's labels, before the update.
    n_init, max_iter : int
        The limits of the call.
    """

    run: int
    iteration: int
    rows_changed: int
    centroid_shift: float
    inertia: float
    n_init: int
    max_iter: int


@dataclass(frozen=True)
class Limits:
    """When to stop before the fixed point."""

    max_iter: int
    shift: float
    deadline: float
    callback: Callable[[Progress], object] | None
    n_init: int


@dataclass
class Run:
    """One run from one start."""

    centroids: np.ndarray
    labels: np.ndarray
    cluster_inertias: np.ndarray
    n_iter: int
    converged: bool
    stopped: bool = False
    too_few_points: bool = False

    @property
    def inertia(self) -> float:
        return float(self.cluster_inertias.sum())


class Blocks:
    """The loops of one problem: rows, weights, labels and the scratch of one block."""

    def __init__(self, rows: Rows, weight: np.ndarray | None) -> None:
        self.rows, self.weight = rows, weight
        self.labels = np.full(rows.n, -1, dtype=np.int32)
        self.previous = np.empty(rows.block_rows, dtype=np.int32)
        self.upper2, self.lower2 = np.empty((2, rows.block_rows), dtype=rows.dtype)
        self.shift = rows[np.array([0, rows.n // 2, rows.n - 1])].mean(axis=0)

    def weight_of(self, first: int, block: np.ndarray) -> np.ndarray | None:
        return None if self.weight is None else self.weight[first : first + len(block)]

    def step(self, centroids: np.ndarray) -> tuple[int, np.ndarray, np.ndarray, np.ndarray]:
        """Assign every row; returns rows changed and the clusters' residuals, mass, inertias."""
        residuals = np.zeros_like(centroids)
        mass, inertias = np.zeros((2, len(centroids)))
        packed = _lloyd.pack(centroids, self.shift, self.rows.dtype == np.float32)
        changed = 0
        for first, block in self.rows.blocks():
            changed += _lloyd.step(
                block, centroids, packed, self.weight_of(first, block),
                self.labels[first : first + len(block)], self.previous, self.upper2, self.lower2,
                residuals, mass, inertias,
            )  # fmt: skip
        return changed, residuals, mass, inertias

    def farthest(self, means: np.ndarray, pure: set[int]) -> tuple[int, float]:
        """The row of positive weight farthest from its cluster's mean, the first on ties."""
        best, best_row = 0.0, -1
        distance2 = np.empty(self.rows.block_rows)
        for first, block in self.rows.blocks():
            labels = self.labels[first : first + len(block)]
            squares = distance2[: len(block)]
            _lloyd.own_distances2(block, means, labels, squares)
            weight = self.weight_of(first, block)
            if weight is not None:
                squares[weight == 0] = 0.0
            if pure:
                squares[np.isin(labels, list(pure))] = 0.0
            i = int(squares.argmax())
            if squares[i] > best:
                best, best_row = float(squares[i]), first + i
        return best_row, best

    def all_equal(self, cluster: int, row: np.ndarray) -> bool:
        """Whether all rows of positive weight in the cluster equal this one."""
        for first, block in self.rows.blocks():
            members = self.labels[first : first + len(block)] == cluster
            weight = self.weight_of(first, block)
            if weight is not None:
                members &= weight > 0
            if (block[members] != row).any():
                return False
        return True


def lloyd(blocks: Blocks, start: np.ndarray, limits: Limits, run: int) -> Run:
    """Assign and update from `start` until no label changes or a limit is reached."""
    centroids, converged, stopped, too_few = start, False, False, False
    blocks.labels.fill(-1)
    for n_iter in range(1, limits.max_iter + 1):
        changed, residuals, mass, inertias = blocks.step(centroids)
        if changed:
            means, too_few = updated(blocks, centroids, residuals, mass)
        else:
            # The centroids are the means of these very labels: the fixed point.
            means, converged = centroids, True
        shift = float(np.square(means - centroids).sum())
        stopped = told_to_stop(limits, run, n_iter, changed, shift, float(inertias.sum()))
        if converged or stopped or 0 < limits.shift >= shift:
            break
        centroids = means
    if not converged:
        # Labels must belong to the centroids that are returned.
        centroids = means
        changed, _, _, inertias = blocks.step(centroids)
        converged = not stopped and (changed == 0 or 0 < limits.shift >= shift)
    return Run(
        centroids, blocks.labels.copy(), inertias, n_iter, converged and not stopped,
        stopped, too_few,
    )  # fmt: skip


def told_to_stop(
    limits: Limits, run: int, n_iter: int, changed: int, shift: float, inertia: float
) -> bool:
    """Whether the callback or the clock ends the work after this iteration."""
    stop = False
    if limits.callback is not None:
        progress = Progress(run, n_iter, changed, shift, inertia, limits.n_init, limits.max_iter)
        stop = limits.callback(progress) is True
    return stop or time.monotonic() > limits.deadline


def updated(
    blocks: Blocks, centroids: np.ndarray, residuals: np.ndarray, mass: np.ndarray
) -> tuple[np.ndarray, bool]:
    """Means of the clusters, emptied ones refilled; and whether some could not be."""
    means = centroids.copy()
    filled = mass > 0
    means[filled] += residuals[filled] / mass[filled, None]
    empty = np.flatnonzero(~filled)
    pure: set[int] = set()
    for cluster in empty:
        if not refill(blocks, means, int(cluster), mass, pure):
            return means, True
    return means, False


def refill(
    blocks: Blocks, means: np.ndarray, cluster: int, mass: np.ndarray, pure: set[int]
) -> bool:
    """Move the row farthest from its mean into an emptied cluster; False if there is none.

    A cluster of equal rows gives none away: its mean is only a rounding error away from them.
    """
    while True:
        row, distance2 = blocks.farthest(means, pure)
        if row < 0:
            return False
        donor = int(blocks.labels[row])
        x = blocks.rows[np.array([row])][0]
        if not blocks.all_equal(donor, x):
            break
        means[donor] = x
        pure.add(donor)
    w = 1.0 if blocks.weight is None else blocks.weight[row]
    means[cluster] = x
    mass[donor] -= w
    mass[cluster] = w
    # The donor's mean without the row, as a move of the mean it had with it.
    means[donor] += (means[donor] - x) * (w / mass[donor])
    blocks.labels[row] = cluster
    return True
