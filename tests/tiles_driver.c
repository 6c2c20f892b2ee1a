/* The tiles without Python, for a CPU under emulation: certified labels against brute force, and
 * sums against plain loops. Exits 1 at the first difference. */
#include <math.h>
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

#define DRIVER(S, real)                                                                            \
    static int check_##S(ptrdiff_t n, ptrdiff_t d, ptrdiff_t k)                                    \
    {                                                                                              \
        real *X = malloc(n * d * sizeof *X), *least = malloc(3 * n * sizeof *least);               \
        real *upper = least + n, *lower = upper + n;                                               \
        double *c = malloc((k * d + d) * sizeof *c), *shift = c + k * d;                           \
        double *totals = calloc(k * (d + 2), sizeof *totals);                                      \
        double *wanted = calloc(k * (d + 2), sizeof *wanted);                                      \
        int32_t *labels = malloc((2 * n + 1) * sizeof *labels), *undecided = labels + n;           \
        void *packed = aligned_alloc(64, (ckm_packed_bytes_##S(k, d) + 63) / 64 * 64);             \
        ptrdiff_t open, wrong = 0;                                                                 \
        for (ptrdiff_t i = 0; i < n * d; i++) X[i] = (real)uniform();                              \
        for (ptrdiff_t i = 0; i < k * d; i++) c[i] = uniform();                                    \
        for (ptrdiff_t i = 0; i < d; i++) shift[i] = 0.1;                                          \
        ckm_pack_##S(c, k, d, shift, packed);                                                      \
        open = ckm_nearest_##S(X, d, 1, n, packed, labels, NULL, upper, lower, undecided);         \
        for (ptrdiff_t i = 0, u = 0; i < n; i++) {                                                 \
            int32_t best = 0;                                                                      \
            double least2 = INFINITY;                                                              \
            for (ptrdiff_t j = 0; j < k; j++) {                                                    \
                double total = 0;                                                                  \
                for (ptrdiff_t f = 0; f < d; f++)                                                  \
                    total += (X[i * d + f] - c[j * d + f]) * (X[i * d + f] - c[j * d + f]);        \
                if (total < least2) least2 = total, best = (int32_t)j;                             \
            }                                                                                      \
            if (u < open && undecided[u] == i)                                                     \
                u++;                                                                               \
            else                                                                                   \
                wrong += labels[i] != best || !(upper[i] * (1 + 1e-6) >= least2);                  \
            labels[i] = best;                                                                      \
            for (ptrdiff_t f = 0; f < d; f++)                                                      \
                wanted[best * (d + 2) + f] += X[i * d + f] - c[best * d + f];                      \
            wanted[best * (d + 2) + d] += 1, wanted[best * (d + 2) + d + 1] += least2;             \
        }                                                                                          \
        ckm_add_##S(X, d, d, n, labels, NULL, c, d, totals);                                       \
        for (ptrdiff_t i = 0; i < k * (d + 2); i++)                                                \
            wrong += !(fabs(totals[i] - wanted[i]) <= 1e-5 * (1 + fabs(wanted[i])));               \
        printf("%s n=%td d=%td k=%td: %td undecided, %td wrong\n", #S, n, d, k, open, wrong);      \
        free(X), free(least), free(c), free(totals), free(wanted), free(labels), free(packed);     \
        return wrong != 0 || open * 20 > n;                                                        \
    }

DRIVER(f32, float)
DRIVER(f64, double)

int main(void)
{
    static const int shapes[][3] = {{1000, 2, 3},   {1001, 3, 17},  {500, 8, 16}, {333, 16, 64},
                                    {200, 33, 100}, {100, 130, 5}, {97, 300, 40}};
    int failed = ckm_simd_choose(getenv("CKMEANS_SIMD")) != 0;
    printf("SIMD level: %s\n", ckm_simd_name());
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        failed |= check_f32(shapes[i][0], shapes[i][1], shapes[i][2]);
        failed |= check_f64(shapes[i][0], shapes[i][1], shapes[i][2]);
    }
    return failed;
}
