# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
# cython: initializedcheck=False, freethreading_compatible=True
"""Equal rows of a matrix: which are distinct, by a hash table, and an order that brings them
together."""
cimport cython
from libc.stdint cimport int32_t, int64_t, uint32_t, uint64_t
from libc.string cimport memcpy

import os

import numpy as np

from ckmeans._memory import fresh, zeroed
from ckmeans._lloyd cimport read_rows
from ckmeans._memory cimport data_of
from ckmeans._source cimport Source

ctypedef fused word:    # the bits of a float or double: equal also where denormals count as zeros
    uint32_t
    uint64_t

cdef enum:
    AT_ONCE = 64         # rows whose slots are fetched before the first is looked at
    ELEMENTS = 1 << 14   # read at once

cdef extern from *:
    """
    #if defined(__GNUC__)
    #define CKM_PREFETCH(p) __builtin_prefetch(p)
    #else
    #define CKM_PREFETCH(p) ((void)0)
    #endif
    """
    void prefetch "CKM_PREFETCH"(const void* p) noexcept nogil


# Of this process: nobody can make up rows that all fall on one place. Their numbers do not depend
# on it.
cdef uint64_t SEED = int.from_bytes(os.urandom(8), "little")


cdef inline uint64_t hash_of(const word* row, Py_ssize_t d) noexcept nogil:
    cdef Py_ssize_t f
    cdef uint64_t h = SEED
    for f in range(d):
        h = (h ^ row[f]) * <uint64_t> 0x9E3779B97F4A7C15
        h ^= h >> 32
    h *= <uint64_t> 0x9E3779B97F4A7C15    # whole numbers have bits at one end only
    return h ^ h >> 32


cdef inline bint differ(const word* a, const word* b, Py_ssize_t d) noexcept nogil:
    cdef Py_ssize_t f
    for f in range(d):
        if a[f] != b[f]:
            return True
    return False


cdef inline bint precedes(
    const double[:, ::1] X, Py_ssize_t a, Py_ssize_t b
) noexcept nogil:
    """Whether row a is less than row b in the first column where they differ; equal ones in turn.
    """
    cdef Py_ssize_t f
    for f in range(X.shape[1]):
        if X[a, f] != X[b, f]:
            return X[a, f] < X[b, f]
    return a < b


cdef void merge_sort(
    const double[:, ::1] X,
    int64_t* order,                     # in/out (n,) rows of X
    int64_t* room,                      # out    (n,)
    Py_ssize_t n,
) noexcept nogil:
    cdef Py_ssize_t width = 1, first, middle, last, a, b, at
    while width < n:
        first = 0
        while first < n:
            a, b = first, min(first + width, n)
            middle, last = b, min(b + width, n)
            for at in range(first, last):
                if b == last or (a < middle and precedes(X, order[a], order[b])):
                    room[at] = order[a]
                    a += 1
                else:
                    room[at] = order[b]
                    b += 1
            first = last
        memcpy(order, room, n * sizeof(int64_t))
        width *= 2


def sort_ties(
    const double[:, ::1] X,             # in     (n, d)
    int64_t[::1] order,                 # in/out (n,) rows by their first column
):
    """Puts rows that tie in the first column in the order of the next ones, equal rows in turn."""
    cdef Py_ssize_t first = 0, last, n = order.shape[0]
    cdef int64_t[::1] room = np.empty(n, np.int64)
    with nogil:
        while first < n:
            last = first + 1
            while last < n and X[order[first], 0] == X[order[last], 0]:
                last += 1
            merge_sort(X, &order[first], &room[first], last - first)
            first = last


def sums(
    const int32_t[::1] numbers,         # in   (n,)
    Py_ssize_t count,                   # in   above each of them
    const double[::1] weight=None,      # in   (n,), or ones
):
    """Sum over each number of the rows' weights: (count,) float64.

    Half the time of np.bincount, which converts the numbers first.
    """
    cdef Py_ssize_t i
    totals = np.zeros(count)
    cdef double[::1] out = totals
    with nogil:
        for i in range(numbers.shape[0]):
            out[numbers[i]] += 1.0 if weight is None else weight[i]
    return totals


def pick(
    const int32_t[::1] values,          # in
    const int32_t[::1] numbers,         # in   (n,) places of values
    int32_t[::1] out,                   # out  (n,), which may be the numbers
):
    """out[i] = values[numbers[i]]; returns out.

    NumPy's take would convert all the numbers first.
    """
    cdef Py_ssize_t i
    with nogil:
        for i in range(numbers.shape[0]):
            out[i] = values[numbers[i]]
    return np.asarray(out)


@cython.final
cdef class Distinct:
    """Numbers for equal rows, 0, 1, ... in the order of their first ones."""
    cdef Source source
    cdef Py_ssize_t most, at_once
    cdef uint64_t mask
    cdef readonly Py_ssize_t count
    cdef object values                  # (most, d), of the numbers
    cdef char* value_at
    cdef int32_t[::1] slots             # a number + 1, or 0
    cdef unsigned char[::1] block       # (at_once, d)
    cdef uint64_t[::1] hashes           # (at_once,)

    def __init__(self, Source source, Py_ssize_t most):
        """most: of the distinct rows that can be told apart."""
        cdef Py_ssize_t row_bytes = source.d * (4 if source.single else 8), slots = 2
        if not 0 < most < 1 << 30:
            raise ValueError(f"most must lie between 1 and 2**30, got {most}")
        while 3 * slots < 4 * most:
            slots *= 2
        self.source, self.most, self.count, self.mask = source, most, 0, slots - 1
        self.at_once = max(1, min(AT_ONCE, ELEMENTS // source.d))
        self.values = fresh((most, source.d), np.float32 if source.single else np.float64)
        self.value_at = <char*> data_of(self.values)
        self.slots = zeroed(slots, np.int32)
        self.block = np.empty(self.at_once * row_bytes, np.uint8)
        self.hashes = np.empty(self.at_once, np.uint64)

    @property
    def rows(self):
        """The distinct rows: (count, d)."""
        return self.values[: self.count]

    def number(self, Py_ssize_t first, int32_t[::1] numbers):
        """The numbers of the rows from `first` on; False if there are more than can be told apart.
        """
        cdef Py_ssize_t done = 0, m, n = numbers.shape[0]
        cdef bint fits = True
        self.source.check(first, first + n)
        with nogil:
            while fits and done < n:
                m = min(self.at_once, n - done)
                if self.source.single:
                    fits = self.number_block(first + done, m, &numbers[done], <uint32_t> 0)
                else:
                    fits = self.number_block(first + done, m, &numbers[done], <uint64_t> 0)
                done += m
        return fits

    cdef bint number_block(
        self, Py_ssize_t first, Py_ssize_t m, int32_t* numbers, word _
    ) noexcept nogil:
        cdef Py_ssize_t i, d = self.source.d
        cdef word* rows = <word*> &self.block[0]
        cdef word* kept = <word*> self.value_at
        cdef word minus_zero = <word> 1 << (8 * sizeof(word) - 1)
        cdef uint64_t slot
        cdef int32_t number
        if word is uint32_t:
            read_rows(&self.source.c, d, first, NULL, m, <float*> rows)
        else:
            read_rows(&self.source.c, d, first, NULL, m, <double*> rows)
        for i in range(m * d):
            if rows[i] == minus_zero:
                rows[i] = 0
        for i in range(m):
            self.hashes[i] = hash_of(rows + i * d, d) & self.mask
            prefetch(&self.slots[self.hashes[i]])
        for i in range(m):
            prefetch(kept + max(0, self.slots[self.hashes[i]] - 1) * d)
        for i in range(m):
            slot = self.hashes[i]
            number = self.slots[slot] - 1
            while number >= 0 and differ(kept + number * d, rows + i * d, d):
                slot = (slot + 1) & self.mask
                number = self.slots[slot] - 1
            if number < 0:
                if self.count == self.most:
                    return False
                number = <int32_t> self.count
                self.slots[slot] = number + 1
                memcpy(kept + number * d, rows + i * d, d * sizeof(word))
                self.count += 1
            numbers[i] = number
        return True
