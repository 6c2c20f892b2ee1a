/* Centroids as the kernel reads them, and the slack that certifies its scores; a part of kernel.h.
 */

static ptrdiff_t NAME(padded)(ptrdiff_t reals)
{
    const ptrdiff_t line = 64 / sizeof(real);
    return (reals + line - 1) / line * line;
}

static int NAME(are_few)(ptrdiff_t k, ptrdiff_t d)
{
    return LANES > 1 && k <= FEW_MAX && d >= FEW_COLUMNS;
}

static int NAME(are_screened)(ptrdiff_t k, ptrdiff_t d)
{
#if SCREENS
    if (!fast_integers || d <= NARROW_MAX || NAME(are_few)(k, d)) return 0;
    if (d > BLOCK_COLUMNS) return k > 32;
    return k > 8 || (k > 4 && d > 20); /* rounding a row costs as much as 4 to 8 centroids */
#else
    (void)k, (void)d;
    return 0;
#endif
}

/* Returns the reals; integers are behind them. */
static ptrdiff_t NAME(lay_out)(packed_centroids *p, ptrdiff_t k, ptrdiff_t d)
{
    const ptrdiff_t head = NAME(padded)((sizeof *p + sizeof(real) - 1) / sizeof(real));
    p->k = k;
    p->d = d;
    p->n_groups = (k + GROUP - 1) / GROUP;
    p->shift_at = head;
    p->groups_at = head + NAME(padded)(d);
    p->few_stride = NAME(are_few)(k, d) ? (d + LANES - 1) / LANES * LANES : 0;
    const ptrdiff_t grouped = p->n_groups * GROUP * (d + 1);
    const ptrdiff_t few = p->few_stride ? FEW_HEAD + (FEW_MAX + 1) * p->few_stride : 0;
    const ptrdiff_t end = p->groups_at + NAME(padded)(few ? few : grouped);
    p->screen_at = NAME(are_screened)(k, d) ? end : 0;
    p->spread_at = d <= NARROW_TOGETHER ? end : 0;
    return end + (p->spread_at ? grouped * LANES : 0);
}

static size_t NAME(packed_bytes)(ptrdiff_t k, ptrdiff_t d)
{
    packed_centroids p;
    const ptrdiff_t reals = NAME(lay_out)(&p, k, d);
    const ptrdiff_t integers = p.screen_at ? p.n_groups * GROUP * (2 + (d + 1) / 2) : 0;
    return (size_t)reals * sizeof(real) + (size_t)(integers + 15) / 16 * 64;
}

static real NAME(rounded_up)(double a)
{
    a *= 1 + 4 * REAL_ROUNDOFF;
    return a <= REAL_MAX ? (real)a : (real)INFINITY;
}

/* Where few.h has a centroid's columns and products. */
INLINE ptrdiff_t NAME(few_place)(const packed_centroids *p, ptrdiff_t j)
{
    return j == p->few_origin ? 0 : j == 0 ? p->few_origin : j;
}

/* Additions that one term of a score can go through. */
static ptrdiff_t NAME(longest_sum)(const packed_centroids *p)
{
    if (p->few_stride) return p->few_stride / LANES + LANES;
    if (p->d <= BLOCK_COLUMNS) return p->d;
    return BLOCK_COLUMNS + (p->d + BLOCK_COLUMNS - 1) / BLOCK_COLUMNS;
}

/* The bounds that certify a score. u is real's unit roundoff, g(n) = n u / (1 - n u) bounds n
 * roundings in a row (Higham 2002, section 3.1), R is the largest centroid norm after the shift.
 *
 * Expanded. With B = |x|^2 + R^2: 2 g B for the sums, 28 u B for the tag (7 ulp of |s| <= B,
 * twice), 4 u B for rounding the shifted row and centroid, 4 u B for the last additions, 4 u B
 * spare, and g64 for a float64 reference. Where a sum overflows, 4 B does too, and the bounds with
 * it.
 *
 * Direct. Rounding the shifted row and centroid moves their distance t by at most u (t + 2 R), that
 * is u t + a, and its square by 2 a t + a^2 beside terms relative to it: 14 u for the tag, 4 u for
 * u t, a few u for the last operations.
 *
 * Where a centroid is the origin, what is left of it, r, is taken for 0 in its products: 2 |x| |r|
 * is at most (|r| / R) B.
 *
 * The difference of two scores. |x|^2 is in neither, so that all but the reference is relative to W
 * = 2 |x| R + R^2: g W for the sums, and the rest as above with W in the place of B; of rows far
 * from all centroids a small part (60k x 784, k = 10: a seventh, 0.98 of the run). An |x|^2 that
 * underflows is at most `tiny`.
 *
 * `tiny` is what underflow can take from 4 (d + 2) operations, flushing to zero included. */
static void NAME(certify)(packed_centroids *p, double left_out)
{
    const double u = REAL_ROUNDOFF, d = (double)p->d, radius = sqrt((double)p->radius2);
    const double roundings = ((double)NAME(longest_sum)(p) + (REAL_BITS == 32 ? 4 : d + 4)) * u;
    const double g = roundings < 0.5 ? roundings / (1 - roundings) : INFINITY;
    const double g64 = (d + 8) * 0x1p-53 * 2;
    const double expanded = (2 * g + 40 * u + 2 * g64 + left_out) * (1 + g) * (1 + g) * (1 + g);
    p->expanded_slack = NAME(rounded_up)(expanded / 4);
    const double products = (g + 40 * u + left_out) * (1 + g) * (1 + g) * (1 + g);
    p->product_slack = NAME(rounded_up)(products / 4);
    p->reference_slack = NAME(rounded_up)(2 * g64 * (1 + g) * (1 + g) * (1 + g) / 4);
    p->radius = NAME(rounded_up)(radius);
    p->tiny = NAME(rounded_up)(16 * (d + 2) * REAL_MIN);

    const double a = 2 * u * 1.001 * radius;
    const double relative = g64 + 40 * u;
    p->grow = NAME(rounded_up)((1 + relative) * (1 + g) * (1 + g));
    p->shrink = (real)((1 - relative) * (1 - g) * (1 - g)) * (real)(1 - 4 * REAL_ROUNDOFF);
    p->wander = NAME(rounded_up)(2 * a * (1 + g));
    p->direct_slack = NAME(rounded_up)(2 * a * a) + p->tiny;
}

/* The total of sums that do not wait for each other's last addition. With these, and without a
 * branch by the sign of a coordinate, 1000 centroids of 64 columns are packed in 0.17 instead of
 * 0.57 ms. */
INLINE double NAME(sum_of_four)(const double sums[4])
{
    return (sums[0] + sums[1]) + (sums[2] + sums[3]);
}

/* Centroid j of real's precision, less `origin`; returns half its squared norm. Its columns are
 * `stride` apart; those from `whole` on lie `gap` further. */
static double NAME(pack_centroid)(real *to, ptrdiff_t stride, ptrdiff_t whole, ptrdiff_t gap,
                                  const double *centroid, const real *origin, ptrdiff_t d)
{
    double sums[4] = {0};
    for (ptrdiff_t first = 0; first < d; first += 4)
        EACH(i, 4) {
            const ptrdiff_t f = first + i;
            if (f == d) break;
            const real c = (real)(centroid[f] - origin[f]);
            to[f * stride + (f < whole ? 0 : gap)] = c;
            sums[i] += 0.5 * c * c;
        }
    return NAME(sum_of_four)(sums);
}

#if SCREENS

/* -v as an integer, halves away from zero. */
INLINE int32_t NAME(rounded_negative)(double v) { return (int32_t)(copysign(0.5, -v) - v); }

/* Centroids as screen.h reads them: groups of GROUP half squared norms, of as many least scores,
 * and of pairs of columns (d / 2, GROUP), negative.
 *
 * With u = s x and v = t c for row and centroid at the scales s and t, and U and V their integers,
 * |u.v - U.V| <= |u - U| |v| + |U| |v - V|, where |v| <= LONGEST and |U| <= |u| + |u - U|. The two
 * roundings are measured; 0.01 a column covers that u is rounded to float32 before, `sums` the
 * rounding of the measures. The rest of a score, at most 1000, is 14 for two tags, and 64 for each
 * of the roundings of a number below 2^31 to float32: half the norm and its product, the score,
 * the unit. */
static void NAME(pack_screen)(packed_centroids *p, const double *centroids, const real *origin)
{
    const ptrdiff_t k = p->k, d = p->d, n_pairs = (d + 1) / 2;
    const double scale = LONGEST / sqrt((double)p->radius2);
    double most_lost2 = 0;
    if (!(p->radius2 > REAL_MIN * 0x1p40 && p->radius2 < REAL_MAX * 0x1p-40)) {
        p->screen_at = 0;
        return;
    }
    p->screen_scale = (real)scale;
    int32_t *group = (int32_t *)((real *)p + p->screen_at);
    memset(group, 0, (size_t)(p->n_groups * GROUP * (2 + n_pairs)) * sizeof *group);
    for (ptrdiff_t j = 0; j < p->n_groups * GROUP; j++) {
        int32_t *at = group + j / GROUP * GROUP * (2 + n_pairs) + j % GROUP;
        at[GROUP] = j < k ? INT32_MIN : FILLER;
        if (j >= k) continue;
        double halves[4] = {0}, losses[4] = {0};
        for (ptrdiff_t first = 0; first < d; first += 4)
            EACH(i, 4) {
                const ptrdiff_t f = first + i;
                if (f == d) break;
                const double v = (centroids[j * d + f] - origin[f]) * scale;
                const int32_t rounded = NAME(rounded_negative)(v);
                halves[i] += 0.5 * v * v;
                losses[i] += (v + rounded) * (v + rounded);
                int32_t *pair = at + GROUP * (2 + f / 2);
                *pair = (int32_t)((uint32_t)*pair | ((uint32_t)rounded & 0xFFFF) << (i % 2 * 16));
            }
        const float half = (float)NAME(sum_of_four)(halves);
        const double lost2 = NAME(sum_of_four)(losses);
        memcpy(at, &half, sizeof half);
        most_lost2 = lost2 > most_lost2 ? lost2 : most_lost2;
    }
    const double sums = 1.001 + (double)d * 0x1p-22;
    p->centroid_lost = (real)(sums * (sqrt(most_lost2) + 0.001));
    p->row_lost = (real)(sums * (LONGEST + (double)p->centroid_lost));
    p->screen_error = (real)(0.01 * sqrt((double)d) * (double)p->row_lost + 1000);
}

#endif

/* The centroid nearest to a point, whichever rounding finds. */
static ptrdiff_t NAME(nearest_to)(const double *point, const double *centroids, ptrdiff_t k,
                                  ptrdiff_t d)
{
    double least = INFINITY;
    ptrdiff_t nearest = 0;
    for (ptrdiff_t j = 0; j < k; j++, centroids += d) {
        double square = 0;
        for (ptrdiff_t f = 0; f < d; f++)
            square += (centroids[f] - point[f]) * (centroids[f] - point[f]);
        if (square < least) {
            least = square;
            nearest = j;
        }
    }
    return nearest;
}

static void NAME(pack)(const double *centroids, ptrdiff_t k, ptrdiff_t d, const double *shift,
                       void *packed)
{
    packed_centroids *p = packed;
    NAME(lay_out)(p, k, d);
    real *origin = (real *)packed + p->shift_at, *groups = (real *)packed + p->groups_at;
    const int few = p->few_stride > 0;
    const ptrdiff_t whole = few ? d / LANES * LANES : d, gap = p->few_stride - d;
    double largest = 0, left2 = 0;
    const double *from = shift;

    memset(origin, 0, NAME(packed_bytes)(k, d) - (size_t)p->shift_at * sizeof(real));
    p->few_origin = 0;
    if (few && shift) {
        p->few_origin = NAME(nearest_to)(shift, centroids, k, d);
        from = centroids + p->few_origin * d;
    }
    for (ptrdiff_t f = 0; from && f < d; f++) origin[f] = (real)from[f];
    for (ptrdiff_t j = 0; j < (few ? FEW_MAX : p->n_groups * GROUP); j++) {
        real *half_norm2 = few ? groups + j : groups + j / GROUP * GROUP * (d + 1) + j % GROUP;
        real *to = few ? groups + FEW_HEAD + NAME(few_place)(p, j) * p->few_stride
                       : half_norm2 + GROUP;
        if (j >= k) {
            *half_norm2 = NO_CENTROID;
            continue;
        }
        const double half =
            NAME(pack_centroid)(to, few ? 1 : GROUP, whole, gap, centroids + j * d, origin, d);
        *half_norm2 = (real)half;
        if (j == p->few_origin) left2 = 2 * half;
        if (half > largest || half != half) largest = half;
    }
    real *keep = groups + FEW_HEAD + FEW_MAX * p->few_stride;
    for (ptrdiff_t f = whole; f < d; f++) keep[f + gap] = 1;
    p->radius2 = NAME(rounded_up)(2 * largest * (1 + (d + 2) * 0x1p-52));
    const double left = sqrt(left2 / (double)p->radius2) * 1.001;
    p->few_first = few && left < 32 * REAL_ROUNDOFF;
    NAME(certify)(p, p->few_first ? left : 0);
    if (p->spread_at)
        for (ptrdiff_t i = 0; i < p->n_groups * GROUP * (d + 1); i++)
            V_STORE((real *)packed + p->spread_at + i * LANES, V_SET1(groups[i]));
#if SCREENS
    if (p->screen_at) NAME(pack_screen)(p, centroids, origin);
#endif
}
