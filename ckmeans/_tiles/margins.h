/* Margins of few centroids; a part of kernel.h.
 *
 * Elkan (2003) keeps a bound on the distance to each other centroid. Here it is on how much the
 * squared distance to that exceeds the one to the own centroid, in 8 bits: units are as fine as the
 * distance between the two centroids asks for. A row keeps its label while no margin is below its
 * limit, what moves have taken of it at most since the pass in which the row got them; whose number
 * is in the place of the own centroid. */

#if REAL_BITS == 32

/* Lists the rows that may change; see tiles.h. */
static ptrdiff_t NAME(filter_margins)(const int32_t *labels, ptrdiff_t m, const int8_t *limits,
                                      const int8_t *margins, int32_t *survivors)
{
#if VECTOR_BYTES
    typedef int8_t sixteen __attribute__((vector_size(CKM_SCORES), aligned(1), may_alias));
    typedef int64_t two __attribute__((vector_size(CKM_SCORES)));
#endif
    ptrdiff_t count = 0;
    for (ptrdiff_t i = 0; i < m; i++, margins += CKM_SCORES) {
        const int32_t own = labels[i];
        const ptrdiff_t since = margins[own] & (CKM_PASSES - 1);
        const int8_t *limit = limits + (since * CKM_FEW + own) * CKM_SCORES;
        survivors[count] = (int32_t)i;
#if VECTOR_BYTES
        const two below = (two)(*(const sixteen *)margins < *(const sixteen *)limit);
        count += (below[0] | below[1]) != 0;
#else
        int below = 0;
        for (int j = 0; j < CKM_SCORES; j++) below |= margins[j] < limit[j];
        count += below;
#endif
    }
    return count;
}

#endif

/* Differences of a row's scores to the nearest one, less their slack, as margins: rounded down from
 * what is less by 30 times what the product with the scale is out by. The largest is still below
 * the limit that opens all. */
INLINE void NAME(round_margins)(const real *scores, const real *scale, real nearest, real slack,
                                int8_t *margins)
{
    const real least = INT8_MIN, most = INT8_MAX - 1, less = (real)0.001;
#if VECTOR_BYTES
    typedef int32_t integers __attribute__((vector_size(LANES * 4)));
    typedef int8_t bytes __attribute__((vector_size(LANES)));
    EACH(q, CKM_SCORES / LANES) {
        const vec apart = V_LOAD(scores + q * LANES) - V_SET1(nearest);
        const vec a = (apart + apart - V_SET1(slack)) * V_LOAD(scale + q * LANES);
        const vec within = V_MIN(V_MAX(a, V_SET1(least)), V_SET1(most)); /* NaN is the least */
        const integers above = __builtin_convertvector(within - V_SET1(least + less), integers);
        const bytes rounded = __builtin_convertvector(above + INT8_MIN, bytes);
        memcpy(margins + q * LANES, &rounded, sizeof rounded);
    }
#else
    for (int j = 0; j < CKM_SCORES; j++) {
        const real a = (2 * (scores[j] - nearest) - slack) * scale[j];
        const real within = a > least ? a < most ? a : most : least;
        margins[j] = (int8_t)((int)(within - (least + less)) + INT8_MIN);
    }
#endif
}

static void NAME(keep_margins)(ptrdiff_t count, const int32_t *rows, const int32_t *labels,
                               const real *scores, const real *scales, int since, int8_t *margins)
{
    for (ptrdiff_t i = 0; i < count; i++, scores += CKM_SCORES) {
        const ptrdiff_t own = labels[i];
        int8_t *to = margins + (rows ? rows[i] : i) * CKM_SCORES;
        NAME(round_margins)(scores, scales + own * CKM_SCORES, scores[own],
                            scores[CKM_SCORES - 1], to);
        to[own] = (int8_t)since;
    }
}
