/* Hamerly's filter (2010); a part of kernel.h. */

#define ALL_LANES ((1u << LANES) - 1)

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

/* Numbers of a table by labels; of one of up to 2 * LANES, if `tabled`, in registers. */
#define TABLED (VECTOR_BYTES == 64)

INLINE vec NAME(v_look_up)(const real *table, const vec halves[2], const int32_t *labels,
                           const int tabled)
{
#if TABLED && REAL_BITS == 32
    if (tabled)
        return (vec)_mm512_permutex2var_ps(halves[0], _mm512_loadu_si512(labels), halves[1]);
#elif TABLED
    if (tabled) {
        const __m256i few = _mm256_loadu_si256((const __m256i *)labels);
        return (vec)_mm512_permutex2var_pd(halves[0], _mm512_cvtepi32_epi64(few), halves[1]);
    }
#endif
    (void)halves, (void)tabled;
    return NAME(v_gather)(table, labels);
}

/* A bound on the distance to the own centroid as it is kept, less what that moved; and by how much
 * one on all others exceeds it, with what both lost, where the two are of a size. The sums of moves
 * are rounded up by up to 6 roundings where they are real's, so that each counts as it is once with
 * either sign. */
INLINE vec NAME(kept_upper)(vec u, vec moved)
{
    const vec some = V_SET1(16 * (real)REAL_ROUNDOFF), tiny = V_SET1(4 * REAL_MIN);
    return V_FMA(u + moved, some, u - moved + tiny);
}
INLINE vec NAME(kept_slack)(vec excess, vec size, vec loss)
{
    const vec some = V_SET1(16 * (real)REAL_ROUNDOFF), tiny = V_SET1(4 * REAL_MIN);
    return V_FNMA(size + loss, some, excess + loss - tiny);
}

/* The bits of the rows that keep their label. A row nearer to its centroid than half the gap
 * between that and the nearest other one is farther from all others by twice the difference: with
 * that as slack, the iterations that follow need not look at its bounds again. */
INLINE unsigned NAME(filter_lanes)(const int32_t *labels, const level_drifts *moves,
                                   const vec losses[2], real *slack, const real *upper,
                                   const int tabled)
{
    const vec loss = NAME(v_look_up)(moves->loss, losses, labels, tabled), s = V_LOAD(slack);
    const unsigned keeps = V_LESS_BITS(loss, s);
    if ((tabled && keeps == ALL_LANES) || !moves->gaps) return keeps;
    const vec u = V_LOAD(upper), reach = NAME(v_gather)(moves->reach, labels);
    const vec size = V_MAX(u, V_SET1(0) - u) + V_MAX(reach, V_SET1(0) - reach);
    const vec anew = NAME(kept_slack)(reach - u + (reach - u), size + size, loss);
    V_STORE(slack, V_SELECT_LESS(u, reach, V_MAX(anew, s), s));
    return keeps | V_LESS_BITS(u, reach);
}

/* Of few centroids, most vectors of rows keep their labels, and are done with after a look at their
 * slack; of more, what to do with one is hard to foretell, and all is done without a branch. */
INLINE ptrdiff_t NAME(filter_by)(const int32_t *labels, ptrdiff_t m, const level_drifts *moves,
                                 real *slack, const real *upper, int32_t *survivors,
                                 const int tabled)
{
    const vec losses[2] = {V_LOAD(moves->loss), V_LOAD(moves->loss + (tabled ? LANES : 0))};
    ptrdiff_t count = 0, i = 0;
    for (; i + LANES <= m; i += LANES) {
        const unsigned keeps =
            NAME(filter_lanes)(labels + i, moves, losses, slack + i, upper + i, tabled);
        if (!tabled || keeps != ALL_LANES)
            count = NAME(append_indices)(survivors, count, (int32_t)i, ~keeps & ALL_LANES);
    }
    for (; i < m; i++) {
        int32_t lane_labels[LANES] = {0};
        real lane_upper[LANES] = {0}, lane_slack[LANES] = {0};
        lane_labels[0] = labels[i];
        lane_upper[0] = upper[i];
        lane_slack[0] = slack[i];
        const unsigned keeps =
            NAME(filter_lanes)(lane_labels, moves, losses, lane_slack, lane_upper, tabled);
        slack[i] = lane_slack[0];
        if (!(keeps & 1)) survivors[count++] = (int32_t)i;
    }
    return count;
}

static ptrdiff_t NAME(filter)(const int32_t *labels, ptrdiff_t m, const level_drifts *moves,
                              real *slack, const real *upper, int32_t *survivors)
{
    if (TABLED && moves->k <= 2 * LANES)
        return NAME(filter_by)(labels, m, moves, slack, upper, survivors, 1);
    return NAME(filter_by)(labels, m, moves, slack, upper, survivors, 0);
}

/* The factors cover the rounding of a root, REAL_MIN what its argument may have been flushed to. */
INLINE void NAME(keep_squares)(const int32_t *labels, const level_drifts *moves, const real *upper2,
                               const real *lower2, real *upper, real *slack)
{
    const vec up = V_SET1(1 + 4 * (real)REAL_ROUNDOFF), down = V_SET1(1 - 4 * (real)REAL_ROUNDOFF);
    const vec u = V_SQRT(V_LOAD(upper2)) * up + V_SET1(REAL_MIN);
    /* Without another centroid it is infinite, of which no slack can be taken. */
    const vec l = V_MIN(V_SQRT(V_MAX(V_LOAD(lower2), V_SET1(0))) * down, V_SET1(REAL_MAX / 4));
    const vec moved = NAME(v_gather)(moves->moved, labels);
    const vec loss = NAME(v_gather)(moves->loss, labels);
    V_STORE(upper, NAME(kept_upper)(u, moved));
    V_STORE(slack, NAME(kept_slack)(l - u, l + u, loss));
}

static void NAME(keep)(ptrdiff_t count, const int32_t *rows, const int32_t *labels,
                       const level_drifts *moves, const real *upper2, const real *lower2,
                       real *upper, real *slack)
{
    int32_t lane_labels[LANES] = {0};
    real lane_upper[LANES] = {0}, lane_slack[LANES] = {0};
    for (ptrdiff_t i = 0; i < count; i += LANES) {
        const ptrdiff_t n = smaller(LANES, count - i);
        if (n == LANES && !rows) {
            NAME(keep_squares)(labels + i, moves, upper2 + i, lower2 + i, upper + i, slack + i);
            continue;
        }
        if (n == LANES) {
            NAME(keep_squares)(labels + i, moves, upper2 + i, lower2 + i, lane_upper, lane_slack);
        } else {
            memcpy(lane_labels, labels + i, (size_t)n * sizeof *labels);
            memcpy(lane_upper, upper2 + i, (size_t)n * sizeof *upper2);
            memcpy(lane_slack, lower2 + i, (size_t)n * sizeof *lower2);
            NAME(keep_squares)(lane_labels, moves, lane_upper, lane_slack, lane_upper, lane_slack);
        }
        for (ptrdiff_t j = 0; j < n; j++) {
            const ptrdiff_t row = rows ? rows[i + j] : i + j;
            upper[row] = lane_upper[j];
            slack[row] = lane_slack[j];
        }
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
 * has not moved farther than `beyond`, hence is no nearer than the bound on the others before the
 * moves less that. Upper bound and slack add up to that bound: the loss is the sum of moved and
 * others but for 6 roundings, and each of the two was kept with 18 or less. */
static ptrdiff_t NAME(sort_open)(ptrdiff_t count, const int32_t *labels,
                                 const level_drifts *moves, const double *squares, double relative,
                                 real *upper, real *slack, real *ends, int32_t *const *lists,
                                 ptrdiff_t *counts)
{
    const unsigned all = ALL_LANES;
    const int last = moves->n_panels - 1;
    const vec up = V_SET1(1 + 4 * (real)REAL_ROUNDOFF), tiny = V_SET1(REAL_MIN), zero = V_SET1(0);
    const vec some = V_SET1(64 * (real)REAL_ROUNDOFF), few = V_SET1(16 * REAL_MIN);
    ptrdiff_t kept = 0;
    /* REAL_MIN covers what a square loses below it. */
    for (ptrdiff_t i = 0; i < count; i++) ends[i] = (real)(squares[i] * (1 + relative) + REAL_MIN);
    for (ptrdiff_t i = 0; i < count; i += LANES) {
        /* The arrays have room for a whole vector; what lies behind `count` holds old labels. */
        const unsigned within = i + LANES <= count ? all : (1u << (count - i)) - 1;
        const vec loss = NAME(v_gather)(moves->loss, labels + i),
                  reach = NAME(v_gather)(moves->reach, labels + i),
                  others = NAME(v_gather)(moves->others, labels + i),
                  before = NAME(v_gather)(moves->before, labels + i);
        const vec old = V_LOAD(upper + i), open_by = V_LOAD(slack + i);
        const vec error = V_FMA(V_MAX(old, zero - old) + V_MAX(open_by, zero - open_by) + loss,
                                some, few);
        const vec u = V_FMA(V_SQRT(V_LOAD(ends + i)), up, tiny);
        const vec end = open_by + old - error, l = V_MAX(end - others, zero);
        const vec kept_u = NAME(kept_upper)(u, NAME(v_gather)(moves->moved, labels + i));
        unsigned open = ~(V_LESS_BITS(u, l) | V_LESS_BITS(kept_u, reach)) & within;
        V_STORE(upper + i, kept_u);
        V_STORE(slack + i, NAME(kept_slack)(l - u, l + u, loss));
        V_STORE(ends + i, end - before);
        kept += popcount(within) - popcount(open);
        for (int panel = 0; panel < last; panel++) {
            const unsigned fits = V_LESS_BITS(V_SET1(moves->beyond[panel]), end - before - u);
            counts[panel] =
                NAME(append_indices)(lists[panel], counts[panel], (int32_t)i, open & fits);
            open &= ~fits;
        }
        counts[last] = NAME(append_indices)(lists[last], counts[last], (int32_t)i, open);
    }
    return count - kept;
}
