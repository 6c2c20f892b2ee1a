"""Memory beyond X and the cost of the import, measured in fresh interpreters."""

import statistics
import subprocess
import sys

ROWS, CLUSTERS = 4_000_000, 16

# Writing 5 to clear_refs resets the peak, which then belongs to the second call alone.
PEAK = """
import sys
import numpy as np
from ckmeans import kmeans

n, d, k, threads, n_init = map(int, sys.argv[1:6])
algorithm, init = sys.argv[6:]

def status(field):
    with open("/proc/self/status") as lines:
        return next(1024 * int(line.split()[1]) for line in lines if line.startswith(field))

X = np.random.default_rng(0).standard_normal((n, d), dtype="f4")
options = dict(max_iter=5, n_threads=threads, n_init=n_init, algorithm=algorithm)
kmeans(X[:1000], k, 0, **options)
with open("/proc/self/clear_refs", "w") as refs:
    refs.write("5")
before = status("VmRSS")
result = kmeans(X, k, 0, init=X[:k] if init == "given" else init, **options)
print((status("VmHWM") - before) / n)
"""
IMPORT = """
import time
begin = time.perf_counter()
{}
print(time.perf_counter() - begin)
"""
STATEMENTS = ["import numpy", "import ckmeans", "import ckmeans; ckmeans.kmeans"]


def fresh(program, *arguments):
    """The number that a program prints."""
    command = [sys.executable, "-c", program, *map(str, arguments)]
    return float(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)


def memory(threads, divisor):
    n = ROWS // divisor
    kinds = [
        ("auto", "given", 1, 4),
        ("lloyd", "given", 1, 4),
        ("hamerly", "given", 1, 4),
        ("auto", "k-means++", 1, 4),
        ("auto", "k-means++", 3, 4),
        ("auto", "k-means++", 3, 8),
    ]
    figures = {
        f"{algorithm}, start {init}, n_init={n_init}, {d} columns, threads {t}": fresh(
            PEAK, n, d, CLUSTERS, t, n_init, algorithm, init
        )
        for t in threads
        for algorithm, init, n_init, d in kinds
        if sys.platform.startswith("linux")
    }
    what = f"peak bytes a row beyond X, result included, {n} rows of float32, k={CLUSTERS}"
    return {"what": what, "figures": figures}


def import_time(rounds):
    times = {statement: [] for statement in STATEMENTS}
    for _ in range(rounds):
        for statement, taken in times.items():
            taken.append(fresh(IMPORT.format(statement)))
    figures = {statement: 1e3 * statistics.median(taken) for statement, taken in times.items()}
    return {"what": "median ms in fresh interpreters, in turn", "figures": figures}
