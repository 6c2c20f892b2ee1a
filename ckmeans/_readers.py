"""Matrices in files or in memory that are read a part at a time."""

from __future__ import annotations

import os
import weakref
from collections.abc import Iterator
from typing import Any, Protocol

import numpy as np

from ckmeans import _validation as valid
from ckmeans._rows import FLOAT64

PIECE = 1 << 23  # bytes read at once
FORMATS = (".npy", ".parquet")


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
