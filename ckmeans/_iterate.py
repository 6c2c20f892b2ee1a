"""Lloyd's iteration over blocks of rows, from a start to the fixed point or another stop."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ckmeans import _bounds, _lloyd
from ckmeans._rows import Rows

PLAIN, BOUND, FILTER = 0, 1, 2  # as _bounds.pyx names them
CHUNK_ELEMENTS = 1 << 14  # gathered rows stay in the L1 cache
WORTHWHILE = 0.6  # a filter that leaves more rows than this costs more than it saves


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
    """One problem between iterations: rows, weights, labels, sums and bounds.

    The centroids of the next iteration are ``reference + sums / mass``; only rows that change
    their label move between the sums (weighted rows are added anew, since a large weight that
    leaves would take the small ones' digits with it).
    """

    def __init__(self, rows: Rows, weight: np.ndarray | None, prune: bool | None) -> None:
        self.rows, self.weight, self.prune = rows, weight, prune
        self.labels = np.empty(rows.n, dtype=np.int32)
        self.upper, self.lower = np.empty((2, rows.n if prune is not False else 0), rows.dtype)
        self.reference = rows[np.array([0, rows.n // 2, rows.n - 1])].mean(axis=0)
        chunk = max(64, min(1024, CHUNK_ELEMENTS // rows.d))
        self.gathered = np.empty((chunk, rows.d), rows.dtype)
        self.indices = np.empty((2, chunk), np.int32)
        self.bounds2 = np.empty((2, chunk), rows.dtype)

    def begin(self, k: int) -> None:
        """Forget labels, sums and bounds before a run."""
        self.labels.fill(-1)
        self.sums, self.mass = np.zeros((k, self.rows.d)), np.zeros(k)
        self.counts = np.zeros(k, dtype=np.int64)
        self.bounded_at: np.ndarray | None = None  # the centroids that the bounds belong to
        self.changed, self.pause = self.rows.n, 0

    def weight_of(self, first: int, block: np.ndarray) -> np.ndarray | None:
        return None if self.weight is None else self.weight[first : first + len(block)]

    def assign(self, centroids: np.ndarray) -> int:
        """Assign every row and move those that change; returns how many did."""
        k = len(centroids)
        mode = self._mode(k)
        packed = _lloyd.pack(centroids, self.reference, self.rows.dtype == np.float32)
        moved = self._drifts(centroids) if mode == FILTER else self._no_drifts
        if self.weight is not None:
            for total in (self.sums, self.mass, self.counts):
                total.fill(0)
        self.changed, assigned = 0, 0
        for first, block in self.rows.blocks():
            part = slice(first, first + len(block))
            changed_here, assigned_here = _bounds.step(
                mode, block, centroids, packed, self.weight_of(first, block), self.reference,
                *moved, self.labels[part], self.upper[part], self.lower[part], self.gathered,
                self.indices, self.bounds2, self.sums, self.mass, self.counts,
            )  # fmt: skip
            self.changed += changed_here
            assigned += assigned_here
        self.bounded_at = None if mode == PLAIN else centroids
        if mode == FILTER and self.prune is None and assigned > WORTHWHILE * self.rows.n:
            self.bounded_at, self.pause = None, 4
        return self.changed

    def _mode(self, k: int) -> int:
        """Filter where bounds are there, set them where few rows change, else do without."""
        if self.prune is False:
            return PLAIN
        if self.bounded_at is not None:
            return FILTER
        if self.prune:
            return BOUND
        self.pause -= 1
        small = self.rows.n * k * self.rows.d < 1 << 18
        return PLAIN if small or self.pause > 0 or self.changed * 8 > self.rows.n else BOUND

    @property
    def _no_drifts(self) -> tuple[np.ndarray, np.ndarray, float, float]:
        unused = np.zeros(1, self.rows.dtype)
        return unused, unused, 0.0, 0.0

    def _drifts(self, centroids: np.ndarray) -> tuple[np.ndarray, np.ndarray, float, float]:
        """Each centroid's move and half its distance to the nearest other, rounded outward."""
        k, d = centroids.shape
        outward = 1 + (d + 16) * 2.3e-16 + 2 * float(np.finfo(self.rows.dtype).eps)
        tiny = float(np.finfo(self.rows.dtype).tiny)
        moves = np.sqrt(np.square(centroids - self.bounded_at).sum(axis=1)) * outward
        drift = np.where(moves > 0, moves + tiny, 0.0).astype(self.rows.dtype)
        nearest, upper2, lower2 = np.empty(k, np.int32), np.empty(k), np.empty(k)
        packed = _lloyd.pack(centroids, self.reference, False)
        _lloyd.assign(centroids, centroids, packed, nearest, upper2, lower2)
        gap = np.sqrt(np.maximum(lower2, 0.0)) / 2 / outward
        # A centroid that is not its own nearest has a twin.
        half_gap = np.where(nearest == np.arange(k), np.maximum(gap - tiny, 0), 0.0)
        second, largest = (np.partition(drift, -2)[-2:] if k > 1 else (0.0, drift[0]))
        return drift, half_gap.astype(self.rows.dtype), float(largest), float(second)

    def residuals(
        self, centroids: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Mean of x - c over each cluster, the cluster's mass and its inertia, added anew.

        Residuals rather than rows: as exact far from the origin as for centred data.
        """
        residuals = np.zeros_like(centroids)
        mass, inertias = np.zeros((2, len(centroids)))
        for first, block in self.rows.blocks():
            labels = self.labels[first : first + len(block)]
            weight = self.weight_of(first, block)
            _lloyd.accumulate(block, centroids, weight, labels, residuals, mass, inertias)
        return residuals / np.where(mass > 0, mass, 1.0)[:, None], mass, inertias

    def move(self, row: int, x: np.ndarray, cluster: int) -> None:
        """Put one row into an empty cluster."""
        donor = self.labels[row]
        w = 1.0 if self.weight is None else self.weight[row]
        difference = w * (x - self.reference)
        self.sums[donor] -= difference
        self.sums[cluster] = difference
        self.mass[donor] -= w
        self.mass[cluster] = w
        self.counts[donor] -= 1
        self.counts[cluster] = 1
        self.labels[row] = cluster
        if self.bounded_at is not None:
            self.upper[row], self.lower[row] = np.inf, 0.0

    def farthest(self, means: np.ndarray, pure: set[int]) -> int:
        """The row of positive weight farthest from its cluster's mean, the first on ties; or -1."""
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
        return best_row

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
    blocks.begin(len(start))
    centroids, too_few, stopped = start, False, False
    for n_iter in range(1, limits.max_iter + 1):
        changed = blocks.assign(centroids)
        if changed:
            means, too_few = updated(blocks, centroids)
        else:
            means = rebuilt(blocks, centroids)
        shift = float(np.square(means - centroids).sum())
        stopped = told_to_stop(limits, run, n_iter, changed, shift, blocks, centroids)
        if stopped or 0 < limits.shift >= shift or (means == centroids).all():
            break
        centroids = means
    converged = not stopped and (changed == 0 or 0 < limits.shift >= shift)
    if changed or (means != centroids).any():
        # Labels must belong to the centroids that are returned.
        centroids = means
        converged |= blocks.assign(centroids) == 0 and not stopped
    inertias = blocks.residuals(centroids)[2]
    return Run(centroids, blocks.labels.copy(), inertias, n_iter, converged, stopped, too_few)


def rebuilt(blocks: Blocks, centroids: np.ndarray) -> np.ndarray:
    """The means added anew: the very centroids, unless the moves between sums have cost digits."""
    residuals, _, _ = blocks.residuals(centroids)
    rounding = 8 * np.finfo(np.float64).eps * (np.abs(centroids) + np.abs(blocks.reference))
    if (np.abs(residuals) <= rounding).all():
        return centroids
    blocks.sums = blocks.mass[:, None] * (centroids + residuals - blocks.reference)
    return centroids + residuals


def told_to_stop(
    limits: Limits, run: int, n_iter: int, changed: int, shift: float,
    blocks: Blocks, centroids: np.ndarray,
) -> bool:  # fmt: skip
    """Whether the callback or the clock ends the work after this iteration."""
    stop = False
    if limits.callback is not None:
        inertia = float(blocks.residuals(centroids)[2].sum())
        progress = Progress(run, n_iter, changed, shift, inertia, limits.n_init, limits.max_iter)
        stop = limits.callback(progress) is True
    return stop or time.monotonic() > limits.deadline


def updated(blocks: Blocks, centroids: np.ndarray) -> tuple[np.ndarray, bool]:
    """Means of the clusters, emptied ones refilled; and whether some could not be."""
    means = centroids.copy()
    filled = blocks.counts > 0
    means[filled] = blocks.reference + blocks.sums[filled] / blocks.mass[filled, None]
    blocks.sums[~filled] = blocks.mass[~filled] = 0.0
    pure: set[int] = set()
    for cluster in np.flatnonzero(~filled):
        if not refill(blocks, means, int(cluster), pure):
            return means, True
    return means, False


def refill(blocks: Blocks, means: np.ndarray, cluster: int, pure: set[int]) -> bool:
    """Move the row farthest from its mean into an emptied cluster; False if there is none.

    A cluster of equal rows gives none away: its mean is only a rounding error away from them.
    """
    while (row := blocks.farthest(means, pure)) >= 0:
        donor = int(blocks.labels[row])
        x = blocks.rows[np.array([row])][0]
        if not blocks.all_equal(donor, x):
            blocks.move(row, x, cluster)
            means[donor] = blocks.reference + blocks.sums[donor] / blocks.mass[donor]
            means[cluster] = x
            return True
        means[donor] = x
        pure.add(donor)
    return False
