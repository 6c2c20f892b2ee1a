/* Elements of CSR rows, some at a time, with int32_t columns. */

#define CSR_PIECE 512

typedef struct {
    ptrdiff_t at, m;    /* where the piece starts, and how long it is */
    ptrdiff_t known;    /* columns that may be read, from its start on: the next rows' too */
    const void *values; /* float or double */
    const int32_t *columns;
    int32_t narrowed[CSR_PIECE];
} csr_piece;

/* Goes on to the elements after the piece, up to `end`; whether there are any. */
static int next_piece(const ckm_csr *X, ptrdiff_t end, csr_piece *piece)
{
    const ptrdiff_t at = piece->at += piece->m, m = smaller(end - at, CSR_PIECE);
    const ptrdiff_t size = X->double_values ? sizeof(double) : sizeof(float);
    piece->m = m;
    piece->values = (const char *)X->values + at * size;
    piece->columns = (const int32_t *)X->columns + at;
    piece->known = X->starts[X->n] - at;
    if (X->wide_columns) {
        const int64_t *columns = (const int64_t *)X->columns + at;
        for (ptrdiff_t t = 0; t < m; t++) piece->narrowed[t] = (int32_t)columns[t];
        piece->columns = piece->narrowed;
        piece->known = m;
    }
    return m > 0;
}
