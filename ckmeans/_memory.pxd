# Memory that compiled code works in.
from libc.stdint cimport uintptr_t

cdef extern from "numpy/ndarraytypes.h":
    enum:
        NPY_ARRAY_CARRAY_RO        # C-contiguous and aligned
    ctypedef struct PyArrayObject:
        pass
    # Of an array, without a call.
    int PyArray_NDIM(const PyArrayObject* array) nogil
    int PyArray_TYPE(const PyArrayObject* array) nogil
    bint PyArray_ISBYTESWAPPED(const PyArrayObject* array) nogil
    int PyArray_FLAGS(const PyArrayObject* array) nogil
    void* PyArray_DATA(const PyArrayObject* array) nogil
    Py_ssize_t PyArray_DIM(const PyArrayObject* array, int axis) nogil
    Py_ssize_t PyArray_STRIDE(const PyArrayObject* array, int axis) nogil

cdef enum:
    LINE = 64                     # bytes of the cache


cdef inline void* data_of(array) noexcept:
    """The data of a contiguous NumPy array that was made here, for as long as somebody keeps it. A
    small fit has dozens of arrays, and feels what a buffer or a view of each costs."""
    return PyArray_DATA(<const PyArrayObject*> <void*> array)


cdef inline void* numbers_of(array, int type_number, Py_ssize_t n, name) except NULL:
    """The data of a NumPy array that must hold n numbers, or for -1 any, of a type, one after
    another."""
    cdef const PyArrayObject* numbers = <const PyArrayObject*> <void*> array
    cdef Py_ssize_t size = 1
    cdef int axis, packed = PyArray_FLAGS(numbers) & NPY_ARRAY_CARRAY_RO
    for axis in range(PyArray_NDIM(numbers)):
        size *= PyArray_DIM(numbers, axis)
    if (PyArray_TYPE(numbers) != type_number or 0 <= n != size or packed != NPY_ARRAY_CARRAY_RO
            or PyArray_ISBYTESWAPPED(numbers)):
        raise ValueError(
            f"{name} must be {'any' if n < 0 else n} numbers of NumPy's type {type_number}, one "
            f"after another in memory; got {size} of dtype {array.dtype}"
        )
    return PyArray_DATA(numbers)


cdef inline void* next_piece(uintptr_t* at, Py_ssize_t size) noexcept nogil:
    """The next `size` bytes of a memory that is cut up, from a cache line on. Who lays out pieces
    does so twice: at 0, to know how many bytes they take with LINE more, and where these are."""
    cdef uintptr_t first = (at[0] + LINE - 1) // LINE * LINE
    at[0] = first + size
    return <void*> first
