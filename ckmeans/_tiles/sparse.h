/* Rows of a CSR matrix against centroids; a part of kernel.h.
 *
 * Lanes are centroids: they lie d-major in panels, so that each element of a row is one multiply-add
 * of a vector, whatever its column. A panel is as wide as its accumulators are registers. Elements
 * and panels are float for labels, with certificates; for seeding and transform() they are double,
 * without FMA, so that the squares have the same bits at every level. */

#if REAL_BITS == 32

#define SPARSE_VECTORS 8 /* of a panel, at most */
#define sparse_packed NAME(sparse_packed)

/* The head of a packed buffer; then half squared norms (stride,), infinite beyond k; then panels
 * (d, vectors * LANES). */
typedef struct {
    ptrdiff_t k, d, vectors, n_panels, stride;
    double radius; /* at least the largest norm */
} sparse_packed;

static void NAME(sparse_shape)(sparse_packed *p, ptrdiff_t k, ptrdiff_t d)
{
    const ptrdiff_t all = (k + LANES - 1) / LANES;
    p->k = k, p->d = d;
    p->n_panels = (all + SPARSE_VECTORS - 1) / SPARSE_VECTORS;
    p->vectors = (all + p->n_panels - 1) / p->n_panels;
    p->stride = p->n_panels * p->vectors * LANES;
}

INLINE ptrdiff_t NAME(sparse_head)(void) { return 64 / (ptrdiff_t)sizeof(real); }

static size_t NAME(sparse_packed_bytes)(ptrdiff_t k, ptrdiff_t d)
{
    sparse_packed p;
    NAME(sparse_shape)(&p, k, d);
    return sizeof(real) * (size_t)(NAME(sparse_head)() + p.stride * (d + 1));
}

#define SPARSE_COLUMNS 64 /* packed at a time: their lines stay in the L1 cache */

/* Eight sums that do not wait for each other; whatever their order, errors are allowed for. */
static double NAME(sparse_norm2)(const double *c, ptrdiff_t d, int32_t *count)
{
    double sums[8] = {0}, total = 0;
    int32_t n = 0;
    ptrdiff_t f = 0;
    for (; f + 8 <= d; f += 8)
        EACH(i, 8) sums[i] += c[f + i] * c[f + i];
    for (; f < d; f++) total += c[f] * c[f];
    for (f = 0; f < d; f++) n += c[f] != 0;
    *count = n;
    for (int i = 0; i < 8; i++) total += sums[i];
    return total;
}

static void NAME(sparse_pack)(const double *centroids, ptrdiff_t k, ptrdiff_t d, void *packed,
                              double *norms2, int32_t *counts)
{
    sparse_packed *p = packed;
    NAME(sparse_shape)(p, k, d);
    real *half_norms = (real *)packed + NAME(sparse_head)();
    const ptrdiff_t width = p->vectors * LANES;
    double largest = 0;
    for (ptrdiff_t j = 0; j < k; j++) {
        norms2[j] = NAME(sparse_norm2)(centroids + j * d, d, counts + j);
        half_norms[j] = (real)(norms2[j] / 2);
        if (norms2[j] > largest) largest = norms2[j];
    }
    for (ptrdiff_t j = k; j < p->stride; j++) half_norms[j] = (real)INFINITY;
    p->radius = sqrt(largest) * (1 + 1e-9);
    for (ptrdiff_t j = 0; j < p->stride; j += width) {
        real *panel = half_norms + p->stride + j * d;
        for (ptrdiff_t f = 0; f < d; f += SPARSE_COLUMNS) {
            const ptrdiff_t end = smaller(d, f + SPARSE_COLUMNS);
            for (ptrdiff_t i = 0; i < width; i++)
                for (ptrdiff_t g = f; g < end; g++)
                    panel[g * width + i] =
                        j + i < k ? (real)centroids[(j + i) * d + g] : (real)0;
        }
    }
}

/* Elements whose panel rows are fetched, where those are long: -20 % at k = 100 and d = 20k, but
 * +5 % at k = 20. */
#define SPARSE_AHEAD 8

/* The scores of a row with the centroids of a panel. */
INLINE void NAME(sparse_dots)(const ckm_csr *X, ptrdiff_t row, int double_values,
                              const real *half_norms, const real *panel, int vectors, real *scores)
{
    vec sums[SPARSE_VECTORS];
    const ptrdiff_t width = vectors * LANES, end = X->starts[row + 1];
    const ptrdiff_t known = X->starts[X->n] - SPARSE_AHEAD; /* the next rows' columns too */
    EACH(p, vectors) sums[p] = V_SET1(0);
    for (ptrdiff_t t = X->starts[row]; t < end; t++) {
        const real *at = panel + X->columns[t] * width;
        const vec x = V_SET1(double_values ? (real)((const double *)X->values)[t]
                                           : ((const real *)X->values)[t]);
        if (vectors > 4) {
            const real *ahead = panel + X->columns[t < known ? t + SPARSE_AHEAD : t] * width;
            EACH(p, vectors) if (p * sizeof(vec) % 64 == 0) prefetch(ahead + p * LANES);
        }
        EACH(p, vectors) sums[p] = V_FMA(x, V_LOAD(at + p * LANES), sums[p]);
    }
    EACH(p, vectors) V_STORE(scores + p * LANES, V_LOAD(half_norms + p * LANES) - sums[p]);
}

#define SPARSE_CASE(n)                                                                             \
    case n:                                                                                        \
        if (X->double_values)                                                                      \
            NAME(sparse_dots)(X, row, 1, half_norms, panel, n, scores);                            \
        else                                                                                       \
            NAME(sparse_dots)(X, row, 0, half_norms, panel, n, scores);                            \
        break;

static void NAME(sparse_panel)(const ckm_csr *X, ptrdiff_t row, const real *half_norms,
                               const real *panel, ptrdiff_t vectors, real *scores)
{
    switch (vectors) {
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

/* scores (stride,) out: |c|^2 / 2 - x.c of one row, infinite beyond k. */
static void NAME(sparse_scores)(const ckm_csr *X, ptrdiff_t row, const sparse_packed *p,
                                real *scores)
{
    const real *half_norms = (const real *)p + NAME(sparse_head)(), *panels = half_norms + p->stride;
    const ptrdiff_t width = p->vectors * LANES;
    for (ptrdiff_t j = 0; j < p->stride; j += width)
        NAME(sparse_panel)(X, row, half_norms + j, panels + j * p->d, p->vectors, scores + j);
}

/* The least score and the next one. */
static int32_t NAME(sparse_least)(const real *scores, ptrdiff_t stride, real *least, real *next)
{
    vec best = V_SET1(INFINITY), second = V_SET1(INFINITY);
    ivec group = NAME(v_bits)(V_SET1(0));
    for (ptrdiff_t j = 0; j < stride; j += LANES) {
        const vec score = V_LOAD(scores + j);
        second = V_MIN(second, V_MAX(best, score));
        group = V_REPLACE_IF_LESS(score, best, (real_bits)(j / LANES), group);
        best = V_MIN(score, best);
    }
    real bests[LANES], seconds[LANES];
    int32_t groups[LANES];
    V_STORE(bests, best), V_STORE(seconds, second), V_STORE_LABELS(groups, group);
    int lane = 0;
    for (int i = 1; i < LANES; i++)
        if (bests[i] < bests[lane]) lane = i;
    *least = bests[lane], *next = seconds[lane];
    for (int i = 0; i < LANES; i++)
        if (i != lane && bests[i] < *next) *next = bests[i];
    return groups[lane] * LANES + lane;
}

/* Half as much as squared distances by the scores, and by any plain float64 sum, may be wrong. */
static double NAME(sparse_error)(const ckm_csr *X, ptrdiff_t row, const void *packed)
{
    const sparse_packed *p = packed;
    const double m = (double)(X->starts[row + 1] - X->starts[row]);
    const double norm = sqrt(X->norms2[row]), radius = p->radius, all = norm + radius;
    if (!(norm < 1e18 && radius < 1e18 && m < 1e5)) return INFINITY;
    return 1.01 * ((m + 8) * REAL_ROUNDOFF * norm * radius + 2 * REAL_ROUNDOFF * radius * radius +
                   ((double)p->d + 16) * 1.2e-16 * all * all + (m + 4) * 0x1p-149 * (1 + all));
}

static ptrdiff_t NAME(sparse_nearest)(const ckm_csr *X, ptrdiff_t first, const int32_t *rows,
                                      ptrdiff_t count, const void *packed, real *scores,
                                      int32_t *labels, real *upper, real *lower,
                                      int32_t *undecided)
{
    const sparse_packed *p = packed;
    ptrdiff_t n_undecided = 0;
    for (ptrdiff_t i = 0; i < count; i++) {
        const ptrdiff_t row = first + (rows ? rows[i] : i);
        real best, second;
        NAME(sparse_scores)(X, row, p, scores);
        labels[i] = NAME(sparse_least)(scores, p->stride, &best, &second);
        const double error = NAME(sparse_error)(X, row, packed);
        undecided[n_undecided] = (int32_t)i;
        n_undecided += !((double)second - (double)best > 2 * error);
        if (upper) {
            const double norm2 = X->norms2[row], most = norm2 + 2 * ((double)best + error);
            const double least = norm2 + 2 * ((double)second - error);
            upper[i] = (real)(sqrt(most > 0 ? most : 0) * (1 + 1.3e-7) + REAL_MIN);
            lower[i] = (real)((least > 0 ? sqrt(least) : 0) * (1 - 1.3e-7));
        }
    }
    return n_undecided;
}

#undef SPARSE_VECTORS
#undef SPARSE_AHEAD
#undef SPARSE_CASE
#undef SPARSE_COLUMNS
#undef sparse_packed

#else

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
