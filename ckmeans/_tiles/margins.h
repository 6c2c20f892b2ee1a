/* Margins of few centroids; a part of kernel.h.
 *
 * Elkan (2003) keeps a bound on the distance to each other centroid. Here it is on how much the
 * squared distance to that exceeds the one to the own centroid, in 16 bits: units are as fine as
 * the distance between the two centroids asks for. A row keeps its label while each margin exceeds
 * what moves have taken of it at most since the pass in which the row got them, whose number is in
 * the place of the own centroid. */

#if REAL_BITS == 32

/* Lists the rows that may change; see tiles.h. */
static ptrdiff_t NAME(filter_margins)(const int32_t *labels, ptrdiff_t m, const int16_t *limits,
                                      const int16_t *margins, int32_t *survivors)
{
#if VECTOR_BYTES
    typedef int16_t eight __attribute__((vector_size(16), aligned(2), may_alias));
    typedef int64_t two __attribute__((vector_size(16)));
#endif
    ptrdiff_t count = 0;
    for (ptrdiff_t i = 0; i < m; i++, margins += CKM_FEW) {
        const int32_t own = labels[i];
        const ptrdiff_t since = margins[own] & (CKM_PASSES - 1);
        const int16_t *limit = limits + (since * CKM_FEW + own) * CKM_SCORES;
        survivors[count] = (int32_t)i;
#if VECTOR_BYTES
        const int last = CKM_FEW - 8;
        const two keeps = (two)(*(const eight *)margins > *(const eight *)limit) &
                          (two)(*(const eight *)(margins + last) > *(const eight *)(limit + last));
        count += (keeps[0] & keeps[1]) != -1;
#else
        int keeps = 1;
        for (int j = 0; j < CKM_FEW; j++) keeps &= margins[j] > limit[j];
        count += !keeps;
#endif
    }
    return count;
}

#endif

/* Differences of a row's scores to the nearest one, less their slack, as margins: rounded down by a
 * unit more, which is 500 times what the product with the scale is out by. */
INLINE void NAME(round_margins)(const real *scores, const real *scale, real nearest, real slack,
                                int16_t *margins)
{
    const real least = INT16_MIN + 2, most = INT16_MAX;
#if VECTOR_BYTES
    typedef int32_t integers __attribute__((vector_size(LANES * 4)));
    typedef int16_t shorts __attribute__((vector_size(LANES * 2)));
    EACH(q, CKM_SCORES / LANES) {
        const vec apart = V_LOAD(scores + q * LANES) - V_SET1(nearest);
        const vec a = (apart + apart - V_SET1(slack)) * V_LOAD(scale + q * LANES);
        const vec within = V_MIN(V_MAX(a, V_SET1(least)), V_SET1(most)); /* NaN is the least */
        const shorts rounded = __builtin_convertvector(
            __builtin_convertvector(within - V_SET1(2), integers), shorts);
        memcpy(margins + q * LANES, &rounded, sizeof rounded);
    }
#else
    for (int j = 0; j < CKM_SCORES; j++) {
        const real a = (2 * (scores[j] - nearest) - slack) * scale[j];
        const real within = a > least ? a < most ? a : most : least;
        margins[j] = (int16_t)(within - 2);
    }
#endif
}

static void NAME(keep_margins)(ptrdiff_t count, const int32_t *rows, const int32_t *labels,
                               const real *scores, const real *scales, int since, int16_t *margins)
{
    for (ptrdiff_t i = 0; i < count; i++, scores += CKM_SCORES) {
        const ptrdiff_t own = labels[i];
        int16_t rounded[CKM_SCORES], *to = margins + (rows ? rows[i] : i) * CKM_FEW;
        NAME(round_margins)(scores, scales + own * CKM_SCORES, scores[own],
                            scores[CKM_SCORES - 1], rounded);
        memcpy(to, rounded, CKM_FEW * sizeof *rounded);
        to[own] = (int16_t)since;
    }
}
