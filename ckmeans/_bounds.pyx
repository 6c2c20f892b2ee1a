# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
# cython: initializedcheck=False, freethreading_compatible=True
"""One iteration over a block of rows: filter, assign, and move what changed between the sums.

Hamerly 2010: an upper bound on the distance to the own centroid and a lower one on the distance to
every other say which rows can change. These are gathered into full tiles, so that the kernels
stay dense. Bounds are rounded outward: pruning never changes a label.
"""
from libc.math cimport sqrt
from libc.stdint cimport int32_t, int64_t
from libc.string cimport memcpy

from ckmeans._lloyd cimport assign_rows, filter_rows, real

cdef enum:
    PLAIN = 0     # assign every row, keep no bounds
    BOUND = 1     # assign every row and set its bounds
    FILTER = 2    # assign the rows that the bounds leave open


cdef inline void move_row(
    const real* x, const double* reference, Py_ssize_t d, double w,
    int32_t old, int32_t new, double* sums, double* mass, int64_t* counts,
) noexcept nogil:
    """Take a row from cluster `old` (-1 for none) to cluster `new`."""
    cdef Py_ssize_t j
    cdef double value
    cdef double* to = sums + new * d
    cdef double* source
    mass[new] += w
    counts[new] += 1
    if old < 0:
        for j in range(d):
            to[j] += w * (<double> x[j] - reference[j])
        return
    source = sums + old * d
    mass[old] -= w
    counts[old] -= 1
    for j in range(d):
        value = w * (<double> x[j] - reference[j])
        to[j] += value
        source[j] -= value


def step(
    int mode,                                      # PLAIN, BOUND or FILTER
    const real[:, ::1] X,                          # in   (n, d)
    const double[:, ::1] centroids,                # in   (k, d)
    const unsigned char[::1] packed,               # in   from pack()
    const double[::1] weight,                      # in   (n,) or None: then sums are added anew
    const double[::1] reference,                   # in   (d,) subtracted in the sums
    const real[::1] drift, const real[::1] half_gap,    # in   (k,), (k,)
    real largest, real second,
    int32_t[::1] labels,                           # in/out  (n,)
    real[::1] upper, real[::1] lower,              # in/out  (n,) distances; unused when PLAIN
    real[:, ::1] gathered,                         # scratch (t, d): rows are handled t at a time
    int32_t[:, ::1] indices,                       # scratch (2, t)
    real[:, ::1] bounds2,                          # scratch (2, t)
    double[:, ::1] sums, double[::1] mass, int64_t[::1] counts,    # in/out  (k, d), (k,), (k,)
):
    """Returns how many rows changed their label, and how many were assigned."""
    cdef Py_ssize_t n = X.shape[0], d = X.shape[1], k = centroids.shape[0], t = gathered.shape[0]
    cdef Py_ssize_t first, m, i, row, changed = 0, assigned = 0, open_rows
    cdef int32_t* found = &indices[0, 0]
    cdef int32_t* survivors = &indices[1, 0]
    cdef real* upper2 = &bounds2[0, 0]
    cdef real* lower2 = &bounds2[1, 0]
    cdef const real* rows
    cdef bint dense, weighted = weight is not None
    cdef double w = 1.0, up, down
    up = 1 + (d + 16) * 2.3e-16 + (2.4e-7 if real is float else 4.5e-16)
    down = 2 - up
    with nogil:
        first = 0
        while first < n:
            m = min(t, n - first)
            rows = &X[first, 0]
            open_rows = m
            if mode == FILTER:
                open_rows = filter_rows(&labels[first], m, &drift[0], &half_gap[0], largest,
                                        second, &upper[first], &lower[first], survivors)
            # Gathering nearly all rows costs more than assigning the few others too.
            dense = open_rows * 8 > m * 7
            if dense:
                open_rows = m
            else:
                for i in range(open_rows):
                    memcpy(&gathered[i, 0], rows + survivors[i] * d, d * sizeof(real))
                rows = &gathered[0, 0]
            if open_rows:
                assign_rows(rows, open_rows, d, &centroids[0, 0], k, &packed[0], found, upper2,
                            lower2)
            assigned += open_rows
            for i in range(open_rows):
                row = first + (i if dense else survivors[i])
                if mode != PLAIN:
                    upper[row] = <real> (sqrt(upper2[i]) * up)
                    lower[row] = <real> (sqrt(lower2[i]) * down) if lower2[i] > 0 else 0
                if found[i] != labels[row]:
                    changed += 1
                    if not weighted:
                        move_row(rows + i * d, &reference[0], d, w, labels[row], found[i],
                                 &sums[0, 0], &mass[0], &counts[0])
                    labels[row] = found[i]
            if weighted:
                for row in range(first, first + m):
                    if weight[row] > 0:
                        move_row(&X[row, 0], &reference[0], d, weight[row], -1, labels[row],
                                 &sums[0, 0], &mass[0], &counts[0])
            first += t
    return changed, assigned
