# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
# cython: initializedcheck=False, freethreading_compatible=True
"""The optimal partition of one sorted column, by dynamic programming.

Row q of the table is the least cost of q + 1 clusters over each prefix; its best last cuts are
monotone (Wu 1991), so divide and conquer fills a row in O(n log n).
"""
from libc.stdint cimport int32_t


cdef inline double cost(const double* s1, const double* s2, const double* w,
                        Py_ssize_t i, Py_ssize_t j) noexcept nogil:
    """Weighted sum of squares of values i..j about their mean."""
    cdef double mass = w[j + 1] - w[i], total = s1[j + 1] - s1[i]
    cdef double squares = s2[j + 1] - s2[i] - total * total / mass
    return squares if squares > 0.0 else 0.0


cdef void fill(const double* s1, const double* s2, const double* w, const double* before,
               double* after, int32_t* cut, Py_ssize_t lo, Py_ssize_t hi,
               Py_ssize_t cut_lo, Py_ssize_t cut_hi) noexcept nogil:
    """Entries lo..hi of one row, their cuts known to lie in cut_lo..cut_hi."""
    cdef Py_ssize_t middle, i, best_cut
    cdef double best, candidate
    while lo <= hi:
        middle = (lo + hi) // 2
        best_cut = cut_lo
        best = before[cut_lo - 1] + cost(s1, s2, w, cut_lo, middle)
        for i in range(cut_lo + 1, min(cut_hi, middle) + 1):
            candidate = before[i - 1] + cost(s1, s2, w, i, middle)
            if candidate < best:
                best = candidate
                best_cut = i
        after[middle] = best
        cut[middle] = <int32_t> best_cut
        fill(s1, s2, w, before, after, cut, lo, middle - 1, cut_lo, best_cut)
        lo = middle + 1
        cut_lo = best_cut


def fill_row(
    const double[::1] s1, const double[::1] s2, const double[::1] w,    # in  (m + 1,) prefix sums
    const double[::1] before,              # in   (m,) least costs with one cluster fewer
    double[::1] after, int32_t[::1] cut,   # out  (m,) least costs, first value of the last cluster
    Py_ssize_t q,                          # clusters before the last one
):
    """One row of the table, from prefix q (where each value has its own cluster) on."""
    with nogil:
        fill(&s1[0], &s2[0], &w[0], &before[0], &after[0], &cut[0], q, before.shape[0] - 1,
             q, before.shape[0] - 1)


def first_row(const double[::1] s1, const double[::1] s2, const double[::1] w, double[::1] after):
    """Costs of one cluster over each prefix."""
    cdef Py_ssize_t i
    for i in range(after.shape[0]):
        after[i] = cost(&s1[0], &s2[0], &w[0], 0, i)
