/* Rows that are kept as integers from one iteration to the next; a part of kernel.h.
 *
 * Up to NARROW_MAX columns, to round a row as screen.h does takes as long as its scores with 16
 * centroids. Kept, it is done once: an iteration loads the pairs in the order of the lanes, half of
 * X's bytes or fewer, and neither transposes nor shifts. 16 centroids of 8 columns take 1.5 instead
 * of 3.5 ns a row. There is one scale for all rows, hence one margin between scores for all: what
 * is nearer than that, or too long for the scale, is left to the caller.
 *
 * LANES rows of float lie side by side for each pair of columns, whatever the rows were. */

#if SCREENS

_Static_assert(CKM_ROUNDED_ROWS % TILE == 0, "tiles of integers are whole");

#define UNFIT 0x8000 /* the first column of rows that are too long: no integer of others */
#define TILES_AHEAD 8

static void NAME(round_rows)(const real *X, ptrdiff_t row_step, ptrdiff_t column_step, ptrdiff_t m,
                             ptrdiff_t d, const double *shift, double scale, int32_t *rounded)
{
    const steps by = {row_step, column_step, NULL, NULL};
    const ptrdiff_t at_least = NAME(is_loose)(&by, d) ? TILE + CHUNK : TILE;
    const ptrdiff_t n_pairs = (d + 1) / 2, spare = m % CKM_ROUNDED_ROWS;
    const real s = (real)scale, longest2 = (real)(LONGEST / scale * (LONGEST / scale));
    /* Bytes of a tile of rows with a gap between them, which are fetched ahead (ten iterations of 3
     * of 6 columns of 1M rows, with the fetching in update.h: 0.96 to 0.98 of the time). */
    const ptrdiff_t apart =
        row_step > d && row_step <= 2 * d ? TILE * row_step * (ptrdiff_t)sizeof(real) : 0;
    real origin[NARROW_MAX];
    tile_state tile;

    for (ptrdiff_t f = 0; f < d; f++) origin[f] = (real)shift[f];
    if (spare)
        memset(rounded + (m - spare) * n_pairs, 0,
               (size_t)(CKM_ROUNDED_ROWS * n_pairs) * sizeof *rounded);
    for (ptrdiff_t i = 0; i < m; i += TILE) {
        ints q[NARROW_MAX / 2][VECTORS];
        vec lost2[VECTORS];
        NAME(start_tile)(&tile);
        for (ptrdiff_t b = 0; b < apart; b += 64)
            prefetch((uintptr_t)(X + i * row_step) + (uintptr_t)(TILES_AHEAD * apart + b));
        if (m - i >= at_least)
            NAME(load_full_tile)(tile.x, X + i * row_step, &by, d);
        else
            NAME(load_short_tile)(&tile, X + i * row_step, &by, smaller(m - i, TILE), d);
        NAME(shift_tile)(&tile, origin, d, 1);
        NAME(round_columns)(q, lost2, tile.x, s, d, 0);
        for (int v = 0; v < VECTORS; v++) {
            const ptrdiff_t at = i + v * LANES;
            int32_t *to = rounded + at / 16 * 16 * n_pairs + at % 16;
            const unsigned fit = V_LESS_BITS(tile.norm2[v], V_SET1(longest2));
            q[0][v] = (ints)I(mask_mov_epi32)((I_TYPE)NAME(i_set1)(UNFIT), fit, (I_TYPE)q[0][v]);
            for (ptrdiff_t p = 0; p < n_pairs; p++) memcpy(to + p * 16, &q[p][v], sizeof q[p][v]);
        }
    }
}

#if REAL_BITS == 32 /* integers whatever the rows were */

#define rounded_centroids NAME(rounded_centroids)
typedef struct {
    ptrdiff_t k, n_pairs;
    int32_t tags;   /* the bits of a score that hold its centroid */
    int32_t margin; /* that the best score must have to the second */
    int32_t each[]; /* (k, 1 + n_pairs): half the squared norm, and the negative pairs */
} rounded_centroids;

static size_t NAME(rounded_packed_bytes)(ptrdiff_t k, ptrdiff_t d)
{
    return sizeof(rounded_centroids) + (size_t)(k * (1 + (d + 1) / 2)) * sizeof(int32_t);
}

/* Centroids at a scale of their own, by which the longest fills 16 bits; for u, v, U, V and what
 * rounding does see pack_screen. A row loses at most half a unit a column, and 0.01 by the rounding
 * of u; 32004 covers |U|, 2 the rounding of half a norm, and of float64 distances where centroids
 * lie no nearer to the origin than the 1024th part of the longest row. A tag moves a score by less
 * than its bits hold.
 *
 * Centroids are no longer than rows may be, so that half a norm is at most LONGEST^2 / 2, and its
 * sum with a product of at most LONGEST^2 below 2^31. Returns 0 if they are. */
static int NAME(pack_rounded)(const double *centroids, ptrdiff_t k, ptrdiff_t d,
                              const double *shift, double scale, void *packed)
{
    rounded_centroids *p = packed;
    const ptrdiff_t n_pairs = (d + 1) / 2;
    double radius2 = 0, most_lost2 = 0;
    for (ptrdiff_t j = 0; j < k; j++) {
        double norm2 = 0;
        for (ptrdiff_t f = 0; f < d; f++) {
            const double c = centroids[j * d + f] - shift[f];
            norm2 += c * c;
        }
        if (!(norm2 <= radius2)) radius2 = norm2;
    }
    const double longest = LONGEST / scale, radius = sqrt(radius2);
    if (!(radius <= longest)) return 0;
    const double own = LONGEST / (radius < longest / 1024 ? longest / 1024 : radius);

    p->k = k;
    p->n_pairs = n_pairs;
    p->tags = 0;
    while (p->tags < k - 1) p->tags = 2 * p->tags + 1;
    memset(p->each, 0, (size_t)(k * (1 + n_pairs)) * sizeof *p->each);
    for (ptrdiff_t j = 0; j < k; j++) {
        int32_t *at = p->each + j * (1 + n_pairs);
        double norm2 = 0, lost2 = 0;
        for (ptrdiff_t f = 0; f < d; f++) {
            const double v = (centroids[j * d + f] - shift[f]) * own;
            const int32_t rounded = NAME(rounded_negative)(v);
            norm2 += v * v;
            lost2 += (v + rounded) * (v + rounded);
            at[1 + f / 2] |= (int32_t)(((uint32_t)rounded & 0xFFFF) << (f % 2 * 16));
        }
        at[0] = (int32_t)(0.5 * norm2 * (scale / own) + 0.5);
        most_lost2 = lost2 > most_lost2 ? lost2 : most_lost2;
    }
    const double by_row = 0.51 * sqrt((double)d) * LONGEST, by_centroid = 32004 * sqrt(most_lost2);
    p->margin = (int32_t)(2 * (by_row + by_centroid + 2)) + 2 * (p->tags + 1);
    return 1;
}

/* Writes TILE labels, and the bits of the rows that are not certified. */
INLINE void NAME(score_rounded)(const int32_t *rounded, const rounded_centroids *p,
                                const int n_pairs, int32_t *labels, unsigned open[VECTORS])
{
    const ints tags = NAME(i_set1)(p->tags), one = NAME(i_set1)(1);
    const int32_t *c = p->each;
    ints q[NARROW_MAX / 2][VECTORS], best[VECTORS], second[VECTORS], tag = {0};

    EACH(v, VECTORS) {
        EACH(f, n_pairs) memcpy(&q[f][v], rounded + (v * n_pairs + f) * LANES, sizeof q[f][v]);
        best[v] = second[v] = NAME(i_set1)(FILLER);
    }
    for (ptrdiff_t j = 0; j < p->k; j++, c += 1 + n_pairs) {
        ints score[VECTORS];
        EACH(v, VECTORS) score[v] = NAME(i_set1)(c[0]);
        EACH(f, n_pairs) {
            const ints cf = NAME(i_set1)(c[1 + f]);
            EACH(v, VECTORS) score[v] = NAME(i_products)(score[v], q[f][v], cf);
        }
        EACH(v, VECTORS) {
            const ints s = (score[v] & ~tags) | tag;
            second[v] = NAME(i_min)(NAME(i_max)(s, best[v]), second[v]);
            best[v] = NAME(i_min)(s, best[v]);
        }
        tag += one;
    }
    EACH(v, VECTORS) {
        const ints label = best[v] & tags;
        const __m512i enough = _mm512_add_epi32((__m512i)best[v], _mm512_set1_epi32(p->margin));
        const __m512i first = _mm512_slli_epi32((__m512i)q[0][v], 16);
        memcpy(labels + v * LANES, &label, sizeof label);
        open[v] = _mm512_cmpge_epi32_mask(enough, (__m512i)second[v]) |
                  _mm512_cmpeq_epi32_mask(first, _mm512_set1_epi32((int32_t)(UNFIT * 65536u)));
    }
}

/* The labels that who works through X in blocks of m rows compares next (0.94 of ten iterations at
 * d = 2 and 3); and the integers ten tiles ahead, some 0.4 us, across the ends of pages (0.95 of
 * them at d = 8, 0.98 at d = 2). */
INLINE void NAME(fetch_rounded)(uintptr_t rounded, ptrdiff_t n_pairs, uintptr_t labels)
{
    const size_t tile = TILE * sizeof(int32_t), integers = tile * (size_t)n_pairs;
    for (size_t at = 0; at < tile; at += 64) prefetch_near(labels + at);
    for (size_t at = 0; at < integers; at += 64) prefetch(rounded + 10 * integers + at);
}

static ptrdiff_t NAME(nearest_rounded)(const int32_t *rounded, ptrdiff_t m, const void *packed,
                                       int32_t *labels, int32_t *undecided)
{
    const rounded_centroids *p = packed;
    ptrdiff_t count = 0;
    for (ptrdiff_t i = 0; i < m; i += TILE, rounded += TILE * p->n_pairs) {
        const ptrdiff_t left = m - i;
        int32_t short_labels[TILE];
        int32_t *to = left < TILE ? short_labels : labels + i;
        unsigned open[VECTORS];
        NAME(fetch_rounded)((uintptr_t)rounded, p->n_pairs,
                            (uintptr_t)labels + (size_t)(i + m) * sizeof *labels);
        switch (p->n_pairs) {
        case 1: NAME(score_rounded)(rounded, p, 1, to, open); break;
        case 2: NAME(score_rounded)(rounded, p, 2, to, open); break;
        case 3: NAME(score_rounded)(rounded, p, 3, to, open); break;
        default: NAME(score_rounded)(rounded, p, 4, to, open);
        }
        if (left < TILE) {
            memcpy(labels + i, short_labels, (size_t)left * sizeof *labels);
            EACH(v, VECTORS) {
                const ptrdiff_t within = left - v * LANES;
                if (within < LANES) open[v] &= within > 0 ? (1u << within) - 1 : 0;
            }
        }
        EACH(v, VECTORS)
            if (open[v])
                count = NAME(append_indices)(undecided, count, (int32_t)(i + v * LANES), open[v]);
    }
    return count;
}

#undef rounded_centroids
#endif

#undef UNFIT
#undef TILES_AHEAD
#endif
