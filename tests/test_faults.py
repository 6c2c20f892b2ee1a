"""Interrupts, forks, many threads, too little memory, callbacks that raise, indices past 2**31.

What may crash or hang, or changes the whole process, has a process of its own.
"""

import multiprocessing
import os
import signal
import subprocess
import sys
import threading

import numpy as np
import oracle
import pytest

from ckmeans import check_clusterability, elbow, kmeans, silhouette

SOON = 60  # seconds, for what takes a few unless it hangs
X = np.random.default_rng(0).normal(size=(3000, 24)).astype(np.float32)

COMMON = """
import gc, os, resource, signal, sys, threading, time, tracemalloc, zlib
import numpy as np
import ckmeans
from ckmeans import _iterate, _plus_plus, _rows, _team, elbow, kmeans
from numpy.lib.stride_tricks import sliding_window_view
rng = np.random.default_rng(0)
small = rng.normal(size=(3000, 24)).astype(np.float32)
def threads_for_all():
    _iterate.PARALLEL = _plus_plus.PARALLEL = _rows.PARALLEL = 1
def digest(result):
    return result.labels.tobytes(), result.centroids.tobytes(), result.inertia
"""


def in_a_process(code, *arguments, **environment):
    run = subprocess.run(
        [sys.executable, "-X", "faulthandler", "-W", "ignore", "-c", COMMON + code, *arguments],
        capture_output=True, text=True, timeout=300, check=False, env=os.environ | environment,
    )  # fmt: skip
    assert run.returncode == 0, run.stderr
    return run.stdout.split()


# --- Ctrl-C ---

# The signal comes after so much processor time, which the load of the machine does not change.
INTERRUPTED = """
expected = digest(kmeans(small, 5, 0))
def rows(n, d, dtype=np.float32):
    return rng.normal(size=(n, d)).astype(dtype)
def windows(n, d):
    return sliding_window_view(rng.integers(0, 256, n + d, dtype=np.uint8), d)[:n]
%s
def checksum():
    return zlib.crc32(np.ascontiguousarray(X[:: 1 + len(X) // 9999]))
before = checksum()
signal.signal(signal.SIGPROF, signal.default_int_handler)
begun, after = time.process_time(), 0.1
signal.setitimer(signal.ITIMER_PROF, after)
try:
    %s
except KeyboardInterrupt:
    print(time.process_time() - begun - after)
assert checksum() == before
assert digest(kmeans(small, 5, 0)) == expected
"""

LONG = {
    "seeding of few columns": ("X = rows(400_000, 3)", "kmeans(X, 3000, 0, n_threads=1)"),
    "seeding of many columns": ("X = rows(60_000, 100)", "kmeans(X, 2000, 0, n_threads=2)"),
    "a long step of seeding": ("X = windows(8_000_000, 256)", "kmeans(X, 30, 0, n_threads=1)"),
    "weighted random rows": (
        "X = rows(20_000_000, 1); w = rng.random(len(X))",
        "kmeans(X, 50, 0, init='random', sample_weight=w, n_threads=2)",
    ),
    "assignment": (
        "X = windows(4_000_000, 256); start = X[::40_000]",
        "kmeans(X, 100, init=start, algorithm='lloyd', n_threads=1)",
    ),
    "assignment with bounds": (
        "X = windows(4_000_000, 256); start = X[::40_000]",
        "kmeans(X, 100, init=start, algorithm='hamerly', n_threads=2)",
    ),
    "rows that repeat": (
        "X = rng.integers(0, 9, (20_000_000, 3), np.uint8)", "kmeans(X, 100, 0, n_threads=1)",
    ),
    "reading in other byte and column order": (
        "X = np.ones((40, 13_000_000), '>i2').T",
        "kmeans(X, 1, init=[[2.0] * 40], n_threads=1)",
    ),
    "variance": ("X = windows(8_000_000, 256)", "kmeans(X, 2, init=X[:2], tol=1e-3)"),
    "standardisation": ("X = windows(8_000_000, 256)", "kmeans(X, 2, init=X[:2], scale='std')"),
    "an elbow": ("X = rows(200_000, 8)", "elbow(X, 100, 0)"),
    "refinement": ("X = rows(300_000, 3)", "kmeans(X, 64, 0, refine='swap', max_iter=9)"),
    "one column": ("X = rows(20_000_000, 1, float)", "kmeans(X, 200)"),
    "one column with weights": (
        "X = rows(10_000_000, 1, float); w = rng.random(len(X))",
        "kmeans(X, 100, sample_weight=w)",
    ),
    "many small problems": ("X = rows(50, 2)", "kmeans(X, 3, 0, n_init=10**6)"),
    "distances": (
        "X = windows(8_000_000, 256); result = kmeans(X[:999], 9, 0)", "result.distances(X)",
    ),
    "a silhouette": (
        "X = rows(50_000, 8); labels = np.arange(len(X)) % 7",
        "ckmeans.silhouette(X, labels, sample=len(X))",
    ),
}  # fmt: skip


MANY_TIMES = """
def stop(*_):
    raise KeyboardInterrupt
signal.signal(signal.SIGPROF, stop)
for i in range(300):
    signal.setitimer(signal.ITIMER_PROF, 0.005)
    try:
        kmeans(small[: 3 + i, :2], 3, 0, n_init=10**6)
    except KeyboardInterrupt:
        pass
print(len(kmeans(small, 5, 0).labels) == len(small))
"""


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="signals differ")
def test_interrupts_at_any_place_crash_nothing():
    """A handler also ran where an expected exception was caught in compiled code."""
    assert in_a_process(MANY_TIMES) == ["True"]


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="signals differ")
@pytest.mark.parametrize("name", LONG)
def test_an_interrupt_is_heard_within_a_second(name):
    (late,) = in_a_process(INTERRUPTED % LONG[name])
    assert float(late) < 1.0  # of all threads together


# --- Forks, and pools of processes ---


def clustered(seed):
    return kmeans(X, 6, seed, n_threads=2)


@pytest.mark.parametrize("method", sorted(multiprocessing.get_all_start_methods()))
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_pools_of_processes(threads_for_all, method):
    """Made after the team of threads has been used here."""
    expected = [clustered(seed) for seed in range(4)]
    with multiprocessing.get_context(method).Pool(2, sys.path.extend, (sys.path,)) as pool:
        for result, same in zip(pool.map_async(clustered, range(4)).get(SOON), expected,
                                strict=True):  # fmt: skip
            oracle.assert_same_bits(result, same)
    oracle.assert_same_bits(clustered(0), expected[0])


@pytest.mark.parametrize("backend", ["loky", "threading", "multiprocessing"])
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_joblib(threads_for_all, backend):
    joblib = pytest.importorskip("joblib")
    expected = [kmeans(X, 6, seed) for seed in range(4)]
    jobs = (joblib.delayed(kmeans)(X, 6, seed, n_threads=2) for seed in range(4))
    results = joblib.Parallel(2, backend=backend, timeout=SOON)(jobs)
    for result, same in zip(results, expected, strict=True):
        oracle.assert_same_bits(result, same)


def test_joblib_hands_over_a_memory_map(tmp_path):
    """Which is read-only: larger arrays come so."""
    joblib = pytest.importorskip("joblib")
    with joblib.parallel_config("loky", n_jobs=2, temp_folder=tmp_path, max_nbytes=1000):
        (result,) = joblib.Parallel()([joblib.delayed(kmeans)(X, 6, 0)])
    oracle.assert_same_bits(result, kmeans(X, 6, 0))


# --- Threads ---


@pytest.mark.parametrize("same", [True, False], ids=["the same array", "arrays of their own"])
def test_sixteen_threads(threads_for_all, same):
    arrays = [X if same else X + i for i in range(16)]
    expected = [kmeans(array, 6, i, n_threads=1) for i, array in enumerate(arrays)]
    results, start = [None] * 16, threading.Barrier(16)

    def work(i):
        start.wait(SOON)
        for _ in range(3):
            results[i] = kmeans(arrays[i], 6, i, n_threads=1 + i % 3)
            results[i].predict(arrays[i])

    threads = [threading.Thread(target=work, args=(i,), daemon=True) for i in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(SOON)
    for result, same_bits in zip(results, expected, strict=True):
        oracle.assert_same_bits(result, same_bits)


CHANGED = """
threads_for_all()
_iterate.ROUNDED_FROM_ROWS = 1
kind, d = sys.argv[1], int(sys.argv[2])
X = rng.normal(size=(20_003, d)).astype(sys.argv[3])  # no whole tiles
w = rng.random(len(X))
working = True
def change():
    noise = np.random.default_rng(1)
    values = [np.nan, np.inf, -np.inf, 0.0, 1e38, -3.0, 1e-300]
    while working:
        X[noise.integers(len(X), size=500)] = values[noise.integers(len(values))]
        w[noise.integers(len(w), size=500)] = [np.nan, 0, -1, 1e300][noise.integers(4)]
        X[:] = noise.normal(size=X.shape)
        w[:] = 1
        time.sleep(0.0005)
calls = {
    "kmeans": lambda i: kmeans(X, 30, i, n_threads=2, max_iter=20),
    "hamerly": lambda i: kmeans(X, 70, i, algorithm="hamerly", n_threads=2, max_iter=20),
    "weights": lambda i: kmeans(X, 30, i, sample_weight=w, n_threads=2, max_iter=20),
    "refine": lambda i: kmeans(X, 20, i, refine="swap", max_iter=5),
    "elbow": lambda i: elbow(X, 6, i, max_iter=5),
    "scale": lambda i: kmeans(X, 30, i, scale="std", max_iter=20),
    "random": lambda i: kmeans(X, 30, i, init="random", tol=1e-4, max_iter=20),
    "predict": lambda i: kmeans(small[:, :1].repeat(d, 1), 30, i, max_iter=3).transform(X),
}
if kind.startswith("sparse"):
    from scipy.sparse import csr_array
    rows = csr_array(np.where(X > 0.5, X, 0))
    original = [part.copy() for part in (rows.data, rows.indices, rows.indptr)]
    def change_rows():
        noise = np.random.default_rng(2)
        while working:
            some = noise.integers(rows.nnz, size=500)
            rows.data[some] = [np.nan, np.inf, 0.0, 1e38, -3.0][noise.integers(5)]
            rows.indices[some] = noise.integers(-(2**31), 2**31 - 1, 500)
            rows.indptr[noise.integers(len(X), size=50)] = noise.integers(-(2**31), 2**31 - 1)
            rows.data[:], rows.indices[:], rows.indptr[:] = original
            time.sleep(0.001)
    calls["sparse"] = lambda i: kmeans(rows, 30, i, n_threads=2, max_iter=20)
    calls["sparse hamerly"] = lambda i: kmeans(rows, 9, i, algorithm="hamerly", max_iter=20)
    calls["sparse cosine"] = lambda i: kmeans(rows, 9, i, metric="cosine", max_iter=9)
    threading.Thread(target=change_rows, daemon=True).start()
threading.Thread(target=change, daemon=True).start()
done, end = 0, time.monotonic() + 0.5
while time.monotonic() < end or not done:
    try:
        calls[kind](done)
    except (ValueError, ArithmeticError, IndexError):
        pass
    done += 1
working = False
assert len(kmeans(small, 5, 0).labels) == len(small)
print(done)
"""


@pytest.mark.parametrize("kind", [
    "kmeans", "hamerly", "weights", "refine", "elbow", "scale", "random", "predict",
    "sparse", "sparse hamerly", "sparse cosine",
])  # fmt: skip
def test_rows_that_change_meanwhile_crash_nothing(kind):
    """Any answer will do, or an error. One column is sorted, few columns and many have loops of
    their own."""
    if kind.startswith("sparse"):
        pytest.importorskip("scipy")
    for d, dtype in ((1, "f8"), (3, "f4"), (40, "f8")):
        (done,) = in_a_process(CHANGED, kind, str(d), dtype)
        assert int(done)


# --- Memory ---

WITHOUT_AN_ARRAY = """
import ctypes
# An allocator for NumPy's arrays, as its C API takes one, that fails once: `left` calls from now.
pointer, size, function = ctypes.c_void_p, ctypes.c_size_t, ctypes.CFUNCTYPE
class Allocator(ctypes.Structure):
    _fields_ = [
        ("context", pointer), ("malloc", function(pointer, pointer, size)),
        ("calloc", function(pointer, pointer, size, size)),
        ("realloc", function(pointer, pointer, pointer, size)),
        ("free", function(None, pointer, pointer, size)),
    ]
class Handler(ctypes.Structure):
    _fields_ = [
        ("name", ctypes.c_char * 127), ("version", ctypes.c_uint8), ("allocator", Allocator),
    ]
left, python = 0, Allocator()
ctypes.pythonapi.PyMem_GetAllocator(0, ctypes.byref(python))
def counted(allocate):
    def counting(*arguments):
        global left
        left -= 1
        return allocate(*arguments) if left else None
    return counting
parts = [kind(counted(getattr(python, name))) for name, kind in Allocator._fields_[1:4]]
handler = Handler(b"failing", 1, Allocator(python.context, *parts, python.free))
new_capsule, content = ctypes.pythonapi.PyCapsule_New, ctypes.pythonapi.PyCapsule_GetPointer
new_capsule.restype, new_capsule.argtypes = ctypes.py_object, [pointer, ctypes.c_char_p, pointer]
content.restype, content.argtypes = pointer, [ctypes.py_object, ctypes.c_char_p]
api = ctypes.cast(
    content(np._core._multiarray_umath._ARRAY_API, None), ctypes.POINTER(pointer)
)
set_handler = ctypes.PYFUNCTYPE(ctypes.py_object, ctypes.py_object)(api[304])
set_handler(new_capsule(ctypes.addressof(handler), b"mem_handler", None))

X, w = small[:, :8].astype(float), np.ones(len(small))
result, some = kmeans(X[:100], 9, 0), X[:400]
call = {
    "kmeans": lambda: kmeans(X, 40, 0, max_iter=4),
    "weights": lambda: kmeans(X, 9, 0, sample_weight=w, max_iter=2, scale="std", init="random"),
    "one column": lambda: kmeans(X[:, :1], 9, sample_weight=X[:, 1] ** 2),
    "refine": lambda: kmeans(some, 4, 0, refine="swap", max_iter=2),
    "elbow": lambda: elbow(some, 4, 0, max_iter=2).results[-1],
    "predict": lambda: result.transform(X) is result.distances(X) or result,
    "batch": lambda: ckmeans.kmeans_batch(X.reshape(30, 100, 8), 4, 0, n_threads=1)[3],
    "silhouette": lambda: ckmeans.silhouette(X, X[:, 0] > 0, sample=200, n_threads=1) and result,
    "clusterability": lambda: ckmeans.check_clusterability(some, 0) and result,
}[sys.argv[1]]
expected = digest(call())
left = 0
call()
count = -left
def fails(number):
    global left
    left = number
    try:
        call()
    except MemoryError:
        return True
    finally:
        left = 0
    return False
def traced():
    gc.collect()
    return tracemalloc.get_traced_memory()[0]
tracemalloc.start()
assert fails(1)
before, tries = traced(), range(1, count + 1, 1 + count // 400)
assert all(fails(number) for number in tries)
kept = traced() - before
assert digest(call()) == expected
print(len(tries), kept)
"""


@pytest.mark.parametrize("name", [
    "kmeans", "weights", "one column", "refine", "elbow", "predict", "batch", "silhouette",
    "clusterability",
])  # fmt: skip
def test_an_array_that_gets_no_memory_is_a_memory_error(name):
    """Each array in turn: no crash, no leak, and the next call works."""
    tries, kept = in_a_process(WITHOUT_AN_ARRAY, name)
    assert int(tries) > 5 and int(kept) < 50_000


WITHOUT_MEMORY = """
if sys.argv[1] == "3":
    threads_for_all()
n_threads = int(sys.argv[1])
X = rng.normal(size=(20_000, 8))
def call():
    return kmeans(X, 40, 0, n_threads=n_threads, max_iter=4)
def address_space():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[0]) * resource.getpagesize()
def fails(room):
    walls = [bytearray(100_000) for _ in range(80)]
    del walls[::2]  # between them is room for what is small
    resource.setrlimit(resource.RLIMIT_AS, (address_space() + room, resource.RLIM_INFINITY))
    try:
        call()
    except MemoryError:
        return True
    except SystemError:
        # What CPython 3.11 says where a call gets no memory for its frame.
        assert sys.version_info < (3, 12)
        return True
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY,) * 2)
    return False
if n_threads == 1:  # else the threads are to be started with no room for their stacks
    call()
failed = [fails(room) for room in range(0, 12 << 20, 128 << 10)]
expected, size = digest(call()), address_space()
failed += [fails(room) for room in (0, 1 << 20, 3 << 20) for _ in range(20)]
assert n_threads > 1 or address_space() - size < 4 << 20, (address_space(), size)
assert digest(call()) == expected
print(sum(failed))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="limits of Linux")
@pytest.mark.parametrize("n_threads", [1, 3])
def test_too_little_memory_is_a_memory_error(n_threads):
    """For arrays of more than 100 kB, and for threads: no crash, no hang, and the next call works.

    Those are mapped one by one; what is smaller finds room in the heap. Where it finds none, NumPy
    (2.4.6) itself crashes: in a difference of arrays of unlike shapes, for instance, whose buffer
    of 64 kB is asked for without the GIL.
    """
    (failed,) = in_a_process(
        WITHOUT_MEMORY, str(n_threads), MALLOC_ARENA_MAX="1",
        MALLOC_MMAP_THRESHOLD_="100000", MALLOC_TRIM_THRESHOLD_=str(1 << 40),
    )  # fmt: skip
    assert int(failed) > 10


MANY_CALLS = """
threads_for_all()
X = small[:40, :3]
column = X[:, :1].astype(float)
def call(i):
    kmeans(X, 3, i)
    if i % 10 == 0:
        kmeans(X, 3, i, n_threads=2, callback=lambda progress: None)
        kmeans(column, 3)
        kmeans(X, 3, i, scale="std", refine="swap").predict(X)
    if i % 100 == 0:
        elbow(X, 4, i)
        try:
            kmeans(X, 41)
        except ValueError:
            pass
def resident():
    gc.collect()
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * resource.getpagesize()
for i in range(2000):
    call(i)
# NumPy interns names that live as long as a call; Python's table of such strings is full of gaps
# some day, and is made anew, 1 MB larger. Let that be today.
for i in range(200_000):
    sys.intern(f"name {i}")
before, blocks = resident(), sys.getallocatedblocks()
for i in range(10_000):
    call(i)
print(resident() - before, sys.getallocatedblocks() - blocks)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_ten_thousand_calls_leave_nothing_behind():
    grown, blocks = in_a_process(MANY_CALLS)
    assert int(grown) < 200_000 and int(blocks) < 1000


# --- Callbacks ---


class OwnError(Exception):
    pass


@pytest.mark.parametrize("error", [OwnError, StopIteration, SystemExit, KeyboardInterrupt])
@pytest.mark.parametrize("n_threads", [1, 3])
@pytest.mark.parametrize("function", [
    lambda **options: kmeans(X, 8, 0, **options),
    lambda **options: kmeans(X, 8, 0, refine="swap", n_init=2, **options),
    lambda **options: kmeans(X[:, :1], 8, **options),
    lambda **options: elbow(X, 4, 0, **options).results[-1],
], ids=["kmeans", "refine", "one column", "elbow"])  # fmt: skip
def test_what_a_callback_raises_comes_out(threads_for_all, function, n_threads, error):
    expected = function()
    before = X.tobytes()
    for last in (1, 2):

        def raising(progress, last=last):
            if progress.iteration == last:
                raise error("from the callback")

        with pytest.raises(error, match="from the callback"):
            function(callback=raising, n_threads=n_threads)
    assert X.tobytes() == before
    oracle.assert_same_bits(function(n_threads=n_threads), expected)


def test_every_function_may_be_called_from_a_callback(threads_for_all):
    expected, inner = kmeans(X, 8, 0), []

    def callback(progress):
        result = kmeans(X, 5, progress.iteration, n_threads=2, refine="swap")
        inner.append(
            (
                elbow(X, 3, 0, n_threads=2).inertias.tolist(),
                silhouette(X, result.labels, n_threads=2),
                check_clusterability(X, 0).p_value,
                result.predict(X).tolist() == result.labels.tolist(),
            )
        )
        return progress.iteration == 2

    stopped = kmeans(X, 8, 0, n_threads=3, callback=callback)
    assert stopped.n_iter == 2 and len(inner) == 2 and inner[0][0] == inner[1][0]
    assert all(same for *_, same in inner)
    oracle.assert_same_bits(kmeans(X, 8, 0, n_threads=3), expected)


def test_a_callback_may_wait_for_another_thread(threads_for_all):
    """Which clusters in the meantime with the same team."""
    expected, found = kmeans(X, 8, 0), []

    def callback(progress):
        thread = threading.Thread(target=lambda: found.append(kmeans(X, 8, 0, n_threads=3)))
        thread.start()
        thread.join(SOON)
        assert not thread.is_alive()

    oracle.assert_same_bits(kmeans(X, 8, 0, n_threads=3, callback=callback), expected)
    for result in found:
        oracle.assert_same_bits(result, expected)


# --- Indices past 2**31 ---

# Zeros that are never written take no memory, and little time to read.
LARGE = """
dtype, d, layout = sys.argv[1], int(sys.argv[2]), sys.argv[3]
n = 2**31 // d + 12_345
X = np.zeros((n, d) if layout == "C" else (d, n), dtype)
if layout == "F":
    X = X.T
far = np.arange(d) % 80 + 1  # three times as much fits a byte
marked = np.array([0, 1, 5, n // 2, n - 12_000, n - 4097, n - 2, n - 1])
X[marked] = far
X[n - 1] = 3 * far
start = np.array([np.zeros(d), far, 3 * far])
assert X.size > 2**31
for algorithm in ("lloyd", "hamerly"):
    result = kmeans(X, 3, init=start, max_iter=2, algorithm=algorithm)
    assert result.converged and result.sizes.tolist() == [n - 8, 7, 1], result.sizes
    assert np.flatnonzero(result.labels).tolist() == marked.tolist()
    assert (result.centroids == start).all() and result.inertia == 0
if X.itemsize == 1:
    seeded = kmeans(X, 3, 0, max_iter=2)
    assert sorted(seeded.sizes.tolist()) == [1, 7, n - 8]
else:
    X[n - 1, d - 1] = np.nan
    try:
        kmeans(X, 3, init=start)
    except ValueError as error:
        assert f"NaN at row {n - 1}, column {d - 1}" in str(error)
print("right")
"""


@pytest.mark.skipif(sys.maxsize < 2**32, reason="a 64-bit address space")
@pytest.mark.parametrize(("dtype", "d", "layout"), [
    ("u1", 256, "C"), ("f4", 256, "C"), ("f4", 100, "F"),
])  # fmt: skip
def test_more_than_two_billion_elements(dtype, d, layout):
    assert in_a_process(LARGE, dtype, str(d), layout) == ["right"]


MANY_COMPARISONS = """
n, k = 3_000_000, 800
X = rng.integers(0, 256, (n, 2), np.uint8)  # some for each centroid: a refill takes seconds
start = np.stack([np.arange(k) % 40 * 6.4, np.arange(k) // 40 * 12.8], axis=1)
found = [kmeans(X, k, init=start, max_iter=2, algorithm=name) for name in ("lloyd", "hamerly")]
assert n * k > 2**31 and digest(found[0]) == digest(found[1])
assert found[0].sizes.sum() == n
print("right")
"""


def test_more_than_two_billion_distances():
    assert in_a_process(MANY_COMPARISONS) == ["right"]


def test_more_clusters_than_a_label_can_count():
    rows = np.broadcast_to(np.zeros((1, 1), np.uint8), (2**31 + 5, 1))
    with pytest.raises(ValueError, match="^k must be between 1 and 2147483647"):
        kmeans(rows, 2**31, init="random")
