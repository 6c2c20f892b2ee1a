# What threads take in turn: each call returns the next of 0, 1, ..., whichever thread asks.
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
    int32_t next_of "CKM_NEXT"(int32_t* at) noexcept nogil
