/* Screening by integer scores; a part of kernel.h.
 *
 * Rows and centroids are rounded to 16-bit integers, of which one instruction multiplies and adds
 * two a lane: twice the products of float32's multiply-add, four times float64's, and the sums are
 * exact. What rounding can have done is certain too (see pack_screen): most labels are certified by
 * it, and only the other rows are scored again by kernel.h.
 *
 * A tile is scaled by its longest row, so that products of a whole row fill 31 bits and sums cannot
 * overflow, whatever d is. */

#if SCREENS

#define ints NAME(ints)

typedef int32_t ints __attribute__((vector_size(LANES * sizeof(int32_t))));
typedef uint32_t NAME(unsigned_ints) __attribute__((vector_size(LANES * sizeof(int32_t))));

INLINE ints NAME(i_set1)(int32_t a) { return a - (ints){0}; }

#if REAL_BITS == 32
#define I(op) _mm512_##op
#define I_TYPE __m512i
#else
#define I(op) _mm256_##op
#define I_TYPE __m256i
#endif

INLINE ints NAME(i_min)(ints a, ints b) { return (ints)I(min_epi32)((I_TYPE)a, (I_TYPE)b); }
INLINE ints NAME(i_max)(ints a, ints b) { return (ints)I(max_epi32)((I_TYPE)a, (I_TYPE)b); }

/* sum + a_low b_low + a_high b_high in each lane. (The intrinsic would ask for a level of its own.)
 */
INLINE ints NAME(i_products)(ints sum, ints a, ints b)
{
    __asm__("vpdpwssd %2, %1, %0" : "+v"(sum) : "v"(a), "v"(b));
    return sum;
}

INLINE ints NAME(i_replace_if_less)(ints a, ints b, int32_t value, ints old)
{
    return (ints)I(mask_mov_epi32)((I_TYPE)old, I(cmplt_epi32_mask)((I_TYPE)a, (I_TYPE)b),
                                   (I_TYPE)NAME(i_set1)(value));
}

INLINE ints NAME(i_rounded)(vec a)
{
#if REAL_BITS == 32
    return (ints)_mm512_cvtps_epi32(a);
#else
    return (ints)_mm512_cvtpd_epi32(a);
#endif
}

INLINE vec NAME(v_from_ints)(ints a)
{
#if REAL_BITS == 32
    return (vec)_mm512_cvtepi32_ps((I_TYPE)a);
#else
    return (vec)_mm512_cvtepi32_pd((I_TYPE)a);
#endif
}

/* Columns f and f + 1 of a tile, rounded; the second may be missing. */
INLINE ints NAME(pair_of_ints)(ints low, ints high)
{
    return (low & 0xFFFF) | (ints)((NAME(unsigned_ints))high << 16);
}

/* What rows lose by rounding is at most half a unit a column; measured, which pays from
 * MEASURED_FROM columns on, it is half of that (of 100k x 128, k = 256, a third fewer are left).
 */
#define MEASURED_FROM 64

INLINE ints NAME(rounded)(vec x, vec *lost2, int measure)
{
    const ints whole = NAME(i_rounded)(x);
    if (measure) {
        const vec lost = x - NAME(v_from_ints)(whole);
        *lost2 = V_FMA(lost, lost, *lost2);
    }
    return whole;
}

/* The tile's rows times `scale`, as pairs of integers. */
INLINE void NAME(round_columns)(ints (*q)[VECTORS], vec lost2[VECTORS], vec (*x)[VECTORS],
                                real scale, ptrdiff_t d, int measure)
{
    const vec s = V_SET1(scale);
    ptrdiff_t f = 0;
    for (; f + 2 <= d; f += 2)
        EACH(v, VECTORS) {
            const ints low = NAME(rounded)(x[f][v] * s, lost2 + v, measure);
            const ints high = NAME(rounded)(x[f + 1][v] * s, lost2 + v, measure);
            q[f / 2][v] = NAME(pair_of_ints)(low, high);
        }
    if (f < d)
        EACH(v, VECTORS) q[f / 2][v] = NAME(rounded)(x[f][v] * s, lost2 + v, measure) & 0xFFFF;
}

INLINE void NAME(round_tile)(ints (*q)[VECTORS], vec lost2[VECTORS], vec (*x)[VECTORS], real scale,
                             ptrdiff_t d)
{
    if (d >= MEASURED_FROM) {
        NAME(round_columns)(q, lost2, x, scale, d, 1);
    } else {
        NAME(round_columns)(q, lost2, x, scale, d, 0);
        EACH(v, VECTORS) lost2[v] += V_SET1((real)0.25 * (real)d);
    }
}

/* The largest squared norm of a tile or centroid. */
INLINE real NAME(tile_radius2)(const tile_state *tile, const packed_centroids *p)
{
    vec norm2 = V_SET1(p->radius2);
    EACH(v, VECTORS) norm2 = V_MAX(tile->norm2[v], norm2);
    return MM(reduce_max)(norm2);
}

/* The two best integers of every row so far, tagged like scores. */
typedef struct {
    ints best[VECTORS], second[VECTORS], group[VECTORS];
    vec lost2[VECTORS];
    real scale;
} NAME(int_scores);

/* What the sums of a group start with: half the squared norms, at the tile's scale. */
INLINE void NAME(start_ints)(ints score[GROUP][VECTORS], const int32_t *group, real ratio,
                             int width)
{
    const float *half_norm2 = (const float *)group;
    const int32_t *least = group + GROUP;
    const __m256i starts = _mm256_max_epi32(
        _mm256_cvttps_epi32(_mm256_loadu_ps(half_norm2) * (float)ratio),
        _mm256_loadu_si256((const __m256i *)least));
    int32_t start[GROUP];
    _mm256_storeu_si256((__m256i *)start, starts);
    EACH(j, width)
        EACH(v, VECTORS) score[j][v] = NAME(i_set1)(start[j]);
}

/* Rows with space between them, of which a line is fetched a step: a group's in one go would hold
 * it up, where they are more than may be on their way at a time (64 of 128 columns, k = 64: 0.91 of
 * a tile's time; rows without gaps gain nothing). */
#define LINES_AT_ONCE 16
#define apart NAME(apart)
typedef struct {
    uintptr_t at, last; /* of the row; its last byte */
    size_t bytes, stride;
} apart;

INLINE int NAME(are_apart)(const steps *by, ptrdiff_t m, ptrdiff_t d, ptrdiff_t n_groups)
{
    const ptrdiff_t lines = TILE * (d * (ptrdiff_t)sizeof(real) / 64 + 2);
    return m >= 2 * TILE && by->column == 1 && by->row != d && lines > LINES_AT_ONCE * n_groups;
}

/* From the share of group g on, like fetch_ahead; what of it the steps do not reach is fetched at
 * once. */
INLINE apart NAME(fetch_apart)(const real *rows, const steps *by, ptrdiff_t d, ptrdiff_t g,
                               ptrdiff_t n_groups)
{
    const size_t bytes = (size_t)d * sizeof(real);
    const ptrdiff_t in_steps = d / 2 / (ptrdiff_t)(bytes / 64 + 2);
    const ptrdiff_t first = TILE * g / n_groups, last = TILE * (g + 1) / n_groups;
    for (ptrdiff_t i = first + in_steps; i < last; i++)
        for (size_t at = 0; at < bytes + 63; at += 64)
            prefetch((uintptr_t)(rows + i * by->row) + smaller(at, bytes - 1));
    const uintptr_t row = (uintptr_t)(rows + first * by->row);
    return (apart){row, row + bytes - 1, bytes, (size_t)by->row * sizeof(real)};
}

INLINE void NAME(fetch_line)(apart *rows)
{
    prefetch(rows->at);
    rows->at += 64;
    if (rows->at / 64 > rows->last / 64) {
        rows->last += rows->stride;
        rows->at = rows->last + 1 - rows->bytes;
    }
}

/* Pairs of columns of a tile times those of `width` centroids, in registers; lines of `next` are
 * fetched meanwhile, unless it is NULL. */
INLINE void NAME(add_pairs)(ints score[GROUP][VECTORS], ints (*q)[VECTORS], const int32_t *c,
                            ptrdiff_t n_pairs, int width, apart *next)
{
    for (ptrdiff_t f = 0; f < n_pairs; f++, c += GROUP) {
        ints x[VECTORS];
        if (next) NAME(fetch_line)(next);
        EACH(v, VECTORS) x[v] = q[f][v];
        EACH(j, width) {
            const ints cj = NAME(i_set1)(c[j]);
            EACH(v, VECTORS) score[j][v] = NAME(i_products)(score[j][v], x[v], cj);
        }
    }
}

INLINE void NAME(keep_two_ints)(NAME(int_scores) *to, ints score[GROUP][VECTORS], ptrdiff_t g,
                                int width)
{
    EACH(v, VECTORS) {
        const ints before = to->best[v];
        ints best = before, second = to->second[v];
        EACH(j, width) {
            const ints s = (score[j][v] & ~(ints){0} << TAG_BITS) | j;
            second = NAME(i_min)(NAME(i_max)(s, best), second);
            best = NAME(i_min)(s, best);
        }
        to->best[v] = best;
        to->second[v] = second;
        to->group[v] = NAME(i_replace_if_less)(best, before, (int32_t)g, to->group[v]);
    }
}

INLINE void NAME(screen_group)(NAME(int_scores) *to, ints (*q)[VECTORS], const int32_t *group,
                               ptrdiff_t g, ptrdiff_t n_pairs, real ratio, int width, apart *next)
{
    ints score[GROUP][VECTORS];
    NAME(start_ints)(score, group, ratio, width);
    NAME(add_pairs)(score, q, group + 2 * GROUP, n_pairs, width, next);
    NAME(keep_two_ints)(to, score, g, width);
}

/* The scale of a tile whose squared norms are known. */
INLINE real NAME(scale_of)(const tile_state *tile, const packed_centroids *p)
{
    return LONGEST / (real)sqrt((double)NAME(tile_radius2)(tile, p));
}

/* The scores of all centroids, for d <= BLOCK_COLUMNS. (Inlined, these two loops run out of
 * registers.) */
static NOINLINE void NAME(screen_tile)(NAME(int_scores) *scores, tile_state *tile,
                                       const real *rows, const steps *by, ptrdiff_t m,
                                       const packed_centroids *p)
{
    const ptrdiff_t d = p->d, n_pairs = (d + 1) / 2;
    const int32_t *group = (const int32_t *)((const real *)p + p->screen_at);
    const ptrdiff_t n_whole = (p->k + GROUP / 2 - 1) / GROUP;
    ints q[BLOCK_COLUMNS / 2][VECTORS];

    NAME(load_tile)(tile, rows, by, m, p, 0, d, 1);
    const real scale = NAME(scale_of)(tile, p), ratio = scale / p->screen_scale;
    NAME(round_tile)(q, scores->lost2, tile->x, scale, d);
    scores->scale = scale;
    const int step_by_step = NAME(are_apart)(by, m, d, n_whole);
    for (ptrdiff_t g = 0; g < n_whole; g++, group += GROUP * (2 + n_pairs)) {
        if (step_by_step) {
            apart next = NAME(fetch_apart)(rows + TILE * by->row, by, d, g, n_whole);
            NAME(screen_group)(scores, q, group, g, n_pairs, ratio, GROUP, &next);
        } else {
            NAME(fetch_next)(rows, by, m, d, g, n_whole);
            NAME(screen_group)(scores, q, group, g, n_pairs, ratio, GROUP, NULL);
        }
    }
    if (n_whole < p->n_groups)
        NAME(screen_group)(scores, q, group, n_whole, n_pairs, ratio, GROUP / 2, NULL);
}

/* The same for any d, like score_long_tile. The squared norms take a pass of their own. */
static NOINLINE void NAME(screen_long_tile)(NAME(int_scores) *scores, tile_state *tile,
                                            const real *rows, const steps *by, ptrdiff_t m,
                                            const packed_centroids *p)
{
    const ptrdiff_t d = p->d, n_groups = p->n_groups, length = GROUP * (2 + (d + 1) / 2);
    const int32_t *groups = (const int32_t *)((const real *)p + p->screen_at);
    const ptrdiff_t n_pairs = (d + 1) / 2, n_blocks = (d + BLOCK_COLUMNS - 1) / BLOCK_COLUMNS;
    ints q[BLOCK_COLUMNS / 2][VECTORS], score[SCREEN_GROUPS][GROUP][VECTORS];
    vec ignored[VECTORS] = {V_SET1(0)};

    for (ptrdiff_t b = 0; b < n_blocks; b++) {
        const ptrdiff_t f = d * b / n_blocks;
        NAME(load_tile)(tile, rows, by, m, p, f, d * (b + 1) / n_blocks - f, 1);
    }
    const real scale = NAME(scale_of)(tile, p), ratio = scale / p->screen_scale;
    scores->scale = scale;
    for (ptrdiff_t g0 = 0; g0 < n_groups; g0 += SCREEN_GROUPS) {
        const ptrdiff_t n = smaller(SCREEN_GROUPS, n_groups - g0);
        const int32_t *group = groups + g0 * length;
        for (ptrdiff_t g = 0; g < n; g++)
            NAME(start_ints)(score[g], group + g * length, ratio, GROUP);
        for (ptrdiff_t b = 0; b < n_blocks; b++) { /* balanced, and whole pairs */
            const ptrdiff_t f = n_pairs * b / n_blocks * 2;
            const ptrdiff_t columns = smaller(d, n_pairs * (b + 1) / n_blocks * 2) - f;
            NAME(load_tile)(tile, rows, by, m, p, f, columns, 0);
            NAME(round_tile)(q, g0 ? ignored : scores->lost2, tile->x, scale, columns);
            for (ptrdiff_t g = 0; g < n; g++) {
                ints sums[GROUP][VECTORS];
                memcpy(sums, score[g], sizeof sums);
                NAME(add_pairs)(sums, q, group + g * length + GROUP * (2 + f / 2),
                                (columns + 1) / 2, GROUP, NULL);
                memcpy(score[g], sums, sizeof sums);
            }
        }
        for (ptrdiff_t g = 0; g < n; g++) NAME(keep_two_ints)(scores, score[g], g0 + g, GROUP);
    }
}

/* The two best scores of every row, in units of `tile->unit`. */
static void NAME(score_screened)(tile_state *tile, const real *rows, const steps *by, ptrdiff_t m,
                                 const packed_centroids *p)
{
    NAME(int_scores) scores;
    EACH(v, VECTORS) {
        tile->norm2[v] = scores.lost2[v] = V_SET1(0);
        scores.best[v] = scores.second[v] = NAME(i_set1)(FILLER);
        scores.group[v] = NAME(i_set1)(0);
    }
    if (p->d <= BLOCK_COLUMNS)
        NAME(screen_tile)(&scores, tile, rows, by, m, p);
    else
        NAME(screen_long_tile)(&scores, tile, rows, by, m, p);
    /* Where a row overflows, nothing is known of the others either. */
    const int known = scores.scale > 0;
    tile->unit = known ? 2 / scores.scale / p->screen_scale : 0;
    EACH(v, VECTORS) {
        const vec norm = V_SQRT(tile->norm2[v]) * V_SET1(scores.scale * p->centroid_lost);
        const vec lost = V_SQRT(scores.lost2[v]) * V_SET1(p->row_lost);
        const vec error = (norm + lost + V_SET1(p->screen_error)) * V_SET1(tile->unit);
        tile->error[v] = known ? error : V_SET1((real)INFINITY);
        const ints label = scores.group[v] * GROUP + (scores.best[v] & (int32_t)TAG_MASK);
        tile->best[v] = NAME(v_from_ints)(scores.best[v]);
        tile->second[v] = NAME(v_from_ints)(scores.second[v]);
        memcpy(tile->labels + v * LANES, &label, sizeof label);
    }
}

#endif
