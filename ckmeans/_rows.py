"""A matrix read a block of rows at a time, without a copy of the whole."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from ckmeans import _lloyd, _team
from ckmeans._memory import taken
from ckmeans._source import Source

BLOCK_ELEMENTS = 1 << 17  # a block and its scratch stay in the L2 cache
PARALLEL = 1 << 20  # elements; in a pass over fewer, a second thread costs more than it saves
ODD = np.uint64(0x9E3779B97F4A7C15)  # 2 ** 64 over the golden ratio
FLOAT32, FLOAT64 = np.dtype(np.float32), np.dtype(np.float64)


def directions(points: np.ndarray, otherwise: np.ndarray) -> np.ndarray:
    """Points (k, d) divided by their norms; zeros have none, and are those of `otherwise`."""
    largest = np.abs(points).max(axis=1, keepdims=True)
    scaled = np.divide(points, largest, out=np.array(otherwise), where=largest > 0)
    return scaled / np.where(largest > 0, np.linalg.norm(scaled, axis=1, keepdims=True), 1.0)


def scattered(size: int, n: int) -> np.ndarray:
    """At most `size` numbers below n, as if drawn."""
    x = np.arange(size, dtype=np.uint64)
    for _ in range(2):
        x = (x ^ (x >> np.uint64(32))) * ODD
    x = np.sort((x >> np.uint64(11)).astype(np.int64) % n)
    return x[np.append(True, x[1:] != x[:-1])]  # half the time of np.unique


class Rows:
    """Rows of a 2-D array as C-contiguous blocks of the dtype that they are computed in.

    Native rows are views of the array; every other layout, dtype, a standardisation or the
    division by the rows' norms is converted where it is read.
    """

    n: int
    d: int
    width: int  # elements of a row that are computed with
    dtype: np.dtype[Any]  # float32 or float64
    block_rows: int
    native: bool
    source: Source
    offset: np.ndarray | None
    scale: np.ndarray | None
    norms: np.ndarray | None = None
    sparse = False
    unchecked = False  # whether elements may not be finite, as the first sums will tell

    def __init__(
        self,
        X: np.ndarray,
        offset: np.ndarray | None = None,
        scale: np.ndarray | None = None,
        norms: np.ndarray | None = None,
    ) -> None:
        self.X, self.offset, self.scale, self.norms = X, offset, scale, norms
        self.n, self.d = X.shape
        self.source = Source(X, offset, scale, norms)
        self.dtype = FLOAT32 if self.source.single else FLOAT64
        self.native = self.source.native
        self.width = self.d
        self.block_rows = min(self.n, max(1, BLOCK_ELEMENTS // self.d))

    def blocks(self) -> Iterator[tuple[int, np.ndarray]]:
        """Pairs of first row and block, from top to bottom."""
        for first in range(0, self.n, self.block_rows):
            yield first, self.block(first, min(self.n, first + self.block_rows))

    def block(self, first: int, last: int, dtype: Any = None) -> np.ndarray:
        """Rows first..last-1; in float64 instead, if asked to."""
        dtype = dtype or self.dtype
        if self.native and dtype == self.dtype:
            return self.X[first:last]
        converted = np.empty((last - first, self.d), dtype=dtype)
        self.source.read(first, last, converted)
        return converted

    def each_block(self, function: Callable[[int, int], None], n_threads: int) -> None:
        """Call function(first, last) for every block, on up to `n_threads` threads."""
        starts = range(0, self.n, self.block_rows)
        tasks = [(first, min(self.n, first + self.block_rows)) for first in starts]
        _team.each(function, tasks, n_threads if self.n * self.d >= PARALLEL else 1)

    def __getitem__(self, index: np.ndarray) -> np.ndarray:
        """Chosen rows as they are computed, in float64."""
        return self.source.take(np.asarray(index, dtype=np.int64))

    def value(self, place: tuple[int, int]) -> float:
        """The element of X at a row and column."""
        return float(self.X[place])

    def middle(self) -> np.ndarray:
        """A point near most rows, if those lie far from the origin: (d,)."""
        return self.source.middle()

    def distances_to(self, points: np.ndarray) -> Callable[[int, int, np.ndarray], None]:
        """What writes the distances of rows first..last-1 to the points (k, d) into an array."""
        columns = _lloyd.columns_of(points)

        def measure(first: int, last: int, out: np.ndarray) -> None:
            _lloyd.all_distances(self.block(first, last, np.float64), columns, out)

        return measure

    def subset(self, index: np.ndarray) -> Rows:
        """Chosen rows as they are computed, in float64."""
        return Rows(self[index])

    def every(self, step: int, memory: np.ndarray | None) -> tuple[Rows, np.ndarray | None]:
        """Every step-th row: a copy of at most 13 bytes for each of all rows (22 with what else a
        level takes), else where it is; and what is left of the memory (m,) uint8 that is given, if
        any, when the copy is in it."""
        norms = None if self.norms is None else np.ascontiguousarray(self.norms[::step])
        some = self.X[::step]
        if self.d * self.X.itemsize <= 13 * step:
            copy, memory = taken(memory, some.shape, some.dtype)
            for first in range(0, len(some), self.block_rows):  # NumPy can't be interrupted
                copy[first : first + self.block_rows] = some[first : first + self.block_rows]
            some = copy
        return Rows(some, self.offset, self.scale, norms), memory

    def of(self, values: np.ndarray) -> Rows:
        """Rows of values that are computed with as they are, in the units of these."""
        rows = Rows(values)
        rows.offset, rows.scale, rows.norms = self.offset, self.scale, self.norms
        return rows

    def first_bad(self, limit: float, n_threads: int) -> tuple[int, int] | None:
        """Row and column of the first element of X that is not within +-limit; NaN is not."""
        if self.n == self.block_rows:
            return self.source.first_bad(0, self.n, limit)
        found: list[tuple[int, int]] = []

        def look(first: int, last: int) -> None:
            place = self.source.first_bad(first, last, limit)
            if place is not None:
                found.append(place)

        self.each_block(look, n_threads)
        return min(found, default=None)

    def mean_variance(self) -> float:
        """Mean of the columns' variances."""
        labels = np.zeros(self.block_rows, dtype=np.int32)
        point, totals = self.middle()[None], np.zeros((1, self.d + 2))
        for _, block in self.blocks():
            _lloyd.accumulate(block, point, None, labels[: len(block)], totals)
        return _lloyd.mean_variance(totals)

    def moments(self) -> tuple[np.ndarray, np.ndarray]:
        """Mean and variance of each column."""
        mean = np.zeros(self.d)
        for _, block in self.blocks():
            mean += block.sum(axis=0, dtype=np.float64) / self.n
        variance = np.zeros(self.d)
        for _, block in self.blocks():
            difference = block - mean
            variance += np.square(difference, out=difference).sum(axis=0) / self.n
        return mean, variance

    def standardised(self) -> Rows:
        """The same rows with columns of mean 0 and standard deviation 1; constant ones stay."""
        return Rows(self.X, *self.deviations())

    def scaled(self, offset: np.ndarray, scale: np.ndarray) -> Rows:
        """The same rows, minus an offset and divided by a scale by column."""
        return Rows(self.X, offset, scale)

    def deviations(self) -> tuple[np.ndarray, np.ndarray]:
        """What is subtracted from the columns, and what they are divided by, to that end."""
        mean, variance = self.moments()
        deviation = np.sqrt(variance)
        # A constant column whose mean was rounded has a deviation of rounding size.
        constant = deviation <= 1e-14 * np.abs(mean) * np.sqrt(self.n)
        offset = np.where(constant, 0.0, mean)
        return offset, np.where(constant | (deviation == 0), 1.0, deviation)

    def lengths(self) -> np.ndarray:
        """Euclidean norm of each row (n,), 0 for zeros alone; scaled by a power of two meanwhile,
        so that no square leaves the range."""
        squares, exponents = np.empty(self.n), np.empty(self.n, dtype=np.intc)
        origin = np.zeros((1, self.d))
        for first, block in self.blocks():
            part = slice(first, first + len(block))
            _, exponents[part] = np.frexp(np.abs(block).max(axis=1))
            scaled = np.ldexp(block.astype(np.float64), -exponents[part, None])
            zeros = np.zeros(len(block), dtype=np.int32)
            _lloyd.own_distances2(scaled, origin, zeros, squares[part])
        return np.ldexp(np.sqrt(squares), exponents)

    def directions(self, norms: np.ndarray) -> Rows:
        """The same rows divided by their norms."""
        return Rows(self.X, norms=norms)

    def totals(
        self, centroids: np.ndarray, weight: np.ndarray | None, labels: np.ndarray
    ) -> np.ndarray:
        """Sums over each cluster of w (x - c), w and w |x - c|^2: (k, d + 2)."""
        totals = np.zeros((len(centroids), self.d + 2))
        for first, block in self.blocks():
            last = first + len(block)
            part = None if weight is None else weight[first:last]
            _lloyd.accumulate(block, centroids, part, labels[first:last], totals)
        return totals

    def computed(self, centroids: np.ndarray) -> np.ndarray:
        """Centroids in the units of X as they are computed with."""
        if self.norms is not None:
            return directions(centroids, centroids)
        return centroids if self.scale is None else (centroids - self.offset) / self.scale

    def original(self, centroids: np.ndarray) -> np.ndarray:
        """Centroids in the units of X."""
        return centroids if self.scale is None else centroids * self.scale + self.offset
