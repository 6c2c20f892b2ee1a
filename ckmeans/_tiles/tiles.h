/* Nearest centroids, with certificates: the register-tiled kernels under ckmeans.
 *
 * "Certified" means: a bound on the squared distance in real arithmetic between a row as given and
 * a float64 centroid, and also on what a plain float64 sum of (x - c)^2 gives in any order. So
 * where upper2 < lower2 the label is the one a float64 brute force would give; the caller decides
 * the other rows itself.
 *
 * One level of SIMD is chosen once for the process. A packed buffer belongs to the level that
 * packed it. Every function may be called from any thread, allocates nothing, needs at most 64 KB
 * of stack and keeps no state beyond that level. */
#ifndef CKMEANS_TILES_H
#define CKMEANS_TILES_H

#include <stddef.h>
#include <stdint.h>

/* "baseline", "avx2", "avx512", "avx512vnni", or NULL for the best that this CPU and operating
 * system support.
 * Returns 0; or, changing nothing, -1 for an unknown name and -2 for a level not supported here. */
int ckm_simd_choose(const char *name);
const char *ckm_simd_name(void);

/* Size of the buffer for k centroids of d columns; the caller owns it and aligns it to 64 bytes. */
size_t ckm_packed_bytes_f32(ptrdiff_t k, ptrdiff_t d);
size_t ckm_packed_bytes_f64(ptrdiff_t k, ptrdiff_t d);

/* centroids (k, d) -> packed. `shift` (d,), or NULL, is subtracted from rows and centroids alike as
 * they are loaded: the columns' means keep the numbers small, and with them the rounding errors. */
void ckm_pack_f32(const double *centroids, ptrdiff_t k, ptrdiff_t d, const double *shift,
                  void *packed);
void ckm_pack_f64(const double *centroids, ptrdiff_t k, ptrdiff_t d, const double *shift,
                  void *packed);

/* For each of m rows X (m, d), whose elements are X[i * row_step + f * column_step]. One of the
 * steps is 1; the other is at least as long as a row or, for d < CKM_LONG, a column:
 *   labels (m,)  out  a nearest centroid
 *   least2 (m,)  out  certified lower bound on the squared distance to it; NULL if not wanted
 *   upper2 (m,)  out  certified upper bound on the squared distance to it
 *   lower2 (m,)  out  certified lower bound on the squared distance to every other; +inf if k = 1
 *   scores (m + 48, CKM_SCORES)  out  for keep_margins, where takes_lists; NULL if not wanted
 *   undecided (m + 1,)  out  the rows, ascending, of which upper2 < lower2 is not true
 *
 * Returns how many are undecided; so is a row that overflows or holds NaN. upper2 and lower2 are
 * both NULL if not wanted, least2 then too. X needs no alignment. Where ckm_takes_lists says so of
 * packed centroids, row i may be X[listed[i]] instead, in row_step alone; else `listed` is NULL.
 *
 * `rest`, if not NULL, says that the m rows are a piece of more: up to half a tile of undecided
 * rows is left to the caller, who has those of other pieces, and at 9 to 128 columns the last tile
 * fetches the bytes from which the caller reads on. */
#define CKM_LONG 128
#define CKM_SCORES 16 /* those of up to CKM_FEW centroids, and their slack */
typedef struct {
    const void *at;
    ptrdiff_t bytes;
} ckm_rest;
int ckm_takes_lists_f32(const void *packed);
int ckm_takes_lists_f64(const void *packed);
ptrdiff_t ckm_nearest_f32(const float *X, ptrdiff_t row_step, ptrdiff_t column_step,
                          const int32_t *listed, ptrdiff_t m, const void *packed,
                          const ckm_rest *rest, int32_t *labels, float *least2, float *upper2,
                          float *lower2, float *scores, int32_t *undecided);
ptrdiff_t ckm_nearest_f64(const double *X, ptrdiff_t row_step, ptrdiff_t column_step,
                          const int32_t *listed, ptrdiff_t m, const void *packed,
                          const ckm_rest *rest, int32_t *labels, double *least2, double *upper2,
                          double *lower2, double *scores, int32_t *undecided);

/* Rows kept as 16-bit integers, for assignments that want labels alone. Of n rows: the bytes that
 * they take, 0 where the level has no such thing or rows are longer than CKM_ROUNDED_COLUMNS.
 *
 * round: m rows X (m, d) in steps as above, less `shift` (d,) and times `scale`, both of X's
 *   precision. Those longer than CKM_ROUNDED_LONGEST / scale are marked. Whole tiles of
 *   CKM_ROUNDED_ROWS are written, so that row i of many is at rounded + i * ((d + 1) / 2) for
 *   multiples i of that. That length must lie between 1e-13 and 1e13.
 * pack: centroids (k, d), for the same shift and scale; returns 0 where one is longer than rows may
 *   be. packed (ckm_rounded_packed_bytes,) out
 * nearest: labels (m,) out, and undecided (m + 16,) out: the rows, ascending, whose label is not
 *   certified; returns how many. */
#define CKM_ROUNDED_COLUMNS 8
#define CKM_ROUNDED_ROWS 48
#define CKM_ROUNDED_LONGEST 32000
size_t ckm_rounded_bytes(ptrdiff_t n, ptrdiff_t d);
void ckm_round_f32(const float *X, ptrdiff_t row_step, ptrdiff_t column_step, ptrdiff_t m,
                   ptrdiff_t d, const double *shift, double scale, int32_t *rounded);
void ckm_round_f64(const double *X, ptrdiff_t row_step, ptrdiff_t column_step, ptrdiff_t m,
                   ptrdiff_t d, const double *shift, double scale, int32_t *rounded);
size_t ckm_rounded_packed_bytes(ptrdiff_t k, ptrdiff_t d);
int ckm_pack_rounded(const double *centroids, ptrdiff_t k, ptrdiff_t d, const double *shift,
                     double scale, void *packed);
ptrdiff_t ckm_nearest_rounded(const int32_t *rounded, ptrdiff_t m, const void *packed,
                              int32_t *labels, int32_t *undecided);

#define CKM_MAX_PANELS 6

/* How far k centroids moved since bounds were set for all rows, for the filter: sums that grow by
 * at least what is added to them. Each is k long and has room for CKM_MOVES_ROOM(k). Bounds are
 * kept as what they were then, whenever they were set: `upper`, on the distance to the own
 * centroid, less what that has moved; and `slack`, by which the bound on all others exceeds it,
 * with what both have lost. So a row is left alone, and its bounds are not even written, while its
 * slack exceeds the loss of its centroid. */
#define CKM_MOVES_ROOM(k) (((k) + 47) / 32 * 32) /* labels of no centroid lie in it, too */
typedef struct {
    const float *moved;    /* the distances that each centroid moved */
    const float *others;   /* the largest among those of the others */
    const float *before;   /* the same before the last moves */
    const float *loss;     /* moved and others, together, but for 6 roundings */
    const float *reach;    /* at most half the distance to the nearest other centroid, less moved:
                              rows of a smaller upper bound are nearest to their own */
    int gaps;              /* whether any of these distances is known */
    ptrdiff_t k;
    int n_panels;                 /* panels of centroids, each larger, that moved farthest */
    float beyond[CKM_MAX_PANELS]; /* more than any centroid outside of a panel moved */
} ckm_drifts_f32;

typedef struct {
    const double *moved;
    const double *others;
    const double *before;
    const double *loss;
    const double *reach;
    int gaps;
    ptrdiff_t k;
    int n_panels;
    double beyond[CKM_MAX_PANELS];
} ckm_drifts_f64;

/* Hamerly's test. Writes the indices of the rows whose label may have changed; returns how many.
 *   labels, upper (m,) in; slack (m,) in/out; survivors (m,) out */
ptrdiff_t ckm_filter_f32(const int32_t *labels, ptrdiff_t m, const ckm_drifts_f32 *drifts,
                         float *slack, const float *upper, int32_t *survivors);
ptrdiff_t ckm_filter_f64(const int32_t *labels, ptrdiff_t m, const ckm_drifts_f64 *drifts,
                         double *slack, const double *upper, int32_t *survivors);

/* Bounds on `count` squared distances, (count,), are kept: rounded outward, in the places `rows` of
 * upper and slack, or in the first for NULL, where they may come from as well. */
void ckm_keep_f32(ptrdiff_t count, const int32_t *rows, const int32_t *labels,
                  const ckm_drifts_f32 *drifts, const float *upper2, const float *lower2,
                  float *upper, float *slack);
void ckm_keep_f64(ptrdiff_t count, const int32_t *rows, const int32_t *labels,
                  const ckm_drifts_f64 *drifts, const double *upper2, const double *lower2,
                  double *upper, double *slack);

/* Margins, where ckm_takes_lists says that centroids are few: of each row CKM_SCORES, the first of
 * them by how much the squared distances to the others exceeded that to its own centroid in a pass
 * `since`. Their units are those of a table of `scales`, a row of CKM_SCORES for each own centroid,
 * and so are the limits: how much of a margin the moves since that pass have taken at most, for
 * each of CKM_PASSES that may be meant and CKM_FEW own centroids; INT8_MAX opens all rows. Limits
 * of the own centroid, and of those that are none, are INT8_MIN.
 *
 * filter_margins: labels (m,), margins (m, CKM_SCORES) in; survivors (m + 1,) out: the rows with a
 *   margin below its limit; returns how many.
 * keep_margins: labels (count,), scores (count, CKM_SCORES) as of ckm_nearest in; margins out in
 *   the places `rows`, or in the first for NULL. */
#define CKM_FEW 10
#define CKM_PASSES 16
ptrdiff_t ckm_filter_margins(const int32_t *labels, ptrdiff_t m, const int8_t *limits,
                             const int8_t *margins, int32_t *survivors);
void ckm_keep_margins_f32(ptrdiff_t count, const int32_t *rows, const int32_t *labels,
                          const float *scores, const float *scales, int since, int8_t *margins);
void ckm_keep_margins_f64(ptrdiff_t count, const int32_t *rows, const int32_t *labels,
                          const double *scores, const double *scales, int since,
                          int8_t *margins);

/* The squared distances of the rows X[rows[i]], `step` reals apart, or X[i] where rows is NULL, to
 * the centroids of their labels[i], within a relative error of (d + 8) 2^-52: squares (count,) out.
 */
void ckm_own_squares_f32(const float *X, ptrdiff_t step, ptrdiff_t d, const int32_t *rows,
                         ptrdiff_t count, const int32_t *labels, const double *centroids,
                         double *squares);
void ckm_own_squares_f64(const double *X, ptrdiff_t step, ptrdiff_t d, const int32_t *rows,
                         ptrdiff_t count, const int32_t *labels, const double *centroids,
                         double *squares);

/* What the filter left open, looked at again with the squares of own_squares (within a relative
 * error of `relative`): rows that may still change go to the list of the first panel that holds
 * every centroid which can be nearer; returns how many there are.
 *   labels (count,) in; upper, slack (count,) in/out, as they are kept; ends (count,) out: at most
 *   the distance to any other centroid before the last moves; lists and counts (n_panels,): places
 *   in 0..count-1, appended
 * The arrays of `count` and the lists have room for a vector more, and labels are valid there. */
ptrdiff_t ckm_sort_open_f32(ptrdiff_t count, const int32_t *labels, const ckm_drifts_f32 *drifts,
                            const double *squares, double relative, float *upper, float *slack,
                            float *ends, int32_t *const *lists, ptrdiff_t *counts);
ptrdiff_t ckm_sort_open_f64(ptrdiff_t count, const int32_t *labels, const ckm_drifts_f64 *drifts,
                            const double *squares, double relative, double *upper, double *slack,
                            double *ends, int32_t *const *lists, ptrdiff_t *counts);

/* Indices of the m labels that differ, ascending; returns how many. rows (m + 16,) out */
ptrdiff_t ckm_changed(const int32_t *before, const int32_t *after, ptrdiff_t m, int32_t *rows);

/* The sums behind the centroids: totals (k, d + 2) holds d column sums, the mass and the inertia of
 * each cluster. Rows are added in an order fixed by the arguments.
 *
 * move: takes `count` rows of X (., d), which are `step` reals apart, those with the indices `rows`
 * or, if NULL, the first, from cluster from[row], none if negative, to cluster to[row], as x -
 * shift and mass 1, times weight[row] unless that is NULL. If `gathered`, X holds these rows alone,
 * one after another. The inertia column keeps its values. */
void ckm_move_f32(const float *X, ptrdiff_t step, ptrdiff_t d, const int32_t *rows, ptrdiff_t count,
                  int gathered, const int32_t *from, const int32_t *to, const double *weight,
                  const double *shift, double *totals);
void ckm_move_f64(const double *X, ptrdiff_t step, ptrdiff_t d, const int32_t *rows,
                  ptrdiff_t count, int gathered, const int32_t *from, const int32_t *to,
                  const double *weight, const double *shift, double *totals);

/* add: each of m rows X (m, d), `step` apart, as x - base[label * base_stride ...], its weight (1
 * each for NULL; rows of weight 0 are left out) and its weighted squared length. */
void ckm_add_f32(const float *X, ptrdiff_t step, ptrdiff_t d, ptrdiff_t m, const int32_t *labels,
                 const double *weight, const double *base, ptrdiff_t base_stride, double *totals);
void ckm_add_f64(const double *X, ptrdiff_t step, ptrdiff_t d, ptrdiff_t m, const int32_t *labels,
                 const double *weight, const double *base, ptrdiff_t base_stride, double *totals);

/* Element types of NumPy. Those up to CKM_FLOAT32 are exact in float. */
enum {
    CKM_BOOL,
    CKM_UINT8,
    CKM_INT8,
    CKM_UINT16,
    CKM_INT16,
    CKM_FLOAT16,
    CKM_FLOAT32,
    CKM_FLOAT64,
    CKM_UINT32,
    CKM_INT32,
    CKM_UINT64,
    CKM_INT64,
    CKM_N_TYPES
};

/* A matrix as NumPy describes it. Nothing is assumed of its alignment, and only its elements are
 * read. */
typedef struct {
    const char *data;                    /* first row */
    ptrdiff_t row_stride, column_stride; /* bytes; any sign, or 0 */
    int type, swapped;                   /* swapped: of the other byte order */
    const double *offset, *scale;        /* (d,): read as (x - offset) / scale; or NULL. f64 only */
    const double *norms;                 /* (n,): rows are divided by them; or NULL. f64 only */
} ckm_source;

/* Rows first + rows[i], or first + i where rows is NULL, converted as C would: out (count, d).
 * _f32 takes types up to CKM_FLOAT32. */
void ckm_read_f32(const ckm_source *source, ptrdiff_t d, ptrdiff_t first, const int32_t *rows,
                  ptrdiff_t count, float *out);
void ckm_read_f64(const ckm_source *source, ptrdiff_t d, ptrdiff_t first, const int32_t *rows,
                  ptrdiff_t count, double *out);

/* The first element of `count` rows, in row-major order, that is NaN or larger in magnitude than
 * `limit`: (row - first) * d + column, or -1 for none. `offset` and `scale` do not enter. Then
 * *largest is raised to the largest magnitude, or for integers, which are never bad, to that of
 * their type. */
ptrdiff_t ckm_first_bad(const ckm_source *source, ptrdiff_t d, ptrdiff_t first, ptrdiff_t count,
                        double limit, double *largest);

/* The distance of each of m rows X (m, d) to each centroid: out (m, k). columns (d, stride) holds
 * the centroids' coordinates side by side, with any numbers from k up to a stride that is a
 * multiple of CKM_WIDTH. The squares under the roots are float64 sums in the order of the columns,
 * without FMA. */
#define CKM_WIDTH 16
void ckm_all_distances(const double *X, ptrdiff_t m, ptrdiff_t d, const double *columns,
                       ptrdiff_t stride, ptrdiff_t k, double *out);

/* A CSR matrix: row i has the elements starts[i] to starts[i + 1] - 1 of values and columns, the
 * columns ascending and each once. norms2 (n,) are the rows' squared lengths as plain float64 sums,
 * norms (n,) their roots, integers (starts[n],) the values at a scale by row: ckm_sparse_measure
 * writes all three. */
typedef struct {
    ptrdiff_t n;
    const void *values;
    const int32_t *columns;
    const int64_t *starts;
    const double *norms2, *norms;
    const int16_t *integers;
    int double_values; /* rather than float */
} ckm_csr;

/* Of rows first..last-1. Where a value is not finite, the length is not either. */
void ckm_sparse_measure(const ckm_csr *X, ptrdiff_t first, ptrdiff_t last, double *norms2,
                        double *norms, int16_t *integers);

/* Whether no value is rounded in a sum with `shift`, which is larger than all of them. */
int ckm_sparse_multiples(const ckm_csr *X, double shift);

/* Centroids (k, d) for ckm_sparse_nearest; the caller owns the buffer, aligned to 64 bytes and
 * filled with zeros before it is used for the first time. Also their squared lengths norms2 (k,),
 * and how many coordinates of each are not zero: counts (k,). */
size_t ckm_sparse_packed_bytes(ptrdiff_t k, ptrdiff_t d);
void ckm_sparse_pack(const double *centroids, ptrdiff_t k, ptrdiff_t d, void *packed,
                     double *norms2, int32_t *counts);

/* Rows that ckm_sparse_nearest takes through one panel after the other. */
#define CKM_SPARSE_ROWS 1024

/* As ckm_nearest_f32, for rows first + rows[i], or first + i where rows is NULL; but `upper` and
 * `lower` are bounds on distances, not on their squares. */
ptrdiff_t ckm_sparse_nearest(const ckm_csr *X, ptrdiff_t first, const int32_t *rows,
                             ptrdiff_t count, const void *packed, int32_t *labels, float *upper,
                             float *lower, int32_t *undecided);
/* scores (k,) out, by which labels are chosen: |c|^2 / 2 - x.c, half the squared distances up to
 * |x|^2 and within ckm_sparse_error. */
void ckm_sparse_scores(const ckm_csr *X, ptrdiff_t row, const void *packed, double *scores);
double ckm_sparse_error(const ckm_csr *X, ptrdiff_t row, const void *packed);

/* Of one row's m elements with CKM_SPARSE_WIDTH points, whose coordinates lie side by side in panel
 * (d, CKM_SPARSE_WIDTH): the sums of (x - c)^2 and of c^2 over the row's columns. Plain float64
 * sums in the order of the elements. */
#define CKM_SPARSE_WIDTH 8
void ckm_sparse_squares(const double *values, const int32_t *columns, ptrdiff_t m,
                        const double *panel, double *squares, double *covered);

/* products (count, CKM_SPARSE_WIDTH) out, of rows first.. with points that have few non-zeros:
 * those of column f in row places[f] of the panel, whose row 0 is zeros for all other columns.
 * Plain float64 sums in the order of the elements. */
void ckm_sparse_shared(const ckm_csr *X, ptrdiff_t first, ptrdiff_t count, const int32_t *places,
                       const double *panel, double *products);

/* The elements of rows first..last-1 listed by column, in the order of the rows: those of column f
 * are begins[f] to begins[f + 1], of (d + 2,), of arrays with room for the elements of all rows;
 * rows count from `first`, values are of the type of X's. */
void ckm_list_by_column(const ckm_csr *X, ptrdiff_t first, ptrdiff_t last, ptrdiff_t d,
                        int64_t *begins, int32_t *rows, void *values);

/* Add to each product of a listed row with a row of X what they share. Plain float64 sums in the
 * order of the columns. */
void ckm_add_products(const ckm_csr *X, ptrdiff_t point, const int64_t *begins,
                      const int32_t *rows, const void *values, double *products);

/* Rows by cluster, each cluster's in their order: those of j end before rows[ends[j]]. One that
 * leaves it is ~row. `anew`: totals begin with nothing. */
typedef struct {
    const int32_t *rows;
    const int64_t *ends; /* (k,) */
    int anew;
} ckm_moves;

/* Move rows to and from the totals (k, d + 2) of clusters first..last-1: of sums, mass and what is
 * not looked at. A weight of NULL means ones. */
void ckm_sparse_move(const ckm_csr *X, ptrdiff_t d, const double *weight, const ckm_moves *moves,
                     ptrdiff_t first, ptrdiff_t last, double *totals);

/* squares (n,) out: of rows[first..last-1] to the centroids (k, d) of their labels (n,), of squared
 * lengths norms2 (k,), which are plain sums like those made here: 0 for a row at its centroid. Fast
 * where the rows of a cluster follow each other. */
void ckm_sparse_own_squares(const ckm_csr *X, const int32_t *rows, ptrdiff_t first, ptrdiff_t last,
                            const double *centroids, ptrdiff_t d, const double *norms2,
                            const int32_t *labels, double *squares);

/* Greedy k-means++. `nearest` (n,) is the squared distance of each row to the nearest chosen
 * centroid, and `owner` (n,) says which. A candidate's gain at a row is what it would take from
 * `nearest`, times the row's weight; a weight of NULL means ones. Bits for the rows that may gain
 * lie by cells of rows: open[(cell * room + candidate) * CKM_OPEN_WORDS + word].
 *
 * The candidates from `own` on are for the step after, whichever of the first becomes a centroid
 * before: what they then gain is added up for each pair. */
#define CKM_MOST_CANDIDATES 32
#define CKM_NARROW 16    /* columns of ckm_narrow_gains */
#define CKM_CELL_ROWS 256
#define CKM_OPEN_ROWS 32 /* a bit each in a word */
#define CKM_OPEN_WORDS (CKM_CELL_ROWS / CKM_OPEN_ROWS)

typedef struct {
    ptrdiff_t d, t, own, room; /* own <= t <= room; own == t for narrow_gains */
    const void *candidates;    /* packed */
    double weight_scale;       /* exact, and brings weights near 1 */
    double grow, tiny;         /* nearest * grow + tiny is more than rounding can make of it */
} ckm_gains;

/* Lists the rows i of m with nearest[i] > limit[owner[i]]; returns how many. survivors (m + 8,) */
ptrdiff_t ckm_beyond(const double *nearest, const int32_t *owner, ptrdiff_t m, const double *limit,
                     int32_t *survivors);

/* Sum over m rows of (nearest * scale) * (weight * weight_scale), of the same bits at every level.
 */
double ckm_chances(const double *nearest, const double *weight, ptrdiff_t m, double scale,
                   double weight_scale);

/* squares (m,) out: squared distances of m listed rows, or the first for NULL, to a point (d,),
 * with the bits of a plain float64 loop over the columns. */
void ckm_distances2_f32(const float *X, ptrdiff_t d, const int32_t *listed, ptrdiff_t m,
                        const double *point, double *squares);
void ckm_distances2_f64(const double *X, ptrdiff_t d, const int32_t *listed, ptrdiff_t m,
                        const double *point, double *squares);

/* Candidates (t, d) for ckm_narrow_gains, d <= CKM_NARROW, or else ckm_wide_gains: packed out,
 * CKM_CANDIDATE_BYTES(t, d) from a multiple of 64 on. */
#define CKM_CANDIDATE_BYTES(t, d)                                                                  \
    ((d) <= CKM_NARROW ? 64 * (t) * (d) : 8 * CKM_MOST_CANDIDATES * ((d) + 8))
void ckm_pack_candidates_f32(const double *candidates, ptrdiff_t t, ptrdiff_t d, float *packed);
void ckm_pack_candidates_f64(const double *candidates, ptrdiff_t t, ptrdiff_t d, double *packed);

/* totals (t + (t - own) * own,) in/out: adds the gains, within d + 8 roundings of the sum of
 * `nearest` and CKM_CELL_ROWS + 8 of the gains; then what each candidate for the step after gains
 * beside each for this one, within twice as many. Numbers that overflow are not accounted for.
 *
 * narrow: m contiguous rows from the start of a cell on; open out. */
void ckm_narrow_gains_f32(const float *rows, ptrdiff_t m, const double *nearest,
                          const double *weight, const ckm_gains *gains, double *totals,
                          uint32_t *open);
void ckm_narrow_gains_f64(const double *rows, ptrdiff_t m, const double *nearest,
                          const double *weight, const ckm_gains *gains, double *totals,
                          uint32_t *open);

/* wide: the m listed rows, or the first for NULL; row i is X[at[i]], or X[i] for NULL. open in/out:
 * sets bits. */
void ckm_wide_gains_f32(const float *X, const int32_t *at, const int32_t *listed, ptrdiff_t m,
                        const double *nearest, const double *weight, const ckm_gains *gains,
                        double *totals, uint32_t *open);
void ckm_wide_gains_f64(const double *X, const int32_t *at, const int32_t *listed, ptrdiff_t m,
                        const double *nearest, const double *weight, const ckm_gains *gains,
                        double *totals, uint32_t *open);

/* Lists the rows that may gain from some candidate, as the others certainly do not; returns how
 * many. Rows as in wide_gains; norms2 (n,) are the squared distances to the origin, itself a row, of
 * which `nearest` is none larger. survivors (m,) out may be `listed`. packed: ckm_sift_bytes(d)
 * bytes from a multiple of 64 on. These are 0 where the level or d has no such test; and
 * ckm_pack_sift returns 0 where the candidates have none. */
size_t ckm_sift_bytes_f32(ptrdiff_t d);
size_t ckm_sift_bytes_f64(ptrdiff_t d);
int ckm_pack_sift_f32(const double *candidates, ptrdiff_t t, ptrdiff_t d, const double *origin,
                      void *packed);
int ckm_pack_sift_f64(const double *candidates, ptrdiff_t t, ptrdiff_t d, const double *origin,
                      void *packed);
ptrdiff_t ckm_sift_f32(const float *X, const int32_t *at, const int32_t *listed, ptrdiff_t m,
                       const double *nearest, const float *norms2, const void *packed,
                       int32_t *survivors);
ptrdiff_t ckm_sift_f64(const double *X, const int32_t *at, const int32_t *listed, ptrdiff_t m,
                       const double *nearest, const float *norms2, const void *packed,
                       int32_t *survivors);

/* Lists the set bits of CKM_OPEN_WORDS words, from `first` on; returns how many. May write 16 numbers
 * more. */
ptrdiff_t ckm_open_rows(const uint32_t *open, int32_t first, int32_t *rows);

/* Fetches these rows of X, packed and so many bytes long, ahead of their use; longer ones than
 * CKM_FETCHED_BYTES would leave the L1 cache again, and ckm_distances2 does it. */
#define CKM_FETCHED_BYTES 1024
void ckm_fetch_rows(const int32_t *rows, ptrdiff_t m, const void *X, ptrdiff_t row_bytes);

#endif
