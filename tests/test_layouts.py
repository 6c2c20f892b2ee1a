"""Rows that the tiles read where they are: steps between rows or columns, to the last byte."""

import ctypes
import mmap
import sys
from functools import cache

import numpy as np
import oracle
import pytest

from ckmeans import kmeans


def array_at_the_end_of_memory(n, dtype):
    """n elements before a page that may not be touched."""
    bytes_used = n * np.dtype(dtype).itemsize
    bytes_mapped = -(-bytes_used // mmap.PAGESIZE) * mmap.PAGESIZE
    pages = mmap.mmap(-1, bytes_mapped + mmap.PAGESIZE)
    whole = np.frombuffer(pages, dtype=np.uint8)
    if sys.platform == "linux":
        guard = ctypes.c_void_p(whole.ctypes.data + bytes_mapped)
        mprotect = ctypes.CDLL(None, use_errno=True).mprotect
        assert mprotect(guard, ctypes.c_size_t(mmap.PAGESIZE), 0) == 0
    return whole[bytes_mapped - bytes_used : bytes_mapped].view(dtype)


def columns_of_wider(X, space):
    """The last columns of wider rows."""
    n, d = X.shape
    memory = array_at_the_end_of_memory(n * (d + space), X.dtype).reshape(n, d + space)
    memory[:, :space] = np.nan
    memory[:, space:] = X
    return memory[:, space:]


def rows_of_longer(X, space):
    """The last rows of longer Fortran-ordered columns."""
    n, d = X.shape
    memory = array_at_the_end_of_memory((n + space) * d, X.dtype).reshape(n + space, d, order="F")
    memory[:space] = np.nan
    memory[space:] = X
    return memory[space:]


LAYOUTS = {
    "one column apart": lambda X: columns_of_wider(X, 1),
    "half of the columns": lambda X: columns_of_wider(X, X.shape[1]),
    "Fortran": lambda X: rows_of_longer(X, 0),
    "Fortran, rows apart": lambda X: rows_of_longer(X, 5),
    "backwards": lambda X: np.ascontiguousarray(X[::-1, ::-1])[::-1, ::-1],
    "every second row": lambda X: np.repeat(X, 2, axis=0)[::2],
    "rows that repeat": None,
}


@cache
def problems(level, d, dtype, repeat):
    """Rows and options, the result of a copy of them, and its labels by brute force: once for all
    layouts."""
    rng = np.random.default_rng(d)
    found = []
    for n, k in ((1, 1), (50, 3), (103, 9), (401, 67)):
        X = rng.normal(size=(n, d)).astype(dtype)
        if repeat:
            X = np.repeat(X[:1], n, axis=0)
        start = X[:k] + rng.normal(size=(k, d)) / 100
        weight = rng.uniform(0.5, 2, n)
        for options in (
            {"algorithm": "lloyd"},
            {"algorithm": "hamerly", "n_threads": 2},
            {"sample_weight": weight},
        ):
            options = {"init": start, "max_iter": 3} | options
            expected = kmeans(X, k, **options)
            found.append((X, k, options, expected, oracle.nearest(X, expected.centroids)))
    return found


@pytest.mark.filterwarnings("ignore::ckmeans.ConvergenceWarning")
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", (np.float32, np.float64))
@pytest.mark.parametrize("d", (1, 2, 3, 4, 5, 8, 9, 17, 64, 127, 128, 131))
def test_bits_do_not_depend_on_the_layout(d, dtype, layout, level):
    repeat = layout == "rows that repeat"
    for X, k, options, expected, labels in problems(level, d, dtype, repeat):
        laid_out = np.broadcast_to(X[:1], X.shape) if repeat else LAYOUTS[layout](X)
        result = kmeans(laid_out, k, **options)
        oracle.assert_same_bits(result, expected)
        np.testing.assert_array_equal(result.labels, labels)
        np.testing.assert_array_equal(result.predict(laid_out), labels)
