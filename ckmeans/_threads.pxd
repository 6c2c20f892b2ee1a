# What threads of one problem share.
from cpython.exc cimport PyErr_CheckSignals
from libc.stdint cimport int32_t
from libc.string cimport memset

cdef extern from *:
    """
    #ifdef _WIN32
    __declspec(dllimport) int __stdcall SwitchToThread(void);    /* windows.h defines min and max */
    #define CKM_YIELD() SwitchToThread()
    #else
    #include <sched.h>
    #define CKM_YIELD() sched_yield()
    #endif
    #if defined(_MSC_VER) && !defined(__clang__)
    #include <intrin.h>
    #define CKM_ADD(at, n) _InterlockedExchangeAdd((volatile long *)(at), n)
    #define CKM_LOAD(at) _InterlockedOr((volatile long *)(at), 0)
    #define CKM_STORE(at, value) _InterlockedExchange((volatile long *)(at), value)
    #else
    #define CKM_ADD(at, n) __atomic_fetch_add(at, n, __ATOMIC_SEQ_CST)
    #define CKM_LOAD(at) __atomic_load_n(at, __ATOMIC_SEQ_CST)
    #define CKM_STORE(at, value) __atomic_store_n(at, value, __ATOMIC_SEQ_CST)
    #endif
    #if defined(__x86_64__) || defined(__i386__)
    #define CKM_PAUSE() __builtin_ia32_pause()
    #elif defined(_M_X64) || defined(_M_IX86)
    #define CKM_PAUSE() _mm_pause()
    #elif defined(__aarch64__)
    #define CKM_PAUSE() __asm__ volatile("isb")
    #else
    #define CKM_PAUSE() ((void)0)
    #endif
    """
    # Returns the number before. All threads see all these in one order.
    int32_t add_to "CKM_ADD"(int32_t* at, int32_t n) noexcept nogil
    int32_t load "CKM_LOAD"(int32_t* at) noexcept nogil
    void store "CKM_STORE"(int32_t* at, int32_t value) noexcept nogil
    void pause "CKM_PAUSE"() noexcept nogil
    void give_way "CKM_YIELD"() noexcept nogil

cdef enum:
    SPINS = 1 << 15               # 12 to 45 ns each: 0.4 to 1.5 ms
    EARLY = 1 << 18               # and while the others have not done their part, so many more
    COURTESY = 64                 # spins between offers of the CPU to others, who may be waited for
    MOST_SEGMENTS = 48

# Passes over segments, which threads share that stay from one pass to the next. A pass is open
# while `begun` is negative: so whoever gets such a number may take a segment of this very pass that
# is not yet `taken`, and the pass is not over before that is done. Who waits for the next one is
# `present`: who has opened a pass sees all who will look at it, since those who give up look once
# more after they have signed off.
cdef struct Pass:
    int32_t begun, done, n, present, dismissed
    int32_t[MOST_SEGMENTS] taken


cdef inline int32_t next_of(int32_t* at) noexcept nogil:
    """Each call returns the next number, whichever thread asks."""
    return add_to(at, 1)


cdef inline void open_pass(Pass* one, Py_ssize_t n) noexcept nogil:
    """Give out n segments, MOST_SEGMENTS or fewer. Who takes them sees all that was written before.
    """
    memset(one.taken, 0, n * sizeof(int32_t))
    store(&one.n, <int32_t> n)
    store(&one.done, 0)
    store(&one.begun, <int32_t> -n)


cdef inline bint takes(Pass* one, int32_t segment) noexcept nogil:
    return not load(&one.taken[segment]) and next_of(&one.taken[segment]) == 0


cdef inline Py_ssize_t take_segment(Pass* one, int32_t who) noexcept nogil:
    """A segment that no thread has begun; or -1. Each thread first takes those that it had in the
    pass before, which lie in its cache, and then what others would do last (two threads, photograph
    with k = 64: 0.94 of the time; ten iterations of 1M x 2: 0.95)."""
    cdef int32_t segment, n_threads
    if load(&one.begun) >= 0 or next_of(&one.begun) >= 0:
        return -1
    n_threads = load(&one.present) + 1
    segment = who % n_threads
    while segment < one.n and not takes(one, segment):
        segment += n_threads
    if segment >= one.n:
        segment = one.n - 1
        while not takes(one, segment):    # others have at most all but one
            segment -= 1
    return segment


cdef inline int heed_signals(Pass* one) except -1 with gil:
    """Let an interrupt end the pass, once who has a segment has done that."""
    try:
        PyErr_CheckSignals()
    except BaseException:
        store(&one.begun, 0)
        raise
    return 0


cdef inline void spin(int spins) noexcept nogil:
    """Wait a moment. Of more threads than CPUs, those that spun without yielding took the time of
    those that worked: 0.4 of the speed on one CPU."""
    if spins % COURTESY:
        pause()
    else:
        give_way()


cdef inline void wait_for_all(Pass* one) noexcept nogil:
    """Return when all segments are done."""
    cdef int spins = 0
    while load(&one.done) < one.n:
        spins += 1
        spin(spins if spins < SPINS else 0)


cdef inline bint comes(Pass* one) noexcept nogil:
    """Whether there is another pass, soon, for who is present; who is told no is so no longer."""
    cdef int spins = 0, early = 0
    while spins < SPINS and not load(&one.dismissed):
        if load(&one.begun) < 0:
            return True
        if early < EARLY and load(&one.done) < load(&one.n):
            early += 1
        else:
            spins += 1
        spin(spins + early)
    add_to(&one.present, -1)
    if load(&one.begun) < 0 and not load(&one.dismissed):
        add_to(&one.present, 1)
        return True
    return False


cdef inline void dismiss_all(Pass* one, bint ended) noexcept nogil:
    """Let no thread wait for another pass, nor take a segment of one that was left."""
    store(&one.dismissed, ended)
    if ended:
        store(&one.begun, 0)


cdef inline object spare(list scratches):
    """One that no thread uses, or None. (To add to a traceback runs Python code, and with it signal
    handlers: without the look before, an interrupt crashed one in some hundred runs.)"""
    if scratches:
        try:
            return scratches.pop()
        except IndexError:    # another thread was first
            pass
    return None
