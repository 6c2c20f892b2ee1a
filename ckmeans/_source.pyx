# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
# cython: initializedcheck=False, freethreading_compatible=True
"""Rows of a NumPy array of any strides, element type and byte order, read where they are.

The conversion to the dtype that rows are computed in is `_tiles/read.h`; this says what to read.
"""
from libc.float cimport DBL_MAX
from libc.stdint cimport int32_t, int64_t, uintptr_t

cimport cython

import numpy as np

from ckmeans._lloyd cimport CKM_LONG, first_bad, read_rows
from ckmeans._memory cimport (
    PyArray_DATA, PyArray_DIM, PyArray_ISBYTESWAPPED, PyArray_NDIM, PyArray_STRIDE, PyArray_TYPE,
    PyArrayObject, data_of,
)

cdef extern from "_tiles/tiles.h":
    int CKM_BOOL, CKM_UINT8, CKM_INT8, CKM_UINT16, CKM_INT16, CKM_FLOAT16, CKM_FLOAT32
    int CKM_FLOAT64, CKM_UINT32, CKM_INT32, CKM_UINT64, CKM_INT64

cdef type ARRAY = np.ndarray
TYPES = {
    "b1": CKM_BOOL,
    "u1": CKM_UINT8, "u2": CKM_UINT16, "u4": CKM_UINT32, "u8": CKM_UINT64,
    "i1": CKM_INT8, "i2": CKM_INT16, "i4": CKM_INT32, "i8": CKM_INT64,
    "f2": CKM_FLOAT16, "f4": CKM_FLOAT32, "f8": CKM_FLOAT64,
}
# By NumPy's number, which takes no string to make: several have the same kind and size.
NUMBERS = {np.dtype(code).num: TYPES.get(np.dtype(code).str[1:]) for code in np.typecodes["All"]}


cdef const double* values_of(array, Py_ssize_t n, name) except? NULL:
    """The data of an (n,) float64 array."""
    cdef const double[::1] values = array
    if values.shape[0] != n:
        raise ValueError(f"{name} must have shape ({n},), got ({values.shape[0]},)")
    return &values[0]


@cython.final
cdef class Source:
    """The rows of X; or (X - offset) / scale by column, or rows divided by their norms, both of
    which are computed in float64.

    float32 and types of at most 16 bits are computed in float32, others in float64.
    """

    def __cinit__(self, X, offset=None, scale=None, norms=None):
        cdef const PyArrayObject* array = <const PyArrayObject*> <void*> X
        if not isinstance(X, ARRAY):
            raise TypeError(f"X must be a NumPy array, got {type(X).__name__}")
        number = NUMBERS.get(PyArray_TYPE(array))
        if number is None:
            raise TypeError(f"X must hold real numbers of at most 64 bits, got dtype {X.dtype}")
        if (offset is None) != (scale is None):
            raise ValueError("offset and scale must be given together")
        self.c.type = number
        self.c.swapped = PyArray_ISBYTESWAPPED(array)
        self.single = scale is None and norms is None and self.c.type <= CKM_FLOAT32
        if PyArray_NDIM(array) == 2:
            self.c.data = <const char*> PyArray_DATA(array)
            self.n, self.d = PyArray_DIM(array, 0), PyArray_DIM(array, 1)
            self.c.row_stride = PyArray_STRIDE(array, 0)
            self.c.column_stride = PyArray_STRIDE(array, 1)
        if not (self.n and self.d):
            raise ValueError(f"X must be 2-D and not empty, got shape {X.shape}")
        if scale is not None:
            self.c.offset = values_of(offset, self.d, "offset")
            self.c.scale = values_of(scale, self.d, "scale")
        if norms is not None:
            self.c.norms = values_of(norms, self.n, "norms")
        self.X, self.offset, self.scale, self.norms = X, offset, scale, norms

    cdef bint is_native(self) noexcept:
        """Whether the elements are those that are computed with."""
        cdef Py_ssize_t size = 4 if self.single else 8
        return (self.c.type == (CKM_FLOAT32 if self.single else CKM_FLOAT64)
                and not self.c.swapped and self.scale is None and self.norms is None
                and <uintptr_t> self.c.data % size == 0)

    cdef const char* in_place(self) noexcept:
        """The rows themselves, where they are C-contiguous and of the dtype they are computed in;
        or NULL."""
        cdef Py_ssize_t row_step, column_step
        data = self.in_steps(&row_step, &column_step)
        return data if column_step == 1 and row_step == self.d else NULL

    cdef const char* in_steps(self, Py_ssize_t* row_step, Py_ssize_t* column_step) noexcept:
        """The rows, and the steps between their elements, where the tiles can read them: rows, or
        not too many columns, that are contiguous, with any space between them; or NULL."""
        cdef Py_ssize_t size = 4 if self.single else 8
        row_step[0] = self.d if self.n == 1 else self.c.row_stride // size
        column_step[0] = 1 if self.d == 1 else self.c.column_stride // size
        if not self.is_native() or self.c.row_stride % size or self.c.column_stride % size:
            return NULL
        if column_step[0] == 1 and row_step[0] >= self.d:
            return self.c.data
        if row_step[0] == 1 and column_step[0] >= self.n and self.d < CKM_LONG:
            return self.c.data
        return NULL

    cdef int check(self, Py_ssize_t first, Py_ssize_t last) except -1:
        if not 0 <= first <= last <= self.n:
            raise IndexError(f"rows must lie within 0 and {self.n}, got {first}:{last}")
        return 0

    cdef int convert(
        self, Py_ssize_t first, const int32_t* rows, Py_ssize_t count, out,
    ) except -1:
        """Rows first + rows[i], or first + i for NULL, into `out`."""
        cdef float[:, ::1] out32
        cdef double[:, ::1] out64
        if out.shape != (count, self.d):
            raise ValueError(f"out must have shape {(count, self.d)}, got {out.shape}")
        if count == 0:
            return 0
        if self.single and out.itemsize == sizeof(float):
            out32 = out
            with nogil:
                read_rows(&self.c, self.d, first, rows, count, &out32[0, 0])
        else:
            out64 = out
            with nogil:
                read_rows(&self.c, self.d, first, rows, count, &out64[0, 0])
        return 0

    @property
    def native(self):
        """Whether the rows are computed in as they are."""
        return self.in_place() != NULL

    def read(self, Py_ssize_t first, Py_ssize_t last, out):
        """Rows first..last-1 into out (last - first, d), float64 or, if `single`, float32."""
        self.check(first, last)
        self.convert(first, NULL, last - first, out)

    def gather(self, Py_ssize_t first, const int32_t[::1] rows, out):
        """Rows first + rows[i] into out (m, d), float64 or, if `single`, float32."""
        cdef Py_ssize_t i, m = rows.shape[0]
        for i in range(m):
            self.check(first + rows[i], first + rows[i] + 1)
        self.convert(first, &rows[0] if m else NULL, m, out)

    def take(self, const int64_t[::1] rows):
        """The chosen rows as a float64 array (m, d)."""
        cdef Py_ssize_t i, m = rows.shape[0]
        for i in range(m):
            self.check(rows[i], rows[i] + 1)
        taken = np.empty((m, self.d))
        cdef double[:, ::1] out = taken
        with nogil:
            for i in range(m):
                read_rows(&self.c, self.d, rows[i], NULL, 1, &out[i, 0])
        return taken

    def middle(self):
        """Median by column of the first, the middle and the last row: (d,) float64, near most rows
        if those lie far from the origin."""
        rows = np.empty((4, self.d))
        cdef double* at = <double*> data_of(rows)
        self.find_middle(at, at + 3 * self.d)
        return rows[3]

    cdef void find_middle(self, double* three, double* middle) noexcept nogil:
        """The same, of the rows where they are now."""
        cdef Py_ssize_t f, d = self.d
        cdef double a, b, c
        read_rows(&self.c, d, 0, NULL, 1, three)
        read_rows(&self.c, d, self.n // 2, NULL, 1, three + d)
        read_rows(&self.c, d, self.n - 1, NULL, 1, three + 2 * d)
        for f in range(d):
            a, b, c = three[f], three[d + f], three[2 * d + f]
            middle[f] = max(min(a, b), min(max(a, b), c))

    def first_bad(self, Py_ssize_t first, Py_ssize_t last, double limit=DBL_MAX):
        """Row and column of the first element of rows first..last-1 that is NaN, infinite or, in
        magnitude, above `limit`; or None. As they are in X: not standardised."""
        cdef double largest = 0.0
        cdef Py_ssize_t place
        self.check(first, last)
        with nogil:
            place = first_bad(&self.c, self.d, first, last - first, limit, &largest)
        return None if place < 0 else (first + place // self.d, place % self.d)

    def largest(self, Py_ssize_t first, Py_ssize_t last):
        """The largest magnitude in rows first..last-1, which are finite; for integers, that of
        their type. Not standardised."""
        cdef double largest = 0.0
        self.check(first, last)
        with nogil:
            first_bad(&self.c, self.d, first, last - first, DBL_MAX, &largest)
        return largest
