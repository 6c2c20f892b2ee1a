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
