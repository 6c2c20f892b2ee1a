/* Rows that gain from no candidate of k-means++, told by the integers of screen.h; a part of
 * kernel.h.
 *
 * Most rows do not, once there are some centroids: at 100k x 128, k = 256 a candidate is nearer to
 * 1 row in 100. Telling them takes 24 ns a row where seed.h takes 38 (50k x 64, k = 1000: 12 and
 * 20), which then looks at the others alone.
 *
 * With the first centroid as the origin, |x|^2 is what the first step has found out, and a
 * candidate c gains nothing from a row unless x.c > (|x|^2 + |c|^2 - nearest) / 2. Row and
 * candidate are scaled to length LONGEST, by s and t; U and V are their integers. Then
 * |s x.t c - U.V| is at most |s x - U| |t c| + |U| |t c - V|: half a unit a column for the row, and
 * 0.01 that it is rounded to `real` before; measured for the candidate. */

#if SCREENS

#define PIECE (2 * LANES) /* columns in a vector of pairs: f and f + LANES make one */
#define BLOCK_PIECES ((ptrdiff_t)16) /* that a row is rounded in at once */
#define SIFT_ROWS 4 /* 8 take 1.25 times as long from memory: it idles while products are made */
#define SIFT_AHEAD 16 /* rows fetched ahead: 125 instead of 390 ns a row at d = 784 */
#define SIFT_LEAST 1e-30 /* squared norms of candidates: an overflow beyond leaves rows open */
#define SIFT_MOST 1e30
#define SIFT_LANES (WIDE_VECTORS * LANES)
#define sifter NAME(sifter)

/* The head of a packed buffer; then the origin of each piece; then its pairs of candidates, as
 * wide_gains has columns. All of them begin where a cache line does. */
typedef struct {
    real scale[SIFT_LANES], half_norm2[SIFT_LANES], error[SIFT_LANES];
    ptrdiff_t d, t, n_pieces;
    real shrink, grow; /* what rounding can do to squared norms */
} sifter;
#define SIFTER_REALS NAME(padded)((sizeof(sifter) + sizeof(real) - 1) / sizeof(real))

/* The first column of a piece; the last one overlaps its neighbour instead of reading on. */
INLINE ptrdiff_t NAME(piece_at)(ptrdiff_t piece, ptrdiff_t d)
{
    return smaller(piece * PIECE, d - PIECE);
}

INLINE real *NAME(piece_origin)(const sifter *p, ptrdiff_t piece)
{
    return (real *)p + SIFTER_REALS + piece * PIECE;
}

INLINE int32_t *NAME(piece_pairs)(const sifter *p, ptrdiff_t piece, const int lanes)
{
    return (int32_t *)NAME(piece_origin)(p, p->n_pieces) + piece * LANES * lanes;
}

static size_t NAME(sift_bytes)(ptrdiff_t d)
{
    const ptrdiff_t n_pieces = (d + PIECE - 1) / PIECE;
    if (d < PIECE) return 0;
    return (size_t)(SIFTER_REALS + n_pieces * PIECE) * sizeof(real) +
           (size_t)(n_pieces * LANES * SIFT_LANES) * sizeof(int32_t);
}

/* Candidate j's integers into its lanes, and what is to know of them. */
static void NAME(pack_sifted)(sifter *p, int j, const double *candidate, const double *origin,
                              const int lanes)
{
    const int beside = NAME(columns_beside)(lanes);
    const ptrdiff_t d = p->d;
    double norm2 = 0, lost2 = 0;
    for (ptrdiff_t f = 0; f < d; f++)
        norm2 += (candidate[f] - origin[f]) * (candidate[f] - origin[f]);
    const real scale = (real)(LONGEST / sqrt(norm2));
    if (!(norm2 > SIFT_LEAST && norm2 < SIFT_MOST)) {
        p->t = 0;
        return;
    }
    for (ptrdiff_t piece = 0; piece < p->n_pieces; piece++) {
        const ptrdiff_t first = NAME(piece_at)(piece, d);
        int32_t *pairs = NAME(piece_pairs)(p, piece, lanes);
        for (ptrdiff_t i = 0; i < PIECE; i++) {
            const ptrdiff_t f = first + i, pair = i % LANES;
            const double v = (candidate[f] - origin[f]) * (double)scale;
            const int32_t whole = f < piece * PIECE ? 0 : (int32_t)(v < 0 ? v - 0.5 : v + 0.5);
            int32_t *to = pairs + pair / beside * beside * lanes + j * beside + pair % beside;
            lost2 += f < piece * PIECE ? 0 : (v - whole) * (v - whole);
            *to = i < LANES ? whole & 0xFFFF : (int32_t)((uint32_t)*to | (uint32_t)whole << 16);
        }
    }
    /* 200: sums of integers and their limits, below 2^31, are rounded to float32. */
    const double longest = LONGEST * 1.00001, lost = 0.51 * sqrt((double)d);
    const double error = lost * longest + (longest + lost) * (sqrt(lost2) + 0.001) + 200;
    for (int lane = j * beside; lane < (j + 1) * beside; lane++) {
        p->scale[lane] = scale;
        p->half_norm2[lane] = (real)(0.5 * norm2 * (double)scale) * p->shrink;
        p->error[lane] = NAME(rounded_up)(error);
    }
}

/* Returns whether these candidates are sifted by integers: few of them take less time than rounding
 * the rows. */
static int NAME(pack_sift)(const double *candidates, ptrdiff_t t, ptrdiff_t d,
                           const double *origin, void *packed)
{
    sifter *p = packed;
    const int lanes = NAME(candidate_lanes)(t);
    if (lanes <= 4) return 0;
    /* |x|^2 is a float32; each of the three squares goes through a few roundings of a real. */
    const double rounding = 16 * 0x1p-24 + 4 * (double)(d + 8) * 0x1p-53;
    p->d = d;
    p->t = t;
    p->n_pieces = (d + PIECE - 1) / PIECE;
    p->shrink = (real)(1 - rounding);
    p->grow = (real)(1 + rounding);
    for (ptrdiff_t piece = 0; piece < p->n_pieces; piece++)
        for (ptrdiff_t i = 0; i < PIECE; i++)
            NAME(piece_origin)(p, piece)[i] = (real)origin[NAME(piece_at)(piece, d) + i];
    for (int j = 0; j < lanes; j++)
        NAME(pack_sifted)(p, j, candidates + (j < t ? j : 0) * d, origin, lanes);
    return p->t > 0;
}

typedef int64_t NAME(pairs_of_ints) __attribute__((vector_size(LANES * sizeof(int32_t))));

/* n integers, 1 or 2, over and over; and every lane the sum over the n that it is one of. */
INLINE ints NAME(i_repeat)(const int32_t *from, int n)
{
    int64_t both;
    if (n == 1) return NAME(i_set1)(*from);
    memcpy(&both, from, sizeof both);
    return (ints)(both - (NAME(pairs_of_ints)){0});
}

INLINE ints NAME(i_sum_neighbours)(ints a, int n)
{
    return n == 1 ? a : a + (ints)I(shuffle_epi32)((I_TYPE)a, 0xB1);
}

/* PIECE columns of a row less the origin, times its scale. */
INLINE ints NAME(round_piece)(const real *x, const real *origin, vec scale)
{
    return NAME(pair_of_ints)(
        NAME(i_rounded)((V_LOAD(x) - V_LOAD(origin)) * scale),
        NAME(i_rounded)((V_LOAD(x + LANES) - V_LOAD(origin + LANES)) * scale));
}

/* Pieces first..first+n-1 of a row. */
INLINE void NAME(round_row)(ints *q, const real *row, const sifter *p, ptrdiff_t first,
                            ptrdiff_t n, real scale)
{
    const vec s = V_SET1(scale);
    const real *origin = NAME(piece_origin)(p, first);
    const int ends = first + n == p->n_pieces;
    ptrdiff_t i = 0;
    for (; i < n - ends; i++)
        q[i] = NAME(round_piece)(row + (first + i) * PIECE, origin + i * PIECE, s);
    if (ends) q[i] = NAME(round_piece)(row + p->d - PIECE, origin + i * PIECE, s);
}

/* The scales of n rows, and (|x|^2 - nearest) / 2 at them. */
static void NAME(weigh_rows)(const int32_t *listed, ptrdiff_t i, ptrdiff_t n,
                             const double *nearest, const float *norms2, const sifter *p,
                             real *scale, real *excess)
{
    for (ptrdiff_t r = 0; r < n; r++) scale[r] = norms2[listed ? listed[i + r] : i + r];
    for (ptrdiff_t r = 0; r < n; r++) excess[r] = (real)nearest[listed ? listed[i + r] : i + r];
    for (ptrdiff_t r = 0; r < n; r += LANES) { /* the arrays are whole vectors */
        const vec norm2 = V_LOAD(scale + r), near = V_LOAD(excess + r);
        const vec s = V_SET1(LONGEST) / V_SQRT(V_MAX(norm2, V_SET1((real)SIFT_LEAST)));
        V_STORE(scale + r, s);
        V_STORE(excess + r, (norm2 * p->shrink - near * p->grow) * (s * (real)0.5));
    }
}

/* The sums of products of a tile's rows with the candidates. (Whole rows at once, as far as the
 * stack allows: a piece of every row in turn took four times as long from memory.) */
INLINE void NAME(multiply_rows)(ints (*sums)[WIDE_VECTORS], const real *const *rows,
                                const real *scale, const sifter *p, int in_turn, const int lanes)
{
    const int beside = NAME(columns_beside)(lanes), vectors = NAME(vectors_of)(lanes);
    const int32_t *c = NAME(piece_pairs)(p, 0, lanes);
    ints q[SIFT_ROWS][BLOCK_PIECES];
    uintptr_t ahead = (uintptr_t)(rows[0] + SIFT_AHEAD * p->d);
    EACH(r, SIFT_ROWS)
        EACH(v, vectors) sums[r][v] = NAME(i_set1)(0);
    for (ptrdiff_t first = 0; first < p->n_pieces; first += BLOCK_PIECES) {
        const ptrdiff_t pieces = smaller(BLOCK_PIECES, p->n_pieces - first);
        for (int r = 0; r < SIFT_ROWS; r++)
            NAME(round_row)(q[r], rows[r], p, first, pieces, scale[r]);
        for (ptrdiff_t f = 0; f < pieces * LANES; f += beside) {
            if (in_turn) prefetch(ahead);
            ahead += (size_t)(2 * SIFT_ROWS * beside) * sizeof(real);
            EACH(v, vectors) {
                ints pairs;
                memcpy(&pairs, c, sizeof pairs);
                c += LANES;
                EACH(r, SIFT_ROWS) {
                    const ints x = NAME(i_repeat)((const int32_t *)q[r] + f, beside);
                    sums[r][v] = NAME(i_products)(sums[r][v], x, pairs);
                }
            }
        }
    }
}

/* Whether a row may gain from some candidate. */
INLINE int NAME(may_gain)(const ints *sums, real scale, real excess, const sifter *p,
                          const int lanes)
{
    const int beside = NAME(columns_beside)(lanes), vectors = NAME(vectors_of)(lanes);
    unsigned certain = ALL_LANES;
    EACH(v, vectors) {
        const vec product = NAME(v_from_ints)(NAME(i_sum_neighbours)(sums[v], beside));
        const vec half = V_LOAD(p->half_norm2 + v * LANES), error = V_LOAD(p->error + v * LANES);
        const vec limit = V_FMA(V_LOAD(p->scale + v * LANES), V_SET1(excess),
                                V_FMA(half, V_SET1(scale), -error));
        certain &= V_LESS_BITS(product, limit);
    }
    return certain != ALL_LANES;
}

/* `sift` for one number of lanes. */
INLINE ptrdiff_t NAME(sift_rows)(const real *X, const int32_t *at, const int32_t *listed,
                                 ptrdiff_t m, const double *nearest, const float *norms2,
                                 const sifter *p, int32_t *survivors, const int lanes)
{
    real scale[CKM_CELL_ROWS] = {0}, excess[CKM_CELL_ROWS] = {0};
    ptrdiff_t count = 0;
    for (ptrdiff_t i = 0; i < m; i += SIFT_ROWS) {
        const ptrdiff_t place = i % CKM_CELL_ROWS;
        const real *rows[SIFT_ROWS];
        ints sums[SIFT_ROWS][WIDE_VECTORS];
        if (place == 0)
            NAME(weigh_rows)(listed, i, smaller(CKM_CELL_ROWS, m - i), nearest, norms2, p, scale,
                             excess);
        for (ptrdiff_t r = i + SIFT_AHEAD; at && r < smaller(i + SIFT_AHEAD + SIFT_ROWS, m); r++)
            for (ptrdiff_t f = 0; f < p->d; f += (ptrdiff_t)(64 / sizeof(real)))
                prefetch(X + at[r] * p->d + f);
        EACH(r, SIFT_ROWS) {
            const ptrdiff_t row = smaller(i + r, m - 1); /* the last stands in for those beyond */
            rows[r] = X + (at ? at[row] : row) * p->d;
        }
        NAME(multiply_rows)(sums, rows, scale + place, p, !at, lanes);
        unsigned open = 0;
        EACH(r, SIFT_ROWS) {
            const int may =
                NAME(may_gain)(sums[r], scale[place + r], excess[place + r], p, lanes);
            open |= (unsigned)may << r;
        }
        if (m - i < SIFT_ROWS) open &= (1u << (m - i)) - 1;
        for (; open; open &= open - 1) {
            const ptrdiff_t row = i + lowest_bit(open);
            survivors[count++] = listed ? listed[row] : (int32_t)row;
        }
    }
    return count;
}

static ptrdiff_t NAME(sift)(const real *X, const int32_t *at, const int32_t *listed, ptrdiff_t m,
                            const double *nearest, const float *norms2, const void *packed,
                            int32_t *survivors)
{
    const sifter *p = packed;
#define CASE(lanes)                                                                                \
    case lanes:                                                                                    \
        return NAME(sift_rows)(X, at, listed, m, nearest, norms2, p, survivors, lanes);
    switch (NAME(candidate_lanes)(p->t)) {
        CASE(8)
        CASE(16)
    default:
        return NAME(sift_rows)(X, at, listed, m, nearest, norms2, p, survivors,
                               CKM_MOST_CANDIDATES);
    }
#undef CASE
}

#undef PIECE
#undef BLOCK_PIECES
#undef SIFT_LEAST
#undef SIFT_MOST
#undef SIFT_LANES
#undef sifter

static const sift_table NAME(sifting) = {NAME(sift_bytes), NAME(pack_sift), NAME(sift)};

#endif
