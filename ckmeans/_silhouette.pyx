# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
# cython: initializedcheck=False, freethreading_compatible=True
"""Sums of silhouettes over blocks of distances."""
from libc.math cimport INFINITY
from libc.stdint cimport int32_t, int64_t


cdef inline double width(double own, double other) noexcept nogil:
    """(b - a) / max(a, b), and 0 where both are 0 (Rousseeuw 1987)."""
    cdef double larger = max(own, other)
    return (other - own) / larger if larger > 0.0 else 0.0


def simplified(
    const double[:, ::1] distances,        # in   (n, k) of each row to each centroid
    const int32_t[::1] labels,             # in   (n,)
    const int64_t[::1] sizes,              # in   (k,)
):
    """Sum of the rows' silhouettes on centroids; a cluster of one row adds 0."""
    cdef Py_ssize_t i, j, own
    cdef double other, total = 0.0
    with nogil:
        for i in range(distances.shape[0]):
            own = labels[i]
            if sizes[own] == 1:
                continue
            other = INFINITY
            for j in range(own):
                other = min(other, distances[i, j])
            for j in range(own + 1, distances.shape[1]):
                other = min(other, distances[i, j])
            total += width(distances[i, own], other)
    return total


def add_by_cluster(
    const double[:, ::1] distances,        # in   (n, m) of each row to each chosen row
    const int32_t[::1] labels,             # in   (n,)
    double[:, ::1] sums,                   # in/out  (k, m)
):
    """Add each row's distances to the sums of its cluster."""
    cdef Py_ssize_t i, j
    cdef double* row
    with nogil:
        for i in range(distances.shape[0]):
            row = &sums[labels[i], 0]
            for j in range(distances.shape[1]):
                row[j] += distances[i, j]


def classical(
    const double[:, ::1] sums,             # in   (k, m) distances of chosen rows to each cluster
    const int32_t[::1] labels,             # in   (m,) of the chosen rows
    const int64_t[::1] sizes,              # in   (k,)
):
    """Sum of the chosen rows' silhouettes; a cluster of one row adds 0."""
    cdef Py_ssize_t i, j, own
    cdef double other, total = 0.0
    with nogil:
        for i in range(sums.shape[1]):
            own = labels[i]
            if sizes[own] == 1:
                continue
            other = INFINITY
            for j in range(sums.shape[0]):
                if j != own:
                    other = min(other, sums[j, i] / sizes[j])
            total += width(sums[own, i] / (sizes[own] - 1), other)
    return total
