"""Compare one pass with scikit-learn: `python -m benchmarks` prints ratios of medians.

Same data, start and number of iterations for both, one thread each, in turn in one process.
A ratio is scikit-learn's time over ours; absolute times depend on the machine and its other load.
"""

import statistics
import time

import numpy as np
from sklearn.cluster import KMeans
from threadpoolctl import threadpool_limits

from ckmeans import kmeans
from ckmeans.datasets import xclara

ROUNDS, ITERATIONS = 5, 5


def gaussian(n, d, dtype="f4"):
    return np.random.default_rng(0).normal(size=(n, d)).astype(dtype)


CASES = [
    ("xclara 3000 x 2, k=3", xclara, 3),
    ("1M x 2, k=10", lambda: gaussian(1_000_000, 2), 10),
    ("1M x 3, k=16", lambda: gaussian(1_000_000, 3), 16),
    ("1M x 8, k=16", lambda: gaussian(1_000_000, 8), 16),
    ("200k x 16, k=64", lambda: gaussian(200_000, 16), 64),
    ("100k x 32, k=50, float64", lambda: gaussian(100_000, 32, "f8"), 50),
    ("100k x 128, k=256", lambda: gaussian(100_000, 128), 256),
]


def seconds(function):
    begin = time.perf_counter()
    function()
    return time.perf_counter() - begin


def compare(X, k):
    """Median seconds of ours and of scikit-learn."""
    start = X[np.random.default_rng(1).choice(len(X), k, replace=False)]
    peer = KMeans(k, init=start, n_init=1, max_iter=ITERATIONS, tol=0, algorithm="lloyd")
    ours, theirs = [], []
    for _ in range(ROUNDS):
        ours.append(
            seconds(lambda: kmeans(X, k, init=start, max_iter=ITERATIONS, n_threads=1))
        )
        with threadpool_limits(1):
            theirs.append(seconds(lambda: peer.fit(X)))
    return statistics.median(ours), statistics.median(theirs)


def main():
    print(f"{'case':28}{'ours ms':>10}{'ratio':>8}")
    for name, data, k in CASES:
        ours, theirs = compare(data(), k)
        print(f"{name:28}{1e3 * ours:10.2f}{theirs / ours:8.2f}", flush=True)


if __name__ == "__main__":
    main()
