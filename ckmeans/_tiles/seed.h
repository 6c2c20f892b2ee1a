/* Passes of greedy k-means++; a part of kernel.h.
 *
 * Gains are estimated in `real`, with a bound on the error; what the bound leaves open is decided
 * in float64, without FMA and column after column: such a distance has the bits of the plain loop
 * that decides labels, at every level. Sums of chances run over CHANCE_LANES virtual lanes whatever
 * the width of a vector, so that they have the same bits as well.
 *
 * level.h includes the float64 kernel first; the float32 one uses its vectors through WIDE. */

#define WIDE(name) JOIN(name, f64, LEVEL)
#define wide WIDE(wide)
#define WIDE_LANES (VECTOR_BYTES ? VECTOR_BYTES / 8 : 1)
#define SEED_ROWS 8
#define CHANCE_LANES 32
#define SEED_VECTORS (SEED_ROWS / WIDE_LANES)
#define SEED_COLUMNS 32 /* transposed at once */
#define PAIR (2 * LANES)
#define WIDE_ROWS 8
#define WIDE_VECTORS (LANES < CKM_MOST_CANDIDATES ? CKM_MOST_CANDIDATES / LANES : 1)

#if REAL_BITS == 64

typedef vec wide;

/* Rows whose `nearest` is above the limit of their owner: the others cannot gain. */
static ptrdiff_t NAME(beyond)(const double *nearest, const int32_t *owner, ptrdiff_t m,
                              const double *limit, int32_t *survivors)
{
    ptrdiff_t count = 0, i = 0;
    for (; i + LANES <= m; i += LANES)
        count = NAME(append_indices)(
            survivors, count, (int32_t)i,
            V_LESS_BITS(NAME(v_gather)(limit, owner + i), V_LOAD(nearest + i)));
    for (; i < m; i++) {
        survivors[count] = (int32_t)i;
        count += nearest[i] > limit[owner[i]];
    }
    return count;
}

#define CHANCE_VECTORS (CHANCE_LANES / LANES)

/* Sum of nearest * scale, times weight * weight_scale where there are weights: in lanes that do not
 * wait for each other, and by halves of them. */
static double NAME(chances)(const double *nearest, const double *weight, ptrdiff_t m, double scale,
                            double weight_scale)
{
    vec sum[CHANCE_VECTORS];
    double lanes[CHANCE_LANES];
    ptrdiff_t i = 0;
    EACH(v, CHANCE_VECTORS) sum[v] = V_SET1(0);
    for (; i + CHANCE_LANES <= m; i += CHANCE_LANES)
        EACH(v, CHANCE_VECTORS) {
            vec chance = V_LOAD(nearest + i + v * LANES) * V_SET1(scale);
            if (weight) chance *= V_LOAD(weight + i + v * LANES) * V_SET1(weight_scale);
            sum[v] += chance;
        }
    EACH(v, CHANCE_VECTORS) V_STORE(lanes + v * LANES, sum[v]);
    for (int half = CHANCE_LANES / 2; half > 0; half /= 2)
        for (int lane = 0; lane < half; lane++) lanes[lane] += lanes[half + lane];
    for (; i < m; i++) {
        const double chance = nearest[i] * scale;
        lanes[0] += weight ? chance * (weight[i] * weight_scale) : chance;
    }
    return lanes[0];
}

#else

/* Lists the set bits of CKM_OPEN_WORDS words, from `first` on; may write LANES numbers more. */
static ptrdiff_t NAME(open_rows)(const uint32_t *open, int32_t first, int32_t *rows)
{
    const int lanes = VECTOR_BYTES == 64 ? LANES : CKM_OPEN_ROWS;
    ptrdiff_t count = 0;
    for (int word = 0; word < CKM_OPEN_WORDS; word++, first += CKM_OPEN_ROWS)
        for (int at = 0; open[word] && at < CKM_OPEN_ROWS; at += lanes)
            count = NAME(append_indices)(rows, count, first + at,
                                         open[word] >> at & 0xFFFFFFFFu >> (32 - lanes));
    return count;
}

#endif

/* n columns of SEED_ROWS rows, as doubles. */
INLINE void NAME(load_few_wide)(wide (*columns)[SEED_VECTORS], const real *const rows[SEED_ROWS],
                                ptrdiff_t first, const ptrdiff_t n)
{
    for (ptrdiff_t f = 0; f < n; f++) {
        double lanes[SEED_ROWS];
        EACH(i, SEED_ROWS) lanes[i] = rows[i][first + f];
        EACH(v, SEED_VECTORS) columns[f][v] = WIDE(v_load)(lanes + v * WIDE_LANES);
    }
}

#if VECTOR_BYTES && defined(__SSE2__)
#define SEED_CHUNK CHUNK

/* A chunk of columns of SEED_ROWS rows, as doubles: stored one by one, they would be loaded only
 * once all stores are done (1M x 8, k = 16: 96 to 78 ms for all steps, 60k x 784: 142 to 119). */
INLINE void NAME(load_wide)(wide columns[CHUNK][SEED_VECTORS], const real *const rows[SEED_ROWS],
                            ptrdiff_t first)
{
#if REAL_BITS == 64
    EACH(v, SEED_VECTORS) {
        vec row[CHUNK], column[CHUNK];
        EACH(i, CHUNK) {
            const real *places[LANES / CHUNK];
            EACH(q, LANES / CHUNK) places[q] = rows[v * LANES + q * CHUNK + i] + first;
            row[i] = NAME(v_of_quarters)(places);
        }
        NAME(v_transpose_quarters)(column, row);
        EACH(i, CHUNK) columns[i][v] = column[i];
    }
#elif VECTOR_BYTES == 64
    __m256 row[CHUNK];
    EACH(i, CHUNK)
        row[i] = _mm256_insertf128_ps(_mm256_castps128_ps256(_mm_loadu_ps(rows[i] + first)),
                                      _mm_loadu_ps(rows[CHUNK + i] + first), 1);
    const __m256 low01 = _mm256_unpacklo_ps(row[0], row[1]),
                 high01 = _mm256_unpackhi_ps(row[0], row[1]),
                 low23 = _mm256_unpacklo_ps(row[2], row[3]),
                 high23 = _mm256_unpackhi_ps(row[2], row[3]);
    columns[0][0] = (wide)_mm512_cvtps_pd(_mm256_shuffle_ps(low01, low23, 0x44));
    columns[1][0] = (wide)_mm512_cvtps_pd(_mm256_shuffle_ps(low01, low23, 0xEE));
    columns[2][0] = (wide)_mm512_cvtps_pd(_mm256_shuffle_ps(high01, high23, 0x44));
    columns[3][0] = (wide)_mm512_cvtps_pd(_mm256_shuffle_ps(high01, high23, 0xEE));
#else
    EACH(half, 2) {
        __m128 row[CHUNK];
        EACH(i, CHUNK) row[i] = _mm_loadu_ps(rows[half * CHUNK + i] + first);
        _MM_TRANSPOSE4_PS(row[0], row[1], row[2], row[3]);
#if VECTOR_BYTES == 32
        EACH(i, CHUNK) columns[i][half] = (wide)_mm256_cvtps_pd(row[i]);
#else
        EACH(i, CHUNK) {
            columns[i][2 * half] = (wide)_mm_cvtps_pd(row[i]);
            columns[i][2 * half + 1] = (wide)_mm_cvtps_pd(_mm_movehl_ps(row[i], row[i]));
        }
#endif
    }
#endif
}

#else
#define SEED_CHUNK SEED_COLUMNS

INLINE void NAME(load_wide)(wide columns[SEED_CHUNK][SEED_VECTORS],
                            const real *const rows[SEED_ROWS], ptrdiff_t first)
{
    NAME(load_few_wide)(columns, rows, first, SEED_CHUNK);
}

#endif

/* Adds the squared differences of n columns of SEED_ROWS rows to a point. */
INLINE void NAME(add_squares)(wide sum[SEED_VECTORS], const wide columns[][SEED_VECTORS],
                              const double *point, const ptrdiff_t n)
{
    for (ptrdiff_t f = 0; f < n; f++)
        EACH(v, SEED_VECTORS) {
            const wide t = columns[f][v] - WIDE(v_set1)(point[f]);
            sum[v] += t * t;
        }
}

INLINE ptrdiff_t NAME(place_of)(const int32_t *listed, ptrdiff_t i)
{
    return listed ? listed[i] : i;
}

/* The rows of the next tile are fetched meanwhile, if the caller did not because they are long
 * (60k x 784, k = 10: seeding 0.88 of the time). */
INLINE void NAME(distances2_of)(const real *X, const int32_t *listed, ptrdiff_t m,
                                const double *point, double *squares, const ptrdiff_t d)
{
    const int far = d * (ptrdiff_t)sizeof(real) > CKM_FETCHED_BYTES;
    for (ptrdiff_t i = 0; i < m; i += SEED_ROWS) {
        const real *rows[SEED_ROWS];
        wide sum[SEED_VECTORS], columns[SEED_CHUNK][SEED_VECTORS];
        const ptrdiff_t n = m - i < SEED_ROWS ? m - i : SEED_ROWS;
        ptrdiff_t f = 0;
        for (ptrdiff_t r = 0; r < SEED_ROWS; r++) /* a short tile repeats its last row */
            rows[r] = X + NAME(place_of)(listed, i + (r < n ? r : n - 1)) * d;
        EACH(v, SEED_VECTORS) sum[v] = WIDE(v_set1)(0);
        for (; f + SEED_CHUNK <= d; f += SEED_CHUNK) {
            if (far && f % (ptrdiff_t)(64 / sizeof(real)) == 0)
                for (ptrdiff_t r = i + SEED_ROWS; r < smaller(i + 2 * SEED_ROWS, m); r++)
                    prefetch(X + NAME(place_of)(listed, r) * d + f);
            NAME(load_wide)(columns, rows, f);
            NAME(add_squares)(sum, columns, point + f, SEED_CHUNK);
        }
        NAME(load_few_wide)(columns, rows, f, d - f);
        NAME(add_squares)(sum, columns, point + f, d - f);
        if (n == SEED_ROWS) /* without a call */
            memcpy(squares + i, sum, SEED_ROWS * sizeof *squares);
        else
            memcpy(squares + i, sum, (size_t)n * sizeof *squares);
    }
}

/* Squared distances of m listed rows, or the first m for NULL, to one point. */
static void NAME(distances2)(const real *X, ptrdiff_t d, const int32_t *listed, ptrdiff_t m,
                             const double *point, double *squares)
{
    switch (d) {
    case 2:
        NAME(distances2_of)(X, listed, m, point, squares, 2);
        return;
    case 3:
        NAME(distances2_of)(X, listed, m, point, squares, 3);
        return;
    default:
        NAME(distances2_of)(X, listed, m, point, squares, d);
    }
}

/* Adds squared differences of a pair of vectors of rows to n candidates, which lie spread like the
 * centroids of narrow.h. With more than NARROW_MAX columns the rows are in memory, and loads what
 * there is most of: two candidates at once take 0.82 of the time at d = 16 (AVX-512; 0.75 of SSE2's).
 */
INLINE void NAME(square_pair)(vec (*sum)[2], vec (*x)[2], const real *candidates, const int n,
                              const ptrdiff_t d)
{
    for (ptrdiff_t f = 0; f < d; f++) {
        vec row[2];
        EACH(v, 2) row[v] = n > 1 ? V_LOADED(x[f][v]) : x[f][v];
        EACH(i, n) {
            const vec c = V_LOADED(V_LOAD(candidates + (i * d + f) * LANES));
            EACH(v, 2) {
                const vec difference = row[v] - c;
                sum[i][v] = V_FMA(difference, difference, sum[i][v]);
            }
        }
    }
}

/* What a pair of vectors of rows gains from n candidates, by differences; their bits are added to
 * `open` unless a candidate is certainly no nearer. */
INLINE void NAME(gain_pair)(vec (*x)[2], const vec near[2], const vec limit[2], const vec mass[2],
                            int weighted, const real *candidates, vec (*gains)[2], uint32_t *open,
                            int shift, const int n, const ptrdiff_t d)
{
    vec sum[2][2];
    EACH(i, 2)
        EACH(v, 2) sum[i][v] = V_SET1(0);
    NAME(square_pair)(sum, x, candidates, n, d);
    EACH(i, n) {
        uint32_t bits = 0;
        EACH(v, 2) {
            vec gain = V_MAX(near[v] - sum[i][v], V_SET1(0));
            if (weighted) gain *= mass[v];
            gains[i][v] += gain;
            bits |= (uint32_t)(~V_LESS_BITS(limit[v], sum[i][v]) & ALL_LANES) << (v * LANES);
        }
        if (PAIR == CKM_OPEN_ROWS)
            open[i * CKM_OPEN_WORDS] = bits;
        else
            open[i * CKM_OPEN_WORDS] |= bits << shift;
    }
}

/* A pair of vectors of rows, of which n are there; the others gain nothing. */
INLINE void NAME(gain_rows)(const real *rows, ptrdiff_t n, const double *nearest,
                            const double *weight, const ckm_gains *p, const real *candidates,
                            vec (*gains)[2], uint32_t *open, int shift, const ptrdiff_t d)
{
    vec x[CKM_NARROW][2], near[2], limit[2], mass[2] = {V_SET1(1), V_SET1(1)};
    real nears[PAIR], limits[PAIR], masses[PAIR] = {0}, short_rows[CKM_NARROW * PAIR];
    if (n < PAIR) {
        for (ptrdiff_t i = 0; i < PAIR; i++) {
            memcpy(short_rows + i * d, rows + (i < n ? i : 0) * d, (size_t)d * sizeof(real));
            nears[i] = i < n ? (real)nearest[i] : 0;
            masses[i] = weight && i < n ? (real)(weight[i] * p->weight_scale) : 0;
        }
        rows = short_rows;
    } else {
        for (int i = 0; i < PAIR; i++) nears[i] = (real)nearest[i];
        for (int i = 0; weight && i < PAIR; i++) masses[i] = (real)(weight[i] * p->weight_scale);
    }
    NAME(load_whole)(&x[0][0], 2, rows, d);
    const vec grow = V_SET1((real)p->grow), tiny = V_SET1((real)p->tiny);
    EACH(v, 2) {
        near[v] = V_LOAD(nears + v * LANES);
        limit[v] = V_FMA(near[v], grow, tiny);
        if (weight) mass[v] = V_LOAD(masses + v * LANES);
    }
    if (n < PAIR) {
        EACH(v, 2) V_STORE(limits + v * LANES, limit[v]);
        for (ptrdiff_t i = n; i < PAIR; i++) limits[i] = -1;
        EACH(v, 2) limit[v] = V_LOAD(limits + v * LANES);
    }
    const int together = d > NARROW_MAX ? 2 : 1; /* see square_pair */
    ptrdiff_t j = 0;
    for (; j + together <= p->t; j += together)
        NAME(gain_pair)(x, near, limit, mass, weight != NULL, candidates + j * d * LANES, gains + j,
                        open + j * CKM_OPEN_WORDS, shift, together, d);
    for (; j < p->t; j++)
        NAME(gain_pair)(x, near, limit, mass, weight != NULL, candidates + j * d * LANES, gains + j,
                        open + j * CKM_OPEN_WORDS, shift, 1, d);
    if (n < PAIR) { /* NaN, in rows that change meanwhile, opens all */
        const uint32_t there = (((uint32_t)1 << n) - 1) << shift | (((uint32_t)1 << shift) - 1);
        for (ptrdiff_t j = 0; j < p->t; j++) open[j * CKM_OPEN_WORDS] &= there;
    }
}

INLINE void NAME(gain_cells)(const real *rows, ptrdiff_t m, const double *nearest,
                             const double *weight, const ckm_gains *p, double *totals,
                             uint32_t *open, const ptrdiff_t d)
{
    double sums[CKM_MOST_CANDIDATES][PAIR];
    memset(sums, 0, sizeof sums);
    for (; m > 0; m -= CKM_CELL_ROWS) {
        const ptrdiff_t n = m < CKM_CELL_ROWS ? m : CKM_CELL_ROWS;
        vec gains[CKM_MOST_CANDIDATES][2];
        for (ptrdiff_t j = 0; j < p->t; j++) gains[j][0] = gains[j][1] = V_SET1(0);
        memset(open, 0, (size_t)(p->t * CKM_OPEN_WORDS) * sizeof *open);
        for (ptrdiff_t i = 0; i < n; i += PAIR)
            NAME(gain_rows)(rows + i * d, n - i, nearest + i, weight ? weight + i : NULL, p,
                            p->candidates, gains, open + i / CKM_OPEN_ROWS,
                            (int)(i % CKM_OPEN_ROWS), d);
        for (ptrdiff_t j = 0; j < p->t; j++) {
            real lanes[PAIR];
            memcpy(lanes, gains[j], sizeof lanes);
            for (int lane = 0; lane < PAIR; lane++) sums[j][lane] += lanes[lane];
        }
        rows += CKM_CELL_ROWS * d;
        nearest += CKM_CELL_ROWS;
        if (weight) weight += CKM_CELL_ROWS;
        open += p->room * CKM_OPEN_WORDS;
    }
    for (ptrdiff_t j = 0; j < p->t; j++)
        for (int lane = 0; lane < PAIR; lane++) totals[j] += sums[j][lane];
}

/* With the number of columns a constant, the rows stay in registers. */
static void NAME(narrow_gains)(const real *rows, ptrdiff_t m, const double *nearest,
                               const double *weight, const ckm_gains *p, double *totals,
                               uint32_t *open)
{
#define CASE(columns)                                                                              \
    case columns:                                                                                  \
        NAME(gain_cells)(rows, m, nearest, weight, p, totals, open, columns);                      \
        return;
    switch (p->d) {
        CASE(1)
        CASE(2)
        CASE(3)
        CASE(4)
        CASE(5)
        CASE(6)
        CASE(7)
        CASE(8)
    default:
        NAME(gain_cells)(rows, m, nearest, weight, p, totals, open, p->d);
    }
#undef CASE
}

/* Wide rows: lanes are candidates, and each row is read where it is. So nothing is transposed, or
 * summed across lanes but the columns that share a vector: at d = 64 and 8 candidates that leaves
 * two thirds of the time that the layout of few.h takes. */

/* t becomes the number of lanes that candidates take: a constant for each of the kernels. */
static int NAME(candidate_lanes)(ptrdiff_t t)
{
    return t <= 4 ? 4 : t <= 8 ? 8 : t <= 16 ? 16 : CKM_MOST_CANDIDATES;
}
INLINE int NAME(columns_beside)(int lanes) { return lanes < LANES ? LANES / lanes : 1; }
INLINE int NAME(vectors_of)(int lanes) { return lanes < LANES ? 1 : lanes / LANES; }

/* n reals, over and over. */
INLINE vec NAME(v_repeat)(const real *from, int n)
{
#if VECTOR_BYTES == 64 && REAL_BITS == 32
    if (n == 4) return (vec)_mm512_broadcast_f32x4(_mm_loadu_ps(from));
    if (n == 2) {
        double both;
        memcpy(&both, from, sizeof both);
        return (vec)_mm512_set1_pd(both);
    }
#elif VECTOR_BYTES == 64
    if (n == 2) return (vec)_mm512_broadcast_f64x2(_mm_loadu_pd(from));
#elif VECTOR_BYTES == 32 && REAL_BITS == 32
    if (n == 2) {
        double both;
        memcpy(&both, from, sizeof both);
        return (vec)_mm256_set1_pd(both);
    }
#endif
    (void)n;
    return V_SET1(*from);
}

/* Every lane becomes the sum over the n neighbours that it is one of. */
INLINE vec NAME(sum_neighbours)(vec a, int n)
{
#if VECTOR_BYTES >= 32 && REAL_BITS == 32
    if (n >= 2) a += (vec)MM(permute)(a, 0xB1);
    if (n >= 4) a += (vec)MM(permute)(a, 0x4E);
#elif VECTOR_BYTES == 64
    if (n >= 2) a += (vec)MM(permute)(a, 0x55);
#endif
    (void)n;
    return a;
}

/* Narrow: (t, d). Wide: by columns, as many side by side as share a vector. The last of them
 * overlap their neighbours instead of reading on; then a vector of ones and zeros says which are
 * new. Spare lanes repeat the first candidate. */
static void NAME(pack_candidates)(const double *candidates, ptrdiff_t t, ptrdiff_t d, real *packed)
{
    const int lanes = NAME(candidate_lanes)(t), beside = NAME(columns_beside)(lanes);
    if (d <= CKM_NARROW) {
        for (ptrdiff_t i = 0; i < t * d; i++)
            V_STORE(packed + i * LANES, V_SET1((real)candidates[i]));
        return;
    }
    for (ptrdiff_t f = 0; f < d; f += beside) {
        const ptrdiff_t first = f + beside <= d ? f : d - beside;
        for (int j = 0; j < lanes; j++)
            for (int i = 0; i < beside; i++)
                *packed++ = (real)candidates[(j < t ? j : 0) * d + first + i];
    }
    const int seen = (int)((beside - d % beside) % beside);
    for (int lane = 0; lane < LANES; lane++) *packed++ = lane % beside >= seen;
}

/* Adds the squared differences of `beside` columns of n rows to the candidates. */
INLINE void NAME(add_differences)(vec (*sums)[WIDE_VECTORS], const real *const rows[WIDE_ROWS],
                                  ptrdiff_t f, const real *packed, const vec *keep,
                                  const int beside, const int vectors, const int n)
{
    EACH(v, vectors) {
        const vec c = V_LOAD(packed + v * LANES);
        EACH(i, n) {
            vec difference = NAME(v_repeat)(rows[i] + f, beside) - c;
            if (keep) difference *= *keep;
            sums[i][v] = V_FMA(difference, difference, sums[i][v]);
        }
    }
}

/* What one call of wide_gains works on. */
typedef struct {
    const real *X;
    const int32_t *at, *listed;
    ptrdiff_t m;
    const double *nearest, *weight;
    const ckm_gains *gains;
    uint32_t *open;
} NAME(wide_rows);

#define PLACE(list, i) ((list) ? (list)[i] : (i))

/* Squared distances of the n rows from place i on; the last row stands in for those behind it. */
INLINE void NAME(square_wide)(const NAME(wide_rows) *w, ptrdiff_t i, vec (*sums)[WIDE_VECTORS],
                              const int lanes, const int n)
{
    const int beside = NAME(columns_beside)(lanes), vectors = NAME(vectors_of)(lanes);
    const ptrdiff_t d = w->gains->d, last = w->m - 1;
    const real *packed = w->gains->candidates, *rows[WIDE_ROWS];
    ptrdiff_t f;
    EACH(r, n) {
        const ptrdiff_t place = i + r < last ? i + r : last;
        rows[r] = w->X + PLACE(w->at, place) * d;
        EACH(v, vectors) sums[r][v] = V_SET1(0);
    }
    for (int r = 0; w->at && r < n && i + n + r <= last; r++)
        for (f = 0; f < d; f += (ptrdiff_t)(64 / sizeof(real)))
            prefetch(w->X + w->at[i + n + r] * d + f);
    /* Rows in turn are fetched a line a step, those after the next: 2.2 instead of 3.3 ms at
     * 100k x 128, where lines asked for at once would wait for each other. With every second one
     * of 4 candidates' lines it is 6.4 instead of 2.2 ms. */
    uintptr_t ahead = (uintptr_t)rows[n - 1] + (size_t)((n + 1) * d) * sizeof(real);
    for (f = 0; f + beside <= d; f += beside) {
        EACH(line, (n * beside * (int)sizeof(real) + 63) / 64) prefetch(ahead + 64 * line);
        ahead += (size_t)(n * beside) * sizeof(real);
        NAME(add_differences)(sums, rows, f, packed, NULL, beside, vectors, n);
        packed += vectors * LANES;
    }
    if (f < d) {
        const vec keep = V_LOAD(packed + vectors * LANES);
        NAME(add_differences)(sums, rows, d - beside, packed, &keep, beside, vectors, n);
    }
}

/* Adds what a row gains to `gained`, and marks it where it may; returns the candidates from `own`
 * on at which it does. */
INLINE uint32_t NAME(gain_row)(const NAME(wide_rows) *w, ptrdiff_t row, vec *sums, vec near,
                               vec mass, vec *gained, const int lanes)
{
    const ckm_gains *p = w->gains;
    const int beside = NAME(columns_beside)(lanes), vectors = NAME(vectors_of)(lanes);
    const vec limit = V_FMA(near, V_SET1((real)p->grow), V_SET1((real)p->tiny));
    uint32_t *open = w->open + row / CKM_CELL_ROWS * p->room * CKM_OPEN_WORDS +
                     row % CKM_CELL_ROWS / CKM_OPEN_ROWS;
    uint32_t later = 0;
    EACH(v, vectors) {
        const vec sum = sums[v] = NAME(sum_neighbours)(sums[v], beside);
        gained[v] += V_MAX(near - sum, V_SET1(0)) * mass;
        unsigned bits = ~V_LESS_BITS(limit, sum) & ALL_LANES;
        /* Which candidates it is can't be foretold: of four, a store for each costs less than such
         * branches (digits are seeded in 0.7 of the time), of eight 5 to 20 % more. */
        if (lanes == 4) {
            for (int j = v * LANES / beside, at = 0; at < LANES && j < p->t; j++, at += beside)
                open[j * CKM_OPEN_WORDS] |= (bits >> at & 1) << row % CKM_OPEN_ROWS;
            continue;
        }
        for (; bits; bits &= bits - 1) {
            const int j = (v * LANES + lowest_bit(bits)) / beside;
            if (j < p->t) open[j * CKM_OPEN_WORDS] |= (uint32_t)1 << row % CKM_OPEN_ROWS;
            if (j >= p->own && j < p->t) later |= (uint32_t)1 << (j - p->own);
        }
    }
    return later;
}

/* Adds what a row gains from candidates for the step after, beside each for this one. */
INLINE void NAME(gain_later)(uint32_t later, ptrdiff_t own, const vec *sums, vec near, vec mass,
                             vec (*pairs)[WIDE_VECTORS], const int lanes)
{
    const int beside = NAME(columns_beside)(lanes), vectors = NAME(vectors_of)(lanes);
    real squares[WIDE_VECTORS * LANES];
    EACH(v, vectors) V_STORE(squares + v * LANES, sums[v]);
    for (; later; later &= later - 1) {
        const int i = lowest_bit(later);
        const vec square = V_SET1(squares[(own + i) * beside]);
        EACH(v, vectors) {
            const vec left = V_MIN(sums[v], near) - square;
            pairs[i][v] += V_MAX(left, V_SET1(0)) * mass;
        }
    }
}

/* Adds up the first n candidates' lanes. */
INLINE void NAME(add_lanes)(double *totals, const vec *sums, ptrdiff_t n, const int lanes)
{
    real each[WIDE_VECTORS * LANES];
    EACH(v, NAME(vectors_of)(lanes)) V_STORE(each + v * LANES, sums[v]);
    for (int j = 0; j < lanes && j < n; j++) totals[j] += each[j * NAME(columns_beside)(lanes)];
}

INLINE void NAME(gain_wide)(const NAME(wide_rows) *w, double *totals, const int lanes)
{
    const ckm_gains *p = w->gains;
    const int vectors = NAME(vectors_of)(lanes);
    const int n = WIDE_ROWS / vectors > 0 ? WIDE_ROWS / vectors : 1;
    for (ptrdiff_t i = 0; i < w->m;) {
        const ptrdiff_t end = i + CKM_CELL_ROWS < w->m ? i + CKM_CELL_ROWS : w->m;
        vec gained[WIDE_VECTORS], pairs[CKM_MOST_CANDIDATES][WIDE_VECTORS];
        EACH(v, vectors) gained[v] = V_SET1(0);
        for (ptrdiff_t j = 0; j < p->t - p->own; j++)
            EACH(v, vectors) pairs[j][v] = V_SET1(0);
        for (; i < end; i += n) {
            vec sums[WIDE_ROWS][WIDE_VECTORS];
            NAME(square_wide)(w, i, sums, lanes, n);
            for (int r = 0; r < n && i + r < end; r++) {
                const ptrdiff_t row = PLACE(w->listed, i + r);
                const vec near = V_SET1((real)w->nearest[row]);
                const vec mass = V_SET1(w->weight ? (real)(w->weight[row] * p->weight_scale) : 1);
                const uint32_t later =
                    NAME(gain_row)(w, row, sums[r], near, mass, gained, lanes);
                if (later) NAME(gain_later)(later, p->own, sums[r], near, mass, pairs, lanes);
            }
        }
        NAME(add_lanes)(totals, gained, p->t, lanes);
        for (ptrdiff_t j = 0; j < p->t - p->own; j++)
            NAME(add_lanes)(totals + p->t + j * p->own, pairs[j], p->own, lanes);
    }
}

static void NAME(wide_gains)(const real *X, const int32_t *at, const int32_t *listed, ptrdiff_t m,
                             const double *nearest, const double *weight, const ckm_gains *gains,
                             double *totals, uint32_t *open)
{
    const NAME(wide_rows) w = {X, at, listed, m, nearest, weight, gains, open};
    switch (NAME(candidate_lanes)(gains->t)) {
    case 4:
        NAME(gain_wide)(&w, totals, 4);
        return;
    case 8:
        NAME(gain_wide)(&w, totals, 8);
        return;
    case 16:
        NAME(gain_wide)(&w, totals, 16);
        return;
    default:
        NAME(gain_wide)(&w, totals, CKM_MOST_CANDIDATES);
    }
}

#undef PLACE
#undef WIDE
#undef wide
#undef WIDE_LANES
#undef SEED_ROWS
#undef CHANCE_LANES
#undef CHANCE_VECTORS
#undef SEED_VECTORS
#undef SEED_COLUMNS
#undef SEED_CHUNK
#undef PAIR
