"""Rows of a CSR matrix: what is asked of `Rows`, of their seeding and of `Problem`."""

from __future__ import annotations

from collections.abc import Callable
from copy import copy
from functools import cached_property
from typing import Any

import numpy as np

from ckmeans import _team
from ckmeans._bounds import PLAIN
from ckmeans._csr import (
    BAD_VALUE,
    UNSORTED,
    WIDTH,
    ByLists,
    ByPanel,
    Csr,
    CsrSweep,
    by_cluster,
    panels_of,
    plain_norms2,
)
from ckmeans._generators import drawn_rows
from ckmeans._iterate import Problem
from ckmeans._memory import fresh
from ckmeans._rows import directions
from ckmeans._seeding import NARROW, draws_ahead

BLOCK_ELEMENTS = 1 << 17  # of a block of rows
SAMPLED, VISIT, LISTING = 64, 0.6, 5  # see lists_pay()
PARALLEL = 1 << 22  # products; with fewer, to wake a second thread costs more than it saves


class SparseRows:
    """The rows of a CSR matrix X, read where they are; dense rows are made only of chosen ones.

    Values are float32 for such matrices and types of at most 16 bits, else float64; others than
    these two are copied, and so are those of rows whose columns do not ascend or occur twice. Where
    the values stand is copied always, to int32 columns: it is checked once, and nobody may change
    it afterwards. `scale` divides the columns, `norms` the rows. They keep their zeros: no offset
    changes a distance.
    """

    sparse = True
    scale: np.ndarray | None = None
    offset: np.ndarray | None = None
    norms: np.ndarray | None = None

    def __init__(self, X: Any) -> None:
        self.X = X
        starts = np.array(X.indptr, dtype=np.int64)
        used = slice(int(starts[-1]))  # there may be more room
        single = X.dtype == np.float32 or X.dtype.itemsize <= 2
        values = np.ascontiguousarray(X.data[used], np.float32 if single else np.float64)
        given = X.indices[used]
        columns = fresh(len(given), np.int32)
        columns[...] = given
        if given.dtype != np.int32:
            columns[columns != given] = -1  # beyond int32 there is no column: -1 stands for all
        self._hold(values, columns, starts, X.shape[1])

    def _hold(self, values: np.ndarray, columns: np.ndarray, starts: np.ndarray, d: int) -> None:
        self.csr = Csr(values, columns, starts, d)
        self.n, self.d, self.dtype = self.csr.n, d, values.dtype
        self.width = max(1, -(-len(values) // self.n))  # elements of a row
        self.block_rows = min(self.n, max(1, BLOCK_ELEMENTS // self.width))

    def _with(self, values: np.ndarray, columns: np.ndarray, starts: np.ndarray) -> SparseRows:
        """Other values, of rows that have been looked at."""
        rows = copy(self)
        rows._hold(values, columns, starts, self.d)
        rows._looked(np.inf, 1)
        return rows

    def look(self, limit: float, n_threads: int) -> tuple[int, int] | None:
        """Row and column of the first value that is not within +-limit.

        Comes before all else: it measures the rows and puts their columns in order.
        """
        found = self._looked(limit, n_threads)
        if found is not None and found[0] == UNSORTED:
            self._hold(*in_order(self.csr), self.d)
            found = self._looked(limit, n_threads)
        if found is None:
            return None
        kind, at = found
        row, column = self._row_at(at), int(self.csr.columns[at])
        if kind != BAD_VALUE:
            raise ValueError(
                f"X must have column indices between 0 and {self.d - 1}, got "
                f"{self.X.indices[at]} in row {row}"
            )
        return row, column

    def _row_at(self, at: int) -> int:
        return int(np.searchsorted(self.csr.starts, at, side="right")) - 1

    def value(self, place: tuple[int, int]) -> float:
        """The value at a row and column."""
        return float(self[np.array([place[0]])][0, place[1]])

    def _looked(self, limit: float, n_threads: int) -> tuple[int, int] | None:
        found: list[tuple[int, int]] = []

        def look(first: int, last: int) -> None:
            wrong = self.csr.look(first, last, limit)
            if wrong is not None:
                found.append(wrong)

        self.each_block(look, n_threads)
        return min(found, key=lambda wrong: (wrong[0] == UNSORTED, wrong[1]), default=None)

    first_bad = look

    def each_block(self, function: Callable[[int, int], None], n_threads: int) -> None:
        """Call function(first, last) for every block, on up to `n_threads` threads."""
        starts = range(0, self.n, self.block_rows)
        tasks = [(first, min(self.n, first + self.block_rows)) for first in starts]
        _team.each(function, tasks, n_threads)

    def __getitem__(self, index: np.ndarray) -> np.ndarray:
        """Chosen rows, dense, in float64."""
        return self.csr.take(np.asarray(index, dtype=np.int64))

    def subset(self, index: np.ndarray) -> SparseRows:
        """Chosen rows as they are."""
        csr, lengths = self.csr, np.diff(self.csr.starts)[index]
        starts = np.concatenate([[0], np.cumsum(lengths)])
        places = np.arange(starts[-1]) + np.repeat(csr.starts[index] - starts[:-1], lengths)
        rows = self._with(csr.values[places], csr.columns[places], starts)
        rows.norms = None if self.norms is None else self.norms[index]
        return rows

    def every(self, step: int, memory: np.ndarray | None) -> tuple[SparseRows, np.ndarray | None]:
        """Every step-th row, copied."""
        return self.subset(np.arange(0, self.n, step)), memory

    def dense(self) -> np.ndarray:
        """The whole matrix."""
        return self[np.arange(self.n)].astype(self.dtype)

    def moments(self) -> tuple[np.ndarray, np.ndarray]:
        """Mean and variance of each column."""
        values, columns = self.csr.values.astype(np.float64), self.csr.columns
        mean = np.bincount(columns, values, self.d) / self.n
        squares = np.bincount(columns, np.square(values - mean[columns]), self.d)
        absent = self.n - np.bincount(columns, minlength=self.d)
        return mean, (squares + absent * np.square(mean)) / self.n

    def mean_variance(self) -> float:
        """Mean of the columns' variances."""
        return float(self.moments()[1].mean())

    def standardised(self) -> SparseRows:
        """The same rows with columns of standard deviation 1; constant ones stay."""
        mean, variance = self.moments()
        deviation = np.sqrt(variance)
        constant = deviation <= 1e-14 * np.abs(mean) * np.sqrt(self.n)
        return self.scaled(np.zeros(self.d), np.where(constant, 1.0, deviation))

    def scaled(self, offset: np.ndarray, scale: np.ndarray) -> SparseRows:
        """The same rows divided by a scale by column."""
        csr = self.csr
        rows = self._with(csr.values / scale[csr.columns], csr.columns, csr.starts)
        rows.offset, rows.scale = np.zeros(self.d), scale
        return rows

    def lengths(self) -> np.ndarray:
        """Euclidean norm of each row (n,), 0 for zeros alone, with the bits of dense rows."""
        rows = np.repeat(np.arange(self.n), np.diff(self.csr.starts))
        largest = np.zeros(self.n)
        np.maximum.at(largest, rows, np.abs(self.csr.values))
        _, exponents = np.frexp(largest)
        scaled = np.ldexp(self.csr.values.astype(np.float64), -exponents[rows])
        return np.ldexp(np.sqrt(np.bincount(rows, np.square(scaled), self.n)), exponents)

    def directions(self, norms: np.ndarray) -> SparseRows:
        """The same rows divided by their norms."""
        csr = self.csr
        values = csr.values / np.repeat(norms, np.diff(csr.starts))
        rows = self._with(values, csr.columns, csr.starts)
        rows.norms = norms
        return rows

    def totals(
        self, centroids: np.ndarray, weight: np.ndarray | None, labels: np.ndarray
    ) -> np.ndarray:
        """Sums over each cluster of w (x - c), w and w |x - c|^2: (k, d + 2)."""
        sweep = CsrSweep(self.csr, weight, False)
        sweep.begin(len(centroids), labels)
        sweep.list_moves(anew=True)
        sweep.move(0, len(centroids))
        squares = self.own_distances2(centroids, labels, 1)
        if weight is not None:
            squares *= weight
        totals = sweep.totals
        totals[:, :-2] -= totals[:, -2:-1] * centroids
        totals[:, -1] = np.bincount(labels, squares, len(centroids))
        return totals

    def computed(self, centroids: np.ndarray) -> np.ndarray:
        """Centroids in the units of X as they are computed with."""
        if self.norms is not None:
            return directions(centroids, centroids)
        return centroids if self.scale is None else centroids / self.scale

    def original(self, centroids: np.ndarray) -> np.ndarray:
        """Centroids in the units of X."""
        return centroids if self.scale is None else centroids * self.scale

    def nearest_labels(self, centroids: np.ndarray, n_threads: int) -> np.ndarray:
        """Index of the nearest centroid of each row, the lowest on ties: (n,) int32."""
        sweep = CsrSweep(self.csr, None, False)
        sweep.begin(len(centroids))
        sweep.aim(centroids, PLAIN)

        def assign(segment: int) -> None:
            first = segment * sweep.segment_rows
            sweep.assign(segment, first, min(self.n, first + sweep.segment_rows))

        _team.each(assign, [(segment,) for segment in range(sweep.n_segments)], n_threads)
        return sweep.labels

    def own_distances2(
        self, centroids: np.ndarray, labels: np.ndarray, n_threads: int
    ) -> np.ndarray:
        """Squared distance of each row to the centroid of its label: (n,) float64."""
        squares, norms2 = np.empty(self.n), plain_norms2(centroids)
        rows = by_cluster(labels, len(centroids))

        def measure(first: int, last: int) -> None:
            self.csr.own_squares(rows, first, last, centroids, norms2, labels, squares)

        self.each_block(measure, n_threads)
        return squares

    def middle(self) -> np.ndarray:
        """The origin, where most elements of most rows are: (d,)."""
        return np.zeros(self.d)

    def distances_to(self, points: np.ndarray) -> Callable[[int, int, np.ndarray], None]:
        """What writes the distances of rows first..last-1 to the points (k, d) into an array."""
        panels, norms2 = panels_of(points), plain_norms2(points)

        def measure(first: int, last: int, out: np.ndarray) -> None:
            self.csr.all_squares(first, last, panels, norms2, out)
            np.sqrt(out, out=out)

        return measure


def in_order(csr: Csr) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Values, columns and starts of the same rows, their columns ascending and each once: values of
    the same place are added in the order in which they are stored."""
    rows = np.repeat(np.arange(csr.n), np.diff(csr.starts))
    order = np.lexsort((csr.columns, rows))
    rows, columns = rows[order], csr.columns[order]
    first = np.ones(len(order), dtype=bool)
    first[1:] = (rows[1:] != rows[:-1]) | (columns[1:] != columns[:-1])
    values = np.add.reduceat(csr.values[order], np.flatnonzero(first))
    starts = np.concatenate([[0], np.cumsum(np.bincount(rows[first], minlength=csr.n))])
    return values, columns[first], starts


def lists_pay(rows: SparseRows, k: int, n_candidates: int) -> bool:
    """Whether to list the elements by column is worth it in a seeding. Looking at an element by its
    column takes VISIT of what it takes in a panel of WIDTH points, and listing it LISTING as much:
    20k x 100 with k = 40 is seeded in 19 instead of 29 ms where a fifth of the elements are there,
    and in 184 instead of 74 where most are."""
    some = np.arange(min(rows.n, SAMPLED)) * rows.n // min(rows.n, SAMPLED)
    columns = rows.subset(some).csr.columns
    counts = np.unique(columns, return_counts=True)[1]
    pairs = max(1, len(some) * (len(some) - 1))
    shared = (counts * (counts - 1)).sum() / pairs  # columns, by two rows
    panels = -(-n_candidates // WIDTH)
    return bool((k - 1) * (panels - VISIT * n_candidates * shared / rows.width) > LISTING)


class SparseSeeding:
    """The steps of greedy k-means++ over sparse rows, by the names of `_seeding.Seeding`.

    Squared distances to the candidates of a step are kept: 8 bytes a row and candidate.
    """

    owner = None  # rounding may decide between centroids that are equally near

    def __init__(
        self, rows: SparseRows, weight: np.ndarray | None, k: int, n_candidates: int,
        ahead: bool = False,
    ) -> None:  # fmt: skip
        self.csr, self.weight = rows.csr, weight
        lists = lists_pay(rows, k, n_candidates)
        self.products = ByLists(rows.csr) if lists else ByPanel(rows.csr, n_candidates)
        self.n_segments = self.products.n_segments
        self.centroids = np.zeros((k, rows.d))
        self.nearest = np.full(rows.n, np.inf)
        self.squares = fresh((n_candidates, rows.n))
        self.gains = np.empty((self.n_segments, n_candidates))
        self.points = np.empty(0, dtype=np.int64)
        self.n_candidates, self.reached = n_candidates, 0
        self.measuring: bool | None = None  # or settling; None between two steps
        # What is drawn ahead of dense rows, to save reading them, is drawn ahead here as well.
        self.n_ahead = draws_ahead(rows.d, n_candidates) if ahead else 0
        self.n_uniforms = n_candidates + 2 * self.n_ahead
        self.kept: np.ndarray | None = None  # candidates of the next step
        self.later = self.points  # rows that may be

    def _aim(self, points: np.ndarray) -> None:
        self.products.aim(points)
        self.points = points

    def _add_chances(self, chances: np.ndarray) -> None:
        self.cumulative = np.cumsum(chances)

    def _drawn(self, uniforms: np.ndarray) -> np.ndarray:
        """Rows by their chances, as many as uniforms; none if no row has any."""
        if not self.cumulative[-1] > 0:
            return self.points[:0]
        return drawn_rows(self.cumulative, uniforms)

    def begin(self, uniform: float) -> None:
        self._add_chances(np.ones(len(self.nearest)) if self.weight is None else self.weight)
        self._aim(self._drawn(np.array([uniform])))
        self.place, self.measuring = 0, False

    def begun(self) -> None:
        self._take()

    def _take(self) -> None:
        self.centroids[self.reached] = self.csr.take(self.points[self.place : self.place + 1])[0]
        self.reached += 1
        self.measuring = None

    def next_pass(self, uniforms: np.ndarray) -> bool:
        """Whether another pass over the rows belongs to a step: one measures the candidates, one
        settles that which gains most, the first on ties."""
        now, pairs = np.split(uniforms, [self.n_candidates])
        if self.measuring is None:
            self._add_chances(self.nearest if self.weight is None else self.nearest * self.weight)
            points = self._drawn(now) if self.kept is None else self.kept
            if not len(points):
                return False
            self._aim(points)
            self.measuring = True
            return True
        if self.measuring:
            self.place = int(self.gains[:, : len(self.points)].sum(axis=0).argmax())
            self.measuring = False
            if self.kept is None or self.csr.d <= NARROW:
                self._draw_ahead(pairs[::2])
            self.kept = None
            return True
        self._take()
        self._keep(pairs[1::2])
        return False

    def _draw_ahead(self, uniforms: np.ndarray) -> None:
        """Rows that may be candidates of the next step, as `Seeding` draws them."""
        if self.n_ahead and self.reached + 1 < len(self.centroids):
            self.later = self._drawn(uniforms)
            self.before = self.nearest[self.later]

    def _keep(self, uniforms: np.ndarray) -> None:
        """Those of them that the new centroid leaves, if they are as many as a step has."""
        if len(self.later):
            kept = self.later[uniforms * self.before < self.nearest[self.later]]
            if len(kept) >= self.n_candidates:
                self.kept = kept[: self.n_candidates]
            self.later = self.later[:0]

    def work(self, segment: int) -> None:
        """Do the pass for a segment of rows."""
        if self.measuring:
            self._measure(segment)
        else:
            self._settle(segment)

    def _measure(self, segment: int) -> None:
        self.products.gains(segment, self.nearest, self.weight, self.squares, self.gains[segment])

    def _settle(self, segment: int) -> None:
        """Lower the distances of a segment by the new centroid; the first comes unmeasured."""
        if self.reached == 0:
            self._measure(segment)
        size = self.products.segment_rows
        part = slice(segment * size, (segment + 1) * size)
        np.minimum(self.nearest[part], self.squares[self.place, part], out=self.nearest[part])

    def steps(self, uniforms: np.ndarray) -> int:
        """A step for each row of uniforms; returns how many centroids there are then."""
        for row in uniforms:
            while self.next_pass(row):
                for segment in range(self.n_segments):
                    self.work(segment)
        return self.reached


class SparseProblem(Problem):
    """The same iteration over sparse rows: sums are of the rows themselves, cluster by cluster."""

    runs_at_once = goes_on = False
    rows: Any
    sweep: Any

    @cached_property
    def exact(self) -> bool:
        """Whether moves between sums leave nothing in them that is not of their rows."""
        return self.weight is None and bool(self.rows.csr.adds_exactly())

    def _prepare(self) -> None:
        self.reference = self.rows.middle()
        self.sweep = CsrSweep(self.rows.csr, self.weight, self.prune is not False)

    def _of(self, rows: Any, memory: np.ndarray | None) -> Problem:
        return SparseProblem(rows, None, self.prune, self.n_threads)

    def begin(self, k: int, labels: np.ndarray | None) -> None:
        super().begin(k, None)
        self.at: np.ndarray | None = None
        self.owed = False  # whether sums and masses are those of the labels before

    def assign(self, centroids: np.ndarray, measure: bool = False) -> int:
        if centroids is not self.at:
            self._settle()
            self.at = centroids
            super().assign(np.ascontiguousarray(centroids))
        return self.changed

    def _aim(self, centroids: np.ndarray, mode: int, measure: bool) -> None:
        self.sweep.aim(centroids, mode)

    def _collected(self) -> tuple[int, int]:
        self.owed = True
        return self.sweep.n_changed(), self.sweep.collect()

    def _settle(self) -> None:
        """Move the rows that the last assignment changed: only once the sums are asked for, which
        after the last iteration they are not."""
        if self.owed:
            # Anew: weighted rows, as a large weight that leaves a sum would take the small ones'
            # digits with it; and where that is less to do.
            self._add_up(anew=self.weight is not None or 2 * self.changed > self.rows.n)

    def _add_up(self, anew: bool) -> None:
        k, n_threads = len(self.sums), self.n_threads_for(1)
        size = -(-k // (4 * n_threads)) if n_threads > 1 else k
        self.sweep.list_moves(anew)
        tasks = [(first, min(k, first + size)) for first in range(0, k, size)]
        _team.each(self.sweep.move, tasks, n_threads)
        self.sweep.moved()
        self.owed = False

    def means(self, centroids: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        self._settle()
        return super().means(centroids)

    def measured(self) -> np.ndarray:
        """Mass and inertia of each cluster: (k, 2)."""
        assert self.at is not None
        squares = self.rows.own_distances2(self.at, self.labels, self.n_threads_for(len(self.sums)))
        if self.weight is not None:
            squares *= self.weight
        inertias = np.bincount(self.labels, squares, len(self.sums))
        return np.column_stack([np.bincount(self.labels, self.weight, len(self.sums)), inertias])

    def carried(self, centroids: np.ndarray, means: np.ndarray, residuals: np.ndarray) -> None:
        """They are not: rebuilt() leaves them unmeasured until the means stay."""

    def rebuilt(self, centroids: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The means added anew, without what moves between sums have left in them."""
        if not self.exact:
            self._add_up(anew=True)
        means = self.means(centroids)[0]
        if np.array_equal(means, centroids):
            return centroids, self.measured()
        return means, np.empty((0, 2))

    def farthest(self, means: np.ndarray, pure: set[int]) -> int:
        squares = self.rows.own_distances2(means, self.labels, self.n_threads_for(1))
        if self.weight is not None:
            squares[self.weight == 0] = 0.0
        squares[np.isin(self.labels, list(pure))] = 0.0
        row = int(squares.argmax())
        return row if squares[row] > 0 else -1

    def all_equal(self, cluster: int, row: np.ndarray) -> bool:
        return self.rows.csr.all_equal(self.labels, cluster, self.weight, row)

    def n_threads_for(self, comparisons: int) -> int:
        """Threads for so many comparisons of each row."""
        return self.n_threads if self.rows.n * self.rows.width * comparisons >= PARALLEL else 1
