/* Rows of any element type and layout, as real; a part of kernel.h. */

typedef void NAME(converter)(const char *RESTRICT from, ptrdiff_t n, real *RESTRICT out);

/* Packed elements: loops that the compiler vectorises for the level. */
#define CONVERTER(name, type, value)                                                               \
    static void NAME(from_##name)(const char *RESTRICT from, ptrdiff_t n, real *RESTRICT out)      \
    {                                                                                              \
        for (ptrdiff_t i = 0; i < n; i++) {                                                        \
            type x;                                                                                \
            memcpy(&x, from + i * (ptrdiff_t)sizeof x, sizeof x);                                  \
            out[i] = (real)(value);                                                                \
        }                                                                                          \
    }
CONVERTER(bool, uint8_t, x != 0)
CONVERTER(uint8, uint8_t, x)
CONVERTER(int8, int8_t, x)
CONVERTER(uint16, uint16_t, x)
CONVERTER(int16, int16_t, x)
CONVERTER(float32, float, x)
#if REAL_BITS == 64
CONVERTER(float64, double, x)
CONVERTER(uint32, uint32_t, x)
CONVERTER(int32, int32_t, x)
CONVERTER(uint64, uint64_t, x)
CONVERTER(int64, int64_t, x)
#endif
#undef CONVERTER

/* Exact, and without an operation on a subnormal float: where halves are scaled by 2^112 instead,
 * the subnormal ones cost 8 ns each. */
INLINE float NAME(half_value)(uint16_t half)
{
    const int32_t magnitude = (half & 0x7fff) << 13;
    const int32_t rebias = 112 << 23;
    const int32_t normal =
        magnitude + rebias + (magnitude >= 0x7c00 << 13 ? rebias : 0); /* or not finite */
    const int32_t above = magnitude | (rebias + (1 << 23)); /* 2^-14 + the subnormal value */
    float value;
    memcpy(&value, &above, sizeof value);
    value -= 0x1p-14f;
    int32_t bits;
    memcpy(&bits, &value, sizeof bits);
    const int32_t is_subnormal = -(magnitude < 0x400 << 13);
    bits = (bits & is_subnormal) | (normal & ~is_subnormal) | (int32_t)((half & 0x8000u) << 16);
    memcpy(&value, &bits, sizeof value);
    return value;
}

static void NAME(from_float16)(const char *RESTRICT from, ptrdiff_t n, real *RESTRICT out)
{
#if VECTOR_BYTES >= 32 /* the instruction */
    for (; n >= LANES; n -= LANES, from += 2 * LANES, out += LANES) {
#if VECTOR_BYTES == 64 && REAL_BITS == 32
        V_STORE(out, (vec)_mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)from)));
#elif REAL_BITS == 32
        V_STORE(out, (vec)_mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)from)));
#elif VECTOR_BYTES == 64
        V_STORE(out, (vec)_mm512_cvtps_pd(_mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)from))));
#else
        V_STORE(out, (vec)_mm256_cvtps_pd(_mm_cvtph_ps(_mm_loadl_epi64((const __m128i *)from))));
#endif
    }
#endif
    for (ptrdiff_t i = 0; i < n; i++) {
        uint16_t half;
        memcpy(&half, from + 2 * i, sizeof half);
        out[i] = (real)NAME(half_value)(half);
    }
}

static NAME(converter) *NAME(converter_for)(int type)
{
    static NAME(converter) *const converters[CKM_N_TYPES] = {
        [CKM_BOOL] = NAME(from_bool),       [CKM_UINT8] = NAME(from_uint8),
        [CKM_INT8] = NAME(from_int8),       [CKM_UINT16] = NAME(from_uint16),
        [CKM_INT16] = NAME(from_int16),     [CKM_FLOAT16] = NAME(from_float16),
        [CKM_FLOAT32] = NAME(from_float32),
#if REAL_BITS == 64
        [CKM_FLOAT64] = NAME(from_float64), [CKM_UINT32] = NAME(from_uint32),
        [CKM_INT32] = NAME(from_int32),     [CKM_UINT64] = NAME(from_uint64),
        [CKM_INT64] = NAME(from_int64),
#endif
    };
    return converters[type];
}

/* Rows of fewer bytes are packed before they are converted, instead of a call each. */
#define LONG_ROW_BYTES 96

/* What follows no simpler pattern. */
static void NAME(read_pieces)(const layout *from, NAME(converter) *convert, ptrdiff_t d,
                              ptrdiff_t count, real *out)
{
    char piece[PIECE_BYTES];
    ptrdiff_t piece_rows, piece_columns;
    piece_shape(from, d, &piece_rows, &piece_columns);
    for (ptrdiff_t i = 0; i < count; i += piece_rows) {
        const ptrdiff_t m = smaller(piece_rows, count - i);
        for (ptrdiff_t j = 0; j < d; j += piece_columns) {
            const ptrdiff_t columns = smaller(piece_columns, d - j);
            const layout part = part_of(from, i, j);
            pack_elements(&part, m, columns, piece);
            convert(piece, m * columns, out + i * d + j);
        }
    }
}

INLINE void NAME(copy_real)(real *to, const char *columns, ptrdiff_t stride, ptrdiff_t i,
                            ptrdiff_t j)
{
    memcpy(to, columns + j * stride + i * (ptrdiff_t)sizeof(real), sizeof(real));
}

/* d columns of m reals, `stride` bytes apart, become rows: a loop that the compiler vectorises
 * since it knows d. */
INLINE void NAME(interleave)(const char *RESTRICT columns, ptrdiff_t stride, ptrdiff_t m,
                             real *RESTRICT out, const int d)
{
    for (ptrdiff_t i = 0; i < m; i++)
        EACH(j, d) NAME(copy_real)(out + i * d + j, columns, stride, i, j);
}

/* CHUNK columns of m reals, into rows of d. */
static void NAME(transpose_chunk)(const char *columns, ptrdiff_t stride, ptrdiff_t m, real *out,
                                  ptrdiff_t d)
{
    if (m < LANES) {
        for (ptrdiff_t i = 0; i < m; i++)
            for (ptrdiff_t j = 0; j < CHUNK; j++)
                NAME(copy_real)(out + i * d + j, columns, stride, i, j);
        return;
    }
    for (ptrdiff_t next = 0; next < m; next += LANES) {
        /* The last vector overlaps its neighbour instead of reading on. */
        const ptrdiff_t i = smaller(next, m - LANES);
        vec chunk[CHUNK];
        EACH(j, CHUNK)
            memcpy(&chunk[j], columns + j * stride + i * (ptrdiff_t)sizeof(real), sizeof(vec));
        V_STORE_CHUNK(out + i * d, d, chunk);
    }
}

/* `width` columns of m reals, into rows of d. */
static void NAME(transpose)(const char *columns, ptrdiff_t stride, ptrdiff_t m, ptrdiff_t width,
                            real *out, ptrdiff_t d)
{
    if (d == 2)
        NAME(interleave)(columns, stride, m, out, 2);
    else if (d == 3)
        NAME(interleave)(columns, stride, m, out, 3);
    else
        for (ptrdiff_t next = 0; next < width; next += CHUNK) {
            const ptrdiff_t j = smaller(next, width - CHUNK);
            NAME(transpose_chunk)(columns + j * stride, stride, m, out + j, d);
        }
}

/* Columns are read in blocks of BLOCK_REALS, BLOCK_WIDTH columns at most: with 64 columns, 16 KB of
 * rows are written before the next ones begin. */
#define BLOCK_REALS 1024
#define BLOCK_WIDTH 16

/* The `m` rows after the next ones: the hardware does not follow as many short runs as there
 * are columns (reading 100k x 64 takes 1.6 to 2.2 times as long without). */
INLINE void NAME(fetch_columns)(const layout *from, ptrdiff_t m, ptrdiff_t width)
{
    const ptrdiff_t bytes = m * from->size;
    for (ptrdiff_t j = 0; j < width; j++) {
        const uintptr_t run = (uintptr_t)from->data + (uintptr_t)(j * from->column_stride);
        for (ptrdiff_t b = 2 * bytes; b < 3 * bytes; b += 64) prefetch(run + (uintptr_t)b);
    }
}

/* Packed columns: converted, unless they hold reals already, and transposed. */
static void NAME(read_columns)(const layout *from, NAME(converter) *convert, ptrdiff_t d,
                               ptrdiff_t count, real *out)
{
    real block[BLOCK_REALS];
    const ptrdiff_t width = smaller(d, BLOCK_WIDTH), height = BLOCK_REALS / width;
    for (ptrdiff_t i = 0; i < count; i += height) {
        const ptrdiff_t m = smaller(height, count - i);
        for (ptrdiff_t next = 0; next < d; next += width) {
            const ptrdiff_t j = smaller(next, d - width);
            const layout part = part_of(from, i, j);
            const char *columns = part.data;
            ptrdiff_t stride = part.column_stride;
            NAME(fetch_columns)(&part, m, width);
            if (convert) {
                for (ptrdiff_t c = 0; c < width; c++)
                    convert(part.data + c * part.column_stride, m, block + c * m);
                columns = (const char *)block;
                stride = m * (ptrdiff_t)sizeof(real);
            }
            NAME(transpose)(columns, stride, m, width, out + i * d + j, d);
        }
    }
}

#if REAL_BITS == 64
static void NAME(standardise)(real *rows, ptrdiff_t count, ptrdiff_t d, const double *offset,
                              const double *scale)
{
    for (ptrdiff_t i = 0; i < count; i++, rows += d)
        for (ptrdiff_t j = 0; j < d; j++) rows[j] = (rows[j] - offset[j]) / scale[j];
}

static void NAME(divide)(real *rows, ptrdiff_t count, ptrdiff_t d, const double *norms,
                         const int32_t *chosen)
{
    for (ptrdiff_t i = 0; i < count; i++, rows += d)
        for (ptrdiff_t j = 0; j < d; j++) rows[j] /= norms[chosen ? chosen[i] : i];
}
#endif

static void NAME(read)(const ckm_source *source, ptrdiff_t d, ptrdiff_t first, const int32_t *rows,
                       ptrdiff_t count, real *out)
{
    NAME(converter) *convert = NAME(converter_for)(source->type);
    const layout from = layout_from(source, d, first, rows);
    const int native = source->type == NATIVE;

    if (has_packed_columns(&from) && d > 1) {
        NAME(read_columns)(&from, native ? NULL : convert, d, count, out);
    } else {
        if (is_packed(&from, d))
            convert(from.data, count * d, out);
        else if (native)
            pack_elements(&from, count, d, (char *)out);
        else if (has_packed_rows(&from) && !from.swapped && d * from.size >= LONG_ROW_BYTES)
            for (ptrdiff_t i = 0; i < count; i++) convert(row_at(&from, i), d, out + i * d);
        else
            NAME(read_pieces)(&from, convert, d, count, out);
        if (!rows) fetch_rows(&from, count);
    }
#if REAL_BITS == 64
    if (source->scale) NAME(standardise)(out, count, d, source->offset, source->scale);
    if (source->norms) NAME(divide)(out, count, d, source->norms + first, rows);
#endif
}

/* 0 * x is NaN where x is not finite, and stays in the sum; V_MAX alone would forget it. */
INLINE void NAME(see_magnitudes)(const char *elements, vec most[4], vec poison[4])
{
    EACH(v, 4) {
        vec x;
        memcpy(&x, elements + v * (ptrdiff_t)sizeof(vec), sizeof x);
        poison[v] = V_FMA(x, V_SET1(0), poison[v]);
        most[v] = V_MAX(V_MAX(x, -x), most[v]);
    }
}

/* The largest magnitude of n packed reals; NaN if one is not finite. */
static double NAME(largest)(const char *elements, ptrdiff_t n)
{
    const ptrdiff_t step = 4 * LANES;
    vec most[4], poison[4];
    EACH(v, 4) most[v] = poison[v] = V_SET1(0);
    for (; n >= step; n -= step, elements += step * (ptrdiff_t)sizeof(real))
        NAME(see_magnitudes)(elements, most, poison);
    real rest[4 * LANES] = {0};
    memcpy(rest, elements, (size_t)n * sizeof(real));
    NAME(see_magnitudes)((const char *)rest, most, poison);

    real magnitudes[4 * LANES], poisons[4 * LANES];
    memcpy(magnitudes, most, sizeof most);
    memcpy(poisons, poison, sizeof poison);
    double largest = 0, poisoned = 0;
    for (ptrdiff_t i = 0; i < step; i++) {
        if (magnitudes[i] > largest) largest = magnitudes[i];
        poisoned += poisons[i];
    }
    return largest + poisoned;
}
