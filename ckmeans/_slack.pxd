# Slack: by how much the bounds of a row lie apart. Moves of the centroids use it up.
import numpy as np

from libc.stdint cimport int32_t

from ckmeans._lloyd cimport real

cdef enum:
    ROWS_OF_SLACK = 512           # rows that stand for all


cdef inline slack_of(const real* upper, const real* lower, Py_ssize_t n):
    """That of some of n rows, n // m apart: (m,) float64."""
    cdef Py_ssize_t i, m = min(n, <Py_ssize_t> ROWS_OF_SLACK), step = n // m
    slack = np.empty(m)
    cdef double[::1] out = slack
    for i in range(m):
        out[i] = lower[i * step] - upper[i * step]
    return slack


cdef inline double open_by(
    const double[::1] slack, const int32_t* labels, Py_ssize_t n, const real* drift, double other,
) noexcept nogil:
    """The share of the rows that an iteration opens, if in each their own centroid drifts, unless
    NULL, and the others do by `other` at most: a row is open every 1 + floor(slack / loss)."""
    cdef Py_ssize_t i, m = slack.shape[0], step = n // m
    cdef double total = 0.0, lost
    for i in range(m):
        lost = other
        if drift != NULL:
            lost += drift[labels[i * step]]
        if lost > 0:
            total += 1.0 / (1.0 + <Py_ssize_t> min(max(slack[i], 0.0) / lost, 1e9))
    return total / m


cdef inline double square_apart(
    const double* a, const double* b, Py_ssize_t d
) noexcept nogil:
    """|a - b|^2, by sums that do not wait for each other."""
    cdef Py_ssize_t f, i
    cdef double[4] sums
    sums[0] = sums[1] = sums[2] = sums[3] = 0.0
    for f in range(0, d - 3, 4):
        for i in range(4):
            sums[i] += (a[f + i] - b[f + i]) * (a[f + i] - b[f + i])
    for f in range(d // 4 * 4, d):
        sums[0] += (a[f] - b[f]) * (a[f] - b[f])
    return (sums[0] + sums[1]) + (sums[2] + sums[3])
