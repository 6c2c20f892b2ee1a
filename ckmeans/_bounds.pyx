# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
# cython: initializedcheck=False, freethreading_compatible=True
"""One problem between iterations: labels, bounds and the clusters' totals, a segment at a time.

Bounds (Hamerly 2010) on the distance to the own centroid, and to the nearest other one, say which
rows can change. Of these, a row whose slack exceeds the moves of most centroids may be compared
with the others only: the centroids that moved farthest come first in a shorter panel (the activity
of code vectors of Kaukoranta, Franti & Nevalainen 2000, by degrees). The rows that are left are
gathered into full tiles, so that the kernels stay dense. Bounds are rounded outward: pruning never
changes a label.

Before bounds pay, short rows are kept as 16-bit integers in their place, by which most labels are
proven at less than half the cost; see `_tiles/rounded.h`.
"""
cimport cython
from cpython.exc cimport PyErr_CheckSignals
from libc.math cimport INFINITY, fabs, sqrt
from libc.stdint cimport int8_t, int32_t, int64_t, uintptr_t
from libc.stdlib cimport llabs
from libc.string cimport memcpy, memset

import numpy as np

from ckmeans._memory import fresh, zeroed
from ckmeans._lloyd cimport (
    CKM_LONG, CKM_MAX_PANELS, CKM_ROUNDED_LONGEST, CKM_SCORES, add_rows, assign_rows,
    changed_rows, ckm_drifts_f32, ckm_drifts_f64, ckm_rest, decide_row, distance2, filter_margins,
    filter_rows, keep_margins, keep_rows, move_rows, nearest_rounded, nearest_rows, own_squares,
    pack_centroids, pack_rounded, packed_size, read_rows, real, round_rows, rounded_packed_size,
    rounded_size, sort_open_rows, takes_lists,
)
from ckmeans._margins cimport (
    Changes, Margins, begin_margins, begin_pass, collect_changes, lay_out_margins, limit_margins,
    note_leaving, note_length, open_margins,
)
from ckmeans._memory cimport LINE, data_of, next_piece, numbers_of
from ckmeans._modes cimport C_BOUND, C_FILTER, C_GIVEN, C_PLAIN, C_SCREENED
from ckmeans._slack cimport (
    MOVED, REACH, Moves, add_moves, begin_sums, lay_out_moves, measure_moves, note_slack, open_by,
    show_f32, show_f64, square_apart,
)
from ckmeans._source cimport Source, ckm_source
from ckmeans._threads cimport (
    MOST_SEGMENTS, Pass, comes, dismiss_all, heed_signals, load, next_of, open_pass, spare, store,
    take_segment, wait_for_all,
)

GIVEN, PLAIN, SCREENED, BOUND, FILTER = C_GIVEN, C_PLAIN, C_SCREENED, C_BOUND, C_FILTER

cdef enum:
    TILE = 48                     # a multiple of the rows of every level's tile
    # Filtered at once, so that survivors fill tiles: two thirds as many take 1.02 to 1.05 times as
    # long at d = 2 to 16. More gain up to 2 %, but make fewer segments for the threads to share.
    BLOCK_ROWS = 126 * TILE
    BLOCK_ELEMENTS = 1 << 17      # assigned and moved while in the L2 cache
    CONVERTED = 1 << 12           # elements at once: 4 times as many take 8 to 14 % more at d = 64
    # Of float32 rows, many: what integers leave undecided is scored again in whole tiles (100k x
    # 128, k = 256, all rows gathered: 0.67 of the time of 1 << 12; float64 takes 1.1 of it).
    GATHERED = 1 << 16
    GATHERED_DOUBLE = 1 << 12
    MANY = 4                      # pieces of converted rows, at least, that are settled together
    AT_ONCE = 21 * TILE           # most listed rows assigned at once
    SORT_FROM_K = 64              # centroids; with fewer, assigning a row is as cheap
    SAMPLED = 1024                # rows by which the scale of integers is chosen
    ASKED = 4                     # assignments between questions whether bounds still pay
    # Columns up to which the gaps between centroids help: they leave 41 passes' worth of
    # comparisons instead of 53 at d = 3, k = 256, but no fewer from d = 16 on, where rows lie far
    # from centroids.
    GAPS_TO = 8
    # Rows from which few centroids have margins, as limits take more than 5 % of a pass over fewer;
    # and products of a row, which takes too little time with fewer.
    MARGINS_FROM = 1 << 13
    MARGINS_PRODUCTS = 1 << 11
    LOOKED_AT = 256               # rows whose margins stand for all
    MOST_WITHOUT = 64             # of these; where more have none, bounds are kept instead

cdef int FLOAT64 = np.dtype(np.float64).num, INT32 = np.dtype(np.int32).num

# Of the length that 99 % of those rows stay below: few others are longer than this many times it.
cdef double ROOMY = 1.5

cdef struct Plan:
    int mode
    Py_ssize_t n, d, k
    Py_ssize_t gathered, converted    # rows at once; the scratch has room for the former
    Py_ssize_t sort_cost          # comparisons that take as long as sorting and gathering a row
    const ckm_source* source      # (n, d)
    const char* tiles             # (n, d) in steps, where the tiles can read X in place; or NULL
    Py_ssize_t row_step, column_step
    const char* X                 # the same where the rows are packed, `row_step` apart; or NULL
    const double* weight          # (n,) or NULL
    bint anew                     # all rows are added up in each iteration
    const double* reference       # (d,)
    const double* centroids       # (k, d)
    int32_t* labels               # (n,)
    const int32_t* before         # (n,) those before where `labels` are given, or NULL for none
    char* upper                   # (n,)
    char* slack                   # (n,)
    bint by_margins               # or instead,
    int8_t* margins              # (n, CKM_SCORES) in the place of those
    int32_t* rounded              # (n, pairs) likewise
    Py_ssize_t pairs              # of columns
    bint rounding                 # rows are rounded in this assignment
    const double* origin          # (d,) the reference in their precision
    double row_scale              # 0 where rows can not be rounded, negative if not yet known
    const void* rounded_panel     # packed centroids for them
    int n_panels
    const void* panel[CKM_MAX_PANELS]    # packed centroids; the last holds all in their order
    Py_ssize_t size[CKM_MAX_PANELS]
    int32_t* order                # (k,) centroids by falling moves
    int32_t* rank                 # (k,) its inverse
    ckm_drifts_f32 drifts32
    ckm_drifts_f64 drifts64
    Margins of_passes

cdef struct Work:
    int32_t* before               # (room,) labels
    int32_t* open                 # (room,) rows of the block that may change, or are undecided
    int32_t* own                  # (room,) their labels; or rows that change, within a piece
    int32_t* lists[CKM_MAX_PANELS]    # (room,) each: places in `open`
    int32_t* rows                 # (room,)
    int32_t* found                # (AT_ONCE,)
    int32_t* undecided            # (AT_ONCE + 1,)
    double* squares               # (room,) of the open rows, to the own centroids
    char* upper                   # (room,) of the open rows
    char* slack                   # (room,)
    char* ends                    # (room,)
    char* least2                  # (AT_ONCE,)
    char* upper2                  # (AT_ONCE,)
    char* lower2                  # (AT_ONCE,)
    char* scores                  # (AT_ONCE + TILE, CKM_SCORES) for margins
    Changes* changes              # of the segment
    char* gathered                # (gathered, d)


cdef class Scratch:
    """The memory that one thread works in."""
    cdef Work work
    cdef object memory

    def __cinit__(self, Py_ssize_t n, Py_ssize_t scores_bytes, Py_ssize_t gathered_bytes):
        self.memory = np.empty(self.lay_out(0, n, scores_bytes, gathered_bytes) + LINE, np.uint8)
        self.lay_out(<uintptr_t> data_of(self.memory), n, scores_bytes, gathered_bytes)

    cdef uintptr_t lay_out(
        self, uintptr_t at, Py_ssize_t n, Py_ssize_t scores_bytes, Py_ssize_t gathered_bytes
    ) noexcept:
        cdef Work* w = &self.work
        # Vectors may end behind the last row of a block.
        cdef Py_ssize_t i, room = min(n, <Py_ssize_t> BLOCK_ROWS) + TILE
        w.before = <int32_t*> next_piece(&at, room * sizeof(int32_t))
        w.open = <int32_t*> next_piece(&at, room * sizeof(int32_t))
        w.own = <int32_t*> next_piece(&at, room * sizeof(int32_t))
        for i in range(CKM_MAX_PANELS):
            w.lists[i] = <int32_t*> next_piece(&at, room * sizeof(int32_t))
        w.rows = <int32_t*> next_piece(&at, room * sizeof(int32_t))
        w.found = <int32_t*> next_piece(&at, AT_ONCE * sizeof(int32_t))
        w.undecided = <int32_t*> next_piece(&at, (AT_ONCE + 1) * sizeof(int32_t))
        w.squares = <double*> next_piece(&at, room * sizeof(double))
        w.changes = NULL
        w.upper = <char*> next_piece(&at, room * sizeof(double))
        w.slack = <char*> next_piece(&at, room * sizeof(double))
        w.ends = <char*> next_piece(&at, room * sizeof(double))
        w.least2 = <char*> next_piece(&at, AT_ONCE * sizeof(double))
        w.upper2 = <char*> next_piece(&at, AT_ONCE * sizeof(double))
        w.lower2 = <char*> next_piece(&at, AT_ONCE * sizeof(double))
        w.scores = <char*> next_piece(&at, scores_bytes)
        w.gathered = <char*> next_piece(&at, gathered_bytes)
        return at


cdef Py_ssize_t rows_of(Py_ssize_t elements, Py_ssize_t d) noexcept nogil:
    """Whole tiles of so many elements: one at least, and no more than are assigned at once."""
    return max(TILE, min(AT_ONCE, elements // d // TILE * TILE))


cdef inline const void* drifts_of(const Plan* p, real _) noexcept nogil:
    if real is float:
        return &p.drifts32
    else:
        return &p.drifts64


cdef inline bint lists_in_place(const Plan* p, real _) noexcept nogil:
    """Whether the tiles take listed rows of X, so that these need not be gathered."""
    return p.X != NULL and takes_lists(p.panel[p.n_panels - 1], _)


cdef inline Py_ssize_t settling_cost(const Plan* p, real _) noexcept nogil:
    """Comparisons that take as long as assigning a row by itself: gathered, or read where it is,
    where rows follow one another less well (60k x 784, k = 10)."""
    return p.k + (p.k // 4 if lists_in_place(p, _) else p.sort_cost // 4)


cdef inline bint by_columns(const Plan* p) noexcept nogil:
    """Whether the elements of a column lie nearer to one another than those of a row."""
    return p.d > 1 and llabs(p.source.column_stride) > llabs(p.source.row_stride)


cdef inline ckm_rest rows_from(const Plan* p, Py_ssize_t first, Py_ssize_t count) noexcept nogil:
    """Where rows lie that are converted next; nothing where there is more between their elements,
    or where they do not follow one another."""
    cdef ckm_rest rows
    cdef Py_ssize_t step = p.source.row_stride, element = llabs(p.source.column_stride)
    rows.at = <const void*> (<uintptr_t> p.source.data + <uintptr_t> (first * step))
    rows.bytes = count * step if element <= 16 and 0 < step <= 2 * p.d * element else 0
    return rows


cdef const real* converted(
    const Plan* p, Py_ssize_t first, const int32_t* rows, Py_ssize_t count, Work* w, real _
) noexcept nogil:
    """Rows first + rows[i], or first + i for NULL, read into the scratch."""
    read_rows(p.source, p.d, first, rows, count, <real*> w.gathered)
    return <const real*> w.gathered


cdef inline void keep(
    const Plan* p, Py_ssize_t first, const int32_t* rows, Py_ssize_t count, const int32_t* labels,
    const real* upper2, const real* lower2, const Work* w
) noexcept nogil:
    """Keep the bounds of rows first + rows[i], or first + i for NULL, by their squares; or their
    margins, by their scores."""
    cdef real* upper = <real*> p.upper + first
    cdef real* slack = <real*> p.slack + first
    cdef const void* scales
    cdef Py_ssize_t i, row
    if not p.by_margins:
        keep_rows(count, rows, labels, drifts_of(p, <real> 0), upper2, lower2, upper, slack)
        return
    scales = <const void*> p.of_passes.scales32 if real is float else p.of_passes.scales
    keep_margins(count, rows, labels, <const real*> w.scores, <const real*> scales,
                 p.of_passes.since, p.margins + first * CKM_SCORES)
    for i in range(count):
        row = first + (i if rows == NULL else rows[i])
        note_length(&p.of_passes, w.changes, labels[i], upper2[i], p.margins + row * CKM_SCORES)


cdef inline real* scores_for(const Plan* p, Work* w, real _) noexcept nogil:
    """Room for those of AT_ONCE rows, if they are to get margins."""
    return <real*> w.scores if p.by_margins and p.mode >= C_BOUND else NULL


cdef void settle_full(
    const Plan* p, Py_ssize_t first, const int32_t* rows, Py_ssize_t count, Work* w, real _
) noexcept nogil:
    """Assign the chosen rows of a block by all centroids; set their bounds if those are kept."""
    cdef Py_ssize_t i, m, done = 0
    cdef const void* panel = p.panel[p.n_panels - 1]
    cdef bint in_place = lists_in_place(p, _)
    cdef Py_ssize_t most = AT_ONCE if in_place else p.gathered
    cdef const real* X = <const real*> p.X + first * p.row_step if in_place else NULL
    cdef real* upper2 = NULL
    cdef real* lower2 = NULL
    cdef real* scores = scores_for(p, w, _)
    if p.mode >= C_BOUND:
        upper2, lower2 = <real*> w.upper2, <real*> w.lower2
    while done < count:
        m = min(most, count - done)
        if in_place:
            assign_rows(X, p.row_step, 1, rows + done, m, p.d, p.centroids, p.k, panel, w.found,
                        upper2, lower2, scores)
        else:
            assign_rows(converted(p, first, rows + done, m, w, _), p.d, 1, NULL, m, p.d,
                        p.centroids, p.k, panel, w.found, upper2, lower2, scores)
        for i in range(m):
            p.labels[first + rows[done + i]] = w.found[i]
        if p.mode >= C_BOUND:
            keep(p, first, rows + done, m, w.found, upper2, lower2, w)
        done += m


cdef void assign_converted(
    const Plan* p, Py_ssize_t first, Py_ssize_t m, Work* w, real _
) noexcept nogil:
    """Assign rows that the tiles can not read in place, a piece at a time; set their bounds if they
    are kept. What many pieces leave undecided is settled together, since one leaves too little for
    a tile (100k x 64 of uint8, k = 64: 0.78 of the time)."""
    cdef Py_ssize_t i, count, n_undecided, done = 0, n_open = 0
    cdef bint together = m >= MANY * p.converted
    cdef const void* panel = p.panel[p.n_panels - 1]
    cdef const real* rows
    cdef ckm_rest rest
    cdef real* upper = NULL
    cdef real* lower = NULL
    cdef real* scores = scores_for(p, w, _)
    while done < m:
        count = min(p.converted, m - done)
        if scores != NULL:
            upper, lower = <real*> w.upper2, <real*> w.lower2
        elif p.mode >= C_BOUND:
            upper = <real*> p.upper + first + done
            lower = <real*> p.slack + first + done
        rows = converted(p, first + done, NULL, count, w, _)
        if together:
            rest = rows_from(p, first + done + count, count)
            n_undecided = nearest_rows(
                rows, p.d, 1, NULL, count, panel, &rest, p.labels + first + done, <real*> NULL,
                upper, lower, scores, w.undecided)
            for i in range(n_undecided):
                w.open[n_open + i] = <int32_t> done + w.undecided[i]
            n_open += n_undecided
        else:
            assign_rows(rows, p.d, 1, NULL, count, p.d, p.centroids, p.k, panel,
                        p.labels + first + done, upper, lower, scores)
        if p.mode >= C_BOUND:
            keep(p, first + done, NULL, count, p.labels + first + done, upper, lower, w)
        done += count
    settle_full(p, first, w.open, n_open, w, _)


cdef void assign_all(
    const Plan* p, Py_ssize_t first, Py_ssize_t m, Work* w, real _
) noexcept nogil:
    """Assign rows first..first+m-1; set their bounds if those are kept."""
    cdef Py_ssize_t end = first + m
    cdef real* upper = <real*> p.upper + first if p.mode >= C_BOUND else NULL
    cdef real* lower = <real*> p.slack + first if p.mode >= C_BOUND else NULL
    cdef real* scores = scores_for(p, w, _)
    if p.tiles == NULL:
        assign_converted(p, first, m, w, _)
        return
    if scores != NULL:
        m, upper, lower = min(m, <Py_ssize_t> AT_ONCE), <real*> w.upper2, <real*> w.lower2
    while first < end:    # once, without margins
        m = min(m, end - first)
        assign_rows(<const real*> p.tiles + first * p.row_step, p.row_step, p.column_step, NULL, m,
                    p.d, p.centroids, p.k, p.panel[p.n_panels - 1], p.labels + first, upper, lower,
                    scores)
        if p.mode >= C_BOUND:
            keep(p, first, NULL, m, p.labels + first, upper, lower, w)
        first += m


cdef void settle_part(
    const Plan* p, int panel, Py_ssize_t first, Py_ssize_t count, Work* w, real _
) noexcept nogil:
    """Assign the rows in the panel's list by its centroids and their own one."""
    cdef Py_ssize_t i, m, done = 0
    cdef const int32_t* places
    cdef int32_t label, own
    cdef double relative = (p.d + 8) * 4.6e-16, least, most, beyond, end
    cdef double tiny = 1.2e-38 if real is float else 2.3e-308    # what a square loses below
    cdef double down = 1 - (2.4e-7 if real is float else 4.5e-16)
    cdef real outside2
    cdef const real* ends = <const real*> w.ends
    cdef real* least2 = <real*> w.least2
    cdef real* upper2 = <real*> w.upper2
    cdef real* lower2 = <real*> w.lower2
    cdef const real* rows
    beyond = p.drifts32.beyond[panel] if real is float else p.drifts64.beyond[panel]
    while done < count:
        m = min(p.gathered, count - done)
        places = w.lists[panel] + done
        for i in range(m):
            w.rows[i] = w.open[places[i]]
        rows = converted(p, first, w.rows, m, w, _)
        nearest_rows(rows, p.d, 1, NULL, m, p.panel[panel], <const ckm_rest*> NULL, w.found,
                     least2, upper2, lower2, <real*> NULL, w.undecided)
        for i in range(m):
            own = w.own[places[i]]
            least = w.squares[places[i]] * (1 - relative) - tiny
            most = w.squares[places[i]] * (1 + relative) + tiny
            label = p.order[w.found[i]]
            end = ends[places[i]] - beyond    # positive: larger than the distance to the own one
            outside2 = <real> max(0.0, end * end * down * down - tiny)
            if p.rank[own] >= p.size[panel]:
                if most < least2[i]:
                    label = own
                    lower2[i] = least2[i]
                    upper2[i] = <real> (most / down)
                elif upper2[i] < lower2[i] and upper2[i] < least:
                    lower2[i] = min(lower2[i], <real> (least * down))
                else:
                    lower2[i] = upper2[i]    # undecided
            if upper2[i] < lower2[i]:
                lower2[i] = min(lower2[i], outside2)
            else:
                label = decide_row(rows + i * p.d, 1, p.d, p.centroids, p.k, upper2 + i,
                                   lower2 + i)
            w.found[i] = label
        for i in range(m):
            p.labels[first + w.rows[i]] = w.found[i]
        keep(p, first, w.rows, m, w.found, upper2, lower2, w)
        done += m


cdef void measure_own(
    const Plan* p, Py_ssize_t first, Py_ssize_t count, Work* w, real _
) noexcept nogil:
    """Squared distances of the open rows to their own centroids."""
    cdef Py_ssize_t m, done = 0
    if p.X != NULL:
        own_squares(<const real*> p.X + first * p.row_step, p.row_step, p.d, w.open, count, w.own,
                    p.centroids, w.squares)
        return
    while done < count:
        m = min(p.gathered, count - done)
        own_squares(converted(p, first, w.open + done, m, w, _), p.d, p.d, <const int32_t*> NULL,
                    m, w.own + done, p.centroids, w.squares + done)
        done += m


cdef Py_ssize_t settle_sorted(
    const Plan* p, Py_ssize_t first, Py_ssize_t count, Work* w, real _
) noexcept nogil:
    """Assign the open rows, each by the panel it needs; returns the comparisons made."""
    cdef Py_ssize_t i, comparisons = p.sort_cost * count
    cdef Py_ssize_t[CKM_MAX_PANELS] counts
    cdef real* upper = <real*> w.upper
    cdef real* slack = <real*> w.slack
    cdef int panel, last = p.n_panels - 1
    for i in range(count):
        upper[i] = (<real*> p.upper)[first + w.open[i]]
        slack[i] = (<real*> p.slack)[first + w.open[i]]
    memset(w.own + count, 0, TILE * sizeof(int32_t))    # vectors read on
    memset(counts, 0, sizeof(counts))
    measure_own(p, first, count, w, _)
    sort_open_rows(count, p.d, w.own, drifts_of(p, _), w.squares, upper, slack,
                   <real*> w.ends, w.lists, counts)
    for i in range(count):
        (<real*> p.upper)[first + w.open[i]] = upper[i]
        (<real*> p.slack)[first + w.open[i]] = slack[i]
    for panel in range(last):
        if counts[panel]:
            settle_part(p, panel, first, counts[panel], w, _)
            comparisons += counts[panel] * p.size[panel]
    for i in range(counts[last]):
        w.rows[i] = w.open[w.lists[last][i]]
    settle_full(p, first, w.rows, counts[last], w, _)
    return comparisons + counts[last] * p.k


cdef void round_all(
    const Plan* p, Py_ssize_t first, Py_ssize_t m, Work* w, real _
) noexcept nogil:
    """Keep rows first..first+m-1 as integers."""
    cdef Py_ssize_t end = first + m, step = m if p.tiles != NULL else p.converted
    cdef Py_ssize_t row_step = p.row_step, column_step = p.column_step
    cdef const real* rows
    while first < end:
        m = min(step, end - first)
        if p.tiles != NULL:
            rows = <const real*> p.tiles + first * row_step
        else:
            rows, row_step, column_step = converted(p, first, NULL, m, w, _), p.d, 1
        round_rows(rows, row_step, column_step, m, p.d, p.origin, p.row_scale,
                   p.rounded + first * p.pairs)
        first += m


cdef Py_ssize_t assign_rounded(
    const Plan* p, Py_ssize_t first, Py_ssize_t m, Work* w, real _
) noexcept nogil:
    """Assign rows first..first+m-1 by their integers, and those that these leave open by
    themselves; returns the comparisons made for the latter."""
    cdef Py_ssize_t n_open
    if p.rounding:
        round_all(p, first, m, w, _)
    n_open = nearest_rounded(p.rounded + first * p.pairs, m, p.rounded_panel, p.labels + first,
                             w.open)
    settle_full(p, first, w.open, n_open, w, _)
    return n_open * p.k


cdef Py_ssize_t assign_block(
    const Plan* p, Py_ssize_t first, Py_ssize_t m, Work* w, Py_ssize_t* comparisons, real _
) noexcept nogil:
    """Assign a block of rows; returns how many changed: w.rows, with their labels in w.before."""
    memcpy(w.before, p.labels + first, m * sizeof(int32_t))
    comparisons[0] += m * p.k
    if p.mode == C_SCREENED:
        comparisons[0] += assign_rounded(p, first, m, w, _)
    else:
        assign_all(p, first, m, w, _)
    return changed_rows(w.before, p.labels + first, m, w.rows)


cdef Py_ssize_t take_block(
    const Plan* p, Py_ssize_t first, Py_ssize_t m, Work* w
) noexcept nogil:
    """Rows of a block change to the labels that they have; returns how many: all, unless the
    labels before are known."""
    cdef Py_ssize_t i
    if p.before != NULL:
        memcpy(w.before, p.before + first, m * sizeof(int32_t))
        return changed_rows(w.before, p.labels + first, m, w.rows)
    memset(w.before, 0xFF, m * sizeof(int32_t))    # -1: from no cluster
    for i in range(m):
        w.rows[i] = <int32_t> i
    return m


cdef Py_ssize_t assign_open(
    const Plan* p, Py_ssize_t first, Py_ssize_t m, Work* w, Py_ssize_t* comparisons, real _
) noexcept nogil:
    """Assign the rows of a block that their bounds leave open; returns how many changed."""
    cdef Py_ssize_t i, row, changed = 0, n_open
    cdef const int8_t* margins = p.margins + first * CKM_SCORES
    cdef bint most
    if p.by_margins:
        n_open = filter_margins(p.labels + first, m, p.of_passes.limits, margins, w.open)
    else:
        n_open = filter_rows(p.labels + first, m, drifts_of(p, _), <real*> p.slack + first,
                             <real*> p.upper + first, w.open)
    # Gathering most rows costs more than assigning the few others too.
    most = n_open * 8 > m * (7 if lists_in_place(p, _) else 5) and p.n_panels == 1
    if p.by_margins:
        note_leaving(w.changes, margins, p.labels + first, NULL if most else w.open,
                     m if most else n_open)
    if most:
        return assign_block(p, first, m, w, comparisons, _)
    for i in range(n_open):
        w.own[i] = p.labels[first + w.open[i]]
        w.before[w.open[i]] = w.own[i]
    if p.n_panels > 1:
        comparisons[0] += settle_sorted(p, first, n_open, w, _)
    else:
        comparisons[0] += n_open * settling_cost(p, _)
        settle_full(p, first, w.open, n_open, w, _)
    for i in range(n_open):
        row = w.open[i]
        w.rows[changed] = <int32_t> row
        changed += p.labels[first + row] != w.own[i]
    return changed


cdef void move_among_all(
    const Plan* p, Py_ssize_t first, Py_ssize_t m, Py_ssize_t count, Work* w, const double* weight,
    double* totals, real _
) noexcept nogil:
    """Move the block's rows w.rows from the totals of w.before to those of their labels: the
    others are read too (100k x 64 in Fortran order, k = 64: 0.8 of the time)."""
    cdef Py_ssize_t done = 0, i = 0, n, begun
    cdef const int32_t* rows = NULL
    while i < count:
        n = min(p.converted, m - done)
        begun = i
        if count == m:
            i += n
        else:
            rows = w.own + begun
        while i < count and w.rows[i] < done + n:
            w.own[i] = <int32_t> (w.rows[i] - done)
            i += 1
        if i > begun:
            move_rows(converted(p, first + done, NULL, n, w, _), p.d, p.d, rows, i - begun, False,
                      w.before + done, p.labels + first + done,
                      weight + done if weight != NULL else NULL, p.reference, totals)
        done += n


cdef void move_gathered(
    const Plan* p, Py_ssize_t first, Py_ssize_t count, Work* w, const double* weight,
    double* totals, real _
) noexcept nogil:
    """The same for rows that are gathered."""
    cdef Py_ssize_t m, done = 0
    while done < count:
        m = min(p.gathered, count - done)
        move_rows(converted(p, first, w.rows + done, m, w, _), p.d, p.d, w.rows + done, m, True,
                  w.before, p.labels + first, weight, p.reference, totals)
        done += m


cdef void move_changed(
    const Plan* p, Py_ssize_t first, Py_ssize_t m, Py_ssize_t count, Work* w, double* totals, real _
) noexcept nogil:
    """Move the block's rows w.rows from the totals of w.before to those of their labels."""
    cdef const double* weight = p.weight + first if p.weight != NULL else NULL
    if p.X != NULL:
        move_rows(<const real*> p.X + first * p.row_step, p.row_step, p.d, w.rows, count, False,
                  w.before, p.labels + first, weight, p.reference, totals)
    # To gather rows of columns reads as many lines as all rows that share them.
    elif count * (8 if by_columns(p) else 2) > m:
        move_among_all(p, first, m, count, w, weight, totals, _)
    else:
        move_gathered(p, first, count, w, weight, totals, _)


cdef void add_all(
    const Plan* p, Py_ssize_t first, Py_ssize_t m, Work* w, const double* base,
    Py_ssize_t base_stride, double* totals, real _
) noexcept nogil:
    """Add rows first..first+m-1 to the totals as differences to their clusters' bases."""
    cdef Py_ssize_t end = first + m, at_once = m if p.X != NULL else p.converted, step = p.d
    cdef const real* rows
    while first < end:
        m = min(at_once, end - first)
        if p.X != NULL:
            rows, step = <const real*> p.X + first * p.row_step, p.row_step
        else:
            rows = converted(p, first, NULL, m, w, _)
        add_rows(rows, step, p.d, m, p.labels + first,
                 p.weight + first if p.weight != NULL else NULL, base, base_stride, totals)
        first += m


cdef void sweep_rows(
    const Plan* p, Py_ssize_t first, Py_ssize_t last, Work* w, double* totals, double* residues,
    unsigned char* touched, Py_ssize_t* changed, Py_ssize_t* comparisons, real _
) noexcept nogil:
    """Assign rows first..last-1 and move those that change between the totals; add all to the
    residues unless those are NULL."""
    cdef Py_ssize_t j, m, count, block = BLOCK_ROWS
    if p.mode < C_FILTER:
        block = max(TILE, min(block, BLOCK_ELEMENTS // p.d // TILE * TILE))
    while first < last:
        m = min(block, last - first)
        if p.mode == C_FILTER:
            count = assign_open(p, first, m, w, comparisons, _)
        else:
            if p.mode == C_GIVEN:
                count = take_block(p, first, m, w)
                comparisons[0] += m * p.k
            else:
                count = assign_block(p, first, m, w, comparisons, _)
        changed[0] += count
        if p.anew:
            add_all(p, first, m, w, p.reference, 0, totals, _)
            memset(touched, 1, p.k)
        elif count:
            move_changed(p, first, m, count, w, totals, _)
            if count >= p.k:    # to mark each takes up to 6 % of an iteration
                memset(touched, 1, p.k)
                count = 0
            for j in range(count):
                touched[p.labels[first + w.rows[j]]] = 1
                if w.before[w.rows[j]] >= 0:
                    touched[w.before[w.rows[j]]] = 1
        if residues != NULL:    # while the rows are in the cache
            add_all(p, first, m, w, p.centroids, p.d, residues, _)
        first += m


cpdef double added_up(const double[:] values):
    """Their sum, one after another. (To call NumPy for that takes 2 of the 110 us of a small fit.)
    """
    cdef Py_ssize_t i
    cdef double total = 0.0
    for i in range(values.shape[0]):
        total += values[i]
    return total


cpdef double shift_between(const double[:, ::1] a, const double[:, ::1] b):
    """The sum of the centroids' squared moves."""
    return square_apart(&a[0, 0], &b[0, 0], a.shape[0] * a.shape[1])


def weighted_shift(const double[:] mass, const double[:, ::1] a, const double[:, ::1] b):
    """The sum of mass (k,) times the squared moves of (k, d) points to as many others, or one."""
    cdef Py_ssize_t j
    cdef double total = 0.0
    for j in range(a.shape[0]):
        total += mass[j] * square_apart(&a[j, 0], &b[min(j, b.shape[0] - 1), 0], a.shape[1])
    return total


cdef void halve_gaps(const Plan* p, const void* panel, double* gap, real* room) noexcept nogil:
    """Half the distance from each centroid to the nearest other one, rounded down; or 0. Centroids
    are compared as the rows are, rounded to their precision: float64 would have to be packed, too
    (photograph, k = 256: 18 instead of 31 us to prepare an iteration)."""
    cdef Py_ssize_t j, k = p.k, d = p.d
    cdef real* upper2 = room + k * d
    cdef real* lower2 = upper2 + k
    cdef int32_t* nearest = <int32_t*> (lower2 + k)
    cdef double up = 1 + (d + 16) * 2.3e-16, rounding
    for j in range(k * d):
        room[j] = <real> p.centroids[j]
    assign_rows(<const real*> room, d, 1, NULL, k, d, p.centroids, k, panel, nearest, upper2,
                lower2, <real*> NULL)
    for j in range(k):
        gap[j] = 0.0
        # A centroid that is not its own nearest has a twin.
        if nearest[j] == j and lower2[j] > 0:
            gap[j] = sqrt(lower2[j]) / up
            if real is float:    # less what it was rounded by
                rounding = distance2(room + j * d, 1, p.centroids + j * d, d)
                gap[j] = max(0.0, gap[j] - sqrt(rounding) * up - 1.2e-38)
            gap[j] /= 2


cdef void empty_into(double* part, Py_ssize_t n, double* whole) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(n):
        whole[i] += part[i]
        part[i] = 0.0


@cython.final
cdef class Sweep:
    """Rows, labels, bounds and totals of one problem, updated a segment at a time.

    Segments are cut by n, d and k alone and their totals are added in order, so that the sums
    have the same bits whichever threads work on them. Only rows that change their label move
    between the totals (weighted rows are added anew, since a large weight that leaves would take
    the small ones' digits with it; unless the weights count equal rows). Residuals are sums of
    x - c over each cluster: as exact far from the origin as for centred data.
    """
    cdef Plan plan
    cdef bint single, measured, rounded, adding
    cdef Pass one                     # over the segments
    cdef Py_ssize_t n_collected       # whose moves are in the totals
    cdef int32_t collecting           # whether a thread adds some
    cdef readonly Py_ssize_t segment_rows, n_segments
    cdef Py_ssize_t bounds_bytes, room
    cdef readonly object labels       # (n,) int32
    cdef readonly object totals       # (k, d + 2) sums of x - reference, mass, unused
    cdef readonly object reference    # (d,) float64
    cdef object kept, lent, rounded_panel, room_of_run, room_of_moves, room_of_margins
    cdef readonly bint bounded        # bounds, or margins, were kept up to the last assignment,
    cdef const double[:, ::1] at      # which was to these centroids
    cdef const double[:, ::1] expected    # those that moves are measured to, before they are `at`
    cdef list scratches
    cdef int32_t[::1] label_view, before_view
    cdef const double[::1] origin
    cdef unsigned char[::1] memory
    cdef Moves moves
    cdef Changes* changes             # (n_segments,) of margins
    cdef public Py_ssize_t margins_from    # rows; from so many on, they have margins to few
    cdef double* gap                  # (k,) half that to the nearest other centroid, or 0
    cdef Py_ssize_t largest_panel     # centroids; what a panel may have to pay
    cdef int n_filters                # assignments since the bounds were set
    cdef Py_ssize_t n_changed, compared    # of the last assignment: rows, and pairs of distances
    cdef double* total                # (k, d + 2) the totals
    cdef double* residual             # (k, d + 2) what was added to the residuals
    # What the segments that are done add to these: (2 n_segments, k, d + 2) places, of which each
    # takes one that is free, and so in the cache. Those of their own that all had before came from
    # memory (60k x 784, k = 10, and 50k x 64, k = 1000: 0.98 of the time).
    cdef double* places
    cdef int32_t* taken               # (2 n_segments,) whether the place is
    # Of each segment, rows changed, comparisons, whether it is done, one more than its places for
    # totals and for residuals, and (k,) whether anything moves: `record` bytes apart, since threads
    # that write to the same line wait for each other.
    cdef char* records
    cdef Py_ssize_t record
    cdef double* other_means          # (k, d) of a whole run
    cdef char* panels

    def __init__(
        self, Source source, weight, reference, bint keep_bounds, bint counts=False, memory=None
    ):
        """weight: (n,) float64 or None; reference: (d,); counts: the weights are; memory: (m,)
        uint8 that nobody else uses, from a cache line on, or None."""
        cdef Plan* p = &self.plan
        cdef Py_ssize_t itemsize = 4 if source.single else 8
        cdef const double[::1] weight_view
        self.kept = (source, weight)
        self.single = source.single
        p.n, p.d = source.n, source.d
        self.read_from(source)
        p.before = NULL
        p.weight = NULL
        p.anew = weight is not None and not counts
        if weight is not None:
            weight_view = weight
            p.weight = &weight_view[0]
        self.aim_reference(reference)
        p.pairs = (p.d + 1) // 2
        p.row_scale = -1.0
        self.bounds_bytes = 2 * itemsize * p.n if keep_bounds else 0
        self.memory, self.lent = None, memory
        p.by_margins, self.margins_from = False, MARGINS_FROM
        p.sort_cost = 20 + 1200 // (p.d + 6)
        p.converted = rows_of(CONVERTED, p.d)
        p.gathered = rows_of(GATHERED if self.single else GATHERED_DOUBLE, p.d)
        self.scratches = []
        p.k = 0

    cdef int aim_reference(self, reference) except -1:
        self.plan.reference = <double*> numbers_of(reference, FLOAT64, self.plan.d, "reference")
        self.reference = reference
        return 0

    cdef int take_memory(self) except -1:
        """Room for the bounds or for rounded rows, which take the same place."""
        cdef Plan* p = &self.plan
        self.room = max(self.bounds_bytes, <Py_ssize_t> rounded_size(p.n, p.d))
        if self.bounds_bytes and p.d >= CKM_LONG:    # few centroids may have margins
            self.room = max(self.room, p.n * CKM_SCORES)
        if self.lent is not None and self.lent.nbytes >= self.room:
            self.memory = self.lent
        else:
            self.memory = fresh(self.room + LINE, np.uint8)
        p.upper = <char*> (<uintptr_t> (&self.memory[0] + LINE - 1) // LINE * LINE)
        p.slack = p.upper + self.bounds_bytes // 2
        p.rounded = <int32_t*> p.upper
        p.margins = <int8_t*> p.upper
        return 0

    def lend(self):
        """The memory of bounds and rounded rows for others to use until begin(): a uint8 array that
        begins at a cache line. They are forgotten, and so are the labels."""
        cdef Py_ssize_t first
        if self.memory is None:
            self.take_memory()
        self.bounded, self.moves.n_slack, self.rounded = False, 0, False
        self.labels = self.label_view = None
        self.plan.labels = NULL
        first = self.plan.upper - <char*> &self.memory[0]
        return np.asarray(self.memory)[first : first + self.room]

    cdef int read_from(self, Source source) except -1:
        cdef Plan* p = &self.plan
        p.source = &source.c
        p.tiles = source.in_steps(&p.row_step, &p.column_step)
        p.X = p.tiles if p.column_step == 1 else NULL
        return 0

    def expect(self, Py_ssize_t n):
        """Before begin(): there are n rows in all, which come in pieces."""
        self.plan.n = n

    def show(self, Source piece, int32_t[::1] labels, int32_t[::1] before):
        """The rows that follow, from row 0 on in assign() and add(): their labels, which are
        given, and those before. What a segment adds up does not depend on how it is cut into
        pieces, as long as these begin at multiples of 4 rows."""
        if piece.d != self.plan.d or piece.single != self.single:
            raise ValueError("a piece must have the columns and the precision of the others")
        if labels.shape[0] != piece.n or before.shape[0] != piece.n:
            raise ValueError(f"labels must have shape ({piece.n},)")
        self.kept = (piece, *self.kept[1:])
        self.read_from(piece)
        self.label_view, self.before_view = labels, before
        self.plan.labels, self.plan.before = &labels[0], &before[0]

    def begin(self, Py_ssize_t k, labels=None):
        """Start a run with k clusters, in new totals and labels or those given, (n,) int32; or
        any, where show() brings those of each piece."""
        cdef Plan* p = &self.plan
        self.labels = np.empty(p.n, np.int32) if labels is None else labels
        p.labels = <int32_t*> numbers_of(self.labels, INT32, -1, "labels")
        if labels is None:
            memset(p.labels, 0xFF, p.n * sizeof(int32_t))    # -1: in no cluster yet
        self.totals = np.zeros((k, p.d + 2))
        self.total = <double*> data_of(self.totals)
        if k != p.k:
            p.k = 0    # until there is memory
            self.cut(k)
            self.room_of_run = zeroed(self.lay_out(0, k) + LINE, np.uint8)
            self.lay_out(<uintptr_t> data_of(self.room_of_run), k)
            self.moves.k = 0
            p.by_margins = False
            p.k = k
        self.at = self.expected = None
        self.bounded, self.moves.n_slack, self.compared = False, 0, p.n * k
        self.n_collected = 0

    cdef uintptr_t lay_out(self, uintptr_t at, Py_ssize_t k) noexcept:
        cdef Plan* p = &self.plan
        cdef Py_ssize_t n_places = 2 * self.n_segments
        self.residual = <double*> next_piece(&at, k * (p.d + 2) * sizeof(double))
        self.places = <double*> next_piece(&at, n_places * k * (p.d + 2) * sizeof(double))
        self.taken = <int32_t*> next_piece(&at, n_places * sizeof(int32_t))
        self.record = (5 * sizeof(Py_ssize_t) + k + LINE - 1) // LINE * LINE
        self.records = <char*> next_piece(&at, self.n_segments * self.record)
        self.other_means = <double*> next_piece(&at, k * p.d * sizeof(double))
        # The smaller panels hold less than all centroids together.
        self.panels = <char*> next_piece(&at, (
            2 * packed_size(k, p.d, self.single)
            + CKM_MAX_PANELS * (LINE + packed_size(1, p.d, self.single))))
        return at

    cdef int expect_moves(self, const void* whole) except -1:
        """What is to be known of the moves of centroids, once there are bounds."""
        cdef Plan* p = &self.plan
        cdef Py_ssize_t j
        p.by_margins = (
            p.k > 1 and p.k * p.d >= MARGINS_PRODUCTS and p.n >= self.margins_from
            and (takes_lists(whole, <float> 0) if self.single else takes_lists(whole, <double> 0))
        )
        if p.by_margins:
            self.room_of_margins = zeroed(self.lay_out_passes(0) + LINE, np.uint8)
            self.lay_out_passes(<uintptr_t> data_of(self.room_of_margins))
            begin_margins(&p.of_passes)
        self.room_of_moves = zeroed(self.lay_out_bounds(0) + LINE, np.uint8)
        self.lay_out_bounds(<uintptr_t> data_of(self.room_of_moves))
        for j in range(p.k):
            p.order[j] = <int32_t> j
        show_f32(&self.moves, &p.drifts32)
        show_f64(&self.moves, &p.drifts64)
        return 0

    cdef uintptr_t lay_out_bounds(self, uintptr_t at) noexcept:
        cdef Py_ssize_t k = self.plan.k
        at = lay_out_moves(&self.moves, at, k)
        self.gap = <double*> next_piece(&at, k * sizeof(double))
        self.plan.order = <int32_t*> next_piece(&at, k * sizeof(int32_t))
        self.plan.rank = <int32_t*> next_piece(&at, k * sizeof(int32_t))
        return at

    cdef uintptr_t lay_out_passes(self, uintptr_t at) noexcept:
        at = lay_out_margins(&self.plan.of_passes, at, self.plan.k, self.plan.d)
        self.changes = <Changes*> next_piece(&at, self.n_segments * sizeof(Changes))
        return at

    cdef int cut(self, Py_ssize_t k) except -1:
        """Segments for k clusters: many, so that no thread waits long for the last ones, but few
        where their totals are large."""
        cdef Plan* p = &self.plan
        cdef Py_ssize_t block = BLOCK_ROWS if p.d < 64 else TILE, least = BLOCK_ROWS // 6
        cdef Py_ssize_t most = MOST_SEGMENTS if k * p.d < 1 << 13 else 16
        self.segment_rows = max(least, ((p.n + most - 1) // most + block - 1) // block * block)
        if p.n * p.d < 1 << 16:
            self.segment_rows = p.n
        self.n_segments = (p.n + self.segment_rows - 1) // self.segment_rows
        return 0

    cpdef aim(self, const double[:, ::1] centroids, int mode, bint measure_gaps, bint measure):
        """Prepare the next assignment, to these centroids; with the residuals if `measure`."""
        cdef Plan* p = &self.plan
        cdef Py_ssize_t k = p.k, size, j
        cdef char* at = self.panels
        cdef char* whole
        cdef double[:, ::1] chosen
        self.aim_residuals(centroids)
        self.measured = measure
        if mode >= C_SCREENED and self.memory is None:
            self.take_memory()
        if mode == C_SCREENED and not self.aim_rounded(centroids):
            mode = C_PLAIN
        elif mode >= C_BOUND:
            self.rounded = False
        if mode == C_FILTER and not self.bounded:
            mode = C_BOUND    # there is nothing to filter by
        if mode == C_PLAIN and self.bounded and p.by_margins:
            mode = C_BOUND    # margins that are given anew cost hardly more
        if mode == C_FILTER and (
                self.expected is None or &self.expected[0, 0] != &centroids[0, 0]):
            if p.by_margins:
                limit_margins(&p.of_passes, &centroids[0, 0])
            elif k < SORT_FROM_K:
                measure_moves(&self.moves, &self.at[0, 0], &centroids[0, 0], p.d)
            else:    # which panels pay, too
                self.expected_share(centroids)
        p.mode = mode
        p.n_panels = 0
        whole, at = at, at + self.pack(&centroids[0, 0], k, at)
        if mode >= C_BOUND and not self.moves.k:
            self.expect_moves(whole)
        if p.by_margins and mode >= C_BOUND:
            begin_pass(&p.of_passes, &centroids[0, 0], p.n if mode == C_BOUND else 0, self.single)
        elif mode == C_FILTER:
            if measure_gaps:
                self.measure_gaps(whole)
            self.measure_limits(not measure_gaps)
            if self.sorts():
                chosen = np.empty((k // 2, p.d))
                for j in range(k // 2):
                    memcpy(&chosen[j, 0], &centroids[p.order[j], 0], p.d * sizeof(double))
                for panel in range(CKM_MAX_PANELS - 1):
                    size = k >> (CKM_MAX_PANELS - 1 - panel)
                    if size <= self.largest_panel:
                        self.add_panel(at, size)
                        at += self.pack(&chosen[0, 0], size, at)
        elif self.moves.k:
            memset(self.gap, 0, k * sizeof(double))    # of these centroids, none is known
        self.add_panel(whole, k)
        p.drifts32.n_panels = p.drifts64.n_panels = p.n_panels
        self.at, self.expected, self.bounded = centroids, None, mode >= C_BOUND
        self.n_filters = self.n_filters + 1 if mode == C_FILTER else 0
        if mode == C_BOUND:
            begin_sums(&self.moves)

    cpdef expected_share(self, const double[:, ::1] centroids):
        """Of all comparisons, the share that bounds would leave to assignments like this one, to
        these centroids; None if there are none to tell by.

        Moves of the centroids use up the slack between the bounds of a row. Compared with all of
        them it gets its slack back, which lasts for slack / move iterations. Compared with a panel
        of those that moved farthest it loses only what the others moved, but is open again in the
        next iteration. So a panel pays if it costs less than the share of the iterations in which
        a row is open otherwise, of all comparisons: at d = 16, k = 64 iterations with bounds take
        0.4 of the time without panels; at d = 64, k = 1000, 2.5 times.
        """
        cdef Plan* p = &self.plan
        cdef Py_ssize_t k = p.k, size
        cdef int panel
        cdef double whole, opened, share
        cdef Moves* m = &self.moves
        if p.by_margins and self.bounded and not self.n_filters:
            self.look_at_margins()
        if p.by_margins:
            return self.share_by_margins(centroids) if self.bounded else None
        if self.bounded and not m.n_slack:
            if self.single:
                note_slack(m, <float*> p.slack, p.labels, p.n)
            else:
                note_slack(m, <double*> p.slack, p.labels, p.n)
        if not m.n_slack:
            return None
        measure_moves(m, &self.at[0, 0], &centroids[0, 0], p.d)
        self.expected = centroids
        whole = self.cost_to_settle()
        opened = open_by(m, self.bounded, m.drift, m.largest)
        share = opened * whole / k
        self.largest_panel = <Py_ssize_t> (opened * whole) - p.sort_cost
        if not self.sorts():
            return share
        self.sort_moves()
        # The own centroid's drift does not count: upper bounds are tight where rows are sorted.
        for panel in range(1, CKM_MAX_PANELS):
            size = k >> panel
            if size <= self.largest_panel:
                opened = open_by(m, self.bounded, NULL, m.drift[p.order[size]])
                share = min(share, (p.sort_cost + (1 - opened) * size + opened * k) / k)
        return share

    cdef double cost_to_settle(self) noexcept nogil:
        """In comparisons, of a row that is open."""
        if self.single:
            return settling_cost(&self.plan, <float> 0)
        return settling_cost(&self.plan, <double> 0)

    cdef double share_by_margins(self, const double[:, ::1] centroids) noexcept:
        """The same, by the margins of some rows."""
        cdef Py_ssize_t n_open = self.opened(centroids)
        self.expected = centroids
        return n_open * self.cost_to_settle() / (LOOKED_AT * self.plan.k)

    cdef Py_ssize_t opened(self, const double[:, ::1] centroids) noexcept:
        """Of LOOKED_AT rows, those that these centroids open."""
        cdef Plan* p = &self.plan
        cdef Py_ssize_t i, row, n_open = 0
        cdef int32_t[2] survivors
        limit_margins(&p.of_passes, &centroids[0, 0])
        for i in range(LOOKED_AT):
            row = i * p.n // LOOKED_AT
            n_open += filter_margins(p.labels + row, 1, p.of_passes.limits,
                                     p.margins + row * CKM_SCORES, survivors)
        return n_open

    cdef void look_at_margins(self) noexcept:
        """Do without them where rows have none to the centroids that gave them: one that lies far
        away makes scores too inexact for those between the others."""
        if self.opened(self.at) > MOST_WITHOUT:
            self.plan.by_margins = self.bounded = False

    cdef bint sorts(self) noexcept nogil:
        """Whether the smallest panel pays."""
        return (self.plan.k >= SORT_FROM_K
                and self.plan.k >> (CKM_MAX_PANELS - 1) <= self.largest_panel)

    cdef bint aim_rounded(self, const double[:, ::1] centroids) except -1:
        """Prepare an assignment by integers; whether there can be one."""
        cdef Plan* p = &self.plan
        cdef unsigned char[::1] panel
        if p.row_scale < 0:
            self.origin = np.asarray(self.reference, "f4" if self.single else "f8").astype("f8")
            p.origin = &self.origin[0]
            p.row_scale = self.scale_of_rows()
        if not self.rounds or rounded_size(p.n, p.d) > <size_t> self.room:
            return False
        panel = self.rounded_panel = np.empty(rounded_packed_size(p.k, p.d), np.uint8)
        p.rounded_panel = &panel[0]
        p.rounding = not self.rounded
        return pack_rounded(&centroids[0, 0], p.k, p.d, p.origin, p.row_scale, &panel[0])

    cdef double scale_of_rows(self) except -1:
        """By which a sample of the rows, but for the longest, fits 16 bits with some room; 0 where
        squares of such lengths would leave the range of float32."""
        cdef Py_ssize_t m = min(self.plan.n, <Py_ssize_t> SAMPLED)
        cdef Source source = self.kept[0]
        rows = source.take(np.arange(m) * self.plan.n // m)
        squares = np.sort(np.square(rows - np.asarray(self.origin)).sum(axis=1))
        cdef double longest = ROOMY * sqrt(squares[m * 99 // 100])
        cdef double scale = CKM_ROUNDED_LONGEST / max(longest, 1e-300)
        if not 1e-13 < longest < 1e13:
            return 0.0
        return <float> scale if self.single else scale

    cdef void aim_plain(self, const double* centroids) noexcept nogil:
        """The same for an assignment without bounds or residuals."""
        self.measured = False
        self.plan.centroids = centroids
        self.plan.n_panels = 0
        self.pack(centroids, self.plan.k, self.panels)
        self.add_panel(self.panels, self.plan.k)

    cdef Py_ssize_t pack(
        self, const double* centroids, Py_ssize_t size, char* at
    ) noexcept nogil:
        """Pack `size` centroids; returns the bytes that they take."""
        cdef Plan* p = &self.plan
        pack_centroids(centroids, size, p.d, p.reference, self.single, at)
        return (<Py_ssize_t> packed_size(size, p.d, self.single) + LINE - 1) // LINE * LINE

    cdef void add_panel(self, const void* packed, Py_ssize_t size) noexcept nogil:
        cdef Plan* p = &self.plan
        p.panel[p.n_panels] = packed
        p.size[p.n_panels] = size
        if size < p.k:
            p.drifts64.beyond[p.n_panels] = self.moves.drift[p.order[size]] * (1 + 1e-15)
            p.drifts32.beyond[p.n_panels] = <float> (
                self.moves.drift[p.order[size]] * (1 + 3e-7) + 1.2e-38
            )
        p.n_panels += 1

    cdef void sort_moves(self) noexcept nogil:
        """The centroids by falling moves, from the order before (Shell 1959)."""
        cdef Py_ssize_t k = self.plan.k, i, j, gap = 1
        cdef const double* drift = self.moves.drift
        cdef int32_t* order = self.plan.order
        cdef int32_t centroid
        while gap < k // 3:
            gap = 3 * gap + 1
        while gap > 0:
            for i in range(gap, k):
                j, centroid = i, order[i]
                while j >= gap and drift[order[j - gap]] < drift[centroid]:
                    order[j] = order[j - gap]
                    j -= gap
                order[j] = centroid
            gap //= 3
        for j in range(k):
            self.plan.rank[order[j]] = <int32_t> j

    cdef void measure_limits(self, bint gaps_shrink) noexcept nogil:
        """What the filter is told of the moves, and of each centroid's distance to the nearest
        other, halved, less what it moved, and rounded down. Gaps that are not measured shrink."""
        cdef Plan* p = &self.plan
        cdef Moves* m = &self.moves
        cdef Py_ssize_t j
        cdef bint gaps = False
        cdef double moved, reach
        add_moves(m, self.single)
        for j in range(p.k):
            if gaps_shrink:
                self.gap[j] = max(0.0, self.gap[j] - (m.drift[j] + m.largest) / 2 * (1 + 1e-15))
            moved = m.sums[MOVED * m.room + j]
            reach = self.gap[j] - moved - (self.gap[j] + moved) * 1e-15
            m.sums[REACH * m.room + j] = reach - 2.3e-308
            m.sums32[REACH * m.room + j] = <float> (reach - fabs(reach) * 2.4e-7 - 1.2e-38)
            gaps |= self.gap[j] > 0
        p.drifts64.gaps = p.drifts32.gaps = gaps

    cdef int measure_gaps(self, const void* panel) except -1:
        """By the packed centroids, in the precision of the rows."""
        memory = np.empty(self.plan.k * (self.plan.d + 3))
        if self.single:
            halve_gaps(&self.plan, panel, self.gap, <float*> data_of(memory))
        else:
            halve_gaps(&self.plan, panel, self.gap, <double*> data_of(memory))
        return 0

    cpdef open(self, bint adding):
        """Let threads assign the segments, or add them to the residuals. What was assigned is to be
        collected before the next pass."""
        self.adding = adding
        open_pass(&self.one, self.n_segments)

    def work(self, bint attentive):
        """Do segments that no thread has begun, and wait for the others; or end early where an
        interrupt comes, if `attentive`."""
        cdef Scratch scratch = self.scratch()
        with nogil:
            self.do_segments(&scratch.work, 0, attentive)
            wait_for_all(&self.one)
        self.scratches.append(scratch)

    def attend(self):
        """Do segments of one pass after another, until none comes soon or that is forbidden."""
        cdef Scratch scratch = self.scratch()
        cdef int32_t who = 1 + next_of(&self.one.present)
        with nogil:
            while comes(&self.one):
                self.do_segments(&scratch.work, who, False)
        self.scratches.append(scratch)

    def present(self):
        """How many threads wait for the next pass, or work on this one."""
        return load(&self.one.present)

    def dismiss(self, bint ended):
        """Let no thread wait for another pass."""
        dismiss_all(&self.one, ended)

    cdef int do_segments(self, Work* w, int32_t who, bint attentive) except -1 nogil:
        cdef Py_ssize_t first, last, segment = take_segment(&self.one, who)
        while segment >= 0:
            first = segment * self.segment_rows
            last = min(self.plan.n, first + self.segment_rows)
            if self.adding:
                self.add_segment(segment, first, last, w)
            else:
                self.sweep_segment(segment, first, last, w)
            store(<int32_t*> (self.counts_of(segment) + 2), 1)
            if next_of(&self.collecting) == 0:    # else another thread does
                self.collect_done(False)
                store(&self.collecting, 0)
            next_of(&self.one.done)
            if attentive:
                heed_signals(&self.one)
            segment = take_segment(&self.one, who)
        return 0

    def assign(self, Py_ssize_t segment, Py_ssize_t first, Py_ssize_t last):
        """Assign rows first..last-1 of a segment and move those that change.

        Different segments may be worked on at the same time.
        """
        cdef Scratch scratch = self.scratch()
        with nogil:
            self.sweep_segment(segment, first, last, &scratch.work)
        self.scratches.append(scratch)

    cdef void sweep_segment(
        self, Py_ssize_t segment, Py_ssize_t first, Py_ssize_t last, Work* w
    ) noexcept nogil:
        cdef Plan* p = &self.plan
        cdef Py_ssize_t* counts = self.counts_of(segment)
        cdef unsigned char* touched = <unsigned char*> (counts + 5)
        cdef double* totals = self.place_of(counts + 3)
        cdef double* residues = self.place_of(counts + 4) if self.measured else NULL
        if p.by_margins:
            w.changes = self.changes + segment
        if self.single:
            sweep_rows(p, first, last, w, totals, residues, touched, counts, counts + 1, <float> 0)
        else:
            sweep_rows(p, first, last, w, totals, residues, touched, counts, counts + 1,
                       <double> 0)

    cdef double* place_of(self, Py_ssize_t* one_more) noexcept nogil:
        """Zeros, or what a segment has added so far. There is always a free place: each segment has
        two at most."""
        cdef Py_ssize_t place = 0
        if not one_more[0]:
            while load(&self.taken[place]) or next_of(&self.taken[place]):
                place = place + 1 if place + 1 < 2 * self.n_segments else 0
            one_more[0] = place + 1
        return self.places + (one_more[0] - 1) * self.plan.k * (self.plan.d + 2)

    cdef Py_ssize_t* counts_of(self, Py_ssize_t segment) noexcept nogil:
        return <Py_ssize_t*> (self.records + segment * self.record)

    cdef Scratch scratch(self):
        found = spare(self.scratches)
        if found is None:
            itemsize = 4 if self.single else 8
            scores = (AT_ONCE + TILE) * CKM_SCORES * itemsize if self.plan.d >= CKM_LONG else 0
            return Scratch(self.plan.n, scores, self.plan.gathered * self.plan.d * itemsize)
        return found

    cpdef aim_residuals(self, const double[:, ::1] centroids):
        """Prepare add(); the bounds stay those of the last assignment."""
        cdef Plan* p = &self.plan
        self.kept = (self.kept[0], self.kept[1], centroids)
        p.centroids = &centroids[0, 0]

    def add(self, Py_ssize_t segment, Py_ssize_t first, Py_ssize_t last):
        """Add rows first..last-1 of a segment to the residuals."""
        cdef Scratch scratch = self.scratch()
        with nogil:
            self.add_segment(segment, first, last, &scratch.work)
        self.scratches.append(scratch)

    cdef void add_segment(
        self, Py_ssize_t segment, Py_ssize_t first, Py_ssize_t last, Work* w
    ) noexcept nogil:
        cdef Plan* p = &self.plan
        cdef double* residues = self.place_of(self.counts_of(segment) + 4)
        if self.single:
            add_all(p, first, last - first, w, p.centroids, p.d, residues, <float> 0)
        else:
            add_all(p, first, last - first, w, p.centroids, p.d, residues, <double> 0)

    def collect(self):
        """Add the segments' moves to the totals, once after each pass; returns how many rows
        changed their label and how many comparisons of a row with a centroid that took."""
        with nogil:
            self.collect_moves()
        return self.n_changed, self.compared

    cdef void collect_moves(self) noexcept nogil:
        self.collect_done(True)
        self.n_collected = 0
        self.rounded |= self.plan.mode == C_SCREENED

    cdef void collect_done(self, bint all_are) noexcept nogil:
        """Add what the segments that are done have added to the totals and the residuals, in their
        order, as far as none is missing. Threads do so while others work: afterwards, who is alone
        would wait for what lies in their caches (two threads, ten iterations of 1M x 2: 0.97 of the
        time)."""
        cdef Plan* p = &self.plan
        cdef Py_ssize_t* counts
        while self.n_collected < self.n_segments:
            counts = self.counts_of(self.n_collected)
            if not (all_are or load(<int32_t*> (counts + 2))):
                break
            if counts[3]:
                if self.n_collected == 0:
                    self.n_changed = self.compared = 0
                    if p.anew:
                        memset(self.total, 0, p.k * (p.d + 2) * sizeof(double))
                self.n_changed += counts[0]
                self.compared += counts[1]
                self.collect_place(counts[3] - 1, <unsigned char*> (counts + 5), self.total)
                if p.by_margins and p.mode >= C_BOUND:
                    collect_changes(&p.of_passes, self.changes + self.n_collected)
            if counts[4]:
                memset(counts + 5, 1, p.k)
                self.collect_place(counts[4] - 1, <unsigned char*> (counts + 5), self.residual)
            memset(counts, 0, 5 * sizeof(Py_ssize_t))
            self.n_collected += 1

    cdef void collect_place(
        self, Py_ssize_t place, unsigned char* touched, double* into
    ) noexcept nogil:
        """Add what it holds of the clusters that are touched, and leave zeros to who takes it next.
        """
        cdef Plan* p = &self.plan
        cdef Py_ssize_t first, j = 0, width = p.d + 2
        cdef double* part = self.places + place * p.k * width
        while j < p.k:
            if j + 8 <= p.k and (<int64_t*> (touched + j))[0] == 0:
                j += 8    # most, once few rows change
                continue
            first = j
            while j < p.k and touched[j]:
                touched[j] = 0
                j += 1
            empty_into(part + first * width, (j - first) * width, into + first * width)
            j += j == first
        store(&self.taken[place], 0)

    @property
    def gaps_pay(self):
        """Whether those between centroids spare more comparisons than they take."""
        return self.gaps_paid()

    cdef bint gaps_paid(self) noexcept nogil:
        return self.plan.d <= GAPS_TO and self.plan.k * self.plan.k * 16 < self.compared

    def go_on(
        self,
        centroids, int mode,      # (k, d), and the mode, of the last assignment
        Py_ssize_t most, double least_shift,    # iterations; a shift that ends the run
        double unsettled,         # rows: while more change, no bounds are set
        double limit,             # of the share that bounds leave: of the comparisons
        Py_ssize_t most_compared,
        company, Py_ssize_t guests,             # that has so many threads, beside this one
        bint attentive,           # to an interrupt within an iteration
    ):
        """Go on by iterations of the same mode, as long as each changes rows and leaves none of the
        clusters empty. Returns the centroids of the last assignment, how many iterations that took,
        and what it changed and compared."""
        cdef Scratch scratch = self.scratch()
        cdef const double[:, ::1] at = centroids, chosen
        cdef Py_ssize_t steps = 0
        mode = C_FILTER if mode == C_BOUND else mode
        while self.n_changed and steps < most and self.compared <= most_compared:
            means, n_empty = self.means(at)
            chosen = means
            if n_empty or 0 < least_shift >= shift_between(at, chosen):
                break
            if not self.keeps(mode, chosen, unsettled, limit):
                break
            self.aim(chosen, mode, self.gaps_paid(), False)
            self.open(False)
            if load(&self.one.present) < guests:
                company.invite(guests)
            with nogil:
                self.do_segments(&scratch.work, 0, attentive)
                wait_for_all(&self.one)
                self.collect_moves()
            centroids, at = means, chosen
            steps += 1
            PyErr_CheckSignals()
        self.scratches.append(scratch)
        return centroids, steps, self.n_changed, self.compared

    cdef bint keeps(
        self, int mode, const double[:, ::1] centroids, double unsettled, double limit
    ) except -1:
        """Whether the next assignment is to have the mode, too."""
        if mode == C_FILTER and self.n_filters % ASKED and self.plan.k < SORT_FROM_K:
            return True
        share = self.expected_share(centroids)
        if share is None:
            return mode != C_FILTER and self.n_changed > unsettled
        return share <= limit if mode == C_FILTER else share > limit

    def run(
        self, start, bint given, Py_ssize_t max_iter, double least_shift,
    ):
        """A run of a problem of one segment as lloyd() in `_iterate.py` does it, after begin():
        centroids, sizes where rows have no weights, inertias and their sum, iterations, and whether
        it converged. None if a cluster was emptied.
        """
        cdef Scratch scratch = self.scratch()
        cdef Py_ssize_t k = self.plan.k, d = self.plan.d, j, n_iter
        cdef bint converged = False
        means, sizes, inertias = np.empty((k, d)), np.empty(k, np.int64), np.empty(k)
        cdef const double* first = <double*> numbers_of(start, FLOAT64, k * d, "start")
        cdef double* at = <double*> data_of(means)
        cdef int64_t* count = <int64_t*> data_of(sizes)
        cdef double* inertia = <double*> data_of(inertias)
        cdef double* row = self.residual
        with nogil:
            memcpy(at, first, k * d * sizeof(double))
            n_iter = self.solve(at, self.other_means, given, max_iter, least_shift, row,
                                &converged, &scratch.work)
            for j in range(k):
                count[j] = <int64_t> row[d] if self.plan.weight == NULL else 0
                inertia[j] = row[d + 1]
                row += d + 2
            memset(self.residual, 0, k * (d + 2) * sizeof(double))
        self.scratches.append(scratch)
        if not n_iter:
            return None
        return means, sizes, inertias, added_up(inertias), n_iter, converged

    def solve_each(
        self,
        Py_ssize_t first, Py_ssize_t stride,   # in   the first problem, bytes between two
        double[:, :, ::1] centroids,           # in/out  (m, k, d) starts
        int32_t[:, ::1] labels,                # in/out  (m, n)
        bint given,                            # in   whether those are the first assignment's
        Py_ssize_t max_iter, const double[::1] least_shifts,    # in   and (m,)
        double[:, :, ::1] residuals,           # out  (m, k, d + 2) of the final centroids
        int64_t[::1] n_iter,                   # out  (m,); 0 where a cluster was emptied
        unsigned char[::1] converged,          # out  (m,)
    ):
        """Run m problems of one segment and the shape of the source, whose rows lie `stride` bytes
        apart, each as lloyd() in `_iterate.py` does it; begin() comes first. A problem in which a
        cluster is emptied is left to that."""
        cdef Plan* p = &self.plan
        cdef Source rows = self.kept[0]
        cdef ckm_source* source = <ckm_source*> p.source
        cdef const char* origin = source.data
        cdef Scratch scratch = self.scratch()
        cdef bint tiles = p.tiles != NULL, packed = p.X != NULL, fixed
        cdef Py_ssize_t i
        reference = np.empty(p.d)
        cdef double* middle = <double*> data_of(reference)
        cdef double[:, ::1] three = np.empty((3, p.d))
        self.aim_reference(reference)
        with nogil:
            for i in range(centroids.shape[0]):
                source.data = origin + (first + i) * stride
                p.tiles = source.data if tiles else NULL
                p.X = source.data if packed else NULL
                rows.find_middle(&three[0, 0], middle)
                p.labels = &labels[i, 0]
                if not given:
                    memset(p.labels, 0xFF, p.n * sizeof(int32_t))
                memset(self.total, 0, p.k * (p.d + 2) * sizeof(double))
                n_iter[i] = self.solve(
                    &centroids[i, 0, 0], self.other_means, given, max_iter, least_shifts[i],
                    &residuals[i, 0, 0], &fixed, &scratch.work)
                converged[i] = fixed
        source.data = origin
        p.labels = <int32_t*> data_of(self.labels)
        p.tiles = origin if tiles else NULL
        p.X = origin if packed else NULL
        self.scratches.append(scratch)

    cdef Py_ssize_t assign_once(self, const double* centroids, Work* w) noexcept nogil:
        """A plain assignment; returns how many rows changed."""
        self.aim_plain(centroids)
        self.sweep_segment(0, 0, self.plan.n, w)
        self.plan.mode = C_PLAIN
        self.collect_moves()
        return self.n_changed

    cdef void measure_once(
        self, const double* centroids, double* residuals, Work* w
    ) noexcept nogil:
        cdef Plan* p = &self.plan
        memset(residuals, 0, p.k * (p.d + 2) * sizeof(double))
        if self.single:
            add_all(p, 0, p.n, w, centroids, p.d, residuals, <float> 0)
        else:
            add_all(p, 0, p.n, w, centroids, p.d, residuals, <double> 0)

    cdef Py_ssize_t solve(
        self, double* centroids, double* other, bint given, Py_ssize_t max_iter,
        double least_shift, double* residuals, bint* converged, Work* w,
    ) noexcept nogil:
        """One run from centroids to those that it ends with; returns its iterations, 0 if a
        cluster was emptied."""
        cdef Plan* p = &self.plan
        cdef double* at = centroids
        cdef double* means = other
        cdef double* swapped
        cdef Py_ssize_t n_iter = 0, changed, size = p.k * p.d
        cdef bint fixed = False, close = False, carried = False
        p.mode = C_GIVEN if given else C_PLAIN
        while n_iter < max_iter and not close:
            n_iter += 1
            changed = self.assign_once(at, w)
            if changed:
                if self.take_means(at, means):
                    return 0
            else:
                self.measure_once(at, residuals, w)
                fixed = not self.rebuilt_means(at, residuals, means)
                if fixed:
                    break
            close = 0 < least_shift >= square_apart(at, means, size)
            if not changed and not close:
                changed = self.assign_once(means, w)
                close = not changed
                carried = close and self.carry(at, means, residuals)
            swapped = at
            at = means
            means = swapped
        converged[0] = not changed or close
        if not (fixed or carried):
            converged[0] |= self.assign_once(at, w) == 0
            self.measure_once(at, residuals, w)
        if at != centroids:
            memcpy(centroids, at, size * sizeof(double))
        return n_iter

    def residuals(self):
        """What was added since the last call: (k, d + 2) residuals, mass, inertias."""
        cdef Plan* p = &self.plan
        residuals = np.zeros((p.k, p.d + 2))
        cdef double[:, ::1] out = residuals
        with nogil:
            self.collect_done(True)
            self.n_collected = 0
            empty_into(self.residual, p.k * (p.d + 2), &out[0, 0])
        return residuals

    cpdef means(self, const double[:, ::1] centroids):
        """Means of the clusters, those of emptied ones where they were; and how many are emptied,
        whose totals are cleared of what rounding has left in them."""
        cdef Py_ssize_t n_empty
        means = np.empty((self.plan.k, self.plan.d))
        cdef double[:, ::1] out = means
        with nogil:
            n_empty = self.take_means(&centroids[0, 0], &out[0, 0])
        return means, n_empty

    cdef Py_ssize_t take_means(self, const double* centroids, double* out) noexcept nogil:
        cdef Py_ssize_t j, f, d = self.plan.d, n_empty = 0
        cdef double mass
        cdef double* total
        for j in range(self.plan.k):
            total = self.total + j * (d + 2)
            mass = total[d]
            if mass > 0:
                for f in range(d):
                    out[j * d + f] = self.plan.reference[f] + total[f] / mass
            else:
                n_empty += 1
                memset(total, 0, (d + 2) * sizeof(double))
                memcpy(out + j * d, centroids + j * d, d * sizeof(double))
        return n_empty

    def rebuild(self, const double[:, ::1] centroids, const double[:, ::1] residuals):
        """The means by the residuals, to which the totals are set too; None where the residuals
        are only rounding."""
        cdef bint moved
        means = np.empty((self.plan.k, self.plan.d))
        cdef double[:, ::1] out = means
        with nogil:
            moved = self.rebuilt_means(&centroids[0, 0], &residuals[0, 0], &out[0, 0])
        return means if moved else None

    cdef bint rebuilt_means(
        self, const double* centroids, const double* residuals, double* out
    ) noexcept nogil:
        """The same; whether there are such means."""
        cdef Plan* p = &self.plan
        cdef Py_ssize_t j, f, d = p.d
        cdef double mass, move
        cdef double* total
        cdef bint close = True
        for j in range(p.k):
            mass = max(residuals[j * (d + 2) + d], 1e-300)
            for f in range(d):
                move = 1.8e-15 * (fabs(centroids[j * d + f]) + fabs(p.reference[f]))
                close &= fabs(residuals[j * (d + 2) + f]) <= mass * move
        if close:
            return False
        for j in range(p.k):
            mass = residuals[j * (d + 2) + d]
            total = self.total + j * (d + 2)
            for f in range(d):
                out[j * d + f] = centroids[j * d + f]
                if mass > 0:
                    out[j * d + f] += residuals[j * (d + 2) + f] / mass
                total[f] = total[d] * (out[j * d + f] - p.reference[f])
        return True

    def carried(
        self, const double[:, ::1] centroids, const double[:, ::1] means, residuals
    ):
        """The residuals to means of the same rows, which take a pass over them otherwise; None
        where the means lie too far from the centroids for that."""
        cdef bint near
        carried = residuals.copy()
        cdef double[:, ::1] out = carried
        with nogil:
            near = self.carry(&centroids[0, 0], &means[0, 0], &out[0, 0])
        return carried if near else None

    cdef bint carry(
        self, const double* centroids, const double* means, double* residuals
    ) noexcept nogil:
        """The same in place; whether it is done. Of the inertia no digit may go: that to the mean
        is less than that to the centroid by the mass times the squared move."""
        cdef Py_ssize_t j, f, d = self.plan.d
        cdef double move, change
        cdef double* row
        for j in range(self.plan.k):
            row = residuals + j * (d + 2)
            change = 0.0
            for f in range(d):
                move = means[j * d + f] - centroids[j * d + f]
                change += move * (row[d] * move - 2 * row[f])
                row[f] -= row[d] * move
            if fabs(change) > 1e-6 * row[d + 1]:
                return False
            row[d + 1] += change
        return True

    @property
    def rounds(self):
        """Whether rows can be kept as integers."""
        return rounded_size(self.plan.n, self.plan.d) > 0 and self.plan.row_scale != 0

    def stop_rounding(self):
        self.plan.row_scale = 0.0

    @property
    def sort_cost(self):
        """Comparisons that take as long as sorting a row and gathering it."""
        return self.plan.sort_cost

    @sort_cost.setter
    def sort_cost(self, Py_ssize_t comparisons):
        self.plan.sort_cost = comparisons

    def open_row(self, Py_ssize_t row):
        """Let the next assignment look at a row whatever its bounds say."""
        if not self.bounded:
            return
        if self.plan.by_margins:
            open_margins(self.plan.margins + row * CKM_SCORES, self.plan.labels[row])
        elif self.single:
            (<float*> self.plan.upper)[row] = INFINITY
            (<float*> self.plan.slack)[row] = -INFINITY
        else:
            (<double*> self.plan.upper)[row] = INFINITY
            (<double*> self.plan.slack)[row] = -INFINITY
