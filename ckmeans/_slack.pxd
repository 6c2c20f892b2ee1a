# Slack: by how much the bounds of a row lie apart. Moves of the centroids use it up.
from libc.math cimport fabs, sqrt
from libc.stdint cimport int32_t, uintptr_t
from libc.string cimport memset

from ckmeans._lloyd cimport CKM_MOVES_ROOM, ckm_drifts_f32, ckm_drifts_f64, real
from ckmeans._memory cimport next_piece

cdef enum:
    ROWS_OF_SLACK = 512           # rows that stand for all
    MOVED = 0                     # sums that tiles.h describes
    OTHERS
    BEFORE
    LOSS
    REACH                         # which is no sum
    N_SUMS

# What is known of the moves of k centroids.
cdef struct Moves:
    Py_ssize_t k, room            # 0 until there is memory
    double* drift                 # (k,) at least how far each centroid moved last
    double largest, second        # of these
    double* sums                  # (N_SUMS, room) since bounds were set for all rows
    float* sums32                 # the same
    double blur                   # what rounding may have taken of a slack since then
    Py_ssize_t n_slack            # rows whose slack was noted as bounds were set, or 0
    double* slack                 # (n_slack,)
    int32_t* labels               # (n_slack,) those of then


cdef inline uintptr_t lay_out_moves(Moves* m, uintptr_t at, Py_ssize_t k) noexcept:
    """Pieces of a memory of zeros."""
    m.k, m.room, m.n_slack = k, CKM_MOVES_ROOM(k), 0
    m.drift = <double*> next_piece(&at, k * sizeof(double))
    m.sums = <double*> next_piece(&at, N_SUMS * m.room * sizeof(double))
    m.sums32 = <float*> next_piece(&at, N_SUMS * m.room * sizeof(float))
    m.slack = <double*> next_piece(&at, ROWS_OF_SLACK * sizeof(double))
    m.labels = <int32_t*> next_piece(&at, ROWS_OF_SLACK * sizeof(int32_t))
    return at


cdef inline void show_f32(const Moves* m, ckm_drifts_f32* drifts) noexcept:
    """Let the filter see the sums."""
    drifts.moved, drifts.others = m.sums32 + MOVED * m.room, m.sums32 + OTHERS * m.room
    drifts.before, drifts.loss = m.sums32 + BEFORE * m.room, m.sums32 + LOSS * m.room
    drifts.reach, drifts.gaps, drifts.k = m.sums32 + REACH * m.room, False, m.k


cdef inline void show_f64(const Moves* m, ckm_drifts_f64* drifts) noexcept:
    drifts.moved, drifts.others = m.sums + MOVED * m.room, m.sums + OTHERS * m.room
    drifts.before, drifts.loss = m.sums + BEFORE * m.room, m.sums + LOSS * m.room
    drifts.reach, drifts.gaps, drifts.k = m.sums + REACH * m.room, False, m.k


cdef inline void measure_moves(
    Moves* m, const double* before, const double* after, Py_ssize_t d
) noexcept nogil:
    """How far each of the centroids (k, d) moved, rounded up."""
    cdef Py_ssize_t j
    m.largest = m.second = 0.0
    for j in range(m.k):
        m.drift[j] = sqrt(square_apart(after + j * d, before + j * d, d)) * (1 + (d + 16) * 2.3e-16)
        if m.drift[j] > 0:
            m.drift[j] += 2.3e-308
        m.second = max(m.second, min(m.drift[j], m.largest))
        m.largest = max(m.largest, m.drift[j])


cdef inline void begin_sums(Moves* m) noexcept nogil:
    """Bounds are set for all rows."""
    memset(m.sums, 0, N_SUMS * m.room * sizeof(double))
    memset(m.sums32, 0, N_SUMS * m.room * sizeof(float))
    m.blur, m.n_slack = 0.0, 0


cdef inline void add_moves(Moves* m, bint single) noexcept nogil:
    """Add the last moves to the sums: rounded up, so that what is added is not less than it was.
    The loss is added up anew: summed by itself, it would drift away from what it is the sum of."""
    cdef Py_ssize_t j
    cdef double up = 1 + 4.5e-16, other, most = 0.0
    cdef double* moved = m.sums + MOVED * m.room
    cdef double* others = m.sums + OTHERS * m.room
    cdef double* before = m.sums + BEFORE * m.room
    cdef double* loss = m.sums + LOSS * m.room
    for j in range(m.k):
        # Where two share the largest, the second is as large.
        other = m.largest if m.drift[j] < m.largest else m.second
        before[j] = others[j]
        others[j] = (others[j] + other) * up
        moved[j] = (moved[j] + m.drift[j]) * up
        loss[j] = (moved[j] + others[j]) * up
        most = max(most, loss[j])
    for j in range((LOSS + 1) * m.room):
        m.sums32[j] = <float> (m.sums[j] * (1 + 2.4e-7) + (1.2e-38 if m.sums[j] > 0 else 0.0))
    # What kept_slack() of filter.h takes of the loss.
    m.blur = most * 16 * (6e-8 if single else 1.2e-16)


cdef inline void keep_distances(
    double nearest, double other, double moved, double loss, float* upper, float* slack
) noexcept nogil:
    """Bounds on a row's distances to its own centroid and to the nearest other one, as the filter
    reads them: less what that has moved, and with what both have lost."""
    cdef double u = 1.3e-7, u64 = 4.5e-16, least = nearest - moved, most
    other = min(other, 1e38)    # without another centroid
    most = other - nearest + loss
    upper[0] = <float> (least + fabs(least) * u + (nearest + moved) * u64 + 1.2e-38)
    slack[0] = <float> (most - fabs(most) * u - (nearest + other + loss) * 2 * u64 - 1.2e-38)


cdef inline void note_slack(
    Moves* m, const real* slack, const int32_t* labels, Py_ssize_t n
) noexcept nogil:
    """That of some of n rows, n // m.n_slack apart."""
    cdef Py_ssize_t i, step
    m.n_slack = min(n, <Py_ssize_t> ROWS_OF_SLACK)
    step = n // m.n_slack
    for i in range(m.n_slack):
        m.slack[i] = slack[i * step] if slack[i * step] > 0 else 0.0
        m.labels[i] = labels[i * step]


cdef inline double open_by(
    const Moves* m, bint bounded, const double* drift, double other
) noexcept nogil:
    """The share of the rows that an iteration opens, if in each their own centroid drifts, unless
    NULL, and the others do by `other` at most: a row is open every 1 + floor(slack / loss), but for
    what rounding has taken of the slack of bounds that there are."""
    cdef Py_ssize_t i
    cdef double total = 0.0, blur = m.blur if bounded else 0.0
    cdef double[ROWS_OF_SLACK] shares
    for i in range(m.n_slack):
        shares[i] = max(other + (drift[m.labels[i]] if drift != NULL else 0.0), 1e-300)
    for i in range(m.n_slack):
        shares[i] = 1.0 / (1.0 + <int32_t> min(max(m.slack[i] - blur, 0.0) / shares[i], 1e9))
    for i in range(m.n_slack):
        total += shares[i]
    return total / m.n_slack


cdef inline double square_apart(
    const double* a, const double* b, Py_ssize_t d
) noexcept nogil:
    """|a - b|^2, by sums that do not wait for each other."""
    cdef Py_ssize_t f, i
    cdef double[4] sums
    sums[0] = sums[1] = sums[2] = sums[3] = 0.0
    for f in range(0, d - 3, 4):
        for i in range(4):
            sums[i] += (a[f + i] - b[f + i]) * (a[f + i] - b[f + i])
    for f in range(d // 4 * 4, d):
        sums[0] += (a[f] - b[f]) * (a[f] - b[f])
    return (sums[0] + sums[1]) + (sums[2] + sums[3])
