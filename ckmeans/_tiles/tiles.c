/* The levels of SIMD, and the choice between them. */
#include "tiles.h"

#include <float.h>
#include <math.h>
#include <string.h>

#define RESTRICT __restrict /* MSVC's too */
#if defined(__GNUC__)
#define INLINE static inline __attribute__((always_inline))
#define NOINLINE __attribute__((noinline))
#define EACH(i, n)                                                                                 \
    _Pragma("GCC unroll 16") for (int i = 0; i < (n); i++) /* over registers: unrolled */
#define UNROLL_4 _Pragma("GCC unroll 4")
#define prefetch(address) __builtin_prefetch((const void *)(address), 0, 2)
#define prefetch_near(address) __builtin_prefetch((const void *)(address), 0, 3)
#define prefetch_write(address) __builtin_prefetch((const void *)(address), 1, 3)
#define popcount(bits) __builtin_popcount(bits)
#define lowest_bit(bits) __builtin_ctz(bits)
#else
#define INLINE static inline
#define NOINLINE
#define EACH(i, n) for (int i = 0; i < (n); i++)
#define UNROLL_4
#define prefetch(address) ((void)(address))
#define prefetch_near(address) ((void)(address))
#define prefetch_write(address) ((void)(address))
INLINE int popcount(unsigned bits) { return bits & 1; } /* one lane there, hence one bit */
INLINE int lowest_bit(unsigned bits)
{
    int place = 0;
    while (!(bits >> place & 1)) place++;
    return place;
}
#endif

#if defined(__GNUC__) && defined(__x86_64__)
#define X86_LEVELS 1
#include <immintrin.h>
#elif defined(__GNUC__) && defined(__aarch64__)
#include <arm_neon.h>
#endif

#include "layout.h"
#include "csr.h"
#include "columns.h"

/* How a tile was scored: by kernel.h, half expanded or by differences, or by screen.h. */
enum { EXPANDED, DIRECT, SCREENED };

/* Whether the CPU has the products of screen.h; set once with the level. */
static int fast_integers = 0;

/* What one level offers for one real type. */
#define TABLES(suffix, real)                                                                       \
    typedef struct {                                                                               \
        size_t (*packed_bytes)(ptrdiff_t k, ptrdiff_t d);                                          \
        void (*pack)(const double *, ptrdiff_t, ptrdiff_t, const double *, void *);                \
        int (*takes_lists)(const void *);                                                          \
        ptrdiff_t (*nearest)(const real *, ptrdiff_t, ptrdiff_t, const int32_t *, ptrdiff_t,       \
                             const void *, const ckm_rest *, int32_t *, real *, real *, real *,    \
                             real *, int32_t *);                                                   \
        ptrdiff_t (*filter)(const int32_t *, ptrdiff_t, const ckm_drifts_##suffix *, real *,       \
                            const real *, int32_t *);                                              \
        void (*keep)(ptrdiff_t, const int32_t *, const int32_t *, const ckm_drifts_##suffix *,     \
                     const real *, const real *, real *, real *);                                  \
        void (*keep_margins)(ptrdiff_t, const int32_t *, const int32_t *, const real *,            \
                             const real *, int, int8_t *);                                         \
        void (*own_squares)(const real *, ptrdiff_t, ptrdiff_t, const int32_t *, ptrdiff_t,        \
                            const int32_t *, const double *, double *);                            \
        ptrdiff_t (*sort_open)(ptrdiff_t, const int32_t *, const ckm_drifts_##suffix *,            \
                               const double *, double, real *, real *, real *,                     \
                               int32_t *const *, ptrdiff_t *);                                     \
        void (*read)(const ckm_source *, ptrdiff_t, ptrdiff_t, const int32_t *, ptrdiff_t,         \
                     real *);                                                                      \
        double (*largest)(const char *elements, ptrdiff_t n);                                      \
    } table_##suffix;                                                                              \
    typedef struct {                                                                               \
        void (*move)(const real *, ptrdiff_t, ptrdiff_t, const int32_t *, ptrdiff_t, int,          \
                     const int32_t *, const int32_t *, const double *, const double *, double *);  \
        void (*add)(const real *, ptrdiff_t, ptrdiff_t, ptrdiff_t, const int32_t *,                \
                    const double *, const double *, ptrdiff_t, double *);                          \
    } update_##suffix;
TABLES(f32, float)
TABLES(f64, double)

/* What one level offers for k-means++; no `sift` without fast integers. */
#define SEED_TABLE(suffix, real)                                                                   \
    typedef struct {                                                                               \
        size_t (*bytes)(ptrdiff_t);                                                                \
        int (*pack)(const double *, ptrdiff_t, ptrdiff_t, const double *, void *);                 \
        ptrdiff_t (*rows)(const real *, const int32_t *, const int32_t *, ptrdiff_t,               \
                          const double *, const float *, const void *, int32_t *);                 \
    } sift_##suffix;                                                                               \
    typedef struct {                                                                               \
        void (*distances2)(const real *, ptrdiff_t, const int32_t *, ptrdiff_t, const double *,    \
                           double *);                                                              \
        void (*narrow_gains)(const real *, ptrdiff_t, const double *, const double *,              \
                             const ckm_gains *, double *, uint32_t *);                             \
        void (*pack_candidates)(const double *, ptrdiff_t, ptrdiff_t, real *);                     \
        void (*wide_gains)(const real *, const int32_t *, const int32_t *, ptrdiff_t,              \
                           const double *, const double *, const ckm_gains *, double *,            \
                           uint32_t *);                                                            \
        const sift_##suffix *sift;                                                                 \
    } seed_##suffix;
SEED_TABLE(f32, float)
SEED_TABLE(f64, double)
typedef struct {
    ptrdiff_t (*beyond)(const double *, const int32_t *, ptrdiff_t, const double *, int32_t *);
    double (*chances)(const double *, const double *, ptrdiff_t, double, double);
    ptrdiff_t (*open_rows)(const uint32_t *, int32_t, int32_t *);
    seed_f32 f32;
    seed_f64 f64;
} table_seed;

/* What one level offers for rows that are kept as integers. */
typedef struct {
    void (*round_f32)(const float *, ptrdiff_t, ptrdiff_t, ptrdiff_t, ptrdiff_t, const double *,
                      double, int32_t *);
    void (*round_f64)(const double *, ptrdiff_t, ptrdiff_t, ptrdiff_t, ptrdiff_t, const double *,
                      double, int32_t *);
    size_t (*packed_bytes)(ptrdiff_t, ptrdiff_t);
    int (*pack)(const double *, ptrdiff_t, ptrdiff_t, const double *, double, void *);
    ptrdiff_t (*nearest)(const int32_t *, ptrdiff_t, const void *, int32_t *, int32_t *);
} table_rounded;

/* What one level offers for CSR matrices. */
typedef struct {
    size_t (*packed_bytes)(ptrdiff_t, ptrdiff_t);
    void (*pack)(const double *, ptrdiff_t, ptrdiff_t, void *, double *, int32_t *);
    ptrdiff_t (*nearest)(const ckm_csr *, ptrdiff_t, const int32_t *, ptrdiff_t, const void *,
                         int32_t *, float *, float *, int32_t *);
    void (*scores)(const ckm_csr *, ptrdiff_t, const void *, double *);
    double (*error)(const ckm_csr *, ptrdiff_t, const void *);
    void (*shared)(const ckm_csr *, ptrdiff_t, ptrdiff_t, const int32_t *, const double *,
                   double *);
    void (*squares)(const double *, const int32_t *, ptrdiff_t, const double *, double *,
                    double *);
    void (*round)(const ckm_csr *, ptrdiff_t, ptrdiff_t, int16_t *);
} table_sparse;

/* Each level fills the vector registers with VECTORS x GROUP accumulators, VECTORS vectors of rows
 * and a centroid: 32 registers on AVX-512 and aarch64, else 16. TAG_BITS number a group; few.h
 * takes FEW_ROWS rows at a time. */

#define LEVEL baseline
#if !defined(__GNUC__) || defined(CKMEANS_SCALAR) /* the latter to test the former */
#define VECTOR_BYTES 0
#define FEW_ROWS 1
#else
#define VECTOR_BYTES 16
#define FEW_ROWS 2
#endif
#if defined(__aarch64__)
#define VECTORS 4
#define GROUP 6
#define TAG_BITS 3
#else
#define VECTORS 3 /* 6 % faster than 2 x 4, 2 x 5 and 2 x 6 */
#define GROUP 4
#define TAG_BITS 2
#endif
#include "level.h"

#if X86_LEVELS

/* 2 x 6 is 4 % faster than 3 x 4 and 13 % than 2 x 4 at 100k x 128, k = 256. */
#define LEVEL avx2
#define VECTOR_BYTES 32
#define VECTORS 2
#define GROUP 6
#define TAG_BITS 3
#define FEW_ROWS 2
#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx2,fma,f16c"))), apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx2,fma,f16c")
#endif
#include "level.h"
#if defined(__clang__)
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif

/* 3 x 8 is 8 % faster than 2 x 12 or 2 x 8 and 32 % than 4 x 6 at 100k x 128, k = 256. */
#define LEVEL avx512
#define VECTOR_BYTES 64
#define VECTORS 3
#define GROUP 8
#define TAG_BITS 3
#define FEW_ROWS 4
#if defined(__clang__)
#pragma clang attribute push(                                                                      \
    __attribute__((target("avx512f,avx512vl,avx512dq,avx512bw,avx2,fma,f16c"))),                   \
    apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx512f,avx512vl,avx512dq,avx512bw,avx2,fma,f16c")
#endif
#include "level.h"
#if defined(__clang__)
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif

#endif /* X86_LEVELS */

static int always(void) { return 1; }

#if X86_LEVELS

static void cpuid(uint32_t leaf, uint32_t out[4])
{
    __asm__ volatile("cpuid"
                     : "=a"(out[0]), "=b"(out[1]), "=c"(out[2]), "=d"(out[3])
                     : "a"(leaf), "c"(0));
}

/* The register states that the operating system saves: without them a supported instruction still
 * faults. */
static uint32_t saved_states(void)
{
    uint32_t leaf1[4], low, high;
    cpuid(1, leaf1);
    if (!(leaf1[2] >> 27 & 1)) return 0; /* OSXSAVE */
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return low;
}

static int has_avx2(void)
{
    uint32_t leaf0[4], leaf1[4], leaf7[4];
    cpuid(0, leaf0);
    if (leaf0[0] < 7 || (saved_states() & 0x06) != 0x06) return 0; /* xmm, ymm */
    cpuid(1, leaf1);
    cpuid(7, leaf7);
    const uint32_t wanted = 1u << 12 | 1u << 29; /* FMA, F16C */
    return (leaf1[2] & wanted) == wanted && (leaf7[1] >> 5 & 1); /* AVX2 */
}

static int has_avx512(void)
{
    uint32_t leaf7[4];
    if (!has_avx2() || (saved_states() & 0xE6) != 0xE6) return 0; /* and opmask, zmm */
    cpuid(7, leaf7);
    const uint32_t wanted = 1u << 16 | 1u << 17 | 1u << 30 | 1u << 31; /* F, DQ, BW, VL */
    return (leaf7[1] & wanted) == wanted;
}

/* Products of 16-bit integers and their sums in one instruction; AVX2's two gain nothing. */
static int has_vnni(void)
{
    uint32_t leaf7[4];
    if (!has_avx512()) return 0;
    cpuid(7, leaf7);
    return leaf7[2] >> 11 & 1;
}

#endif

static const struct level {
    const char *name;
    int (*supported)(void);
    ptrdiff_t (*changed)(const int32_t *, const int32_t *, ptrdiff_t, int32_t *);
    ptrdiff_t (*filter_margins)(const int32_t *, ptrdiff_t, const int8_t *, const int8_t *,
                                int32_t *);
    void (*all_distances)(const double *, ptrdiff_t, ptrdiff_t, const double *, ptrdiff_t,
                          ptrdiff_t, double *);
    const table_f32 *f32;
    const table_f64 *f64;
    const update_f32 *update_f32;
    const update_f64 *update_f64;
    const table_seed *seed;
    const table_sparse *few_sparse, *sparse; /* up to SPARSE_FEW centroids, and beyond */
    const table_rounded *rounded;            /* or NULL */
} levels[] = {
    {"baseline", always, changed_f32_baseline, filter_margins_f32_baseline,
     all_distances_f64_baseline, &level_f32_baseline, &level_f64_baseline, &update_f32_baseline,
     &update_f64_baseline, &level_seed_baseline, &level_sparse_baseline, &level_sparse_baseline,
     NULL},
#if X86_LEVELS
    {"avx2", has_avx2, changed_f32_avx2, filter_margins_f32_avx2, all_distances_f64_avx2,
     &level_f32_avx2, &level_f64_avx2, &update_f32_avx2, &update_f64_avx2, &level_seed_avx2,
     &level_sparse_avx2, &level_sparse_avx2, NULL},
#define AVX512                                                                                     \
    changed_f32_avx512, filter_margins_f32_avx512, all_distances_f64_avx512, &level_f32_avx512,    \
        &level_f64_avx512, &update_f32_avx2, &update_f64_avx2, &level_seed_avx512,                 \
        &level_sparse_avx2, &level_sparse_avx512
    {"avx512", has_avx512, AVX512, NULL},
    {"avx512vnni", has_vnni, AVX512, &level_rounded_avx512}, /* and screen.h */
#undef AVX512
#endif
};

static const struct level *chosen = &levels[0];

#include "finite.h"

int ckm_simd_choose(const char *name)
{
    const int n_levels = sizeof levels / sizeof levels[0];
    for (int i = n_levels - 1; i >= 0; i--) {
        if (name ? strcmp(name, levels[i].name) != 0 : !levels[i].supported()) continue;
        if (!levels[i].supported()) return -2;
        chosen = &levels[i];
        fast_integers = !strcmp(chosen->name, "avx512vnni");
        return 0;
    }
    /* A level of another architecture is known, but not here. */
    static const char *const others[] = {"avx2", "avx512", "avx512vnni"};
    for (int i = 0; i < 3; i++)
        if (!strcmp(name, others[i])) return -2;
    return -1;
}

const char *ckm_simd_name(void) { return chosen->name; }

ptrdiff_t ckm_changed(const int32_t *before, const int32_t *after, ptrdiff_t m, int32_t *rows)
{
    return chosen->changed(before, after, m, rows);
}

ptrdiff_t ckm_filter_margins(const int32_t *labels, ptrdiff_t m, const int8_t *limits,
                             const int8_t *margins, int32_t *survivors)
{
    return chosen->filter_margins(labels, m, limits, margins, survivors);
}

size_t ckm_packed_bytes_f32(ptrdiff_t k, ptrdiff_t d) { return chosen->f32->packed_bytes(k, d); }
size_t ckm_packed_bytes_f64(ptrdiff_t k, ptrdiff_t d) { return chosen->f64->packed_bytes(k, d); }

/* The bounds and the tags need IEEE arithmetic: round to nearest, subnormal numbers kept. A library
 * linked with -ffast-math may have set the whole thread otherwise. */
#if defined(__SSE2__)
typedef unsigned float_mode;
/* Beside the sticky flags. Loading what is there already would cost 70 ns a call. */
static int is_ieee(float_mode mode) { return (mode & ~0x3Fu) == 0x1F80; }
static float_mode ieee_mode(void)
{
    const float_mode before = _mm_getcsr();
    if (!is_ieee(before)) _mm_setcsr(0x1F80);
    return before;
}
static void restore_mode(float_mode before)
{
    if (!is_ieee(before)) _mm_setcsr(before);
}
#elif defined(__GNUC__) && defined(__aarch64__)
typedef uint64_t float_mode;
static void restore_mode(float_mode before) { __asm__ volatile("msr fpcr, %0" ::"r"(before)); }
static float_mode ieee_mode(void)
{
    float_mode before;
    __asm__ volatile("mrs %0, fpcr" : "=r"(before));
    restore_mode(0);
    return before;
}
#else
typedef int float_mode;
static float_mode ieee_mode(void) { return 0; }
static void restore_mode(float_mode before) { (void)before; }
#endif

#define INTERFACE(suffix, real)                                                                    \
    void ckm_pack_##suffix(const double *centroids, ptrdiff_t k, ptrdiff_t d, const double *shift, \
                           void *packed)                                                           \
    {                                                                                              \
        const float_mode before = ieee_mode();                                                     \
        chosen->suffix->pack(centroids, k, d, shift, packed);                                      \
        restore_mode(before);                                                                      \
    }                                                                                              \
    int ckm_takes_lists_##suffix(const void *packed)                                               \
    {                                                                                              \
        return chosen->suffix->takes_lists(packed);                                                \
    }                                                                                              \
    ptrdiff_t ckm_nearest_##suffix(const real *X, ptrdiff_t row_step, ptrdiff_t column_step,       \
                                   const int32_t *listed, ptrdiff_t m, const void *packed,         \
                                   const ckm_rest *rest, int32_t *labels, real *least2,            \
                                   real *upper2, real *lower2, real *scores,                       \
                                   int32_t *undecided)                                             \
    {                                                                                              \
        const float_mode before = ieee_mode();                                                     \
        const ptrdiff_t count = chosen->suffix->nearest(X, row_step, column_step, listed, m,       \
                                                        packed, rest, labels, least2, upper2,      \
                                                        lower2, scores, undecided);                \
        restore_mode(before);                                                                      \
        return count;                                                                              \
    }                                                                                              \
    ptrdiff_t ckm_filter_##suffix(const int32_t *labels, ptrdiff_t m,                              \
                                  const ckm_drifts_##suffix *drifts, real *slack,                  \
                                  const real *upper, int32_t *survivors)                           \
    {                                                                                              \
        const float_mode before = ieee_mode();                                                     \
        const ptrdiff_t count =                                                                    \
            chosen->suffix->filter(labels, m, drifts, slack, upper, survivors);                    \
        restore_mode(before);                                                                      \
        return count;                                                                              \
    }                                                                                              \
    void ckm_keep_##suffix(ptrdiff_t count, const int32_t *rows, const int32_t *labels,            \
                           const ckm_drifts_##suffix *drifts, const real *upper2,                  \
                           const real *lower2, real *upper, real *slack)                           \
    {                                                                                              \
        const float_mode before = ieee_mode();                                                     \
        chosen->suffix->keep(count, rows, labels, drifts, upper2, lower2, upper, slack);           \
        restore_mode(before);                                                                      \
    }                                                                                              \
    void ckm_keep_margins_##suffix(ptrdiff_t count, const int32_t *rows, const int32_t *labels,    \
                                   const real *scores, const real *scales, int since,              \
                                   int8_t *margins)                                                \
    {                                                                                              \
        const float_mode before = ieee_mode();                                                     \
        chosen->suffix->keep_margins(count, rows, labels, scores, scales, since, margins);         \
        restore_mode(before);                                                                      \
    }                                                                                              \
    void ckm_own_squares_##suffix(const real *X, ptrdiff_t step, ptrdiff_t d, const int32_t *rows, \
                                  ptrdiff_t count, const int32_t *labels, const double *centroids, \
                                  double *squares)                                                 \
    {                                                                                              \
        const float_mode before = ieee_mode();                                                     \
        chosen->suffix->own_squares(X, step, d, rows, count, labels, centroids, squares);          \
        restore_mode(before);                                                                      \
    }                                                                                              \
    ptrdiff_t ckm_sort_open_##suffix(ptrdiff_t count, const int32_t *labels,                       \
                                     const ckm_drifts_##suffix *drifts, const double *squares,     \
                                     double relative, real *upper, real *slack, real *ends,        \
                                     int32_t *const *lists, ptrdiff_t *counts)                     \
    {                                                                                              \
        const float_mode before = ieee_mode();                                                     \
        const ptrdiff_t n_open = chosen->suffix->sort_open(                                        \
            count, labels, drifts, squares, relative, upper, slack, ends, lists, counts);          \
        restore_mode(before);                                                                      \
        return n_open;                                                                             \
    }                                                                                              \
    void ckm_move_##suffix(const real *X, ptrdiff_t step, ptrdiff_t d, const int32_t *rows,        \
                           ptrdiff_t count, int gathered, const int32_t *from,                     \
                           const int32_t *to, const double *weight, const double *shift,           \
                           double *totals)                                                         \
    {                                                                                              \
        const float_mode before = ieee_mode();                                                     \
        chosen->update_##suffix->move(X, step, d, rows, count, gathered, from, to, weight, shift,  \
                                      totals);                                                     \
        restore_mode(before);                                                                      \
    }                                                                                              \
    void ckm_add_##suffix(const real *X, ptrdiff_t step, ptrdiff_t d, ptrdiff_t m,                 \
                          const int32_t *labels, const double *weight, const double *base,         \
                          ptrdiff_t base_stride, double *totals)                                   \
    {                                                                                              \
        const float_mode before = ieee_mode();                                                     \
        chosen->update_##suffix->add(X, step, d, m, labels, weight, base, base_stride, totals);    \
        restore_mode(before);                                                                      \
    }                                                                                              \
    void ckm_read_##suffix(const ckm_source *source, ptrdiff_t d, ptrdiff_t first,                 \
                           const int32_t *rows, ptrdiff_t count, real *out)                        \
    {                                                                                              \
        const float_mode before = ieee_mode();                                                     \
        chosen->suffix->read(source, d, first, rows, count, out);                                  \
        restore_mode(before);                                                                      \
    }
INTERFACE(f32, float)
INTERFACE(f64, double)

size_t ckm_rounded_bytes(ptrdiff_t n, ptrdiff_t d)
{
    const ptrdiff_t tiles = (n + CKM_ROUNDED_ROWS - 1) / CKM_ROUNDED_ROWS;
    if (!chosen->rounded || d > CKM_ROUNDED_COLUMNS) return 0;
    return (size_t)(tiles * CKM_ROUNDED_ROWS * ((d + 1) / 2)) * sizeof(int32_t);
}

#define ROUNDED_INTERFACE(suffix, real)                                                            \
    void ckm_round_##suffix(const real *X, ptrdiff_t row_step, ptrdiff_t column_step, ptrdiff_t m, \
                            ptrdiff_t d, const double *shift, double scale, int32_t *rounded)      \
    {                                                                                              \
        const float_mode before = ieee_mode();                                                     \
        chosen->rounded->round_##suffix(X, row_step, column_step, m, d, shift, scale, rounded);    \
        restore_mode(before);                                                                      \
    }
ROUNDED_INTERFACE(f32, float)
ROUNDED_INTERFACE(f64, double)

size_t ckm_rounded_packed_bytes(ptrdiff_t k, ptrdiff_t d)
{
    return chosen->rounded->packed_bytes(k, d);
}

int ckm_pack_rounded(const double *centroids, ptrdiff_t k, ptrdiff_t d, const double *shift,
                     double scale, void *packed)
{
    const float_mode before = ieee_mode();
    const int fit = chosen->rounded->pack(centroids, k, d, shift, scale, packed);
    restore_mode(before);
    return fit;
}

ptrdiff_t ckm_nearest_rounded(const int32_t *rounded, ptrdiff_t m, const void *packed,
                              int32_t *labels, int32_t *undecided)
{
    return chosen->rounded->nearest(rounded, m, packed, labels, undecided);
}

ptrdiff_t ckm_first_bad(const ckm_source *source, ptrdiff_t d, ptrdiff_t first, ptrdiff_t count,
                        double limit, double *largest)
{
    const float_mode before = ieee_mode();
    const ptrdiff_t found = first_bad(source, d, first, count, limit, largest);
    restore_mode(before);
    return found;
}

void ckm_all_distances(const double *X, ptrdiff_t m, ptrdiff_t d, const double *columns,
                       ptrdiff_t stride, ptrdiff_t k, double *out)
{
    const float_mode before = ieee_mode();
    chosen->all_distances(X, m, d, columns, stride, k, out);
    restore_mode(before);
}

ptrdiff_t ckm_beyond(const double *nearest, const int32_t *owner, ptrdiff_t m, const double *limit,
                     int32_t *survivors)
{
    const float_mode before = ieee_mode();
    const ptrdiff_t count = chosen->seed->beyond(nearest, owner, m, limit, survivors);
    restore_mode(before);
    return count;
}

double ckm_chances(const double *nearest, const double *weight, ptrdiff_t m, double scale,
                   double weight_scale)
{
    const float_mode before = ieee_mode();
    const double sum = chosen->seed->chances(nearest, weight, m, scale, weight_scale);
    restore_mode(before);
    return sum;
}

#define SEED_INTERFACE(suffix, real)                                                               \
    void ckm_distances2_##suffix(const real *X, ptrdiff_t d, const int32_t *listed, ptrdiff_t m,   \
                                 const double *point, double *squares)                             \
    {                                                                                              \
        const float_mode before = ieee_mode();                                                     \
        chosen->seed->suffix.distances2(X, d, listed, m, point, squares);                          \
        restore_mode(before);                                                                      \
    }                                                                                              \
    void ckm_narrow_gains_##suffix(const real *rows, ptrdiff_t m, const double *nearest,           \
                                   const double *weight, const ckm_gains *gains, double *totals,   \
                                   uint32_t *open)                                                 \
    {                                                                                              \
        const float_mode before = ieee_mode();                                                     \
        chosen->seed->suffix.narrow_gains(rows, m, nearest, weight, gains, totals, open);          \
        restore_mode(before);                                                                      \
    }                                                                                              \
    void ckm_pack_candidates_##suffix(const double *candidates, ptrdiff_t t, ptrdiff_t d,          \
                                      real *packed)                                                \
    {                                                                                              \
        chosen->seed->suffix.pack_candidates(candidates, t, d, packed);                            \
    }                                                                                              \
    void ckm_wide_gains_##suffix(const real *X, const int32_t *at, const int32_t *listed,          \
                                 ptrdiff_t m, const double *nearest, const double *weight,         \
                                 const ckm_gains *gains, double *totals, uint32_t *open)           \
    {                                                                                              \
        const float_mode before = ieee_mode();                                                     \
        chosen->seed->suffix.wide_gains(X, at, listed, m, nearest, weight, gains, totals, open);   \
        restore_mode(before);                                                                      \
    }                                                                                              \
    size_t ckm_sift_bytes_##suffix(ptrdiff_t d)                                                    \
    {                                                                                              \
        return fast_integers ? chosen->seed->suffix.sift->bytes(d) : 0;                            \
    }                                                                                              \
    int ckm_pack_sift_##suffix(const double *candidates, ptrdiff_t t, ptrdiff_t d,                 \
                               const double *origin, void *packed)                                 \
    {                                                                                              \
        const float_mode before = ieee_mode();                                                     \
        const int tells = chosen->seed->suffix.sift->pack(candidates, t, d, origin, packed);       \
        restore_mode(before);                                                                      \
        return tells;                                                                              \
    }                                                                                              \
    ptrdiff_t ckm_sift_##suffix(const real *X, const int32_t *at, const int32_t *listed,           \
                                ptrdiff_t m, const double *nearest, const float *norms2,           \
                                const void *packed, int32_t *survivors)                            \
    {                                                                                              \
        const float_mode before = ieee_mode();                                                     \
        const ptrdiff_t count = chosen->seed->suffix.sift->rows(X, at, listed, m, nearest, norms2, \
                                                                packed, survivors);                \
        restore_mode(before);                                                                      \
        return count;                                                                              \
    }
SEED_INTERFACE(f32, float)
SEED_INTERFACE(f64, double)

ptrdiff_t ckm_open_rows(const uint32_t *open, int32_t first, int32_t *rows)
{
    return chosen->seed->open_rows(open, first, rows);
}

void ckm_fetch_rows(const int32_t *rows, ptrdiff_t m, const void *X, ptrdiff_t row_bytes)
{
    for (ptrdiff_t i = 0; i < m; i++) {
        const uintptr_t at = (uintptr_t)X + (uintptr_t)(rows[i] * row_bytes);
        for (ptrdiff_t line = 0; line < row_bytes; line += 64) prefetch(at + (uintptr_t)line);
        prefetch(at + (uintptr_t)row_bytes - 1);
    }
}

/* No more centroids are half a pair of the widest vectors. */
#define SPARSE_FEW 16

static const table_sparse *sparse_table(ptrdiff_t k)
{
    return k <= SPARSE_FEW ? chosen->few_sparse : chosen->sparse;
}

void ckm_sparse_measure(const ckm_csr *X, ptrdiff_t first, ptrdiff_t last, double *norms2,
                        double *norms, int16_t *integers)
{
    for (ptrdiff_t row = first; row < last; row += 4) {
        if (X->double_values)
            measure_four(X, row, last, 1, norms2);
        else
            measure_four(X, row, last, 0, norms2);
        for (ptrdiff_t r = row; r < smaller(row + 4, last); r++) norms[r] = sqrt(norms2[r]);
        chosen->sparse->round(X, row, smaller(row + 4, last), integers);
    }
}

size_t ckm_sparse_packed_bytes(ptrdiff_t k, ptrdiff_t d)
{
    return sparse_table(k)->packed_bytes(k, d);
}

void ckm_sparse_pack(const double *centroids, ptrdiff_t k, ptrdiff_t d, void *packed,
                     double *norms2, int32_t *counts)
{
    const float_mode before = ieee_mode();
    sparse_table(k)->pack(centroids, k, d, packed, norms2, counts);
    restore_mode(before);
}

ptrdiff_t ckm_sparse_nearest(const ckm_csr *X, ptrdiff_t first, const int32_t *rows,
                             ptrdiff_t count, const void *packed, int32_t *labels, float *upper,
                             float *lower, int32_t *undecided)
{
    const float_mode before = ieee_mode();
    const ptrdiff_t n_undecided = sparse_table(*(const ptrdiff_t *)packed)->nearest(
        X, first, rows, count, packed, labels, upper, lower, undecided);
    restore_mode(before);
    return n_undecided;
}

void ckm_sparse_scores(const ckm_csr *X, ptrdiff_t row, const void *packed, double *scores)
{
    const float_mode before = ieee_mode();
    sparse_table(*(const ptrdiff_t *)packed)->scores(X, row, packed, scores);
    restore_mode(before);
}

double ckm_sparse_error(const ckm_csr *X, ptrdiff_t row, const void *packed)
{
    return sparse_table(*(const ptrdiff_t *)packed)->error(X, row, packed);
}

void ckm_sparse_shared(const ckm_csr *X, ptrdiff_t first, ptrdiff_t count, const int32_t *places,
                       const double *panel, double *products)
{
    chosen->sparse->shared(X, first, count, places, panel, products);
}

void ckm_sparse_squares(const double *values, const int32_t *columns, ptrdiff_t m,
                        const double *panel, double *squares, double *covered)
{
    chosen->sparse->squares(values, columns, m, panel, squares, covered);
}
