/* Few centroids of many columns; a part of kernel.h.
 *
 * Here lanes are columns: rows are read in place and in order, as fast as memory gives them, and
 * FEW_ROWS x FEW_GROUP accumulators are summed across at the end. With k = 10 the transposition of
 * kernel.h costs more than the products: at 60k x 784 it takes 1.5 times as long. From k = 16 on,
 * or below d = 128, kernel.h is faster.
 *
 * The centroid nearest to the shift is the origin, and so has the first place. Where its rounding
 * allows that, its products are taken for zeros: one of ten less is -5 %. */

/* FEW_ROWS rows, and those of which the same columns are fetched meanwhile: the listed ones, or
 * else the rows that lie `ahead` bytes further (10.8 against 12 ms at 60k x 784). */
typedef struct {
    const real *at[FEW_ROWS], *listed[FEW_ROWS];
    uintptr_t ahead;
} NAME(few_rows);

/* Columns f..f+LANES-1 of rows times those of n centroids, while those of rows from..to-1 ahead are
 * fetched. `keep`, where given, zeroes columns. */
INLINE void NAME(add_products)(vec sums[FEW_GROUP][FEW_ROWS], vec norms2[FEW_ROWS],
                               const NAME(few_rows) *rows, ptrdiff_t f, const real *shift,
                               const real *c, ptrdiff_t stride, const real *keep, const int n,
                               int measure, const int from, const int to, const int listed,
                               int direct)
{
    vec x[FEW_ROWS];
    EACH(i, FEW_ROWS) {
        x[i] = V_LOAD(rows->at[i] + f) - V_LOAD(shift + f);
        if (keep) x[i] *= V_LOAD(keep);
        if (measure) norms2[i] = V_FMA(x[i], x[i], norms2[i]);
        if (i >= from && i < to && f % (ptrdiff_t)(64 / sizeof(real)) == 0) /* once a line */
            prefetch(listed ? (uintptr_t)(rows->listed[i] + f)
                            : (uintptr_t)(rows->at[i] + f) + rows->ahead);
    }
    EACH(j, n) {
        const vec cj = V_LOAD(c + j * stride);
        EACH(i, FEW_ROWS) {
            if (direct) {
                const vec t = x[i] - cj;
                sums[j][i] = V_FMA(t, t, sums[j][i]);
            } else {
                sums[j][i] = V_FNMA(x[i], cj, sums[j][i]);
            }
        }
    }
}

/* All columns times those of n centroids from j on, the first or the last ones, which share in
 * fetching; the sums stay spread over the lanes. */
INLINE void NAME(few_products)(vec (*lane_sums)[LANES], vec *lane_norms2,
                               const NAME(few_rows) *rows, const packed_centroids *p,
                               ptrdiff_t j, const int n, const int is_first, const int is_last,
                               const int listed, int direct)
{
    const int measure = is_first;
    const int from = is_first ? 0 : FEW_ROWS / 2, to = is_last ? FEW_ROWS : FEW_ROWS / 2;
    const ptrdiff_t d = p->d, stride = p->few_stride, whole = d / LANES * LANES;
    const real *shift = (const real *)p + p->shift_at;
    const real *few = (const real *)p + p->groups_at + FEW_HEAD, *c = few + j * stride;
    const real *keep = few + FEW_MAX * stride + whole;
    vec sums[FEW_GROUP][FEW_ROWS], norms2[FEW_ROWS];

    EACH(i, FEW_ROWS) {
        norms2[i] = V_SET1(0);
        EACH(q, n) sums[q][i] = V_SET1(0);
    }
    for (ptrdiff_t f = 0; f < whole; f += LANES)
        NAME(add_products)(sums, norms2, rows, f, shift, c + f, stride, NULL, n, measure, from, to,
                           listed, direct);
    /* The remaining columns come with the end of the vector before, which `keep` and the centroids
     * zero. */
    if (whole < d)
        NAME(add_products)(sums, norms2, rows, d - LANES, shift, c + whole, stride, keep, n,
                           measure, from, to, listed, direct);
    EACH(i, FEW_ROWS) {
        if (measure) lane_norms2[i] = norms2[i];
        EACH(q, n) lane_sums[q][i] = sums[q][i];
    }
}

/* All columns times those of the centroids from place j on, to the same places of lane_sums. */
INLINE void NAME(few_groups)(vec (*lane_sums)[LANES], vec *lane_norms2,
                             const NAME(few_rows) *rows, const packed_centroids *p, ptrdiff_t j,
                             const int listed, int direct)
{
    const int less = FEW_GROUP - 1;
    const ptrdiff_t n = p->k - j, first = n > 2 * less ? FEW_GROUP : less;
    vec(*after)[LANES] = lane_sums + j + first;
    if (n <= FEW_GROUP) {
        if (n > less)
            NAME(few_products)(lane_sums + j, lane_norms2, rows, p, j, FEW_GROUP, 1, 1, listed,
                               direct);
        else
            NAME(few_products)(lane_sums + j, lane_norms2, rows, p, j, less, 1, 1, listed, direct);
        return;
    }
    if (first == FEW_GROUP)
        NAME(few_products)(lane_sums + j, lane_norms2, rows, p, j, FEW_GROUP, 1, 0, listed, direct);
    else
        NAME(few_products)(lane_sums + j, lane_norms2, rows, p, j, less, 1, 0, listed, direct);
    if (n - first > less)
        NAME(few_products)(after, NULL, rows, p, j + first, FEW_GROUP, 0, 1, listed, direct);
    else
        NAME(few_products)(after, NULL, rows, p, j + first, less, 0, 1, listed, direct);
}

/* Lane i of the result is the sum of the lanes of rows[i]. */
INLINE vec NAME(sum_across)(const vec rows[LANES])
{
    vec sum = V_SET1(0);
    EACH(q, LANES / CHUNK) {
        vec columns[CHUNK];
        V_LOAD_CHUNK(columns, (const real *)rows + q * CHUNK, LANES);
        EACH(i, CHUNK) sum += columns[i];
    }
    return sum;
}

/* Row i of m that a tile begins with, the last one for those beyond. */
INLINE const real *NAME(few_row)(const real *rows, const steps *by, ptrdiff_t i, ptrdiff_t m)
{
    const ptrdiff_t row = smaller(i, m - 1);
    return rows + (by->listed ? by->listed[row] : row) * by->row;
}

/* Half the squared distances, all less the same; and behind those how far twice a difference of two
 * of them may be from that of the distances, as certify() in pack.h bounds it. */
INLINE void NAME(give_scores)(const tile_state *tile, vec (*score)[GROUP][VECTORS],
                              const packed_centroids *p, int direct)
{
    EACH(v, VECTORS) {
        vec row[CKM_SCORES], most = V_SET1(0);
        EACH(j, CKM_SCORES) row[j] = V_SET1(0);
        for (ptrdiff_t j = 0; j < FEW_MAX && j < p->k; j++) {
            row[j] = score[j / GROUP][j % GROUP][v] * V_SET1(direct ? (real)0.5 : 1);
            most = V_MAX(most, score[j / GROUP][j % GROUP][v]);
        }
        vec slack = NAME(slack_between)(tile->norm2[v], p);
        if (direct)
            slack = V_FMA(V_SQRT(most), V_SET1(p->wander), V_SET1(p->direct_slack)) +
                    most * V_SET1(p->grow - p->shrink);
        row[CKM_SCORES - 1] = slack * V_SET1(2 * (1 + 16 * (real)REAL_ROUNDOFF));
        for (ptrdiff_t q = 0; q < CKM_SCORES; q += CHUNK)
            V_STORE_CHUNK(tile->scores + v * LANES * CKM_SCORES + q, CKM_SCORES, row + q);
    }
}

INLINE void NAME(score_few_rows)(tile_state *tile, const real *rows, const steps *by, ptrdiff_t m,
                                 const packed_centroids *p, const int listed, int direct)
{
    const real *half_norms2 = (const real *)p + p->groups_at;
    const ptrdiff_t first = direct ? 0 : p->few_first;
    vec score[(FEW_MAX + GROUP - 1) / GROUP][GROUP][VECTORS];
    vec lane_sums[FEW_MAX][LANES], lane_norms2[LANES];

    NAME(start_tile)(tile);
    for (int v = 0; v < VECTORS; v++) {
        for (int i = 0; i < LANES; i += FEW_ROWS) {
            NAME(few_rows) some;
            /* Where the rows come from memory: -45 %. With the first centroids half of them, with
             * the last ones the others, since the processor drops what it has no place for: another
             * -15 to -20 % (60k x 784, k = 10). */
            some.ahead = (uintptr_t)(4 * FEW_ROWS * by->row) * sizeof(real);
            for (int r = 0; r < FEW_ROWS; r++) {
                const ptrdiff_t row = v * LANES + i + r;
                some.at[r] = NAME(few_row)(rows, by, row, m);
                if (listed) some.listed[r] = NAME(few_row)(rows, by, row + 4 * FEW_ROWS, m);
            }
            NAME(few_groups)((void *)&lane_sums[0][i], lane_norms2 + i, &some, p, first, listed,
                             direct);
        }
        tile->norm2[v] = NAME(sum_across)(lane_norms2);
        for (ptrdiff_t j = 0; j < p->n_groups * GROUP; j++) {
            vec *s = &score[j / GROUP][j % GROUP][v];
            const ptrdiff_t place = NAME(few_place)(p, j);
            if (place < first)
                *s = V_SET1(half_norms2[j]);
            else if (j < p->k)
                *s = V_SET1(direct ? 0 : half_norms2[j]) + NAME(sum_across)(lane_sums[place]);
            else
                *s = V_SET1(NO_CENTROID);
        }
    }
    for (ptrdiff_t g = 0; g < p->n_groups; g++) NAME(keep_two)(tile, score[g], g, GROUP);
    if (tile->scores) NAME(give_scores)(tile, score, p, direct);
}

static void NAME(score_few_tile)(tile_state *tile, const real *rows, const steps *by, ptrdiff_t m,
                                 const packed_centroids *p)
{
    if (by->listed)
        NAME(score_few_rows)(tile, rows, by, m, p, 1, 0);
    else
        NAME(score_few_rows)(tile, rows, by, m, p, 0, 0);
}
