/* The tiles without Python, for a CPU under emulation or for a watcher of memory: certified labels
 * against brute force, in rows and in columns, bounds and what they leave open, the rows that may
 * gain from candidates, sums against plain loops, and rows read. Every array has the size that
 * tiles.h promises and no more. Exits 1 where something is wrong. */
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tiles.h"

static double uniform(void)
{
    static unsigned long long state = 88172645463325252ULL;
    state ^= state << 13, state ^= state >> 7, state ^= state << 17;
    return (double)(state >> 11) / 9007199254740992.0 - 0.5;
}

/* Rows that integers may leave to the caller: an eighth of a tile. */
static ptrdiff_t left_by_integers = 0;

#define NEW(type, count) ((type *)calloc((size_t)(count), sizeof(type)))

#define DRIVER(S, real)                                                                            \
    /* The nearest centroid of each row by brute force, and its squared distance. */               \
    static void nearest_##S(const real *X, ptrdiff_t n, ptrdiff_t d, const double *c,              \
                            ptrdiff_t k, int32_t *labels, double *squares)                         \
    {                                                                                              \
        for (ptrdiff_t i = 0; i < n; i++) {                                                        \
            squares[i] = INFINITY;                                                                 \
            for (ptrdiff_t j = 0; j < k; j++) {                                                    \
                double total = 0;                                                                  \
                for (ptrdiff_t f = 0; f < d; f++)                                                  \
                    total += (X[i * d + f] - c[j * d + f]) * (X[i * d + f] - c[j * d + f]);        \
                if (total < squares[i]) squares[i] = total, labels[i] = (int32_t)j;                \
            }                                                                                      \
        }                                                                                          \
    }                                                                                              \
                                                                                                   \
    /* How many rows the tiles get wrong; *open is raised by how many they leave open. */          \
    static ptrdiff_t tiles_##S(const real *X, ptrdiff_t row_step, ptrdiff_t column_step,           \
                               ptrdiff_t n, const void *packed, const int32_t *labels,             \
                               const double *squares, ptrdiff_t *open)                             \
    {                                                                                              \
        int32_t *found = NEW(int32_t, n), *undecided = NEW(int32_t, n + 1);                        \
        real *least = NEW(real, n), *upper = NEW(real, n), *lower = NEW(real, n);                  \
        const ckm_rest rest = {X, 4096}; /* of which these rows are said to be a piece */          \
        ptrdiff_t wrong = 0, u = 0, count;                                                         \
        count = ckm_nearest_##S(X, row_step, column_step, NULL, n, packed, NULL, found, least,     \
                                upper, lower, NULL, undecided);                                    \
        for (ptrdiff_t i = 0; i < n; i++) {                                                        \
            if (u < count && undecided[u] == i)                                                    \
                u++;                                                                               \
            else                                                                                   \
                wrong += found[i] != labels[i] || !(upper[i] * (1 + 1e-6) >= squares[i]) ||        \
                         !(least[i] <= squares[i] * (1 + 1e-6));                                   \
        }                                                                                          \
        wrong += u != count, *open += count, u = 0;                                                \
        count = ckm_nearest_##S(X, row_step, column_step, NULL, n, packed, &rest, found, NULL,     \
                                NULL, NULL, NULL, undecided);                                      \
        for (ptrdiff_t i = 0; i < n; i++) {                                                        \
            if (u < count && undecided[u] == i)                                                    \
                u++;                                                                               \
            else                                                                                   \
                wrong += found[i] != labels[i];                                                    \
        }                                                                                          \
        wrong += u != count;                                                                       \
        free(found), free(undecided), free(least), free(upper), free(lower);                       \
        return wrong;                                                                              \
    }                                                                                              \
                                                                                                   \
    /* The same of the tiles of rows as integers, which say nothing of those too long: row 0. */   \
    static ptrdiff_t rounded_##S(const real *X, ptrdiff_t row_step, ptrdiff_t column_step,         \
                                 ptrdiff_t n, ptrdiff_t d, const double *c, ptrdiff_t k,           \
                                 const double *shift, const int32_t *labels, ptrdiff_t *open)      \
    {                                                                                              \
        const size_t bytes = ckm_rounded_bytes(n, d);                                              \
        if (!bytes) return 0;                                                                      \
        int32_t *rounded = malloc(bytes), *found = NEW(int32_t, n);                                \
        int32_t *undecided = NEW(int32_t, n + 16);                                                 \
        void *packed = malloc(ckm_rounded_packed_bytes(k, d));                                     \
        ptrdiff_t wrong = 0, u = 0, count;                                                         \
        double length2 = 0;                                                                        \
        for (ptrdiff_t f = 0; f < d; f++)                                                          \
            length2 += (X[f * column_step] - shift[f]) * (X[f * column_step] - shift[f]);          \
        const double scale = (float)(CKM_ROUNDED_LONGEST / sqrt(length2 * 0.99));                  \
        ckm_round_##S(X, row_step, column_step, n, d, shift, scale, rounded);                      \
        if (ckm_pack_rounded(c, k, d, shift, scale, packed)) {                                     \
            count = ckm_nearest_rounded(rounded, n, packed, found, undecided);                     \
            wrong += !count || undecided[0] != 0;                                                  \
            for (ptrdiff_t i = 0; i < n; i++)                                                      \
                if (u < count && undecided[u] == i)                                                \
                    u++;                                                                           \
                else                                                                               \
                    wrong += found[i] != labels[i];                                                \
            wrong += u != count;                                                                   \
            *open += count;                                                                        \
        }                                                                                          \
        free(rounded), free(found), free(undecided), free(packed);                                 \
        return wrong;                                                                              \
    }                                                                                              \
                                                                                                   \
    /* How many of the sums that add and move leave behind are wrong. */                           \
    static ptrdiff_t sums_##S(const real *X, ptrdiff_t n, ptrdiff_t d, const double *c,            \
                              ptrdiff_t k, const int32_t *labels, const double *squares)           \
    {                                                                                              \
        ptrdiff_t size = k * (d + 2), wrong = 0;                                                   \
        double *added = NEW(double, size), *moved = NEW(double, size), *wanted = NEW(double, size);\
        int32_t *none = NEW(int32_t, n), *changed = NEW(int32_t, n + 16);                          \
        for (ptrdiff_t i = 0; i < n; i++) {                                                        \
            double *own = wanted + labels[i] * (d + 2);                                            \
            for (ptrdiff_t f = 0; f < d; f++) own[f] += X[i * d + f] - c[labels[i] * d + f];       \
            own[d] += 1, own[d + 1] += squares[i], none[i] = -1;                                   \
        }                                                                                          \
        ckm_add_##S(X, d, d, n, labels, NULL, c, d, added);                                        \
        wrong += ckm_changed(none, labels, n, changed) != n;                                       \
        ckm_move_##S(X, d, d, changed, n / 2, 0, none, labels, NULL, c, moved);                    \
        ckm_move_##S(X + n / 2 * d, d, d, changed + n / 2, n - n / 2, 1, none, labels, NULL, c,    \
                     moved);                                                                       \
        for (ptrdiff_t j = 0; j < k; j++)                                                          \
            for (ptrdiff_t f = 0; f < d + 2; f++) {                                                \
                double sum = wanted[j * (d + 2) + f], mass = wanted[j * (d + 2) + d];              \
                double shifted = f < d ? sum + mass * (c[j * d + f] - c[f]) : f == d ? mass : 0;   \
                wrong += !(fabs(added[j * (d + 2) + f] - sum) <= 1e-5 * (1 + fabs(sum)));          \
                wrong += !(fabs(moved[j * (d + 2) + f] - shifted) <= 1e-5 * (1 + fabs(shifted)));  \
            }                                                                                      \
        free(added), free(moved), free(wanted), free(none), free(changed);                         \
        return wrong;                                                                              \
    }                                                                                              \
                                                                                                   \
    /* How many elements are read wrong, from the last row to the first. */                        \
    static ptrdiff_t reads_##S(const real *X, ptrdiff_t n, ptrdiff_t d, int type)                  \
    {                                                                                              \
        real *out = NEW(real, n * d);                                                              \
        double largest = 0;                                                                        \
        ptrdiff_t size = sizeof *X, wrong = 0;                                                     \
        ckm_source source = {(const char *)(X + (n - 1) * d), -d * size, size, type, 0, 0, 0, 0};  \
        ckm_read_##S(&source, d, 0, NULL, n, out);                                                 \
        for (ptrdiff_t i = 0; i < n * d; i++)                                                      \
            wrong += out[i] != X[(n - 1 - i / d) * d + i % d];                                     \
        wrong += ckm_first_bad(&source, d, 0, n, 1, &largest) != -1 || largest > 0.5;              \
        free(out);                                                                                 \
        return wrong;                                                                              \
    }                                                                                              \
                                                                                                   \
    /* How many margins of rows say too much, or too little, or are not looked at. */              \
    static ptrdiff_t margins_##S(const real *X, ptrdiff_t n, ptrdiff_t d, const double *c,         \
                                 ptrdiff_t k, const void *packed, const int32_t *labels)           \
    {                                                                                              \
        if (!ckm_takes_lists_##S(packed)) return 0;                                                \
        const int since = 3;                                                                       \
        real *scores = NEW(real, (n + 48) * CKM_SCORES), *same = NEW(real, n * CKM_SCORES);        \
        real *scales = NEW(real, CKM_FEW * CKM_SCORES);                                            \
        int32_t *found = NEW(int32_t, n), *undecided = NEW(int32_t, n + 1);                        \
        int32_t *backwards = NEW(int32_t, n), *turned = NEW(int32_t, n);                           \
        int8_t *margins = NEW(int8_t, n * CKM_SCORES), *again = NEW(int8_t, n * CKM_SCORES);       \
        int8_t *limits = NEW(int8_t, CKM_PASSES * CKM_FEW * CKM_SCORES);                           \
        ptrdiff_t wrong = 0, s = 0, count;                                                         \
        ckm_nearest_##S(X, d, 1, NULL, n, packed, NULL, found, NULL, NULL, NULL, scores,           \
                        undecided);                                                                \
        for (int o = 0; o < CKM_FEW * CKM_SCORES; o++) scales[o] = o % 2 ? 3 : 30;                 \
        for (ptrdiff_t i = 0; i < n; i++) {                                                        \
            backwards[i] = (int32_t)(n - 1 - i), turned[i] = labels[n - 1 - i];                    \
            memcpy(same + i * CKM_SCORES, scores + (n - 1 - i) * CKM_SCORES,                       \
                   CKM_SCORES * sizeof *same);                                                     \
        }                                                                                          \
        ckm_keep_margins_##S(n, NULL, labels, scores, scales, since, margins);                     \
        ckm_keep_margins_##S(n, backwards, turned, same, scales, since, again);                    \
        wrong += memcmp(margins, again, (size_t)(n * CKM_SCORES)) != 0;                            \
        for (int i = 0; i < CKM_PASSES * CKM_FEW * CKM_SCORES; i++)                                \
            limits[i] = i / CKM_SCORES / CKM_FEW == since && i % CKM_SCORES < k                    \
                            ? (int8_t)(200 * uniform())                                            \
                            : INT8_MIN;                                                            \
        for (int o = 0; o < k; o++) limits[(since * CKM_FEW + o) * CKM_SCORES + o] = INT8_MIN;     \
        count = ckm_filter_margins(labels, n, limits, margins, found);                             \
        for (ptrdiff_t i = 0; i < n; i++) {                                                        \
            const int8_t *margin = margins + i * CKM_SCORES;                                       \
            const ptrdiff_t own = labels[i];                                                       \
            const int8_t *limit = limits + (since * CKM_FEW + own) * CKM_SCORES;                   \
            int opened = 0;                                                                        \
            wrong += margin[own] != since;                                                         \
            for (ptrdiff_t j = 0; j < k; j++) {                                                    \
                double apart = 0;                                                                  \
                for (ptrdiff_t f = 0; f < d; f++) {                                                \
                    const double own_f = X[i * d + f] - c[own * d + f];                            \
                    const double other_f = X[i * d + f] - c[j * d + f];                            \
                    apart += other_f * other_f - own_f * own_f;                                    \
                }                                                                                  \
                if (j == own) continue;                                                            \
                apart *= scales[own * CKM_SCORES + j];                                             \
                opened |= margin[j] < limit[j];                                                    \
                wrong += !(margin[j] <= apart);                                                    \
                wrong += margin[j] == INT8_MAX;                                                    \
                wrong += !(margin[j] >= (apart < INT8_MAX - 1 ? apart : INT8_MAX - 1) - 1.1);      \
            }                                                                                      \
            wrong += opened != (s < count && found[s] == i);                                       \
            s += s < count && found[s] == i;                                                       \
        }                                                                                          \
        wrong += s != count;                                                                       \
        free(scores), free(same), free(scales), free(found), free(undecided), free(backwards);     \
        free(turned), free(margins), free(again), free(limits);                                    \
        return wrong;                                                                              \
    }                                                                                              \
                                                                                                   \
    static int check_##S(ptrdiff_t n, ptrdiff_t d, ptrdiff_t k, int type)                          \
    {                                                                                              \
        real *X = NEW(real, n * d), *columns = NEW(real, n * d);                                   \
        double *c = NEW(double, k * d), *shift = NEW(double, d), *squares = NEW(double, n);        \
        int32_t *labels = NEW(int32_t, n);                                                         \
        void *packed = aligned_alloc(64, (ckm_packed_bytes_##S(k, d) + 63) / 64 * 64);             \
        ptrdiff_t open = 0, rounded = 0, wrong;                                                    \
        for (ptrdiff_t i = 0; i < n * d; i++)                                                      \
            X[i] = columns[i % d * n + i / d] = (real)uniform();                                   \
        for (ptrdiff_t i = 0; i < k * d; i++) c[i] = uniform();                                    \
        for (ptrdiff_t i = 0; i < d; i++) shift[i] = 0.1;                                          \
        ckm_pack_##S(c, k, d, shift, packed);                                                      \
        nearest_##S(X, n, d, c, k, labels, squares);                                               \
        wrong = tiles_##S(X, d, 1, n, packed, labels, squares, &open);                             \
        wrong += margins_##S(X, n, d, c, k, packed, labels);                                       \
        if (d < CKM_LONG) wrong += tiles_##S(columns, 1, n, n, packed, labels, squares, &open);    \
        wrong += sums_##S(X, n, d, c, k, labels, squares) + reads_##S(X, n, d, type);              \
        for (ptrdiff_t f = 0; f < d; f++) { /* of both precisions, and a first row that is long */ \
            shift[f] = 0.125;                                                                      \
            X[f] = columns[f * n] = (real)(f % 2 ? 0.625 : -0.75);                                 \
        }                                                                                          \
        nearest_##S(X, n, d, c, k, labels, squares);                                               \
        wrong += rounded_##S(X, d, 1, n, d, c, k, shift, labels, &rounded);                        \
        wrong += rounded_##S(columns, 1, n, n, d, c, k, shift, labels, &rounded);                  \
        free(X), free(columns), free(c), free(shift), free(squares), free(labels), free(packed);   \
        if (!wrong && (open * 20 <= n + 40 || open <= left_by_integers)) return 0;                 \
        printf("%s n=%td d=%td k=%td: %td undecided, %td wrong\n", #S, n, d, k, open, wrong);      \
        return 1;                                                                                  \
    }                                                                                              \
                                                                                                   \
    /* Every row that gains from one of t candidates is found, and few others; all rows, then every\
     * third in the order of a list. Centroids and candidates are the first rows. */               \
    static int check_sift_##S(ptrdiff_t n, ptrdiff_t d, ptrdiff_t k, ptrdiff_t t)                  \
    {                                                                                              \
        const size_t bytes = ckm_sift_bytes_##S(d);                                                \
        if (!bytes) return 0;                                                                      \
        real *X = NEW(real, n * d);                                                                \
        double *c = NEW(double, (k + t) * d), *near = NEW(double, n), *squares = NEW(double, n);   \
        float *norms2 = NEW(float, n);                                                             \
        int32_t *found = NEW(int32_t, n), *labels = NEW(int32_t, n);                               \
        void *packed = aligned_alloc(64, (bytes + 63) / 64 * 64);                                  \
        ptrdiff_t wrong = 0, spare = 0;                                                            \
        for (ptrdiff_t i = 0; i < n * d; i++) X[i] = (real)(uniform() + 3);                        \
        for (ptrdiff_t i = 0; i < (k + t) * d; i++) c[i] = X[i];                                   \
        nearest_##S(X, n, d, c, 1, labels, near);                                                  \
        for (ptrdiff_t i = 0; i < n; i++) norms2[i] = (float)near[i];                              \
        nearest_##S(X, n, d, c, k, labels, near);                                                  \
        nearest_##S(X, n, d, c + k * d, t, labels, squares);                                       \
        if (ckm_pack_sift_##S(c + k * d, t, d, c, packed))                                         \
            for (int step = 1; step <= 3; step += 2) {                                             \
                ptrdiff_t m = 0, u = 0, count;                                                     \
                for (ptrdiff_t i = 0; i < n; i += step) found[m++] = (int32_t)i;                   \
                const int32_t *listed = step == 1 ? NULL : found;                                  \
                count = ckm_sift_##S(X, listed, listed, m, near, norms2, packed, found);           \
                for (ptrdiff_t i = 0; i < n; i += step) {                                          \
                    const int survives = u < count && found[u] == i;                               \
                    u += survives;                                                                 \
                    wrong += squares[i] < near[i] && !survives;                                    \
                    spare += squares[i] > near[i] * 1.01 && survives;                              \
                }                                                                                  \
                wrong += u != count;                                                               \
            }                                                                                      \
        else                                                                                       \
            wrong += t > 4;                                                                        \
        free(X), free(c), free(near), free(squares), free(norms2), free(found), free(labels);      \
        free(packed);                                                                              \
        if (!wrong && !spare) return 0;                                                            \
        printf("sift %s n=%td d=%td t=%td: %td spared, %td wrong\n", #S, n, d, t, spare, wrong);   \
        return 1;                                                                                  \
    }                                                                                              \
                                                                                                   \
    /* Bounds that are kept, filtered after moves, and looked at again: of rows whose distances are\
     * told by their slack before and after, by more than rounding. */                             \
    static int check_bounds_##S(ptrdiff_t n, int k)                                                \
    {                                                                                              \
        const ptrdiff_t room = CKM_MOVES_ROOM(k), more = n + 16;                                   \
        int32_t *labels = NEW(int32_t, more), *backwards = NEW(int32_t, n);                        \
        int32_t *turned = NEW(int32_t, n), *found = NEW(int32_t, n), *list = NEW(int32_t, more);   \
        real *u2 = NEW(real, n), *l2 = NEW(real, n), *upper = NEW(real, more);                     \
        real *slack = NEW(real, more), *same = NEW(real, 4 * n), *ends = NEW(real, more);          \
        real *moves = NEW(real, 5 * room);                                                         \
        double *u = NEW(double, n), *l = NEW(double, n), *squares = NEW(double, more);             \
        ckm_drifts_##S drifts = {moves,           moves + room, moves + 2 * room, moves + 3 * room,\
                                 moves + 4 * room, 0,            k,                1,              \
                                 {0}};                                                             \
        ptrdiff_t wrong = 0, count, s = 0, open = 0, ends_at = 0;                                  \
        for (ptrdiff_t i = 0; i < n; i++) {                                                        \
            u[i] = 1 + uniform(), l[i] = u[i] + 0.1 * (1 + (int)(6 * (0.5 + uniform())));          \
            u2[i] = (real)(u[i] * u[i]), l2[i] = (real)(l[i] * l[i]);                              \
            labels[i] = (int32_t)((0.5 + uniform()) * k);                                          \
            backwards[n - 1 - i] = (int32_t)i, turned[n - 1 - i] = labels[i];                      \
            same[n - 1 - i] = u2[i], same[2 * n - 1 - i] = l2[i];                                  \
        }                                                                                          \
        for (int j = 0; j < k; j++) {                                                              \
            moves[j] = (real)(2 + uniform()), moves[room + j] = (real)(3 + uniform());             \
            moves[3 * room + j] = moves[j] + moves[room + j];                                      \
        }                                                                                          \
        ckm_keep_##S(n, NULL, labels, &drifts, u2, l2, upper, slack);                              \
        ckm_keep_##S(n, backwards, turned, &drifts, same, same + n, same + 2 * n, same + 3 * n);   \
        wrong += memcmp(upper, same + 2 * n, (size_t)n * sizeof(real)) != 0;                       \
        wrong += memcmp(slack, same + 3 * n, (size_t)n * sizeof(real)) != 0;                       \
        wrong += ckm_filter_##S(labels, n, &drifts, slack, upper, found) != 0;                     \
        for (int j = 0; j < k; j++) { /* 0.15 to 0.25 and 0.1; rows lose that from 0.1 to 0.6 */   \
            const double own = 0.15 + 0.1 * (j % 2);                                               \
            moves[2 * room + j] = moves[room + j];                                                 \
            moves[j] += (real)own, moves[room + j] += (real)0.1;                                   \
            moves[3 * room + j] = moves[j] + moves[room + j];                                      \
            moves[4 * room + j] = (real)(j % 3 ? 1.35 : -1) - moves[j];                            \
        }                                                                                          \
        for (int gaps = 1; gaps >= 0; gaps--) { /* without them, rows have slack from them */      \
            drifts.gaps = gaps;                                                                    \
            count = ckm_filter_##S(labels, n, &drifts, slack, upper, found);                       \
            s = 0;                                                                                 \
            for (ptrdiff_t i = 0; i < n; i++) {                                                    \
                const double own = 0.15 + 0.1 * (labels[i] % 2), lost = own + 0.1;                 \
                const double reach = labels[i] % 3 ? 1.35 - u[i] - own : -1;                       \
                const int listed = s < count && found[s] == i;                                     \
                s += listed;                                                                       \
                if (fabs(reach) > 1e-4 && fabs(l[i] - u[i] - lost) > 1e-4)                         \
                    wrong += listed != (l[i] - u[i] < lost && reach < 0);                          \
            }                                                                                      \
            wrong += s != count;                                                                   \
        }                                                                                          \
        for (s = 0; s < count; s++) { /* those that are left, some nearer to their own */          \
            const ptrdiff_t i = found[s];                                                          \
            labels[s] = labels[i], upper[s] = upper[i], slack[s] = slack[i];                       \
            u[s] = u[i] + (s % 2 ? 0.05 : -0.2), l[s] = l[i], squares[s] = u[s] * u[s];            \
        }                                                                                          \
        open = ckm_sort_open_##S(count, labels, &drifts, squares, 0, upper, slack, ends, &list,    \
                                 &ends_at);                                                        \
        wrong += open != ends_at;                                                                  \
        for (s = 0, open = 0; s < count; s++) {                                                    \
            const int listed = open < ends_at && list[open] == s;                                  \
            open += listed;                                                                        \
            wrong += !(ends[s] <= l[s]) || !(ends[s] > l[s] - 1e-4);                               \
            wrong += listed && u[s] < l[s] - 0.1 - 1e-4;                                           \
            wrong += !listed && u[s] > l[s] - 0.1 + 1e-4 && labels[s] % 3 == 0;                    \
        }                                                                                          \
        wrong += open != ends_at;                                                                  \
        free(labels), free(backwards), free(turned), free(found), free(list), free(u2), free(l2);  \
        free(upper), free(slack), free(same), free(ends), free(moves), free(u), free(l);           \
        free(squares);                                                                             \
        if (!wrong) return 0;                                                                      \
        printf("bounds %s n=%td k=%d: %td wrong\n", #S, n, k, wrong);                              \
        return 1;                                                                                  \
    }

DRIVER(f32, float)
DRIVER(f64, double)

/* Rows that hold every third element, as floats or doubles. */
static int check_sparse(ptrdiff_t n, ptrdiff_t d, ptrdiff_t k, int double_values)
{
    double *X = NEW(double, n * d), *c = NEW(double, k * d), *squares = NEW(double, n);
    double *norms2 = NEW(double, n), *norms = NEW(double, n), *lengths2 = NEW(double, k);
    double *doubles = NEW(double, n * d);
    float *floats = NEW(float, n * d), *upper = NEW(float, n), *lower = NEW(float, n);
    double *scores = NEW(double, k);
    int32_t *columns = NEW(int32_t, n * d), *labels = NEW(int32_t, n), *found = NEW(int32_t, n);
    int32_t *undecided = NEW(int32_t, n), *counts = NEW(int32_t, k);
    int64_t *starts = NEW(int64_t, n + 1), m = 0;
    const size_t packed_bytes = (ckm_sparse_packed_bytes(k, d) + 63) / 64 * 64;
    void *packed = memset(aligned_alloc(64, packed_bytes), 0, packed_bytes);
    ptrdiff_t wrong = 0, u = 0, open;
    for (ptrdiff_t i = 0; i < k * d; i++) c[i] = uniform();
    for (ptrdiff_t i = 0; i < n; i++, starts[i] = m)
        for (ptrdiff_t f = i % 3; f < d; f += 3, m++) {
            X[i * d + f] = doubles[m] = floats[m] = (float)uniform();
            columns[m] = (int32_t)f;
        }
    /* Moved to where they end, so that a watcher sees what is read beyond. */
    void *values = malloc((size_t)m * (double_values ? 8 : 4) + 1);
    int32_t *at = NEW(int32_t, m);
    memcpy(values, double_values ? (void *)doubles : floats, (size_t)m * (double_values ? 8 : 4));
    memcpy(at, columns, (size_t)m * sizeof *at);
    int16_t *integers = NEW(int16_t, m);
    const ckm_csr rows = {n, values, at, starts, norms2, norms, integers, double_values};
    ckm_sparse_measure(&rows, 0, n, norms2, norms, integers);
    ckm_sparse_pack(c, k, d, packed, lengths2, counts);
    nearest_f64(X, n, d, c, k, labels, squares);
    open = ckm_sparse_nearest(&rows, 0, NULL, n, packed, found, upper, lower, undecided);
    for (ptrdiff_t i = 0; i < n; i++) {
        if (u < open && undecided[u] == i)
            u++;
        else
            wrong += found[i] != labels[i] || !(upper[i] * (1 + 1e-6) >= sqrt(squares[i]));
    }
    wrong += u != open;
    for (ptrdiff_t i = 0; i < n; i++) {
        ckm_sparse_scores(&rows, i, packed, scores);
        for (ptrdiff_t j = 0; j < k; j++) {
            double score = lengths2[j] / 2;
            for (ptrdiff_t f = 0; f < d; f++) score -= X[i * d + f] * c[j * d + f];
            wrong += !(fabs(score - scores[j]) <= ckm_sparse_error(&rows, i, packed));
        }
    }
    free(X), free(c), free(squares), free(norms2), free(lengths2), free(doubles), free(floats);
    free(upper), free(lower), free(scores), free(columns), free(labels), free(found);
    free(undecided), free(counts), free(starts), free(packed), free(values), free(at);
    free(integers), free(norms);
    if (!wrong && (open * 20 <= n + 40 || d < 4)) return 0; /* 16 bits tell few apart on a line */
    printf("sparse n=%td d=%td k=%td: %td undecided, %td wrong\n", n, d, k, open, wrong);
    return 1;
}

static int check(int n, int d, int k)
{
    return check_f32(n, d, k, CKM_FLOAT32) | check_f64(n, d, k, CKM_FLOAT64);
}

#define LENGTH(array) (sizeof array / sizeof *array)

static int failed;

static void *check_all(void *_)
{
    static const int shapes[][3] = {{1000, 2, 3},   {1001, 3, 17},  {500, 8, 16}, {333, 16, 64},
                                    {200, 33, 100}, {100, 130, 5}, {97, 300, 40}};
    /* Where tiles, vectors, blocks of columns and the three shapes of tiles begin and end. */
    static const int ns[] = {1, 2, 15, 16, 17, 33, 47, 48, 49};
    static const int ds[] = {1, 2, 4, 7, 8, 9, 16, 17, 63, 127, 128, 129};
    static const int wide[] = {17, 31, 32, 33, 64, 127, 130, 512, 515, 1100};
    static const int ks[] = {1, 2, 9, 10, 11, 16, 17, 33};
    (void)_;
    failed = ckm_simd_choose(getenv("CKMEANS_SIMD")) != 0;
    printf("SIMD level: %s\n", ckm_simd_name());
    if (!strcmp(ckm_simd_name(), "avx512vnni")) left_by_integers = 6;
    for (size_t i = 0; i < LENGTH(shapes); i++)
        failed |= check(shapes[i][0], shapes[i][1], shapes[i][2]);
    for (size_t n = 0; n < LENGTH(ns); n++)
        for (size_t d = 0; d < LENGTH(ds); d++)
            for (size_t k = 0; k < LENGTH(ks); k++) failed |= check(ns[n], ds[d], ks[k]);
    for (int double_values = 0; double_values < 2; double_values++)
        for (size_t d = 0; d < LENGTH(ds); d++)
            for (int k = 1; k < 300; k += 1 + k / 8)
                failed |= check_sparse(20, ds[d], k, double_values);
    for (size_t n = 0; n < LENGTH(ns); n++)
        for (size_t k = 0; k < LENGTH(ks); k++)
            failed |= check_bounds_f32(7 * ns[n], ks[k]) | check_bounds_f64(7 * ns[n], ks[k]);
    for (size_t d = 0; d < LENGTH(wide); d++)
        for (int t = 3; t <= 32; t += 1 + t / 3)
            failed |= check_sift_f32(301, wide[d], 30, t) | check_sift_f64(301, wide[d], 30, t);
    return NULL;
}

/* On the 64 KB of stack that tiles.h promises, and 16 for what is above; where threads can be as
 * small as that, which on aarch64 they can't. */
int main(void)
{
    pthread_attr_t small;
    pthread_t thread;
    if (pthread_attr_init(&small)) return 1;
    pthread_attr_setstacksize(&small, 80 << 10);
    return pthread_create(&thread, &small, check_all, NULL) || pthread_join(thread, NULL) || failed;
}
