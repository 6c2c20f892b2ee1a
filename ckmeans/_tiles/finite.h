/* The check that floats of any layout are finite. */

/* As an integer a half's magnitude has the same order, infinity and NaN at the top. Faster than
 * memory on every level. */
static double largest_half(const char *elements, ptrdiff_t n)
{
    int16_t most = 0;
    for (ptrdiff_t i = 0; i < n; i++) {
        int16_t half;
        memcpy(&half, elements + 2 * i, sizeof half);
        half &= 0x7fff;
        most = half > most ? half : most;
    }
    if (most >= 0x7c00) return NAN;
    return most < 0x400 ? ldexp(most, -24) : ldexp((most & 0x3ff) | 0x400, (most >> 10) - 25);
}

/* The largest magnitude of n packed elements; NaN if one is not finite. */
typedef double run_magnitude(const char *elements, ptrdiff_t n);

static double largest_of_type(int type)
{
    switch (type) {
    case CKM_BOOL: return 1;
    case CKM_UINT8: return UINT8_MAX;
    case CKM_INT8: return -(double)INT8_MIN;
    case CKM_UINT16: return UINT16_MAX;
    case CKM_INT16: return -(double)INT16_MIN;
    case CKM_UINT32: return UINT32_MAX;
    case CKM_INT32: return -(double)INT32_MIN;
    case CKM_UINT64: return (double)UINT64_MAX;
    default: return -(double)INT64_MIN;
    }
}

/* Of two magnitudes, either of which may be NaN: NaN wins. */
INLINE double larger(double a, double b) { return a > b || a != a ? a : b; }

static double largest_of_pieces(const layout *from, run_magnitude *magnitude, ptrdiff_t d,
                                ptrdiff_t count)
{
    char piece[PIECE_BYTES];
    double largest = 0;
    ptrdiff_t piece_rows, piece_columns;
    piece_shape(from, d, &piece_rows, &piece_columns);
    for (ptrdiff_t i = 0; i < count; i += piece_rows) {
        const ptrdiff_t m = smaller(piece_rows, count - i);
        for (ptrdiff_t j = 0; j < d; j += piece_columns) {
            const ptrdiff_t columns = smaller(piece_columns, d - j);
            const layout part = part_of(from, i, j);
            pack_elements(&part, m, columns, piece);
            if (columns == d) fetch_rows(&part, m);
            largest = larger(magnitude(piece, m * columns), largest);
        }
    }
    return largest;
}

static double largest_of(const layout *from, run_magnitude *magnitude, ptrdiff_t d,
                         ptrdiff_t count)
{
    if (is_packed(from, d)) return magnitude(from->data, count * d);
    if (!has_packed_columns(from)) return largest_of_pieces(from, magnitude, d, count);
    double largest = 0;
    for (ptrdiff_t j = 0; j < d; j++)
        largest = larger(magnitude(from->data + j * from->column_stride, count), largest);
    return largest;
}

/* -1 where there is none any more: another thread may write into the rows. */
static ptrdiff_t locate(const layout *from, run_magnitude *magnitude, ptrdiff_t d, ptrdiff_t count,
                        double limit)
{
    for (ptrdiff_t i = 0; i < count; i++) {
        const layout row = part_of(from, i, 0);
        if (largest_of(&row, magnitude, d, 1) <= limit) continue;
        for (ptrdiff_t j = 0; j < d; j++) {
            const layout element = part_of(from, i, j);
            if (!(largest_of(&element, magnitude, 1, 1) <= limit)) return i * d + j;
        }
    }
    return -1;
}

static ptrdiff_t first_bad(const ckm_source *source, ptrdiff_t d, ptrdiff_t first, ptrdiff_t count,
                           double limit, double *largest)
{
    run_magnitude *magnitude = source->type == CKM_FLOAT16   ? largest_half
                               : source->type == CKM_FLOAT32 ? chosen->f32->largest
                               : source->type == CKM_FLOAT64 ? chosen->f64->largest
                                                             : NULL;
    const layout from = layout_from(source, d, first, NULL);
    const double found =
        magnitude ? largest_of(&from, magnitude, d, count) : largest_of_type(source->type);
    if (magnitude && !(found <= limit)) return locate(&from, magnitude, d, count, limit);
    *largest = larger(found, *largest);
    return -1;
}
