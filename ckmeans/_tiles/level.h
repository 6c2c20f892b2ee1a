/* One level of SIMD: the kernel for double, whose vectors seed.h uses for both, and for float. Set
 * LEVEL, VECTOR_BYTES, VECTORS, GROUP, TAG_BITS and FEW_ROWS before; they are undefined again
 * afterwards. */

#define JOIN_(name, real, level) name##_##real##_##level
#define JOIN(name, real, level) JOIN_(name, real, level)

#define REAL_BITS 64
#define NAME(name) JOIN(name, f64, LEVEL)
#include "kernel.h"
#undef NAME
#undef REAL_BITS

#define REAL_BITS 32
#define NAME(name) JOIN(name, f32, LEVEL)
#include "kernel.h"
#undef NAME
#undef REAL_BITS

#if VECTOR_BYTES == 64
#define SIFT(suffix) &JOIN(sifting, suffix, LEVEL)
#else
#define SIFT(suffix) NULL
#endif
#define SEED(suffix)                                                                               \
    {                                                                                              \
        JOIN(distances2, suffix, LEVEL), JOIN(narrow_gains, suffix, LEVEL),                        \
            JOIN(pack_candidates, suffix, LEVEL), JOIN(wide_gains, suffix, LEVEL), SIFT(suffix),   \
    }
static const table_seed JOIN(level, seed, LEVEL) = {
    JOIN(beyond, f64, LEVEL),
    JOIN(chances, f64, LEVEL),
    JOIN(open_rows, f32, LEVEL),
    SEED(f32),
    SEED(f64),
};
#undef SEED
#undef SIFT
static const table_sparse JOIN(level, sparse, LEVEL) = {
    JOIN(sparse_packed_bytes, f32, LEVEL), JOIN(sparse_pack, f32, LEVEL),
    JOIN(sparse_nearest, f32, LEVEL),      JOIN(sparse_scores, f32, LEVEL),
    JOIN(sparse_error, f32, LEVEL),        JOIN(sparse_shared, f64, LEVEL),
    JOIN(sparse_squares, f64, LEVEL),      JOIN(sparse_round, f32, LEVEL),
};
#if VECTOR_BYTES == 64
static const table_rounded JOIN(level, rounded, LEVEL) = {
    JOIN(round_rows, f32, LEVEL),
    JOIN(round_rows, f64, LEVEL),
    JOIN(rounded_packed_bytes, f32, LEVEL),
    JOIN(pack_rounded, f32, LEVEL),
    JOIN(nearest_rounded, f32, LEVEL),
};
#endif

#undef JOIN_
#undef JOIN
#undef LEVEL
#undef VECTOR_BYTES
#undef VECTORS
#undef GROUP
#undef TAG_BITS
#undef FEW_ROWS
