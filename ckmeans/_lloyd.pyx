# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
# cython: initializedcheck=False, freethreading_compatible=True
"""The assignment and centroid-update loops of Lloyd's algorithm (Lloyd 1982).

Each def function takes one block of contiguous rows, checks shapes through its memoryviews and
hands over to a nogil loop. The tiles in `_tiles/` find most labels and certify them; the rows
they leave open are decided by `distance2`, so that every label is that of a float64 brute force.
"""
from libc.stddef cimport size_t
from libc.math cimport INFINITY
from libc.stdint cimport int32_t, uintptr_t

import os

import numpy as np

cdef extern from "_tiles/tiles.h" nogil:
    int ckm_simd_choose(const char* name)
    const char* ckm_simd_name()
    size_t ckm_packed_bytes_f32(Py_ssize_t k, Py_ssize_t d)
    size_t ckm_packed_bytes_f64(Py_ssize_t k, Py_ssize_t d)
    void ckm_pack_f32(const double* c, Py_ssize_t k, Py_ssize_t d, const double* shift, void* out)
    void ckm_pack_f64(const double* c, Py_ssize_t k, Py_ssize_t d, const double* shift, void* out)
    void ckm_nearest_f32(const float* X, Py_ssize_t m, const void* packed, int32_t* labels,
                         float* upper2, float* lower2)
    void ckm_nearest_f64(const double* X, Py_ssize_t m, const void* packed, int32_t* labels,
                         double* upper2, double* lower2)
    ctypedef struct ckm_drifts_f32:
        const float* drift
        const float* half_gap
        float largest_drift
        float second_drift
    ctypedef struct ckm_drifts_f64:
        const double* drift
        const double* half_gap
        double largest_drift
        double second_drift
    Py_ssize_t ckm_filter_f32(const int32_t* labels, Py_ssize_t m, const ckm_drifts_f32* drifts,
                              float* upper, float* lower, int32_t* survivors)
    Py_ssize_t ckm_filter_f64(const int32_t* labels, Py_ssize_t m, const ckm_drifts_f64* drifts,
                              double* upper, double* lower, int32_t* survivors)


cdef double distance2(const real* x, const double* c, Py_ssize_t d) noexcept nogil:
    """The squared distance that decides: float64, direct differences, columns in order."""
    cdef double total = 0.0, difference
    cdef Py_ssize_t j
    for j in range(d):
        difference = <double> x[j] - c[j]
        total += difference * difference
    return total


cdef void assign_rows(
    const real* X, Py_ssize_t n, Py_ssize_t d,                        # in   (n, d)
    const double* centroids, Py_ssize_t k, const void* packed,        # in   (k, d)
    int32_t* labels,                                                  # out  (n,)
    real* upper2, real* lower2,                                       # out  (n,)
) noexcept nogil:
    """Nearest centroid of each row, the lowest index on ties, with certified bounds: upper2 on the
    squared distance to it, lower2 on that to every other centroid."""
    cdef Py_ssize_t i, j
    cdef double best, second, candidate
    # The deciding distances round at most d + 3 times in float64; a bound then rounds to `real`.
    cdef double roundoff = (d + 8) * 2.3e-16 + (2.4e-7 if real is float else 0.0)
    cdef double tiny = 1.2e-38 if real is float else 2.3e-308
    if real is float:
        ckm_nearest_f32(X, n, packed, labels, upper2, lower2)
    else:
        ckm_nearest_f64(X, n, packed, labels, upper2, lower2)
    for i in range(n):
        if upper2[i] < lower2[i]:
            continue
        best = distance2(X + i * d, centroids, d)
        second = INFINITY
        labels[i] = 0
        for j in range(1, k):
            candidate = distance2(X + i * d, centroids + j * d, d)
            if candidate < best:
                second = best
                best = candidate
                labels[i] = <int32_t> j
            elif candidate < second:
                second = candidate
        upper2[i] = <real> (best * (1 + roundoff) + tiny)
        lower2[i] = <real> (second * (1 - roundoff) - tiny)


cdef Py_ssize_t filter_rows(
    const int32_t* labels, Py_ssize_t n,                              # in   (n,)
    const real* drift, const real* half_gap, real largest, real second,    # in   (k,), (k,)
    real* upper, real* lower,                                         # in/out  (n,)
    int32_t* survivors,                                               # out  (n,)
) noexcept nogil:
    """Hamerly's test: moves the bounds by the drifts; indices of the rows that may change."""
    cdef ckm_drifts_f32 drifts32
    cdef ckm_drifts_f64 drifts64
    if real is float:
        drifts32.drift, drifts32.half_gap = drift, half_gap
        drifts32.largest_drift, drifts32.second_drift = largest, second
        return ckm_filter_f32(labels, n, &drifts32, upper, lower, survivors)
    else:
        drifts64.drift, drifts64.half_gap = drift, half_gap
        drifts64.largest_drift, drifts64.second_drift = largest, second
        return ckm_filter_f64(labels, n, &drifts64, upper, lower, survivors)


cdef double accumulate_rows(
    const real* X, Py_ssize_t n, Py_ssize_t d,                        # in   (n, d)
    const double* centroids, const double* weight,                    # in   (k, d), (n,) or NULL
    const int32_t* labels,                                            # in   (n,)
    double* residuals, double* mass, double* inertias,                # in/out  (k, d), (k,), (k,)
) noexcept nogil:
    """Add each row's residual, weight and squared distance to its cluster; returns their inertia.

    Residuals x - c rather than x: the mean c + sum(x - c) / mass is then as exact for data far
    from the origin as for centred data.
    """
    cdef Py_ssize_t i, j
    cdef double w = 1.0, total = 0.0, difference, squares
    cdef const double* c
    cdef double* r
    for i in range(n):
        if weight != NULL:
            w = weight[i]
            if w == 0.0:
                continue
        c = centroids + labels[i] * d
        r = residuals + labels[i] * d
        squares = 0.0
        for j in range(d):
            difference = <double> X[i * d + j] - c[j]
            r[j] += w * difference
            squares += difference * difference
        mass[labels[i]] += w
        inertias[labels[i]] += w * squares
        total += w * squares
    return total


def choose_simd(name=None):
    """Use the named level of SIMD, or the best one for None; returns the level in use."""
    cdef bytes encoded
    cdef int status
    if name is None:
        status = ckm_simd_choose(NULL)
    else:
        encoded = name.encode()
        status = ckm_simd_choose(encoded)
    if status == -1:
        raise ValueError(f"CKMEANS_SIMD must be baseline, avx2 or avx512, got {name!r}")
    if status == -2:
        raise ValueError(f"CKMEANS_SIMD={name} is not supported by this CPU")
    return ckm_simd_name().decode()


def pack(const double[:, ::1] centroids, const double[::1] shift, bint single):
    """Centroids in the layout of the tiles; returns a 64-byte aligned uint8 array."""
    cdef Py_ssize_t k = centroids.shape[0], d = centroids.shape[1]
    cdef size_t size = ckm_packed_bytes_f32(k, d) if single else ckm_packed_bytes_f64(k, d)
    buffer = np.empty(size + 64, dtype=np.uint8)
    cdef unsigned char[::1] raw = buffer
    cdef Py_ssize_t skip = <Py_ssize_t> (-<uintptr_t> &raw[0] % 64)
    if single:
        ckm_pack_f32(&centroids[0, 0], k, d, &shift[0], &raw[skip])
    else:
        ckm_pack_f64(&centroids[0, 0], k, d, &shift[0], &raw[skip])
    return buffer[skip:]


def assign(
    const real[:, ::1] X,                  # in   (n, d)
    const double[:, ::1] centroids,        # in   (k, d)
    const unsigned char[::1] packed,       # in   from pack()
    int32_t[::1] labels,                   # out  (n,)
    real[::1] upper2, real[::1] lower2,    # out  (n,) scratch
):
    """Nearest centroid of each row of a block."""
    if X.shape[0]:
        with nogil:
            assign_rows(&X[0, 0], X.shape[0], X.shape[1], &centroids[0, 0], centroids.shape[0],
                        &packed[0], &labels[0], &upper2[0], &lower2[0])


def accumulate(
    const real[:, ::1] X,                  # in   (n, d)
    const double[:, ::1] centroids,        # in   (k, d)
    const double[::1] weight,              # in   (n,) or None
    const int32_t[::1] labels,             # in   (n,)
    double[:, ::1] residuals,              # in/out  (k, d)
    double[::1] mass, double[::1] inertias,    # in/out  (k,), (k,)
):
    """Add a block of rows to its clusters' residuals, mass and inertias."""
    cdef const double* w = NULL if weight is None else &weight[0]
    with nogil:
        accumulate_rows(&X[0, 0], X.shape[0], X.shape[1], &centroids[0, 0], w, &labels[0],
                        &residuals[0, 0], &mass[0], &inertias[0])


def own_distances2(
    const real[:, ::1] X, const double[:, ::1] centroids, const int32_t[::1] labels,    # in
    double[::1] out,                       # out  (n,)
):
    """Squared distance of each row to the centroid of its label."""
    cdef Py_ssize_t i
    with nogil:
        for i in range(X.shape[0]):
            out[i] = distance2(&X[i, 0], &centroids[labels[i], 0], X.shape[1])


def all_distances2(const real[:, ::1] X, const double[:, ::1] centroids, double[:, ::1] out):
    """Squared distance of each row to every centroid: out (n, k)."""
    cdef Py_ssize_t i, j
    with nogil:
        for i in range(X.shape[0]):
            for j in range(centroids.shape[0]):
                out[i, j] = distance2(&X[i, 0], &centroids[j, 0], X.shape[1])


choose_simd(os.environ.get("CKMEANS_SIMD") or None)
