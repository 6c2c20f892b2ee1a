# The loops of Lloyd's algorithm, for `cimport ckmeans._lloyd`. All are nogil and allocate nothing.
from libc.stdint cimport int32_t

ctypedef fused real:
    float
    double


cdef double distance2(const real* x, const double* c, Py_ssize_t d) noexcept nogil

cdef void assign_rows(
    const real* X, Py_ssize_t n, Py_ssize_t d,
    const double* centroids, Py_ssize_t k, const void* packed,
    int32_t* labels, real* upper2, real* lower2,
) noexcept nogil

cdef Py_ssize_t filter_rows(
    const int32_t* labels, Py_ssize_t n,
    const real* drift, const real* half_gap, real largest, real second,
    real* upper, real* lower, int32_t* survivors,
) noexcept nogil

cdef double accumulate_rows(
    const real* X, Py_ssize_t n, Py_ssize_t d,
    const double* centroids, const double* weight, const int32_t* labels,
    double* residuals, double* mass, double* inertias,
) noexcept nogil
