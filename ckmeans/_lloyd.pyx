# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
# cython: initializedcheck=False, freethreading_compatible=True
"""The assignment and centroid-update loops of Lloyd's algorithm (Lloyd 1982).

Each def function takes one block of contiguous rows, checks shapes through its memoryviews and
hands over to a nogil loop. The tiles in `_tiles/` find most labels and certify them; the rows
they leave open are decided by `distance2`, so that every label is that of a float64 brute force.
"""
from libc.float cimport DBL_MAX, FLT_MAX
from libc.stddef cimport size_t
from libc.math cimport INFINITY
from libc.stdint cimport int8_t, int16_t, int32_t, uint32_t, int64_t, uintptr_t
from libc.string cimport memcpy, memset

from cpython.pycapsule cimport PyCapsule_New

import os

import numpy as np

cdef extern from "ckmeans.h" nogil:
    enum:
        CKMEANS_ABI
    ctypedef struct ckmeans_api:
        Py_ssize_t abi
        size_t size
        Py_ssize_t (*update)(double*, Py_ssize_t, Py_ssize_t, double*, double*) noexcept nogil
        size_t (*packed_bytes_f32)(Py_ssize_t, Py_ssize_t) noexcept nogil
        size_t (*workspace_bytes_f32)(Py_ssize_t, Py_ssize_t) noexcept nogil
        void (*pack_f32)(const double*, Py_ssize_t, Py_ssize_t, void*) noexcept nogil
        void (*assign_f32)(
            const float*, Py_ssize_t, Py_ssize_t, Py_ssize_t, const double*, Py_ssize_t,
            const void*, int32_t*) noexcept nogil
        void (*accumulate_f32)(
            const float*, Py_ssize_t, Py_ssize_t, Py_ssize_t, const double*, const int32_t*,
            const double*, double*) noexcept nogil
        Py_ssize_t (*iterate_f32)(
            const float*, Py_ssize_t, Py_ssize_t, Py_ssize_t, const double*, double*, Py_ssize_t,
            int32_t*, double*, void*) noexcept nogil
        size_t (*packed_bytes_f64)(Py_ssize_t, Py_ssize_t) noexcept nogil
        size_t (*workspace_bytes_f64)(Py_ssize_t, Py_ssize_t) noexcept nogil
        void (*pack_f64)(const double*, Py_ssize_t, Py_ssize_t, void*) noexcept nogil
        void (*assign_f64)(
            const double*, Py_ssize_t, Py_ssize_t, Py_ssize_t, const double*, Py_ssize_t,
            const void*, int32_t*) noexcept nogil
        void (*accumulate_f64)(
            const double*, Py_ssize_t, Py_ssize_t, Py_ssize_t, const double*, const int32_t*,
            const double*, double*) noexcept nogil
        Py_ssize_t (*iterate_f64)(
            const double*, Py_ssize_t, Py_ssize_t, Py_ssize_t, const double*, double*, Py_ssize_t,
            int32_t*, double*, void*) noexcept nogil

cdef extern from "_tiles/tiles.h" nogil:
    int ckm_simd_choose(const char* name)
    const char* ckm_simd_name()
    size_t ckm_packed_bytes_f32(Py_ssize_t k, Py_ssize_t d)
    size_t ckm_packed_bytes_f64(Py_ssize_t k, Py_ssize_t d)
    void ckm_pack_f32(const double* c, Py_ssize_t k, Py_ssize_t d, const double* shift, void* out)
    void ckm_pack_f64(const double* c, Py_ssize_t k, Py_ssize_t d, const double* shift, void* out)
    int ckm_takes_lists_f32(const void* packed)
    int ckm_takes_lists_f64(const void* packed)
    Py_ssize_t ckm_nearest_f32(const float* X, Py_ssize_t row_step, Py_ssize_t column_step,
                               const int32_t* listed, Py_ssize_t m, const void* packed,
                               const ckm_rest* rest, int32_t* labels, float* least2,
                               float* upper2, float* lower2, float* scores, int32_t* undecided)
    Py_ssize_t ckm_nearest_f64(const double* X, Py_ssize_t row_step, Py_ssize_t column_step,
                               const int32_t* listed, Py_ssize_t m, const void* packed,
                               const ckm_rest* rest, int32_t* labels, double* least2,
                               double* upper2, double* lower2, double* scores, int32_t* undecided)
    size_t ckm_rounded_bytes(Py_ssize_t n, Py_ssize_t d)
    void ckm_round_f32(const float* X, Py_ssize_t row_step, Py_ssize_t column_step, Py_ssize_t m,
                       Py_ssize_t d, const double* shift, double scale, int32_t* rounded)
    void ckm_round_f64(const double* X, Py_ssize_t row_step, Py_ssize_t column_step, Py_ssize_t m,
                       Py_ssize_t d, const double* shift, double scale, int32_t* rounded)
    size_t ckm_rounded_packed_bytes(Py_ssize_t k, Py_ssize_t d)
    int ckm_pack_rounded(const double* centroids, Py_ssize_t k, Py_ssize_t d, const double* shift,
                         double scale, void* packed)
    Py_ssize_t ckm_nearest_rounded(const int32_t* rounded, Py_ssize_t m, const void* packed,
                                   int32_t* labels, int32_t* undecided)
    void ckm_keep_f32(
        Py_ssize_t count, const int32_t* rows, const int32_t* labels,
        const ckm_drifts_f32* drifts, const float* upper2, const float* lower2,
        float* upper, float* slack)
    void ckm_keep_f64(
        Py_ssize_t count, const int32_t* rows, const int32_t* labels,
        const ckm_drifts_f64* drifts, const double* upper2, const double* lower2,
        double* upper, double* slack)
    Py_ssize_t ckm_filter_f32(const int32_t* labels, Py_ssize_t m, const ckm_drifts_f32* drifts,
                              float* slack, const float* upper, int32_t* survivors)
    Py_ssize_t ckm_filter_f64(const int32_t* labels, Py_ssize_t m, const ckm_drifts_f64* drifts,
                              double* slack, const double* upper, int32_t* survivors)
    Py_ssize_t ckm_filter_margins(const int32_t* labels, Py_ssize_t m, const int8_t* limits,
                                  const int8_t* margins, int32_t* survivors)
    void ckm_keep_margins_f32(
        Py_ssize_t count, const int32_t* rows, const int32_t* labels, const float* scores,
        const float* scales, int since, int8_t* margins)
    void ckm_keep_margins_f64(
        Py_ssize_t count, const int32_t* rows, const int32_t* labels, const double* scores,
        const double* scales, int since, int8_t* margins)
    void ckm_own_squares_f32(const float* X, Py_ssize_t step, Py_ssize_t d, const int32_t* rows,
                             Py_ssize_t count, const int32_t* labels, const double* centroids,
                             double* squares)
    void ckm_own_squares_f64(const double* X, Py_ssize_t step, Py_ssize_t d, const int32_t* rows,
                             Py_ssize_t count, const int32_t* labels, const double* centroids,
                             double* squares)
    Py_ssize_t ckm_sort_open_f32(
        Py_ssize_t count, const int32_t* labels, const ckm_drifts_f32* drifts,
        const double* squares, double relative, float* upper, float* slack, float* ends,
        int32_t* const* lists, Py_ssize_t* counts)
    Py_ssize_t ckm_sort_open_f64(
        Py_ssize_t count, const int32_t* labels, const ckm_drifts_f64* drifts,
        const double* squares, double relative, double* upper, double* slack, double* ends,
        int32_t* const* lists, Py_ssize_t* counts)
    Py_ssize_t ckm_changed(const int32_t* before, const int32_t* after, Py_ssize_t m,
                           int32_t* rows)
    enum:
        CKM_WIDTH
    void ckm_all_distances(const double* X, Py_ssize_t m, Py_ssize_t d, const double* columns,
                           Py_ssize_t stride, Py_ssize_t k, double* out)
    void ckm_move_f32(const float* X, Py_ssize_t step, Py_ssize_t d, const int32_t* rows,
                      Py_ssize_t count, bint gathered, const int32_t* before,
                      const int32_t* after, const double* weight, const double* shift,
                      double* totals)
    void ckm_move_f64(const double* X, Py_ssize_t step, Py_ssize_t d, const int32_t* rows,
                      Py_ssize_t count, bint gathered, const int32_t* before,
                      const int32_t* after, const double* weight, const double* shift,
                      double* totals)
    void ckm_add_f32(const float* X, Py_ssize_t step, Py_ssize_t d, Py_ssize_t m,
                     const int32_t* labels, const double* weight, const double* base,
                     Py_ssize_t base_stride, double* totals)
    void ckm_add_f64(const double* X, Py_ssize_t step, Py_ssize_t d, Py_ssize_t m,
                     const int32_t* labels, const double* weight, const double* base,
                     Py_ssize_t base_stride, double* totals)
    ctypedef struct ckm_source:
        pass
    void ckm_read_f32(const ckm_source* source, Py_ssize_t d, Py_ssize_t first,
                      const int32_t* rows, Py_ssize_t count, float* out)
    void ckm_read_f64(const ckm_source* source, Py_ssize_t d, Py_ssize_t first,
                      const int32_t* rows, Py_ssize_t count, double* out)
    Py_ssize_t ckm_first_bad(const ckm_source* source, Py_ssize_t d, Py_ssize_t first,
                             Py_ssize_t count, double limit, double* largest)

    Py_ssize_t ckm_beyond(const double* nearest, const int32_t* owner, Py_ssize_t m,
                          const double* limit, int32_t* survivors)
    double ckm_chances(const double* nearest, const double* weight, Py_ssize_t m, double scale,
                       double weight_scale)
    void ckm_distances2_f32(const float* X, Py_ssize_t d, const int32_t* listed, Py_ssize_t m,
                            const double* point, double* squares)
    void ckm_distances2_f64(const double* X, Py_ssize_t d, const int32_t* listed, Py_ssize_t m,
                            const double* point, double* squares)
    void ckm_narrow_gains_f32(const float* rows, Py_ssize_t m, const double* nearest,
                              const double* weight, const ckm_gains* gains, double* totals,
                              uint32_t* open_bits)
    void ckm_narrow_gains_f64(const double* rows, Py_ssize_t m, const double* nearest,
                              const double* weight, const ckm_gains* gains, double* totals,
                              uint32_t* open_bits)
    void ckm_wide_gains_f32(const float* X, const int32_t* at, const int32_t* listed,
                            Py_ssize_t m, const double* nearest, const double* weight,
                            const ckm_gains* gains, double* totals, uint32_t* open_bits)
    void ckm_wide_gains_f64(const double* X, const int32_t* at, const int32_t* listed,
                            Py_ssize_t m, const double* nearest, const double* weight,
                            const ckm_gains* gains, double* totals, uint32_t* open_bits)
    size_t ckm_sift_bytes_f32(Py_ssize_t d)
    size_t ckm_sift_bytes_f64(Py_ssize_t d)
    int ckm_pack_sift_f32(const double* candidates, Py_ssize_t t, Py_ssize_t d,
                          const double* origin, void* packed)
    int ckm_pack_sift_f64(const double* candidates, Py_ssize_t t, Py_ssize_t d,
                          const double* origin, void* packed)
    Py_ssize_t ckm_sift_f32(const float* X, const int32_t* at, const int32_t* listed,
                            Py_ssize_t m, const double* nearest, const float* norms2,
                            const void* packed, int32_t* survivors)
    Py_ssize_t ckm_sift_f64(const double* X, const int32_t* at, const int32_t* listed,
                            Py_ssize_t m, const double* nearest, const float* norms2,
                            const void* packed, int32_t* survivors)
    void ckm_pack_candidates_f32(const double* candidates, Py_ssize_t t, Py_ssize_t d,
                                 float* packed)
    void ckm_pack_candidates_f64(const double* candidates, Py_ssize_t t, Py_ssize_t d,
                                 double* packed)
    Py_ssize_t ckm_open_rows(const uint32_t* open_bits, int32_t first, int32_t* rows)
    void ckm_fetch_rows(const int32_t* rows, Py_ssize_t m, const void* X, Py_ssize_t row_bytes)
    void ckm_sparse_measure(const ckm_csr* X, Py_ssize_t first, Py_ssize_t last, double* norms2,
                            double* norms, int16_t* integers)
    size_t ckm_sparse_packed_bytes(Py_ssize_t k, Py_ssize_t d)
    void ckm_sparse_pack(const double* centroids, Py_ssize_t k, Py_ssize_t d, void* packed,
                         double* norms2, int32_t* counts)
    Py_ssize_t ckm_sparse_nearest(const ckm_csr* X, Py_ssize_t first, const int32_t* rows,
                                  Py_ssize_t count, const void* packed, int32_t* labels,
                                  float* upper, float* lower, int32_t* undecided)
    void ckm_sparse_scores(const ckm_csr* X, Py_ssize_t row, const void* packed, double* scores)
    double ckm_sparse_error(const ckm_csr* X, Py_ssize_t row, const void* packed)
    void ckm_sparse_shared(const ckm_csr* X, Py_ssize_t first, Py_ssize_t count,
                           const int32_t* places, const double* panel, double* products)
    void ckm_list_by_column(const ckm_csr* X, Py_ssize_t first, Py_ssize_t last, Py_ssize_t d,
                            int64_t* begins, int32_t* rows, void* values)
    void ckm_add_products(const ckm_csr* X, Py_ssize_t point, const int64_t* begins,
                          const int32_t* rows, const void* values, double* products)
    int ckm_sparse_multiples(const ckm_csr* X, double shift)
    void ckm_sparse_move(const ckm_csr* X, Py_ssize_t d, const double* weight,
                         const ckm_moves* moves, Py_ssize_t first, Py_ssize_t last,
                         double* totals)
    void ckm_sparse_own_squares(const ckm_csr* X, const int32_t* rows, Py_ssize_t first,
                                Py_ssize_t last, const double* centroids, Py_ssize_t d,
                                const double* norms2, const int32_t* labels, double* squares)
    void ckm_sparse_squares(const double* values, const int32_t* columns, Py_ssize_t m,
                            const double* panel, double* squares, double* covered)

cdef enum:
    ROWS_AT_ONCE = 42 * 48    # whole tiles
    ABREAST = 8               # sums in turn: one alone waits for each of its additions


cdef double distance2(
    const real* x, Py_ssize_t step, const double* c, Py_ssize_t d,    # in   (d,) in steps, (d,)
) noexcept nogil:
    """The squared distance that decides: float64, direct differences, columns in order."""
    cdef double total = 0.0, difference
    cdef Py_ssize_t j
    for j in range(d):
        difference = <double> x[j * step] - c[j]
        total += difference * difference
    return total


cdef void distances2_abreast(
    const real* x, Py_ssize_t step, const double* c, Py_ssize_t d,    # in   (d,), (ABREAST, d)
    double* squares,                                                  # out  (ABREAST,)
) noexcept nogil:
    """distance2() to ABREAST centroids, whose sums do not wait for each other: the same bits."""
    cdef Py_ssize_t f, q
    cdef double value, difference
    cdef double[ABREAST] totals
    for q in range(ABREAST):
        totals[q] = 0.0
    for f in range(d):
        value = <double> x[f * step]
        for q in range(ABREAST):
            difference = value - c[q * d + f]
            totals[q] += difference * difference
    for q in range(ABREAST):
        squares[q] = totals[q]


cdef bint takes_lists(const void* packed, real _) noexcept nogil:
    """Whether nearest_rows() and assign_rows() take listed rows."""
    if real is float:
        return ckm_takes_lists_f32(packed)
    else:
        return ckm_takes_lists_f64(packed)


cdef Py_ssize_t nearest_rows(
    const real* X, Py_ssize_t row_step, Py_ssize_t column_step,       # in   (n, d) in these steps
    const int32_t* listed,                                            # in   (n,), or NULL
    Py_ssize_t n, const void* packed, const ckm_rest* rest,           # in   the last may be NULL
    int32_t* labels, real* least2, real* upper2, real* lower2,        # out  (n,); bounds or NULL
    real* scores,                                                     # out  or NULL
    int32_t* undecided,                                               # out  room for n + 1
) noexcept nogil:
    """What the tiles say (see tiles.h): labels, and which of them are not proven; returns how many
    those are."""
    if real is float:
        return ckm_nearest_f32(X, row_step, column_step, listed, n, packed, rest, labels,
                               least2, upper2, lower2, scores, undecided)
    else:
        return ckm_nearest_f64(X, row_step, column_step, listed, n, packed, rest, labels,
                               least2, upper2, lower2, scores, undecided)


cdef int32_t decide_row(
    const real* x, Py_ssize_t step, Py_ssize_t d,                     # in   (d,) in steps
    const double* centroids, Py_ssize_t k,                            # in   (k, d)
    real* upper2, real* lower2,                                       # out  bounds of the row
) noexcept nogil:
    """The row's nearest centroid by float64 brute force, the lowest index on ties."""
    cdef double[2] least
    # Distances round at most d + 3 times in float64, in any order; a bound then rounds to `real`.
    cdef double relative = (d + 8) * 2.3e-16
    cdef double roundoff = relative + (2.4e-7 if real is float else 0.0)
    cdef double tiny = 1.2e-38 if real is float else 2.3e-308
    cdef int32_t label = -1
    # Of long rows in whatever order is fast; the order of the columns matters to few of them (60k x
    # 784, k = 10: 4 % of the run before).
    if step == 1 and d >= CKM_LONG:
        label = two_least(x, step, d, centroids, k, False, least)
    if label < 0 or not least[0] * (1 + relative) < least[1] * (1 - relative):
        label = two_least(x, step, d, centroids, k, True, least)
    upper2[0] = <real> (least[0] * (1 + roundoff) + tiny)
    # Beyond the range of `real` the largest is a lower bound, infinity is none.
    lower2[0] = <real> min(least[1] * (1 - roundoff) - tiny, FLT_MAX if real is float else DBL_MAX)
    return label


cdef int32_t two_least(
    const real* x, Py_ssize_t step, Py_ssize_t d,                     # in   (d,) in steps
    const double* centroids, Py_ssize_t k,                            # in   (k, d)
    bint in_order,                                                    # in   of the columns
    double* least,                                                    # out  (2,)
) noexcept nogil:
    """The two least squared distances, and the first centroid that has the least."""
    cdef Py_ssize_t j, q, done = 0, m = min(<Py_ssize_t> ABREAST, k)
    cdef int32_t label = 0
    cdef int32_t[ABREAST] places
    cdef double[ABREAST] squares
    for q in range(m):
        places[q] = <int32_t> q
    least[0] = least[1] = INFINITY
    while done < k:
        j = min(done, k - m)    # the last ones with some again: two alone take twice as long
        if not in_order:
            own_squares(x, 0, d, <const int32_t*> NULL, m, places, centroids + j * d, squares)
        elif m == ABREAST:
            distances2_abreast(x, step, centroids + j * d, d, squares)
        else:
            for q in range(m):
                squares[q] = distance2(x, step, centroids + q * d, d)
        for q in range(done - j, m):
            if squares[q] < least[0]:
                least[1] = least[0]
                least[0] = squares[q]
                label = <int32_t> (j + q)
            elif squares[q] < least[1]:
                least[1] = squares[q]
        done = j + m
    return label


cdef void assign_rows(
    const real* X, Py_ssize_t row_step, Py_ssize_t column_step,       # in   (n, d) in these steps
    const int32_t* listed,                                            # in   (n,) the rows, or NULL
    Py_ssize_t n, Py_ssize_t d,                                       # in
    const double* centroids, Py_ssize_t k, const void* packed,        # in   (k, d)
    int32_t* labels,                                                  # out  (n,)
    real* upper2, real* lower2,                                       # out  (n,), or NULL for both
    real* scores,                                                     # out  or NULL, see tiles.h
) noexcept nogil:
    """Nearest centroid of each row, the lowest index on ties, with certified bounds: upper2 on the
    squared distance to it, lower2 on that to every other centroid."""
    cdef Py_ssize_t first = 0, i, m, count, row
    cdef int32_t[ROWS_AT_ONCE + 1] undecided
    cdef real[2] bounds
    cdef real* upper = bounds
    cdef real* lower = bounds + 1
    while first < n:
        m = min(<Py_ssize_t> ROWS_AT_ONCE, n - first)
        if upper2 != NULL:
            upper, lower = upper2 + first, lower2 + first
        count = nearest_rows(X if listed != NULL else X + first * row_step, row_step, column_step,
                             NULL if listed == NULL else listed + first, m, packed,
                             <const ckm_rest*> NULL, labels + first, <real*> NULL,
                             NULL if upper2 == NULL else upper, NULL if upper2 == NULL else lower,
                             NULL if scores == NULL else scores + first * CKM_SCORES, undecided)
        for i in range(count):
            m = undecided[i]
            row = first + m if listed == NULL else listed[first + m]
            labels[first + m] = decide_row(
                X + row * row_step, column_step, d, centroids, k,
                upper + (m if upper2 != NULL else 0), lower + (m if upper2 != NULL else 0))
        first += ROWS_AT_ONCE


cdef void keep_rows(
    Py_ssize_t count, const int32_t* rows, const int32_t* labels,     # in   (count,) or NULL, and
    const void* drifts,
    const real* upper2, const real* lower2,                           # in   (count,)
    real* upper, real* slack,                                         # out  (rows,)
) noexcept nogil:
    """Bounds on squared distances are kept as the filter reads them, in the places `rows`, or in
    the first for NULL."""
    if real is float:
        ckm_keep_f32(count, rows, labels, <const ckm_drifts_f32*> drifts, upper2, lower2, upper,
                     slack)
    else:
        ckm_keep_f64(count, rows, labels, <const ckm_drifts_f64*> drifts, upper2, lower2, upper,
                     slack)


cdef void keep_margins(
    Py_ssize_t count, const int32_t* rows, const int32_t* labels,     # in   (count,) or NULL, and
    const real* scores, const real* scales, int since,                # in   see tiles.h
    int8_t* margins,                                                  # out  (rows, CKM_SCORES)
) noexcept nogil:
    """Margins of rows to each other centroid are kept, in the places `rows` or in the first."""
    if real is float:
        ckm_keep_margins_f32(count, rows, labels, scores, scales, since, margins)
    else:
        ckm_keep_margins_f64(count, rows, labels, scores, scales, since, margins)


cdef Py_ssize_t filter_margins(
    const int32_t* labels, Py_ssize_t n, const int8_t* limits, const int8_t* margins,    # in
    int32_t* survivors,                                               # out  room for n + 1
) noexcept nogil:
    """Indices of the rows whose label may have changed; returns how many."""
    return ckm_filter_margins(labels, n, limits, margins, survivors)


cdef Py_ssize_t filter_rows(
    const int32_t* labels, Py_ssize_t n, const void* drifts,          # in   (n,)
    real* slack, const real* upper,                                   # in/out, in   (n,)
    int32_t* survivors,                                               # out  (n,)
) noexcept nogil:
    """Hamerly's test: indices of the rows that may change."""
    if real is float:
        return ckm_filter_f32(labels, n, <const ckm_drifts_f32*> drifts, slack, upper, survivors)
    else:
        return ckm_filter_f64(labels, n, <const ckm_drifts_f64*> drifts, slack, upper, survivors)


cdef void own_squares(
    const real* X, Py_ssize_t step, Py_ssize_t d,                     # in   rows `step` apart
    const int32_t* rows, Py_ssize_t count,                            # in   (count,) or NULL
    const int32_t* labels, const double* centroids,                   # in   (count,), (k, d)
    double* squares,                                                  # out  (count,)
) noexcept nogil:
    """Squared distances of rows X[rows[i]], or X[i] for NULL, to the centroids labels[i]."""
    if real is float:
        ckm_own_squares_f32(X, step, d, rows, count, labels, centroids, squares)
    else:
        ckm_own_squares_f64(X, step, d, rows, count, labels, centroids, squares)


cdef Py_ssize_t sort_open_rows(
    Py_ssize_t count, Py_ssize_t d, const int32_t* labels, const void* drifts,    # in   (count,)
    const double* squares,                                            # in   (count,) of own_squares
    real* upper, real* slack, real* ends,                             # in/out, out  (count,)
    int32_t* const* lists, Py_ssize_t* counts,                        # out  a list for each panel
) noexcept nogil:
    """The panel that each open row needs (see tiles.h)."""
    cdef double relative = (d + 8) * 2.3e-16
    if real is float:
        return ckm_sort_open_f32(count, labels, <const ckm_drifts_f32*> drifts, squares, relative,
                                 upper, slack, ends, lists, counts)
    else:
        return ckm_sort_open_f64(count, labels, <const ckm_drifts_f64*> drifts, squares, relative,
                                 upper, slack, ends, lists, counts)


cdef Py_ssize_t changed_rows(
    const int32_t* before, const int32_t* after, Py_ssize_t n,        # in   (n,) labels
    int32_t* rows,                                                    # out  room for n + 16
) noexcept nogil:
    """Indices where the labels differ; returns how many."""
    return ckm_changed(before, after, n, rows)


cdef void move_rows(
    const real* X, Py_ssize_t step, Py_ssize_t d,                     # in   (n, d), `step` apart
    const int32_t* rows, Py_ssize_t count, bint gathered,             # in   (count,) or NULL
    const int32_t* before, const int32_t* after,                      # in   (n,) labels, -1: none
    const double* weight,                                             # in   (n,) or NULL
    const double* reference, double* totals,                          # in   (d,); in/out (k, d + 2)
) noexcept nogil:
    """Move the chosen rows' differences to the reference, and their mass, between clusters. If
    gathered, X holds them alone."""
    if real is float:
        ckm_move_f32(X, step, d, rows, count, gathered, before, after, weight, reference,
                     totals)
    else:
        ckm_move_f64(X, step, d, rows, count, gathered, before, after, weight, reference,
                     totals)


cdef void add_rows(
    const real* X, Py_ssize_t step, Py_ssize_t d, Py_ssize_t n,       # in   (n, d), `step` apart
    const int32_t* labels,                                            # in   (n,)
    const double* weight, const double* base, Py_ssize_t base_stride,    # in   (n,) or NULL, (k, d)
    double* totals,                                                   # in/out  (k, d + 2)
) noexcept nogil:
    """Add each row's weighted difference to its cluster's base, its weight, and its weighted
    squared distance."""
    if real is float:
        ckm_add_f32(X, step, d, n, labels, weight, base, base_stride, totals)
    else:
        ckm_add_f64(X, step, d, n, labels, weight, base, base_stride, totals)


cdef size_t packed_size(Py_ssize_t k, Py_ssize_t d, bint single) noexcept nogil:
    return ckm_packed_bytes_f32(k, d) if single else ckm_packed_bytes_f64(k, d)


cdef void pack_centroids(
    const double* centroids, Py_ssize_t k, Py_ssize_t d, const double* shift, bint single,
    void* out,                                                        # out  64-byte aligned
) noexcept nogil:
    """Centroids in the layout of the tiles."""
    if single:
        ckm_pack_f32(centroids, k, d, shift, out)
    else:
        ckm_pack_f64(centroids, k, d, shift, out)


cdef size_t rounded_size(Py_ssize_t n, Py_ssize_t d) noexcept nogil:
    """Bytes of n rows as integers; 0 where the level has none of them."""
    return ckm_rounded_bytes(n, d)


cdef void round_rows(
    const real* X, Py_ssize_t row_step, Py_ssize_t column_step,       # in   (n, d) in these steps
    Py_ssize_t n, Py_ssize_t d,                                       # in
    const double* shift, double scale,                                # in   (d,)
    int32_t* rounded,                                                 # out  (rounded_size,)
) noexcept nogil:
    """Rows as integers, which tiles.h describes."""
    if real is float:
        ckm_round_f32(X, row_step, column_step, n, d, shift, scale, rounded)
    else:
        ckm_round_f64(X, row_step, column_step, n, d, shift, scale, rounded)


cdef size_t rounded_packed_size(Py_ssize_t k, Py_ssize_t d) noexcept nogil:
    return ckm_rounded_packed_bytes(k, d)


cdef bint pack_rounded(
    const double* centroids, Py_ssize_t k, Py_ssize_t d,              # in   (k, d)
    const double* shift, double scale, void* out,                     # in, in, out
) noexcept nogil:
    """Centroids for rows as integers; False where they are longer than those may be."""
    return ckm_pack_rounded(centroids, k, d, shift, scale, out)


cdef Py_ssize_t nearest_rounded(
    const int32_t* rounded, Py_ssize_t n, const void* packed,         # in
    int32_t* labels, int32_t* undecided,                              # out  (n,), room for n + 16
) noexcept nogil:
    """Labels of rows as integers, and which of them are not proven; returns how many those are."""
    return ckm_nearest_rounded(rounded, n, packed, labels, undecided)


cdef void read_rows(
    const void* source, Py_ssize_t d, Py_ssize_t first,               # in   a ckm_source
    const int32_t* rows, Py_ssize_t count,                            # in   (count,) or NULL
    real* out,                                                        # out  (count, d)
) noexcept nogil:
    """Rows first + rows[i], or first + i for NULL, of any layout and element type."""
    if real is float:
        ckm_read_f32(<const ckm_source*> source, d, first, rows, count, out)
    else:
        ckm_read_f64(<const ckm_source*> source, d, first, rows, count, out)


cdef Py_ssize_t first_bad(
    const void* source, Py_ssize_t d, Py_ssize_t first, Py_ssize_t count,    # in   a ckm_source
    double limit, double* largest,                                    # in, in/out
) noexcept nogil:
    """Place in row-major order of the first element that is NaN or larger in magnitude than
    `limit`; or -1, and `largest` is raised to the largest magnitude."""
    return ckm_first_bad(<const ckm_source*> source, d, first, count, limit, largest)


cdef Py_ssize_t seed_beyond(
    const double* nearest, const int32_t* owner, Py_ssize_t m, const double* limit,
    int32_t* survivors,
) noexcept nogil:
    return ckm_beyond(nearest, owner, m, limit, survivors)


cdef double seed_chances(
    const double* nearest, const double* weight, Py_ssize_t m, double scale, double weight_scale,
) noexcept nogil:
    return ckm_chances(nearest, weight, m, scale, weight_scale)


cdef void seed_distances2(
    const real* X, Py_ssize_t d, const int32_t* listed, Py_ssize_t m, const double* point,
    double* squares,
) noexcept nogil:
    if real is float:
        ckm_distances2_f32(X, d, listed, m, point, squares)
    else:
        ckm_distances2_f64(X, d, listed, m, point, squares)


cdef void seed_narrow_gains(
    const real* rows, Py_ssize_t m, const double* nearest, const double* weight,
    const ckm_gains* gains, double* totals, uint32_t* open_bits,
) noexcept nogil:
    if real is float:
        ckm_narrow_gains_f32(rows, m, nearest, weight, gains, totals, open_bits)
    else:
        ckm_narrow_gains_f64(rows, m, nearest, weight, gains, totals, open_bits)


cdef void seed_wide_gains(
    const real* X, const int32_t* at, const int32_t* listed, Py_ssize_t m, const double* nearest,
    const double* weight, const ckm_gains* gains, double* totals, uint32_t* open_bits,
) noexcept nogil:
    if real is float:
        ckm_wide_gains_f32(X, at, listed, m, nearest, weight, gains, totals, open_bits)
    else:
        ckm_wide_gains_f64(X, at, listed, m, nearest, weight, gains, totals, open_bits)


cdef void seed_pack_candidates(
    const double* candidates, Py_ssize_t t, Py_ssize_t d, real* packed,
) noexcept nogil:
    if real is float:
        ckm_pack_candidates_f32(candidates, t, d, packed)
    else:
        ckm_pack_candidates_f64(candidates, t, d, packed)


cdef size_t seed_sift_bytes(Py_ssize_t d, bint single) noexcept nogil:
    return ckm_sift_bytes_f32(d) if single else ckm_sift_bytes_f64(d)


cdef bint seed_pack_sift(
    const double* candidates, Py_ssize_t t, Py_ssize_t d, const double* origin, void* packed,
    bint single,
) noexcept nogil:
    if single:
        return ckm_pack_sift_f32(candidates, t, d, origin, packed)
    return ckm_pack_sift_f64(candidates, t, d, origin, packed)


cdef Py_ssize_t seed_sift(
    const real* X, const int32_t* at, const int32_t* listed, Py_ssize_t m, const double* nearest,
    const float* norms2, const void* packed, int32_t* survivors,
) noexcept nogil:
    if real is float:
        return ckm_sift_f32(X, at, listed, m, nearest, norms2, packed, survivors)
    else:
        return ckm_sift_f64(X, at, listed, m, nearest, norms2, packed, survivors)


cdef Py_ssize_t seed_open_rows(
    const uint32_t* open_bits, int32_t first, int32_t* rows,
) noexcept nogil:
    return ckm_open_rows(open_bits, first, rows)


cdef void seed_fetch_rows(
    const int32_t* rows, Py_ssize_t m, const void* X, Py_ssize_t row_bytes,
) noexcept nogil:
    ckm_fetch_rows(rows, m, X, row_bytes)


cdef void sparse_measure(
    const ckm_csr* X, Py_ssize_t first, Py_ssize_t last, double* norms2, double* norms,
    int16_t* integers,
) noexcept nogil:
    ckm_sparse_measure(X, first, last, norms2, norms, integers)


cdef size_t sparse_packed_size(Py_ssize_t k, Py_ssize_t d) noexcept nogil:
    return ckm_sparse_packed_bytes(k, d)


cdef void sparse_pack(
    const double* centroids, Py_ssize_t k, Py_ssize_t d, void* packed, double* norms2,
    int32_t* counts,
) noexcept nogil:
    ckm_sparse_pack(centroids, k, d, packed, norms2, counts)


cdef Py_ssize_t sparse_nearest(
    const ckm_csr* X, Py_ssize_t first, const int32_t* rows, Py_ssize_t count, const void* packed,
    int32_t* labels, float* upper, float* lower, int32_t* undecided,
) noexcept nogil:
    return ckm_sparse_nearest(X, first, rows, count, packed, labels, upper, lower, undecided)


cdef void sparse_scores(
    const ckm_csr* X, Py_ssize_t row, const void* packed, double* scores,
) noexcept nogil:
    ckm_sparse_scores(X, row, packed, scores)


cdef double sparse_error(const ckm_csr* X, Py_ssize_t row, const void* packed) noexcept nogil:
    return ckm_sparse_error(X, row, packed)


cdef void sparse_shared(
    const ckm_csr* X, Py_ssize_t first, Py_ssize_t count, const int32_t* places,
    const double* panel, double* products,
) noexcept nogil:
    ckm_sparse_shared(X, first, count, places, panel, products)


cdef void list_by_column(
    const ckm_csr* X, Py_ssize_t first, Py_ssize_t last, Py_ssize_t d, int64_t* begins,
    int32_t* rows, void* values,
) noexcept nogil:
    ckm_list_by_column(X, first, last, d, begins, rows, values)


cdef void add_products(
    const ckm_csr* X, Py_ssize_t point, const int64_t* begins, const int32_t* rows,
    const void* values, double* products,
) noexcept nogil:
    ckm_add_products(X, point, begins, rows, values, products)


cdef bint sparse_multiples(const ckm_csr* X, double shift) noexcept nogil:
    return ckm_sparse_multiples(X, shift)


cdef void sparse_move(
    const ckm_csr* X, Py_ssize_t d, const double* weight, const ckm_moves* moves,
    Py_ssize_t first, Py_ssize_t last, double* totals,
) noexcept nogil:
    ckm_sparse_move(X, d, weight, moves, first, last, totals)


cdef void sparse_own_squares(
    const ckm_csr* X, const int32_t* rows, Py_ssize_t first, Py_ssize_t last,
    const double* centroids, Py_ssize_t d, const double* norms2, const int32_t* labels,
    double* squares,
) noexcept nogil:
    ckm_sparse_own_squares(X, rows, first, last, centroids, d, norms2, labels, squares)


cdef void sparse_squares(
    const double* values, const int32_t* columns, Py_ssize_t m, const double* panel,
    double* squares, double* covered,
) noexcept nogil:
    ckm_sparse_squares(values, columns, m, panel, squares, covered)


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
        raise ValueError(
            f"CKMEANS_SIMD must be baseline, avx2, avx512 or avx512vnni, got {name!r}")
    if status == -2:
        raise ValueError(f"CKMEANS_SIMD={name} is not supported by this CPU")
    return simd_level()


def simd_level():
    """The level in use."""
    return ckm_simd_name().decode()


def pack(const double[:, ::1] centroids, const double[::1] shift, bint single):
    """Centroids in the layout of the tiles; returns a 64-byte aligned uint8 array."""
    cdef Py_ssize_t k = centroids.shape[0], d = centroids.shape[1]
    buffer = np.empty(packed_size(k, d, single) + 64, dtype=np.uint8)
    cdef unsigned char[::1] raw = buffer
    cdef Py_ssize_t skip = <Py_ssize_t> (-<uintptr_t> &raw[0] % 64)
    pack_centroids(&centroids[0, 0], k, d, &shift[0], single, &raw[skip])
    return buffer[skip:]


def assign(
    const real[:, ::1] X,                  # in   (n, d)
    const double[:, ::1] centroids,        # in   (k, d)
    const unsigned char[::1] packed,       # in   from pack()
    int32_t[::1] labels,                   # out  (n,)
    real[::1] upper2=None, real[::1] lower2=None,    # out  (n,) bounds, if both are wanted
):
    """Nearest centroid of each row of a block."""
    cdef bint bounded = upper2 is not None
    if X.shape[0]:
        with nogil:
            assign_rows(&X[0, 0], X.shape[1], 1, NULL, X.shape[0], X.shape[1], &centroids[0, 0],
                        centroids.shape[0], &packed[0], &labels[0],
                        &upper2[0] if bounded else NULL, &lower2[0] if bounded else NULL,
                        <real*> NULL)


def accumulate(
    const real[:, ::1] X,                  # in   (n, d)
    const double[:, ::1] centroids,        # in   (k, d)
    const double[::1] weight,              # in   (n,) or None
    const int32_t[::1] labels,             # in   (n,)
    double[:, ::1] totals,                 # in/out  (k, d + 2) residuals, mass, inertias
):
    """Add a block of rows to its clusters' residuals, mass and inertias."""
    cdef const double* w = NULL if weight is None else &weight[0]
    with nogil:
        add_rows(&X[0, 0], X.shape[1], X.shape[1], X.shape[0], &labels[0], w, &centroids[0, 0],
                 X.shape[1], &totals[0, 0])


def mean_variance(const double[:, ::1] totals):
    """Mean of the columns' variances of n rows, by their sums (1, d + 2) of x - point, of 1 and of
    |x - point|^2. Of a point with a row or more on either side no more than log10(n) digits go."""
    cdef Py_ssize_t f, d = totals.shape[1] - 2
    cdef double n = totals[0, d], variance = totals[0, d + 1] / n
    for f in range(d):
        variance -= totals[0, f] / n * (totals[0, f] / n)
    return (variance if not variance < 0 else 0.0) / d    # NaN remains


def count(const int32_t[::1] labels, Py_ssize_t k):
    """How many rows have each label: (k,) int64."""
    cdef Py_ssize_t i
    counts = np.zeros(k, np.int64)
    cdef int64_t[::1] out = counts
    with nogil:
        for i in range(labels.shape[0]):
            out[labels[i]] += 1
    return counts


def own_distances2(
    const real[:, ::1] X, const double[:, ::1] centroids, const int32_t[::1] labels,    # in
    double[::1] out,                       # out  (n,)
):
    """Squared distance of each row to the centroid of its label."""
    cdef Py_ssize_t i
    with nogil:
        for i in range(X.shape[0]):
            out[i] = distance2(&X[i, 0], 1, &centroids[labels[i], 0], X.shape[1])


def all_distances(
    const double[:, ::1] X,                # in   (n, d)
    const double[:, ::1] columns,          # in   (d, k or more) centroids, from columns_of()
    double[:, ::1] out,                    # out  (n, k) distances
):
    """Euclidean distance of each row to every centroid."""
    if X.shape[0]:
        with nogil:
            ckm_all_distances(&X[0, 0], X.shape[0], X.shape[1], &columns[0, 0], columns.shape[1],
                              out.shape[1], &out[0, 0])


def columns_of(centroids):
    """The columns of centroids (k, d) as all_distances() takes them."""
    k, d = centroids.shape
    columns = np.zeros((d, -(-k // CKM_WIDTH) * CKM_WIDTH))
    columns[:, :k] = centroids.T
    return columns


choose_simd(os.environ.get("CKMEANS_SIMD") or None)


# The embedding interface (contracts in _lloyd.pxd): fused loops, then one name for each type.
cdef enum:
    AT_ONCE = 512                 # rows of an iteration whose labels are compared


cdef void* aligned(const void* memory) noexcept nogil:
    return <void*> (<uintptr_t> memory + 63 & ~<uintptr_t> 63)


cdef size_t packed_bytes(Py_ssize_t k, Py_ssize_t d, bint single) noexcept nogil:
    """Room for the panel from a multiple of 64 bytes on, then for what it is shifted by."""
    return (packed_size(k, d, single) + 63) // 64 * 64 + 64 + d * sizeof(double)


cdef void pack_anywhere(
    const double* centroids, Py_ssize_t k, Py_ssize_t d, bint single, void* packed
) noexcept nogil:
    cdef char* panel = <char*> aligned(packed)
    cdef double* middle = <double*> (panel + (packed_size(k, d, single) + 63) // 64 * 64)
    cdef Py_ssize_t j, f
    for f in range(d):
        middle[f] = 0.0
        for j in range(k):
            middle[f] += centroids[j * d + f] / k
    pack_centroids(centroids, k, d, middle, single, panel)


cdef Py_ssize_t iterate_once(
    const real* X, Py_ssize_t n, Py_ssize_t d, Py_ssize_t row_step, const double* weight,
    double* centroids, Py_ssize_t k, int32_t* labels, double* inertia, void* workspace,
) noexcept nogil:
    cdef Py_ssize_t first = 0, m, i, changed = 0
    cdef int32_t[AT_ONCE] before
    cdef double* totals = <double*> aligned(workspace)
    cdef void* packed = totals + k * (d + 2)
    memset(totals, 0, k * (d + 2) * sizeof(double))
    pack_anywhere(centroids, k, d, real is float, packed)
    while first < n:
        m = min(<Py_ssize_t> AT_ONCE, n - first)
        memcpy(before, labels + first, m * sizeof(int32_t))
        assign_rows(X + first * row_step, row_step, 1, NULL, m, d, centroids, k, aligned(packed),
                    labels + first, <real*> NULL, <real*> NULL, <real*> NULL)
        for i in range(m):
            changed += before[i] != labels[first + i]
        add_rows(X + first * row_step, row_step, d, m, labels + first,
                 weight + first if weight != NULL else NULL, centroids, d, totals)
        first += m
    ckmeans_update(totals, k, d, centroids, inertia)
    return changed


cdef Py_ssize_t ckmeans_update(
    double* totals, Py_ssize_t k, Py_ssize_t d, double* centroids, double* inertia
) noexcept nogil:
    cdef Py_ssize_t j, f, n_empty = 0
    cdef double total = 0.0
    cdef double* row
    for j in range(k):
        row = totals + j * (d + 2)
        total += row[d + 1]
        if row[d] > 0:
            for f in range(d):
                centroids[j * d + f] += row[f] / row[d]
        else:
            n_empty += 1
    memset(totals, 0, k * (d + 2) * sizeof(double))
    if inertia != NULL:
        inertia[0] = total
    return n_empty


cdef size_t ckmeans_packed_bytes_f32(Py_ssize_t k, Py_ssize_t d) noexcept nogil:
    return packed_bytes(k, d, True)


cdef size_t ckmeans_workspace_bytes_f32(Py_ssize_t k, Py_ssize_t d) noexcept nogil:
    return 64 + k * (d + 2) * sizeof(double) + packed_bytes(k, d, True)


cdef void ckmeans_pack_f32(
    const double* centroids, Py_ssize_t k, Py_ssize_t d, void* packed,
) noexcept nogil:
    pack_anywhere(centroids, k, d, True, packed)


cdef void ckmeans_assign_f32(
    const float* X, Py_ssize_t n, Py_ssize_t d, Py_ssize_t row_step,
    const double* centroids, Py_ssize_t k, const void* packed, int32_t* labels,
) noexcept nogil:
    assign_rows(X, row_step, 1, NULL, n, d, centroids, k, aligned(packed), labels, <float*> NULL,
                <float*> NULL, <float*> NULL)


cdef void ckmeans_accumulate_f32(
    const float* X, Py_ssize_t n, Py_ssize_t d, Py_ssize_t row_step, const double* weight,
    const int32_t* labels, const double* centroids, double* totals,
) noexcept nogil:
    add_rows(X, row_step, d, n, labels, weight, centroids, d, totals)


cdef Py_ssize_t ckmeans_iterate_f32(
    const float* X, Py_ssize_t n, Py_ssize_t d, Py_ssize_t row_step, const double* weight,
    double* centroids, Py_ssize_t k, int32_t* labels, double* inertia, void* workspace,
) noexcept nogil:
    return iterate_once(X, n, d, row_step, weight, centroids, k, labels, inertia, workspace)


cdef size_t ckmeans_packed_bytes_f64(Py_ssize_t k, Py_ssize_t d) noexcept nogil:
    return packed_bytes(k, d, False)


cdef size_t ckmeans_workspace_bytes_f64(Py_ssize_t k, Py_ssize_t d) noexcept nogil:
    return 64 + k * (d + 2) * sizeof(double) + packed_bytes(k, d, False)


cdef void ckmeans_pack_f64(
    const double* centroids, Py_ssize_t k, Py_ssize_t d, void* packed,
) noexcept nogil:
    pack_anywhere(centroids, k, d, False, packed)


cdef void ckmeans_assign_f64(
    const double* X, Py_ssize_t n, Py_ssize_t d, Py_ssize_t row_step,
    const double* centroids, Py_ssize_t k, const void* packed, int32_t* labels,
) noexcept nogil:
    assign_rows(X, row_step, 1, NULL, n, d, centroids, k, aligned(packed), labels, <double*> NULL,
                <double*> NULL, <double*> NULL)


cdef void ckmeans_accumulate_f64(
    const double* X, Py_ssize_t n, Py_ssize_t d, Py_ssize_t row_step, const double* weight,
    const int32_t* labels, const double* centroids, double* totals,
) noexcept nogil:
    add_rows(X, row_step, d, n, labels, weight, centroids, d, totals)


cdef Py_ssize_t ckmeans_iterate_f64(
    const double* X, Py_ssize_t n, Py_ssize_t d, Py_ssize_t row_step, const double* weight,
    double* centroids, Py_ssize_t k, int32_t* labels, double* inertia, void* workspace,
) noexcept nogil:
    return iterate_once(X, n, d, row_step, weight, centroids, k, labels, inertia, workspace)


# What ckmeans_import() of ckmeans.h finds: the same functions in one table.
cdef ckmeans_api TABLE
TABLE.abi, TABLE.size = CKMEANS_ABI, sizeof(ckmeans_api)
TABLE.update = ckmeans_update
TABLE.packed_bytes_f32 = ckmeans_packed_bytes_f32
TABLE.workspace_bytes_f32 = ckmeans_workspace_bytes_f32
TABLE.pack_f32 = ckmeans_pack_f32
TABLE.assign_f32 = ckmeans_assign_f32
TABLE.accumulate_f32 = ckmeans_accumulate_f32
TABLE.iterate_f32 = ckmeans_iterate_f32
TABLE.packed_bytes_f64 = ckmeans_packed_bytes_f64
TABLE.workspace_bytes_f64 = ckmeans_workspace_bytes_f64
TABLE.pack_f64 = ckmeans_pack_f64
TABLE.assign_f64 = ckmeans_assign_f64
TABLE.accumulate_f64 = ckmeans_accumulate_f64
TABLE.iterate_f64 = ckmeans_iterate_f64
c_api = PyCapsule_New(&TABLE, b"ckmeans._lloyd.c_api", NULL)
