# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
# cython: initializedcheck=False, freethreading_compatible=True
"""Loops over the rows of a CSR matrix: looked at once, assigned, added up.

Labels come in three steps, each for the rows that the one before leaves open: the tile's products
of 16-bit integers, products with the few nearest centroids in float64, and direct differences in
the order of the columns, which have the bits of `distance2` in `_lloyd.pyx`. So they are those of
dense rows.

Squared distances are sums of (x - c)^2 over the columns of a row, and what is left of |c|^2: exact
where a row is a centroid, unlike |x|^2 - 2 x.c + |c|^2.
"""
cimport cython
from libc.math cimport INFINITY, frexp, isfinite, ldexp, sqrt
from libc.stdint cimport int16_t, int32_t, int64_t, uintptr_t
from libc.string cimport memcpy, memset

import numpy as np

from ckmeans._memory import fresh, zeroed
from ckmeans._lloyd cimport (
    CKM_SPARSE_ROWS, CKM_SPARSE_WIDTH, add_products, ckm_csr, ckm_drifts_f32,
    ckm_moves, filter_rows, list_by_column, sparse_error, sparse_measure, sparse_move,
    sparse_multiples, sparse_nearest, sparse_own_squares, sparse_pack, sparse_packed_size,
    sparse_scores, sparse_shared, sparse_squares,
)
from ckmeans._memory cimport LINE, data_of
from ckmeans._modes cimport C_BOUND, C_FILTER, C_PLAIN
from ckmeans._slack cimport (
    LOSS, MOVED, Moves, add_moves, begin_sums, keep_distances, lay_out_moves, measure_moves,
    note_slack, open_by, show_f32,
)
from ckmeans._threads cimport (
    Pass, comes, dismiss_all, heed_signals, load, next_of, open_pass, spare, take_segment,
    wait_for_all,
)

# How Csr.look() finds a row: with a value that cannot be, with a column that is not there, or with
# columns that do not ascend.
BAD_VALUE, BAD_COLUMN, UNSORTED = C_BAD_VALUE, C_BAD_COLUMN, C_UNSORTED
WIDTH = CKM_SPARSE_WIDTH           # points of a panel

cdef enum:
    C_BAD_VALUE = 1
    C_BAD_COLUMN
    C_UNSORTED
    COMPARED = 64                 # with points at once
    LISTED = 8                    # a list of the non-zeros of a centroid pays below 1 of so many

cdef struct Row:
    const double* values
    const int32_t* columns        # ascending
    Py_ssize_t m

ctypedef fused value:
    float
    double


@cython.final
cdef class Scratch:
    """The memory that one thread works in."""
    cdef double[::1] values       # (longest,) a row's
    cdef int32_t[::1] columns     # (longest,)
    cdef double[::1] scores       # (k,)
    cdef int32_t[CKM_SPARSE_ROWS] labels
    cdef int32_t[CKM_SPARSE_ROWS + 16] rows    # vectors may end behind the last one
    cdef int32_t[CKM_SPARSE_ROWS + 1] undecided
    cdef float[CKM_SPARSE_ROWS] upper, lower

    def __cinit__(self, Py_ssize_t longest, Py_ssize_t k):
        self.values, self.columns = np.empty(longest + 1), np.empty(longest + 1, np.int32)
        self.scores = np.empty(k)


cdef Py_ssize_t look_at(
    const ckm_csr* X, Py_ssize_t first, Py_ssize_t last, Py_ssize_t d, double limit, int* found,
) noexcept nogil:
    """Whether measured rows are what they have to be; or what is wrong, and at which element."""
    cdef const int32_t* columns = X.columns
    cdef Py_ssize_t i
    cdef int64_t t, start, end
    cdef int wrong
    for i in range(first, last):
        start, end = X.starts[i], X.starts[i + 1]
        wrong = 0
        for t in range(start + 1, end):    # without a branch: in vectors
            wrong |= columns[t] <= columns[t - 1]
        if end > start:    # they ascend, so their ends say whether all lie within 0 and d
            wrong |= (columns[start] < 0) | (columns[end - 1] >= d)
        if wrong or not X.norms2[i] < limit * limit:    # no value is beyond the length
            if X.double_values:
                t = what_is_wrong(<const double*> X.values, columns, start, end, d, limit, found)
            else:
                t = what_is_wrong(<const float*> X.values, columns, start, end, d, limit, found)
            if found[0] and found[0] != C_UNSORTED:
                return t
    return -1


cdef int64_t what_is_wrong(
    const value* values, const int32_t* columns, int64_t at, int64_t end, Py_ssize_t d,
    double limit, int* found,
) noexcept nogil:
    """The same of one row, where `found` stays as it is if nothing is wrong. All of its columns
    come first: the row of a value that cannot be is read for the message."""
    cdef int64_t t
    for t in range(at, end):
        if not 0 <= columns[t] < d:
            found[0] = C_BAD_COLUMN
            return t
    for t in range(at, end):
        if not -limit <= values[t] <= limit:
            found[0] = C_BAD_VALUE
            return t
    for t in range(at + 1, end):
        if columns[t] <= columns[t - 1]:
            found[0] = C_UNSORTED
    return at


cdef Row row_of(const ckm_csr* X, Py_ssize_t i, Scratch s) noexcept nogil:
    """Row i, its values in the scratch unless they are doubles."""
    cdef Py_ssize_t at = X.starts[i], t
    cdef Row row
    row.m = X.starts[i + 1] - at
    row.values, row.columns = <const double*> X.values + at, X.columns + at
    if not X.double_values:
        for t in range(row.m):
            s.values[t] = (<const float*> X.values)[at + t]
        row.values = &s.values[0]
    return row


cdef double product(const Row* x, const double* c) noexcept nogil:
    """x.c, by sums that do not wait for each other."""
    cdef Py_ssize_t t, i
    cdef double[4] sums
    sums[0] = sums[1] = sums[2] = sums[3] = 0.0
    for t in range(0, x.m - 3, 4):
        for i in range(4):
            sums[i] += x.values[t + i] * c[x.columns[t + i]]
    for t in range(x.m // 4 * 4, x.m):
        sums[0] += x.values[t] * c[x.columns[t]]
    return (sums[0] + sums[1]) + (sums[2] + sums[3])


cdef double plain_norm2(const double* c, Py_ssize_t d) noexcept nogil:
    """|c|^2, added in order: what a row's `covered` is, where it has all non-zeros of c."""
    cdef Py_ssize_t f
    cdef double total = 0.0
    for f in range(d):
        total += c[f] * c[f]
    return total


cdef double square_in_order(const Row* x, const double* c, Py_ssize_t d) noexcept nogil:
    """The squared distance that decides, with the bits of distance2()."""
    cdef Py_ssize_t t, f = 0
    cdef double total = 0.0
    for t in range(x.m):
        while f < x.columns[t]:
            total += c[f] * c[f]
            f += 1
        total += (x.values[t] - c[f]) * (x.values[t] - c[f])
        f += 1
    while f < d:
        total += c[f] * c[f]
        f += 1
    return total


cdef double square_listed(
    const Row* x, const double* c, const int32_t* nonzero, Py_ssize_t count
) noexcept nogil:
    """The same by the ascending columns where c is not zero."""
    cdef Py_ssize_t t, i = 0
    cdef double total = 0.0, there
    for t in range(x.m):
        while i < count and nonzero[i] < x.columns[t]:
            total += c[nonzero[i]] * c[nonzero[i]]
            i += 1
        i += i < count and nonzero[i] == x.columns[t]
        there = c[x.columns[t]]
        total += (x.values[t] - there) * (x.values[t] - there)
    while i < count:
        total += c[nonzero[i]] * c[nonzero[i]]
        i += 1
    return total


@cython.final
cdef class Csr:
    """Rows of float32 or float64 values, at int32 columns that nobody else can write to."""
    cdef ckm_csr c
    cdef readonly Py_ssize_t n, d, longest
    cdef readonly object values, columns, starts, norms2
    cdef double[::1] norm2_view, norms
    cdef int16_t[::1] integer_view

    def __cinit__(self, values, columns, starts, Py_ssize_t d):
        cdef const int64_t[::1] start_view = starts
        cdef const int32_t[::1] column_view = columns
        cdef uintptr_t address
        cdef Py_ssize_t n = start_view.shape[0] - 1
        lengths = np.diff(starts)
        if n < 1 or start_view[0] < 0 or lengths.min() < 0:
            raise ValueError("X.indptr must hold row starts that ascend from 0 on")
        if start_view[n] > min(len(values), len(columns)):
            raise ValueError(
                f"X.indptr must end within {len(values)} values at {len(columns)} columns, got "
                f"{start_view[n]}")
        self.n, self.d, self.longest = n, d, lengths.max()
        self.values, self.columns, self.starts = values, columns, starts
        self.norms2 = np.zeros(self.n)
        self.norm2_view, self.norms = self.norms2, np.zeros(self.n)
        self.integer_view = fresh(len(values) + 1, np.int16)
        address = values.__array_interface__["data"][0]
        self.c.n = self.n
        self.c.values = <const void*> address
        self.c.columns = &column_view[0] if len(columns) else NULL
        self.c.starts = &start_view[0]
        self.c.norms2, self.c.norms = &self.norm2_view[0], &self.norms[0]
        self.c.integers = &self.integer_view[0]
        self.c.double_values = values.dtype == np.float64

    def look(self, Py_ssize_t first, Py_ssize_t last, double limit):
        """Measure rows first..last-1, which must come before all else; None, or what is wrong with
        them and at which element."""
        cdef int found = 0
        cdef Py_ssize_t at = -1, end
        with nogil:
            while first < last and (found == 0 or found == C_UNSORTED):
                end = min(last, first + 16)    # rows that stay in the caches
                sparse_measure(&self.c, first, end, &self.norm2_view[0], &self.norms[0],
                               &self.integer_view[0])
                at = look_at(&self.c, first, end, self.d, limit, &found)
                first = end
        return (found, at) if found else None

    def take(self, const int64_t[::1] rows):
        """The chosen rows as a dense float64 array (m, d)."""
        cdef Py_ssize_t i, t, m = rows.shape[0]
        cdef Scratch s = Scratch(self.longest, 1)
        cdef Row row
        taken = zeroed((m, self.d))
        cdef double[:, ::1] out = taken
        for i in range(m):
            if not 0 <= rows[i] < self.n:
                raise IndexError(f"rows must lie within 0 and {self.n}, got {rows[i]}")
        with nogil:
            for i in range(m):
                row = row_of(&self.c, rows[i], s)
                for t in range(row.m):
                    out[i, row.columns[t]] = row.values[t]
        return taken

    def all_equal(self, const int32_t[::1] labels, int32_t cluster, weight, const double[::1] x):
        """Whether all rows of positive weight in the cluster equal the dense row x."""
        cdef Py_ssize_t i, t, f, count, nonzero = 0
        cdef const double[::1] w
        cdef bint weighted = weight is not None, equal = True
        cdef Scratch s = Scratch(self.longest, 1)
        cdef Row row
        if weighted:
            w = weight
        with nogil:
            for f in range(self.d):
                nonzero += x[f] != 0
            for i in range(self.n):
                if labels[i] != cluster or (weighted and not w[i] > 0):
                    continue
                row = row_of(&self.c, i, s)
                count = 0
                for t in range(row.m):
                    equal &= row.values[t] == x[row.columns[t]]
                    count += row.values[t] != 0
                equal &= count == nonzero
                if not equal:
                    break
        return equal

    def adds_exactly(self):
        """Whether sums of rows in float64 have the same bits in any order, since nothing of them is
        rounded: all values are multiples of a unit, of which no sum has more than 2^51. So are
        counts, and float32 unless some are tiny."""
        cdef double total = self.n * 1e-150    # for lengths whose squares underflow
        cdef Py_ssize_t i
        cdef int exponent
        cdef bint exact
        for i in range(self.n):    # as much as all values of a column
            total += self.norms[i]
        if not isfinite(total):
            return False
        frexp(1.001 * total, &exponent)
        with nogil:    # the last bit of such numbers is the unit
            exact = sparse_multiples(&self.c, ldexp(3.0, exponent))
        return exact

    def own_squares(
        self,
        const int32_t[::1] rows,               # in   (n,) as those of by_cluster()
        Py_ssize_t first, Py_ssize_t last,
        const double[:, ::1] centroids,        # in   (k, d)
        const double[::1] norms2,              # in   (k,) of plain_norms2()
        const int32_t[::1] labels,             # in   (n,)
        double[::1] squares,                   # out  (n,)
    ):
        """Squared distances of rows[first..last-1] to the centroids of their labels."""
        with nogil:
            sparse_own_squares(&self.c, &rows[0], first, last, &centroids[0, 0], self.d,
                               &norms2[0], &labels[0], &squares[0])

    def all_squares(
        self,
        Py_ssize_t first, Py_ssize_t last,
        const double[:, :, ::1] panels,        # in   (g, d, WIDTH) of panels_of()
        const double[::1] norms2,              # in   (k,) of plain_norms2()
        double[:, ::1] squares,                # out  (last - first, k)
    ):
        """Squared distances of rows first..last-1 to every centroid."""
        cdef Py_ssize_t i, j, g, q, k = norms2.shape[0]
        cdef Scratch s = Scratch(self.longest, 1)
        cdef double[CKM_SPARSE_WIDTH] totals, covered
        cdef Row row
        with nogil:
            for i in range(first, last):
                row = row_of(&self.c, i, s)
                for g in range(panels.shape[0]):
                    sparse_squares(row.values, row.columns, row.m, &panels[g, 0, 0], totals,
                                   covered)
                    for j in range(g * CKM_SPARSE_WIDTH, min(k, (g + 1) * CKM_SPARSE_WIDTH)):
                        q = j - g * CKM_SPARSE_WIDTH
                        squares[i - first, j] = totals[q] + max(0.0, norms2[j] - covered[q])


cdef class Products:
    """Products of rows with points, which are rows too. Each is a sum in the order of the columns
    in float64: the same bits, whoever adds it."""
    cdef Csr rows
    cdef readonly Py_ssize_t segment_rows, n_segments
    cdef const int64_t[::1] points

    cdef int cut(self, Py_ssize_t most) except -1:
        """`most` segments of rows, which different threads may work on at the same time."""
        self.segment_rows = (self.rows.n + most - 1) // most
        self.n_segments = (self.rows.n + self.segment_rows - 1) // self.segment_rows
        return 0

    def aim(self, const int64_t[::1] points):
        """Choose the points: rows."""
        self.points = points

    cdef void multiply(
        self, Py_ssize_t segment, Py_ssize_t first, Py_ssize_t last, double[:, ::1] products,
    ) noexcept nogil:
        """Those of the segment's rows first..last-1 with each point: into (t, n)."""

    def gains(
        self,
        Py_ssize_t segment,
        const double[::1] nearest,             # in   (n,) squared distances so far
        weight,                                # in   (n,) float64 or None
        double[:, ::1] squares,                # out  (t, n) to the points: those of the segment
        double[::1] gains,                     # out  (t,) what each would take from `nearest`
    ):
        """Look at the points as centroids. A row's squared distance to itself is exactly 0: its
        product and its length are the same sum."""
        cdef const double* norms2 = self.rows.c.norms2
        cdef Py_ssize_t i, j, first = segment * self.segment_rows
        cdef Py_ssize_t last = min(self.rows.n, first + self.segment_rows)
        cdef const double[::1] w
        cdef bint weighted = weight is not None
        cdef double square, length2, gain, total
        if weighted:
            w = weight
        with nogil:
            self.multiply(segment, first, last, squares)
            for j in range(self.points.shape[0]):
                length2, total = norms2[self.points[j]], 0.0
                for i in range(first, last):
                    square = max(0.0, norms2[i] + length2 - 2 * squares[j, i])
                    squares[j, i] = square
                    gain = max(0.0, nearest[i] - square)
                    total += w[i] * gain if weighted else gain
                gains[j] = total


@cython.final
cdef class ByLists(Products):
    """By the elements in the columns of a point, which are listed by column before: few, where rows
    share few columns (a step of k-means++ over 20k rows of 100 elements 2.4 to 0.8 ms)."""
    cdef int64_t[:, ::1] begins       # (n_segments, d + 2) where a column's elements begin
    cdef int32_t[::1] row_view        # (number of elements,) their rows within the segment
    cdef object listed                # their values
    cdef void* listed_at
    cdef unsigned char[::1] is_listed  # (n_segments,)

    def __cinit__(self, Csr rows):
        # Smaller segments are listed faster, being in the L2 cache, but lists become short: of 2M
        # elements 16 segments take 1.5 times as long to look at as 8, and 4 as long to list. And
        # 2^25 elements take a third of a second, for which an interrupt has to wait.
        cdef Py_ssize_t elements = len(rows.values)
        self.rows = rows
        self.cut(max(2, min(16, elements // max(1 << 18, 16 * rows.d)), elements // (1 << 25)))
        self.begins = fresh((self.n_segments, rows.d + 2), np.int64)
        self.row_view = fresh(elements + 1, np.int32)
        self.listed = fresh(len(rows.values), rows.values.dtype)
        self.listed_at = data_of(self.listed)
        self.is_listed = np.zeros(self.n_segments, np.uint8)

    cdef void multiply(
        self, Py_ssize_t segment, Py_ssize_t first, Py_ssize_t last, double[:, ::1] products,
    ) noexcept nogil:
        cdef const ckm_csr* X = &self.rows.c
        cdef int64_t* begins = &self.begins[segment, 0]
        cdef Py_ssize_t j
        if not self.is_listed[segment]:
            self.is_listed[segment] = 1
            list_by_column(X, first, last, self.rows.d, begins, &self.row_view[0], self.listed_at)
        for j in range(self.points.shape[0]):
            memset(&products[j, first], 0, (last - first) * sizeof(double))
            add_products(X, self.points[j], begins, &self.row_view[0], self.listed_at,
                         &products[j, first])


@cython.final
cdef class ByPanel(Products):
    """By all elements of the rows: those of the points lie side by side in a panel that stays in
    the L1 cache, behind a row of zeros for all other columns."""
    cdef Py_ssize_t n_panels, panel_rows
    cdef int32_t[::1] places          # (d,) where a column's elements lie in each panel; or 0
    cdef double[::1] memory           # (n_panels, panel_rows, CKM_SPARSE_WIDTH), less to align it

    def __cinit__(self, Csr rows, Py_ssize_t most):
        """most: how many points at once."""
        self.rows = rows
        self.cut(16)
        self.n_panels = (most + CKM_SPARSE_WIDTH - 1) // CKM_SPARSE_WIDTH
        self.panel_rows = 1 + min(rows.d, most * rows.longest)
        self.places = np.zeros(rows.d, np.int32)
        self.memory = np.zeros(self.n_panels * self.panel_rows * CKM_SPARSE_WIDTH + 8)
        self.points = np.empty(0, np.int64)

    cdef double* panel(self, Py_ssize_t g) noexcept nogil:
        cdef uintptr_t first = (<uintptr_t> &self.memory[0] + 63) // 64 * 64
        return <double*> first + g * self.panel_rows * CKM_SPARSE_WIDTH

    def aim(self, const int64_t[::1] points):
        cdef Py_ssize_t q, t, g, at, used = 1, width = CKM_SPARSE_WIDTH
        cdef Scratch s = Scratch(self.rows.longest, 1)
        cdef int32_t* place
        cdef Row row
        with nogil:
            for q in range(self.points.shape[0]):
                row = row_of(&self.rows.c, self.points[q], s)
                for t in range(row.m):
                    self.places[row.columns[t]] = 0
            for q in range(points.shape[0]):
                row = row_of(&self.rows.c, points[q], s)
                for t in range(row.m):
                    place = &self.places[row.columns[t]]
                    if place[0] == 0:
                        place[0] = <int32_t> used
                        used += 1
                        for g in range(self.n_panels):
                            memset(self.panel(g) + place[0] * width, 0, width * sizeof(double))
                    at = place[0] * width + q % width
                    self.panel(q // width)[at] = row.values[t]
        self.points = points

    cdef void multiply(
        self, Py_ssize_t segment, Py_ssize_t first, Py_ssize_t last, double[:, ::1] products,
    ) noexcept nogil:
        cdef double[COMPARED * CKM_SPARSE_WIDTH] some
        cdef Py_ssize_t g, i, j, m, begin, end, t = self.points.shape[0], width = CKM_SPARSE_WIDTH
        while first < last:
            m = min(<Py_ssize_t> COMPARED, last - first)
            for g in range((t + width - 1) // width):
                sparse_shared(&self.rows.c, first, m, &self.places[0], self.panel(g), some)
                begin = g * width
                end = min(t, begin + width)
                for j in range(begin, end):
                    for i in range(m):
                        products[j, first + i] = some[i * width + j - begin]
            first += m


def plain_norms2(const double[:, ::1] centroids):
    """Squared lengths (k,), added in the order of the columns."""
    cdef Py_ssize_t j, f, k = centroids.shape[0], d = centroids.shape[1]
    norms2 = np.empty(k)
    cdef double[::1] out = norms2
    cdef double a, b, c, e
    with nogil:
        j = 0
        while j + 4 <= k:    # sums that do not wait for each other
            a = b = c = e = 0.0
            for f in range(d):
                a += centroids[j, f] * centroids[j, f]
                b += centroids[j + 1, f] * centroids[j + 1, f]
                c += centroids[j + 2, f] * centroids[j + 2, f]
                e += centroids[j + 3, f] * centroids[j + 3, f]
            out[j], out[j + 1], out[j + 2], out[j + 3] = a, b, c, e
            j += 4
        for j in range(j, k):
            out[j] = plain_norm2(&centroids[j, 0], d)
    return norms2


def panels_of(const double[:, ::1] centroids):
    """The coordinates of centroids (k, d) as all_squares() takes them: (g, d, WIDTH)."""
    cdef Py_ssize_t j, f, g, lane, k = centroids.shape[0], d = centroids.shape[1]
    panels = np.zeros(((k + CKM_SPARSE_WIDTH - 1) // CKM_SPARSE_WIDTH, d, CKM_SPARSE_WIDTH))
    cdef double[:, :, ::1] out = panels
    with nogil:
        for j in range(k):
            g, lane = j // CKM_SPARSE_WIDTH, j % CKM_SPARSE_WIDTH
            for f in range(d):
                out[g, f, lane] = centroids[j, f]
    return panels


def by_cluster(const int32_t[::1] labels, Py_ssize_t k):
    """All rows (n,) int32, those of a cluster together and in their order."""
    return moves_between(None, labels, np.zeros(k + 1, np.int64))


cdef object moves_between(const int32_t[::1] before, const int32_t[::1] after, int64_t[::1] ends):
    """Rows that came to a cluster, cluster after cluster, each in the order of the rows; with
    `before` only those that changed, and ~row for those that left it. ends (k + 1,) zeros in,
    where each cluster's end out, and that of all."""
    cdef Py_ssize_t i, j, n = after.shape[0], k = ends.shape[0] - 1
    cdef int64_t total = 0, count
    cdef bint anew = before is None
    with nogil:
        for i in range(n):
            if anew or before[i] != after[i]:
                ends[after[i]] += 1
                if not anew and before[i] >= 0:
                    ends[before[i]] += 1
        for j in range(k + 1):    # to where they begin
            count, ends[j] = ends[j], total
            total += count
    found = fresh(total, np.int32)
    cdef int32_t[::1] rows = found
    with nogil:
        for i in range(n):
            if anew or before[i] != after[i]:
                rows[ends[after[i]]] = <int32_t> i
                ends[after[i]] += 1
                if not anew and before[i] >= 0:
                    rows[ends[before[i]]] = <int32_t> ~i
                    ends[before[i]] += 1
    return found


@cython.final
cdef class CsrSweep:
    """Rows, labels, bounds and totals of one problem, as `ckmeans._bounds.Sweep` has them.

    A segment of rows is assigned at a time. Totals belong to clusters: rows that changed are moved
    to and from one cluster after the other, in the order of the rows, so that the sums have the
    same bits whichever threads work on them. Weighted rows have to be added anew.
    """
    cdef Csr rows
    cdef ckm_drifts_f32 drifts
    cdef readonly Py_ssize_t segment_rows, n_segments
    cdef Pass one                     # over the segments
    cdef readonly object labels       # (n,) int32
    cdef readonly object totals       # (k, d + 2) sums, mass, unused
    cdef object weight
    cdef readonly bint bounded        # the bounds belong to the centroids of the last assignment,
    cdef const double[:, ::1] centroid_view    # which are these
    cdef const double[:, ::1] expected    # those that moves are measured to, before that
    cdef list scratches
    cdef object before                # (n,) int32 labels that the totals are of
    cdef bint weighted
    cdef int mode
    cdef Py_ssize_t k
    cdef const double[::1] weight_view
    cdef int32_t[::1] label_view, before_view, nonzero, counts
    cdef const int32_t[::1] moves     # of list_moves()
    cdef int64_t[::1] ends            # (k + 1,) where those of a cluster end; and all
    cdef bint anew                    # whether they are all rows, and totals begin with nothing
    cdef int64_t[::1] listed          # (k,) where a centroid's non-zeros begin in the list, or -1
    cdef float[::1] upper, slack
    cdef Moves moved_by               # the centroids
    cdef object room_of_moves
    cdef double[:, ::1] total_view
    cdef double[::1] norms2
    cdef unsigned char[::1] panel
    cdef Py_ssize_t[::1] comparisons  # (n_segments,) since the last collect()

    def __init__(self, Csr rows, weight, bint keep_bounds):
        """weight: (n,) float64 or None."""
        cdef Py_ssize_t most = 24
        self.rows, self.weight, self.weighted = rows, weight, weight is not None
        if self.weighted:
            self.weight_view = weight
        self.segment_rows = (rows.n + most - 1) // most
        self.n_segments = (rows.n + self.segment_rows - 1) // self.segment_rows
        self.upper, self.slack = np.empty((2, rows.n if keep_bounds else 0), np.float32)
        self.k = 0

    cdef Py_ssize_t end_of(self, Py_ssize_t segment) noexcept nogil:
        return min(self.rows.n, (segment + 1) * self.segment_rows)

    def begin(self, Py_ssize_t k, labels=None):
        """Start a run with k clusters, in new totals and labels or those given, (n,) int32."""
        cdef Py_ssize_t n = self.rows.n, d = self.rows.d
        self.labels = np.full(n, -1, np.int32) if labels is None else labels
        self.before = np.full(n, -1, np.int32)
        self.label_view, self.before_view = self.labels, self.before
        self.totals = fresh((k, d + 2))    # the first rows are added to them anew
        self.total_view = self.totals
        if k != self.k:
            self.panel = zeroed(sparse_packed_size(k, d) + 64, np.uint8)
            self.norms2, self.counts = np.empty(k), np.empty(k, np.int32)
            self.listed = np.empty(k, np.int64)
            self.nonzero = np.empty(k * (d // LISTED) + 1, np.int32)
            self.room_of_moves = zeroed(lay_out_moves(&self.moved_by, 0, k) + LINE, np.uint8)
            lay_out_moves(&self.moved_by, <uintptr_t> data_of(self.room_of_moves), k)
            show_f32(&self.moved_by, &self.drifts)
            self.drifts.n_panels = 1
            self.comparisons = np.zeros(self.n_segments, np.intp)
            self.scratches = []
            self.k = k
        self.centroid_view = self.expected = None
        self.bounded, self.moved_by.n_slack = False, 0

    cdef void* packed(self) noexcept nogil:
        return <void*> (<uintptr_t> (&self.panel[0] + 63) // 64 * 64)

    def aim(self, const double[:, ::1] centroids, int mode):
        """Prepare the next assignment, to these centroids."""
        if mode == C_FILTER:
            if self.expected is None or &self.expected[0, 0] != &centroids[0, 0]:
                self.measure(centroids)
            add_moves(&self.moved_by, True)
        elif mode == C_BOUND:
            begin_sums(&self.moved_by)
        self.mode, self.centroid_view, self.expected = mode, centroids, None
        self.bounded = mode > C_PLAIN
        with nogil:
            sparse_pack(&centroids[0, 0], self.k, self.rows.d, self.packed(), &self.norms2[0],
                        &self.counts[0])
            self.list_nonzeros()

    def expected_share(self, const double[:, ::1] centroids):
        """Of all comparisons, the share that bounds would leave to assignments like this one, to
        these centroids; None if none were set in this run."""
        cdef Moves* m = &self.moved_by
        if self.bounded and not m.n_slack:
            note_slack(m, &self.slack[0], &self.label_view[0], self.rows.n)
        if not m.n_slack:
            return None
        self.measure(centroids)
        self.expected = centroids
        return open_by(m, self.bounded, m.drift, m.largest)

    cdef int measure(self, const double[:, ::1] centroids) except -1:
        """How far the centroids moved since the last assignment."""
        cdef const double* before = &self.centroid_view[0, 0]
        with nogil:
            measure_moves(&self.moved_by, before, &centroids[0, 0], self.rows.d)
        return 0

    cdef void list_nonzeros(self) noexcept nogil:
        """Centroids with few non-zeros, like those at rows, often lie equally far from a row."""
        cdef Py_ssize_t j, f, d = self.rows.d, at = 0
        for j in range(self.k):
            self.listed[j] = -1
            if self.counts[j] * LISTED > d:
                continue
            self.listed[j] = at
            for f in range(d):
                if self.centroid_view[j, f] != 0:
                    self.nonzero[at] = <int32_t> f
                    at += 1

    cdef Scratch scratch(self):
        found = spare(self.scratches)
        return Scratch(self.rows.longest, self.k) if found is None else found

    def assign(self, Py_ssize_t segment, Py_ssize_t first, Py_ssize_t last):
        """Assign rows first..last-1 of a segment; different ones may be worked on at the same
        time."""
        cdef Scratch s = self.scratch()
        with nogil:
            self.sweep_segment(segment, first, last, s)
        self.scratches.append(s)

    def open(self, bint adding):
        """Let threads assign the segments; there is nothing else to do with them."""
        open_pass(&self.one, self.n_segments)

    def work(self, bint attentive):
        """Do segments that no thread has begun, and wait for the others; or end early where an
        interrupt comes, if `attentive`."""
        cdef Scratch s = self.scratch()
        with nogil:
            self.do_segments(s, 0, attentive)
            wait_for_all(&self.one)
        self.scratches.append(s)

    def attend(self):
        """Do segments of one pass after another, until none comes soon or that is forbidden."""
        cdef Scratch s = self.scratch()
        cdef int32_t who = 1 + next_of(&self.one.present)
        with nogil:
            while comes(&self.one):
                self.do_segments(s, who, False)
        self.scratches.append(s)

    def present(self):
        """How many threads wait for the next pass, or work on this one."""
        return load(&self.one.present)

    def dismiss(self, bint ended):
        """Let no thread wait for another pass."""
        dismiss_all(&self.one, ended)

    cdef int do_segments(self, Scratch s, int32_t who, bint attentive) except -1 nogil:
        cdef Py_ssize_t segment = take_segment(&self.one, who)
        while segment >= 0:
            self.sweep_segment(segment, segment * self.segment_rows, self.end_of(segment), s)
            next_of(&self.one.done)
            if attentive:
                heed_signals(&self.one)
            segment = take_segment(&self.one, who)
        return 0

    cdef void sweep_segment(
        self, Py_ssize_t segment, Py_ssize_t first, Py_ssize_t last, Scratch s
    ) noexcept nogil:
        cdef Py_ssize_t m, count
        while first < last:
            m = min(<Py_ssize_t> CKM_SPARSE_ROWS, last - first)
            if self.mode == C_FILTER:
                count = filter_rows(&self.label_view[first], m, &self.drifts,
                                    &self.slack[first], &self.upper[first], s.rows)
                self.settle(first, s.rows, count, s)
            else:
                count = m
                self.settle(first, NULL, m, s)
            self.comparisons[segment] += count * self.k
            first += m

    cdef void settle(
        self, Py_ssize_t first, const int32_t* rows, Py_ssize_t count, Scratch s
    ) noexcept nogil:
        """Assign rows first + rows[i], or first + i for NULL, by all centroids."""
        cdef const ckm_csr* X = &self.rows.c
        cdef const Moves* m = &self.moved_by
        cdef Py_ssize_t i, u, row, label
        cdef float* upper = s.upper if self.mode >= C_BOUND else NULL
        cdef float* lower = s.lower if self.mode >= C_BOUND else NULL
        cdef Py_ssize_t n_undecided = sparse_nearest(
            X, first, rows, count, self.packed(), s.labels, upper, lower, s.undecided)
        for u in range(n_undecided):
            i = s.undecided[u]
            row = first + (i if rows == NULL else rows[i])
            s.labels[i] = self.decide(row, s, s.upper + i, s.lower + i)
        for i in range(count):
            row = first + (i if rows == NULL else rows[i])
            self.label_view[row] = s.labels[i]
            if upper != NULL:
                label = s.labels[i]
                keep_distances(s.upper[i], s.lower[i], m.sums[MOVED * m.room + label],
                               m.sums[LOSS * m.room + label], &self.upper[row], &self.slack[row])

    cdef int32_t decide(
        self, Py_ssize_t i, Scratch s, float* upper, float* lower
    ) noexcept nogil:
        """The label of a row that the tile leaves open, and its bounds."""
        cdef const ckm_csr* X = &self.rows.c
        cdef Row row = row_of(X, i, s)
        cdef Py_ssize_t j, d = self.rows.d, rivals = 0
        cdef int32_t label = 0
        cdef double error = sparse_error(X, i, self.packed()), norm2 = X.norms2[i], radius2 = 0.0
        cdef double exact_error, best = INFINITY, second = INFINITY, square, least = INFINITY
        cdef double* scores = &s.scores[0]
        # The tile again, for all of its scores.
        sparse_scores(X, i, self.packed(), scores)
        for j in range(self.k):
            radius2 = max(radius2, self.norms2[j])
            least = min(least, scores[j])
        exact_error = (2 * row.m + d + 32) * (
            1.2e-16 * (sqrt(norm2) + sqrt(radius2)) ** 2 + 5e-324)    # the latter for underflow
        # From here on what they are at least, up to |x|^2; exact where they may be the least.
        for j in range(self.k):
            if scores[j] - least > 2 * error:
                scores[j] -= error
            else:
                scores[j] = self.norms2[j] / 2 - product(&row, &self.centroid_view[j, 0])
                best = min(best, scores[j] + exact_error)
                scores[j] -= exact_error
        # Rivals: those that may be nearest. There is one, unless the row changes meanwhile.
        for j in range(self.k - 1, -1, -1):
            if scores[j] <= best:
                rivals += 1
                label = <int32_t> j
        if rivals > 1:
            least = INFINITY
            for j in range(self.k):
                if scores[j] <= best:
                    square = self.deciding_square(&row, j)
                    if square < least:
                        least = square
                        label = <int32_t> j
        for j in range(self.k):
            if j != label:
                second = min(second, scores[j])
        best = norm2 + 2 * (scores[label] + 2 * exact_error)
        second = norm2 + 2 * second
        upper[0] = <float> (sqrt(max(best, 0.0)) * (1 + 1.3e-7) + 1.2e-38)
        lower[0] = <float> (sqrt(max(second, 0.0)) * (1 - 1.3e-7))
        return label

    cdef double deciding_square(self, const Row* x, Py_ssize_t j) noexcept nogil:
        if self.listed[j] >= 0:
            return square_listed(x, &self.centroid_view[j, 0], &self.nonzero[self.listed[j]],
                                 self.counts[j])
        return square_in_order(x, &self.centroid_view[j, 0], self.rows.d)

    def list_moves(self, bint anew):
        """List the rows that changed, or all of them to add them `anew`."""
        self.ends = np.zeros(self.k + 1, np.int64)
        self.moves = moves_between(None if anew else self.before_view, self.label_view, self.ends)
        self.anew = anew

    def move(self, Py_ssize_t first, Py_ssize_t last):
        """Move the listed rows between the totals of clusters first..last-1."""
        cdef const double* weight = &self.weight_view[0] if self.weighted else NULL
        cdef ckm_moves moves
        moves.rows, moves.ends, moves.anew = &self.moves[0], &self.ends[0], self.anew
        with nogil:
            sparse_move(&self.rows.c, self.rows.d, weight, &moves, first, last,
                        &self.total_view[0, 0])

    def moved(self):
        """After move() for all clusters: their totals are those of the labels."""
        with nogil:
            memcpy(&self.before_view[0], &self.label_view[0], self.rows.n * sizeof(int32_t))

    def n_changed(self):
        """How many rows changed their label since moved()."""
        cdef Py_ssize_t i, changed = 0
        with nogil:
            for i in range(self.rows.n):
                changed += self.before_view[i] != self.label_view[i]
        return changed

    def collect(self):
        """How many comparisons of a row with a centroid the assignment took."""
        cdef Py_ssize_t s, comparisons = 0
        for s in range(self.n_segments):
            comparisons += self.comparisons[s]
            self.comparisons[s] = 0
        return comparisons

    def means(self, const double[:, ::1] centroids):
        """Means of the clusters, those of emptied ones where they were; and how many are emptied,
        whose totals are cleared of what rounding has left in them."""
        cdef Py_ssize_t j, f, d = self.rows.d, n_empty = 0
        cdef double mass
        means = fresh((self.k, d))
        cdef double[:, ::1] out = means
        cdef const double* sums
        cdef double* mean
        with nogil:
            for j in range(self.k):
                mass, sums, mean = self.total_view[j, d], &self.total_view[j, 0], &out[j, 0]
                if mass > 0:
                    for f in range(d):
                        mean[f] = sums[f] / mass
                else:
                    n_empty += 1
                    memset(&self.total_view[j, 0], 0, (d + 2) * sizeof(double))
                    memcpy(&out[j, 0], &centroids[j, 0], d * sizeof(double))
        return means, n_empty

    def open_row(self, Py_ssize_t row):
        """Let the next assignment look at a row whatever its bounds say, and take the label that
        it was given for the one before."""
        self.before_view[row] = self.label_view[row]
        if self.bounded:
            self.upper[row], self.slack[row] = INFINITY, -INFINITY
