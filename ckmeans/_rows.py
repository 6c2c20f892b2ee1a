"""A matrix read a block of rows at a time, without a copy of the whole."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

BLOCK_ELEMENTS = 1 << 17  # a block and its scratch stay in the L2 cache


def compute_dtype(dtype: np.dtype) -> np.dtype:
    """float32 and float64 as they are; narrow integers, bool and float16 in float32."""
    narrow = dtype.itemsize <= 2 or dtype == np.float32
    return np.dtype(np.float32 if narrow else np.float64)


class Rows:
    """Rows of a 2-D array as C-contiguous blocks of the dtype that they are computed in.

    Native rows are views of the array; every other layout, dtype or a standardisation is
    converted into one buffer, which the next block overwrites.
    """

    def __init__(
        self,
        X: np.ndarray,
        offset: np.ndarray | None = None,
        scale: np.ndarray | None = None,
    ) -> None:
        self.X, self.offset, self.scale = X, offset, scale
        self.n, self.d = X.shape
        self.dtype = np.dtype(np.float64) if scale is not None else compute_dtype(X.dtype)
        self.native = (
            scale is None and X.dtype == self.dtype and X.dtype.isnative and X.flags.c_contiguous
            and X.flags.aligned
        )
        self.block_rows = min(self.n, max(1, BLOCK_ELEMENTS // self.d))
        self._buffer: np.ndarray | None = None

    def blocks(self) -> Iterator[tuple[int, np.ndarray]]:
        """Pairs of first row and block, from top to bottom."""
        for first in range(0, self.n, self.block_rows):
            yield first, self.block(first, min(self.n, first + self.block_rows))

    def block(self, first: int, last: int) -> np.ndarray:
        part = self.X[first:last]
        if self.native:
            return part
        if self._buffer is None:
            self._buffer = np.empty((self.block_rows, self.d), dtype=self.dtype)
        converted = self._buffer[: last - first]
        np.copyto(converted, part, casting="unsafe")
        if self.scale is not None:
            converted -= self.offset
            converted /= self.scale
        return converted

    def __getitem__(self, index: np.ndarray) -> np.ndarray:
        """Chosen rows as they are computed, in float64."""
        chosen = self.X[index].astype(np.float64)
        if self.scale is not None:
            chosen -= self.offset
            chosen /= self.scale
        return chosen

    def moments(self) -> tuple[np.ndarray, np.ndarray]:
        """Mean and variance of each column."""
        mean = np.zeros(self.d)
        for _, block in self.blocks():
            mean += block.sum(axis=0, dtype=np.float64) / self.n
        variance = np.zeros(self.d)
        for _, block in self.blocks():
            variance += np.square(block - mean).sum(axis=0) / self.n
        return mean, variance

    def standardised(self) -> Rows:
        """The same rows with columns of mean 0 and standard deviation 1; constant ones stay."""
        mean, variance = self.moments()
        deviation = np.sqrt(variance)
        # A constant column whose mean was rounded has a deviation of rounding size.
        constant = deviation <= 1e-14 * np.abs(mean) * np.sqrt(self.n)
        offset = np.where(constant, 0.0, mean)
        return Rows(self.X, offset, np.where(constant | (deviation == 0), 1.0, deviation))

    def original(self, centroids: np.ndarray) -> np.ndarray:
        """Centroids in the units of X."""
        return centroids if self.scale is None else centroids * self.scale + self.offset
