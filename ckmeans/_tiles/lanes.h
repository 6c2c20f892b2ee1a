/* The vector of one (level, real) pair and the few operations the kernel needs.
 *
 * Included by kernel.h, which sets NAME, REAL_BITS (32 or 64) and VECTOR_BYTES (16, 32, 64, or 0
 * for compilers without vector extensions, where a vector is one scalar). x86 uses intrinsics,
 * since the compiler turns neither a select into min nor a*b+c into FMA under -ffp-contract=off;
 * each has a portable twin. */

#if REAL_BITS == 32
#define real float
#define real_bits int32_t
#define REAL_MAX FLT_MAX
#define REAL_MIN FLT_MIN
#define REAL_ROUNDOFF 0x1p-24
#else
#define real double
#define real_bits int64_t
#define REAL_MAX DBL_MAX
#define REAL_MIN DBL_MIN
#define REAL_ROUNDOFF 0x1p-53
#endif

#define vec NAME(vec)
#define ivec NAME(ivec)
#define V_MIN NAME(v_min)
#define V_MAX NAME(v_max)
#define V_FMA NAME(v_fma)
#define V_FNMA NAME(v_fnma)
#define V_SQRT NAME(v_sqrt)
#define V_SET1 NAME(v_set1)
#define V_LOAD NAME(v_load)
#define V_STORE NAME(v_store)
#define V_TAG NAME(v_tag)
#define V_TAG_OF NAME(v_tag_of)
#define V_REPLACE_IF_LESS NAME(v_replace_if_less)
#define V_SELECT_LESS NAME(v_select_less)
#define V_LESS_BITS NAME(v_less_bits)
#define V_STORE_LABELS NAME(v_store_labels)
#define V_OF_INTEGERS NAME(v_of_integers)
#define V_ZIP_LOW NAME(v_zip_low)
#define V_ZIP_HIGH NAME(v_zip_high)
#define V_ADD_PAIRS NAME(v_add_pairs)
#define V_LOADED NAME(v_loaded)
#define V_LOAD_CHUNK NAME(v_load_chunk)
#define V_LOAD_NARROW NAME(v_load_narrow)
#define V_LOAD_PERMUTED NAME(v_load_permuted)
#define V_STORE_CHUNK NAME(v_store_chunk)

#if VECTOR_BYTES == 0

#define LANES 1
typedef real vec;
typedef real_bits ivec;

INLINE vec V_SET1(real a) { return a; }
INLINE ivec NAME(v_bits)(vec a)
{
    ivec bits;
    memcpy(&bits, &a, sizeof bits);
    return bits;
}
INLINE vec NAME(v_from_bits)(ivec bits)
{
    vec a;
    memcpy(&a, &bits, sizeof a);
    return a;
}

#else

#define LANES ((int)(VECTOR_BYTES / sizeof(real)))
typedef real vec __attribute__((vector_size(VECTOR_BYTES)));
typedef real_bits ivec __attribute__((vector_size(VECTOR_BYTES)));

INLINE vec V_SET1(real a) { return a - (vec){0}; }
INLINE ivec NAME(v_bits)(vec a) { return (ivec)a; }
INLINE vec NAME(v_from_bits)(ivec bits) { return (vec)bits; }

#endif

INLINE vec V_LOAD(const real *from)
{
    vec a;
    memcpy(&a, from, sizeof a);
    return a;
}
INLINE void V_STORE(real *to, vec a) { memcpy(to, &a, sizeof a); }

/* A vector that is loaded once, however often it is used. */
INLINE vec V_LOADED(vec a)
{
#if VECTOR_BYTES == 64
    __asm__("" : "+v"(a));
#elif VECTOR_BYTES && defined(__SSE2__)
    __asm__("" : "+x"(a));
#endif
    return a;
}

#if VECTOR_BYTES && defined(__SSE2__)

#if REAL_BITS == 32
#define OP(prefix, op) prefix##op##_ps
#else
#define OP(prefix, op) prefix##op##_pd
#endif
#if VECTOR_BYTES == 64
#define MM(op) OP(_mm512_, op)
#elif VECTOR_BYTES == 32
#define MM(op) OP(_mm256_, op)
#else
#define MM(op) OP(_mm_, op)
#endif

/* Both return b where a is NaN: a NaN score never becomes the best. */
INLINE vec V_MIN(vec a, vec b) { return (vec)MM(min)(a, b); }
INLINE vec V_MAX(vec a, vec b) { return (vec)MM(max)(a, b); }

#elif VECTOR_BYTES

INLINE vec V_MIN(vec a, vec b)
{
    ivec m = a < b;
    return (vec)((m & (ivec)a) | (~m & (ivec)b));
}
INLINE vec V_MAX(vec a, vec b)
{
    ivec m = a > b;
    return (vec)((m & (ivec)a) | (~m & (ivec)b));
}

#else

INLINE vec V_MIN(vec a, vec b) { return a < b ? a : b; }
INLINE vec V_MAX(vec a, vec b) { return a > b ? a : b; }

#endif

INLINE vec V_SQRT(vec a)
{
#if VECTOR_BYTES && defined(__SSE2__)
    return (vec)MM(sqrt)(a);
#elif VECTOR_BYTES
    for (int i = 0; i < LANES; i++) a[i] = (real)sqrt((double)a[i]);
    return a;
#else
    return (real)sqrt((double)a);
#endif
}

/* a * b + c and c - a * b. The certificates allow for one rounding or two. */
#if VECTOR_BYTES >= 32
INLINE vec V_FMA(vec a, vec b, vec c) { return (vec)MM(fmadd)(a, b, c); }
INLINE vec V_FNMA(vec a, vec b, vec c) { return (vec)MM(fnmadd)(a, b, c); }
#elif VECTOR_BYTES && defined(__aarch64__) && REAL_BITS == 32
INLINE vec V_FMA(vec a, vec b, vec c)
{
    return (vec)vfmaq_f32((float32x4_t)c, (float32x4_t)a, (float32x4_t)b);
}
INLINE vec V_FNMA(vec a, vec b, vec c)
{
    return (vec)vfmsq_f32((float32x4_t)c, (float32x4_t)a, (float32x4_t)b);
}
#elif VECTOR_BYTES && defined(__aarch64__)
INLINE vec V_FMA(vec a, vec b, vec c)
{
    return (vec)vfmaq_f64((float64x2_t)c, (float64x2_t)a, (float64x2_t)b);
}
INLINE vec V_FNMA(vec a, vec b, vec c)
{
    return (vec)vfmsq_f64((float64x2_t)c, (float64x2_t)a, (float64x2_t)b);
}
#else
INLINE vec V_FMA(vec a, vec b, vec c) { return a * b + c; }
INLINE vec V_FNMA(vec a, vec b, vec c) { return c - a * b; }
#endif

/* The low TAG_BITS of a score's mantissa hold the centroid's place in its group, so that min
 * carries it along: one operation a score instead of a compare and a blend, which take 1.1 times as
 * long on SSE2 and AVX2 (1.0 to 1.07 on AVX-512) at small d. The bounds pay 28 roundings for it. */
#define TAG_MASK ((real_bits)(1 << TAG_BITS) - 1)

INLINE vec V_TAG(vec score, int tag)
{
#if VECTOR_BYTES == 64 && REAL_BITS == 32
    return (vec)_mm512_ternarylogic_epi32((__m512i)score, _mm512_set1_epi32(~TAG_MASK),
                                          _mm512_set1_epi32(tag), 0xEA);
#elif VECTOR_BYTES == 64
    return (vec)_mm512_ternarylogic_epi64((__m512i)score, _mm512_set1_epi64(~TAG_MASK),
                                          _mm512_set1_epi64(tag), 0xEA);
#else
    return NAME(v_from_bits)((NAME(v_bits)(score) & ~TAG_MASK) | (real_bits)tag);
#endif
}

INLINE ivec V_TAG_OF(vec score) { return NAME(v_bits)(score) & TAG_MASK; }

/* `value` in the lanes where a < b, `old` elsewhere. */
INLINE ivec V_REPLACE_IF_LESS(vec a, vec b, real_bits value, ivec old)
{
#if VECTOR_BYTES == 64 && REAL_BITS == 32
    return (ivec)_mm512_mask_set1_epi32((__m512i)old, _mm512_cmp_ps_mask(a, b, _CMP_LT_OQ), value);
#elif VECTOR_BYTES == 64
    return (ivec)_mm512_mask_set1_epi64((__m512i)old, _mm512_cmp_pd_mask(a, b, _CMP_LT_OQ), value);
#elif VECTOR_BYTES == 32
    return (ivec)MM(blendv)((vec)old, (vec)(value - (ivec){0}), MM(cmp)(a, b, _CMP_LT_OQ));
#elif VECTOR_BYTES
    ivec m = a < b;
    return (m & value) | (~m & old);
#else
    return a < b ? value : old;
#endif
}

/* yes in the lanes where a < b, no elsewhere. */
INLINE vec V_SELECT_LESS(vec a, vec b, vec yes, vec no)
{
#if VECTOR_BYTES == 64 && REAL_BITS == 32
    return (vec)_mm512_mask_mov_ps(no, _mm512_cmp_ps_mask(a, b, _CMP_LT_OQ), yes);
#elif VECTOR_BYTES == 64
    return (vec)_mm512_mask_mov_pd(no, _mm512_cmp_pd_mask(a, b, _CMP_LT_OQ), yes);
#elif VECTOR_BYTES
    const ivec m = a < b;
    return (vec)((m & (ivec)yes) | (~m & (ivec)no));
#else
    return a < b ? yes : no;
#endif
}

/* Bit i is set where a < b in lane i. */
INLINE unsigned V_LESS_BITS(vec a, vec b)
{
#if VECTOR_BYTES == 64 && REAL_BITS == 32
    return _mm512_cmp_ps_mask(a, b, _CMP_LT_OQ);
#elif VECTOR_BYTES == 64
    return _mm512_cmp_pd_mask(a, b, _CMP_LT_OQ);
#elif VECTOR_BYTES == 32
    return (unsigned)MM(movemask)(MM(cmp)(a, b, _CMP_LT_OQ));
#elif VECTOR_BYTES && defined(__SSE2__)
    return (unsigned)MM(movemask)(MM(cmplt)(a, b));
#elif VECTOR_BYTES
    ivec m = a < b;
    unsigned bits = 0;
    for (int i = 0; i < LANES; i++) bits |= (unsigned)(m[i] & 1) << i;
    return bits;
#else
    return a < b;
#endif
}

#if REAL_BITS == 32
/* Each lane as two 16-bit integers. ZIP: those of a and b in turn, of the low or of the high half
 * of every 16 bytes. ADD_PAIRS: sum + a b of the one + a b of the other. */
#define ZIPPED (LANES < 4 ? LANES : 4)
#if VECTOR_BYTES && defined(__SSE2__)
#if VECTOR_BYTES == 64
#define ON_INTEGERS(op) _mm512_##op
#define INTEGERS __m512i
#elif VECTOR_BYTES == 32
#define ON_INTEGERS(op) _mm256_##op
#define INTEGERS __m256i
#else
#define ON_INTEGERS(op) _mm_##op
#define INTEGERS __m128i
#endif
INLINE ivec V_ZIP_LOW(ivec a, ivec b)
{
    return (ivec)ON_INTEGERS(unpacklo_epi16)((INTEGERS)a, (INTEGERS)b);
}
INLINE ivec V_ZIP_HIGH(ivec a, ivec b)
{
    return (ivec)ON_INTEGERS(unpackhi_epi16)((INTEGERS)a, (INTEGERS)b);
}
INLINE ivec V_ADD_PAIRS(ivec sum, ivec a, ivec b)
{
    const INTEGERS products = ON_INTEGERS(madd_epi16)((INTEGERS)a, (INTEGERS)b);
    return (ivec)ON_INTEGERS(add_epi32)((INTEGERS)sum, products);
}
#undef ON_INTEGERS
#undef INTEGERS
#elif VECTOR_BYTES && defined(__aarch64__)
INLINE ivec V_ZIP_LOW(ivec a, ivec b) { return (ivec)vzip1q_s16((int16x8_t)a, (int16x8_t)b); }
INLINE ivec V_ZIP_HIGH(ivec a, ivec b) { return (ivec)vzip2q_s16((int16x8_t)a, (int16x8_t)b); }
INLINE ivec V_ADD_PAIRS(ivec sum, ivec a, ivec b)
{
    const int32x4_t low = vmull_s16(vget_low_s16((int16x8_t)a), vget_low_s16((int16x8_t)b));
    const int32x4_t high = vmull_high_s16((int16x8_t)a, (int16x8_t)b);
    return (ivec)vaddq_s32((int32x4_t)sum, vpaddq_s32(low, high));
}
#else
INLINE ivec NAME(v_zip)(ivec a, ivec b, int from)
{
    int16_t x[2 * LANES], y[2 * LANES], zipped[2 * LANES];
    memcpy(x, &a, sizeof a), memcpy(y, &b, sizeof b);
    for (int i = 0; i < LANES; i++) {
        const int at = i / ZIPPED * 2 * ZIPPED + from * ZIPPED + i % ZIPPED;
        zipped[2 * i] = x[at], zipped[2 * i + 1] = y[at];
    }
    memcpy(&a, zipped, sizeof a);
    return a;
}
INLINE ivec V_ZIP_LOW(ivec a, ivec b) { return NAME(v_zip)(a, b, 0); }
INLINE ivec V_ZIP_HIGH(ivec a, ivec b) { return NAME(v_zip)(a, b, 1); }
INLINE ivec V_ADD_PAIRS(ivec sum, ivec a, ivec b)
{
    int16_t x[2 * LANES], y[2 * LANES];
    uint32_t sums[LANES]; /* they may overflow, where nobody looks at them */
    memcpy(x, &a, sizeof a), memcpy(y, &b, sizeof b), memcpy(sums, &sum, sizeof sum);
    for (int i = 0; i < LANES; i++)
        sums[i] += (uint32_t)(x[2 * i] * y[2 * i]) + (uint32_t)(x[2 * i + 1] * y[2 * i + 1]);
    memcpy(&sum, sums, sizeof sum);
    return sum;
}
#endif

INLINE vec V_OF_INTEGERS(ivec a)
{
#if VECTOR_BYTES == 64
    return (vec)_mm512_cvtepi32_ps((__m512i)a);
#elif VECTOR_BYTES == 32
    return (vec)_mm256_cvtepi32_ps((__m256i)a);
#elif VECTOR_BYTES && defined(__SSE2__)
    return (vec)_mm_cvtepi32_ps((__m128i)a);
#elif VECTOR_BYTES && defined(__aarch64__)
    return (vec)vcvtq_f32_s32((int32x4_t)a);
#elif VECTOR_BYTES
    vec converted;
    for (int i = 0; i < LANES; i++) converted[i] = (real)a[i];
    return converted;
#else
    return (real)a;
#endif
}
#endif

INLINE void V_STORE_LABELS(int32_t *to, ivec labels)
{
#if VECTOR_BYTES == 0
    *to = (int32_t)labels;
#elif REAL_BITS == 32
    memcpy(to, &labels, sizeof labels);
#elif VECTOR_BYTES == 64
    _mm256_storeu_si256((__m256i *)to, _mm512_cvtepi64_epi32((__m512i)labels));
#else
    for (int i = 0; i < LANES; i++) to[i] = (int32_t)labels[i];
#endif
}

/* Rows become columns: columns[f] lane i = rows[i * stride + f]. A chunk is as many columns as 16
 * bytes hold, so that a row's chunk is one load and the transposition stays inside 16-byte lanes.
 */
#if VECTOR_BYTES == 0
#define CHUNK 1
#else
#define CHUNK ((int)(16 / sizeof(real)))
#endif

#if VECTOR_BYTES && defined(__SSE2__)

/* 16 bytes from each place, as many as a vector holds. */
INLINE vec NAME(v_of_quarters)(const real *const *from)
{
#if VECTOR_BYTES == 64 && REAL_BITS == 32
    __m512 q = _mm512_castps128_ps512(_mm_loadu_ps(from[0]));
    q = _mm512_insertf32x4(q, _mm_loadu_ps(from[1]), 1);
    q = _mm512_insertf32x4(q, _mm_loadu_ps(from[2]), 2);
    return (vec)_mm512_insertf32x4(q, _mm_loadu_ps(from[3]), 3);
#elif VECTOR_BYTES == 64
    __m512d q = _mm512_castpd128_pd512(_mm_loadu_pd(from[0]));
    q = _mm512_insertf64x2(q, _mm_loadu_pd(from[1]), 1);
    q = _mm512_insertf64x2(q, _mm_loadu_pd(from[2]), 2);
    return (vec)_mm512_insertf64x2(q, _mm_loadu_pd(from[3]), 3);
#elif VECTOR_BYTES == 32 && REAL_BITS == 32
    return (vec)_mm256_insertf128_ps(_mm256_castps128_ps256(_mm_loadu_ps(from[0])),
                                     _mm_loadu_ps(from[1]), 1);
#elif VECTOR_BYTES == 32
    return (vec)_mm256_insertf128_pd(_mm256_castpd128_pd256(_mm_loadu_pd(from[0])),
                                     _mm_loadu_pd(from[1]), 1);
#else
    return V_LOAD(from[0]);
#endif
}

/* 16 bytes from each of `from`, from + step, from + 2 step ... */
INLINE vec NAME(v_load_quarters)(const real *from, ptrdiff_t step)
{
    const real *places[LANES / CHUNK];
    EACH(q, LANES / CHUNK) places[q] = from + q * step;
    return NAME(v_of_quarters)(places);
}

/* The reverse. */
INLINE void NAME(v_store_quarters)(real *to, ptrdiff_t step, vec q)
{
#if VECTOR_BYTES == 64 && REAL_BITS == 32
    _mm_storeu_ps(to, _mm512_castps512_ps128(q));
    _mm_storeu_ps(to + step, _mm512_extractf32x4_ps(q, 1));
    _mm_storeu_ps(to + 2 * step, _mm512_extractf32x4_ps(q, 2));
    _mm_storeu_ps(to + 3 * step, _mm512_extractf32x4_ps(q, 3));
#elif VECTOR_BYTES == 64
    _mm_storeu_pd(to, _mm512_castpd512_pd128(q));
    _mm_storeu_pd(to + step, _mm512_extractf64x2_pd(q, 1));
    _mm_storeu_pd(to + 2 * step, _mm512_extractf64x2_pd(q, 2));
    _mm_storeu_pd(to + 3 * step, _mm512_extractf64x2_pd(q, 3));
#elif VECTOR_BYTES == 32 && REAL_BITS == 32
    _mm_storeu_ps(to, _mm256_castps256_ps128(q));
    _mm_storeu_ps(to + step, _mm256_extractf128_ps(q, 1));
#elif VECTOR_BYTES == 32
    _mm_storeu_pd(to, _mm256_castpd256_pd128(q));
    _mm_storeu_pd(to + step, _mm256_extractf128_pd(q, 1));
#else
    (void)step;
    V_STORE(to, q);
#endif
}

/* In each 16 bytes, rows become columns; and columns rows. */
INLINE void NAME(v_transpose_quarters)(vec columns[CHUNK], const vec row[CHUNK])
{
#if REAL_BITS == 32
    const vec low01 = MM(unpacklo)(row[0], row[1]), high01 = MM(unpackhi)(row[0], row[1]);
    const vec low23 = MM(unpacklo)(row[2], row[3]), high23 = MM(unpackhi)(row[2], row[3]);
    columns[0] = MM(shuffle)(low01, low23, 0x44);
    columns[1] = MM(shuffle)(low01, low23, 0xEE);
    columns[2] = MM(shuffle)(high01, high23, 0x44);
    columns[3] = MM(shuffle)(high01, high23, 0xEE);
#else
    columns[0] = MM(unpacklo)(row[0], row[1]);
    columns[1] = MM(unpackhi)(row[0], row[1]);
#endif
}

INLINE void V_LOAD_CHUNK(vec columns[CHUNK], const real *rows, ptrdiff_t stride)
{
    vec row[CHUNK]; /* lane group q of row[i]: row q * CHUNK + i */
    for (int i = 0; i < CHUNK; i++)
        row[i] = NAME(v_load_quarters)(rows + i * stride, CHUNK * stride);
    NAME(v_transpose_quarters)(columns, row);
}

/* rows[i * stride + f] = columns[f] lane i. */
INLINE void V_STORE_CHUNK(real *rows, ptrdiff_t stride, const vec columns[CHUNK])
{
    vec row[CHUNK];
    NAME(v_transpose_quarters)(row, columns);
    for (int i = 0; i < CHUNK; i++)
        NAME(v_store_quarters)(rows + i * stride, CHUNK * stride, row[i]);
}

/* The same for whole rows of d < CHUNK columns, without reading past the last one; `apart` vectors
 * lie between the columns written. */
INLINE void V_LOAD_NARROW(vec *columns, int apart, const real *rows, ptrdiff_t d)
{
#if REAL_BITS == 32
    if (d > 1) {
        const vec a = NAME(v_load_quarters)(rows, 4 * d),
                  b = NAME(v_load_quarters)(rows + 4, 4 * d);
        if (d == 2) {
            columns[0] = MM(shuffle)(a, b, 0x88);
            columns[apart] = MM(shuffle)(a, b, 0xDD);
            return;
        }
        const vec c = NAME(v_load_quarters)(rows + 8, 4 * d);
        const vec xy23 = MM(shuffle)(b, c, 0x9E), yz01 = MM(shuffle)(a, b, 0x49);
        columns[0] = MM(shuffle)(a, xy23, 0x8C);
        columns[apart] = MM(shuffle)(yz01, xy23, 0xD8);
        columns[2 * apart] = MM(shuffle)(yz01, c, 0xCD);
        return;
    }
#endif
    (void)apart, (void)d;
    columns[0] = V_LOAD(rows);
}

#if VECTOR_BYTES == 64

/* Where column f of rows of d lies in the two vectors that they begin in; or, of what that gave and
 * a third vector, the lanes and the places there. */
INLINE ivec NAME(v_places)(int d, int f, int third)
{
    real_bits places[LANES];
    EACH(i, LANES) {
        const int at = i * d + f;
        places[i] = third && at < 2 * LANES ? i : at - third * LANES;
    }
    return (ivec)V_LOAD((const real *)places);
}
INLINE vec NAME(v_permute)(vec a, ivec places, vec b)
{
#if REAL_BITS == 32
    return (vec)_mm512_permutex2var_ps(a, (__m512i)places, b);
#else
    return (vec)_mm512_permutex2var_pd(a, (__m512i)places, b);
#endif
}

/* The same for whole rows of a constant d = 2 or 3, by permutations of the vectors that they fill:
 * 2 and 6 operations instead of 8 and 14 (a block takes 0.92 of the time at d = 2, k = 3 in float64,
 * 0.97 at d = 2 and 3, k = 10 in float32). With d a variable the places are computed: 43 KB. */
INLINE void V_LOAD_PERMUTED(vec *columns, int apart, const real *rows, const int d)
{
    const vec a = V_LOAD(rows), b = V_LOAD(rows + LANES);
    EACH(f, d) {
        vec x = NAME(v_permute)(a, NAME(v_places)(d, f, 0), b);
        if (d == 3) x = NAME(v_permute)(x, NAME(v_places)(d, f, 1), V_LOAD(rows + 2 * LANES));
        columns[f * apart] = x;
    }
}

#endif

#else

INLINE void V_LOAD_CHUNK(vec columns[CHUNK], const real *rows, ptrdiff_t stride)
{
    for (int f = 0; f < CHUNK; f++) {
#if VECTOR_BYTES == 0
        (void)stride;
        columns[f] = rows[f];
#else
        real lanes[LANES];
        for (int i = 0; i < LANES; i++) lanes[i] = rows[i * stride + f];
        columns[f] = V_LOAD(lanes);
#endif
    }
}

INLINE void V_STORE_CHUNK(real *rows, ptrdiff_t stride, const vec columns[CHUNK])
{
    for (int f = 0; f < CHUNK; f++) {
#if VECTOR_BYTES == 0
        (void)stride;
        rows[f] = columns[f];
#else
        for (int i = 0; i < LANES; i++) rows[i * stride + f] = columns[f][i];
#endif
    }
}

INLINE void V_LOAD_NARROW(vec *columns, int apart, const real *rows, ptrdiff_t d)
{
#if VECTOR_BYTES == 0
    (void)columns, (void)apart, (void)rows, (void)d; /* d < CHUNK = 1 never is */
#else
    for (ptrdiff_t f = 0; f < d; f++) {
        real lanes[LANES];
        for (int i = 0; i < LANES; i++) lanes[i] = rows[i * d + f];
        columns[f * apart] = V_LOAD(lanes);
    }
#endif
}

#endif
