# Memory that compiled code works in.
from cpython.buffer cimport PyBUF_WRITABLE, PyBuffer_Release, PyObject_GetBuffer
from libc.stdint cimport uintptr_t

cdef enum:
    LINE = 64                     # bytes of the cache


cdef inline void* data_of(array) except NULL:
    """The data of a contiguous array, for as long as somebody keeps it. A small fit has dozens of
    arrays, and feels an object for each view of them."""
    cdef Py_buffer memory
    PyObject_GetBuffer(array, &memory, PyBUF_WRITABLE)
    PyBuffer_Release(&memory)
    return memory.buf


cdef inline void* next_piece(uintptr_t* at, Py_ssize_t size) noexcept nogil:
    """The next `size` bytes of a memory that is cut up, from a cache line on. Who lays out pieces
    does so twice: at 0, to know how many bytes they take with LINE more, and where these are."""
    cdef uintptr_t first = (at[0] + LINE - 1) // LINE * LINE
    at[0] = first + size
    return <void*> first
