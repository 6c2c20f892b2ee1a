# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
# cython: initializedcheck=False, freethreading_compatible=True
"""The least cost of clusters of one sorted column, where each cluster has a price.

Clusters are intervals, so a partition is a path over the cuts 0..m, and the cost of an interval
satisfies the quadrangle inequality: of two cuts the later one, once better for some end, stays
better for all later ends (Galil & Park 1990). A queue of cuts then finds the best path in
O(m log m).
"""
cimport cython
from cpython.exc cimport PyErr_CheckSignals
from libc.float cimport DBL_EPSILON
from libc.math cimport fabs
from libc.stdint cimport int64_t, uint32_t

import numpy as np

cdef enum:
    UNINTERRUPTED = 1 << 20    # values between looks at pending signals


cdef struct sums:
    # Sums of w, w x and w x^2 over the values before each cut, (m + 1,). The low parts hold what
    # the high parts round away; NULL for none, as is `w` where every weight is 1.
    const double* w
    const double* s1
    const double* s2
    const double* w_low
    const double* s1_low
    const double* s2_low


cdef inline double add_exactly(double a, double b, double* error) noexcept nogil:
    """a + b rounded, and what was rounded away (Knuth's TwoSum)."""
    cdef double total = a + b, part = total - a
    error[0] = (a - (total - part)) + (b - part)
    return total


cdef inline double multiply_exactly(double a, double b, double* error) noexcept nogil:
    """a * b rounded, and what was rounded away (Dekker 1971)."""
    cdef double product = a * b, high = 134217729.0 * a, a_high, b_high, a_low, b_low
    a_high = high - (high - a)
    a_low = a - a_high
    high = 134217729.0 * b
    b_high = high - (high - b)
    b_low = b - b_high
    error[0] = a_low * b_low - (((product - a_high * b_high) - a_low * b_high) - a_high * b_low)
    return product


cdef inline void add_to(double* total, double* rest, double high, double low) noexcept nogil:
    """Add high + low to total + rest."""
    cdef double rounded
    total[0] = add_exactly(total[0], high, &rounded)
    total[0] = add_exactly(total[0], rest[0] + (rounded + low), rest)


cdef inline double difference(const double* high, const double* low, Py_ssize_t i, Py_ssize_t j,
                              double* error) noexcept nogil:
    """Sum j without sum i, to twice the digits."""
    cdef double rounded, total = add_exactly(high[j], -high[i], &rounded)
    return add_exactly(total, rounded + (low[j] - low[i]), error)


cdef double cost_twofold(const sums* s, Py_ssize_t i, Py_ssize_t j) noexcept nogil:
    """cost() to twice the digits, for clusters that are narrow beside the whole column."""
    cdef double a_low, q_low, w_low = 0.0, p_low, r_low, w, mean
    cdef double a = difference(s.s1, s.s1_low, i, j, &a_low)
    cdef double q = difference(s.s2, s.s2_low, i, j, &q_low)
    if s.w == NULL:
        w = <double> (j - i)
    else:
        w = difference(s.w, s.w_low, i, j, &w_low)
    if not w > 0.0:
        return 0.0
    mean = a / w
    cdef double p = multiply_exactly(mean, a, &p_low)
    cdef double r = multiply_exactly(mean, w, &r_low)
    # sum w (x - mean)^2 for a mean that was rounded
    cdef double off = (a - r) + (a_low - r_low - mean * w_low)
    cdef double squares = ((q - p) + (q_low - p_low - mean * a_low)) - mean * off
    return squares if squares > 0.0 else 0.0


cdef inline double cost(const sums* s, Py_ssize_t i, Py_ssize_t j) noexcept nogil:
    """Weighted sum of squares of the values between cuts i < j about their mean."""
    cdef double w, a, squares
    if s.s1_low != NULL:
        return cost_twofold(s, i, j)
    w = <double> (j - i) if s.w == NULL else s.w[j] - s.w[i]
    if not w > 0.0:
        return 0.0
    a = s.s1[j] - s.s1[i]
    squares = s.s2[j] - s.s2[i] - a * a / w
    return squares if squares > 0.0 else 0.0


cdef inline bint beats(const sums* s, const double* least, Py_ssize_t later, Py_ssize_t earlier,
                       Py_ssize_t end) noexcept nogil:
    """Whether a last cluster from the later cut to the end is better than from the earlier."""
    return least[later] + cost(s, later, end) < least[earlier] + cost(s, earlier, end)


cdef Py_ssize_t overtaken(const sums* s, const double* least, Py_ssize_t later, Py_ssize_t earlier,
                          Py_ssize_t end, Py_ssize_t m) noexcept nogil:
    """The first end after this one from which the later cut is better; m + 1 for none."""
    cdef Py_ssize_t step = 1, middle, first
    while True:  # it is most often near
        first = min(end + step, m)
        if beats(s, least, later, earlier, first):
            break
        if first == m:
            return m + 1
        end = first
        step *= 2
    while first - end > 1:
        middle = end + (first - end) // 2
        if beats(s, least, later, earlier, middle):
            first = middle
        else:
            end = middle
    return first


cdef struct queue:
    # begins[head..tail] are the ends from which another cut is the best known: before[begins[q]].
    uint32_t* begins        # (m + 1,)
    Py_ssize_t head, tail


cdef void start_path(double* least, uint32_t* before, queue* q) noexcept nogil:
    least[0] = 0.0
    q.begins[0] = 1
    before[1] = 0
    q.head = q.tail = 0


cdef void extend_path(
    const sums* s, Py_ssize_t m, double price,      # in
    Py_ssize_t first, Py_ssize_t last,              # in   cuts, in order from 1 to m
    double* least,          # out  (m + 1,) least price and cost of a path to each cut
    uint32_t* before,       # out  (m + 1,) the cut before it on that path
    queue* q,               # in/out
) noexcept nogil:
    """The best paths from cut 0 to cuts first..last, the fewest clusters on ties."""
    cdef Py_ssize_t head = q.head, tail = q.tail, j, end
    cdef uint32_t* begins = q.begins
    for j in range(first, last + 1):
        if head < tail and begins[head + 1] == j:
            head += 1
        elif j > 1:
            before[j] = before[j - 1]
        least[j] = least[before[j]] + cost(s, before[j], j) + price
        while begins[tail] > j and beats(s, least, j, before[begins[tail]], begins[tail]):
            tail -= 1
        if j < m:
            end = overtaken(s, least, j, before[begins[tail]], max(<Py_ssize_t> begins[tail], j), m)
            if end <= m:
                tail += 1
                begins[tail] = <uint32_t> end
                before[end] = <uint32_t> j
    q.head, q.tail = head, tail


cdef const double* pointer(array) except? NULL:
    """The data of a float64 array; NULL for None."""
    cdef const double[::1] values = array
    return NULL if values is None else &values[0]


@cython.final
cdef class Costs:
    """Costs of the intervals of a sorted column.

    The values are differences to `centre` times `scale`, which bring them to -1..1. `twofold`
    computes with twice the digits of float64.
    """
    cdef readonly Py_ssize_t m
    cdef readonly double rounding          # what the digits of the sums may change in a cost
    cdef list arrays                       # owners of what `c` points to
    cdef sums c
    cdef double[::1] least
    cdef uint32_t[::1] before, begins

    cdef int hold(self, list arrays, double rounding) except -1:
        """Take sums of w, w x and w x^2 and their low parts; None for none."""
        self.m = len(arrays[1]) - 1
        if self.m >= 2**32 - 1:
            raise ValueError(f"a column may have up to 2**32 - 2 distinct values, got {self.m}")
        self.arrays, self.rounding = arrays, rounding
        self.c.w, self.c.w_low = pointer(arrays[0]), pointer(arrays[3])
        self.c.s1, self.c.s1_low = pointer(arrays[1]), pointer(arrays[4])
        self.c.s2, self.c.s2_low = pointer(arrays[2]), pointer(arrays[5])
        self.least = None
        return 0

    @staticmethod
    def of(
        const double[::1] values,          # in   (m,) ascending
        const double[::1] weight,          # in   (m,) or None
        double centre, double scale, bint twofold,
    ):
        """The costs of these values."""
        cdef Costs self = Costs.__new__(Costs)
        cdef Py_ssize_t i, first, m = values.shape[0]
        used = [weight is not None, True, True]
        high = [np.zeros(m + 1) if use else None for use in used]
        low = [np.zeros(m + 1) if use and twofold else None for use in used]
        cdef double[::1] w = high[0], s1 = high[1], s2 = high[2]
        cdef double[::1] w_low = low[0], s1_low = low[1], s2_low = low[2]
        cdef double x, x_low, xx, xx_low, p, p_low, mass = 1.0, largest = 0.0
        cdef double[3] total = [0.0, 0.0, 0.0]
        cdef double[3] rest = [0.0, 0.0, 0.0]
        for first in range(0, m, UNINTERRUPTED):
            PyErr_CheckSignals()
            with nogil:
                for i in range(first, min(m, first + UNINTERRUPTED)):
                    x = add_exactly(values[i], -centre, &x_low) * scale
                    x_low *= scale
                    xx = multiply_exactly(x, x, &xx_low)
                    xx_low += 2.0 * x * x_low
                    if weight is not None:
                        mass = weight[i]
                        add_to(&total[0], &rest[0], mass, 0.0)
                        w[i + 1] = total[0]
                    p = multiply_exactly(mass, x, &p_low)
                    add_to(&total[1], &rest[1], p, p_low + mass * x_low)
                    s1[i + 1] = total[1]
                    largest = max(largest, fabs(total[1]))
                    p = multiply_exactly(mass, xx, &p_low)
                    add_to(&total[2], &rest[2], p, p_low + mass * xx_low)
                    s2[i + 1] = total[2]
                    if twofold:
                        s1_low[i + 1] = rest[1]
                        s2_low[i + 1] = rest[2]
                        if weight is not None:
                            w_low[i + 1] = rest[0]
        largest = 2.0 * largest + total[2] + total[0]  # where |x| <= 1
        self.hold(high + low, largest * 4 * DBL_EPSILON * (DBL_EPSILON if twofold else 1.0))
        return self

    def coarse(self, kept):
        """The costs of the intervals between the kept cuts, ascending from 0 to m."""
        cdef Costs other = Costs.__new__(Costs)
        sampled = [None if array is None else array[kept] for array in self.arrays]
        if sampled[0] is None:
            sampled[0] = kept.astype(np.float64)
            sampled[3] = None if sampled[4] is None else np.zeros(len(kept))
        other.hold(sampled, self.rounding)
        return other

    def path(self, double price):
        """Cuts (count + 1,) int64, from 0 to m, of least cost plus `price` a cluster."""
        cdef Py_ssize_t count = 0, j = self.m, first
        cdef queue q
        if self.least is None:
            self.least = np.empty(self.m + 1)
            self.before, self.begins = np.empty((2, self.m + 1), dtype=np.uint32)
        q.begins = &self.begins[0]
        start_path(&self.least[0], &self.before[0], &q)
        for first in range(1, self.m + 1, UNINTERRUPTED):
            PyErr_CheckSignals()
            with nogil:
                extend_path(&self.c, self.m, price, first,
                            min(self.m, first + <Py_ssize_t> UNINTERRUPTED - 1),
                            &self.least[0], &self.before[0], &q)
        with nogil:
            while j > 0:
                j = self.before[j]
                count += 1
        found = np.empty(count + 1, dtype=np.int64)
        cdef int64_t[::1] cuts = found
        cuts[count] = self.m
        for j in range(count, 0, -1):
            cuts[j - 1] = self.before[cuts[j]]
        return found

    def cost(self, const int64_t[::1] cuts):
        """Summed cost of the intervals between neighbouring cuts."""
        cdef double total = 0.0
        cdef Py_ssize_t j
        for j in range(cuts.shape[0] - 1):
            total += cost(&self.c, cuts[j], cuts[j + 1])
        return total
