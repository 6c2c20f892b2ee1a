# Margins of rows: by how much the squared distance to each other centroid exceeds that to the own
# one, in units for each pair of centroids. Moves of the centroids take from them, as the crow flies
# from the pass in which a row got its margins; and one pair's moves take nothing from another's.
# Bounds on distances lose what all have moved, on all ways: at 60k x 784, k = 10, where rows lie
# nine times as far from their centroids as these from each other, margins leave 0.83 of the rows to
# be read, which takes 0.88 to 0.92 of the time.
from libc.math cimport INFINITY, ceil, fabs, sqrt
from libc.stdint cimport INT8_MAX, INT8_MIN, int8_t, int32_t, uintptr_t
from libc.string cimport memcpy, memset

from ckmeans._lloyd cimport CKM_FEW, CKM_PASSES, CKM_SCORES, own_squares
from ckmeans._memory cimport next_piece

cdef enum:
    # A row whose squared distance to its centroid is that many times its cluster's mean gets no
    # margins: it would be the radius of all. With lengths of rows that are lognormal, sigma 1, 5 %
    # of the rows are that long, and the longest is 12 times as long as the first of them.
    LONG_BY = 4
    # Of the squared distance between two centroids: margins up to 1.5 of it fit. With 16 bits, as
    # many rows are open.
    UNITS = 80

# What is known of the passes that gave margins to rows, CKM_PASSES at most.
cdef struct Margins:
    Py_ssize_t k, d
    int since                     # the one that does now
    int next_one                  # the place of the next, whose rows, the fewest, get others then
    double[CKM_PASSES] rows       # that have their margins from each
    double* centroids             # (CKM_PASSES, k, d) of each pass
    double* apart2                # (CKM_PASSES, k, k) squared distances between those
    double* scale                 # (CKM_PASSES, k, k) units of its margins, or 0 for none
    double* radius2               # (CKM_PASSES, CKM_FEW) at least the largest of a row to its own
    bint of_all                   # rows have got margins in this pass
    double[CKM_FEW] sum2          # of each cluster's rows that got them: squared distances
    double[CKM_FEW] count
    double[CKM_FEW] longest2      # beyond which a row gets no margins
    int8_t* limits                # (CKM_PASSES, CKM_FEW, CKM_SCORES) see tiles.h
    float* scales32               # (CKM_FEW, CKM_SCORES) the scale of the present pass
    double* scales
    int32_t* each                 # (k, k) the row's number
    double* now2                  # (k, k) squared distances between the present centroids
    double* across2               # (k, k) of each of these to each of another pass

# What a segment of rows adds to that in one pass.
cdef struct Changes:
    double[CKM_FEW] radius2       # of each cluster's rows that get margins: squared distances,
    double[CKM_FEW] sum2          # those of rows that get none among them, and how many
    double[CKM_FEW] count
    double[CKM_PASSES] left       # rows that had them from each pass
    double[2] apart               # threads that write to the same line wait for each other


cdef inline uintptr_t lay_out_margins(
    Margins* p, uintptr_t at, Py_ssize_t k, Py_ssize_t d
) noexcept:
    """Pieces of a memory of zeros."""
    cdef Py_ssize_t tables = CKM_PASSES * k * k * sizeof(double), own = CKM_FEW * CKM_SCORES
    p.k, p.d = k, d
    p.centroids = <double*> next_piece(&at, CKM_PASSES * k * d * sizeof(double))
    p.apart2 = <double*> next_piece(&at, tables)
    p.scale = <double*> next_piece(&at, tables)
    p.radius2 = <double*> next_piece(&at, CKM_PASSES * CKM_FEW * sizeof(double))
    p.limits = <int8_t*> next_piece(&at, CKM_PASSES * own * sizeof(int8_t))
    p.scales32 = <float*> next_piece(&at, own * sizeof(float))
    p.scales = <double*> next_piece(&at, own * sizeof(double))
    p.each = <int32_t*> next_piece(&at, k * k * sizeof(int32_t))
    p.now2 = <double*> next_piece(&at, k * k * sizeof(double))
    p.across2 = <double*> next_piece(&at, k * k * sizeof(double))
    return at


cdef inline void begin_margins(Margins* p) noexcept nogil:
    cdef Py_ssize_t j
    for j in range(p.k * p.k):
        p.each[j] = <int32_t> (j // p.k)
    p.of_all = False
    for j in range(CKM_FEW):
        p.longest2[j] = INFINITY
    for j in range(CKM_PASSES * CKM_FEW * CKM_SCORES):
        p.limits[j] = INT8_MIN


cdef inline void squares_between(
    const Margins* p, const double* a, const double* b, double* squares
) noexcept nogil:
    """Of k points with k others: (k, k), within a relative (d + 8) 2^-52."""
    cdef Py_ssize_t j
    for j in range(p.k):
        own_squares(b, p.d, p.d, NULL, p.k, p.each + j * p.k, a, squares + j * p.k)


cdef inline void begin_pass(
    Margins* p, const double* centroids, Py_ssize_t all_rows, bint single
) noexcept nogil:
    """A pass in which rows get their margins, to the centroids that the limits are for; or, with
    their number, all rows, which ends the other passes."""
    cdef Py_ssize_t i, j, k = p.k
    cdef double units
    cdef double* apart2
    cdef double* scale
    if p.of_all:
        for i in range(k):
            p.longest2[i] = LONG_BY * p.sum2[i] / p.count[i] if p.count[i] else INFINITY
    memset(p.sum2, 0, CKM_FEW * sizeof(double))
    memset(p.count, 0, CKM_FEW * sizeof(double))
    p.of_all = all_rows > 0
    if all_rows:
        for i in range(CKM_PASSES):
            p.rows[i] = 0.0
        p.next_one = 0
        p.rows[0] = all_rows
    p.since = p.next_one
    apart2, scale = p.apart2 + p.since * k * k, p.scale + p.since * k * k
    memcpy(p.centroids + p.since * k * p.d, centroids, k * p.d * sizeof(double))
    memset(p.radius2 + p.since * CKM_FEW, 0, CKM_FEW * sizeof(double))
    if all_rows:
        squares_between(p, centroids, centroids, p.now2)
    memcpy(apart2, p.now2, k * k * sizeof(double))
    for i in range(k):
        for j in range(k):
            units = UNITS / max(apart2[i * k + j], 1e-300)
            if i == j or not (1e-36 < units < 1e36 if single else 1e-200 < units < 1e200):
                units = 0.0    # twins, or what leaves the range of numbers: no margin
            if single:
                units = p.scales32[i * CKM_SCORES + j] = <float> units
            p.scales[i * CKM_SCORES + j] = scale[i * k + j] = units


cdef inline void limit_margins(Margins* p, const double* centroids) noexcept nogil:
    """What the moves to these centroids have taken of margins at most; all, of those of the pass
    whose place is taken next.

    With y = x - c_o of a row x and its own centroid then, and the moves m_o and m_j since then, the
    difference of its squared distances to c_j + m_j and c_o + m_o is that to c_j and c_o and

        |c_j + m_j - c_o|^2 - |m_o|^2 - |c_j - c_o|^2 - 2 y (m_j - m_o).
    """
    cdef Py_ssize_t o, j, k = p.k
    cdef int q
    cdef bint counts
    cdef int8_t* limits
    for q in range(CKM_PASSES):
        if p.rows[q] < p.rows[p.next_one]:
            p.next_one = q
    squares_between(p, centroids, centroids, p.now2)
    for q in range(CKM_PASSES):
        counts = q != p.next_one and p.rows[q] > 0
        if counts:
            squares_between(p, centroids, p.centroids + q * k * p.d, p.across2)
        for o in range(k):
            limits = p.limits + (q * CKM_FEW + o) * CKM_SCORES
            for j in range(k):
                if j != o:
                    limits[j] = limit_of(p, q, o, j) if counts else INT8_MAX


cdef inline int8_t limit_of(
    const Margins* p, Py_ssize_t q, Py_ssize_t o, Py_ssize_t j
) noexcept nogil:
    """The same of one pair, rounded up."""
    cdef Py_ssize_t k = p.k
    cdef const double* then2 = p.apart2 + q * k * k
    cdef double u = (p.d + 32) * 2.3e-16, scale = p.scale[q * k * k + o * k + j]
    cdef double radius2 = p.radius2[q * CKM_FEW + o], moves2, turn2, squares, taken
    cdef double apart2 = p.across2[j * k + o], moved2 = p.across2[o * k + o]
    if scale == 0:
        return INT8_MAX
    # |m_j - m_o|^2, by the law of cosines
    moves2 = p.across2[j * k + j] + moved2
    turn2 = apart2 + p.across2[o * k + j] - p.now2[j * k + o] - then2[j * k + o]
    squares = moves2 + apart2 + p.across2[o * k + j] + p.now2[j * k + o] + then2[j * k + o]
    taken = then2[j * k + o] + moved2 - apart2
    taken += 2 * sqrt(radius2) * sqrt(max(0.0, moves2 - turn2) + u * squares) * (1 + 1e-15)
    # and what a float64 brute force may be out by
    taken = scale * (taken + 4 * u * (squares + radius2))
    taken = ceil(taken + fabs(taken) * 1e-15)
    return <int8_t> taken if -INT8_MAX < taken < INT8_MAX else (
        -INT8_MAX if taken < 0 else INT8_MAX)


cdef inline void open_margins(int8_t* margins, Py_ssize_t own) noexcept nogil:
    """Of a row that is looked at next time, wherever centroids go."""
    cdef int8_t since = margins[own]
    memset(margins, INT8_MIN, CKM_SCORES)
    margins[own] = since


cdef inline void note_length(
    const Margins* p, Changes* c, Py_ssize_t label, double upper2, int8_t* margins
) noexcept nogil:
    """Of a row that has got these margins: it keeps them unless it is a long one."""
    c.sum2[label] += upper2
    c.count[label] += 1
    if upper2 > p.longest2[label]:
        open_margins(margins, label)
    elif upper2 > c.radius2[label]:
        c.radius2[label] = upper2


cdef inline void note_leaving(
    Changes* c, const int8_t* margins, const int32_t* labels, const int32_t* rows,
    Py_ssize_t count
) noexcept nogil:
    """Rows, the first where `rows` is NULL, get other margins than these."""
    cdef Py_ssize_t i, row
    for i in range(count):
        row = i if rows == NULL else rows[i]
        c.left[margins[row * CKM_SCORES + labels[row]] & (CKM_PASSES - 1)] += 1


cdef inline void collect_changes(Margins* p, Changes* c) noexcept nogil:
    cdef Py_ssize_t i
    cdef double* radius2 = p.radius2 + p.since * CKM_FEW
    for i in range(p.k):
        radius2[i] = max(radius2[i], c.radius2[i])
        p.sum2[i] += c.sum2[i]
        p.count[i] += c.count[i]
    for i in range(CKM_PASSES):
        p.rows[i] -= c.left[i]
        p.rows[p.since] += c.left[i]
    memset(c, 0, sizeof(Changes))
