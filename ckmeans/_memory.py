"""Memory to work in."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

PAGE = 1 << 21  # bytes of a large page
LINE = 64  # bytes of a line of the cache
SHORT = PAGE // 16  # elements: less than half a page, whatever they are
ASKED = 1 << 22  # bytes from which on NumPy asks the system for large pages


def fresh(shape: int | tuple[int, ...], dtype: Any = np.float64) -> np.ndarray:
    """An array to work in that is not filled, in large pages if it takes half of one: 3 MB that are
    touched for the first time take 0.6 instead of 2 ms. Up to 2 MB more are touched with them; so
    those of the largest arrays are left to NumPy, which does not align them."""
    if type(shape) is int and shape < SHORT:  # a small fit feels what follows
        return np.empty(shape, dtype)
    dtype = np.dtype(dtype)
    size = bytes_of(shape, dtype)
    if not PAGE // 2 <= size < ASKED:
        return np.empty(shape, dtype)
    around = np.empty(max(size + PAGE, ASKED), np.uint8)
    first = -around.__array_interface__["data"][0] % PAGE
    return around[first : first + size].view(dtype).reshape(shape)


def zeroed(shape: int | tuple[int, ...], dtype: Any = np.float64) -> np.ndarray:
    """The same with zeros; where NumPy allocates them they are not touched before they are used."""
    if type(shape) is int and shape < SHORT:
        return np.zeros(shape, dtype)
    dtype = np.dtype(dtype)
    if not PAGE // 2 <= bytes_of(shape, dtype) < ASKED:
        return np.zeros(shape, dtype)
    array = fresh(shape, dtype)
    array.fill(0)
    return array


def taken(
    memory: np.ndarray | None, shape: tuple[int, ...], dtype: np.dtype
) -> tuple[np.ndarray, np.ndarray | None]:
    """An array at the end of memory (m,) uint8, and what is left of it; a new one where it has no
    place."""
    size = bytes_of(shape, dtype)
    if memory is None or memory.nbytes < size + LINE:
        return np.empty(shape, dtype), memory
    first = (memory.nbytes - size) // LINE * LINE
    return memory[first : first + size].view(dtype).reshape(shape), memory[:first]


def bytes_of(shape: int | tuple[int, ...], dtype: np.dtype) -> int:
    return dtype.itemsize * (math.prod(shape) if isinstance(shape, tuple) else shape)
