# What threads of one problem share.
from libc.stdint cimport int32_t

cdef extern from *:
    """
    #if defined(_MSC_VER) && !defined(__clang__)
    #include <intrin.h>
    #define CKM_NEXT(at) _InterlockedExchangeAdd((volatile long *)(at), 1)
    #else
    #define CKM_NEXT(at) __atomic_fetch_add(at, 1, __ATOMIC_RELAXED)
    #endif
    """
    # Each call returns the next of 0, 1, ..., whichever thread asks.
    int32_t next_of "CKM_NEXT"(int32_t* at) noexcept nogil


cdef inline object spare(list scratches):
    """One that no thread uses, or None. (To add to a traceback runs Python code, and with it signal
    handlers: without the look before, an interrupt crashed one in some hundred runs.)"""
    if scratches:
        try:
            return scratches.pop()
        except IndexError:    # another thread was first
            pass
    return None
