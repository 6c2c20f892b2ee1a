# The loops of Lloyd's algorithm, for `cimport ckmeans._lloyd`. All are nogil and allocate nothing.
from libc.stddef cimport size_t
from libc.stdint cimport int8_t, int16_t, int32_t, int64_t, uint32_t

ctypedef fused real:
    float
    double

cdef extern from "_tiles/tiles.h" nogil:
    enum:
        CKM_MAX_PANELS
    ctypedef struct ckm_drifts_f32:
        const float* moved
        const float* others
        const float* before
        const float* loss
        const float* reach
        int gaps
        Py_ssize_t k
        int n_panels
        float[CKM_MAX_PANELS] beyond
    ctypedef struct ckm_drifts_f64:
        const double* moved
        const double* others
        const double* before
        const double* loss
        const double* reach
        int gaps
        Py_ssize_t k
        int n_panels
        double[CKM_MAX_PANELS] beyond
    Py_ssize_t CKM_MOVES_ROOM(Py_ssize_t k) noexcept nogil
    enum:
        CKM_ROUNDED_COLUMNS
        CKM_ROUNDED_LONGEST
        CKM_LONG
        CKM_MOST_CANDIDATES
        CKM_NARROW
        CKM_CELL_ROWS
        CKM_FETCHED_BYTES
        CKM_OPEN_WORDS
        CKM_SCORES
        CKM_FEW
        CKM_PASSES
    ctypedef struct ckm_rest:
        const void* at
        Py_ssize_t bytes
    Py_ssize_t CKM_CANDIDATE_BYTES(Py_ssize_t t, Py_ssize_t d) noexcept nogil
    ctypedef struct ckm_gains:
        Py_ssize_t d
        Py_ssize_t t
        Py_ssize_t own
        Py_ssize_t room
        const void* candidates
        double weight_scale
        double grow
        double tiny
    enum:
        CKM_SPARSE_WIDTH
        CKM_SPARSE_ROWS
    ctypedef struct ckm_csr:
        Py_ssize_t n
        const void* values
        const int32_t* columns
        const int64_t* starts
        const double* norms2
        const double* norms
        const int16_t* integers
        int double_values
    ctypedef struct ckm_moves:
        const int32_t* rows
        const int64_t* ends
        int anew


cdef double distance2(
    const real* x, Py_ssize_t step, const double* c, Py_ssize_t d
) noexcept nogil

cdef bint takes_lists(const void* packed, real _) noexcept nogil

cdef Py_ssize_t nearest_rows(
    const real* X, Py_ssize_t row_step, Py_ssize_t column_step, const int32_t* listed,
    Py_ssize_t n, const void* packed, const ckm_rest* rest,
    int32_t* labels, real* least2, real* upper2, real* lower2, real* scores, int32_t* undecided,
) noexcept nogil

cdef int32_t decide_row(
    const real* x, Py_ssize_t step, Py_ssize_t d, const double* centroids, Py_ssize_t k,
    real* upper2, real* lower2,
) noexcept nogil

cdef void assign_rows(
    const real* X, Py_ssize_t row_step, Py_ssize_t column_step, const int32_t* listed,
    Py_ssize_t n, Py_ssize_t d, const double* centroids, Py_ssize_t k, const void* packed,
    int32_t* labels, real* upper2, real* lower2, real* scores,
) noexcept nogil

cdef void keep_margins(
    Py_ssize_t count, const int32_t* rows, const int32_t* labels, const real* scores,
    const real* scales, int since, int8_t* margins,
) noexcept nogil

cdef Py_ssize_t filter_margins(
    const int32_t* labels, Py_ssize_t n, const int8_t* limits, const int8_t* margins,
    int32_t* survivors,
) noexcept nogil

cdef void keep_rows(
    Py_ssize_t count, const int32_t* rows, const int32_t* labels, const void* drifts,
    const real* upper2, const real* lower2, real* upper, real* slack,
) noexcept nogil

cdef Py_ssize_t filter_rows(
    const int32_t* labels, Py_ssize_t n, const void* drifts, real* slack, const real* upper,
    int32_t* survivors,
) noexcept nogil

cdef void own_squares(
    const real* X, Py_ssize_t step, Py_ssize_t d, const int32_t* rows, Py_ssize_t count,
    const int32_t* labels, const double* centroids, double* squares,
) noexcept nogil

cdef Py_ssize_t sort_open_rows(
    Py_ssize_t count, Py_ssize_t d, const int32_t* labels, const void* drifts,
    const double* squares, real* upper, real* slack, real* ends, int32_t* const* lists,
    Py_ssize_t* counts,
) noexcept nogil

cdef Py_ssize_t changed_rows(
    const int32_t* before, const int32_t* after, Py_ssize_t n, int32_t* rows
) noexcept nogil

cdef void move_rows(
    const real* X, Py_ssize_t step, Py_ssize_t d, const int32_t* rows, Py_ssize_t count,
    bint gathered, const int32_t* before, const int32_t* after, const double* weight,
    const double* reference, double* totals,
) noexcept nogil

cdef void add_rows(
    const real* X, Py_ssize_t step, Py_ssize_t d, Py_ssize_t n, const int32_t* labels,
    const double* weight, const double* base, Py_ssize_t base_stride, double* totals,
) noexcept nogil

cdef size_t packed_size(Py_ssize_t k, Py_ssize_t d, bint single) noexcept nogil

cdef void pack_centroids(
    const double* centroids, Py_ssize_t k, Py_ssize_t d, const double* shift, bint single,
    void* out,
) noexcept nogil

# Rows as integers, at the level of SIMD in use: as _tiles/tiles.h says.
cdef size_t rounded_size(Py_ssize_t n, Py_ssize_t d) noexcept nogil

cdef void round_rows(
    const real* X, Py_ssize_t row_step, Py_ssize_t column_step, Py_ssize_t n, Py_ssize_t d,
    const double* shift, double scale, int32_t* rounded,
) noexcept nogil

cdef size_t rounded_packed_size(Py_ssize_t k, Py_ssize_t d) noexcept nogil

cdef bint pack_rounded(
    const double* centroids, Py_ssize_t k, Py_ssize_t d, const double* shift, double scale,
    void* out,
) noexcept nogil

cdef Py_ssize_t nearest_rounded(
    const int32_t* rounded, Py_ssize_t n, const void* packed, int32_t* labels, int32_t* undecided,
) noexcept nogil

# `source` points to a ckm_source of _tiles/tiles.h, as a ckmeans._source.Source holds it.
cdef void read_rows(
    const void* source, Py_ssize_t d, Py_ssize_t first,
    const int32_t* rows, Py_ssize_t count, real* out,
) noexcept nogil

cdef Py_ssize_t first_bad(
    const void* source, Py_ssize_t d, Py_ssize_t first, Py_ssize_t count,
    double limit, double* largest,
) noexcept nogil

# The passes of k-means++, at the level of SIMD in use: as _tiles/tiles.h says.
cdef Py_ssize_t seed_beyond(
    const double* nearest, const int32_t* owner, Py_ssize_t m, const double* limit,
    int32_t* survivors,
) noexcept nogil

cdef double seed_chances(
    const double* nearest, const double* weight, Py_ssize_t m, double scale, double weight_scale,
) noexcept nogil

cdef void seed_distances2(
    const real* X, Py_ssize_t d, const int32_t* listed, Py_ssize_t m, const double* point,
    double* squares,
) noexcept nogil

cdef void seed_narrow_gains(
    const real* rows, Py_ssize_t m, const double* nearest, const double* weight,
    const ckm_gains* gains, double* totals, uint32_t* open_bits,
) noexcept nogil

cdef void seed_wide_gains(
    const real* X, const int32_t* at, const int32_t* listed, Py_ssize_t m, const double* nearest,
    const double* weight, const ckm_gains* gains, double* totals, uint32_t* open_bits,
) noexcept nogil

cdef void seed_pack_candidates(
    const double* candidates, Py_ssize_t t, Py_ssize_t d, real* packed,
) noexcept nogil

cdef size_t seed_sift_bytes(Py_ssize_t d, bint single) noexcept nogil

cdef bint seed_pack_sift(
    const double* candidates, Py_ssize_t t, Py_ssize_t d, const double* origin, void* packed,
    bint single,
) noexcept nogil

cdef Py_ssize_t seed_sift(
    const real* X, const int32_t* at, const int32_t* listed, Py_ssize_t m, const double* nearest,
    const float* norms2, const void* packed, int32_t* survivors,
) noexcept nogil

cdef Py_ssize_t seed_open_rows(
    const uint32_t* open_bits, int32_t first, int32_t* rows,
) noexcept nogil

cdef void seed_fetch_rows(
    const int32_t* rows, Py_ssize_t m, const void* X, Py_ssize_t row_bytes,
) noexcept nogil

# The rows of a CSR matrix, at the level of SIMD in use: as _tiles/tiles.h says.
cdef void sparse_measure(
    const ckm_csr* X, Py_ssize_t first, Py_ssize_t last, double* norms2, double* norms,
    int16_t* integers,
) noexcept nogil

cdef size_t sparse_packed_size(Py_ssize_t k, Py_ssize_t d) noexcept nogil

cdef void sparse_pack(
    const double* centroids, Py_ssize_t k, Py_ssize_t d, void* packed, double* norms2,
    int32_t* counts,
) noexcept nogil

cdef Py_ssize_t sparse_nearest(
    const ckm_csr* X, Py_ssize_t first, const int32_t* rows, Py_ssize_t count, const void* packed,
    int32_t* labels, float* upper, float* lower, int32_t* undecided,
) noexcept nogil

cdef void sparse_scores(
    const ckm_csr* X, Py_ssize_t row, const void* packed, double* scores,
) noexcept nogil

cdef double sparse_error(const ckm_csr* X, Py_ssize_t row, const void* packed) noexcept nogil

cdef void sparse_shared(
    const ckm_csr* X, Py_ssize_t first, Py_ssize_t count, const int32_t* places,
    const double* panel, double* products,
) noexcept nogil

cdef void list_by_column(
    const ckm_csr* X, Py_ssize_t first, Py_ssize_t last, Py_ssize_t d, int64_t* begins,
    int32_t* rows, void* values,
) noexcept nogil

cdef void add_products(
    const ckm_csr* X, Py_ssize_t point, const int64_t* begins, const int32_t* rows,
    const void* values, double* products,
) noexcept nogil

cdef bint sparse_multiples(const ckm_csr* X, double shift) noexcept nogil
cdef void sparse_move(
    const ckm_csr* X, Py_ssize_t d, const double* weight, const ckm_moves* moves,
    Py_ssize_t first, Py_ssize_t last, double* totals,
) noexcept nogil

cdef void sparse_own_squares(
    const ckm_csr* X, const int32_t* rows, Py_ssize_t first, Py_ssize_t last,
    const double* centroids, Py_ssize_t d, const double* norms2, const int32_t* labels,
    double* squares,
) noexcept nogil

cdef void sparse_squares(
    const double* values, const int32_t* columns, Py_ssize_t m, const double* panel,
    double* squares, double* covered,
) noexcept nogil

# The embedding interface: what other projects may rely on, from Cython, C (ckmeans.h) and Numba.
# Names and signatures stay as they are while CKMEANS_ABI in ckmeans.h does. Nothing here
# allocates, takes the GIL, or writes to what is `const`; sizes are in elements, memory is the
# caller's. X is (n, d) with its rows row_step >= d elements apart, all values finite and below
# 1e145 in magnitude; n, d, k >= 1.
# There is one of each for float (f32) and double (f64).
#
# Bytes for ckmeans_pack; bytes for ckmeans_iterate's workspace.
cdef size_t ckmeans_packed_bytes_f32(Py_ssize_t k, Py_ssize_t d) noexcept nogil
cdef size_t ckmeans_packed_bytes_f64(Py_ssize_t k, Py_ssize_t d) noexcept nogil
cdef size_t ckmeans_workspace_bytes_f32(Py_ssize_t k, Py_ssize_t d) noexcept nogil
cdef size_t ckmeans_workspace_bytes_f64(Py_ssize_t k, Py_ssize_t d) noexcept nogil

# Centroids (k, d) in the layout of the kernels of this process. Any number of threads may read
# `packed` at the same time; it may not be moved or stored.
cdef void ckmeans_pack_f32(
    const double* centroids, Py_ssize_t k, Py_ssize_t d, void* packed) noexcept nogil
cdef void ckmeans_pack_f64(
    const double* centroids, Py_ssize_t k, Py_ssize_t d, void* packed) noexcept nogil

# labels (n,): the index of each row's nearest centroid by float64 distances, the lowest on ties.
cdef void ckmeans_assign_f32(
    const float* X, Py_ssize_t n, Py_ssize_t d, Py_ssize_t row_step,
    const double* centroids, Py_ssize_t k, const void* packed, int32_t* labels) noexcept nogil
cdef void ckmeans_assign_f64(
    const double* X, Py_ssize_t n, Py_ssize_t d, Py_ssize_t row_step,
    const double* centroids, Py_ssize_t k, const void* packed, int32_t* labels) noexcept nogil

# Adds to totals (k, d + 2), for each row x of weight w (1 where `weight` is NULL) and centroid c
# of its label, w (x - c), w and w |x - c|^2.
cdef void ckmeans_accumulate_f32(
    const float* X, Py_ssize_t n, Py_ssize_t d, Py_ssize_t row_step, const double* weight,
    const int32_t* labels, const double* centroids, double* totals) noexcept nogil
cdef void ckmeans_accumulate_f64(
    const double* X, Py_ssize_t n, Py_ssize_t d, Py_ssize_t row_step, const double* weight,
    const int32_t* labels, const double* centroids, double* totals) noexcept nogil

# Moves centroids (k, d) to the means that the totals stand for, and clears those. Returns how many
# clusters are empty: their centroids stay. The sum of their last column is written to inertia,
# unless that is NULL.
cdef Py_ssize_t ckmeans_update(
    double* totals, Py_ssize_t k, Py_ssize_t d, double* centroids, double* inertia) noexcept nogil

# One whole iteration: labels of the nearest centroids (in/out), then centroids at their means
# (in/out). Returns how many labels changed; 0 after a call that found none to change, when labels,
# centroids and inertia agree up to rounding. The first call compares with what `labels` holds: -1
# for none. `inertia` is that of the labels and the centroids before they move.
cdef Py_ssize_t ckmeans_iterate_f32(
    const float* X, Py_ssize_t n, Py_ssize_t d, Py_ssize_t row_step, const double* weight,
    double* centroids, Py_ssize_t k, int32_t* labels, double* inertia, void* workspace,
) noexcept nogil
cdef Py_ssize_t ckmeans_iterate_f64(
    const double* X, Py_ssize_t n, Py_ssize_t d, Py_ssize_t row_step, const double* weight,
    double* centroids, Py_ssize_t k, int32_t* labels, double* inertia, void* workspace,
) noexcept nogil
