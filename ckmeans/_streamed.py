"""Rows that are read in each iteration, and the problem of clustering them."""

from __future__ import annotations

import tempfile
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from ckmeans import _readers
from ckmeans import _validation as valid
from ckmeans._bounds import GIVEN, Sweep
from ckmeans._chunks import Chunk
from ckmeans._iterate import Problem
from ckmeans._readers import Reader, read_into
from ckmeans._results import nearest_labels
from ckmeans._rows import FLOAT32, FLOAT64, Rows
from ckmeans._scalable import candidates, random_rows
from ckmeans._source import Source

TILE = 48  # rows; pieces are whole tiles


def start_of(rows: StreamedRows, k: int, rng: Any, init: Any) -> np.ndarray:
    if not isinstance(init, str):
        if rows.scale is not None:
            valid.check_standardised(Rows(init, rows.offset, rows.scale), "init")
        return rows.computed(init)
    if init == "random":
        return random_rows(rows, k, rng)
    return candidates(rows, k, rng).start(k, rng)


class StoredLabels:
    """Labels in a temporary file: slices are read and written."""

    def __init__(self, n: int) -> None:
        self.n = n
        self.file = tempfile.TemporaryFile(prefix="ckmeans-", buffering=0)  # noqa: SIM115
        weakref.finalize(self, self.file.close)
        self.clear()

    def clear(self) -> None:
        """No row is in a cluster yet."""
        block = np.full(min(self.n, _readers.PIECE // 4), -1, dtype=np.int32)
        for first in range(0, self.n, len(block)):
            self[first:] = block[: self.n - first]

    def __getitem__(self, place: Any) -> Any:
        if not isinstance(place, slice):
            return self[place : place + 1][0]
        first, last, _ = place.indices(self.n)
        labels = np.empty(last - first, dtype=np.int32)
        self.file.seek(4 * first)
        read_into(self.file, labels, "the temporary file of labels")
        return labels

    def __setitem__(self, place: Any, labels: Any) -> None:
        first = place.start if isinstance(place, slice) else place
        values = np.atleast_1d(np.ascontiguousarray(labels, dtype=np.int32))
        self.file.seek(4 * first)
        rest = memoryview(values).cast("B")
        while rest:
            rest = rest[self.file.write(rest) :]

    def mapped(self) -> np.ndarray:
        return np.memmap(self.file, dtype=np.int32, mode="r+", shape=(self.n,))


class StreamedProblem(Problem):
    """A problem whose rows are read, and whose labels lie in a file."""

    runs_at_once = goes_on = False
    rows: StreamedRows
    labels: Any

    def __init__(self, rows: StreamedRows) -> None:
        self.rows, self.weight, self.prune, self.n_threads = rows, None, False, rows.n_threads
        self.reference = rows.middle()
        self.sweep = Sweep(rows.source_of(0, 1), None, self.reference, False)
        self.sweep.expect(rows.n)
        self.store: StoredLabels | None = None

    def begin(self, k: int, labels: np.ndarray | None) -> None:
        if self.store is None:
            self.store = StoredLabels(self.rows.n)
        else:
            self.store.clear()
        self.labels = self.store
        self.sweep.begin(k, np.zeros(1, dtype=np.int32))  # those of a piece are shown with it
        self.changed = self.rows.n

    def assign(self, centroids: np.ndarray, measure: bool = False) -> int:
        centroids = np.ascontiguousarray(centroids)
        self.sweep.aim(centroids, GIVEN, False, measure)
        for segment, first, X in self.pieces():
            rows = self.rows.of(X)
            labels = nearest_labels(rows, centroids, self.n_threads)
            before = self.labels[first : first + rows.n]
            self.sweep.show(rows.source, labels, before)
            self.sweep.assign(segment, 0, rows.n)
            if not np.array_equal(labels, before):
                self.labels[first : first + rows.n] = labels
        self.changed, _ = self.sweep.collect()
        return self.changed

    def residuals(self, centroids: np.ndarray) -> np.ndarray:
        self.sweep.aim_residuals(np.ascontiguousarray(centroids))
        for segment, first, X in self.pieces():
            rows = self.rows.of(X)
            labels = self.labels[first : first + rows.n]
            self.sweep.show(rows.source, labels, labels)
            self.sweep.add(segment, 0, rows.n)
        return self.sweep.residuals()

    def move(self, row: int, x: np.ndarray, cluster: int) -> None:
        donor = int(self.labels[row])
        difference = x - self.reference
        self.sums[donor] -= difference
        self.sums[cluster] = difference
        self.mass[donor] -= 1.0
        self.mass[cluster] = 1.0
        self.labels[row] = cluster

    def pieces(self) -> Iterator[tuple[int, int, np.ndarray]]:
        """Segment, first row, and rows of every piece in order."""
        n, size = self.rows.n, self.sweep.segment_rows
        cuts = [
            (first, min(n, segment + size, first + self.rows.piece_rows))
            for segment in range(0, n, size)
            for first in range(segment, min(n, segment + size), self.rows.piece_rows)
        ]
        for first, X in self.rows.read(cuts):
            yield first // size, first, X


class StreamedRows(Rows):
    """Rows that are read where they are needed."""

    weighted = False

    def __init__(
        self,
        reader: Reader,
        n_threads: int,
        offset: np.ndarray | None = None,
        scale: np.ndarray | None = None,
    ) -> None:
        self.reader, self.n_threads = reader, n_threads
        self.offset, self.scale = offset, scale
        self.n, self.d = reader.n, reader.d
        self.dtype = FLOAT32 if self.source_of(0, 1).single else FLOAT64
        self.block_rows = min(self.n, max(1, (1 << 17) // self.d))
        wanted = _readers.PIECE // (reader.d * reader.dtype.itemsize) // TILE * TILE
        self.piece_rows = max(TILE, wanted)
        self.chunks = self
        self.n_chunks = -(-self.n // self.piece_rows)

    def of(self, X: np.ndarray) -> Rows:
        return Rows(X, self.offset, self.scale)

    def source_of(self, first: int, last: int) -> Source:
        return self.of(self.reader.read(first, last)).source

    def read(self, cuts: list[tuple[int, int]]) -> Iterator[tuple[int, np.ndarray]]:
        """First row and rows of each piece, while the next one is being read."""
        pieces = self.reader.stream(cuts)
        with ThreadPoolExecutor(1, thread_name_prefix="ckmeans-reader") as pool:
            following = pool.submit(next, pieces, None)
            for first, last in cuts:
                X = following.result()
                if X is None or len(X) != last - first:
                    raise ValueError(f"{self.reader.name} has changed while it was read")
                following = pool.submit(next, pieces, None)
                yield first, X

    def whole(self, rows: int) -> Iterator[tuple[int, np.ndarray]]:
        """All rows, so many at a time."""
        return self.read([(first, min(self.n, first + rows)) for first in range(0, self.n, rows)])

    def blocks(self) -> Iterator[tuple[int, np.ndarray]]:
        size = max(1, self.piece_rows // self.block_rows) * self.block_rows
        for start, X in self.whole(size):
            rows = self.of(X)
            for first in range(0, rows.n, self.block_rows):
                yield start + first, rows.block(first, min(rows.n, first + self.block_rows))

    def __getitem__(self, index: np.ndarray) -> np.ndarray:
        rows = [self.of(self.reader.read(int(row), int(row) + 1)) for row in index]
        return np.concatenate([one[np.array([0])] for one in rows])

    def middle(self) -> np.ndarray:
        """As a Source has it."""
        return np.sort(self[np.array([0, self.n // 2, self.n - 1])], axis=0)[1]

    def check(self) -> None:
        for first, X in self.whole(self.piece_rows):
            rows = Rows(X)
            bad = rows.first_bad(valid.LARGEST, self.n_threads)
            if bad is not None:
                place = f"row {first + bad[0]}, column {self.reader.title(bad[1])}"
                raise valid.bad_value(float(X[bad]), place, self.reader.name)

    def standardised(self) -> StreamedRows:
        found = self.deviations()
        return StreamedRows(self.reader, self.n_threads, *found)

    def reduced(
        self,
        function: Callable[[Chunk, Any], Any],
        combine: Callable[[list[Any]], Any],
        shared: Any = None,
        only: list[int] | None = None,
    ) -> Any:
        """As `ckmeans._chunks.Chunks` has it: pieces are chunks."""
        total = None
        for number, (_, X) in enumerate(self.whole(self.piece_rows)):
            found = function(Chunk(number, self.of(X), None, self.n_threads), shared)
            total = found if number == 0 else combine([total, found])
        return total
