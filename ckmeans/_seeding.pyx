# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
# cython: initializedcheck=False, freethreading_compatible=True
"""Greedy k-means++ (Arthur & Vassilvitskii 2007) between two draws, a segment of rows at a time.

A pass over X measures what every candidate of a step would gain and marks the rows that may gain;
another settles the best candidate at its marked rows. Estimates carry bounds, so that the choice,
the distances and the chances are those of float64 differences, whatever the level of SIMD.

To read many rows takes longer than to compute with them. So their candidates are drawn ahead,
before the centroid of the step before is settled: by the chances before, and kept with the
probability of new over old, which makes the chance of each the new one (rejection sampling, von
Neumann 1951).
Narrow rows are then settled and measured in one pass. Of wide rows few are settled, but two steps
are measured at once: what each candidate of the second gains beside each of the first.

Where rows are wide, the triangle inequality leaves out those too near to their own centroid (Raff
2021, "Exact acceleration of k-means++ and k-means||"; Lang & Schubert 2024), and products of
integers most of the others (_tiles/sift.h).
"""
cimport cython
from libc.math cimport fabs, frexp, isfinite, ldexp
from libc.stdint cimport int32_t, uint32_t, uint64_t, uintptr_t
from libc.string cimport memcpy, memset

import numpy as np

from ckmeans._memory import fresh
from ckmeans._lloyd cimport (
    CKM_CANDIDATE_BYTES, CKM_CELL_ROWS, CKM_FETCHED_BYTES, CKM_MOST_CANDIDATES, CKM_NARROW,
    CKM_OPEN_WORDS, ckm_gains, read_rows, real, seed_beyond, seed_chances, seed_distances2,
    seed_fetch_rows, seed_narrow_gains, seed_open_rows, seed_pack_candidates, seed_pack_sift,
    seed_sift, seed_sift_bytes, seed_wide_gains,
)
from ckmeans._memory cimport LINE, data_of, next_piece, numbers_of
from ckmeans._source cimport Source, ckm_source
from ckmeans._threads cimport (
    Pass, comes, dismiss_all, load, next_of, open_pass, spare, take_segment, wait_for_all,
)

cdef int FLOAT64 = np.dtype(np.float64).num

cdef enum:
    CELL = CKM_CELL_ROWS
    BLOCK = 16 * CELL             # rows filtered at once
    TILE = 48                     # a multiple of the rows of every level's tile
    GATHERED = 1 << 14            # elements gathered or converted at once, in the L1 cache
    MOST = CKM_MOST_CANDIDATES
    SIFTED = 4 * CELL             # rows from which packing candidates as integers pays

NARROW = CKM_NARROW               # columns

cdef enum:                        # what a pass over the rows does
    MEASURING = 1
    SETTLING = 2

cdef enum:                        # what leaves out rows that gain nothing
    LIMITS
    SIFT
    FILTERS

cdef struct Plan:
    Py_ssize_t n, d, t            # rows, columns, candidates
    Py_ssize_t gathered
    const ckm_source* source      # (n, d)
    const char* X                 # (n, d) where the rows can be read in place, else NULL
    const double* weight          # (n,) or NULL
    double scale, weight_scale    # powers of two that keep the chances near 1
    double* nearest               # (n,) squared distance to the nearest centroid
    int32_t* owner                # (n,) which that is
    double* chances               # (cells,)
    uint32_t* open                # (cells, room, CKM_OPEN_WORDS) bits: rows that may gain
    bint narrow
    ckm_gains gains
    const double* limits          # (j,) a row no farther from its owner gains nothing; or NULL
    float* norms2                 # (n,) squared distance to the first centroid, for the sifter
    const void* sifter            # the candidates as integers, or NULL

cdef struct Work:
    int32_t* listed               # (BLOCK + TILE,)
    double* squares               # (CELL,)
    char* gathered                # (gathered, d)


cdef class Scratch:
    """The memory that one thread works in."""
    cdef Work work
    cdef object memory

    def __cinit__(self, Py_ssize_t gathered, Py_ssize_t d):
        self.memory = np.empty(self.lay_out(0, gathered, d) + LINE, np.uint8)
        self.lay_out(<uintptr_t> data_of(self.memory), gathered, d)

    cdef uintptr_t lay_out(self, uintptr_t at, Py_ssize_t gathered, Py_ssize_t d) noexcept:
        self.work.listed = <int32_t*> next_piece(&at, (BLOCK + TILE) * sizeof(int32_t))
        self.work.squares = <double*> next_piece(&at, CELL * sizeof(double))
        self.work.gathered = <char*> next_piece(&at, gathered * d * sizeof(double))
        return at


cdef const real* converted(
    const Plan* p, Py_ssize_t first, const int32_t* rows, Py_ssize_t count, Work* w, real _
) noexcept nogil:
    """Rows first + rows[i], or first + i for NULL, one after another."""
    if p.X != NULL and rows == NULL:
        return <const real*> p.X + first * p.d
    read_rows(p.source, p.d, first, rows, count, <real*> w.gathered)
    return <const real*> w.gathered


cdef uint32_t* open_words(const Plan* p, Py_ssize_t cell, Py_ssize_t place) noexcept nogil:
    return p.open + (cell * p.gains.room + place) * CKM_OPEN_WORDS


cdef void squares_of(
    const Plan* p, Py_ssize_t first, const int32_t* rows, Py_ssize_t count, const double* point,
    double* squares, Work* w, real _
) noexcept nogil:
    """Squared distances of the rows first + rows[i], or first + i for NULL, to a point."""
    cdef Py_ssize_t m, done = 0
    cdef const real* block
    if p.X != NULL:
        seed_distances2(<const real*> p.X + first * p.d, p.d, rows, count, point, squares)
        return
    while done < count:
        m = min(p.gathered, count - done)
        if rows == NULL:
            block = converted(p, first + done, NULL, m, w, _)
        else:
            block = converted(p, first, rows + done, m, w, _)
        seed_distances2(block, p.d, <const int32_t*> NULL, m, point, squares + done)
        done += m


cdef void measure_narrow(
    const Plan* p, Py_ssize_t first, Py_ssize_t last, Work* w, double* totals, real _
) noexcept nogil:
    cdef Py_ssize_t m
    cdef Py_ssize_t step = last - first if p.X != NULL else max(CELL, p.gathered // CELL * CELL)
    while first < last:
        m = min(step, last - first)
        seed_narrow_gains(converted(p, first, NULL, m, w, _), m, p.nearest + first,
                          p.weight + first if p.weight != NULL else NULL, &p.gains, totals,
                          open_words(p, first // CELL, 0))
        first += m


cdef Py_ssize_t sift_block(
    const Plan* p, Py_ssize_t first, const int32_t* listed, Py_ssize_t m, Work* w, real _
) noexcept nogil:
    """w.listed of those of m rows that may gain; returns how many."""
    cdef Py_ssize_t step, done = 0, count = 0
    cdef const double* nearest = p.nearest + first
    cdef const float* norms2 = p.norms2 + first
    if p.X != NULL:
        return seed_sift(<const real*> p.X + first * p.d, listed, listed, m, nearest, norms2,
                         p.sifter, w.listed)
    while done < m:
        step = min(p.gathered, m - done)
        count += seed_sift(converted(p, first, listed + done, step, w, _), <const int32_t*> NULL,
                           listed + done, step, nearest, norms2, p.sifter, w.listed + count)
        done += step
    return count


cdef void measure_block(
    const Plan* p, Py_ssize_t first, Py_ssize_t m, Work* w, double* totals, Py_ssize_t* left,
    real _
) noexcept nogil:
    """Gains of a block of wide rows; adds to left[f] how many there are before filter f."""
    cdef Py_ssize_t i, step, done = 0
    cdef const int32_t* listed = NULL
    cdef uint32_t* bits = open_words(p, first // CELL, 0)
    cdef const double* nearest = p.nearest + first
    cdef const double* weight = p.weight + first if p.weight != NULL else NULL
    memset(bits, 0, (m + CELL - 1) // CELL * p.gains.room * CKM_OPEN_WORDS * sizeof(uint32_t))
    left[LIMITS] += m
    if p.limits != NULL:
        m = seed_beyond(nearest, p.owner + first, m, p.limits, w.listed)
        listed = w.listed
    elif p.X == NULL:
        for i in range(m):
            w.listed[i] = <int32_t> i
        listed = w.listed
    left[SIFT] += m
    if p.sifter != NULL:
        m = sift_block(p, first, listed, m, w, _)
        listed = w.listed
    left[FILTERS] += m
    if p.X != NULL:
        seed_wide_gains(<const real*> p.X + first * p.d, listed, listed, m, nearest, weight,
                        &p.gains, totals, bits)
        return
    while done < m:
        step = min(p.gathered, m - done)
        seed_wide_gains(converted(p, first, w.listed + done, step, w, _), <const int32_t*> NULL,
                        w.listed + done, step, nearest, weight, &p.gains, totals, bits)
        done += step


cdef void measure_rows(
    const Plan* p, Py_ssize_t first, Py_ssize_t last, Work* w, double* totals, Py_ssize_t* left,
    real _
) noexcept nogil:
    """What each candidate gains at rows first..last-1."""
    if p.narrow:
        measure_narrow(p, first, last, w, totals, _)
        return
    memset(left, 0, (FILTERS + 1) * sizeof(Py_ssize_t))
    while first < last:
        measure_block(p, first, min(<Py_ssize_t> BLOCK, last - first), w, totals, left, _)
        first += BLOCK


cdef void add_up(const Plan* p, Py_ssize_t cell) noexcept nogil:
    """The chance that the next draw hits the cell."""
    cdef Py_ssize_t first = cell * CELL
    p.chances[cell] = seed_chances(
        p.nearest + first, p.weight + first if p.weight != NULL else NULL,
        min(<Py_ssize_t> CELL, p.n - first), p.scale, p.weight_scale)


cdef void take_rows(
    const Plan* p, Py_ssize_t first, Py_ssize_t last, const double* centroid, Work* w, real _
) noexcept nogil:
    """Give the rows to the first centroid."""
    cdef Py_ssize_t cell
    squares_of(p, first, NULL, last - first, centroid, p.nearest + first, w, _)
    memset(p.owner + first, 0, (last - first) * sizeof(int32_t))
    for cell in range(first // CELL, (last + CELL - 1) // CELL):
        add_up(p, cell)


cdef void settle_rows(
    const Plan* p, Py_ssize_t first, Py_ssize_t last, int32_t j, Py_ssize_t place,
    const double* centroid, Work* w, real _
) noexcept nogil:
    """Make a candidate centroid j: lower `nearest` at its open rows.

    Those of the next cell are fetched meanwhile, if they lie apart: seeding takes 0.85 of the time
    at 1M x 8, 0.94 at 100k x 32 and 100k x 128. Where every other line is read, the processor goes
    on to the next by itself (1M x 2: 1.3 times as long).
    """
    cdef Py_ssize_t cell, m, following, end = (last + CELL - 1) // CELL
    cdef Py_ssize_t row_bytes = p.d * sizeof(real), few = 0
    cdef int32_t* rows = w.listed
    cdef int32_t* later = w.listed + 2 * CELL
    if p.X != NULL and row_bytes <= CKM_FETCHED_BYTES:
        few = CELL * row_bytes // (2 * LINE)
    following = seed_open_rows(open_words(p, first // CELL, place), 0, later)
    for cell in range(first // CELL, end):
        m = following
        rows, later = later, rows
        if cell + 1 < end:
            following = seed_open_rows(open_words(p, cell + 1, place), 0, later)
            if following < few:
                seed_fetch_rows(later, following, p.X + (cell + 1) * CELL * row_bytes, row_bytes)
        if m:
            squares_of(p, cell * CELL, rows, m, centroid, w.squares, w, _)
            if lowered(p, cell * CELL, rows, m, j, w.squares):
                add_up(p, cell)


cdef inline bint lowered(
    const Plan* p, Py_ssize_t first, const int32_t* rows, Py_ssize_t m, int32_t j,
    const double* squares,
) noexcept nogil:
    """Whether centroid j is nearer to some of m rows; these become its own."""
    cdef Py_ssize_t i
    cdef bint changed = 0
    cdef double* nearest = p.nearest + first
    cdef int32_t* owner = p.owner + first
    for i in range(m):
        if squares[i] < nearest[rows[i]]:
            nearest[rows[i]] = squares[i]
            owner[rows[i]] = j
            changed = 1
    return changed


cdef void add_exactly(double* total, double* rest, double x) noexcept nogil:
    """total + rest + x, the rounding error of the sum in `rest` (Neumaier 1974)."""
    cdef double sum = total[0] + x
    rest[0] += (total[0] - sum) + x if fabs(total[0]) >= fabs(x) else (x - sum) + total[0]
    total[0] = sum


cdef double exact_gain(
    const Plan* p, Py_ssize_t place, const double* candidate, Work* w, real _
) noexcept nogil:
    """What a candidate gains, by float64 differences.

    Two candidates that swap the gains of two rows tie: the sum must not depend on the order. Rows
    marked in vain, which depend on the level of SIMD, do not enter.
    """
    cdef Py_ssize_t cell, i, m, row
    cdef double gain = 0.0, rest = 0.0, mass = 1.0
    for cell in range((p.n + CELL - 1) // CELL):
        m = seed_open_rows(open_words(p, cell, place), 0, w.listed)
        if m:
            squares_of(p, cell * CELL, w.listed, m, candidate, w.squares, w, _)
        for i in range(m):
            row = cell * CELL + w.listed[i]
            if w.squares[i] < p.nearest[row]:
                if p.weight != NULL:
                    mass = p.weight[row] * p.weight_scale
                add_exactly(&gain, &rest, p.nearest[row] * mass)
                add_exactly(&gain, &rest, -w.squares[i] * mass)
    return gain + rest


cdef Py_ssize_t row_in_cell(const Plan* p, Py_ssize_t cell, double target) noexcept nogil:
    """The row of a cell at which its running sum of chances passes the target."""
    cdef Py_ssize_t i, found = cell * CELL
    cdef double total = 0.0, chance
    for i in range(cell * CELL, min(p.n, (cell + 1) * CELL)):
        chance = p.nearest[i] * p.scale
        if p.weight != NULL:
            chance = chance * (p.weight[i] * p.weight_scale)
        if chance > 0:
            found = i
            total += chance
            if total > target:
                break
    return found


cdef double reciprocal(double x) noexcept nogil:
    """The power of two that brings x near 1."""
    cdef int exponent = 0
    frexp(x, &exponent)
    return ldexp(1.0, min(1000, max(-1000, -exponent)))


def draws_ahead(Py_ssize_t d, Py_ssize_t t):
    """How many rows of d columns are drawn ahead for t candidates: of wide ones, which take a bit
    each of every row, as many and up to three more if the lanes of both steps have room."""
    cdef Py_ssize_t room = (MOST // 2 if t <= MOST // 4 else MOST) - t
    if d <= CKM_NARROW:
        return 4 * t
    return min(t + 3, room) if room >= t > 4 else 0


@cython.final
cdef class Seeding:
    """Rows between two steps of greedy k-means++: 12 bytes a row, 16 where sifted, and a bit for
    each candidate.

    After begin(), work() for every segment and begun(), a step is work() for every segment as long
    as next_pass() says that there is a pass; steps() does some at once. Segments are cut by n
    alone, and may be worked on at the same time.
    """
    cdef Plan plan
    cdef Pass one                     # over the segments
    cdef bint single
    cdef int mode                     # what the pass does
    cdef readonly Py_ssize_t n_segments, segment_rows
    cdef readonly Py_ssize_t n_uniforms   # that a step takes
    cdef readonly object centroids    # (k, d) float64
    cdef readonly object owner        # (n,) int32
    cdef readonly object nearest      # (n,) float64
    cdef object kept
    cdef list scratches
    cdef Py_ssize_t n_cells, sift_bytes
    cdef double* chosen               # (k, d) the centroids
    cdef double* cumulative           # (n_cells,) sums of the chances before
    cdef double* limits               # (k,)
    cdef double* candidates           # (room, d)
    cdef double* gains                # (segments, n_gains), see tiles.h
    cdef Py_ssize_t* left             # (segments, 1 + filters) rows before and after each filter
    cdef void* sifter
    cdef Py_ssize_t[FILTERS] pause    # measuring passes for which a filter is not asked
    cdef Py_ssize_t k, j, place       # centroids wanted and settled; which candidate is the next
    cdef Py_ssize_t n_candidates, n_ahead, n_gains
    cdef Py_ssize_t n_kept            # candidates drawn ahead, of the step to come
    cdef bint chosen_ahead            # centroid j is chosen, and not yet settled
    cdef Py_ssize_t[MOST] kept_at     # their places
    cdef double[MOST] before          # `nearest` of those that may be kept
    cdef double largest               # of the squared distances, or a bound

    def __init__(
        self, Source source, weight, Py_ssize_t k, Py_ssize_t n_candidates, memory=None,
        bint ahead=False,
    ):
        """weight: (n,) float64 or None; memory: (m,) uint8 that nobody else uses, or None; ahead:
        whether candidates are drawn ahead."""
        cdef Plan* p = &self.plan
        cdef const double[::1] weights
        cdef Py_ssize_t size, others
        if not 1 <= n_candidates <= MOST:
            raise ValueError(f"n_candidates must be between 1 and {MOST}, got {n_candidates}")
        self.single = source.single
        p.n, p.d, p.gains.room = source.n, source.d, n_candidates
        p.source, p.X = &source.c, source.in_place()
        p.narrow = p.d <= CKM_NARROW
        self.k, self.n_candidates, self.n_gains = k, n_candidates, n_candidates
        if ahead:
            self.n_ahead = draws_ahead(p.d, n_candidates)
        if not p.narrow:
            p.gains.room += self.n_ahead
            self.n_gains += self.n_ahead * (1 + n_candidates)
        self.n_uniforms = n_candidates + 2 * self.n_ahead
        p.gathered = max(TILE, GATHERED // p.d // TILE * TILE)
        if p.narrow:
            p.gathered = 1024
        self.segment_rows = ((p.n + 15) // 16 + BLOCK - 1) // BLOCK * BLOCK
        self.n_segments = (p.n + self.segment_rows - 1) // self.segment_rows
        self.n_cells = (p.n + CELL - 1) // CELL
        self.sift_bytes = seed_sift_bytes(p.d, self.single)
        if p.narrow or p.n < SIFTED:
            self.sift_bytes = 0
        size, others = p.n * sizeof(double), self.lay_out(0, k) + LINE
        rest = None
        if memory is None or memory.nbytes < size:
            self.nearest = fresh(p.n)
        else:
            self.nearest, rest = memory[:size].view(np.float64), memory[size:]
        if rest is None or rest.nbytes < others:
            rest = fresh(others, np.uint8)
        self.lay_out(<uintptr_t> data_of(rest), k)
        memset(self.left, 0, self.n_segments * (FILTERS + 1) * sizeof(Py_ssize_t))
        self.centroids, self.owner = np.empty((k, p.d)), np.empty(p.n, np.int32)
        self.kept = (source, weight, rest)
        self.scratches = []
        self.chosen = <double*> data_of(self.centroids)
        p.nearest, p.owner = <double*> data_of(self.nearest), <int32_t*> data_of(self.owner)
        p.gains.d = p.d
        self.bound_roundings()
        p.scale = p.weight_scale = 1.0
        p.weight = NULL
        if weight is not None:
            weights = weight
            p.weight = &weights[0]
            p.weight_scale = reciprocal(weight.max())
        p.gains.weight_scale = p.weight_scale

    cdef uintptr_t lay_out(self, uintptr_t at, Py_ssize_t k) noexcept:
        cdef Plan* p = &self.plan
        p.chances = <double*> next_piece(&at, self.n_cells * sizeof(double))
        self.cumulative = <double*> next_piece(&at, self.n_cells * sizeof(double))
        p.open = <uint32_t*> next_piece(
            &at, self.n_cells * p.gains.room * CKM_OPEN_WORDS * sizeof(uint32_t))
        self.candidates = <double*> next_piece(&at, p.gains.room * p.d * sizeof(double))
        p.gains.candidates = next_piece(&at, CKM_CANDIDATE_BYTES(p.gains.room, p.d))
        self.gains = <double*> next_piece(&at, self.n_segments * self.n_gains * sizeof(double))
        self.left = <Py_ssize_t*> next_piece(
            &at, self.n_segments * (FILTERS + 1) * sizeof(Py_ssize_t))
        if not p.narrow:
            self.limits = <double*> next_piece(&at, k * sizeof(double))
        if self.sift_bytes:
            self.sifter = next_piece(&at, self.sift_bytes)
            p.norms2 = <float*> next_piece(&at, p.n * sizeof(float))
        return at

    cdef void bound_roundings(self) noexcept nogil:
        cdef ckm_gains* gains = &self.plan.gains
        cdef double u = (6.0e-8 if self.single else 1.2e-16) + 2.3e-16
        cdef double least = 1.2e-38 if self.single else 2.3e-308
        gains.tiny = 4 * (self.plan.d + 8) * least
        gains.grow = 1 + 2 * (self.plan.d + 8) * u

    cdef Scratch scratch(self):
        found = spare(self.scratches)
        return Scratch(self.plan.gathered, self.plan.d) if found is None else found

    def begin(self, double uniform):
        """Draw the first centroid: every row's chance is its weight. Where there are none, the row
        is the one that sums of equal chances would find."""
        with nogil:
            self.draw_first(uniform)

    cdef void draw_first(self, double uniform) noexcept nogil:
        cdef Plan* p = &self.plan
        cdef Py_ssize_t c, i, row
        p.scale = 1.0
        if p.weight == NULL:
            row = min(p.n - 1, <Py_ssize_t> (uniform * p.n))
            read_rows(p.source, p.d, row, NULL, 1, self.candidates)
        else:
            for i in range(p.n):
                p.nearest[i] = 1.0
            for c in range(self.n_cells):
                add_up(p, c)
            self.draw_rows(&uniform, 1)
        self.j = self.n_kept = 0
        self.chosen_ahead = False
        self.mode = SETTLING
        memcpy(self.chosen, self.candidates, p.d * sizeof(double))
        memset(self.pause, 0, sizeof(self.pause))

    def begun(self):
        """After begin() and work() for every segment."""
        with nogil:
            self.keep_norms()

    cdef void keep_norms(self) noexcept nogil:
        cdef Plan* p = &self.plan
        cdef Py_ssize_t i
        self.largest = 0.0
        for i in range(self.n_cells):
            self.largest = max(self.largest, p.chances[i])
        if p.weight != NULL or not 1e-60 < self.largest < 1e200:
            self.rescale()
        if p.norms2 != NULL:
            for i in range(p.n):
                p.norms2[i] = <float> p.nearest[i]
        self.j, self.mode = 1, 0

    cdef void rescale(self) noexcept nogil:
        """Keep the chances far from overflow and underflow: exactly, by a power of two."""
        cdef Plan* p = &self.plan
        cdef Py_ssize_t i
        cdef double[4] largest = [0.0, 0.0, 0.0, 0.0]
        for i in range(p.n // 4 * 4):    # four, which do not wait for each other
            largest[i % 4] = max(largest[i % 4], p.nearest[i])
        for i in range(p.n // 4 * 4, p.n):
            largest[0] = max(largest[0], p.nearest[i])
        self.largest = max(max(largest[0], largest[1]), max(largest[2], largest[3]))
        if self.largest > 0:
            p.scale = reciprocal(self.largest)
        for i in range(self.n_cells):
            add_up(p, i)

    cdef double add_cells(self) noexcept nogil:
        """The sum of all chances, and those before each cell."""
        cdef Py_ssize_t c
        cdef double total = 0.0
        for c in range(self.n_cells):
            total += self.plan.chances[c]
            self.cumulative[c] = total
        return total

    cdef Py_ssize_t cell_of(self, double target) noexcept nogil:
        """The first cell whose cumulative chance is above the target, or else the last of any."""
        cdef Py_ssize_t low = 0, high = self.n_cells - 1, middle
        cdef double last = self.cumulative[high]
        while low < high:
            middle = (low + high) // 2
            if self.cumulative[middle] > target or self.cumulative[middle] == last:
                high = middle
            else:
                low = middle + 1
        return low

    cdef bint draw_rows(self, const double* uniforms, Py_ssize_t count) noexcept nogil:
        """Candidates, distinct, in proportion to weight times squared distance; whether any."""
        cdef Plan* p = &self.plan
        cdef Py_ssize_t i
        cdef double total = self.add_cells()
        if total < 1e-100:
            self.rescale()
            total = self.add_cells()
        p.t = 0
        if total == 0:
            return False
        for i in range(count):
            self.draw_row(uniforms[i], p.t)
            p.t += self.is_new(p.t)
        p.gains.own = p.t
        return True

    cdef double draw_row(self, double uniform, Py_ssize_t place) noexcept nogil:
        """Make a row the candidate of a place; returns its squared distance to its centroid."""
        cdef Plan* p = &self.plan
        cdef double target = uniform * self.cumulative[self.n_cells - 1]
        cdef Py_ssize_t cell = self.cell_of(target)
        cdef Py_ssize_t row = row_in_cell(
            p, cell, target - (self.cumulative[cell] - p.chances[cell]))
        read_rows(p.source, p.d, row, NULL, 1, self.candidates + place * p.d)
        return p.nearest[row]

    cdef bint is_new(self, Py_ssize_t place) noexcept nogil:
        """Whether the candidate differs from those before it."""
        cdef Py_ssize_t i, f, d = self.plan.d
        for i in range(place):
            for f in range(d):
                if self.candidates[i * d + f] != self.candidates[place * d + f]:
                    break
            else:
                return False
        return True

    cdef void aim(self) noexcept nogil:
        """Prepare measuring what the candidates gain."""
        cdef Plan* p = &self.plan
        p.gains.t = p.t
        memset(self.gains, 0, self.n_segments * self.n_gains * sizeof(double))
        if self.single:
            seed_pack_candidates(self.candidates, p.t, p.d, <float*> p.gains.candidates)
        else:
            seed_pack_candidates(self.candidates, p.t, p.d, <double*> p.gains.candidates)
        p.limits = NULL
        p.sifter = NULL
        if not p.narrow and self.pause[LIMITS] == 0:
            self.reach()
            p.limits = self.limits
        if p.norms2 != NULL and self.pause[SIFT] == 0:
            if seed_pack_sift(self.candidates, p.t, p.d, self.chosen, self.sifter, self.single):
                p.sifter = self.sifter

    cdef void reach(self) noexcept nogil:
        """A row at most limits[j] (squared) from its centroid j gains from no candidate.

        By the triangle inequality that is a quarter of the least squared distance between centroid
        and candidate; less here, by what the three squared distances may be rounded.
        """
        cdef Py_ssize_t first = 0, i, t, m, d = self.plan.d
        cdef double[CELL] squares
        cdef double shrink = 0.25 * (1 - 16 * (d + 8) * 2.3e-16), tiny = (d + 8) * 2.3e-308
        while first < self.j:
            m = min(<Py_ssize_t> CELL, self.j - first)
            for t in range(self.plan.t):
                seed_distances2(self.chosen + first * d, d, <const int32_t*> NULL, m,
                                self.candidates + t * d, squares)
                for i in range(m):
                    if t == 0 or squares[i] < self.limits[first + i]:
                        self.limits[first + i] = squares[i]
            for i in range(first, first + m):
                self.limits[i] = max(self.limits[i] * shrink - tiny, 0.0)
            first += CELL

    cdef void work_on(self, Py_ssize_t segment, Work* w) noexcept nogil:
        """A segment of the pass."""
        if self.single:
            self.work_as(segment, w, <float> 0)
        else:
            self.work_as(segment, w, <double> 0)

    cdef void work_as(self, Py_ssize_t segment, Work* w, real _) noexcept nogil:
        cdef Plan* p = &self.plan
        cdef Py_ssize_t first = segment * self.segment_rows, end
        cdef Py_ssize_t last = min(p.n, first + self.segment_rows)
        cdef Py_ssize_t size = BLOCK if self.j == 0 or self.mode == SETTLING | MEASURING else last
        cdef double* gains = self.gains + segment * self.n_gains
        cdef Py_ssize_t* left = self.left + segment * (FILTERS + 1)
        cdef const double* centroid = self.chosen + self.j * p.d
        while first < last:
            end = min(last, first + size)
            if self.mode & SETTLING:
                if self.j == 0:
                    take_rows(p, first, end, centroid, w, _)
                else:
                    settle_rows(p, first, end, <int32_t> self.j, self.place, centroid, w, _)
            if self.mode & MEASURING:
                measure_rows(p, first, end, w, gains, left, _)
            first = end

    cdef int prepare(self, const double* uniforms, Work* w) noexcept nogil:
        """Conclude the pass before and prepare the next of a step: what it does, 0 for none."""
        cdef Plan* p = &self.plan
        cdef int before = self.mode
        self.mode = 0
        if before & SETTLING:
            self.j += 1
            self.chosen_ahead = False
        if before == 0:
            self.begin_step(uniforms, w)
        elif before & MEASURING:
            if before & SETTLING:
                self.add_cells()
            self.choose(w)
            if p.narrow and self.draw_ahead(uniforms + self.n_candidates):
                self.chosen_ahead = True
                self.aim()
            else:
                self.mode = SETTLING
        elif not p.narrow:
            self.keep_later(uniforms + self.n_candidates)
        return self.mode

    cdef void begin_step(self, const double* uniforms, Work* w) noexcept nogil:
        cdef Plan* p = &self.plan
        if self.chosen_ahead:
            self.mode = SETTLING | MEASURING
        elif self.n_kept:
            self.choose_later(w)
            self.mode = SETTLING
        elif self.draw_rows(uniforms, self.n_candidates):
            if not p.narrow:
                self.draw_later(uniforms + self.n_candidates)
            self.aim()
            self.mode = MEASURING

    cdef bint keeps(
        self, Py_ssize_t place, Py_ssize_t j, double before, double uniform
    ) noexcept nogil:
        """Whether a row drawn ahead of centroid j is a candidate after it: in proportion to what
        that leaves of its squared distance."""
        cdef Plan* p = &self.plan
        cdef double square
        seed_distances2(self.candidates + place * p.d, p.d, <const int32_t*> NULL, 1,
                        self.chosen + j * p.d, &square)
        return square >= before or uniform * before < square

    cdef bint draw_ahead(self, const double* uniforms) noexcept nogil:
        """Draw the candidates of the next step while centroid j is not settled; whether there are
        enough."""
        cdef Plan* p = &self.plan
        cdef Py_ssize_t i, n_kept = 0
        cdef double before
        if self.j + 1 == self.k or not self.cumulative[self.n_cells - 1] >= 1e-100:
            return False
        p.t = 0
        for i in range(self.n_ahead):
            before = self.draw_row(uniforms[2 * i], p.t)
            if self.keeps(p.t, self.j, before, uniforms[2 * i + 1]):
                p.t += self.is_new(p.t)
                n_kept += 1
                if n_kept == self.n_candidates:
                    p.gains.own = p.t
                    return True
        return False

    cdef void draw_later(self, const double* uniforms) noexcept nogil:
        """Draw rows that may be candidates of the step after this."""
        cdef Plan* p = &self.plan
        cdef Py_ssize_t i
        for i in range(self.n_ahead if self.j + 1 < self.k else 0):
            self.before[i] = self.draw_row(uniforms[2 * i], p.gains.own + i)
            p.t += 1

    cdef void keep_later(self, const double* uniforms) noexcept nogil:
        """Keep of them those that centroid j - 1 leaves; all or none of as many as a step has."""
        cdef Plan* p = &self.plan
        cdef Py_ssize_t i
        for i in range(p.t - p.gains.own):
            if self.n_kept < self.n_candidates and self.keeps(
                p.gains.own + i, self.j - 1, self.before[i], uniforms[2 * i + 1]
            ):
                self.kept_at[self.n_kept] = p.gains.own + i
                self.n_kept += 1
        if self.n_kept < self.n_candidates:
            self.n_kept = 0

    cdef void choose(self, Work* w) noexcept nogil:
        """The next centroid, of the candidates of this step."""
        cdef Plan* p = &self.plan
        cdef Py_ssize_t[MOST] places
        cdef double[MOST] gains
        cdef Py_ssize_t i
        for i in range(p.gains.own):
            places[i], gains[i] = i, self.gain_at(i)
        self.choose_among(places, gains, p.gains.own, 1, w)
        self.rest_filters()

    cdef void choose_later(self, Work* w) noexcept nogil:
        """The next centroid, of the candidates that were measured with those of the step before."""
        cdef Plan* p = &self.plan
        cdef double[MOST] gains
        cdef Py_ssize_t i
        for i in range(self.n_kept):
            gains[i] = self.gain_at(
                p.t + (self.kept_at[i] - p.gains.own) * p.gains.own + self.place)
        self.choose_among(self.kept_at, gains, self.n_kept, 2, w)
        self.n_kept = 0
        p.t = p.gains.own                   # none is left for another step

    cdef double gain_at(self, Py_ssize_t i) noexcept nogil:
        """One of the sums of gains, over all segments."""
        cdef Py_ssize_t s
        cdef double gain = 0.0
        for s in range(self.n_segments):
            gain += self.gains[s * self.n_gains + i]
        return gain

    cdef void choose_among(
        self, const Py_ssize_t* places, const double* gains, Py_ssize_t count, double roundings,
        Work* w,
    ) noexcept nogil:
        """The candidate that leaves the least inertia, that is, gains most; the first on ties."""
        cdef Plan* p = &self.plan
        cdef Py_ssize_t i, rivals = 0
        cdef double[MOST] doubt
        cdef double best = -1.0, certain = -1.0, exact
        cdef bint overflow = self.largest > (8e37 if self.single else 4e307)
        for i in range(count):
            doubt[i] = roundings * self.doubt_about(gains[i])
            overflow |= not isfinite(gains[i] + doubt[i])
            certain = max(certain, gains[i] - doubt[i])
        for i in range(count):
            if overflow or gains[i] + doubt[i] >= certain:
                rivals += 1
                self.place = places[i]
        if rivals > 1:
            for i in range(count):
                if not overflow and gains[i] + doubt[i] < certain:
                    continue
                if self.single:
                    exact = exact_gain(p, places[i], self.candidates + places[i] * p.d, w,
                                       <float> 0)
                else:
                    exact = exact_gain(p, places[i], self.candidates + places[i] * p.d, w,
                                       <double> 0)
                if exact > best:
                    best = exact
                    self.place = places[i]
        memcpy(self.chosen + self.j * p.d, self.candidates + self.place * p.d,
               p.d * sizeof(double))

    cdef void rest_filters(self) noexcept nogil:
        """Pause those that left more than three quarters of the rows."""
        cdef Py_ssize_t f, s, before, after
        for f in range(FILTERS):
            before = after = 0
            for s in range(self.n_segments):
                before += self.left[s * (FILTERS + 1) + f]
                after += self.left[s * (FILTERS + 1) + f + 1]
            if self.pause[f]:
                self.pause[f] -= 1
            elif after * 4 > before * 3:
                self.pause[f] = 7

    cdef double doubt_about(self, double gain) noexcept nogil:
        """How far rounding may take an estimated gain from what exact_gain finds."""
        cdef Plan* p = &self.plan
        cdef double u = (6.0e-8 if self.single else 1.2e-16) + 1.2e-16    # and exact_gain's
        cdef double potential = self.cumulative[self.n_cells - 1] / p.scale
        cdef double flushed = p.n * (1 + self.largest) * p.gains.tiny
        return (((p.d + 16) * potential + (CELL + 16) * gain) * u + p.n * 2.3e-16 * potential
                + flushed)

    def next_pass(self, const double[::1] uniforms):
        """Whether another pass over the rows belongs to a step: after the last one, the step is
        done, or every row is a centroid already."""
        cdef Scratch scratch = self.scratch()
        cdef bint any_left
        with nogil:
            any_left = self.prepare(&uniforms[0], &scratch.work)
        self.scratches.append(scratch)
        return any_left

    def work(self, Py_ssize_t segment):
        """Do the pass for a segment of rows."""
        cdef Scratch scratch = self.scratch()
        with nogil:
            self.work_on(segment, &scratch.work)
        self.scratches.append(scratch)

    @property
    def reached(self):
        """How many centroids there are."""
        return self.j + self.chosen_ahead

    def steps(self, const double[:, ::1] uniforms):
        """A step for each row of uniforms; returns how many centroids there are then. It is fewer
        where every row is a centroid already."""
        cdef Scratch scratch = self.scratch()
        with nogil:
            self.take_steps(&uniforms[0, 0], uniforms.shape[0], &scratch.work)
        self.scratches.append(scratch)
        return self.reached

    def seed(self, uniforms):
        """All of it, by 1 + (k - 1) * n_uniforms numbers; returns how many centroids there are."""
        cdef Scratch scratch = self.scratch()
        cdef const double* numbers = <double*> numbers_of(
            uniforms, FLOAT64, 1 + (self.k - 1) * self.n_uniforms, "uniforms")
        with nogil:
            self.seed_all(numbers, self.k, &scratch.work)
        self.scratches.append(scratch)
        return self.j

    cdef void seed_all(self, const double* uniforms, Py_ssize_t k, Work* w) noexcept nogil:
        self.draw_first(uniforms[0])
        self.pass_over(w)
        self.keep_norms()
        self.take_steps(uniforms + 1, k - 1, w)

    cdef void take_steps(self, const double* uniforms, Py_ssize_t count, Work* w) noexcept nogil:
        cdef Py_ssize_t i, reached
        for i in range(count):
            reached = self.j + self.chosen_ahead
            while self.prepare(uniforms + i * self.n_uniforms, w):
                self.pass_over(w)
            if self.j + self.chosen_ahead == reached:
                break

    cdef void pass_over(self, Work* w) noexcept nogil:
        """Do the pass for every segment."""
        open_pass(&self.one, self.n_segments)
        self.do_segments(w, 0)
        wait_for_all(&self.one)

    cdef void do_segments(self, Work* w, int32_t who) noexcept nogil:
        cdef Py_ssize_t segment = take_segment(&self.one, who)
        while segment >= 0:
            self.work_on(segment, w)
            next_of(&self.one.done)
            segment = take_segment(&self.one, who)

    def attend(self):
        """Do segments of the passes of steps(), until none comes soon or that is forbidden."""
        cdef Scratch scratch = self.scratch()
        cdef int32_t who = 1 + next_of(&self.one.present)
        with nogil:
            while comes(&self.one):
                self.do_segments(&scratch.work, who)
        self.scratches.append(scratch)

    def present(self):
        """How many threads wait for the next pass, or work on this one."""
        return load(&self.one.present)

    def dismiss(self, bint ended):
        """Let no thread wait for another pass."""
        dismiss_all(&self.one, ended)

    def seed_each(
        self,
        Py_ssize_t first, Py_ssize_t stride,   # in   the first problem, bytes between two
        const double[:, ::1] uniforms,         # in   (m, 1 + steps * n_uniforms)
        double[:, :, ::1] centroids,           # out  (m, k, d)
        int32_t[:, ::1] owners,                # out  (m, n)
        unsigned char[::1] reached,            # out  (m,) whether there are k of them
    ):
        """Seed m problems of the shape of the source, whose rows lie `stride` bytes apart."""
        cdef Plan* p = &self.plan
        cdef ckm_source* source = <ckm_source*> p.source
        cdef const char* origin = source.data
        cdef bint in_place = p.X != NULL
        cdef Py_ssize_t i, j, k = centroids.shape[1]
        cdef Scratch scratch = self.scratch()
        with nogil:
            for i in range(centroids.shape[0]):
                source.data = origin + (first + i) * stride
                p.X = source.data if in_place else NULL
                p.owner = &owners[i, 0]
                self.seed_all(&uniforms[i, 0], k, &scratch.work)
                reached[i] = self.j == k
                for j in range(self.j, k):    # fewer distinct rows than k
                    memcpy(self.chosen + j * p.d, self.chosen, p.d * sizeof(double))
                memcpy(&centroids[i, 0, 0], self.chosen, k * p.d * sizeof(double))
        source.data = origin
        p.X = origin if in_place else NULL
        p.owner = <int32_t*> data_of(self.owner)
        self.scratches.append(scratch)


# The uniform numbers of generators without NumPy's objects: numpy.random.SeedSequence
# (O'Neill's randutils) and PCG64, whose streams NumPy keeps as they are. _generators.py compares
# the first of them with NumPy's own.

cdef enum:
    POOL = 4

cdef struct Hash:
    uint32_t constant, multiplier

cdef struct PCG64:
    uint64_t high, low                        # state
    uint64_t increment_high, increment_low

cdef uint32_t ENTROPY_START = 0x43b0d7e5u, ENTROPY_MULTIPLIER = 0x931e8875u
cdef uint32_t STATE_START = 0x8b51f9ddu, STATE_MULTIPLIER = 0x58f38dedu
cdef uint64_t PCG_HIGH = 0x2360ed051fc65da4u, PCG_LOW = 0x4385df649fccf645u


cdef inline uint32_t hashed(uint32_t word, Hash* h) noexcept nogil:
    word ^= h.constant
    h.constant *= h.multiplier
    word *= h.constant
    return word ^ (word >> 16)


cdef inline uint32_t mixed(uint32_t a, uint32_t b) noexcept nogil:
    cdef uint32_t word = 0xca01f9ddu * a - 0x4973f715u * b
    return word ^ (word >> 16)


cdef inline uint64_t high_product(uint64_t a, uint64_t b) noexcept nogil:
    """The upper half of the 128 bits of a * b."""
    cdef uint64_t low_mask = 0xffffffffu
    cdef uint64_t a1 = a >> 32, a0 = a & low_mask, b1 = b >> 32, b0 = b & low_mask
    cdef uint64_t middle = a1 * b0 + (a0 * b0 >> 32)
    cdef uint64_t other = a0 * b1 + (middle & low_mask)
    return a1 * b1 + (middle >> 32) + (other >> 32)


cdef inline void pcg_step(PCG64* g) noexcept nogil:
    cdef uint64_t low = g.low * PCG_LOW
    g.high = high_product(g.low, PCG_LOW) + g.high * PCG_LOW + g.low * PCG_HIGH
    g.low = low + g.increment_low
    g.high += g.increment_high + (g.low < low)


cdef inline double pcg_uniform(PCG64* g) noexcept nogil:
    """The next number in [0, 1)."""
    pcg_step(g)
    cdef uint64_t word = g.high ^ g.low
    cdef int turn = <int> (g.high >> 58)
    word = (word >> turn) | (word << (-turn & 63))
    return <double> (word >> 11) * (1.0 / 9007199254740992.0)


cdef void give_state(const uint32_t* pool, uint64_t* words) noexcept nogil:
    """What a sequence with this pool seeds PCG64 by: (POOL,) words."""
    cdef Hash h
    cdef uint32_t low
    cdef int i
    h.constant, h.multiplier = STATE_START, STATE_MULTIPLIER
    for i in range(POOL):
        low = hashed(pool[2 * i % POOL], &h)
        words[i] = low | <uint64_t> hashed(pool[(2 * i + 1) % POOL], &h) << 32


cdef PCG64 pcg_of(const uint32_t* pool) noexcept nogil:
    """PCG64 seeded by the sequence with this pool."""
    cdef uint64_t[POOL] words
    cdef PCG64 g
    give_state(pool, words)
    g.high = g.low = 0
    g.increment_high = words[2] << 1 | words[3] >> 63
    g.increment_low = words[3] << 1 | 1
    pcg_step(&g)
    g.low += words[1]
    g.high += words[0] + (g.low < words[1])
    pcg_step(&g)
    return g


@cython.final
cdef class Uniforms:
    """``Generator(PCG64(seed))``, of which random() needs no object of NumPy's: to make these takes
    a sixth of a fit of 3000 x 2 where they are not in the caches. For anything else one is made,
    and goes on from here."""
    cdef PCG64 state
    cdef object generator

    def __init__(self, uint64_t seed):
        cdef uint32_t[POOL] pool = [<uint32_t> seed, <uint32_t> (seed >> 32), 0, 0]
        cdef Hash h
        cdef int i, j
        h.constant, h.multiplier = ENTROPY_START, ENTROPY_MULTIPLIER
        for i in range(POOL):
            pool[i] = hashed(pool[i], &h)
        for i in range(POOL):
            for j in range(POOL):
                if i != j:
                    pool[j] = mixed(pool[j], hashed(pool[i], &h))
        self.state = pcg_of(pool)

    def random(self, size=None):
        """The next numbers in [0, 1): one, or an array of this shape."""
        cdef double* each
        cdef Py_ssize_t i, n
        if self.generator is not None:
            return self.generator.random(size)
        if size is None:
            return pcg_uniform(&self.state)
        numbers = np.empty(size)
        each, n = <double*> data_of(numbers), numbers.size
        for i in range(n):
            each[i] = pcg_uniform(&self.state)
        return numbers

    def __getattr__(self, name):
        cdef PCG64* g = &self.state
        if self.generator is None:
            numpys = np.random.PCG64(0)
            numpys.state = numpys.state | {"state": {
                "state": int(g.high) << 64 | g.low,
                "inc": int(g.increment_high) << 64 | g.increment_low,
            }}
            self.generator = np.random.Generator(numpys)
        return getattr(self.generator, name)


cdef PCG64 pcg_of_child(const uint32_t* parent, uint32_t constant, uint32_t key) noexcept nogil:
    """PCG64 seeded by the child `key` of the sequence whose pool is `parent`."""
    cdef uint32_t[POOL] pool
    cdef Hash h
    cdef int i
    h.constant, h.multiplier = constant, ENTROPY_MULTIPLIER
    for i in range(POOL):
        pool[i] = mixed(parent[i], hashed(key, &h))
    return pcg_of(pool)


def spawned_uniforms(
    const uint32_t[::1] pool,       # in   (4,) of the parent's SeedSequence
    Py_ssize_t n_words,             # in   of the parent's entropy and spawn key, 4 at least
    uint32_t first,                 # in   spawn key of the first child
    double[:, ::1] uniforms,        # out  (children, numbers)
):
    """The first numbers of ``Generator(PCG64(child)).random()`` for children in a row."""
    cdef Py_ssize_t i, j, _word
    cdef uint32_t constant = ENTROPY_START
    cdef PCG64 g
    with nogil:
        for _word in range(POOL * n_words):
            constant *= ENTROPY_MULTIPLIER
        for i in range(uniforms.shape[0]):
            g = pcg_of_child(&pool[0], constant, first + <uint32_t> i)
            for j in range(uniforms.shape[1]):
                uniforms[i, j] = pcg_uniform(&g)
