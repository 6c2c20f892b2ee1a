/* Rows of a CSR matrix against centroids; a part of kernel.h.
 *
 * Lanes are centroids: they lie d-major in panels, so that each element of a row is one
 * multiply-add of a vector, whatever its column. For labels, with certificates, rows and centroids
 * are 16-bit integers: two elements of a row a lane and instruction, and half of the bytes that
 * float32 would bring to the caches (d = 20k, k = 20: 5.2 ms in float32, 3.0 with integers as
 * centroids alone, 2.4 with both). For seeding and transform() both are double, without FMA, so
 * that the squares have the same bits at every level. */

#if REAL_BITS == 32

#define SPARSE_SUMS 8 /* of a panel, at most: vectors */
/* Bytes of a column in a panel, at most, where all panels together are not cached: each stays in
 * the L2 cache while many rows take it (d = 20k, k = 100: 0.82 of the time of a whole run). */
#define SPARSE_PANEL 128
#define SPARSE_CACHED (1 << 20)
#define sparse_packed NAME(sparse_packed)

/* Lengths as integers: a row's is LONGEST_ROW, that of the longest centroid is at most
 * LONGEST_CENTROID. By Cauchy and Schwarz, sums of fewer than 1e5 products stay within 31 bits,
 * roundings by half included. */
#define LONGEST_ROW 32766.0
#define LONGEST_CENTROID 65000.0

/* The head of a packed buffer; then half squared norms (stride,), infinite beyond k; then panels
 * (d, PAIRS * LANES) of pairs of 16-bit integers. Those of pair p of a panel's sums are in the
 * order in which V_ZIP_LOW and V_ZIP_HIGH give the lanes of the one and of the other. */
typedef struct {
    ptrdiff_t k, d, sums, n_panels, stride;
    double radius; /* at least the largest norm */
    double step;   /* between integers */
    double unit;   /* of scores and half squared norms: of a size that float can hold */
    double factor; /* a row's norm times it is what a product of integers is, in units */
    double limit;  /* norms beyond are not for float */
} sparse_packed;

#define PAIRS(sums) (((sums) + 1) / 2)

static void NAME(sparse_shape)(sparse_packed *p, ptrdiff_t k, ptrdiff_t d)
{
    const ptrdiff_t all = (k + LANES - 1) / LANES, sum = LANES * sizeof(int16_t);
    const ptrdiff_t several = smaller(SPARSE_SUMS, SPARSE_PANEL / sum);
    const ptrdiff_t most = all * sum <= SPARSE_CACHED / d ? SPARSE_SUMS : several;
    p->k = k, p->d = d;
    p->n_panels = (all + most - 1) / most;
    p->sums = (all + p->n_panels - 1) / p->n_panels;
    p->stride = p->n_panels * p->sums * LANES;
}

INLINE const real *NAME(half_norms_of)(const sparse_packed *p)
{
    return (const real *)((const char *)p + 128);
}

INLINE const int32_t *NAME(panels_of)(const sparse_packed *p)
{
    return (const int32_t *)NAME(half_norms_of)(p) + (p->stride + 15) / 16 * 16; /* whole lines */
}

static size_t NAME(sparse_packed_bytes)(ptrdiff_t k, ptrdiff_t d)
{
    sparse_packed p;
    NAME(sparse_shape)(&p, k, d);
    return (size_t)((const char *)(NAME(panels_of)(&p) + p.n_panels * PAIRS(p.sums) * LANES * d) -
                    (const char *)&p);
}

#define SPARSE_COLUMNS 64 /* packed at a time: their lines stay in the L1 cache */

INLINE int32_t NAME(rounded_to_integer)(double x) { return (int32_t)(x + (x < 0 ? -0.5 : 0.5)); }

/* n columns of two centroids side by side. */
INLINE void NAME(sparse_pack_pair)(const double *one, const double *other, ptrdiff_t n,
                                   double per_step, int32_t *to, ptrdiff_t width)
{
    int16_t pairs[2 * SPARSE_COLUMNS];
    for (ptrdiff_t f = 0; f < n; f += 8) { /* the next columns: too many streams for the CPU */
        prefetch_near((uintptr_t)one + (size_t)(SPARSE_COLUMNS + f) * sizeof *one);
        prefetch_near((uintptr_t)other + (size_t)(SPARSE_COLUMNS + f) * sizeof *one);
    }
    for (ptrdiff_t f = 0; f < n; f++) {
        pairs[2 * f] = (int16_t)NAME(rounded_to_integer)(one[f] * per_step);
        pairs[2 * f + 1] = (int16_t)NAME(rounded_to_integer)(other[f] * per_step);
    }
    for (ptrdiff_t f = 0; f < n; f++) memcpy(to + f * width, pairs + 2 * f, sizeof *to);
}

/* Which centroid of a panel stands at a place of a column's integers. */
INLINE ptrdiff_t NAME(sparse_centroid_at)(ptrdiff_t place)
{
    const ptrdiff_t sums = place / (2 * LANES) * 2 + place / ZIPPED % 2;
    return sums * LANES + place % (2 * LANES) / (2 * ZIPPED) * ZIPPED + place % ZIPPED;
}

static void NAME(sparse_pack)(const double *centroids, ptrdiff_t k, ptrdiff_t d, void *packed,
                              double *norms2, int32_t *counts)
{
    sparse_packed *p = packed;
    double longest2 = 0, largest = 0;
    NAME(sparse_shape)(p, k, d);
    for (ptrdiff_t j = 0; j < k; j++) {
        norms2[j] = JOIN(sparse_norm2, f64, LEVEL)(centroids + j * d, d, counts + j, &largest);
        if (norms2[j] > longest2) longest2 = norms2[j];
    }
    p->radius = sqrt(longest2) * (1 + 1e-9);
    const double least = p->radius / LONGEST_CENTROID; /* step */
    p->step = largest / 32766 > least ? largest / 32766 : least;
    if (!(p->step > 1e-100)) p->step = 1;
    p->unit = p->step * (p->radius > p->step ? p->radius : 1);
    p->factor = p->step / p->unit / LONGEST_ROW;
    p->limit = p->radius < 1e18 ? 1e20 * p->unit / p->step : 0;
    if (p->limit > 1e18) p->limit = 1e18;
    real *half_norms = (real *)NAME(half_norms_of)(p);
    for (ptrdiff_t j = 0; j < p->stride; j++)
        half_norms[j] = (real)(j < k ? norms2[j] / 2 / p->unit : INFINITY);

    const ptrdiff_t width = PAIRS(p->sums) * LANES, end = p->sums * LANES;
    int32_t *panel = (int32_t *)NAME(panels_of)(p);
    for (ptrdiff_t first = 0; first < p->stride; first += end, panel += d * width)
        for (ptrdiff_t f = 0; f < d; f += SPARSE_COLUMNS)
            for (ptrdiff_t i = 0; i < width; i++) {
                static const double none[SPARSE_COLUMNS] = {0};
                const double *pair[2] = {none, none};
                for (int half = 0; half < 2; half++) {
                    const ptrdiff_t j = NAME(sparse_centroid_at)(2 * i + half);
                    if (j < end && first + j < k) pair[half] = centroids + (first + j) * d + f;
                }
                if (pair[0] != none || pair[1] != none)
                    NAME(sparse_pack_pair)(pair[0], pair[1], smaller(SPARSE_COLUMNS, d - f),
                                           1 / p->step, panel + f * width + i, width);
            }
}

/* Elements ahead of which coordinates are fetched, to L1. */
#define SPARSE_AHEAD 24

/* Two elements of a row, at these coordinates, times those of n vectors of centroids. */
INLINE void NAME(sparse_add)(const int16_t elements[2], const int32_t *one, const int32_t *other,
                             int n, ivec *sums)
{
    int32_t pair;
    memcpy(&pair, elements, sizeof pair);
    const ivec x = pair - (ivec){0};
    EACH(p, PAIRS(n)) {
        const ivec a = NAME(v_bits)(V_LOAD((const real *)one + p * LANES));
        const ivec b = NAME(v_bits)(V_LOADED(V_LOAD((const real *)other + p * LANES)));
        sums[2 * p] = V_ADD_PAIRS(sums[2 * p], V_ZIP_LOW(a, b), x);
        if (2 * p + 1 < n) sums[2 * p + 1] = V_ADD_PAIRS(sums[2 * p + 1], V_ZIP_HIGH(a, b), x);
    }
}

INLINE void NAME(sparse_fetch)(const int32_t *coordinates, int n)
{
    EACH(p, PAIRS(n))
        if (p * sizeof(vec) % 64 == 0) prefetch_near(coordinates + p * LANES);
}

/* The scores of a row with the centroids of a panel: |c|^2 / 2 - x.c in units of p->unit. A product
 * of integers is `factor` of them. */
INLINE void NAME(sparse_dots)(const ckm_csr *X, ptrdiff_t row, real factor, const real *half_norms,
                              const int32_t *panel, int n, vec *scores)
{
    const ptrdiff_t width = PAIRS(n) * LANES, end = X->starts[row + 1];
    const ptrdiff_t ahead = end + SPARSE_AHEAD < X->starts[X->n] ? SPARSE_AHEAD : 0;
    const int32_t *columns = X->columns;
    ivec sums[SPARSE_SUMS];
    ptrdiff_t t = X->starts[row];
    fetch_integers(X, row);
    EACH(s, n) sums[s] = (ivec){0};
    for (; t + 1 < end; t += 2) {
        const two_columns now = columns_at(X, t), then = columns_at(X, t + ahead);
        NAME(sparse_fetch)(panel + then.first * width, n);
        NAME(sparse_fetch)(panel + then.second * width, n);
        NAME(sparse_add)(X->integers + t, panel + now.first * width, panel + now.second * width, n,
                         sums);
    }
    if (t < end) {
        const int16_t last[2] = {X->integers[t], 0};
        NAME(sparse_add)(last, panel + columns[t] * width, panel + columns[t] * width, n, sums);
    }
    EACH(s, n)
        scores[s] = V_LOAD(half_norms + s * LANES) - V_SET1(factor) * V_OF_INTEGERS(sums[s]);
}

#define SPARSE_CASE(n)                                                                             \
    case n: NAME(sparse_dots)(X, row, factor, half_norms, panel, n, scores); break;

static void NAME(sparse_panel)(const ckm_csr *X, ptrdiff_t row, real factor,
                               const real *half_norms, const int32_t *panel, ptrdiff_t sums,
                               vec *scores)
{
    switch (sums) {
        SPARSE_CASE(1)
        SPARSE_CASE(2)
        SPARSE_CASE(3)
        SPARSE_CASE(4)
        SPARSE_CASE(5)
        SPARSE_CASE(6)
        SPARSE_CASE(7)
        SPARSE_CASE(8)
    }
}

#define NOT_ROUNDED 1e-280 /* rows whose squared length is below are zeros as integers */

/* What a product of integers is, in units of p->unit. Where that is none that float can hold,
 * sparse_error() certifies nothing. */
INLINE real NAME(sparse_factor)(const ckm_csr *X, ptrdiff_t row, const sparse_packed *p)
{
    return X->norms[row] < p->limit ? (real)(X->norms[row] * p->factor) : 0;
}

/* scores (k,) out. */
static void NAME(sparse_scores)(const ckm_csr *X, ptrdiff_t row, const void *packed, double *scores)
{
    const sparse_packed *p = packed;
    const int32_t *panel = NAME(panels_of)(p);
    const ptrdiff_t width = p->sums * LANES;
    const real factor = NAME(sparse_factor)(X, row, p);
    for (ptrdiff_t j = 0; j < p->k; j += width, panel += p->d * PAIRS(p->sums) * LANES) {
        vec some[SPARSE_SUMS];
        NAME(sparse_panel)(X, row, factor, NAME(half_norms_of)(p) + j, panel, p->sums, some);
        for (ptrdiff_t i = 0; i < width && j + i < p->k; i++)
            scores[j + i] = ((const real *)some)[i] * p->unit;
    }
}

/* By lanes: the least score, the next one, and which group of LANES centroids the least is of. */
typedef struct {
    vec best[LANES], second[LANES], group[LANES]; /* of LANES rows; the groups are bits */
} NAME(sparse_tile);

INLINE void NAME(keep_scores)(const vec *scores, int n, NAME(sparse_tile) * tile, int place)
{
    vec best = scores[0], second = V_SET1(INFINITY);
    ivec group = NAME(v_bits)(V_SET1(0));
    EACH(s, n)
    {
        if (s == 0) continue;
        second = V_MIN(second, V_MAX(best, scores[s]));
        group = V_REPLACE_IF_LESS(scores[s], best, (real_bits)s, group);
        best = V_MIN(scores[s], best);
    }
    tile->best[place] = best, tile->second[place] = second;
    tile->group[place] = NAME(v_from_bits)(group);
}

/* Lanes become rows: the least score and the next one of each, and whose the least is. */
INLINE void NAME(least_across)(const NAME(sparse_tile) * tile, real *least, real *next,
                               int32_t *labels)
{
    vec best = V_SET1(INFINITY), second = V_SET1(INFINITY), label = NAME(v_from_bits)((ivec){0});
    EACH(q, LANES / CHUNK) {
        vec bests[CHUNK], seconds[CHUNK], groups[CHUNK];
        V_LOAD_CHUNK(bests, (const real *)tile->best + q * CHUNK, LANES);
        V_LOAD_CHUNK(seconds, (const real *)tile->second + q * CHUNK, LANES);
        V_LOAD_CHUNK(groups, (const real *)tile->group + q * CHUNK, LANES);
        EACH(i, CHUNK) {
            const ivec place = NAME(v_bits)(groups[i]) * LANES + (q * CHUNK + i);
            second = V_MIN(V_MIN(second, seconds[i]), V_MAX(best, bests[i]));
            label = V_SELECT_LESS(bests[i], best, NAME(v_from_bits)(place), label);
            best = V_MIN(bests[i], best);
        }
    }
    V_STORE(least, best), V_STORE(next, second), V_STORE_LABELS(labels, NAME(v_bits)(label));
}

/* Half as much as squared distances by the scores, and by any plain float64 sum, may be wrong. An
 * element and a coordinate are wrong by half a step, of m elements: with steps s and t,
 * |sum x c - s t sum X C| <= t/2 |x|_1 + s/2 |C t|_1, and |.|_1 <= sqrt(m) |.|. */
INLINE double NAME(sparse_slack)(const ckm_csr *X, ptrdiff_t row, const sparse_packed *p)
{
    const double m = (double)(X->starts[row + 1] - X->starts[row]), half = 0.5 * sqrt(m);
    const double norm = X->norms[row], radius = p->radius, all = norm + radius;
    if (!(norm < p->limit && m < 1e5)) return INFINITY;
    return 1.02 * (half * norm * (p->step + (radius + p->step * half) * (1 / LONGEST_ROW)) +
                   8 * REAL_ROUNDOFF * norm * radius + 2 * REAL_ROUNDOFF * radius * radius +
                   ((double)p->d + 16) * 1.2e-16 * all * all + (m + 4) * 0x1p-149 * (1 + all));
}

static double NAME(sparse_error)(const ckm_csr *X, ptrdiff_t row, const void *packed)
{
    return NAME(sparse_slack)(X, row, packed);
}

/* The values of rows first..last-1 as integers, by the row's squared length. */
static void NAME(sparse_round)(const ckm_csr *X, ptrdiff_t first, ptrdiff_t last, int16_t *integers)
{
    for (ptrdiff_t row = first; row < last; row++) {
        const int known = X->norms2[row] > NOT_ROUNDED && X->norms2[row] < DBL_MAX;
        const double scale = known ? LONGEST_ROW / X->norms[row] : 0;
        const ptrdiff_t end = X->starts[row + 1];
        if (!known)
            memset(integers + X->starts[row], 0,
                   (size_t)(end - X->starts[row]) * sizeof *integers);
        else if (X->double_values)
            for (ptrdiff_t t = X->starts[row]; t < end; t++)
                integers[t] = (int16_t)NAME(rounded_to_integer)(element(X, t, 1) * scale);
        else
            for (ptrdiff_t t = X->starts[row]; t < end; t++)
                integers[t] = (int16_t)NAME(rounded_to_integer)(element(X, t, 0) * scale);
    }
}

/* Rows that take one panel after the other: their elements stay in the L2 cache beside it. */
#define SPARSE_ROWS CKM_SPARSE_ROWS

/* What is known of rows so far: the least score, the next one, and whose the least is. */
typedef struct {
    real least[SPARSE_ROWS], next[SPARSE_ROWS];
    int32_t labels[SPARSE_ROWS];
} NAME(sparse_known);

/* Centroids of a panel, from `first` on, become known to LANES rows. */
INLINE void NAME(learn)(NAME(sparse_known) * known, ptrdiff_t row, const NAME(sparse_tile) * tile,
                        ptrdiff_t first)
{
    real least[LANES], next[LANES];
    int32_t nearest[LANES];
    NAME(least_across)(tile, least, next, nearest);
    for (int r = 0; r < LANES; r++) {
        const real best = first ? known->least[row + r] : (real)INFINITY;
        const real second = first ? known->next[row + r] : (real)INFINITY;
        const real larger = best > least[r] ? best : least[r];
        const real smaller_next = second < next[r] ? second : next[r];
        known->next[row + r] = larger < smaller_next ? larger : smaller_next;
        if (first == 0 || least[r] < best) known->labels[row + r] = nearest[r] + (int32_t)first;
        known->least[row + r] = least[r] < best ? least[r] : best;
    }
}

INLINE void NAME(take_panel)(const ckm_csr *X, ptrdiff_t first, const int32_t *rows,
                             ptrdiff_t count, const sparse_packed *p, ptrdiff_t from, int n,
                             NAME(sparse_known) * known)
{
    const int32_t *panel = NAME(panels_of)(p) + from / (n * LANES) * p->d * PAIRS(n) * LANES;
    const real *half_norms = NAME(half_norms_of)(p) + from;
    NAME(sparse_tile) tile = {0};
    for (ptrdiff_t i = 0; i < count; i += LANES) {
        for (int r = 0; r < smaller(LANES, count - i); r++) {
            const ptrdiff_t row = first + (rows ? rows[i + r] : i + r);
            vec scores[SPARSE_SUMS];
            NAME(sparse_dots)(X, row, NAME(sparse_factor)(X, row, p), half_norms, panel, n, scores);
            NAME(keep_scores)(scores, n, &tile, r);
        }
        NAME(learn)(known, i, &tile, from);
    }
}

#define ROWS_CASE(n)                                                                               \
    case n: NAME(take_panel)(X, first, rows, count, p, from, n, known); break;

static void NAME(take_panels)(const ckm_csr *X, ptrdiff_t first, const int32_t *rows,
                              ptrdiff_t count, const sparse_packed *p, NAME(sparse_known) * known)
{
    for (ptrdiff_t from = 0; from < p->stride; from += p->sums * LANES) switch (p->sums) {
            ROWS_CASE(1)
            ROWS_CASE(2)
            ROWS_CASE(3)
            ROWS_CASE(4)
            ROWS_CASE(5)
            ROWS_CASE(6)
            ROWS_CASE(7)
            ROWS_CASE(8)
        }
}

static ptrdiff_t NAME(sparse_nearest)(const ckm_csr *X, ptrdiff_t first, const int32_t *rows,
                                      ptrdiff_t count, const void *packed, int32_t *labels,
                                      real *upper, real *lower, int32_t *undecided)
{
    const sparse_packed *p = packed;
    NAME(sparse_known) known;
    ptrdiff_t n_undecided = 0;
    for (ptrdiff_t i = 0; i < count; i++) {
        const ptrdiff_t r = i % SPARSE_ROWS, row = first + (rows ? rows[i] : i);
        if (r == 0)
            NAME(take_panels)(X, rows ? first : first + i, rows ? rows + i : NULL,
                              smaller(SPARSE_ROWS, count - i), p, &known);
        const double best = known.least[r] * p->unit, second = known.next[r] * p->unit;
        const double error = NAME(sparse_slack)(X, row, p);
        labels[i] = known.labels[r];
        undecided[n_undecided] = (int32_t)i;
        n_undecided += !(second - best > 2 * error);
        if (upper) {
            const double norm2 = X->norms2[row], most = norm2 + 2 * (best + error);
            const double bound = norm2 + 2 * (second - error);
            upper[i] = (real)(sqrt(most > 0 ? most : 0) * (1 + 1.3e-7) + REAL_MIN);
            lower[i] = (real)((bound > 0 ? sqrt(bound) : 0) * (1 - 1.3e-7));
        }
    }
    return n_undecided;
}

#undef SPARSE_ROWS
#undef SPARSE_PANEL
#undef SPARSE_CACHED
#undef ROWS_CASE
#undef SPARSE_SUMS
#undef PAIRS
#undef SPARSE_AHEAD
#undef SPARSE_CASE
#undef SPARSE_COLUMNS
#undef LONGEST_ROW
#undef LONGEST_CENTROID
#undef NOT_ROUNDED
#undef sparse_packed

#else

/* |c|^2, by sums whose order does not matter: errors are allowed for; and how many coordinates are
 * not zero, NaN too, as where they are listed. `largest` becomes that of it and their magnitudes.
 */
static double NAME(sparse_norm2)(const double *c, ptrdiff_t d, int32_t *count, double *largest)
{
    vec sums[2] = {V_SET1(0), V_SET1(0)}, tops[2] = {V_SET1(*largest), V_SET1(*largest)};
    double total = 0;
    int32_t nonzero = 0;
    ptrdiff_t f = 0;
    for (; f + 2 * LANES <= d; f += 2 * LANES)
        EACH(i, 2) {
            const vec x = V_LOAD(c + f + i * LANES);
            sums[i] = V_FMA(x, x, sums[i]);
            tops[i] = V_MAX(tops[i], V_MAX(x, -x));
        }
    sums[0] += sums[1], tops[0] = V_MAX(tops[0], tops[1]);
    for (int i = 0; i < LANES; i++) {
        total += ((const double *)sums)[i];
        *largest = fmax(*largest, ((const double *)tops)[i]);
    }
    for (; f < d; f++) total += c[f] * c[f], *largest = fmax(*largest, fabs(c[f]));
    for (f = 0; f < d; f++) nonzero += c[f] != 0;
    *count = nonzero;
    return total;
}

#define SPARSE_VECTORS (CKM_SPARSE_WIDTH / LANES)

INLINE void NAME(shared_of_row)(const ckm_csr *X, ptrdiff_t row, int double_values,
                                const int32_t *places, const double *panel, double *products)
{
    vec sums[SPARSE_VECTORS];
    fetch_elements(X, row, double_values);
    EACH(p, SPARSE_VECTORS) sums[p] = V_SET1(0);
    for (ptrdiff_t t = X->starts[row]; t < X->starts[row + 1]; t++) {
        const double *at = panel + (ptrdiff_t)places[X->columns[t]] * CKM_SPARSE_WIDTH;
        const vec x = V_SET1(double_values ? ((const double *)X->values)[t]
                                           : (double)((const float *)X->values)[t]);
        EACH(p, SPARSE_VECTORS) sums[p] += x * V_LOAD(at + p * LANES);
    }
    EACH(p, SPARSE_VECTORS) V_STORE(products + p * LANES, sums[p]);
}

static void NAME(sparse_shared)(const ckm_csr *X, ptrdiff_t first, ptrdiff_t count,
                                const int32_t *places, const double *panel, double *products)
{
    for (ptrdiff_t i = 0; i < count; i++, products += CKM_SPARSE_WIDTH)
        if (X->double_values)
            NAME(shared_of_row)(X, first + i, 1, places, panel, products);
        else
            NAME(shared_of_row)(X, first + i, 0, places, panel, products);
}

/* Sums of (x - c)^2 and of c^2 over the columns of m elements. */
static void NAME(sparse_squares)(const double *values, const int32_t *columns, ptrdiff_t m,
                                 const double *panel, double *squares, double *covered)
{
    vec sums[SPARSE_VECTORS], norms[SPARSE_VECTORS];
    EACH(p, SPARSE_VECTORS) sums[p] = norms[p] = V_SET1(0);
    for (ptrdiff_t t = 0; t < m; t++) {
        const double *at = panel + (ptrdiff_t)columns[t] * CKM_SPARSE_WIDTH;
        const vec x = V_SET1(values[t]);
        EACH(p, SPARSE_VECTORS) {
            const vec c = V_LOAD(at + p * LANES);
            sums[p] += (x - c) * (x - c);
            norms[p] += c * c;
        }
    }
    EACH(p, SPARSE_VECTORS) {
        V_STORE(squares + p * LANES, sums[p]);
        V_STORE(covered + p * LANES, norms[p]);
    }
}

#undef SPARSE_VECTORS

#endif
