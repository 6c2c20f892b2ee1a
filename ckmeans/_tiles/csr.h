/* Rows of a CSR matrix one element at a time: added to totals, measured from centroids. A part of
 * tiles.c.
 *
 * Each element has a line of its own among the totals or coordinates of a cluster, 160 KB at
 * d = 20k, which stay in the L2 cache, and often in the L1, while its rows are at hand: so these
 * are taken cluster by cluster, wherever they lie, and fetched in time. In their own order, with
 * the lines of the next row fetched, 20k rows of 100 elements were added in 1.4 (k = 20) and 2.0
 * times (k = 100) the time, and measured in 1.45 and 1.9. */

#define FETCHED 400 /* elements: how far ahead, where rows are taken in order */

/* The elements that lie so much further than a row's: the CPU does not follow two streams that
 * other loads interrupt (-30 %). */
INLINE void fetch_elements(const ckm_csr *X, ptrdiff_t row, int double_values)
{
    const ptrdiff_t size = double_values ? sizeof(double) : sizeof(float);
    const ptrdiff_t first = X->starts[row] + FETCHED, last = X->starts[row + 1] + FETCHED;
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

#define ROWS_COMING 4      /* of a list: so many further are on their way to L1 */
#define FETCHED_OF_ROW 256 /* elements: the CPU follows what is longer by itself */

INLINE void fetch_row(const ckm_csr *X, ptrdiff_t row, int double_values)
{
    const ptrdiff_t size = double_values ? sizeof(double) : sizeof(float);
    const ptrdiff_t first = X->starts[row];
    const ptrdiff_t last = smaller(X->starts[row + 1], first + FETCHED_OF_ROW);
    for (ptrdiff_t b = first * size; b < last * size; b += 64)
        prefetch_near((uintptr_t)X->values + (uintptr_t)b);
    for (ptrdiff_t b = first * 4; b < last * 4; b += 64)
        prefetch_near((uintptr_t)X->columns + (uintptr_t)b);
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

/* Four rows side by side, as a sum waits for its last addition: where their elements lie, how many
 * each has, and how many all of them have. */
typedef struct {
    ptrdiff_t at[4], count[4], shared;
} four_rows;

INLINE four_rows four_from(const ckm_csr *X, const ptrdiff_t rows[4])
{
    four_rows four = {.shared = PTRDIFF_MAX};
    for (int i = 0; i < 4; i++) {
        four.at[i] = X->starts[rows[i]];
        four.count[i] = X->starts[rows[i] + 1] - four.at[i];
        four.shared = smaller(four.shared, four.count[i]);
    }
    return four;
}

/* Squared lengths, each added in the order of the elements, of up to four rows from `row` on (2M
 * elements in one row after the other 1.8 ms, in fours 1.0). */
INLINE void measure_four(const ckm_csr *X, ptrdiff_t row, ptrdiff_t last, int double_values,
                         double *norms2)
{
    ptrdiff_t rows[4];
    for (int i = 0; i < 4; i++) rows[i] = smaller(row + i, last - 1);
    const four_rows four = four_from(X, rows);
    double sums[4] = {0};
    for (ptrdiff_t t = 0; t < four.shared; t++)
        for (int i = 0; i < 4; i++) {
            const double x = element(X, four.at[i] + t, double_values);
            sums[i] += x * x;
        }
    for (int i = 0; i < 4 && row + i < last; i++) {
        for (ptrdiff_t t = four.shared; t < four.count[i]; t++) {
            const double x = element(X, four.at[i] + t, double_values);
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

INLINE void add_row(const ckm_csr *X, ptrdiff_t row, int double_values, double w, ptrdiff_t d,
                    double *totals)
{
    const ptrdiff_t end = X->starts[row + 1];
    for (ptrdiff_t t = X->starts[row]; t < end; t++)
        totals[X->columns[t]] += w * element(X, t, double_values);
    totals[d] += w;
}

INLINE ptrdiff_t row_moved(int32_t move) { return move < 0 ? ~move : move; }

INLINE void move_rows(const ckm_csr *X, int double_values, const double *weight,
                      const ckm_moves *moves, ptrdiff_t first, ptrdiff_t last, ptrdiff_t d,
                      double *totals)
{
    const ptrdiff_t end = moves->ends[last - 1];
    ptrdiff_t i = first ? moves->ends[first - 1] : 0;
    totals += first * (d + 2);
    for (ptrdiff_t j = first; j < last; j++, totals += d + 2) {
        if (moves->anew) memset(totals, 0, (size_t)(d + 2) * sizeof *totals);
        for (; i < moves->ends[j]; i++) {
            const ptrdiff_t row = row_moved(moves->rows[i]);
            const double w = weight ? weight[row] : 1;
            if (i + ROWS_COMING < end)
                fetch_row(X, row_moved(moves->rows[i + ROWS_COMING]), double_values);
            add_row(X, row, double_values, moves->rows[i] < 0 ? -w : w, d, totals);
        }
    }
}

void ckm_sparse_move(const ckm_csr *X, ptrdiff_t d, const double *weight, const ckm_moves *moves,
                     ptrdiff_t first, ptrdiff_t last, double *totals)
{
    if (X->double_values)
        move_rows(X, 1, weight, moves, first, last, d, totals);
    else
        move_rows(X, 0, weight, moves, first, last, d, totals);
}

typedef struct {
    double square, covered; /* sums of (x - c)^2 and of c^2 over a row's columns, in their order */
} row_sums;

INLINE void add_square(row_sums *sums, double x, double c)
{
    sums->square += (x - c) * (x - c);
    sums->covered += c * c;
}

/* Of |c|^2 what a row's columns cover is nothing more where it has all columns of c. */
INLINE void measure_rows(const ckm_csr *X, const int32_t *rows, ptrdiff_t first, ptrdiff_t last,
                         int double_values, const double *centroids, ptrdiff_t d,
                         const double *norms2, const int32_t *labels, double *squares)
{
    for (; first < last; first += 4) {
        ptrdiff_t at[4];
        const double *c[4];
        row_sums sums[4] = {{0, 0}};
        for (int i = 0; i < 4; i++) {
            at[i] = rows[smaller(first + i, last - 1)];
            c[i] = centroids + labels[at[i]] * d;
            if (first + i + ROWS_COMING < last)
                fetch_row(X, rows[first + i + ROWS_COMING], double_values);
        }
        const four_rows four = four_from(X, at);
        for (ptrdiff_t t = 0; t < four.shared; t++)
            for (int i = 0; i < 4; i++)
                add_square(&sums[i], element(X, four.at[i] + t, double_values),
                           c[i][X->columns[four.at[i] + t]]);
        for (int i = 0; i < 4 && first + i < last; i++) {
            for (ptrdiff_t t = four.at[i] + four.shared; t < four.at[i] + four.count[i]; t++)
                add_square(&sums[i], element(X, t, double_values), c[i][X->columns[t]]);
            const double left = norms2[labels[at[i]]] - sums[i].covered;
            squares[at[i]] = sums[i].square + (left > 0 ? left : 0);
        }
    }
}

void ckm_sparse_own_squares(const ckm_csr *X, const int32_t *rows, ptrdiff_t first, ptrdiff_t last,
                            const double *centroids, ptrdiff_t d, const double *norms2,
                            const int32_t *labels, double *squares)
{
    if (X->double_values)
        measure_rows(X, rows, first, last, 1, centroids, d, norms2, labels, squares);
    else
        measure_rows(X, rows, first, last, 0, centroids, d, norms2, labels, squares);
}
