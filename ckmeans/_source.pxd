# Rows of a NumPy array as other extensions read them: pass `&source.c` to ckmeans._lloyd.read_rows.
# What cimports this needs the directory of the package among its include directories.
cimport cython
from libc.stddef cimport ptrdiff_t
from libc.stdint cimport int32_t

cdef extern from "_tiles/tiles.h" nogil:
    ctypedef struct ckm_source:
        const char* data
        ptrdiff_t row_stride
        ptrdiff_t column_stride
        int type
        int swapped
        const double* offset
        const double* scale
        const double* norms


@cython.final
cdef class Source:
    cdef ckm_source c             # points into the arrays below
    cdef readonly Py_ssize_t n, d
    cdef readonly bint single     # computed in float32, else in float64
    cdef readonly object X, offset, scale, norms

    cdef bint is_native(self) noexcept
    cdef const char* in_place(self) noexcept
    cdef const char* in_steps(self, Py_ssize_t* row_step, Py_ssize_t* column_step) noexcept
    cdef int check(self, Py_ssize_t first, Py_ssize_t last) except -1
    cdef int convert(
        self, Py_ssize_t first, const int32_t* rows, Py_ssize_t count, out,
    ) except -1
    cdef void find_middle(self, double* three, double* middle) noexcept nogil
