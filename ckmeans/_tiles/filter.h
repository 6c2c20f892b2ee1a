/* Hamerly's filter (2010); a part of kernel.h. */

INLINE vec NAME(v_gather)(const real *table, const int32_t *indices)
{
#if VECTOR_BYTES == 64 && REAL_BITS == 32
    /* Loads lane by lane take 1.3 times as long. */
    return (vec)_mm512_i32gather_ps(_mm512_loadu_si512(indices), table, sizeof(real));
#elif VECTOR_BYTES == 64
    return (vec)_mm512_i32gather_pd(_mm256_loadu_si256((const __m256i *)indices), table,
                                    sizeof(real));
#elif VECTOR_BYTES
    vec a;
    for (int i = 0; i < LANES; i++) a[i] = table[indices[i]];
    return a;
#else
    return table[*indices];
#endif
}

/* Appends first + i for every set bit i; returns the new count. May write LANES entries from
 * `count` on. */
INLINE ptrdiff_t NAME(append_indices)(int32_t *indices, ptrdiff_t count, int32_t first,
                                      unsigned bits)
{
#if VECTOR_BYTES == 64 && REAL_BITS == 32
    const __m512i lane = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    const __m512i all = _mm512_add_epi32(lane, _mm512_set1_epi32(first));
    _mm512_storeu_si512(indices + count, _mm512_maskz_compress_epi32((__mmask16)bits, all));
    return count + popcount(bits);
#elif VECTOR_BYTES == 64
    const __m256i lane = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    const __m256i all = _mm256_add_epi32(lane, _mm256_set1_epi32(first));
    _mm256_storeu_si256((__m256i *)(indices + count),
                        _mm256_maskz_compress_epi32((__mmask8)bits, all));
    return count + popcount(bits);
#else
    for (; bits; bits &= bits - 1) indices[count++] = first + lowest_bit(bits);
    return count;
#endif
}

/* Moves LANES bounds; returns the bits of the rows that keep their label. The factor covers the two
 * roundings of a bound, REAL_MIN a result flushed to zero. */
INLINE unsigned NAME(filter_lanes)(const int32_t *labels, const level_drifts *moved, real *upper,
                                   real *lower)
{
    const vec largest = V_SET1(moved->largest_drift), tiny = V_SET1(REAL_MIN);
    const vec own = NAME(v_gather)(moved->drift, labels),
              gap = NAME(v_gather)(moved->half_gap, labels);
    /* The largest drift among the other centroids. Where two share the largest, the second is as
     * large. */
    const vec other = V_SELECT_LESS(own, largest, largest, V_SET1(moved->second_drift));
    const vec u = V_FMA(V_LOAD(upper) + own, V_SET1(1 + 4 * (real)REAL_ROUNDOFF), tiny);
    const vec l =
        V_MAX(V_FMA(V_LOAD(lower) - other, V_SET1(1 - 4 * (real)REAL_ROUNDOFF), -tiny), V_SET1(0));
    V_STORE(upper, u);
    V_STORE(lower, l);
    return V_LESS_BITS(u, V_MAX(l, gap));
}

static ptrdiff_t NAME(filter)(const int32_t *labels, ptrdiff_t m, const level_drifts *moved,
                              real *upper, real *lower, int32_t *survivors)
{
    const unsigned all = (1u << LANES) - 1;
    ptrdiff_t count = 0, i = 0;
    for (; i + LANES <= m; i += LANES) {
        const unsigned keeps = NAME(filter_lanes)(labels + i, moved, upper + i, lower + i);
        count = NAME(append_indices)(survivors, count, (int32_t)i, ~keeps & all);
    }
    for (; i < m; i++) {
        int32_t lane_labels[LANES] = {0};
        real lane_upper[LANES] = {0}, lane_lower[LANES] = {0};
        lane_labels[0] = labels[i];
        lane_upper[0] = upper[i];
        lane_lower[0] = lower[i];
        const unsigned keeps = NAME(filter_lanes)(lane_labels, moved, lane_upper, lane_lower);
        upper[i] = lane_upper[0];
        lower[i] = lane_lower[0];
        if (!(keeps & 1)) survivors[count++] = (int32_t)i;
    }
    return count;
}

/* Covers the rounding of a root and what its argument's may have been flushed to. */
static void NAME(distances)(ptrdiff_t count, real *upper2, real *lower2)
{
    const real up = 1 + 4 * (real)REAL_ROUNDOFF, down = 1 - 4 * (real)REAL_ROUNDOFF;
    ptrdiff_t i = 0;
    for (; i + LANES <= count; i += LANES) {
        V_STORE(upper2 + i, V_SQRT(V_LOAD(upper2 + i)) * V_SET1(up) + V_SET1(REAL_MIN));
        V_STORE(lower2 + i, V_SQRT(V_MAX(V_LOAD(lower2 + i), V_SET1(0))) * V_SET1(down));
    }
    for (; i < count; i++) {
        upper2[i] = (real)sqrt((double)upper2[i]) * up + REAL_MIN;
        lower2[i] = lower2[i] > 0 ? (real)sqrt((double)lower2[i]) * down : 0;
    }
}

/* Eight sums, for the compiler to keep in vectors: a float64 sum of differences in any order. */
INLINE double NAME(square_between)(const real *x, const double *c, ptrdiff_t d)
{
    double sums[8] = {0}, total = 0;
    ptrdiff_t f = 0;
    for (; f + 8 <= d; f += 8)
        for (int j = 0; j < 8; j++) {
            const double t = (double)x[f + j] - c[f + j];
            sums[j] += t * t;
        }
    for (; f < d; f++) {
        const double t = (double)x[f] - c[f];
        total += t * t;
    }
    for (int j = 0; j < 8; j++) total += sums[j];
    return total;
}

static void NAME(own_squares)(const real *X, ptrdiff_t step, ptrdiff_t d, const int32_t *rows,
                              ptrdiff_t count, const int32_t *labels, const double *centroids,
                              double *squares)
{
    const ptrdiff_t ahead = 8;
    for (ptrdiff_t i = 0; i < count; i++) {
        if (rows && i + ahead < count)
            for (ptrdiff_t f = 0; f < d; f += (ptrdiff_t)(64 / sizeof(real)))
                prefetch((uintptr_t)(X + rows[i + ahead] * step + f));
        squares[i] =
            NAME(square_between)(X + (rows ? rows[i] : i) * step, centroids + labels[i] * d, d);
    }
}

/* Sorts rows by the panel that holds every centroid which can matter to them. A centroid outside
 * has not moved farther than `beyond`, hence is no nearer than the lower bound before the moves
 * less that. A lower bound of 0 may have been cut off there, and says nothing. */
static ptrdiff_t NAME(sort_open)(ptrdiff_t count, const int32_t *labels,
                                 const level_drifts *moved, const double *squares, double relative,
                                 real *upper, real *lower, int32_t *const *lists,
                                 ptrdiff_t *counts)
{
    const unsigned all = (1u << LANES) - 1;
    const int last = moved->n_panels - 1;
    const vec up = V_SET1(1 + 4 * (real)REAL_ROUNDOFF), down = V_SET1(1 - 4 * (real)REAL_ROUNDOFF);
    const vec largest = V_SET1(moved->largest_drift), tiny = V_SET1(REAL_MIN);
    ptrdiff_t kept = 0;
    /* REAL_MIN covers what a square loses below it. */
    for (ptrdiff_t i = 0; i < count; i++) upper[i] = (real)(squares[i] * (1 + relative) + REAL_MIN);
    for (ptrdiff_t i = 0; i < count; i += LANES) {
        /* The arrays have room for a whole vector; what lies behind `count` holds old labels. */
        const unsigned within = i + LANES <= count ? all : (1u << (count - i)) - 1;
        const vec own = NAME(v_gather)(moved->drift, labels + i),
                  gap = NAME(v_gather)(moved->half_gap, labels + i), l = V_LOAD(lower + i);
        const vec other = V_SELECT_LESS(own, largest, largest, V_SET1(moved->second_drift));
        const vec u = V_FMA(V_SQRT(V_LOAD(upper + i)), up, tiny), before = (l + other) * down;
        const vec slack = V_SELECT_LESS(V_SET1(0), l, before - u, V_SET1(-REAL_MAX));
        unsigned open = ~V_LESS_BITS(u, V_MAX(l, gap)) & within;
        V_STORE(upper + i, u);
        V_STORE(lower + i, before);
        kept += popcount(within) - popcount(open);
        for (int panel = 0; panel < last; panel++) {
            const unsigned fits = V_LESS_BITS(V_SET1(moved->beyond[panel]), slack);
            counts[panel] =
                NAME(append_indices)(lists[panel], counts[panel], (int32_t)i, open & fits);
            open &= ~fits;
        }
        counts[last] = NAME(append_indices)(lists[last], counts[last], (int32_t)i, open);
    }
    return count - kept;
}
