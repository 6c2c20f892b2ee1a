/* Elements of CSR rows listed by column, and products with rows by such lists. A part of tiles.c.
 *
 * Lists lie outside of the caches, mostly: where they begin is fetched ahead (8 segments of 2M
 * elements: -15 to -25 % of looking at them, -10 % of listing them). */

#define LISTED_AHEAD 32 /* elements */

INLINE void list_elements(const ckm_csr *X, ptrdiff_t first, ptrdiff_t last, int double_values,
                          ptrdiff_t d, int64_t *begins, int32_t *rows, void *values)
{
    const int64_t start = X->starts[first], end = X->starts[last], size = double_values ? 8 : 4;
    memset(begins, 0, (size_t)(d + 2) * sizeof *begins);
    for (int64_t t = start; t < end; t++) begins[X->columns[t] + 2]++;
    begins[0] = begins[1] = start;
    for (ptrdiff_t f = 2; f < d + 2; f++) begins[f] += begins[f - 1];
    int64_t *ends = begins + 1;
    for (ptrdiff_t row = first; row < last; row++)
        for (int64_t t = X->starts[row]; t < X->starts[row + 1]; t++) {
            const int64_t ahead = ends[X->columns[smaller(t + LISTED_AHEAD, end - 1)]];
            const int64_t at = ends[X->columns[t]]++;
            prefetch_write(rows + ahead);
            prefetch_write((uintptr_t)values + (uintptr_t)(ahead * size));
            rows[at] = (int32_t)(row - first);
            if (double_values)
                ((double *)values)[at] = ((const double *)X->values)[t];
            else
                ((float *)values)[at] = ((const float *)X->values)[t];
        }
}

void ckm_list_by_column(const ckm_csr *X, ptrdiff_t first, ptrdiff_t last, ptrdiff_t d,
                        int64_t *begins, int32_t *rows, void *values)
{
    if (X->double_values)
        list_elements(X, first, last, 1, d, begins, rows, values);
    else
        list_elements(X, first, last, 0, d, begins, rows, values);
}

INLINE void add_products(const ckm_csr *X, ptrdiff_t point, int double_values,
                         const int64_t *begins, const int32_t *rows, const void *values,
                         double *products)
{
    const int64_t last = X->starts[point + 1] - 1, size = double_values ? 8 : 4;
    for (int64_t u = X->starts[point]; u <= last; u++) {
        const int64_t ahead = begins[X->columns[smaller(u + 4, last)]];
        prefetch(begins + X->columns[smaller(u + 8, last)]);
        prefetch(rows + ahead);
        prefetch((uintptr_t)values + (uintptr_t)(ahead * size));
        const double x = element(X, u, double_values);
        const int64_t end = begins[X->columns[u] + 1];
        for (int64_t t = begins[X->columns[u]]; t < end; t++)
            products[rows[t]] += x * (double_values ? ((const double *)values)[t]
                                                    : (double)((const float *)values)[t]);
    }
}

void ckm_add_products(const ckm_csr *X, ptrdiff_t point, const int64_t *begins,
                      const int32_t *rows, const void *values, double *products)
{
    if (X->double_values)
        add_products(X, point, 1, begins, rows, values, products);
    else
        add_products(X, point, 0, begins, rows, values, products);
}
