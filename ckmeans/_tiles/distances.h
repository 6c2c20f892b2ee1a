/* All distances, for transform(); a part of kernel.h, for double alone.
 *
 * Here lanes are centroids, since a row of the result holds them side by side. Columns are added in
 * order and without FMA: the squares have the bits of the plain loop that decides labels. */

#if REAL_BITS == 64

#define EXACT_ROWS 4
#define EXACT_VECTORS 2
#define EXACT_WIDTH (EXACT_VECTORS * LANES) /* centroids at a time */

/* Squares of EXACT_ROWS rows, `apart` elements apart (0 for one row), to EXACT_WIDTH centroids. */
INLINE void NAME(exact_squares)(const double *rows, ptrdiff_t apart, ptrdiff_t d,
                                const double *columns, ptrdiff_t stride,
                                vec squares[EXACT_ROWS][EXACT_VECTORS])
{
    EACH(i, EXACT_ROWS)
        EACH(v, EXACT_VECTORS) squares[i][v] = V_SET1(0);
    for (ptrdiff_t f = 0; f < d; f++, columns += stride)
        EACH(i, EXACT_ROWS) {
            const vec x = V_SET1(rows[i * apart + f]);
            EACH(v, EXACT_VECTORS) {
                const vec t = x - V_LOAD(columns + v * LANES);
                squares[i][v] += t * t;
            }
        }
}

static void NAME(all_distances)(const double *X, ptrdiff_t m, ptrdiff_t d, const double *columns,
                                ptrdiff_t stride, ptrdiff_t k, double *out)
{
    for (ptrdiff_t i = 0; i < m; i += EXACT_ROWS) {
        const ptrdiff_t n = m - i < EXACT_ROWS ? m - i : EXACT_ROWS;
        for (ptrdiff_t j = 0; j < k; j += EXACT_WIDTH) {
            const ptrdiff_t width = k - j < EXACT_WIDTH ? k - j : EXACT_WIDTH;
            vec squares[EXACT_ROWS][EXACT_VECTORS];
            for (ptrdiff_t r = 0; r < n; r += n == EXACT_ROWS ? EXACT_ROWS : 1) {
                const ptrdiff_t rows = n == EXACT_ROWS ? EXACT_ROWS : 1;
                NAME(exact_squares)(X + (i + r) * d, rows > 1 ? d : 0, d, columns + j, stride,
                                    squares);
                for (ptrdiff_t q = 0; q < rows; q++) {
                    vec roots[EXACT_VECTORS];
                    EACH(v, EXACT_VECTORS) roots[v] = V_SQRT(squares[q][v]);
                    memcpy(out + (i + r + q) * k + j, roots, (size_t)width * sizeof *out);
                }
            }
        }
    }
}

#undef EXACT_ROWS
#undef EXACT_VECTORS
#undef EXACT_WIDTH

#endif
