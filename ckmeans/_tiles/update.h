/* The update: rows into the sums of their clusters, in float64; a part of kernel.h.
 *
 * A row of totals is d sums, the mass and the inertia. Its columns are added a vector at a time;
 * the last vector takes the mass along and, where it fits, the inertia. No store is masked: the
 * next row of the cluster would have to wait until it is in the cache (2 to 3 times as long at
 * d = 16 and 32).
 *
 * Four rows in turn of the same cluster, as in images and sorted data, are summed first, since each
 * would wait for the sum before it: 0.7 against 2.7 ns a row at d = 2. Four copies of the totals
 * are at most 1.4 times as fast (k = 3), but take 6 times as long at k = 1000; rows from four
 * places in turn are no faster, and sorted data remain slow. */

#if REAL_BITS == 32 /* int32 whatever the rows are */

/* Bit i is set where entries i differ. */
INLINE unsigned NAME(differ_bits)(const int32_t *a, const int32_t *b)
{
#if VECTOR_BYTES == 64
    return _mm512_cmpneq_epi32_mask(_mm512_loadu_si512(a), _mm512_loadu_si512(b));
#elif VECTOR_BYTES == 32
    const __m256i equal = _mm256_cmpeq_epi32(_mm256_loadu_si256((const __m256i *)a),
                                             _mm256_loadu_si256((const __m256i *)b));
    return ~(unsigned)_mm256_movemask_ps((__m256)equal) & 0xFF;
#elif VECTOR_BYTES && defined(__SSE2__)
    const __m128i equal =
        _mm_cmpeq_epi32(_mm_loadu_si128((const __m128i *)a), _mm_loadu_si128((const __m128i *)b));
    return ~(unsigned)_mm_movemask_ps((__m128)equal) & 0xF;
#else
    unsigned bits = 0;
    for (int i = 0; i < LANES; i++) bits |= (unsigned)(a[i] != b[i]) << i;
    return bits;
#endif
}

static ptrdiff_t NAME(changed)(const int32_t *before, const int32_t *after, ptrdiff_t m,
                               int32_t *rows)
{
    ptrdiff_t count = 0, i = 0;
    for (; i + LANES <= m; i += LANES)
        count =
            NAME(append_indices)(rows, count, (int32_t)i, NAME(differ_bits)(before + i, after + i));
    for (; i < m; i++) {
        rows[count] = (int32_t)i;
        count += before[i] != after[i];
    }
    return count;
}

#endif

#if VECTOR_BYTES < 64 /* AVX-512 takes AVX2's: at d = 16 to 784 eight lanes are no faster */

#define sums NAME(sums)
#define pair NAME(pair)
#define row_group NAME(row_group)

/* Lanes of float64. */
#if VECTOR_BYTES == 0
#define SUMS 1
typedef double sums;
#else
#define SUMS (VECTOR_BYTES / 8)
typedef double sums __attribute__((vector_size(VECTOR_BYTES)));
typedef double pair __attribute__((vector_size(16)));
#endif

/* Rows in turn that join one cluster and, if `leaves`, leave another. */
typedef struct {
    const real *x; /* (n, d), `step` apart */
    ptrdiff_t step, d;
    const double *weight; /* (n,), or NULL for ones: at d = 3 half the time if the compiler knows */
    const double *base;   /* (d,) subtracted from each */
    double *to, *from;    /* rows of totals */
    int leaves;
    uintptr_t ahead; /* bytes to the rows that are fetched meanwhile, or 0 */
} row_group;

/* Rows of so many bytes come from memory more slowly than they are added, unless they are asked
 * for: all of 60k x 784 20.6 to 11.0 ms, of 100k x 128 7.4 to 5.5. Shorter ones take up to 1.3
 * times as long with it. */
#define FETCHED_FROM 512

INLINE sums NAME(load_sums)(const double *from)
{
    sums a;
    memcpy(&a, from, sizeof a);
    return a;
}

INLINE void NAME(add_sums)(const row_group *g, ptrdiff_t j, sums a)
{
    const sums to = NAME(load_sums)(g->to + j) + a;
    memcpy(g->to + j, &to, sizeof to);
    if (g->leaves) {
        const sums from = NAME(load_sums)(g->from + j) - a;
        memcpy(g->from + j, &from, sizeof from);
    }
}

#if VECTOR_BYTES

INLINE pair NAME(load_pair)(const double *from)
{
    pair a;
    memcpy(&a, from, sizeof a);
    return a;
}

INLINE void NAME(add_pair)(const row_group *g, ptrdiff_t j, pair a)
{
    const pair to = NAME(load_pair)(g->to + j) + a;
    memcpy(g->to + j, &to, sizeof to);
    if (g->leaves) {
        const pair from = NAME(load_pair)(g->from + j) - a;
        memcpy(g->from + j, &from, sizeof from);
    }
}

/* x - base of n = 0, 1 or 2 columns, zeros beyond. */
INLINE pair NAME(pair_of_differences)(const real *x, const double *base, int n)
{
    if (n < 2) return n ? (pair){*x - *base, 0} : (pair){0, 0};
#if REAL_BITS == 64
    return NAME(load_pair)(x) - NAME(load_pair)(base);
#elif defined(__SSE2__)
    return (pair)_mm_cvtps_pd((__m128)_mm_loadl_epi64((const __m128i *)x)) - NAME(load_pair)(base);
#else
    return (pair){x[0], x[1]} - NAME(load_pair)(base);
#endif
}

#endif

/* The same for n = 0 to SUMS columns. */
INLINE sums NAME(differences)(const real *x, const double *base, int n)
{
#if VECTOR_BYTES == 0
    return n ? *x - *base : 0;
#elif SUMS == 2
    return NAME(pair_of_differences)(x, base, n);
#else
    if (n < 3) return (sums)_mm256_zextpd128_pd256(NAME(pair_of_differences)(x, base, n));
#if REAL_BITS == 64
    if (n == 4) return NAME(load_sums)(x) - NAME(load_sums)(base);
    const __m256d row = _mm256_maskload_pd(x, _mm256_setr_epi64x(-1, -1, -1, 0));
#else
    if (n == 4) return (sums)_mm256_cvtps_pd(_mm_loadu_ps(x)) - NAME(load_sums)(base);
    const __m256d row = _mm256_cvtps_pd(_mm_maskload_ps(x, _mm_setr_epi32(-1, -1, -1, 0)));
#endif
    return (sums)row - (sums)_mm256_maskload_pd(base, _mm256_setr_epi64x(-1, -1, -1, 0));
#endif
}

INLINE double NAME(sum_lanes)(sums a)
{
#if VECTOR_BYTES == 0
    return a;
#elif SUMS == 2
    return a[0] + a[1];
#else
    const pair b = (pair)_mm256_castpd256_pd128(a) + (pair)_mm256_extractf128_pd(a, 1);
    return b[0] + b[1];
#endif
}

/* The weighted sum of x - base over n rows, for the columns from j on. */
INLINE sums NAME(sum_rows)(const row_group *g, int n, ptrdiff_t j, int columns, sums *squares)
{
    sums total = NAME(load_sums)((const double[4]){0});
    EACH(i, n) {
        const sums t = NAME(differences)(g->x + i * g->step + j, g->base + j, columns);
        const sums wt = g->weight ? t * g->weight[i] : t;
        total = i ? total + wt : wt;
        *squares += wt * t;
    }
    return total;
}

/* The last n columns, the mass and the inertia, which is zero unless `measure`. */
INLINE void NAME(add_last)(const row_group *g, ptrdiff_t j, int n, sums a, double mass,
                           double inertia, int measure)
{
#if VECTOR_BYTES == 0
    (void)a;
    g->to[j] += mass;
    if (g->leaves) g->from[j] -= mass;
#else
    const pair extra = {mass, inertia};
#if SUMS == 4
    if (n == 2)
        NAME(add_sums)(g, j, (sums)_mm256_insertf128_pd(a, extra, 1));
    else if (n == 3)
        NAME(add_sums)(g, j, (sums)_mm256_blend_pd(a, _mm256_set1_pd(mass), 8));
    else
#endif
        NAME(add_pair)(g, j, n ? (pair){a[0], mass} : extra);
#endif
    if (measure && (SUMS == 1 || n % 2)) g->to[j + n + 1] += inertia;
}

INLINE void NAME(add_rows)(const row_group *g, int n, int measure)
{
    /* Adding to -0 changes no number, as the compiler knows: the first addition costs nothing. */
    sums squares = NAME(load_sums)((const double[4]){-0., -0., -0., -0.});
    double mass = g->weight ? g->weight[0] : n;
    ptrdiff_t j = 0;
    const ptrdiff_t line = 64 / (ptrdiff_t)sizeof(real);
    for (; g->ahead && j + line <= g->d; j += line) {
        EACH(i, n) prefetch((uintptr_t)(g->x + i * g->step + j) + g->ahead);
        EACH(q, line / SUMS)
            NAME(add_sums)(g, j + q * SUMS,
                           NAME(sum_rows)(g, n, j + q * SUMS, SUMS, &squares));
    }
    UNROLL_4 /* up to -14 % */
    for (; j + SUMS <= g->d; j += SUMS)
        NAME(add_sums)(g, j, NAME(sum_rows)(g, n, j, SUMS, &squares));
    const int left = (int)(g->d - j);
    const sums last = NAME(sum_rows)(g, n, j, left, &squares);
    for (int i = 1; i < n && g->weight; i++) mass += g->weight[i];
    NAME(add_last)(g, j, left, last, mass, measure ? NAME(sum_lanes)(squares) : 0, measure);
}

/* n = 1 or 4 rows in turn that only join. */
INLINE void NAME(join_rows)(const real *x, ptrdiff_t step, ptrdiff_t d, int n,
                            const int32_t *labels, const double *weight, const double *base,
                            ptrdiff_t base_stride, double *totals, int measure)
{
    const int long_rows = d * (ptrdiff_t)sizeof(real) >= FETCHED_FROM;
    const uintptr_t ahead = long_rows ? (uintptr_t)(4 * step) * sizeof(real) : 0;
    if (n == 4 &&
        ((labels[0] ^ labels[1]) | (labels[0] ^ labels[2]) | (labels[0] ^ labels[3])) == 0 &&
        (!weight || (weight[0] != 0 && weight[1] != 0 && weight[2] != 0 && weight[3] != 0))) {
        const row_group g = {
            .x = x,
            .step = step,
            .d = d,
            .weight = weight,
            .base = base + labels[0] * base_stride,
            .to = totals + labels[0] * (d + 2),
            .ahead = ahead,
        };
        NAME(add_rows)(&g, 4, measure);
        return;
    }
    EACH(i, n) {
        const row_group g = {
            .x = x + i * step,
            .d = d,
            .weight = weight ? weight + i : NULL,
            .base = base + labels[i] * base_stride,
            .to = totals + labels[i] * (d + 2),
            .ahead = ahead,
        };
        if (!weight || weight[i] != 0) NAME(add_rows)(&g, 1, measure);
    }
}

/* Rows of fewer bytes than that, which lie at least so many apart, are fetched four at a time this
 * many rows ahead: ten iterations of 1M x 8 take 0.95 to 0.97 of the time; of 16 columns, and of 2
 * and 3, as long. */
#define FETCHED_IN_TURN 24
#define ROWS_IN_TURN 128

INLINE void NAME(join_all)(const real *X, ptrdiff_t d, ptrdiff_t step, ptrdiff_t m,
                           const int32_t *labels, const double *weight, const double *base,
                           ptrdiff_t base_stride, double *totals, int measure)
{
    const ptrdiff_t row = d * (ptrdiff_t)sizeof(real), bytes = 4 * step * (ptrdiff_t)sizeof(real);
    const int fetching = bytes >= 4 * FETCHED_IN_TURN && row < FETCHED_FROM && step <= 2 * d;
    const ptrdiff_t fetched = fetching ? m - ROWS_IN_TURN : 0;
    ptrdiff_t i = 0;
    for (; i + 4 <= m; i += 4) {
        for (ptrdiff_t b = 0; i < fetched && b < bytes; b += 64)
            prefetch((uintptr_t)(X + (i + ROWS_IN_TURN) * step) + (uintptr_t)b);
        NAME(join_rows)(X + i * step, step, d, 4, labels + i, weight ? weight + i : NULL, base,
                        base_stride, totals, measure);
    }
    for (; i < m; i++)
        NAME(join_rows)(X + i * step, step, d, 1, labels + i, weight ? weight + i : NULL, base,
                        base_stride, totals, measure);
}

/* Rows that were assigned by their integers are not in the cache. */
#define MOVES_AHEAD 80

INLINE void NAME(move_all)(const real *X, ptrdiff_t d, ptrdiff_t step, const int32_t *rows,
                           ptrdiff_t count, int gathered, const int32_t *from, const int32_t *to,
                           const double *weight, const double *shift, double *totals)
{
    const int apart = rows && !gathered;
    for (ptrdiff_t i = 0; i < count; i++) {
        const ptrdiff_t r = rows ? rows[i] : i;
        if (apart && i + MOVES_AHEAD < count) {
            const real *next = X + rows[i + MOVES_AHEAD] * step;
            prefetch_near((uintptr_t)next);
            prefetch_near((uintptr_t)(next + d - 1)); /* often on the next line */
        }
        row_group g = {
            .x = X + (gathered ? i : r) * step,
            .d = d,
            .weight = weight ? weight + r : NULL,
            .base = shift,
            .ahead = apart && i + 1 < count && d * (ptrdiff_t)sizeof(real) >= FETCHED_FROM
                         ? (uintptr_t)((rows[i + 1] - r) * step) * sizeof(real)
                         : 0,
            .to = totals + to[r] * (d + 2),
        };
        if (from[r] < 0) {
            NAME(add_rows)(&g, 1, 0);
        } else {
            g.from = totals + from[r] * (d + 2);
            g.leaves = 1;
            NAME(add_rows)(&g, 1, 0);
        }
    }
}

/* The first iteration: the first `count` rows all come from nowhere. */
static int NAME(all_join)(const int32_t *rows, ptrdiff_t count, const int32_t *from)
{
    int32_t stray = 0, joins = -1;
    if (count == 0 || from[0] >= 0 || (rows && rows[0] != 0)) return 0;
    for (ptrdiff_t i = 0; i < count && rows; i++) stray |= rows[i] ^ (int32_t)i;
    if (stray) return 0;
    for (ptrdiff_t i = 0; i < count; i++) joins &= from[i];
    return joins < 0;
}

/* Constant d up to 8: 1.6 to 1.8 times as fast at d = 5 to 8. */
#define FOR_COLUMNS(f, d, ...)                                                                     \
    switch (d) {                                                                                   \
    case 1: f(X, 1, __VA_ARGS__); break;                                                           \
    case 2: f(X, 2, __VA_ARGS__); break;                                                           \
    case 3: f(X, 3, __VA_ARGS__); break;                                                           \
    case 4: f(X, 4, __VA_ARGS__); break;                                                           \
    case 5: f(X, 5, __VA_ARGS__); break;                                                           \
    case 6: f(X, 6, __VA_ARGS__); break;                                                           \
    case 7: f(X, 7, __VA_ARGS__); break;                                                           \
    case 8: f(X, 8, __VA_ARGS__); break;                                                           \
    default: f(X, d, __VA_ARGS__);                                                                 \
    }

static void NAME(move)(const real *X, ptrdiff_t step, ptrdiff_t d, const int32_t *rows,
                       ptrdiff_t count, int gathered, const int32_t *from, const int32_t *to,
                       const double *weight, const double *shift, double *totals)
{
    if (NAME(all_join)(rows, count, from)) {
        if (weight)
            FOR_COLUMNS(NAME(join_all), d, step, count, to, weight, shift, 0, totals, 0)
        else
            FOR_COLUMNS(NAME(join_all), d, step, count, to, NULL, shift, 0, totals, 0)
    } else if (weight) {
        FOR_COLUMNS(NAME(move_all), d, step, rows, count, gathered, from, to, weight, shift, totals)
    } else {
        FOR_COLUMNS(NAME(move_all), d, step, rows, count, gathered, from, to, NULL, shift, totals)
    }
}

static void NAME(add)(const real *X, ptrdiff_t step, ptrdiff_t d, ptrdiff_t m,
                      const int32_t *labels, const double *weight, const double *base,
                      ptrdiff_t base_stride, double *totals)
{
    if (weight)
        FOR_COLUMNS(NAME(join_all), d, step, m, labels, weight, base, base_stride, totals, 1)
    else
        FOR_COLUMNS(NAME(join_all), d, step, m, labels, NULL, base, base_stride, totals, 1)
}

static const update_table NAME(update) = {NAME(move), NAME(add)};

#undef sums
#undef pair
#undef row_group
#undef SUMS
#undef MOVES_AHEAD
#undef FETCHED_FROM
#undef FETCHED_IN_TURN
#undef ROWS_IN_TURN
#undef FOR_COLUMNS

#endif
