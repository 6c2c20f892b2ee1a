# Slack: by how much the bounds of a row lie apart. Moves of the centroids use it up.
import numpy as np

from libc.math cimport fabs, sqrt
from libc.stdint cimport int32_t

from ckmeans._lloyd cimport real

cdef enum:
    ROWS_OF_SLACK = 512           # rows that stand for all
    MOVED = 0                     # rows of what lose() adds to
    OTHERS
    BEFORE
    LOSS
    N_MOVES                       # that has so many


cdef inline double blur_of(double loss, bint single) noexcept nogil:
    """What rounding may take of a slack, as kept_slack() of filter.h does, where this is the
    largest loss."""
    return loss * 16 * (6e-8 if single else 1.2e-16)


cdef inline double lose(
    const double* drift, double largest, double second, Py_ssize_t k, double* moves, Py_ssize_t room
) noexcept nogil:
    """Add an iteration's drifts (k,), and the two largest of them, to the moves (N_MOVES, room)
    that tiles.h describes: rounded up, so that what is added is not less than it was. The loss is
    added up anew: summed by itself, it would drift away from what it is the sum of. Returns the
    largest."""
    cdef Py_ssize_t j
    cdef double up = 1 + 4.5e-16, other, most = 0.0
    cdef double* moved = moves + MOVED * room
    cdef double* others = moves + OTHERS * room
    for j in range(k):
        # Where two share the largest, the second is as large.
        other = largest if drift[j] < largest else second
        moves[BEFORE * room + j] = others[j]
        others[j] = (others[j] + other) * up
        moved[j] = (moved[j] + drift[j]) * up
        moves[LOSS * room + j] = (moved[j] + others[j]) * up
        most = max(most, moves[LOSS * room + j])
    return most


cdef inline void keep_distances(
    double nearest, double other, double moved, double loss, float* upper, float* slack
) noexcept nogil:
    """Bounds on a row's distances to its own centroid and to the nearest other one, as the filter
    reads them: less what that has moved, and with what both have lost."""
    cdef double u = 1.3e-7, u64 = 4.5e-16, least = nearest - moved, most
    other = min(other, 1e38)    # without another centroid
    most = other - nearest + loss
    upper[0] = <float> (least + fabs(least) * u + (nearest + moved) * u64 + 1.2e-38)
    slack[0] = <float> (most - fabs(most) * u - (nearest + other + loss) * 2 * u64 - 1.2e-38)


cdef inline void round_up(const double* numbers, Py_ssize_t n, float* out) noexcept nogil:
    """Distances in float32."""
    cdef Py_ssize_t i
    for i in range(n):
        out[i] = <float> (numbers[i] * (1 + 2.4e-7) + (1.2e-38 if numbers[i] > 0 else 0.0))


cdef inline slack_of(const real* slack, const int32_t* labels, Py_ssize_t n):
    """That of some of n rows, n // m apart, and their labels: (m,) float64 and int32."""
    cdef Py_ssize_t i, m = min(n, <Py_ssize_t> ROWS_OF_SLACK), step = n // m
    some, theirs = np.empty(m), np.empty(m, np.int32)
    cdef double[::1] out = some
    cdef int32_t[::1] label = theirs
    for i in range(m):
        out[i] = slack[i * step] if slack[i * step] > 0 else 0.0
        label[i] = labels[i * step]
    return some, theirs


cdef inline double open_by(
    const double[::1] slack, const int32_t[::1] labels, const double* drift, double other,
    double blur,
) noexcept nogil:
    """The share of the rows that an iteration opens, if in each their own centroid drifts, unless
    NULL, and the others do by `other` at most: a row is open every 1 + floor(slack / loss). Of
    slack, rounding takes `blur`."""
    cdef Py_ssize_t i, m = slack.shape[0]
    cdef const double* some = &slack[0]
    cdef double total = 0.0
    cdef double[ROWS_OF_SLACK] shares
    for i in range(m):
        shares[i] = max(other + (drift[labels[i]] if drift != NULL else 0.0), 1e-300)
    for i in range(m):
        shares[i] = 1.0 / (1.0 + <int32_t> min(max(some[i] - blur, 0.0) / shares[i], 1e9))
    for i in range(m):
        total += shares[i]
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


cdef inline double drift_between(
    const double* a, const double* b, Py_ssize_t d
) noexcept nogil:
    """The distance from a to b, rounded up."""
    cdef double drift = sqrt(square_apart(a, b, d)) * (1 + (d + 16) * 2.3e-16)
    return drift + 2.3e-308 if drift > 0 else 0.0
