"""k-means over files larger than memory, on one machine and without Dask.

Each iteration reads the rows once, a piece at a time, one piece ahead. The segments, and the moves
between their sums, are those of `ckmeans.kmeans`: from the same start the result has the same bits
as in memory. Labels lie in a temporary file, so that memory does not grow with the rows.
"""

from __future__ import annotations

import os
import tempfile
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Protocol

import numpy as np

from ckmeans import _validation as valid
from ckmeans._bounds import GIVEN, Sweep
from ckmeans._chunks import Chunk
from ckmeans._iterate import Problem, Progress, Run, inertia_of, lloyd, reassigned
from ckmeans._kmeans import checked_limits, finished
from ckmeans._results import KMeansResult, nearest_labels
from ckmeans._rows import FLOAT32, FLOAT64, Rows
from ckmeans._scalable import candidates, random_rows
from ckmeans._source import Source

PIECE = 1 << 23  # bytes read at once
TILE = 48  # rows; pieces are whole tiles
FORMATS = (".npy", ".parquet")
METHODS = ("k-means||", "random")


def kmeans(
    X: Any,
    k: int,
    seed: Any = None,
    *,
    columns: list[str] | None = None,
    init: Any = "k-means||",
    n_init: int = 1,
    max_iter: int = 300,
    tol: float = 0.0,
    scale: str | None = None,
    max_seconds: float | None = None,
    n_threads: int | None = None,
    callback: Callable[[Progress], object] | None = None,
) -> KMeansResult:
    """Exact k-means clustering of rows in files, in memory that does not grow with them.

    Parameters
    ----------
    X : path, or ndarray of shape (n, d)
        A .npy or .parquet file, a folder of one kind, whose files follow each other by name, or an
        array, which may be a `numpy.memmap`.
    k : int
        Number of clusters, 1 to n.
    seed : None, int, array_like of ints, SeedSequence, BitGenerator or Generator
        As `numpy.random.default_rng` takes it.
    columns : list of str, optional
        Names of the columns of Parquet files, or positions in arrays; all by default.
    init : {"k-means||", "random"} or array_like of shape (k, d)
        Scalable k-means++ (5 rounds of about 2 k candidates), k distinct rows, or the starting
        centroids, with which the result has the same bits as that of `ckmeans.kmeans`.
    n_init, max_iter, tol, scale, max_seconds, n_threads, callback
        As `ckmeans.kmeans` takes them.

    Returns
    -------
    KMeansResult
        Its labels are mapped from a temporary file, which goes with them.

    Raises
    ------
    TypeError, ValueError
        An argument, or a file, of the wrong kind or value.

    Examples
    --------
    >>> import numpy as np, tempfile, os
    >>> from ckmeans.datasets import xclara
    >>> from ckmeans.out_of_core import kmeans
    >>> path = os.path.join(tempfile.mkdtemp(), "xclara.npy")
    >>> np.save(path, xclara())
    >>> sorted(kmeans(path, 3, seed=0).sizes.tolist())
    [899, 952, 1149]
    """
    n_threads = valid.threads(n_threads)
    rows = StreamedRows(reader_of(X, columns), n_threads)
    rows.check()
    if scale is not None:
        if not isinstance(scale, str) or scale != "std":
            raise ValueError(f'scale must be None or "std", got {scale!r}')
        rows = rows.standardised()
    k = valid.clusters(k, rows.n)
    if isinstance(init, str) and init not in METHODS:
        raise ValueError(
            f'init must be "k-means||", "random" or an array of shape ({k}, {rows.d}), got {init!r}'
        )
    if not isinstance(init, str):
        init = valid.starting_centroids(init, k, rows.d)
    limits = checked_limits(rows, n_init, max_iter, tol, max_seconds, callback)
    rng = valid.generator(seed, wanted=isinstance(init, str))

    problem = StreamedProblem(rows)
    runs: list[Run] = []
    for number in range(limits.n_init if isinstance(init, str) else 1):
        runs.append(lloyd(problem, start_of(rows, k, rng, init), limits, number))
        if runs[-1].stopped:
            break
    best = min(runs, key=inertia_of)
    if best is not runs[-1]:  # the labels are those of the last run
        best = reassigned(problem, best, best.centroids)
    result = finished(problem, best, runs[-1].stopped, [run.inertia for run in runs], limits.n_init)
    object.__setattr__(result, "labels", problem.labels.mapped())
    return result


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
        block = np.full(min(self.n, PIECE // 4), -1, dtype=np.int32)
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
        self.sums, self.mass = self.sweep.totals[:, :-2], self.sweep.totals[:, -2]
        self.changed = self.rows.n

    def begin_iterating(self, start: np.ndarray, limits: Any) -> tuple[np.ndarray, int]:
        return start, 1

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
        wanted = PIECE // (reader.d * reader.dtype.itemsize) // TILE * TILE
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


class Reader(Protocol):
    """A matrix that can be read in parts."""

    name: str
    n: int
    d: int
    dtype: np.dtype[Any]
    names: list[str] | None  # of the columns, where they have some

    def read(self, first: int, last: int) -> np.ndarray:
        """Rows first..last-1."""

    def stream(self, cuts: list[tuple[int, int]]) -> Iterator[np.ndarray]:
        """The rows of each cut; the cuts follow each other."""

    def title(self, column: int) -> str:
        """What an error calls a column."""


def reader_of(X: Any, columns: list[str] | None = None) -> Reader:
    if isinstance(X, (str, os.PathLike)):
        return Joined([file_reader(path, columns) for path in files_of(os.fspath(X))], str(X))
    if not isinstance(X, np.ndarray):
        raise TypeError(f"X must be a path or a NumPy array, got {type(X).__name__}")
    return Array(valid.as_matrix(X), columns)


def files_of(path: str) -> list[str]:
    """The files of a folder, by name; or the file itself."""
    if not os.path.isdir(path):
        return [path]
    names = sorted(name for name in os.listdir(path) if name.lower().endswith(FORMATS))
    if not names:
        raise ValueError(f"{path} must hold .npy or .parquet files, got none")
    if len({os.path.splitext(name)[1].lower() for name in names}) > 1:
        raise ValueError(f"{path} must hold files of one kind, got both .npy and .parquet")
    return [os.path.join(path, name) for name in names]


def file_reader(path: str, columns: list[str] | None) -> Reader:
    suffix = os.path.splitext(path)[1].lower()
    if suffix == ".parquet":
        return Parquet(path, columns)
    if suffix != ".npy":
        raise ValueError(f"X must be a .npy or .parquet file or a folder of these, got {path}")
    return ArrayFile(path, columns)


def positions(columns: list[str] | None, d: int, name: str) -> list[int] | None:
    if columns is None:
        return None
    if not all(str(column).isdecimal() and int(column) < d for column in columns):
        raise ValueError(
            f"columns of {name}, which has no names, must be positions from 0 to {d - 1}, "
            f"got {', '.join(map(str, columns))}"
        )
    return [int(column) for column in columns]


def read_into(file: Any, array: np.ndarray, name: str) -> None:
    rest = memoryview(array).cast("B")
    while rest:
        count = file.readinto(rest)
        if not count:
            raise ValueError(f"{name} ends too early")
        rest = rest[count:]


class Array:
    """An array in memory or mapped."""

    name = "X"
    names: list[str] | None = None

    def __init__(self, X: np.ndarray, columns: list[str] | None) -> None:
        self.X, self.dtype = X, X.dtype
        self.chosen = positions(columns, X.shape[1], self.name)
        self.n, self.d = len(X), X.shape[1] if self.chosen is None else len(self.chosen)

    def read(self, first: int, last: int) -> np.ndarray:
        rows = self.X[first:last]
        return rows if self.chosen is None else rows[:, self.chosen]

    def stream(self, cuts: list[tuple[int, int]]) -> Iterator[np.ndarray]:
        return (self.read(*cut) for cut in cuts)

    def title(self, column: int) -> str:
        return str(column if self.chosen is None else self.chosen[column])


class ArrayFile(Array):
    """A .npy file, read and not mapped: pages of a map would count as memory in use."""

    def __init__(self, path: str, columns: list[str] | None) -> None:
        self.name = path
        self.file = open(path, "rb", buffering=0)  # noqa: SIM115
        weakref.finalize(self, self.file.close)
        try:
            version = np.lib.format.read_magic(self.file)
            header = (
                np.lib.format.read_array_header_1_0
                if version == (1, 0)
                else np.lib.format.read_array_header_2_0
            )
            shape, self.fortran, self.dtype = header(self.file)
        except ValueError as error:
            raise ValueError(f"{path} is not a readable .npy file: {error}") from error
        self.start = self.file.tell()
        if self.dtype.kind not in "buif" or self.dtype.itemsize > 8:
            raise TypeError(f"{path} must hold real numbers, got dtype {self.dtype}")
        shape = (*shape, 1) if len(shape) == 1 else shape
        if len(shape) != 2 or not shape[1]:
            raise ValueError(f"{path} must hold a matrix (rows, columns), got shape {shape}")
        self.n, self.width = shape
        self.chosen = positions(columns, self.width, path)
        self.d = self.width if self.chosen is None else len(self.chosen)

    def read(self, first: int, last: int) -> np.ndarray:
        size = self.dtype.itemsize
        if self.fortran:
            chosen = range(self.width) if self.chosen is None else self.chosen
            found = np.empty((self.d, last - first), dtype=self.dtype)
            for place, column in enumerate(chosen):
                self.file.seek(self.start + (column * self.n + first) * size)
                read_into(self.file, found[place], self.name)
            return found.T
        found = np.empty((last - first, self.width), dtype=self.dtype)
        self.file.seek(self.start + first * self.width * size)
        read_into(self.file, found, self.name)
        return found if self.chosen is None else found[:, self.chosen]


class Parquet:
    """A .parquet file, of which a batch of rows is decoded at a time."""

    def __init__(self, path: str, columns: list[str] | None) -> None:
        try:
            import pyarrow as pa
            from pyarrow import parquet
        except ImportError as error:
            raise ImportError(
                "Parquet files need pyarrow: pip install 'ckmeans-lloyd[cli]'"
            ) from error
        self.name = path
        try:
            # A column of a row group is read through a buffer, however long it is.
            self.file = parquet.ParquetFile(path, buffer_size=1 << 20, pre_buffer=False)
        except pa.ArrowException as error:
            raise ValueError(f"{path} is not a readable .parquet file: {error}") from error
        schema = self.file.schema_arrow
        names = [name for name in schema.names if not name.startswith("__index_level_")]
        if columns is not None:
            for name in columns:
                if schema.names.count(name) != 1:
                    raise ValueError(f"{path} has no column '{name}'; its columns are "
                                     f"{', '.join(schema.names)}")  # fmt: skip
            names = list(columns)
        self.names: list[str] | None = names
        self.n, self.d = self.file.metadata.num_rows, len(names)
        kinds = []
        for name in names:
            kind = schema.field(name).type
            if pa.types.is_decimal(kind):
                kind = pa.float64()
            if not (pa.types.is_integer(kind) or pa.types.is_floating(kind)
                    or pa.types.is_boolean(kind)):  # fmt: skip
                raise ValueError(f"{path}: column '{name}' holds {kind}, not numbers; choose the "
                                 "numeric ones with columns")  # fmt: skip
            kinds.append(np.dtype(kind.to_pandas_dtype()))
        self.dtype = np.result_type(*kinds) if kinds else FLOAT64
        groups = [self.file.metadata.row_group(i).num_rows
                  for i in range(self.file.metadata.num_row_groups)]  # fmt: skip
        self.ends = np.cumsum([0, *groups])

    def read(self, first: int, last: int) -> np.ndarray:
        return next(self.stream([(first, last)]))

    def stream(self, cuts: list[tuple[int, int]]) -> Iterator[np.ndarray]:
        group = int(np.searchsorted(self.ends, cuts[0][0], side="right")) - 1
        groups = list(range(group, len(self.ends) - 1))
        at = int(self.ends[group])
        size = max(1, min(1 << 16, PIECE // (self.d * self.dtype.itemsize)))
        waiting = iter(cuts)
        first, last = next(waiting)
        found = np.empty((last - first, self.d), dtype=self.dtype)
        for batch in self.file.iter_batches(size, groups, self.names, use_threads=False):
            end = at + batch.num_rows
            while first < end:
                low, high = max(first, at), min(last, end)
                self.convert(batch.slice(low - at, high - low), low, found[low - first :])
                if high < last:
                    break
                yield found
                following = next(waiting, None)
                if following is None:
                    return
                first, last = following
                found = np.empty((last - first, self.d), dtype=self.dtype)
            at = end

    def convert(self, batch: Any, first: int, out: np.ndarray) -> None:
        for place, column in enumerate(batch.columns):
            if column.null_count:
                row = first + int(np.flatnonzero(~column.is_valid().to_numpy(False))[0])
                raise ValueError(f"{self.name} is empty or NaN at row {row}, column "
                                 f"{self.title(place)}; drop or impute such rows")  # fmt: skip
            if "decimal" in str(column.type):
                column = column.cast("float64")
            out[: len(column), place] = column.to_numpy(zero_copy_only=False)

    def title(self, column: int) -> str:
        return f"'{self.names[column]}'" if self.names else str(column)


class Joined:
    """Files that follow each other."""

    def __init__(self, parts: list[Reader], name: str) -> None:
        self.parts, self.name = parts, name
        first = parts[0]
        for part in parts:
            if part.d != first.d or part.dtype != first.dtype:
                raise ValueError(
                    f"{name} must hold files of the same columns and dtype, got {first.d} of "
                    f"{first.dtype} in {first.name} and {part.d} of {part.dtype} in {part.name}"
                )
            if part.names != first.names:
                raise ValueError(f"{part.name} has other columns than {first.name}")
        self.ends = np.cumsum([0] + [part.n for part in parts])
        self.n, self.d, self.dtype = int(self.ends[-1]), first.d, first.dtype
        self.names = first.names
        if not self.n or not self.d:
            raise ValueError(f"{name} has no {'columns' if self.n else 'rows'}")

    def read(self, first: int, last: int) -> np.ndarray:
        return next(self.stream([(first, last)]))

    def stream(self, cuts: list[tuple[int, int]]) -> Iterator[np.ndarray]:
        """Each cut is read from the files that it lies in; one within a file is not copied."""
        shares = [share for cut in cuts for share in self.shares(*cut)]
        number = -1
        streams: Iterator[np.ndarray]
        for first, last in cuts:
            found: list[np.ndarray] = []
            for part, *_ in self.shares(first, last):
                if part != number:
                    number = part
                    streams = self.parts[part].stream(
                        [(a, b) for which, a, b in shares if which == part]
                    )
                found.append(next(streams))
            yield found[0] if len(found) == 1 else np.concatenate(found)

    def shares(self, first: int, last: int) -> Iterator[tuple[int, int, int]]:
        """Part, and rows of it, for the rows first..last-1."""
        part = int(np.searchsorted(self.ends, first, side="right")) - 1
        while first < last:
            begin, end = int(self.ends[part]), int(self.ends[part + 1])
            if end > first:
                yield part, first - begin, min(last, end) - begin
                first = min(last, end)
            part += 1

    def title(self, column: int) -> str:
        return self.parts[0].title(column)
