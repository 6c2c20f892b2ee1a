/* Nearest centroids for one (level, real) pair; a template that level.h includes for float and
 * double.
 *
 * Lanes are points. A tile of TILE rows is transposed into an L1 buffer; the centroids stream past
 * it in groups of GROUP, and GROUP x VECTORS accumulators in registers take one multiply-add a
 * column. The transposition costs about a quarter of a cycle an element, whatever k is; in return
 * every k and d fills the lanes, and nothing is reduced across them.
 *
 * Scores are half-expanded, s = |c|^2 / 2 - x.c, since |x|^2 changes no comparison: differences
 * (x - c)^2 take 1.2 to 1.4 times as long, at d = 2 already. Their rounding errors are relative to
 * |x|^2 + |c|^2; a tile that they leave largely undecided is scored again with differences, whose
 * errors are relative to the distance itself. */

#include "lanes.h"

#define TILE (VECTORS * LANES)
#define NO_CENTROID (REAL_MAX / 2)

/* Columns a tile holds, and groups whose partial scores fit beside it: at most 24 + 24 KB of stack.
 * The sums of a block of columns start at zero, which also keeps the bound on their rounding errors
 * small. */
#define BLOCK_COLUMNS ((ptrdiff_t)128)
#define BLOCK_GROUPS ((ptrdiff_t)(24576 / (GROUP * TILE * sizeof(real))))

#if REAL_BITS == 32
#define level_drifts ckm_drifts_f32
#define level_table table_f32
#define update_table update_f32
#define sift_table sift_f32
#define NATIVE CKM_FLOAT32
#else
#define level_drifts ckm_drifts_f64
#define level_table table_f64
#define update_table update_f64
#define sift_table sift_f64
#define NATIVE CKM_FLOAT64
#endif
#define NARROW_MAX 8      /* columns of narrow.h */
#define NARROW_TOGETHER 4 /* of those whose vectors of rows all fit into registers */

/* few.h: at most FEW_MAX centroids of at least FEW_COLUMNS columns, FEW_GROUP at a time. */
#define FEW_MAX CKM_FEW
#define FEW_HEAD 16 /* half squared norms before them: whole cache lines */
#define FEW_COLUMNS CKM_LONG
#define FEW_GROUP 5

_Static_assert(LANES % FEW_ROWS == 0, "few.h takes a vector of rows in whole steps");

#define packed_centroids NAME(packed_centroids)
#define tile_state NAME(tile_state)

/* The head of a packed buffer; then shift (d,); then either groups of GROUP half squared norms and
 * d-major coordinates (d, GROUP), the last one filled up with NO_CENTROID; or, for few.h, FEW_HEAD
 * half squared norms, FEW_MAX rows of few_stride coordinates, and a row of ones and zeros. Behind
 * groups of up to NARROW_TOGETHER columns lie the same ones with a vector for each number. */
typedef struct {
    ptrdiff_t k, d, n_groups;
    ptrdiff_t shift_at, groups_at; /* in reals from the start of the buffer */
    ptrdiff_t few_stride;          /* reals between rows of the few layout; 0 for groups */
    ptrdiff_t few_origin;          /* the centroid that changes places with the first */
    ptrdiff_t few_first;           /* the first place whose products are not zeros: 0 or 1 */
    ptrdiff_t screen_at;           /* the integers of screen.h, in reals as above; 0 without */
    ptrdiff_t spread_at;           /* the groups as vectors, likewise */
    real radius2;                  /* at least the largest squared norm */
    /* screen.h: the scale of the centroids; the error of a score is |x| at the row's scale times
     * centroid_lost, the length that the row loses times row_lost, and screen_error. */
    real screen_scale, centroid_lost, row_lost, screen_error;
    /* |error| <= expanded_slack * 4 (|x|^2 + radius2) + tiny; of few.h's differences of scores,
     * product_slack * 4 (2 |x| radius + radius2) + reference_slack * 4 (|x|^2 + radius2) + tiny */
    real expanded_slack, product_slack, reference_slack, radius, tiny;
    /* shrink * s - wander * sqrt(s) - direct_slack <= exact
                                      exact <= grow * s + wander * sqrt(s) + direct_slack */
    real grow, shrink, wander, direct_slack;
} packed_centroids;

/* Element (i, f) of rows is rows[i * by->row + f * by->column]; one of the steps is 1. Where rows
 * are listed, row i is listed[i] instead: more than a tile of them at once is for few.h alone. (A
 * struct by value costs up to 0.4 ns a row.) */
#define steps NAME(steps)
typedef struct {
    ptrdiff_t row, column;
    const int32_t *listed; /* or NULL */
    const ckm_rest *rest;  /* what follows, if these are a piece of more, or NULL */
} steps;

typedef struct {
    vec x[BLOCK_COLUMNS][VECTORS];
    vec norm2[VECTORS];
    vec best[VECTORS], second[VECTORS]; /* scores so far, tagged with the place in the group */
    ivec group[VECTORS];                /* the best one's */
    int32_t labels[TILE];               /* instead, where scores are integers; their unit, and */
    real unit;                          /* how far the squared distances are out */
    real *scores;                       /* (TILE, CKM_SCORES) out, where few.h is asked for them */
    vec error[VECTORS];
} tile_state;

/* screen.h: rows and centroids as integers. */
#define SCREENS (VECTOR_BYTES == 64)
#define SCREEN_GROUPS ((ptrdiff_t)12) /* whose scores fit on the stack */
#define LONGEST CKM_ROUNDED_LONGEST /* of a row or centroid: 3/2 of its square are below 2^31 */
#define FILLER 0x7FFFFF00 /* the score of what fills the last group */

#include "pack.h"

/* How far the difference of two expanded scores may be out. */
INLINE vec NAME(slack_between)(vec norm2, const packed_centroids *p)
{
    const vec norms2 = (norm2 + V_SET1(p->radius2)) * V_SET1(4), tiny = V_SET1(p->tiny);
    if (!p->few_stride) return V_FMA(norms2, V_SET1(p->expanded_slack), tiny);
    const vec products = V_FMA(V_SQRT(norm2 + tiny), V_SET1(2 * p->radius), V_SET1(p->radius2));
    return V_FMA(products * V_SET1(4), V_SET1(p->product_slack),
                 V_FMA(norms2, V_SET1(p->reference_slack), tiny));
}

/* n columns of `vectors` vectors of rows, `step` apart, transposed: x[f * vectors + v]. */
INLINE void NAME(load_columns)(vec *x, int vectors, const real *rows, ptrdiff_t step, ptrdiff_t n)
{
    EACH(v, vectors) {
        const real *vector_rows = rows + v * LANES * step;
        if (n < CHUNK && step == n) {
            V_LOAD_NARROW(x + v, vectors, vector_rows, n);
            continue;
        }
        if (n < CHUNK) { /* reads on: see is_loose */
            vec columns[CHUNK];
            V_LOAD_CHUNK(columns, vector_rows, step);
            EACH(f, n) x[f * vectors + v] = columns[f];
            continue;
        }
        for (ptrdiff_t f = 0; f < n; f += CHUNK) {
            vec columns[CHUNK];
            /* The last chunk overlaps its neighbour instead of reading on. */
            const ptrdiff_t first = f + CHUNK <= n ? f : n - CHUNK;
            V_LOAD_CHUNK(columns, vector_rows + first, step);
            EACH(i, CHUNK) x[(first + i) * vectors + v] = columns[i];
        }
    }
}

/* All d columns of rows without space between them, where the compiler knows d. */
INLINE void NAME(load_whole)(vec *x, int vectors, const real *rows, const ptrdiff_t d)
{
#if VECTOR_BYTES == 64
    if (d == 2 || d == 3) {
        EACH(v, vectors) V_LOAD_PERMUTED(x + v, vectors, rows + v * LANES * d, (int)d);
        return;
    }
#endif
    NAME(load_columns)(x, vectors, rows, d, d);
}

INLINE void NAME(load_full_tile)(vec (*x)[VECTORS], const real *rows, const steps *by, ptrdiff_t n)
{
    if (by->column == 1)
        NAME(load_columns)(&x[0][0], VECTORS, rows, by->row, n);
    else /* lanes are rows, side by side already */
        for (ptrdiff_t f = 0; f < n; f++)
            EACH(v, VECTORS) x[f][v] = V_LOAD(rows + f * by->column + v * LANES);
}

/* A vector that holds a row of fewer columns than a chunk reads beyond it: not at the end of X. */
INLINE int NAME(is_loose)(const steps *by, ptrdiff_t d)
{
    return d < CHUNK && by->column == 1 && by->row != d;
}

/* m <= TILE rows; the missing ones repeat the last. */
static void NAME(load_short_tile)(tile_state *tile, const real *rows, const steps *by, ptrdiff_t m,
                                  ptrdiff_t n)
{
    real *x = (real *)tile->x;
    for (ptrdiff_t i = 0; i < TILE; i++) {
        const ptrdiff_t at = i < m ? i : m - 1;
        const real *row = rows + (by->listed ? by->listed[at] : at) * by->row;
        for (ptrdiff_t f = 0; f < n; f++)
            memcpy(x + f * TILE + i, (const char *)(row + f * by->column), sizeof(real));
    }
}

/* n columns of a tile less their shifts, added to the rows' squared norms where asked to. */
INLINE void NAME(shift_tile)(tile_state *tile, const real *shift, ptrdiff_t n, int measure)
{
    vec norm2[VECTORS];
    EACH(v, VECTORS) norm2[v] = V_SET1(0);
    for (ptrdiff_t f = 0; f < n; f++) {
        const vec origin = V_SET1(shift[f]);
        EACH(v, VECTORS) {
            const vec x = tile->x[f][v] - origin;
            tile->x[f][v] = x;
            norm2[v] = V_FMA(x, x, norm2[v]);
        }
    }
    EACH(v, VECTORS)
        if (measure) tile->norm2[v] += norm2[v];
}

/* Columns first..first+n-1 of m rows: transposed, shifted, and measured where asked to. */
INLINE void NAME(load_tile)(tile_state *tile, const real *rows, const steps *by, ptrdiff_t m,
                            const packed_centroids *p, ptrdiff_t first, ptrdiff_t n, int measure)
{
    if (m >= TILE && !by->listed)
        NAME(load_full_tile)(tile->x, rows + first * by->column, by, n);
    else
        NAME(load_short_tile)(tile, rows + first * by->column, by, m, n);
    NAME(shift_tile)(tile, (const real *)p + p->shift_at + first, n, measure);
}

/* The share of group g of n_groups in fetching n columns of the TILE rows that are loaded next:
 * memory works while the sums do (-13 % at 100k x 128, k = 256). */
INLINE void NAME(fetch_ahead)(const real *rows, const steps *by, ptrdiff_t n, ptrdiff_t g,
                              ptrdiff_t n_groups)
{
    const ptrdiff_t line = 64 / sizeof(real);
    if (by->column == 1)
        for (ptrdiff_t i = TILE * g / n_groups; i < TILE * (g + 1) / n_groups; i++) {
            for (ptrdiff_t f = 0; f < n; f += line)
                prefetch((uintptr_t)(rows + i * by->row) + f * sizeof(real));
            if (by->row > n) prefetch((uintptr_t)(rows + i * by->row + n - 1));
        }
    else
        for (ptrdiff_t f = n * g / n_groups; f < n * (g + 1) / n_groups; f++)
            for (ptrdiff_t i = 0; i < TILE; i += line)
                prefetch((uintptr_t)(rows + f * by->column) + i * sizeof(real));
}

/* The same for the rows after the first of m tiles; or, if it is the last, of what follows. */
INLINE void NAME(fetch_next)(const real *rows, const steps *by, ptrdiff_t m, ptrdiff_t d,
                             ptrdiff_t g, ptrdiff_t n_groups)
{
    if (m >= 2 * TILE)
        NAME(fetch_ahead)(rows + TILE * by->row, by, d, g, n_groups);
    else if (m <= TILE && by->rest)
        fetch_share(by->rest, g, n_groups);
}

INLINE void NAME(start_tile)(tile_state *tile)
{
    EACH(v, VECTORS) {
        tile->best[v] = tile->second[v] = V_TAG(V_SET1(NO_CENTROID), 0);
        tile->group[v] = V_TAG_OF(V_SET1(0));
        tile->norm2[v] = V_SET1(0);
    }
}

/* `direct` counts up from zero, but keeps the centroids that fill the last group at NO_CENTROID. */
INLINE void NAME(start_scores)(vec score[GROUP][VECTORS], const real *half_norm2, int width,
                               int direct)
{
    EACH(j, width) {
        const vec start = V_SET1(direct && half_norm2[j] != NO_CENTROID ? 0 : half_norm2[j]);
        EACH(v, VECTORS) score[j][v] = start;
    }
}

/* n columns of a tile times those of `width` centroids, in registers. */
INLINE void NAME(add_columns)(vec score[GROUP][VECTORS], vec (*x)[VECTORS], const real *c,
                              ptrdiff_t n, int width, int direct)
{
    for (ptrdiff_t f = 0; f < n; f++, c += GROUP)
        EACH(j, width) {
            const vec cj = V_SET1(c[j]);
            EACH(v, VECTORS) {
                if (direct) {
                    const vec t = x[f][v] - cj;
                    score[j][v] = V_FMA(t, t, score[j][v]);
                } else {
                    score[j][v] = V_FNMA(x[f][v], cj, score[j][v]);
                }
            }
        }
}

/* Carries the two best scores on over `width` centroids. */
INLINE void NAME(keep_two)(tile_state *tile, vec score[GROUP][VECTORS], ptrdiff_t group, int width)
{
    EACH(v, VECTORS) {
        const vec before = tile->best[v];
        vec best = before, second = tile->second[v];
        EACH(j, width) {
            const vec s = V_TAG(score[j][v], j);
            second = V_MIN(V_MAX(s, best), second);
            best = V_MIN(s, best);
        }
        tile->best[v] = best;
        tile->second[v] = second;
        tile->group[v] = V_REPLACE_IF_LESS(best, before, (real_bits)group, tile->group[v]);
    }
}

INLINE void NAME(score_group)(tile_state *tile, const real *group, ptrdiff_t g, ptrdiff_t d,
                              int width)
{
    vec score[GROUP][VECTORS];
    NAME(start_scores)(score, group, width, 0);
    NAME(add_columns)(score, tile->x, group + GROUP, d, width, 0);
    NAME(keep_two)(tile, score, g, width);
}

/* The two best scores of every row of a tile that is loaded, for d <= BLOCK_COLUMNS. */
INLINE void NAME(score_loaded)(tile_state *tile, const real *rows, const steps *by, ptrdiff_t m,
                               const packed_centroids *p)
{
    const ptrdiff_t d = p->d;
    const real *group = (const real *)p + p->groups_at;
    const ptrdiff_t n_whole = (p->k + GROUP / 2 - 1) / GROUP; /* the last group may be half empty */
    for (ptrdiff_t g = 0; g < n_whole; g++, group += GROUP * (d + 1)) {
        NAME(fetch_next)(rows, by, m, d, g, n_whole);
        NAME(score_group)(tile, group, g, d, GROUP);
    }
    if (n_whole < p->n_groups) NAME(score_group)(tile, group, n_whole, d, GROUP / 2);
}

static void NAME(score_tile)(tile_state *tile, const real *rows, const steps *by, ptrdiff_t m,
                             const packed_centroids *p)
{
    NAME(start_tile)(tile);
    NAME(load_tile)(tile, rows, by, m, p, 0, p->d, 1);
    NAME(score_loaded)(tile, rows, by, m, p);
}

/* The same for any d: BLOCK_GROUPS groups at a time keep their scores in memory while the columns
 * pass. */
INLINE void NAME(score_long_tile)(tile_state *tile, const real *rows, const steps *by, ptrdiff_t m,
                                  const packed_centroids *p, int direct)
{
    const ptrdiff_t d = p->d, n_groups = p->n_groups;
    const ptrdiff_t n_blocks = (d + BLOCK_COLUMNS - 1) / BLOCK_COLUMNS;
    vec score[BLOCK_GROUPS][GROUP][VECTORS];

    NAME(start_tile)(tile);
    for (ptrdiff_t g0 = 0; g0 < n_groups; g0 += BLOCK_GROUPS) {
        const ptrdiff_t n = g0 + BLOCK_GROUPS < n_groups ? BLOCK_GROUPS : n_groups - g0;
        const real *group = (const real *)p + p->groups_at + g0 * GROUP * (d + 1);
        for (ptrdiff_t g = 0; g < n; g++)
            NAME(start_scores)(score[g], group + g * GROUP * (d + 1), GROUP, direct);
        for (ptrdiff_t b = 0; b < n_blocks; b++) {
            /* Balanced: none has fewer columns than a chunk. */
            const ptrdiff_t f = d * b / n_blocks, columns = d * (b + 1) / n_blocks - f;
            const int last_groups = g0 + n == n_groups, last_columns = f + columns == d;
            const real *next = !last_columns ? rows + (f + columns) * by->column
                               : last_groups ? rows + TILE * by->row
                                             : rows;
            NAME(load_tile)(tile, rows, by, m, p, f, columns, g0 == 0);
            for (ptrdiff_t g = 0; g < n; g++) {
                if (m >= 2 * TILE) NAME(fetch_ahead)(next, by, d / n_blocks, g, n);
                vec sums[GROUP][VECTORS];
                EACH(j, GROUP)
                    EACH(v, VECTORS) sums[j][v] = V_SET1(0);
                NAME(add_columns)(sums, tile->x, group + g * GROUP * (d + 1) + GROUP * (1 + f),
                                  columns, GROUP, direct);
                EACH(j, GROUP)
                    EACH(v, VECTORS) score[g][j][v] += sums[j][v];
            }
        }
        for (ptrdiff_t g = 0; g < n; g++) NAME(keep_two)(tile, score[g], g0 + g, GROUP);
    }
}

#include "narrow.h"
#include "few.h"
#include "screen.h"

/* Leaves the two best scores of the first TILE of m rows in `tile`. */
typedef void NAME(scorer)(tile_state *tile, const real *rows, const steps *by, ptrdiff_t m,
                          const packed_centroids *p);

static void NAME(score_long_expanded)(tile_state *tile, const real *rows, const steps *by,
                                      ptrdiff_t m, const packed_centroids *p)
{
    NAME(score_long_tile)(tile, rows, by, m, p, 0);
}

static NOINLINE void NAME(score_direct)(tile_state *tile, const real *rows, const steps *by,
                                        ptrdiff_t m, const packed_centroids *p)
{
    if (p->few_stride)
        NAME(score_few_rows)(tile, rows, by, m, p, 1, 1);
    else
        NAME(score_long_tile)(tile, rows, by, m, p, 1);
}

static NAME(scorer) *NAME(scorer_for)(const packed_centroids *p)
{
    static NAME(scorer) *const narrow[] = {
        NULL,                 NAME(score_narrow_1), NAME(score_narrow_2),
        NAME(score_narrow_3), NAME(score_narrow_4), NAME(score_narrow_5),
        NAME(score_narrow_6), NAME(score_narrow_7), NAME(score_narrow_8),
    };
    if (p->few_stride) return NAME(score_few_tile);
    if (p->d <= NARROW_MAX) return narrow[p->d];
    return p->d <= BLOCK_COLUMNS ? NAME(score_tile) : NAME(score_long_expanded);
}

INLINE void NAME(give_labels)(const tile_state *tile, int v, int32_t *labels)
{
    const ivec tags = V_TAG_OF(tile->best[v]);
    V_STORE_LABELS(labels + v * LANES, tile->group[v] * (real_bits)GROUP + tags);
}

/* Writes TILE labels by expanded scores; returns how many are not certified. The gap between the
 * two best scores tells as much as their bounds do (-3 % of a tile at d = 2 and 3, k = 10 and 16). */
INLINE int NAME(certified_labels)(const tile_state *tile, const packed_centroids *p,
                                  int32_t *labels)
{
    int certified = 0;
    EACH(v, VECTORS) {
        const vec slack = NAME(slack_between)(tile->norm2[v], p);
        NAME(give_labels)(tile, v, labels);
        certified += popcount(V_LESS_BITS(slack, tile->second[v] - tile->best[v]));
    }
    return TILE - certified;
}

/* Writes TILE labels and bounds (see certify in pack.h); returns how many rows are not certified.
 */
INLINE int NAME(certified_bounds)(const tile_state *tile, const packed_centroids *p, int scored,
                                  int32_t *labels, real *least2, real *upper2, real *lower2)
{
    int certified = 0;
    EACH(v, VECTORS) {
        const vec best = tile->best[v], second = tile->second[v], norm2 = tile->norm2[v];
        vec least, upper, lower;
        if (scored == DIRECT) {
            /* Times 4 and back: a best of at least REAL_MAX / 4 becomes infinite. */
            const vec slack = V_SET1(p->direct_slack), wander = V_SET1(p->wander);
            upper = V_FMA(best, V_SET1(p->grow), V_FMA(V_SQRT(best), wander, slack));
            upper = upper * V_SET1(4) * V_SET1((real)0.25);
            lower = V_FNMA(V_SQRT(second), wander, second * V_SET1(p->shrink)) - slack;
            least = V_FNMA(V_SQRT(best), wander, best * V_SET1(p->shrink)) - slack;
        } else {
            const vec norms2 = (norm2 + V_SET1(p->radius2)) * V_SET1(4);
            const vec unit = V_SET1(scored == SCREENED ? tile->unit : 2);
            const vec error = scored == SCREENED ? tile->error[v] : V_SET1(p->tiny);
            const vec slack = V_FMA(norms2, V_SET1(p->expanded_slack), error);
            upper = V_FMA(unit, best, norm2) + slack;
            lower = V_FMA(unit, second, norm2) - slack;
            least = V_FMA(unit, best, norm2) - slack;
        }
        lower = p->k > 1 ? V_MAX(lower, V_SET1(0)) : V_SET1((real)INFINITY);
        V_STORE(least2 + v * LANES, V_MAX(least, V_SET1(0)));
        V_STORE(upper2 + v * LANES, upper);
        V_STORE(lower2 + v * LANES, lower);
        if (scored == SCREENED)
            memcpy(labels + v * LANES, tile->labels + v * LANES, LANES * sizeof *labels);
        else
            NAME(give_labels)(tile, v, labels);
        certified += popcount(V_LESS_BITS(upper, lower));
    }
    return TILE - certified;
}

INLINE ptrdiff_t NAME(append_undecided)(int32_t *rows, ptrdiff_t count, ptrdiff_t first,
                                        ptrdiff_t n, const real *upper2, const real *lower2)
{
    for (ptrdiff_t r = 0; r < n; r++) {
        rows[count] = (int32_t)(first + r);
        count += !(upper2[r] < lower2[r]);
    }
    return count;
}

/* n rows one after another, and zeros up to a full tile of them. */
static void NAME(copy_rows)(real *out, const real *rows, const steps *by, ptrdiff_t n, ptrdiff_t d)
{
    memset(out, 0, (size_t)(TILE * d) * sizeof(real));
    for (ptrdiff_t i = 0; i < n; i++)
        for (ptrdiff_t f = 0; f < d; f++)
            memcpy(out + i * d + f, (const char *)(rows + i * by->row + f * by->column),
                   sizeof(real));
}

/* What nearest() writes of each row; see tiles.h. */
#define answers NAME(answers)
typedef struct {
    int32_t *labels;
    real *least2, *upper2, *lower2, *scores;
} answers;

/* Those of the first n rows of a tile. */
INLINE void NAME(give)(const answers *to, ptrdiff_t first, ptrdiff_t n, const int32_t *labels,
                       const real *least, const real *upper, const real *lower)
{
    memcpy(to->labels + first, labels, (size_t)n * sizeof *labels);
    if (to->least2) memcpy(to->least2 + first, least, (size_t)n * sizeof *least);
    if (!to->upper2) return;
    memcpy(to->upper2 + first, upper, (size_t)n * sizeof *upper);
    memcpy(to->lower2 + first, lower, (size_t)n * sizeof *lower);
}

/* Rows first..m-1 by scores that are half expanded; a tile that these leave largely undecided by
 * differences at once, until they decide less than half of what they were asked to. Appends to the
 * undecided. */
static ptrdiff_t NAME(nearest_by_reals)(const real *X, const steps *given, ptrdiff_t first,
                                        ptrdiff_t m, const packed_centroids *p, const answers *to,
                                        int32_t *undecided, ptrdiff_t n_undecided,
                                        tile_state *tile)
{
    NAME(scorer) *score_expanded = NAME(scorer_for)(p);
    const steps packed_steps = {p->d, 1, NULL, NULL};
    /* Rows that narrow.h reads in place are followed by as many. */
    const ptrdiff_t at_least = NAME(is_loose)(given, p->d) ? TILE + CHUNK : TILE;
    int direct_pays = 1;

    for (ptrdiff_t i = first; i < m; i += TILE) {
        const ptrdiff_t left = m - i, n = left < TILE ? left : TILE;
        const steps from_here = {given->row, given->column,
                                 given->listed ? given->listed + i : NULL, NULL};
        const real *rows = given->listed ? X : X + i * given->row;
        const steps *by = given->listed ? &from_here : given;
        const int in_place = to->upper2 && n == TILE;
        int32_t short_labels[TILE];
        real least[TILE], short_upper[TILE], short_lower[TILE], narrow_rows[TILE * NARROW_MAX];
        int32_t *labels = n == TILE ? to->labels + i : short_labels;
        real *upper = in_place ? to->upper2 + i : short_upper;
        real *lower = in_place ? to->lower2 + i : short_lower;

        if (left < at_least && p->d <= NARROW_MAX) { /* narrow.h reads full tiles only */
            NAME(copy_rows)(narrow_rows, rows, by, n, p->d);
            rows = narrow_rows;
            by = &packed_steps;
        }
        /* Who works through X in blocks of m rows compares the next labels first (-2 % at d = 3). */
        for (ptrdiff_t r = 0; r < TILE; r += 16)
            prefetch_near((uintptr_t)(to->labels + i) + (size_t)(m + r) * sizeof *to->labels);
        tile->scores = to->scores ? to->scores + i * CKM_SCORES : NULL;
        score_expanded(tile, rows, by, left, p);
        int open = to->upper2
                       ? NAME(certified_bounds)(tile, p, EXPANDED, labels, least, upper, lower)
                       : NAME(certified_labels)(tile, p, labels);
        if (open > TILE / 2 && direct_pays) {
            const int before = open;
            NAME(score_direct)(tile, rows, by, left, p);
            open = NAME(certified_bounds)(tile, p, DIRECT, labels, least, upper, lower);
            direct_pays = open <= before / 2;
        } else if (open && !to->upper2) {
            NAME(certified_bounds)(tile, p, EXPANDED, labels, least, upper, lower);
        }
        if (open)
            n_undecided = NAME(append_undecided)(undecided, n_undecided, i, n, upper, lower);
        if (n < TILE)
            NAME(give)(to, i, n, labels, least, upper, lower);
        else if (to->least2)
            memcpy(to->least2 + i, least, sizeof least);
    }
    return n_undecided;
}

#if SCREENS

/* Rows by scores in integers, until those leave too many undecided; returns how many rows these
 * are. */
static ptrdiff_t NAME(nearest_by_integers)(const real *X, const steps *by, ptrdiff_t m,
                                           const packed_centroids *p, const answers *to,
                                           int32_t *undecided, ptrdiff_t *n_undecided,
                                           tile_state *tile)
{
    ptrdiff_t i = 0;

    for (; i < m && *n_undecided <= TILE / 2 + i / 4; i += TILE) {
        const ptrdiff_t n = m - i < TILE ? m - i : TILE;
        int32_t labels[TILE];
        real least[TILE], upper[TILE], lower[TILE];
        NAME(score_screened)(tile, X + i * by->row, by, m - i, p);
        if (NAME(certified_bounds)(tile, p, SCREENED, labels, least, upper, lower))
            *n_undecided = NAME(append_undecided)(undecided, *n_undecided, i, n, upper, lower);
        NAME(give)(to, i, n, labels, least, upper, lower);
    }
    return i;
}

#endif

/* The undecided rows by other scores, a tile of them at a time; returns how many are undecided
 * still, and lists them. As few as a tile has vectors would not be worth one, and remain, as do up
 * to half a tile of a piece of more rows (100k x 64 of uint8, k = 64: 0.97 of the time); so do the
 * others once scores decide less than half of a tile: then rows lie exactly between centroids, or
 * numbers overflow. (A photograph's pixels, k = 256: 0.85 of the time; 3 % of what bounds leave open
 * are undecided by the first scores, too few for each tile to be scored again.) */
static ptrdiff_t NAME(rescore)(NAME(scorer) *score, int scored, const real *X, const steps *by,
                               const packed_centroids *p, const answers *to, int32_t *undecided,
                               ptrdiff_t count, tile_state *tile)
{
    int32_t labels[TILE], rows[TILE];
    real least[TILE], upper[TILE], lower[TILE];
    const steps some = {by->row, by->column, rows, NULL};
    const ptrdiff_t few = by->rest && TILE / 2 > VECTORS ? TILE / 2 : VECTORS;
    ptrdiff_t left = 0, done = 0, n = TILE;

    tile->scores = NULL;
    for (int pays = 1; pays && done + few < count; done += n) {
        const ptrdiff_t before = left;
        n = smaller(TILE, count - done);
        for (ptrdiff_t i = 0; i < n; i++) {
            const int32_t at = undecided[done + i];
            rows[i] = by->listed ? by->listed[at] : at;
        }
        score(tile, X, &some, n, p);
        NAME(certified_bounds)(tile, p, scored, labels, least, upper, lower);
        for (ptrdiff_t i = 0; i < n; i++) {
            const int32_t at = undecided[done + i];
            NAME(give)(to, at, 1, labels + i, least + i, upper + i, lower + i);
            if (!(upper[i] < lower[i])) undecided[left++] = at;
        }
        pays = left - before <= n / 2;
    }
    for (; done < count; done++) undecided[left++] = undecided[done];
    return left;
}

static ptrdiff_t NAME(nearest)(const real *X, ptrdiff_t row_step, ptrdiff_t column_step,
                               const int32_t *listed, ptrdiff_t m, const void *packed,
                               const ckm_rest *rest, int32_t *labels, real *least2, real *upper2,
                               real *lower2, real *scores, int32_t *undecided)
{
    const packed_centroids *p = packed;
    const steps by = {row_step, column_step, listed, rest};
    const answers to = {labels, least2, upper2, lower2, scores};
    ptrdiff_t first = 0, n_undecided = 0;
    tile_state tile; /* one for all, as threads may have small stacks */
#if SCREENS
    if (p->screen_at) {
        first = NAME(nearest_by_integers)(X, &by, m, p, &to, undecided, &n_undecided, &tile);
        if (p->d <= BLOCK_COLUMNS)
            n_undecided = NAME(rescore)(NAME(score_tile), EXPANDED, X, &by, p, &to, undecided,
                                        n_undecided, &tile);
    }
#endif
    n_undecided = NAME(nearest_by_reals)(X, &by, first, m, p, &to, undecided, n_undecided, &tile);
    return NAME(rescore)(NAME(score_direct), DIRECT, X, &by, p, &to, undecided, n_undecided,
                         &tile);
}

#include "distances.h"
#include "filter.h"
#include "margins.h"
#include "rounded.h"
#include "read.h"
#include "update.h"
#include "seed.h"
#include "sift.h"
#include "sparse.h"

/* Whether nearest() takes listed rows. */
static int NAME(takes_lists)(const void *packed)
{
    return ((const packed_centroids *)packed)->few_stride > 0;
}

static const level_table NAME(level) = {
    NAME(packed_bytes),
    NAME(pack),
    NAME(takes_lists),
    NAME(nearest),
    NAME(filter),
    NAME(keep),
    NAME(keep_margins),
    NAME(own_squares),
    NAME(sort_open),
    NAME(read),
    NAME(largest),
};

#undef SCREENS
#undef LONGEST
#undef FILLER
#undef SCREEN_GROUPS
#undef MEASURED_FROM
#undef ints
#undef I
#undef I_TYPE
#undef real
#undef real_bits
#undef REAL_MAX
#undef REAL_MIN
#undef REAL_ROUNDOFF
#undef LANES
#undef OP
#undef MM
#undef CHUNK
#undef TILE
#undef WIDE_ROWS
#undef WIDE_VECTORS
#undef ALL_LANES
#undef answers
#undef apart
#undef level_drifts
#undef level_table
#undef update_table
#undef sift_table
#undef NATIVE
