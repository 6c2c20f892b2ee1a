/* Elements of CSR rows as floats with int32_t columns, some at a time: where they are, if they are
 * stored so. Converting them takes a tenth of the time of their products with 20 centroids. */

#define CSR_PIECE 512

typedef struct {
    ptrdiff_t at, m; /* where the piece starts, and how long it is */
    const float *values;
    const int32_t *columns;
    float converted[CSR_PIECE];
    int32_t narrowed[CSR_PIECE];
} csr_piece;

/* Goes on to the elements after the piece, up to `end`; whether there are any. */
static int next_piece(const ckm_csr *X, ptrdiff_t end, csr_piece *piece)
{
    const ptrdiff_t at = piece->at += piece->m, m = smaller(end - at, CSR_PIECE);
    piece->m = m;
    piece->values = (const float *)X->values + at;
    piece->columns = (const int32_t *)X->columns + at;
    if (X->double_values) {
        const double *values = (const double *)X->values + at;
        for (ptrdiff_t t = 0; t < m; t++) piece->converted[t] = (float)values[t];
        piece->values = piece->converted;
    }
    if (X->wide_columns) {
        const int64_t *columns = (const int64_t *)X->columns + at;
        for (ptrdiff_t t = 0; t < m; t++) piece->narrowed[t] = (int32_t)columns[t];
        piece->columns = piece->narrowed;
    }
    return m > 0;
}
