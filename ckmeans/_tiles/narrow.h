/* Rows of at most NARROW_MAX columns; a part of kernel.h.
 *
 * The number of columns is a constant here: the tile, its two best scores and a centroid at a time
 * stay in registers, and each score is compared as soon as it is made: 1.35 times as fast as
 * kernel.h at d = 3, 1.1 times at d = 8.
 *
 * Up to NARROW_TOGETHER columns centroids lie in memory as vectors that repeat a coordinate: a load
 * that spreads it is a shuffle too, in the place of a product (Zen 4: a tile takes 0.86 of the time
 * at d = 2 and 3, k = 10 and 16, 0.8 at k = 64 to 1000; AVX2 gains nothing, SSE2 a tenth). With
 * more columns the registers hold one vector of rows at a time (-12 % at d = 8), and whole vectors
 * of centroids would be too many loads: 1.2 to 2 times as long. */

/* Coordinate i of a group, or half a squared norm, in all lanes. */
INLINE vec NAME(spread)(const real *group, ptrdiff_t i, const int d)
{
    return d <= NARROW_TOGETHER ? V_LOADED(V_LOAD(group + i * LANES)) : V_SET1(group[i]);
}

/* Carries the two best scores on over centroid j of a group. */
INLINE void NAME(keep_narrow)(vec *best, vec *second, vec (*x)[VECTORS], const real *group,
                              ptrdiff_t j, const int d, const int vectors)
{
    vec c[NARROW_MAX], half_norm2 = NAME(spread)(group, j, d);
    EACH(f, d) c[f] = NAME(spread)(group, GROUP * (1 + f) + j, d);
    EACH(v, vectors) {
        vec s = half_norm2;
        EACH(f, d) s = V_FNMA(x[f][v], c[f], s);
        s = V_TAG(s, (int)j);
        second[v] = V_MIN(V_MAX(s, best[v]), second[v]);
        best[v] = V_MIN(s, best[v]);
    }
}

/* The same over the first n of group g. In a loop, where there are less than GROUP: to fill up half
 * or a quarter of a group takes up to 1.2 times as long (k = 5; AVX2 and AVX-512). */
INLINE void NAME(keep_group)(vec *best, vec *second, ivec *best_group, vec (*x)[VECTORS],
                             const real *group, ptrdiff_t g, ptrdiff_t n, const int d,
                             const int vectors)
{
    vec before[VECTORS];
    EACH(v, vectors) before[v] = best[v];
    if (n == GROUP)
        EACH(j, GROUP) NAME(keep_narrow)(best, second, x, group, j, d, vectors);
    else
        for (ptrdiff_t j = 0; j < n; j++)
            NAME(keep_narrow)(best, second, x, group, j, d, vectors);
    EACH(v, vectors)
        best_group[v] = V_REPLACE_IF_LESS(best[v], before[v], (real_bits)g, best_group[v]);
}

/* `vectors` vectors of rows of the tile, from v0 on. */
INLINE void NAME(score_vectors)(tile_state *tile, vec (*x)[VECTORS], int v0,
                                const packed_centroids *p, const int d, const int vectors)
{
    const real *group = (const real *)p + (d <= NARROW_TOGETHER ? p->spread_at : p->groups_at);
    const ptrdiff_t length = GROUP * (d + 1) * (d <= NARROW_TOGETHER ? LANES : 1);
    const ptrdiff_t n_whole = p->k / GROUP;
    vec best[VECTORS], second[VECTORS], part[NARROW_MAX][VECTORS];
    ivec best_group[VECTORS];
    EACH(v, vectors) {
        EACH(f, d) part[f][v] = x[f][v0 + v];
        best[v] = second[v] = V_TAG(V_SET1(NO_CENTROID), 0);
        best_group[v] = V_TAG_OF(V_SET1(0));
    }
    for (ptrdiff_t g = 0; g < n_whole; g++, group += length)
        NAME(keep_group)(best, second, best_group, part, group, g, GROUP, d, vectors);
    if (p->k > n_whole * GROUP)
        NAME(keep_group)(best, second, best_group, part, group, n_whole, p->k - n_whole * GROUP, d,
                         vectors);
    EACH(v, vectors) {
        tile->best[v0 + v] = best[v];
        tile->second[v0 + v] = second[v];
        tile->group[v0 + v] = best_group[v];
    }
}

/* Rows or columns with space between them: not where it would take registers from the others. */
static void NAME(load_apart)(tile_state *tile, const real *rows, const steps *by, ptrdiff_t d)
{
    NAME(load_full_tile)(tile->x, rows, by, d);
}

/* A full tile of rows. */
INLINE void NAME(score_narrow)(tile_state *tile, const real *rows, const steps *by,
                               const packed_centroids *p, const int d)
{
    const real *shift = (const real *)p + p->shift_at;
    vec x[NARROW_MAX][VECTORS];

    if (by->column == 1 && by->row == d) {
        NAME(load_whole)(&x[0][0], VECTORS, rows, d);
    } else {
        NAME(load_apart)(tile, rows, by, d);
        EACH(f, d)
            EACH(v, VECTORS) x[f][v] = tile->x[f][v];
    }
    EACH(v, VECTORS) {
        vec norm2 = V_SET1(0);
        EACH(f, d) {
            x[f][v] -= V_SET1(shift[f]);
            norm2 = V_FMA(x[f][v], x[f][v], norm2);
        }
        tile->norm2[v] = norm2;
    }
    if (d <= NARROW_TOGETHER)
        NAME(score_vectors)(tile, x, 0, p, d, VECTORS);
    else
        for (int v = 0; v < VECTORS; v++) NAME(score_vectors)(tile, x, v, p, d, 1);
}
#define NARROW(columns)                                                                            \
    static void NAME(score_narrow_##columns)(tile_state *tile, const real *rows, const steps *by,  \
                                             ptrdiff_t m, const packed_centroids *p)               \
    {                                                                                              \
        (void)m;                                                                                   \
        NAME(score_narrow)(tile, rows, by, p, columns);                                            \
    }
NARROW(1)
NARROW(2)
NARROW(3)
NARROW(4)
NARROW(5)
NARROW(6)
NARROW(7)
NARROW(8)
#undef NARROW
