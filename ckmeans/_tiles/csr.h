/* Rows of a CSR matrix one element at a time: added to totals, measured from centroids. A part of
 * tiles.c.
 *
 * Each element has a line of its own among the totals or coordinates, mostly outside of the L1
 * cache; so those of the next row are fetched to L2 while one is worked on: with k = 100 and
 * d = 20k rows are added in 0.6 times the time, and measured in half. Fetched to L1, all at once,
 * they take as long as before. */

#define FETCHED 400 /* elements: how far ahead, where rows are taken in order */

/* The elements that lie so much further than a row's: the CPU does not follow two streams that
 * other loads interrupt (-30 %). */
INLINE void fetch_elements(const ckm_csr *X, ptrdiff_t row, ptrdiff_t further, int double_values)
{
    const ptrdiff_t size = double_values ? sizeof(double) : sizeof(float);
    const ptrdiff_t first = X->starts[row] + further, last = X->starts[row + 1] + further;
    for (ptrdiff_t b = first * size; b < last * size; b += 64)
        prefetch((uintptr_t)X->values + (uintptr_t)b);
    for (ptrdiff_t b = first * 4; b < last * 4; b += 64)
        prefetch((uintptr_t)X->columns + (uintptr_t)b);
}

/* The same of those that labels are told by. */
INLINE void fetch_integers(const ckm_csr *X, ptrdiff_t row)
{
    const ptrdiff_t first = X->starts[row] + FETCHED, last = X->starts[row + 1] + FETCHED;
    for (ptrdiff_t b = first * 2; b < last * 2; b += 64)
        prefetch((uintptr_t)X->integers + (uintptr_t)b);
    for (ptrdiff_t b = first * 4; b < last * 4; b += 64)
        prefetch((uintptr_t)X->columns + (uintptr_t)b);
}

INLINE void fetch_columns(const ckm_csr *X, ptrdiff_t row, const double *of)
{
    for (ptrdiff_t t = X->starts[row]; t < X->starts[row + 1]; t++)
        prefetch((uintptr_t)of + (uintptr_t)X->columns[t] * sizeof(double));
}

INLINE double element(const ckm_csr *X, ptrdiff_t t, int double_values)
{
    return double_values ? ((const double *)X->values)[t] : (double)((const float *)X->values)[t];
}

/* The columns of elements t and t + 1, by one load: loads are what there is most of. */
typedef struct {
    ptrdiff_t first, second;
} two_columns;

INLINE two_columns columns_at(const ckm_csr *X, ptrdiff_t t)
{
    uint64_t both;
    memcpy(&both, X->columns + t, sizeof both);
#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    return (two_columns){(ptrdiff_t)(both >> 32), (ptrdiff_t)(both & 0xFFFFFFFF)};
#else
    return (two_columns){(ptrdiff_t)(both & 0xFFFFFFFF), (ptrdiff_t)(both >> 32)};
#endif
}

/* Squared lengths, each added in the order of the elements, of up to four rows from `row` on: a sum
 * waits for its last addition (2M elements in one row after the other 1.8 ms, in fours 1.0). */
INLINE void measure_four(const ckm_csr *X, ptrdiff_t row, ptrdiff_t last, int double_values,
                         double *norms2)
{
    double sums[4] = {0};
    ptrdiff_t at[4], left[4], shared = PTRDIFF_MAX;
    for (int i = 0; i < 4; i++) {
        const ptrdiff_t r = smaller(row + i, last - 1);
        at[i] = X->starts[r], left[i] = X->starts[r + 1] - X->starts[r];
        shared = smaller(shared, left[i]);
    }
    for (ptrdiff_t t = 0; t < shared; t++)
        for (int i = 0; i < 4; i++) {
            const double x = element(X, at[i] + t, double_values);
            sums[i] += x * x;
        }
    for (int i = 0; i < 4 && row + i < last; i++) {
        for (ptrdiff_t t = shared; t < left[i]; t++) {
            const double x = element(X, at[i] + t, double_values);
            sums[i] += x * x;
        }
        norms2[row + i] = sums[i];
    }
}

#define CHECKED 1024 /* elements, without a branch: in vectors */

INLINE int are_multiples(const ckm_csr *X, int double_values, double shift)
{
    const ptrdiff_t end = X->starts[X->n];
    uint64_t rounded = 0;
    for (ptrdiff_t first = 0; first < end && !rounded; first += CHECKED)
        for (ptrdiff_t t = first; t < smaller(first + CHECKED, end); t++) {
            const double x = element(X, t, double_values), y = x + shift - shift;
            uint64_t a, b;
            memcpy(&a, &x, sizeof x), memcpy(&b, &y, sizeof y);
            rounded |= (a ^ b) << 1; /* but for the sign of zero */
        }
    return !rounded;
}

int ckm_sparse_multiples(const ckm_csr *X, double shift)
{
    return X->double_values ? are_multiples(X, 1, shift) : are_multiples(X, 0, shift);
}

/* Rows that change from one cluster to another, of those first..last-1; -1 is none. */
typedef struct {
    const int32_t *before, *after; /* NULL before: none */
    ptrdiff_t n, first, last;
} moves;

INLINE ptrdiff_t cluster_within(const moves *m, const int32_t *labels, ptrdiff_t row)
{
    return labels && labels[row] >= m->first && labels[row] < m->last ? labels[row] : -1;
}

INLINE ptrdiff_t next_moved(const moves *m, ptrdiff_t row)
{
    for (; row < m->n; row++)
        if (!(m->before && m->before[row] == m->after[row]) &&
            (cluster_within(m, m->after, row) >= 0 || cluster_within(m, m->before, row) >= 0))
            break;
    return row;
}

INLINE void add_row(const ckm_csr *X, ptrdiff_t row, int double_values, double w, ptrdiff_t d,
                    double *totals)
{
    const ptrdiff_t end = X->starts[row + 1];
    for (ptrdiff_t t = X->starts[row]; t < end; t++)
        totals[X->columns[t]] += w * element(X, t, double_values);
    totals[d] += w;
}

#define MOVED_AHEAD 4 /* moved rows whose elements are on their way, wherever these lie */

INLINE void move_rows(const ckm_csr *X, int double_values, const double *weight, const moves *m,
                      ptrdiff_t d, double *totals)
{
    const int32_t *const sides[2] = {m->after, m->before};
    const ptrdiff_t stride = d + 2;
    ptrdiff_t rows[MOVED_AHEAD + 1], last = -1; /* in turn; m->n: there is no other */
    for (int i = 0; i <= MOVED_AHEAD; i++) rows[i] = last = next_moved(m, last + 1);
    for (ptrdiff_t now = 0; rows[now] < m->n; now = (now + 1) % (MOVED_AHEAD + 1)) {
        const ptrdiff_t row = rows[now], next = rows[(now + 1) % (MOVED_AHEAD + 1)];
        rows[now] = last = next_moved(m, last + 1);
        if (last < m->n) fetch_elements(X, last, 0, double_values);
        for (int side = 0; side < 2; side++) {
            const double w = weight ? weight[row] : 1;
            const ptrdiff_t ahead = next < m->n ? cluster_within(m, sides[side], next) : -1;
            const ptrdiff_t cluster = cluster_within(m, sides[side], row);
            if (ahead >= 0) fetch_columns(X, next, totals + ahead * stride);
            if (cluster >= 0)
                add_row(X, row, double_values, side ? -w : w, d, totals + cluster * stride);
        }
    }
}

void ckm_sparse_move(const ckm_csr *X, ptrdiff_t d, const double *weight, const int32_t *before,
                     const int32_t *after, ptrdiff_t first, ptrdiff_t last, double *totals)
{
    const moves m = {before, after, X->n, first, last};
    if (X->double_values)
        move_rows(X, 1, weight, &m, d, totals);
    else
        move_rows(X, 0, weight, &m, d, totals);
}

/* Sums in the order of the columns: those of c^2 are |c|^2 where the row has all its columns. */
INLINE double square_between(const ckm_csr *X, ptrdiff_t row, int double_values, const double *c,
                             double norm2)
{
    const ptrdiff_t end = X->starts[row + 1];
    double square = 0, covered = 0;
    for (ptrdiff_t t = X->starts[row]; t < end; t++) {
        const double there = c[X->columns[t]], away = element(X, t, double_values) - there;
        square += away * away;
        covered += there * there;
    }
    return square + (norm2 > covered ? norm2 - covered : 0);
}

INLINE void measure_rows(const ckm_csr *X, ptrdiff_t first, ptrdiff_t last, int double_values,
                         const double *centroids, ptrdiff_t d, const double *norms2,
                         const int32_t *labels, double *squares)
{
    for (ptrdiff_t row = first; row < last; row++) {
        const ptrdiff_t j = labels[row];
        if (row + 1 < last) fetch_columns(X, row + 1, centroids + labels[row + 1] * d);
        squares[row] = square_between(X, row, double_values, centroids + j * d, norms2[j]);
    }
}

void ckm_sparse_own_squares(const ckm_csr *X, ptrdiff_t first, ptrdiff_t last,
                            const double *centroids, ptrdiff_t d, const double *norms2,
                            const int32_t *labels, double *squares)
{
    if (X->double_values)
        measure_rows(X, first, last, 1, centroids, d, norms2, labels, squares);
    else
        measure_rows(X, first, last, 0, centroids, d, norms2, labels, squares);
}
